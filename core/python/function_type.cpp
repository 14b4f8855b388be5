// Nodes of users' autograd.Functions.
//
// Note [Function nodes]
// One Python object is the context of forward and backward and the grad_fn of the outputs. Until forward has ended it
// owns its C++ node; from then on the node owns the object, which only knows the node, so that the graph decides how
// long both live and no cycle arises. The object's node is null before it records and after its graph is freed.
#include "core/ops/basics.h"
#include "core/python/python.h"

namespace bulssi::python {

namespace {

enum OutputKind { plain_output, made_output, dirty_output };  // as in bulssi/autograd/function.py

class FunctionNode final : public Node {
 public:
  FunctionNode() { from_function = true; }
  ~FunctionNode() override {
    if (auto* o = static_cast<PyNode*>(python)) o->node = nullptr;
    Py_XDECREF(owned_);
  }
  std::string name() const override {
    return python ? short_name(Py_TYPE(static_cast<PyObject*>(python))) : "Function";
  }
  void backward(const Small<Tensor, 2>& grads, Small<Tensor, 2>& inputs) override;
  void own(PyObject* self) {
    Py_INCREF(self);
    owned_ = self;
  }
  void add_input(PyObject* item) {
    const bool records = is_tensor(item) && recording(tensor_of(item));
    edges.push_back(records ? edge_to(tensor_of(item)) : Edge{});
    shapes_.push_back(records ? impl_of(item)->layout.shape : Dims());
    dtypes_.push_back(records ? impl_of(item)->dtype : DType::f32);
  }

 private:
  static std::string short_name(PyTypeObject* type) {
    const std::string whole = type->tp_name;
    return whole.substr(whole.rfind('.') + 1);
  }
  Tensor fitting(Tensor grad, size_t i);
  PyObject* owned_ = nullptr;
  std::vector<Dims> shapes_;
  std::vector<DType> dtypes_;
};

// A gradient may have a shape that broadcasting made of the input's.
Tensor FunctionNode::fitting(Tensor grad, size_t i) {
  const Dims& shape = shapes_[i];
  if (!(grad.shape() == shape)) {
    const int extra = grad.dims() - static_cast<int>(shape.size());
    bool fits = extra >= 0;
    for (size_t d = 0; fits && d < shape.size(); ++d) fits = shape[d] == 1 || shape[d] == grad.shape()[d + extra];
    check(fits, "Function ", name(), " returned an invalid gradient at index ", i, " - got ", Ints(grad.shape()),
          " but expected shape compatible with ", Ints(shape));
    grad = sum_to(grad, shape);
  }
  return grad.dtype() == dtypes_[i] ? grad : cast(grad, dtypes_[i]);
}

void FunctionNode::backward(const Small<Tensor, 2>& grads, Small<Tensor, 2>& inputs) {
  Object tuple(must(PyTuple_New(static_cast<Py_ssize_t>(grads.size()))));
  for (size_t i = 0; i < grads.size(); ++i) PyTuple_SET_ITEM(tuple.get(), i, wrap(grads[i]));
  Object self = Object::borrow(static_cast<PyObject*>(python));
  Object made(must(PyObject_CallMethod(self.get(), "_backward", "(O)", tuple.get())));
  check(PyTuple_Check(made.get()) && PyTuple_GET_SIZE(made.get()) == static_cast<Py_ssize_t>(edges.size()),
        ErrorKind::type, name(), "._backward must return a tuple of ", edges.size(), " gradients");
  for (size_t i = 0; i < edges.size(); ++i) {
    PyObject* item = PyTuple_GET_ITEM(made.get(), i);
    if (item == Py_None) continue;
    if (!edges[i]) {  // hooks see it
      if (is_tensor(item)) inputs[i] = tensor_of(item);
      continue;
    }
    check(is_tensor(item), ErrorKind::type, name(), "._backward returned a ", type_name(item), " as a gradient");
    inputs[i] = fitting(tensor_of(item), i);
  }
}

// _record(inputs): makes the node; False (and no node) if nothing is to be recorded.
PyObject* record_inputs(PyObject* self, PyObject* inputs) {
  return guard([&]() -> PyObject* {
    auto* o = reinterpret_cast<PyNode*>(self);
    check(!o->node, "this context has already recorded a call");
    check(PyTuple_Check(inputs), ErrorKind::type, "_record() takes a tuple");
    auto node = Ref<FunctionNode>::adopt(new FunctionNode);
    bool any = false;
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(inputs); ++i) {
      node->add_input(PyTuple_GET_ITEM(inputs, i));
      any |= is_tensor(PyTuple_GET_ITEM(inputs, i)) && recording(tensor_of(PyTuple_GET_ITEM(inputs, i)));
    }
    if (!any) Py_RETURN_FALSE;
    init_node(*node);
    node->python = o;
    o->node = node.detach();
    Py_RETURN_TRUE;
  });
}

// _check_dirty(tensor): fails for a leaf, which may not be changed.
PyObject* check_dirty(PyObject*, PyObject* tensor) {
  return guard([&]() -> PyObject* {
    check(is_tensor(tensor), ErrorKind::type, "_check_dirty() takes a Tensor, not ", type_name(tensor));
    const Tensor t = tensor_of(tensor);
    check(!requires_grad(t) || (t->autograd && t->autograd->node),
          "a leaf Variable that requires grad has been used in an in-place operation.\n"
          "mark_dirty was called with it: clone() it before the function, or call the function under torch.no_grad().");
    Py_RETURN_NONE;
  });
}

void set_output(const Tensor& t, int kind, Node* node, uint32_t index) {
  if (kind == made_output) {
    set_producer(t, Ref<Node>(node), index);
    return;
  }
  // It is no leaf any more: what it was as one goes.
  Autograd& a = autograd_of(t);
  a.grad = Tensor();
  a.hooks.reset();
  if (a.accumulate) {
    const Ref<Node> alive(a.accumulate);
    static_cast<AccumulateNode*>(alive.get())->leaf = Tensor();
    a.accumulate = nullptr;
  }
  rebase_history(t, Ref<Node>(node), index);
}

// _mark_view(tensor, several): a view that a Function returns, whether recorded or not, may not be changed in
// place where that is recorded.
PyObject* mark_view(PyObject*, PyObject* args) {
  PyObject* tensor;
  int several;
  if (!PyArg_ParseTuple(args, "Op", &tensor, &several)) return nullptr;
  return guard([&]() -> PyObject* {
    check(is_tensor(tensor), ErrorKind::type, "_mark_view() takes a tensor");
    const Tensor t = tensor_of(tensor);
    if (t->is_view && t->autograd) t->autograd->creation = several ? Creation::multi_output : Creation::function;
    Py_RETURN_NONE;
  });
}

// _commit(outputs, kinds, to_save): makes the outputs results of the node, and keeps tensors for backward.
PyObject* commit(PyObject* self, PyObject* const* args, Py_ssize_t count) {
  return guard([&]() -> PyObject* {
    auto* node = static_cast<FunctionNode*>(node_of(self));
    check(count == 3 && PyTuple_Check(args[0]) && PyTuple_Check(args[1]) && PyTuple_Check(args[2]) &&
              PyTuple_GET_SIZE(args[0]) == PyTuple_GET_SIZE(args[1]),
          ErrorKind::type, "_commit() takes outputs, kinds and tensors to save, as tuples");
    const Py_ssize_t outputs = PyTuple_GET_SIZE(args[0]);
    check(outputs < 65536, "a Function may return at most 65535 outputs, not ", outputs);
    std::vector<int> kinds;
    for (Py_ssize_t i = 0; i < outputs; ++i) {
      const int kind = static_cast<int>(int_value(PyTuple_GET_ITEM(args[1], i)));
      check(kind == plain_output || is_tensor(PyTuple_GET_ITEM(args[0], i)), ErrorKind::type, "output ", i,
            " is no tensor");
      kinds.push_back(kind);
      if (kind != dirty_output) continue;
      note_change(tensor_of(PyTuple_GET_ITEM(args[0], i)), "autograd.Function", true);
    }
    for (Py_ssize_t i = 0; i < outputs; ++i) {
      if (kinds[i] == dirty_output) check_inplace(tensor_of(PyTuple_GET_ITEM(args[0], i)), "autograd.Function");
    }
    node->results = static_cast<uint16_t>(outputs);
    // What is saved must carry the versions that the outputs will have, so changes of views come first.
    for (Py_ssize_t i = 0; i < outputs; ++i) {
      if (kinds[i] != plain_output) {
        set_output(tensor_of(PyTuple_GET_ITEM(args[0], i)), kinds[i], node, static_cast<uint32_t>(i));
      }
    }
    for (Py_ssize_t k = 0; k < PyTuple_GET_SIZE(args[2]); ++k) {
      PyObject* item = PyTuple_GET_ITEM(args[2], k);
      Py_ssize_t own = -1;
      for (Py_ssize_t i = 0; i < outputs; ++i) {
        if (item == PyTuple_GET_ITEM(args[0], i) && kinds[i] != plain_output) own = i;
      }
      node->saved.push_back(is_tensor(item) ? Saved(tensor_of(item), own >= 0, own < 0 ? 0 : uint32_t(own)) : Saved());
    }
    node->own(self);
    release(
        static_cast<Node*>(node));  // the outputs hold it now; without any it goes, and takes the object's node away
    Py_RETURN_NONE;
  });
}

PyObject* unpack_saved(PyObject* self, PyObject*) {
  return guard([&]() -> PyObject* {
    auto* o = reinterpret_cast<PyNode*>(self);
    if (!o->node) return PyTuple_New(0);
    Ref<Node> node(o->node);
    if (node->released) fail_released(*node);
    Object out(must(PyTuple_New(static_cast<Py_ssize_t>(node->saved.size()))));
    for (size_t i = 0; i < node->saved.size(); ++i) {
      const int at = static_cast<int>(i);
      PyTuple_SET_ITEM(out.get(), i, wrap(node->kept(at).defined() ? node->unpack(at) : Tensor()));
    }
    return out.take();
  });
}

}  // namespace

PyMethodDef function_methods[] = {
    {"_record", record_inputs, METH_O, nullptr},
    {"_commit", reinterpret_cast<PyCFunction>(reinterpret_cast<void*>(commit)), METH_FASTCALL, nullptr},
    {"_check_dirty", check_dirty, METH_O, nullptr},
    {"_mark_view", mark_view, METH_VARARGS, nullptr},
    {"_saved", unpack_saved, METH_NOARGS, nullptr},
    {}};

}  // namespace bulssi::python
