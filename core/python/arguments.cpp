// Python arguments to C++ values, by the signature of the operation.
#include <cstring>
#include <span>

#include "core/op/pointwise.h"
#include "core/python/python.h"

namespace bulssi::python {

std::string type_name(PyObject* o) {
  if (is_tensor(o) && Py_TYPE(o) == tensor_type) return "Tensor";
  const char* name = Py_TYPE(o)->tp_name;
  if (!is_tensor(o) && !std::strncmp(name, "torch.", 6) && !std::strchr(name + 6, '.')) return name;
  const char* dot = std::strrchr(name, '.');
  return dot ? dot + 1 : name;
}

bool is_int(PyObject* o) {
  if (PyLong_CheckExact(o)) return true;
  if (PyBool_Check(o)) return false;  // a flag, not a dimension
  if (PyLong_Check(o)) return true;
  if (is_tensor(o)) {
    const TensorImpl* t = impl_of(o);
    return t->layout.dims() == 0 && is_integral(t->dtype);
  }
  return !PyFloat_Check(o) && Py_TYPE(o)->tp_as_number && Py_TYPE(o)->tp_as_number->nb_index;
}
int64_t int_value(PyObject* o) {
  if (is_tensor(o)) return item_data(tensor_of(o)).as_int();
  if (PyLong_CheckExact(o)) {
    int overflow;
    const long long v = PyLong_AsLongLongAndOverflow(o, &overflow);
    check(!overflow, "Overflow when unpacking long long: the integer does not fit in 64 bits");
    return v;
  }
  Object number(must(PyNumber_Index(o)));
  int overflow;
  const long long v = PyLong_AsLongLongAndOverflow(number.get(), &overflow);
  check(!overflow, "Overflow when unpacking long long: the integer does not fit in 64 bits");
  return v;
}
bool is_number(PyObject* o) {
  return PyFloat_Check(o) || PyLong_Check(o) || PyComplex_Check(o) ||
         (!is_tensor(o) && Py_TYPE(o)->tp_as_number && !PySequence_Check(o) && !PyType_Check(o) &&
          (Py_TYPE(o)->tp_as_number->nb_index || Py_TYPE(o)->tp_as_number->nb_float));
}
Scalar number_value(PyObject* o) {
  if (PyBool_Check(o)) return Scalar(o == Py_True);
  if (PyFloat_Check(o)) return Scalar(PyFloat_AS_DOUBLE(o));
  if (PyComplex_Check(o)) {
    Scalar s(PyComplex_RealAsDouble(o));
    s.kind = Scalar::Kind::complex;
    s.imag = PyComplex_ImagAsDouble(o);
    return s;
  }
  if (PyLong_Check(o) || (Py_TYPE(o)->tp_as_number && Py_TYPE(o)->tp_as_number->nb_index)) return Scalar(int_value(o));
  const double d = PyFloat_AsDouble(o);
  if (d == -1 && PyErr_Occurred()) throw PendingError();
  return Scalar(d);
}

static bool is_sequence(PyObject* o) {
  return PyTuple_Check(o) || PyList_Check(o) ||
         (PySequence_Check(o) && !PyUnicode_Check(o) && !PyBytes_Check(o) && !is_tensor(o) && Py_TYPE(o) != size_type &&
          PyObject_HasAttrString(o, "__len__"));
}
Dims ints_value(PyObject* o) {
  Object fast(must(PySequence_Fast(o, "expected a sequence of int")));
  Dims out;
  for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(fast.get()); ++i) {
    const Object item = Object::borrow(PySequence_Fast_GET_ITEM(fast.get(), i));  // its __index__ may change the list
    out.push_back(int_value(item.get()));
  }
  return out;
}
static bool all_ints(PyObject* o) {
  if (!is_sequence(o)) return false;
  Object fast(PySequence_Fast(o, ""));
  if (!fast) {
    PyErr_Clear();
    return false;
  }
  for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(fast.get()); ++i) {
    if (!is_int(PySequence_Fast_GET_ITEM(fast.get(), i))) return false;
  }
  return true;
}

namespace {

const char* shown_name(const Parameter& p) { return p.name == "self" ? "input" : p.name.c_str(); }

const char* type_text(const Parameter& p) {
  if (p.list) {
    return p.type == ArgType::tensor    ? "tuple of Tensors"
           : p.type == ArgType::integer ? "tuple of ints"
                                        : "tuple of floats";
  }
  switch (p.type) {
    case ArgType::tensor: return "Tensor";
    case ArgType::scalar: return "Number";
    case ArgType::integer: return "int";
    case ArgType::floating: return "float";
    case ArgType::boolean: return "bool";
    case ArgType::dtype: return "torch.dtype";
    case ArgType::string: return "str";
    case ArgType::device: return "torch.device";
    case ArgType::generator: return "torch.Generator";
    case ArgType::layout: return "torch.layout";
    default: return "torch.memory_format";
  }
}

// The first of these objects that is no element for a list of the parameter's type; their number if all are.
template <class Items>
size_t first_stranger(const Parameter& p, const Items& items) {
  size_t i = 0;
  for (; i < items.size(); ++i) {
    PyObject* item = items[i];
    if (p.type == ArgType::tensor ? !is_tensor(item) : p.type == ArgType::integer ? !is_int(item) : !is_number(item)) {
      break;
    }
  }
  return i;
}

// Why an argument is refused: objects[0] is what was given at a position (-1: by name), the rest what came after it.
std::string refusal(const Operation& op, const Parameter& p, Py_ssize_t position, std::span<PyObject* const> objects) {
  PyObject* o = objects[0];
  const std::string argument = str(op.name, "(): argument '", shown_name(p), "'");
  const std::string place = position < 0 ? "" : str(" (position ", position + 1, ")");
  const bool spread = p.list && p.type == ArgType::integer && is_int(o) && objects.size() > 1;  // f(0, 'a')
  if (spread || (p.list && (PyTuple_Check(o) || PyList_Check(o)))) {
    Object fast(spread ? nullptr : must(PySequence_Fast(o, "")));
    const std::span<PyObject* const> items =
        spread ? objects
               : std::span<PyObject* const>(PySequence_Fast_ITEMS(fast.get()),
                                            static_cast<size_t>(PySequence_Fast_GET_SIZE(fast.get())));
    const size_t at = first_stranger(p, items);
    if (at < items.size()) {
      const std::string got = type_name(items[at]);
      if (p.type == ArgType::tensor) {
        return str("expected Tensor as element ", at, " in argument ", position < 0 ? 0 : position, ", but got ", got);
      }
      if (p.type == ArgType::integer && at > 0) {
        return str(argument, " failed to unpack the object at pos ", at + 1,
                   " with error \"type must be tuple of ints,but got ", got, "\"");
      }
      return str(argument, place, " must be ", type_text(p), ", but found element of type ", got, " at pos ", at);
    }
  }
  return str(argument, place, " must be ", type_text(p), ", not ", type_name(o));
}

// Fills v from o if o is of the parameter's type.
bool convert_list(const Parameter& p, PyObject* o, Value& v) {
  if (p.type == ArgType::integer) {
    if (p.list_size > 0 && is_int(o) && !is_sequence(o)) {
      v.ints = Dims(static_cast<size_t>(p.list_size), int_value(o));
      return true;
    }
    if (!all_ints(o)) return false;
    v.ints = ints_value(o);
    return true;
  }
  if (p.type == ArgType::floating) {
    if (!is_sequence(o)) return false;
    Object fast(must(PySequence_Fast(o, "")));
    for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(fast.get()); ++i) {
      const Object item = Object::borrow(PySequence_Fast_GET_ITEM(fast.get(), i));
      if (!is_number(item.get())) return false;
      v.doubles.push_back(number_value(item.get()).as_double());
    }
    return true;
  }
  if (!PyTuple_Check(o) && !PyList_Check(o)) return false;
  Object fast(must(PySequence_Fast(o, "")));
  for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(fast.get()); ++i) {
    PyObject* item = PySequence_Fast_GET_ITEM(fast.get(), i);
    if (item == Py_None) {
      v.tensors.emplace_back();
      continue;
    }
    if (!is_tensor(item)) return false;
    v.tensors.push_back(tensor_of(item));
  }
  return true;
}

bool convert_boolean(PyObject* o, Value& v) {
  if (PyBool_Check(o)) {
    v.b = o == Py_True;
    return true;
  }
  if (is_tensor(o)) {
    if (impl_of(o)->layout.dims() != 0 || impl_of(o)->dtype != DType::boolean) return false;
    v.b = item_data(tensor_of(o)).i != 0;
    return true;
  }
  const char* type = Py_TYPE(o)->tp_name;
  if (std::strcmp(type, "numpy.bool") && std::strcmp(type, "numpy.bool_")) return false;
  const int truth = PyObject_IsTrue(o);
  must(truth);
  v.b = truth;
  return true;
}

// Python's own float, bool and int stand for dtypes.
bool names_dtype(PyObject* o) {
  for (PyTypeObject* type : {&PyFloat_Type, &PyBool_Type, &PyLong_Type}) {
    if (o == reinterpret_cast<PyObject*>(type)) return true;
  }
  return false;
}

bool convert_string(PyObject* o, Value& v) {
  if (!PyUnicode_Check(o)) return false;
  const char* text = PyUnicode_AsUTF8(o);  // null for surrogates that stand alone
  if (!text) throw PendingError();
  v.text = text;
  return true;
}

bool convert_one(const Parameter& p, PyObject* o, Value& v, bool numbers_for_tensors) {
  v.present = true;
  if (o == Py_None) {
    v.present = false;
    return p.optional;
  }
  if (p.list) return convert_list(p, o, v);
  switch (p.type) {
    case ArgType::tensor:
      if (is_tensor(o)) {
        v.tensor = tensor_of(o);
        return true;
      }
      if (!numbers_for_tensors || !is_number(o)) return false;
      v.number = number_value(o);
      return true;
    case ArgType::scalar:
      if (is_tensor(o)) {
        if (p.only_numbers || impl_of(o)->layout.dims() != 0 || (grad_state.enabled && requires_grad(tensor_of(o))))
          return false;
        v.number = item_data(tensor_of(o));
        return true;
      }
      if (!is_number(o)) return false;
      v.number = number_value(o);
      return true;
    case ArgType::integer:
      if (!is_int(o)) return false;
      v.i = int_value(o);
      return true;
    case ArgType::floating:
      if (is_tensor(o)) {
        if (impl_of(o)->layout.dims() != 0) return false;
        v.d = item_data(tensor_of(o)).as_double();
        return true;
      }
      if (!is_number(o)) return false;
      v.d = number_value(o).as_double();
      return true;
    case ArgType::boolean: return convert_boolean(o, v);
    case ArgType::dtype:
      if (!is_dtype(o) && !names_dtype(o)) return false;
      v.dtype = dtype_value(o);
      return true;
    case ArgType::string: return convert_string(o, v);
    case ArgType::device:
      if (!is_device(o) && !PyUnicode_Check(o) && !(PyLong_Check(o) && !PyBool_Check(o))) return false;
      v.device = device_value(o);
      return true;
    case ArgType::generator: v.generator = generator_value(o); return v.generator != nullptr;
    case ArgType::layout:
      if (!is_layout(o)) return false;
      check(constant_value(o) == 0, ErrorKind::not_implemented, "only strided tensors are supported, not layout=",
            std::string(PyUnicode_AsUTF8(Object(PyObject_Repr(o)).get())));
      v.i = 0;
      return true;
    default:
      if (!is_memory_format(o)) return false;
      v.i = constant_value(o);
      return true;
  }
}

// The value of a default in a schema.
void take_default(const Parameter& p, Value& v) {
  const std::string& t = p.default_text;
  v.present = t != "None";
  if (!v.present) return;
  if (p.list) {
    v.ints.clear();
    if (!t.empty() && t[0] == '[') {
      schema::split(std::string_view(t).substr(1, t.size() - 2), [&](std::string_view part) {
        v.ints.push_back(std::stoll(std::string(part)));
        v.doubles.push_back(std::stod(std::string(part)));
      });
    } else {
      v.ints = Dims(static_cast<size_t>(std::max(p.list_size, 1)), std::stoll(t));
    }
    return;
  }
  switch (p.type) {
    case ArgType::scalar: {
      if (t == "True" || t == "False")
        v.number = Scalar(t == "True");
      else if (t == "inf")
        v.number = Scalar(std::numeric_limits<double>::infinity());
      else if (t.find_first_of(".e") != std::string::npos)
        v.number = Scalar(std::stod(t));
      else
        v.number = Scalar(static_cast<int64_t>(std::stoll(t)));
      return;
    }
    case ArgType::integer: v.i = t == "Mean" ? 1 : t == "Sum" ? 2 : std::stoll(t); return;
    case ArgType::floating: v.d = t == "inf" ? std::numeric_limits<double>::infinity() : std::stod(t); return;
    case ArgType::boolean: v.b = t == "True"; return;
    case ArgType::string: v.text = t.substr(1, t.size() - 2); return;
    case ArgType::dtype: v.dtype = t == "long" ? DType::i64 : DType::f32; return;
    default: return;
  }
}

bool name_matches(const Parameter& p, PyObject* name) {
  if (PyUnicode_CompareWithASCIIString(name, p.name.c_str()) == 0) return true;
  if (p.name == "self") return PyUnicode_CompareWithASCIIString(name, "input") == 0;
  if (p.name == "dim") return PyUnicode_CompareWithASCIIString(name, "axis") == 0;
  if (p.name == "keepdim") return PyUnicode_CompareWithASCIIString(name, "keepdims") == 0;
  return false;
}

}  // namespace

bool parse(const Operation& op, PyObject* self, PyObject* const* args, Py_ssize_t count, PyObject* names, Value* into,
           std::string* why) {
  const auto& parameters = op.signature.parameters;
  const int total = static_cast<int>(parameters.size());
  const auto number_allowed = [&](int k) { return op.formula && op.formula->info->number_allowed(k); };
  bool given[32] = {};
  int at = 0;
  if (self) {
    if (!total || !convert_one(parameters[0], self, into[0], false)) return false;
    given[0] = true;
    at = 1;
  }
  for (Py_ssize_t i = 0; i < count; ++i, ++at) {
    if (at >= op.signature.positional) {
      if (why) {
        *why = str(op.name, "() takes ", op.signature.positional - (self ? 1 : 0), " positional argument",
                   op.signature.positional - (self ? 1 : 0) == 1 ? "" : "s", " but ", count, " were given");
      }
      return false;
    }
    const Parameter& p = parameters[at];
    // x.view(2, 3): all the numbers are one list.
    if (p.list && p.type == ArgType::integer && (count - i > 1 || p.list_size == 0) && is_int(args[i]) &&
        (at == (self || parameters[0].name != "self" ? (self ? 1 : 0) : 1))) {
      bool rest = true;
      for (Py_ssize_t k = i; k < count; ++k) rest = rest && is_int(args[k]);
      if (rest && (p.list_size == 0 || count - i == 1 || op.traits.kind == OpKind::view)) {
        for (Py_ssize_t k = i; k < count; ++k) into[at].ints.push_back(int_value(args[k]));
        if (p.list_size > 0 && count - i == 1) into[at].ints = Dims(size_t(p.list_size), into[at].ints[0]);
        into[at].present = given[at] = true;
        break;
      }
    }
    // f(a, b, c) for a list of tensors.
    if (p.list && p.type == ArgType::tensor && at == 0 && op.traits.variadic && is_tensor(args[i])) {
      bool rest = true;
      for (Py_ssize_t k = i; k < count; ++k) rest = rest && is_tensor(args[k]);
      if (!rest) return false;
      for (Py_ssize_t k = i; k < count; ++k) into[at].tensors.push_back(tensor_of(args[k]));
      into[at].present = given[at] = true;
      break;
    }
    if (!convert_one(p, args[i], into[at], number_allowed(at))) {
      if (why) {
        *why = refusal(op, p, i, std::span(args + i, static_cast<size_t>(count - i)));
      }
      return false;
    }
    given[at] = true;
  }
  const Py_ssize_t named = names ? PyTuple_GET_SIZE(names) : 0;
  for (Py_ssize_t i = 0; i < named; ++i) {
    PyObject* name = PyTuple_GET_ITEM(names, i);
    int k = 0;
    while (k < total && !name_matches(parameters[k], name)) ++k;
    if (k == total) {
      if (why) *why = str(op.name, "() got an unexpected keyword argument '", PyUnicode_AsUTF8(name), "'");
      return false;
    }
    if (given[k]) {
      if (why) *why = str(op.name, "() got multiple values for argument '", PyUnicode_AsUTF8(name), "'");
      return false;
    }
    if (!convert_one(parameters[k], args[count + i], into[k], number_allowed(k))) {
      if (why) {
        *why = refusal(op, parameters[k], -1, std::span(args + count + i, 1));
      }
      return false;
    }
    given[k] = true;
  }
  for (int k = 0; k < total; ++k) {
    if (given[k]) continue;
    if (!parameters[k].has_default) {
      if (why) {
        *why = str(op.name, "() missing 1 required positional arguments: \"", shown_name(parameters[k]), "\"");
      }
      return false;
    }
    take_default(parameters[k], into[k]);
  }
  return true;
}

void fail_no_overload(const std::string& name, const std::vector<const Operation*>& overloads, PyObject* self,
                      PyObject* const* args, Py_ssize_t count, PyObject* names) {
  if (overloads.size() == 1) {
    Value values[32];
    std::string why;
    parse(*overloads[0], self, args, count, names, values, &why);
    if (why.empty()) why = str(name, "(): argument 'input' (position 1) must be Tensor");
    fail(ErrorKind::type, why);
  }
  for (const Operation* op : overloads) {
    Value values[32];
    std::string why;
    parse(*op, self, args, count, names, values, &why);
    if (why.find(" failed to unpack the object at pos ") != why.npos) fail(ErrorKind::type, why);
  }
  std::string text = name + "() received an invalid combination of arguments - got (";
  for (Py_ssize_t i = 0; i < count; ++i) text += (i ? ", " : "") + type_name(args[i]);
  for (Py_ssize_t i = 0; names && i < PyTuple_GET_SIZE(names); ++i) {
    text += str(count || i ? ", " : "", PyUnicode_AsUTF8(PyTuple_GET_ITEM(names, i)), "=", type_name(args[count + i]));
  }
  text += "), but expected one of:";
  for (const Operation* op : overloads) {
    text += "\n * (";
    bool first = true, star = false;
    for (size_t i = self ? 1 : 0; i < op->signature.parameters.size(); ++i) {
      const Parameter& p = op->signature.parameters[i];
      if (p.keyword_only && !star) {
        text += first ? "*" : ", *";
        star = true;
        first = false;
      }
      text += str(first ? "" : ", ", type_text(p), " ", shown_name(p),
                  p.has_default ? " = " + p.default_text : std::string());
      first = false;
    }
    text += ")";
  }
  fail(ErrorKind::type, text);
}

}  // namespace bulssi::python
