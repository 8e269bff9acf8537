// functions.cpp: mathematical functions that CUDA has and the C library has not.
//
// They are as good as double rounding allows, not as fast as could be: results are compared with
// those of other implementations.

#include <math.h>

#define EXPORT extern "C" __attribute__((visibility("default")))

namespace {

const double PI = 3.14159265358979323846;
const double TWO_OVER_SQRT_PI = 1.12837916709551257390;

// M. Giles, "Approximating the erfinv function" (2010), in single precision; w = -log(1 - x^2).
double first_guess(double w) {
  static const double central[] = {2.81022636e-08, 3.43273939e-07,  -3.5233877e-06,
                                   -4.39150654e-06, 0.00021858087,  -0.00125372503,
                                   -0.00417768164,  0.246640727,    1.50140941};
  static const double tail[] = {-0.000200214257, 0.000100950558, 0.00134934322,
                                -0.00367342844,  0.00573950773,  -0.0076224613,
                                0.00943887047,   1.00167406,     2.83297682};
  const double* coefficients = w < 5 ? central : tail;
  const double t = w < 5 ? w - 2.5 : sqrt(w) - 3;
  double p = coefficients[0];
  for (int i = 1; i < 9; i++) p = coefficients[i] + p * t;
  return p;
}

// z > 0 with erfc(z) = q for 0 < q <= 1/2, by Halley's method on log erfc, which is nearly
// quadratic however small q is.
double inverse_tail(double q) {
  const double w = -log(q * (2 - q));
  double z = w < 16 ? first_guess(w) * (1 - q) : sqrt(w - 0.5 * log(PI * w));
  for (int i = 0; i < 6; i++) {
    const long double e = erfcl(static_cast<long double>(z));
    const long double slope =
        -static_cast<long double>(TWO_OVER_SQRT_PI) * expl(-static_cast<long double>(z) * z) / e;
    const long double residual = logl(e / q);
    // (log erfc)'' / (log erfc)' = -2 z - slope
    const long double step = residual / slope;
    const double next = static_cast<double>(z - step / (1 + 0.5L * step * (2 * z + slope)));
    if (next == z) break;
    z = next;
  }
  return z;
}

// |x| <= 1/2
double inverse_centre(double x) {
  double z = first_guess(-log1p(-x * x)) * x;
  for (int i = 0; i < 4; i++) {
    const long double step = (erfl(static_cast<long double>(z)) - x) /
                             (static_cast<long double>(TWO_OVER_SQRT_PI) *
                              expl(-static_cast<long double>(z) * z));
    const double next = static_cast<double>(z - step / (1 + z * step));
    if (next == z) break;
    z = next;
  }
  return z;
}

// I_n(x), n = 0 or 1: the terms of the series all have one sign, so that nothing cancels.
double bessel_i(int n, double x) {
  if (isnan(x)) return x;
  if (fabs(x) > 720) return n && x < 0 ? -INFINITY : INFINITY;
  const long double half = static_cast<long double>(x) / 2, square = half * half;
  long double term = n ? half : 1, sum = term;
  for (int k = 1; k < 2000; k++) {
    term *= square / (static_cast<long double>(k) * (k + n));
    sum += term;
    if (fabsl(term) <= 1e-21L * fabsl(sum)) break;
  }
  return static_cast<double>(sum);
}

}  // namespace

EXPORT double cudasim_erfcinv(double y) {
  if (!(y >= 0 && y <= 2)) return NAN;
  if (y == 0) return INFINITY;
  if (y == 2) return -INFINITY;
  if (y < 0.5) return inverse_tail(y);
  if (y > 1.5) return -inverse_tail(2 - y);
  return inverse_centre(1 - y);
}

EXPORT double cudasim_erfinv(double x) {
  if (!(fabs(x) <= 1)) return NAN;
  if (fabs(x) == 1) return copysign(INFINITY, x);
  if (fabs(x) <= 0.5) return fabs(x) < 1e-150 ? x / TWO_OVER_SQRT_PI : inverse_centre(x);
  return copysign(inverse_tail(1 - fabs(x)), x);
}

EXPORT double cudasim_erfcx(double x) {
  const long double z = x;
  if (x < 25) return static_cast<double>(expl(z * z) * erfcl(z));
  const long double t = 1 / (2 * z * z);  // the asymptotic series: 1 - t + 3 t^2 - 15 t^3 ...
  const long double series = 1 - t * (1 - 3 * t * (1 - 5 * t * (1 - 7 * t * (1 - 9 * t))));
  return static_cast<double>(series / (z * 1.77245385090551602729817L));
}

EXPORT double cudasim_normcdf(double x) {
  return static_cast<double>(0.5L * erfcl(-x / 1.41421356237309504880169L));
}
EXPORT double cudasim_normcdfinv(double p) {
  return -1.41421356237309504880 * cudasim_erfcinv(2 * p);
}

EXPORT double cudasim_exp10(double x) { return static_cast<double>(powl(10, x)); }
EXPORT double cudasim_rsqrt(double x) { return static_cast<double>(1 / sqrtl(x)); }
EXPORT double cudasim_rcbrt(double x) { return static_cast<double>(1 / cbrtl(x)); }
EXPORT double cudasim_rhypot(double x, double y) { return static_cast<double>(1 / hypotl(x, y)); }

EXPORT double cudasim_sinpi(double x) {
  if (!isfinite(x)) return NAN;
  double r = remainder(x, 2);  // exact, in [-1, 1]
  if (r == 0 || fabs(r) == 1) return copysign(0.0, x);
  if (fabs(r) > 0.5) r = copysign(1 - fabs(r), r);
  return static_cast<double>(sinl(3.14159265358979323846264L * r));
}

EXPORT double cudasim_cospi(double x) {
  if (!isfinite(x)) return NAN;
  const double r = fabs(remainder(x, 2));
  if (r == 0.5) return 0;
  return static_cast<double>(cosl(3.14159265358979323846264L * r));
}

EXPORT double cudasim_lgamma(double x) {
  int sign;
  return lgamma_r(x, &sign);
}

EXPORT double cudasim_j0(double x) { return j0(x); }
EXPORT double cudasim_j1(double x) { return j1(x); }
EXPORT double cudasim_y0(double x) { return y0(x); }
EXPORT double cudasim_y1(double x) { return y1(x); }
EXPORT double cudasim_cyl_bessel_i0(double x) { return bessel_i(0, x); }
EXPORT double cudasim_cyl_bessel_i1(double x) { return bessel_i(1, x); }
