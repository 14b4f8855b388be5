// Autocast on the CPU: arguments become a lower precision where that is quick and safe enough, float32 where it is not.
#include <unordered_map>

#include "core/ops/basics.h"
#include "core/python/modes.h"

namespace bulssi::python {

namespace {

struct State {
  bool enabled = false, inside = false, cache = true;
  DType dtype = DType::bf16;
  // Parameters that were converted, as long as the outermost block lasts: a weight that is used twice is converted
  // once. The key's tensor is kept alive, so that its address stays its own.
  std::unordered_map<TensorImpl*, std::pair<Tensor, Tensor>> converted;
};
thread_local State state;

bool eligible(const Tensor& t) {
  return t.dtype() == DType::f32 || t.dtype() == DType::f16 || t.dtype() == DType::bf16;
}

Tensor converted(const Tensor& t, DType to) {
  if (!eligible(t) || t.dtype() == to) return t;
  const bool keep =
      state.cache && to == state.dtype && t.dtype() == DType::f32 && requires_grad(t) && is_leaf(t) && !t->is_view;
  if (!keep) return cast(t, to);
  const auto found = state.converted.find(t.get());
  if (found != state.converted.end()) return found->second.second;
  const Tensor made = cast(t, to);
  state.converted.emplace(t.get(), std::pair(t, made));
  return made;
}

// Calls f(tensor) for the tensors of an argument, also those in a list or tuple.
template <class F>
void each_tensor(PyObject* o, F f) {
  if (is_tensor(o)) return f(tensor_of(o));
  if (!PyTuple_CheckExact(o) && !PyList_CheckExact(o)) return;
  for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(o); ++i) {
    if (is_tensor(PySequence_Fast_GET_ITEM(o, i))) f(tensor_of(PySequence_Fast_GET_ITEM(o, i)));
  }
}

DType target(Autocast policy, PyObject* const* args, Py_ssize_t count) {
  if (policy == Autocast::lower || policy == Autocast::products) return state.dtype;
  if (policy == Autocast::float32) return DType::f32;
  DType widest = state.dtype;
  for (Py_ssize_t i = 0; i < count; ++i) {
    each_tensor(args[i], [&](const Tensor& t) {
      if (eligible(t) && t.dtype() != state.dtype) widest = DType::f32;
    });
  }
  return widest;
}

PyObject* cast_object(PyObject* o, DType to) {
  if (is_tensor(o)) {
    const Tensor t = tensor_of(o);
    const Tensor made = converted(t, to);
    return made.get() == t.get() ? Object::borrow(o).take() : wrap(made);
  }
  if (!PyTuple_CheckExact(o) && !PyList_CheckExact(o)) return Object::borrow(o).take();
  const Py_ssize_t n = PySequence_Fast_GET_SIZE(o);
  Object made(must(PyTuple_New(n)));
  for (Py_ssize_t i = 0; i < n; ++i) {
    PyTuple_SET_ITEM(made.get(), i, cast_object(PySequence_Fast_GET_ITEM(o, i), to));
  }
  return made.take();
}

PyObject* set_autocast(PyObject*, PyObject* args) {
  int enabled, cache;
  PyObject* dtype;
  if (!PyArg_ParseTuple(args, "pOp", &enabled, &dtype, &cache)) return nullptr;
  return guard([&]() -> PyObject* {
    const DType to = dtype_value(dtype);
    active_modes += (enabled != 0) - state.enabled;
    state.enabled = enabled != 0;
    state.dtype = to;
    state.cache = cache != 0;
    Py_RETURN_NONE;
  });
}
PyObject* get_autocast(PyObject*, PyObject*) {
  return guard([&]() -> PyObject* {
    return Py_BuildValue("(NON)", PyBool_FromLong(state.enabled), dtype_object(state.dtype),
                         PyBool_FromLong(state.cache));
  });
}
PyObject* clear_cache(PyObject*, PyObject*) {
  const auto dropped = std::move(state.converted);  // their destructors may run Python
  state.converted.clear();
  Py_RETURN_NONE;
}

PyMethodDef functions[] = {
    {"_set_autocast", set_autocast, METH_VARARGS, "Sets autocast of this thread: enabled, dtype, cache."},
    {"_get_autocast", get_autocast, METH_NOARGS, "Autocast of this thread: enabled, dtype, cache."},
    {"_clear_autocast_cache", clear_cache, METH_NOARGS, "Forgets converted parameters."},
    {}};

}  // namespace

bool autocast_on() { return state.enabled && !state.inside; }
AutocastOff::AutocastOff() : before_(std::exchange(state.inside, true)) {}
AutocastOff::~AutocastOff() { state.inside = before_; }

CastArguments::CastArguments(Autocast policy, PyObject* const* args, Py_ssize_t count) {
  args_.reserve(static_cast<size_t>(count));
  int tensors = 0;
  for (Py_ssize_t i = 0; i < count; ++i) each_tensor(args[i], [&](const Tensor&) { ++tensors; });
  const bool cast = policy == Autocast::products ? tensors > 1 : policy != Autocast::as_is;
  const DType to = cast ? target(policy, args, count) : DType::f32;
  try {
    for (Py_ssize_t i = 0; i < count; ++i) {
      args_.push_back(cast ? cast_object(args[i], to) : Object::borrow(args[i]).take());
    }
  } catch (...) {
    for (PyObject* o : args_) Py_DECREF(o);
    throw;
  }
}
CastArguments::~CastArguments() {
  for (PyObject* o : args_) Py_DECREF(o);
}

void add_autocast(PyObject* module) { must(PyModule_AddFunctions(module, functions)); }

}  // namespace bulssi::python
