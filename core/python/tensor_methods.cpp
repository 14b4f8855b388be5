// Attributes and methods of Tensor that are not operations.
#include "core/ops/basics.h"
#include "core/python/python.h"

namespace bulssi::python {

namespace {

#define BULSSI_GET(name, doc, expression)                 \
  {name,                                                  \
   [](PyObject* self, void*) -> PyObject* {               \
     return guard([&]() -> PyObject* {                    \
       [[maybe_unused]] const Tensor t = tensor_of(self); \
       return expression;                                 \
     });                                                  \
   },                                                     \
   nullptr, doc, nullptr}

Tensor reversed(const Tensor& t) {
  Dims order;
  for (int i = t.dims(); i-- > 0;) order.push_back(i);
  return permute(t, order);
}

PyObject* get_grad(PyObject* self, void*) {
  TensorImpl* t = impl_of(self);
  if (t->autograd && t->autograd->grad) return wrap(t->autograd->grad);
  if (t->autograd && t->autograd->node && !t->autograd->retains_grad) {
    return guard([&]() -> PyObject* {
      const std::string made = describe(t->autograd->node->source);
      warn("UserWarning", str("The .grad attribute of a Tensor that is not a leaf Tensor is being accessed. Its .grad "
                              "attribute won't be populated during autograd.backward(). If you indeed want the .grad "
                              "field to be populated for a non-leaf Tensor, use .retain_grad() on the non-leaf Tensor. "
                              "If you access the non-leaf Tensor by mistake, make sure you access the leaf Tensor "
                              "instead. See github.com/pytorch/pytorch/pull/30531 for more informations.",
                              made.empty() ? "" : " (This tensor was made at " + made + ".)"));
      Py_RETURN_NONE;
    });
  }
  Py_RETURN_NONE;
}
int set_grad(PyObject* self, PyObject* value, void*) {
  return guard([&]() -> int {
    const Tensor t = tensor_of(self);
    if (!value || value == Py_None) {
      if (t->autograd) t->autograd->grad = Tensor();
      return 0;
    }
    check(is_tensor(value), ErrorKind::type, "assigned grad expected to be a Tensor or None but got grad of type ",
          type_name(value));
    const Tensor g = tensor_of(value);
    check(!g.same(t), "can't assign Variable as its own grad");
    check(g.dtype() == t.dtype(), "attempting to assign a gradient with dtype '", c_name(g.dtype()),
          "' to a tensor with grad_dtype '", legacy_name(t.dtype()),
          "'. The gradient must match the tensor's grad_dtype (defaults to the tensor's dtype).");
    check(g.shape() == t.shape(), "attempting to assign a gradient of size '", Ints(g.shape()),
          "' to a tensor of size '", Ints(t.shape()),
          "'. Please ensure that the gradient and the tensor are the same size");
    autograd_of(t).grad = g;
    return 0;
  });
}
int set_requires_grad_property(PyObject* self, PyObject* value, void*) {
  return guard([&]() -> int {
    check(value && PyBool_Check(value), ErrorKind::runtime, "requires_grad must be a bool");
    const Tensor t = tensor_of(self);
    check(value != Py_True || !t->autograd || !t->autograd->node,
          "you can only change requires_grad flags of leaf variables.");
    set_requires_grad(t, value == Py_True);
    return 0;
  });
}
PyObject* requires_grad_(PyObject* self, PyObject* const* args, Py_ssize_t count, PyObject* names) {
  return guard([&]() -> PyObject* {
    static const Operation op = described("requires_grad_(Tensor self, bool requires_grad=True) -> Tensor");
    Value values[2];
    parse_or_fail(op, self, args, count, names, values);
    set_requires_grad(tensor_of(self), values[1].b);
    Py_INCREF(self);
    return self;
  });
}
}  // namespace

void show_memory(const Tensor& t, const Tensor& from, const Layout& layout) {
  if (!t->own_version) {
    const uint32_t version = t->version();
    t->own_version = Ref<Version>::adopt(new (allocate(sizeof(Version))) Version);
    t->own_version->value = version;
  }
  Ref<Storage> shown = from->storage;  // a copy: `from` may be t
  set_layout(t, layout);
  retire(std::exchange(t->storage, std::move(shown)));
}

namespace {

int set_data(PyObject* self, PyObject* value, void*) {
  return guard([&]() -> int {
    check(value && is_tensor(value), ErrorKind::type, "Variable data has to be a tensor, but got ",
          value ? type_name(value) : std::string("nothing"));
    const Tensor t = tensor_of(self), from = tensor_of(value);
    if (t.same(from)) return 0;
    check(!requires_grad(t) || is_differentiable(from.dtype()),
          "data set to a tensor that requires gradients must be floating point or complex dtype");
    t->dtype = from->dtype;
    show_memory(t, from, from.layout());
    t->is_view = false;
    if (t->autograd) t->autograd->base = Tensor();
    return 0;
  });
}
PyObject* detach_inplace(PyObject* self, PyObject*) {
  return guard([&]() -> PyObject* {
    const Tensor t = tensor_of(self);
    check(
        !(t->is_view && t->autograd && t->autograd->base),
        "Can't detach views in-place. Use detach() instead. If you "
        "are using DistributedDataParallel (DDP) for training, and gradient_as_bucket_view is set as True, gradients "
        "are views of DDP buckets, and hence detach_() cannot be called on these gradients. To fix this error, please "
        "refer to the Optimizer.zero_grad() function in torch/optim/optimizer.py as a solution.");
    if (t->autograd) {
      set_producer(t, {});
      t->autograd->requires_grad = false;
      t->needs_grad = false;
    }
    Py_INCREF(self);
    return self;
  });
}
// size() or stride(): one of the values, or all as make(values) gives them.
template <class F>
PyObject* value_of_dim(const Operation& op, PyObject* self, PyObject* const* args, Py_ssize_t count, PyObject* names,
                       Ints all, F make) {
  if (count == 0 && !names) return make(all);
  Value values[2];
  parse_or_fail(op, self, args, count, names, values);
  if (!values[1].present) return make(all);
  return PyLong_FromLongLong(all[size_t(wrap_dim(values[1].i, static_cast<int>(all.size()), false))]);
}
PyObject* size(PyObject* self, PyObject* const* args, Py_ssize_t count, PyObject* names) {
  return guard([&]() -> PyObject* {
    static const Operation op = described("size(Tensor self, int? dim=None) -> int");
    return value_of_dim(op, self, args, count, names, impl_of(self)->layout.shape, size_object);
  });
}
PyObject* stride(PyObject* self, PyObject* const* args, Py_ssize_t count, PyObject* names) {
  return guard([&]() -> PyObject* {
    static const Operation op = described("stride(Tensor self, int? dim=None) -> int");
    return value_of_dim(op, self, args, count, names, impl_of(self)->layout.strides, ints_object);
  });
}
PyObject* item(PyObject* self, PyObject*) {
  return guard([&]() -> PyObject* {
    const Tensor t = tensor_of(self);
    check(t.numel() == 1, "a Tensor with ", t.numel(), " elements cannot be converted to Scalar");
    return scalar_object(item_data(t));
  });
}
PyObject* make_subclass(PyObject*, PyObject* args, PyObject* kwargs) {
  static const char* names[] = {"cls", "data", "require_grad", nullptr};
  PyObject *type, *data;
  int require = 0;
  if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OO|p:_make_subclass", const_cast<char**>(names), &type, &data,
                                   &require)) {
    return nullptr;
  }
  return guard([&]() -> PyObject* {
    check(PyType_Check(type) && PyType_IsSubtype(reinterpret_cast<PyTypeObject*>(type), tensor_type), ErrorKind::type,
          "cls must be a type (got ", type_name(type), ")");
    check(is_tensor(data), ErrorKind::type, "_make_subclass(): argument 'data' (position 2) must be Tensor, not ",
          type_name(data));
    const Tensor from = tensor_of(data);
    Tensor t = detach(from);
    t->own_version = Ref<Version>::adopt(new (allocate(sizeof(Version))) Version);
    if (require) set_requires_grad(t, true);
    return wrap_as(reinterpret_cast<PyTypeObject*>(type), std::move(t));
  });
}
// _in_class(cls, tensor): a new tensor that no object shows yet, as an object of cls.
PyObject* in_class(PyObject*, PyObject* args) {
  PyObject *type, *data;
  if (!PyArg_ParseTuple(args, "OO:_in_class", &type, &data)) return nullptr;
  return guard([&]() -> PyObject* {
    check(PyType_Check(type) && PyType_IsSubtype(reinterpret_cast<PyTypeObject*>(type), tensor_type), ErrorKind::type,
          "as_subclass(): cls must be a subclass of Tensor (got ", type_name(type), ")");
    check(is_tensor(data), ErrorKind::type, "as_subclass(): expected a Tensor, not ", type_name(data));
    const Tensor t = tensor_of(data);
    return wrap_as(reinterpret_cast<PyTypeObject*>(type),
                   make_view("AliasBackward0", t, t.layout(), [](const Tensor& g) { return g; }));
  });
}
PyObject* tolist_method(PyObject* self, PyObject*) {
  return guard([&]() -> PyObject* {
    check(!without_elements(tensor_of(self)), ErrorKind::not_implemented, "Cannot copy out of meta tensor; no data!");
    return tolist(tensor_of(self));
  });
}
PyObject* is_contiguous(PyObject* self, PyObject* const* args, Py_ssize_t count, PyObject* names) {
  return guard([&]() -> PyObject* {
    if (count == 0 && !names) return PyBool_FromLong(impl_of(self)->contiguous);
    static const Operation op = described("is_contiguous(Tensor self, *, MemoryFormat? memory_format=None) -> bool");
    Value values[2];
    parse_or_fail(op, self, args, count, names, values);
    if (!values[1].present) return PyBool_FromLong(impl_of(self)->contiguous);
    const MemoryFormat wanted{static_cast<MemoryFormat::Kind>(values[1].i)};
    check(wanted.kind != MemoryFormat::preserve, "preserve memory format is unsupported by the contiguous operator");
    return PyBool_FromLong(wanted.fits(impl_of(self)->layout));
  });
}
#define BULSSI_METHOD(name, doc, expression)    \
  {name,                                        \
   [](PyObject* self, PyObject*) -> PyObject* { \
     return guard([&]() -> PyObject* {          \
       const Tensor t = tensor_of(self);        \
       return expression;                       \
     });                                        \
   },                                           \
   METH_NOARGS, doc}

}  // namespace

PyMethodDef tensor_methods[] = {
    {"requires_grad_", reinterpret_cast<PyCFunction>(reinterpret_cast<void*>(requires_grad_)),
     METH_FASTCALL | METH_KEYWORDS, "Sets whether operations on this leaf are recorded; returns self."},
    {"size", reinterpret_cast<PyCFunction>(reinterpret_cast<void*>(size)), METH_FASTCALL | METH_KEYWORDS,
     "The shape, or one size of it."},
    {"stride", reinterpret_cast<PyCFunction>(reinterpret_cast<void*>(stride)), METH_FASTCALL | METH_KEYWORDS,
     "The strides in elements, or one of them."},
    {"item", item, METH_NOARGS, "The only element as a Python number."},
    {"tolist", tolist_method, METH_NOARGS, "The elements as nested lists (a number for a 0-d tensor)."},
    {"detach_", detach_inplace, METH_NOARGS, "Takes self out of the graph; returns self."},
    {"_make_subclass", reinterpret_cast<PyCFunction>(reinterpret_cast<void*>(make_subclass)),
     METH_VARARGS | METH_KEYWORDS | METH_STATIC, nullptr},
    {"_in_class", in_class, METH_VARARGS | METH_STATIC, nullptr},
    {"is_contiguous", reinterpret_cast<PyCFunction>(reinterpret_cast<void*>(is_contiguous)),
     METH_FASTCALL | METH_KEYWORDS, "Whether the elements lie in memory in row-major order without gaps."},
    BULSSI_METHOD("dim", "The number of dimensions.", PyLong_FromLong(t.dims())),
    BULSSI_METHOD("ndimension", "The number of dimensions: dim().", PyLong_FromLong(t.dims())),
    BULSSI_METHOD("numel", "The number of elements.", PyLong_FromLongLong(t.numel())),
    BULSSI_METHOD("nelement", "The number of elements: numel().", PyLong_FromLongLong(t.numel())),
    BULSSI_METHOD("element_size", "The bytes of one element.", PyLong_FromLong(itemsize(t.dtype()))),
    BULSSI_METHOD("data_ptr", "The address of the first element; 0 where there are none.",
                  PyLong_FromVoidPtr(t.numel() && !without_elements(t) ? t->data() : nullptr)),
    BULSSI_METHOD("storage_offset", "Where the first element is in the storage, in elements.",
                  PyLong_FromLongLong(t.layout().offset)),
    // Of an inference tensor, it counts its own changes.
    BULSSI_METHOD("detach",
                  "A view of the same memory outside the graph: no gradient flows through it. Both count the changes "
                  "of the memory.",
                  wrap_like(self, t->inference ? data_of(t) : detach(t))),
    BULSSI_METHOD("is_floating_point", "Whether the dtype is a floating one.", PyBool_FromLong(is_floating(t.dtype()))),
    BULSSI_METHOD("is_complex", "Whether the dtype is a complex one.", PyBool_FromLong(is_complex(t.dtype()))),
    BULSSI_METHOD("is_signed", "Whether the dtype can hold negative numbers.", PyBool_FromLong(is_signed(t.dtype()))),
    BULSSI_METHOD("is_inference", "Whether it was made in inference mode, where nothing is recorded.",
                  PyBool_FromLong(t->inference)),
    BULSSI_METHOD("is_pinned", "False: there is no device to copy to.", PyBool_FromLong(0)),
    BULSSI_METHOD("_is_view", "Whether it is a view of another tensor.",
                  PyBool_FromLong(t->is_view && t->autograd && t->autograd->base)),
    BULSSI_METHOD("_storage_bytes", "The bytes of its storage.", PyLong_FromLongLong(t->storage->bytes)),
    BULSSI_METHOD("_storage_ptr", "The address of its storage.", PyLong_FromVoidPtr(t->storage->data)),
    {}};

PyGetSetDef tensor_properties[] = {
    {"__dict__", PyObject_GenericGetDict, PyObject_GenericSetDict, "The attributes that the program has set.", nullptr},
    BULSSI_GET("shape", "The sizes of the dimensions, a Size.", size_object(t.shape())),
    BULSSI_GET("ndim", "The number of dimensions.", PyLong_FromLong(t.dims())),
    BULSSI_GET("dtype", "The type of the elements.", (Py_INCREF(dtype_object(t.dtype())), dtype_object(t.dtype()))),
    BULSSI_GET("device", "Where the elements are.", device_object(t.device())),
    BULSSI_GET("itemsize", "The bytes of one element.", PyLong_FromLong(itemsize(t.dtype()))),
    BULSSI_GET("nbytes", "The bytes of all elements, without gaps.",
               PyLong_FromLongLong(t.numel() * itemsize(t.dtype()))),
    BULSSI_GET("T", "A view with the dimensions in reverse order.", wrap_like(self, reversed(t))),
    BULSSI_GET("mT", "A view with the last two dimensions exchanged.",
               (check(t.dims() >= 2, "tensor.mT is only supported on matrices or batches of matrices. Got ", t.dims(),
                      "-D tensor."),
                wrap_like(self, mT(t)))),
    BULSSI_GET("H", "The conjugate transpose of a matrix; of real numbers the view T.",
               (check(t.dims() == 2 || t.dims() == 0, "tensor.H is only supported on matrices (2-D tensors). Got ",
                      t.dims(), "-D tensor."),
                wrap_like(self, t.dims() ? mT(t) : t))),
    BULSSI_GET("mH", "mT, conjugated; of real numbers the view mT.",
               (check(t.dims() >= 2, "tensor.mH is only supported on matrices or batches of matrices. Got ", t.dims(),
                      "-D tensor."),
                wrap_like(self, mT(t)))),
    BULSSI_GET("real", "The real parts; of real numbers the tensor itself.",
               (check(!is_complex(t.dtype()), ErrorKind::not_implemented, "real: not for complex tensors"),
                Object::borrow(self).take())),
    BULSSI_GET("is_leaf", "Whether no operation that was recorded made it.", PyBool_FromLong(is_leaf(t))),
    BULSSI_GET("retains_grad", "Whether retain_grad() was called on a tensor that is no leaf.",
               PyBool_FromLong(t->autograd && t->autograd->retains_grad)),
    BULSSI_GET("grad_fn", "The node of the graph that made it, or None.", node_object(producer(t).get())),
    BULSSI_GET("output_nr", "Which result of grad_fn it is.",
               PyLong_FromLong(t->autograd ? t->autograd->result_index : 0)),
    BULSSI_GET("_version", "How many in-place changes its memory has seen.",
               (check(!t->inference || t->own_version, "Inference tensors do not track version counter."),
                PyLong_FromLong(t->version()))),
    BULSSI_GET("_base", "The tensor that it is a view of, or None.",
               wrap(t->is_view && t->autograd ? t->autograd->base : Tensor())),
    BULSSI_GET("is_cpu", "Whether its device is the CPU.", PyBool_FromLong(t.device().kind == DeviceKind::cpu)),
    BULSSI_GET("is_cuda", "Whether its device is a GPU of CUDA.", PyBool_FromLong(t.device().kind == DeviceKind::cuda)),
    BULSSI_GET("is_meta", "Whether it has a shape and no elements.",
               PyBool_FromLong(t.device().kind == DeviceKind::meta)),
    BULSSI_GET("layout", "torch.strided.", Object::borrow(strided_object()).take()),
#define BULSSI_NEVER(name) BULSSI_GET(name, "False.", PyBool_FromLong(0))  // of kinds that there are none of
    BULSSI_NEVER("is_sparse"),
    BULSSI_NEVER("is_sparse_csr"),
    BULSSI_NEVER("is_quantized"),
    BULSSI_NEVER("is_nested"),
    BULSSI_NEVER("is_mkldnn"),
    BULSSI_NEVER("is_mps"),
    BULSSI_NEVER("is_xpu"),
    BULSSI_NEVER("is_xla"),
    BULSSI_NEVER("is_ipu"),
    BULSSI_NEVER("is_maia"),
    BULSSI_NEVER("is_mtia"),
    BULSSI_NEVER("is_vulkan"),
#undef BULSSI_NEVER
    {"requires_grad",
     [](PyObject* self, void*)
         -> PyObject* { return guard([&]() -> PyObject* { return PyBool_FromLong(requires_grad(tensor_of(self))); }); },
     set_requires_grad_property, "Whether operations on it are recorded, for gradients.", nullptr},
    {"grad", get_grad, set_grad, "The gradient that backward() added up, or None.", nullptr},
    {"_grad", get_grad, set_grad, nullptr, nullptr},
    {"data",
     [](PyObject* self,
        void*) -> PyObject* { return guard([&]() -> PyObject* { return wrap_like(self, data_of(tensor_of(self))); }); },
     set_data, "The same memory outside the graph, with a version counter of its own.", nullptr},
    {}};

}  // namespace bulssi::python
