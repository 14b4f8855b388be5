// Operations as Python callables: functions of modules and methods of Tensor, made by a loop over the registry.
#include <cctype>
#include <cstring>
#include <map>
#include <memory>
#include <unordered_map>

#include "core/op/pointwise.h"
#include "core/python/modes.h"
#include "core/python/python.h"

namespace bulssi::python {

namespace {

enum class Form : uint8_t { function, method, inplace };

// All overloads of one name.
struct Family {
  std::string name;  // with the trailing _ of in-place forms
  std::string path;  // and with the submodule
  std::vector<const Operation*> overloads;
  const FormulaOp* simple = nullptr;  // the only overload, or the first, takes just tensors
  bool out = false;
  bool own_out = false;  // `out` is a parameter of the schema: the operation writes into it itself
  Autocast autocast = Autocast::composite;
};

struct PyOperation {
  PyObject_HEAD vectorcallfunc vectorcall;
  const Family* family;
  Form form;
};
PyTypeObject *function_type, *method_type;

// The parsed arguments of one call, only as many as there are parameters.
class Values {
 public:
  explicit Values(size_t n) : n_(n) {
    for (size_t i = 0; i < n_; ++i) new (at(i)) Value;
  }
  ~Values() {
    for (size_t i = 0; i < n_; ++i) at(i)->~Value();
  }
  Values(const Values&) = delete;
  Value* get() { return at(0); }

 private:
  Value* at(size_t i) { return reinterpret_cast<Value*>(room_) + i; }
  size_t n_;
  alignas(Value) unsigned char room_[16 * sizeof(Value)];
};

Outcome run(const Operation& op, Form form, Value* v, const Tensor* out) {
  if (op.formula) {
    const FormulaOp& f = *op.formula;
    Operand args[max_tensors];
    for (int k = 0; k < f.tensors; ++k) args[k] = v[k].tensor ? Operand(v[k].tensor) : Operand(v[k].number);
    Scalar attributes[max_attributes];
    for (int a = 0; a < f.attributes; ++a) {
      const Parameter& p = op.signature.parameters[f.tensors + a];
      const Value& value = v[f.tensors + a];
      attributes[a] = p.type == ArgType::floating  ? Scalar(value.d)
                      : p.type == ArgType::integer ? Scalar(value.i)
                      : p.type == ArgType::boolean ? Scalar(value.b)
                                                   : value.number;
    }
    const std::span<const Operand> list(args, size_t(f.tensors));
    if (form == Form::inplace) return outcome(call_formula_inplace(f, v[0].tensor, list, attributes));
    bool any = f.info->numbers == 3;
    for (const Operand& a : list) any = any || a.tensor;
    if (!any) fail(ErrorKind::type, op.name, "(): argument 'input' (position 1) must be Tensor, not a number");
    return outcome(call_formula(f, list, attributes, out));
  }
  const CallScope scope(device_of_call(op, v), op.name.c_str());
  if (form == Form::inplace) return op.call_inplace ? op.call_inplace(v) : outcome(run_inplace(op, v));
  try {
    return run(op, v);
  } catch (const Error&) {
    // Of several errors PyTorch finds those of the graph first: a view that cannot follow a change of its memory. But
    // composites look at their arguments before, and what writes looks at the graph itself.
    const bool done = op.name.back() == '_' || op.traits.kind == OpKind::composite;
    for (size_t i = 0; i < op.signature.parameters.size() && !done; ++i) {
      if (v[i].tensor && recording(v[i].tensor)) producer(v[i].tensor);
    }
    throw;
  }
}

// How errors name it: special_erf, cumsum_.
std::string shown_name(const Family& family, Form form) {
  const bool prefixed =
      form == Form::function && (family.path.starts_with("special.") || family.path.starts_with("linalg."));
  if (!prefixed) return family.name;
  std::string name = family.path;
  name[name.find('.')] = '_';
  return name;
}

// Takes the keyword `out` out of a call; null if there is none.
PyObject* take_out(PyObject* const* args, Py_ssize_t count, PyObject* names, Object& other_names,
                   std::vector<PyObject*>& other_args) {
  const Py_ssize_t named = names ? PyTuple_GET_SIZE(names) : 0;
  Py_ssize_t at = -1;
  for (Py_ssize_t i = 0; i < named; ++i) {
    if (PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(names, i), "out") == 0) at = i;
  }
  if (at < 0) return nullptr;
  other_args.assign(args, args + count);
  other_names = Object(must(PyTuple_New(named - 1)));
  Py_ssize_t k = 0;
  for (Py_ssize_t i = 0; i < named; ++i) {
    if (i == at) continue;
    other_args.push_back(args[count + i]);
    PyObject* name = PyTuple_GET_ITEM(names, i);
    Py_INCREF(name);
    PyTuple_SET_ITEM(other_names.get(), k++, name);
  }
  return args[count + at];
}

// The tensors to write into: one for an operation with one result, else a tuple or list of them. False: something else.
bool convert_out(const Operation& op, PyObject* given, Small<Tensor, 2>& out) {
  out.clear();
  if (given == Py_None) return true;
  if (!op.traits.out) return false;
  if (op.signature.results.size() < 2) {
    if (!is_tensor(given)) return false;
    out.push_back(tensor_of(given));
    return true;
  }
  if (!PyTuple_Check(given) && !PyList_Check(given)) return false;
  Object fast(must(PySequence_Fast(given, "")));
  const Py_ssize_t n = PySequence_Fast_GET_SIZE(fast.get());
  for (Py_ssize_t i = 0; i < n; ++i) {
    PyObject* item = PySequence_Fast_GET_ITEM(fast.get(), i);
    if (!is_tensor(item)) return false;
    out.push_back(tensor_of(item));
  }
  check(n == static_cast<Py_ssize_t>(op.signature.results.size()), ErrorKind::type, "expected tuple of ",
        op.signature.results.size(), " elements but got ", n);
  return true;
}

PyObject* call_former(const Family& family, Form form, PyObject* self, PyObject* const* args, Py_ssize_t count,
                      PyObject* names);
bool has_former(const Family& family);

PyObject* call_parsed(const Family& family, Form form, PyObject* self, PyObject* const* args, Py_ssize_t count,
                      PyObject* names) {
  PyObject* const* const given_args = args;
  PyObject* const given_names = names;
  PyObject* given_out = nullptr;
  Small<Tensor, 2> out;
  Object other_names;
  std::vector<PyObject*> other_args;
  const bool takes_out = form == Form::function && !family.own_out;
  if (names && takes_out) given_out = take_out(args, count, names, other_names, other_args);
  if (given_out) {
    args = other_args.data();
    names = PyTuple_GET_SIZE(other_names.get()) ? other_names.get() : nullptr;
  }
  for (const Operation* op : family.overloads) {
    if (given_out && !op->traits.out) continue;
    Values values(op->signature.parameters.size());
    const bool fits = parse(*op, self, args, count, names, values.get());
    const bool nowhere = fits && form == Form::inplace && !values.get()[0].tensor;  // a number cannot be written to
    if (!fits || nowhere || (given_out && !convert_out(*op, given_out, out))) {
      if (PyErr_Occurred()) throw PendingError();
      continue;
    }
    if (form == Form::inplace) {
      Outcome o = run(*op, form, values.get(), nullptr);
      if (self) {
        Py_INCREF(self);
        return self;
      }
      return wrap(std::move(o.tensor));
    }
    if (out.empty()) return outcome_object(*op, run(*op, form, values.get(), nullptr));
    if (op->formula) return outcome_object(*op, run(*op, form, values.get(), &out[0]));
    return outcome_object(*op, run_out(*op, values.get(), out));
  }
  if (PyObject* result = call_former(family, form, self, given_args, count, given_names)) return result;
  fail_no_overload(shown_name(family, form), family.overloads, self, takes_out, has_former(family), given_args, count,
                   given_names);
}

// Note [Former signatures]
// Old programs give the scales of add, addcmul, addmm and their like by position: x.add_(alpha, y), x.addcmul(value, a,
// b), addmm(beta, x, alpha, a, b). The call is done with the scales by name; as in PyTorch, the first of all warns.
using FormerScales = std::pair<int, std::vector<const char*>>;  // tensors, and the numbers among them
const FormerScales* former_scales(const Family& family) {
  static const std::map<std::string, FormerScales> scales = {{"add", {2, {"alpha"}}},
                                                             {"sub", {2, {"alpha"}}},
                                                             {"addcmul", {3, {"value"}}},
                                                             {"addcdiv", {3, {"value"}}},
                                                             {"addmm", {3, {"beta", "alpha"}}},
                                                             {"addmv", {3, {"beta", "alpha"}}},
                                                             {"addr", {3, {"beta", "alpha"}}},
                                                             {"addbmm", {3, {"beta", "alpha"}}},
                                                             {"baddbmm", {3, {"beta", "alpha"}}}};
  const std::string base = family.name.back() == '_' ? family.name.substr(0, family.name.size() - 1) : family.name;
  const auto found = scales.find(base);
  return found == scales.end() ? nullptr : &found->second;
}
bool has_former(const Family& family) { return former_scales(family); }
PyObject* call_former(const Family& family, Form form, PyObject* self, PyObject* const* args, Py_ssize_t count,
                      PyObject* names) {
  const FormerScales* found = former_scales(family);
  const Py_ssize_t named = names ? PyTuple_GET_SIZE(names) : 0;
  if (!found || named > 1) return nullptr;
  if (named && PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(names, 0), "out") != 0) return nullptr;
  const auto& [tensors, words] = *found;
  const bool product = words.size() == 2;  // beta stands before the first tensor of a function
  std::vector<PyObject*> all(self ? 1 : 0, self), kept, numbers;
  all.insert(all.end(), args, args + count);
  if (product && !self && all.size() > 1) std::swap(all[0], all[1]);
  size_t k = 0;
  if (all.empty() || !is_tensor(all[k++])) return nullptr;
  if (!self) kept.push_back(all[0]);
  while (k < all.size() && (PyFloat_Check(all[k]) || PyLong_Check(all[k]))) numbers.push_back(all[k++]);
  for (; k < all.size(); ++k) {
    if (!is_tensor(all[k])) return nullptr;
    kept.push_back(all[k]);
  }
  const size_t positional = kept.size();
  if (numbers.empty() || numbers.size() > words.size() || positional + (self ? 1 : 0) != size_t(tensors))
    return nullptr;
  Object keys(must(PyTuple_New(static_cast<Py_ssize_t>(numbers.size()) + named)));
  std::string former, shown = self ? "" : "Tensor input, ", now;
  for (size_t i = 0; i < numbers.size(); ++i) {
    PyTuple_SET_ITEM(keys.get(), i, must(PyUnicode_FromString(words[i])));
    former += std::string("Number ") + words[i] + ", ";
    now += std::string(i ? ", " : "") + "Number " + words[i] + " = 1";
  }
  kept.insert(kept.end(), numbers.begin(), numbers.end());
  if (named) {
    PyTuple_SET_ITEM(keys.get(), static_cast<Py_ssize_t>(numbers.size()),
                     Object::borrow(PyTuple_GET_ITEM(names, 0)).take());
    kept.push_back(args[count]);
  }
  static bool warned = false;
  if (!warned) {
    warned = true;
    std::string rest;
    for (int i = 1, left = tensors - 1; left; ++i) {
      const Parameter& p = family.overloads.front()->signature.parameters[i];
      if (p.type == ArgType::tensor) rest += std::string(rest.empty() ? "" : ", ") + "Tensor " + p.name, --left;
    }
    const std::string text = "This overload of " + family.name + " is deprecated:\n\t" + family.name + "(" + shown +
                             former + rest + ")\nConsider using one of the following signatures instead:\n\t" +
                             family.name + "(" + shown + rest + ", *, " + now + ")";
    if (PyErr_WarnEx(PyExc_UserWarning, text.c_str(), 1) < 0) throw PendingError();
  }
  return call_parsed(family, form, self, kept.data(), static_cast<Py_ssize_t>(positional), keys.get());
}

inline bool plain(PyObject* o) { return Py_TYPE(o) == tensor_type || Py_TYPE(o) == parameter_type; }

PyObject* call(const Family& family, Form form, PyObject* self, PyObject* const* args, Py_ssize_t count,
               PyObject* names) {
  return guard([&]() -> PyObject* {
    // The short way: f(x), f(x, y), x.f(), x.f(y) of plain tensors and numbers.
    if (family.simple && !names) {
      const FormulaOp& f = *family.simple;
      const Py_ssize_t all = count + (self ? 1 : 0);
      if (all == f.tensors && all <= 2 && f.attributes == 0) {
        PyObject* a = self ? self : args[0];
        PyObject* b = all == 2 ? args[count - 1] : a;
        if (plain(a) && (plain(b) || (f.info->number_allowed(1) && (PyFloat_CheckExact(b) || PyLong_CheckExact(b))))) {
          const Tensor x = tensor_of(a);
          const Tensor y = plain(b) ? tensor_of(b) : Tensor();
          const Operand list[] = {x, y ? Operand(y) : Operand(number_value(b))};
          if (form == Form::inplace) {
            call_formula_inplace(f, x, {list, size_t(all)}, nullptr);
            Py_INCREF(a);
            return a;
          }
          return wrap(call_formula(f, {list, size_t(all)}, nullptr));
        }
      }
    }
    return call_parsed(family, form, self, args, count, names);
  });
}

PyObject* plain_call(PyObject* callable, PyObject* const* args, Py_ssize_t count, PyObject* names) {
  auto* o = reinterpret_cast<PyOperation*>(callable);
  bool handled = false;
  PyObject* other = dispatch_torch_function(callable, args, count, names, &handled);
  if (handled) return other;
  if (Py_TYPE(callable) == function_type) return call(*o->family, o->form, nullptr, args, count, names);
  if (count < 1 || !is_tensor(args[0])) {
    if (count < 1) {
      PyErr_Format(PyExc_TypeError, "unbound method Tensor.%s() needs an argument", o->family->name.c_str());
    } else {
      PyErr_Format(PyExc_TypeError, "descriptor '%s' for 'torch._C.TensorBase' objects doesn't apply to a '%s' object",
                   o->family->name.c_str(), Py_TYPE(args[0])->tp_name);
    }
    return nullptr;
  }
  return call(*o->family, o->form, args[0], args + 1, count - 1, names);
}

// Autocast leaves alone what writes into a given tensor.
Autocast policy_of(const PyOperation* o, Py_ssize_t count, PyObject* const* args, PyObject* names) {
  for (Py_ssize_t i = 0; names && i < PyTuple_GET_SIZE(names); ++i) {
    const bool out = PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(names, i), "out") == 0;
    if (out && args[count + i] != Py_None) return Autocast::as_is;
  }
  return o->form == Form::inplace ? Autocast::composite : o->family->autocast;
}
PyObject* vectorcall(PyObject* callable, PyObject* const* args, size_t flags, PyObject* names) {
  const Py_ssize_t count = PyVectorcall_NARGS(flags);
  if (active_modes) [[unlikely]] {
    const Autocast policy = policy_of(reinterpret_cast<PyOperation*>(callable), count, args, names);
    return through_modes(callable, plain_call, policy, args, count, names);
  }
  return plain_call(callable, args, count, names);
}

PyObject* method_get(PyObject* self, PyObject* object, PyObject*) {
  if (!object || object == Py_None) {
    Py_INCREF(self);
    return self;
  }
  return PyMethod_New(self, object);
}

PyObject* operation_repr(PyObject* self) {
  auto* o = reinterpret_cast<PyOperation*>(self);
  return PyUnicode_FromFormat(
      Py_TYPE(self) == function_type ? "<built-in function %s>" : "<method '%s' of 'torch._C.TensorBase' objects>",
      o->family->name.c_str());
}
PyObject* operation_name(PyObject* self, void*) {
  return PyUnicode_FromString(reinterpret_cast<PyOperation*>(self)->family->name.c_str());
}
// A call of the operation under a name; methods have no `out`.
std::string signature_text(const Operation& op, const std::string& name, Form form) {
  std::string text = name + "(";
  bool first = true, star = false;
  for (const Parameter& p : op.signature.parameters) {
    if (p.keyword_only && !star) {
      text += first ? "*" : ", *";
      star = true;
      first = false;
    }
    const char* shown = p.name != "self" ? p.name.c_str() : form == Form::method ? "self" : "input";
    text += str(first ? "" : ", ", shown, p.has_default ? "=" + p.default_text : std::string());
    first = false;
  }
  if (op.traits.out && form == Form::function) text += star ? ", out=None" : ", *, out=None";
  return text + ")";
}
// What is said about an operation: methods have a self, functions an input.
std::string doc_text(const Operation& op, Form form) {
  std::string text = op.doc;
  if (form == Form::method) return text;
  const auto in_word = [&](size_t i) {
    return i < text.size() && (std::isalnum(static_cast<unsigned char>(text[i])) || text[i] == '_');
  };
  for (size_t at = 0; (at = text.find("self", at)) != std::string::npos; at += 4) {
    if (!in_word(at - 1) && !in_word(at + 4)) text.replace(at, 4, "input");
  }
  return text;
}
// The signatures of all overloads, each followed by what is said about it, or by others of which the same is said.
std::string doc_text(const PyOperation& o) {
  std::string text, last;
  const Operation* before = nullptr;
  for (const Operation* op : o.family->overloads) {
    const bool alike = before && before->doc == op->doc;
    const std::string shown = signature_text(*op, o.family->name, o.form);
    if (alike && shown == last) continue;  // they differ in types, which signatures do not show
    if (before) text += alike ? "\n" : str("\n\n", doc_text(*before, o.form), "\n\n");
    text += last = shown;
    before = op;
  }
  if (before) text += str("\n\n", doc_text(*before, o.form));
  if (o.form == Form::inplace) text += "\n\nIn place: the result is written to input, which is returned.";
  return text;
}
PyObject* operation_doc(PyObject* self, void*) {
  return guard(
      [&]() -> PyObject* { return PyUnicode_FromString(doc_text(*reinterpret_cast<PyOperation*>(self)).c_str()); });
}
PyObject* operation_text_signature(PyObject* self, void*) {
  return guard([&]() -> PyObject* {
    auto* o = reinterpret_cast<PyOperation*>(self);
    if (o->family->overloads.size() != 1) Py_RETURN_NONE;
    return PyUnicode_FromString(signature_text(*o->family->overloads[0], "", o->form).c_str());
  });
}
PyObject* operation_module(PyObject*, void*) { return PyUnicode_FromString("bulssi"); }
PyObject* operation_reduce(PyObject* self, PyObject*) {
  return guard([&]() -> PyObject* {
    auto* o = reinterpret_cast<PyOperation*>(self);
    const Object module(PyImport_ImportModule("bulssi._tensor_methods"));
    if (!module) return nullptr;
    const std::string path = o->form == Form::function ? o->family->path : "Tensor." + o->family->name;
    return Py_BuildValue("N(s)", PyObject_GetAttrString(module.get(), "operation"), path.c_str());
  });
}
PyObject* operation_copy(PyObject* self, PyObject*) {
  Py_INCREF(self);
  return self;
}
PyMethodDef operation_methods[] = {{"__reduce__", operation_reduce, METH_NOARGS, nullptr},
                                   {"__copy__", operation_copy, METH_NOARGS, nullptr},
                                   {"__deepcopy__", operation_copy, METH_O, nullptr},
                                   {}};
PyGetSetDef operation_properties[] = {{"__name__", operation_name, nullptr, nullptr, nullptr},
                                      {"__qualname__", operation_name, nullptr, nullptr, nullptr},
                                      {"__doc__", operation_doc, nullptr, nullptr, nullptr},
                                      {"__text_signature__", operation_text_signature, nullptr, nullptr, nullptr},
                                      {"__module__", operation_module, nullptr, nullptr, nullptr},
                                      {}};
PyMemberDef operation_members[] = {
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(PyOperation, vectorcall), READONLY, nullptr}, {}};
PyType_Slot function_slots[] = {{Py_tp_call, reinterpret_cast<void*>(PyVectorcall_Call)},
                                {Py_tp_repr, reinterpret_cast<void*>(operation_repr)},
                                {Py_tp_methods, operation_methods},
                                {Py_tp_getset, operation_properties},
                                {Py_tp_members, operation_members},
                                {0, nullptr}};
PyType_Slot method_slots[] = {{Py_tp_call, reinterpret_cast<void*>(PyVectorcall_Call)},
                              {Py_tp_repr, reinterpret_cast<void*>(operation_repr)},
                              {Py_tp_descr_get, reinterpret_cast<void*>(method_get)},
                              {Py_tp_methods, operation_methods},
                              {Py_tp_getset, operation_properties},
                              {Py_tp_members, operation_members},
                              {0, nullptr}};
constexpr unsigned long flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_DISALLOW_INSTANTIATION;
PyType_Spec function_spec = {"bulssi._core.function", sizeof(PyOperation), 0, flags, function_slots};
PyType_Spec method_spec = {"bulssi._core.method", sizeof(PyOperation), 0, flags | Py_TPFLAGS_METHOD_DESCRIPTOR,
                           method_slots};

PyObject* make(const Family* family, Form form, PyTypeObject* type) {
  PyOperation* o = PyObject_New(PyOperation, type);
  must(reinterpret_cast<PyObject*>(o));
  o->vectorcall = vectorcall;
  o->family = family;
  o->form = form;
  return reinterpret_cast<PyObject*>(o);
}

std::map<std::string, std::unique_ptr<Family>>& families(Form form) {
  static std::map<std::string, std::unique_ptr<Family>> all[3];
  return all[static_cast<int>(form)];
}

void add(const Operation& op, const std::string& name, Form form) {
  auto& family = families(form)[name];
  if (!family) family = std::make_unique<Family>();
  family->name = family->path = name;
  family->autocast = op.traits.autocast;
  family->overloads.push_back(&op);
  family->out = family->out || op.traits.out;
  for (const Parameter& p : op.signature.parameters) family->own_out = family->own_out || p.name == "out";
  if (op.formula && family->overloads.size() == 1 && op.formula->attributes == 0 && !op.formula->info->condition) {
    family->simple = op.formula;
  }
}

// The submodule that holds functions such as special.erf.
PyObject* home_of(PyObject* module, const std::string& name) {
  PyObject* home = PyObject_GetAttrString(module, name.c_str());
  if (!home) {
    PyErr_Clear();
    home = must(PyModule_New(str("bulssi._core.", name).c_str()));
    must(PyObject_SetAttrString(module, name.c_str(), home));
  }
  Py_DECREF(home);  // the module keeps it
  return home;
}

std::vector<std::string> names_of(const Operation& op) {
  std::vector<std::string> names{op.name};
  std::string_view rest = op.traits.aliases;
  while (!rest.empty()) {
    const size_t space = rest.find(' ');
    names.emplace_back(rest.substr(0, space));
    rest = space == std::string_view::npos ? std::string_view() : rest.substr(space + 1);
  }
  return names;
}

// Marks the parameter in which two overloads differ, where one takes a number and the other a tensor.
void tell_apart(Operation& a, const Operation& b) {
  auto& x = a.signature.parameters;
  const auto& y = b.signature.parameters;
  if (a.name != b.name || a.traits.module != b.traits.module || x.size() != y.size()) return;
  Parameter* differs = nullptr;
  for (size_t i = 0; i < x.size(); ++i) {
    if (x[i].type == y[i].type && x[i].list == y[i].list) continue;
    if (differs || x[i].type != ArgType::scalar || y[i].type != ArgType::tensor || y[i].list) return;
    differs = &x[i];
  }
  if (differs) differs->only_numbers = true;
}

}  // namespace

void add_operations(PyObject* module, PyTypeObject* tensor) {
  function_type = reinterpret_cast<PyTypeObject*>(must(PyType_FromSpec(&function_spec)));
  method_type = reinterpret_cast<PyTypeObject*>(must(PyType_FromSpec(&method_spec)));
  std::unordered_map<std::string_view, std::vector<Operation*>> by_name;
  for (Operation& op : registry()) by_name[op.name].push_back(&op);
  for (auto& [name, operations] : by_name) {
    for (Operation* a : operations) {
      for (const Operation* b : operations) tell_apart(*a, *b);
    }
  }
  for (const Operation& op : registry()) {
    for (const std::string& name : names_of(op)) {
      if (name.find('.') != std::string::npos) {  // an alias in a submodule: special.erf
        add(op, name, Form::function);
        continue;
      }
      if (op.traits.function) add(op, op.traits.module ? str(op.traits.module, ".", name) : name, Form::function);
      if (op.traits.method) add(op, name, Form::method);
      if (op.traits.inplace) add(op, name + "_", Form::inplace);
    }
  }
  for (auto& [key, family] : families(Form::function)) {
    const size_t dot = key.find_last_of('.');
    PyObject* where = dot == std::string::npos ? module : home_of(module, key.substr(0, dot));
    if (dot != std::string::npos) family->name = key.substr(dot + 1);
    must(PyObject_SetAttrString(where, family->name.c_str(),
                                Object(make(family.get(), Form::function, function_type)).get()));
  }
  for (auto& [name, family] : families(Form::method)) {
    must(PyObject_SetAttrString(reinterpret_cast<PyObject*>(tensor), name.c_str(),
                                Object(make(family.get(), Form::method, method_type)).get()));
  }
  for (auto& [name, family] : families(Form::inplace)) {
    must(PyObject_SetAttrString(reinterpret_cast<PyObject*>(tensor), name.c_str(),
                                Object(make(family.get(), Form::inplace, method_type)).get()));
    // torch.relu_(x) is x.relu_() for operations that are functions.
    const std::string base = name.substr(0, name.size() - 1);
    if (families(Form::function).count(base) && !PyObject_HasAttrString(module, name.c_str())) {
      must(
          PyObject_SetAttrString(module, name.c_str(), Object(make(family.get(), Form::inplace, function_type)).get()));
    }
  }
}

PyObject* call_operation(const char* name, PyObject* const* args, Py_ssize_t count, PyObject* names) {
  const auto& all = families(Form::function);
  auto at = all.find(name);
  if (at == all.end()) {
    const auto& methods = families(Form::method);
    auto method = methods.find(name);
    if (method == methods.end()) return PyErr_Format(PyExc_AttributeError, "no operation is called %s", name);
    return call(*method->second, Form::method, args[0], args + 1, count - 1, names);
  }
  return call(*at->second, Form::function, nullptr, args, count, names);
}

// Every field on a line of its own, as PyTorch shows them.
static PyObject* named_tuple_repr(PyObject* self) {
  return guard([&] {
    const PyTypeObject* type = Py_TYPE(self);
    std::string text = str(type->tp_name, "(");
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(self); ++i) {
      Object shown(must(PyObject_Repr(PyTuple_GET_ITEM(self, i))));
      const char* value = PyUnicode_AsUTF8(shown.get());
      if (!value) throw PendingError();
      text += str(i ? ",\n" : "\n", type->tp_members[i].name, "=", value);
    }
    return must(PyUnicode_FromString((text + ")").c_str()));
  });
}

PyObject* outcome_object(const Operation& op, Outcome&& o) {
  switch (o.kind) {
    case Outcome::Kind::none: Py_RETURN_NONE;
    case Outcome::Kind::tensor: return wrap(std::move(o.tensor));
    case Outcome::Kind::tensors:
    case Outcome::Kind::tuple: {
      const Py_ssize_t n = static_cast<Py_ssize_t>(o.tensors.size());
      PyObject* tuple;
      if (!op.signature.results.empty() && op.signature.results.size() == o.tensors.size()) {
        static std::map<const Operation*, PyTypeObject*> types;
        PyTypeObject*& type = types[&op];
        if (!type) {
          auto* fields = new PyStructSequence_Field[op.signature.results.size() + 1]();
          for (size_t i = 0; i < op.signature.results.size(); ++i) fields[i].name = op.signature.results[i].c_str();
          static std::vector<std::unique_ptr<std::string>> kept;
          const bool linalg = op.traits.module && std::strcmp(op.traits.module, "linalg") == 0;
          kept.push_back(
              std::make_unique<std::string>((linalg ? "torch.return_types.linalg_" : "torch.return_types.") + op.name));
          PyStructSequence_Desc desc = {kept.back()->c_str(), op.doc.c_str(), fields, static_cast<int>(n)};
          type = PyStructSequence_NewType(&desc);
          if (!type) return nullptr;
          type->tp_repr = named_tuple_repr;
        }
        tuple = PyStructSequence_New(type);
        if (!tuple) return nullptr;
        for (Py_ssize_t i = 0; i < n; ++i) PyStructSequence_SetItem(tuple, i, wrap(std::move(o.tensors[i])));
        return tuple;
      }
      tuple = PyTuple_New(n);
      if (!tuple) return nullptr;
      for (Py_ssize_t i = 0; i < n; ++i) PyTuple_SET_ITEM(tuple, i, wrap(std::move(o.tensors[i])));
      return tuple;
    }
    default: return scalar_object(o.number);
  }
}

}  // namespace bulssi::python
