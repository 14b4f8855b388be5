// Python functions that operations' modes and __torch_function__ see: `overridable(f)` calls f, after the arguments'
// classes and this thread's modes have had their say (Note [Modes] in modes.h).
#include <algorithm>
#include <map>

#include "core/python/modes.h"

namespace bulssi::python {

namespace {

struct Overridable {
  PyObject_HEAD vectorcallfunc vectorcall;
  PyObject* function;
  PyObject* on_error;  // null, or called with function, args and kwargs when an exception leaves it
  PyObject* weakrefs;
  Autocast policy;
};
PyTypeObject* overridable_type;

inline Overridable* self_of(PyObject* o) { return reinterpret_cast<Overridable*>(o); }

// An argument of a wrong type shows anywhere inside, as an attribute that it lacks, say: what the error should have
// been.
void explain(const Overridable* self, PyObject* const* args, Py_ssize_t count, PyObject* names) {
  PyObject *type, *value, *trace;
  PyErr_Fetch(&type, &value, &trace);
  const Object positional(PyTuple_New(count)), keywords(PyDict_New());
  for (Py_ssize_t i = 0; positional && i < count; ++i) {
    PyTuple_SET_ITEM(positional.get(), i, Object::borrow(args[i]).take());
  }
  const Py_ssize_t named = names ? PyTuple_GET_SIZE(names) : 0;
  for (Py_ssize_t i = 0; keywords && i < named; ++i) {
    if (PyDict_SetItem(keywords.get(), PyTuple_GET_ITEM(names, i), args[count + i]) < 0) PyErr_Clear();
  }
  const Object done(
      PyObject_CallFunctionObjArgs(self->on_error, self->function, positional.get(), keywords.get(), nullptr));
  if (done) return PyErr_Restore(type, value, trace);
  Py_XDECREF(type);
  Py_XDECREF(value);
  Py_XDECREF(trace);
}

PyObject* plain_call(PyObject* callable, PyObject* const* args, Py_ssize_t count, PyObject* names) {
  bool handled = false;
  PyObject* other = dispatch_torch_function(callable, args, count, names, &handled);
  if (handled) return other;
  PyObject* result = PyObject_Vectorcall(self_of(callable)->function, args, static_cast<size_t>(count), names);
  if (!result && self_of(callable)->on_error && PyErr_ExceptionMatches(PyExc_Exception)) [[unlikely]]
    explain(self_of(callable), args, count, names);
  return result;
}
PyObject* vectorcall(PyObject* callable, PyObject* const* args, size_t flags, PyObject* names) {
  const Py_ssize_t count = PyVectorcall_NARGS(flags);
  if (active_modes) [[unlikely]]
    return through_modes(callable, plain_call, self_of(callable)->policy, args, count, names);
  return plain_call(callable, args, count, names);
}

PyObject* get_attribute(PyObject* self, PyObject* name) {
  PyObject* found = PyObject_GenericGetAttr(self, name);
  if (found || !PyErr_ExceptionMatches(PyExc_AttributeError)) return found;
  PyErr_Clear();
  return PyObject_GetAttr(self_of(self)->function, name);
}
PyObject* bind(PyObject* self, PyObject* object, PyObject*) {
  if (!object || object == Py_None) return Object::borrow(self).take();
  return PyMethod_New(self, object);
}
PyObject* repr(PyObject* self) { return PyObject_Repr(self_of(self)->function); }
PyObject* reduce(PyObject* self, PyObject*) { return PyObject_GetAttrString(self_of(self)->function, "__qualname__"); }
template <const char* name>
PyObject* forward(PyObject* self, void*) {
  return PyObject_GetAttrString(self_of(self)->function, name);
}
PyObject* wrapped(PyObject* self, void*) { return Object::borrow(self_of(self)->function).take(); }
int traverse(PyObject* self, visitproc visit, void* arg) {
  Py_VISIT(self_of(self)->function);
  Py_VISIT(self_of(self)->on_error);
  Py_VISIT(Py_TYPE(self));
  return 0;
}
int clear(PyObject* self) {
  Py_CLEAR(self_of(self)->function);
  Py_CLEAR(self_of(self)->on_error);
  return 0;
}
void dealloc(PyObject* self) {
  PyTypeObject* type = Py_TYPE(self);
  PyObject_GC_UnTrack(self);
  if (self_of(self)->weakrefs) PyObject_ClearWeakRefs(self);
  clear(self);
  PyObject_GC_Del(self);
  Py_DECREF(type);
}

constexpr char doc_name[] = "__doc__", module_name[] = "__module__";
PyMethodDef methods[] = {{"__reduce__", reduce, METH_NOARGS, nullptr}, {}};
PyGetSetDef properties[] = {{"__wrapped__", wrapped, nullptr, nullptr, nullptr},
                            {"__doc__", forward<doc_name>, nullptr, nullptr, nullptr},
                            {"__module__", forward<module_name>, nullptr, nullptr, nullptr},
                            {}};
PyMemberDef members[] = {{"__vectorcalloffset__", T_PYSSIZET, offsetof(Overridable, vectorcall), READONLY, nullptr},
                         {"__weaklistoffset__", T_PYSSIZET, offsetof(Overridable, weakrefs), READONLY, nullptr},
                         {}};
PyType_Slot slots[] = {{Py_tp_call, reinterpret_cast<void*>(PyVectorcall_Call)},
                       {Py_tp_getattro, reinterpret_cast<void*>(get_attribute)},
                       {Py_tp_descr_get, reinterpret_cast<void*>(bind)},
                       {Py_tp_repr, reinterpret_cast<void*>(repr)},
                       {Py_tp_traverse, reinterpret_cast<void*>(traverse)},
                       {Py_tp_clear, reinterpret_cast<void*>(clear)},
                       {Py_tp_dealloc, reinterpret_cast<void*>(dealloc)},
                       {Py_tp_methods, methods},
                       {Py_tp_getset, properties},
                       {Py_tp_members, members},
                       {0, nullptr}};
PyType_Spec spec = {"bulssi._core.overridable_function", sizeof(Overridable), 0,
                    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL |
                        Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_METHOD_DESCRIPTOR,
                    slots};

constexpr std::pair<std::string_view, Autocast> policies[] = {{"composite", Autocast::composite},
                                                              {"lower", Autocast::lower},
                                                              {"float32", Autocast::float32},
                                                              {"as_is", Autocast::as_is}};

PyObject* overridable(PyObject*, PyObject* args) {
  PyObject *function, *on_error = nullptr;
  const char* autocast = "composite";
  if (!PyArg_ParseTuple(args, "O|sO:overridable", &function, &autocast, &on_error)) return nullptr;
  return guard([&]() -> PyObject* {
    check(PyCallable_Check(function), ErrorKind::type, "overridable() takes a function, not ", type_name(function));
    const auto policy = std::ranges::find(policies, autocast, &std::pair<std::string_view, Autocast>::first);
    check(policy != std::end(policies), ErrorKind::value, "overridable(): no autocast policy '", autocast, "'");
    Overridable* o = PyObject_GC_New(Overridable, overridable_type);
    must(reinterpret_cast<PyObject*>(o));
    o->vectorcall = vectorcall;
    o->function = Object::borrow(function).take();
    o->on_error = on_error ? Object::borrow(on_error).take() : nullptr;
    o->weakrefs = nullptr;
    o->policy = policy->second;
    PyObject_GC_Track(o);
    return reinterpret_cast<PyObject*>(o);
  });
}
// _check_arguments(schemas, args, kwargs): the error of a call that fits none of the schemas; None where one fits.
PyObject* check_arguments(PyObject*, PyObject* args) {
  PyObject *schemas, *positional, *keywords;
  if (!PyArg_ParseTuple(args, "O!O!O!:_check_arguments", &PyTuple_Type, &schemas, &PyTuple_Type, &positional,
                        &PyDict_Type, &keywords))
    return nullptr;
  return guard([&]() -> PyObject* {
    static std::map<std::string, Operation> known;
    std::vector<const Operation*> overloads;
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(schemas); ++i) {
      const char* text = PyUnicode_AsUTF8(PyTuple_GET_ITEM(schemas, i));
      if (!text) throw PendingError();
      auto [at, is_new] = known.try_emplace(text);
      if (is_new) at->second = described(text);
      overloads.push_back(&at->second);
    }
    const CallArguments given(positional, keywords);
    for (const Operation* op : overloads) {
      std::vector<Value> values(op->signature.parameters.size());
      if (parse(*op, nullptr, given.all.data(), given.count, given.names.get(), values.data())) Py_RETURN_NONE;
      if (PyErr_Occurred()) throw PendingError();
    }
    fail_no_overload(overloads.at(0)->name, overloads, false, false, false, given.all.data(), given.count,
                     given.names.get());
  });
}
PyMethodDef functions[] = {
    {"_check_arguments", check_arguments, METH_VARARGS,
     "_check_arguments(schemas, args, kwargs): raises the error of a call that fits none of the schemas."},
    {"overridable", overridable, METH_VARARGS,
     "overridable(function, autocast='composite', on_error=None): a function that __torch_function__ and "
     "modes see. Autocast makes of its arguments what an operation's trait of that name says: 'composite', 'lower', "
     "'float32' or 'as_is'. When an exception leaves the function, on_error is called with it, its "
     "arguments and its keywords, and may raise what explains the error."},
    {}};

}  // namespace

void add_overridable(PyObject* module) {
  overridable_type = reinterpret_cast<PyTypeObject*>(must(PyType_FromSpec(&spec)));
  must(PyModule_AddFunctions(module, functions));
}

}  // namespace bulssi::python
