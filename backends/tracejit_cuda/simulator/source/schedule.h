// schedule.h: which thread runs next, and what waits for what.

#pragma once
#include <stdlib.h>
#include <string.h>

#include "launch.h"
#include "shadow.h"

namespace cudasim {

// Rounds in which all that can run only sleeps, before that is called a deadlock.
constexpr int MOST_IDLE_ROUNDS = 10000;

inline uint32_t ordered(uint32_t position, uint32_t count) {
  return run.launch->reverse ? count - 1 - position : position;
}

// ---- entering and leaving threads

inline void occupy(Thread& thread) {
  run.thread = &thread;
  cudasim_where.thread.x = thread.index;
  cudasim_atomics = 0;
}

inline void to_scheduler() { change(run.thread->context, run.scheduler); }

inline void release_warp(Block& block, uint32_t warp, uint32_t mask);

// Those who wait for lanes of a warp wait no longer for one that has returned.
inline void returned(Thread& thread) {
  Block& block = *run.block;
  const uint32_t warp = thread.index / 32;
  thread.state = State::Done;
  block.done++;
  run.events++;
  block.warps[warp].alive &= ~(1u << thread.index % 32);
  for (uint32_t waiting = block.warps[warp].waiting; waiting; waiting &= waiting - 1) {
    const uint32_t lane = static_cast<uint32_t>(__builtin_ctz(waiting));
    if (block.warps[warp].waiting >> lane & 1u)
      release_warp(block, warp, block.threads[warp * 32 + lane].mask);
  }
}

inline Thread* next_fresh(Block& block) {
  while (block.next_fresh < run.launch->threads) {
    Thread& thread = block.threads[ordered(block.next_fresh++, run.launch->threads)];
    if (thread.state == State::Fresh) return &thread;
  }
  return nullptr;
}

// What runs on every stack: a thread, then the next one that has not begun, so that threads that
// never wait share one stack and are never switched.
inline void run_threads() {
  for (;;) {
    run.launch->entry(run.launch->arguments);
    Thread& finished = *run.thread;
    returned(finished);
    Thread* next = next_fresh(*run.block);
    if (!next) break;
    next->stack = finished.stack;
    finished.stack = nullptr;
    next->state = State::Ready;
    occupy(*next);
  }
  to_scheduler();
}

inline void begin(Thread& thread) {
  thread.stack = stacks.take();
  if (!thread.stack)
    fail_together("launch configuration", -1, -1, 0,
                  "more than %zu threads would have to wait at once", MOST_STACKS);
  prepare(thread.context, thread.stack, run_threads);
  thread.state = State::Ready;
  run.events++;
}

inline void resume(Thread& thread) {
  occupy(thread);
  change(run.scheduler, thread.context);
  // Another thread may have taken the stack over.
  Thread& last = *run.thread;
  if (last.state == State::Done && last.stack) {
    stacks.give(last.stack);
    last.stack = nullptr;
  }
}

// ---- warps

// Exchanges are handed out again when all lanes have read.
struct Exchanges {
  cudasim_Exchange* free[64];
  int count;
  cudasim_Exchange* take() {
    if (count) return free[--count];
    void* memory = malloc(sizeof(cudasim_Exchange));
    if (!memory) abort();
    return static_cast<cudasim_Exchange*>(memory);
  }
  void give(cudasim_Exchange* exchange) {
    if (count < 64) free[count++] = exchange;
    else ::free(exchange);
  }
};
extern Exchanges exchanges;

// Lets the lanes of a mask go on if all that can come have come, to the same primitive.
inline void release_warp(Block& block, uint32_t warp, uint32_t mask) {
  Warp& w = block.warps[warp];
  Thread* lanes = block.threads + warp * 32;
  const uint32_t wanted = mask & w.alive;
  if (!wanted || (w.waiting & wanted) != wanted) return;
  const Thread& first = lanes[__builtin_ctz(wanted)];
  for (uint32_t rest = wanted; rest; rest &= rest - 1) {
    const Thread& other = lanes[__builtin_ctz(rest)];
    if (other.mask != mask || other.primitive != first.primitive || other.line != first.line)
      return;
  }
  cudasim_Exchange* exchange = exchanges.take();
  exchange->present = wanted;
  exchange->users = __builtin_popcount(wanted);
  for (uint32_t rest = wanted; rest; rest &= rest - 1) {
    const int lane = __builtin_ctz(rest);
    exchange->value[lane] = lanes[lane].value;
    lanes[lane].exchange = exchange;
    lanes[lane].state = State::Ready;
  }
  w.waiting &= ~wanted;
  // Shuffles and votes order nothing in memory.
  if (run.launch->checked && first.primitive == CUDASIM_SYNCWARP) order_lanes(lanes, wanted);
}

inline const char* primitive_name(int primitive) {
  static const char* const names[] = {"__syncwarp",      "__shfl_sync",     "__shfl_up_sync",
                                      "__shfl_down_sync", "__shfl_xor_sync", "__ballot_sync",
                                      "__match_sync",    "__reduce_sync"};
  return names[primitive];
}

// ---- the barrier of a block

inline void release_barrier(Block& block) {
  const uint32_t count = run.launch->threads;
  int votes = 0;
  for (uint32_t i = 0; i < count; i++) {
    votes += block.threads[i].value != 0;
    block.threads[i].state = State::Ready;
  }
  const int vote = block.threads[0].primitive;
  block.vote = vote == CUDASIM_AND  ? votes == static_cast<int>(count)
               : vote == CUDASIM_OR ? votes != 0
                                    : votes;
  block.at_barrier = 0;
  if (run.launch->checked) order_block(block);
}

// Fails when threads wait at different barriers.
inline void check_barrier(const Block& block) {
  const Thread* first = nullptr;
  for (uint32_t i = 0; i < run.launch->threads; i++) {
    const Thread& thread = block.threads[i];
    if (thread.state != State::AtBarrier) continue;
    if (!first) first = &thread;
    if (thread.line != first->line || thread.primitive != first->primitive)
      fail_together("divergence", block.number, static_cast<int32_t>(thread.index), thread.line,
                    "threads of one block wait at different barriers: thread %u in line %d, "
                    "thread %u in line %d",
                    first->index, first->line, thread.index, thread.line);
  }
}

// Says why no thread of a block can go on.
[[noreturn]] inline void fail_stuck(const Block& block) {
  check_barrier(block);
  for (uint32_t i = 0; i < run.launch->threads; i++) {
    const Thread& thread = block.threads[i];
    if (thread.state != State::InWarp) continue;
    fail_together("divergence", block.number, static_cast<int32_t>(thread.index), thread.line,
                  "it waits in %s with mask 0x%x, and the lanes it waits for do not come",
                  primitive_name(thread.primitive), thread.mask);
  }
  for (uint32_t i = 0; i < run.launch->threads; i++) {
    const Thread& thread = block.threads[i];
    if (thread.state != State::AtBarrier) continue;
    fail_together("divergence", block.number, static_cast<int32_t>(thread.index), thread.line,
                  "%u of %u threads wait at a barrier, and %u have returned without it",
                  block.at_barrier, run.launch->threads, block.done);
  }
  fail_together("deadlock", block.number, -1, 0, "no thread can run");
}

// ---- blocks

inline bool finished(const Block& block) { return block.done == run.launch->threads; }

inline void fill_shared(Block& block) {
  if (run.shared.bytes) memset(run.shared.base, 0xff, run.shared.bytes);
  if (run.launch->shared_bytes) memset(block.dynamic, 0xff, run.launch->shared_bytes);
}

inline void open(Block& block, uint32_t number) {
  const uint32_t count = run.launch->threads;
  block.number = number;
  block.done = block.at_barrier = block.asleep = block.next_fresh = 0;
  for (uint32_t i = 0; i < count; i++) {
    block.threads[i].index = i;
    block.threads[i].state = State::Fresh;
    block.threads[i].stack = nullptr;
  }
  for (uint32_t w = 0; w * 32 < count; w++) {
    const uint32_t lanes = count - w * 32;
    block.warps[w].waiting = 0;
    block.warps[w].alive = lanes >= 32 ? 0xffffffffu : (1u << lanes) - 1;
  }
  if (run.launch->checked) open_clocks(block);
}

inline void enter(Block& block) {
  run.block = &block;
  cudasim_where.block.x = block.number;
  cudasim_where.dynamic = block.dynamic;
}

// Runs the threads of a block, those asleep once, until none can go on but by what others do.
inline void step(Block& block) {
  const uint32_t count = run.launch->threads;
  bool woken = false;
  enter(block);
  for (;;) {
    bool ran = false;
    for (uint32_t position = 0; position < count; position++) {
      Thread& thread = block.threads[ordered(position, count)];
      if (thread.state == State::Fresh) begin(thread);
      if (thread.state != State::Ready) continue;
      ran = true;
      resume(thread);
    }
    if (block.at_barrier == count) {
      check_barrier(block);
      release_barrier(block);
      continue;
    }
    if (ran) continue;
    if (finished(block)) return;
    if (!block.asleep) fail_stuck(block);
    if (woken) return;
    woken = true;
    for (uint32_t i = 0; i < count; i++)
      if (block.threads[i].state == State::Asleep) block.threads[i].state = State::Ready;
    block.asleep = 0;
  }
}

[[noreturn]] inline void fail_asleep(const Block& block) {
  for (uint32_t i = 0; i < run.launch->threads; i++) {
    const Thread& thread = block.threads[i];
    if (thread.state != State::Asleep) continue;
    fail_together("deadlock", block.number, static_cast<int32_t>(i), thread.line,
                  "it waits with __nanosleep for what no thread that can run will do%s",
                  run.launch->cooperative
                      ? ""
                      : "; blocks of a launch that is not cooperative run one after another");
  }
  fail_stuck(block);
}

// One block after another, each with the same memory.
inline void run_in_turn(Block& block) {
  const uint32_t count = run.launch->blocks;
  for (uint32_t position = 0; position < count; position++) {
    open(block, ordered(position, count));
    fill_shared(block);
    int idle = 0;
    while (!finished(block)) {
      const uint64_t before = run.events;
      step(block);
      idle = run.events == before ? idle + 1 : 0;
      if (idle > MOST_IDLE_ROUNDS) fail_asleep(block);
    }
  }
}

// All blocks at once: each runs until it waits for another.
inline void run_together(Block* blocks) {
  const uint32_t count = run.launch->blocks;
  const size_t bytes = run.shared.bytes;
  for (uint32_t i = 0; i < count; i++) {
    open(blocks[i], i);
    if (bytes) memset(blocks[i].saved, 0xff, bytes);
    if (run.launch->shared_bytes) memset(blocks[i].dynamic, 0xff, run.launch->shared_bytes);
  }
  uint32_t left = count;
  int idle = 0;
  while (left) {
    const uint64_t before = run.events;
    const Block* waiting = nullptr;
    for (uint32_t position = 0; position < count; position++) {
      Block& block = blocks[ordered(position, count)];
      if (finished(block)) continue;
      if (bytes) memcpy(run.shared.base, block.saved, bytes);
      step(block);
      if (bytes) memcpy(block.saved, run.shared.base, bytes);
      if (finished(block)) left--;
      else waiting = &block;
    }
    idle = run.events == before ? idle + 1 : 0;
    if (idle > MOST_IDLE_ROUNDS && waiting) fail_asleep(*waiting);
  }
}

}  // namespace cudasim
