// What factory functions share.
#pragma once
#include <optional>

#include "core/tensor/tensor.h"

namespace bulssi {

// Fails for a device that does not exist here.
void check_device(const std::optional<Device>& device);
// requires_grad=True of a factory function.
Tensor finish_new(Tensor t, std::optional<bool> requires_grad_wanted);

}  // namespace bulssi
