// What the files of the binding share.
#pragma once
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <frameobject.h>
#include <structmember.h>

#include <string>
#include <string_view>
#include <vector>

#include "core/autograd/node.h"
#include "core/base/alloc.h"
#include "core/base/error.h"
#include "core/op/registry.h"
#include "core/tensor/tensor.h"

namespace bulssi::python {

// ---- objects --------------------------------------------------------------------------------------------------------

struct PyTensor {
  PyObject_HEAD TensorImpl* impl;
  PyObject* dict;
  PyObject* weakrefs;
};
extern PyTypeObject* tensor_type;
extern PyTypeObject* parameter_type;  // nn.Parameter once it exists: its results are plain tensors

inline bool is_tensor(PyObject* o) { return Py_TYPE(o) == tensor_type || PyObject_TypeCheck(o, tensor_type); }
inline TensorImpl* impl_of(PyObject* o) { return reinterpret_cast<PyTensor*>(o)->impl; }
// A C++ owner of what a Python tensor shows.
inline Tensor tensor_of(PyObject* o) { return Tensor(impl_of(o)); }
PyObject* wrap(Tensor t);                         // new reference; None when undefined
PyObject* wrap_as(PyTypeObject* type, Tensor t);  // an object of a subclass; t must not be wrapped yet

// An owned reference.
class Object {
 public:
  Object() = default;
  explicit Object(PyObject* owned) : p_(owned) {}
  static Object borrow(PyObject* p) {
    Py_XINCREF(p);
    return Object(p);
  }
  Object(Object&& o) noexcept : p_(std::exchange(o.p_, nullptr)) {}
  Object& operator=(Object&& o) noexcept {
    std::swap(p_, o.p_);
    return *this;
  }
  Object(const Object&) = delete;
  ~Object() { Py_XDECREF(p_); }
  PyObject* get() const { return p_; }
  PyObject* take() { return std::exchange(p_, nullptr); }
  explicit operator bool() const { return p_ != nullptr; }

 private:
  PyObject* p_ = nullptr;
};
// Throws PendingError when a C API call failed.
inline PyObject* must(PyObject* p) {
  if (!p) throw PendingError();
  return p;
}
inline void must(int status) {
  if (status < 0) throw PendingError();
}

void set_python_error();  // from the exception being handled
// While the interpreter shuts down, it ends every other thread that asks for its lock, by unwinding that thread's
// stack. Destructors must not run then: they would touch objects without the lock. Such a thread waits for the process
// to end.
[[noreturn]] void wait_for_exit();
// Runs f, turning C++ exceptions into Python ones.
template <class F>
auto guard(F&& f) -> decltype(f()) {
  try {
    return f();
  } catch (...) {
    set_python_error();
    if constexpr (std::is_pointer_v<decltype(f())>)
      return nullptr;
    else
      return static_cast<decltype(f())>(-1);
  }
}

// ---- small types ----------------------------------------------------------------------------------------------------

extern PyTypeObject *dtype_type, *device_type, *size_type;
PyObject* dtype_object(DType d);  // borrowed
inline bool is_dtype(PyObject* o) { return Py_TYPE(o) == dtype_type; }
DType dtype_value(PyObject* o);
PyObject* device_object(Device d);  // new
bool is_device(PyObject* o);
Device device_value(PyObject* o);  // from a device, a string or an index; throws
PyObject* strided_object();        // torch.strided, borrowed
bool is_layout(PyObject* o);
bool is_memory_format(PyObject* o);
int constant_value(PyObject* o);     // of a layout (strided is 0) or memory format
PyObject* size_object(Ints shape);   // new
PyObject* scalar_object(Scalar s);   // new
PyObject* ints_object(Ints values);  // a tuple
void add_small_types(PyObject* module);

// ---- arguments ------------------------------------------------------------------------------------------------------

bool is_number(PyObject* o);  // bool, int, float (exact or subclass), and NumPy scalars
Scalar number_value(PyObject* o);
double double_value(PyObject* o);  // of a number, also of an integer with more than 64 bits
bool is_int(PyObject* o);
int64_t int_value(PyObject* o);
Dims ints_value(PyObject* o);  // from a sequence
std::string type_name(PyObject* o);

// Parses a call for one overload; false where it does not fit (PyErr_Occurred tells whether by an error of its own).
bool parse(const Operation& op, PyObject* self, PyObject* const* args, Py_ssize_t count, PyObject* names, Value* into);
// All overloads of a name (the arguments are those behind a method's self); the error when none fits.
[[noreturn]] void fail_no_overload(const std::string& name, const std::vector<const Operation*>& overloads, bool method,
                                   bool out, bool former, PyObject* const* args, Py_ssize_t count, PyObject* names);

// The arguments of what is no operation by a schema like theirs: parsed, or refused in the same words. (The schema of a
// method names self.)
Operation described(std::string_view schema);
void parse_or_fail(const Operation& op, PyObject* self, PyObject* const* args, Py_ssize_t count, PyObject* names,
                   Value* into);
// Arguments that came as a tuple and a dictionary (or null), as a vector call has them.
struct CallArguments {
  std::vector<PyObject*> all;
  Object names;
  Py_ssize_t count;
  CallArguments(PyObject* args, PyObject* kwargs);
};

PyObject* outcome_object(const Operation& op, Outcome&& o);

// ---- operations as Python callables (op_type.cpp) -------------------------------------------------------------------

void add_operations(PyObject* module, PyTypeObject* tensor);
// Calls the operation of that name (all overloads) with ready arguments.
PyObject* call_operation(const char* name, PyObject* const* args, Py_ssize_t count, PyObject* names);

// ---- subclasses (torch_function.cpp) --------------------------------------------------------------------------------

bool has_torch_function(PyObject* o);
bool overloaded(PyObject* const* args, Py_ssize_t n);  // does one of them, or in a list, have one?
// Lets arguments that have a __torch_function__ make the call; `handled` says whether one wanted to.
PyObject* dispatch_torch_function(PyObject* callable, PyObject* const* args, Py_ssize_t count, PyObject* names,
                                  bool* handled);
PyObject* wrap_like(PyObject* self, Tensor t);  // of the class of self, where that is the rule for it
void add_torch_function(PyObject* module);

// ---- nodes (node_type.cpp) ------------------------------------------------------------------------------------------

struct PyNode {
  PyObject_HEAD Node* node;  // null: a FunctionNode whose graph is gone, or that has none
};
extern PyTypeObject* node_type;
// Lets t show the memory of another tensor; it goes on counting its own changes, so who saved t sees none.
void show_memory(const Tensor& t, const Tensor& from, const Layout& layout);
extern PyMethodDef function_methods[];  // of FunctionNode (function_type.cpp)
PyObject* node_object(Node* node);      // new; None for null
Node* node_of(PyObject* o);             // throws when there is none
bool is_node(PyObject* o);
void add_node_types(PyObject* module);
void install_source_hooks();

// ---- hooks, and how tensors are saved (hooks.cpp) -------------------------------------------------------------------

void add_hook_functions(PyObject* module);
void retain_grad(const Tensor& t);  // from now on, .grad of a non-leaf is filled
int traverse_hooks(const TensorImpl* t, visitproc visit, void* arg);
void clear_hooks(const TensorImpl* t);
int traverse_owned_node(const Node* node, visitproc visit, void* arg);  // Note [Cycles]
void clear_owned_node(Node* node);

// ---- generators (generator.cpp) -------------------------------------------------------------------------------------

Generator* generator_value(PyObject* o);  // of a Generator object; null for anything else
void add_generator_type(PyObject* module);

// ---- tensors from Python data (data.cpp) ----------------------------------------------------------------------------

// torch.tensor(data, dtype): nested sequences, numbers, tensors, arrays.
Tensor tensor_from(PyObject* data, std::optional<DType> dtype, bool copy);
PyObject* tolist(const Tensor& t);
// interchange.cpp: the buffer protocol, both ways.
int get_buffer(PyObject* self, Py_buffer* view, int flags);
void release_buffer(PyObject* self, Py_buffer* view);
void add_interchange_functions(PyObject* module);
void add_dlpack_functions(PyObject* module);   // dlpack.cpp
void add_storage_functions(PyObject* module);  // storage.cpp
Tensor tensor_on_buffer(PyObject* object);     // undefined when the object offers no buffer of a known dtype
void add_data_functions(PyObject* module);

// ---- optimizers (optimizers.cpp) ------------------------------------------------------------------------------------

void add_optimizers(PyObject* module);

// ---- indexing (index.cpp) -------------------------------------------------------------------------------------------

PyObject* get_item(PyObject* self, PyObject* index);
int set_item(PyObject* self, PyObject* index, PyObject* value);

extern PyMethodDef tensor_methods[];
extern PyGetSetDef tensor_properties[];
void add_tensor_type(PyObject* module);

}  // namespace bulssi::python
