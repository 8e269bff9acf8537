// ---- types: 16-bit floats, wide vectors, bit casts, shared memory

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

template <class T> struct tj_unsigned_of { typedef T type; };
template <> struct tj_unsigned_of<signed char> { typedef unsigned char type; };
template <> struct tj_unsigned_of<short> { typedef unsigned short type; };
template <> struct tj_unsigned_of<int> { typedef unsigned int type; };
template <> struct tj_unsigned_of<long long> { typedef unsigned long long type; };
template <class T> using tj_unsigned = typename tj_unsigned_of<T>::type;

template <class T> constexpr bool tj_is_signed = T(-1) < T(0);
template <class T> constexpr bool tj_is_float = T(0.5) != T(0);
template <> constexpr bool tj_is_float<bool> = false;

// The extremes that no value exceeds: infinities, or the least and greatest integers.
template <class T> TJ_DEVICE T tj_greatest() {
  return tj_is_signed<T> ? T(tj_unsigned<T>(-1) >> 1) : T(-1);
}
template <class T> TJ_DEVICE T tj_least() { return T(~tj_greatest<T>()); }
template <> TJ_DEVICE bool tj_greatest() { return true; }
template <> TJ_DEVICE bool tj_least() { return false; }
template <> TJ_DEVICE float tj_greatest() { return __int_as_float(0x7f800000); }
template <> TJ_DEVICE float tj_least() { return -__int_as_float(0x7f800000); }
template <> TJ_DEVICE double tj_greatest() { return __longlong_as_double(0x7ff0000000000000LL); }
template <> TJ_DEVICE double tj_least() { return -__longlong_as_double(0x7ff0000000000000LL); }
