// Backward nodes as Python objects, grad modes, running backward, and where in the user's program an operation was.
#include "core/python/frame.h"

#include <cstring>
#include <string>
#include <unordered_map>

#include "core/ops/basics.h"
#include "core/python/python.h"

namespace bulssi::python {

PyTypeObject* node_type;

bool is_node(PyObject* o) { return PyObject_TypeCheck(o, node_type); }
Node* node_of(PyObject* o) {
  Node* node = reinterpret_cast<PyNode*>(o)->node;
  check(node != nullptr, "this backward node has no graph: it was freed, or the function recorded nothing");
  return node;
}

namespace {

int node_traverse(PyObject* self, visitproc visit, void* arg) {
  Py_VISIT(Py_TYPE(self));
  const Node* node = reinterpret_cast<PyNode*>(self)->node;
  return node && !node->from_function ? traverse_owned_node(node, visit, arg) : 0;
}
int node_clear(PyObject* self) {
  Node* node = reinterpret_cast<PyNode*>(self)->node;
  if (node && !node->from_function) clear_owned_node(node);
  return 0;
}
void node_dealloc(PyObject* self) {
  auto* o = reinterpret_cast<PyNode*>(self);
  PyObject_GC_UnTrack(self);
  if (o->node) {
    o->node->python = nullptr;
    release(o->node);
  }
  PyTypeObject* type = Py_TYPE(self);
  type->tp_free(self);
  Py_DECREF(type);
}
PyObject* node_repr(PyObject* self) {
  return guard([&] { return PyUnicode_FromFormat("<%s object at %p>", shown_name(*node_of(self)).c_str(), self); });
}
PyObject* node_name(PyObject* self, PyObject*) {
  return guard([&] {
    std::string name = shown_name(*node_of(self));
    for (const char* internal : {"AccumulateGrad", "CopySlices", "CopyBackwards", "NotImplemented"}) {
      if (name == internal) return PyUnicode_FromFormat("torch::autograd::%s", internal);
    }
    return PyUnicode_FromString(name.c_str());
  });
}
PyObject* node_next(PyObject* self, void*) {
  return guard([&]() -> PyObject* {
    Node* node = node_of(self);
    const auto& edges = node->label ? node->label->inputs : node->edges;
    Object out(must(PyTuple_New(static_cast<Py_ssize_t>(edges.size()))));
    for (size_t i = 0; i < edges.size(); ++i) {
      const Edge& e = edges[i];
      PyTuple_SET_ITEM(out.get(), i, must(Py_BuildValue("(NI)", node_object(e.node.get()), e.index)));
    }
    return out.take();
  });
}
PyObject* node_variable(PyObject* self, void*) {
  return guard([&]() -> PyObject* {
    Node* node = node_of(self);
    check(node->is_accumulate(), ErrorKind::attribute, "'", node->name(), "' has no attribute 'variable'");
    return wrap(static_cast<AccumulateNode*>(node)->leaf);
  });
}
PyObject* node_sequence(PyObject* self, PyObject*) {
  return guard([&] { return PyLong_FromUnsignedLongLong(node_of(self)->sequence); });
}
PyObject* node_source(PyObject* self, void*) {
  return guard([&] { return PyUnicode_FromString(describe(node_of(self)->source).c_str()); });
}
PyMethodDef node_methods[] = {{"name", node_name, METH_NOARGS, "The name of the backward operation."},
                              {"_sequence_nr", node_sequence, METH_NOARGS, nullptr},
                              {}};
PyGetSetDef node_properties[] = {{"next_functions", node_next, nullptr, nullptr, nullptr},
                                 {"variable", node_variable, nullptr, nullptr, nullptr},
                                 {"source", node_source, nullptr, "File, line and function that recorded it.", nullptr},
                                 {}};
PyType_Slot node_slots[] = {{Py_tp_dealloc, reinterpret_cast<void*>(node_dealloc)},
                            {Py_tp_traverse, reinterpret_cast<void*>(node_traverse)},
                            {Py_tp_clear, reinterpret_cast<void*>(node_clear)},
                            {Py_tp_repr, reinterpret_cast<void*>(node_repr)},
                            {Py_tp_methods, node_methods},
                            {Py_tp_getset, node_properties},
                            {Py_tp_doc, const_cast<char*>("A recorded operation of the backward graph.")},
                            {0, nullptr}};
PyType_Spec node_spec = {
    "bulssi._core.Node", sizeof(PyNode), 0,
    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION, node_slots};
// Shown as any object: the class, made for one user's Function, tells enough.
PyObject* function_repr(PyObject* self) { return PyBaseObject_Type.tp_repr(self); }
PyObject* function_new(PyTypeObject* type, PyObject*, PyObject*) { return type->tp_alloc(type, 0); }
PyType_Slot function_slots[] = {{Py_tp_repr, reinterpret_cast<void*>(function_repr)},
                                {Py_tp_new, reinterpret_cast<void*>(function_new)},
                                {Py_tp_methods, function_methods},
                                {Py_tp_doc, const_cast<char*>("Context and node of a user's autograd.Function.")},
                                {0, nullptr}};
PyType_Spec function_spec = {"bulssi._core.FunctionNode", sizeof(PyNode), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
                             function_slots};

// ---- the user's source line -----------------------------------------------------------------------------------------

// Code objects of the library itself are passed over. The answer for a code object is remembered by its address.
std::string* library_folder = nullptr;
struct Known {
  PyCodeObject* code = nullptr;
  bool library = false;
};
Known known[256];

bool in_library(PyCodeObject* code) {
  Known& k = known[(reinterpret_cast<uintptr_t>(code) >> 4) & 255];
  if (k.code == code) return k.library;
  const char* file = PyUnicode_AsUTF8(code->co_filename);
  if (!file) PyErr_Clear();
  Py_INCREF(code);
  Py_XDECREF(k.code);
  k.code = code;
  k.library = file && library_folder && !std::strncmp(file, library_folder->c_str(), library_folder->size());
  return k.library;
}

Source here() {
  Source s;
  walk_frames([&](PyCodeObject* code, int offset) {
    if (in_library(code)) return false;
    Py_INCREF(code);
    s.code = code;
    s.offset = offset;
    return true;
  });
  return s;
}

std::string describe_source(const Source& s) {
  auto* code = static_cast<PyCodeObject*>(s.code);
  const int line = PyCode_Addr2Line(code, s.offset);
  const char* file = PyUnicode_AsUTF8(code->co_filename);
  const char* name = PyUnicode_AsUTF8(code->co_name);
  if (!file || !name) {
    PyErr_Clear();
    return "";
  }
  std::string text = str(file, ":", line);
  if (std::strcmp(name, "<module>") != 0) text += str(", in ", name);
  // The line itself, where the file can be read.
  PyObject *type, *value, *trace;
  PyErr_Fetch(&type, &value, &trace);
  Object linecache(PyImport_ImportModule("linecache"));
  if (linecache) {
    Object source(PyObject_CallMethod(linecache.get(), "getline", "Oi", code->co_filename, line));
    const char* shown = source ? PyUnicode_AsUTF8(source.get()) : nullptr;
    if (shown) {
      std::string_view trimmed = schema::trim(shown);
      if (!trimmed.empty()) text += ": " + std::string(trimmed);
    }
  }
  PyErr_Restore(type, value, trace);
  return text;
}

// ---- functions ------------------------------------------------------------------------------------------------------

PyObject* set_grad_mode(PyObject*, PyObject* value) {
  const int on = PyObject_IsTrue(value);
  if (on < 0) return nullptr;
  return PyBool_FromLong(std::exchange(grad_state.enabled, on != 0));
}
PyObject* is_grad_enabled(PyObject*, PyObject*) { return PyBool_FromLong(grad_state.enabled); }
PyObject* set_inference_mode(PyObject*, PyObject* value) {
  const int on = PyObject_IsTrue(value);
  if (on < 0) return nullptr;
  if (on) grad_state.enabled = false;
  return PyBool_FromLong(std::exchange(grad_state.inference, on != 0));
}
PyObject* is_inference_mode_enabled(PyObject*, PyObject*) { return PyBool_FromLong(grad_state.inference); }

// A tensor that stands at a place of the graph: for a GradientEdge, (node, number of its result, …).
Tensor tensor_at(PyObject* edge) {
  Node* node = node_of(PyTuple_GET_ITEM(edge, 0));
  if (node->is_accumulate()) return static_cast<AccumulateNode*>(node)->leaf;
  const int64_t index = int_value(PyTuple_GET_ITEM(edge, 1));
  check(index >= 0 && index < node->results, ErrorKind::index, "GradientEdge: output_nr ", index, " of ", node->name(),
        ", which has ", int(node->results), " outputs");
  Tensor t = empty({}, default_dtype());
  set_producer(t, Ref<Node>(node), static_cast<uint32_t>(index));
  return t;
}
bool is_edge(PyObject* o) {
  return PyTuple_Check(o) && PyTuple_GET_SIZE(o) >= 2 && is_node(PyTuple_GET_ITEM(o, 0)) &&
         is_int(PyTuple_GET_ITEM(o, 1));
}

std::vector<Tensor> tensors_of(PyObject* sequence, const char* what) {
  Object fast(must(PySequence_Fast(sequence, "expected a sequence of tensors")));
  std::vector<Tensor> out;
  for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(fast.get()); ++i) {
    PyObject* item = PySequence_Fast_GET_ITEM(fast.get(), i);
    if (item == Py_None) {
      out.emplace_back();
      continue;
    }
    check(is_tensor(item) || is_edge(item), ErrorKind::type, "element ", i, " of ", what, " tuple is not a Tensor");
    out.push_back(is_tensor(item) ? tensor_of(item) : tensor_at(item));
  }
  return out;
}

// What is called when the outermost backward of this thread has ended. Empty outside of it.
thread_local std::vector<Object> at_end;

PyObject* queue_callback(PyObject*, PyObject* function) {
  return guard([&]() -> PyObject* {
    check(current_run() != 0, "Final callbacks can only be installed during backward pass.");
    check(PyCallable_Check(function), ErrorKind::type, "queue_callback: a ", type_name(function), " cannot be called");
    at_end.push_back(Object::borrow(function));
    Py_RETURN_NONE;
  });
}
Small<Tensor, 2> run_to_end(Tensors roots, Tensors grads, Tensors inputs, const RunOptions& options) {
  try {
    auto out = run_backward(roots, grads, inputs, options);
    if (current_run() == 0 && !at_end.empty()) {
      const auto functions = std::exchange(at_end, {});
      for (const Object& function : functions) Object(must(PyObject_CallNoArgs(function.get())));
    }
    return out;
  } catch (...) {
    if (current_run() == 0) at_end.clear();
    throw;
  }
}

// A flag as C functions take it: a bool or an integer.
bool truth(PyObject* o) {
  if (!PyLong_Check(o)) fail(ErrorKind::type, "'", type_name(o), "' object cannot be interpreted as an integer");
  return PyObject_IsTrue(o) == 1;
}

PyObject* py_run_backward(PyObject*, PyObject* const* args, Py_ssize_t count) {
  return guard([&]() -> PyObject* {
    check(count == 7, ErrorKind::type, "run_backward() takes 7 arguments");
    const auto roots = tensors_of(args[0], "tensors"), inputs = tensors_of(args[4], "inputs");
    auto grads = tensors_of(args[1], "gradients");
    RunOptions options;
    options.retain_graph = truth(args[2]);
    options.create_graph = truth(args[3]);
    options.allow_unused = PyObject_IsTrue(args[5]) == 1;
    options.accumulate = PyObject_IsTrue(args[6]) == 1;
    options.has_inputs = !inputs.empty();
    for (size_t i = 0; i < grads.size(); ++i) {
      if (!grads[i]) grads[i] = full_like(roots[i], Scalar(1.0));
    }
    if (options.accumulate && options.has_inputs) {
      check_roots(roots);
      for (const Tensor& t : inputs)
        check(requires_grad(t), "can't retain_grad on Tensor that has requires_grad=False");
      for (const Tensor& t : inputs) retain_grad(t);
    }
    const auto out = run_to_end(roots, grads, inputs, options);
    Object tuple(must(PyTuple_New(static_cast<Py_ssize_t>(out.size()))));
    for (size_t i = 0; i < out.size(); ++i) PyTuple_SET_ITEM(tuple.get(), i, wrap(out[i]));
    return tuple.take();
  });
}

PyObject* py_backward(PyObject* self, PyObject* const* args, Py_ssize_t count, PyObject* names) {
  if (count == 0 && (!names || PyTuple_GET_SIZE(names) == 0) && impl_of(self)->numel == 1) {
    return guard([&]() -> PyObject* {
      const Tensor t = tensor_of(self);
      check(is_floating(t.dtype()) || !requires_grad(t), "grad can be implicitly created only for real scalar outputs");
      const Tensor g = full_like(t, Scalar(1.0));
      run_to_end({&t, 1}, {&g, 1}, {}, RunOptions{});
      Py_RETURN_NONE;
    });
  }
  return guard([&]() -> PyObject* {
    // Positional: gradient, retain_graph, create_graph, inputs. autograd.backward has grad_variables between.
    check(count <= 4, ErrorKind::type, "Tensor.backward() takes from 1 to 5 positional arguments but ", count + 1,
          " were given: self, gradient, retain_graph, create_graph, inputs");
    Object module(must(PyImport_ImportModule("bulssi.autograd")));
    Object function(must(PyObject_GetAttrString(module.get(), "backward")));
    std::vector<PyObject*> all{self};
    const Py_ssize_t named = names ? PyTuple_GET_SIZE(names) : 0;
    all.insert(all.end(), args, args + count + named);
    // backward(gradient=…) is called grad_tensors there.
    Object renamed(named ? must(PyTuple_New(named)) : nullptr);
    for (Py_ssize_t i = 0; i < named; ++i) {
      PyObject* name = PyTuple_GET_ITEM(names, i);
      const bool gradient = PyUnicode_CompareWithASCIIString(name, "gradient") == 0;
      PyObject* put = gradient ? must(PyUnicode_FromString("grad_tensors")) : Object::borrow(name).take();
      PyTuple_SET_ITEM(renamed.get(), i, put);
    }
    if (count == 4) all.insert(all.begin() + 4, Py_None);
    return PyObject_Vectorcall(function.get(), all.data(), all.size() - static_cast<size_t>(named), renamed.get());
  });
}

PyMethodDef functions[] = {
    {"set_grad_mode", set_grad_mode, METH_O, nullptr},
    {"is_grad_enabled", is_grad_enabled, METH_NOARGS, "Whether operations are being recorded."},
    {"set_inference_mode", set_inference_mode, METH_O, nullptr},
    {"is_inference_mode_enabled", is_inference_mode_enabled, METH_NOARGS, "Whether inference mode is on."},
    {"run_backward", reinterpret_cast<PyCFunction>(reinterpret_cast<void*>(py_run_backward)), METH_FASTCALL, nullptr},
    {"queue_callback", queue_callback, METH_O, nullptr},
    {}};
PyMethodDef backward_method = {"backward", reinterpret_cast<PyCFunction>(reinterpret_cast<void*>(py_backward)),
                               METH_FASTCALL | METH_KEYWORDS,
                               "backward(gradient=None, retain_graph=None, create_graph=False, inputs=None)\n\n"
                               "Adds the gradients of self with respect to the leaves to their .grad."};

}  // namespace

namespace {

// A class for each name of a node, as in PyTorch: what draws graphs asks for type(node).__name__.
PyTypeObject* class_of(const std::string& name) {
  static std::unordered_map<std::string, PyTypeObject*> classes;
  auto& [key, found] = *classes.try_emplace(name).first;
  if (!found) {
    const std::string full = "builtins." + name;
    PyType_Slot none[] = {{0, nullptr}};
    PyType_Spec spec{full.c_str(), sizeof(PyNode), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION, none};
    const Object bases(must(PyTuple_Pack(1, node_type)));
    found = reinterpret_cast<PyTypeObject*>(must(PyType_FromSpecWithBases(&spec, bases.get())));
    found->tp_name = key.c_str();  // it is shown without a module
  }
  return found;
}

}  // namespace

PyObject* node_object(Node* node) {
  if (!node) Py_RETURN_NONE;
  if (node->python) {
    Py_INCREF(static_cast<PyObject*>(node->python));
    return static_cast<PyObject*>(node->python);
  }
  PyTypeObject* type = class_of(shown_name(*node));
  auto* o = reinterpret_cast<PyNode*>(must(PyType_GenericAlloc(type, 0)));
  retain(node);
  o->node = node;
  node->python = o;
  return reinterpret_cast<PyObject*>(o);
}

void add_node_types(PyObject* module) {
  node_type = reinterpret_cast<PyTypeObject*>(must(PyType_FromSpec(&node_spec)));
  must(PyObject_SetAttrString(module, "Node", reinterpret_cast<PyObject*>(node_type)));
  Object bases(must(PyTuple_Pack(1, node_type)));
  must(PyObject_SetAttrString(module, "FunctionNode",
                              Object(must(PyType_FromSpecWithBases(&function_spec, bases.get()))).get()));
  must(PyModule_AddFunctions(module, functions));
  must(PyObject_SetAttrString(reinterpret_cast<PyObject*>(tensor_type), "backward",
                              Object(must(PyDescr_NewMethod(tensor_type, &backward_method))).get()));
}

void install_source_hooks() {
  Object module(must(PyImport_ImportModule("bulssi")));
  Object path(must(PyObject_GetAttrString(module.get(), "__file__")));
  const std::string file = PyUnicode_AsUTF8(path.get());
  library_folder = new std::string(file.substr(0, file.find_last_of('/') + 1));
  source_hooks.here = here;
  source_hooks.release = [](void* code) { Py_DECREF(static_cast<PyObject*>(code)); };
  source_hooks.describe = describe_source;
}

}  // namespace bulssi::python
