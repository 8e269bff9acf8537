// ---- math: functions that CUDA has not

// The derivative of lgamma: recurrence up to 10, the asymptotic series there, reflection below 0
// (Abramowitz and Stegun 6.3.5, 6.3.18, 6.3.7).  nan at the negative integers, an infinity at 0.
// Errors are small against max(1, |digamma|).
static __device__ __noinline__ double tj_digamma_of_double(double x) {
  if (x == 0.0) return copysign(tj_greatest<double>(), -x);
  double reflected = 0.0;
  double z = x;
  if (x < 0.0) {
    const double r = x - rint(x);
    if (!(r != 0.0)) return tj_nan<double>();  // a pole, or -inf
    reflected = 3.141592653589793 * (cospi(r) / sinpi(r));
    z = 1.0 - x;
  }
  double numerator = 0.0, denominator = 1.0;  // of the sum of 1 / (z + k)
  while (z < 10.0) {
    numerator = fma(numerator, z, denominator);
    denominator *= z;
    z += 1.0;
  }
  const double inverse = 1.0 / z, square = inverse * inverse;
  double series = -1.0 / 12.0;
  series = fma(series, square, 691.0 / 32760.0);
  series = fma(series, square, -1.0 / 132.0);
  series = fma(series, square, 1.0 / 240.0);
  series = fma(series, square, -1.0 / 252.0);
  series = fma(series, square, 1.0 / 120.0);
  series = fma(series, square, -1.0 / 12.0);
  const double far = fma(square, series, fma(inverse, -0.5, log(z)));
  return far - numerator / denominator - reflected;
}
template <class T> TJ_DEVICE T tj_digamma(T x) { return T(tj_digamma_of_double(x)); }
