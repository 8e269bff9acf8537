// ---- native: what kernels of library calls share

// Between memory and what is computed in.
template <class T> struct tj_computed {
  typedef T type;
  static __device__ __forceinline__ T in(T x) { return x; }
  static __device__ __forceinline__ T out(T x) { return x; }
};
template <> struct tj_computed<tj_half> {
  typedef float type;
  static __device__ __forceinline__ float in(tj_half x) { return tj_widen(x); }
  static __device__ __forceinline__ tj_half out(float x) { return tj_to_half(x); }
};
template <> struct tj_computed<tj_bfloat16> {
  typedef float type;
  static __device__ __forceinline__ float in(tj_bfloat16 x) { return tj_widen(x); }
  static __device__ __forceinline__ tj_bfloat16 out(float x) { return tj_to_bfloat16(x); }
};
template <class T> struct tj_computed_as_int {  // registers are words
  typedef int type;
  static __device__ __forceinline__ int in(T x) { return (int)x; }
  static __device__ __forceinline__ T out(int x) { return (T)x; }
};
template <> struct tj_computed<bool> : tj_computed_as_int<bool> {};
template <> struct tj_computed<signed char> : tj_computed_as_int<signed char> {};
template <> struct tj_computed<unsigned char> : tj_computed_as_int<unsigned char> {};
template <> struct tj_computed<short> : tj_computed_as_int<short> {};
template <> struct tj_computed<unsigned short> : tj_computed_as_int<unsigned short> {};
template <class T> using tj_computing = typename tj_computed<T>::type;

// Division by a number that the host knows: of 64 bits, it would be a call that costs registers.
struct tj_divisor {
  long long number, inverse;  // inverse: 2^64 / number, at most 2^64 - 1, rounded down
  __device__ __forceinline__ long long divide(long long n, long long& remainder) const {
#ifdef __CUDASIM__
    long long q = (long long)((unsigned __int128)n * (unsigned long long)inverse >> 64);
#else
    long long q = (long long)__umul64hi((unsigned long long)n, (unsigned long long)inverse);
#endif
    remainder = n - q * number;  // at most one too few
    if (remainder >= number) {
      remainder -= number;
      ++q;
    }
    return q;
  }
};
