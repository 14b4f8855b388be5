// The pool of threads that all kernels share: the only one in the process (BLAS runs single-threaded inside it).
//
// Work is split by its size alone: the ranges given to a function, and therefore the bits of every result, are the same
// for any number of threads. Threads take ranges one by one, so a slow one does not hold up the rest.
#pragma once
#include <cstdint>
#include <memory>
#include <type_traits>

namespace bulssi {

// Threads that parallel_for uses, the caller included.
int thread_count();
// Throws std::invalid_argument when n < 1.
void set_thread_count(int n);
// Why thread_count() is what it is, for people: "2: CPUs this process may run on". Valid until the next change.
const char* thread_reason();
// True inside a function that parallel_for runs, where a further parallel_for runs inline.
bool in_parallel() noexcept;

inline constexpr int64_t kMaxRanges = 1024;

// Elements per range for n elements of which at least `grain` go together: a multiple of grain, at most kMaxRanges
// ranges.
constexpr int64_t range_size(int64_t n, int64_t grain) {
  if (grain < 1) grain = 1;
  const int64_t grains = n / grain + (n % grain != 0);
  return (grains + kMaxRanges - 1) / kMaxRanges * grain;
}
// Number of ranges; begin / range_size(n, grain) is the index of a range, e.g. into an array of partial results.
constexpr int64_t range_count(int64_t n, int64_t grain) {
  const int64_t size = range_size(n, grain);
  return n <= 0 ? 0 : n / size + (n % size != 0);
}

namespace threads_detail {
using Body = void (*)(void* context, int64_t begin, int64_t end);
void run(int64_t n, int64_t size, Body body, void* context);
}  // namespace threads_detail

// Note [Interrupts]
// Ctrl-C reaches Python's main thread, which may be inside of one kernel for minutes. So the thread that waits for a
// job calls `between_ranges` after each range that it ran itself: where it gave the interpreter's lock away (Unlocked,
// cpu/cpu.h), that takes the lock back ten times a second and lets Python's handlers of signals run. An exception of
// theirs ends the job like any other: the ranges that are left are skipped, and what was to be the result is dropped.
// Loops over many kernels call check_interrupt() themselves, as does the engine between nodes; each kernel that gives
// the lock away does so when it begins. Code that runs in one piece (LAPACK, one long row) is not interrupted: the
// exception comes when it ends.
extern void (*between_ranges)();
// With the interpreter's lock held: throws what a handler of signals raised. A few ns when no signal has come.
extern void (*check_interrupt)();

// Calls f(begin, end) on contiguous ranges that cover [0, n), each of range_size(n, grain) elements but the last, in
// any order and on any thread of the pool. With n <= grain that is one plain call. If f throws, the remaining ranges
// are skipped and one of the exceptions reaches the caller. A nested call, or one made while another thread of the
// program uses the pool, runs all of its ranges on the calling thread.
template <class F>
void parallel_for(int64_t n, int64_t grain, F&& f) {
  if (n <= 0) return;
  const int64_t size = range_size(n, grain);
  if (n <= size) return static_cast<void>(f(int64_t{0}, n));
  using Function = std::remove_reference_t<F>;
  threads_detail::run(
      n, size, [](void* context, int64_t begin, int64_t end) { (*static_cast<Function*>(context))(begin, end); },
      const_cast<void*>(static_cast<const void*>(std::addressof(f))));
}

}  // namespace bulssi
