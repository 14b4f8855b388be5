// Softmax, log-softmax and log-sum-exp.
#include "core/base/threads.h"
#include "core/op/tensor_math.h"
#include "core/ops/reduce.h"

namespace bulssi {

using cpu::Monoid;

namespace {

constexpr int64_t grain = 1 << 14;

// Rows in parallel, or columns where dim is not the last.
template <class Rows, class Columns>
void along(const cpu::ReduceShape& s, Rows rows, Columns columns) {
  if (s.total() == 0) return;
  const Unlocked unlocked(s.total() * 4);
  if (s.inner == 1) {
    return parallel_for(s.outer, std::max<int64_t>(1, grain / s.reduced), [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) rows(r * s.reduced);
    });
  }
  constexpr int64_t tile = 64;
  const int64_t tiles = (s.inner + tile - 1) / tile;
  parallel_for(s.outer * tiles, std::max<int64_t>(1, grain / (std::min(tile, s.inner) * s.reduced)),
               [&](int64_t begin, int64_t end) {
                 for (int64_t k = begin; k < end; ++k) {
                   const int64_t i = k % tiles * tile;
                   columns(k / tiles * s.outer_stride + i, std::min(tile, s.inner - i));
                 }
               });
}

Tensor softmax_data(bool logarithm, const Tensor& t, int dim) {
  const Tensor x = dense(in_compute(t));
  Tensor y = empty(x.shape(), x.dtype());
  if (without_elements(y)) return cast_data(y, t.dtype());
  const int f = float_index(x.dtype()), size = itemsize(x.dtype());
  const cpu::ReduceShape s = shape_along(x, dim);
  const auto& k = cpu::row_kernels();
  const char* from = x->data();
  char* to = y->data();
  along(
      s, [&](int64_t at) { k.softmax[logarithm][f](s.reduced, from + at * size, to + at * size); },
      [&](int64_t at, int64_t n) {
        k.softmax_columns[logarithm][f](s.reduced, s.inner, n, from + at * size, to + at * size);
      });
  return cast_data(y, t.dtype());
}
Tensor softmax_backward(bool logarithm, const Tensor& g, const Tensor& y, int dim) {
  if (recording({&g, &y})) {
    const int64_t d = dim;
    const std::optional<Ints> dims = Ints(&d, 1);
    if (logarithm) return g - exp(y) * sum(g, dims, true, std::nullopt);
    return y * (g - sum(g * y, dims, true, std::nullopt));
  }
  const Tensor gx = dense(in_compute(g)), yx = dense(in_compute(y));
  Tensor dx = empty(y.shape(), yx.dtype());
  if (without_elements(dx)) return cast_data(dx, y.dtype());
  const int f = float_index(yx.dtype()), size = itemsize(yx.dtype());
  const cpu::ReduceShape s = shape_along(yx, dim);
  const auto& k = cpu::row_kernels();
  const char *gp = gx->data(), *yp = yx->data();
  char* to = dx->data();
  along(
      s,
      [&](int64_t at) { k.softmax_backward[logarithm][f](s.reduced, gp + at * size, yp + at * size, to + at * size); },
      [&](int64_t at, int64_t n) {
        k.softmax_backward_columns[logarithm][f](s.reduced, s.inner, n, gp + at * size, yp + at * size, to + at * size);
      });
  return cast_data(dx, y.dtype());
}

template <bool logarithm>
Tensor any_softmax(const Tensor& t, int64_t dim, std::optional<DType> dtype) {
  const int d = wrap_dim(dim, t.dims());
  const Tensor in = cast(t, dtype.value_or(t.dtype()));
  if (in.numel() == 0 && !is_floating(in.dtype())) return empty(in.shape(), in.dtype());
  if (!is_floating(in.dtype())) {
    const bool last = d + 1 >= t.dims();
    fail(ErrorKind::not_implemented, "\"", logarithm ? "log_softmax" : "softmax", last ? "_lastdim" : "",
         "_kernel_impl\" not implemented for '", legacy_name(in.dtype()), "'");
  }
  Tensor out = softmax_data(logarithm, in, d);
  return record(logarithm ? "LogSoftmaxBackward0" : "SoftmaxBackward0", {&in}, out,
                [d](BackwardCall& c) { c.set(0, softmax_backward(logarithm, c.grad(), c.saved(0), d)); },
                {result(out)});
}

}  // namespace

Tensor softmax(const Tensor& t, int64_t dim, std::optional<DType> dtype) { return any_softmax<false>(t, dim, dtype); }
Tensor log_softmax(const Tensor& t, int64_t dim, std::optional<DType> dtype) {
  return any_softmax<true>(t, dim, dtype);
}
OPERATION("softmax(Tensor self, int dim, ScalarType? dtype=None) -> Tensor", softmax,
          "exp(self) scaled to sum to 1 along dim. `dtype` converts self first.",
          {.out = true, .out_dtype = Traits::Out::exact})
OPERATION("log_softmax(Tensor self, int dim, ScalarType? dtype=None) -> Tensor", log_softmax,
          "Logarithm of the softmax along dim, without its overflow.", {.out = true, .out_dtype = Traits::Out::exact})
OPERATION("softmax(Tensor self, int dim, *, ScalarType? dtype=None) -> Tensor", softmax,
          "exp(self) scaled to sum to 1 along dim.", {.method = false, .module = "special"})
OPERATION("log_softmax(Tensor self, int dim, *, ScalarType? dtype=None) -> Tensor", log_softmax,
          "Logarithm of the softmax along dim.", {.method = false, .module = "special"})

Tensor logsumexp(const Tensor& t, Ints dims, bool keepdim) {
  const Tensor in = is_floating(t.dtype()) ? t : cast(t, default_dtype());
  const Reduced r(in, dims, keepdim);
  Tensor out;
  if (in.numel() == 0) {
    out = full(r.result_shape, Scalar(-INFINITY), in.dtype());
  } else {
    const Tensor x = in_compute(in);
    const Tensor top = reduce_data(Monoid::maximum, x, r);
    dispatch(top.dtype(), "logsumexp", [&]<class T>() {
      if (without_elements(top)) return;
      T* p = top.data<T>();
      for (int64_t i = 0; i < top.numel(); ++i) {
        if (std::isinf(static_cast<double>(p[i]))) p[i] = T(0);
      }
    });
    const Tensor total = reduce_data(Monoid::exponentials, x, r, top);
    GradMode off(false);
    out = cast_data(log(total) + top, in.dtype());
  }
  return record("LogsumexpBackward0", {&in}, out,
                [kept = r.kept_shape(in)](BackwardCall& c) {
                  const Tensor y = restored(c.saved(1), kept);
                  // Where the sum is infinite (or 0) exp(inf - inf) would be nan.
                  const Tensor finite = select((y == INFINITY) | (y == -INFINITY), zeros_like(y), y);
                  c.set(0, restored(c.grad(), kept) * exp(c.saved(0) - finite));
                },
                {keep(in), result(out)});
}
OPERATION("logsumexp(Tensor self, int[1] dim, bool keepdim=False) -> Tensor", logsumexp,
          "log(sum(exp(self))) over the dimensions dim, without overflow.",
          {.out = true, .out_dtype = Traits::Out::converted})
OPERATION("logsumexp(Tensor self, int[1] dim, bool keepdim=False) -> Tensor", logsumexp,
          "log(sum(exp(self))) over the dimensions dim, without overflow.",
          {.method = false, .out = true, .module = "special", .out_dtype = Traits::Out::converted})

}  // namespace bulssi
