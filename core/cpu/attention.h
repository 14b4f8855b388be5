// Attention over plain memory: softmax(scale q k' + mask) v for every item of a batch and every head, and its
// gradients. The weights exist for one block of queries at a time; backward forms them again from the logarithms of
// their sums.
#pragma once
#include <cstdint>

#include "core/cpu/attention_kernels.h"
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
