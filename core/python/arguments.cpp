// Python arguments to C++ values, by the signature of the operation.
#include <algorithm>
#include <cstring>
#include <optional>
#include <span>

#include "core/op/pointwise.h"
#include "core/python/python.h"

namespace bulssi::python {

std::string type_name(PyObject* o) {
  if (is_tensor(o) && Py_TYPE(o) == tensor_type) return "Tensor";
  const char* name = Py_TYPE(o)->tp_name;
  if (!is_tensor(o) && !std::strncmp(name, "torch.", 6) && !std::strchr(name + 6, '.')) return name;
  if (!std::strncmp(name, "torch._C.", 9)) return name;
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
// The value of an integer, or nothing if it has more than 64 bits.
static std::optional<int64_t> small_int(PyObject* o) {
  if (is_tensor(o)) return item_data(tensor_of(o)).as_int();
  int overflow;
  const Object index(PyLong_CheckExact(o) ? nullptr : must(PyNumber_Index(o)));
  const long long v = PyLong_AsLongLongAndOverflow(index ? index.get() : o, &overflow);
  return overflow ? std::nullopt : std::optional<int64_t>(v);
}
int64_t int_value(PyObject* o) {
  const auto v = small_int(o);
  if (!v) fail(ErrorKind::value, "Overflow when unpacking long long\nthe integer does not fit in 64 bits");
  return *v;
}
bool is_number(PyObject* o) {
  return PyFloat_Check(o) || PyLong_Check(o) || PyComplex_Check(o) ||
         (!is_tensor(o) && Py_TYPE(o)->tp_as_number && !PySequence_Check(o) && !PyType_Check(o) &&
          (Py_TYPE(o)->tp_as_number->nb_index || Py_TYPE(o)->tp_as_number->nb_float));
}
// An integer that no number of a tensor can be.
[[noreturn]] static void fail_large(PyObject* o) {
  const Object index(must(PyNumber_Index(o)));
  PyLong_AsUnsignedLongLong(index.get());
  if (!PyErr_Occurred()) fail("value cannot be converted to type int64_t without overflow\nit is above 2^63 - 1");
  PyErr_Clear();
  const Object zero(must(PyLong_FromLong(0)));
  const int negative = PyObject_RichCompareBool(index.get(), zero.get(), Py_LT);
  fail(ErrorKind::overflow, negative ? "can't convert negative int to unsigned" : "int too big to convert",
       "\nnumbers of tensors have at most 64 bits: give a float, or a number between -2^63 and 2^63 - 1");
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
  if (PyLong_Check(o) || (Py_TYPE(o)->tp_as_number && Py_TYPE(o)->tp_as_number->nb_index)) {
    const auto v = small_int(o);
    if (!v) fail_large(o);
    return Scalar(*v);
  }
  const double d = PyFloat_AsDouble(o);
  if (d == -1 && PyErr_Occurred()) throw PendingError();
  return Scalar(d);
}

double double_value(PyObject* o) {
  if (!PyLong_Check(o)) return number_value(o).as_double();
  const double d = PyLong_AsDouble(o);
  if (d == -1 && PyErr_Occurred()) throw PendingError();
  return d;
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
// As PyTorch, which looks closely at the first alone: (3, True) are sizes, (True, 3) are none.
static bool is_int_of_list(PyObject* o, Py_ssize_t i) {
  if (is_tensor(o))
    return impl_of(o)->layout.dims() == 0 && (is_integral(impl_of(o)->dtype) || impl_of(o)->dtype == DType::boolean);
  return is_int(o) || (i > 0 && PyBool_Check(o));
}
static bool all_ints(PyObject* o) {
  if (!is_sequence(o)) return false;
  Object fast(PySequence_Fast(o, ""));
  if (!fast) {
    PyErr_Clear();
    return false;
  }
  for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(fast.get()); ++i) {
    const Object item = Object::borrow(PySequence_Fast_GET_ITEM(fast.get(), i));
    if (!is_int_of_list(item.get(), i) || !small_int(item.get())) return false;
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
size_t first_stranger(const Parameter& p, std::span<PyObject* const> items) {
  size_t i = 0;
  for (; i < items.size(); ++i) {
    PyObject* item = items[i];
    const bool fits = p.type == ArgType::tensor    ? is_tensor(item)
                      : p.type == ArgType::integer ? is_int_of_list(item, i) && small_int(item)
                                                   : is_number(item) && !PyComplex_Check(item);
    if (!fits) break;
  }
  return i;
}

// Why an argument is refused: objects[0] is what was given at a position (-1: by name), the rest what came after it;
// number is the parameter's, counted without self.
std::string refusal(const std::string& name, const Parameter& p, int number, Py_ssize_t position,
                    std::span<PyObject* const> objects) {
  PyObject* o = objects[0];
  const std::string argument = str(name, "(): argument '", shown_name(p), "'");
  const std::string place = position < 0 ? "" : str(" (position ", position + 1, ")");
  const bool integers = p.list && p.type == ArgType::integer;
  const bool spread = integers && is_int(o) && (objects.size() > 1 || !small_int(o));  // f(0, 'a')
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
        return str("expected Tensor as element ", at, " in argument ", number, ", but got ", got);
      }
      if (integers && is_int(items[at])) {
        return str(argument, " failed to unpack the object at pos ", at + 1,
                   " with error \"Overflow when unpacking long long\nthe integer does not fit in 64 bits\"");
      }
      if (integers && at > 0) {
        return str(argument, " failed to unpack the object at pos ", at + 1,
                   " with error \"type must be tuple of ints,but got ", got, "\"");
      }
      if (p.type == ArgType::floating) {
        return str(argument, " must be tuple of floats, but found element of type ", got, " at pos ", at + 1);
      }
      if (position >= 0) {
        return str(argument, place, " must be ", type_text(p), ", but found element of type ", got, " at pos ", at);
      }
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
      if (!is_number(item.get()) || PyComplex_Check(item.get())) return false;
      v.doubles.push_back(double_value(item.get()));
    }
    return true;
  }
  if (!PyTuple_Check(o) && !PyList_Check(o)) return false;
  Object fast(must(PySequence_Fast(o, "")));
  for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(fast.get()); ++i) {
    PyObject* item = PySequence_Fast_GET_ITEM(fast.get(), i);
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
  if (PyBytes_Check(o)) {
    v.text.assign(PyBytes_AS_STRING(o), static_cast<size_t>(PyBytes_GET_SIZE(o)));
    return true;
  }
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
      if (!is_number(o) || PyComplex_Check(o)) return false;
      v.d = double_value(o);
      return true;
    case ArgType::boolean: return convert_boolean(o, v);
    case ArgType::dtype:
      if (!is_dtype(o) && !names_dtype(o)) return false;
      v.dtype = dtype_value(o);
      return true;
    case ArgType::string: return convert_string(o, v);
    case ArgType::device:
      if (!is_device(o) && !PyUnicode_Check(o) && !PyBytes_Check(o) && !(PyLong_Check(o) && !PyBool_Check(o)))
        return false;
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

// Names that NumPy has for the same.
bool name_matches(const Parameter& p, PyObject* name) {
  const auto is = [&](const char* text) { return PyUnicode_CompareWithASCIIString(name, text) == 0; };
  if (p.name == "self") return is("input") || is("x") || is("a") || is("x1");
  if (is(p.name.c_str())) return true;
  if (p.name == "input") return is("x") || is("a") || is("x1");
  return (p.name == "dim" && is("axis")) || (p.name == "keepdim" && is("keepdims")) || (p.name == "other" && is("x2"));
}

// The parameters of an overload as its callers see them: without the self of a method, with `out`.
struct Seen {
  const Operation& op;
  int first, total, positional, required;
  bool scales = false;  // what is given by name alone may be left out (Note [Former signatures])
  Parameter out;
  Seen(const Operation& operation, bool method, bool takes_out) : op(operation), first(method ? 1 : 0) {
    const Signature& s = op.signature;
    total = static_cast<int>(s.parameters.size()) - first;
    positional = s.positional - first;
    required = s.required - first;
    out.name = "out";
    out.has_default = out.optional = out.keyword_only = true;
    out.list = s.results.size() > 1;
    if (takes_out && op.traits.out) ++total;
  }
  const Parameter& operator[](int k) const {
    const auto& all = op.signature.parameters;
    return static_cast<size_t>(k + first) < all.size() ? all[k + first] : out;
  }
};

std::string missing(const std::string& name, const Seen& seen, int from) {
  std::string text;
  int n = 0;
  for (int k = from; k < seen.total; ++k) {
    if (seen[k].has_default || (seen.scales && seen[k].keyword_only)) continue;
    text += str(n++ ? ", " : "", '"', shown_name(seen[k]), '"');
  }
  return str(name, "() missing ", n,
             n == 1 ? " required positional arguments: " : " required positional argument: ", text);
}

std::string too_many(const std::string& name, const Seen& seen, Py_ssize_t count) {
  if (seen.required != seen.positional) {
    return str(name, "() takes from ", seen.required, " to ", seen.positional, " positional arguments but ", count,
               " were given");
  }
  return str(name, "() takes ", seen.positional, " positional argument", seen.positional == 1 ? "" : "s", " but ",
             count, count == 1 ? " was given" : " were given");
}

// Why an overload does not fit the arguments: of several reasons the one that PyTorch finds first; "" if it fits.
std::string mismatch(const std::string& name, const Seen& seen, PyObject* const* args, Py_ssize_t count,
                     PyObject* names) {
  const Py_ssize_t named = names ? PyTuple_GET_SIZE(names) : 0;
  const bool spreads = seen.positional == 1 && seen[0].list && seen[0].type == ArgType::integer;
  if (count > seen.positional && !(spreads && is_int(args[0]))) return too_many(name, seen, count);
  Py_ssize_t at = 0, left = named;
  int used = 0;  // parameters given by position
  for (int k = 0; k < seen.total; ++k) {
    const Parameter& p = seen[k];
    Py_ssize_t found = at;
    const bool by_name = at >= count;
    if (by_name) {
      for (found = count; found < count + named && !name_matches(p, PyTuple_GET_ITEM(names, found - count));) ++found;
      if (found == count + named) {
        if (p.has_default || (seen.scales && p.keyword_only)) continue;
        return missing(name, seen, k);
      }
    } else if (p.keyword_only) {
      return too_many(name, seen, count);
    }
    Value value;
    const bool numbers = seen.op.formula && seen.op.formula->info->number_allowed(k + seen.first);
    const bool all = spreads && k == 0 && !by_name && is_int(args[0]);  // f(1, 2) for f((1, 2))
    bool fits = false;
    if (all) {
      fits = first_stranger(p, {args, static_cast<size_t>(count)}) == static_cast<size_t>(count);
    } else {
      fits = convert_one(p, args[found], value, numbers);
    }
    if (!fits) {
      const Py_ssize_t end = by_name ? found + 1 : count;
      return refusal(name, p, k, by_name ? -1 : at, {args + found, static_cast<size_t>(end - found)});
    }
    if (by_name)
      --left;
    else
      at = all ? count : at + 1, used = k + 1;
  }
  for (Py_ssize_t i = 0; i < named && left; ++i) {
    PyObject* given = PyTuple_GET_ITEM(names, i);
    int k = 0;
    while (k < seen.total && !name_matches(seen[k], given)) ++k;
    const char* text = PyUnicode_AsUTF8(given);
    if (!text) throw PendingError();
    if (k == seen.total) return str(name, "() got an unexpected keyword argument '", text, "'");
    if (k < used) return str(name, "() got multiple values for argument '", text, "'");
  }
  return "";
}

}  // namespace

bool parse(const Operation& op, PyObject* self, PyObject* const* args, Py_ssize_t count, PyObject* names, Value* into) {
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
    if (at >= op.signature.positional) return false;
    const Parameter& p = parameters[at];
    // x.view(2, 3): all the numbers are one list.
    if (p.list && p.type == ArgType::integer && (count - i > 1 || p.list_size == 0) && is_int(args[i]) &&
        (at == (self || parameters[0].name != "self" ? (self ? 1 : 0) : 1))) {
      bool rest = true;
      for (Py_ssize_t k = i; k < count; ++k) rest = rest && is_int(args[k]) && small_int(args[k]);
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
    if (!convert_one(p, args[i], into[at], number_allowed(at))) return false;
    given[at] = true;
  }
  const Py_ssize_t named = names ? PyTuple_GET_SIZE(names) : 0;
  for (Py_ssize_t i = 0; i < named; ++i) {
    PyObject* name = PyTuple_GET_ITEM(names, i);
    int k = self ? 1 : 0;
    while (k < total && !name_matches(parameters[k], name)) ++k;
    if (k == total || given[k] || !convert_one(parameters[k], args[count + i], into[k], number_allowed(k)))
      return false;
    given[k] = true;
  }
  for (int k = 0; k < total; ++k) {
    if (given[k]) continue;
    if (!parameters[k].has_default) return false;
    take_default(parameters[k], into[k]);
  }
  return true;
}

namespace {

// What was given, as errors show it: (Tensor, alpha=int).
std::string given_types(PyObject* const* args, Py_ssize_t count, PyObject* names) {
  std::string text = "(";
  for (Py_ssize_t i = 0; i < count; ++i) text += (i ? ", " : "") + type_name(args[i]);
  for (Py_ssize_t i = 0; names && i < PyTuple_GET_SIZE(names); ++i) {
    const char* name = PyUnicode_AsUTF8(PyTuple_GET_ITEM(names, i));
    if (!name) throw PendingError();
    text += str(count || i ? ", " : "", name, "=", type_name(args[count + i]));
  }
  return text + ")";
}
// (Tensor other, *, Number alpha = 1)
std::string shown_signature(const Seen& seen) {
  std::string text = "(";
  bool first = true, star = false;
  for (int i = 0; i < seen.total; ++i) {
    const Parameter& p = seen[i];
    if (p.keyword_only && !star) {
      text += first ? "*" : ", *";
      star = true;
      first = false;
    }
    const bool scale = p.keyword_only && !p.has_default;  // of add and sub: one overload has it, the other has not
    text += str(first ? "" : ", ", type_text(p), " ", shown_name(p),
                p.has_default ? " = " + (p.default_text.empty() ? "None" : p.default_text)
                : scale       ? std::string(" = 1")
                              : std::string());
    first = false;
  }
  return text + ")";
}
// Where PyTorch has one signature beside a former one (Note [Former signatures]), which it does not show.
[[noreturn]] void fail_former(const std::string& name, Seen seen, PyObject* const* args, Py_ssize_t count,
                              PyObject* names) {
  seen.scales = true;
  seen.required = std::min(seen.required, seen.positional);
  const Py_ssize_t named = names ? PyTuple_GET_SIZE(names) : 0;
  if (count + named >= seen.required && count + named <= seen.total) {
    const std::string why = mismatch(name, seen, args, count, names);
    if (!why.empty()) fail(ErrorKind::type, why);
  }
  std::string unknown;  // (names of optional parameters are not recognised here)
  for (Py_ssize_t i = named - 1; i >= 0; --i) {
    bool known = false;
    for (int k = 0; k < seen.required; ++k) known = known || name_matches(seen[k], PyTuple_GET_ITEM(names, i));
    const char* text = PyUnicode_AsUTF8(PyTuple_GET_ITEM(names, i));
    if (!text) throw PendingError();
    if (!known) unknown += str(unknown.empty() ? "" : ", ", text);
  }
  fail(ErrorKind::type, name, "() received an invalid combination of arguments - got ",
       unknown.empty() ? given_types(args, count, names) + ", but expected " + shown_signature(seen)
                       : "unrecognized keyword arguments: " + unknown);
}

}  // namespace

void fail_no_overload(const std::string& name, const std::vector<const Operation*>& overloads, bool method, bool out,
                      bool former, PyObject* const* args, Py_ssize_t count, PyObject* names) {
  const Py_ssize_t named = names ? PyTuple_GET_SIZE(names) : 0;
  const auto because = [&](const Operation& op) {
    const std::string why = mismatch(name, Seen(op, method, out), args, count, names);
    if (PyErr_Occurred()) throw PendingError();
    fail(ErrorKind::type, why.empty() ? str(name, "(): argument 'input' (position 1) must be Tensor") : why);
  };
  if (former && (method || overloads[0]->traits.also.most < 0)) {
    const auto parameters = [](const Operation* op) { return op->signature.parameters.size(); };
    const Operation* whole = *std::ranges::max_element(overloads, {}, parameters);
    fail_former(name, Seen(*whole, method, out), args, count, names);
  }
  if (!method && overloads.back()->traits.variadic && count > 1) {  // f(a, b) for f([a, b])
    for (Py_ssize_t i = 0; i < count; ++i) {
      if (is_tensor(args[i])) continue;
      fail(ErrorKind::type, "expected Tensor as element ", i, " in argument 0, but got ", type_name(args[i]));
    }
  }
  const FormulaOp* formula = overloads[0]->formula;
  const bool for_numbers =
      formula && (formula->info->numbers == 1 || formula->info->numbers == 2);  // one for each kind
  const bool single = overloads.size() == 1 && !for_numbers;
  const Operation* only = single ? overloads[0] : nullptr;
  if (only && method && only->signature.parameters.size() == 1) {
    if (named) fail(ErrorKind::type, "TensorBase.", name, "() takes no keyword arguments");
    fail(ErrorKind::type, "TensorBase.", name, "() takes no arguments (", count, " given)");
  }
  if (only && (method || only->traits.also.most < 0)) because(*only);
  // Of several overloads the one that takes so many arguments is meant.
  int fitting = for_numbers ? 2 : 0;
  for (const Operation* op : overloads) {
    const Traits::Also also = op->traits.also;
    if (!method && count + named >= also.least && count + named <= also.most) ++fitting;
    const Seen seen(*op, method, out);
    if (count + named < seen.required || count + named > seen.total) continue;
    ++fitting;
    only = op;
  }
  if (fitting == 1) because(only ? *only : *overloads[0]);
  for (const Operation* op : overloads) {
    const std::string why = mismatch(name, Seen(*op, method, out), args, count, names);
    if (why.find(" failed to unpack the object at pos ") != why.npos) fail(ErrorKind::type, why);
  }
  std::string text = name + "() received an invalid combination of arguments - got " + given_types(args, count, names) +
                     ", but expected one of:";
  for (const Operation* op : overloads) text += "\n * " + shown_signature(Seen(*op, method, out));
  fail(ErrorKind::type, text);
}

Operation described(std::string_view schema) {
  Operation op;
  op.signature = parse_signature(schema);
  op.name = op.signature.name;
  return op;
}

void parse_or_fail(const Operation& op, PyObject* self, PyObject* const* args, Py_ssize_t count, PyObject* names,
                   Value* into) {
  if (parse(op, self, args, count, names, into)) return;
  if (PyErr_Occurred()) throw PendingError();
  fail_no_overload(op.name, {&op}, self, false, false, args, count, names);
}

CallArguments::CallArguments(PyObject* args, PyObject* kwargs) : count(PyTuple_GET_SIZE(args)) {
  for (Py_ssize_t i = 0; i < count; ++i) all.push_back(PyTuple_GET_ITEM(args, i));
  if (!kwargs || PyDict_GET_SIZE(kwargs) == 0) return;
  names = Object(must(PyTuple_New(PyDict_GET_SIZE(kwargs))));
  PyObject *name, *value;
  for (Py_ssize_t at = 0, i = 0; PyDict_Next(kwargs, &at, &name, &value); ++i) {
    PyTuple_SET_ITEM(names.get(), i, Object::borrow(name).take());
    all.push_back(value);
  }
}

}  // namespace bulssi::python
