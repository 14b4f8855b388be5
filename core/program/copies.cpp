// Copies and fills of tensors: on the CPU at once, elsewhere by what the device offers.
#include <cctype>

#include "core/cpu/cpu.h"
#include "core/program/backend.h"
#include "core/tensor/tensor.h"

namespace bulssi {

char* memory_of(const Tensor& t) { return t->storage->data + t.layout().offset * itemsize(t.dtype()); }

namespace {

// The memory that may be read and written through `t`, in bytes.
std::pair<const char*, const char*> span_of(const Tensor& t) {
  const auto [low, high] = t.layout().extent();
  const char* base = t->storage->data;
  const int size = itemsize(t.dtype());
  return {base + low * size, base + (high + 1) * size};
}

// One of the two is not on the CPU.
void copy_between(const Tensor& to, const Tensor& from) {
  const Layout source = from.layout().broadcast(to.shape());
  const Region into{memory_of(to), to.dtype(), to.strides()};
  const Region out_of{memory_of(from), from.dtype(), source.strides};
  const bool to_cpu = to.device().kind == DeviceKind::cpu, from_cpu = from.device().kind == DeviceKind::cpu;
  const Backend& backend = backend_of(to_cpu ? from.device() : to.device());
  if (to_cpu || from_cpu) {
    const auto copy = to_cpu ? backend.to_cpu : backend.from_cpu;
    check(copy, ErrorKind::not_implemented, "Cannot copy out of ", device_kind_name(from.device().kind),
          " tensor; no data!");
    return copy(into, out_of, to.shape());
  }
  check(to.device() == from.device() || to.device().kind == DeviceKind::meta, ErrorKind::not_implemented,
        "Cannot copy out of ", from.device(), " tensor to ", to.device(), "; go through the CPU");
  backend.copy(into, out_of, to.shape());
}

}  // namespace

void no_cpu_memory(const TensorImpl& t) {
  std::string kind = device_kind_name(t.storage->device.kind);
  kind[0] = static_cast<char>(std::toupper(kind[0]));
  fail(ErrorKind::not_implemented, "aten::", placement.op, ": attempted to run this operator with ", kind,
       " tensors, but there was no fake impl or ", kind,
       " kernel registered\nIt reads elements in CPU memory, and a tensor of shape ", Ints(t.layout.shape),
       " on device ", t.storage->device, " has none there");
}

void copy_data(const Tensor& to, const Tensor& from) {
  if (to.numel() == 0) return;
  if (to.device().kind != DeviceKind::cpu || from.device().kind != DeviceKind::cpu) [[unlikely]]
    return copy_between(to, from);
  if (to.dtype() == from.dtype() && to.contiguous() && from.contiguous() && to.numel() == from.numel()) {
    cpu::copy_bytes(to->data(), from->data(), to.numel() * itemsize(to.dtype()));
    return;
  }
  if (to->storage == from->storage) {
    const auto a = span_of(to), b = span_of(from);
    if (a.first < b.second && b.first < a.second) {
      Tensor apart = empty(from.shape(), from.dtype());
      cpu::copy(apart->data(), apart.dtype(), apart.strides(), from->data(), from.dtype(), from.strides(),
                from.shape());
      copy_data(to, apart);
      return;
    }
  }
  const Layout source = from.layout().broadcast(to.shape());
  cpu::copy(to->data(), to.dtype(), to.strides(), from->data(), from.dtype(), source.strides, to.shape());
}

void fill_data(const Tensor& to, Scalar value) {
  if (to.numel() == 0) return;
  if (to.device().kind != DeviceKind::cpu) [[unlikely]]
    return backend_of(to.device()).fill({memory_of(to), to.dtype(), to.strides()}, to.shape(), value);
  cpu::fill(to->data(), to.dtype(), to.strides(), to.shape(), value);
}

Tensor dense(const Tensor& t) {
  if (t.contiguous()) return t;
  Tensor out = empty(t.shape(), t.dtype());
  copy_data(out, t);
  return out;
}

Tensor cast_data(const Tensor& t, DType dtype) {
  if (t.dtype() == dtype) return t;
  Tensor out = empty_like(t, dtype);
  copy_data(out, t);
  return out;
}

}  // namespace bulssi
