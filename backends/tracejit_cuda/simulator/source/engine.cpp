// engine.cpp: launches kernels, and answers what they and the compiler's checks call.
//
// It is compiled once, without the C++ library and without instrumentation; modules of kernels are
// linked with it.

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <link.h>
#include <pthread.h>
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>

#include "schedule.h"

#define EXPORT extern "C" __attribute__((visibility("default")))

EXPORT cudasim_Where cudasim_where;
cudasim_Where cudasim_where;
EXPORT unsigned cudasim_atomics;
unsigned cudasim_atomics;

namespace cudasim {

Running run;
Stacks stacks;
Exchanges exchanges;
Buffers buffers;
Releases releases;

namespace {

pthread_mutex_t one_launch = PTHREAD_MUTEX_INITIALIZER;
pthread_t owner;

// ---- memory of a launch

// Blocks with their threads, kept from launch to launch as far as they serve again.
struct Grid {
  Block* blocks;
  uint32_t count, threads;
  char* dynamic;  // of all blocks, each before an inaccessible page
  size_t dynamic_bytes, dynamic_each;
  char* saved;
  Shadow* shadows;  // two a block
};
Grid grid;

void* zeroed(size_t count, size_t size) {
  void* memory = calloc(count ? count : 1, size);
  if (!memory) abort();
  return memory;
}

void destroy_grid() {
  for (uint32_t i = 0; i < grid.count; i++) {
    Block& block = grid.blocks[i];
    for (uint32_t k = 0; k < grid.threads; k++) block.threads[k].~Thread();
    block.seen.~Clock();
    block.fenced.~Clock();
    free(block.threads);
    free(block.warps);
  }
  free(grid.blocks);
  grid.blocks = nullptr;
  grid.count = 0;
}

void make_grid(uint32_t count, uint32_t threads) {
  if (grid.count < count || grid.threads < threads) {
    destroy_grid();
    grid.blocks = static_cast<Block*>(zeroed(count, sizeof(Block)));
    grid.count = count;
    grid.threads = threads;
    for (uint32_t i = 0; i < count; i++) {
      // All zeros is a valid state of each of their members.
      grid.blocks[i].threads = static_cast<Thread*>(zeroed(threads, sizeof(Thread)));
      grid.blocks[i].warps = static_cast<Warp*>(zeroed(threads / 32 + 1, sizeof(Warp)));
    }
  }
  const Launch& launch = *run.launch;
  grid.shadows = static_cast<Shadow*>(zeroed(2 * count, sizeof(Shadow)));
  grid.saved = static_cast<char*>(zeroed(launch.cooperative ? count : 0, run.shared.bytes + 1));
  const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  grid.dynamic_each = (launch.shared_bytes + page - 1) / page * page + page;
  grid.dynamic_bytes = 0;
  if (launch.shared_bytes) {
    grid.dynamic_bytes = count * grid.dynamic_each;
    void* memory = mmap(nullptr, grid.dynamic_bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) abort();
    grid.dynamic = static_cast<char*>(memory);
  }
  for (uint32_t i = 0; i < count; i++) {
    Block& block = grid.blocks[i];
    block.saved = grid.saved + i * run.shared.bytes;
    block.dynamic = nullptr;
    if (launch.shared_bytes) {
      char* stop = grid.dynamic + (i + 1) * grid.dynamic_each - page;
      mprotect(stop, page, PROT_NONE);
      block.dynamic = stop - (launch.shared_bytes + 15) / 16 * 16;
    }
    block.static_shadow = &grid.shadows[2 * i];
    block.dynamic_shadow = &grid.shadows[2 * i + 1];
    *block.static_shadow = {run.shared, true, nullptr, nullptr};
    *block.dynamic_shadow = {{block.dynamic, launch.shared_bytes}, true, nullptr, nullptr};
  }
}

void clear_grid(uint32_t count) {
  for (uint32_t i = 0; i < 2 * count; i++) grid.shadows[i].drop();
  free(grid.shadows);
  free(grid.saved);
  if (grid.dynamic_bytes) munmap(grid.dynamic, grid.dynamic_bytes);
  for (size_t i = 0; i < buffers.count; i++) buffers.list[i].drop();
  releases.clear();
  stacks.give_all();
}

// ---- where a module lies

struct Module {
  uintptr_t address;  // of something in it
  Range shared, image;
};

int find_module(dl_phdr_info* info, size_t, void* wanted) {
  Module& module = *static_cast<Module*>(wanted);
  bool here = false;
  Range image = {nullptr, 0}, shared = {nullptr, 0};
  for (int i = 0; i < info->dlpi_phnum; i++) {
    const ElfW(Phdr)& header = info->dlpi_phdr[i];
    char* const begin = reinterpret_cast<char*>(info->dlpi_addr + header.p_vaddr);
    if (header.p_type == PT_TLS)
      shared = {static_cast<char*>(info->dlpi_tls_data), static_cast<size_t>(header.p_memsz)};
    if (header.p_type != PT_LOAD) continue;
    const Range part = {begin, static_cast<size_t>(header.p_memsz)};
    here = here || part.holds(reinterpret_cast<void*>(module.address));
    if (!image.base) image.base = begin;
    image.bytes = static_cast<size_t>(begin - image.base) + part.bytes;
  }
  if (!here) return 0;
  module.shared = shared;
  module.image = image;
  return 1;
}

// ---- signals: what the processor refuses

const int SIGNALS[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGVTALRM};
constexpr int SIGNAL_COUNT = sizeof SIGNALS / sizeof *SIGNALS;
struct sigaction former[SIGNAL_COUNT];

void on_signal(int number, siginfo_t* details, void* context) {
  if (!run.active || !pthread_equal(pthread_self(), owner)) {
    // Not ours: the instruction is tried again under the handler that was there.
    if (number == SIGVTALRM) return;
    for (int i = 0; i < SIGNAL_COUNT; i++)
      if (SIGNALS[i] == number) sigaction(number, &former[i], nullptr);
    return;
  }
  if (number == SIGVTALRM && run.busy) {
    run.expired = 1;
    return;
  }
#if defined(__x86_64__) && defined(REG_RIP)
  // As if it were a call that had been made there.
  run.failure->code = 1 + static_cast<uint64_t>(
      static_cast<ucontext_t*>(context)->uc_mcontext.gregs[REG_RIP]);
#else
  (void)context;
#endif
  switch (number) {
    case SIGVTALRM:
      fail("timeout", 0, nullptr, "the launch has taken %g seconds of processor time; a thread that "
           "waits for others must call __nanosleep", run.launch->seconds);
    case SIGFPE: fail("division", 0, nullptr, "division of integers by zero, or beyond the range");
    case SIGILL: fail("illegal instruction", 0, details->si_addr, "undefined behaviour");
    default: break;
  }
  if (stacks.holds(details->si_addr))
    fail("stack overflow", 0, details->si_addr,
         "local arrays and calls take more than %zu bytes", STACK_BYTES - 4096);
  // The processor names no address when that of a vector is misaligned.
  if (!details->si_addr)
    fail("illegal address", 0, nullptr, "a null pointer, or a misaligned vector");
  fail("illegal address", 0, details->si_addr, "the address %p is in no buffer",
       details->si_addr);
}

class Watch {
 public:
  Watch(double seconds) {
    static char alternate[64 * 1024];
    stack_t stack = {};
    stack.ss_sp = alternate;
    stack.ss_size = sizeof alternate;
    sigaltstack(&stack, &former_stack_);
    struct sigaction action = {};
    action.sa_sigaction = on_signal;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    for (int i = 0; i < SIGNAL_COUNT; i++) sigaction(SIGNALS[i], &action, &former[i]);
    sigevent event = {};
    event.sigev_notify = SIGEV_THREAD_ID;
    event.sigev_signo = SIGVTALRM;
#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif
    event.sigev_notify_thread_id = static_cast<pid_t>(syscall(SYS_gettid));
    timed_ = seconds > 0 && !timer_create(CLOCK_THREAD_CPUTIME_ID, &event, &timer_);
    itimerspec when = {};
    when.it_value.tv_sec = static_cast<time_t>(seconds);
    when.it_value.tv_nsec =
        static_cast<long>((seconds - static_cast<double>(when.it_value.tv_sec)) * 1e9);
    if (timed_) timer_settime(timer_, 0, &when, nullptr);
  }
  void stop() {
    if (timed_) timer_delete(timer_);
    for (int i = 0; i < SIGNAL_COUNT; i++) sigaction(SIGNALS[i], &former[i], nullptr);
    sigaltstack(&former_stack_, nullptr);
  }

 private:
  stack_t former_stack_;
  timer_t timer_;
  bool timed_;
};

void execute() {
  if (run.launch->cooperative) run_together(grid.blocks);
  else run_in_turn(*grid.blocks);
}

}  // namespace
}  // namespace cudasim

using namespace cudasim;

// Which memory of the device there is, in the order of addresses; for checked launches.
EXPORT void cudasim_buffers(const uint64_t* bases, const uint64_t* sizes, uint64_t count) {
  pthread_mutex_lock(&one_launch);
  free(buffers.list);
  buffers = {static_cast<Shadow*>(zeroed(count, sizeof(Shadow))), count, nullptr};
  for (uint64_t i = 0; i < count; i++)
    buffers.list[i].range = {reinterpret_cast<char*>(bases[i]), sizes[i]};
  pthread_mutex_unlock(&one_launch);
}

// Returns 0, or 1 if the kernel failed.
EXPORT int cudasim_launch(const Launch* launch) {
  pthread_mutex_lock(&one_launch);
  owner = pthread_self();
  run.launch = launch;
  run.failure = launch->failure;
  run.block = nullptr;
  run.thread = nullptr;
  run.events = 0;
  run.line = 0;
  run.busy = run.expired = 0;
  launch->touch();  // the loader makes thread-local storage when it is first used
  Module module = {reinterpret_cast<uintptr_t>(launch->entry), {}, {}};
  dl_iterate_phdr(find_module, &module);
  run.shared = module.shared;
  run.image = module.image;
  cudasim_where.thread = cudasim_where.block = {0, 0, 0};
  cudasim_where.block_dim = dim3(launch->threads);
  cudasim_where.grid_dim = dim3(launch->blocks);
  const uint32_t resident = launch->cooperative ? launch->blocks : 1;
  make_grid(resident, launch->threads);
  Watch watch(launch->seconds);
  const int failed = sigsetjmp(run.escape, 1);
  if (!failed) {
    run.active = 1;
    execute();
  }
  run.active = 0;
  watch.stop();
  clear_grid(resident);
  pthread_mutex_unlock(&one_launch);
  return failed;
}

// ---- what kernels call

EXPORT int cudasim_barrier(int line, int vote, int value) {
  Thread& thread = *run.thread;
  Block& block = *run.block;
  thread.state = State::AtBarrier;
  thread.line = line;
  thread.primitive = static_cast<uint8_t>(vote);
  thread.value = static_cast<uint64_t>(value != 0);
  block.at_barrier++;
  run.events++;
  to_scheduler();
  return block.vote;
}

EXPORT const cudasim_Exchange* cudasim_meet(unsigned mask, unsigned long long value, int primitive,
                                            int line) {
  Thread& thread = *run.thread;
  const unsigned self = 1u << thread.index % 32;
  if (!(mask & self))
    fail("warp mask", line, nullptr, "it calls %s with mask 0x%x, which leaves it out",
         primitive_name(primitive), mask);
  thread.state = State::InWarp;
  thread.line = line;
  thread.primitive = static_cast<uint8_t>(primitive);
  thread.mask = mask;
  thread.value = value;
  run.block->warps[thread.index / 32].waiting |= self;
  run.events++;
  release_warp(*run.block, thread.index / 32, mask);
  to_scheduler();
  return thread.exchange;
}

EXPORT void cudasim_leave(const cudasim_Exchange* exchange) {
  cudasim_Exchange* own = const_cast<cudasim_Exchange*>(exchange);
  if (!--own->users) exchanges.give(own);
}

EXPORT unsigned cudasim_activemask() { return run.block->warps[run.thread->index / 32].alive; }

EXPORT void cudasim_fence(int scope) {
  if (run.launch->checked) fence(scope != 0);
}

EXPORT void cudasim_sleep(int line) {
  Thread& thread = *run.thread;
  thread.state = State::Asleep;
  thread.line = line;
  run.block->asleep++;
  to_scheduler();
}

// Lets the others run; a thread that only ever does this is stopped by the clock.
EXPORT void cudasim_yield() {
  run.events++;
  cudasim_sleep(0);
}

EXPORT void cudasim_check_atomic(const volatile void* address, unsigned size, int line) {
  if (!run.active) return;
  run.line = line;
  atomic_access(address, size);
  run.line = 0;
}

EXPORT void cudasim_trap(const char* why, int line) { fail("trap", line, nullptr, "%s", why); }

EXPORT long long cudasim_clock() {
  timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * 1000000000ll + time.tv_nsec;
}

#include "instrumentation.h"
