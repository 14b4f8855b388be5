// Memory shared with other libraries: DLPack 1.x, both ways. The structures follow the protocol's published layout
// (https://dmlc.github.io/dlpack/latest/c_api.html).
#include "core/python/python.h"

namespace bulssi::python {

namespace {

struct DlDevice {
  int32_t type, id;
};
struct DlType {
  uint8_t code, bits;
  uint16_t lanes;
};
struct DlTensor {
  void* data;
  DlDevice device;
  int32_t dims;
  DlType type;
  int64_t* shape;
  int64_t* strides;
  uint64_t byte_offset;
};
struct Managed {  // before 1.0
  DlTensor tensor;
  void* context;
  void (*deleter)(Managed* self);
};
struct Versioned {
  uint32_t major, minor;
  void* context;
  void (*deleter)(Versioned* self);
  uint64_t flags;
  DlTensor tensor;
};
constexpr uint64_t flag_read_only = 1, flag_copied = 2;
constexpr int32_t on_cpu = 1;
enum Code : uint8_t { code_int = 0, code_uint = 1, code_float = 2, code_bfloat = 4, code_complex = 5, code_bool = 6 };

DlType dl_type(DType d) {
  const auto bits = static_cast<uint8_t>(8 * itemsize(d));
  if (d == DType::boolean) return {code_bool, bits, 1};
  if (d == DType::bf16) return {code_bfloat, bits, 1};
  if (is_complex(d)) return {code_complex, bits, 1};
  if (is_floating(d)) return {code_float, bits, 1};
  return {d == DType::u8 ? code_uint : code_int, bits, 1};
}
DType dtype_of(DlType type) {
  for (int i = 0; i < dtype_count; ++i) {
    const DlType t = dl_type(static_cast<DType>(i));
    if (t.code == type.code && t.bits == type.bits && type.lanes == 1) return static_cast<DType>(i);
  }
  fail(ErrorKind::buffer, "from_dlpack: unsupported element type (code ", int(type.code), ", ", int(type.bits),
       " bits, ", int(type.lanes), " lanes)");
}

// ---- out ------------------------------------------------------------------------------------------------------------

// What an exported capsule owns: the tensor, and room for its shape and strides.
template <class M>
struct Export {
  M managed{};
  Tensor tensor;
  Dims shape, strides;
};
template <class M>
void drop_export(M* managed) {
  PyGILState_STATE state = PyGILState_Ensure();  // the consumer may be on any thread
  delete static_cast<Export<M>*>(managed->context);
  PyGILState_Release(state);
}
template <class M>
void drop_capsule(PyObject* capsule, const char* name) {
  if (!PyCapsule_IsValid(capsule, name)) return;  // consumed: renamed
  auto* managed = static_cast<M*>(PyCapsule_GetPointer(capsule, name));
  managed->deleter(managed);
}
template <class M>
PyObject* export_capsule(const Tensor& t, const char* name, bool copied) {
  auto* made = new Export<M>;
  made->tensor = t;
  made->shape = t.shape();
  made->strides = t.strides();
  made->managed.context = made;
  made->managed.deleter = drop_export<M>;
  made->managed.tensor = {t->data(),          {on_cpu, 0},          t.dims(), dl_type(t.dtype()),
                          made->shape.data(), made->strides.data(), 0};
  if constexpr (std::is_same_v<M, Versioned>) {
    made->managed.major = 1;
    made->managed.flags = (t->storage->read_only ? flag_read_only : 0) | (copied ? flag_copied : 0);
  }
  PyObject* capsule = PyCapsule_New(&made->managed, name, [](PyObject* c) {
    drop_capsule<M>(c, std::is_same_v<M, Versioned> ? "dltensor_versioned" : "dltensor");
  });
  if (!capsule) delete made;
  return capsule;
}

// _to_dlpack(tensor, versioned, copy)
PyObject* to_dlpack(PyObject*, PyObject* args) {
  PyObject* tensor;
  int versioned, copy;
  if (!PyArg_ParseTuple(args, "Opp", &tensor, &versioned, &copy)) return nullptr;
  return guard([&]() -> PyObject* {
    check(is_tensor(tensor), ErrorKind::type, "to_dlpack(): expected a Tensor, not ", type_name(tensor));
    Tensor t = tensor_of(tensor);
    check(!requires_grad(t), ErrorKind::buffer, "Can't export tensors that require gradient, use tensor.detach()");
    if (copy) {
      Tensor own = empty_like(t);
      copy_data(own, t);
      t = std::move(own);
    } else {
      t = alias(t);  // a later set_ of the tensor leaves the consumer alone
    }
    t->storage->resizable = false;
    return versioned ? export_capsule<Versioned>(t, "dltensor_versioned", copy)
                     : export_capsule<Managed>(t, "dltensor", copy);
  });
}

// ---- in -------------------------------------------------------------------------------------------------------------

template <class M>
Tensor import_capsule(PyObject* capsule, const char* name, const char* used_name) {
  auto* managed = static_cast<M*>(PyCapsule_GetPointer(capsule, name));
  if (!managed) throw PendingError();
  const DlTensor& source = managed->tensor;
  check(source.device.type == on_cpu, ErrorKind::buffer,
        "from_dlpack: only memory of the CPU is supported, this is on "
        "device type ",
        source.device.type);
  if constexpr (std::is_same_v<M, Versioned>) {
    check(managed->major == 1, ErrorKind::buffer, "from_dlpack: DLPack version ", managed->major,
          " is not supported, only 1");
  }
  const DType dtype = dtype_of(source.type);
  Layout layout{Dims(Ints(source.shape, static_cast<size_t>(source.dims))), {}, 0};
  for (int64_t s : layout.shape) check(s >= 0, ErrorKind::buffer, "from_dlpack: negative size ", s);
  layout.strides =
      source.strides ? Dims(Ints(source.strides, static_cast<size_t>(source.dims))) : contiguous_strides(layout.shape);
  const auto [low, high] = layout.extent();
  layout.offset = -low;
  const int size = itemsize(dtype);
  char* start = static_cast<char*>(source.data) + source.byte_offset + low * size;
  auto storage = foreign_storage(start, (high - low + 1) * size, managed, [](void* context, void*, int64_t) {
    auto* held = static_cast<M*>(context);
    if (held->deleter) held->deleter(held);
  });
  if constexpr (std::is_same_v<M, Versioned>) storage->read_only = managed->flags & flag_read_only;
  must(PyCapsule_SetName(capsule, used_name));  // from here on the storage owns it
  return tensor_on_storage(std::move(storage), layout, dtype);
}

PyObject* from_capsule(PyObject*, PyObject* capsule) {
  return guard([&]() -> PyObject* {
    if (PyCapsule_IsValid(capsule, "dltensor_versioned")) {
      return wrap(import_capsule<Versioned>(capsule, "dltensor_versioned", "used_dltensor_versioned"));
    }
    check(PyCapsule_IsValid(capsule, "dltensor"),
          "from_dlpack received an invalid capsule. Note that DLTensor capsules "
          "can be consumed only once, so you might have already constructed a tensor from it once.");
    return wrap(import_capsule<Managed>(capsule, "dltensor", "used_dltensor"));
  });
}

PyMethodDef functions[] = {
    {"_to_dlpack", to_dlpack, METH_VARARGS, nullptr}, {"_from_dlpack", from_capsule, METH_O, nullptr}, {}};

}  // namespace

void add_dlpack_functions(PyObject* module) { must(PyModule_AddFunctions(module, functions)); }

}  // namespace bulssi::python
