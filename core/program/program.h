// A Program: calls of formulas over slots, which a device runs block by block. One eager pointwise operation is a
// program of one step. It says what to compute and where the numbers lie, not how: a step names its formula, and each
// device finds (or makes) the kernel itself.
#pragma once
#include <cstdint>
#include <span>

#include "core/cpu/kernel.h"
#include "core/tensor/dtype.h"
#include "core/tensor/layout.h"

namespace bulssi {

// A value that steps read or write: memory outside, a block that lives only during the run, one number in place of a
// tensor, or an attribute of the formula.
struct Slot {
  enum class Kind : uint8_t { input, output, temporary, number, attribute };
  Kind kind = Kind::input;
  Compute compute = Compute::f32;
  DType dtype = DType::f32;          // of the memory
  char* data = nullptr;              // of the first element; of numbers and attributes always in CPU memory
  const int64_t* strides = nullptr;  // in elements, over the shape of the run; null: contiguous
};

struct Step {
  static constexpr int8_t value = -1;
  int16_t formula = 0;     // its index (op/formulas.h)
  int8_t partial = value;  // which partial derivative, or the value
  Compute compute = Compute::f32;
  int8_t inputs = 0;
  int8_t in[10] = {};  // slots
  int8_t out = 0;
};

struct Program {
  std::span<const Step> steps;
  std::span<const Slot> slots;
  Ints shape;
};

}  // namespace bulssi
