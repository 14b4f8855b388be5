// Tensors from Python data and back.
#include <cstring>

#include "core/ops/basics.h"
#include "core/ops/create.h"
#include "core/program/backend.h"
#include "core/python/python.h"

namespace bulssi::python {

namespace {

bool is_list(PyObject* o) { return PyList_Check(o) || PyTuple_Check(o); }
// Sequences that are no list or tuple (ranges, user classes).
bool is_other_sequence(PyObject* o) {
  return PySequence_Check(o) && !PyUnicode_Check(o) && !PyBytes_Check(o) && !is_tensor(o) && !PyDict_Check(o) &&
         !is_number(o);
}

[[noreturn]] void fail_element(PyObject* o) {
  if (PyUnicode_Check(o) || PyBytes_Check(o)) fail(ErrorKind::type, "new(): invalid data type '", type_name(o), "'");
  fail(ErrorKind::runtime, "Could not infer dtype of ", type_name(o));
}

// Shape and element type of nested data.
struct Inferred {
  Dims shape;
  std::optional<DType> dtype;
};
void infer_element(PyObject* o, Inferred& into) {
  DType d;
  if (PyFloat_Check(o))
    d = default_dtype();
  else if (PyBool_Check(o))
    d = DType::boolean;
  else if (PyLong_Check(o))
    d = DType::i64;
  else if (PyComplex_Check(o))
    d = default_dtype() == DType::f64 ? DType::c128 : DType::c64;
  else if (is_tensor(o))
    d = impl_of(o)->dtype;
  else if (is_number(o)) {
    Object dtype(PyObject_GetAttrString(o, "dtype"));
    PyErr_Clear();
    Object name(dtype ? PyObject_GetAttrString(dtype.get(), "name") : nullptr);
    PyErr_Clear();
    const char* text = name ? PyUnicode_AsUTF8(name.get()) : nullptr;
    d = Py_TYPE(o)->tp_as_number->nb_index ? DType::i64 : default_dtype();
    for (int i = 0; text && i < dtype_count; ++i) {
      if (!std::strcmp(text, dtype_name(static_cast<DType>(i)))) d = static_cast<DType>(i);
    }
  } else {
    fail_element(o);
  }
  into.dtype = into.dtype ? promote(*into.dtype, d) : d;
}
void infer(PyObject* o, size_t depth, Inferred& into, bool dtype_wanted) {
  if (is_list(o) || is_other_sequence(o)) {
    check(depth < 64, ErrorKind::value, "too many dimensions '", type_name(o), "'");
    Object fast(must(PySequence_Fast(o, "expected a sequence")));
    const Py_ssize_t n = PySequence_Fast_GET_SIZE(fast.get());
    if (depth == into.shape.size()) into.shape.push_back(n);
    for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(fast.get()) && (dtype_wanted || i == 0); ++i) {
      infer(Object::borrow(PySequence_Fast_GET_ITEM(fast.get(), i)).get(), depth + 1, into, dtype_wanted);
    }
    return;
  }
  if (is_tensor(o) && impl_of(o)->layout.dims() > 0) {
    const Tensor t = tensor_of(o);
    for (int k = 0; k < t.dims(); ++k) {
      if (depth + k == into.shape.size()) into.shape.push_back(t.shape()[k]);
    }
  }
  if (dtype_wanted) infer_element(o, into);
}

template <class T>
[[noreturn, gnu::cold]] void refuse_element() {
  fail(ErrorKind::runtime, "value cannot be converted to type ", dtype_name(dtype_of<T>), " without overflow");
}
template <class T>
T element(PyObject* o) {
  constexpr bool whole = std::is_integral_v<T> && !std::is_same_v<T, bool>;
  if (!whole && PyFloat_CheckExact(o)) return convert<T>(PyFloat_AS_DOUBLE(o));
  if (!whole && PyLong_CheckExact(o)) return convert<T>(double_value(o));
  const Scalar s = is_tensor(o) ? item_data(tensor_of(o)) : [&] {
    if (!is_number(o)) fail(ErrorKind::type, "must be real number, not ", type_name(o));
    return number_value(o);
  }();
  if constexpr (whole) {
    if (s.integral() && sizeof(T) < 8 && (s.i < std::numeric_limits<T>::min() || s.i > std::numeric_limits<T>::max())) {
      if (!(std::is_unsigned_v<T> && s.i < 0 && s.i >= -int64_t{1} << (8 * sizeof(T) - 1))) refuse_element<T>();
    }
    if (s.kind == Scalar::Kind::floating) {
      const double most = std::ldexp(1.0, 8 * int(sizeof(T)) - (std::is_signed_v<T> ? 1 : 0));
      if (!(s.d > (std::is_signed_v<T> ? -most - 1 : -most) && s.d < most)) refuse_element<T>();
    }
  }
  return s.as<T>();
}
template <class T>
void fill_from(PyObject* o, const Dims& shape, size_t depth, T*& to) {
  if (depth == shape.size()) {
    if (is_list(o)) fail(ErrorKind::type, "not a number: expected a number at depth ", depth);
    *to++ = element<T>(o);
    return;
  }
  if (is_tensor(o)) {
    const Tensor t = dense(cast_data(tensor_of(o), dtype_of<T>));
    int64_t expected = 1;
    for (size_t d = depth; d < shape.size(); ++d) expected *= shape[d];
    check(t.numel() == expected && t.dims() == int(shape.size() - depth), ErrorKind::value,
          "expected sequence of length ", shape[depth], " at dim ", depth, " (got ", t.dims() ? t.shape()[0] : 0, ")");
    std::memcpy(to, t.data<T>(), sizeof(T) * t.numel());
    to += t.numel();
    return;
  }
  if (!is_list(o) && !is_other_sequence(o)) {
    fail(ErrorKind::type, "expected a sequence of length ", shape[depth], " at dim ", depth, ", got ", type_name(o));
  }
  Object fast(must(PySequence_Fast(o, "expected a sequence")));
  const Py_ssize_t n = PySequence_Fast_GET_SIZE(fast.get());
  check(n == shape[depth], ErrorKind::value, "expected sequence of length ", shape[depth], " at dim ", depth, " (got ",
        n, ")");
  for (Py_ssize_t i = 0; i < n; ++i) {
    // An element's __float__ may change the list.
    check(i < PySequence_Fast_GET_SIZE(fast.get()), "the list at dim ", depth, " became shorter while it was read");
    fill_from<T>(Object::borrow(PySequence_Fast_GET_ITEM(fast.get(), i)).get(), shape, depth + 1, to);
  }
}

template <class T>
PyObject* list_from(const T* data, const Layout& l, int dim) {
  if (dim == l.dims()) {
    if constexpr (std::is_same_v<T, bool>)
      return PyBool_FromLong(*reinterpret_cast<const unsigned char*>(data) != 0);  // a view of other bytes
    else if constexpr (std::is_integral_v<T>)
      return PyLong_FromLongLong(*data);
    else
      return PyFloat_FromDouble(static_cast<double>(*data));
  }
  Object list(must(PyList_New(l.shape[dim])));
  for (int64_t i = 0; i < l.shape[dim]; ++i) {
    PyList_SET_ITEM(list.get(), i, must(list_from<T>(data + i * l.strides[dim], l, dim + 1)));
  }
  return list.take();
}

}  // namespace

Tensor tensor_from(PyObject* data, std::optional<DType> dtype, bool copy) {
  if (is_tensor(data)) {
    Tensor t = tensor_of(data);
    t = dtype ? cast_data(t, *dtype) : t;
    return copy && t.same(tensor_of(data)) ? [&] {
      Tensor out = empty_like(t);
      copy_data(out, t);
      return out;
    }()
                                           : detach(t);
  }
  if (PyObject_CheckBuffer(data) && !PyBytes_Check(data) && !PyByteArray_Check(data)) {
    if (Tensor shared = tensor_on_buffer(data)) {
      const DType d = dtype.value_or(shared.dtype());
      if (!copy && d == shared.dtype()) return shared;
      Tensor out = empty(shared.shape(), d);
      copy_data(out, shared);
      return out;
    }
  }
  Inferred found;
  infer(data, 0, found, !dtype);
  const DType d = dtype ? *dtype : found.dtype.value_or(default_dtype());
  Tensor out = empty(found.shape, d);
  dispatch(d, "tensor", [&]<class T>() {
    T* to = out.data<T>();
    fill_from<T>(data, found.shape, 0, to);
  });
  return out;
}

PyObject* tolist(const Tensor& given) {
  const Tensor t = alias(given);  // making lists may run the collector, and that any code
  return dispatch(t.dtype(), "tolist", [&]<class T>() { return list_from<T>(t.data<T>(), t.layout(), 0); });
}

namespace {

// Keyword arguments of tensor() and as_tensor().
struct Options {
  std::optional<DType> dtype;
  Device device = default_device;
  bool requires_grad = false;
};
Options options_of(PyObject* const* args, Py_ssize_t count, PyObject* names, Py_ssize_t positional, const char* op) {
  Options o;
  auto take = [&](std::string_view name, PyObject* value) {
    if (name == "dtype") {
      if (value != Py_None) o.dtype = dtype_value(value);
    } else if (name == "device") {
      if (value == Py_None) return;
      o.device = device_value(value);
      check_device(o.device);
    } else if (name == "requires_grad") {
      const int truth = PyObject_IsTrue(value);
      must(truth);
      o.requires_grad = truth;
    } else if (name != "pin_memory" && name != "names" && name != "copy") {
      fail(ErrorKind::type, op, "() got an unexpected keyword argument '", std::string(name), "'");
    }
  };
  static const char* order[] = {"data", "dtype", "device"};
  check(count >= 1, ErrorKind::type, op, "() missing 1 required positional arguments: \"data\"");
  check(count <= positional, ErrorKind::type, op, "() takes ", positional, " positional argument",
        positional == 1 ? "" : "s", " but ", count, " were given");
  for (Py_ssize_t i = 1; i < count; ++i) take(order[i], args[i]);
  for (Py_ssize_t i = 0; names && i < PyTuple_GET_SIZE(names); ++i) {
    const char* name = PyUnicode_AsUTF8(PyTuple_GET_ITEM(names, i));
    if (!name) throw PendingError();
    take(name, args[count + i]);
  }
  return o;
}

PyObject* py_tensor(PyObject*, PyObject* const* args, Py_ssize_t count, PyObject* names) {
  return guard([&]() -> PyObject* {
    const Options o = options_of(args, count, names, 1, "tensor");
    if (is_tensor(args[0])) {
      warn("UserWarning",
           "To copy construct from a tensor, it is recommended to use sourceTensor.detach().clone() or "
           "sourceTensor.detach().clone().requires_grad_(True), rather than torch.tensor(sourceTensor).");
    }
    Tensor t = tensor_from(args[0], o.dtype, true);
    if (!(o.device == t.device())) {
      const GradMode off(false);
      t = moved(t, o.device, t.dtype());
    }
    if (o.requires_grad) set_requires_grad(t, true);
    return wrap(std::move(t));
  });
}
PyMethodDef data_functions[] = {
    {"tensor", reinterpret_cast<PyCFunction>(reinterpret_cast<void*>(py_tensor)), METH_FASTCALL | METH_KEYWORDS,
     "tensor(data, *, dtype=None, device=None, requires_grad=False, pin_memory=False)\n\n"
     "A new tensor from numbers, nested sequences, arrays or a tensor; the data is copied.\n\n"
     ">>> torch.tensor([[1, 2], [3, 4]]).shape\ntorch.Size([2, 2])"},
    {}};

}  // namespace

void add_data_functions(PyObject* module) { must(PyModule_AddFunctions(module, data_functions)); }

}  // namespace bulssi::python
