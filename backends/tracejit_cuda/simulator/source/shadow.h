// shadow.h: the checks of memory: races by happens-before, what is outside every buffer, what was
// never written.
//
// The compiler calls __tsan_read4 and the like before each access (-fsanitize=thread; its own run
// time is not linked).  Each 4-byte word of a buffer has a cell that says who wrote it last and who
// read it since; words of which parts are used have one more cell for each byte.

#pragma once
#include <stdlib.h>
#include <string.h>

#include "launch.h"

namespace cudasim {

// Who used a word or byte.  Of its readers since the last write two are kept.
struct Cell {
  Stamp writer, reader, other;
  uint32_t split;  // of a word: its bytes have cells of their own
};

// The cells of a range of memory, mapped when it is first used.
struct Shadow {
  Range range;
  bool shared;
  Cell* words;
  Cell* bytes;

  size_t word_count() const { return range.bytes / 4 + 2; }
  void drop() {
    if (words) munmap(words, word_count() * sizeof(Cell));
    if (bytes) munmap(bytes, word_count() * 4 * sizeof(Cell));
    words = bytes = nullptr;
  }
};

struct Buffers {
  Shadow* list;  // sorted by address
  size_t count;
  Shadow* last;  // that was used
};

extern Buffers buffers;
extern Releases releases;

inline Cell* map_cells(size_t count) {
  const Busy busy;
  void* memory = mmap(nullptr, count * sizeof(Cell), PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) fail("checks", 0, nullptr, "no memory for the cells of a buffer");
  return static_cast<Cell*>(memory);
}

// The shadow of a buffer that holds an address, or null.
inline Shadow* find_buffer(const volatile void* address) {
  if (buffers.last && buffers.last->range.holds(address)) return buffers.last;
  const uintptr_t wanted = reinterpret_cast<uintptr_t>(address);
  size_t low = 0, high = buffers.count;
  while (low < high) {
    const size_t middle = (low + high) / 2;
    if (reinterpret_cast<uintptr_t>(buffers.list[middle].range.base) <= wanted) low = middle + 1;
    else high = middle;
  }
  if (!low || !buffers.list[low - 1].range.holds(address)) return nullptr;
  return buffers.last = &buffers.list[low - 1];
}

inline Shadow* find_shadow(const volatile void* address) {
  Shadow* of_block[] = {run.block->static_shadow, run.block->dynamic_shadow};
  for (Shadow* shadow : of_block)
    if (shadow->range.holds(address)) return shadow;
  return find_buffer(address);
}

// ---- time

inline Stamp now(bool strong) {
  return {1 + run.thread->index + THREADS_PER_BLOCK * run.block->number, run.block->phase,
          run.thread->tick << 1 | (strong ? 1u : 0u)};
}

// Whether the running thread knows that an access has happened.
inline bool ordered_before(const Stamp& a) {
  if (!a.who) return true;
  const Thread& thread = *run.thread;
  const Block& block = *run.block;
  if (a.block() == block.number) {
    if (a.phase < block.phase || a.thread() == thread.index) return true;
    if (a.thread() / 32 == thread.index / 32 && a.tick >> 1 <= thread.known[a.thread() % 32])
      return true;
  } else if (block.seen.covers(a)) {
    return true;
  }
  return thread.acquired.covers(a);
}

inline void open_clocks(Block& block) {
  block.phase = 0;
  block.seen.clear();
  block.fenced.clear();
  for (uint32_t i = 0; i < run.launch->threads; i++) {
    Thread& thread = block.threads[i];
    thread.tick = 1;
    memset(thread.known, 0, sizeof thread.known);
    thread.acquired.clear();
    thread.fenced.clear();
    thread.fenced_block.clear();
  }
}

// A block barrier: what one thread knew, or had fenced, holds for all.
inline void order_block(Block& block) {
  const Busy busy;
  block.phase++;
  for (uint32_t i = 0; i < run.launch->threads; i++) {
    Thread& thread = block.threads[i];
    thread.tick = 1;
    memset(thread.known, 0, sizeof thread.known);
    block.seen.join(thread.acquired);
    thread.acquired.clear();
    block.fenced.join(thread.fenced);
    thread.fenced.clear();
    thread.fenced_block.clear();
  }
}

// __syncwarp: the same for some lanes of a warp.
inline void order_lanes(Thread* lanes, uint32_t mask) {
  const Busy busy;
  static Clock acquired, fenced;
  acquired.clear();
  fenced.clear();
  uint32_t known[32] = {};
  for (uint32_t rest = mask; rest; rest &= rest - 1) {
    const int lane = __builtin_ctz(rest);
    acquired.join(lanes[lane].acquired);
    fenced.join(lanes[lane].fenced);
    for (int i = 0; i < 32; i++)
      if (lanes[lane].known[i] > known[i]) known[i] = lanes[lane].known[i];
    if (lanes[lane].tick > known[lane]) known[lane] = lanes[lane].tick;
  }
  for (uint32_t rest = mask; rest; rest &= rest - 1) {
    Thread& thread = lanes[__builtin_ctz(rest)];
    memcpy(thread.known, known, sizeof known);
    thread.tick++;
    thread.acquired.join(acquired);
    thread.fenced.join(fenced);
  }
}

// __threadfence: what the thread knows now is what its next strong write releases.
inline void fence(bool device) {
  const Busy busy;
  Thread& thread = *run.thread;
  const Block& block = *run.block;
  Clock& clock = thread.fenced_block;
  clock.join(block.seen);
  clock.join(thread.acquired);
  clock.know_block(block.number, block.phase);
  const uint32_t warp = thread.index & ~31u;
  for (uint32_t i = 0; i < 32; i++)
    if (thread.known[i]) clock.know_thread(block.number, warp + i, block.phase, thread.known[i]);
  clock.know_thread(block.number, thread.index, block.phase, thread.tick);
  thread.tick++;
  if (device) thread.fenced.join(clock);
}

// Under which key a clock is released at an address: every block has a shared memory of its own.
inline uint64_t release_key(const volatile void* address, bool shared) {
  const uint64_t block = shared ? run.block->number + 1ull : 0;
  return reinterpret_cast<uintptr_t>(address) ^ block << 47;
}

inline void acquire(const volatile void* address, bool shared) {
  const Clock* clock = releases.find(release_key(address, shared));
  if (!clock) return;
  const Busy busy;
  run.thread->acquired.join(*clock);
}

inline void release(const volatile void* address, bool shared) {
  const Thread& thread = *run.thread;
  const Block& block = *run.block;
  const Clock& own = shared ? thread.fenced_block : thread.fenced;
  if (own.empty() && block.fenced.empty()) return;
  const Busy busy;
  Clock& clock = releases.at(release_key(address, shared));
  clock.join(own);
  clock.join(block.fenced);
}

// ---- accesses

[[noreturn]] inline void fail_race(const char* what, const char* address, const Shadow& shadow,
                                   const Stamp& a) {
  fail("race", 0, address,
       "%s: byte %zu of the %zu bytes of %s, also used by thread %u of block %u, with nothing "
       "between that orders them",
       what, static_cast<size_t>(address - shadow.range.base), shadow.range.bytes,
       shadow.shared ? "shared memory" : "a buffer", a.thread(), a.block());
}

// How far another reader is: one in another block is worth keeping most.
inline int distance(const Stamp& a, const Stamp& self) {
  if (!a.who || a.who == self.who) return 0;
  if (a.block() != self.block()) return 3;
  return a.thread() / 32 != self.thread() / 32 ? 2 : 1;
}

inline void use(Cell& cell, bool write, bool strong, const char* address, const Shadow& shadow) {
  // Shared memory begins anew with each block.
  if (shadow.shared && cell.writer.who && cell.writer.block() != run.block->number)
    cell.writer.who = cell.reader.who = cell.other.who = 0;
  const Stamp self = now(strong);
  if (cell.writer.who != self.who && !(strong && cell.writer.strong()) &&
      !ordered_before(cell.writer))
    fail_race(write ? "write after write" : "read after write", address, shadow, cell.writer);
  if (write) {
    const Stamp readers[] = {cell.reader, cell.other};
    for (const Stamp& reader : readers)
      if (!(strong && reader.strong()) && !ordered_before(reader))
        fail_race("write after read", address, shadow, reader);
    cell.writer = self;
    cell.reader.who = cell.other.who = 0;
    return;
  }
  if (shadow.shared && !cell.writer.who)
    fail("uninitialised", 0, address, "byte %zu of shared memory is read, but not written before",
         static_cast<size_t>(address - shadow.range.base));
  if (cell.reader.who != self.who) {
    const bool live = !ordered_before(cell.reader), other = !ordered_before(cell.other);
    if (live && (!other || distance(cell.reader, self) >= distance(cell.other, self)))
      cell.other = cell.reader;
    else if (!other)
      cell.other.who = 0;
  }
  cell.reader = self;
}

inline void use_bytes(Shadow& shadow, size_t word, const char* begin, const char* end, bool write,
                      bool strong) {
  Cell& cell = shadow.words[word];
  if (!shadow.bytes) shadow.bytes = map_cells(shadow.word_count() * 4);
  Cell* bytes = shadow.bytes + 4 * word;
  if (!cell.split) {
    for (int i = 0; i < 4; i++) bytes[i] = cell;
    cell.split = 1;
  }
  for (const char* p = begin; p < end; p++)
    use(bytes[reinterpret_cast<uintptr_t>(p) & 3], write, strong, p, shadow);
}

[[noreturn]] inline void fail_outside(const char* address, size_t size, bool write) {
  const char* what = write ? "written" : "read";
  const Range& dynamic = run.block->dynamic_shadow->range;
  if (dynamic.bytes && address >= dynamic.base && address < dynamic.base + dynamic.bytes + 65536)
    fail("illegal address", 0, address,
         "%zu bytes are %s %zu bytes after the start of dynamic shared memory, which has %zu", size,
         what, static_cast<size_t>(address - dynamic.base), dynamic.bytes);
  fail("illegal address", 0, address, "%zu bytes are %s outside every buffer of the device", size,
       what);
}

// An access of `size` bytes by the running thread.
inline void access(const volatile void* where, size_t size, bool write, bool is_volatile) {
  const Range position = {reinterpret_cast<char*>(&cudasim_where), sizeof cudasim_where};
  if (stacks.holds(where) || position.holds(where)) return;
  const char* address = const_cast<const char*>(static_cast<const volatile char*>(where));
  Shadow* shadow = find_shadow(address);
  if (!shadow) {
    const Range arguments = {static_cast<char*>(const_cast<void*>(run.launch->arguments)),
                             static_cast<size_t>(run.launch->argument_bytes)};
    if (run.image.holds(address) || arguments.holds(address)) return;
    fail_outside(address, size, write);
  }
  const char* const stop = address + size;
  if (!shadow->range.holds(stop - 1)) fail_outside(address, size, write);
  // In shared memory volatile only keeps the compiler from reordering.
  const bool strong = is_volatile && !shadow->shared;
  if (strong && !write) acquire(address, false);
  if (strong && write) release(address, false);
  if (!shadow->words) shadow->words = map_cells(shadow->word_count());
  const uintptr_t base = reinterpret_cast<uintptr_t>(shadow->range.base) & ~uintptr_t{3};
  for (const char* p = address; p < stop;) {
    const uintptr_t at = reinterpret_cast<uintptr_t>(p);
    const size_t word = (at - base) / 4;
    const char* next = reinterpret_cast<const char*>((at & ~uintptr_t{3}) + 4);
    const char* end = next < stop ? next : stop;
    Cell& cell = shadow->words[word];
    if (end - p == 4 && !cell.split) use(cell, write, strong, p, *shadow);
    else use_bytes(*shadow, word, p, end, write, strong);
    p = next;
  }
}

inline void atomic_access(const volatile void* where, unsigned size) {
  if (stacks.holds(where)) return;
  const uintptr_t address = reinterpret_cast<uintptr_t>(where);
  if (address % size)
    fail("misaligned access", 0, where, "an atomic of %u bytes at an address that is no multiple",
         size);
  Shadow* shadow = find_shadow(where);
  const char* first = const_cast<const char*>(static_cast<const volatile char*>(where));
  if (!shadow || !shadow->range.holds(first + size - 1)) fail_outside(first, size, true);
  acquire(where, shadow->shared);
  release(where, shadow->shared);
  if (!shadow->words) shadow->words = map_cells(shadow->word_count());
  const uintptr_t base = reinterpret_cast<uintptr_t>(shadow->range.base) & ~uintptr_t{3};
  for (unsigned k = 0; k < size; k += 4) {
    const size_t word = (address + k - base) / 4;
    Cell& cell = shadow->words[word];
    const unsigned part = size < 4 ? size : 4;
    const bool whole = part == 4 && !cell.split;
    for (int write = 0; write < 2; write++) {
      if (whole) use(cell, write, true, first + k, *shadow);
      else use_bytes(*shadow, word, first + k, first + k + part, write, true);
    }
  }
}

}  // namespace cudasim
