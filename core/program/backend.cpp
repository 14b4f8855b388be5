#include "core/program/backend.h"

#include "core/base/alloc.h"
#include "core/base/error.h"
#include "core/cpu/cpu.h"

namespace bulssi {

namespace {

// ---- cpu -----------------------------------------------------------------------------------------------------------

void copy_on_cpu(const Region& to, const Region& from, Ints shape) {
  cpu::copy(to.data, to.dtype, to.strides, from.data, from.dtype, from.strides, shape);
}
constexpr Backend cpu_backend{
    new_storage,
    cpu::run,
    copy_on_cpu,
    [](const Region& to, Ints shape, Scalar value) { cpu::fill(to.data, to.dtype, to.strides, shape, value); },
    copy_on_cpu,
    copy_on_cpu,
};

// ---- meta: shapes, strides and dtypes without elements --------------------------------------------------------------

constexpr Backend meta_backend{
    [](int64_t bytes, Device device) {
      auto* s = new (allocate(sizeof(Storage))) Storage;
      s->bytes = bytes;
      s->block = sizeof(Storage);
      s->device = device;
      return Ref<Storage>::adopt(s);
    },
    [](const Program&) {},
    [](const Region&, const Region&, Ints) {},
    [](const Region&, Ints, Scalar) {},
    nullptr,
    [](const Region&, const Region&, Ints) {},
};

}  // namespace

const Backend& backend_of(Device device) {
  switch (device.kind) {
    case DeviceKind::cpu: return cpu_backend;
    case DeviceKind::meta: return meta_backend;
    case DeviceKind::cuda: break;
  }
  fail(ErrorKind::assertion, "Torch not compiled with CUDA enabled");
}

Ref<Storage> new_storage(int64_t bytes, Device device) {
  if (device.kind != DeviceKind::cpu) [[unlikely]]
    return backend_of(device).new_storage(bytes, device);
  // Head and elements in one block.
  const int64_t block = static_cast<int64_t>(sizeof(Storage)) + bytes;
  auto* s = new (allocate(static_cast<size_t>(block))) Storage;
  s->bytes = bytes;
  s->block = block;
  s->device = device;
  s->data = s->own_data();
  return Ref<Storage>::adopt(s);
}

void check_device(Device device) { backend_of(device); }

}  // namespace bulssi
