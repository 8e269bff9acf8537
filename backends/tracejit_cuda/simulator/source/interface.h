// interface.h: what a translation unit of kernels and the engine say to one another.
//
// The engine (engine.cpp) is compiled once and holds the scheduler, the checks and the functions
// that CUDA has and the C library has not.  Kernels include cudasim.h, which includes this.  No
// system header is included here: what NVRTC does not define must not be defined for kernels.

#pragma once

struct uint3 {
  unsigned x, y, z;
};

struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned a = 1, unsigned b = 1, unsigned c = 1) : x(a), y(b), z(c) {}
};

// Where the running thread is; the scheduler writes it at every switch.
struct cudasim_Where {
  uint3 thread, block;
  dim3 block_dim, grid_dim;
  char* dynamic;  // the dynamic shared memory of its block
};

// What the lanes of a warp brought to a primitive, kept until each has read it.
struct cudasim_Exchange {
  unsigned long long value[32];
  unsigned present;  // lanes that came
  int users;         // lanes that have not read yet
};

// The warp primitives; lanes meet only in the same one.
enum cudasim_Primitive {
  CUDASIM_SYNCWARP,
  CUDASIM_SHFL,
  CUDASIM_SHFL_UP,
  CUDASIM_SHFL_DOWN,
  CUDASIM_SHFL_XOR,
  CUDASIM_BALLOT,
  CUDASIM_MATCH,
  CUDASIM_REDUCE,
};

enum cudasim_Vote { CUDASIM_NO_VOTE, CUDASIM_COUNT, CUDASIM_AND, CUDASIM_OR };

extern "C" {
extern cudasim_Where cudasim_where;
extern unsigned cudasim_atomics;  // of the running thread since it was last switched to

int cudasim_barrier(int line, int vote, int value);
const cudasim_Exchange* cudasim_meet(unsigned mask, unsigned long long value, int primitive,
                                     int line);
void cudasim_leave(const cudasim_Exchange* exchange);
unsigned cudasim_activemask();
void cudasim_fence(int scope);  // 0: block, 1: device
void cudasim_sleep(int line);
void cudasim_yield();
void cudasim_check_atomic(const volatile void* address, unsigned size, int line);
[[noreturn]] void cudasim_trap(const char* why, int line);
long long cudasim_clock();
}
