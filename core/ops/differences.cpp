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

// What PyTorch makes with a number that is no tensor has a node of another name.
Tensor times(const Tensor& t, double factor) {
  Tensor made = t * factor;
  show_as(made, "MulBackward1", Tensors(&t, 1));
  return made;
}
Tensor halved(const Tensor& t) {
  Tensor made = t / 2.0;
  show_as(made, "DivBackward1", Tensors(&t, 1));
  return made;
}

// Distances between neighbours of the points x, in a shape that fits y.
Tensor steps_of(const Tensor& x, const Tensor& y, int d) {
  Tensor spacing = x;
  if (x.dims() == 1 && y.dims() > 1) {
    check(x.shape()[0] == y.shape()[d], "trapezoid: There must be one `x` value for each sample point");
    Dims shape(y.dims(), 1);
    shape[d] = x.shape()[0];
    spacing = reshape(x, shape);
  }
  while (spacing.dims() < y.dims()) spacing = unsqueeze(spacing, 0);
  return later(spacing, d) - earlier(spacing, d);
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
  const int64_t along[] = {d};
  const auto total = [&](const Tensor& t) {
    if constexpr (running)
      return cumsum(t, d);
    else
      return sum(t, along, false, std::nullopt);
  };
  if (x) {
    const Tensor steps = steps_of(x, y, d);
    return halved(total((earlier(y, d) + later(y, d)) * steps));
  }
  if (running) return total(times(earlier(y, d) + later(y, d), dx / 2));
  return times(total(y) - times(select_index(y, d, 0) + select_index(y, d, y.shape()[d] - 1), 0.5), dx);
}
template <bool running>
Tensor integral_even(const Tensor& y, Scalar dx, int64_t dim) {
  check(dx.kind != Scalar::Kind::complex && dx.kind != Scalar::Kind::boolean,
        running ? "cumulative_trapezoid" : "trapezoid", ": Currently, we only support dx as a real number.");
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
