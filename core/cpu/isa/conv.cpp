// Register tiles of convolutions that read their input in place, compiled once per ISA.
#include "core/cpu/conv_kernels.h"

#include "core/cpu/kernel_table.h"
#include "core/cpu/reduce_vec.h"

namespace bulssi::BULSSI_ISA {
namespace {

#if defined(__AVX512F__)
constexpr int kRows = 14, kAccumulators = 28, kPanelVectors = 2;
#elif defined(__aarch64__)
constexpr int kRows = 6, kAccumulators = 24, kPanelVectors = 4;
#else
constexpr int kRows = 6, kAccumulators = 12, kPanelVectors = 2;
#endif
constexpr int kWidths = 4;  // registers in a row of a tile: 1, 2, 4, 8
constexpr bool fits(int rows, int vectors) {
  return rows * vectors <= kAccumulators && (vectors <= 2 || rows <= 6) && (vectors <= 4 || rows <= 3);
}

template <class T, int MR, int NV>
void tile(const TapBlock<T>& g, const int64_t* starts, T* c) {
  using N = typename Vec<T>::N;
  constexpr int L = Vec<T>::lanes;
  N acc[MR][NV];
#pragma GCC unroll 16
  for (int i = 0; i < MR; i++) {
#pragma GCC unroll 16
    for (int j = 0; j < NV; j++) acc[i][j] = N{};
  }
  const T *a = g.a, *origin = g.b, *next = g.next, *start = next;
  const int32_t* offsets = g.offsets;
  const int64_t a_row = g.a_row, steps = g.steps;
  for (int64_t q = 0; q < g.repeats; q++, a += g.a_step, origin += g.b_step) {
    const T* b[NV];
#pragma GCC unroll 8
    for (int j = 0; j < NV; j++) b[j] = origin + starts[j];
    for (int64_t p = 0; p < steps; p++) {
      const int64_t at = offsets[p];
      Vec<T> row[NV];
#pragma GCC unroll 8
      for (int j = 0; j < NV; j++) row[j] = Vec<T>::load(b[j] + at);
      if (MR >= 6) {
        __builtin_prefetch(next, 0, 2);
        next += a_row;
        if (p % 16 == 15) next = start += 16;
      }
      const T* r = a + p;
#pragma GCC unroll 16
      for (int i = 0; i < MR; i++) {
        const N x = *r - N{};
#pragma GCC unroll 16
        for (int j = 0; j < NV; j++) acc[i][j] += x * row[j].v;
        r += a_row;
        asm("" : "+r"(r));  // one running pointer instead of one per row
      }
    }
  }
  if (g.add) {
#pragma GCC unroll 16
    for (int i = 0; i < MR; i++) {
#pragma GCC unroll 16
      for (int j = 0; j < NV; j++) acc[i][j] += Vec<T>::load(c + i * g.ldc + j * L).v;
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < MR; i++) {
#pragma GCC unroll 16
    for (int j = 0; j < NV; j++) Vec<T>(acc[i][j]).store(c + i * g.ldc + j * L);
  }
}

template <class T>
using Tile = void (*)(const TapBlock<T>&, const int64_t*, T*);
template <class T>
struct Tiles {
  Tile<T> at[kRows + 1][kWidths];
};
template <class T, int MR, int W>
constexpr void fill(Tiles<T>& t) {
  if constexpr (fits(MR, 1 << W)) t.at[MR][W] = tile<T, MR, 1 << W>;
}
template <class T, int... R>
constexpr Tiles<T> make_tiles(std::integer_sequence<int, R...>) {
  Tiles<T> t{};
  ((fill<T, R + 1, 0>(t), fill<T, R + 1, 1>(t), fill<T, R + 1, 2>(t), fill<T, R + 1, 3>(t)), ...);
  return t;
}
template <class T>
constexpr Tiles<T> tiles = make_tiles<T>(std::make_integer_sequence<int, kRows>());

template <class T>
void sum(const TapBlock<T>& g) {
  int w = kWidths - 1;
  for (int64_t v = 0; v < g.vectors; v += int64_t{1} << w) {
    while (!tiles<T>.at[g.rows][w] || (int64_t{1} << w) > g.vectors - v) w--;
    tiles<T>.at[g.rows][w](g, g.starts + v, g.c + v * Vec<T>::lanes);
  }
}

// `half` positions of each of `rows` rows.
template <class T, int half, int rows>
void piece(const PieceBlock<T>& g) {
  using N = typename Vec<T>::N;
  constexpr int L = Vec<T>::lanes, NV = kPanelVectors, MR = half * rows;
  N acc[MR][NV];
#pragma GCC unroll 16
  for (int i = 0; i < MR; i++) {
#pragma GCC unroll 16
    for (int j = 0; j < NV; j++) acc[i][j] = N{};
  }
  const T *x = g.x, *second = g.second, *w = g.w;
  for (int64_t p = 0; p < g.steps; p++, w += NV * L) {
    Vec<T> row[NV];
#pragma GCC unroll 8
    for (int j = 0; j < NV; j++) row[j] = Vec<T>::load(w + j * L);
    __builtin_prefetch(w + 16 * NV * L);
    __builtin_prefetch(w + 16 * NV * L + (NV - 1) * L);
    const int64_t at = g.offsets[p];
#pragma GCC unroll 16
    for (int i = 0; i < MR; i++) {
      const N a = (i < half ? x[at + i] : second[at + i - half]) - N{};
#pragma GCC unroll 16
      for (int j = 0; j < NV; j++) acc[i][j] += a * row[j].v;
    }
  }
  const T* before = g.add ? g.c : g.bias;
  const int64_t step = g.add ? g.ldc : 0;
  if (before) {
#pragma GCC unroll 16
    for (int i = 0; i < MR; i++) {
#pragma GCC unroll 16
      for (int j = 0; j < NV; j++) acc[i][j] += Vec<T>::load(before + i * step + j * L).v;
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < MR; i++) {
#pragma GCC unroll 16
    for (int j = 0; j < NV; j++) Vec<T>(acc[i][j]).store(g.c + i * g.ldc + j * L);
  }
}

template <class T>
using PieceTile = void (*)(const PieceBlock<T>&);
template <class T>
struct Pieces {
  PieceTile<T> at[kRows + 1][2];
};
template <class T, int... R>
constexpr Pieces<T> make_pieces(std::integer_sequence<int, R...>) {
  Pieces<T> t{};
  ((t.at[R + 1][0] = piece<T, R + 1, 1>), ...);
  ((t.at[R + 1][1] = piece < T, (R + 1) * 2 <= kRows ? R + 1 : 1, 2 >), ...);
  return t;
}
template <class T>
constexpr Pieces<T> pieces = make_pieces<T>(std::make_integer_sequence<int, kRows>());

template <class T>
void sum_piece(const PieceBlock<T>& g) {
  pieces<T>.at[g.positions][g.second != nullptr](g);
}

template <class T>
void scatter(int64_t rows, const T* c, int64_t ldc, const TapRun* runs, int64_t count, int64_t step, const T* bias,
             T* target, int64_t target_row) {
  constexpr int L = Vec<T>::lanes;
  for (int64_t i = 0; i < rows; i++, c += ldc, target += target_row) {
    const T add = bias ? bias[i] : T(0);
    for (int64_t r = 0; r < count; r++) {
      const TapRun& run = runs[r];
      const Vec<T> v = Vec<T>::load(c + run.from) + Vec<T>(add);
      T* to = target + run.to;
      if (step != 1) {
        T room[L];
        v.store(room);
        for (int j = 0; j < run.count; j++) to[j * step] = room[j];
      } else if (run.count == L) {
        v.store(to);
      } else {
        store_some(v, to, run.count);
      }
    }
  }
}

template <class T>
constexpr ConvKernels<T> kernels{kRows, Vec<T>::lanes, kPanelVectors * Vec<T>::lanes, sum<T>, sum_piece<T>, scatter<T>};

constexpr ConvTable table{kernels<float>, kernels<double>};

}  // namespace
}  // namespace bulssi::BULSSI_ISA

KERNEL_TABLE(bulssi::ConvTable, conv, table)
