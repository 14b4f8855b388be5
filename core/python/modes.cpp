// Function modes and the profiler's record of calls (Note [Modes] in modes.h).
#include "core/python/modes.h"

#include <pythread.h>

#include <chrono>

namespace bulssi::python {

int active_modes = 0;

namespace {

// ---- function modes: objects whose __torch_function__ sees every call --------------------------------------------

thread_local std::vector<PyObject*> function_modes;

PyObject* types_of(PyObject* const* args, Py_ssize_t n) {
  Object list(must(PyList_New(0)));
  for (Py_ssize_t i = 0; i < n; ++i) {
    if (!overloaded(&args[i], 1)) continue;
    PyObject* type = reinterpret_cast<PyObject*>(Py_TYPE(args[i]));
    const int known = PySequence_Contains(list.get(), type);
    must(known);
    if (!known) must(PyList_Append(list.get(), type));
  }
  return must(PyList_AsTuple(list.get()));
}

PyObject* ask_mode(PyObject* callable, PyObject* const* args, Py_ssize_t count, PyObject* names) {
  return guard([&]() -> PyObject* {
    const Py_ssize_t named = names ? PyTuple_GET_SIZE(names) : 0;
    Object types(types_of(args, count + named));
    Object positional(must(PyTuple_New(count)));
    for (Py_ssize_t i = 0; i < count; ++i) PyTuple_SET_ITEM(positional.get(), i, Object::borrow(args[i]).take());
    Object keywords(must(PyDict_New()));
    for (Py_ssize_t i = 0; i < named; ++i) {
      must(PyDict_SetItem(keywords.get(), PyTuple_GET_ITEM(names, i), args[count + i]));
    }
    struct Popped {  // inside its own call the mode does not see calls
      PyObject* mode = function_modes.back();
      Popped() { function_modes.pop_back(); }
      ~Popped() { function_modes.push_back(mode); }
    } top;
    Object method(must(PyObject_GetAttrString(top.mode, "__torch_function__")));
    return PyObject_CallFunctionObjArgs(method.get(), callable, types.get(), positional.get(), keywords.get(), nullptr);
  });
}

PyObject* push_function_mode(PyObject*, PyObject* mode) {
  Py_INCREF(mode);
  function_modes.push_back(mode);
  ++active_modes;
  Py_RETURN_NONE;
}
PyObject* pop_function_mode(PyObject*, PyObject*) {
  if (function_modes.empty()) return PyErr_Format(PyExc_RuntimeError, "there is no function mode to leave");
  PyObject* mode = function_modes.back();
  function_modes.pop_back();
  --active_modes;
  return mode;
}
PyObject* function_mode_stack(PyObject*, PyObject*) {
  Object list(PyList_New(0));
  for (PyObject* mode : function_modes) {
    if (!list || PyList_Append(list.get(), mode) < 0) return nullptr;
  }
  return list.take();
}

// ---- the profiler's record ----------------------------------------------------------------------------------------

struct Call {
  PyObject* callable;  // of an operation; null for a node of backward
  std::string node;
  int64_t start, end;  // nanoseconds
  unsigned long thread;
  int64_t memory;  // bytes in use after, less before
  PyObject* shapes;
};
bool recording_calls = false, recording_shapes = false;
std::vector<Call> calls;

int64_t nanoseconds() {
  using std::chrono::steady_clock;
  return std::chrono::duration_cast<std::chrono::nanoseconds>(steady_clock::now().time_since_epoch()).count();
}

PyObject* shapes_of(PyObject* const* args, Py_ssize_t count) {
  PyObject* list = PyList_New(0);
  for (Py_ssize_t i = 0; list && i < count; ++i) {
    const Object item(is_tensor(args[i]) ? ints_object(impl_of(args[i])->layout.shape) : PyTuple_New(0));
    if (!item || PyList_Append(list, item.get()) < 0) Py_CLEAR(list);
  }
  return list;
}

// The time of one call, from its making to its end; written down also when the call fails.
class Clock {
 public:
  Clock(PyObject* callable, PyObject* const* args, Py_ssize_t count)
      : call_{Object::borrow(callable).take(), {}, 0, 0, PyThread_get_thread_ident(), memory_stats().in_use, nullptr} {
    if (recording_shapes) call_.shapes = shapes_of(args, count);
    call_.start = nanoseconds();
  }
  ~Clock() {
    call_.end = nanoseconds();
    call_.memory = memory_stats().in_use - call_.memory;
    if (recording_calls) {
      calls.push_back(std::move(call_));
    } else {  // the profiler was stopped meanwhile
      Py_XDECREF(call_.callable);
      Py_XDECREF(call_.shapes);
    }
  }
  Clock(const Clock&) = delete;

 private:
  Call call_;
};

int64_t node_started() { return nanoseconds(); }
void node_ended(const Node& node, int64_t start) {
  if (!recording_calls) return;
  calls.push_back({nullptr, node.name(), start, nanoseconds(), PyThread_get_thread_ident(), 0, nullptr});
}

PyObject* profile_start(PyObject*, PyObject* shapes) {
  if (recording_calls) return PyErr_Format(PyExc_RuntimeError, "Profiler is already enabled on this thread");
  recording_calls = true;
  recording_shapes = PyObject_IsTrue(shapes) == 1;
  node_clock = {node_started, node_ended};
  ++active_modes;
  Py_RETURN_NONE;
}
PyObject* profile_stop(PyObject*, PyObject*) {
  if (!recording_calls) return PyErr_Format(PyExc_RuntimeError, "the profiler is not running");
  recording_calls = false;
  node_clock = {};
  --active_modes;
  std::vector<Call> taken = std::move(calls);
  calls.clear();
  return guard([&]() -> PyObject* {
    Object list(must(PyList_New(static_cast<Py_ssize_t>(taken.size()))));
    Py_ssize_t i = 0;
    for (Call& c : taken) {
      PyObject* what = c.callable ? c.callable : must(PyUnicode_FromString(c.node.c_str()));
      PyObject* shapes = c.shapes ? c.shapes : Object::borrow(Py_None).take();
      PyList_SET_ITEM(
          list.get(), i++,
          must(Py_BuildValue("(NLLkLN)", what, static_cast<long long>(c.start), static_cast<long long>(c.end), c.thread,
                             static_cast<long long>(c.memory), shapes)));
    }
    return list.take();
  });
}

PyMethodDef functions[] = {
    {"_push_function_mode", push_function_mode, METH_O, "Lets an object's __torch_function__ see this thread's calls."},
    {"_pop_function_mode", pop_function_mode, METH_NOARGS,
     "Takes back the last _push_function_mode; returns the mode."},
    {"_function_modes", function_mode_stack, METH_NOARGS, "The function modes of this thread, the innermost last."},
    {"_profile_start", profile_start, METH_O,
     "Writes down the calls of operations, with shapes if the argument says so."},
    {"_profile_stop", profile_stop, METH_NOARGS,
     "The calls since: (callable or node's name, start and end in ns, thread, bytes, shapes or None), by their ends."},
    {}};

}  // namespace

PyObject* through_modes(PyObject* callable, PlainCall call, Autocast policy, PyObject* const* args, Py_ssize_t count,
                        PyObject* names) {
  if (!function_modes.empty()) return ask_mode(callable, args, count, names);
  const Py_ssize_t all = count + (names ? PyTuple_GET_SIZE(names) : 0);
  if (overloaded(args, all)) return call(callable, args, count, names);  // comes back for the parts
  std::optional<Clock> clock;
  if (recording_calls) clock.emplace(callable, args, count);
  if (policy == Autocast::composite || !autocast_on()) return call(callable, args, count, names);
  return guard([&]() -> PyObject* {
    const CastArguments cast(policy, args, all);
    const AutocastOff off;
    return call(callable, cast.get(), count, names);
  });
}

void add_modes(PyObject* module) { must(PyModule_AddFunctions(module, functions)); }

}  // namespace bulssi::python
