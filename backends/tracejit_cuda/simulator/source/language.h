// language.h: the words and types of CUDA C++, for a C++17 compiler.

#pragma once
#include "interface.h"

#define __CUDASIM__ 1

// ---- words

#define __global__
#define __device__
#define __host__
#define __constant__
#define __grid_constant__
#define __managed__
#define __forceinline__ inline __attribute__((always_inline))
#define __noinline__ __attribute__((noinline))
#define __inline_hint__ inline
#define __launch_bounds__(...)
#define __align__(n) __attribute__((aligned(n)))

// Static shared memory is thread-local: the loader then keeps all of a module in one block of
// memory, also what templates and inline functions declare, and the engine can fill it with NaNs
// before each block and exchange it between blocks.
#define __shared__ static thread_local

// Dynamic shared memory; on a GPU the same name is an `extern __shared__` array.
#define CUDA_DYN_SHARED(T, name) T* const name = reinterpret_cast<T*>(cudasim_where.dynamic)

#ifndef __has_builtin
#define __has_builtin(x) 0
#endif
#if !__has_builtin(__builtin_assume)
#define __builtin_assume(x) ((void)0)
#endif
#define __assume(x) ((void)0)

#define warpSize 32
#define threadIdx (cudasim_where.thread)
#define blockIdx (cudasim_where.block)
#define blockDim (cudasim_where.block_dim)
#define gridDim (cudasim_where.grid_dim)

// Functions of the simulator's own that no check should see.
#define CUDASIM_QUIET static inline __attribute__((no_sanitize("thread"), no_sanitize("undefined")))
// The line of the caller, as the default of a parameter.
#define CUDASIM_LINE __builtin_LINE()

// ---- types

typedef __SIZE_TYPE__ size_t;
typedef __PTRDIFF_TYPE__ ptrdiff_t;

#define CUDASIM_VECTORS(T, name, align2, align4)                                     \
  struct name##1 { T x; };                                                           \
  struct __attribute__((aligned(align2))) name##2 { T x, y; };                       \
  struct name##3 { T x, y, z; };                                                     \
  struct __attribute__((aligned(align4))) name##4 { T x, y, z, w; };                 \
  static inline name##1 make_##name##1(T x) { return {x}; }                          \
  static inline name##2 make_##name##2(T x, T y) { return {x, y}; }                  \
  static inline name##3 make_##name##3(T x, T y, T z) { return {x, y, z}; }          \
  static inline name##4 make_##name##4(T x, T y, T z, T w) { return {x, y, z, w}; }

CUDASIM_VECTORS(signed char, char, 2, 4)
CUDASIM_VECTORS(unsigned char, uchar, 2, 4)
CUDASIM_VECTORS(short, short, 4, 8)
CUDASIM_VECTORS(unsigned short, ushort, 4, 8)
CUDASIM_VECTORS(int, int, 8, 16)
CUDASIM_VECTORS(long long, longlong, 16, 16)
CUDASIM_VECTORS(unsigned long long, ulonglong, 16, 16)
CUDASIM_VECTORS(float, float, 8, 16)
CUDASIM_VECTORS(double, double, 16, 16)
#undef CUDASIM_VECTORS

// uint3 stands in interface.h.
struct uint1 { unsigned x; };
struct __attribute__((aligned(8))) uint2 { unsigned x, y; };
struct __attribute__((aligned(16))) uint4 { unsigned x, y, z, w; };
static inline uint1 make_uint1(unsigned x) { return {x}; }
static inline uint2 make_uint2(unsigned x, unsigned y) { return {x, y}; }
static inline uint3 make_uint3(unsigned x, unsigned y, unsigned z) { return {x, y, z}; }
static inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) {
  return {x, y, z, w};
}

// ---- what NVRTC has of the C library

extern "C" {
void* memcpy(void*, const void*, size_t);
void* memset(void*, int, size_t);
int printf(const char*, ...);
}

#define __trap() cudasim_trap("__trap", CUDASIM_LINE)
#define assert(condition) ((condition) ? (void)0 : cudasim_trap("assert(" #condition ")", CUDASIM_LINE))

CUDASIM_QUIET long long clock64() { return cudasim_clock(); }
CUDASIM_QUIET int clock() { return static_cast<int>(cudasim_clock()); }

namespace cudasim {

// The bits of a value as those of another type of the same width.
template <class To, class From> CUDASIM_QUIET To bits(From x) {
  static_assert(sizeof(To) == sizeof(From), "bit casts keep the width");
  To y;
  __builtin_memcpy(&y, &x, sizeof y);
  return y;
}

template <class T> CUDASIM_QUIET unsigned long long widen(T x) {
  unsigned long long y = 0;
  __builtin_memcpy(&y, &x, sizeof x);
  return y;
}

template <class T> CUDASIM_QUIET T narrow(unsigned long long x) {
  T y;
  __builtin_memcpy(&y, &x, sizeof y);
  return y;
}

// What the engine calls: the one argument of a kernel is copied onto the stack of the thread.
template <class Arguments>
static inline void enter(void (*kernel)(Arguments), const void* arguments) {
  kernel(*static_cast<const Arguments*>(arguments));
}
static inline void enter(void (*kernel)(), const void*) { kernel(); }

}  // namespace cudasim

#define CUDASIM_EXPORT extern "C" __attribute__((visibility("default")))
// Written by build.py after the source: one entry a kernel, and what the engine asks of a module.
#define CUDASIM_ENTRY(kernel) \
  CUDASIM_EXPORT void cudasim_entry_##kernel(const void* a) { cudasim::enter(&kernel, a); }
#define CUDASIM_MODULE                                             \
  static thread_local char cudasim_first_shared;                   \
  CUDASIM_EXPORT char* cudasim_touch() { return &cudasim_first_shared; }
