// instrumentation.h: what -fsanitize=thread and -fsanitize=undefined make the compiler call.
//
// Included by engine.cpp alone.  The names and arguments are those of LLVM's and GCC's run times.

// ---- accesses of memory

#define CUDASIM_NOTE run.failure->code = reinterpret_cast<uint64_t>(__builtin_return_address(0));
#define CUDASIM_ACCESS(name, write, is_volatile, n)          \
  EXPORT void __tsan_##name##n(void* address) {              \
    if (!run.active) return;                                 \
    CUDASIM_NOTE                                             \
    access(address, n, write, is_volatile);                  \
  }
#define CUDASIM_WIDTHS(name, write, is_volatile)  \
  CUDASIM_ACCESS(name, write, is_volatile, 1)     \
  CUDASIM_ACCESS(name, write, is_volatile, 2)     \
  CUDASIM_ACCESS(name, write, is_volatile, 4)     \
  CUDASIM_ACCESS(name, write, is_volatile, 8)     \
  CUDASIM_ACCESS(name, write, is_volatile, 16)
CUDASIM_WIDTHS(read, false, false)
CUDASIM_WIDTHS(write, true, false)
CUDASIM_WIDTHS(unaligned_read, false, false)
CUDASIM_WIDTHS(unaligned_write, true, false)
CUDASIM_WIDTHS(volatile_read, false, true)
CUDASIM_WIDTHS(volatile_write, true, true)
CUDASIM_WIDTHS(unaligned_volatile_read, false, true)
CUDASIM_WIDTHS(unaligned_volatile_write, true, true)

EXPORT void __tsan_read_range(void* address, unsigned long size) {
  if (!run.active || !size) return;
  CUDASIM_NOTE
  access(address, size, false, false);
}
EXPORT void __tsan_write_range(void* address, unsigned long size) {
  if (!run.active || !size) return;
  CUDASIM_NOTE
  access(address, size, true, false);
}
EXPORT void* __tsan_memcpy(void* to, const void* from, unsigned long size) {
  if (run.active && size) {
    CUDASIM_NOTE
    access(from, size, false, false);
    access(to, size, true, false);
  }
  return memcpy(to, from, size);
}
EXPORT void* __tsan_memmove(void* to, const void* from, unsigned long size) {
  if (run.active && size) {
    CUDASIM_NOTE
    access(from, size, false, false);
    access(to, size, true, false);
  }
  return memmove(to, from, size);
}
EXPORT void* __tsan_memset(void* to, int value, unsigned long size) {
  if (run.active && size) {
    CUDASIM_NOTE
    access(to, size, true, false);
  }
  return memset(to, value, size);
}
EXPORT void __tsan_init() {}
EXPORT void __tsan_func_entry(void*) {}
EXPORT void __tsan_func_exit() {}

// ---- undefined behaviour

namespace {

struct Source {
  const char* file;
  uint32_t line, column;
};

int line_of(const void* data) { return static_cast<int>(static_cast<const Source*>(data)->line); }

// What a type mismatch is described by.
struct Mismatch {
  Source source;
  const void* type;
  uint8_t log_alignment, kind;
};

[[noreturn]] void fail_undefined(const char* kind, const void* data, const char* what) {
  fail(kind, line_of(data), nullptr, "%s", what);
}

}  // namespace

#define CUDASIM_UNDEFINED(name, parameters, kind, what)                        \
  EXPORT void __ubsan_handle_##name parameters {                               \
    if (run.active) fail_undefined(kind, data, what);                          \
  }                                                                            \
  EXPORT void __ubsan_handle_##name##_abort parameters {                       \
    if (run.active) fail_undefined(kind, data, what);                          \
  }
#define CUDASIM_OVERFLOW(name, what) \
  CUDASIM_UNDEFINED(name##_overflow, (void* data, void*, void*), "integer overflow", what)
CUDASIM_OVERFLOW(add, "a sum of signed integers leaves their range")
CUDASIM_OVERFLOW(sub, "a difference of signed integers leaves their range")
CUDASIM_OVERFLOW(mul, "a product of signed integers leaves their range")
CUDASIM_UNDEFINED(negate_overflow, (void* data, void*), "integer overflow",
                  "the negative of a signed integer leaves its range")
CUDASIM_UNDEFINED(divrem_overflow, (void* data, void*, void*), "division",
                  "division of integers by zero, or beyond the range")
CUDASIM_UNDEFINED(shift_out_of_bounds, (void* data, void*, void*), "shift",
                  "a shift by less than 0 or by the width or more, or one that loses the sign")
CUDASIM_UNDEFINED(out_of_bounds, (void* data, void*), "array bounds",
                  "an index is outside its array")

namespace {

[[noreturn]] void fail_mismatch(void* data, uintptr_t address) {
  const Mismatch& mismatch = *static_cast<const Mismatch*>(data);
  fail("misaligned access", line_of(data), reinterpret_cast<void*>(address),
       "its address must be a multiple of %u", 1u << mismatch.log_alignment);
}

}  // namespace

EXPORT void __ubsan_handle_type_mismatch_v1(void* data, uintptr_t address) {
  if (run.active) fail_mismatch(data, address);
}
EXPORT void __ubsan_handle_type_mismatch_v1_abort(void* data, uintptr_t address) {
  if (run.active) fail_mismatch(data, address);
}
