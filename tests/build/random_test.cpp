// C entry points of core/cpu/random.h and random_distributions.h for test_random_stream.py.

#include "core/cpu/random.h"
#include "core/cpu/random_distributions.h"

#include <cstdio>
#include <cstring>

using bulssi::DType;
using bulssi::Generator;
using namespace bulssi::rng;

namespace {

// Passes a refusal on: 0, or its kind with the text in `message`.
int report(const Refusal& refusal, char* message) {
  std::snprintf(message, 1000, "%s", refusal.text.c_str());
  return refusal.kind;
}

}  // namespace

extern "C" {

int dtype_named(const char* name) {
  for (int i = 0; i < bulssi::dtype_count; ++i) {
    if (!std::strcmp(bulssi::dtype_name(DType(i)), name)) return i;
  }
  return -1;
}
int itemsize_of(int dtype) { return bulssi::itemsize(DType(dtype)); }

Generator* generator_new(uint64_t seed) { return new Generator(seed); }
Generator* generator_clone(const Generator* g) { return new Generator(*g); }
void generator_delete(Generator* g) { delete g; }
void generator_set_seed(Generator* g, uint64_t seed) { g->set_seed(seed); }
uint64_t generator_set_random_seed(Generator* g) { return g->set_random_seed(); }
uint64_t generator_seed(const Generator* g) { return g->seed(); }
uint32_t generator_random(Generator* g) { return g->random(); }
uint64_t generator_random64(Generator* g) { return g->random64(); }
void generator_discard(Generator* g, int64_t n) { g->discard(n); }
void generator_state(const Generator* g, uint8_t* out) { g->state(out); }
int generator_set_state(Generator* g, const uint8_t* bytes, size_t size, char* message) {
  std::string wrong = g->set_state(bytes, size);
  std::snprintf(message, 1000, "%s", wrong.c_str());
  return !wrong.empty();
}

int select_level(int level) { return select_kernels(level); }

int uniform(Generator* g, int type, void* out, int64_t n, double from, double to, char* message) {
  Refusal refusal = check_uniform(DType(type), from, to);
  if (!refusal) fill_uniform(*g, DType(type), out, n, from, to);
  return report(refusal, message);
}
int normal(Generator* g, int type, void* out, int64_t n, double mean, double std, int contiguous, char* message) {
  Refusal refusal = check_normal(DType(type), std);
  if (!refusal) fill_normal(*g, DType(type), out, n, mean, std, contiguous != 0);
  return report(refusal, message);
}
int random_any(Generator* g, int type, void* out, int64_t n, char* message) {
  fill_random(*g, DType(type), out, n);
  return report({}, message);
}
// `has_to` = 0 leaves the end open. A warning is reported as kind 10.
int integers(Generator* g, int type, void* out, int64_t n, int64_t from, int64_t to, int has_to, char* message) {
  IntegerRange range;
  Refusal refusal = check_range(DType(type), from, has_to ? std::optional<int64_t>(to) : std::nullopt, range);
  if (refusal) return report(refusal, message);
  fill_integers(*g, DType(type), out, n, range);
  std::snprintf(message, 1000, "%s", range.warning.c_str());
  return range.warning.empty() ? 0 : 10;
}
int permutation(Generator* g, int type, void* out, int64_t n, char* message) {
  Refusal refusal = check_permutation(DType(type), n);
  if (!refusal) fill_permutation(*g, DType(type), out, n);
  return report(refusal, message);
}
int bernoulli(Generator* g, int type, void* out, int64_t n, double p, char* message) {
  Refusal refusal = check_bernoulli(p);
  if (!refusal) fill_bernoulli(*g, DType(type), out, n, p);
  return report(refusal, message);
}
int bernoulli_each(Generator* g, int type, void* out, int64_t n, int p_type, const void* p, char* message) {
  return report(fill_bernoulli_each(*g, DType(type), out, n, DType(p_type), p), message);
}
int exponential(Generator* g, int type, void* out, int64_t n, double lambda, char* message) {
  Refusal refusal = check_exponential(DType(type), lambda);
  if (!refusal) fill_exponential(*g, DType(type), out, n, lambda);
  return report(refusal, message);
}
int cauchy(Generator* g, int type, void* out, int64_t n, double median, double sigma, char* message) {
  Refusal refusal = check_cauchy(DType(type), sigma);
  if (!refusal) fill_cauchy(*g, DType(type), out, n, median, sigma);
  return report(refusal, message);
}
int log_normal(Generator* g, int type, void* out, int64_t n, double mean, double std, char* message) {
  Refusal refusal = check_log_normal(DType(type), std);
  if (!refusal) fill_log_normal(*g, DType(type), out, n, mean, std);
  return report(refusal, message);
}
int geometric(Generator* g, int type, void* out, int64_t n, double p, char* message) {
  Refusal refusal = check_geometric(DType(type), p);
  if (!refusal) fill_geometric(*g, DType(type), out, n, p);
  return report(refusal, message);
}
int poisson(Generator* g, int type, void* out, int64_t n, const void* rate, char* message) {
  return report(fill_poisson(*g, DType(type), out, n, rate), message);
}
int binomial(Generator* g, int type, void* out, int64_t n, const void* count, const void* prob, char* message) {
  fill_binomial(*g, DType(type), out, n, count, prob);
  return report({}, message);
}
int gamma_(Generator* g, int type, void* out, int64_t n, const void* alpha, char* message) {
  fill_gamma(*g, DType(type), out, n, alpha);
  return report({}, message);
}
int dirichlet(Generator* g, int type, void* out, int64_t n, int64_t columns, const void* alpha, char* message) {
  fill_dirichlet(*g, DType(type), out, columns ? n / columns : 0, columns, alpha);
  return report({}, message);
}
// `shape` is rows, columns and their strides.
int multinomial(Generator* g, int type, int64_t* out, const void* p, const int64_t* shape, int64_t n_sample,
                int replacement, char* message) {
  return report(
      sample_multinomial(*g, DType(type), p, shape[0], shape[1], shape[2], shape[3], n_sample, replacement != 0, out),
      message);
}
int rrelu(Generator* g, int type, void* out, int64_t n, void* noise, const void* x, double lower, double upper,
          char* message) {
  fill_rrelu(*g, DType(type), out, noise, x, n, lower, upper);
  return report({}, message);
}
void order_of(int dims, const int64_t* sizes, const int64_t* strides, int* order) {
  visiting_order(dims, sizes, strides, order);
}
}
