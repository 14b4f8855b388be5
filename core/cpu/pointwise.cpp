// The loops of all formulas, compiled once per ISA (BULSSI_ISA) and in parts (BULSSI_PART of BULSSI_PARTS).
#include "core/cpu/vec.h"
#include "core/cpu/vecmath.h"
//
#include "core/cpu/kernel.h"
#include "core/op/formulas.h"

namespace bulssi::BULSSI_ISA {
namespace {

template <class T>
struct Loader {
  using Register = Vec<T>;
  using Element = T;
  static BULSSI_INLINE Register load(const void* p, int64_t i) { return Vec<T>::load(static_cast<const T*>(p) + i); }
};
template <class T>
struct MaskLoader {
  using Register = Mask<T>;
  using Element = uint8_t;
  static BULSSI_INLINE Register load(const void* p, int64_t i) {
    return Mask<T>::load_bool(static_cast<const uint8_t*>(p) + i);
  }
};
template <class T>
BULSSI_INLINE void put(Vec<T> v, void* out, int64_t i) {
  v.store(static_cast<T*>(out) + i);
}
template <class T>
BULSSI_INLINE void put(Mask<T> m, void* out, int64_t i) {
  m.store_bool(static_cast<uint8_t*>(out) + i);
}
template <class T>
BULSSI_INLINE void put_constant(double v, void* out, int64_t i) {
  Vec<T>(v).store(static_cast<T*>(out) + i);
}

// `N` tensor arguments (the one at place `condition` is a mask), then `M` attributes, through f.
template <class T, int N, int M, int condition, class F>
BULSSI_INLINE void run(int64_t n, const void* const* in, void* out, F f) {
  constexpr int lanes = Vec<T>::lanes;
  constexpr auto tensors = std::make_integer_sequence<int, N>{};
  constexpr auto attributes = std::make_integer_sequence<int, M>{};
  auto step = [&]<int... K, int... A>(std::integer_sequence<int, K...>, std::integer_sequence<int, A...>,
                                      const void* const* p, int64_t i) __attribute__((always_inline)) {
    return f(std::conditional_t<K == condition, MaskLoader<T>, Loader<T>>::load(p[K], i)...,
             Vec<T>(*static_cast<const T*>(in[N + A]))...);
  };
  auto write = [&](auto value, void* to, int64_t i) __attribute__((always_inline)) {
    if constexpr (std::is_arithmetic_v<decltype(value)>)
      put_constant<T>(double(value), to, i);
    else
      put(value, to, i);
  };
  using Value = decltype(step(tensors, attributes, in, 0));
  constexpr int out_size = std::is_same_v<Value, Mask<T>> ? 1 : sizeof(T);
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) write(step(tensors, attributes, in, i), out, i);
  if (i < n) {  // the rest: the same code on padded registers
    alignas(64) unsigned char padded[N + 1][lanes * sizeof(T)] = {};
    const void* p[N];
    const int64_t left = n - i;
    for (int k = 0; k < N; ++k) {
      const int size = k == condition ? 1 : sizeof(T);
      if (in[k]) __builtin_memcpy(padded[k], static_cast<const char*>(in[k]) + i * size, left * size);
      p[k] = padded[k];
    }
    write(step(tensors, attributes, p, 0), padded[N], 0);
    __builtin_memcpy(static_cast<char*>(out) + i * out_size, padded[N], left * out_size);
  }
}

template <class D>
inline constexpr int condition_of = D::info.condition ? 0 : -1;

template <class D, class T>
void value(int64_t n, const void* const* in, void* out) {
  run<T, tensor_count<D>, attribute_count<D>, condition_of<D>>(
      n, in, out, [](auto... x) __attribute__((always_inline)) { return D::value(x...); });
}
template <class D, class T, int K>
void partial(int64_t n, const void* const* in, void* out) {
  constexpr int shifted = condition_of<D> < 0 ? -1 : condition_of<D> + 1;
  run<T, tensor_count<D> + 2, attribute_count<D>, shifted>(n, in, out, [](auto... x) __attribute__((always_inline)) {
    if constexpr (K == 0)
      return D::dx(x...);
    else if constexpr (K == 1)
      return D::dy(x...);
    else
      return D::dz(x...);
  });
}

template <class D>
constexpr FormulaKernels entry() {
  FormulaKernels k;
  constexpr bool whole = D::info.dtypes == bitwise || D::info.dtypes == Dtypes::integers;
  constexpr bool integers = D::info.dtypes == arithmetic || whole;
  constexpr bool floats = !whole;
  if constexpr (floats) {
    k.value[int(Compute::f32)] = value<D, float>;
    k.value[int(Compute::f64)] = value<D, double>;
  }
  if constexpr (integers) {
    k.value[int(Compute::i64)] = value<D, int64_t>;
    if constexpr (D::info.result == Result::boolean || D::info.dtypes == bitwise || D::info.condition) {
      k.value[int(Compute::u8)] = value<D, uint8_t>;
    }
  }
  if constexpr (declares_partial<D, 0>) k.partial[0][0] = partial<D, float, 0>, k.partial[0][1] = partial<D, double, 0>;
  if constexpr (declares_partial<D, 1>) k.partial[1][0] = partial<D, float, 1>, k.partial[1][1] = partial<D, double, 1>;
  if constexpr (declares_partial<D, 2>) k.partial[2][0] = partial<D, float, 2>, k.partial[2][1] = partial<D, double, 2>;
  return k;
}

template <int I>
constexpr FormulaKernels part_entry() {
  if constexpr (I % BULSSI_PARTS == BULSSI_PART)
    return entry<typename Nth<I>::type>();
  else
    return {};
}
struct Table {
  FormulaKernels kernels[formula_count];
};
template <int... I>
constexpr Table make(std::integer_sequence<int, I...>) {
  return {{part_entry<I>()...}};
}
constexpr Table table = make(std::make_integer_sequence<int, formula_count>{});

}  // namespace
}  // namespace bulssi::BULSSI_ISA

#define BULSSI_JOIN_(a, b, c, d) a##b##c##d
#define BULSSI_JOIN(a, b, c, d) BULSSI_JOIN_(a, b, c, d)
// This part's kernels, in the order of the formulas; empty entries belong to other parts.
extern "C" const bulssi::FormulaKernels* BULSSI_JOIN(bulssi_pointwise_, BULSSI_ISA, _, BULSSI_PART)() {
  return bulssi::BULSSI_ISA::table.kernels;
}
