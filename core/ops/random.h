// Random numbers into tensors, with PyTorch's stream (cpu/random.h says which call draws what).
#pragma once
#include "core/cpu/random.h"
#include "core/tensor/tensor.h"

namespace bulssi {

// The generator of calls that name none.
Generator& default_generator();
inline Generator& or_default(Generator* g) { return g ? *g : default_generator(); }

// Elements set to 0 with probability p, the others divided by 1 - p; recorded.
Tensor dropout(const Tensor& x, double p);

// The dtype, which must be one of which numbers can be drawn: no complex one.
DType drawable(DType dtype, const char* op);
// Raises what a check or a fill refused.
void raise(const rng::Refusal& refusal);

}  // namespace bulssi
