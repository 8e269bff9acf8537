// launch.h: a launch as Python describes it, and the state of the one that runs.

#pragma once
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>

#include "clocks.h"
#include "fibers.h"
#include "interface.h"

namespace cudasim {

// What went wrong first.  Python's Failure structure mirrors it.
struct Failure {
  char kind[32];
  char message[480];
  int64_t block;    // -1: not of one block
  int32_t thread;   // -1: not of one thread
  int32_t line;     // of the source; 0: unknown
  uint64_t address; // of the memory concerned; 0: none
  uint64_t code;    // where the program was; 0: unknown
};

// Python's Launch structure mirrors it.
struct Launch {
  void (*entry)(const void*);
  char* (*touch)();
  const void* arguments;
  uint64_t argument_bytes;
  uint32_t blocks, threads, shared_bytes;
  int32_t reverse, cooperative, checked;
  double seconds;  // of processor time, after which the launch fails
  Failure* failure;
};

// A range of memory.
struct Range {
  char* base;
  size_t bytes;
  bool holds(const volatile void* address) const {
    return reinterpret_cast<uintptr_t>(address) - reinterpret_cast<uintptr_t>(base) < bytes;
  }
};

enum class State : uint8_t { Fresh, Ready, AtBarrier, InWarp, Asleep, Done };

struct Thread {
  Context context;
  char* stack;
  uint32_t index;
  State state;
  uint8_t primitive;  // of the warp or, at a barrier, the vote
  int32_t line;       // where it waits
  uint32_t mask;
  uint64_t value;
  cudasim_Exchange* exchange;
  // Only when checked:
  uint32_t tick;
  uint32_t known[32];  // ticks of the lanes of its warp that it knows to have passed
  Clock acquired;      // since the last block barrier
  Clock fenced, fenced_block;  // what a strong write releases: to the device, to the block
};

struct Warp {
  uint32_t waiting;  // lanes in a primitive
  uint32_t alive;    // lanes that exist and have not returned
};

struct Shadow;

struct Block {
  uint32_t number;
  Thread* threads;
  Warp* warps;
  uint32_t done, at_barrier, asleep;
  uint32_t next_fresh;      // in the order of the launch
  int32_t vote;             // of the barrier that was left last
  char* dynamic;            // its dynamic shared memory
  char* saved;              // its static shared memory while another block runs
  // Only when checked:
  uint32_t phase;
  Clock seen;               // what all its threads know of other blocks
  Clock fenced;             // what some thread of it fenced before the last barrier
  Shadow *static_shadow, *dynamic_shadow;
};

// The launch that runs; there is one at a time in a process.
struct Running {
  const Launch* launch;
  Block* block;
  Thread* thread;
  Context scheduler;
  Range shared;             // static shared memory: the module's thread-local storage
  Range image;              // of the module: constants
  uint64_t events;          // what is progress: a thread began, met others, or returned
  Failure* failure;
  sigjmp_buf escape;
  int32_t line;             // of the atomic that is checked; 0: none
  volatile int active;      // a kernel may be running
  volatile int busy;        // the engine is, and must not be left by a signal
  volatile int expired;     // the time was up while it was
};

extern Running run;
extern Stacks stacks;

// ---- failing

inline void describe(const char* kind, int64_t block, int32_t thread, int32_t line,
                     const volatile void* address, const char* format, va_list values) {
  Failure& f = *run.failure;
  snprintf(f.kind, sizeof f.kind, "%s", kind);
  vsnprintf(f.message, sizeof f.message, format, values);
  f.block = block;
  f.thread = thread;
  f.line = line ? line : run.line;
  f.address = reinterpret_cast<uintptr_t>(address);
}

// Ends the launch because of what the running thread did.
[[noreturn]] __attribute__((format(printf, 4, 5))) inline void fail(
    const char* kind, int32_t line, const volatile void* address, const char* format, ...) {
  va_list values;
  va_start(values, format);
  describe(kind, run.block->number, static_cast<int32_t>(run.thread->index), line, address, format,
           values);
  va_end(values);
  siglongjmp(run.escape, 1);
}

// Ends the launch because of what threads of a block did together.
[[noreturn]] __attribute__((format(printf, 5, 6))) inline void fail_together(
    const char* kind, int64_t block, int32_t thread, int32_t line, const char* format, ...) {
  va_list values;
  va_start(values, format);
  describe(kind, block, thread, line, nullptr, format, values);
  va_end(values);
  siglongjmp(run.escape, 1);
}

// While one lives, the clock that ends launches waits: the engine may hold a lock of the C library.
struct Busy {
  Busy() { run.busy = run.busy + 1; }
  ~Busy() {
    run.busy = run.busy - 1;
    if (run.expired && !run.busy) fail("timeout", 0, nullptr, "the launch has taken too long");
  }
};

}  // namespace cudasim
