// What factory functions share.
#pragma once
#include <optional>

#include "core/op/registry.h"
#include "core/tensor/tensor.h"

// The tail that factory functions share in their schemas.
#define OPTIONS                                                                                     \
  "ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None, bool? " \
  "requires_grad=None) -> Tensor"
#define LIKE                                                                                        \
  "ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None, bool? " \
  "requires_grad=None, MemoryFormat? memory_format=None) -> Tensor"

namespace bulssi {

// A recorded copy on a device.
Tensor moved(const Tensor& t, Device device, DType dtype);
// As `like` in shape, and in its order of memory unless another is asked for.
Tensor new_like(const Tensor& like, std::optional<DType> dtype, MemoryFormat format);
// Fails where requires_grad=True is asked for of a dtype that has no gradients.
void check_can_require_grad(DType dtype, std::optional<bool> wanted);
// requires_grad=True of a factory function.
Tensor finish_new(Tensor t, std::optional<bool> requires_grad_wanted);

}  // namespace bulssi
