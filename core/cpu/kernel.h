// What a kernel is: a loop over contiguous runs of one compute type. Included on both sides of the ISA border, so it
// holds plain data only.
#pragma once
#include <cstdint>

namespace bulssi {

// n elements; `in` holds the tensor arguments (n elements each), then the attributes (one element each).
using Kernel = void (*)(int64_t n, const void* const* in, void* out);

// The types in which kernels compute. Everything else is converted block by block.
enum class Compute : uint8_t { f32, f64, i64, u8 };
inline constexpr int compute_count = 4;
inline constexpr int max_tensors = 3;

// Partials receive: gradient, arguments, result, attributes; floating types only.
struct FormulaKernels {
  Kernel value[compute_count] = {};
  Kernel partial[max_tensors][2] = {};
};

}  // namespace bulssi
