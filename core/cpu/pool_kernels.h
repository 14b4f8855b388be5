// The parts of pooling that are compiled once per ISA, as a table of plain data.
#pragma once
#include <cstdint>

namespace bulssi {

struct PoolKernels {
  // The largest of 2 x 2 windows side by side, n of them in two rows `width` apart, the first of which starts at place
  // `row` of the plane; where a nan is, it wins. f32, f64.
  void (*halve[2])(int64_t n, const void* x, int64_t width, int64_t row, void* values, int64_t* indices);
};

}  // namespace bulssi
