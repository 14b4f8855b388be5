// Reductions of contiguous rows and of columns; compiled once per ISA.
#include "core/cpu/kernel_table.h"
#include "core/cpu/reduce.h"

#include "core/cpu/reduce_monoids.h"

namespace bulssi::BULSSI_ISA {
namespace {

// Eight registers run side by side, then meet in a tree.
template <class M, class T>
void row(int64_t n, const void* x_, const void* c_, void* out) {
  using V = Vec<T>;
  constexpr int L = V::lanes, K = 8;
  const T* x = static_cast<const T*>(x_);
  const V c(c_ ? *static_cast<const T*>(c_) : T(0)), unit(M::template unit<T>);
  constexpr auto combine = [](V a, V b) { return M::combine(a, b); };
  if (n <= L) {
    if (n == L) {
      *static_cast<T*>(out) = across(M::map(V::load(x), c), combine)[0];
    } else {
      const V v = n ? select(first_lanes<T>(int(n)), M::map(load_some(x, int(n)), c), unit) : unit;
      *static_cast<T*>(out) = across(v, combine)[0];
    }
    return;
  }
  V a[K];
  for (int k = 0; k < K; ++k) a[k] = unit;
  int64_t i = 0;
  for (; i + K * L <= n; i += K * L) {
    for (int k = 0; k < K; ++k) a[k] = M::combine(a[k], M::map(V::load(x + i + k * L), c));
  }
  for (int k = 0; i < n; i += L, ++k) {
    const int64_t rest = n - i;
    const V v = rest >= L ? M::map(V::load(x + i), c)
                          : select(first_lanes<T>(int(rest)), M::map(load_some(x + i, int(rest)), c), unit);
    a[k] = M::combine(a[k], v);
  }
  for (int half = K / 2; half; half /= 2) {
    for (int k = 0; k < half; ++k) a[k] = M::combine(a[k], a[k + half]);
  }
  *static_cast<T*>(out) = across(a[0], combine)[0];
}

template <class T, int K>
struct Strip {
  Vec<T> v[K];
};
// K registers wide, down `rows` rows: pairwise above 64 rows, so that errors grow with the logarithm.
template <class M, class T, int K, bool partial>
__attribute__((noinline)) Strip<T, K> strip(int64_t rows, int64_t stride, const T* x, const T* c, int count) {
  using V = Vec<T>;
  constexpr int L = V::lanes;
  Strip<T, K> a;
  if (rows > 64) {
    const int64_t half = (rows / 2 + 63) / 64 * 64;
    a = strip<M, T, K, partial>(half, stride, x, c, count);
    const Strip<T, K> b = strip<M, T, K, partial>(rows - half, stride, x + half * stride, c, count);
    for (int k = 0; k < K; ++k) a.v[k] = M::combine(a.v[k], b.v[k]);
    return a;
  }
  V p[K];
  for (int k = 0; k < K; ++k) {
    a.v[k] = V(M::template unit<T>);
    p[k] = !c ? V(0) : partial ? load_some(c + k * L, count) : V::load(c + k * L);
  }
  for (int64_t r = 0; r < rows; ++r, x += stride) {
    for (int k = 0; k < K; ++k) {
      a.v[k] = M::combine(a.v[k], M::map(partial ? load_some(x + k * L, count) : V::load(x + k * L), p[k]));
    }
  }
  return a;
}
template <class M, class T>
void columns(int64_t rows, int64_t stride, int64_t n, const void* x_, const void* c_, void* out_) {
  constexpr int L = Vec<T>::lanes, K = 4;
  const T *x = static_cast<const T*>(x_), *c = static_cast<const T*>(c_);
  T* out = static_cast<T*>(out_);
  int64_t i = 0;
  for (; i + K * L <= n; i += K * L) {
    const Strip<T, K> s = strip<M, T, K, false>(rows, stride, x + i, c ? c + i : nullptr, L);
    for (int k = 0; k < K; ++k) s.v[k].store(out + i + k * L);
  }
  for (; i + L <= n; i += L) strip<M, T, 1, false>(rows, stride, x + i, c ? c + i : nullptr, L).v[0].store(out + i);
  if (i < n) {
    const int k = int(n - i);
    store_some(strip<M, T, 1, true>(rows, stride, x + i, c ? c + i : nullptr, k).v[0], out + i, k);
  }
}

template <class T>
int64_t find(int64_t n, const void* x_, const void* value) {
  using V = Vec<T>;
  const T* x = static_cast<const T*>(x_);
  const T wanted = *static_cast<const T*>(value);
  const V w(wanted);
  const bool nan = wanted != wanted;
  int64_t i = 0;
  for (; i + V::lanes <= n; i += V::lanes) {
    const V v = V::load(x + i);
    if (any(nan ? v != v : v == w)) break;
  }
  for (; i < n; ++i) {
    if (nan ? x[i] != x[i] : x[i] == wanted) return i;
  }
  return 0;
}

// Does v come before the best so far? The first nan wins for good.
template <bool smallest, class T>
BULSSI_INLINE Mask<T> beats(Vec<T> v, Vec<T> best) {
  const Mask<T> further = smallest ? v < best : v > best;
  if constexpr (detail::is_float<T>)
    return further | ((v != v) & (best == best));
  else
    return further;
}
template <class T, bool smallest>
void arg_columns(int64_t rows, int64_t stride, int64_t n, const void* x_, void* values_, int64_t* indices) {
  using V = Vec<T>;
  using I = typename V::I;
  const T* x = static_cast<const T*>(x_);
  T* values = static_cast<T*>(values_);
  if constexpr (sizeof(T) >= 4) {
    for_vectors<T>(n, [&](Piece<T> piece) {
      V best = piece.load(x);
      typename V::NI at{};
      for (int64_t r = 1; r < rows; ++r) {
        const V v = piece.load(x + r * stride);
        const Mask<T> m = beats<smallest>(v, best);
        best = select(m, v, best);
        at = m.m ? typename V::NI{} + I(r) : at;
      }
      piece.store(best, values);
      for (int k = 0; k < piece.count; ++k) indices[piece.at + k] = at[k];
    });
  } else {
    for (int64_t i = 0; i < n; ++i) {
      T best = x[i];
      int64_t at = 0;
      for (int64_t r = 1; r < rows; ++r) {
        const T v = x[r * stride + i];
        if (smallest ? v < best : v > best) best = v, at = r;
      }
      values[i] = best;
      indices[i] = at;
    }
  }
}

// ---- scans --------------------------------------------------------------------------------------------------------

template <class T>
struct WideOf {
  using type = T;
};
template <>
struct WideOf<float> {
  using type = double;
};
template <class T>
using Wide = typename WideOf<T>::type;

// Lanes moved up by `step`, units coming in.
template <int step, class W, int... L>
BULSSI_INLINE Vec<W> shift_up(Vec<W> v, Vec<W> unit, std::integer_sequence<int, L...>) {
  return __builtin_shufflevector(unit.v, v.v, (L < step ? L : int(sizeof...(L)) + L - step)...);
}
template <class W, int... L>
BULSSI_INLINE Vec<W> last_lane(Vec<W> v, std::integer_sequence<int, L...>) {
  return __builtin_shufflevector(v.v, v.v, (L * 0 + int(sizeof...(L)) - 1)...);
}
template <class M, class T>
void scan(int64_t n, const void* x_, void* y_, void* carry_) {
  using W = Wide<T>;
  using V = Vec<W>;
  constexpr int L = V::lanes;
  constexpr auto all = std::make_integer_sequence<int, L>{};
  typedef T Narrow __attribute__((vector_size(L * sizeof(T))));
  const T* x = static_cast<const T*>(x_);
  T* y = static_cast<T*>(y_);
  const V unit(M::template unit<W>);
  V carry(*static_cast<W*>(carry_));
  int64_t i = 0;
  for (; i + L <= n; i += L) {
    Narrow in;
    __builtin_memcpy(&in, x + i, sizeof in);
    V v = __builtin_convertvector(in, typename V::N);
    v = M::combine(shift_up<1>(v, unit, all), v);
    if constexpr (L >= 4) v = M::combine(shift_up<2>(v, unit, all), v);
    if constexpr (L >= 8) v = M::combine(shift_up<4>(v, unit, all), v);
    v = M::combine(carry, v);
    carry = last_lane(v, all);
    if (y) {
      const Narrow out = __builtin_convertvector(v.v, Narrow);
      __builtin_memcpy(y + i, &out, sizeof out);
    }
  }
  W total = carry[0];
  for (; i < n; ++i) {
    total = M::combine(Vec<W>(total), Vec<W>(W(x[i])))[0];
    if (y) y[i] = T(total);
  }
  *static_cast<W*>(carry_) = total;
}
template <class M, class T>
void scan_columns(int64_t rows, int64_t stride, int64_t n, const void* x_, void* y_, void* carry_) {
  using W = Wide<T>;
  W* carry = static_cast<W*>(carry_);
  for (int64_t r = 0; r < rows; ++r) {
    const T* x = static_cast<const T*>(x_) + r * stride;
    T* y = static_cast<T*>(y_) + r * stride;
    constexpr int L = Vec<W>::lanes;
    typedef T Narrow __attribute__((vector_size(L * sizeof(T))));
    int64_t i = 0;
    for (; i + L <= n; i += L) {
      Narrow in;
      __builtin_memcpy(&in, x + i, sizeof in);
      const Vec<W> v = M::combine(Vec<W>::load(carry + i), Vec<W>(__builtin_convertvector(in, typename Vec<W>::N)));
      v.store(carry + i);
      const Narrow out = __builtin_convertvector(v.v, Narrow);
      __builtin_memcpy(y + i, &out, sizeof out);
    }
    for (; i < n; ++i) {
      carry[i] = M::combine(Vec<W>(carry[i]), Vec<W>(W(x[i])))[0];
      y[i] = T(carry[i]);
    }
  }
}

// ---- the table ----------------------------------------------------------------------------------------------------

using cpu::Monoid;
using cpu::ReduceTable;

template <class M, class T>
constexpr void add(ReduceTable& t, Monoid m, int compute) {
  t.row[int(m)][compute] = row<M, T>;
  t.columns[int(m)][compute] = columns<M, T>;
}
template <class T>
constexpr void add_all(ReduceTable& t, int compute) {
  add<Maximum, T>(t, Monoid::maximum, compute), add<Minimum, T>(t, Monoid::minimum, compute);
  add<Any, T>(t, Monoid::any, compute), add<All, T>(t, Monoid::all, compute);
  t.find[compute] = find<T>;
  t.arg_columns[0][compute] = arg_columns<T, false>;
  t.arg_columns[1][compute] = arg_columns<T, true>;
  if constexpr (sizeof(T) >= 4) {
    add<Sum, T>(t, Monoid::sum, compute), add<Product, T>(t, Monoid::product, compute);
    t.scan[0][compute] = scan<Sum, T>;
    t.scan[1][compute] = scan<Product, T>;
    t.scan_columns[0][compute] = scan_columns<Sum, T>;
    t.scan_columns[1][compute] = scan_columns<Product, T>;
  }
  if constexpr (detail::is_float<T>) {
    add<NanSum, T>(t, Monoid::nansum, compute), add<Squares, T>(t, Monoid::squares, compute);
    add<Absolutes, T>(t, Monoid::absolutes, compute), add<MaxAbs, T>(t, Monoid::max_abs, compute);
    add<MinAbs, T>(t, Monoid::min_abs, compute), add<Powers, T>(t, Monoid::powers, compute);
    add<Exponentials, T>(t, Monoid::exponentials, compute);
  }
}
constexpr ReduceTable make() {
  ReduceTable t;
  add_all<float>(t, 0), add_all<double>(t, 1), add_all<int64_t>(t, 2), add_all<uint8_t>(t, 3);
  return t;
}
constexpr ReduceTable table = make();

}  // namespace
}  // namespace bulssi::BULSSI_ISA

KERNEL_TABLE(bulssi::cpu::ReduceTable, reduce, table)
