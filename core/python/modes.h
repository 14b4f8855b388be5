// What may stand between a call of an operation and the operation: function modes, autocast, the profiler.
//
// Note [Modes]
// `active_modes` counts the modes of all threads (the interpreter lock guards it), so that without any a call pays one
// load of a global. With one, a call goes through `through_modes`, which asks what this thread has switched on, in
// PyTorch's order: function modes see the call first, then classes with __torch_function__, then the profiler's clock
// starts, then autocast converts the arguments. Operations and the wrapped Python functions of `nn.functional`
// (overridable.cpp) both come here; how autocast treats each of them is a trait of the operation (registry.h) or said
// where the function is made overridable.
#pragma once
#include "core/op/registry.h"
#include "core/python/python.h"

namespace bulssi::python {

extern int active_modes;

// Is autocast on in this thread, and not for the inside of an operation that it has already dealt with?
bool autocast_on();
// Autocast off for a block.
class AutocastOff {
 public:
  AutocastOff();
  ~AutocastOff();
  AutocastOff(const AutocastOff&) = delete;

 private:
  bool before_;
};
// The arguments of one call, converted; they live as long as this.
class CastArguments {
 public:
  CastArguments(Autocast policy, PyObject* const* args, Py_ssize_t count);
  ~CastArguments();
  CastArguments(const CastArguments&) = delete;
  PyObject* const* get() const { return args_.data(); }

 private:
  std::vector<PyObject*> args_;
};

// A call without modes.
using PlainCall = PyObject* (*)(PyObject* callable, PyObject* const* args, Py_ssize_t count, PyObject* names);
PyObject* through_modes(PyObject* callable, PlainCall call, Autocast policy, PyObject* const* args, Py_ssize_t count,
                        PyObject* names);

void add_modes(PyObject* module);        // modes.cpp
void add_autocast(PyObject* module);     // autocast.cpp
void add_overridable(PyObject* module);  // overridable.cpp

}  // namespace bulssi::python
