// Softmax, normalisation and cross-entropy along rows and columns; compiled once per ISA.
#include "core/cpu/kernel_table.h"
#include "core/cpu/reduce.h"

#include "core/cpu/reduce_monoids.h"

namespace bulssi::BULSSI_ISA {
namespace {

// The sum of f(Piece) over n elements: runs of 64 registers, then the runs' totals, so that errors stay small.
template <class T, class F>
BULSSI_INLINE T sum_over(int64_t n, F f) {
  constexpr int L = Vec<T>::lanes;
  constexpr int64_t run = 64 * L;
  Vec<T> all(0), c(0);
  for (int64_t start = 0; start < n; start += run) {
    const int64_t end = start + run < n ? start + run : n;
    Vec<T> a[4] = {Vec<T>(0), Vec<T>(0), Vec<T>(0), Vec<T>(0)};
    int64_t i = start;
    for (; i + 4 * L <= end; i += 4 * L) {
      for (int k = 0; k < 4; ++k) a[k] = a[k] + f(Piece<T>{i + k * L, L});
    }
    for (; i + L <= end; i += L) a[0] = a[0] + f(Piece<T>{i, L});
    if (i < end) {
      const Piece<T> p{i, int(end - i)};
      a[1] = a[1] + pick_lanes(p, f(p), T(0));
    }
    // Kahan's compensation between runs.
    const Vec<T> y = opaque((a[0] + a[1]) + (a[2] + a[3]) - c);
    const Vec<T> t = opaque(all + y);
    c = opaque(t - all) - y;
    c = select(c == c, c, Vec<T>(0));
    all = t;
  }
  return total(all);
}
template <class T>
BULSSI_INLINE T largest(int64_t n, const T* x) {
  constexpr int L = Vec<T>::lanes;
  constexpr auto combine = [](Vec<T> a, Vec<T> b) { return max(a, b); };
  Vec<T> a[4];
  for (auto& v : a) v = Vec<T>(lowest<T>);
  int64_t i = 0;
  for (; i + 4 * L <= n; i += 4 * L) {
    for (int k = 0; k < 4; ++k) a[k] = max(a[k], Vec<T>::load(x + i + k * L));
  }
  for (; i + L <= n; i += L) a[0] = max(a[0], Vec<T>::load(x + i));
  if (i < n) {
    const Piece<T> p{i, int(n - i)};
    a[1] = max(a[1], pick_lanes(p, p.load(x), lowest<T>));
  }
  return across(max(max(a[0], a[1]), max(a[2], a[3])), combine)[0];
}
template <class T>
BULSSI_INLINE T log_of(T x) {
  return vecmath::log(Vec<T>(x))[0];
}

template <class T, bool logarithm>
void softmax(int64_t n, const void* x_, void* y_) {
  const T* x = static_cast<const T*>(x_);
  T* y = static_cast<T*>(y_);
  const Vec<T> top(largest(n, x));
  if constexpr (logarithm) {
    const T s = sum_over<T>(n, [&](Piece<T> p) { return vecmath::exp(p.load(x) - top); });
    const Vec<T> log_s(log_of(s));
    for_vectors<T>(n, [&](Piece<T> p) { p.store((p.load(x) - top) - log_s, y); });
  } else {
    const T s = sum_over<T>(n, [&](Piece<T> p) {
      const Vec<T> e = vecmath::exp(p.load(x) - top);
      p.store(e, y);
      return e;
    });
    const Vec<T> scale(T(1) / s);
    for_vectors<T>(n, [&](Piece<T> p) { p.store(p.load(y) * scale, y); });
  }
}
template <class T, bool logarithm>
void softmax_columns(int64_t rows, int64_t stride, int64_t n, const void* x_, void* y_) {
  const T* x = static_cast<const T*>(x_);
  T* y = static_cast<T*>(y_);
  for_vectors<T>(n, [&](Piece<T> p) {
    Vec<T> top(lowest<T>), s(0);
    for (int64_t r = 0; r < rows; ++r) top = max(top, p.load(x + r * stride));
    for (int64_t r = 0; r < rows; ++r) {
      const Vec<T> e = vecmath::exp(p.load(x + r * stride) - top);
      s = s + e;
      if constexpr (!logarithm) p.store(e, y + r * stride);
    }
    const Vec<T> end = logarithm ? vecmath::log(s) : Vec<T>(1) / s;
    for (int64_t r = 0; r < rows; ++r) {
      if constexpr (logarithm)
        p.store((p.load(x + r * stride) - top) - end, y + r * stride);
      else
        p.store(p.load(y + r * stride) * end, y + r * stride);
    }
  });
}
template <class T, bool logarithm>
void softmax_backward(int64_t n, const void* g_, const void* y_, void* dx_) {
  const T *g = static_cast<const T*>(g_), *y = static_cast<const T*>(y_);
  T* dx = static_cast<T*>(dx_);
  const Vec<T> s(sum_over<T>(n, [&](Piece<T> p) { return logarithm ? p.load(g) : p.load(g) * p.load(y); }));
  for_vectors<T>(n, [&](Piece<T> p) {
    if constexpr (logarithm)
      p.store(p.load(g) - vecmath::exp(p.load(y)) * s, dx);
    else
      p.store((p.load(g) - s) * p.load(y), dx);
  });
}
template <class T, bool logarithm>
void softmax_backward_columns(int64_t rows, int64_t stride, int64_t n, const void* g_, const void* y_, void* dx_) {
  const T *g = static_cast<const T*>(g_), *y = static_cast<const T*>(y_);
  T* dx = static_cast<T*>(dx_);
  for_vectors<T>(n, [&](Piece<T> p) {
    Vec<T> s(0);
    for (int64_t r = 0; r < rows; ++r) {
      const int64_t at = r * stride;
      s = s + (logarithm ? p.load(g + at) : p.load(g + at) * p.load(y + at));
    }
    for (int64_t r = 0; r < rows; ++r) {
      const int64_t at = r * stride;
      if constexpr (logarithm)
        p.store(p.load(g + at) - vecmath::exp(p.load(y + at)) * s, dx + at);
      else
        p.store((p.load(g + at) - s) * p.load(y + at), dx + at);
    }
  });
}

template <class T>
void logsumexp(int64_t n, const void* x_, void* out) {
  const T* x = static_cast<const T*>(x_);
  T top = largest(n, x);
  if (top == highest<T> || top == lowest<T>) top = 0;
  const Vec<T> t(top);
  const T s = sum_over<T>(n, [&](Piece<T> p) { return vecmath::exp(p.load(x) - t); });
  *static_cast<T*>(out) = top + log_of(s);
}
template <class T>
void exp_scaled(int64_t n, const void* x_, const void* lse_, const void* scale_, const void* shift_, void* dx_) {
  const T* x = static_cast<const T*>(x_);
  T* dx = static_cast<T*>(dx_);
  const Vec<T> lse(*static_cast<const T*>(lse_)), scale(*static_cast<const T*>(scale_)),
      shift(shift_ ? *static_cast<const T*>(shift_) : T(0));
  for_vectors<T>(n, [&](Piece<T> p) { p.store(vecmath::exp(p.load(x) - lse) * scale + shift, dx); });
}

template <class T>
void moments(int64_t n, const void* x_, double eps, void* mean_, void* rstd_) {
  const T* x = static_cast<const T*>(x_);
  const T mean = sum_over<T>(n, [&](Piece<T> p) { return p.load(x); }) / T(n);
  const Vec<T> m(mean);
  const T squares = sum_over<T>(n, [&](Piece<T> p) {
    const Vec<T> d = p.load(x) - m;
    return d * d;
  });
  *static_cast<T*>(mean_) = mean;
  *static_cast<T*>(rstd_) = (Vec<T>(1) / sqrt(Vec<T>(squares / T(n) + T(eps))))[0];
}
template <class T>
void normalize(int64_t n, const void* x_, const void* mean_, const void* rstd_, const void* w_, const void* b_,
               void* y_) {
  const T *x = static_cast<const T*>(x_), *w = static_cast<const T*>(w_), *b = static_cast<const T*>(b_);
  T* y = static_cast<T*>(y_);
  const Vec<T> mean(*static_cast<const T*>(mean_)), rstd(*static_cast<const T*>(rstd_));
  for_vectors<T>(n, [&](Piece<T> p) {
    Vec<T> v = (p.load(x) - mean) * rstd;
    if (w) v = v * p.load(w);
    if (b) v = v + p.load(b);
    p.store(v, y);
  });
}
template <class T>
void normalize_backward(int64_t n, const void* g_, const void* x_, const void* mean_, const void* rstd_, const void* w_,
                        bool centred, void* dx_) {
  const T *g = static_cast<const T*>(g_), *x = static_cast<const T*>(x_), *w = static_cast<const T*>(w_);
  T* dx = static_cast<T*>(dx_);
  const Vec<T> mean(*static_cast<const T*>(mean_)), rstd(*static_cast<const T*>(rstd_));
  const auto gradient = [&](Piece<T> p) { return w ? p.load(g) * p.load(w) : p.load(g); };
  const T s1 = centred ? sum_over<T>(n, gradient) : T(0);
  const T s2 = sum_over<T>(n, [&](Piece<T> p) { return gradient(p) * ((p.load(x) - mean) * rstd); });
  const Vec<T> a(s1 / T(n)), b(s2 / T(n));
  for_vectors<T>(n, [&](Piece<T> p) { p.store((gradient(p) - a - (p.load(x) - mean) * rstd * b) * rstd, dx); });
}
template <class T>
void weight_gradient(int64_t n, const void* g_, const void* x_, const void* mean_, const void* rstd_, void* dw_,
                     void* db_) {
  const T *g = static_cast<const T*>(g_), *x = static_cast<const T*>(x_);
  T *dw = static_cast<T*>(dw_), *db = static_cast<T*>(db_);
  const Vec<T> mean(*static_cast<const T*>(mean_)), rstd(*static_cast<const T*>(rstd_));
  for_vectors<T>(n, [&](Piece<T> p) {
    const Vec<T> v = p.load(g);
    if (dw) p.store(p.load(dw) + v * ((p.load(x) - mean) * rstd), dw);
    if (db) p.store(p.load(db) + v, db);
  });
}

// ---- rows of one channel of one item
template <class T>
void sums_about_mean(int64_t n, const void* x_, void* mean_, void* squares_) {
  const T* x = static_cast<const T*>(x_);
  const T mean = sum_over<T>(n, [&](Piece<T> p) { return p.load(x); }) / T(n);
  const Vec<T> m(mean);
  *static_cast<T*>(mean_) = mean;
  *static_cast<T*>(squares_) = sum_over<T>(n, [&](Piece<T> p) {
    const Vec<T> d = p.load(x) - m;
    return d * d;
  });
}
template <class T>
void scale_and_shift(int64_t n, const void* x_, const void* numbers_, void* y_) {
  const T *x = static_cast<const T*>(x_), *numbers = static_cast<const T*>(numbers_);
  const Vec<T> mean(numbers[0]), scale(numbers[1]), shift(numbers[2]);
  T* y = static_cast<T*>(y_);
  for_vectors<T>(n, [&](Piece<T> p) { p.store((p.load(x) - mean) * scale + shift, y); });
}
template <class T>
void sums_with(int64_t n, const void* g_, const void* x_, const void* mean_, void* sum_, void* product_) {
  const T *g = static_cast<const T*>(g_), *x = static_cast<const T*>(x_);
  const Vec<T> mean(*static_cast<const T*>(mean_));
  *static_cast<T*>(sum_) = sum_over<T>(n, [&](Piece<T> p) { return p.load(g); });
  *static_cast<T*>(product_) = sum_over<T>(n, [&](Piece<T> p) { return p.load(g) * (p.load(x) - mean); });
}
template <class T>
void combine_with(int64_t n, const void* g_, const void* x_, const void* numbers_, void* dx_) {
  const T *g = static_cast<const T*>(g_), *x = static_cast<const T*>(x_), *numbers = static_cast<const T*>(numbers_);
  const Vec<T> mean(numbers[0]), a(numbers[1]), b(numbers[2]), c(numbers[3]);
  T* dx = static_cast<T*>(dx_);
  for_vectors<T>(n, [&](Piece<T> p) { p.store(p.load(g) * a + ((p.load(x) - mean) * b + c), dx); });
}

template <class T>
constexpr void add(cpu::RowTable& t, int c) {
  t.softmax[0][c] = softmax<T, false>, t.softmax[1][c] = softmax<T, true>;
  t.softmax_columns[0][c] = softmax_columns<T, false>, t.softmax_columns[1][c] = softmax_columns<T, true>;
  t.softmax_backward[0][c] = softmax_backward<T, false>, t.softmax_backward[1][c] = softmax_backward<T, true>;
  t.softmax_backward_columns[0][c] = softmax_backward_columns<T, false>;
  t.softmax_backward_columns[1][c] = softmax_backward_columns<T, true>;
  t.logsumexp[c] = logsumexp<T>, t.exp_scaled[c] = exp_scaled<T>, t.moments[c] = moments<T>;
  t.normalize[c] = normalize<T>, t.normalize_backward[c] = normalize_backward<T>;
  t.weight_gradient[c] = weight_gradient<T>;
  t.sums_about_mean[c] = sums_about_mean<T>, t.scale_and_shift[c] = scale_and_shift<T>;
  t.sums_with[c] = sums_with<T>, t.combine_with[c] = combine_with<T>;
}
constexpr cpu::RowTable make() {
  cpu::RowTable t;
  add<float>(t, 0), add<double>(t, 1);
  return t;
}
constexpr cpu::RowTable table = make();

}  // namespace
}  // namespace bulssi::BULSSI_ISA

KERNEL_TABLE(bulssi::cpu::RowTable, row, table)
