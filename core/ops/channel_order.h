// Where channels stand in the memory of results: (N, C, *size) may be kept as (N, *size, C).
#pragma once
#include "core/tensor/tensor.h"

namespace bulssi {

// The unrecorded result of an operation over (N, C, *size), with its channels last in memory if those of an argument
// are.
Tensor in_channel_order(Tensor out, const Tensor& a, const Tensor& b = Tensor());

}  // namespace bulssi
