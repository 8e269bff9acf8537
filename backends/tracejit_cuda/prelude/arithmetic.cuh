// ---- arithmetic: integers that wrap, division, shifts, extremes

template <class T> TJ_DEVICE bool tj_negative(T x) {
  if constexpr (tj_is_signed<T>) return x < T(0);
  else return false;
}

// C++ leaves the overflow of signed integers undefined; that of words wraps.
template <class T> TJ_DEVICE T tj_add(T x, T y) {
  if constexpr (tj_is_float<T>) return x + y;
  else if constexpr (tj_is_bool<T>) return x | y;
  else return T(tj_word<T>(x) + tj_word<T>(y));
}
template <class T> TJ_DEVICE T tj_sub(T x, T y) { return T(tj_word<T>(x) - tj_word<T>(y)); }
template <class T> TJ_DEVICE T tj_mul(T x, T y) {
  if constexpr (tj_is_float<T>) return x * y;
  else if constexpr (tj_is_bool<T>) return x & y;
  else return T(tj_word<T>(x) * tj_word<T>(y));
}
template <class T> TJ_DEVICE T tj_neg(T x) { return T(tj_word<T>(0) - tj_word<T>(x)); }
template <class T> TJ_DEVICE T tj_not(T x) { return T(~x); }
template <class T> TJ_DEVICE T tj_abs(T x) { return tj_negative<T>(x) ? tj_neg<T>(x) : x; }

// A nan is greater and less than all else: CUDA's fmax and fmin would drop it.
template <class T> TJ_DEVICE T tj_max(T x, T y) { return x > y || x != x ? x : y; }
template <class T> TJ_DEVICE T tj_min(T x, T y) { return x < y || x != x ? x : y; }

template <class T> TJ_DEVICE bool tj_isnan(T x) { return x != x; }
template <class T> TJ_DEVICE bool tj_isinf(T x) {
  if constexpr (tj_is_float<T>) return x == tj_greatest<T>() || x == tj_least<T>();
  else return false;
}
template <class T> TJ_DEVICE bool tj_isfinite(T x) {
  if constexpr (tj_is_float<T>) return x > tj_least<T>() && x < tj_greatest<T>();
  else return true;
}

// The sign of a zero is +0.0, that of a nan is nan.
template <class T> TJ_DEVICE T tj_sign(T x) {
  return x > T(0) ? T(1) : tj_negative<T>(x) ? T(-1) : tj_add<T>(x, T(0));
}

// Division truncates.  That of integers by 0 gives 0; the least one divided by -1 is itself, where
// the remainder is 0: neither quotient is left to the hardware.
template <class T> TJ_DEVICE T tj_quot(T x, T y) {
  if constexpr (tj_is_float<T>) return trunc(x / y);
  else {
    if (y == T(0)) return T(0);
    if (tj_is_signed<T> && y == T(-1)) return tj_neg<T>(x);
    return T(x / y);
  }
}
template <class T> TJ_DEVICE T tj_rem(T x, T y) {
  if (y == T(0) || (tj_is_signed<T> && y == T(-1))) return T(0);
  return T(x % y);
}

// Shifts by what is no bit of the word, negative amounts too, shift all bits out.
template <class T> TJ_DEVICE bool tj_shifts(T amount) {
  return tj_unsigned<T>(amount) < tj_unsigned<T>(8 * sizeof(T));
}
template <class T> TJ_DEVICE T tj_shl(T x, T n) {
  return tj_shifts<T>(n) ? T(tj_word<T>(x) << int(n)) : T(0);
}
template <class T> TJ_DEVICE T tj_shr_logical(T x, T n) {
  return tj_shifts<T>(n) ? T(tj_unsigned<T>(x) >> int(n)) : T(0);
}
template <class T> TJ_DEVICE T tj_shr_arithmetic(T x, T n) {
  return tj_shifts<T>(n) ? T(x >> int(n)) : tj_negative<T>(x) ? T(-1) : T(0);
}

template <class T> TJ_DEVICE T tj_popcount(T x) {
  if constexpr (sizeof(T) == 8) return T(__popcll((unsigned long long)x));
  else return T(__popc(tj_unsigned<T>(x)));
}
template <class T> TJ_DEVICE T tj_clz(T x) {
  if constexpr (sizeof(T) == 8) return T(__clzll((long long)x));
  else return T(__clz(int((unsigned int)tj_unsigned<T>(x))) - (32 - 8 * int(sizeof(T))));
}
