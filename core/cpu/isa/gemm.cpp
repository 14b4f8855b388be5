// Register tiles, packing and dot products, compiled once per ISA (see vec.h for the flags and the rules).
//
// A register tile is MR rows by NV vectors of c. One step of its loop loads NV vectors of b, broadcasts MR elements of
// a and does MR * NV multiply-adds. MR and NV are as large as the register file allows, because the multiply-adds must
// cover both their own latency and the loads.
#include "core/cpu/gemm_kernels.h"

#include "core/cpu/kernel_table.h"
#include "core/cpu/vec.h"

namespace bulssi::BULSSI_ISA {
namespace {

#if defined(__AVX512F__)
constexpr int kRows = 14, kPanelVectors = 2, kAccumulators = 28, kWideVectors = 8, kDotRows = 3, kDotColumns = 8;
#elif defined(__aarch64__)
constexpr int kRows = 6, kPanelVectors = 4, kAccumulators = 24, kWideVectors = 8, kDotRows = 4, kDotColumns = 4;
#else
constexpr int kRows = 6, kPanelVectors = 2, kAccumulators = 12, kWideVectors = 8, kDotRows = 2, kDotColumns = 4;
#endif

constexpr int64_t kAhead = 16;  // steps along k between asking for an operand and using it

template <class T>
constexpr int lanes = Vec<T>::lanes;

#if defined(__AVX2__) && !defined(__AVX512F__)
template <class T>
BULSSI_INLINE __m256i first(int64_t n) {
  if constexpr (sizeof(T) == 4)
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(n)), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
  else
    return _mm256_cmpgt_epi64(_mm256_set1_epi64x(n), _mm256_setr_epi64x(0, 1, 2, 3));
}
#endif

// The first n lanes; the others are zero on loading and left alone on storing.
template <class T>
BULSSI_INLINE Vec<T> load_first(const T* p, int64_t n) {
#if defined(__AVX512F__)
  if constexpr (sizeof(T) == 4)
    return (typename Vec<T>::N)_mm512_maskz_loadu_ps(static_cast<__mmask16>((1u << n) - 1), p);
  else
    return (typename Vec<T>::N)_mm512_maskz_loadu_pd(static_cast<__mmask8>((1u << n) - 1), p);
#elif defined(__AVX2__)
  if constexpr (sizeof(T) == 4)
    return (typename Vec<T>::N)_mm256_maskload_ps(p, first<T>(n));
  else
    return (typename Vec<T>::N)_mm256_maskload_pd(p, first<T>(n));
#else
  typename Vec<T>::N v{};
  for (int64_t i = 0; i < n; i++) v[i] = p[i];
  return v;
#endif
}
template <class T>
BULSSI_INLINE void store_first(Vec<T> v, T* p, int64_t n) {
#if defined(__AVX512F__)
  if constexpr (sizeof(T) == 4)
    _mm512_mask_storeu_ps(p, static_cast<__mmask16>((1u << n) - 1), (__m512)v.v);
  else
    _mm512_mask_storeu_pd(p, static_cast<__mmask8>((1u << n) - 1), (__m512d)v.v);
#elif defined(__AVX2__)
  if constexpr (sizeof(T) == 4)
    _mm256_maskstore_ps(p, first<T>(n), (__m256)v.v);
  else
    _mm256_maskstore_pd(p, first<T>(n), (__m256d)v.v);
#else
  for (int64_t i = 0; i < n; i++) p[i] = v.v[i];
#endif
}

template <class T>
BULSSI_INLINE Vec<T> splat(T x) {
  return x - typename Vec<T>::N{};
}

// ---- register tiles -----------------------------------------------------------------------------------------------

template <class T, int NV, bool Tail>
BULSSI_INLINE void load_row(Vec<T> (&v)[NV], const T* p, int64_t tail) {
#pragma GCC unroll 16
  for (int j = 0; j < NV; j++)
    v[j] = Tail && j == NV - 1 ? load_first(p + j * lanes<T>, tail) : Vec<T>::load(p + j * lanes<T>);
}

// What a tile reads next is asked for, because strides defeat the hardware: of an a with its rows side by side the
// columns to come, else the same part of the next MR rows, line by line.
template <class T, int MR>
struct Ahead {
  bool columns;
  int64_t step;
  const T *next, *start;

  BULSSI_INLINE Ahead(const GemmBlock<T>& g, const T* a)
      : columns(g.a_row == 1),
        step(columns    ? g.a_col
             : g.a_next ? g.a_next_row
                        : g.a_row),
        next(columns    ? a + kAhead * g.a_col
             : g.a_next ? g.a_next
                        : a + MR * g.a_row),
        start(next) {}
  BULSSI_INLINE void ask(int64_t p) {
    if (columns) {
      __builtin_prefetch(next);
      __builtin_prefetch(next + MR - 1);
      next += step;
    } else {
      __builtin_prefetch(next, 0, 2);  // into the second-level cache: two panels would be too many for the first
      next += step;
      if (p % 16 == 15) next = start += 16;
    }
  }
};

// c = alpha sums + bias + beta c. One loop per step, so that the sums stay in their registers.
template <class T, int MR, int NV, bool Tail>
BULSSI_INLINE void finish(const GemmBlock<T>& g, typename Vec<T>::N (&acc)[MR][NV], T* c, const T* bias, int64_t tail) {
  using N = typename Vec<T>::N;
  if (g.alpha != T(1)) {
    const N alpha = splat(g.alpha).v;
#pragma GCC unroll 16
    for (int i = 0; i < MR; i++) {
#pragma GCC unroll 16
      for (int j = 0; j < NV; j++) acc[i][j] *= alpha;
    }
  }
  if (bias) {
    Vec<T> row[NV];
    load_row<T, NV, Tail>(row, bias, tail);
#pragma GCC unroll 16
    for (int i = 0; i < MR; i++) {
#pragma GCC unroll 16
      for (int j = 0; j < NV; j++) acc[i][j] += row[j].v;
    }
  }
  if (!(g.beta == 0)) {
    const N beta = splat(g.beta).v;
    const T* from = c;
#pragma GCC unroll 16
    for (int i = 0; i < MR; i++, from += g.ldc) {
      Vec<T> row[NV];
      load_row<T, NV, Tail>(row, from, tail);
#pragma GCC unroll 16
      for (int j = 0; j < NV; j++) acc[i][j] += beta * row[j].v;
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < MR; i++, c += g.ldc) {
#pragma GCC unroll 16
    for (int j = 0; j < NV; j++) {
      if (Tail && j == NV - 1)
        store_first(Vec<T>(acc[i][j]), c + j * lanes<T>, tail);
      else
        Vec<T>(acc[i][j]).store(c + j * lanes<T>);
    }
  }
}

// `tail` is the number of columns in the last vector, used when it is not full. Packed: a is [p][MR]. Copying: the rows
// of b go to g.b_copy, one behind the other, which costs nothing beside the products.
template <class T, int MR, int NV, bool Tail, bool Packed, bool Copying = false>
void tile(const GemmBlock<T>& g, const T* a, const T* b, int64_t b_row, T* c, const T* bias, int64_t tail) {
  using N = typename Vec<T>::N;
  N acc[MR][NV];
#pragma GCC unroll 16
  for (int i = 0; i < MR; i++) {
#pragma GCC unroll 16
    for (int j = 0; j < NV; j++) acc[i][j] = N{};
  }
  const int64_t a_row = g.a_row, a_col = g.a_col;
  if (MR >= 6) {  // c arrives while the products are formed
#pragma GCC unroll 16
    for (int i = 0; i < MR; i++) {
      __builtin_prefetch(c + i * g.ldc, 1);
      __builtin_prefetch(c + i * g.ldc + NV * lanes<T> - 1, 1);
    }
  }
  Ahead<T, MR> ahead(g, a);
  // Rows that are far apart share few sets of the cache: half of them are asked for at a time.
  constexpr int64_t b_ahead = Copying ? kAhead / 2 : kAhead;
  [[maybe_unused]] T* b_copy = g.b_copy;
  for (int64_t p = 0; p < g.k; p++) {
    Vec<T> row[NV];
    load_row<T, NV, Tail>(row, b, tail);
    if constexpr (Copying) {
#pragma GCC unroll 16
      for (int j = 0; j < NV; j++) row[j].store(b_copy + j * lanes<T>);
      b_copy += NV * lanes<T>;
    }
    const T* q = a;
    if (Packed) {
      __builtin_prefetch(a + 16 * MR);
    } else if (MR >= 6) {
      ahead.ask(p);
      __builtin_prefetch(b + b_ahead * b_row);
      if (NV > 1) __builtin_prefetch(b + b_ahead * b_row + lanes<T>);
    }
#pragma GCC unroll 16
    for (int i = 0; i < MR; i++) {
      const N x = (Packed ? a[i] : *q) - N{};
#pragma GCC unroll 16
      for (int j = 0; j < NV; j++) acc[i][j] += x * row[j].v;
      if (!Packed) {
        q += a_row;
        // One running pointer: left alone, the compiler keeps a pointer per row and spills them.
        asm("" : "+r"(q));
      }
    }
    a += Packed ? MR : a_col;
    b += b_row;
  }
  finish<T, MR, NV, Tail>(g, acc, c, bias, tail);
}

template <class T>
using Tile = void (*)(const GemmBlock<T>&, const T*, const T*, int64_t, T*, const T*, int64_t);

constexpr int kWidths = 4;   // vectors in a tile: 1, 2, 4, 8
constexpr int kCopying = 4;  // tiles that copy b: of kRows rows and of up to 3 less, as shares of many rows have
constexpr bool fits(int rows, int vectors) { return rows * vectors <= kAccumulators && vectors <= kWideVectors; }

template <class T>
struct Tiles {
  Tile<T> at[kRows + 1][kWidths][2];      // a as the caller gave it
  Tile<T> packed[kRows + 1][kWidths][2];  // a in packed panels
  Tile<T> copying[kRows + 1];             // a as the caller gave it, b of whole panels
};
template <class T, int MR, int W>
constexpr void fill(Tiles<T>& t) {
  if constexpr (fits(MR, 1 << W)) {
    t.at[MR][W][0] = tile<T, MR, 1 << W, false, false>;
    t.at[MR][W][1] = tile<T, MR, 1 << W, true, false>;
    if constexpr (MR >= kRows / 2 && (1 << W) <= kPanelVectors) {  // even shares of more than kRows rows
      t.packed[MR][W][0] = tile<T, MR, 1 << W, false, true>;
      t.packed[MR][W][1] = tile<T, MR, 1 << W, true, true>;
    }
    if constexpr (MR > kRows - kCopying && (1 << W) == kPanelVectors)
      t.copying[MR] = tile<T, MR, 1 << W, false, false, true>;
  }
}
template <class T, int... R>
constexpr Tiles<T> make_tiles(std::integer_sequence<int, R...>) {
  Tiles<T> t{};
  ((fill<T, R + 1, 0>(t), fill<T, R + 1, 1>(t), fill<T, R + 1, 2>(t), fill<T, R + 1, 3>(t)), ...);
  return t;
}
template <class T>
constexpr Tiles<T> tiles = make_tiles<T>(std::make_integer_sequence<int, kRows>());

constexpr int width_index(int64_t vectors) { return vectors >= 8 ? 3 : vectors >= 4 ? 2 : vectors >= 2 ? 1 : 0; }

struct Share {
  GemmPanels panels;
  int64_t begin, count;
};

// All rows for the columns [j, j + n) of at most 8 vectors.
template <class T>
BULSSI_INLINE void column(const GemmBlock<T>& g, const Share& s, int64_t j, int64_t n, int w, const T* b,
                          int64_t b_row) {
  const int64_t vectors = int64_t{1} << w, tail = n - (vectors - 1) * lanes<T>;
  const int is_tail = tail < lanes<T>;
  const T* bias = g.bias ? g.bias + j : nullptr;
  for (int64_t r = 0; r < s.count; r++) {
    const int64_t i = s.panels.first(s.begin + r), rows = s.panels.rows(s.begin + r);
    T* c = g.c + i * g.ldc + j;
    if (g.a_packed)
      tiles<T>.packed[rows][w][is_tail](g, g.a + i * g.k, b, b_row, c, bias, tail);
    else
      tiles<T>.at[rows][w][is_tail](g, g.a + i * g.a_row, b, b_row, c, bias, tail);
  }
}

// ---- packing ------------------------------------------------------------------------------------------------------

template <class N, int... I>
BULSSI_INLINE N zip_low(N a, N b, std::integer_sequence<int, I...>) {
  constexpr int n = sizeof...(I);
  return __builtin_shufflevector(a, b, (I / 2 + (I % 2) * n)...);
}
template <class N, int... I>
BULSSI_INLINE N zip_high(N a, N b, std::integer_sequence<int, I...>) {
  constexpr int n = sizeof...(I);
  return __builtin_shufflevector(a, b, (n / 2 + I / 2 + (I % 2) * n)...);
}

template <class T>
BULSSI_INLINE void transpose_registers(typename Vec<T>::N (&v)[lanes<T>]) {
  constexpr int L = lanes<T>;
  constexpr auto order = std::make_integer_sequence<int, L>();
  typename Vec<T>::N t[L];
#pragma GCC unroll 8
  for (int stage = 1; stage < L; stage *= 2) {
#pragma GCC unroll 16
    for (int i = 0; i < L / 2; i++) {
      t[2 * i] = zip_low(v[i], v[i + L / 2], order);
      t[2 * i + 1] = zip_high(v[i], v[i + L / 2], order);
    }
#pragma GCC unroll 16
    for (int i = 0; i < L; i++) v[i] = t[i];
  }
}

// out[c * ld_out + r] = in[r * ld_in + c] for one square of registers; rows and columns beyond the given ones are not
// touched.
template <class T, bool Full>
BULSSI_INLINE void transpose_square(const T* in, int64_t ld_in, T* out, int64_t ld_out, int64_t rows, int64_t cols) {
  using N = typename Vec<T>::N;
  constexpr int L = lanes<T>;
  N v[L];
#pragma GCC unroll 16
  for (int i = 0; i < L; i++) {
    if (Full) __builtin_prefetch(in + i * ld_in + 8 * L);
    v[i] = Full ? Vec<T>::load(in + i * ld_in).v : i < rows ? load_first(in + i * ld_in, cols).v : N{};
  }
  transpose_registers<T>(v);
#pragma GCC unroll 16
  for (int i = 0; i < L; i++) {
    if (Full)
      Vec<T>(v[i]).store(out + i * ld_out);
    else if (i < cols)
      store_first(Vec<T>(v[i]), out + i * ld_out, rows);
  }
}

template <class T>
void transpose(int64_t rows, int64_t cols, const T* in, int64_t ld_in, T* out, int64_t ld_out) {
  constexpr int64_t L = lanes<T>;
  for (int64_t r = 0; r < rows; r += L) {
    for (int64_t c = 0; c < cols; c += L) {
      const int64_t h = rows - r < L ? rows - r : L, w = cols - c < L ? cols - c : L;
      const T* from = in + r * ld_in + c;
      T* to = out + c * ld_out + r;
      if (h == L && w == L)
        transpose_square<T, true>(from, ld_in, to, ld_out, h, w);
      else
        transpose_square<T, false>(from, ld_in, to, ld_out, h, w);
    }
  }
}

template <class T>
void pack_panels(int64_t k, int64_t n, const T* b, int64_t row, int64_t col, T* out) {
  constexpr int64_t L = lanes<T>, panel = kPanelVectors * L;
  if (col != 1) {
    for (int64_t j = 0; j < n; j += panel, out += k * panel) {
      const int64_t w = n - j < panel ? n - j : panel;
      if (w < panel)
        for (int64_t i = 0; i < k * panel; i++) out[i] = 0;
      transpose(w, k, b + j * col, col, out, panel);
    }
    return;
  }
  // Whole rows, so that memory is read in order; the rows to come are asked for, because their distance defeats the
  // hardware.
  const int64_t whole = n / panel * panel;
  for (int64_t p = 0; p < k; p++, b += row, out += panel) {
    T* to = out;
    for (int64_t j = 0; j < whole; j += panel, to += k * panel) {
#pragma GCC unroll 4
      for (int64_t v = 0; v < kPanelVectors; v++) {
        __builtin_prefetch(b + 8 * row + j + v * L);
        Vec<T>::load(b + j + v * L).store(to + v * L);
      }
    }
    if (whole == n) continue;
#pragma GCC unroll 4
    for (int64_t v = 0; v < kPanelVectors; v++) {
      const int64_t left = n - whole - v * L;
      (left >= L ? Vec<T>::load(b + whole + v * L) : load_first(b + whole + v * L, left < 0 ? 0 : left))
          .store(to + v * L);
    }
  }
}

template <class T>
BULSSI_INLINE void copy(const T* from, int64_t n, T* to) {
  int64_t i = 0;
  for (; i + lanes<T> <= n; i += lanes<T>) Vec<T>::load(from + i).store(to + i);
  if (i < n) store_first(load_first(from + i, n - i), to + i, n - i);
}

template <class T>
void pack_rows(int64_t m, int64_t k, const T* a, int64_t col, T* out) {
  if (m <= lanes<T>) {
    for (int64_t p = 0; p < k; p++) {
      __builtin_prefetch(a + (p + 8) * col);
      store_first(load_first(a + p * col, m), out + p * m, m);
    }
    return;
  }
  for (int64_t p = 0; p < k; p++) {
    __builtin_prefetch(a + (p + 8) * col);
    copy(a + p * col, m, out + p * m);
  }
}

// ---- blocks -------------------------------------------------------------------------------------------------------

template <class T>
void block(const GemmBlock<T>& g);

// The first panel of rows reads b as it is and packs it, the others read what it has packed.
template <class T>
void copying_block(const GemmBlock<T>& g, const Share& share) {
  constexpr int64_t panel = kPanelVectors * lanes<T>;
  const int64_t rows = share.panels.rows(share.begin), whole = rows > kRows - kCopying ? g.n / panel * panel : 0;
  const int64_t i = share.panels.first(share.begin);
  GemmBlock<T> rest = g;
  for (int64_t j = 0; j < whole; j += panel) {
    rest.b_copy = g.b_copy + j * g.k;
    tiles<T>.copying[rows](rest, g.a + i * g.a_row, g.b + j, g.b_row, g.c + i * g.ldc + j,
                           g.bias ? g.bias + j : nullptr, 0);
  }
  rest.b_copy = nullptr;
  rest.b_panel = g.k * panel;
  rest.panels = share.panels;
  if (whole < g.n) {  // narrower panels are packed first
    T* left = g.b_copy + whole * g.k;
    pack_panels(g.k, g.n - whole, g.b + whole, g.b_row, 1, left);
    rest.n = g.n - whole;
    rest.b = left;
    rest.c = g.c + whole;
    rest.bias = g.bias ? g.bias + whole : nullptr;
    rest.a_panels = 1;
    rest.a_first = share.begin;
    block(rest);
  }
  if (share.count == 1) return;
  rest.n = g.n;
  rest.b = g.b_copy;
  rest.c = g.c;
  rest.bias = g.bias;
  rest.a_panels = share.count - 1;
  rest.a_first = share.begin + 1;
  block(rest);
}

// The block of one panel of rows, whose part of a lies in g.a_copy, one row behind the other.
template <class T>
BULSSI_INLINE GemmBlock<T> copied_panel(const GemmBlock<T>& g, const GemmPanels& panels, int64_t panel) {
  const int64_t first = panels.first(panel), rows = panels.rows(panel);
  for (int64_t i = 0; i < rows; i++) copy(g.a + (first + i) * g.a_row, g.k, g.a_copy + i * g.k);
  GemmBlock<T> part = g;
  part.a = g.a_copy;
  part.a_row = g.k;
  part.a_next = g.a + (first + rows) * g.a_row;
  part.a_next_row = g.a_row;
  part.c += first * g.ldc;
  part.panels = {rows, kRows};
  return part;
}

template <class T>
void block(const GemmBlock<T>& g) {
  const Share share =
      g.a_panels ? Share{g.panels, g.a_first, g.a_panels} : Share{{g.m, kRows}, 0, (g.m + kRows - 1) / kRows};
  if (g.b_copy) return copying_block(g, share);
  constexpr int64_t panel = kPanelVectors * lanes<T>;
  if (g.b_panel) {
    // Panels of a on the outside: one stays in the first-level cache while the panels of b come from the second.
    for (int64_t r = 0; r < share.count; r++) {
      const GemmBlock<T> part = g.a_copy ? copied_panel(g, share.panels, share.begin + r) : g;
      const Share one{g.a_copy ? part.panels : share.panels, g.a_copy ? 0 : share.begin + r, 1};
      for (int64_t j = 0; j < g.n; j += panel) {
        const int64_t n = g.n - j < panel ? g.n - j : panel;
        int w = width_index((n + lanes<T> - 1) / lanes<T>);
        while ((int64_t{1} << w) * lanes<T> < n) w++;
        column(part, one, j, n, w, g.b + j / panel * g.b_panel, panel);
      }
    }
    return;
  }
  const int64_t most = share.panels.rows(0);
  int widest = 0;
  while (widest + 1 < kWidths && fits(static_cast<int>(most), 2 << widest)) widest++;
  for (int64_t j = 0; j < g.n;) {
    const int64_t left = (g.n - j + lanes<T> - 1) / lanes<T>;
    const int w = width_index(left) < widest ? width_index(left) : widest;
    int64_t n = (int64_t{1} << w) * lanes<T>;
    if (n > g.n - j) n = g.n - j;
    column(g, share, j, n, w, g.b + j, g.b_row);
    j += n;
  }
}

// ---- dot products -------------------------------------------------------------------------------------------------

template <int Shift, class N, int... I>
BULSSI_INLINE N rotate(N a, std::integer_sequence<int, I...>) {
  constexpr int n = sizeof...(I);
  return __builtin_shufflevector(a, a, ((I + Shift) % n)...);
}

// Lane l < C of the result is the sum of the lanes of v[l]. Each step zips and adds: it halves the number of vectors
// and the number of parts that a sum is in; pairing i with i + count / 2 leaves the sums in the order of their vectors.
template <class T, int C>
BULSSI_INLINE Vec<T> sum_lanes(typename Vec<T>::N (&v)[C]) {
  constexpr int L = lanes<T>;
  static_assert(C <= L && L <= 4 * C);
  constexpr auto order = std::make_integer_sequence<int, L>();
#pragma GCC unroll 4
  for (int count = C; count > 1; count /= 2) {
#pragma GCC unroll 8
    for (int i = 0; i < count / 2; i++)
      v[i] = zip_low(v[i], v[i + count / 2], order) + zip_high(v[i], v[i + count / 2], order);
  }
  auto s = v[0];
  if constexpr (L >= 2 * C) s += rotate<L / 2>(s, order);
  if constexpr (L >= 4 * C) s += rotate<L / 4>(s, order);
  return s;
}

template <class T>
constexpr int dot_columns = kDotColumns < lanes<T> ? kDotColumns : lanes<T>;

// MI rows of a times up to dot_columns columns of b, both contiguous along k.
template <class T, int MI>
BULSSI_INLINE void dot_tile(const GemmBlock<T>& g, int64_t i, int64_t j) {
  using N = typename Vec<T>::N;
  constexpr int L = lanes<T>, C = dot_columns<T>;
  const int64_t n = g.n - j < C ? g.n - j : C;
  const T *a[MI], *b[C];
#pragma GCC unroll 8
  for (int r = 0; r < MI; r++) a[r] = g.a + (i + r) * g.a_row;
#pragma GCC unroll 8
  for (int c = 0; c < C; c++) b[c] = g.b + (j + (c < n ? c : n - 1)) * g.b_row;
  N acc[MI][C];
#pragma GCC unroll 8
  for (int r = 0; r < MI; r++) {
#pragma GCC unroll 8
    for (int c = 0; c < C; c++) acc[r][c] = N{};
  }
  int64_t p = 0;
  for (; p + L <= g.k; p += L) {
    N x[MI];
#pragma GCC unroll 8
    for (int r = 0; r < MI; r++) x[r] = Vec<T>::load(a[r] + p).v;
#pragma GCC unroll 8
    for (int c = 0; c < C; c++) {
      const N y = Vec<T>::load(b[c] + p).v;
#pragma GCC unroll 8
      for (int r = 0; r < MI; r++) acc[r][c] += x[r] * y;
    }
  }
  if (p < g.k) {
    N x[MI];
#pragma GCC unroll 8
    for (int r = 0; r < MI; r++) x[r] = load_first(a[r] + p, g.k - p).v;
#pragma GCC unroll 8
    for (int c = 0; c < C; c++) {
      const N y = load_first(b[c] + p, g.k - p).v;
#pragma GCC unroll 8
      for (int r = 0; r < MI; r++) acc[r][c] += x[r] * y;
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < MI; r++) {
    T* out = g.c + (i + r) * g.ldc + j;
    Vec<T> v = splat(g.alpha) * sum_lanes<T, C>(acc[r]);
    if (g.bias) v = v + load_first(g.bias + j, n);
    if (!(g.beta == 0)) v = v + splat(g.beta) * load_first(out, n);
    store_first(v, out, n);
  }
}

template <class T>
void dot(const GemmBlock<T>& g) {
  for (int64_t j = 0; j < g.n; j += dot_columns<T>) {
    int64_t i = 0;
    for (; i + kDotRows <= g.m; i += kDotRows) dot_tile<T, kDotRows>(g, i, j);
    if constexpr (kDotRows > 2)
      for (; i + 2 <= g.m; i += 2) dot_tile<T, 2>(g, i, j);
    for (; i < g.m; i++) dot_tile<T, 1>(g, i, j);
  }
}

// ---- one row ------------------------------------------------------------------------------------------------------

template <class T, int R>
BULSSI_INLINE void stream_rows(int64_t n, const T* x, int64_t x_step, const T* b, int64_t b_row, T* y) {
  Vec<T> s[R];
#pragma GCC unroll 8
  for (int r = 0; r < R; r++) s[r] = splat(x[r * x_step]);
  int64_t j = 0;
  for (; j + lanes<T> <= n; j += lanes<T>) {
    Vec<T> sum = Vec<T>::load(y + j);
#pragma GCC unroll 8
    for (int r = 0; r < R; r++) sum = sum + s[r] * Vec<T>::load(b + r * b_row + j);
    sum.store(y + j);
  }
  if (j < n) {
    Vec<T> sum = load_first(y + j, n - j);
#pragma GCC unroll 8
    for (int r = 0; r < R; r++) sum = sum + s[r] * load_first(b + r * b_row + j, n - j);
    store_first(sum, y + j, n - j);
  }
}

template <class T>
void stream(int64_t n, int64_t k, const T* x, int64_t x_step, const T* b, int64_t b_row, T* y) {
  int64_t p = 0;
  for (; p + 8 <= k; p += 8) stream_rows<T, 8>(n, x + p * x_step, x_step, b + p * b_row, b_row, y);
  for (; p < k; p++) stream_rows<T, 1>(n, x + p * x_step, x_step, b + p * b_row, b_row, y);
}

template <class T>
constexpr GemmKernels<T> kernels{
    kRows, kPanelVectors * lanes<T>, block<T>, dot<T>, pack_panels<T>, pack_rows<T>, transpose<T>, stream<T>};

constexpr GemmTable table{kernels<float>, kernels<double>};

}  // namespace
}  // namespace bulssi::BULSSI_ISA

KERNEL_TABLE(bulssi::GemmTable, gemm, table)
