// Reductions, scans and row kernels (softmax, normalisation) over plain memory. The tree of every reduction follows
// from the sizes alone, so results have the same bits for any number of threads.
#pragma once
#include <cstdint>

#include "core/cpu/kernel.h"

namespace bulssi::cpu {

// What is combined. Some look at each element through a map with a parameter c: (x - c)^2, |x|^c, exp(x - c), x * c.
enum class Monoid : uint8_t {
  sum,
  product,
  maximum,
  minimum,
  any,
  all,
  nansum,
  squares,
  absolutes,
  max_abs,
  min_abs,
  powers,
  exponentials
};
inline constexpr int monoid_count = 13;

// Which monoid joins partial results (their map is done).
constexpr Monoid joined_by(Monoid m) {
  switch (m) {
    case Monoid::product:
    case Monoid::maximum:
    case Monoid::minimum: return m;
    case Monoid::any:
    case Monoid::max_abs: return Monoid::maximum;
    case Monoid::all:
    case Monoid::min_abs: return Monoid::minimum;
    default: return Monoid::sum;
  }
}

// Elements of one level of the tree along contiguous rows.
inline constexpr int64_t reduce_chunk = 4096;

struct ReduceTable {
  // n contiguous elements to one; c is one number (null: 0).
  void (*row[monoid_count][compute_count])(int64_t n, const void* x, const void* c, void* out) = {};
  // rows x n elements, `stride` elements from row to row, to n; c has n numbers (null: 0s).
  void (*columns[monoid_count][compute_count])(int64_t rows, int64_t stride, int64_t n, const void* x, const void* c,
                                               void* out) = {};
  // The first index of `value` (of a nan, if value is one) in n elements.
  int64_t (*find[compute_count])(int64_t n, const void* x, const void* value) = {};
  // Largest (0) or smallest (1) of each column, with the first row that has it.
  void (*arg_columns[2][compute_count])(int64_t rows, int64_t stride, int64_t n, const void* x, void* values,
                                        int64_t* indices) = {};
  // Running sum (0) or product (1) of n elements from *carry (double for float), which is left at the end's.
  // y null: only the carry.
  void (*scan[2][compute_count])(int64_t n, const void* x, void* y, void* carry) = {};
  // The same down the columns; `carry` has n numbers.
  void (*scan_columns[2][compute_count])(int64_t rows, int64_t stride, int64_t n, const void* x, void* y,
                                         void* carry) = {};
};
const ReduceTable& reduce_kernels();

struct RowTable {
  // [0] softmax, [1] log_softmax; [compute] f32, f64
  void (*softmax[2][2])(int64_t n, const void* x, void* y) = {};
  void (*softmax_columns[2][2])(int64_t rows, int64_t stride, int64_t n, const void* x, void* y) = {};
  void (*softmax_backward[2][2])(int64_t n, const void* g, const void* y, void* dx) = {};
  void (*softmax_backward_columns[2][2])(int64_t rows, int64_t stride, int64_t n, const void* g, const void* y,
                                         void* dx) = {};
  // log(sum(exp(x))); all -inf gives -inf, an inf gives inf.
  void (*logsumexp[2])(int64_t n, const void* x, void* out) = {};
  // dx[i] = scale * exp(x[i] - lse) (+ shift)
  void (*exp_scaled[2])(int64_t n, const void* x, const void* lse, const void* scale, const void* shift, void* dx) = {};
  // Mean and 1 / sqrt(variance + eps) of a row; y = (x - mean) * rstd * weight + bias (each may be null).
  // `period`: how many elements share one entry of weight and bias (1: elementwise, as in layer_norm).
  void (*moments[2])(int64_t n, const void* x, double eps, void* mean, void* rstd) = {};
  void (*normalize[2])(int64_t n, const void* x, const void* mean, const void* rstd, const void* weight,
                       const void* bias, void* y) = {};
  // dx of that; g already belongs to y. `centred` false: rms_norm (no mean).
  void (*normalize_backward[2])(int64_t n, const void* g, const void* x, const void* mean, const void* rstd,
                                const void* weight, bool centred, void* dx) = {};
  // dweight += g * (x - mean) * rstd, dbias += g (null: not wanted)
  void (*weight_gradient[2])(int64_t n, const void* g, const void* x, const void* mean, const void* rstd, void* dweight,
                             void* dbias) = {};
  // Mean of a row and the sum of squares about it.
  void (*sums_about_mean[2])(int64_t n, const void* x, void* mean, void* squares) = {};
  // y = (x - numbers[0]) * numbers[1] + numbers[2]
  void (*scale_and_shift[2])(int64_t n, const void* x, const void* numbers, void* y) = {};
  // The sums of g and of g * (x - mean).
  void (*sums_with[2])(int64_t n, const void* g, const void* x, const void* mean, void* sum, void* product) = {};
  // dx = g * numbers[1] + (x - numbers[0]) * numbers[2] + numbers[3]
  void (*combine_with[2])(int64_t n, const void* g, const void* x, const void* numbers, void* dx) = {};
};
const RowTable& row_kernels();

// x is outer x reduced x inner, of compute type; element (o, r, i) is at o * outer_stride + r * stride + i.
struct ReduceShape {
  int64_t outer = 1, reduced = 1, inner = 1;
  int64_t outer_stride = 0, stride = 1;
  int64_t total() const { return outer * reduced * inner; }
};
// out has outer x inner elements. c: null, one number (c_single), or as many as out.
void reduce(Monoid m, Compute compute, const ReduceShape& shape, const void* x, const void* c, bool c_single,
            void* out);
// The largest (smallest) and where: the first place, a nan counting as beyond everything. reduced > 0.
void arg_reduce(bool smallest, Compute compute, const ReduceShape& shape, const void* x, void* values,
                int64_t* indices);
void scan(bool product, Compute compute, const ReduceShape& shape, const void* x, void* y);

}  // namespace bulssi::cpu
