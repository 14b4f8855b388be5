// Autocast on the CPU: arguments become a lower precision where that is quick and safe enough, float32 where it is not.
#include <unordered_map>

#include "core/ops/basics.h"
#include "core/python/modes.h"

namespace bulssi::python {

namespace {

struct State {
  bool enabled = false, inside = false, cache = true;
  DType dtype = DType::bf16;
  // Parameters that were converted, as long as the outermost block lasts: a weight that is used twice is converted
  // once. The key's tensor is kept alive, so that its address stays its own.
  std::unordered_map<TensorImpl*, std::pair<Tensor, Tensor>> converted;
};
thread_local State state;

// The table: PyTorch's for the CPU, under the names of the functions here. Functions that it does not name run on
// whatever they are given; composites among them have their parts converted, except those that are `as_is` because
// PyTorch's version is made of other parts.
struct Row {
  Autocast policy;
  std::string_view names;
};
constexpr Row table[] = {
    {Autocast::lower,
     " mm bmm matmul linear addmm baddbmm addbmm inner matrix_power tensordot chain_matmul cov prelu affine_grid"
     " convolution conv1d conv2d conv3d conv_tbc conv_transpose1d conv_transpose2d conv_transpose3d"
     " scaled_dot_product_attention nn.scaled_dot_product_attention nn.linear nn.prelu nn.convolution"
     " rnn_layer nn.rnn_layer linalg.vecdot linalg.matmul linalg.multi_dot linalg.matrix_power linalg_vecdot "},
    {Autocast::products, " _VF.einsum "},
    {Autocast::float32,
     " prod quantile nanquantile trace cdist polar view_as_complex stft inverse cholesky cholesky_inverse"
     " cholesky_solve lu_solve orgqr ormqr pinverse geqrf qr svd lstsq"
     " linalg.inv linalg.inv_ex linalg.svd linalg.svdvals linalg.solve linalg.qr linalg.eigh linalg.eigvalsh"
     " linalg.eig linalg.eigvals linalg.lstsq linalg.matrix_rank linalg.cond linalg.householder_product"
     " linalg.tensorinv linalg.tensorsolve linalg.cholesky linalg.cholesky_ex"
     " fft.fft fft.ifft fft.rfft fft.irfft fft.hfft fft.ihfft fft.fft2 fft.ifft2 fft.rfft2 fft.irfft2 fft.fftn"
     " fft.ifftn fft.rfftn fft.irfftn"
     " mse_loss l1_loss smooth_l1_loss huber_loss nll_loss cross_entropy _cross_entropy binary_cross_entropy"
     " binary_cross_entropy_with_logits kl_div cosine_embedding_loss hinge_embedding_loss poisson_nll_loss"
     " margin_ranking_loss multi_margin_loss soft_margin_loss triplet_margin_loss multilabel_margin_loss ctc_loss"
     " linear_cross_entropy avg_pool3d max_pool3d max_pool3d_with_indices adaptive_avg_pool3d adaptive_max_pool3d"
     " adaptive_max_pool3d_with_indices max_unpool1d max_unpool2d max_unpool3d fractional_max_pool2d"
     " fractional_max_pool2d_with_indices fractional_max_pool3d fractional_max_pool3d_with_indices grid_sample "},
    {Autocast::widest, " cat concat concatenate stack vstack hstack dstack column_stack row_stack index_copy "},
    {Autocast::as_is, " bilinear pairwise_distance cosine_similarity normalize interpolate fold unfold "},
};

bool eligible(const Tensor& t) {
  return t.dtype() == DType::f32 || t.dtype() == DType::f16 || t.dtype() == DType::bf16;
}

Tensor converted(const Tensor& t, DType to) {
  if (!eligible(t) || t.dtype() == to) return t;
  const bool keep =
      state.cache && to == state.dtype && t.dtype() == DType::f32 && requires_grad(t) && is_leaf(t) && !t->is_view;
  if (!keep) return cast(t, to);
  const auto found = state.converted.find(t.get());
  if (found != state.converted.end()) return found->second.second;
  const Tensor made = cast(t, to);
  state.converted.emplace(t.get(), std::pair(t, made));
  return made;
}

// Calls f(tensor) for the tensors of an argument, also those in a list or tuple.
template <class F>
void each_tensor(PyObject* o, F f) {
  if (is_tensor(o)) return f(tensor_of(o));
  if (!PyTuple_CheckExact(o) && !PyList_CheckExact(o)) return;
  for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(o); ++i) {
    if (is_tensor(PySequence_Fast_GET_ITEM(o, i))) f(tensor_of(PySequence_Fast_GET_ITEM(o, i)));
  }
}

DType target(Autocast policy, PyObject* const* args, Py_ssize_t count) {
  if (policy == Autocast::lower || policy == Autocast::products) return state.dtype;
  if (policy == Autocast::float32) return DType::f32;
  DType widest = state.dtype;
  for (Py_ssize_t i = 0; i < count; ++i) {
    each_tensor(args[i], [&](const Tensor& t) {
      if (eligible(t) && t.dtype() != state.dtype) widest = DType::f32;
    });
  }
  return widest;
}

PyObject* cast_object(PyObject* o, DType to) {
  if (is_tensor(o)) {
    const Tensor t = tensor_of(o);
    const Tensor made = converted(t, to);
    return made.get() == t.get() ? Object::borrow(o).take() : wrap(made);
  }
  if (!PyTuple_CheckExact(o) && !PyList_CheckExact(o)) return Object::borrow(o).take();
  const Py_ssize_t n = PySequence_Fast_GET_SIZE(o);
  Object made(must(PyTuple_New(n)));
  for (Py_ssize_t i = 0; i < n; ++i) {
    PyTuple_SET_ITEM(made.get(), i, cast_object(PySequence_Fast_GET_ITEM(o, i), to));
  }
  return made.take();
}

PyObject* set_autocast(PyObject*, PyObject* args) {
  int enabled, cache;
  PyObject* dtype;
  if (!PyArg_ParseTuple(args, "pOp", &enabled, &dtype, &cache)) return nullptr;
  return guard([&]() -> PyObject* {
    const DType to = dtype_value(dtype);
    active_modes += (enabled != 0) - state.enabled;
    state.enabled = enabled != 0;
    state.dtype = to;
    state.cache = cache != 0;
    Py_RETURN_NONE;
  });
}
PyObject* get_autocast(PyObject*, PyObject*) {
  return guard([&]() -> PyObject* {
    return Py_BuildValue("(NON)", PyBool_FromLong(state.enabled), dtype_object(state.dtype),
                         PyBool_FromLong(state.cache));
  });
}
PyObject* clear_cache(PyObject*, PyObject*) {
  const auto dropped = std::move(state.converted);  // their destructors may run Python
  state.converted.clear();
  Py_RETURN_NONE;
}

PyMethodDef functions[] = {
    {"_set_autocast", set_autocast, METH_VARARGS, "Sets autocast of this thread: enabled, dtype, cache."},
    {"_get_autocast", get_autocast, METH_NOARGS, "Autocast of this thread: enabled, dtype, cache."},
    {"_clear_autocast_cache", clear_cache, METH_NOARGS, "Forgets converted parameters."},
    {}};

}  // namespace

Autocast autocast_policy(std::string_view name) {
  static const std::unordered_map<std::string_view, Autocast> policies = [] {
    std::unordered_map<std::string_view, Autocast> made;
    for (const Row& row : table) {
      for (size_t at = 0; (at = row.names.find_first_not_of(' ', at)) != std::string_view::npos;) {
        const size_t end = row.names.find(' ', at);
        made.emplace(row.names.substr(at, end - at), row.policy);
        at = end;
      }
    }
    return made;
  }();
  const auto found = policies.find(name);
  return found == policies.end() ? Autocast::composite : found->second;
}

bool autocast_on() { return state.enabled && !state.inside; }
AutocastOff::AutocastOff() : before_(std::exchange(state.inside, true)) {}
AutocastOff::~AutocastOff() { state.inside = before_; }

CastArguments::CastArguments(Autocast policy, PyObject* const* args, Py_ssize_t count) {
  args_.reserve(static_cast<size_t>(count));
  int tensors = 0;
  for (Py_ssize_t i = 0; i < count; ++i) each_tensor(args[i], [&](const Tensor&) { ++tensors; });
  const bool cast = policy == Autocast::products ? tensors > 1 : policy != Autocast::as_is;
  const DType to = cast ? target(policy, args, count) : DType::f32;
  try {
    for (Py_ssize_t i = 0; i < count; ++i) {
      args_.push_back(cast ? cast_object(args[i], to) : Object::borrow(args[i]).take());
    }
  } catch (...) {
    for (PyObject* o : args_) Py_DECREF(o);
    throw;
  }
}
CastArguments::~CastArguments() {
  for (PyObject* o : args_) Py_DECREF(o);
}

void add_autocast(PyObject* module) { must(PyModule_AddFunctions(module, functions)); }

}  // namespace bulssi::python
