#include "core/tensor/tensor.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "core/autograd/node.h"
#include "core/base/error.h"

namespace bulssi {

PythonHooks python_hooks;
int64_t live_tensors = 0;
thread_local constinit Placement placement;
thread_local constinit Device default_device;

void destroy(Storage* s) {
  if (s->change) drop_change(s->change);
  if (s->free_foreign) s->free_foreign(s->context, s->data, s->bytes);
  const int64_t block = s->block;
  s->~Storage();
  deallocate(s, static_cast<size_t>(block));
}

Ref<Storage> foreign_storage(void* data, int64_t bytes, void* context, void (*free_foreign)(void*, void*, int64_t)) {
  auto* s = new (allocate(sizeof(Storage))) Storage;
  s->bytes = bytes;
  s->block = sizeof(Storage);
  s->data = static_cast<char*>(data);
  s->context = context;
  s->free_foreign = free_foreign;
  s->resizable = false;
  return Ref<Storage>::adopt(s);
}

namespace {

struct Retired {
  uint64_t before;  // kernels with smaller numbers may use it
  Ref<Storage> storage;
};
uint64_t kernels_begun = 0;
std::vector<uint64_t> kernels_running;
std::vector<Retired>* retired = nullptr;  // never destroyed: threads may still run when the process ends

}  // namespace

uint64_t kernel_begins() {
  kernels_running.push_back(++kernels_begun);
  return kernels_begun;
}
void kernel_ended(uint64_t number) {
  std::erase(kernels_running, number);
  if (!retired || retired->empty()) [[likely]]
    return;
  const auto oldest = std::min_element(kernels_running.begin(), kernels_running.end());
  const uint64_t limit = oldest == kernels_running.end() ? UINT64_MAX : *oldest;
  for (size_t i = 0; i < retired->size();) {
    if ((*retired)[i].before > limit) {
      ++i;
      continue;
    }
    // Taken out first: what frees foreign memory may run Python code, and kernels.
    std::swap((*retired)[i], retired->back());
    const Retired gone = std::move(retired->back());
    retired->pop_back();
    i = 0;
  }
}
void retire(Ref<Storage> replaced) {
  if (kernels_running.empty()) return;
  try {
    if (!retired) retired = new std::vector<Retired>;
    retired->push_back({kernels_begun + 1, replaced});
  } catch (const std::bad_alloc&) {
    replaced.detach();  // nowhere to note it: better kept for good than freed under a kernel
  }
}

// Memory never shrinks: other tensors may still show what lies beyond the new end.
void resize_storage(Storage& s, int64_t bytes) {
  if (s.device.kind == DeviceKind::meta) {
    s.bytes = bytes;
    return;
  }
  check(s.resizable && s.views_out == 0,
        "Trying to resize storage that is not resizable: its memory belongs to another library, or is in use by one");
  const int64_t room =
      s.free_foreign ? reinterpret_cast<intptr_t>(s.context) : s.block - static_cast<int64_t>(sizeof(Storage));
  if (bytes > room) {
    // The memory that came with the header stays with it; what replaced that goes.
    Ref<Storage> replaced = s.free_foreign ? foreign_storage(nullptr, room, s.context, nullptr) : Ref<Storage>();
    char* fresh = static_cast<char*>(allocate(static_cast<size_t>(bytes)));
    std::memcpy(fresh, s.data, static_cast<size_t>(s.bytes));
    if (replaced) {
      replaced->data = s.data;
      replaced->free_foreign = s.free_foreign;
    }
    s.data = fresh;
    s.context = reinterpret_cast<void*>(static_cast<intptr_t>(bytes));
    s.free_foreign = [](void* size, void* data, int64_t) { deallocate(data, reinterpret_cast<size_t>(size)); };
    if (replaced) retire(std::move(replaced));
  }
  s.bytes = bytes;
}

TensorImpl::~TensorImpl() {
  if (autograd) abandon(autograd);
}

void destroy(TensorImpl* t) {
  --live_tensors;
  t->~TensorImpl();
  deallocate(t, sizeof(TensorImpl));
}

// With everything but its layout and what follows from that.
static TensorImpl* blank_tensor(Ref<Storage> storage, DType dtype) {
  if (is_complex(dtype)) [[unlikely]] {
    fail(ErrorKind::not_implemented, "complex tensors are not supported yet (dtype ", dtype,
         "): keep real and imaginary parts in tensors of their own");
  }
  auto* t = new (allocate(sizeof(TensorImpl))) TensorImpl;
  ++live_tensors;
  t->storage = std::move(storage);
  t->dtype = dtype;
  t->inference = grad_state.inference;
  return t;
}
static Tensor new_tensor(Ref<Storage> storage, const Layout& layout, DType dtype) {
  TensorImpl* t = blank_tensor(std::move(storage), dtype);
  t->layout = layout;
  t->numel = layout.numel();
  t->contiguous = layout.contiguous();
  return Tensor(Ref<TensorImpl>::adopt(t));
}

Tensor tensor_on_storage(Ref<Storage> storage, const Layout& layout, DType dtype) {
  return new_tensor(std::move(storage), layout, dtype);
}

static int64_t bytes_for(int64_t elements, DType dtype) {
  int64_t bytes;
  if (__builtin_mul_overflow(elements, int64_t{itemsize(dtype)}, &bytes) || bytes > (int64_t{1} << 62)) {
    fail("Storage size calculation overflowed: ", elements, " elements of ", dtype);
  }
  return bytes;
}

Tensor empty(Ints shape, DType dtype) {
  for (int64_t s : shape) {
    check(s >= 0, "Trying to create tensor with negative dimension ", s, ": ", shape);
  }
  int64_t elements = 1;
  bool overflow = false, none = false;
  for (int64_t s : shape) {
    none = none || s == 0;
    overflow = overflow || __builtin_mul_overflow(elements, s, &elements);
  }
  int64_t bytes;
  overflow = __builtin_mul_overflow(none ? 0 : elements, int64_t{itemsize(dtype)}, &bytes) || (overflow && !none);
  check(!overflow && bytes <= int64_t{1} << 62, "Storage size calculation overflowed with sizes=", shape,
        "\nthat would be more bytes of ", dtype, " than can be counted");
  TensorImpl* t = blank_tensor(new_storage(bytes, placement.device), dtype);
  t->layout.shape.append(shape.data(), shape.data() + shape.size());
  t->layout.strides = contiguous_strides(shape);
  t->numel = none ? 0 : elements;
  return Tensor(Ref<TensorImpl>::adopt(t));
}

Tensor empty_strided(const Layout& layout, DType dtype) {
  const auto [low, high] = layout.extent();
  Layout placed = layout;
  placed.offset -= low;
  return new_tensor(new_storage(bytes_for(high - low + 1, dtype), placement.device), placed, dtype);
}

Tensor empty_like(const Tensor& like, DType dtype) {
  // What is contiguous may have other strides than row-major memory where a size is 1.
  if (like.strides() == contiguous_strides(like.shape())) return empty(like.shape(), dtype);
  if (like.contiguous() || like.layout().dense()) return empty_strided(like.layout(), dtype);
  const Dims* strides[] = {&like.strides()};
  return empty_ordered(like.shape(), dtype, strides);
}

Tensor empty_ordered(Ints shape, DType dtype, std::span<const Dims* const> strides) {
  // Insertion sort, from the last dimension on as the innermost; pairs that no operand decides keep their places.
  const int n = static_cast<int>(shape.size());
  const auto should_swap = [&](int inner, int outer) {
    for (const Dims* s : strides) {
      const int64_t a = std::abs((*s)[inner]), b = std::abs((*s)[outer]);
      if (a == 0 || b == 0) continue;
      if (a != b) return a < b ? -1 : 1;
      if (shape[inner] > shape[outer]) return 1;
    }
    return 0;
  };
  Small<int, 6> order;
  for (int i = n; i-- > 0;) order.push_back(i);
  for (int i = 1; i < n; ++i) {
    int at = i;
    for (int k = i; k-- > 0;) {
      const int swap = should_swap(order[k], order[at]);
      if (swap < 0) break;
      if (swap > 0) {
        std::swap(order[k], order[at]);
        at = k;
      }
    }
  }
  Layout layout{Dims(shape), Dims(shape.size()), 0};
  int64_t step = 1;
  for (int d : order) {
    layout.strides[d] = step;
    step *= std::max<int64_t>(shape[d], 1);
  }
  return empty_strided(layout, dtype);
}

Tensor full(Ints shape, Scalar value, DType dtype) {
  Tensor out = empty(shape, dtype);
  fill_data(out, value);
  return out;
}

Tensor wrapped_number(Scalar value) {
  Tensor out = new_tensor(new_storage(itemsize(value.dtype()), Device{}), Layout{}, value.dtype());
  if (value.kind == Scalar::Kind::boolean)
    *out.data<bool>() = value.i != 0;
  else if (value.kind == Scalar::Kind::integer)
    *out.data<int64_t>() = value.i;
  else if (value.kind == Scalar::Kind::floating)
    *out.data<double>() = value.d;
  else
    *out.data<Complex128>() = {value.d, value.imag};
  out->wrapped_number = true;
  return out;
}

Tensor alias_as(const Tensor& t, const Layout& layout, DType dtype) {
  Tensor out = new_tensor(t->storage, layout, dtype);
  out->own_version = t->own_version;
  out->inference = t->inference;
  return out;
}
Tensor alias(const Tensor& t, const Layout& layout) { return alias_as(t, layout, t.dtype()); }

void set_layout(const Tensor& t, const Layout& layout) {
  Layout placed = layout;
  t->layout = std::move(placed);
  t->numel = t->layout.numel();
  t->contiguous = t->layout.contiguous();
}

Scalar item_data(const Tensor& t) {
  check(!without_elements(t), "Tensor.item() cannot be called on meta tensors");
  switch (t.dtype()) {
    case DType::boolean: return Scalar(*reinterpret_cast<const unsigned char*>(t.data<bool>()) != 0);  // any bytes
    case DType::f64: return Scalar(*t.data<double>());
    case DType::f32: return Scalar(static_cast<double>(*t.data<float>()));
    case DType::f16: return Scalar(static_cast<double>(float(*t.data<Half>())));
    case DType::bf16: return Scalar(static_cast<double>(float(*t.data<BFloat16>())));
    default: return dispatch(t.dtype(), "item", [&]<class T>() { return Scalar(convert<int64_t>(*t.data<T>())); });
  }
}

static DType default_dtype_ = DType::f32;
DType default_dtype() { return default_dtype_; }
void set_default_dtype(DType dtype) {
  check(is_floating(dtype), ErrorKind::type, "only floating-point types are supported as the default type");
  default_dtype_ = dtype;
}

}  // namespace bulssi
