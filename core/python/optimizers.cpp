// _core.fused_step: all parameters of an optimizer's group in one pass over memory. Its contract is Note [Optimizer
// seam] in src/bulssi/optim/_fused.py: it updates everything in place and returns True, or changes nothing and returns
// False for what it does not take (other dtypes, strided memory, tensors that record).
#include "core/cpu/optimizers.h"

#include <nanobind/nanobind.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>
#include <vector>

#include "core/base/threads.h"
#include "core/cpu/cpu.h"
#include "core/python/python.h"

namespace nb = nanobind;

namespace bulssi::python {

namespace {

constexpr int max_states = 4, max_numbers = 11;
constexpr int64_t grain = 1 << 14;  // elements per range

// One parameter with all that its kernel needs.
struct Item {
  OptimizerKernel kernel = nullptr;
  void* data[2 + max_states] = {};
  double numbers[max_numbers] = {};
  int64_t begin = 0, count = 0, itemsize = 4;
  int slots = 2;
};

// The keyword arguments of a formula, all numbers.
class Scalars {
 public:
  explicit Scalars(PyObject* dict) {
    PyObject *key, *value;
    Py_ssize_t at = 0;
    while (PyDict_Next(dict, &at, &key, &value)) {
      check(PyUnicode_Check(key), ErrorKind::type, "fused_step: a number has no name");
      const char* name = PyUnicode_AsUTF8(key);
      if (!name) throw PendingError();
      const double x = PyFloat_AsDouble(value);
      if (x == -1.0 && PyErr_Occurred()) throw PendingError();
      all_.emplace_back(name, x);
    }
  }
  double operator()(const char* name) const {
    for (const auto& [other, x] : all_) {
      if (!std::strcmp(name, other)) return x;
    }
    fail(ErrorKind::type, "fused_step: the number '", name, "' is missing");
  }
  bool flag(const char* name) const { return (*this)(name) != 0; }

 private:
  std::vector<std::pair<const char*, double>> all_;  // the names live in the dict
};

double read(const Tensor& t) { return t.dtype() == DType::f64 ? *t.data<double>() : double(*t.data<float>()); }
double write(const Tensor& t, double value) {  // returns what was stored
  if (t.dtype() == DType::f64) return *t.data<double>() = value;
  return *t.data<float>() = float(value);
}

// The states of one parameter in the formula's order; undefined where Python has None.
struct States {
  Tensor all[6];
  int count = 0;
};

// Advances the counters among a parameter's states, computes the numbers of its kernel and chooses the variant.
// Full-size states are appended to the item's data. One function per optimizer.
class Preparation {
 public:
  Preparation(const Scalars& scalars, const States& states, Item& item)
      : s(scalars), st(states), item_(item), x(item.numbers) {
    x[0] = s.flag("maximize") ? -1 : 1;
  }
  void sgd() {
    penalty(false);
    x[2] = s("lr"), x[3] = s("momentum"), x[4] = 1 - s("dampening");
    if (st.all[0]) variant |= 2 | (s.flag("nesterov") ? 4 : 0) | (s.flag("first_step") ? 8 : 0);
    take(0);
  }
  void adam() {
    const double step = advance(), beta1 = s("beta1"), beta2 = s("beta2");
    x[8] = penalty(s.flag("decoupled_weight_decay"));
    x[2] = -s("lr") / (1 - std::pow(beta1, step));
    x[3] = 1 - beta1, x[4] = beta2, x[5] = 1 - beta2;
    x[6] = std::sqrt(1 - std::pow(beta2, step)), x[7] = s("eps");
    if (st.all[3]) variant |= 2;
    take(1), take(2), take(3);
  }
  void adagrad() {
    const double step = advance();
    penalty(false);
    x[2] = -s("lr") / (1 + (step - 1) * s("lr_decay")), x[3] = s("eps");
    take(1);
  }
  void adadelta() {
    advance();
    penalty(false);
    x[2] = -s("lr"), x[3] = s("rho"), x[4] = 1 - s("rho"), x[5] = s("eps");
    take(1), take(2);
  }
  void adamax() {
    const double step = advance(), beta1 = s("beta1");
    penalty(false);
    x[2] = -s("lr") / (1 - std::pow(beta1, step)), x[3] = 1 - beta1, x[4] = s("beta2"), x[5] = s("eps");
    take(1), take(2);
  }
  void nadam() {
    const double step = advance(), beta1 = s("beta1"), beta2 = s("beta2"), decay = s("momentum_decay"), lr = s("lr");
    x[9] = penalty(s.flag("decoupled_weight_decay"));
    const double mu = beta1 * (1.0 - 0.5 * std::pow(0.96, step * decay));
    const double next = beta1 * (1.0 - 0.5 * std::pow(0.96, (step + 1) * decay));
    const Tensor& kept = st.all[1];  // multiplied in its own precision, as a tensor operation would
    const bool single = kept.dtype() == DType::f32;
    const double product = write(kept, single ? float(read(kept)) * float(mu) : read(kept) * mu);
    x[2] = -lr * (1.0 - mu) / (1.0 - product), x[3] = -lr * next / (1.0 - product * next);
    x[4] = 1 - beta1, x[5] = beta2, x[6] = 1 - beta2, x[7] = 1 - std::pow(beta2, step), x[8] = s("eps");
    take(2), take(3);
  }
  void radam() {
    const double step = advance(), beta1 = s("beta1"), beta2 = s("beta2");
    x[10] = penalty(s.flag("decoupled_weight_decay"));
    const double power = std::pow(beta2, step), bias2 = 1 - power, limit = 2 / (1 - beta2) - 1;
    const double rho = limit - 2 * step * power / bias2;
    x[2] = s("lr"), x[3] = 1 - beta1, x[4] = beta2, x[5] = 1 - beta2, x[6] = 1 - std::pow(beta1, step);
    x[7] = std::sqrt(bias2), x[9] = s("eps");
    if (rho > 5) {
      x[8] = std::sqrt((rho - 4) * (rho - 2) * limit / ((limit - 4) * (limit - 2) * rho));
      variant |= 2;
    }
    take(1), take(2);
  }
  void rmsprop() {
    advance();
    penalty(false);
    x[2] = -s("lr"), x[3] = s("alpha"), x[4] = 1 - s("alpha"), x[5] = s("eps"), x[6] = s("momentum");
    variant |= (st.all[2] ? 2 : 0) | (st.all[3] ? 4 : 0);
    take(1), take(2), take(3);
  }
  void rprop() {
    advance();
    x[2] = s("etaminus"), x[3] = s("etaplus"), x[4] = s("step_size_min"), x[5] = s("step_size_max");
    take(1), take(2);
  }
  void asgd() {
    const double step = advance(), lr = s("lr"), lambd = s("lambd"), mu = read(st.all[1]), rate = read(st.all[2]);
    penalty(false);
    x[2] = -rate, x[3] = 1 - lambd * rate, x[4] = mu;
    if (mu == 1) variant |= 2;
    take(3);
    write(st.all[2], lr / std::pow(1 + lambd * lr * step, s("alpha")));
    write(st.all[1], 1 / std::max(1.0, step - s("t0")));
  }

  int variant = 0;

 private:
  void take(int i) { item_.data[item_.slots++] = st.all[i] ? st.all[i]->data() : nullptr; }
  // Counts the step, in the first state.
  double advance() { return write(st.all[0], read(st.all[0]) + 1); }
  // An L2 penalty goes to the gradient, a decoupled decay to the parameter: its factor is returned.
  double penalty(bool decoupled) {
    const double decay = s("weight_decay");
    if (decay != 0 && !decoupled) {
      x[1] = decay;
      variant |= 1;
    }
    return decoupled ? 1 - s("lr") * decay : 1;
  }

  const Scalars& s;
  const States& st;
  Item& item_;
  double* x;
};

// How many states a formula has, how many of the first are counters (0-d), which may be None, as bits, and how its
// numbers are made.
struct Formula {
  int states, counters, optional;
  void (Preparation::*prepare)();
};
constexpr Formula formulas[] = {
    {1, 0, 1, &Preparation::sgd},      {4, 1, 8, &Preparation::adam},     {2, 1, 0, &Preparation::adagrad},
    {3, 1, 0, &Preparation::adadelta}, {3, 1, 0, &Preparation::adamax},   {4, 2, 0, &Preparation::nadam},
    {3, 1, 0, &Preparation::radam},    {4, 1, 12, &Preparation::rmsprop}, {3, 1, 0, &Preparation::rprop},
    {4, 3, 0, &Preparation::asgd},
};
static_assert(std::size(formulas) == optimizer_count);

bool takes(const Tensor& t) {
  return t.contiguous() && t.device().kind == DeviceKind::cpu && (t.dtype() == DType::f32 || t.dtype() == DType::f64);
}

// Gathers one parameter's tensors; false when they are not for the kernels.
bool gather(Optimizer kind, PyObject* param, PyObject* grad, PyObject* states, Tensor& p, Tensor& g, States& st) {
  const Formula& formula = formulas[int(kind)];
  if (!is_tensor(param) || !is_tensor(grad) || !PyTuple_Check(states)) return false;
  st.count = int(PyTuple_GET_SIZE(states));
  check(st.count == formula.states, ErrorKind::type, "fused_step: ", optimizer_names[int(kind)], " has ",
        formula.states, " states, got ", st.count);
  p = tensor_of(param), g = tensor_of(grad);
  if (!takes(p) || g.dtype() != p.dtype() || g.shape() != p.shape() || g.device().kind != DeviceKind::cpu) {
    return false;
  }
  for (int i = 0; i < st.count; ++i) {
    PyObject* o = PyTuple_GET_ITEM(states, i);
    if (o == Py_None && (formula.optional >> i & 1)) continue;
    if (!is_tensor(o)) return false;
    st.all[i] = tensor_of(o);
    if (!takes(st.all[i])) return false;
    if (i < formula.counters ? st.all[i].numel() != 1
                             : st.all[i].dtype() != p.dtype() || st.all[i].shape() != p.shape()) {
      return false;
    }
  }
  return true;
}

bool fused_step(const char* name, nb::list params, nb::list grads, nb::list states, nb::dict scalars) {
  const auto known = std::find_if(std::begin(optimizer_names), std::end(optimizer_names),
                                  [&](const char* other) { return !std::strcmp(name, other); });
  if (known == std::end(optimizer_names)) return false;
  const auto kind = static_cast<Optimizer>(known - std::begin(optimizer_names));
  const size_t n = params.size();
  check(grads.size() == n && states.size() == n, ErrorKind::value, "fused_step: lists of different lengths");

  const Scalars numbers(scalars.ptr());
  std::vector<Tensor> p(n), g(n);
  std::vector<States> st(n);
  std::vector<const void*> places;
  for (size_t i = 0; i < n; ++i) {
    if (!gather(kind, params[i].ptr(), grads[i].ptr(), states[i].ptr(), p[i], g[i], st[i])) return false;
    if (p[i].numel()) places.push_back(p[i]->data());
  }
  std::sort(places.begin(), places.end());  // a parameter given twice is stepped twice, one after the other
  if (std::adjacent_find(places.begin(), places.end()) != places.end()) return false;

  std::vector<Item> items(n);
  int64_t total = 0;
  for (size_t i = 0; i < n; ++i) {
    Item& item = items[i];
    g[i] = dense(g[i]);
    item.data[0] = p[i]->data(), item.data[1] = g[i]->data();
    Preparation preparation(numbers, st[i], item);
    (preparation.*formulas[int(kind)].prepare)();
    item.kernel = cpu::optimizer_kernels().kernel[p[i].dtype() == DType::f64][int(kind)][preparation.variant];
    item.begin = total, item.count = p[i].numel(), item.itemsize = itemsize(p[i].dtype());
    total += item.count;
    p[i]->bump_version();
    for (Tensor& state : st[i].all) {
      if (state) state->bump_version();
    }
  }
  const Unlocked unlocked(total);
  parallel_for(total, grain, [&](int64_t begin, int64_t end) {
    auto item = std::upper_bound(items.begin(), items.end(), begin,
                                 [](int64_t at, const Item& other) { return at < other.begin; }) -
                1;
    for (; item != items.end() && item->begin < end; ++item) {
      const int64_t from = std::max(begin - item->begin, int64_t{0}), to = std::min(end - item->begin, item->count);
      if (from >= to) continue;
      void* data[2 + max_states];
      for (int k = 0; k < item->slots; ++k) {
        data[k] = item->data[k] ? static_cast<char*>(item->data[k]) + from * item->itemsize : nullptr;
      }
      item->kernel(to - from, data, item->numbers);
    }
  });
  return true;
}

}  // namespace

void add_optimizers(PyObject* module) {
  nb::borrow<nb::module_>(module).def(
      "fused_step", fused_step, nb::arg("kind"), nb::arg("params"), nb::arg("grads"), nb::arg("states"),
      nb::arg("scalars"), "One optimizer step of all parameters in one pass; False when it changed nothing.");
}

}  // namespace bulssi::python
