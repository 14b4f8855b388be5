// Attention over plain memory: softmax(scale q k' + mask) v for every item of a batch and every head, and its
// gradients. The weights exist for one block of queries at a time; backward forms them again from the logarithms of
// their sums.
#pragma once
#include <cstdint>

#include "core/tensor/dtype.h"

namespace bulssi {

struct AttentionShape {
  int64_t batch = 0, heads = 0, groups = 1;  // groups: heads of queries for each head of keys and values
  int64_t queries = 0, keys = 0, size = 0, value_size = 0;
  bool causal = false;
  double scale = 1;
};
// (batch, heads, rows, size); elements of a row are side by side.
struct AttentionMatrix {
  char* data = nullptr;
  int64_t batch = 0, head = 0, row = 0;  // strides in elements
};

struct AttentionTable {
  // `rows` rows of `n` scores, `stride` apart, to weights; row i has `first + i * more` of them that may be seen, at
  // most n, and the others become 0. mask, mask_stride apart, is added first (null: none). sums: log(sum(exp(score)));
  // infinity where nothing may be seen, and the weights are 0.
  void (*softmax[2])(int64_t rows, int64_t n, int64_t stride, int64_t first, int64_t more, void* scores,
                     const void* mask, int64_t mask_stride, void* sums) = {};
  // Scores to weights and their gradients to those of the products q k'. dots: what of the gradient every weight of a
  // row shares.
  void (*backward[2])(int64_t rows, int64_t n, int64_t stride, int64_t first, int64_t more, void* scores, void* grads,
                      const void* mask, int64_t mask_stride, const void* sums, const void* dots, double scale) = {};
  void (*dot[2])(int64_t n, const void* a, const void* b, void* out) = {};
};

// f32 and f64. mask is of the same dtype, its rows over the keys side by side, or has no data. sums: (batch, heads,
// queries).
void attention_forward(DType dtype, const AttentionShape& s, const AttentionMatrix& q, const AttentionMatrix& k,
                       const AttentionMatrix& v, const AttentionMatrix& mask, const AttentionMatrix& out, void* sums);
// dout: gradient of out. dq, dk, dv are written.
void attention_backward(DType dtype, const AttentionShape& s, const AttentionMatrix& q, const AttentionMatrix& k,
                        const AttentionMatrix& v, const AttentionMatrix& mask, const AttentionMatrix& out,
                        const void* sums, const AttentionMatrix& dout, const AttentionMatrix& dq,
                        const AttentionMatrix& dk, const AttentionMatrix& dv);

}  // namespace bulssi
