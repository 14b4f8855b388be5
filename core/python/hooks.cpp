// Users' functions that the engine calls: hooks of tensors and nodes, of saving tensors, and anomaly mode.
#include <algorithm>
#include <cstring>
#include <vector>

#include "core/ops/basics.h"
#include "core/python/python.h"

namespace bulssi::python {

namespace {

// A new OrderedDict, which allows the weak reference that a handle needs.
PyObject* new_table() {
  Object module(must(PyImport_ImportModule("collections")));
  return must(PyObject_CallMethod(module.get(), "OrderedDict", nullptr));
}

// Puts `function` into the table; the handle takes it out again.
PyObject* add_to_table(PyObject* table, PyObject* function) {
  Object module(must(PyImport_ImportModule("bulssi.utils.hooks")));
  Object handle(must(PyObject_CallMethod(module.get(), "RemovableHandle", "O", table)));
  Object id(must(PyObject_GetAttrString(handle.get(), "id")));
  must(PyObject_SetItem(table, id.get(), function));
  return handle.take();
}

// The functions of a table as they are now: one of them may remove itself.
std::vector<Object> functions_of(PyObject* table) {
  std::vector<Object> out;
  if (!table) return out;
  Object values(must(PyMapping_Values(table)));
  for (Py_ssize_t i = 0; i < PyList_GET_SIZE(values.get()); ++i) {
    out.push_back(Object::borrow(PyList_GET_ITEM(values.get(), i)));
  }
  return out;
}

std::string name_of(PyObject* function) {
  Object name(PyObject_GetAttrString(function, "__name__"));
  const char* text = name ? PyUnicode_AsUTF8(name.get()) : nullptr;
  if (!text) PyErr_Clear();
  return text ? text : type_name(function);
}

Object tuple_of(const Small<Tensor, 2>& tensors) {
  Object out(must(PyTuple_New(static_cast<Py_ssize_t>(tensors.size()))));
  for (size_t i = 0; i < tensors.size(); ++i) PyTuple_SET_ITEM(out.get(), i, wrap(tensors[i]));
  return out;
}

// What a hook returned in place of `old`.
Tensor replaced(PyObject* function, const Tensor& old, PyObject* made) {
  check(is_tensor(made), ErrorKind::type, "expected Variable, but hook returned '", type_name(made), "'");
  check(static_cast<bool>(old), "can't replace a None gradient with a non-None value");
  Tensor t = tensor_of(made);
  check(t.dtype() == old.dtype(), "hook '", name_of(function), "' has changed the type of value (was torch.",
        legacy_name(old.dtype()), "Tensor got torch.", legacy_name(t.dtype()), "Tensor)");
  check(t.shape() == old.shape(), "hook '", name_of(function), "' has changed the size of value");
  return t;
}
void replace_all(PyObject* function, Small<Tensor, 2>& tensors, PyObject* made) {
  if (made == Py_None) return;
  Object list = PyTuple_Check(made) ? Object::borrow(made) : Object(must(PyTuple_Pack(1, made)));
  check(PyTuple_GET_SIZE(list.get()) == static_cast<Py_ssize_t>(tensors.size()), "hook '", name_of(function),
        "' has returned an incorrect number of values (got ", PyTuple_GET_SIZE(list.get()), ", but expected ",
        tensors.size(), ")");
  for (size_t i = 0; i < tensors.size(); ++i) {
    PyObject* item = PyTuple_GET_ITEM(list.get(), i);
    if (item == Py_None)
      tensors[i] = Tensor();
    else if (!tensors[i] && is_tensor(item))
      tensors[i] = tensor_of(item);
    else
      tensors[i] = replaced(function, tensors[i], item);
  }
}

// The hooks of one node, or of one leaf.
class PyHooks final : public Hooks {
 public:
  ~PyHooks() override { clear(); }

  PyObject* table(int index) {  // of tensor hooks for a result, borrowed
    for (auto& entry : tensors_) {
      if (entry.index == index) return entry.table.get();
    }
    tensors_.push_back({index, Object(new_table())});
    return tensors_.back().table.get();
  }
  PyObject* table_before() { return made(before_); }
  PyObject* table_after() { return made(after_); }
  PyObject* table_accumulated() { return made(accumulated_); }
  PyObject* metadata() {
    if (!metadata_) metadata_ = Object(must(PyDict_New()));
    return metadata_.get();
  }
  void keep_grad(int index, PyObject* tensor) {
    for (auto& entry : kept_) {
      if (PyWeakref_GetObject(entry.table.get()) == tensor) return;
    }
    kept_.push_back({index, Object(must(PyWeakref_NewRef(tensor, nullptr)))});
  }

  void on_tensors(Small<Tensor, 2>& grads) override {
    for (size_t k = 0; k < tensors_.size(); ++k) {  // a hook may add further ones
      Tensor& grad = grads[tensors_[k].index];      // None, if none has come
      for (Object& function : functions_of(tensors_[k].table.get())) {
        Object argument(wrap(grad));
        Object result(must(PyObject_CallOneArg(function.get(), argument.get())));
        if (result.get() != Py_None) grad = replaced(function.get(), grad, result.get());
      }
    }
    for (size_t k = 0; k < kept_.size(); ++k) {
      const Tensor& grad = grads[kept_[k].index];
      const Object tensor = Object::borrow(PyWeakref_GetObject(kept_[k].table.get()));
      if (tensor.get() == Py_None || !grad) continue;
      const Tensor t = tensor_of(tensor.get()), before = autograd_of(t).grad;
      const Tensor now = before ? sum_of(before, grad) : grad_state.enabled ? clone(grad) : clone(detach(grad));
      autograd_of(t).grad = now;
    }
  }
  void before(Small<Tensor, 2>& grads) override {
    for (Object& function : functions_of(before_.get())) {
      Object arguments = tuple_of(grads);
      Object result(must(PyObject_CallOneArg(function.get(), arguments.get())));
      replace_all(function.get(), grads, result.get());
    }
  }
  void after(Small<Tensor, 2>& inputs, const Small<Tensor, 2>& grads) override {
    for (Object& function : functions_of(after_.get())) {
      Object first = tuple_of(inputs), second = tuple_of(grads);
      Object result(must(PyObject_CallFunctionObjArgs(function.get(), first.get(), second.get(), nullptr)));
      replace_all(function.get(), inputs, result.get());
    }
  }
  void accumulated(const Tensor& leaf) override {
    for (Object& function : functions_of(accumulated_.get())) {
      Object argument(wrap(leaf));
      Object result(must(PyObject_CallOneArg(function.get(), argument.get())));
      check(result.get() == Py_None, "Tensor post accumulate grad hooks should return None.");
    }
  }
  void moved(const Tensor& t, Node& old) override;

  int traverse(visitproc visit, void* arg) const {
    for (auto& entry : tensors_) Py_VISIT(entry.table.get());
    Py_VISIT(before_.get());
    Py_VISIT(after_.get());
    Py_VISIT(accumulated_.get());
    Py_VISIT(metadata_.get());
    return 0;
  }
  void clear() {
    tensors_.clear();
    kept_.clear();
    for (Object* table : {&before_, &after_, &accumulated_, &metadata_}) *table = Object();
  }

 private:
  struct Entry {
    int index;     // which result of the node
    Object table;  // hooks of that tensor, or a weak reference to it
  };
  static PyObject* made(Object& table) {
    if (!table) table = Object(new_table());
    return table.get();
  }
  std::vector<Entry> tensors_, kept_;
  Object before_, after_, accumulated_, metadata_;
};

PyHooks& hooks_in(std::unique_ptr<Hooks>& place) {
  if (!place) place = std::make_unique<PyHooks>();
  return static_cast<PyHooks&>(*place);
}

void PyHooks::moved(const Tensor& t, Node&) {
  Object tensor(wrap(t));
  for (size_t k = 0; k < kept_.size(); ++k) {
    if (PyWeakref_GetObject(kept_[k].table.get()) != tensor.get()) continue;
    kept_.erase(kept_.begin() + static_cast<long>(k));
    hooks_in(t->autograd->node->hooks).keep_grad(static_cast<int>(t->autograd->result_index), tensor.get());
    return;
  }
}

// ---- Tensor's methods -----------------------------------------------------------------------------------------------

// The hook in the arguments of a method that PyTorch writes in Python.
PyObject* hook_given(const char* method, PyObject* const* args, Py_ssize_t count, PyObject* names) {
  const Py_ssize_t named = names ? PyTuple_GET_SIZE(names) : 0;
  PyObject* hook = count ? args[0] : nullptr;
  for (Py_ssize_t i = 0; i < named; ++i) {
    const char* name = PyUnicode_AsUTF8(PyTuple_GET_ITEM(names, i));
    if (!name) throw PendingError();
    const bool known = !std::strcmp(name, "hook"), self = !std::strcmp(name, "self");
    check(known || self, ErrorKind::type, "Tensor.", method, "() got an unexpected keyword argument '", name, "'");
    check(known && !hook, ErrorKind::type, "Tensor.", method, "() got multiple values for argument '", name, "'");
    hook = args[count + i];
  }
  check(count < 2, ErrorKind::type, "Tensor.", method, "() takes 2 positional arguments but ", count + 1,
        " were given");
  check(hook, ErrorKind::type, "Tensor.", method, "() missing 1 required positional argument: 'hook'");
  return hook;
}
PyObject* register_hook(PyObject* self, PyObject* const* args, Py_ssize_t count, PyObject* names) {
  return guard([&]() -> PyObject* {
    PyObject* function = hook_given("register_hook", args, count, names);
    const Tensor t = tensor_of(self);
    check(requires_grad(t), "cannot register a hook on a tensor that doesn't require gradient");
    check(PyCallable_Check(function), ErrorKind::type, "register_hook: a ", type_name(function), " cannot be called");
    Ref<Node> node = producer(t);
    PyHooks& hooks = hooks_in(node ? node->hooks : autograd_of(t).hooks);
    return add_to_table(hooks.table(node ? static_cast<int>(t->autograd->result_index) : 0), function);
  });
}
PyObject* register_post_accumulate(PyObject* self, PyObject* const* args, Py_ssize_t count, PyObject* names) {
  return guard([&]() -> PyObject* {
    PyObject* function = hook_given("register_post_accumulate_grad_hook", args, count, names);
    const Tensor t = tensor_of(self);
    check(requires_grad(t), "cannot register a hook on a tensor that doesn't require gradient");
    check(is_leaf(t), "post accumulate grad hooks cannot be registered on non-leaf tensors");
    check(PyCallable_Check(function), ErrorKind::type, "register_post_accumulate_grad_hook: a ", type_name(function),
          " cannot be called");
    return add_to_table(hooks_in(autograd_of(t).post_accumulate).table_accumulated(), function);
  });
}
PyObject* py_retain_grad(PyObject* self, PyObject*) {
  return guard([&]() -> PyObject* {
    retain_grad(tensor_of(self));
    Py_RETURN_NONE;
  });
}

// ---- Node's methods -------------------------------------------------------------------------------------------------

PyObject* node_register_hook(PyObject* self, PyObject* function) {
  return guard([&] { return add_to_table(hooks_in(node_of(self)->hooks).table_after(), function); });
}
PyObject* node_register_prehook(PyObject* self, PyObject* function) {
  return guard([&] { return add_to_table(hooks_in(node_of(self)->hooks).table_before(), function); });
}
PyObject* node_metadata(PyObject* self, void*) {
  return guard([&]() -> PyObject* { return Object::borrow(hooks_in(node_of(self)->hooks).metadata()).take(); });
}

// ---- saving tensors -------------------------------------------------------------------------------------------------

struct Pair {
  Object pack, unpack;
};
std::vector<Pair> pairs;  // pushed by saved_tensors_hooks
Object disabled_message;  // why they may not be used now

struct Packed {
  Object value, unpack;
  Edge edge;  // where the tensor stands in the graph; for second derivatives
  Dims shape;
  DType dtype;
  Device device;
  bool contiguous;
};

void* pack(const Tensor& t) {
  auto packed = std::make_unique<Packed>(Packed{{}, {}, {}, t.shape(), t.dtype(), t.device(), t.contiguous()});
  if (requires_grad(t)) packed->edge = edge_to(t);
  packed->unpack = Object::borrow(pairs.back().unpack.get());
  const Object function = Object::borrow(pairs.back().pack.get());  // which may leave the scope of its pair
  Object argument(wrap(detach(t)));
  packed->value = Object(must(PyObject_CallOneArg(function.get(), argument.get())));
  return packed.release();
}
Tensor unpack(void* what) {
  auto* packed = static_cast<Packed*>(what);
  // The function may run backward through the node, which frees what was packed.
  const Object function = Object::borrow(packed->unpack.get()), value = Object::borrow(packed->value.get());
  const Packed was{{}, {}, packed->edge, packed->shape, packed->dtype, packed->device, packed->contiguous};
  Object made(must(PyObject_CallOneArg(function.get(), value.get())));
  check(is_tensor(made.get()), ErrorKind::type,
        "Output of saved tensor unpack_hook expected to be a Tensor but got "
        "result of type ",
        type_name(made.get()));
  // Kernels rely on what they saved: the hook may change the values only.
  Tensor t = detach(tensor_of(made.get()));
  check(t.shape() == was.shape && t.device() == was.device,
        "saved_tensors_hooks: unpack_hook returned a tensor of shape ", Ints(t.shape()), " on device ", t.device(),
        ", where one of shape ", Ints(was.shape), " on device ", was.device, " was saved");
  t = cast_data(t, was.dtype);
  if (was.contiguous) t = dense(t);
  const Edge& edge = was.edge;
  if (edge && is_differentiable(t.dtype())) set_producer(t, edge.node, edge.index);
  return t;
}
void drop(void* what) { delete static_cast<Packed*>(what); }

PyObject* push_saved_hooks(PyObject*, PyObject* const* args, Py_ssize_t count) {
  return guard([&]() -> PyObject* {
    check(count == 2 && PyCallable_Check(args[0]) && PyCallable_Check(args[1]), ErrorKind::type,
          "saved_tensors_hooks takes two functions: pack_hook and unpack_hook");
    if (disabled_message) fail(PyUnicode_AsUTF8(disabled_message.get()));
    pairs.push_back({Object::borrow(args[0]), Object::borrow(args[1])});
    saved_hooks.active = true;
    Py_RETURN_NONE;
  });
}
PyObject* pop_saved_hooks(PyObject*, PyObject*) {
  return guard([&]() -> PyObject* {
    check(!pairs.empty(), "there are no saved_tensors_hooks to leave");
    pairs.pop_back();
    saved_hooks.active = !pairs.empty();
    Py_RETURN_NONE;
  });
}
// The two functions that tensors are saved with now; None if there are none.
PyObject* present_saved_hooks(PyObject*, PyObject*) {
  return guard([&]() -> PyObject* {
    if (pairs.empty()) Py_RETURN_NONE;
    return PyTuple_Pack(2, pairs.back().pack.get(), pairs.back().unpack.get());
  });
}
PyObject* set_saved_hooks_disabled(PyObject*, PyObject* message) {
  return guard([&]() -> PyObject* {
    check(message == Py_None || PyUnicode_Check(message), ErrorKind::type, "expected a text or None, not ",
          type_name(message));
    if (message != Py_None && !pairs.empty() && !disabled_message) fail(PyUnicode_AsUTF8(message));
    Object before = disabled_message ? std::move(disabled_message) : Object::borrow(Py_None);
    disabled_message = message == Py_None ? Object() : Object::borrow(message);
    return before.take();
  });
}

PyObject* increment_version(PyObject*, PyObject* tensors) {
  return guard([&]() -> PyObject* {
    Object fast(must(PySequence_Fast(tensors, "increment_version takes tensors")));
    for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(fast.get()); ++i) {
      PyObject* item = PySequence_Fast_GET_ITEM(fast.get(), i);
      check(is_tensor(item), ErrorKind::type,
            "increment_version expects each element of the iterable input to be a "
            "tensor");
      check(!impl_of(item)->inference, "increment_version: inference tensors do not count their versions");
      impl_of(item)->bump_version();
    }
    Py_RETURN_NONE;
  });
}

// ---- anomaly mode ---------------------------------------------------------------------------------------------------

// Sets an attribute-like entry of a node's metadata, as PyTorch names it.
void note_stack(Node& node) {
  Object module(must(PyImport_ImportModule("bulssi.autograd.anomaly_mode")));
  Object stack(must(PyObject_CallMethod(module.get(), "_format_stack", nullptr)));
  PyObject* metadata = hooks_in(node.hooks).metadata();
  must(PyDict_SetItemString(metadata, "traceback_", stack.get()));
  if (current_node) must(PyDict_SetItemString(metadata, "parent_", Object(node_object(current_node)).get()));
}

// Warns where a failing node was recorded, and where the node in whose backward that was, and so on.
void warn_failed(Node& node) {
  PyObject *type, *value, *trace;
  PyErr_Fetch(&type, &value, &trace);
  Object at(node_object(&node));
  for (bool parent = false; at; parent = true) {
    Node* shown = reinterpret_cast<PyNode*>(at.get())->node;
    if (!shown) break;
    PyObject* metadata = hooks_in(shown->hooks).metadata();
    PyObject* stack = PyDict_GetItemString(metadata, "traceback_");
    Object module(PyImport_ImportModule("bulssi.autograd.anomaly_mode"));
    Object done(module ? PyObject_CallMethod(module.get(), "_warn_traceback", "sOi", shown->name().c_str(),
                                             stack ? stack : Py_None, int(parent))
                       : nullptr);
    if (!done) break;
    PyObject* next = PyDict_GetItemString(metadata, "parent_");
    at = next ? Object::borrow(next) : Object();
  }
  if (PyErr_Occurred()) {  // warnings are errors: that one is shown, as Python does
    Py_XDECREF(type);
    Py_XDECREF(value);
    Py_XDECREF(trace);
    throw PendingError();
  }
  PyErr_Restore(type, value, trace);
}

PyObject* set_anomaly_mode(PyObject*, PyObject* const* args, Py_ssize_t count) {
  return guard([&]() -> PyObject* {
    check(count == 2, ErrorKind::type, "set_anomaly_mode takes enabled and check_nan");
    const int on = PyObject_IsTrue(args[0]), nan = PyObject_IsTrue(args[1]);
    must(on);
    must(nan);
    Object before(must(
        Py_BuildValue("(NN)", PyBool_FromLong(grad_state.anomaly), PyBool_FromLong(grad_state.anomaly_check_nan))));
    grad_state.anomaly = on != 0;
    grad_state.anomaly_check_nan = nan != 0;
    return before.take();
  });
}
PyObject* is_anomaly_enabled(PyObject*, PyObject*) { return PyBool_FromLong(grad_state.anomaly); }
PyObject* is_anomaly_check_nan(PyObject*, PyObject*) { return PyBool_FromLong(grad_state.anomaly_check_nan); }
PyObject* current_task(PyObject*, PyObject*) {
  return current_run() ? PyLong_FromUnsignedLongLong(current_run()) : PyLong_FromLong(-1);
}
PyObject* will_execute(PyObject*, PyObject* node) {
  return guard([&]() -> PyObject* {
    check(is_node(node), ErrorKind::type, "expected a Node, not ", type_name(node));
    return PyBool_FromLong(will_run(*node_of(node)));
  });
}

#define BULSSI_FAST(function) reinterpret_cast<PyCFunction>(reinterpret_cast<void*>(function)), METH_FASTCALL
PyMethodDef functions[] = {
    {"push_saved_tensors_hooks", BULSSI_FAST(push_saved_hooks), nullptr},
    {"pop_saved_tensors_hooks", pop_saved_hooks, METH_NOARGS, nullptr},
    {"present_saved_tensors_hooks", present_saved_hooks, METH_NOARGS, nullptr},
    {"set_saved_tensors_hooks_disabled", set_saved_hooks_disabled, METH_O, nullptr},
    {"increment_version", increment_version, METH_O, nullptr},
    {"set_anomaly_mode", BULSSI_FAST(set_anomaly_mode), nullptr},
    {"is_anomaly_enabled", is_anomaly_enabled, METH_NOARGS, "Whether anomaly mode is on."},
    {"is_anomaly_check_nan_enabled", is_anomaly_check_nan, METH_NOARGS, "Whether anomaly mode looks for NaN."},
    {"current_graph_task_id", current_task, METH_NOARGS, nullptr},
    {"will_execute_node", will_execute, METH_O, nullptr},
    {}};

PyMethodDef tensor_hook_methods[] = {
    {"register_hook", reinterpret_cast<PyCFunction>(reinterpret_cast<void*>(register_hook)),
     METH_FASTCALL | METH_KEYWORDS,
     "register_hook(hook)\n\nCalls hook(grad) whenever the gradient of self is known; what it returns, if not None, "
     "takes the gradient's place. Returns a handle whose remove() ends it."},
    {"register_post_accumulate_grad_hook",
     reinterpret_cast<PyCFunction>(reinterpret_cast<void*>(register_post_accumulate)), METH_FASTCALL | METH_KEYWORDS,
     "register_post_accumulate_grad_hook(hook)\n\nCalls hook(self) after a gradient was added to self.grad; for "
     "leaves."},
    {"retain_grad", py_retain_grad, METH_NOARGS, "Keeps the gradient of a non-leaf in .grad after backward."},
    {}};
PyMethodDef node_hook_methods[] = {
    {"register_hook", node_register_hook, METH_O,
     "register_hook(hook)\n\nCalls hook(grad_inputs, grad_outputs) after the node ran; may return other grad_inputs."},
    {"register_prehook", node_register_prehook, METH_O,
     "register_prehook(hook)\n\nCalls hook(grad_outputs) before the node runs; may return others."},
    {}};
PyGetSetDef metadata_property = {"metadata", node_metadata, nullptr, "A dictionary for the user's notes.", nullptr};

}  // namespace

void retain_grad(const Tensor& t) {
  check(requires_grad(t), "can't retain_grad on Tensor that has requires_grad=False");
  if (!(t->autograd && t->autograd->node)) return;  // a leaf as it stands
  const Ref<Node> node = producer(t);
  if (!node || t->autograd->retains_grad) return;
  const Object self(wrap(t));
  hooks_in(node->hooks).keep_grad(static_cast<int>(t->autograd->result_index), self.get());
  t->autograd->retains_grad = true;
}

// Note [Cycles]
// A hook may refer to the tensor it is a hook of, and the context of a Function to its own output. Python's collector
// finds such cycles if whoever owns the hooks says so, and exactly one object may: a tensor, or the Python object of a
// node, that is the node's only owner. A node with further owners (consumers in the graph, several results) is passed
// over: as long as these live nothing may be freed, and once they are gone there is one owner. What a leaf's gradient
// refers to is the leaf's alone, as are its hooks.
static int traverse_node(const Node* node, visitproc visit, void* arg) {
  if (!node || node->refs != 1) return 0;
  if (node->from_function) Py_VISIT(static_cast<PyObject*>(node->python));  // Note [Function nodes]
  return node->hooks ? static_cast<const PyHooks&>(*node->hooks).traverse(visit, arg) : 0;
}
static void clear_node(Node* node) {
  if (!node || node->refs != 1) return;
  const Ref<Node> alive(node);
  if (node->hooks) static_cast<PyHooks&>(*node->hooks).clear();
}

int traverse_hooks(const TensorImpl* t, visitproc visit, void* arg) {
  if (!t || !t->autograd) return 0;
  for (const auto* hooks : {&t->autograd->hooks, &t->autograd->post_accumulate}) {
    if (!*hooks) continue;
    if (int stop = static_cast<const PyHooks&>(**hooks).traverse(visit, arg)) return stop;
  }
  if (const TensorImpl* grad = t->autograd->grad.get(); grad && !(grad->state & 1)) {
    Py_VISIT(reinterpret_cast<PyObject*>(grad->state));
  }
  return traverse_node(t->autograd->node.get(), visit, arg);
}
void clear_hooks(const TensorImpl* t) {
  if (!t || !t->autograd) return;
  Autograd& a = *t->autograd;
  for (auto* hooks : {&a.hooks, &a.post_accumulate}) {
    if (*hooks) static_cast<PyHooks&>(**hooks).clear();
  }
  clear_node(a.node.get());
  const Tensor grad = std::move(a.grad);
}
int traverse_owned_node(const Node* node, visitproc visit, void* arg) { return traverse_node(node, visit, arg); }
void clear_owned_node(Node* node) { clear_node(node); }

void add_hook_functions(PyObject* module) {
  must(PyModule_AddFunctions(module, functions));
  auto add = [](PyTypeObject* type, PyMethodDef* methods) {
    for (; methods->ml_name; ++methods) {
      Object method(must(PyDescr_NewMethod(type, methods)));
      if (type == tensor_type && !(methods->ml_flags & METH_KEYWORDS)) {  // PyTorch's core has it
        Py_XSETREF(reinterpret_cast<PyDescrObject*>(method.get())->d_qualname,
                   must(PyUnicode_FromFormat("TensorBase.%s", methods->ml_name)));
      }
      must(PyObject_SetAttrString(reinterpret_cast<PyObject*>(type), methods->ml_name, method.get()));
    }
  };
  add(tensor_type, tensor_hook_methods);
  add(node_type, node_hook_methods);
  must(PyObject_SetAttrString(reinterpret_cast<PyObject*>(node_type), "metadata",
                              Object(must(PyDescr_NewGetSet(node_type, &metadata_property))).get()));
  saved_hooks.pack = pack;
  saved_hooks.unpack = unpack;
  saved_hooks.drop = drop;
  anomaly_hooks = {note_stack, warn_failed};
}

}  // namespace bulssi::python
