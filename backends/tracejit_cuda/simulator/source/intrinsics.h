// intrinsics.h: barriers, warp primitives, fences, atomics, loads and stores with hints, bits.
//
// The overloads are those of CUDA, so that a call with another type is an error here as well.

#pragma once
#include "language.h"

// ---- the block

CUDASIM_QUIET void __syncthreads(int line = CUDASIM_LINE) {
  cudasim_barrier(line, CUDASIM_NO_VOTE, 0);
}
CUDASIM_QUIET int __syncthreads_count(int predicate, int line = CUDASIM_LINE) {
  return cudasim_barrier(line, CUDASIM_COUNT, predicate);
}
CUDASIM_QUIET int __syncthreads_and(int predicate, int line = CUDASIM_LINE) {
  return cudasim_barrier(line, CUDASIM_AND, predicate);
}
CUDASIM_QUIET int __syncthreads_or(int predicate, int line = CUDASIM_LINE) {
  return cudasim_barrier(line, CUDASIM_OR, predicate);
}

CUDASIM_QUIET void __threadfence_block() { cudasim_fence(0); }
CUDASIM_QUIET void __threadfence() { cudasim_fence(1); }
CUDASIM_QUIET void __threadfence_system() { cudasim_fence(1); }
CUDASIM_QUIET void __nanosleep(unsigned, int line = CUDASIM_LINE) { cudasim_sleep(line); }

// ---- the warp

namespace cudasim {

CUDASIM_QUIET int lane() { return static_cast<int>(cudasim_where.thread.x & 31u); }

// The value of a lane; of one that did not come, the bits of a NaN.
CUDASIM_QUIET unsigned long long from_lane(const cudasim_Exchange* exchange, int source) {
  return exchange->present >> source & 1u ? exchange->value[source] : ~0ull;
}

template <class T>
CUDASIM_QUIET T shuffle(int primitive, unsigned mask, T value, int operand, int width, int line) {
  const cudasim_Exchange* exchange = cudasim_meet(mask, widen(value), primitive, line);
  const int self = lane(), first = self & ~(width - 1), end = first + width;
  int source = self;
  switch (primitive) {
    case CUDASIM_SHFL: source = first | (operand & (width - 1)); break;
    case CUDASIM_SHFL_UP: source = self - operand; break;
    case CUDASIM_SHFL_DOWN: source = self + operand; break;
    default: source = self ^ operand; break;
  }
  // Past its segment a lane gets its own value; an exchange may reach segments before its own.
  const bool inside = primitive == CUDASIM_SHFL_XOR ? source < end : source >= first && source < end;
  const T result = inside ? narrow<T>(from_lane(exchange, source)) : value;
  cudasim_leave(exchange);
  return result;
}

CUDASIM_QUIET unsigned ballot(unsigned mask, bool predicate, int line) {
  const cudasim_Exchange* exchange = cudasim_meet(mask, predicate, CUDASIM_BALLOT, line);
  unsigned result = 0;
  for (int i = 0; i < 32; i++)
    if (exchange->present >> i & 1u && exchange->value[i]) result |= 1u << i;
  cudasim_leave(exchange);
  return result;
}

CUDASIM_QUIET unsigned match(unsigned mask, unsigned long long value, int line) {
  const cudasim_Exchange* exchange = cudasim_meet(mask, value, CUDASIM_MATCH, line);
  unsigned result = 0;
  for (int i = 0; i < 32; i++)
    if (exchange->present >> i & 1u && exchange->value[i] == value) result |= 1u << i;
  cudasim_leave(exchange);
  return result;
}

template <class T, class Combine>
CUDASIM_QUIET T reduce(unsigned mask, T value, int line, Combine combine) {
  const cudasim_Exchange* exchange = cudasim_meet(mask, widen(value), CUDASIM_REDUCE, line);
  bool first = true;
  T result = value;
  for (int i = 0; i < 32; i++) {
    if (!(exchange->present >> i & 1u)) continue;
    const T other = narrow<T>(exchange->value[i]);
    result = first ? other : combine(result, other);
    first = false;
  }
  cudasim_leave(exchange);
  return result;
}

}  // namespace cudasim

CUDASIM_QUIET void __syncwarp(unsigned mask = 0xffffffffu, int line = CUDASIM_LINE) {
  cudasim_leave(cudasim_meet(mask, 0, CUDASIM_SYNCWARP, line));
}
CUDASIM_QUIET unsigned __activemask() { return cudasim_activemask(); }
CUDASIM_QUIET unsigned __ballot_sync(unsigned mask, int predicate, int line = CUDASIM_LINE) {
  return cudasim::ballot(mask, predicate != 0, line);
}
CUDASIM_QUIET int __any_sync(unsigned mask, int predicate, int line = CUDASIM_LINE) {
  return cudasim::ballot(mask, predicate != 0, line) != 0;
}
CUDASIM_QUIET int __all_sync(unsigned mask, int predicate, int line = CUDASIM_LINE) {
  return cudasim::ballot(mask, predicate == 0, line) == 0;
}

#define CUDASIM_SHUFFLES(T)                                                                   \
  CUDASIM_QUIET T __shfl_sync(unsigned mask, T value, int source, int width = 32,             \
                              int line = CUDASIM_LINE) {                                      \
    return cudasim::shuffle(CUDASIM_SHFL, mask, value, source, width, line);                  \
  }                                                                                           \
  CUDASIM_QUIET T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32,      \
                                 int line = CUDASIM_LINE) {                                   \
    return cudasim::shuffle(CUDASIM_SHFL_UP, mask, value, static_cast<int>(delta), width,     \
                            line);                                                            \
  }                                                                                           \
  CUDASIM_QUIET T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32,    \
                                   int line = CUDASIM_LINE) {                                 \
    return cudasim::shuffle(CUDASIM_SHFL_DOWN, mask, value, static_cast<int>(delta), width,   \
                            line);                                                            \
  }                                                                                           \
  CUDASIM_QUIET T __shfl_xor_sync(unsigned mask, T value, int lanes, int width = 32,          \
                                  int line = CUDASIM_LINE) {                                  \
    return cudasim::shuffle(CUDASIM_SHFL_XOR, mask, value, lanes, width, line);               \
  }
#define CUDASIM_MATCHES(T)                                                                    \
  CUDASIM_QUIET unsigned __match_any_sync(unsigned mask, T value, int line = CUDASIM_LINE) {  \
    return cudasim::match(mask, cudasim::widen(value), line);                                 \
  }                                                                                           \
  CUDASIM_QUIET unsigned __match_all_sync(unsigned mask, T value, int* all,                   \
                                          int line = CUDASIM_LINE) {                          \
    const unsigned same = cudasim::match(mask, cudasim::widen(value), line);                  \
    *all = same == (mask & cudasim_activemask());                                             \
    return *all ? mask : 0u;                                                                  \
  }
#define CUDASIM_WORDS(T) CUDASIM_SHUFFLES(T) CUDASIM_MATCHES(T)
CUDASIM_WORDS(int)
CUDASIM_WORDS(unsigned)
CUDASIM_WORDS(long)
CUDASIM_WORDS(unsigned long)
CUDASIM_WORDS(long long)
CUDASIM_WORDS(unsigned long long)
CUDASIM_WORDS(float)
CUDASIM_WORDS(double)
#undef CUDASIM_WORDS
#undef CUDASIM_MATCHES
#undef CUDASIM_SHUFFLES

#define CUDASIM_REDUCE_SYNC(name, T, expression)                                         \
  CUDASIM_QUIET T __reduce_##name##_sync(unsigned mask, T value, int line = CUDASIM_LINE) { \
    return cudasim::reduce(mask, value, line, [](T a, T b) -> T { return expression; });    \
  }
CUDASIM_REDUCE_SYNC(add, unsigned, a + b)
CUDASIM_REDUCE_SYNC(min, unsigned, a < b ? a : b)
CUDASIM_REDUCE_SYNC(max, unsigned, a > b ? a : b)
CUDASIM_REDUCE_SYNC(add, int, static_cast<int>(static_cast<unsigned>(a) + static_cast<unsigned>(b)))
CUDASIM_REDUCE_SYNC(min, int, a < b ? a : b)
CUDASIM_REDUCE_SYNC(max, int, a > b ? a : b)
CUDASIM_REDUCE_SYNC(and, unsigned, a & b)
CUDASIM_REDUCE_SYNC(or, unsigned, a | b)
CUDASIM_REDUCE_SYNC(xor, unsigned, a ^ b)
#undef CUDASIM_REDUCE_SYNC

// ---- atomics

namespace cudasim {

// One thread runs at a time, so that a plain read and write is atomic.  A thread that does nothing
// but atomics may wait for another: now and then it lets the others run.
template <class T, class Update>
CUDASIM_QUIET T atomic(T* address, int line, Update update) {
#ifdef CUDASIM_CHECK
  cudasim_check_atomic(address, sizeof(T), line);
#else
  (void)line;
#endif
  const T old = *const_cast<volatile T*>(address);
  *const_cast<volatile T*>(address) = update(old);
  if (++cudasim_atomics > 4096) cudasim_yield();
  return old;
}

template <class T> struct Unsigned { typedef T type; };
template <> struct Unsigned<int> { typedef unsigned type; };
template <> struct Unsigned<long long> { typedef unsigned long long type; };

// Integers wrap.
template <class T> CUDASIM_QUIET T plus(T a, T b) {
  typedef typename Unsigned<T>::type U;
  return static_cast<T>(static_cast<U>(a) + static_cast<U>(b));
}
template <class T> CUDASIM_QUIET T minus(T a, T b) {
  typedef typename Unsigned<T>::type U;
  return static_cast<T>(static_cast<U>(a) - static_cast<U>(b));
}

}  // namespace cudasim

#define CUDASIM_ATOMIC(name, T, expression)                                              \
  CUDASIM_QUIET T name(T* address, T value, int line = CUDASIM_LINE) {                   \
    return cudasim::atomic(address, line, [=](T old) -> T { return expression; });       \
  }
#define CUDASIM_INTEGERS(T)                                   \
  CUDASIM_ATOMIC(atomicMin, T, value < old ? value : old)     \
  CUDASIM_ATOMIC(atomicMax, T, value > old ? value : old)     \
  CUDASIM_ATOMIC(atomicAnd, T, static_cast<T>(old & value))   \
  CUDASIM_ATOMIC(atomicOr, T, static_cast<T>(old | value))    \
  CUDASIM_ATOMIC(atomicXor, T, static_cast<T>(old ^ value))
#define CUDASIM_CAS(T)                                                                   \
  CUDASIM_QUIET T atomicCAS(T* address, T compare, T value, int line = CUDASIM_LINE) {   \
    return cudasim::atomic(address, line,                                                \
                           [=](T old) -> T { return old == compare ? value : old; });    \
  }
CUDASIM_INTEGERS(int)
CUDASIM_INTEGERS(unsigned)
CUDASIM_INTEGERS(long long)
CUDASIM_INTEGERS(unsigned long long)
CUDASIM_ATOMIC(atomicAdd, int, cudasim::plus(old, value))
CUDASIM_ATOMIC(atomicAdd, unsigned, old + value)
CUDASIM_ATOMIC(atomicAdd, unsigned long long, old + value)
CUDASIM_ATOMIC(atomicAdd, float, old + value)
CUDASIM_ATOMIC(atomicAdd, double, old + value)
CUDASIM_ATOMIC(atomicSub, int, cudasim::minus(old, value))
CUDASIM_ATOMIC(atomicSub, unsigned, old - value)
CUDASIM_ATOMIC(atomicExch, int, value)
CUDASIM_ATOMIC(atomicExch, unsigned, value)
CUDASIM_ATOMIC(atomicExch, unsigned long long, value)
CUDASIM_ATOMIC(atomicExch, float, value)
CUDASIM_ATOMIC(atomicInc, unsigned, old >= value ? 0u : old + 1u)
CUDASIM_ATOMIC(atomicDec, unsigned, old == 0u || old > value ? value : old - 1u)
CUDASIM_CAS(int)
CUDASIM_CAS(unsigned)
CUDASIM_CAS(unsigned long long)
CUDASIM_CAS(unsigned short)
#undef CUDASIM_CAS
#undef CUDASIM_INTEGERS
#undef CUDASIM_ATOMIC

// ---- loads and stores with hints for caches

template <class T> static inline T __ldg(const T* address) { return *address; }
template <class T> static inline T __ldca(const T* address) { return *address; }
template <class T> static inline T __ldcg(const T* address) { return *address; }
template <class T> static inline T __ldcs(const T* address) { return *address; }
template <class T> static inline T __ldlu(const T* address) { return *address; }
template <class T> static inline T __ldcv(const T* address) {
  return *const_cast<const volatile T*>(address);
}
template <class T> static inline void __stwb(T* address, T value) { *address = value; }
template <class T> static inline void __stcg(T* address, T value) { *address = value; }
template <class T> static inline void __stcs(T* address, T value) { *address = value; }
template <class T> static inline void __stwt(T* address, T value) { *address = value; }

// ---- bits

#define CUDASIM_BITS(name, From, To) \
  CUDASIM_QUIET To name(From x) { return cudasim::bits<To>(x); }
CUDASIM_BITS(__int_as_float, int, float)
CUDASIM_BITS(__float_as_int, float, int)
CUDASIM_BITS(__uint_as_float, unsigned, float)
CUDASIM_BITS(__float_as_uint, float, unsigned)
CUDASIM_BITS(__longlong_as_double, long long, double)
CUDASIM_BITS(__double_as_longlong, double, long long)
#undef CUDASIM_BITS

CUDASIM_QUIET int __double2hiint(double x) {
  return static_cast<int>(cudasim::bits<unsigned long long>(x) >> 32);
}
CUDASIM_QUIET int __double2loint(double x) {
  return static_cast<int>(cudasim::bits<unsigned long long>(x));
}
CUDASIM_QUIET double __hiloint2double(int high, int low) {
  return cudasim::bits<double>(static_cast<unsigned long long>(static_cast<unsigned>(high)) << 32 |
                               static_cast<unsigned>(low));
}

CUDASIM_QUIET int __popc(unsigned x) { return __builtin_popcount(x); }
CUDASIM_QUIET int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
CUDASIM_QUIET int __clz(int x) { return x ? __builtin_clz(static_cast<unsigned>(x)) : 32; }
CUDASIM_QUIET int __clzll(long long x) {
  return x ? __builtin_clzll(static_cast<unsigned long long>(x)) : 64;
}
CUDASIM_QUIET int __ffs(int x) { return __builtin_ffs(x); }
CUDASIM_QUIET int __ffsll(long long x) { return __builtin_ffsll(x); }
CUDASIM_QUIET unsigned __brev(unsigned x) {
  unsigned y = 0;
  for (int i = 0; i < 32; i++) y |= (x >> i & 1u) << (31 - i);
  return y;
}
CUDASIM_QUIET unsigned long long __brevll(unsigned long long x) {
  unsigned long long y = 0;
  for (int i = 0; i < 64; i++) y |= (x >> i & 1ull) << (63 - i);
  return y;
}
CUDASIM_QUIET unsigned __byte_perm(unsigned x, unsigned y, unsigned selector) {
  const unsigned long long both = static_cast<unsigned long long>(y) << 32 | x;
  unsigned result = 0;
  for (int i = 0; i < 4; i++) {
    const unsigned pick = selector >> (4 * i) & 0xfu;
    unsigned byte = static_cast<unsigned>(both >> (8 * (pick & 7u))) & 0xffu;
    if (pick & 8u) byte = byte & 0x80u ? 0xffu : 0u;
    result |= byte << (8 * i);
  }
  return result;
}
CUDASIM_QUIET unsigned __funnelshift_l(unsigned low, unsigned high, unsigned shift) {
  const unsigned long long both = static_cast<unsigned long long>(high) << 32 | low;
  return static_cast<unsigned>(both << (shift & 31u) >> 32);
}
CUDASIM_QUIET unsigned __funnelshift_r(unsigned low, unsigned high, unsigned shift) {
  const unsigned long long both = static_cast<unsigned long long>(high) << 32 | low;
  return static_cast<unsigned>(both >> (shift & 31u));
}

CUDASIM_QUIET unsigned __umulhi(unsigned x, unsigned y) {
  return static_cast<unsigned>(static_cast<unsigned long long>(x) * y >> 32);
}
CUDASIM_QUIET int __mulhi(int x, int y) {
  return static_cast<int>(static_cast<long long>(x) * y >> 32);
}
CUDASIM_QUIET unsigned long long __umul64hi(unsigned long long x, unsigned long long y) {
  return static_cast<unsigned long long>(static_cast<unsigned __int128>(x) * y >> 64);
}
CUDASIM_QUIET long long __mul64hi(long long x, long long y) {
  return static_cast<long long>(static_cast<__int128>(x) * y >> 64);
}
CUDASIM_QUIET int __mul24(int x, int y) {
  const unsigned a = static_cast<unsigned>(x) << 8, b = static_cast<unsigned>(y) << 8;
  return static_cast<int>(static_cast<unsigned>(static_cast<int>(a) >> 8) *
                          static_cast<unsigned>(static_cast<int>(b) >> 8));
}
