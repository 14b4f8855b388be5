// Reductions and scans of outer x reduced x inner memory: which kernel, which pieces, which threads.
#include "core/cpu/reduce.h"

#include <algorithm>
#include <cstring>

#include "core/base/alloc.h"
#include "core/base/threads.h"
#include "core/cpu/cpu.h"
#include "core/cpu/kernel_table.h"

namespace bulssi::cpu {

TAKE_KERNELS(ReduceTable, reduce)
TAKE_KERNELS(RowTable, row)

namespace {

constexpr int compute_size(Compute c) { return c == Compute::f32 ? 4 : c == Compute::u8 ? 1 : 8; }
constexpr int64_t grain = 1 << 15;  // elements that are worth a thread's attention

// Memory that lives for one call.
class Room {
 public:
  explicit Room(int64_t bytes) : bytes_(static_cast<size_t>(bytes)), data_(static_cast<char*>(allocate(bytes_))) {}
  ~Room() { deallocate(data_, bytes_); }
  Room(const Room&) = delete;
  char* data() const { return data_; }

 private:
  size_t bytes_;
  char* data_;
};

// Contiguous rows of n elements, `stride` apart, each to one element.
void reduce_rows(Monoid m, Compute compute, int64_t rows, int64_t stride, int64_t n, const char* x, const char* c,
                 bool c_single, char* out) {
  const int size = compute_size(compute);
  const auto kernel = reduce_kernels().row[int(m)][int(compute)];
  const int64_t c_step = c && !c_single ? size : 0;
  if (n <= reduce_chunk) {
    if (rows == 1) return kernel(n, x, c, out);
    return parallel_for(rows, std::max<int64_t>(1, grain / std::max<int64_t>(n, 8)), [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) kernel(n, x + r * stride * size, c + r * c_step, out + r * size);
    });
  }
  const int64_t chunks = (n + reduce_chunk - 1) / reduce_chunk;
  const Room room(rows * chunks * size);
  parallel_for(rows * chunks, grain / reduce_chunk, [&](int64_t begin, int64_t end) {
    for (int64_t k = begin; k < end; ++k) {
      const int64_t r = k / chunks, first = k % chunks * reduce_chunk;
      kernel(std::min(reduce_chunk, n - first), x + (r * stride + first) * size, c + r * c_step,
             room.data() + k * size);
    }
  });
  reduce_rows(joined_by(m), compute, rows, chunks, chunks, room.data(), nullptr, true, out);
}

// outer blocks of rows x n; each to n elements.
void reduce_columns(Monoid m, Compute compute, const ReduceShape& s, const char* x, const char* c, char* out) {
  const int size = compute_size(compute);
  const auto kernel = reduce_kernels().columns[int(m)][int(compute)];
  constexpr int64_t tile = 256;
  const int64_t tiles = (s.inner + tile - 1) / tile, pieces = s.outer * tiles;
  // Few columns and many rows: pieces of rows first, then their results.
  const int64_t width = std::min(s.inner, tile);
  const int64_t part = std::max<int64_t>(64, grain / width / 64 * 64);
  if (pieces < 16 && s.reduced >= 4 * part) {
    const int64_t parts = (s.reduced + part - 1) / part;
    const Room room(s.outer * parts * s.inner * size);
    parallel_for(pieces * parts, 1, [&](int64_t begin, int64_t end) {
      for (int64_t k = begin; k < end; ++k) {
        const int64_t p = k / pieces, o = k % pieces / tiles, i = k % tiles * tile;
        kernel(std::min(part, s.reduced - p * part), s.stride, std::min(tile, s.inner - i),
               x + (o * s.outer_stride + p * part * s.stride + i) * size, c ? c + (o * s.inner + i) * size : nullptr,
               room.data() + ((o * parts + p) * s.inner + i) * size);
      }
    });
    const ReduceShape rest{s.outer, parts, s.inner, parts * s.inner, s.inner};
    return reduce_columns(joined_by(m), compute, rest, room.data(), nullptr, out);
  }
  parallel_for(pieces, std::max<int64_t>(1, grain / (width * s.reduced)), [&](int64_t begin, int64_t end) {
    for (int64_t k = begin; k < end; ++k) {
      const int64_t o = k / tiles, i = k % tiles * tile;
      kernel(s.reduced, s.stride, std::min(tile, s.inner - i), x + (o * s.outer_stride + i) * size,
             c ? c + (o * s.inner + i) * size : nullptr, out + (o * s.inner + i) * size);
    }
  });
}

}  // namespace

void reduce(Monoid m, Compute compute, const ReduceShape& s, const void* x_, const void* c_, bool c_single,
            void* out_) {
  const char *x = static_cast<const char*>(x_), *c = static_cast<const char*>(c_);
  char* out = static_cast<char*>(out_);
  const int64_t results = s.outer * s.inner;
  if (results == 0) return;
  const Unlocked unlocked(s.total());
  if (s.inner == 1 && (s.stride == 1 || s.reduced <= 1)) {
    return reduce_rows(m, compute, s.outer, s.outer_stride, s.reduced, x, c, c_single, out);
  }
  if (!c || !c_single) return reduce_columns(m, compute, s, x, c, out);
  const int size = compute_size(compute);
  const Room repeated(results * size);
  for (int64_t i = 0; i < results; ++i) std::memcpy(repeated.data() + i * size, c, static_cast<size_t>(size));
  reduce_columns(m, compute, s, x, repeated.data(), out);
}

void arg_reduce(bool smallest, Compute compute, const ReduceShape& s, const void* x_, void* values_, int64_t* indices) {
  const int size = compute_size(compute);
  const char* x = static_cast<const char*>(x_);
  char* values = static_cast<char*>(values_);
  if (s.outer * s.inner == 0) return;
  const Unlocked unlocked(s.total());
  if (s.inner == 1 && (s.stride == 1 || s.reduced <= 1)) {
    reduce_rows(smallest ? Monoid::minimum : Monoid::maximum, compute, s.outer, s.outer_stride, s.reduced, x, nullptr,
                true, values);
    const auto find = reduce_kernels().find[int(compute)];
    return parallel_for(s.outer, std::max<int64_t>(1, grain / std::max<int64_t>(s.reduced, 8)),
                        [&](int64_t begin, int64_t end) {
                          for (int64_t r = begin; r < end; ++r) {
                            indices[r] = find(s.reduced, x + r * s.outer_stride * size, values + r * size);
                          }
                        });
  }
  constexpr int64_t tile = 256;
  const auto kernel = reduce_kernels().arg_columns[smallest][int(compute)];
  const int64_t tiles = (s.inner + tile - 1) / tile;
  parallel_for(s.outer * tiles, std::max<int64_t>(1, grain / (std::min(s.inner, tile) * s.reduced)),
               [&](int64_t begin, int64_t end) {
                 for (int64_t k = begin; k < end; ++k) {
                   const int64_t o = k / tiles, i = k % tiles * tile;
                   kernel(s.reduced, s.stride, std::min(tile, s.inner - i), x + (o * s.outer_stride + i) * size,
                          values + (o * s.inner + i) * size, indices + o * s.inner + i);
                 }
               });
}

namespace {

// Running totals are kept in double for float: 8 bytes each for every compute type that scans.
void scan_row(int which, Compute compute, int64_t n, const char* x, char* y) {
  const int size = compute_size(compute);
  const auto kernel = reduce_kernels().scan[which][int(compute)];
  const auto start = [&](void* carry) {
    if (compute == Compute::i64)
      *static_cast<int64_t*>(carry) = which;
    else
      *static_cast<double*>(carry) = which;
  };
  constexpr int64_t chunk = 8192;
  if (n <= 4 * chunk) {
    double carry;
    start(&carry);
    return kernel(n, x, y, &carry);
  }
  // Totals of the chunks, their running combination, then every chunk from its start.
  const int64_t chunks = (n + chunk - 1) / chunk;
  const Room room((chunks + 1) * 8);
  parallel_for(chunks, 2, [&](int64_t begin, int64_t end) {
    for (int64_t k = begin; k < end; ++k) {
      start(room.data() + (k + 1) * 8);
      kernel(std::min(chunk, n - k * chunk), x + k * chunk * size, nullptr, room.data() + (k + 1) * 8);
    }
  });
  start(room.data());
  for (int64_t k = 1; k <= chunks; ++k) {
    if (compute == Compute::i64) {
      auto* t = reinterpret_cast<uint64_t*>(room.data());
      t[k] = which ? t[k - 1] * t[k] : t[k - 1] + t[k];
    } else {
      auto* t = reinterpret_cast<double*>(room.data());
      t[k] = which ? t[k - 1] * t[k] : t[k - 1] + t[k];
    }
  }
  parallel_for(chunks, 2, [&](int64_t begin, int64_t end) {
    for (int64_t k = begin; k < end; ++k) {
      double carry;
      std::memcpy(&carry, room.data() + k * 8, 8);
      kernel(std::min(chunk, n - k * chunk), x + k * chunk * size, y + k * chunk * size, &carry);
    }
  });
}

}  // namespace

void scan(bool product, Compute compute, const ReduceShape& s, const void* x_, void* y_) {
  const int size = compute_size(compute), which = product;
  const char* x = static_cast<const char*>(x_);
  char* y = static_cast<char*>(y_);
  if (s.total() == 0) return;
  const Unlocked unlocked(s.total());
  if (s.inner == 1) {
    return parallel_for(s.outer, std::max<int64_t>(1, grain / s.reduced), [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) {
        scan_row(which, compute, s.reduced, x + r * s.reduced * size, y + r * s.reduced * size);
      }
    });
  }
  constexpr int64_t tile = 256;
  const auto kernel = reduce_kernels().scan_columns[which][int(compute)];
  const int64_t tiles = (s.inner + tile - 1) / tile;
  parallel_for(s.outer * tiles, std::max<int64_t>(1, grain / (std::min(s.inner, tile) * s.reduced)),
               [&](int64_t begin, int64_t end) {
                 for (int64_t k = begin; k < end; ++k) {
                   const int64_t o = k / tiles, i = k % tiles * tile, at = o * s.reduced * s.inner + i;
                   double carry[tile];
                   if (compute == Compute::i64)
                     std::fill_n(reinterpret_cast<int64_t*>(carry), tile, which);
                   else
                     std::fill_n(carry, tile, which);
                   kernel(s.reduced, s.inner, std::min(tile, s.inner - i), x + at * size, y + at * size, carry);
                 }
               });
}

}  // namespace bulssi::cpu
