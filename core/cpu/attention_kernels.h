// The parts of attention that are compiled once per ISA, as a table of plain data. Included on both sides of the ISA
// border.
#pragma once
#include <cstdint>

namespace bulssi {

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

}  // namespace bulssi
