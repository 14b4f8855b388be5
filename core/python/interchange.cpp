// Memory shared with other libraries: the buffer protocol.
#include <cstring>

#include "core/python/python.h"

namespace bulssi::python {

namespace {

// The letters of the struct module; bfloat16 and complex types have none that consumers know.
const char* format_of(DType d) {
  switch (d) {
    case DType::u8: return "B";
    case DType::i8: return "b";
    case DType::i16: return "h";
    case DType::i32: return "i";
    case DType::i64: return "l";
    case DType::f16: return "e";
    case DType::f32: return "f";
    case DType::f64: return "d";
    case DType::boolean: return "?";
    default: return nullptr;
  }
}

struct Exported {  // what a Py_buffer points at
  Exported(const Tensor& t) : shape(t.shape()), strides(t.strides()), storage(t->storage) { ++storage->views_out; }
  ~Exported() { --storage->views_out; }
  Dims shape, strides;
  Ref<Storage> storage;  // set_ may give the tensor another one
};

}  // namespace

std::optional<DType> dtype_of_format(const char* format, Py_ssize_t size) {
  if (!format) return DType::u8;
  while (*format == '@' || *format == '=' || *format == '<') ++format;
  if (!*format || format[1]) return std::nullopt;
  switch (*format) {
    case '?': return DType::boolean;
    case 'e': return DType::f16;
    case 'f': return DType::f32;
    case 'd': return DType::f64;
    case 'b':
    case 'h':
    case 'i':
    case 'l':
    case 'q':
    case 'n': return size == 1 ? DType::i8 : size == 2 ? DType::i16 : size == 4 ? DType::i32 : DType::i64;
    case 'B': return DType::u8;
    default: return std::nullopt;
  }
}

int get_buffer(PyObject* self, Py_buffer* view, int flags) {
  view->obj = nullptr;
  return guard([&]() -> int {
    const Tensor t = tensor_of(self);
    check(!requires_grad(t), ErrorKind::runtime,
          "Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() instead.");
    const char* format = format_of(t.dtype());
    check(format != nullptr, ErrorKind::type, "Got unsupported ScalarType ", legacy_name(t.dtype()));
    const bool writable = !t->storage->read_only;
    check(writable || !(flags & PyBUF_WRITABLE), ErrorKind::buffer, "the memory of this tensor is read-only");
    check((flags & PyBUF_STRIDES) == PyBUF_STRIDES || t.contiguous(), ErrorKind::buffer,
          "this consumer needs contiguous memory: call contiguous() first");
    const int size = itemsize(t.dtype());
    auto* exported = new Exported(t);
    for (int64_t& s : exported->strides) s *= size;
    Py_INCREF(self);
    view->obj = self;
    view->buf = t->data();
    view->len = t.numel() * size;
    view->itemsize = size;
    view->readonly = !writable;
    view->format = (flags & PyBUF_FORMAT) ? const_cast<char*>(format) : nullptr;
    view->ndim = (flags & PyBUF_ND) ? t.dims() : 1;
    static_assert(sizeof(Py_ssize_t) == sizeof(int64_t));
    view->shape = (flags & PyBUF_ND) ? reinterpret_cast<Py_ssize_t*>(exported->shape.data()) : nullptr;
    view->strides =
        (flags & PyBUF_STRIDES) == PyBUF_STRIDES ? reinterpret_cast<Py_ssize_t*>(exported->strides.data()) : nullptr;
    view->suboffsets = nullptr;
    view->internal = exported;
    return 0;
  });
}
void release_buffer(PyObject*, Py_buffer* view) { delete static_cast<Exported*>(view->internal); }

// A hold on the memory of a buffer, let go of when the last tensor is gone.
static void release_view(void* context, void*, int64_t) {
  auto* held = static_cast<Py_buffer*>(context);
  PyGILState_STATE state = PyGILState_Ensure();
  PyBuffer_Release(held);
  PyGILState_Release(state);
  delete held;
}

// A tensor on the memory of a buffer (an array, bytes, a memory map); nothing when it is no buffer of a known dtype.
Tensor tensor_on_buffer(PyObject* object) {
  auto* view = new Py_buffer;
  if (PyObject_GetBuffer(object, view, PyBUF_FULL_RO) < 0) {
    PyErr_Clear();
    delete view;
    return {};
  }
  const auto dtype = dtype_of_format(view->format, view->itemsize);
  Layout layout;
  bool whole = dtype.has_value();
  for (int i = 0; whole && i < view->ndim; ++i) {
    layout.shape.push_back(view->shape[i]);
    whole = view->strides[i] % view->itemsize == 0;
    layout.strides.push_back(view->strides[i] / view->itemsize);
  }
  if (!whole) {
    PyBuffer_Release(view);
    delete view;
    return {};
  }
  const auto [low, high] = layout.extent();
  char* start = static_cast<char*>(view->buf) + low * view->itemsize;
  layout.offset = -low;
  auto storage = foreign_storage(start, (high - low + 1) * view->itemsize, view, release_view);
  storage->read_only = view->readonly;
  Tensor out = tensor_on_storage(std::move(storage), layout, *dtype);
  return out;
}

namespace {

// _frombuffer(buffer, dtype, count, offset): 1-d, on the bytes of any buffer.
PyObject* frombuffer(PyObject*, PyObject* args) {
  PyObject *source, *dtype_given;
  long long count, offset;
  if (!PyArg_ParseTuple(args, "OOLL", &source, &dtype_given, &count, &offset)) return nullptr;
  return guard([&]() -> PyObject* {
    const DType dtype = dtype_value(dtype_given);
    check(PyObject_CheckBuffer(source), ErrorKind::value,
          "object does not implement Python buffer protocol.\n"
          "frombuffer(): got ",
          type_name(source));
    auto* view = new Py_buffer;
    if (PyObject_GetBuffer(source, view, PyBUF_WRITABLE) < 0) {
      PyErr_Clear();
      if (PyObject_GetBuffer(source, view, PyBUF_SIMPLE) < 0) {
        delete view;
        throw PendingError();
      }
    }
    const int size = itemsize(dtype);
    const int64_t bytes = view->len;
    const auto storage = foreign_storage(view->buf, bytes, view, release_view);
    storage->read_only = view->readonly;
    check(bytes > 0 && count != 0, ErrorKind::value, "both buffer length (", bytes, ") and count (", count,
          ") must not be 0");
    check(offset >= 0 && offset < bytes, ErrorKind::value, "offset (", offset,
          " bytes) must be non-negative and no greater than buffer length (", bytes, " bytes) minus 1");
    if (count < 0) {
      check((bytes - offset) % size == 0, ErrorKind::value, "buffer length (", bytes - offset, " bytes) after offset (",
            offset, " bytes) must be a multiple of element size (", size, ")");
      count = (bytes - offset) / size;
    }
    check(count <= (bytes - offset) / size, ErrorKind::value, "requested buffer length (", count, " * ", size,
          " bytes) after offset (", offset, " bytes) must not be greater than actual buffer length (", bytes,
          " bytes)");
    char* const first = storage->data + offset;
    if (reinterpret_cast<uintptr_t>(first) % size_t(size) != 0) {  // which no kernel could read
      warn("UserWarning", str("frombuffer: the elements do not lie at multiples of their size in memory (offset=",
                              offset, "): the tensor is a copy and does not share the buffer's memory."));
      const Tensor copy = empty(Dims{count}, dtype);
      std::memcpy(copy->data(), first, size_t(count) * size_t(size));
      return wrap(copy);
    }
    storage->data = first;
    storage->bytes -= offset;
    return wrap(tensor_on_storage(storage, Layout::of(Dims{count}), dtype));
  });
}

// _from_array(array): on the memory of a NumPy array; None where its elements have no dtype here.
PyObject* from_array(PyObject*, PyObject* array) {
  return guard([&]() -> PyObject* { return wrap(tensor_on_buffer(array)); });
}
PyObject* is_read_only(PyObject*, PyObject* tensor) {
  return guard(
      [&]() -> PyObject* { return PyBool_FromLong(is_tensor(tensor) && impl_of(tensor)->storage->read_only); });
}
PyMethodDef functions[] = {{"_frombuffer", frombuffer, METH_VARARGS, nullptr},
                           {"_from_array", from_array, METH_O, nullptr},
                           {"_is_read_only", is_read_only, METH_O, nullptr},
                           {}};

}  // namespace

void add_interchange_functions(PyObject* module) { must(PyModule_AddFunctions(module, functions)); }

}  // namespace bulssi::python
