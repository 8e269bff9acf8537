// clocks.h: what a thread knows to have happened, as sparse vector clocks.
//
// Time in a block passes in phases, one after each block barrier; in a phase each thread has its own
// ticks, one after each __syncwarp and each fence.  An access is stamped with its thread, phase and
// tick.  A clock says, of a block, that all before some phase has happened, and of single threads,
// that all up to some tick has.

#pragma once
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

namespace cudasim {

constexpr uint32_t THREADS_PER_BLOCK = 1024;

struct Stamp {
  uint32_t who;     // 0: nobody; else 1 + thread + THREADS_PER_BLOCK * block
  uint32_t phase;
  uint32_t tick;    // shifted left by one; the lowest bit: by an atomic or volatile access

  uint32_t thread() const { return (who - 1) % THREADS_PER_BLOCK; }
  uint32_t block() const { return (who - 1) / THREADS_PER_BLOCK; }
  bool strong() const { return tick & 1; }
};

class Clock {
 public:
  Clock() = default;
  Clock(const Clock&) = delete;
  Clock& operator=(const Clock&) = delete;
  ~Clock() { free(entries_); }

  bool empty() const { return count_ == 0; }
  void clear() { count_ = 0; }

  // All accesses of a block before a phase.
  void know_block(uint32_t block, uint32_t phase) { raise({key(block, 0), phase, 0}); }
  // All accesses of a thread up to a tick of a phase.
  void know_thread(uint32_t block, uint32_t thread, uint32_t phase, uint32_t tick) {
    raise({key(block, thread + 1), phase, tick});
  }

  bool covers(const Stamp& a) const {
    const Entry* of_block = find(key(a.block(), 0));
    if (of_block && of_block->phase > a.phase) return true;
    const Entry* of_thread = find(key(a.block(), a.thread() + 1));
    return of_thread && (of_thread->phase > a.phase ||
                         (of_thread->phase == a.phase && of_thread->tick >= a.tick >> 1));
  }

  void join(const Clock& other) {
    if (other.empty()) return;
    // Both are sorted: merge from the back, into room for all.
    const size_t total = count_ + other.count_;
    reserve(total);
    size_t i = count_, j = other.count_, to = total;
    while (j) {
      const Entry& b = other.entries_[j - 1];
      if (i && entries_[i - 1].key > b.key) {
        entries_[--to] = entries_[--i];
      } else if (i && entries_[i - 1].key == b.key) {
        const Entry a = entries_[--i];
        entries_[--to] = later(a, b) ? a : b;
        j--;
      } else {
        entries_[--to] = b;
        j--;
      }
    }
    // What was not moved lies at the front already; close the gap that equal keys have left.
    if (to > i) memmove(entries_ + i, entries_ + to, (total - to) * sizeof(Entry));
    count_ = static_cast<uint32_t>(total - (to - i));
  }

 private:
  struct Entry {
    uint64_t key;
    uint32_t phase, tick;
  };

  static uint64_t key(uint32_t block, uint32_t within) {
    return static_cast<uint64_t>(block) << 32 | within;
  }
  static bool later(const Entry& a, const Entry& b) {
    return a.phase != b.phase ? a.phase > b.phase : a.tick > b.tick;
  }

  // The place of a key, or where it would be.
  uint32_t place(uint64_t key) const {
    uint32_t low = 0, high = count_;
    while (low < high) {
      const uint32_t middle = (low + high) / 2;
      if (entries_[middle].key < key) low = middle + 1;
      else high = middle;
    }
    return low;
  }
  const Entry* find(uint64_t key) const {
    const uint32_t at = place(key);
    return at < count_ && entries_[at].key == key ? &entries_[at] : nullptr;
  }
  void raise(const Entry& entry) {
    const uint32_t at = place(entry.key);
    if (at < count_ && entries_[at].key == entry.key) {
      if (later(entry, entries_[at])) entries_[at] = entry;
      return;
    }
    reserve(count_ + 1);
    memmove(entries_ + at + 1, entries_ + at, (count_ - at) * sizeof(Entry));
    entries_[at] = entry;
    count_++;
  }
  void reserve(size_t wanted) {
    if (wanted <= room_) return;
    room_ = static_cast<uint32_t>(wanted > 2 * static_cast<size_t>(room_) ? wanted : 2 * room_);
    entries_ = static_cast<Entry*>(realloc(static_cast<void*>(entries_), room_ * sizeof(Entry)));
    if (!entries_) abort();
  }

  Entry* entries_ = nullptr;
  uint32_t count_ = 0, room_ = 0;
};

// The clocks that were released, by where: open addressing, emptied after each launch.
class Releases {
 public:
  // The clock at a place, or null.
  const Clock* find(uint64_t key) const {
    if (!used_) return nullptr;
    for (size_t i = slot(key);; i = (i + 1) & (room_ - 1)) {
      if (!places_[i].clock) return nullptr;
      if (places_[i].key == key) return places_[i].clock;
    }
  }
  Clock& at(uint64_t key) {
    if (2 * (used_ + 1) > room_) grow();
    size_t i = slot(key);
    while (places_[i].clock && places_[i].key != key) i = (i + 1) & (room_ - 1);
    if (!places_[i].clock) {
      places_[i] = {key, new_clock()};
      used_++;
    }
    return *places_[i].clock;
  }
  void clear() {
    for (size_t i = 0; i < room_; i++)
      if (places_[i].clock) {
        places_[i].clock->~Clock();
        free(places_[i].clock);
      }
    free(places_);
    places_ = nullptr;
    room_ = used_ = 0;
  }

 private:
  struct Place {
    uint64_t key;
    Clock* clock;
  };
  // No operator new: the engine is linked without the C++ library.
  static Clock* new_clock() {
    void* memory = calloc(1, sizeof(Clock));
    if (!memory) abort();
    return static_cast<Clock*>(memory);
  }
  size_t slot(uint64_t key) const {
    return (key * 0x9e3779b97f4a7c15ull >> 20) & (room_ - 1);
  }
  void grow() {
    Place* old = places_;
    const size_t count = room_;
    room_ = count ? 2 * count : 64;
    places_ = static_cast<Place*>(calloc(room_, sizeof(Place)));
    if (!places_) abort();
    for (size_t k = 0; k < count; k++) {
      if (!old[k].clock) continue;
      size_t i = slot(old[k].key);
      while (places_[i].clock) i = (i + 1) & (room_ - 1);
      places_[i] = old[k];
    }
    free(old);
  }

  Place* places_ = nullptr;
  size_t room_ = 0, used_ = 0;
};

}  // namespace cudasim
