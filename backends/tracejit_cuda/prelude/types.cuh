// ---- types: 16-bit floats, wide vectors, bit casts, shared memory

#ifdef __CUDACC_RTC__
#pragma nv_diag_suppress 177  // a source uses some of all this
#endif

#define TJ_DEVICE static __device__ __forceinline__

// float16 and bfloat16 as they lie in memory; they are converted, never computed with.
struct tj_half { unsigned short bits; };
struct tj_bfloat16 { unsigned short bits; };

// N neighbours, loaded or stored at once.
template <class T, int N> struct alignas(sizeof(T) * N) tj_vec { T v[N]; };

#ifdef __CUDASIM__
#define TJ_SHARED(type, name) CUDA_DYN_SHARED(type, name)
#else
#define TJ_SHARED(type, name)                                   \
  extern __shared__ __align__(16) unsigned char tj_dynamic[];   \
  type* const name = reinterpret_cast<type*>(tj_dynamic)
#endif

template <class To, class From> TJ_DEVICE To tj_bitcast(From x) {
  static_assert(sizeof(To) == sizeof(From), "bit casts keep the width");
  To y;
  memcpy(&y, &x, sizeof y);
  return y;
}

// What NVRTC has no headers for.
template <class A, class B> constexpr bool tj_is_same = false;
template <class A> constexpr bool tj_is_same<A, A> = true;
template <class T> constexpr bool tj_is_bool = tj_is_same<T, bool>;
template <class T> constexpr bool tj_is_float = tj_is_same<T, float> || tj_is_same<T, double>;
template <class T> constexpr bool tj_is_signed = T(-1) < T(0);

template <class T> struct tj_unsigned_of { typedef T type; };
template <> struct tj_unsigned_of<signed char> { typedef unsigned char type; };
template <> struct tj_unsigned_of<short> { typedef unsigned short type; };
template <> struct tj_unsigned_of<int> { typedef unsigned int type; };
template <> struct tj_unsigned_of<long long> { typedef unsigned long long type; };
template <class T> using tj_unsigned = typename tj_unsigned_of<T>::type;

// An unsigned integer that holds T and is not promoted to a signed one.
template <bool LONG> struct tj_word_of { typedef unsigned int type; };
template <> struct tj_word_of<true> { typedef unsigned long long type; };
template <class T> using tj_word = typename tj_word_of<sizeof(T) == 8>::type;

template <class T> TJ_DEVICE T tj_nan() { return T(__int_as_float(0x7fc00000)); }

// No value is above the greatest or below the least: infinities, or the ends of the integers.
template <class T> TJ_DEVICE T tj_greatest() {
  if constexpr (tj_is_float<T>) return T(__int_as_float(0x7f800000));
  else if constexpr (tj_is_bool<T>) return true;
  else if constexpr (tj_is_signed<T>) return T(tj_unsigned<T>(-1) >> 1);
  else return T(-1);
}
template <class T> TJ_DEVICE T tj_least() {
  if constexpr (tj_is_float<T>) return -tj_greatest<T>();
  else if constexpr (tj_is_bool<T>) return false;
  else return T(~tj_greatest<T>());
}
