// __torch_function__: subclasses of Tensor, and other objects, that take part in operations.
//
// By default the result of an operation on a subclass is of that subclass; Parameter switches this off for itself. A
// class that defines __torch_function__ sees every call.
#include "core/python/python.h"

namespace bulssi::python {

namespace {

thread_local bool subclasses_disabled = false;
PyObject *attribute_name, *default_method, *disabled_function;

struct Disabled {
  bool before = std::exchange(subclasses_disabled, true);
  ~Disabled() { subclasses_disabled = before; }
};

inline bool plain(PyTypeObject* type) { return type == tensor_type || type == parameter_type; }

// What the class of o says about __torch_function__; null if nothing, or if it is switched off.
PyObject* handler_of(PyObject* o) {
  PyTypeObject* type = Py_TYPE(o);
  const bool tensor = PyType_IsSubtype(type, tensor_type);
  if (tensor && subclasses_disabled) return nullptr;
  PyObject* found = _PyType_Lookup(type, attribute_name);
  return found == disabled_function ? nullptr : found;
}
// Types that certainly have none, so that ordinary calls do not look.
inline bool ordinary(PyTypeObject* type) {
  return plain(type) || type == &PyLong_Type || type == &PyFloat_Type || type == &PyBool_Type ||
         type == &PyUnicode_Type || type == Py_TYPE(Py_None) || type == dtype_type || type == device_type ||
         type == size_type || type == &PySlice_Type || type == &PyDict_Type;
}

// The arguments that want to see the call, one of each type, subclasses before their bases.
using Overloaded = Small<PyObject*, 4>;
void collect(PyObject* o, Overloaded& into) {
  if (ordinary(Py_TYPE(o)) || !handler_of(o)) return;
  size_t at = into.size();
  for (size_t i = 0; i < into.size(); ++i) {
    if (Py_TYPE(into[i]) == Py_TYPE(o)) return;
    if (at == into.size() && PyType_IsSubtype(Py_TYPE(o), Py_TYPE(into[i]))) at = i;
  }
  into.insert(at, o);
}
void collect_from(PyObject* const* args, Py_ssize_t n, Overloaded& into) {
  for (Py_ssize_t i = 0; i < n; ++i) {
    if (PyTuple_CheckExact(args[i]) || PyList_CheckExact(args[i])) {
      const Py_ssize_t length = PySequence_Fast_GET_SIZE(args[i]);
      PyObject** items = PySequence_Fast_ITEMS(args[i]);
      for (Py_ssize_t k = 0; k < length; ++k) collect(items[k], into);
    } else {
      collect(args[i], into);
    }
  }
}

// Gives a new plain tensor, and those in a tuple or list, the class of the argument it came from.
void become(PyObject* result, PyTypeObject* type) {
  if (Py_TYPE(result) == tensor_type) {
    if (Py_REFCNT(result) != 1 || type->tp_basicsize != tensor_type->tp_basicsize) return;
    Py_INCREF(type);
    Py_SET_TYPE(result, type);
    Py_DECREF(tensor_type);
  } else if (PyTuple_Check(result)) {
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(result); ++i) become(PyTuple_GET_ITEM(result, i), type);
  } else if (PyList_CheckExact(result)) {
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(result); ++i) become(PyList_GET_ITEM(result, i), type);
  }
}

PyObject* call_disabled(PyObject* function, PyObject* args, PyObject* kwargs) {
  const Disabled guard;
  Object none;
  if (!args) {
    none = Object(PyTuple_New(0));
    args = none.get();
  }
  if (!PyTuple_Check(args)) return PyErr_Format(PyExc_TypeError, "__torch_function__: args must be a tuple");
  if (kwargs == Py_None) kwargs = nullptr;
  if (kwargs && !PyDict_Check(kwargs))
    return PyErr_Format(PyExc_TypeError, "__torch_function__: kwargs must be a dict");
  return PyObject_Call(function, args, kwargs);
}
bool parse_call(PyObject* args, PyObject* kwargs, PyObject*& function, PyObject*& types, PyObject*& positional,
                PyObject*& named) {
  static const char* names[] = {"func", "types", "args", "kwargs", nullptr};
  positional = named = nullptr;
  return PyArg_ParseTupleAndKeywords(args, kwargs, "OO|OO:__torch_function__", const_cast<char**>(names), &function,
                                     &types, &positional, &named);
}
PyObject* default_implementation(PyObject* cls, PyObject* args, PyObject* kwargs) {
  PyObject *function, *types, *positional, *named;
  if (!parse_call(args, kwargs, function, types, positional, named)) return nullptr;
  return guard([&]() -> PyObject* {
    Object list(must(PySequence_Fast(types, "__torch_function__: types must be a sequence")));
    for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(list.get()); ++i) {
      const int is = PyObject_IsSubclass(cls, PySequence_Fast_GET_ITEM(list.get(), i));
      must(is);
      if (!is) Py_RETURN_NOTIMPLEMENTED;
    }
    PyObject* result = call_disabled(function, positional, named);
    if (result) become(result, reinterpret_cast<PyTypeObject*>(cls));
    return result;
  });
}
PyObject* disabled_implementation(PyObject*, PyObject* args, PyObject* kwargs) {
  PyObject *function, *types, *positional, *named;
  if (!parse_call(args, kwargs, function, types, positional, named)) return nullptr;
  return call_disabled(function, positional, named);
}

PyObject* fail_no_implementation(PyObject* callable, PyObject* types) {
  Object module(PyObject_GetAttrString(callable, "__module__"));
  PyErr_Clear();
  Object name(PyObject_GetAttrString(callable, "__name__"));
  PyErr_Clear();
  Object list(PySequence_List(types));
  if (!list) return nullptr;
  return PyErr_Format(PyExc_TypeError,
                      "no implementation found for '%S.%S' on types that implement "
                      "__torch_function__: %R",
                      module ? module.get() : Py_None, name ? name.get() : callable, list.get());
}

}  // namespace

bool has_torch_function(PyObject* o) { return is_tensor(o) && !plain(Py_TYPE(o)) && handler_of(o); }

bool overloaded(PyObject* const* args, Py_ssize_t n) {
  Overloaded found;
  collect_from(args, n, found);
  return !found.empty();
}

PyObject* wrap_like(PyObject* self, Tensor t) {
  PyObject* result = wrap(std::move(t));
  if (result && !plain(Py_TYPE(self)) && handler_of(self) == default_method) become(result, Py_TYPE(self));
  return result;
}

PyObject* dispatch_torch_function(PyObject* callable, PyObject* const* args, Py_ssize_t count, PyObject* names,
                                  bool* handled) {
  *handled = true;
  return guard([&]() -> PyObject* {
    Overloaded found;
    collect_from(args, count + (names ? PyTuple_GET_SIZE(names) : 0), found);
    if (found.empty()) {
      *handled = false;
      return nullptr;
    }
    if (found.size() == 1 && handler_of(found[0]) == default_method) {
      PyTypeObject* type = Py_TYPE(found[0]);
      PyObject* result;
      {
        const Disabled off;
        result = PyObject_Vectorcall(callable, args, static_cast<size_t>(count), names);
      }
      if (result) become(result, type);
      return result;
    }
    Object types(must(PyTuple_New(static_cast<Py_ssize_t>(found.size()))));
    for (size_t i = 0; i < found.size(); ++i) {
      Py_INCREF(Py_TYPE(found[i]));
      PyTuple_SET_ITEM(types.get(), i, reinterpret_cast<PyObject*>(Py_TYPE(found[i])));
    }
    Object positional(must(PyTuple_New(count)));
    for (Py_ssize_t i = 0; i < count; ++i) {
      Py_INCREF(args[i]);
      PyTuple_SET_ITEM(positional.get(), i, args[i]);
    }
    Object named(must(PyDict_New()));
    for (Py_ssize_t i = 0; names && i < PyTuple_GET_SIZE(names); ++i) {
      must(PyDict_SetItem(named.get(), PyTuple_GET_ITEM(names, i), args[count + i]));
    }
    for (PyObject* o : found) {
      Object method(must(PyObject_GetAttr(o, attribute_name)));
      Object result(must(
          PyObject_CallFunctionObjArgs(method.get(), callable, types.get(), positional.get(), named.get(), nullptr)));
      if (result.get() != Py_NotImplemented) return result.take();
    }
    return fail_no_implementation(callable, types.get());
  });
}

void add_torch_function(PyObject* module) {
  attribute_name = must(PyUnicode_InternFromString("__torch_function__"));
  static PyMethodDef standard = {
      "__torch_function__", reinterpret_cast<PyCFunction>(reinterpret_cast<void*>(default_implementation)),
      METH_CLASS | METH_VARARGS | METH_KEYWORDS, "Calls func; new tensors among the results become of this class."};
  default_method = must(PyDescr_NewClassMethod(tensor_type, &standard));
  must(PyObject_SetAttr(reinterpret_cast<PyObject*>(tensor_type), attribute_name, default_method));
  static PyMethodDef functions[] = {
      {"_disabled_torch_function_impl", reinterpret_cast<PyCFunction>(reinterpret_cast<void*>(disabled_implementation)),
       METH_VARARGS | METH_KEYWORDS, "For a class that sets __torch_function__ to it, results are plain tensors."},
      {"_disable_torch_function",
       [](PyObject*, PyObject* value) -> PyObject* {
         const int truth = PyObject_IsTrue(value);
         if (truth < 0) return nullptr;
         return PyBool_FromLong(std::exchange(subclasses_disabled, truth != 0));
       },
       METH_O, "Switches __torch_function__ of subclasses off or on; returns whether it was off."},
      {}};
  must(PyModule_AddFunctions(module, functions));
  disabled_function = must(PyObject_GetAttrString(module, "_disabled_torch_function_impl"));
}

}  // namespace bulssi::python
