// Finite differences and the trapezoidal rule.
#include <vector>

#include "core/op/tensor_math.h"
#include "core/ops/reduce.h"

namespace bulssi {

namespace {

// Elements from the second on, and up to the last but one.
Tensor later(const Tensor& t, int d) { return narrow(t, d, 1, t.shape()[d] - 1); }
Tensor earlier(const Tensor& t, int d) { return narrow(t, d, 0, t.shape()[d] - 1); }

Tensor diff(const Tensor& t, int64_t n, int64_t dim, const Tensor& prepend, const Tensor& append) {
  check(t.dims() >= 1, "diff expects input to be at least one-dimensional");
  check(n >= 0, "order must be non-negative but got ", n);
  const int d = wrap_dim(dim, t.dims());
  Tensor x = t;
  if (prepend || append) {
    std::vector<Tensor> parts;
    if (prepend) parts.push_back(prepend);
    parts.push_back(t);
    if (append) parts.push_back(append);
    for (const Tensor& p : parts) {
      check(p.dims() == t.dims(), "diff expects prepend or append to be the same dimension as input");
    }
    x = cat(Tensors(parts), d);
  }
  if (n > x.shape()[d]) n = x.shape()[d];
  for (int64_t i = 0; i < n; ++i) {
    if (x.shape()[d] == 0) break;
    x = x.dtype() == DType::boolean ? later(x, d) != earlier(x, d) : later(x, d) - earlier(x, d);
  }
  return n == 0 ? clone(x) : x;
}

// Areas between neighbours; x null: spacing dx.
Tensor areas(const Tensor& y, const Tensor& x, double dx, int d) {
  if (!x) return (later(y, d) + earlier(y, d)) * (dx / 2);
  Tensor spacing = x;
  if (x.dims() == 1 && y.dims() > 1) {
    check(x.shape()[0] == y.shape()[d], "trapezoid: There must be one `x` value for each sample point");
    Dims shape(y.dims(), 1);
    shape[d] = x.shape()[0];
    spacing = reshape(x, shape);
  }
  while (spacing.dims() < y.dims()) spacing = unsqueeze(spacing, 0);
  const Tensor steps = later(spacing, d) - earlier(spacing, d);
  return steps * (later(y, d) + earlier(y, d)) / 2.0;
}
template <bool running>
Tensor integral(const Tensor& y, const Tensor& x, double dx, int64_t dim) {
  check(y.dtype() != DType::boolean, running ? "cumulative_trapezoid" : "trapezoid",
        ": received a bool input for `y`, but bool is not supported");
  const int d = wrap_dim(dim, y.dims());
  check(y.dims() > 0, ErrorKind::index, "trapezoid: y needs at least one dimension");
  if (y.shape()[d] == 0) {
    Dims shape = y.shape();
    if (!running) shape.erase(d);
    return zeros(shape, is_floating(y.dtype()) ? y.dtype() : default_dtype());
  }
  const Tensor a = areas(y, x, dx, d);
  const int64_t along = d;
  if constexpr (running)
    return cumsum(a, d);
  else
    return sum(a, Ints(&along, 1), false, std::nullopt);
}
template <bool running>
Tensor integral_even(const Tensor& y, Scalar dx, int64_t dim) {
  return integral<running>(y, Tensor(), dx.as_double(), dim);
}
template <bool running>
Tensor integral_at(const Tensor& y, const Tensor& x, int64_t dim) {
  return integral<running>(y, x, 1, dim);
}

}  // namespace

OPERATION("diff(Tensor self, int n=1, int dim=-1, Tensor? prepend=None, Tensor? append=None) -> Tensor", diff,
          "Differences of neighbours along dim, n times over.", {.kind = OpKind::composite, .out = true})
OPERATION("trapezoid(Tensor y, Tensor x, *, int dim=-1) -> Tensor", integral_at<false>,
          "Integral along dim by the trapezoidal rule, of values y at points x.",
          {.kind = OpKind::composite, .method = false, .aliases = "trapz"})
OPERATION("trapezoid(Tensor y, *, Scalar dx=1, int dim=-1) -> Tensor", integral_even<false>,
          "Integral along dim by the trapezoidal rule, of values y at points dx apart.",
          {.kind = OpKind::composite, .method = false, .aliases = "trapz"})
OPERATION("cumulative_trapezoid(Tensor y, Tensor x, *, int dim=-1) -> Tensor", integral_at<true>,
          "Running integral along dim by the trapezoidal rule, of values y at points x.",
          {.kind = OpKind::composite, .method = false})
OPERATION("cumulative_trapezoid(Tensor y, *, Scalar dx=1, int dim=-1) -> Tensor", integral_even<true>,
          "Running integral along dim by the trapezoidal rule, of values y at points dx apart.",
          {.kind = OpKind::composite, .method = false})

}  // namespace bulssi
