// Every function of vecmath.h, applied to arrays: built for each ISA by test_vecmath.py.
#include "core/cpu/vecmath.h"

#include "core/cpu/reference_math.h"

namespace bulssi::BULSSI_ISA {
namespace {

struct Entry {
  const char* name;
  int arity;
  void (*single)(int64_t n, const float* x, const float* y, float* out);
  void (*dbl)(int64_t n, const double* x, const double* y, double* out);
  void (*reference)(int64_t n, const double* x, const double* y, double* out);
};

template <class T, class F>
void unary(int64_t n, const T* x, const T*, T* out) {
  constexpr int lanes = Vec<T>::lanes;
  T buffer[2][lanes] = {};
  for (int64_t i = 0; i < n; i += lanes) {
    int count = n - i < lanes ? int(n - i) : lanes;
    for (int k = 0; k < count; k++) buffer[0][k] = x[i + k];
    F()(Vec<T>::load(buffer[0])).store(buffer[1]);
    for (int k = 0; k < count; k++) out[i + k] = buffer[1][k];
  }
}
template <class T, class F>
void binary(int64_t n, const T* x, const T* y, T* out) {
  constexpr int lanes = Vec<T>::lanes;
  T buffer[3][lanes] = {};
  for (int64_t i = 0; i < n; i += lanes) {
    int count = n - i < lanes ? int(n - i) : lanes;
    for (int k = 0; k < count; k++) buffer[0][k] = x[i + k], buffer[1][k] = y[i + k];
    F()(Vec<T>::load(buffer[0]), Vec<T>::load(buffer[1])).store(buffer[2]);
    for (int k = 0; k < count; k++) out[i + k] = buffer[2][k];
  }
}
template <class F>
void unary_reference(int64_t n, const double* x, const double*, double* out) {
  for (int64_t i = 0; i < n; i++) out[i] = F()(x[i]);
}
template <class F>
void binary_reference(int64_t n, const double* x, const double* y, double* out) {
  for (int64_t i = 0; i < n; i++) out[i] = F()(x[i], y[i]);
}

#define UNARY(f)                                                                \
  [] {                                                                          \
    using F = decltype([](auto x) { return vecmath::f(x); });                   \
    using R = decltype([](double x) { return reference::f(x); });               \
    return Entry{#f, 1, unary<float, F>, unary<double, F>, unary_reference<R>}; \
  }()
#define BINARY(f)                                                                  \
  [] {                                                                             \
    using F = decltype([](auto x, auto y) { return vecmath::f(x, y); });           \
    using R = decltype([](double x, double y) { return reference::f(x, y); });     \
    return Entry{#f, 2, binary<float, F>, binary<double, F>, binary_reference<R>}; \
  }()

const Entry table[] = {
    UNARY(exp),
    UNARY(exp2),
    UNARY(expm1),
    UNARY(log),
    UNARY(log2),
    UNARY(log10),
    UNARY(log1p),
    UNARY(sigmoid),
    UNARY(softplus),
    UNARY(sinh),
    UNARY(cosh),
    UNARY(tanh),
    UNARY(asinh),
    UNARY(acosh),
    UNARY(atanh),
    UNARY(log_sigmoid),
    UNARY(cbrt),
    UNARY(sin),
    UNARY(cos),
    UNARY(tan),
    UNARY(sinc),
    UNARY(asin),
    UNARY(acos),
    UNARY(atan),
    UNARY(erf),
    UNARY(erfc),
    UNARY(erfcx),
    UNARY(ndtr),
    UNARY(ndtri),
    UNARY(log_ndtr),
    UNARY(erfinv),
    UNARY(lgamma),
    UNARY(digamma),
    UNARY(tgamma),
    UNARY(entr),
    UNARY(i0),
    UNARY(i0e),
    UNARY(i1),
    UNARY(i1e),
    UNARY(j0),
    UNARY(j1),
    UNARY(y0),
    UNARY(y1),
    UNARY(k0),
    UNARY(k1),
    UNARY(k0e),
    UNARY(k1e),
    BINARY(pow),
    BINARY(atan2),
    BINARY(hypot),
    BINARY(fmod),
    BINARY(remainder),
    BINARY(floor_divide),
    BINARY(nextafter),
    BINARY(logaddexp),
    BINARY(logaddexp2),
    BINARY(xlogy),
    BINARY(xlog1py),
    BINARY(zeta),
    BINARY(polygamma),
    BINARY(igamma),
    BINARY(igammac),
};

}  // namespace
}  // namespace bulssi::BULSSI_ISA

using bulssi::BULSSI_ISA::table;

extern "C" {
// The name and the number of arguments of function i; null behind the last.
const char* function_name(int i) { return i < int(sizeof(table) / sizeof(*table)) ? table[i].name : nullptr; }
int function_arity(int i) { return table[i].arity; }
void apply_single(int i, int64_t n, const float* x, const float* y, float* out) { table[i].single(n, x, y, out); }
void apply_double(int i, int64_t n, const double* x, const double* y, double* out) { table[i].dbl(n, x, y, out); }
void apply_reference(int i, int64_t n, const double* x, const double* y, double* out) {
  table[i].reference(n, x, y, out);
}
}
