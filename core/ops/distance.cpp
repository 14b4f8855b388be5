// Distances between all pairs of vectors.
#include <cmath>
#include <vector>

#include "core/base/threads.h"
#include "core/cpu/gemm.h"
#include "core/cpu/reduce.h"
#include "core/op/registry.h"
#include "core/op/tensor_math.h"
#include "core/ops/basics.h"
#include "core/ops/reduce.h"

namespace bulssi {

namespace {

// One distance, and its derivative with respect to a difference d (dist is the distance).
struct Zero {
  static double term(double d, double) { return d != 0; }
  static double finish(double sum, double) { return sum; }
  static double slope(double, double, double) { return 0; }
};
struct One {
  static double term(double d, double) { return std::fabs(d); }
  static double finish(double sum, double) { return sum; }
  static double slope(double d, double, double) { return (d > 0) - (d < 0); }
};
struct Two {
  static double term(double d, double) { return d * d; }
  static double finish(double sum, double) { return std::sqrt(sum); }
  static double slope(double d, double dist, double) { return dist == 0 ? 0 : d / dist; }
};
struct Any {
  static double term(double d, double p) { return std::pow(std::fabs(d), p); }
  static double finish(double sum, double p) { return std::pow(sum, 1 / p); }
  static double slope(double d, double dist, double p) {
    if (dist == 0 || d == 0) return 0;
    return std::copysign(std::pow(std::fabs(d) / dist, p - 1), d);
  }
};
struct Most {
  static double term(double d, double) { return std::fabs(d); }
  static double slope(double d, double dist, double) { return std::fabs(d) == dist ? (d > 0) - (d < 0) : 0; }
};

template <class F>
void with_norm(double p, F f) {
  if (p == 0)
    f.template operator()<Zero>();
  else if (p == 1)
    f.template operator()<One>();
  else if (p == 2)
    f.template operator()<Two>();
  else if (std::isinf(p))
    f.template operator()<Most>();
  else
    f.template operator()<Any>();
}

// The sizes of dense batches: (batch, rows, columns) and (batch, others, columns).
struct Pairs {
  int64_t batch, rows, others, columns;
};

template <class Norm, class T>
double distance(const T* a, const T* b, int64_t columns, double p) {
  double sum = 0;
  for (int64_t k = 0; k < columns; ++k) {
    const double d = static_cast<double>(a[k]) - static_cast<double>(b[k]);
    if constexpr (std::is_same_v<Norm, Most>)
      sum = std::isnan(d) || Norm::term(d, p) > sum ? Norm::term(d, p) : sum;
    else
      sum += Norm::term(d, p);
  }
  if constexpr (std::is_same_v<Norm, Most>)
    return sum;
  else
    return Norm::finish(sum, p);
}

template <class T>
void all_distances(const Pairs& n, const T* x, const T* y, double p, T* out) {
  const Unlocked unlocked(n.batch * n.rows * n.others * n.columns);
  with_norm(p, [&]<class Norm>() {
    const int64_t grain = std::max<int64_t>(1, 16384 / std::max<int64_t>(1, n.others * n.columns));
    parallel_for(n.batch * n.rows, grain, [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row) {
        const T* others = y + row / n.rows * n.others * n.columns;
        for (int64_t j = 0; j < n.others; ++j) {
          out[row * n.others + j] =
              static_cast<T>(distance<Norm>(x + row * n.columns, others + j * n.columns, n.columns, p));
        }
      }
    });
  });
}

// The gradient with respect to x, of the distances from y. (The other way round, with the roles exchanged.)
template <class T>
void distances_backward(const Pairs& n, const T* g, const T* x, const T* y, const T* dist, double p, bool swapped,
                        T* out) {
  const Unlocked unlocked(n.batch * n.rows * n.others * n.columns);
  with_norm(p, [&]<class Norm>() {
    const int64_t grain = std::max<int64_t>(1, 16384 / std::max<int64_t>(1, n.others * n.columns));
    parallel_for(n.batch * n.rows, grain, [&](int64_t begin, int64_t end) {
      std::vector<double> sums(static_cast<size_t>(n.columns));
      for (int64_t row = begin; row < end; ++row) {
        const int64_t batch = row / n.rows, i = row % n.rows;
        std::fill(sums.begin(), sums.end(), 0.0);
        for (int64_t j = 0; j < n.others; ++j) {
          const int64_t at = swapped ? (batch * n.others + j) * n.rows + i : row * n.others + j;
          const T* b = y + (batch * n.others + j) * n.columns;
          for (int64_t k = 0; k < n.columns; ++k) {
            const double d = static_cast<double>(x[row * n.columns + k]) - static_cast<double>(b[k]);
            sums[k] += static_cast<double>(g[at]) * Norm::slope(d, static_cast<double>(dist[at]), p);
          }
        }
        for (int64_t k = 0; k < n.columns; ++k) out[row * n.columns + k] = static_cast<T>(sums[k]);
      }
    });
  });
}

// The same in recorded operations, for derivatives of derivatives; (…, rows, others, columns) in memory.
Tensor slopes(const Tensor& d, const Tensor& dist, double p) {
  const Tensor sign = Fn<Sign>{}(d);
  if (p == 0) return zeros_like(d);
  if (p == 1) return sign;
  if (std::isinf(p)) return sign * cast(abs(d) == dist, d.dtype());
  const Tensor none = dist == 0.0, safe = select(none, 1.0, dist);
  if (p == 2) return select(none, 0.0, d / safe);
  const Tensor ratio = select(d == 0.0, 1.0, abs(d) / safe);
  const Operand list[] = {ratio};
  const Scalar exponent(p - 1);
  return select(none | (d == 0.0), 0.0, sign * call_formula(formulas[index_of<PowScalar>], list, &exponent));
}

void cdist_backward(BackwardCall& c, double p) {
  const Tensor x = c.saved(0), y = c.saved(1), dist = c.saved(2), g = c.grad();
  if (grad_state.enabled) {
    const Tensor wide = unsqueeze(dist, -1);
    const Tensor parts = unsqueeze(g, -1) * slopes(unsqueeze(x, -2) - unsqueeze(y, -3), wide, p);
    const auto over = [&](int64_t dim) { return sum(parts, Ints(&dim, 1), false, std::nullopt); };
    if (c.needs(0)) c.set(0, over(-2));
    if (c.needs(1)) c.set(1, -over(-3));
    return;
  }
  const int n = x.dims();
  const Pairs forward{numel_of(Ints(x.shape().data(), size_t(n - 2))), x.shape()[n - 2], y.shape()[n - 2],
                      x.shape()[n - 1]};
  const Pairs back{forward.batch, forward.others, forward.rows, forward.columns};
  const Tensor a = dense(x), b = dense(y), dg = dense(g), dd = dense(dist);
  dispatch(x.dtype(), "cdist", [&]<class T>() {
    if constexpr (std::is_floating_point_v<T>) {
      for (int k = 0; k < 2; ++k) {
        if (!c.needs(k)) continue;
        const Tensor &self = k == 0 ? a : b, &other = k == 0 ? b : a;
        Tensor out = empty(self.shape(), x.dtype());
        distances_backward<T>(k == 0 ? forward : back, dg.data<T>(), self.data<T>(), other.data<T>(), dd.data<T>(), p,
                              k == 1, out.data<T>());
        c.set(k, out);
      }
    }
  });
}

// Euclidean distances by one matrix product: |x - y|^2 = |x|^2 + |y|^2 - 2 x y. Fewer digits where points are close.
template <class T>
void product_distances(const Pairs& s, const T* x, const T* y, T* out) {
  const auto squares = [&](const T* rows, int64_t n) {
    std::vector<T> made(static_cast<size_t>(n));
    const auto sum = cpu::reduce_kernels().row[int(cpu::Monoid::squares)][std::is_same_v<T, double>];
    for (int64_t i = 0; i < n; ++i) sum(s.columns, rows + i * s.columns, nullptr, &made[static_cast<size_t>(i)]);
    return made;
  };
  for (int64_t k = 0; k < s.batch; ++k) {
    const T *a = x + k * s.rows * s.columns, *b = y + k * s.others * s.columns;
    T* to = out + k * s.rows * s.others;
    const std::vector<T> left = squares(a, s.rows), right = squares(b, s.others);
    for (int64_t i = 0; i < s.rows; ++i)
      for (int64_t j = 0; j < s.others; ++j)
        to[i * s.others + j] = left[static_cast<size_t>(i)] + right[static_cast<size_t>(j)];
    gemm(dtype_of<T>, false, true, s.rows, s.others, s.columns, Scalar(-2), a, s.columns, b, s.columns, Scalar(1), to,
         s.others);
  }
}

Tensor cdist(const Tensor& x1, const Tensor& x2, double p, bool by_product) {
  const Tensor* both[] = {&x1, &x2};
  for (int i = 0; i < 2; ++i) {
    check(is_floating(both[i]->dtype()), "cdist only supports floating-point dtypes, X", i + 1,
          " got: ", legacy_name(both[i]->dtype()));
    check(both[i]->dims() >= 2, "cdist only supports at least 2D tensors, X", i + 1, " got: ", both[i]->dims(), "D");
  }
  check(x1.shape().back() == x2.shape().back(),
        "X1 and X2 must have the same number of columns. X1: ", x1.shape().back(), " X2: ", x2.shape().back());
  check(x1.dtype() == x2.dtype(), "expected scalar type ", legacy_name(x1.dtype()), " but found ",
        legacy_name(x2.dtype()));
  check(!is_half(x1.dtype()), ErrorKind::not_implemented, "\"cdist\" not implemented for '", legacy_name(x1.dtype()),
        "'");
  check(p >= 0, "cdist only supports non-negative p values");
  const auto batch = [](const Tensor& t) { return Ints(t.shape().data(), size_t(t.dims() - 2)); };
  Dims lead = broadcast_shapes(batch(x1), batch(x2)), first = lead, second = lead, shape = lead;
  const int64_t rows = x1.shape()[x1.dims() - 2], others = x2.shape()[x2.dims() - 2], columns = x1.shape().back();
  first.push_back(rows), first.push_back(columns);
  second.push_back(others), second.push_back(columns);
  shape.push_back(rows), shape.push_back(others);
  const Tensor x = expand(x1, first), y = expand(x2, second);
  Tensor out = empty(shape, x.dtype());
  const Tensor a = dense(x), b = dense(y);
  dispatch(x.dtype(), "cdist", [&]<class T>() {
    if constexpr (std::is_floating_point_v<T>) {
      const Pairs pairs{numel_of(lead), rows, others, columns};
      if (by_product)
        product_distances<T>(pairs, a.data<T>(), b.data<T>(), out.data<T>());
      else
        all_distances<T>(pairs, a.data<T>(), b.data<T>(), p, out.data<T>());
    }
  });
  if (by_product) out = Fn<Sqrt>{}(Fn<Relu>{}(out));
  return record("CdistBackward0", {&x, &y}, out, [p](BackwardCall& c) { cdist_backward(c, p); },
                {keep(x), keep(y), result(out)});
}
OPERATION("cdist(Tensor x1, Tensor x2, float p=2.0, str compute_mode='use_mm_for_euclid_dist_if_necessary') -> Tensor",
          (+[](const Tensor& x1, const Tensor& x2, double p, std::string_view mode) {
            check(mode == "use_mm_for_euclid_dist_if_necessary" || mode == "use_mm_for_euclid_dist" ||
                      mode == "donot_use_mm_for_euclid_dist",
                  ErrorKind::value, mode, " is not a valid value for compute_mode");
            // When PyTorch does so, or when asked to; an empty or a meta tensor has nothing to multiply.
            const bool many =
                x1.dims() >= 2 && x2.dims() >= 2 && (x1.shape()[x1.dims() - 2] > 25 || x2.shape()[x2.dims() - 2] > 25);
            const bool product = p == 2 && mode[0] == 'u' && (many || mode == "use_mm_for_euclid_dist");
            return cdist(x1, x2, p, product && x1.numel() > 0 && x2.numel() > 0 && !without_elements(x1));
          }),
          "The p-norm distances between the rows of x1 (…, P, M) and those of x2 (…, R, M): (…, P, R).",
          {.method = false, .autocast = Autocast::float32})

}  // namespace
}  // namespace bulssi
