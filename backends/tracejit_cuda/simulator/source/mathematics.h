// mathematics.h: the functions of CUDA's mathematical library.
//
// Most are the C library's.  Those that it has not are in functions.cpp, named cudasim_*.  As under
// CUDA a double function called with a float is the float function.

#pragma once
#include "language.h"

// ---- functions of floating-point numbers: NAME(double), NAMEf(float), NAME(float)

#define CUDASIM_UNARY(name)                    \
  extern "C" double name(double);              \
  extern "C" float name##f(float);             \
  CUDASIM_QUIET float name(float x) { return name##f(x); }
#define CUDASIM_BINARY(name)                   \
  extern "C" double name(double, double);      \
  extern "C" float name##f(float, float);      \
  CUDASIM_QUIET float name(float x, float y) { return name##f(x, y); }                     \
  CUDASIM_QUIET double name(float x, double y) { return name(static_cast<double>(x), y); } \
  CUDASIM_QUIET double name(double x, float y) { return name(x, static_cast<double>(y)); }
// The same over a function of functions.cpp; the float one rounds the double one.
#define CUDASIM_OWN(name)                                                                      \
  extern "C" double cudasim_##name(double);                                                    \
  CUDASIM_QUIET double name(double x) { return cudasim_##name(x); }                            \
  CUDASIM_QUIET float name##f(float x) { return static_cast<float>(cudasim_##name(x)); }       \
  CUDASIM_QUIET float name(float x) { return name##f(x); }
#define CUDASIM_OWN_BINARY(name)                                                               \
  extern "C" double cudasim_##name(double, double);                                            \
  CUDASIM_QUIET double name(double x, double y) { return cudasim_##name(x, y); }               \
  CUDASIM_QUIET float name##f(float x, float y) {                                              \
    return static_cast<float>(cudasim_##name(x, y));                                           \
  }                                                                                            \
  CUDASIM_QUIET float name(float x, float y) { return name##f(x, y); }

CUDASIM_UNARY(acos) CUDASIM_UNARY(acosh) CUDASIM_UNARY(asin) CUDASIM_UNARY(asinh)
CUDASIM_UNARY(atan) CUDASIM_UNARY(atanh) CUDASIM_UNARY(cbrt) CUDASIM_UNARY(ceil)
CUDASIM_UNARY(cos) CUDASIM_UNARY(cosh) CUDASIM_UNARY(erf) CUDASIM_UNARY(erfc)
CUDASIM_UNARY(exp) CUDASIM_UNARY(exp2) CUDASIM_UNARY(expm1) CUDASIM_UNARY(fabs)
CUDASIM_UNARY(floor) CUDASIM_UNARY(log) CUDASIM_UNARY(log10) CUDASIM_UNARY(log1p)
CUDASIM_UNARY(log2) CUDASIM_UNARY(logb) CUDASIM_UNARY(nearbyint) CUDASIM_UNARY(rint)
CUDASIM_UNARY(round) CUDASIM_UNARY(sin) CUDASIM_UNARY(sinh) CUDASIM_UNARY(sqrt)
CUDASIM_UNARY(tan) CUDASIM_UNARY(tanh) CUDASIM_UNARY(tgamma) CUDASIM_UNARY(trunc)
CUDASIM_BINARY(atan2) CUDASIM_BINARY(copysign) CUDASIM_BINARY(fdim) CUDASIM_BINARY(fmax)
CUDASIM_BINARY(fmin) CUDASIM_BINARY(fmod) CUDASIM_BINARY(hypot) CUDASIM_BINARY(nextafter)
CUDASIM_BINARY(pow) CUDASIM_BINARY(remainder)

CUDASIM_OWN(cyl_bessel_i0) CUDASIM_OWN(cyl_bessel_i1) CUDASIM_OWN(erfcinv) CUDASIM_OWN(erfcx)
CUDASIM_OWN(erfinv) CUDASIM_OWN(exp10) CUDASIM_OWN(j0) CUDASIM_OWN(j1) CUDASIM_OWN(lgamma)
CUDASIM_OWN(normcdf) CUDASIM_OWN(normcdfinv) CUDASIM_OWN(rcbrt) CUDASIM_OWN(rsqrt)
CUDASIM_OWN(sinpi) CUDASIM_OWN(cospi) CUDASIM_OWN(y0) CUDASIM_OWN(y1)
CUDASIM_OWN_BINARY(rhypot)

extern "C" {
double fma(double, double, double);
float fmaf(float, float, float);
double frexp(double, int*);
float frexpf(float, int*);
double ldexp(double, int);
float ldexpf(float, int);
double modf(double, double*);
float modff(float, float*);
double remquo(double, double, int*);
float remquof(float, float, int*);
double scalbn(double, int);
float scalbnf(float, int);
int ilogb(double);
int ilogbf(float);
long lrint(double);
long lrintf(float);
long long llrint(double);
long long llrintf(float);
long lround(double);
long lroundf(float);
long long llround(double);
long long llroundf(float);
double jn(int, double);
double yn(int, double);
double nan(const char*);
float nanf(const char*);
int abs(int);
long labs(long);
long long llabs(long long);
}

CUDASIM_QUIET float fma(float x, float y, float z) { return fmaf(x, y, z); }
CUDASIM_QUIET float frexp(float x, int* e) { return frexpf(x, e); }
CUDASIM_QUIET float ldexp(float x, int e) { return ldexpf(x, e); }
CUDASIM_QUIET float modf(float x, float* whole) { return modff(x, whole); }
CUDASIM_QUIET float remquo(float x, float y, int* q) { return remquof(x, y, q); }
CUDASIM_QUIET float scalbn(float x, int e) { return scalbnf(x, e); }
CUDASIM_QUIET int ilogb(float x) { return ilogbf(x); }
CUDASIM_QUIET long lrint(float x) { return lrintf(x); }
CUDASIM_QUIET long long llrint(float x) { return llrintf(x); }
CUDASIM_QUIET long lround(float x) { return lroundf(x); }
CUDASIM_QUIET long long llround(float x) { return llroundf(x); }
CUDASIM_QUIET float jnf(int n, float x) { return static_cast<float>(jn(n, x)); }
CUDASIM_QUIET float ynf(int n, float x) { return static_cast<float>(yn(n, x)); }

CUDASIM_QUIET double fdivide(double x, double y) { return x / y; }
CUDASIM_QUIET float fdividef(float x, float y) { return x / y; }
CUDASIM_QUIET double norm3d(double x, double y, double z) { return hypot(hypot(x, y), z); }
CUDASIM_QUIET float norm3df(float x, float y, float z) {
  return static_cast<float>(norm3d(x, y, z));
}
CUDASIM_QUIET void sincos(double x, double* s, double* c) { *s = sin(x); *c = cos(x); }
CUDASIM_QUIET void sincosf(float x, float* s, float* c) { *s = sinf(x); *c = cosf(x); }
CUDASIM_QUIET void sincos(float x, float* s, float* c) { sincosf(x, s, c); }
CUDASIM_QUIET void sincospi(double x, double* s, double* c) { *s = sinpi(x); *c = cospi(x); }
CUDASIM_QUIET void sincospif(float x, float* s, float* c) { *s = sinpif(x); *c = cospif(x); }
CUDASIM_QUIET float saturatef(float x) { return x > 0.0f ? (x < 1.0f ? x : 1.0f) : 0.0f; }
CUDASIM_QUIET float __saturatef(float x) { return saturatef(x); }

#define CUDASIM_CLASSIFY(T)                                                 \
  CUDASIM_QUIET bool isnan(T x) { return __builtin_isnan(x); }              \
  CUDASIM_QUIET bool isinf(T x) { return __builtin_isinf(x); }              \
  CUDASIM_QUIET bool isfinite(T x) { return __builtin_isfinite(x); }        \
  CUDASIM_QUIET bool signbit(T x) { return __builtin_signbit(x); }
CUDASIM_CLASSIFY(float)
CUDASIM_CLASSIFY(double)
#undef CUDASIM_CLASSIFY

// A whole number is a double; of two numbers of different types the wider decides.
namespace cudasim {
template <class T> struct Whole {};
#define CUDASIM_WHOLE(T) template <> struct Whole<T> { typedef double type; };
CUDASIM_WHOLE(int) CUDASIM_WHOLE(unsigned) CUDASIM_WHOLE(long) CUDASIM_WHOLE(unsigned long)
CUDASIM_WHOLE(long long) CUDASIM_WHOLE(unsigned long long)
#undef CUDASIM_WHOLE
}  // namespace cudasim
#define CUDASIM_OF_WHOLE(name) \
  template <class T> CUDASIM_QUIET typename cudasim::Whole<T>::type name(T x) { return name((double)x); }
CUDASIM_OF_WHOLE(sqrt) CUDASIM_OF_WHOLE(exp) CUDASIM_OF_WHOLE(log) CUDASIM_OF_WHOLE(sin)
CUDASIM_OF_WHOLE(cos) CUDASIM_OF_WHOLE(floor) CUDASIM_OF_WHOLE(ceil) CUDASIM_OF_WHOLE(fabs)
#undef CUDASIM_OF_WHOLE
CUDASIM_QUIET double pow(double x, int y) { return pow(x, static_cast<double>(y)); }
CUDASIM_QUIET double pow(float x, int y) {
  return pow(static_cast<double>(x), static_cast<double>(y));
}

// ---- extremes and absolute values

#define CUDASIM_EXTREMES(A, B, T)                                                         \
  CUDASIM_QUIET T min(A a, B b) { return static_cast<T>(a) < static_cast<T>(b)            \
                                             ? static_cast<T>(a) : static_cast<T>(b); }   \
  CUDASIM_QUIET T max(A a, B b) { return static_cast<T>(a) > static_cast<T>(b)            \
                                             ? static_cast<T>(a) : static_cast<T>(b); }
#define CUDASIM_WIDTH(T)                     \
  CUDASIM_EXTREMES(T, T, T)                  \
  CUDASIM_EXTREMES(unsigned T, unsigned T, unsigned T)  \
  CUDASIM_EXTREMES(T, unsigned T, unsigned T) \
  CUDASIM_EXTREMES(unsigned T, T, unsigned T)
CUDASIM_WIDTH(int)
CUDASIM_WIDTH(long)
CUDASIM_WIDTH(long long)
#undef CUDASIM_WIDTH
#undef CUDASIM_EXTREMES
CUDASIM_QUIET float min(float a, float b) { return fminf(a, b); }
CUDASIM_QUIET float max(float a, float b) { return fmaxf(a, b); }
CUDASIM_QUIET double min(double a, double b) { return fmin(a, b); }
CUDASIM_QUIET double max(double a, double b) { return fmax(a, b); }
CUDASIM_QUIET double min(float a, double b) { return fmin(a, b); }
CUDASIM_QUIET double max(float a, double b) { return fmax(a, b); }
CUDASIM_QUIET double min(double a, float b) { return fmin(a, b); }
CUDASIM_QUIET double max(double a, float b) { return fmax(a, b); }
CUDASIM_QUIET long abs(long x) { return labs(x); }
CUDASIM_QUIET long long abs(long long x) { return llabs(x); }
CUDASIM_QUIET float abs(float x) { return fabsf(x); }
CUDASIM_QUIET double abs(double x) { return fabs(x); }

// ---- intrinsics: one rounding, and fast versions (here as good as the others)

#define CUDASIM_ARITHMETIC(prefix, T)                                                  \
  CUDASIM_QUIET T __##prefix##add_rn(T x, T y) { return x + y; }                       \
  CUDASIM_QUIET T __##prefix##sub_rn(T x, T y) { return x - y; }                       \
  CUDASIM_QUIET T __##prefix##mul_rn(T x, T y) { return x * y; }                       \
  CUDASIM_QUIET T __##prefix##div_rn(T x, T y) { return x / y; }                       \
  CUDASIM_QUIET T __##prefix##rcp_rn(T x) { return T(1) / x; }                         \
  CUDASIM_QUIET T __##prefix##sqrt_rn(T x) { return sqrt(x); }
CUDASIM_ARITHMETIC(f, float)
CUDASIM_ARITHMETIC(d, double)
#undef CUDASIM_ARITHMETIC
CUDASIM_QUIET float __fmaf_rn(float x, float y, float z) { return fmaf(x, y, z); }
CUDASIM_QUIET double __fma_rn(double x, double y, double z) { return fma(x, y, z); }
CUDASIM_QUIET float __frsqrt_rn(float x) { return rsqrtf(x); }
CUDASIM_QUIET float __fdividef(float x, float y) { return x / y; }
CUDASIM_QUIET float __expf(float x) { return expf(x); }
CUDASIM_QUIET float __exp10f(float x) { return exp10f(x); }
CUDASIM_QUIET float __logf(float x) { return logf(x); }
CUDASIM_QUIET float __log2f(float x) { return log2f(x); }
CUDASIM_QUIET float __log10f(float x) { return log10f(x); }
CUDASIM_QUIET float __sinf(float x) { return sinf(x); }
CUDASIM_QUIET float __cosf(float x) { return cosf(x); }
CUDASIM_QUIET float __tanf(float x) { return tanf(x); }
CUDASIM_QUIET float __powf(float x, float y) { return powf(x, y); }
CUDASIM_QUIET void __sincosf(float x, float* s, float* c) { sincosf(x, s, c); }

// ---- conversions: on a GPU they keep to the range, and a NaN is 0

namespace cudasim {
template <class To, class From> CUDASIM_QUIET To saturate(From x) {
  const bool is_signed = To(-1) < To(0);
  const int bits = 8 * static_cast<int>(sizeof(To)) - is_signed;
  const From bound = static_cast<From>(1ull << (bits - 1)) * From(2);
  const To most = is_signed ? static_cast<To>(~(1ull << bits)) : static_cast<To>(-1);
  if (x != x) return 0;
  if (x >= bound) return most;
  if (is_signed ? x < -bound : x < From(0)) return static_cast<To>(~most);
  return static_cast<To>(x);
}
}  // namespace cudasim
#define CUDASIM_ROUNDINGS(From, from, To, to)                                                     \
  CUDASIM_QUIET To __##from##2##to##_rz(From x) { return cudasim::saturate<To>(trunc(x)); }       \
  CUDASIM_QUIET To __##from##2##to##_rn(From x) { return cudasim::saturate<To>(nearbyint(x)); }   \
  CUDASIM_QUIET To __##from##2##to##_rd(From x) { return cudasim::saturate<To>(floor(x)); }       \
  CUDASIM_QUIET To __##from##2##to##_ru(From x) { return cudasim::saturate<To>(ceil(x)); }        \
  CUDASIM_QUIET From __##to##2##from##_rn(To x) { return static_cast<From>(x); }
#define CUDASIM_TO_INTEGERS(From, from)                             \
  CUDASIM_ROUNDINGS(From, from, int, int)                           \
  CUDASIM_ROUNDINGS(From, from, unsigned, uint)                     \
  CUDASIM_ROUNDINGS(From, from, long long, ll)                      \
  CUDASIM_ROUNDINGS(From, from, unsigned long long, ull)
CUDASIM_TO_INTEGERS(float, float)
CUDASIM_TO_INTEGERS(double, double)
#undef CUDASIM_TO_INTEGERS
#undef CUDASIM_ROUNDINGS
CUDASIM_QUIET float __double2float_rn(double x) { return static_cast<float>(x); }

#undef CUDASIM_UNARY
#undef CUDASIM_BINARY
#undef CUDASIM_OWN
#undef CUDASIM_OWN_BINARY
