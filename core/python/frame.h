// The running Python frames, read without making frame objects: the code and the offset of the instruction.
#pragma once
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <frameobject.h>

#if PY_VERSION_HEX >= 0x030B0000 && PY_VERSION_HEX < 0x030D0000 && !defined(PYPY_VERSION)
#define BULSSI_FAST_FRAMES 1
#ifndef Py_BUILD_CORE
#define Py_BUILD_CORE 1
#endif
#include <internal/pycore_frame.h>
#undef Py_BUILD_CORE
#else
#define BULSSI_FAST_FRAMES 0
#endif

namespace bulssi::python {

// Calls f(code, offset) for the frames from the innermost outwards until it returns true. `code` is borrowed.
template <class F>
void walk_frames(F&& f) {
#if BULSSI_FAST_FRAMES
  const _PyInterpreterFrame* frame = PyThreadState_Get()->cframe->current_frame;
  for (; frame; frame = frame->previous) {
    PyCodeObject* code = frame->f_code;
    if (!code) continue;
    const int offset =
        static_cast<int>(frame->prev_instr - _PyCode_CODE(code)) * static_cast<int>(sizeof(_Py_CODEUNIT));
    if (f(code, offset)) return;
  }
#else
  PyFrameObject* frame = PyThreadState_GetFrame(PyThreadState_Get());
  while (frame) {
    PyCodeObject* code = PyFrame_GetCode(frame);
#if PY_VERSION_HEX >= 0x030B0000
    const int offset = PyFrame_GetLasti(frame);
#else
    const int offset = frame->f_lasti * 2;
#endif
    const bool done = f(code, offset);
    Py_DECREF(code);
    PyFrameObject* back = done ? nullptr : PyFrame_GetBack(frame);
    Py_DECREF(frame);
    frame = back;
  }
#endif
}

}  // namespace bulssi::python
