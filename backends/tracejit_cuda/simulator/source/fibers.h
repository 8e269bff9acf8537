// fibers.h: stacks of their own for threads that wait, and the switch between them.

#pragma once
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#if !defined(__x86_64__) && !defined(CUDASIM_UCONTEXT)
#define CUDASIM_UCONTEXT
#endif
#ifdef CUDASIM_UCONTEXT
#include <ucontext.h>
#endif

namespace cudasim {

constexpr size_t STACK_BYTES = 128 * 1024;  // one page of it is a guard
constexpr size_t MOST_STACKS = 16 * 1024;   // a guarded mapping each: the kernel allows 65,530

#ifdef CUDASIM_UCONTEXT
struct Context {
  ucontext_t state;
};

inline void prepare(Context& context, char* stack, void (*entry)()) {
  getcontext(&context.state);
  context.state.uc_stack.ss_sp = stack;
  context.state.uc_stack.ss_size = STACK_BYTES;
  context.state.uc_link = nullptr;
  makecontext(&context.state, entry, 0);
}

inline void change(Context& from, Context& to) { swapcontext(&from.state, &to.state); }

#else
struct Context {
  void* top;  // of the stack, where the saved registers are
};

// The registers that a callee keeps, under the System V ABI.  The control words of the floating
// point units are not saved: no kernel changes them.
extern "C" void cudasim_change(void** from, void* to);
asm(R"(
.text
.globl cudasim_change
.hidden cudasim_change
.type cudasim_change,@function
cudasim_change:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size cudasim_change, .-cudasim_change
)");

inline void prepare(Context& context, char* stack, void (*entry)()) {
  void** top = reinterpret_cast<void**>(stack + STACK_BYTES);
  *--top = nullptr;  // where the entry would return to: it sees a stack aligned as after a call
  *--top = reinterpret_cast<void*>(entry);
  for (int i = 0; i < 6; i++) *--top = nullptr;
  context.top = top;
}

inline void change(Context& from, Context& to) { cudasim_change(&from.top, to.top); }
#endif

// Stacks are mapped once, touched when used, and handed out again.
class Stacks {
 public:
  // A free stack, or null when there are too many.
  char* take() {
    if (free_count_) return free_[--free_count_];
    if (!base_ && !reserve()) return nullptr;
    if (used_ == MOST_STACKS) return nullptr;
    char* stack = base_ + used_++ * STACK_BYTES;
    mprotect(stack, static_cast<size_t>(sysconf(_SC_PAGESIZE)), PROT_NONE);
    return stack;
  }
  void give(char* stack) { free_[free_count_++] = stack; }
  // After a failure, no thread needs its stack.
  void give_all() {
    free_count_ = 0;
    for (size_t i = used_; i-- > 0;) free_[free_count_++] = base_ + i * STACK_BYTES;
  }
  bool holds(const volatile void* address) const {
    return static_cast<size_t>(reinterpret_cast<uintptr_t>(address) -
                               reinterpret_cast<uintptr_t>(base_)) < MOST_STACKS * STACK_BYTES;
  }

 private:
  bool reserve() {
    void* memory = mmap(nullptr, MOST_STACKS * STACK_BYTES, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) return false;
    base_ = static_cast<char*>(memory);
    return true;
  }

  char* base_ = nullptr;
  size_t used_ = 0, free_count_ = 0;
  char* free_[MOST_STACKS];
};

}  // namespace cudasim
