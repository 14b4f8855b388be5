// The Python type Tensor: written by hand because every operation passes through it.
#include <cstring>

#include "core/op/tensor_math.h"
#include "core/ops/basics.h"
#include "core/python/modes.h"
#include "core/python/python.h"

// clang-format off: it lays out the lists of macros below differently each time
namespace bulssi::python {

PyTypeObject* tensor_type;
PyTypeObject* parameter_type;

namespace {

constexpr int max_free = 256;
PyTensor* free_shells[max_free];
int free_count = 0;

PyTensor* new_shell() {
  PyTensor* o;
  if (free_count) {
    o = free_shells[--free_count];
    Py_INCREF(tensor_type);
    Py_SET_TYPE(reinterpret_cast<PyObject*>(o), tensor_type);
    _Py_NewReference(reinterpret_cast<PyObject*>(o));
  } else {
    o = PyObject_GC_New(PyTensor, tensor_type);
    if (!o) throw PendingError();
  }
  o->dict = o->weakrefs = nullptr;
  return o;
}

// Hands the count of t over to the object (Note [Who counts]).
void adopt(PyTensor* o, Tensor&& t) {
  TensorImpl* impl = t.detach();
  const uintptr_t owners = impl->state >> 1;
  o->impl = impl;
  impl->state = reinterpret_cast<uintptr_t>(o);
  for (uintptr_t i = 1; i < owners; ++i) Py_INCREF(o);
}

void dealloc(PyObject* self) {
  auto* o = reinterpret_cast<PyTensor*>(self);
  PyObject_GC_UnTrack(self);
  if (o->weakrefs) PyObject_ClearWeakRefs(self);
  Py_CLEAR(o->dict);
  PyTypeObject* type = Py_TYPE(self);
  if (TensorImpl* impl = std::exchange(o->impl, nullptr)) destroy(impl);
  if (type == tensor_type && free_count < max_free) {
    free_shells[free_count++] = o;
  } else {
    type->tp_free(self);
  }
  Py_DECREF(type);
}
int traverse(PyObject* self, visitproc visit, void* arg) {
  Py_VISIT(reinterpret_cast<PyTensor*>(self)->dict);
  Py_VISIT(Py_TYPE(self));
  return traverse_hooks(reinterpret_cast<PyTensor*>(self)->impl, visit, arg);
}
int clear(PyObject* self) {
  Py_CLEAR(reinterpret_cast<PyTensor*>(self)->dict);
  clear_hooks(reinterpret_cast<PyTensor*>(self)->impl);
  return 0;
}

// ---- number slots ---------------------------------------------------------------------------------------------------

inline bool plain(PyObject* o) { return Py_TYPE(o) == tensor_type || Py_TYPE(o) == parameter_type; }
inline bool operand(PyObject* o) { return plain(o) || PyFloat_CheckExact(o) || PyLong_CheckExact(o); }
inline bool direct(PyObject* a, PyObject* b) { return operand(a) && operand(b) && !active_modes; }

PyObject* call_by_name(const char* name, PyObject* a, PyObject* b) {
  PyObject* args[] = {a, b};
  // A method, so that subclasses see it.
  Object callable(PyObject_GetAttrString(reinterpret_cast<PyObject*>(tensor_type), name));
  if (!callable) return nullptr;
  return PyObject_Vectorcall(callable.get(), args, b ? 2 : 1, nullptr);
}

template <class D>
PyObject* fast(PyObject* a, PyObject* b) {
  return guard([&]() -> PyObject* {
    const bool ta = plain(a), tb = plain(b);
    const Tensor x = ta ? tensor_of(a) : Tensor(), y = tb ? tensor_of(b) : Tensor();
    if constexpr (std::is_same_v<D, Sub>) {
      if (!ta) {
        const Operand turned[] = {Operand(y), Operand(number_value(a))};
        return wrap(call_formula(formulas[index_of<Rsub>], turned, nullptr));
      }
    }
    if constexpr (std::is_same_v<D, Div>) {
      if (!ta) {  // as PyTorch, which rounds twice
        const Operand divisor[] = {Operand(y)};
        const Tensor inverse = call_formula(formulas[index_of<Reciprocal>], divisor, nullptr);
        const Operand product[] = {Operand(inverse), Operand(number_value(a))};
        return wrap(call_formula(formulas[index_of<Mul>], product, nullptr));
      }
    }
    const Operand list[] = {ta ? Operand(x) : Operand(number_value(a)), tb ? Operand(y) : Operand(number_value(b))};
    return wrap(call_formula(formulas[index_of<D>], list, nullptr));
  });
}

// NumPy's arrays take part as tensors on their memory (None, which no operation takes, if they cannot).
bool is_array(PyObject* o) { return !std::strcmp(Py_TYPE(o)->tp_name, "numpy.ndarray"); }
template <class F>
PyObject* with_arrays(PyObject* a, PyObject* b, F op) {
  return guard([&]() -> PyObject* {
    const Object x = is_array(a) ? Object(wrap(tensor_on_buffer(a))) : Object::borrow(a);
    const Object y = is_array(b) ? Object(wrap(tensor_on_buffer(b))) : Object::borrow(b);
    return op(x.get(), y.get());
  });
}

// a op b, where either side may be a number. `reflected` is the method tried when a is no tensor.
template <class D>
PyObject* binary(PyObject* a, PyObject* b) {
  if (direct(a, b)) return fast<D>(a, b);
  if (is_tensor(a) && (is_tensor(b) || is_number(b))) return call_by_name(D::info.name, a, b);
  if (is_tensor(b) && is_number(a)) {
    if constexpr (std::is_same_v<D, Div>) {
      const Object inverse(call_by_name("reciprocal", b, nullptr));
      return inverse ? PyNumber_Multiply(inverse.get(), a) : nullptr;
    }
    // The number first: as a 0-d tensor that promotes like a number.
    return guard([&]() -> PyObject* {
      Object number(wrap(wrapped_number(number_value(a))));
      return call_by_name(D::info.name, number.get(), b);
    });
  }
  if (is_array(a) || is_array(b)) return with_arrays(a, b, binary<D>);
  if (is_tensor(a) && overloaded(&b, 1)) return call_by_name(D::info.name, a, b);  // its class answers
  Py_RETURN_NOTIMPLEMENTED;
}
// A number over a tensor is the number times the reciprocal, as PyTorch rounds and records it.
PyObject* divide(PyObject* a, PyObject* b) {
  if (!is_number(a) || !is_tensor(b)) return binary<Div>(a, b);
  Object reciprocal(call_by_name("reciprocal", b, nullptr));
  return reciprocal ? binary<Mul>(reciprocal.get(), a) : nullptr;
}
bool mixable(PyObject* a, PyObject* b) { return (is_tensor(a) || is_number(a)) && (is_tensor(b) || is_number(b)); }
// Operators whose operation is found by name.
template <const char* name>
PyObject* named(PyObject* a, PyObject* b) {
  if (is_array(a) || is_array(b)) return with_arrays(a, b, named<name>);
  if (is_tensor(a) && !is_tensor(b) && overloaded(&b, 1)) return call_by_name(name, a, b);
  if (!mixable(a, b)) Py_RETURN_NOTIMPLEMENTED;
  if (is_tensor(a)) return call_by_name(name, a, b);
  return guard([&]() -> PyObject* {
    Object number(wrap(wrapped_number(number_value(a))));
    return call_by_name(name, number.get(), b);
  });
}
template <const char* name>
PyObject* named_inplace(PyObject* a, PyObject* b) {
  if (!is_tensor(a) || !mixable(a, b)) Py_RETURN_NOTIMPLEMENTED;
  return call_by_name(name, a, b);
}
template <const char* name>
PyObject* named_unary(PyObject* a) {
  return call_by_name(name, a, nullptr);
}
template <const char* name>
PyObject* named_power(PyObject* a, PyObject* b, PyObject*) {
  return named<name>(a, b);
}
template <const char* name>
PyObject* named_power_inplace(PyObject* a, PyObject* b, PyObject*) {
  return named_inplace<name>(a, b);
}
#define BULSSI_OPERATOR_NAME(id, text) constexpr char id[] = text;
BULSSI_OPERATOR_NAME(n_remainder, "remainder")
BULSSI_OPERATOR_NAME(n_pow, "pow")
BULSSI_OPERATOR_NAME(n_floor_divide, "floor_divide") BULSSI_OPERATOR_NAME(n_matmul, "matmul")
    BULSSI_OPERATOR_NAME(n_and, "bitwise_and") BULSSI_OPERATOR_NAME(n_or, "bitwise_or")
        BULSSI_OPERATOR_NAME(n_xor, "bitwise_xor") BULSSI_OPERATOR_NAME(n_not, "bitwise_not")
            BULSSI_OPERATOR_NAME(n_lshift, "bitwise_left_shift") BULSSI_OPERATOR_NAME(n_rshift, "bitwise_right_shift")
                BULSSI_OPERATOR_NAME(n_neg, "neg") BULSSI_OPERATOR_NAME(n_abs, "abs")
                    BULSSI_OPERATOR_NAME(n_add_, "add_") BULSSI_OPERATOR_NAME(n_sub_, "sub_")
                        BULSSI_OPERATOR_NAME(n_mul_, "mul_") BULSSI_OPERATOR_NAME(n_div_, "div_")
                            BULSSI_OPERATOR_NAME(n_remainder_, "remainder_") BULSSI_OPERATOR_NAME(n_pow_, "pow_")
                                BULSSI_OPERATOR_NAME(n_floor_divide_, "floor_divide_")
                                    BULSSI_OPERATOR_NAME(n_and_, "bitwise_and_")
                                        BULSSI_OPERATOR_NAME(n_or_, "bitwise_or_")
                                            BULSSI_OPERATOR_NAME(n_xor_, "bitwise_xor_")
                                                BULSSI_OPERATOR_NAME(n_lshift_, "bitwise_left_shift_")
                                                    BULSSI_OPERATOR_NAME(n_rshift_, "bitwise_right_shift_")

                                                        PyObject* matmul(PyObject* a, PyObject* b) {
  if (!is_tensor(a) || !is_tensor(b)) Py_RETURN_NOTIMPLEMENTED;
  return call_by_name(n_matmul, a, b);
}
PyObject* positive(PyObject* a) {
  Py_INCREF(a);
  return a;
}
int truth(PyObject* self) {
  return guard([&]() -> int {
    const Tensor t = tensor_of(self);
    check(t.numel() != 0, "Boolean value of Tensor with no values is ambiguous");
    check(t.numel() == 1, "Boolean value of Tensor with more than one value is ambiguous");
    const Scalar s = item_data(t);
    return s.integral() ? s.i != 0 : s.d != 0;
  });
}
Scalar single(PyObject* self) {
  const Tensor t = tensor_of(self);
  check(t.numel() == 1, ErrorKind::value, "only one element tensors can be converted to Python scalars\nthis one has ",
        t.numel(), " elements");
  return item_data(t);
}
PyObject* to_float(PyObject* self) {
  return guard([&]() -> PyObject* { return PyFloat_FromDouble(single(self).as_double()); });
}
PyObject* to_int(PyObject* self) {
  return guard([&]() -> PyObject* {
    const Scalar s = single(self);
    return s.integral() ? PyLong_FromLongLong(s.i) : PyLong_FromDouble(s.d);
  });
}
PyObject* to_index(PyObject* self) {
  const TensorImpl* t = impl_of(self);
  if (t->numel != 1 || is_floating(t->dtype)) {
    PyErr_SetString(PyExc_TypeError, "only integer tensors of a single element can be converted to an index");
    return nullptr;
  }
  return to_int(self);
}

PyObject* compare(PyObject* a, PyObject* b, int op) {
  static const char* names[] = {"lt", "le", "eq", "ne", "gt", "ge"};
  if (direct(a, b)) {
    switch (op) {
      case Py_LT: return fast<Lt>(a, b);
      case Py_LE: return fast<Le>(a, b);
      case Py_EQ: return fast<Eq>(a, b);
      case Py_NE: return fast<Ne>(a, b);
      case Py_GT: return fast<Gt>(a, b);
      default: return fast<Ge>(a, b);
    }
  }
  if (is_array(b)) return with_arrays(a, b, [op](PyObject* x, PyObject* y) { return compare(x, y, op); });
  if (!is_tensor(a) || !mixable(a, b)) Py_RETURN_NOTIMPLEMENTED;
  return call_by_name(names[op], a, b);
}
Py_hash_t hash(PyObject* self) { return static_cast<Py_hash_t>(reinterpret_cast<uintptr_t>(self)); }
Py_ssize_t length(PyObject* self) {
  const TensorImpl* t = impl_of(self);
  if (t->layout.dims() == 0) {
    PyErr_SetString(PyExc_TypeError, "len() of a 0-d tensor");
    return -1;
  }
  return static_cast<Py_ssize_t>(t->layout.shape[0]);
}
PyObject* repr(PyObject* self) {
  Object module(PyImport_ImportModule("bulssi._printing"));
  if (!module) return nullptr;
  return PyObject_CallMethod(module.get(), "tensor_str", "O", self);
}
int contains(PyObject* self, PyObject* item) {
  if (!is_tensor(item) && !is_number(item)) {
    PyErr_Format(PyExc_RuntimeError, "Tensor.__contains__ only supports Tensor or scalar, but you passed in a %R.",
                 Py_TYPE(item));
    return -1;
  }
  Object equal(compare(self, item, Py_EQ));
  if (!equal) return -1;
  Object any(PyObject_CallMethod(equal.get(), "any", nullptr));
  return any ? PyObject_IsTrue(any.get()) : -1;
}
PyObject* new_tensor(PyTypeObject* type, PyObject* args, PyObject* kwargs) {
  // torch.Tensor(2, 3), torch.Tensor([1, 2]): the old constructor, kept in Python.
  Object module(PyImport_ImportModule("bulssi._tensor_methods"));
  if (!module) return nullptr;
  Object function(PyObject_GetAttrString(module.get(), "legacy_constructor"));
  if (!function) return nullptr;
  Object made(PyObject_Call(function.get(), args, kwargs));
  if (!made || type == tensor_type || !is_tensor(made.get())) return made.take();
  return guard([&] { return wrap_as(type, alias(tensor_of(made.get()))); });
}
int init(PyObject*, PyObject*, PyObject*) { return 0; }

PyMemberDef members[] = {{"__dictoffset__", T_PYSSIZET, offsetof(PyTensor, dict), READONLY, nullptr},
                         {"__weaklistoffset__", T_PYSSIZET, offsetof(PyTensor, weakrefs), READONLY, nullptr},
                         {}};
#define BULSSI_SLOT(slot, function) {slot, reinterpret_cast<void*>(function)}
PyType_Slot slots[] = {BULSSI_SLOT(Py_tp_dealloc, dealloc),
                       BULSSI_SLOT(Py_tp_traverse, traverse),
                       BULSSI_SLOT(Py_tp_clear, clear),
                       BULSSI_SLOT(Py_tp_new, new_tensor),
                       BULSSI_SLOT(Py_tp_init, init),
                       BULSSI_SLOT(Py_tp_repr, repr),
                       BULSSI_SLOT(Py_tp_richcompare, compare),
                       BULSSI_SLOT(Py_tp_hash, hash),
                       BULSSI_SLOT(Py_tp_methods, tensor_methods),
                       BULSSI_SLOT(Py_tp_getset, tensor_properties),
                       BULSSI_SLOT(Py_tp_members, members),
                       BULSSI_SLOT(Py_nb_add, binary<Add>),
                       BULSSI_SLOT(Py_nb_subtract, binary<Sub>),
                       BULSSI_SLOT(Py_nb_multiply, binary<Mul>),
                       BULSSI_SLOT(Py_nb_true_divide, divide),
                       BULSSI_SLOT(Py_nb_remainder, named<n_remainder>),
                       BULSSI_SLOT(Py_nb_power, named_power<n_pow>),
                       BULSSI_SLOT(Py_nb_floor_divide, named<n_floor_divide>),
                       BULSSI_SLOT(Py_nb_matrix_multiply, matmul),
                       BULSSI_SLOT(Py_nb_and, named<n_and>),
                       BULSSI_SLOT(Py_nb_or, named<n_or>),
                       BULSSI_SLOT(Py_nb_xor, named<n_xor>),
                       BULSSI_SLOT(Py_nb_lshift, named<n_lshift>),
                       BULSSI_SLOT(Py_nb_rshift, named<n_rshift>),
                       BULSSI_SLOT(Py_nb_negative, named_unary<n_neg>),
                       BULSSI_SLOT(Py_nb_positive, positive),
                       BULSSI_SLOT(Py_nb_absolute, named_unary<n_abs>),
                       BULSSI_SLOT(Py_nb_invert, named_unary<n_not>),
                       BULSSI_SLOT(Py_nb_inplace_add, named_inplace<n_add_>),
                       BULSSI_SLOT(Py_nb_inplace_subtract, named_inplace<n_sub_>),
                       BULSSI_SLOT(Py_nb_inplace_multiply, named_inplace<n_mul_>),
                       BULSSI_SLOT(Py_nb_inplace_true_divide, named_inplace<n_div_>),
                       BULSSI_SLOT(Py_nb_inplace_remainder, named_inplace<n_remainder_>),
                       BULSSI_SLOT(Py_nb_inplace_power, named_power_inplace<n_pow_>),
                       BULSSI_SLOT(Py_nb_inplace_floor_divide, named_inplace<n_floor_divide_>),
                       BULSSI_SLOT(Py_nb_inplace_and, named_inplace<n_and_>),
                       BULSSI_SLOT(Py_nb_inplace_or, named_inplace<n_or_>),
                       BULSSI_SLOT(Py_nb_inplace_xor, named_inplace<n_xor_>),
                       BULSSI_SLOT(Py_nb_inplace_lshift, named_inplace<n_lshift_>),
                       BULSSI_SLOT(Py_nb_inplace_rshift, named_inplace<n_rshift_>),
                       BULSSI_SLOT(Py_nb_bool, truth),
                       BULSSI_SLOT(Py_nb_float, to_float),
                       BULSSI_SLOT(Py_nb_int, to_int),
                       BULSSI_SLOT(Py_nb_index, to_index),
                       BULSSI_SLOT(Py_mp_length, length),
                       BULSSI_SLOT(Py_sq_length, length),
                       BULSSI_SLOT(Py_mp_subscript, get_item),
                       BULSSI_SLOT(Py_mp_ass_subscript, set_item),
                       BULSSI_SLOT(Py_sq_contains, contains),
                       BULSSI_SLOT(Py_bf_getbuffer, get_buffer),
                       BULSSI_SLOT(Py_bf_releasebuffer, release_buffer),
                       {Py_tp_doc, const_cast<char*>("A multi-dimensional array that records what is done to it.")},
                       {0, nullptr}};
PyType_Spec spec = {"torch.Tensor", sizeof(PyTensor), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
                    slots};

}  // namespace

PyObject* wrap(Tensor t) {
  if (!t) Py_RETURN_NONE;
  if (!(t->state & 1)) return reinterpret_cast<PyObject*>(t.detach()->state);  // its count is the object's
  PyTensor* o = new_shell();
  adopt(o, std::move(t));
  PyObject_GC_Track(o);
  return reinterpret_cast<PyObject*>(o);
}

PyObject* wrap_as(PyTypeObject* type, Tensor t) {
  auto* o = reinterpret_cast<PyTensor*>(must(type->tp_alloc(type, 0)));
  adopt(o, std::move(t));
  return reinterpret_cast<PyObject*>(o);
}

void add_tensor_type(PyObject* module) {
  python_hooks.retain = [](void* o) { Py_INCREF(static_cast<PyObject*>(o)); };
  python_hooks.release = [](void* o) { Py_DECREF(static_cast<PyObject*>(o)); };
  python_hooks.alive = [](void* o) { return Py_REFCNT(static_cast<PyObject*>(o)) > 0; };
  tensor_type = reinterpret_cast<PyTypeObject*>(must(PyType_FromSpec(&spec)));
  // Methods name PyTorch's base class of Tensor in their errors.
  for (Py_ssize_t at = 0;;) {
    PyObject *name, *value;
    if (!PyDict_Next(tensor_type->tp_dict, &at, &name, &value)) break;
    if (!PyObject_TypeCheck(value, &PyMethodDescr_Type)) continue;
    auto* method = reinterpret_cast<PyDescrObject*>(value);
    Py_XSETREF(method->d_qualname, must(PyUnicode_FromFormat("TensorBase.%U", name)));
  }
  tensor_type->tp_name = "Tensor";  // in texts of errors; the type itself is shown with its module
  must(PyObject_SetAttrString(module, "Tensor", reinterpret_cast<PyObject*>(tensor_type)));
}

}  // namespace bulssi::python
