// What a device offers to the rest of the core. Formulas, views, copies and composites need nothing else; an operation
// with a kernel of its own reads memory through `data`, which refuses tensors of devices that have no such kernel.
#pragma once
#include <cstdint>

#include "core/program/program.h"
#include "core/tensor/storage.h"

namespace bulssi {

// Elements in the memory of a device.
struct Region {
  char* data;
  DType dtype;
  Ints strides;  // in elements
};

// Note [Devices]
// The call of an operation decides where it happens: the `device` argument if there is one, else the device of its
// tensors (0-d tensors of the CPU may join in), else, for operations that make tensors, the default device. It stands
// in `placement` during the call, and everything that makes a tensor (`empty`) looks there. The engine does the same
// for each node. So no operation in core/ops mentions devices, but for `to` and those whose kernel has versions.
struct Backend {
  Ref<Storage> (*new_storage)(int64_t bytes, Device device);
  void (*run)(const Program& program);
  // Between two regions of this device, with conversion; they do not overlap.
  void (*copy)(const Region& to, const Region& from, Ints shape);
  void (*fill)(const Region& to, Ints shape, Scalar value);
  // To and from the CPU; null: the device holds no elements.
  void (*to_cpu)(const Region& to, const Region& from, Ints shape);
  void (*from_cpu)(const Region& to, const Region& from, Ints shape);
};

// The backend of a device; fails with PyTorch's words where this build or machine has none.
const Backend& backend_of(Device device);
void check_device(Device device);

}  // namespace bulssi
