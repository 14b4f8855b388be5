// Running sums, products and extremes.
#include <cfloat>
#include <cmath>

#include "core/base/threads.h"
#include "core/op/tensor_math.h"
#include "core/ops/index.h"
#include "core/ops/reduce.h"

namespace bulssi {

namespace {

Tensor scan_data(bool product, const Tensor& t, int dim) {
  DType compute = compute_dtype(t.dtype());
  if (cpu::compute_of(compute) == Compute::u8) compute = DType::i64;
  const Tensor x = dense(cast_data(t, compute));
  Tensor out = empty(x.shape(), compute);
  if (!without_elements(out)) cpu::scan(product, cpu::compute_of(compute), shape_along(x, dim), x->data(), out->data());
  return cast_data(out, t.dtype());
}
Tensor reversed(const Tensor& t, int dim) {
  if (t.dims() == 0) return t;
  const int64_t d = dim;
  return flip(t, Ints(&d, 1));
}
Tensor reverse_cumsum(const Tensor& g, int dim) { return reversed(cumsum(reversed(g, dim), dim), dim); }

// d cumprod: g_i * y_i / x_i summed from the end, where no x is 0.
Tensor cumprod_backward(const Tensor& g, const Tensor& x, const Tensor& y, int dim) {
  if (x.numel() == 0) return zeros_like(x);
  if (x.dims() == 0 || x.shape()[dim] == 1) return g;
  const Tensor nonzero = reduce_data(cpu::Monoid::all, in_compute(x), Reduced(x, std::nullopt, false));
  if (item_data(nonzero).as_double() != 0) return reverse_cumsum(g * y, dim) / x;
  // With zeros: for every k, (product before k) * sum over i >= k of g_i * (product of k+1..i).
  const int64_t n = x.shape()[dim];
  Dims one = x.shape();
  one[dim] = 1;
  const Tensor ones = full(one, Scalar(1), x.dtype());
  std::vector<Tensor> parts;
  for (int64_t k = 0; k < n; ++k) {
    const Tensor after[] = {ones, narrow(x, dim, k + 1, n - k - 1)};
    const Tensor tail = cumprod(cat(after, dim), dim);
    const int64_t d = dim;
    Tensor part = sum(narrow(g, dim, k, n - k) * tail, Ints(&d, 1), true, std::nullopt);
    if (k > 0) part = part * prod(narrow(x, dim, 0, k), dim, true);
    parts.push_back(part);
  }
  return cat(Tensors(parts), dim);
}

Tensor scan_input(const char* op, const Tensor& t, std::optional<DType> dtype) {
  check(!recording(t) || !dtype || is_differentiable(*dtype) || dtype == DType::boolean,
        "Autograd not support dtype: ", legacy_name(dtype.value_or(t.dtype())));
  check(dtype != DType::boolean, ErrorKind::not_implemented, "\"", op, "_out_cpu\" not implemented for 'Bool'");
  return cast(t, dtype.value_or(category(t.dtype()) < 2 ? DType::i64 : t.dtype()));
}

}  // namespace

Tensor cumsum(const Tensor& t, int64_t dim, std::optional<DType> dtype) {
  const int d = wrap_dim(dim, t.dims());
  const Tensor in = scan_input("cumsum", t, dtype);
  return record("CumsumBackward0", in, scan_data(false, in, d), [d](const Tensor& g) { return reverse_cumsum(g, d); });
}
OPERATION("cumsum(Tensor self, int dim, *, ScalarType? dtype=None) -> Tensor", cumsum,
          "Running sums along dim; integers and bools are summed in int64.", {.inplace = true, .out = true})

Tensor cumprod(const Tensor& t, int64_t dim, std::optional<DType> dtype) {
  const int d = wrap_dim(dim, t.dims());
  const Tensor in = scan_input("cumprod", t, dtype);
  Tensor out = scan_data(true, in, d);
  return record("CumprodBackward0", {&in}, out,
                [d](BackwardCall& c) { c.set(0, cumprod_backward(c.grad(), c.saved(0), c.saved(1), d)); },
                {keep(in), result(out)});
}
OPERATION("cumprod(Tensor self, int dim, *, ScalarType? dtype=None) -> Tensor", cumprod,
          "Running products along dim; integers and bools are multiplied in int64.", {.inplace = true, .out = true})

// ---- running extremes ---------------------------------------------------------------------------------------------

namespace {

template <bool smallest>
std::tuple<Tensor, Tensor> running_extreme(const Tensor& t, int64_t dim) {
  check(t.dims() > 0 || dim == 0 || dim == -1, ErrorKind::index, smallest ? "cummin" : "cummax",
        "(): Expected reduction dim -1 or 0 for scalar but got ", dim);
  const int d = wrap_dim(dim, t.dims());
  const Tensor x = dense(t);
  Tensor values = empty(t.shape(), t.dtype()), indices = empty(t.shape(), DType::i64);
  const cpu::ReduceShape s = shape_along(x, d);
  dispatch(t.dtype(), smallest ? "cummin" : "cummax", [&]<class T>() {
    const T* from = x.data<T>();
    T* to = values.data<T>();
    int64_t* where = indices.data<int64_t>();
    const int64_t columns = t.numel() ? s.outer * s.inner : 0;
    const Unlocked unlocked(s.total());
    parallel_for(columns, std::max<int64_t>(1, 32768 / std::max<int64_t>(s.reduced, 1)),
                 [&](int64_t begin, int64_t end) {
                   for (int64_t k = begin; k < end; ++k) {
                     int64_t at = k / s.inner * s.outer_stride + k % s.inner, best_at = 0;
                     Accumulate<T> best = static_cast<Accumulate<T>>(from[at]);
                     for (int64_t r = 0; r < s.reduced; ++r, at += s.stride) {
                       const Accumulate<T> v = static_cast<Accumulate<T>>(from[at]);
                       // The latest of equals; once there is a nan, the latest nan.
                       if (v != v || (best == best && (smallest ? v <= best : v >= best))) best = v, best_at = r;
                       to[at] = convert<T>(best);
                       where[at] = best_at;
                     }
                   }
                 });
  });
  record_all(smallest ? "CumminBackward0" : "CummaxBackward0", {&t}, {values, indices},
             [d](BackwardCall& c) {
               if (c.grad()) c.set(0, scatter_add(zeros_like(c.grad()), d, c.saved(0), c.grad()));
             },
             {keep(indices), keep(t)});  // as PyTorch, which notices that self was changed
  return {values, indices};
}

}  // namespace
OPERATION("cummax(Tensor self, int dim) -> (Tensor values, Tensor indices)", running_extreme<false>,
          "Running maximum along dim, and where it was last reached.", {.out = true})
OPERATION("cummin(Tensor self, int dim) -> (Tensor values, Tensor indices)", running_extreme<true>,
          "Running minimum along dim, and where it was last reached.", {.out = true})

// ---- logcumsumexp -------------------------------------------------------------------------------------------------

static Tensor logcumsumexp(const Tensor& t, int64_t dim) {
  const int d = wrap_dim(dim, t.dims());
  check(is_floating(t.dtype()), ErrorKind::not_implemented, "\"logcumsumexp_out_cpu\" not implemented for '",
        legacy_name(t.dtype()), "'");
  const Tensor x = dense(in_compute(t));
  Tensor made = empty(t.shape(), x.dtype());
  const cpu::ReduceShape s = shape_along(x, d);
  dispatch(x.dtype(), "logcumsumexp_out_cpu", [&]<class T>() {
    if constexpr (std::is_floating_point_v<T>) {
      const T* from = x.data<T>();
      T* to = made.data<T>();
      const Unlocked unlocked(s.total() * 16);
      parallel_for(t.numel() ? s.outer * s.inner : 0, std::max<int64_t>(1, 2048 / std::max<int64_t>(s.reduced, 1)),
                   [&](int64_t begin, int64_t end) {
                     for (int64_t k = begin; k < end; ++k) {
                       int64_t at = k / s.inner * s.outer_stride + k % s.inner;
                       double total = -INFINITY;
                       for (int64_t r = 0; r < s.reduced; ++r, at += s.stride) {
                         const double v = static_cast<double>(from[at]);
                         const double high = std::max(total, v), low = std::min(total, v);
                         if (v != v || total != total)
                           total = NAN;
                         else
                           total = std::isinf(high) ? high : high + std::log1p(std::exp(low - high));
                         to[at] = static_cast<T>(total);
                       }
                     }
                   });
    }
  });
  Tensor out = cast_data(made, t.dtype());
  return record("LogcumsumexpBackward0", {&t}, out,
                [d](BackwardCall& c) {
                  // x_k gets sum over i >= k of g_i * exp(x_k - y_i): in logarithms, g's signs apart.
                  const Tensor g = c.grad(), x = c.saved(0), y = c.saved(1);
                  if (x.dims() == 0) return c.set(0, g);
                  // Not the infinity, which has no derivative, for those of this.
                  const double least = g.dtype() == DType::f16   ? -65504
                                       : g.dtype() == DType::f64 ? -DBL_MAX
                                       : g.dtype() == DType::f32 ? -FLT_MAX
                                                                 : -3.3895313892515355e38;
                  const Tensor low = full({}, Scalar(least), g.dtype());
                  const auto part = [&](const Tensor& log_g) {
                    return exp(reversed(logcumsumexp(reversed(log_g - y, d), d), d) + x);
                  };
                  const Tensor safe = select(g == 0.0, 1.0, g);
                  const Tensor positive = select(g <= 0.0, low, log(select(g > 0.0, safe, 1.0)));
                  const Tensor negative = select(g >= 0.0, low, log(select(g < 0.0, -safe, 1.0)));
                  c.set(0, part(positive) - part(negative));
                },
                {keep(t), result(out)});
}
OPERATION("logcumsumexp(Tensor self, int dim) -> Tensor", logcumsumexp,
          "log of the running sum of exp(self) along dim.", {.out = true})

}  // namespace bulssi
