// The tensor: storage + layout + dtype + (only when needed) autograd state.
#pragma once
#include <initializer_list>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "core/base/ref.h"
#include "core/tensor/dtype.h"
#include "core/tensor/layout.h"
#include "core/tensor/storage.h"

namespace bulssi {

struct Autograd;  // autograd/node.h

// Note [Who counts]
// A tensor that Python has never seen counts its owners in `state`, shifted left by one with the low bit set. Once a
// Python object wraps it, `state` is the address of that object (its low bit is clear) and every C++ owner is an
// owner of the Python object. So `x.grad is x.grad`, and subclasses and attributes survive a stay in the graph. The
// core does not know Python: it calls the two hooks below.
struct PythonHooks {
  void (*retain)(void* object) = nullptr;
  void (*release)(void* object) = nullptr;
  bool (*alive)(void* object) = nullptr;  // false while it is being taken apart
};
extern PythonHooks python_hooks;

struct TensorImpl;
[[noreturn]] void no_cpu_memory(const TensorImpl& t);

struct TensorImpl {
  uintptr_t state = 3;
  Ref<Storage> storage;
  Layout layout;
  int64_t numel = 0;
  DType dtype = DType::f32;
  bool contiguous = true;
  bool needs_grad = false;      // leaf that requires grad, or has a producer; for views see Note [Views]
  bool is_view = false;         // has a base: `needs_grad` may be stale
  bool inference = false;       // made in inference mode
  bool wrapped_number = false;  // made from a Python number: takes part in promotion as one
  Autograd* autograd = nullptr;
  Ref<Version> own_version;

  // The elements, for kernels of the CPU: fails for a tensor that has none there.
  char* data() const {
    if (storage->device.kind != DeviceKind::cpu) [[unlikely]]
      no_cpu_memory(*this);
    return storage->data + layout.offset * itemsize(dtype);
  }
  uint32_t version() const { return own_version ? own_version->value : storage->version; }
  void bump_version() { own_version ? ++own_version->value : ++storage->version; }
  ~TensorImpl();
};

extern int64_t live_tensors;

void destroy(TensorImpl* t);
inline void retain(TensorImpl* t) {
  if (t->state & 1)
    t->state += 2;
  else
    python_hooks.retain(reinterpret_cast<void*>(t->state));
}
inline void release(TensorImpl* t) {
  if (t->state & 1) {
    if ((t->state -= 2) == 1) destroy(t);
  } else {
    python_hooks.release(reinterpret_cast<void*>(t->state));
  }
}

class Tensor;
// On the meta device: there is nothing to compute.
bool without_elements(const Tensor& t);
// The address of the first element on whatever device it is: for slots and regions.
char* memory_of(const Tensor& t);
using Tensors = std::span<const Tensor>;

class Tensor : public Ref<TensorImpl> {
 public:
  using Ref::Ref;
  Tensor(Ref<TensorImpl>&& r) : Ref(std::move(r)) {}

  const Layout& layout() const { return pointer_->layout; }
  const Dims& shape() const { return pointer_->layout.shape; }
  const Dims& strides() const { return pointer_->layout.strides; }
  int dims() const { return pointer_->layout.dims(); }
  int64_t size(int64_t dim) const { return shape()[wrap_dim(dim, dims(), false)]; }
  int64_t numel() const { return pointer_->numel; }
  DType dtype() const { return pointer_->dtype; }
  Device device() const { return pointer_->storage->device; }
  bool contiguous() const { return pointer_->contiguous; }
  template <class T>
  T* data() const {
    return reinterpret_cast<T*>(pointer_->data());
  }
  bool same(const Tensor& other) const { return pointer_ == other.pointer_; }

  // The interpretation of a formula on tensors: Fn<D>::operator() arrives here (op/pointwise.h).
  template <class D, class... Args>
  static Tensor apply(Args... args);
};

inline bool without_elements(const Tensor& t) { return t.device().kind == DeviceKind::meta; }

Tensor empty(Ints shape, DType dtype);  // on `placement.device`, as everything that makes tensors
Tensor empty_strided(const Layout& layout, DType dtype);
// Dense memory whose order follows `strides` (broadcast to `shape`): the first that tells two dimensions apart decides.
// empty_like: in the order of `like`'s strides (PyTorch's preserve_format).
Tensor empty_ordered(Ints shape, DType dtype, std::span<const Dims* const> strides);
Tensor empty_like(const Tensor& like, DType dtype);
inline Tensor empty_like(const Tensor& like) { return empty_like(like, like.dtype()); }
Tensor full(Ints shape, Scalar value, DType dtype);
// Dense, of t's shape, dtype and device.
inline Tensor full_like(const Tensor& t, Scalar value) {
  const DeviceScope scope(t.device());
  return full(t.shape(), value, t.dtype());
}
inline Tensor zeros(Ints shape, DType dtype) { return full(shape, Scalar(0), dtype); }
// A 0-d tensor that promotes like the Python number it came from.
Tensor wrapped_number(Scalar value);
// Another tensor on the same memory and version counter, without autograd state.
Tensor alias(const Tensor& t, const Layout& layout);
inline Tensor alias(const Tensor& t) { return alias(t, t.layout()); }
Tensor alias_as(const Tensor& t, const Layout& layout, DType dtype);
Tensor tensor_on_storage(Ref<Storage> storage, const Layout& layout, DType dtype);
void set_layout(const Tensor& t, const Layout& layout);

// Copies elements (no autograd): converts dtypes, broadcasts `from`, walks any strides, survives overlap.
void copy_data(const Tensor& to, const Tensor& from);
void fill_data(const Tensor& to, Scalar value);
// Dense, same elements: itself when it is already contiguous (no autograd).
Tensor dense(const Tensor& t);
Tensor cast_data(const Tensor& t, DType dtype);
Scalar item_data(const Tensor& t);  // of a tensor of one element

DType default_dtype();
void set_default_dtype(DType dtype);

}  // namespace bulssi
