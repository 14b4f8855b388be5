// Random tensors: each operation checks its arguments and hands runs of memory to the fills of cpu/random.h.
#include "core/ops/random.h"

#include <array>
#include <cmath>
#include <tuple>
#include <type_traits>

#include "core/base/threads.h"
#include "core/cpu/cpu.h"
#include "core/cpu/random_distributions.h"
#include "core/cpu/sample_gradients.h"
#include "core/op/registry.h"
#include "core/op/tensor_math.h"
#include "core/ops/basics.h"
#include "core/ops/create.h"

namespace bulssi {

Generator& default_generator() {
  static Generator g;
  return g;
}

DType drawable(DType dtype, const char* op) {
  check(!is_complex(dtype), ErrorKind::not_implemented, op, ": random ", dtype, " tensors are not supported");
  return dtype;
}

void raise(const rng::Refusal& refusal) {
  if (!refusal) return;
  fail(refusal.kind == rng::Refusal::not_implemented ? ErrorKind::not_implemented : ErrorKind::runtime, refusal.text);
}

namespace {

using OptDType = std::optional<DType>;
using OptDevice = std::optional<Device>;
using OptBool = std::optional<bool>;

// ---- order of memory ------------------------------------------------------------------------------------------------

// t with its dimensions in the order in which PyTorch visits them, the fastest one last.
Layout in_visiting_order(const Layout& l, Small<int, 6>* fastest_first) {
  fastest_first->resize(l.dims());
  rng::visiting_order(l.dims(), l.shape.data(), l.strides.data(), fastest_first->data());
  Dims slowest_first(static_cast<size_t>(l.dims()));
  for (int i = 0; i < l.dims(); ++i) slowest_first[i] = (*fastest_first)[l.dims() - 1 - i];
  return l.permuted(slowest_first);
}

// Calls fill(memory, n, contiguous) with the elements of t in the order in which PyTorch draws them.
template <class F>
void draw(const Tensor& t, F fill) {
  if (t.numel() == 0 || without_elements(t)) return;
  check_no_internal_overlap(t);
  bool forwards = true;
  for (int64_t s : t.strides()) forwards = forwards && s >= 0;
  if (t.contiguous() || (forwards && t.layout().dense())) {
    fill(static_cast<void*>(t->data()), t.numel(), t.contiguous());
    return;
  }
  Small<int, 6> order;
  const Layout visited = in_visiting_order(t.layout(), &order);
  const Tensor numbers = empty(visited.shape, t.dtype());
  fill(static_cast<void*>(numbers->data()), t.numel(), false);
  copy_data(alias(t, visited), numbers);
}

// ---- x.f_(…) --------------------------------------------------------------------------------------------------------

// Overwrites self in place; gradients stop there.
template <class F>
Tensor overwrite(const Tensor& self, const char* op, const char* node_name, F fill) {
  const bool record = recording(self);
  {
    GradMode mode(record);
    check_history(self, op);
  }
  Ref<Node> node;
  if (record) node = make_node(node_name, {&self}, [](const Tensor& g) { return zeros_like(g); });
  check_overlap(self, op, Overlap::refused);
  check_writable(self, op);
  draw(self, fill);
  changed_inplace(self, std::move(node), op);
  return self;
}
#define INPLACE {.function = false}

Tensor uniform_(const Tensor& self, double from, double to, Generator* g) {
  const DType type = drawable(self.dtype(), "uniform_");
  raise(rng::check_uniform(type, from, to));
  return overwrite(self, "uniform", "UniformBackward0",
                   [&](void* p, int64_t n, bool) { rng::fill_uniform(or_default(g), type, p, n, from, to); });
}
OPERATION("uniform_(Tensor self, float from=0, float to=1, *, Generator? generator=None) -> Tensor", uniform_,
          "Fills self with numbers uniform in [from, to).", INPLACE)

Tensor normal_(const Tensor& self, double mean, double std, Generator* g) {
  const DType type = drawable(self.dtype(), "normal_");
  raise(rng::check_normal(type, std));
  return overwrite(self, "normal", "NormalBackward0", [&](void* p, int64_t n, bool contiguous) {
    rng::fill_normal(or_default(g), type, p, n, mean, std, contiguous);
  });
}
OPERATION("normal_(Tensor self, float mean=0, float std=1, *, Generator? generator=None) -> Tensor", normal_,
          "Fills self with normal numbers.", INPLACE)

rng::IntegerRange checked_range(DType type, int64_t from, std::optional<int64_t> to) {
  rng::IntegerRange range;
  raise(rng::check_range(type, from, to, range));
  if (!range.warning.empty()) warn("UserWarning", range.warning);
  return range;
}
Tensor random_between_(const Tensor& self, int64_t from, std::optional<int64_t> to, Generator* g, const char* node) {
  const DType type = drawable(self.dtype(), "random_");
  const rng::IntegerRange range = checked_range(type, from, to);
  return overwrite(self, "random", node,
                   [&](void* p, int64_t n, bool) { rng::fill_integers(or_default(g), type, p, n, range); });
}
OPERATION("random_(Tensor self, int from, int? to, *, Generator? generator=None) -> Tensor",
          (+[](const Tensor& self, int64_t from, std::optional<int64_t> to, Generator* g) {
            return random_between_(self, from, to, g, "RandomBackward0");
          }),
          "Fills self with integers from, …, to - 1; without `to`, up to the dtype's greatest.", INPLACE)
OPERATION("random_(Tensor self, int to, *, Generator? generator=None) -> Tensor",
          (+[](const Tensor& self, int64_t to, Generator* g) {
            return random_between_(self, 0, to, g, "RandomBackward1");
          }),
          "Fills self with integers 0, …, to - 1.", INPLACE)
OPERATION("random_(Tensor self, *, Generator? generator=None) -> Tensor", (+[](const Tensor& self, Generator* g) {
            const DType type = drawable(self.dtype(), "random_");
            return overwrite(self, "random", "RandomBackward2",
                             [&](void* p, int64_t n, bool) { rng::fill_random(or_default(g), type, p, n); });
          }),
          "Fills self with integers from 0 to the dtype's greatest (2^24 for float32, 2^53 for float64).", INPLACE)

// One parameter, or two, after a check.
#define BULSSI_ONE(name, node, defaults, doc)                                                            \
  Tensor name##_(const Tensor& self, double a, Generator* g) {                                           \
    const DType type = drawable(self.dtype(), #name "_");                                                \
    raise(rng::check_##name(type, a));                                                                   \
    return overwrite(self, #name, node,                                                                  \
                     [&](void* p, int64_t n, bool) { rng::fill_##name(or_default(g), type, p, n, a); }); \
  }                                                                                                      \
  OPERATION(#name "_(Tensor self, " defaults ", *, Generator? generator=None) -> Tensor", name##_, doc, INPLACE)
#define BULSSI_TWO(name, node, defaults, doc)                                                               \
  Tensor name##_(const Tensor& self, double a, double b, Generator* g) {                                    \
    const DType type = drawable(self.dtype(), #name "_");                                                   \
    raise(rng::check_##name(type, b));                                                                      \
    return overwrite(self, #name, node,                                                                     \
                     [&](void* p, int64_t n, bool) { rng::fill_##name(or_default(g), type, p, n, a, b); }); \
  }                                                                                                         \
  OPERATION(#name "_(Tensor self, " defaults ", *, Generator? generator=None) -> Tensor", name##_, doc, INPLACE)
BULSSI_ONE(exponential, "ExponentialBackward0", "float lambd=1", "Fills self with exponential numbers of rate lambd.")
BULSSI_ONE(geometric, "GeometricBackward0", "float p",
           "Fills self with the number of trials up to the first success of probability p.")
BULSSI_TWO(cauchy, "CauchyBackward0", "float median=0, float sigma=1", "Fills self with Cauchy numbers.")
BULSSI_TWO(log_normal, "LogNormalBackward0", "float mean=1, float std=2",
           "Fills self with exponentials of normal numbers.")

// ---- Bernoulli ------------------------------------------------------------------------------------------------------

void draw_bernoulli(const Tensor& t, double p, Generator* g) {
  raise(rng::check_bernoulli(p));
  draw(t, [&](void* out, int64_t n, bool) {
    rng::fill_bernoulli(or_default(g), drawable(t.dtype(), "bernoulli"), out, n, p);
  });
}
// Element by element, self and p (already of self's shape) visited in the order of self.
void draw_bernoulli_each(const Tensor& self, const Tensor& p, Generator* g) {
  check(is_floating(p.dtype()), ErrorKind::not_implemented, "\"bernoulli_tensor_cpu_p_\" not implemented for '",
        legacy_name(p.dtype()), "'\nthe probabilities must be floating-point numbers");
  if (self.numel() == 0 || without_elements(self)) return;
  check_no_internal_overlap(self);
  Small<int, 6> order;
  const Layout visited = in_visiting_order(self.layout(), &order);
  Dims slowest_first(order.size());
  for (size_t i = 0; i < order.size(); ++i) slowest_first[i] = order[order.size() - 1 - i];
  const Tensor probabilities = dense(alias(p, p.layout().permuted(slowest_first)));
  const Tensor target = alias(self, visited);
  const Tensor numbers = target.contiguous() ? target : empty(visited.shape, self.dtype());
  raise(rng::fill_bernoulli_each(or_default(g), drawable(self.dtype(), "bernoulli"), numbers->data(), self.numel(),
                                 drawable(p.dtype(), "bernoulli"), probabilities->data()));
  if (!numbers.same(target)) copy_data(target, numbers);
}

OPERATION("bernoulli_(Tensor self, Tensor p, *, Generator? generator=None) -> Tensor",
          (+[](const Tensor& self, const Tensor& p, Generator* g) {
            const bool record = recording({&self, &p});
            {
              GradMode mode(record);
              check_history(self, "bernoulli");
            }
            Ref<Node> node;
            if (record) {
              node = make_node("BernoulliBackward1", {&self, &p}, [shape = p.shape()](BackwardCall& c) {
                if (c.needs(0)) c.set(0, zeros_like(c.grad()));
                if (c.needs(1)) c.set(1, zeros(shape, c.grad().dtype()));
              });
            }
            const Dims both = broadcast_shapes(self.shape(), p.shape());
            check(both == self.shape(), "output with shape ", Ints(self.shape()), " doesn't match the broadcast shape ",
                  Ints(both));
            check_overlap(self, "bernoulli", Overlap::refused);
            check_writable(self, "bernoulli");
            draw_bernoulli_each(self, alias(p, p.layout().broadcast(self.shape())), g);
            changed_inplace(self, std::move(node), "bernoulli");
            return self;
          }),
          "Element i becomes 1 with probability p[i], else 0.", INPLACE)
OPERATION("bernoulli_(Tensor self, float p=0.5, *, Generator? generator=None) -> Tensor",
          (+[](const Tensor& self, double p, Generator* g) {
            raise(rng::check_bernoulli(p));
            const DType type = drawable(self.dtype(), "bernoulli_");
            return overwrite(self, "bernoulli", "BernoulliBackward2",
                             [&](void* out, int64_t n, bool) { rng::fill_bernoulli(or_default(g), type, out, n, p); });
          }),
          "Every element becomes 1 with probability p, else 0.", INPLACE)

// Where an operation writes: `out` in the wanted shape, or a new tensor. Functions with out= draw straight into it, so
// that its dtype and its order of memory choose the numbers, as they do in PyTorch.
Tensor target(const Tensor& out, Ints shape, OptDType dtype, DType otherwise, const char* op) {
  for (int64_t s : shape) check(s >= 0, "Trying to create tensor with negative dimension ", s, ": ", shape);
  if (!out) return empty(shape, dtype.value_or(otherwise));
  check(!dtype || *dtype == out.dtype(), "dtype ", legacy_name(dtype.value_or(otherwise)),
        " does not match dtype of out parameter (", legacy_name(out.dtype()), ")");
  check(!recording(out), op,
        "(): functions with out=... arguments don't support automatic differentiation, but one of "
        "the arguments requires grad.");
  resize_output(out, shape);
  check_no_internal_overlap(out);
  return out;
}
// The end of an operation that may have written into out.
Tensor written(const Tensor& t, const Tensor& out) {
  if (out) out->bump_version();
  return t;
}
// A result whose distribution depends on p, through which no gradient flows.
Tensor recorded_zero(const char* node, const Tensor& p, Tensor made) {
  return record(node, p, std::move(made), [shape = p.shape()](const Tensor& g) { return zeros(shape, g.dtype()); });
}

OPERATION("bernoulli(Tensor self, *, Generator? generator=None, Tensor? out=None) -> Tensor",
          (+[](const Tensor& p, Generator* g, const Tensor& out) {
            const Tensor t = target(out, p.shape(), std::nullopt, p.dtype(), "bernoulli");
            draw_bernoulli_each(t, p, g);
            return written(recorded_zero("BernoulliBackward0", p, t), out);
          }),
          "1 with the probability that each element gives, else 0.\n\n>>> torch.bernoulli(torch.tensor([0., 1.]))\n"
          "tensor([0., 1.])")
OPERATION("bernoulli(Tensor self, float p, *, Generator? generator=None) -> Tensor",
          (+[](const Tensor& self, double p, Generator* g) {
            const Tensor t = empty(self.shape(), self.dtype());
            draw_bernoulli(t, p, g);
            return recorded_zero("BernoulliBackward0", self, t);
          }),
          "1 with probability p, else 0; as self in shape and dtype.")

// ---- new tensors ----------------------------------------------------------------------------------------------------

Tensor uniform_into(const Tensor& t, Generator* g) {
  const DType type = drawable(t.dtype(), "rand");
  raise(rng::check_uniform(type, 0, 1));
  draw(t, [&](void* p, int64_t n, bool) { rng::fill_uniform(or_default(g), type, p, n, 0, 1); });
  return t;
}
Tensor normal_into(const Tensor& t, Generator* g, double mean = 0, double std = 1) {
  const DType type = drawable(t.dtype(), "randn");
  raise(rng::check_normal(type, std));
  draw(t, [&](void* p, int64_t n, bool contiguous) {
    rng::fill_normal(or_default(g), type, p, n, mean, std, contiguous);
  });
  return t;
}
Tensor integers_into(const Tensor& t, int64_t low, int64_t high, Generator* g) {
  const DType type = drawable(t.dtype(), "randint");
  const rng::IntegerRange range = checked_range(type, low, high);
  draw(t, [&](void* p, int64_t n, bool) { rng::fill_integers(or_default(g), type, p, n, range); });
  return t;
}

#define RANDOM "Generator? generator=None, Tensor? out=None, " OPTIONS
#define NEW {.method = false, .differentiable = false}
#define NEW_TOO {.method = false, .differentiable = false, .also = {2, 9}}
OPERATION("rand(int[] size, *, " RANDOM,
          (+[](Ints size, Generator* g, const Tensor& out, OptDType dtype, MemoryFormat, OptDevice device, OptBool,
               OptBool grad) {
            return finish_new(written(uniform_into(target(out, size, dtype, default_dtype(), "rand"), g), out), grad);
          }),
          "Numbers uniform in [0, 1).\n\n>>> torch.rand(2, 3).shape\ntorch.Size([2, 3])", NEW_TOO)
OPERATION("randn(int[] size, *, " RANDOM,
          (+[](Ints size, Generator* g, const Tensor& out, OptDType dtype, MemoryFormat, OptDevice device, OptBool,
               OptBool grad) {
            return finish_new(written(normal_into(target(out, size, dtype, default_dtype(), "randn"), g), out), grad);
          }),
          "Standard normal numbers.\n\n>>> torch.randn(2, 3).shape\ntorch.Size([2, 3])", NEW_TOO)

Tensor randint(int64_t low, int64_t high, Ints size, Generator* g, const Tensor& out, OptDType dtype, MemoryFormat,
               OptDevice device, OptBool, OptBool grad) {
  check_can_require_grad(out ? out.dtype() : dtype.value_or(DType::i64), grad);
  const Tensor t = target(out, size, dtype, DType::i64, "randint");
  return finish_new(written(integers_into(t, low, high, g), out), grad);
}
OPERATION("randint(int high, int[] size, *, " RANDOM,
          (+[](int64_t high, Ints size, Generator* g, const Tensor& out, OptDType dtype, MemoryFormat m,
               OptDevice device, OptBool pin,
               OptBool grad) { return randint(0, high, size, g, out, dtype, m, device, pin, grad); }),
          "Integers 0, …, high - 1, uniform.", NEW)
OPERATION("randint(int low, int high, int[] size, *, " RANDOM, randint, "Integers low, …, high - 1, uniform.", NEW)
OPERATION("randperm(int n, *, " RANDOM,
          (+[](int64_t n, Generator* g, const Tensor& out, OptDType dtype, MemoryFormat, OptDevice device, OptBool,
               OptBool grad) {
            check(n >= 0, "Trying to create tensor with negative dimension ", n, ": [", n, "]");
            const DType d = out ? out.dtype() : dtype.value_or(DType::i64);
            check_can_require_grad(d, grad);
            const DType type = drawable(d, "randperm");
            raise(rng::check_permutation(type, n));
            const Tensor t = target(out, Dims{n}, dtype, DType::i64, "randperm");
            const Tensor numbers = t.contiguous() ? t : empty(Dims{n}, d);
            rng::fill_permutation(or_default(g), type, numbers->data(), n);
            if (!numbers.same(t)) copy_data(t, numbers);
            return finish_new(written(t, out), grad);
          }),
          "The integers 0, …, n - 1 in random order.", NEW_TOO)

#define RANDOM_LIKE "Generator? generator=None, " LIKE
OPERATION("rand_like(Tensor self, *, " RANDOM_LIKE,
          (+[](const Tensor& like, Generator* g, OptDType dtype, MemoryFormat, OptDevice device, OptBool, OptBool grad,
               MemoryFormat format) { return finish_new(uniform_into(new_like(like, dtype, format), g), grad); }),
          "As self, with numbers uniform in [0, 1).", NEW_TOO)
OPERATION("randn_like(Tensor self, *, " RANDOM_LIKE,
          (+[](const Tensor& like, Generator* g, OptDType dtype, MemoryFormat, OptDevice device, OptBool, OptBool grad,
               MemoryFormat format) { return finish_new(normal_into(new_like(like, dtype, format), g), grad); }),
          "As self, with standard normal numbers.", NEW_TOO)
Tensor randint_like(const Tensor& like, int64_t low, int64_t high, Generator* g, OptDType dtype, MemoryFormat,
                    OptDevice device, OptBool, OptBool grad, MemoryFormat format) {
  check_can_require_grad(dtype.value_or(like.dtype()), grad);
  return finish_new(integers_into(new_like(like, dtype, format), low, high, g), grad);
}
OPERATION("randint_like(Tensor self, int high, *, " RANDOM_LIKE,
          (+[](const Tensor& like, int64_t high, Generator* g, OptDType dtype, MemoryFormat m, OptDevice device,
               OptBool pin, OptBool grad,
               MemoryFormat format) { return randint_like(like, 0, high, g, dtype, m, device, pin, grad, format); }),
          "As self, with integers 0, …, high - 1.", {.method = false, .differentiable = false, .also = {2, 2}})
OPERATION("randint_like(Tensor self, int low, int high, *, " RANDOM_LIKE, randint_like,
          "As self, with integers low, …, high - 1.", NEW)

// ---- normal(mean, std) ----------------------------------------------------------------------------------------------

void check_each_std(const Tensor& std) {
  bool negative = false;
  dispatch(std.dtype(), "normal", [&]<class T>() {
    const Tensor values = dense(std);
    for (int64_t i = 0; i < values.numel(); ++i) negative = negative || values.data<T>()[i] < T(0);
  });
  check(!negative, "normal expects all elements of std >= 0.0");
}
// t = t * std and t = t + mean in t's dtype.
void scale(const Tensor& t, const Tensor& std) {
  GradMode off(false);
  copy_data(t, t * std);
}
template <class Mean>
void shift(const Tensor& t, const Mean& mean) {
  GradMode off(false);
  copy_data(t, t + mean);
}
OPERATION("normal(Tensor mean, Tensor std, *, Generator? generator=None, Tensor? out=None) -> Tensor",
          (+[](const Tensor& mean, const Tensor& std, Generator* g, const Tensor& out) {
            check_each_std(std);
            const Tensor t =
                target(out, broadcast_shapes(mean.shape(), std.shape()), std::nullopt, mean.dtype(), "normal");
            normal_into(t, g);
            scale(t, std);
            shift(t, mean);
            return written(record("NormalBackward3", {&mean, &std}, t,
                                  [m = mean.shape(), s = std.shape()](BackwardCall& c) {
                                    if (c.needs(0)) c.set(0, zeros(m, c.grad().dtype()));
                                    if (c.needs(1)) c.set(1, zeros(s, c.grad().dtype()));
                                  }),
                           out);
          }),
          "Normal numbers with the mean and standard deviation of each element.", {.method = false})
OPERATION("normal(Tensor mean, float std=1, *, Generator? generator=None, Tensor? out=None) -> Tensor",
          (+[](const Tensor& mean, double std, Generator* g, const Tensor& out) {
            const Tensor t = target(out, mean.shape(), std::nullopt, mean.dtype(), "normal");
            normal_into(t, g, 0, std);
            shift(t, mean);
            return written(recorded_zero("NormalBackward1", mean, t), out);
          }),
          "Normal numbers with the mean of each element.", {.method = false})
OPERATION("normal(float mean, Tensor std, *, Generator? generator=None, Tensor? out=None) -> Tensor",
          (+[](double mean, const Tensor& std, Generator* g, const Tensor& out) {
            check_each_std(std);
            const Tensor t = target(out, std.shape(), std::nullopt, std.dtype(), "normal");
            normal_into(t, g);
            scale(t, std);
            shift(t, mean);
            return written(recorded_zero("NormalBackward2", std, t), out);
          }),
          "Normal numbers with the standard deviation of each element.", {.method = false})
OPERATION("normal(float mean, float std, int[] size, *, " RANDOM,
          (+[](double mean, double std, Ints size, Generator* g, const Tensor& out, OptDType dtype, MemoryFormat,
               OptDevice device, OptBool, OptBool grad) {
            const Tensor t = target(out, size, dtype, default_dtype(), "normal");
            return finish_new(written(normal_into(t, g, mean, std), out), grad);
          }),
          "Normal numbers of the given mean and standard deviation.", NEW)

// ---- distributions with tensor parameters ---------------------------------------------------------------------------

OPERATION("multinomial(Tensor self, int num_samples, bool replacement=False, *, Generator? generator=None) -> Tensor",
          (+[](const Tensor& p, int64_t n, bool replacement, Generator* g) {
            check(p.dims() == 1 || p.dims() == 2, "prob_dist must be 1 or 2 dim\nmultinomial: the weights have shape ",
                  Ints(p.shape()));
            check(is_floating(p.dtype()),
                  "multinomial only supports floating-point dtypes for input, got: ", legacy_name(p.dtype()));
            const bool rows = p.dims() == 2;
            const int64_t columns = p.size(-1);
            check(n > 0, "cannot sample n_sample <= 0 samples\nmultinomial: num_samples = ", n);
            check(replacement || n <= columns,
                  "cannot sample n_sample > prob_dist.size(-1) samples without replacement"
                  "\nmultinomial: num_samples = ",
                  n, ", categories = ", columns);
            const Tensor out = rows ? empty(Dims{p.size(0), n}, DType::i64) : empty(Dims{n}, DType::i64);
            raise(rng::sample_multinomial(or_default(g), drawable(p.dtype(), "multinomial"), p->data(),
                                          rows ? p.size(0) : 1, columns, rows ? p.strides()[0] : columns,
                                          p.strides()[p.dims() - 1], n, replacement, out.data<int64_t>()));
            return out;
          }),
          "Indices drawn from the (unnormalised) weights of each row.", {.out = true, .differentiable = false})

OPERATION("poisson(Tensor self, Generator? generator=None) -> Tensor", (+[](const Tensor& rate, Generator* g) {
            check(is_floating(rate.dtype()), ErrorKind::not_implemented, "\"poisson_cpu\" not implemented for '",
                  legacy_name(rate.dtype()), "'");
            const Tensor out = empty(rate.shape(), rate.dtype());
            raise(rng::fill_poisson(or_default(g), drawable(rate.dtype(), "poisson"), out->data(), out.numel(),
                                    dense(rate)->data()));
            return recorded_zero("PoissonBackward0", rate, out);
          }),
          "Poisson counts of the rate that each element gives.", {.method = false})

void check_distribution_dtype(const Tensor& t, const char* kernel) {
  check(t.dtype() == DType::f32 || t.dtype() == DType::f64, ErrorKind::not_implemented, "\"", kernel,
        "\" not implemented for '", legacy_name(t.dtype()), "'");
}
OPERATION("binomial(Tensor count, Tensor prob, Generator? generator=None) -> Tensor",
          (+[](const Tensor& count, const Tensor& prob, Generator* g) {
            for (const auto& [t, name] : {std::pair{&count, "count"}, std::pair{&prob, "prob"}}) {
              check(is_floating(t->dtype()), ErrorKind::value, "binomial only supports floating-point dtypes for ",
                    name, ", got: ", legacy_name(t->dtype()));
            }
            check(count.dtype() == prob.dtype(), "Found dtype ", legacy_name(prob.dtype()), " but expected ",
                  legacy_name(count.dtype()));
            check_distribution_dtype(count, "binomial_cpu");
            const Dims shape = broadcast_shapes(count.shape(), prob.shape());
            const Tensor out = empty(shape, count.dtype());
            rng::fill_binomial(or_default(g), drawable(count.dtype(), "binomial"), out->data(), out.numel(),
                               dense(alias(count, count.layout().broadcast(shape)))->data(),
                               dense(alias(prob, prob.layout().broadcast(shape)))->data());
            return out;
          }),
          "Successes in `count` trials of probability `prob`.", {.method = false, .differentiable = false})
// f of doubles, element by element. Its own derivative is not known.
template <size_t count, class F>
Tensor sample_gradient(const char* op, const char* node, std::array<Tensor, count> in, F f) {
  Dims shape = in[0].shape();
  for (const Tensor& t : in) {
    check(t.dtype() == in[0].dtype(), "Found dtype ", legacy_name(t.dtype()), " but expected ",
          legacy_name(in[0].dtype()));
    shape = broadcast_shapes(shape, t.shape());
  }
  check_distribution_dtype(in[0], op);
  const Tensor out = empty(shape, in[0].dtype());
  const std::array<Tensor, count> given = in;
  for (Tensor& t : in) t = dense(alias(t, t.layout().broadcast(shape)));
  dispatch(out.dtype(), op, [&]<class T>() {
    if constexpr (std::is_floating_point_v<T>) {
      std::array<const T*, count> from;
      for (size_t i = 0; i < count; ++i) from[i] = in[i].template data<T>();
      T* to = out.data<T>();
      const Unlocked unlocked(out.numel());
      parallel_for(out.numel(), 512, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) {
          to[i] = static_cast<T>(std::apply([&](auto... p) { return f(static_cast<double>(p[i])...); }, from));
        }
      });
    }
  });
  const auto refuse = [op](BackwardCall&) {
    fail(ErrorKind::not_implemented, "the derivative for '", op, "' is not implemented.");
  };
  return std::apply([&](const auto&... t) { return record(node, {&t...}, out, refuse); }, given);
}
OPERATION("_standard_gamma_grad(Tensor self, Tensor output) -> Tensor",
          (+[](const Tensor& alpha, const Tensor& output) {
            return sample_gradient<2>("_standard_gamma_grad", "NotImplemented", {alpha, output},
                                      special::gamma_sample_gradient);
          }),
          "How a gamma number of shape parameter `self` moves with that parameter, its quantile fixed.",
          {.method = false, .differentiable = false})
OPERATION("_dirichlet_grad(Tensor x, Tensor alpha, Tensor total) -> Tensor",
          (+[](const Tensor& x, const Tensor& alpha, const Tensor& total) {
            return sample_gradient<3>(
                "_dirichlet_grad", "NotImplemented", {x, alpha, total},
                [](double x, double a, double total) { return special::beta_sample_gradient(x, a, total - a); });
          }),
          "How element x of a Dirichlet vector moves with its own concentration alpha, divided by 1 - x; total is the "
          "sum of all concentrations.",
          {.method = false, .differentiable = false})
OPERATION("_standard_gamma(Tensor self, Generator? generator=None) -> Tensor", (+[](const Tensor& alpha, Generator* g) {
            check_distribution_dtype(alpha, "gamma_cpu");
            const Tensor out = empty(alpha.shape(), alpha.dtype());
            rng::fill_gamma(or_default(g), drawable(alpha.dtype(), "gamma"), out->data(), out.numel(),
                            dense(alpha)->data());
            return record(
                "StandardGammaBackward0", {&alpha}, out,
                [](BackwardCall& c) {
                  if (!c.needs(0)) return;
                  c.set(0, c.grad() * sample_gradient<2>("_standard_gamma_grad", "NotImplemented",
                                                         {c.saved(0), c.saved(1)}, special::gamma_sample_gradient));
                },
                {keep(alpha), result(out)});
          }),
          "Gamma numbers of scale 1 and the shape parameter that each element gives.", {.method = false})
OPERATION("_sample_dirichlet(Tensor self, Generator? generator=None) -> Tensor",
          (+[](const Tensor& alpha, Generator* g) {
            check_distribution_dtype(alpha, "dirichlet");
            const Tensor out = empty(alpha.shape(), alpha.dtype());
            const int64_t columns = alpha.dims() ? alpha.size(-1) : 1;
            if (out.numel()) {
              rng::fill_dirichlet(or_default(g), drawable(alpha.dtype(), "dirichlet"), out->data(),
                                  out.numel() / columns, columns, dense(alpha)->data());
            }
            return out;
          }),
          "Dirichlet vectors along the last dimension.", {.method = false, .differentiable = false})

// ---- dropout --------------------------------------------------------------------------------------------------------

// -(the value that SELU tends to at minus infinity)
constexpr double selu_saturation = 1.7580993408473766;

// What dropout multiplies by, and adds.
struct Noise {
  Tensor scale, shift;
};
Noise dropout_noise(const Tensor& x, double p, bool features, bool alpha) {
  if (p == 1) return {zeros({}, x.dtype()), {}};
  GradMode off(false);
  Tensor mask;
  if (features) {
    check(x.dims() >= 2, "Feature dropout requires at least 2 dimensions in the input\nthe input has shape ",
          Ints(x.shape()));
    Dims shape(static_cast<size_t>(x.dims()), int64_t{1});
    shape[0] = x.shape()[0];
    shape[1] = x.shape()[1];
    mask = empty(shape, x.dtype());
  } else {
    mask = empty_like(x);
  }
  check(is_floating(x.dtype()), "result type Float can't be cast to the desired output type ", legacy_name(x.dtype()),
        "\ndropout: the input must have a floating-point dtype");
  draw_bernoulli(mask, 1 - p, nullptr);
  if (!alpha) return {mask / (1 - p), {}};
  const double a = 1 / std::sqrt((selu_saturation * selu_saturation * p + 1) * (1 - p));
  return {mask * a, (mask + -1.0) * (selu_saturation * a) + selu_saturation * a * p};
}
bool drops(const Tensor& x, double p, bool train) {
  check(p >= 0 && p <= 1, "dropout probability has to be between 0 and 1, but got ", p);
  return train && p > 0 && x.numel() > 0;
}
template <bool features, bool alpha>
Tensor dropout(const Tensor& x, double p, bool train) {
  if (!drops(x, p, train)) return x;
  const Noise noise = dropout_noise(x, p, features, alpha);
  const Tensor out = x * noise.scale;
  return noise.shift ? out + noise.shift : out;
}
template <bool features, bool alpha>
Tensor dropout_(const Tensor& x, double p, bool train) {
  if (!drops(x, p, train)) return x;
  const Noise noise = dropout_noise(x, p, features, alpha);
  const Operand scaled[] = {Operand(x), Operand(noise.scale)};
  call_formula_inplace(formulas[index_of<Mul>], x, scaled, nullptr);
  if (noise.shift) {
    const Operand shifted[] = {Operand(x), Operand(noise.shift)};
    call_formula_inplace(formulas[index_of<Add>], x, shifted, nullptr);
  }
  return x;
}
#define BULSSI_DROPOUT(name, features, alpha, doc)                                                               \
  OPERATION(name "(Tensor self, float p, bool train) -> Tensor", (dropout<features, alpha>), doc,                \
            {.kind = OpKind::composite, .method = false})                                                        \
  OPERATION(name "_(Tensor self, float p, bool train) -> Tensor", (dropout_<features, alpha>), doc " In place.", \
            {.kind = OpKind::composite, .method = false})
BULSSI_DROPOUT("dropout", false, false,
               "In training, each element becomes 0 with probability p; the others are divided by 1 - p "
               "(Srivastava et al. 2014).")
BULSSI_DROPOUT("feature_dropout", true, false, "dropout of whole channels: of x[n, c].")
BULSSI_DROPOUT("alpha_dropout", false, true,
               "Dropout that keeps mean and variance of activations behind a SELU (Klambauer et al. 2017).")
BULSSI_DROPOUT("feature_alpha_dropout", true, true, "alpha_dropout of whole channels.")
OPERATION("native_dropout(Tensor self, float p, bool? train) -> (Tensor, Tensor)",
          (+[](const Tensor& x, double p, OptBool train) {
            if (!train.value_or(true) || x.numel() == 0) {
              return std::tuple(clone(x), full(x.shape(), Scalar(true), DType::boolean));
            }
            drops(x, p, true);
            const Tensor mask = empty(x.shape(), x.dtype());
            draw_bernoulli(mask, 1 - p, nullptr);
            const double scale = p == 1 ? 0 : 1 / (1 - p);
            Tensor noise, out;
            {
              GradMode off(false);
              noise = mask * scale;
              out = x * noise;
            }
            out = record("NativeDropoutBackward0", x, out, [](BackwardCall& c) { c.set(0, c.grad() * c.saved(0)); },
                         {keep(noise)});
            return std::tuple(out, cast_data(mask, DType::boolean));
          }),
          "dropout together with the mask of what was kept.", {.method = false})

// ---- rrelu ----------------------------------------------------------------------------------------------------------

Tensor rrelu(const Tensor& x, Scalar lower, Scalar upper, bool training, Generator* g) {
  const double low = lower.as_double(), high = upper.as_double();
  check(low <= high, "Lower bound should be less than or equal to the upper bound");
  check(is_floating(x.dtype()) && (!training || x.dtype() != DType::f16), ErrorKind::not_implemented,
        training ? "\"rrelu_with_noise_out_cpu\" not implemented for '" : "\"leaky_relu_cpu\" not implemented for '",
        legacy_name(x.dtype()), "'");
  const Tensor noise = empty(x.shape(), x.dtype());
  Tensor out = empty(x.shape(), x.dtype());
  if (training) {
    rng::fill_rrelu(or_default(g), drawable(x.dtype(), "rrelu"), out->data(), noise->data(), dense(x)->data(),
                    x.numel(), low, high);
  } else {
    const double slope = (low + high) / 2;
    GradMode off(false);
    copy_data(noise, select(x > 0.0, full({}, Scalar(1.0), x.dtype()), full({}, Scalar(slope), x.dtype())));
    copy_data(out, x * noise);
  }
  return joint(record("RreluWithNoiseBackward0", x, out, [](BackwardCall& c) { c.set(0, c.grad() * c.saved(0)); },
                      {keep(noise)}));
}
OPERATION(
    "rrelu(Tensor self, Scalar lower=0.125, Scalar upper=0.3333333333333333, bool training=False, Generator? "
    "generator=None) -> Tensor",
    rrelu, "max(x, a x) with a uniform in [lower, upper) in training, and in the middle otherwise (Xu et al. 2015).",
    {.method = false, .inplace = true, .inplace_rule = true})

}  // namespace
Tensor dropout(const Tensor& x, double p) { return dropout<false, false>(x, p, true); }

}  // namespace bulssi
