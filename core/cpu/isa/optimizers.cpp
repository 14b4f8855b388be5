// One pass over a parameter, its gradient and its state, per optimizer; compiled once per ISA. The formulas are those
// of src/bulssi/optim/_fused.py, in the same order of operations.
#include "core/cpu/kernel_table.h"
#include "core/cpu/optimizers.h"

namespace bulssi::BULSSI_ISA {
namespace {

inline float root(float x) { return __builtin_sqrtf(x); }
inline double root(double x) { return __builtin_sqrt(x); }
inline float magnitude(float x) { return __builtin_fabsf(x); }
inline double magnitude(double x) { return __builtin_fabs(x); }
// NaN when either is.
template <class T>
inline T larger(T a, T b) {
  return a > b || a != a ? a : b;
}
// As lerp: from the nearer end.
template <class T>
inline T toward(T from, T to, T weight) {
  return weight < T(0.5) ? from + weight * (to - from) : to - (to - from) * (T(1) - weight);
}

// What all have in common: the pointers and the gradient with its sign and penalty.
template <class T, int Variant>
struct Pass {
  T* __restrict p;
  const T* __restrict g;
  T sign, penalty;
  Pass(void* const* data, const double* s)
      : p(static_cast<T*>(data[0])), g(static_cast<const T*>(data[1])), sign(T(s[0])), penalty(T(s[1])) {}
  T grad(int64_t i) const {
    T out = sign * g[i];
    if constexpr (Variant & 1) out += penalty * p[i];
    return out;
  }
};
template <class T>
T* state(void* const* data, int i) {
  return static_cast<T*>(data[2 + i]);
}

// States: momentum. Numbers: lr, momentum, 1 - dampening. Bits: 2 momentum, 4 nesterov, 8 first step.
template <class T, int V>
void sgd(int64_t n, void* const* data, const double* s) {
  const Pass<T, V> a(data, s);
  const T lr = T(-s[2]), momentum = T(s[3]), undamped = T(s[4]);
  T* __restrict buf = (V & 2) ? state<T>(data, 0) : nullptr;
  for (int64_t i = 0; i < n; ++i) {
    T d = a.grad(i);
    if constexpr (V & 2) {
      const T b = (V & 8) ? d : momentum * buf[i] + undamped * d;
      buf[i] = b;
      d = (V & 4) ? d + momentum * b : b;
    }
    a.p[i] += lr * d;
  }
}

// States: mean, mean of squares, largest mean of squares. Numbers: -step size, 1 - beta1, beta2, 1 - beta2,
// root of the second bias correction, eps, factor of the parameter (decoupled decay). Bits: 2 largest.
template <class T, int V>
void adam(int64_t n, void* const* data, const double* s) {
  const Pass<T, V> a(data, s);
  const T size = T(s[2]), w1 = T(s[3]), beta2 = T(s[4]), w2 = T(s[5]), bias = T(s[6]), eps = T(s[7]), keep = T(s[8]);
  T* __restrict m = state<T>(data, 0), * __restrict v = state<T>(data, 1);
  T* __restrict top = (V & 2) ? state<T>(data, 2) : nullptr;
  for (int64_t i = 0; i < n; ++i) {
    const T d = a.grad(i);
    const T mean = toward(m[i], d, w1);
    T square = v[i] * beta2 + w2 * d * d;
    m[i] = mean;
    v[i] = square;
    if constexpr (V & 2) top[i] = square = larger(top[i], square);
    a.p[i] = keep * a.p[i] + size * mean / (root(square) / bias + eps);
  }
}

// States: sum of squares. Numbers: -rate, eps.
template <class T, int V>
void adagrad(int64_t n, void* const* data, const double* s) {
  const Pass<T, V> a(data, s);
  const T rate = T(s[2]), eps = T(s[3]);
  T* __restrict sum = state<T>(data, 0);
  for (int64_t i = 0; i < n; ++i) {
    const T d = a.grad(i), total = sum[i] + d * d;
    sum[i] = total;
    a.p[i] += rate * d / (root(total) + eps);
  }
}

// States: mean of squares, mean of squared updates. Numbers: -lr, rho, 1 - rho, eps.
template <class T, int V>
void adadelta(int64_t n, void* const* data, const double* s) {
  const Pass<T, V> a(data, s);
  const T lr = T(s[2]), rho = T(s[3]), rest = T(s[4]), eps = T(s[5]);
  T* __restrict squares = state<T>(data, 0), * __restrict updates = state<T>(data, 1);
  for (int64_t i = 0; i < n; ++i) {
    const T d = a.grad(i), square = squares[i] * rho + rest * d * d;
    const T update = root(updates[i] + eps) / root(square + eps) * d;
    squares[i] = square;
    updates[i] = updates[i] * rho + rest * update * update;
    a.p[i] += lr * update;
  }
}

// States: mean, infinity norm. Numbers: -rate, 1 - beta1, beta2, eps.
template <class T, int V>
void adamax(int64_t n, void* const* data, const double* s) {
  const Pass<T, V> a(data, s);
  const T rate = T(s[2]), w1 = T(s[3]), beta2 = T(s[4]), eps = T(s[5]);
  T* __restrict m = state<T>(data, 0), * __restrict norm = state<T>(data, 1);
  for (int64_t i = 0; i < n; ++i) {
    const T d = a.grad(i), mean = toward(m[i], d, w1), top = larger(norm[i] * beta2, magnitude(d) + eps);
    m[i] = mean;
    norm[i] = top;
    a.p[i] += rate * mean / top;
  }
}

// States: mean, mean of squares. Numbers: factor of the gradient, factor of the mean, 1 - beta1, beta2, 1 - beta2,
// second bias correction, eps, factor of the parameter.
template <class T, int V>
void nadam(int64_t n, void* const* data, const double* s) {
  const Pass<T, V> a(data, s);
  const T by_grad = T(s[2]), by_mean = T(s[3]), w1 = T(s[4]), beta2 = T(s[5]), w2 = T(s[6]), bias = T(s[7]),
          eps = T(s[8]), keep = T(s[9]);
  T* __restrict m = state<T>(data, 0), * __restrict v = state<T>(data, 1);
  for (int64_t i = 0; i < n; ++i) {
    const T d = a.grad(i), mean = toward(m[i], d, w1), square = v[i] * beta2 + w2 * d * d;
    const T denom = root(square / bias) + eps;
    m[i] = mean;
    v[i] = square;
    a.p[i] = keep * a.p[i] + by_grad * d / denom + by_mean * mean / denom;
  }
}

// States: mean, mean of squares. Numbers: lr, 1 - beta1, beta2, 1 - beta2, first bias correction, root of the second,
// rectifier, eps, factor of the parameter. Bits: 2 rectified.
template <class T, int V>
void radam(int64_t n, void* const* data, const double* s) {
  const Pass<T, V> a(data, s);
  const T lr = T(s[2]), w1 = T(s[3]), beta2 = T(s[4]), w2 = T(s[5]), bias1 = T(s[6]), bias2 = T(s[7]),
          rectifier = T(s[8]), eps = T(s[9]), keep = T(s[10]);
  T* __restrict m = state<T>(data, 0), * __restrict v = state<T>(data, 1);
  for (int64_t i = 0; i < n; ++i) {
    const T d = a.grad(i), mean = toward(m[i], d, w1), square = v[i] * beta2 + w2 * d * d;
    T step = mean / bias1 * lr;
    if constexpr (V & 2) step = step * (bias2 / (root(square) + eps)) * rectifier;
    m[i] = mean;
    v[i] = square;
    a.p[i] = keep * a.p[i] - step;
  }
}

// States: mean of squares, momentum, mean. Numbers: -lr, alpha, 1 - alpha, eps, momentum. Bits: 2 momentum, 4 centered.
template <class T, int V>
void rmsprop(int64_t n, void* const* data, const double* s) {
  const Pass<T, V> a(data, s);
  const T lr = T(s[2]), alpha = T(s[3]), rest = T(s[4]), eps = T(s[5]), momentum = T(s[6]);
  T* __restrict squares = state<T>(data, 0);
  T* __restrict buf = (V & 2) ? state<T>(data, 1) : nullptr;
  T* __restrict means = (V & 4) ? state<T>(data, 2) : nullptr;
  for (int64_t i = 0; i < n; ++i) {
    const T d = a.grad(i), square = squares[i] * alpha + rest * d * d;
    squares[i] = square;
    T inside = square;
    if constexpr (V & 4) {
      const T mean = toward(means[i], d, rest);
      means[i] = mean;
      inside = square - mean * mean;
    }
    const T denom = root(inside) + eps;
    if constexpr (V & 2) {
      const T b = buf[i] * momentum + d / denom;
      buf[i] = b;
      a.p[i] += lr * b;
    } else {
      a.p[i] += lr * d / denom;
    }
  }
}

// States: last gradient, step size. Numbers: eta minus, eta plus, smallest and largest step size.
template <class T, int V>
void rprop(int64_t n, void* const* data, const double* s) {
  const Pass<T, V> a(data, s);
  const T shrink = T(s[2]), grow = T(s[3]), least = T(s[4]), most = T(s[5]);
  T* __restrict last = state<T>(data, 0), * __restrict size = state<T>(data, 1);
  for (int64_t i = 0; i < n; ++i) {
    T d = a.grad(i);
    const T turn = d * last[i];
    T step = size[i] * (turn > 0 ? grow : turn < 0 ? shrink : T(1));
    step = step < least ? least : step > most ? most : step;
    d = turn < 0 ? T(0) : d;
    size[i] = step;
    last[i] = d;
    a.p[i] -= (d > 0 ? T(1) : d < 0 ? T(-1) : T(0)) * step;  // the sign of nan is 0
  }
}

// States: average. Numbers: -rate, factor of the parameter, weight of the new value in the average.
// Bits: 2 the average is the new value.
template <class T, int V>
void asgd(int64_t n, void* const* data, const double* s) {
  const Pass<T, V> a(data, s);
  const T rate = T(s[2]), keep = T(s[3]), weight = T(s[4]);
  T* __restrict average = state<T>(data, 0);
  for (int64_t i = 0; i < n; ++i) {
    const T d = a.grad(i), value = keep * a.p[i] + rate * d;
    a.p[i] = value;
    average[i] = (V & 2) ? value : average[i] + (value - average[i]) * weight;
  }
}

template <int V>
constexpr void add(OptimizerTable& t) {
#define BULSSI_ADD(name, mask)                                         \
  if ((V & ~(mask)) == 0) {                                            \
    t.kernel[0][int(Optimizer::name)][V] = name<float, (V & (mask))>;  \
    t.kernel[1][int(Optimizer::name)][V] = name<double, (V & (mask))>; \
  }
  BULSSI_ADD(sgd, 15);
  BULSSI_ADD(adam, 3);
  BULSSI_ADD(adagrad, 1);
  BULSSI_ADD(adadelta, 1);
  BULSSI_ADD(adamax, 1);
  BULSSI_ADD(nadam, 1);
  BULSSI_ADD(radam, 3);
  BULSSI_ADD(rmsprop, 7);
  BULSSI_ADD(rprop, 0);
  BULSSI_ADD(asgd, 3);
#undef BULSSI_ADD
}
constexpr OptimizerTable make() {
  OptimizerTable t;
  add<0>(t), add<1>(t), add<2>(t), add<3>(t), add<4>(t), add<5>(t), add<6>(t), add<7>(t), add<8>(t), add<9>(t);
  add<10>(t), add<11>(t), add<12>(t), add<13>(t), add<14>(t), add<15>(t);
  return t;
}
constexpr OptimizerTable table = make();

}  // namespace
}  // namespace bulssi::BULSSI_ISA

KERNEL_TABLE(void, optimizers, table)
