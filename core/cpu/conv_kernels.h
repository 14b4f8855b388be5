// The parts of convolution that are compiled once per ISA, as a table of plain data; conv_direct.cpp splits the work.
#pragma once
#include <cstdint>

namespace bulssi {

// Sums of products in which every step reads b elsewhere:
//   c(i, v) = sum over q and p of a[q * a_step + i * a_row + p] * (the register at b[q * b_step + starts[v] +
//   offsets[p]])
// A row of c is one register after the other. `rows` is at most ConvKernels::rows.
template <class T>
struct TapBlock {
  int64_t rows, vectors, steps, repeats;
  const T* a;
  int64_t a_row, a_step;
  const T* b;
  int64_t b_step;
  const int64_t* starts;   // of each register
  const int32_t* offsets;  // of each step
  T* c;
  int64_t ldc;
  bool add;       // to what c holds
  const T* next;  // the a of the block to come, asked for on the way
};

// Lanes of a row of c that go to places of one row of the target: `to`, `to` + step, …
struct TapRun {
  int64_t from, to;
  int32_t count;  // at most a register
};

// The same with the registers along the rows of the weights, for a piece of a row of positions, or of two rows:
//   c(i, f) = sum over p of x[offsets[p] + i] * w[p * panel + f] [+ bias[f] or c(i, f)]
// f goes over a packed panel; the second row reads from `second` instead of x, and its sums follow the first's.
template <class T>
struct PieceBlock {
  int64_t positions, steps;  // of each row; all rows together at most ConvKernels::rows positions
  const T *x, *second;       // null: one row
  const int32_t* offsets;
  const T* w;
  T* c;
  int64_t ldc;
  bool add;       // to what c holds, else
  const T* bias;  // to this, or null
};

template <class T>
struct ConvKernels {
  int rows, lanes, panel;
  void (*sum)(const TapBlock<T>& g);
  void (*sum_piece)(const PieceBlock<T>& g);
  // target[i * target_row + to + j * step] = c[i * ldc + from + j] + bias[i] for all runs and rows; bias may be null.
  // A register behind c may be read.
  void (*scatter)(int64_t rows, const T* c, int64_t ldc, const TapRun* runs, int64_t count, int64_t step, const T* bias,
                  T* target, int64_t target_row);
};

struct ConvTable {
  ConvKernels<float> f32;
  ConvKernels<double> f64;
};

}  // namespace bulssi
