// ---- conversions: floats to integers, and 16-bit floats

// Truncate to an integer of 32 or 64 bits; what does not fit, and nan, is the least one.
template <class Word, class T> TJ_DEVICE Word tj_fit(T x) {
  const T limit = sizeof(Word) == 8 ? T(0x1p63) : T(0x1p31);
  return x >= -limit && x < limit ? Word(x) : tj_least<Word>();
}

// As NumPy on x86-64: through an integer that holds all of the target's, then the low bits.
template <class To, class T> TJ_DEVICE To tj_truncate(T x) {
  if constexpr (tj_is_same<To, unsigned long long>) {
    const T half = T(0x1p63);
    if (!(x >= half)) return To(tj_fit<long long>(x));
    return To(tj_fit<long long>(x - half)) ^ (1ULL << 63);
  } else if constexpr (sizeof(To) == 8 || tj_is_same<To, unsigned int>) {
    return To(tj_fit<long long>(x));
  } else {
    return To(tj_fit<int>(x));
  }
}

TJ_DEVICE float tj_widen(tj_bfloat16 x) { return tj_bitcast<float>((unsigned int)x.bits << 16); }

TJ_DEVICE float tj_widen(tj_half x) {
#ifdef __CUDACC_RTC__
  float y;
  asm("cvt.f32.f16 %0, %1;" : "=f"(y) : "h"(x.bits));
  return y;
#else
  const unsigned int size = x.bits & 0x7fffu, sign = (x.bits & 0x8000u) << 16;
  // The exponent's bias is 112 more in float; a product by a power of two is exact.
  const float scaled = tj_bitcast<float>(size << 13) * 0x1p112f;
  const unsigned int bits =
      size < 0x7c00u ? tj_bitcast<unsigned int>(scaled) : 0x7f800000u | size << 13;
  return tj_bitcast<float>(bits | sign);
#endif
}

// To the nearest, ties to even; a nan stays one.
TJ_DEVICE tj_bfloat16 tj_to_bfloat16(float x) {
  tj_bfloat16 y;
#if defined(__CUDACC_RTC__) && __CUDA_ARCH__ >= 800
  asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(y.bits) : "f"(x));
#else
  const unsigned int bits = tj_bitcast<unsigned int>(x);
  const unsigned int rounded = bits + 0x7fffu + (bits >> 16 & 1u);
  y.bits = (unsigned short)((x == x ? rounded : bits | 0x400000u) >> 16);
#endif
  return y;
}

TJ_DEVICE tj_half tj_to_half(float x) {
  tj_half y;
#ifdef __CUDACC_RTC__
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(y.bits) : "f"(x));
#else
  const unsigned int word = tj_bitcast<unsigned int>(x);
  const unsigned int size = word & 0x7fffffffu;
  unsigned int bits;
  if (x != x) {
    bits = 0x7e00u | (size >> 13 & 0x3ffu);
  } else if (size >= 0x47800000u) {  // 65536 and more
    bits = 0x7c00u;
  } else if (size < 0x38800000u) {  // subnormal: a sum whose last place is that of the result
    bits = tj_bitcast<unsigned int>(tj_bitcast<float>(size) + 0.5f) - 0x3f000000u;
  } else {
    bits = (size - (112u << 23) + 0xfffu + (size >> 13 & 1u)) >> 13;
  }
  y.bits = (unsigned short)(bits | (word >> 16 & 0x8000u));
#endif
  return y;
}

TJ_DEVICE tj_half tj_to_half(double x) {
#ifdef __CUDACC_RTC__
  tj_half y;
  asm("cvt.rn.f16.f64 %0, %1;" : "=h"(y.bits) : "d"(x));
  return y;
#else
  // Round to odd first, so that rounding once more rounds once (Boldo and Melquiond, 2005).
  const float near = (float)x;
  unsigned int bits = tj_bitcast<unsigned int>(near);
  if (x == x && (double)near != x) {
    bits -= fabs((double)near) > fabs(x);
    bits |= 1u;
  }
  return tj_to_half(tj_bitcast<float>(bits));
#endif
}
