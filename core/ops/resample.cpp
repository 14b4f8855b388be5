// Resampling along one dimension: every element of the result is a weighted sum of few elements of the input.
#include <vector>

#include "core/base/threads.h"
#include "core/cpu/cpu.h"
#include "core/op/registry.h"
#include "core/op/tensor_math.h"
#include "core/ops/along.h"
#include "core/ops/basics.h"
#include "core/ops/index.h"

namespace bulssi {
namespace {

// (outer, size, inner) around a dimension of a row-major tensor.
struct Around {
  int64_t outer = 1, inner = 1;
  Around(const Tensor& t, int dim) {
    for (int d = 0; d < t.dims(); ++d) (d < dim ? outer : inner) *= d == dim ? 1 : t.shape()[d];
  }
};

// to[i] = sum over t of weight[t][i] * from[index[t][i]] along a dimension, or its adjoint: to has zeros then, and
// to[index[t][i]] += weight[t][i] * from[i]. `n` and `size` are the lengths of result and input.
template <class T, bool adjoint>
void resample_rows(const Around& a, int64_t n, int64_t size, int64_t taps, const int64_t* index, const T* weight,
                   const T* from, T* to) {
  const int64_t inner = a.inner, source = adjoint ? n : size, target = adjoint ? size : n;
  parallel_for(a.outer, std::max<int64_t>(1, 16384 / (n * inner * taps + 1)), [&](int64_t begin, int64_t end) {
    for (int64_t o = begin; o < end; ++o) {
      const T* in = from + o * source * inner;
      T* out = to + o * target * inner;
      if constexpr (!adjoint) std::fill_n(out, n * inner, T(0));
      if (inner == 1 && !adjoint) {
        for (int64_t t = 0; t < taps; ++t) add_picked(n, index + t * n, weight + t * n, in, out);
      } else if (inner == 1) {
        for (int64_t t = 0; t < taps; ++t)
          for (int64_t i = 0; i < n; ++i) out[index[t * n + i]] += weight[t * n + i] * in[i];
      } else {
        for (int64_t i = 0; i < n; ++i) {
          for (int64_t t = 0; t < taps; ++t) {
            const int64_t at = index[t * n + i];
            add_row(inner, in + (adjoint ? i : at) * inner, out + (adjoint ? at : i) * inner, weight[t * n + i]);
          }
        }
      }
    }
  });
}

Tensor resample(const Tensor& self, int64_t dim, const Tensor& index, const Tensor& weight);

// Of the weights, for input x and gradient g of the result (or the other way round for the adjoint).
Tensor weight_gradient(const Tensor& x, const Tensor& g, int64_t dim, const Tensor& index) {
  Dims others;
  for (int d = 0; d < x.dims(); ++d) {
    if (d != wrap_dim(dim, x.dims())) others.push_back(d);
  }
  std::vector<Tensor> taps;
  for (int64_t t = 0; t < index.shape()[0]; ++t) {
    const Tensor each = index_select(x, dim, select_index(index, 0, t)) * g;
    taps.push_back(unsqueeze(others.empty() ? each : sum(each, Ints(others), false, std::nullopt), 0));
  }
  return cat(taps, 0);
}

// The adjoint in self of resample, for a dimension of `size` elements.
Tensor resample_adjoint(const Tensor& g, int64_t dim, const Tensor& index, const Tensor& weight, int64_t size) {
  const int d = wrap_dim(dim, g.dims());
  Dims shape(g.shape());
  shape[d] = size;
  Tensor out = zeros(shape, g.dtype());
  if (g.numel() > 0 && !without_elements(g)) {
    const Tensor from = dense(g), at = index_data(index), by = dense(cast_data(weight, g.dtype()));
    const Unlocked unlocked(g.numel() * 2);
    dispatch(g.dtype(), "resample", [&]<class T>() {
      if constexpr (std::is_floating_point_v<T>)
        resample_rows<T, true>(Around(g, d), g.shape()[d], size, at.shape()[0], at.data<int64_t>(), by.data<T>(),
                               from.data<T>(), out.data<T>());
    });
  }
  return record("ResampleBackward0", {&g, &weight}, out,
                [dim](BackwardCall& c) {
                  if (c.needs(0)) c.set(0, resample(c.grad(), dim, c.saved(0), c.saved(1)));
                  if (c.needs(1)) c.set(1, weight_gradient(c.grad(), c.saved(2), dim, c.saved(0)));
                },
                {keep(index), keep(weight), keep(recording(weight) ? g : Tensor())});
}

Tensor resample(const Tensor& self, int64_t dim, const Tensor& index, const Tensor& weight) {
  const int d = wrap_dim(dim, self.dims());
  check(self.dtype() == DType::f32 || self.dtype() == DType::f64, "_resample: expected float32 or float64, got ",
        self.dtype());
  check(self.dims() > 0 && index.dims() == 2 && index.shape() == weight.shape() && is_integral(index.dtype()),
        "_resample: index and weight must be matrices of one shape (taps, length of the result), got ",
        Ints(index.shape()), " and ", Ints(weight.shape()));
  const int64_t taps = index.shape()[0], n = index.shape()[1], size = self.shape()[d];
  Dims shape(self.shape());
  shape[d] = n;
  Tensor out = empty(shape, self.dtype());
  if (out.numel() > 0 && !without_elements(out)) {
    const Tensor from = dense(self), at = index_data(index), by = dense(cast_data(weight, self.dtype()));
    check_range(at.data<int64_t>(), at.numel(), size, d, ErrorKind::index);
    const Unlocked unlocked(out.numel() * taps);
    dispatch(self.dtype(), "resample", [&]<class T>() {
      if constexpr (std::is_floating_point_v<T>)
        resample_rows<T, false>(Around(self, d), n, size, taps, at.data<int64_t>(), by.data<T>(), from.data<T>(),
                                out.data<T>());
    });
  }
  return record("ResampleBackward0", {&self, &weight}, out,
                [dim, size](BackwardCall& c) {
                  if (c.needs(0)) c.set(0, resample_adjoint(c.grad(), dim, c.saved(0), c.saved(1), size));
                  if (c.needs(1)) c.set(1, weight_gradient(c.saved(2), c.grad(), dim, c.saved(0)));
                },
                {keep(index), keep(weight), keep(recording(weight) ? self : Tensor())});
}
OPERATION("_resample(Tensor self, int dim, Tensor index, Tensor weight) -> Tensor", resample,
          "Along dim: the sum over t of weight[t, i] * self[index[t, i]].", {.method = false})

}  // namespace
}  // namespace bulssi
