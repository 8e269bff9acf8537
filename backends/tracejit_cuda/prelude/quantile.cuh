// ---- quantile: the inverse error function of random numbers

// Rounding by rounding as tracejit.ir.quantile tells it, which has the numbers of the TJ_Q_ macros.
TJ_DEVICE float tj_fused(float a, float b, float c) { return fmaf(a, b, c); }
TJ_DEVICE double tj_fused(double a, double b, double c) { return fma(a, b, c); }

template <class T, int N> TJ_DEVICE T tj_polynomial(const T (&c)[N], T x) {
  T y = c[0];
#pragma unroll
  for (int n = 1; n < N; ++n) y = tj_fused(y, x, c[n]);
  return y;
}

TJ_DEVICE float tj_log_of_normal(float x) {
  constexpr float first[] = TJ_Q_LOG32_A, second[] = TJ_Q_LOG32_B, third[] = TJ_Q_LOG32_C;
  constexpr float ln2[] = TJ_Q_LN2_32;
  const int bits = tj_bitcast<int>(x), exponent = (bits - 0x3f3504f3) >> 23;
  const float k = (float)exponent, f = tj_bitcast<float>(bits - exponent * (1 << 23)) - 1.0f;
  const float square = f * f, cube = square * f;
  const float a = tj_polynomial(first, f), b = tj_polynomial(second, f);
  const float tail = tj_fused(tj_fused(a, cube, b), cube, tj_polynomial(third, f));
  const float rest = tj_fused(tail, cube, k * ln2[1]);
  return tj_fused(k, ln2[0], tj_fused(square, -0.5f, f) + rest);
}

static __device__ const double tj_logarithms[][2] = TJ_Q_LOGARITHMS;

TJ_DEVICE double tj_log_of_normal(double x) {
  constexpr double c[] = TJ_Q_LOG64, ln2[] = TJ_Q_LN2_64;
  const long long bits = tj_bitcast<long long>(x), above = bits - TJ_Q_TABLE_FROM;
  const long long exponent = above >> 52;
  const double* const found = tj_logarithms[(above >> 45) & 127];
  const double k = (double)exponent, z = tj_bitcast<double>(bits - exponent * (1LL << 52));
  const double r = fma(z, found[0], -1.0), square = r * r;
  const double t = fma(k, ln2[0], found[1]), total = t + r;
  const double low = fma(square, c[0], fma(k, ln2[1], (t - total) + r));
  const double tail = fma(fma(r, c[4], c[3]), square, fma(r, c[2], c[1]));
  return fma(r * square, tail, low) + total;
}

TJ_DEVICE float tj_quantile_factor(float w) {
  constexpr float near[] = TJ_Q_SINGLE_0, far[] = TJ_Q_SINGLE_1;
  if (w < TJ_Q_SINGLE_0_BELOW) return tj_polynomial(near, w - TJ_Q_SINGLE_0_CENTRE);
  return tj_polynomial(far, sqrtf(w) - TJ_Q_SINGLE_1_CENTRE);
}

TJ_DEVICE double tj_quantile_factor(double w) {
  constexpr double near[] = TJ_Q_DOUBLE_0, middle[] = TJ_Q_DOUBLE_1, far[] = TJ_Q_DOUBLE_2;
  if (w < TJ_Q_DOUBLE_0_BELOW) return tj_polynomial(near, w - TJ_Q_DOUBLE_0_CENTRE);
  const double root = sqrt(w);
  if (w < TJ_Q_DOUBLE_1_BELOW) return tj_polynomial(middle, root - TJ_Q_DOUBLE_1_CENTRE);
  return tj_polynomial(far, root - TJ_Q_DOUBLE_2_CENTRE);
}

template <class T> static __device__ T tj_erfinvgiles(T x) {
  constexpr T p[] = TJ_Q_LOG1P_P, q[] = TJ_Q_LOG1P_Q;
  const T one = T(1), size = x < T(0) ? -x : x;
  if (!(size < one)) return size == one ? x * tj_greatest<T>() : tj_nan<T>();
  const T y = -(x * x);
  T logarithm;
  if (-y < T(TJ_Q_NEAR)) {
    const T square = y * y, ratio = tj_polynomial(p, y) / tj_polynomial(q, y);
    logarithm = y + tj_fused(square, T(-0.5), (y * square) * ratio);
  } else {
    logarithm = tj_log_of_normal(y + one);
  }
  return x * tj_quantile_factor(-logarithm);
}
