// Matrix products: which path is taken when. The choice depends on the shapes alone.
//
//   path      when                                        what
//   row       m == 1 or n == 1                            b streamed once, eight rows at a time, or dot products
//   dot       both contiguous along k, k >= 9 m, m <= 12  no packing: lanes run along k and are summed at the end
//   parts     c small and k beyond 4096                   k in pieces, each with its own c, added in order
//   turned    both contiguous along k, n >= 2 m           (b' a')', because packing the smaller operand costs less
//   direct    under a million multiply-adds, or m <= 48   register tiles straight on the operands; only a b that is
//                                                         contiguous along k is packed
//   tiles     b contiguous along n, no need to pack a     tiles of c over the threads, each with blocks of k of its
//                                                         own; b is packed on the way where that pays
//   blocked   everything else                             blocks of k, operands packed, tiles of c over the threads
//
// Why not BLAS: beside MKL on one AVX-512 core (f32), the direct path is 25 to 2 times as fast at 8 to 64, the blocked
// one 1.1 times at 256 and 1.0 times above, which is where single-threaded OpenBLAS is too; one set of kernels also
// keeps the bits and the threads ours. Operands are used in place wherever possible, because packing costs up to a
// seventh of the time while a tile fed from the second-level cache runs at full speed. blas.h serves LAPACK.
#include "core/cpu/gemm.h"

#include <algorithm>
#include <cstring>
#include <type_traits>

#include "core/base/scratch.h"
#include "core/base/threads.h"
#include "core/cpu/cpu.h"
#include "core/cpu/gemm_kernels.h"
#include "core/cpu/kernel_table.h"

namespace bulssi {
TAKE_KERNELS(GemmTable, gemm)

namespace {

template <class T>
const GemmKernels<T>& kernels() {
  return cpu::kernels_of<T>(gemm_kernels());
}

constexpr int64_t kSerial = int64_t{1} << 20;    // multiply-adds below which one thread is faster than two
constexpr int64_t kTileWork = int64_t{1} << 18;  // multiply-adds that a thread should take at a time, at least
constexpr int64_t kDepthBytes = 2048;            // of a block of k: a panel of a fits the first-level cache
constexpr int64_t kTileRows = 112;
constexpr int64_t kTallTileRows = 1120;  // where a tile packs its part of b itself
constexpr int64_t kTileColBytes = 1024;  // a tile's part of b fits the second-level cache
constexpr int64_t kFewRows = 48;         // up to here b is not read often enough to be worth packing
constexpr int64_t kDotRows = 12;         // beyond, packing b is paid back: a sum along k costs twice a tile's step
// What packing takes to pay: rows (columns) that use a b (an a), and the depth, without which the lines of an operand
// as it is stay in the first-level cache. A b of few columns has them close to each other already. An a whose rows lie
// one behind the other is never packed: a panel of it is read once, and then from the first-level cache.
constexpr int64_t kPackRows = 512, kPackColumns = 256, kPackDepth = 320;
constexpr int64_t kPackTurnedColumns = 448, kPackTurnedDepth = 96;
// The first panel of rows packs b for the others at the price of its stores; it takes some of them to be repaid.
constexpr int64_t kCopyRows = 112, kCopyDepth = 128;
constexpr int64_t kThreadTiles = 8;                      // per thread, so that one which is held up can be helped
constexpr int64_t kBlockRows = 4096, kBlockCols = 4096;  // bounds what is packed at a time

constexpr int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

// The depth of a block of k: shares of about equal size.
template <class T>
int64_t block_depth(int64_t k) {
  constexpr int64_t most = kDepthBytes / sizeof(T);
  return ceil_div(k, std::max<int64_t>(1, (k + most / 2) / most));
}

// An operand as a function of its two indices; one of the strides is 1 (or its extent is).
template <class T>
struct Matrix {
  const T* p;
  int64_t row, col;
  Matrix at(int64_t i, int64_t j) const { return {p + i * row + j * col, row, col}; }
  Matrix transposed() const { return {p, col, row}; }
};

// A product in the making: c = alpha a b + beta c + bias.
template <class T>
struct Product {
  int64_t m, n, k;
  Matrix<T> a, b;
  T* c;
  int64_t ldc;
  T alpha, beta;
  const T* bias;
};

// ---- splitting ------------------------------------------------------------------------------------------------------

// c cut into rows x cols tiles of about equal size: m units of `high` rows, and n columns cut at multiples of a unit.
// Each thread gets a run of tiles, of columns or by rows.
struct Grid {
  int64_t m, n, unit, rows, cols;
  bool by_rows;

  Grid(bool by_rows, int64_t m, int64_t high, int64_t n, int64_t k, int64_t unit, int64_t most_rows, int64_t most_cols,
       int64_t per_thread = kThreadTiles)
      : m(m), n(n), unit(unit), by_rows(by_rows) {
    const int64_t units = ceil_div(n, unit), threads = thread_count(), work = m * high * n * k;
    rows = ceil_div(m, most_rows);
    cols = std::min(units, ceil_div(n, most_cols));
    // Enough tiles that a thread which is held up is helped, as long as each is worth taking; as many for each thread.
    // No bit depends on their number: an element of c is the same sum in any tile. Halving the longer side keeps the
    // most reuse.
    while (rows * cols < per_thread * threads && work / (rows * cols) >= 2 * kTileWork) {
      const bool halve_rows = (m * high / rows >= n / cols || cols * 2 > units) && m / rows * high >= 16;
      if (halve_rows && rows * 2 <= m)
        rows *= 2;
      else if (cols * 2 <= units)
        cols *= 2;
      else
        break;
    }
    if (rows * cols < threads) return;
    const int64_t even_rows = ceil_div(rows, threads) * threads, even_cols = ceil_div(cols, threads) * threads;
    if (even_rows <= m && (by_rows || even_cols > units))
      rows = even_rows;
    else if (even_cols <= units)
      cols = even_cols;
  }
  // f(first row, rows, first column, columns) for every tile, over the threads.
  template <class F>
  void run(F&& f) const {
    const int64_t units = ceil_div(n, unit);
    parallel_for(rows * cols, 1, [&](int64_t begin, int64_t end) {
      for (int64_t t = begin; t < end; t++) {
        const int64_t r = by_rows ? t / cols : t % rows, s = by_rows ? t % cols : t / rows;
        const int64_t i = m * r / rows, j = std::min(n, units * s / cols * unit);
        f(i, m * (r + 1) / rows - i, j, std::min(n, units * (s + 1) / cols * unit) - j);
      }
    });
  }
};

template <class T>
GemmBlock<T> block_of(const Product<T>& g) {
  return {g.m, g.n,   g.k,     g.a.p,  g.a.row, g.a.col, g.b.p, g.b.row, 0,
          g.c, g.ldc, g.alpha, g.beta, g.bias,  0,       0,     {},      false};
}

// Rows of a at (nearly) a multiple of 4096 bytes share the same sets of the first-level cache, which holds fewer of
// them than a panel has.
template <class T>
bool rows_collide(const Matrix<T>& a) {
  constexpr int64_t period = 4096, spread = 192;
  const int64_t distance = (a.row * int64_t{sizeof(T)} % period + period) % period;
  return a.col == 1 && a.row != 1 && (distance < spread || period - distance < spread);
}

// ---- the paths ------------------------------------------------------------------------------------------------------

// c = beta c + bias: what is left without a product.
template <class T>
void scale_rows(int64_t m, int64_t n, T* c, int64_t ldc, T beta, const T* bias) {
  for (int64_t i = 0; i < m; i++, c += ldc) {
    for (int64_t j = 0; j < n; j++)
      c[j] = static_cast<T>((bias ? bias[j] : T(0)) + (beta == T(0) ? T(0) : static_cast<T>(beta * c[j])));
  }
}

template <class T>
void dot_path(const Product<T>& g) {
  const auto run = [&](int64_t i, int64_t rows, int64_t j, int64_t cols) {
    GemmBlock<T> block = block_of(g);
    block.m = rows;
    block.n = cols;
    block.a += i * g.a.row;
    block.b += j * g.b.col;
    block.b_row = g.b.col;
    block.c += i * g.ldc + j;
    if (g.bias) block.bias += j;
    kernels<T>().dot(block);
  };
  if (g.m * g.n * g.k < kSerial) return run(0, g.m, 0, g.n);
  Grid(false, g.m, 1, g.n, g.k, 8, 48, 256).run(run);
}

// One row, b contiguous along n.
template <class T>
void row_path(const Product<T>& g) {
  Scratch<T> scaled(g.alpha == T(1) ? 0 : g.k);
  const T* x = g.a.p;
  int64_t step = g.a.col;
  if (g.alpha != T(1)) {
    for (int64_t p = 0; p < g.k; p++) scaled.get()[p] = g.alpha * x[p * step];
    x = scaled.get();
    step = 1;
  }
  const auto run = [&](int64_t begin, int64_t end) {
    for (int64_t j = begin; j < end; j += 2048) {  // the part of c stays in the first-level cache
      const int64_t n = std::min<int64_t>(2048, end - j);
      scale_rows(1, n, g.c + j, 0, g.beta, g.bias ? g.bias + j : nullptr);
      kernels<T>().stream(n, g.k, x, step, g.b.p + j, g.b.row, g.c + j);
    }
  };
  const int64_t unit = 64;
  parallel_for(g.n, std::max(unit, ceil_div(kTileWork / 2, g.k * unit) * unit), run);
}

// Packs the operands that have scratch memory for a block of k and computes the tiles of c.
template <class T>
void packed_block(const Product<T>& g, T* a_scratch, T* b_scratch) {
  const GemmKernels<T>& f = kernels<T>();
  const GemmPanels rows(g.m, f.rows);
  const int64_t panel = f.panel;
  const int64_t a_panels = a_scratch ? rows.count : 0, b_panels = b_scratch ? ceil_div(g.n, panel) : 0;
  // Each task packs its part of both; two panels of b side by side use whole cache lines and few streams.
  const int64_t tasks = ceil_div(std::max(a_panels, b_panels), 2);
  parallel_for(tasks, 1, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; t++) {
      for (int64_t r = a_panels * t / tasks; r < a_panels * (t + 1) / tasks; r++)
        f.pack_rows(rows.rows(r), g.k, g.a.p + rows.first(r), g.a.col, a_scratch + rows.first(r) * g.k);
      const int64_t j = b_panels * t / tasks * panel, end_j = std::min(g.n, b_panels * (t + 1) / tasks * panel);
      if (j < end_j) f.pack_panels(g.k, end_j - j, g.b.at(0, j).p, g.b.row, g.b.col, b_scratch + j * g.k);
    }
  });
  // What a thread has packed is in its own cache: it takes the columns of its part of b, unless a is much larger.
  // Without packing, both operands are read least when the longer side is divided.
  const Grid grid(g.m > (b_scratch ? 2 * g.n : g.n), rows.count, rows.rows(0), g.n, g.k, panel,
                  ceil_div(kTileRows, f.rows), kTileColBytes / int64_t{sizeof(T)});
  const bool collide = !a_scratch && rows_collide(g.a);
  grid.run([&](int64_t first, int64_t count, int64_t j, int64_t cols) {
    const Scratch<T> a_copy(collide ? g.k * f.rows : 0);
    GemmBlock<T> block = block_of(g);
    block.n = cols;
    block.a_panels = count;
    block.a_first = first;
    block.panels = rows;
    if (a_scratch) {
      block.a = a_scratch;
      block.a_packed = true;
    }
    if (collide) block.a_copy = a_copy.get();
    block.b += j;
    if (b_scratch) {
      block.b = b_scratch + j * g.k;
      block.b_panel = g.k * panel;
    }
    block.c += j;
    if (g.bias) block.bias += j;
    f.block(block);
  });
}

// c in tiles, a as it is; b as it is or packed. For few rows.
template <class T>
void few_rows_path(const Product<T>& g) {
  const GemmKernels<T>& f = kernels<T>();
  const int64_t panel = f.panel, panels = ceil_div(g.n, panel);
  const bool pack = g.b.col != 1;
  Scratch<T> packed(pack ? g.k * panels * panel : 0);
  // Tiles of all rows: the thread that packs a part of b is the one that uses it.
  const auto run = [&](int64_t, int64_t, int64_t j, int64_t cols) {
    GemmBlock<T> block = block_of(g);
    block.n = cols;
    block.b += j;
    if (pack) {
      T* part = packed.get() + j * g.k;
      f.pack_panels(g.k, cols, g.b.at(0, j).p, g.b.row, g.b.col, part);
      block.b = part;
      block.b_panel = g.k * panel;
    }
    block.c += j;
    if (g.bias) block.bias += j;
    f.block(block);
  };
  if (g.m * g.n * g.k < kSerial) return run(0, 1, 0, g.n);
  Grid(false, 1, g.m, g.n, g.k, panel, 1, kTileColBytes / int64_t{sizeof(T)}).run(run);
}

// Both operands as they are. A tile of c goes through all blocks of k, so that it stays in its thread's cache.
template <class T>
void tiles_path(const Product<T>& g) {
  const GemmKernels<T>& f = kernels<T>();
  const int64_t panel = f.panel, depth = block_depth<T>(g.k);
  const GemmPanels rows(g.m, f.rows);
  const bool copy = g.m >= kCopyRows && depth >= kCopyDepth;
  const Grid grid(g.m > 2 * g.n, rows.count, rows.rows(0), g.n, g.k, panel, ceil_div(kTallTileRows, f.rows),
                  kTileColBytes / int64_t{sizeof(T)}, kThreadTiles / 2);
  const bool collide = rows_collide(g.a);
  grid.run([&](int64_t first, int64_t count, int64_t j, int64_t cols) {
    const Scratch<T> b_copy(copy ? depth * ceil_div(cols, panel) * panel : 0);
    const Scratch<T> a_copy(collide ? depth * f.rows : 0);
    GemmBlock<T> block = block_of(g);
    block.n = cols;
    block.a_panels = count;
    block.a_first = first;
    block.panels = rows;
    block.b += j;
    block.c += j;
    if (g.bias) block.bias += j;
    if (copy) block.b_copy = b_copy.get();
    if (collide) block.a_copy = a_copy.get();
    for (int64_t p = 0; p < g.k; p += depth) {
      block.k = std::min(depth, g.k - p);
      f.block(block);
      block.a += depth * g.a.col;
      block.b += depth * g.b.row;
      block.beta = T(1);
      block.bias = nullptr;
    }
  });
}

template <class T>
void blocked_path(const Product<T>& g) {
  const int64_t panel = kernels<T>().panel;
  const int64_t depth = block_depth<T>(g.k);
  const int64_t rows = std::min(g.m, kBlockRows), cols = std::min(g.n, kBlockCols);
  const bool pack_a = g.a.col != 1 && g.n >= kPackTurnedColumns && depth >= kPackTurnedDepth;
  const bool pack_b = g.b.col != 1 || (g.m >= kPackRows && g.n >= kPackColumns && depth >= kPackDepth);
  if (!pack_a && g.b.col == 1) return tiles_path(g);
  Scratch<T> a_scratch(pack_a ? rows * depth : 0);
  Scratch<T> b_scratch(pack_b ? depth * ceil_div(cols, panel) * panel : 0);
  for (int64_t j = 0; j < g.n; j += cols) {
    for (int64_t p = 0; p < g.k; p += depth) {
      for (int64_t i = 0; i < g.m; i += rows) {
        Product<T> part = g;
        part.m = std::min(rows, g.m - i);
        part.n = std::min(cols, g.n - j);
        part.k = std::min(depth, g.k - p);
        part.a = g.a.at(i, p);
        part.b = g.b.at(p, j);
        part.c += i * g.ldc + j;
        if (p == 0) {
          if (g.bias) part.bias += j;
        } else {
          part.beta = T(1);
          part.bias = nullptr;
        }
        packed_block(part, pack_a ? a_scratch.get() : nullptr, pack_b ? b_scratch.get() : nullptr);
      }
    }
  }
}

template <class T>
void product(const Product<T>& g);

// k in `parts` pieces; the first makes c, the others a c of their own each, which are added in order.
template <class T>
void parts_path(const Product<T>& g, int64_t parts) {
  const int64_t size = g.m * g.n;
  Scratch<T> partial((parts - 1) * size);
  parallel_for(parts, 1, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; t++) {
      const int64_t p = g.k * t / parts;
      Product<T> part = g;
      part.k = g.k * (t + 1) / parts - p;
      part.a = g.a.at(0, p);
      part.b = g.b.at(p, 0);
      if (t > 0) {
        part.c = partial.get() + (t - 1) * size;
        part.ldc = g.n;
        part.beta = T(0);
        part.bias = nullptr;
      }
      product<T>(part);
    }
  });
  const T one = 1;
  const bool together = g.ldc == g.n;
  for (int64_t i = 0; i < (together ? 1 : g.m); i++) {
    kernels<T>().stream(together ? size : g.n, parts - 1, &one, 0, partial.get() + i * g.n, size, g.c + i * g.ldc);
  }
}

// (b' a')': of two operands that are contiguous along k, the smaller one is packed.
template <class T>
void turned_path(const Product<T>& g) {
  const GemmKernels<T>& f = kernels<T>();
  Scratch<T> turned(g.n * g.m);
  product<T>({g.n, g.m, g.k, g.b.transposed(), g.a.transposed(), turned.get(), g.m, g.alpha, T(0), nullptr});
  const int64_t unit = 2 * f.panel, units = ceil_div(g.n, unit);
  parallel_for(units, std::max<int64_t>(1, kTileWork / 16 / (unit * g.m)), [&](int64_t begin, int64_t end) {
    const int64_t j = begin * unit, cols = std::min(g.n, end * unit) - j;
    f.transpose(cols, g.m, turned.get() + j * g.m, g.m, g.c + j, g.ldc);
    const T one = 1;
    for (int64_t i = 0; g.bias && i < g.m; i++) f.stream(cols, 1, &one, 0, g.bias + j, 0, g.c + i * g.ldc + j);
  });
}

template <class T>
void product(const Product<T>& g) {
  if (g.m <= 0 || g.n <= 0) return;
  if (g.k <= 0 || g.alpha == T(0)) return scale_rows(g.m, g.n, g.c, g.ldc, g.beta, g.bias);
  if (g.n == 1 && g.m > 1 && !g.bias) {
    // As a row: (a b)' = b' a'.
    if (g.ldc == 1)
      return product<T>({1, g.m, g.k, g.b.transposed(), g.a.transposed(), g.c, g.m, g.alpha, g.beta, nullptr});
    Scratch<T> row(g.m);
    product<T>({1, g.m, g.k, g.b.transposed(), g.a.transposed(), row.get(), g.m, g.alpha, T(0), nullptr});
    for (int64_t i = 0; i < g.m; i++) {
      T& c = g.c[i * g.ldc];
      c = row.get()[i] + (g.beta == T(0) ? T(0) : g.beta * c);
    }
    return;
  }
  const int64_t work = g.m * g.n * g.k;
  if (work >= kSerial && g.k >= 4096 && g.m * g.n <= 16384) return parts_path(g, std::min<int64_t>(64, g.k / 2048));
  // Few rows and columns: pieces of k read b once and in order, and a thread's piece stays in its cache.
  if (work >= kSerial && g.m <= kFewRows && g.b.col == 1 && g.k >= 512 && g.k >= 4 * g.n)
    return parts_path(g, std::min<int64_t>(64, g.k / 512 * 2));
  const bool dots = g.a.col == 1 && g.b.row == 1 && (g.m == 1 || (g.m <= kDotRows && g.k >= 9 * g.m && g.k >= 64));
  if (dots) return dot_path(g);
  if (g.m == 1 && g.b.col == 1) return row_path(g);
  if (g.a.col == 1 && g.b.row == 1 && g.b.col != 1 && g.m > kDotRows && g.n >= 2 * g.m && g.beta == T(0) &&
      work >= kSerial)
    return turned_path(g);
  if (work < kSerial || g.m <= kFewRows) return few_rows_path(g);
  blocked_path(g);
}

// ---- types ----------------------------------------------------------------------------------------------------------

// Integers: rows of c updated by rows of b. Unsigned arithmetic, because overflow wraps.
template <class T>
void integer_product(int64_t m, int64_t n, int64_t k, T alpha, Matrix<T> a, Matrix<T> b, T beta, T* c, int64_t ldc,
                     const T* bias) {
  using U = std::make_unsigned_t<T>;
  // Narrow types would be promoted to int, where a product of two 16-bit numbers overflows.
  using W = std::conditional_t<(sizeof(T) < 4), uint32_t, U>;
  parallel_for(m, std::max<int64_t>(1, kTileWork / 8 / std::max<int64_t>(1, n * k)), [&](int64_t begin, int64_t end) {
    Scratch<W> sums(n);
    W* s = sums.get();
    for (int64_t i = begin; i < end; i++) {
      for (int64_t j = 0; j < n; j++) s[j] = 0;
      if (b.col == 1) {
        for (int64_t p = 0; p < k; p++) {
          const W x = static_cast<W>(a.p[i * a.row + p * a.col]);
          const T* from = b.p + p * b.row;
          for (int64_t j = 0; j < n; j++) s[j] += x * static_cast<W>(from[j]);
        }
      } else {
        for (int64_t j = 0; j < n; j++) {
          W sum = 0;
          for (int64_t p = 0; p < k; p++)
            sum += static_cast<W>(a.p[i * a.row + p * a.col]) * static_cast<W>(b.p[p * b.row + j * b.col]);
          s[j] = sum;
        }
      }
      T* out = c + i * ldc;
      for (int64_t j = 0; j < n; j++) {
        W v = static_cast<W>(alpha) * s[j] + (bias ? static_cast<W>(bias[j]) : W(0));
        if (beta != 0) v += static_cast<W>(beta) * static_cast<W>(out[j]);
        out[j] = static_cast<T>(v);
      }
    }
  });
}

// f16 and bf16: both operands widened to f32, the result rounded once.
template <class T>
void half_product(DType dtype, int64_t m, int64_t n, int64_t k, const Scalar& alpha, Matrix<T> a, Matrix<T> b,
                  const Scalar& beta, T* c, int64_t ldc, const T* bias) {
  const auto load = cpu::converters().load[static_cast<int>(dtype)][static_cast<int>(Compute::f32)];
  const auto store = cpu::converters().store[static_cast<int>(Compute::f32)][static_cast<int>(dtype)];
  // Rows of the stored matrix, one after the other; a transposed one stays transposed.
  const auto widen = [&](Matrix<T> from, int64_t rows, int64_t cols, float* to) -> Matrix<float> {
    const bool turned = from.col != 1;
    if (turned) std::swap(rows, cols);
    const int64_t ld = turned ? from.col : from.row;
    parallel_for(rows, std::max<int64_t>(1, 65536 / std::max<int64_t>(1, cols)), [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; i++) load(cols, from.p + i * ld, to + i * cols);
    });
    return turned ? Matrix<float>{to, 1, cols} : Matrix<float>{to, cols, 1};
  };
  Scratch<float> wide_a(m * k), wide_b(k * n), wide_c(m * n), wide_bias(bias ? n : 0);
  const float beta_value = beta.as<float>();
  if (beta_value != 0)
    for (int64_t i = 0; i < m; i++) load(n, c + i * ldc, wide_c.get() + i * n);
  if (bias) load(n, bias, wide_bias.get());
  product<float>({m, n, k, widen(a, m, k, wide_a.get()), widen(b, k, n, wide_b.get()), wide_c.get(), n,
                  alpha.as<float>(), beta_value, bias ? wide_bias.get() : nullptr});
  for (int64_t i = 0; i < m; i++) store(n, wide_c.get() + i * n, c + i * ldc);
}

template <class T>
Matrix<T> stored(const void* p, bool trans, int64_t ld) {
  return trans ? Matrix<T>{static_cast<const T*>(p), 1, ld} : Matrix<T>{static_cast<const T*>(p), ld, 1};
}

template <class T>
void typed(DType dtype, bool trans_a, bool trans_b, int64_t m, int64_t n, int64_t k, const Scalar& alpha, const void* a,
           int64_t lda, const void* b, int64_t ldb, const Scalar& beta, void* c, int64_t ldc, const void* bias) {
  const Matrix<T> x = stored<T>(a, trans_a, lda), y = stored<T>(b, trans_b, ldb);
  T* out = static_cast<T*>(c);
  const T* add = static_cast<const T*>(bias);
  if constexpr (std::is_same_v<T, bool>)
    fail(ErrorKind::not_implemented, "\"addmm_impl_cpu_\" not implemented for 'Bool'");
  else if constexpr (std::is_floating_point_v<T>)
    product<T>({m, n, k, x, y, out, ldc, alpha.as<T>(), beta.as<T>(), add});
  else if constexpr (std::is_integral_v<T>)
    integer_product<T>(m, n, k, alpha.as<T>(), x, y, beta.as<T>(), out, ldc, add);
  else
    half_product<T>(dtype, m, n, k, alpha, x, y, beta, out, ldc, add);
}

}  // namespace

void gemm(DType dtype, bool trans_a, bool trans_b, int64_t m, int64_t n, int64_t k, const Scalar& alpha, const void* a,
          int64_t lda, const void* b, int64_t ldb, const Scalar& beta, void* c, int64_t ldc, const void* bias) {
  dispatch(dtype, "addmm_impl_cpu_",
           [&]<class T>() { typed<T>(dtype, trans_a, trans_b, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc, bias); });
}

void gemm_batched(DType dtype, int64_t batch, bool trans_a, bool trans_b, int64_t m, int64_t n, int64_t k,
                  const Scalar& alpha, const void* a, int64_t lda, int64_t stride_a, const void* b, int64_t ldb,
                  int64_t stride_b, const Scalar& beta, void* c, int64_t ldc, int64_t stride_c) {
  // One b for all, and a and c laid out as one tall matrix each: one product.
  if (stride_b == 0 && !trans_a && stride_a == m * lda && stride_c == m * ldc)
    return gemm(dtype, false, trans_b, batch * m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
  const int64_t size = itemsize(dtype), work = std::max<int64_t>(1, m * n * k);
  const auto run = [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; t++) {
      gemm(dtype, trans_a, trans_b, m, n, k, alpha, static_cast<const char*>(a) + t * stride_a * size, lda,
           static_cast<const char*>(b) + t * stride_b * size, ldb, beta, static_cast<char*>(c) + t * stride_c * size,
           ldc);
    }
  };
  // Products large enough to be split themselves go one after the other when they are few.
  if (work >= 16 * kSerial && batch < 16) return run(0, batch);
  parallel_for(batch, std::max<int64_t>(1, kTileWork / work), run);
}

namespace {

// The blocks of k of a packed matrix: f(first, depth).
template <class T, class F>
void for_depths(int64_t k, F&& f) {
  const int64_t depth = block_depth<T>(k);
  for (int64_t p = 0; p < k; p += depth) f(p, std::min(depth, k - p));
}

template <class T>
void packed_product(int64_t m, int64_t n, int64_t k, const T* packed, const T* a, int64_t lda, bool add, T* c,
                    int64_t ldc, const T* bias) {
  if (m <= 0 || n <= 0) return;
  if (k <= 0) return scale_rows(m, n, c, ldc, T(add), bias);
  const GemmKernels<T>& f = kernels<T>();
  const int64_t panel = f.panel, whole = ceil_div(n, panel) * panel;
  const int64_t grain = m * n * k < kSerial ? ceil_div(n, panel) : std::max<int64_t>(1, kTileWork / (m * k * panel));
  parallel_for(ceil_div(n, panel), grain, [&](int64_t begin, int64_t end) {
    const int64_t j = begin * panel, cols = std::min(n, end * panel) - j;
    for_depths<T>(k, [&](int64_t p, int64_t depth) {
      GemmBlock<T> g{};
      g.m = m, g.n = cols, g.k = depth;
      g.a = a + p, g.a_row = lda, g.a_col = 1;
      g.b = packed + p * whole + j * depth, g.b_panel = depth * panel;
      g.c = c + j, g.ldc = ldc;
      g.alpha = T(1), g.beta = T(p > 0 || add);
      g.bias = bias && p == 0 ? bias + j : nullptr;
      f.block(g);
    });
  });
}

template <class T>
void pack(const Matrix<T>& b, int64_t n, int64_t k, T* to) {
  const int64_t panel = kernels<T>().panel, panels = ceil_div(n, panel);
  for_depths<T>(k, [&](int64_t p, int64_t depth) {
    parallel_for(panels, std::max<int64_t>(1, 32768 / (depth * panel)), [&](int64_t begin, int64_t end) {
      const int64_t j = begin * panel;
      kernels<T>().pack_panels(depth, std::min(n, end * panel) - j, b.at(p, j).p, b.row, b.col,
                               to + p * panels * panel + j * depth);
    });
  });
}

}  // namespace

PackedMatrix::PackedMatrix(DType dtype, bool trans_b, int64_t n, int64_t k, const void* b, int64_t ldb)
    : dtype_(dtype), n_(n), k_(k) {
  const auto run = [&]<class T>() {
    const int64_t panel = kernels<T>().panel;
    bytes_ = static_cast<size_t>(k * ceil_div(n, panel) * panel) * sizeof(T);
    p_ = allocate(bytes_);
    if (n > 0 && k > 0) pack<T>(stored<T>(b, trans_b, ldb), n, k, static_cast<T*>(p_));
  };
  dtype == DType::f64 ? run.template operator()<double>() : run.template operator()<float>();
}
PackedMatrix::~PackedMatrix() { deallocate(p_, bytes_); }
void PackedMatrix::product(int64_t m, const void* a, int64_t lda, bool add, void* c, int64_t ldc,
                           const void* bias) const {
  const auto run = [&]<class T>() {
    packed_product<T>(m, n_, k_, static_cast<const T*>(p_), static_cast<const T*>(a), lda, add, static_cast<T*>(c), ldc,
                      static_cast<const T*>(bias));
  };
  dtype_ == DType::f64 ? run.template operator()<double>() : run.template operator()<float>();
}

void gemv(DType dtype, bool trans, int64_t m, int64_t n, const Scalar& alpha, const void* a, int64_t lda, const void* x,
          int64_t x_step, const Scalar& beta, void* y, int64_t y_step) {
  const int64_t rows = trans ? n : m, inner = trans ? m : n;
  gemm(dtype, trans, false, rows, 1, inner, alpha, a, lda, x, x_step, beta, y, y_step);
}

namespace {
template <class T>
void typed_dot(int64_t n, const T* a, int64_t a_step, const T* b, int64_t b_step, T* out) {
  using Sum =
      std::conditional_t<std::is_floating_point_v<T>, T, std::conditional_t<std::is_integral_v<T>, uint64_t, float>>;
  constexpr int64_t grain = 16384;
  const int64_t count = range_count(n, grain), size = range_size(n, grain);
  Scratch<Sum> partial(count);
  parallel_for(n, grain, [&](int64_t begin, int64_t end) {
    Sum& sum = partial.get()[begin / size];
    if constexpr (std::is_floating_point_v<T>) {
      if (a_step == 1 && b_step == 1) {
        kernels<T>().dot(
            {1, 1, end - begin, a + begin, 0, 1, b + begin, 0, 0, &sum, 1, T(1), T(0), nullptr, 0, 0, {}, false});
        return;
      }
    }
    Sum total = 0;
    for (int64_t i = begin; i < end; i++) {
      if constexpr (std::is_integral_v<T>)
        total += static_cast<Sum>(a[i * a_step]) * static_cast<Sum>(b[i * b_step]);
      else
        total += static_cast<Sum>(a[i * a_step]) * static_cast<Sum>(b[i * b_step]);
    }
    sum = total;
  });
  Sum total = 0;
  for (int64_t i = 0; i < count; i++) total += partial.get()[i];
  *out = static_cast<T>(total);
}
}  // namespace

void dot(DType dtype, int64_t n, const void* a, int64_t a_step, const void* b, int64_t b_step, void* out) {
  dispatch(dtype, "dot", [&]<class T>() {
    if constexpr (std::is_same_v<T, bool>)
      fail(ErrorKind::not_implemented, "\"dot\" not implemented for 'Bool'");
    else
      typed_dot<T>(n, static_cast<const T*>(a), a_step, static_cast<const T*>(b), b_step, static_cast<T*>(out));
  });
}

}  // namespace bulssi
