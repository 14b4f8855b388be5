#include "core/cpu/recurrent.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "core/base/threads.h"
#include "core/cpu/cpu.h"
#include "core/cpu/gemm.h"
#include "core/cpu/kernel_table.h"

namespace bulssi {
TAKE_KERNELS(RecurrentTable, recurrent)

namespace {

// Weights up to this stay in a core's second-level cache from step to step, so blocks of rows run on their own. Larger
// ones are read once per step, by all threads together.
constexpr int64_t kCachedWeight = int64_t{3} << 19;
constexpr int64_t kBlockRows = 16;
constexpr int64_t kRowWork = 1 << 13;  // numbers that a thread takes at a time, at least

// f(begin, end) for blocks of rows, or for all of them.
template <class F>
void for_blocks(const RecurrentShape& s, int itemsize, F&& f) {
  if (gate_count(s.cell) * s.hidden * s.hidden * itemsize > kCachedWeight) return f(int64_t{0}, s.rows);
  // Blocks of about equal size.
  const int64_t blocks = std::max<int64_t>(1, (s.rows + kBlockRows - 1) / kBlockRows);
  parallel_for(blocks, 1, [&](int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; ++b) f(s.rows * b / blocks, s.rows * (b + 1) / blocks);
  });
}
template <class F>
void for_rows(int64_t rows, int64_t numbers, F&& f) {
  parallel_for(rows, std::max<int64_t>(1, kRowWork / std::max<int64_t>(1, numbers)), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) f(r);
  });
}

template <class T>
void forward(DType dtype, const RecurrentShape& s, const T* weight, const T* bias, T* kept, T* h, T* c, T* y,
             T* cells) {
  const int64_t n = s.hidden, gates = gate_count(s.cell) * n, width = kept_count(s.cell) * n;
  const auto kernel = recurrent_kernels().forward[int(s.cell)][sizeof(T) == 8];
  const bool apart = s.cell == Cell::gru;
  const PackedMatrix packed(dtype, true, gates, n, weight, n);
  std::vector<T> part(apart ? s.rows * gates : 0);
  for_blocks(s, sizeof(T), [&](int64_t first, int64_t end) {
    for (int64_t t = 0; t < s.steps; ++t) {
      const int64_t rows = std::min(end, s.counts[t]) - first;
      if (rows <= 0) continue;
      T* to = kept + (s.starts[t] + first) * width;
      T* sums = apart ? part.data() + first * gates : to;
      packed.product(rows, h + first * n, n, !apart, sums, apart ? gates : width, apart ? bias : nullptr);
      const int64_t at = (s.starts[t] + first) * n, from = first * n;
      for_rows(rows, width, [&](int64_t r) {
        T* hr = h + from + r * n;
        T* cr = c ? c + from + r * n : nullptr;
        kernel(n, to + r * width, sums + r * gates, hr, cr);
        if (y != kept) std::memcpy(y + at + r * n, hr, n * sizeof(T));
        if (cells) std::memcpy(cells + at + r * n, cr, n * sizeof(T));
      });
    }
  });
}

template <class T>
void backward(DType dtype, const RecurrentShape& s, const T* weight, const T* kept, const T* y, const T* cells,
              const T* h0, const T* c0, const T* dy, T* dh, T* dc, T* dgates, T* dpart) {
  const int64_t n = s.hidden, gates = gate_count(s.cell) * n, width = kept_count(s.cell) * n;
  const auto kernel = recurrent_kernels().backward[int(s.cell)][sizeof(T) == 8];
  const PackedMatrix packed(dtype, false, n, gates, weight, n);
  T* through = s.cell == Cell::gru ? dpart : dgates;
  for_blocks(s, sizeof(T), [&](int64_t first, int64_t end) {
    for (int64_t t = s.steps; t-- > 0;) {
      const int64_t rows = std::min(end, s.counts[t]) - first;
      if (rows <= 0) continue;
      const int64_t at = s.starts[t] + first;
      // Rows that were in the step before come from there, the others start here.
      const int64_t before = t ? s.starts[t - 1] + first : 0, had = t ? std::min(end, s.counts[t - 1]) - first : 0;
      for_rows(rows, width, [&](int64_t r) {
        const auto old = [&](const T* all, const T* start) {
          return !start ? nullptr : r < had ? all + (before + r) * n : start + (first + r) * n;
        };
        const int64_t i = at + r;
        kernel(n, kept + i * width, y + i * n, cells ? cells + i * n : nullptr, old(y, h0), old(cells, c0),
               dy ? dy + i * n : nullptr, dh + (first + r) * n, dc ? dc + (first + r) * n : nullptr, dgates + i * gates,
               dpart ? dpart + i * gates : nullptr);
      });
      packed.product(rows, through + at * gates, gates, true, dh + first * n, n, nullptr);
    }
  });
}

}  // namespace

void recurrent_forward(DType dtype, const RecurrentShape& s, const void* weight, const void* bias, void* kept, void* h,
                       void* c, void* y, void* cells) {
  const auto run = [&]<class T>() {
    forward<T>(dtype, s, static_cast<const T*>(weight), static_cast<const T*>(bias), static_cast<T*>(kept),
               static_cast<T*>(h), static_cast<T*>(c), static_cast<T*>(y), static_cast<T*>(cells));
  };
  dtype == DType::f64 ? run.template operator()<double>() : run.template operator()<float>();
}

void recurrent_backward(DType dtype, const RecurrentShape& s, const void* weight, const void* kept, const void* y,
                        const void* cells, const void* h0, const void* c0, const void* dy, void* dh, void* dc,
                        void* dgates, void* dpart) {
  const auto run = [&]<class T>() {
    backward<T>(dtype, s, static_cast<const T*>(weight), static_cast<const T*>(kept), static_cast<const T*>(y),
                static_cast<const T*>(cells), static_cast<const T*>(h0), static_cast<const T*>(c0),
                static_cast<const T*>(dy), static_cast<T*>(dh), static_cast<T*>(dc), static_cast<T*>(dgates),
                static_cast<T*>(dpart));
  };
  dtype == DType::f64 ? run.template operator()<double>() : run.template operator()<float>();
}

}  // namespace bulssi
