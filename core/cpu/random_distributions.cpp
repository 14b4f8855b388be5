#include "random_distributions.h"

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "core/base/threads.h"
#include "random_elements.h"

// No product here is fused into a sum: PyTorch compiles these functions without FMA.
#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#elif defined(__FP_FAST_FMA)
#pragma GCC optimize("fp-contract=off")
#endif

namespace bulssi::rng {
namespace {

// Arithmetic on elements: half precision computes in float.
template <class T>
auto wide(T x) {
  if constexpr (sizeof(T) == 2)
    return float(x);
  else
    return x;
}

// ---- Poisson ----

double poisson_by_rejection(Generator& g, double rate) {
  const double root = std::sqrt(rate), log_rate = std::log(rate);
  const double b = 0.931 + 2.53 * root, a = -0.059 + 0.02483 * b;
  const double inverse_alpha = 1.1239 + 1.1328 / (b - 3.4), v_r = 0.9277 - 3.6224 / (b - 2);
  for (;;) {
    double u = g.uniform_double() - 0.5;
    double v = g.uniform_double();
    double us = 0.5 - std::fabs(u);
    double count = std::floor((2 * a / us + b) * u + rate + 0.43);
    if (us >= 0.07 && v <= v_r) return static_cast<double>(convert<int64_t>(count));
    if (count < 0 || (us < 0.013 && v > us)) continue;
    if (std::log(v) + std::log(inverse_alpha) - std::log(a / (us * us) + b) <=
        -rate + count * log_rate - std::lgamma(count + 1))
      return static_cast<double>(convert<int64_t>(count));
  }
}

double poisson(Generator& g, double rate) {
  if (rate >= 10) return poisson_by_rejection(g, rate);
  if (rate == 0) return 0;
  const double limit = std::exp(-rate);
  double count = 0;
  for (double product = g.uniform_double(); product > limit; product *= g.uniform_double()) ++count;
  return count;
}

// ---- Binomial ----

// log(k!) less Stirling's leading terms.
double stirling_tail(double k) {
  static constexpr double table[] = {0.0810614667953272,  0.0413406959554092, 0.0276779256849983, 0.02079067210376509,
                                     0.0166446911898211,  0.0138761288230707, 0.0118967099458917, 0.0104112652619720,
                                     0.00925546218271273, 0.00833056343336287};
  if (k >= 0 && k < 10) return table[static_cast<int>(k)];
  double square = (k + 1) * (k + 1);
  return (1.0 / 12 - (1.0 / 360 - 1.0 / 1260 / square) / square) / (k + 1);
}

template <class T>
T binomial_by_waiting(Generator& g, T count, T p) {
  const double log_failure = std::log1p(-p);  // in T, then widened
  double trials = 0;
  for (T successes = 0;; successes += 1) {
    trials += std::ceil(std::log(g.uniform_double()) / log_failure);
    if (trials > count) return successes;
  }
}

// Products and quotients of T alone are rounded to T: that is PyTorch's mixture of types.
template <class T>
T binomial_by_rejection(Generator& g, T count, T p) {
  const double deviation = std::sqrt(count * p * (1 - p));
  const double b = 1.15 + 2.53 * deviation, a = -0.0873 + 0.0248 * b + 0.01 * p;
  const double centre = count * p + 0.5, v_r = 0.92 - 4.2 / b;
  const double odds = p / (1 - p), alpha = (2.83 + 5.1 / b) * deviation;
  const double mode = std::floor((count + 1) * p);
  for (;;) {
    double u = g.uniform_double() - 0.5;
    double v = g.uniform_double();
    double us = 0.5 - std::abs(u);
    T k = static_cast<T>(std::floor((2 * a / us + b) * u + centre));
    if (k < 0 || k > count) continue;
    if (us >= 0.07 && v <= v_r) return k;
    double bound = (mode + 0.5) * std::log((mode + 1) / (odds * (count - mode + 1))) +
                   (count + 1) * std::log((count - mode + 1) / (count - k + 1)) +
                   (k + 0.5) * std::log(odds * (count - k + 1) / (k + 1)) + stirling_tail(mode) +
                   stirling_tail(count - mode) - stirling_tail(k) - stirling_tail(count - k);
    if (std::log(v * alpha / (a / (us * us) + b)) <= bound) return k;
  }
}

template <class T>
T binomial(Generator& g, T count, T p) {
  if (std::isnan(count) || std::isnan(p)) return std::numeric_limits<T>::quiet_NaN();
  if (count <= 0 || p <= 0) return 0;
  if (p >= 1) return count;
  const bool rare = p <= T(0.5);
  const T q = rare ? p : static_cast<T>(1.0 - p);
  const T drawn = count * q >= 10 ? binomial_by_rejection(g, count, q) : binomial_by_waiting(g, count, q);
  return rare ? drawn : count - drawn;
}

// ---- Gamma and Dirichlet ----

template <class T>
T gamma(Generator& g, T alpha) {
  double scale = 1;
  if (alpha < 1) {  // Gamma(a) is Gamma(a + 1) * U^(1/a)
    if (alpha == 0) return 0;
    scale *= std::pow(1 - g.uniform_double(), static_cast<double>(1 / alpha));
    alpha += 1;
  }
  const double d = alpha - T(1.0f / 3.0f);
  const double c = 1 / std::sqrt(9 * d);
  for (;;) {
    double x, y;
    do {
      x = g.normal_double();
      y = 1 + c * x;
    } while (y <= 0);
    double v = y * y * y;
    double u = 1 - g.uniform_double();
    double xx = x * x;
    if (u < 1 - 0.0331f * xx * xx) return static_cast<T>(scale * d * v);
    if (std::log(u) < 0.5 * xx + d * (1 - v + std::log(v))) return static_cast<T>(scale * d * v);
  }
}

template <class T>
T positive_gamma(Generator& g, T alpha) {
  T drawn = gamma(g, alpha);
  return drawn > std::numeric_limits<T>::min() ? drawn : std::numeric_limits<T>::min();
}

// Sum of x[0], x[stride], ... in PyTorch's order: blocks cascade through four levels of accumulators.
double cascade_sum(const double* x, int64_t stride, int64_t n) {
  constexpr int levels = 4;
  int log_n = 0;
  while ((int64_t{1} << log_n) < n) ++log_n;
  const int power = std::max(4, log_n / levels);
  const int64_t step = int64_t{1} << power;
  double sums[levels] = {};
  int64_t i = 0;
  while (i + step <= n) {
    for (int64_t end = i + step; i < end; ++i) sums[0] += x[i * stride];
    for (int level = 1; level < levels; ++level) {
      sums[level] += std::exchange(sums[level - 1], 0);
      if ((i & ((step - 1) << (level * power))) != 0) break;
    }
  }
  for (; i < n; ++i) sums[0] += x[i * stride];
  for (int level = 1; level < levels; ++level) sums[0] += sums[level];
  return sums[0];
}

// The same with four interleaved accumulators.
double interleaved_sum(const double* x, int64_t stride, int64_t n) {
  const int64_t quarter = n / 4;
  double sums[4];
  for (int k = 0; k < 4; ++k) sums[k] = cascade_sum(x + k * stride, 4 * stride, quarter);
  for (int64_t i = quarter * 4; i < n; ++i) sums[0] += x[i * stride];
  for (int k = 1; k < 4; ++k) sums[0] += sums[k];
  return sums[0];
}

double row_sum(const double* x, int64_t n) {
  constexpr int lanes = 4;  // of the kernel that PyTorch uses on AVX2 and AVX-512 machines alike
  if (n < lanes) return interleaved_sum(x, 1, n);
  double sum = 0;
  for (int64_t i = n / lanes * lanes; i < n; ++i) sum += x[i];
  for (int lane = 0; lane < lanes; ++lane) sum += interleaved_sum(x + lane, lanes, n / lanes);
  return sum;
}

// ---- Multinomial ----

// Weights of one row, in the arithmetic of their type.
template <class T>
struct Weights {
  const T* data;
  int64_t rows, columns, row_stride, column_stride;
  T at(int64_t row, int64_t column) const { return data[row * row_stride + column * column_stride]; }
};

// `inverting`: whether the weights go to with_replacement, where PyTorch has other messages.
template <class T>
Refusal check_weights(const Weights<T>& p, bool inverting) {
  for (int64_t r = 0; r < p.rows; ++r) {
    bool some = false;
    for (int64_t c = 0; c < p.columns; ++c) {
      const double value = static_cast<double>(p.at(r, c));
      some |= value > 0;
      if (value >= 0 && std::isfinite(value)) continue;
      std::string text = "probability tensor contains either `inf`, `nan` or element < 0";
      if (inverting)
        text = value >= 0 ? "invalid multinomial distribution (encountering probability entry = infinity or NaN)"
                          : "invalid multinomial distribution (encountering probability entry < 0)";
      return {Refusal::runtime_error, text + "\nmultinomial: the weight of category " + std::to_string(c) + " in row " +
                                          std::to_string(r) + " is " + number(value) + "."};
    }
    if (!some)
      return {Refusal::runtime_error,
              "invalid multinomial distribution (sum of probabilities <= 0)\nmultinomial: all weights of row " +
                  std::to_string(r) + " are zero."};
  }
  return {};
}

// Inverts the cumulative distribution, held in the weights' arithmetic.
template <class T>
void with_replacement(Generator& g, const Weights<T>& p, int64_t n_sample, int64_t* out) {
  using W = decltype(wide(T{}));
  std::vector<W> cumulative(p.columns);
  for (int64_t r = 0; r < p.rows; ++r) {
    W sum = 0;
    for (int64_t c = 0; c < p.columns; ++c) cumulative[c] = sum += wide(p.at(r, c));
    for (W& x : cumulative) x /= sum;
    cumulative.back() = 1;
    for (int64_t j = 0; j < n_sample; ++j) {
      if ((j & 0xffff) == 0xffff) check_interrupt();
      double u = g.uniform_double();
      auto slot = std::lower_bound(cumulative.begin(), cumulative.end(), u, [](W x, double v) { return x < v; });
      out[r * n_sample + j] = slot - cumulative.begin();
    }
  }
}

// The n greatest of weight / exponential, as in a race whose rates are the weights (Gumbel's trick, exponentiated).
template <class T>
void without_replacement(Generator& g, DType type, const Weights<T>& p, int64_t n_sample, int64_t* out) {
  const int64_t sizes[2] = {p.rows, p.columns}, strides[2] = {p.row_stride, p.column_stride};
  int order[2];
  visiting_order(2, sizes, strides, order);
  const bool rows_fastest = order[0] == 0;
  std::vector<T> times(p.rows * p.columns);
  fill_exponential(g, type, times.data(), p.rows * p.columns, 1);

  // Equal scores come out as PyTorch's topk leaves them, hence its algorithms (of the same standard library).
  using Entry = std::pair<decltype(wide(T{})), int64_t>;
  std::vector<Entry> entries(p.columns);
  auto greater = [](const Entry& a, const Entry& b) {
    return (std::isnan(a.first) && !std::isnan(b.first)) || a.first > b.first;
  };
  for (int64_t r = 0; r < p.rows; ++r) {
    for (int64_t c = 0; c < p.columns; ++c) {
      auto time = wide(times[rows_fastest ? c * p.rows + r : r * p.columns + c]);
      entries[c] = {wide(convert<T>(wide(p.at(r, c)) / time)), c};
    }
    auto begin = entries.begin(), end = entries.end();
    if (n_sample == 1) {  // argmax: the first of equals
      out[r] = std::min_element(begin, end, greater)->second;
      continue;
    }
    if (n_sample * 64 <= p.columns) {
      std::partial_sort(begin, begin + n_sample, end, greater);
    } else {
      std::nth_element(begin, begin + n_sample - 1, end, greater);
      std::sort(begin, begin + n_sample - 1, greater);
    }
    for (int64_t j = 0; j < n_sample; ++j) out[r * n_sample + j] = entries[j].second;
  }
}

// Calls f.operator()<T>() for float or double.
template <class F>
void with_real(DType type, F&& f) {
  type == DType::f64 ? f.template operator()<double>() : f.template operator()<float>();
}

}  // namespace

Refusal fill_poisson(Generator& g, DType type, void* out, int64_t n, const void* rate) {
  Refusal refusal;
  dispatch_floating(type, [&]<class T>() {
    const T* rates = static_cast<const T*>(rate);
    for (int64_t i = 0; i < n; ++i)
      if (double value = static_cast<double>(rates[i]); !(value >= 0)) {
        refusal = {Refusal::runtime_error, "invalid Poisson rate, expected rate to be non-negative\npoisson: element " +
                                               std::to_string(i) + " of the rates is " + number(value) + "."};
        return;
      }
    for (int64_t i = 0; i < n; ++i) static_cast<T*>(out)[i] = convert<T>(poisson(g, static_cast<double>(rates[i])));
  });
  return refusal;
}

void fill_binomial(Generator& g, DType type, void* out, int64_t n, const void* count, const void* prob) {
  with_real(type, [&]<class T>() {
    for (int64_t i = 0; i < n; ++i)
      static_cast<T*>(out)[i] = binomial(g, static_cast<const T*>(count)[i], static_cast<const T*>(prob)[i]);
  });
}

void fill_gamma(Generator& g, DType type, void* out, int64_t n, const void* alpha) {
  with_real(type, [&]<class T>() {
    for (int64_t i = 0; i < n; ++i) static_cast<T*>(out)[i] = positive_gamma(g, static_cast<const T*>(alpha)[i]);
  });
}

void fill_dirichlet(Generator& g, DType type, void* out, int64_t rows, int64_t columns, const void* alpha) {
  with_real(type, [&]<class T>() {
    const int64_t n = rows * columns;
    std::vector<double> drawn(n);
    for (int64_t i = 0; i < n; ++i) drawn[i] = positive_gamma<double>(g, static_cast<const T*>(alpha)[i]);
    const T least = std::numeric_limits<T>::min(), most = std::nextafter(T(1), T(0));
    for (int64_t r = 0; r < rows; ++r) {
      const double sum = row_sum(drawn.data() + r * columns, columns);
      for (int64_t i = r * columns; i < (r + 1) * columns; ++i)
        static_cast<T*>(out)[i] = std::min(most, std::max(least, static_cast<T>(drawn[i] / sum)));
    }
  });
}

Refusal sample_multinomial(Generator& g, DType type, const void* p, int64_t rows, int64_t columns, int64_t row_stride,
                           int64_t column_stride, int64_t n_sample, bool replacement, int64_t* out) {
  if (!is_floating(type))
    return {Refusal::runtime_error,
            std::string("multinomial only supports floating-point dtypes for input, got: ") + legacy_name(type)};
  if (n_sample <= 0) return {Refusal::runtime_error, "cannot sample n_sample <= 0 samples"};
  if (!replacement && n_sample > columns)
    return {Refusal::runtime_error,
            "cannot sample n_sample > prob_dist.size(-1) samples without replacement\nmultinomial: n_sample is " +
                std::to_string(n_sample) + ", there are " + std::to_string(columns) + " categories."};
  if (columns > int64_t{1} << 24) return {Refusal::runtime_error, "number of categories cannot exceed 2^24"};
  if (rows == 0) return {};
  Refusal refusal;
  dispatch_floating(type, [&]<class T>() {
    const Weights<T> weights{static_cast<const T*>(p), rows, columns, row_stride, column_stride};
    const bool inverting = replacement && n_sample > 1;  // one sample needs no replacement
    refusal = check_weights(weights, inverting);
    if (refusal) return;
    if (inverting)
      with_replacement(g, weights, n_sample, out);
    else
      without_replacement(g, type, weights, n_sample, out);
  });
  return refusal;
}

void fill_rrelu(Generator& g, DType type, void* out, void* noise, const void* x, int64_t n, double lower,
                double upper) {
  dispatch_floating(type, [&]<class T>() {
    using W = decltype(wide(T{}));
    const double low = static_cast<W>(lower), span = static_cast<W>(upper) - low;
    for (int64_t i = 0; i < n; ++i) {
      const T value = static_cast<const T*>(x)[i];
      if (wide(value) <= 0) {
        const W slope = static_cast<W>(g.uniform_double() * span + low);
        static_cast<T*>(out)[i] = convert<T>(wide(value) * slope);
        static_cast<T*>(noise)[i] = convert<T>(slope);
      } else {
        static_cast<T*>(out)[i] = value;
        static_cast<T*>(noise)[i] = convert<T>(1);
      }
    }
  });
}

}  // namespace bulssi::rng
