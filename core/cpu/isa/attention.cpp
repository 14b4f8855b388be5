// The rows of attention: weights from scores and their gradients. Compiled once per ISA.
#include "core/cpu/attention_kernels.h"

#include "core/cpu/kernel_table.h"
#include "core/cpu/reduce_monoids.h"

namespace bulssi::BULSSI_ISA {
namespace {

BULSSI_INLINE int64_t seen(int64_t i, int64_t n, int64_t first, int64_t more) {
  const int64_t count = first + i * more;
  return count < n ? count : n;
}

template <class T>
void softmax_row(int64_t n, T* x, const T* mask, T* sum) {
  Vec<T> most(lowest<T>);
  for_vectors<T>(n, [&](Piece<T> p) {
    Vec<T> v = p.load(x);
    if (mask) {
      v = v + p.load(mask);
      p.store(v, x);
    }
    most = max(most, pick_lanes(p, v, lowest<T>));
  });
  const T top = across(most, [](Vec<T> a, Vec<T> b) { return max(a, b); })[0];
  if (top == lowest<T>) {
    for_vectors<T>(n, [&](Piece<T> p) { p.store(Vec<T>(0), x); });
    *sum = highest<T>;
    return;
  }
  Vec<T> all(0);
  for_vectors<T>(n, [&](Piece<T> p) {
    const Vec<T> e = vecmath::exp(p.load(x) - top);
    all = all + pick_lanes(p, e, T(0));
    p.store(e, x);
  });
  const Vec<T> s(total(all)), scale = Vec<T>(1) / s;
  for_vectors<T>(n, [&](Piece<T> p) { p.store(p.load(x) * scale, x); });
  *sum = (vecmath::log(s) + top)[0];
}

template <class T>
void softmax(int64_t rows, int64_t n, int64_t stride, int64_t first, int64_t more, void* scores, const void* mask,
             int64_t mask_stride, void* sums) {
  for (int64_t i = 0; i < rows; ++i) {
    const int64_t count = seen(i, n, first, more);
    T* x = static_cast<T*>(scores) + i * stride;
    softmax_row(count, x, mask ? static_cast<const T*>(mask) + i * mask_stride : nullptr, static_cast<T*>(sums) + i);
    for (int64_t j = count; j < n; ++j) x[j] = 0;
  }
}

template <class T>
void backward(int64_t rows, int64_t n, int64_t stride, int64_t first, int64_t more, void* scores, void* grads,
              const void* mask_, int64_t mask_stride, const void* sums, const void* dots, double scale_) {
  const Vec<T> scale = Vec<T>(T(scale_));
  for (int64_t i = 0; i < rows; ++i) {
    const int64_t count = seen(i, n, first, more);
    T *x = static_cast<T*>(scores) + i * stride, *g = static_cast<T*>(grads) + i * stride;
    const T* mask = mask_ ? static_cast<const T*>(mask_) + i * mask_stride : nullptr;
    const Vec<T> sum(static_cast<const T*>(sums)[i]), shared(static_cast<const T*>(dots)[i]);
    for_vectors<T>(count, [&](Piece<T> p) {
      Vec<T> v = p.load(x);
      if (mask) v = v + p.load(mask);
      const Vec<T> weight = vecmath::exp(v - sum);
      p.store(weight, x);
      p.store(weight * (p.load(g) - shared) * scale, g);
    });
    for (int64_t j = count; j < n; ++j) x[j] = g[j] = 0;
  }
}

template <class T>
void dot(int64_t n, const void* a, const void* b, void* out) {
  Vec<T> all(0);
  for_vectors<T>(n,
                 [&](Piece<T> p) { all = all + p.load(static_cast<const T*>(a)) * p.load(static_cast<const T*>(b)); });
  *static_cast<T*>(out) = total(all);
}

template <class T>
constexpr void add(AttentionTable& t, int c) {
  t.softmax[c] = softmax<T>, t.backward[c] = backward<T>, t.dot[c] = dot<T>;
}
constexpr AttentionTable make() {
  AttentionTable t;
  add<float>(t, 0), add<double>(t, 1);
  return t;
}
constexpr AttentionTable table = make();

}  // namespace
}  // namespace bulssi::BULSSI_ISA

KERNEL_TABLE(bulssi::AttentionTable, attention, table)
