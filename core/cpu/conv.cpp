// Convolution as matrix products of blocks of columns, where conv_direct.h has no better way: rows too short for a
// register, kernels of one element, integers. A column holds what one output position sees of the input. A block is as
// many positions as fit the second-level cache, so columns are never written to memory; kernels of one element with
// stride 1 need none.
#include "core/cpu/conv.h"

#include <algorithm>
#include <cstring>
#include <type_traits>

#include "core/base/scratch.h"
#include "core/base/threads.h"
#include "core/cpu/conv_direct.h"
#include "core/cpu/gemm.h"

namespace bulssi {
namespace {

constexpr int64_t kBlockBytes = 192 << 10, kMostBytes = 512 << 10;
constexpr int64_t kTasks = 8;  // blocks that there should be at least, for the threads

// How long a product takes for n positions, in positions: registers that are not full cost as much as full ones.
constexpr int64_t product_cost(int64_t n) {
  const int64_t rest = n % 32;
  return n - rest + (rest == 0 ? 0 : rest == 16 ? 18 : rest < 16 ? 20 : 40);
}

// The output positions in blocks: whole rows (of the last dimension), or parts of one row where rows are long.
struct Blocks {
  int64_t rows, width;              // of the output
  int64_t block_rows, block_width;  // of a block
  int64_t row_blocks, width_blocks;
  Blocks(const ConvShape& s, int64_t itemsize) : rows(s.out[0] * s.out[1]), width(s.out[2]) {
    const int64_t most = std::max<int64_t>(64, kBlockBytes / itemsize / std::max<int64_t>(1, s.depth()));
    block_width = std::min(width, std::max<int64_t>(most, 16));
    width_blocks = (width + block_width - 1) / block_width;
    block_rows = width_blocks > 1 ? 1 : std::clamp<int64_t>(most / block_width, 1, rows);
    if (width_blocks == 1) choose_rows(s, itemsize);
    row_blocks = (rows + block_rows - 1) / block_rows;
  }
  int64_t count() const { return row_blocks * width_blocks; }

 private:
  // The number of rows whose products waste least, among those that leave enough blocks and whose columns stay in the
  // second-level cache.
  void choose_rows(const ConvShape& s, int64_t itemsize) {
    const int64_t room = kMostBytes / itemsize / std::max<int64_t>(1, s.depth() * width);
    const int64_t wanted = std::max<int64_t>(1, kTasks / std::max<int64_t>(1, s.batch * s.groups));
    const int64_t most = std::max(block_rows, std::min(room, (rows + wanted - 1) / wanted));
    int64_t least = INT64_MAX;
    for (int64_t r = std::min(most, rows); r >= std::max<int64_t>(1, std::min(block_rows, most) / 2); --r) {
      const int64_t cost = rows / r * (product_cost(r * width) + 8) + product_cost(rows % r * width);
      if (cost < least) least = cost, block_rows = r;
    }
  }
};
struct Block {
  int64_t row, rows, from, width;  // rows [row, row + rows), columns [from, from + width)
  Block(const Blocks& b, int64_t i)
      : row(i / b.width_blocks * b.block_rows),
        rows(std::min(b.block_rows, b.rows - row)),
        from(i % b.width_blocks * b.block_width),
        width(std::min(b.block_width, b.width - from)) {}
  int64_t size() const { return rows * width; }
  int64_t first(const ConvShape& s) const { return row * s.out[2] + from; }
};

bool needs_no_columns(const ConvShape& s) {
  for (int i = 0; i < 3; ++i) {
    if (s.kernel[i] != 1 || s.stride[i] != 1 || s.padding[i] != 0) return false;
  }
  return true;
}

// For every channel and kernel element and every row of the block: f(where the row starts in the block's columns,
// offset of the row in the input or -1 when it lies in the padding, first and one past last position of the row that
// lie inside the input, offset in the row of the first of them). Rows come in the order of memory.
template <class F>
void for_column_rows(const ConvShape& s, const Block& block, F&& f) {
  const int64_t first_d = block.row / s.out[1], first_h = block.row % s.out[1];
  int64_t at = 0;
  for (int64_t c = 0; c < s.channels; ++c) {
    for (int64_t kd = 0; kd < s.kernel[0]; ++kd) {
      for (int64_t kh = 0; kh < s.kernel[1]; ++kh) {
        for (int64_t kw = 0; kw < s.kernel[2]; ++kw) {
          const int64_t shift = kw * s.dilation[2] - s.padding[2], step = s.stride[2];
          // Positions w with 0 <= w * step + shift < in.
          int64_t low = shift >= 0 ? 0 : (-shift + step - 1) / step;
          int64_t high = s.in[2] - shift <= 0 ? 0 : (s.in[2] - shift + step - 1) / step;
          low = std::clamp(low, block.from, block.from + block.width);
          high = std::clamp(high, low, block.from + block.width);
          int64_t out_h = first_h, d = first_d * s.stride[0] - s.padding[0] + kd * s.dilation[0];
          int64_t h = first_h * s.stride[1] - s.padding[1] + kh * s.dilation[1];
          for (int64_t r = 0; r < block.rows; ++r, at += block.width) {
            const bool inside = d >= 0 && d < s.in[0] && h >= 0 && h < s.in[1];
            f(at, inside ? ((c * s.in[0] + d) * s.in[1] + h) * s.in[2] : -1, low - block.from, high - block.from,
              low * step + shift);
            h += s.stride[1];
            if (++out_h == s.out[1]) {
              out_h = 0;
              h = kh * s.dilation[1] - s.padding[1];
              d += s.stride[0];
            }
          }
        }
      }
    }
  }
}

constexpr int64_t kChunk = 64;  // bytes that are copied at a time

// `room` elements of x may be read, and kChunk bytes behind the columns may be written: rows are shorter than a chunk
// as a rule, and what a copy writes too much is written over by the next row.
template <class T>
void gather(const ConvShape& s, const Block& block, const T* x, int64_t room, T* columns) {
  constexpr int64_t chunk = kChunk / int64_t{sizeof(T)};
  const int64_t step = s.stride[2], width = block.width;
  for_column_rows(s, block, [&](int64_t to, int64_t from, int64_t low, int64_t high, int64_t at) {
    T* row = columns + to;
    const int64_t n = high - low, chunks = (n + chunk - 1) / chunk * chunk;
    if (from < 0 || n == 0) {
      for (int64_t i = 0; i < width; i += chunk) std::memset(row + i, 0, kChunk);
      return;
    }
    const T* source = x + from + at;
    // Zeros in front (and what of them is too much) first, then the row, then zeros behind.
    for (int64_t i = 0; i < low; i += chunk) std::memset(row + i, 0, kChunk);
    if (step != 1) {
      for (int64_t i = 0; i < n; ++i) row[low + i] = source[i * step];
    } else if (from + at + chunks <= room) {
      for (int64_t i = 0; i < n; i += chunk) std::memcpy(row + low + i, source + i, kChunk);
    } else {
      std::memcpy(row + low, source, n * sizeof(T));
    }
    for (int64_t i = high; i < width; i += chunk) std::memset(row + i, 0, kChunk);
  });
}

// Rows of the input that `rows` rows of the output see.
int64_t seen_rows(const ConvShape& s, int64_t rows) {
  return (rows - 1) * s.stride[1] + (s.kernel[1] - 1) * s.dilation[1] + 1;
}
// What the last position sees may lie beyond the padding: of a transposed convolution with output_padding.
int64_t phase_width(const ConvShape& s) {
  const int64_t seen = (s.out[2] - 1) * s.stride[2] + (s.kernel[2] - 1) * s.dilation[2] + 1;
  return (std::max(s.in[2] + 2 * s.padding[2], seen) + s.stride[2] - 1) / s.stride[2];
}

// Two-dimensional, by whole rows: columns are then plain copies out of an input with its padding around it, whose rows
// are taken apart by place modulo stride.
bool copies_rows(const ConvShape& s, const Blocks& blocks) {
  if (s.in[0] != 1 || s.kernel[0] != 1 || s.padding[0] != 0 || blocks.width_blocks != 1) return false;
  const double size = static_cast<double>(seen_rows(s, blocks.block_rows)) * static_cast<double>(phase_width(s)) *
                      static_cast<double>(s.stride[2]);
  return size <= 16 * static_cast<double>(s.in_size()) + 65536;  // else most of it is padding
}

// One row of the input with its padding, every stride-th element together.
template <class T>
void pad_row(const ConvShape& s, const T* row, T* to) {
  const int64_t left = s.padding[2], step = s.stride[2], wide = phase_width(s), n = s.in[2];
  if (step == 1) {
    std::fill(to, to + left, T(0));
    std::memcpy(to + left, row, n * sizeof(T));
    std::fill(to + left + n, to + wide, T(0));
    return;
  }
  for (int64_t phase = 0; phase < step; ++phase, to += wide) {
    const int64_t first = left > phase ? (left - phase + step - 1) / step : 0;
    const int64_t end = std::max(first, std::min(wide, (n + left - phase + step - 1) / step));
    std::fill(to, to + first, T(0));
    const T* from = row + first * step + phase - left;
    for (int64_t i = first; i < end; ++i, from += step) to[i] = *from;
    std::fill(to + end, to + wide, T(0));
  }
}

// `count` rows of `bytes` bytes, of which each is written in whole chunks: what is too much is written over by the
// next.
template <int bytes>
void copy_rows(int64_t count, int64_t chunks, const char* from, int64_t from_step, char* to, int64_t to_step) {
  for (int64_t r = 0; r < count; ++r, from += from_step, to += to_step) {
    for (int64_t i = 0; i < chunks; ++i) std::memcpy(to + i * bytes, from + i * bytes, bytes);
  }
}

// padded: room for the seen rows of every channel and kChunk bytes; kChunk bytes behind the columns are written, too.
template <class T>
void gather_rows(const ConvShape& s, const Block& block, const T* x, T* padded, T* columns) {
  const int64_t rows = seen_rows(s, block.rows), wide = phase_width(s), phases = s.stride[2];
  const int64_t first = block.row * s.stride[1] - s.padding[1];
  T* to = padded;
  for (int64_t c = 0; c < s.channels; ++c) {
    for (int64_t r = 0; r < rows; ++r, to += phases * wide) {
      const int64_t h = first + r;
      if (h < 0 || h >= s.in[1])
        std::memset(to, 0, phases * wide * sizeof(T));
      else
        pad_row(s, x + (c * s.in[1] + h) * s.in[2], to);
    }
  }
  const int64_t bytes = block.width * int64_t{sizeof(T)}, step = phases * wide * s.stride[1] * int64_t{sizeof(T)};
  char* column = reinterpret_cast<char*>(columns);
  for (int64_t c = 0; c < s.channels; ++c) {
    for (int64_t kh = 0; kh < s.kernel[1]; ++kh) {
      for (int64_t kw = 0; kw < s.kernel[2]; ++kw, column += block.rows * bytes) {
        const int64_t at = kw * s.dilation[2];
        const T* from = padded + ((c * rows + kh * s.dilation[1]) * phases + at % phases) * wide + at / phases;
        const char* source = reinterpret_cast<const char*>(from);
        if (bytes <= 32)
          copy_rows<32>(block.rows, 1, source, step, column, bytes);
        else
          copy_rows<kChunk>(block.rows, (bytes + kChunk - 1) / kChunk, source, step, column, bytes);
      }
    }
  }
}

// Makes the columns of blocks, with the room that takes.
template <class T>
class Columns {
 public:
  Columns(const ConvShape& s, const Blocks& blocks, const T* x, bool plain, bool with_ones)
      : s_(s),
        end_(x + s.batch * s.groups * s.channels * s.in_size()),
        copies_(!plain && copies_rows(s, blocks)),
        with_ones_(with_ones),
        columns_(plain ? 0 : (s.depth() + with_ones) * blocks.block_rows * blocks.block_width + kChunk),
        padded_(copies_ ? s.channels * seen_rows(s, blocks.block_rows) * s.stride[2] * phase_width(s) + kChunk : 0) {}
  // Of one image; with_ones: one row of ones below.
  const T* make(const Block& block, const T* image) {
    if (copies_)
      gather_rows(s_, block, image, padded_.get(), columns_.get());
    else
      gather(s_, block, image, end_ - image, columns_.get());
    if (with_ones_) std::fill_n(columns_.get() + s_.depth() * block.size(), block.size(), T(1));
    return columns_.get();
  }

 private:
  const ConvShape& s_;
  const T* end_;
  bool copies_, with_ones_;
  Scratch<T> columns_, padded_;
};

template <class T>
void add_row(T* to, const T* from, int64_t n) {
  typedef T Vector __attribute__((vector_size(16), aligned(sizeof(T)), may_alias));
  constexpr int64_t lanes = 16 / int64_t{sizeof(T)};
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    *reinterpret_cast<Vector*>(to + i) += *reinterpret_cast<const Vector*>(from + i);
  }
  for (; i < n; ++i) to[i] += from[i];
}

template <class T>
void scatter(const ConvShape& s, const Block& block, const T* columns, T* x) {
  const int64_t step = s.stride[2];
  for_column_rows(s, block, [&](int64_t from, int64_t to, int64_t low, int64_t high, int64_t at) {
    if (to < 0) return;
    const T* row = columns + from + low;
    T* target = x + to + at;
    const int64_t n = high - low;
    if (step == 1) return add_row(target, row, n);
    for (int64_t i = 0; i < n; ++i) target[i * step] += row[i];
  });
}

template <class T>
void fill_features(int64_t features, int64_t size, const T* bias, T* to) {
  for (int64_t o = 0; o < features; ++o) std::fill_n(to + o * size, size, bias ? bias[o] : T(0));
}

// ---- many weights, few positions: the columns of several images side by side, so that the weights are read (and their
// gradient is added to) once for all of them, by one product over all threads.

bool is_wide(const ConvShape& s, const Blocks& blocks) {
  return s.groups == 1 && s.batch > 1 && blocks.count() == 1 && !needs_no_columns(s) && s.out_size() < 256 &&
         s.features * s.depth() >= 1 << 17;
}
int64_t images_together(const ConvShape& s) { return std::clamp<int64_t>(1024 / s.out_size(), 1, s.batch); }

// Columns of the images [first, first + images), `images` times as wide.
template <class T>
void make_wide(const ConvShape& s, const Blocks& blocks, const T* x, bool with_ones, int64_t first, int64_t images,
               T* to) {
  const int64_t n = s.out_size(), rows = s.depth() + with_ones;
  parallel_for(images, 1, [&](int64_t begin, int64_t end) {
    Columns<T> columns(s, blocks, x, false, with_ones);
    for (int64_t i = begin; i < end; ++i) {
      const T* made = columns.make(Block(blocks, 0), x + (first + i) * s.channels * s.in_size());
      for (int64_t r = 0; r < rows; ++r) std::memcpy(to + (r * images + i) * n, made + r * n, n * sizeof(T));
    }
  });
}
// y as it is, an image's features one after the other, or every feature's positions of all images side by side.
template <class T, bool gathering>
void exchange(const ConvShape& s, int64_t first, int64_t images, std::conditional_t<gathering, const T, T>* y,
              std::conditional_t<gathering, T, const T>* wide) {
  const int64_t n = s.out_size();
  parallel_for(s.features, std::max<int64_t>(1, 32768 / (n * images)), [&](int64_t begin, int64_t end) {
    for (int64_t o = begin; o < end; ++o) {
      for (int64_t i = 0; i < images; ++i) {
        auto* here = y + ((first + i) * s.features + o) * n;
        auto* there = wide + (o * images + i) * n;
        if constexpr (gathering)
          std::memcpy(there, here, n * sizeof(T));
        else
          std::memcpy(here, there, n * sizeof(T));
      }
    }
  });
}
template <class T>
void correlate_wide(const ConvShape& s, const Blocks& blocks, const T* x, const T* w, bool with_ones, T* y) {
  const int64_t together = images_together(s), n = s.out_size(), depth = s.depth() + with_ones;
  Scratch<T> columns(depth * together * n), made(s.features * together * n);
  for (int64_t first = 0; first < s.batch; first += together) {
    const int64_t images = std::min(together, s.batch - first);
    make_wide(s, blocks, x, with_ones, first, images, columns.get());
    gemm(dtype_of<T>, false, false, s.features, images * n, depth, Scalar(1), w, depth, columns.get(), images * n,
         Scalar(0), made.get(), images * n);
    exchange<T, false>(s, first, images, y, made.get());
  }
}
template <class T>
void weigh_wide(const ConvShape& s, const Blocks& blocks, const T* x, const T* y, T* w) {
  const int64_t together = images_together(s), n = s.out_size(), depth = s.depth();
  Scratch<T> columns(depth * together * n), wide(s.features * together * n);
  for (int64_t first = 0; first < s.batch; first += together) {
    const int64_t images = std::min(together, s.batch - first);
    make_wide(s, blocks, x, false, first, images, columns.get());
    exchange<T, true>(s, first, images, y, wide.get());
    gemm(dtype_of<T>, false, true, s.features, depth, images * n, Scalar(1), wide.get(), images * n, columns.get(),
         images * n, Scalar(first > 0), w, depth);
  }
}

template <class T>
void correlate(const ConvShape& s, const T* x, const T* w, const T* bias, T* y) {
  if constexpr (std::is_floating_point_v<T>) {
    if (!needs_no_columns(s) && correlate_directly(s, x, w, bias, y)) return;
  }
  const Blocks blocks(s, sizeof(T));
  const bool plain = needs_no_columns(s);
  const int64_t positions = s.out_size(), count = blocks.count();
  // The bias is the weight of a column of ones.
  const int64_t depth = s.depth() + (bias && !plain);
  Scratch<T> extended(depth > s.depth() ? s.groups * s.features * depth : 0);
  if (depth > s.depth()) {
    for (int64_t o = 0; o < s.groups * s.features; ++o) {
      std::memcpy(extended.get() + o * depth, w + o * s.depth(), s.depth() * sizeof(T));
      extended.get()[o * depth + s.depth()] = bias[o];
    }
    w = extended.get();
  }
  if (is_wide(s, blocks)) return correlate_wide(s, blocks, x, w, depth > s.depth(), y);
  parallel_for(s.batch * s.groups * count, 1, [&](int64_t begin, int64_t end) {
    Columns<T> columns(s, blocks, x, plain, depth > s.depth());
    for (int64_t t = begin; t < end; ++t) {
      const int64_t image = t / count, group = image % s.groups;
      const Block block(blocks, t % count);
      const int64_t first = block.first(s), n = block.size();
      const T* from = x + image * s.channels * s.in_size();
      T* to = y + image * s.features * positions + first;
      if (bias && plain) {
        for (int64_t o = 0; o < s.features; ++o) std::fill_n(to + o * positions, n, bias[group * s.features + o]);
      }
      gemm(dtype_of<T>, false, false, s.features, n, depth, Scalar(1), w + group * s.features * depth, depth,
           plain ? from + first : columns.make(block, from), plain ? s.in_size() : n, Scalar(bias && plain), to,
           positions);
    }
  });
}

// Stride 1: the adjoint is a convolution with the kernels turned around and channels and features exchanged.
bool is_turned_correlation(const ConvShape& s) {
  if (needs_no_columns(s) || s.features > 4 * s.channels) return false;  // columns of every feature cost more
  for (int i = 0; i < 3; ++i) {
    if (s.stride[i] != 1 || s.dilation[i] * (s.kernel[i] - 1) < s.padding[i]) return false;
  }
  return true;
}
template <class T>
void spread_turned(const ConvShape& s, const T* y, const T* w, const T* bias, T* x) {
  ConvShape t = s;
  std::swap(t.channels, t.features);
  for (int i = 0; i < 3; ++i) {
    t.in[i] = s.out[i];
    t.out[i] = s.in[i];
    t.padding[i] = s.dilation[i] * (s.kernel[i] - 1) - s.padding[i];
  }
  const int64_t taps = s.taps();
  Scratch<T> turned(s.groups * s.features * s.depth());
  T* to = turned.get();
  for (int64_t g = 0; g < s.groups; ++g) {
    for (int64_t c = 0; c < s.channels; ++c) {
      for (int64_t o = 0; o < s.features; ++o) {
        const T* from = w + ((g * s.features + o) * s.channels + c) * taps;
        for (int64_t i = 0; i < taps; ++i) *to++ = from[taps - 1 - i];
      }
    }
  }
  correlate<T>(t, y, turned.get(), bias, x);
}

template <class T>
void spread(const ConvShape& s, const T* y, const T* w, const T* bias, T* x) {
  if constexpr (std::is_floating_point_v<T>) {
    if (!needs_no_columns(s) && spread_directly(s, y, w, bias, x)) return;
  }
  if (is_turned_correlation(s)) return spread_turned(s, y, w, bias, x);
  const Blocks blocks(s, sizeof(T));
  const bool plain = needs_no_columns(s);
  const int64_t depth = s.depth(), positions = s.out_size(), size = s.in_size();
  parallel_for(s.batch * s.groups, 1, [&](int64_t begin, int64_t end) {
    Scratch<T> columns(plain ? 0 : depth * blocks.block_rows * blocks.block_width + kChunk);
    for (int64_t image = begin; image < end; ++image) {
      const int64_t group = image % s.groups;
      T* to = x + image * s.channels * size;
      fill_features<T>(s.channels, size, bias ? bias + group * s.channels : nullptr, to);
      for (int64_t i = 0; i < blocks.count(); ++i) {
        const Block block(blocks, i);
        const int64_t first = block.first(s), n = block.size();
        gemm(dtype_of<T>, true, false, depth, n, s.features, Scalar(1), w + group * s.features * depth, depth,
             y + image * s.features * positions + first, positions, Scalar(plain ? 1 : 0),
             plain ? to + first : columns.get(), plain ? size : n);
        if (!plain) scatter(s, block, columns.get(), to);
      }
    }
  });
}

template <class T>
void weigh(const ConvShape& s, const T* x, const T* y, T* w) {
  if constexpr (std::is_floating_point_v<T>) {
    if (!needs_no_columns(s) && weigh_directly(s, x, y, w)) return;
  }
  const Blocks blocks(s, sizeof(T));
  if (is_wide(s, blocks)) return weigh_wide(s, blocks, x, y, w);
  const bool plain = needs_no_columns(s);
  const int64_t depth = s.depth(), positions = s.out_size(), size = s.features * depth, count = blocks.count();
  // Images (and their blocks) in parts that do not depend on the threads, each with its own sum.
  const int64_t all = s.batch * count;
  const int64_t parts = std::clamp<int64_t>(s.work() / s.groups >> 20, 1, std::min<int64_t>(all, 16));
  // The second factor of a product that sums along memory has to be packed: that is the smaller one.
  const bool turned = depth > s.features;
  Scratch<T> sums(parts * s.groups * size);
  parallel_for(parts * s.groups, 1, [&](int64_t begin, int64_t end) {
    Columns<T> columns(s, blocks, x, plain, false);
    for (int64_t t = begin; t < end; ++t) {
      const int64_t group = t % s.groups, part = t / s.groups;
      T* sum = sums.get() + t * size;
      for (int64_t i = all * part / parts; i < all * (part + 1) / parts; ++i) {
        const int64_t image = i / count * s.groups + group;
        const Block block(blocks, i % count);
        const int64_t first = block.first(s), n = block.size();
        const T* from = x + image * s.channels * s.in_size();
        const T *here = y + image * s.features * positions + first,
                *seen = plain ? from + first : columns.make(block, from);
        const int64_t step = plain ? s.in_size() : n;
        const Scalar add(i == all * part / parts ? 0 : 1);
        if (turned)
          gemm(dtype_of<T>, false, true, depth, s.features, n, Scalar(1), seen, step, here, positions, add, sum,
               s.features);
        else
          gemm(dtype_of<T>, false, true, s.features, depth, n, Scalar(1), here, positions, seen, step, add, sum, depth);
      }
    }
  });
  const int64_t weights = s.groups * size;
  for (int64_t p = 1; p < parts; ++p) add_row(sums.get(), sums.get() + p * weights, weights);
  if (!turned) return static_cast<void>(std::memcpy(w, sums.get(), weights * sizeof(T)));
  for (int64_t g = 0; g < s.groups; ++g) {
    for (int64_t o = 0; o < s.features; ++o) {
      T* to = w + (g * s.features + o) * depth;
      const T* from = sums.get() + g * size + o;
      for (int64_t i = 0; i < depth; ++i) to[i] = from[i * s.features];
    }
  }
}

template <class F>
void typed(DType dtype, F&& f) {
  switch (dtype) {
    case DType::f32: return f.template operator()<float>();
    case DType::f64: return f.template operator()<double>();
    case DType::i64: return f.template operator()<int64_t>();
    default: fail(ErrorKind::runtime, "convolution: no kernels for ", dtype);
  }
}

}  // namespace

void conv_correlate(DType dtype, const ConvShape& s, const void* x, const void* w, const void* bias, void* y) {
  typed(dtype, [&]<class T>() {
    correlate<T>(s, static_cast<const T*>(x), static_cast<const T*>(w), static_cast<const T*>(bias),
                 static_cast<T*>(y));
  });
}
void conv_spread(DType dtype, const ConvShape& s, const void* y, const void* w, const void* bias, void* x) {
  typed(dtype, [&]<class T>() {
    spread<T>(s, static_cast<const T*>(y), static_cast<const T*>(w), static_cast<const T*>(bias), static_cast<T*>(x));
  });
}
void conv_weigh(DType dtype, const ConvShape& s, const void* x, const void* y, void* w) {
  typed(dtype, [&]<class T>() { weigh<T>(s, static_cast<const T*>(x), static_cast<const T*>(y), static_cast<T*>(w)); });
}

}  // namespace bulssi
