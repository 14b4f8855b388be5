// dtype, device, Size, and errors.
#include <cxxabi.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <vector>

#include "core/ops/linalg.h"
#include "core/program/backend.h"
#include "core/python/python.h"

namespace bulssi::python {

PyTypeObject *dtype_type, *device_type, *size_type;

static PyObject* linalg_error;

void wait_for_exit() {
  for (;;) ::pause();
}

void set_python_error() {
  try {
    throw;
  } catch (abi::__forced_unwind&) {
    wait_for_exit();
  } catch (const PendingError&) {
  } catch (const LinAlgError& e) {
    PyErr_SetString(linalg_error, e.what());
  } catch (const Error& e) {
    static PyObject* const kinds[] = {PyExc_RuntimeError,   PyExc_ValueError,          PyExc_TypeError,
                                      PyExc_IndexError,     PyExc_NotImplementedError, PyExc_OverflowError,
                                      PyExc_AttributeError, PyExc_ZeroDivisionError,   PyExc_BufferError,
                                      PyExc_KeyError,       PyExc_AssertionError};
    PyErr_SetString(kinds[static_cast<int>(e.kind())], e.what());
  } catch (const OutOfMemory& e) {
    PyErr_SetString(PyExc_RuntimeError, e.what());
  } catch (const std::bad_alloc&) {
    PyErr_NoMemory();
  } catch (const std::exception& e) {
    PyErr_SetString(PyExc_RuntimeError, e.what());
  } catch (...) {
    PyErr_SetString(PyExc_RuntimeError, "unknown C++ exception");
  }
}

// ---- dtype ----------------------------------------------------------------------------------------------------------

namespace {

struct PyDType {
  PyObject_HEAD DType value;
};
PyObject* dtypes[dtype_count];

PyObject* dtype_repr(PyObject* self) {
  return PyUnicode_FromFormat("torch.%s", dtype_name(reinterpret_cast<PyDType*>(self)->value));
}
// What pickle calls to make a value again: a function of the core. (The types say that they are torch's.)
PyObject* reduced(const char* maker_name, PyObject* argument) {
  Object given(argument);
  Object module(PyImport_ImportModule("bulssi._core"));
  if (!module || !given) return nullptr;
  Object maker(PyObject_GetAttrString(module.get(), maker_name));
  return maker ? Py_BuildValue("O(O)", maker.get(), given.get()) : nullptr;
}
PyObject* dtype_reduce(PyObject* self, PyObject*) {
  return reduced("_dtype", PyUnicode_FromString(dtype_name(reinterpret_cast<PyDType*>(self)->value)));
}
PyObject* dtype_copy(PyObject* self, PyObject*) {
  Py_INCREF(self);
  return self;
}
PyMethodDef dtype_methods[] = {{"__reduce__", dtype_reduce, METH_NOARGS, nullptr},
                               {"__copy__", dtype_copy, METH_NOARGS, nullptr},
                               {"__deepcopy__", dtype_copy, METH_O, nullptr},
                               {}};
#define BULSSI_FLAG(name, expression)                         \
  {name,                                                      \
   [](PyObject* self, void*) -> PyObject* {                   \
     const DType d = reinterpret_cast<PyDType*>(self)->value; \
     return expression;                                       \
   },                                                         \
   nullptr, nullptr, nullptr}
PyGetSetDef dtype_properties[] = {BULSSI_FLAG("is_floating_point", PyBool_FromLong(is_floating(d))),
                                  BULSSI_FLAG("is_complex", PyBool_FromLong(is_complex(d))),
                                  BULSSI_FLAG("is_signed", PyBool_FromLong(is_signed(d))),
                                  BULSSI_FLAG("itemsize", PyLong_FromLong(itemsize(d))),
                                  BULSSI_FLAG("_name", PyUnicode_FromString(dtype_name(d))),
                                  BULSSI_FLAG("_legacy_name", PyUnicode_FromString(legacy_name(d))),
                                  {}};
PyType_Slot dtype_slots[] = {{Py_tp_repr, reinterpret_cast<void*>(dtype_repr)},
                             {Py_tp_methods, dtype_methods},
                             {Py_tp_getset, dtype_properties},
                             {Py_tp_doc, const_cast<char*>("An element type, such as torch.float32.")},
                             {0, nullptr}};
PyType_Spec dtype_spec = {"torch.dtype", sizeof(PyDType), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
                          dtype_slots};

PyObject* make_dtype(PyObject*, PyObject* name) {
  const char* text = PyUnicode_AsUTF8(name);
  if (!text) return nullptr;
  for (int i = 0; i < dtype_count; ++i) {
    if (std::string_view(text) == dtype_name(static_cast<DType>(i))) {
      Py_INCREF(dtypes[i]);
      return dtypes[i];
    }
  }
  return PyErr_Format(PyExc_ValueError, "no dtype is called %s", text);
}

// ---- device ---------------------------------------------------------------------------------------------------------

struct PyDevice {
  PyObject_HEAD Device value;
};

Device parse_device(std::string_view text) {
  check(!text.empty(), "Device string must not be empty");
  const size_t colon = text.find(':');
  const std::string_view kind = text.substr(0, colon);
  Device d;
  if (kind == "cpu")
    d.kind = DeviceKind::cpu;
  else if (kind == "cuda")
    d.kind = DeviceKind::cuda;
  else if (kind == "meta")
    d.kind = DeviceKind::meta;
  else if (kind.empty() || !std::all_of(kind.begin(), kind.end(),
                                        [](char c) { return std::isalpha(static_cast<unsigned char>(c)) || c == '_'; }))
    fail("Invalid device string: '", std::string(text), "'");
  else
    fail(
        "Expected one of cpu, cuda, ipu, xpu, mkldnn, opengl, opencl, ideep, hip, ve, fpga, maia, xla, lazy, vulkan, "
        "mps, meta, hpu, mtia, privateuseone device type at start of device string: ",
        std::string(kind));
  if (colon != std::string_view::npos) {
    const std::string_view number = text.substr(colon + 1);
    bool digits = !number.empty() && number.size() < 4;
    int value = 0;
    for (char c : number) {
      digits = digits && c >= '0' && c <= '9';
      if (digits) value = value * 10 + (c - '0');
    }
    check(digits && value < 128, "Invalid device string: '", std::string(text), "'");
    d.index = static_cast<int8_t>(value);
  }
  return d;
}

PyObject* device_new(PyTypeObject*, PyObject* args, PyObject* kwargs) {
  return guard([&]() -> PyObject* {
    static const Operation whole = described("device(Device device) -> Device");
    static const Operation parts = described("device(str type, int? index=None) -> Device");
    const CallArguments given(args, kwargs);
    Value values[2];
    if (parse(whole, nullptr, given.all.data(), given.count, given.names.get(), values)) {
      return device_object(values[0].device);
    }
    if (PyErr_Occurred()) throw PendingError();
    if (!parse(parts, nullptr, given.all.data(), given.count, given.names.get(), values)) {
      if (PyErr_Occurred()) throw PendingError();
      fail_no_overload("device", {&whole, &parts}, false, false, false, given.all.data(), given.count,
                       given.names.get());
    }
    Device d = parse_device(values[0].text);
    if (values[1].present) {
      check(d.index < 0,
            "type (string) must not include an index because index was passed explicitly: ", values[0].text);
      check(values[1].i >= 0 && values[1].i < 128, "Device index must not be negative");
      d.index = static_cast<int8_t>(values[1].i);
    }
    return device_object(d);
  });
}
PyObject* device_repr(PyObject* self) {
  const Device d = reinterpret_cast<PyDevice*>(self)->value;
  if (d.index < 0) return PyUnicode_FromFormat("device(type='%s')", device_kind_name(d.kind));
  return PyUnicode_FromFormat("device(type='%s', index=%d)", device_kind_name(d.kind), d.index);
}
PyObject* device_str(PyObject* self) {
  return guard(
      [&]() -> PyObject* { return PyUnicode_FromString(str(reinterpret_cast<PyDevice*>(self)->value).c_str()); });
}
Py_hash_t device_hash(PyObject* self) {
  const Device d = reinterpret_cast<PyDevice*>(self)->value;
  return static_cast<int>(d.kind) * 1000 + d.index + 7;
}
PyObject* device_compare(PyObject* a, PyObject* b, int op) {
  if (!is_device(a) || !is_device(b) || (op != Py_EQ && op != Py_NE)) Py_RETURN_NOTIMPLEMENTED;
  const bool same = reinterpret_cast<PyDevice*>(a)->value == reinterpret_cast<PyDevice*>(b)->value;
  return PyBool_FromLong(same == (op == Py_EQ));
}
PyObject* device_reduce(PyObject* self, PyObject*) {
  return guard([&]() -> PyObject* {
    return reduced("_device", PyUnicode_FromString(str(reinterpret_cast<PyDevice*>(self)->value).c_str()));
  });
}
// `with device('meta'):` makes it the default device of the block; blocks may nest.
thread_local std::vector<Device> outer_devices;
PyObject* device_enter(PyObject* self, PyObject*) {
  return guard([&]() -> PyObject* {
    const Device d = reinterpret_cast<PyDevice*>(self)->value;
    check_device(d);
    outer_devices.push_back(default_device);
    default_device = d;
    Py_INCREF(self);
    return self;
  });
}
PyObject* device_exit(PyObject*, PyObject*) {
  return guard([&]() -> PyObject* {
    check(!outer_devices.empty(), "device.__exit__ without __enter__");
    default_device = outer_devices.back();
    outer_devices.pop_back();
    Py_RETURN_NONE;
  });
}
PyMethodDef device_methods[] = {{"__reduce__", device_reduce, METH_NOARGS, nullptr},
                                {"__enter__", device_enter, METH_NOARGS, "Makes self the device of new tensors."},
                                {"__exit__", device_exit, METH_VARARGS, nullptr},
                                {}};
PyGetSetDef device_properties[] = {
    {"type",
     [](PyObject* self, void*) -> PyObject* {
       return PyUnicode_FromString(device_kind_name(reinterpret_cast<PyDevice*>(self)->value.kind));
     },
     nullptr, nullptr, nullptr},
    {"index",
     [](PyObject* self, void*) -> PyObject* {
       const int i = reinterpret_cast<PyDevice*>(self)->value.index;
       if (i < 0) Py_RETURN_NONE;
       return PyLong_FromLong(i);
     },
     nullptr, nullptr, nullptr},
    {}};
PyType_Slot device_slots[] = {{Py_tp_new, reinterpret_cast<void*>(device_new)},
                              {Py_tp_repr, reinterpret_cast<void*>(device_repr)},
                              {Py_tp_str, reinterpret_cast<void*>(device_str)},
                              {Py_tp_hash, reinterpret_cast<void*>(device_hash)},
                              {Py_tp_richcompare, reinterpret_cast<void*>(device_compare)},
                              {Py_tp_methods, device_methods},
                              {Py_tp_getset, device_properties},
                              {Py_tp_doc, const_cast<char*>("Where tensors live: device('cpu'), device('cuda', 0).")},
                              {0, nullptr}};
PyType_Spec device_spec = {"torch.device", sizeof(PyDevice), 0, Py_TPFLAGS_DEFAULT, device_slots};

// ---- Size -----------------------------------------------------------------------------------------------------------

PyObject* as_size(PyObject* tuple) {  // steals
  if (!tuple || Py_TYPE(tuple) == size_type || !PyTuple_Check(tuple)) return tuple;
  const Py_ssize_t n = PyTuple_GET_SIZE(tuple);
  PyObject* out = size_type->tp_alloc(size_type, n);
  if (out) {
    for (Py_ssize_t i = 0; i < n; ++i) {
      PyObject* item = PyTuple_GET_ITEM(tuple, i);
      Py_INCREF(item);
      PyTuple_SET_ITEM(out, i, item);
    }
  }
  Py_DECREF(tuple);
  return out;
}
PyObject* size_new(PyTypeObject* type, PyObject* args, PyObject* kwargs) {
  Object made(PyTuple_Type.tp_new(type, args, kwargs));
  if (!made) return nullptr;
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(made.get()); ++i) {
    PyObject* item = PyTuple_GET_ITEM(made.get(), i);
    if (PyLong_Check(item)) continue;
    PyObject* number = PyNumber_Index(item);
    if (!number) {
      PyErr_Clear();
      return PyErr_Format(PyExc_TypeError, "torch.Size() takes an iterable of 'int' (item %zd is '%s')", i,
                          Py_TYPE(item)->tp_name);
    }
    PyTuple_SET_ITEM(made.get(), i, number);
    Py_DECREF(item);
  }
  return made.take();
}
// A tuple holds any int.
Dims sizes_of(PyObject* self) {
  Dims out;
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(self); ++i) {
    int overflow;
    out.push_back(PyLong_AsLongLongAndOverflow(PyTuple_GET_ITEM(self, i), &overflow));
    check(!overflow, ErrorKind::value, "Overflow when unpacking long long\nsize ", i, " does not fit in 64 bits");
  }
  return out;
}
PyObject* size_repr(PyObject* self) {
  return guard([&] { return PyUnicode_FromString(str("torch.Size(", Ints(sizes_of(self)), ")").c_str()); });
}
PyObject* size_subscript(PyObject* self, PyObject* key) {
  PyObject* out = PyTuple_Type.tp_as_mapping->mp_subscript(self, key);
  return PySlice_Check(key) ? as_size(out) : out;
}
PyObject* size_concat(PyObject* a, PyObject* b) {
  if (!PyTuple_Check(a) || !PyTuple_Check(b)) {
    return PyErr_Format(PyExc_TypeError, "can only concatenate tuple (not \"%s\") to torch.Size", Py_TYPE(b)->tp_name);
  }
  return as_size(PyTuple_Type.tp_as_sequence->sq_concat(a, b));
}
PyObject* size_repeat(PyObject* a, Py_ssize_t n) { return as_size(PyTuple_Type.tp_as_sequence->sq_repeat(a, n)); }
PyObject* size_add(PyObject* a, PyObject* b) {
  if (!PyTuple_Check(a) || !PyTuple_Check(b)) Py_RETURN_NOTIMPLEMENTED;
  return size_concat(a, b);
}
PyObject* size_numel(PyObject* self, PyObject*) {
  return guard([&]() -> PyObject* { return PyLong_FromLongLong(numel_of(sizes_of(self))); });
}
PyObject* size_reduce(PyObject* self, PyObject*) {
  Object plain(PySequence_List(self));
  if (!plain) return nullptr;
  return reduced("_size", PyList_AsTuple(plain.get()));
}
PyMethodDef size_methods[] = {
    {"numel", size_numel, METH_NOARGS, "Product of the sizes."}, {"__reduce__", size_reduce, METH_NOARGS, nullptr}, {}};
PyType_Slot size_slots[] = {{Py_tp_base, &PyTuple_Type},
                            {Py_tp_new, reinterpret_cast<void*>(size_new)},
                            {Py_tp_repr, reinterpret_cast<void*>(size_repr)},
                            {Py_mp_subscript, reinterpret_cast<void*>(size_subscript)},
                            {Py_sq_concat, reinterpret_cast<void*>(size_concat)},
                            {Py_sq_repeat, reinterpret_cast<void*>(size_repeat)},
                            {Py_nb_add, reinterpret_cast<void*>(size_add)},
                            {Py_tp_methods, size_methods},
                            {Py_tp_doc, const_cast<char*>("The shape of a tensor: a tuple of int.")},
                            {0, nullptr}};
PyType_Spec size_spec = {"torch.Size", 0, 0, Py_TPFLAGS_DEFAULT, size_slots};

// ---- layout and memory_format: constants with a name ----------------------------------------------------------------

struct PyConstant {
  PyObject_HEAD const char* name;
  int value;
};
PyObject* constant_repr(PyObject* self) {
  return PyUnicode_FromFormat("torch.%s", reinterpret_cast<PyConstant*>(self)->name);
}
PyObject* constant_reduce(PyObject* self, PyObject*) {
  return reduced("_constant", PyUnicode_FromString(reinterpret_cast<PyConstant*>(self)->name));
}
PyMethodDef constant_methods[] = {{"__reduce__", constant_reduce, METH_NOARGS, nullptr}, {}};
PyType_Slot constant_slots[] = {
    {Py_tp_repr, reinterpret_cast<void*>(constant_repr)}, {Py_tp_methods, constant_methods}, {0, nullptr}};
constexpr unsigned long constant_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION;
PyType_Spec layout_spec = {"torch.layout", sizeof(PyConstant), 0, constant_flags, constant_slots};
PyType_Spec memory_format_spec = {"torch.memory_format", sizeof(PyConstant), 0, constant_flags, constant_slots};
PyTypeObject *layout_type, *memory_format_type;
std::vector<PyObject*> constants;

PyObject* find_constant(PyObject*, PyObject* name) {
  const char* text = PyUnicode_AsUTF8(name);
  if (!text) return nullptr;
  for (PyObject* c : constants) {
    if (std::string_view(text) == reinterpret_cast<PyConstant*>(c)->name) {
      Py_INCREF(c);
      return c;
    }
  }
  return PyErr_Format(PyExc_ValueError, "no layout or memory format is called %s", text);
}
void add_constants(PyObject* module) {
  layout_type = reinterpret_cast<PyTypeObject*>(must(PyType_FromSpec(&layout_spec)));
  memory_format_type = reinterpret_cast<PyTypeObject*>(must(PyType_FromSpec(&memory_format_spec)));
  must(PyObject_SetAttrString(module, "layout", reinterpret_cast<PyObject*>(layout_type)));
  must(PyObject_SetAttrString(module, "memory_format", reinterpret_cast<PyObject*>(memory_format_type)));
  static const struct {
    const char* name;
    bool layout;
    int value;
  } all[] = {{"strided", true, 0},
             {"sparse_coo", true, 1},
             {"sparse_csr", true, 2},
             {"preserve_format", false, MemoryFormat::preserve},
             {"contiguous_format", false, MemoryFormat::contiguous},
             {"channels_last", false, MemoryFormat::channels_last},
             {"channels_last_3d", false, MemoryFormat::channels_last_3d}};
  for (const auto& one : all) {
    PyConstant* c = PyObject_New(PyConstant, one.layout ? layout_type : memory_format_type);
    must(reinterpret_cast<PyObject*>(c));
    c->name = one.name;
    c->value = one.value;
    constants.push_back(reinterpret_cast<PyObject*>(c));
    must(PyObject_SetAttrString(module, one.name, constants.back()));
  }
  must(PyObject_SetAttrString(module, "legacy_contiguous_format",
                              Object(must(PyObject_GetAttrString(module, "contiguous_format"))).get()));
  static PyMethodDef functions[] = {{"_constant", find_constant, METH_O, nullptr}, {}};
  must(PyModule_AddFunctions(module, functions));
}

}  // namespace

PyObject* strided_object() { return constants[0]; }
bool is_layout(PyObject* o) { return Py_TYPE(o) == layout_type; }
bool is_memory_format(PyObject* o) { return Py_TYPE(o) == memory_format_type; }
int constant_value(PyObject* o) { return reinterpret_cast<PyConstant*>(o)->value; }

PyObject* dtype_object(DType d) { return dtypes[static_cast<int>(d)]; }
DType dtype_value(PyObject* o) {
  if (is_dtype(o)) return reinterpret_cast<PyDType*>(o)->value;
  if (o == reinterpret_cast<PyObject*>(&PyFloat_Type)) return DType::f64;
  if (o == reinterpret_cast<PyObject*>(&PyBool_Type)) return DType::boolean;
  if (o == reinterpret_cast<PyObject*>(&PyLong_Type)) return DType::i64;
  fail(ErrorKind::type, "expected a dtype, got ", type_name(o));
}
PyObject* device_object(Device d) {
  PyDevice* made = PyObject_New(PyDevice, device_type);
  if (made) made->value = d;
  return reinterpret_cast<PyObject*>(made);
}
bool is_device(PyObject* o) { return Py_TYPE(o) == device_type; }
Device device_value(PyObject* o) {
  if (is_device(o)) return reinterpret_cast<PyDevice*>(o)->value;
  if (PyUnicode_Check(o)) {
    const char* text = PyUnicode_AsUTF8(o);
    if (!text) throw PendingError();
    return parse_device(text);
  }
  if (PyBytes_Check(o)) return parse_device({PyBytes_AS_STRING(o), static_cast<size_t>(PyBytes_GET_SIZE(o))});
  if (PyLong_Check(o) && !PyBool_Check(o)) {
    const int64_t i = int_value(o);
    check(i >= 0 && i < 128, "Device index must not be negative");
    fail(
        "Cannot access accelerator device when none is available.\na number stands for a GPU, and there is none: give "
        "'cpu'");
  }
  fail(ErrorKind::type, "device(): argument 'type' (position 1) must be str, not ", type_name(o));
}
PyObject* size_object(Ints shape) {
  PyObject* out = size_type->tp_alloc(size_type, static_cast<Py_ssize_t>(shape.size()));
  if (!out) return nullptr;
  for (size_t i = 0; i < shape.size(); ++i) PyTuple_SET_ITEM(out, i, PyLong_FromLongLong(shape[i]));
  return out;
}
PyObject* ints_object(Ints values) {
  PyObject* out = PyTuple_New(static_cast<Py_ssize_t>(values.size()));
  if (!out) return nullptr;
  for (size_t i = 0; i < values.size(); ++i) PyTuple_SET_ITEM(out, i, PyLong_FromLongLong(values[i]));
  return out;
}
PyObject* scalar_object(Scalar s) {
  switch (s.kind) {
    case Scalar::Kind::boolean: return PyBool_FromLong(s.i != 0);
    case Scalar::Kind::integer: return PyLong_FromLongLong(s.i);
    case Scalar::Kind::floating: return PyFloat_FromDouble(s.d);
    default: return PyComplex_FromDoubles(s.d, s.imag);
  }
}

void add_small_types(PyObject* module) {
  add_constants(module);
  linalg_error = must(PyErr_NewExceptionWithDoc(
      "bulssi.linalg.LinAlgError", "A matrix for which the operation has no result: singular, not positive-definite, …",
      PyExc_RuntimeError, nullptr));
  must(PyObject_SetAttrString(module, "_LinAlgError", linalg_error));
  dtype_type = reinterpret_cast<PyTypeObject*>(must(PyType_FromSpec(&dtype_spec)));
  for (int i = 0; i < dtype_count; ++i) {
    PyDType* d = PyObject_New(PyDType, dtype_type);
    must(reinterpret_cast<PyObject*>(d));
    d->value = static_cast<DType>(i);
    dtypes[i] = reinterpret_cast<PyObject*>(d);
    must(PyObject_SetAttrString(module, dtype_name(d->value), dtypes[i]));
  }
  static const std::pair<const char*, DType> aliases[] = {
      {"float", DType::f32}, {"double", DType::f64}, {"half", DType::f16},   {"short", DType::i16},
      {"int", DType::i32},   {"long", DType::i64},   {"cfloat", DType::c64}, {"cdouble", DType::c128}};
  for (const auto& [name, d] : aliases) must(PyObject_SetAttrString(module, name, dtype_object(d)));
  device_type = reinterpret_cast<PyTypeObject*>(must(PyType_FromSpec(&device_spec)));
  size_type = reinterpret_cast<PyTypeObject*>(must(PyType_FromSpec(&size_spec)));
  must(PyObject_SetAttrString(module, "dtype", reinterpret_cast<PyObject*>(dtype_type)));
  must(PyObject_SetAttrString(module, "device", reinterpret_cast<PyObject*>(device_type)));
  must(PyObject_SetAttrString(module, "Size", reinterpret_cast<PyObject*>(size_type)));
  static PyMethodDef functions[] = {
      {"_dtype", make_dtype, METH_O, nullptr},
      {"_device",
       [](PyObject*, PyObject* text) { return PyObject_CallOneArg(reinterpret_cast<PyObject*>(device_type), text); },
       METH_O, nullptr},
      {"_size",
       [](PyObject*, PyObject* sizes) { return PyObject_CallOneArg(reinterpret_cast<PyObject*>(size_type), sizes); },
       METH_O, nullptr},
      {}};
  must(PyModule_AddFunctions(module, functions));
}

}  // namespace bulssi::python
