#include "core/op/pointwise.h"

#include <algorithm>
#include <cstring>

#include "core/cpu/cpu.h"
#include "core/op/registry.h"
#include "core/op/tensor_math.h"
#include "core/program/backend.h"
#include "core/ops/basics.h"

namespace bulssi {

namespace {

// ---- promotion ------------------------------------------------------------------------------------------------------

constexpr int none = -1;
int join(int higher, int lower) {
  if (higher == none) return lower;
  if (lower == none) return higher;
  const DType h = static_cast<DType>(higher), l = static_cast<DType>(lower);
  return category(l) > category(h) ? static_cast<int>(promote(h, l)) : higher;
}
int meet(int a, DType b) {
  return a == none ? static_cast<int>(b) : static_cast<int>(promote(static_cast<DType>(a), b));
}

}  // namespace

DType promoted_type(std::span<const Operand> args) {
  int dims = none, scalars = none, numbers = none;
  for (const Operand& a : args) {
    if (a.tensor && !(*a.tensor)->wrapped_number) {
      int& into = a.tensor->dims() > 0 ? dims : scalars;
      into = meet(into, a.tensor->dtype());
    } else {
      const DType d = a.tensor ? a.tensor->dtype() : a.number.dtype();
      numbers = meet(numbers, d == DType::f64 ? default_dtype() : d == DType::c128 ? DType::c64 : d);
    }
  }
  return static_cast<DType>(join(dims, join(scalars, numbers)));
}

namespace {

// Numbers as one element of the compute type.
struct Number {
  alignas(8) char bytes[8];
  Number() = default;
  Number(Scalar s, Compute c) {
    switch (c) {
      case Compute::f32: *reinterpret_cast<float*>(bytes) = static_cast<float>(s.as_double()); break;
      case Compute::f64: *reinterpret_cast<double*>(bytes) = s.as_double(); break;
      case Compute::i64: *reinterpret_cast<int64_t*>(bytes) = s.as_int(); break;
      case Compute::u8: *reinterpret_cast<uint8_t*>(bytes) = static_cast<uint8_t>(s.as_int()); break;
    }
  }
};

// ---- the backward node ----------------------------------------------------------------------------------------------

class FormulaNode final : public Node {
 public:
  // As in PyTorch, what chooses, and a number for which another rule is there, have no edge.
  FormulaNode(const FormulaOp& op, std::span<const Operand> args, bool in_place) : op_(op) {
    init_node(*this);
    const auto number = [](const Operand& a) { return !a.tensor || (*a.tensor)->wrapped_number; };
    int end = op.tensors;
    if (number(args.back()) && (name_ = op.info->node_of_number)) --end;
    if (number(args.front()) && op.info->node_of_first_number) name_ = op.info->node_of_first_number, first_ = 1;
    if (in_place && op.info->node_in_place) name_ = op.info->node_in_place;
    if (op.info->condition) first_ = 1;
    for (int k = first_; k < end; ++k) {
      edges.push_back(args[k].tensor && op.takes_gradient(k) ? edge_to(*args[k].tensor) : Edge{});
    }
  }
  std::string name() const override { return name_ ? name_ : op_.node_name; }
  void backward(const Small<Tensor, 2>& grads, Small<Tensor, 2>& inputs) override;
  bool leads(int argument) const {
    const int i = argument - first_;
    return i >= 0 && i < int(edges.size()) && edges[i];
  }

  const FormulaOp& op_;
  const char* name_ = nullptr;  // another one than that of the formula
  int8_t first_ = 0;            // argument of the first edge
  Scalar attributes_[max_attributes];
  // Shape and dtype of the tensor arguments, kept only where one differs from the result's.
  std::unique_ptr<Like[]> originals_;
  // What each of `saved` is: bit k argument k, bit `tensors` the result.
  int place(int k) const { return __builtin_popcount(op_.saves & ((1u << k) - 1)); }
};

Tensor run_partial_kernel(const FormulaOp& op, int k, const Tensor& g, const Tensor* const* values,
                          const Scalar* attributes) {
  const FormulaOp::Partial& partial = op.partial[k];
  const Tensor* like = g.layout().dense() ? &g : nullptr;
  const int count = op.tensors + 1;
  for (int i = 0; i < count && !like; ++i) {
    if ((partial.uses >> i & 1) && values[i]->shape() == g.shape() && values[i]->layout().dense()) like = values[i];
  }
  Tensor out = like ? empty_like(*like, g.dtype()) : empty(g.shape(), g.dtype());
  const bool f64 = g.dtype() == DType::f64;
  const Kernel kernel = op.kernels->partial[k][f64];
  const Compute compute = f64 ? Compute::f64 : Compute::f32;
  // The common case: everything contiguous and of the compute type.
  const Device device = g.device();
  bool simple = device.kind == DeviceKind::cpu && g.contiguous() && out.contiguous() &&
                cpu::is_direct(g.dtype(), compute) && g.numel() <= 32768;
  for (int i = 0; i < count && simple; ++i) {
    if (!(partial.uses >> i & 1)) continue;
    const Tensor& v = *values[i];
    const Compute c = op.info->condition && i == 0 ? Compute::u8 : compute;
    simple = v.contiguous() && cpu::is_direct(v.dtype(), c) && v.numel() == g.numel();
  }
  double numbers[max_attributes];
  for (int a = 0; a < op.attributes; ++a) {
    if (f64)
      numbers[a] = attributes[a].as_double();
    else
      new (&numbers[a]) float(static_cast<float>(attributes[a].as_double()));
  }
  if (simple) {
    const void* in[8] = {g->data()};
    for (int i = 0; i < count; ++i) in[1 + i] = (partial.uses >> i & 1) ? (*values[i])->data() : g->data();
    if (op.info->condition && !(partial.uses & 1)) in[1] = nullptr;
    for (int a = 0; a < op.attributes; ++a) in[1 + count + a] = &numbers[a];
    if (g.numel()) kernel(g.numel(), in, out->data());
    return out;
  }
  Number singles[max_tensors + 1];
  Small<Layout, 6> layouts;
  for (int i = 0; i < count; ++i) {
    layouts.push_back((partial.uses >> i & 1) ? values[i]->layout().broadcast(g.shape()) : g.layout());
  }
  Slot slots[10];
  Step step{static_cast<int16_t>(op.index),
            static_cast<int8_t>(k),
            compute,
            static_cast<int8_t>(1 + count + op.attributes),
            {},
            0};
  int n = 0;
  slots[n] = {Slot::Kind::input, compute, g.dtype(), memory_of(g), g.strides().data()};
  step.in[0] = static_cast<int8_t>(n++);
  for (int i = 0; i < count; ++i) {
    if (!(partial.uses >> i & 1)) {
      step.in[1 + i] = 0;
      continue;
    }
    const Tensor& v = *values[i];
    const Compute c = op.info->condition && i == 0 ? Compute::u8 : compute;
    if (v.device() == device) {
      slots[n] = {Slot::Kind::input, c, v.dtype(), memory_of(v), layouts[i].strides.data()};
    } else {  // a 0-d tensor of the CPU
      singles[i] = Number(item_data(v), c);
      slots[n] = {Slot::Kind::number, c, cpu::dtype_of_compute(c), singles[i].bytes};
    }
    step.in[1 + i] = static_cast<int8_t>(n++);
  }
  for (int a = 0; a < op.attributes; ++a) {
    slots[n] = {Slot::Kind::attribute, compute, g.dtype(), reinterpret_cast<char*>(&numbers[a])};
    step.in[1 + count + a] = static_cast<int8_t>(n++);
  }
  slots[n] = {Slot::Kind::output, compute, out.dtype(), memory_of(out), out.strides().data()};
  step.out = static_cast<int8_t>(n++);
  backend_of(device).run({{&step, 1}, {slots, size_t(n)}, g.shape()});
  return out;
}

// The gradient of a formula whose gradient has no derivative.
static Tensor once(const FormulaOp& op, int k, const Tensor& g, const Tensor* const* values, const Scalar* attributes) {
  const bool record = recording(g) || recording(*values[k]);
  Tensor d;
  {
    const GradMode off(false);
    d = run_partial_kernel(op, k, g, values, attributes);
  }
  if (record) {
    const std::initializer_list<const Tensor*> inputs{&g, values[k]};
    set_producer(d, not_implemented(str("aten::", op.info->name, "_backward"), inputs));
  }
  return d;
}

// A gradient that does not depend on the elements of what its formula reads, but counts as made from it (Info::joint).
Tensor made_from(const Node& from, const Tensor& gradient, std::span<const Tensor> read) {
  const auto node = ZerosNode::behind(from);
  node->pass_on(edge_to(gradient));
  for (const Tensor& t : read) {
    if (t) node->add(edge_to(t), {t.shape(), t.dtype()});
  }
  Tensor out = alias(gradient);
  if (std::ranges::any_of(node->edges, [](const Edge& e) { return static_cast<bool>(e); }))
    set_producer(out, Ref<Node>(node.get()));
  return out;
}

void FormulaNode::backward(const Small<Tensor, 2>& grads, Small<Tensor, 2>& inputs) {
  const Tensor& g = grads[0];
  if (!g) return;
  const int count = op_.tensors + 1;
  Tensor values[max_tensors + 1];
  const Tensor* pointers[max_tensors + 1] = {};
  // In PyTorch's order, by name (other before self): of several that were changed, the first one is named.
  const bool nothing_kept = saved.empty() && !released;
  for (int step = 0; step < count && !nothing_kept; ++step) {
    const int i = step == op_.tensors ? step : (step + 1) % op_.tensors;
    if (!(op_.saves >> i & 1)) continue;
    Saved& s = kept(place(i));
    if (!s.defined()) continue;
    values[i] = grad_state.enabled ? s.get(*this) : s.elements(*this);
    pointers[i] = &values[i];
  }
  if (op_.info->check_backward) op_.info->check_backward(attributes_);
  double attributes[max_attributes];
  for (int a = 0; a < op_.attributes; ++a) attributes[a] = attributes_[a].as_double();
  for (int k = 0; k < op_.tensors; ++k) {
    if (!leads(k)) continue;
    check(op_.partial[k].exists, ErrorKind::not_implemented, "the derivative for '", op_.info->name,
          k == 0 ? ": input" : ": other", "' is not implemented.");
    Tensor d;
    if (op_.partial[k].identity)
      d = g;
    else if (op_.info->once && grad_state.enabled)
      d = once(op_, k, g, pointers, attributes_);
    else if (grad_state.enabled || op_.partial[k].constant)
      d = op_.partial[k].recorded(g, values, values[op_.tensors], attributes);
    else
      d = run_partial_kernel(op_, k, g, pointers, attributes_);
    if (grad_state.enabled && !(d.shape() == g.shape())) d = expand(d, g.shape());
    if (op_.info->joint && grad_state.enabled) d = made_from(*this, d, {values, size_t(count)});
    if (originals_) {
      d = sum_to(d, originals_[k].shape);
      if (d.dtype() != originals_[k].dtype) d = cast(d, originals_[k].dtype);
    }
    inputs[k - first_] = std::move(d);
  }
}

// Of an operation that is flat everywhere, in place, or has no derivative.
Ref<Node> flat_node(const FormulaOp& op, std::span<const Operand> args, const char* form = "_") {
  if (op.info->in_place == InPlace::zeros) {
    std::string name = op.node_name;
    if (args.back().tensor) name.back() = '1';  // as PyTorch counts the two forms
    const auto node = Ref<ZerosNode>::adopt(new ZerosNode(std::move(name)));
    for (const Operand& a : args) {
      if (a.tensor) node->add(edge_to(*a.tensor), {a.tensor->shape(), a.tensor->dtype()});
    }
    return Ref<Node>(node.get());
  }
  Small<const Tensor*, 3> inputs;
  for (const Operand& a : args) inputs.push_back(a.tensor);
  return not_implemented(str("aten::", op.info->name, form), inputs);
}

// Made before the operation runs; `saved` is filled by save_for_node.
Ref<FormulaNode> formula_node(const FormulaOp& op, std::span<const Operand> args, const Scalar* attributes,
                              bool in_place = false) {
  auto node = Ref<FormulaNode>::adopt(new FormulaNode(op, args, in_place));
  for (int a = 0; a < op.attributes; ++a) node->attributes_[a] = attributes[a];
  return node;
}
// Which arguments (and, as bit `tensors`, whether the result) are saved. As PyTorch, what only one of several partials
// reads is left out if that one is not needed; anything else is saved, and so may not be changed, in any case.
unsigned to_save(const FormulaNode& node, const FormulaOp& op) {
  unsigned needed = op.tensors == 1 ? op.saves : op.saves & 1u << op.tensors, once = 0;
  for (int k = 0; k < op.tensors; ++k) {
    const unsigned uses = op.partial[k].uses;
    if (node.leads(k)) needed |= uses;
    needed |= once & uses;
    once |= uses;
  }
  return needed;
}
// In place, also makes sure that the result may be written.
void save_for_node(FormulaNode& node, const FormulaOp& op, std::span<const Operand> args, const Tensor& out,
                   bool in_place) {
  const unsigned needed = to_save(node, op);
  for (int k = 0; k < op.tensors; ++k) {
    if (!(op.saves >> k & 1)) continue;
    if (!(needed >> k & 1))
      node.saved.push_back(Saved());
    else
      node.saved.push_back(Saved(args[k].tensor ? *args[k].tensor : wrapped_number(args[k].number), false));
  }
  if (in_place) check_writable(out, op.info->name);
  if (op.saves >> op.tensors & 1) {
    const bool kept = needed >> op.tensors & 1;
    node.saved.push_back(kept ? Saved(out, true) : Saved());
    if (kept && in_place) node.saved.back().expect_next_version();
  }
  if (needed == 0) node.saved.clear();
  bool differs = false;
  for (int k = 0; k < op.tensors; ++k) {
    if (!node.leads(k)) continue;
    const Tensor& t = *args[k].tensor;
    differs |= t.dtype() != out.dtype() || !(t.shape() == out.shape());
  }
  if (!differs) return;
  node.originals_.reset(new Like[op.tensors]);
  for (int k = 0; k < op.tensors; ++k) {
    if (node.leads(k)) node.originals_[k] = {args[k].tensor->shape(), args[k].tensor->dtype()};
  }
}

// ---- the forward run ------------------------------------------------------------------------------------------------

struct Plan {
  DType common;  // the type in which arguments meet
  DType out;     // of the result
  Compute compute;
  Dims shape;
  bool same_shape = true;  // all tensors have it
  Device device;
};

[[gnu::noinline, gnu::cold]] void refuse(const FormulaOp& op, DType d) {
  const std::string_view name = op.info->kernel ? op.info->kernel : op.info->name;
  const bool whole = op.info->kernel || name.ends_with("_cpu");
  fail(ErrorKind::not_implemented, "\"", name, whole ? "" : "_cpu", "\" not implemented for '", legacy_name(d), "'",
       is_complex(d) ? "\ncomplex tensors are not supported" : "");
}

Compute compute_for(const FormulaOp& op, DType common) {
  Compute c = cpu::compute_of(common);
  if (c == Compute::u8 && !op.kernels->value[int(c)]) c = Compute::i64;
  if (!op.kernels->value[int(c)] || is_complex(common)) refuse(op, common);
  return c;
}

// The one device of all arguments; tensors without dims may stay on the CPU.
[[gnu::noinline, gnu::cold]] Device common_device(std::span<const Operand> args) {
  const Operand* first = nullptr;  // the one whose device counts
  for (const Operand& a : args) {
    if (!a.tensor) continue;
    const bool free = a.tensor->device().kind == DeviceKind::cpu && a.tensor->dims() == 0;
    if (first && !free && !(first->tensor->device() == a.tensor->device())) {
      fail_devices(first->tensor->device(), a.tensor->device());
    }
    if (!first && !free) first = &a;
  }
  return first->tensor->device();
}

// A number that is an attribute must fit the dtype, where it does not say that it need not.
[[gnu::noinline, gnu::cold]] void check_attribute(const FormulaOp& op, int attribute, Scalar value, DType common) {
  if (op.info->any_number) return;
  for (const Operation& each : registry()) {
    if (each.formula != &op) continue;
    if (each.signature.parameters[size_t(op.tensors + attribute)].type == ArgType::scalar)
      check_fits(value, wide(common));
    return;
  }
}
bool surely_fits(Scalar value, DType common) {
  if (is_floating(common)) return std::abs(value.as_double()) < 3e38;
  return !is_integral(common) || (value.integral() && value.i >= 0 && value.i < 128);
}

// What dtypes and attributes ask for beyond the common type of arguments: p.common may change.
[[gnu::noinline]] void restrict_types(const FormulaOp& op, std::span<const Operand> args, Plan& p) {
  const Info& info = *op.info;
  if (info.no_bool) {
    for (const Operand& a : args) {
      const bool refused = a.dtype() == DType::boolean;
      check(!refused, info.no_bool[0] == '"' ? ErrorKind::not_implemented : ErrorKind::runtime, info.no_bool);
    }
  }
  if (is_floating(p.common)) return;
  if (info.dtypes == Dtypes::floating && !is_complex(p.common)) p.common = default_dtype();
}
[[gnu::noinline]] void refuse_types(const FormulaOp& op, const Scalar* attributes, Plan& p) {
  const Info& info = *op.info;
  if (info.dtypes == Dtypes::only_floating) refuse(op, p.common);
  if (info.dtypes == Dtypes::integers && p.common == DType::boolean) refuse(op, p.common);
  check(!info.divides || p.common != DType::boolean || info.dtypes != arithmetic, ErrorKind::not_implemented, "\"",
        info.name, "_cpu\" not implemented for 'Bool'");
  if (!info.mixed) return;
  for (int a = 0; a < op.attributes; ++a) {
    if (attributes[a].integral()) continue;
    check(info.mixed == 2, "For integral input tensors, argument alpha must not be a floating point number.");
    p.common = default_dtype();
  }
}

// With `self`, for a result that will be written into it.
Plan plan(const FormulaOp& op, std::span<const Operand> args, const Scalar* attributes, const Tensor* self = nullptr) {
  Plan p;
  if (op.info->check_arguments) op.info->check_arguments(args.data());
  const int first = op.info->condition ? 1 : 0;
  const Tensor* shaped = nullptr;
  bool uniform = true;
  for (int k = 0; k < op.tensors; ++k) {
    const Tensor* t = args[k].tensor;
    if (!t) {
      if (k >= first) uniform = false;
      continue;
    }
    if (t->device().kind != DeviceKind::cpu) [[unlikely]]
      p.device = common_device(args);
    if (!shaped) {
      shaped = t;
      p.shape = t->shape();
    } else if (!(t->shape() == p.shape)) {
      p.shape = broadcast_shapes(p.shape, t->shape());
      p.same_shape = false;
    }
    if (k >= first) uniform = uniform && (!args[first].tensor ? false : t->dtype() == args[first].tensor->dtype());
  }
  p.common = uniform ? args[first].tensor->dtype() : promoted_type(args.subspan(first));
  // Tensors of one floating type meet all that operations ask of types.
  const bool plain = uniform && is_floating(p.common);
  if (!plain) restrict_types(op, args, p);
  if (self) {
    check(p.shape == self->shape(), "output with shape ", Ints(self->shape()), " doesn't match the broadcast shape ",
          Ints(p.shape));
    check(op.info->result == Result::boolean || category(p.common) <= category(self->dtype()), "result type ",
          legacy_name(p.common), " can't be cast to the desired output type ", legacy_name(self->dtype()));
  }
  if (!plain && !is_floating(p.common)) refuse_types(op, attributes, p);
  if (op.info->check) op.info->check(p.common, attributes);
  for (int a = 0; a < op.attributes; ++a) {
    if (!surely_fits(attributes[a], p.common)) [[unlikely]]
      check_attribute(op, a, attributes[a], p.common);
  }
  p.compute = compute_for(op, p.common);
  p.out = op.info->result == Result::boolean ? DType::boolean : p.common;
  return p;
}

void check_divisor(const Operand& divisor) {
  bool zero;
  if (!divisor.tensor) {
    zero = divisor.number.as_int() == 0;
  } else {
    const Tensor d = dense(*divisor.tensor);
    zero = d.numel() && dispatch(d.dtype(), "div", [&]<class T>() {
             const T* p = d.data<T>();
             bool found = false;
             for (int64_t i = 0; i < d.numel(); ++i) found |= convert<double>(p[i]) == 0;
             return found;
           });
  }
  check(!zero, "ZeroDivisionError");
}

// Is an integer of that type a smaller one in the common type? Then it wraps before the kernel sees it.
bool wraps(DType from, DType common) {
  return from != common && is_integral(common) && common != DType::i64 && promote(from, common) != common;
}
Scalar wrapped(Scalar s, DType common) {
  if (!wraps(s.dtype(), common)) return s;
  const int unused = 64 - 8 * itemsize(common);
  const uint64_t bits = static_cast<uint64_t>(s.as_int()) << unused;
  return Scalar(is_signed(common) ? static_cast<int64_t>(bits) >> unused : static_cast<int64_t>(bits >> unused));
}

void execute(const FormulaOp& op, std::span<const Operand> args, const Scalar* attributes, const Plan& p,
             const Tensor& out) {
  const Kernel kernel = op.kernels->value[int(p.compute)];
  const Compute out_compute = op.info->result == Result::boolean ? Compute::u8 : p.compute;
  const int64_t n = out.numel();
  if (n == 0) return;
  const bool on_cpu = p.device.kind == DeviceKind::cpu;
  if (op.info->divides && on_cpu && !is_floating(p.common)) check_divisor(args[1]);
  Number numbers[max_attributes + max_tensors];
  for (int a = 0; a < op.attributes; ++a) numbers[max_tensors + a] = Number(attributes[a], p.compute);
  bool simple = on_cpu && n <= 32768 && p.same_shape && out.contiguous() && cpu::is_direct(out.dtype(), out_compute);
  for (int k = 0; k < op.tensors && simple; ++k) {
    const Tensor* t = args[k].tensor;
    const Compute c = op.info->condition && k == 0 ? Compute::u8 : p.compute;
    simple = t ? t->contiguous() && cpu::is_direct(t->dtype(), c) : n == 1;
  }
  if (simple) {
    const void* in[8];
    for (int k = 0; k < op.tensors; ++k) {
      if (args[k].tensor) {
        in[k] = (*args[k].tensor)->data();
      } else {
        numbers[k] = Number(args[k].number, p.compute);
        in[k] = numbers[k].bytes;
      }
    }
    for (int a = 0; a < op.attributes; ++a) in[op.tensors + a] = numbers[max_tensors + a].bytes;
    kernel(n, in, out->data());
    return;
  }
  Layout layouts[max_tensors];
  Slot slots[10];
  Step step{static_cast<int16_t>(op.index), Step::value, p.compute, static_cast<int8_t>(op.arity()), {}, 0};
  int count = 0;
  for (int k = 0; k < op.tensors; ++k) {
    Slot& slot = slots[count];
    slot.compute = op.info->condition && k == 0 ? Compute::u8 : p.compute;
    if (const Tensor* t = args[k].tensor; t && t->device() == p.device) {
      layouts[k] = t->layout().broadcast(out.shape());
      slot.dtype = t->dtype();
      slot.data = memory_of(*t);
      slot.strides = layouts[k].strides.data();
      if (t->contiguous() && out.contiguous() && t->numel() == n) slot.strides = nullptr;
    } else {
      numbers[k] = Number(t ? item_data(*t) : args[k].number, slot.compute);
      slot.kind = Slot::Kind::number;
      slot.dtype = cpu::dtype_of_compute(slot.compute);
      slot.data = numbers[k].bytes;
    }
    step.in[k] = static_cast<int8_t>(count++);
  }
  for (int a = 0; a < op.attributes; ++a) {
    slots[count] = {Slot::Kind::attribute, p.compute, p.common, numbers[max_tensors + a].bytes};
    step.in[op.tensors + a] = static_cast<int8_t>(count++);
  }
  slots[count] = {Slot::Kind::output, out_compute, out.dtype(), memory_of(out),
                  out.contiguous() ? nullptr : out.strides().data()};
  step.out = static_cast<int8_t>(count++);
  backend_of(p.device).run({{&step, 1}, {slots, size_t(count)}, out.shape()});
}

// The same for arguments that may have to wrap.
[[gnu::noinline]] void execute_wrapped(const FormulaOp& op, std::span<const Operand> given, const Scalar* attributes,
                                       const Plan& p, const Tensor& out) {
  Operand args[max_tensors];
  for (int k = 0; k < op.tensors; ++k) {
    args[k] = given[k];
    const Tensor* t = args[k].tensor;
    if (t && t->dims() == 0 && wraps(t->dtype(), p.common) && !without_elements(*t)) args[k] = Operand(item_data(*t));
    if (!args[k].tensor) args[k].number = wrapped(args[k].number, p.common);
  }
  execute(op, {args, size_t(op.tensors)}, attributes, p, out);
}
// In halves, arguments of other types are rounded before the kernel sees them, as in PyTorch; but products keep the
// digits of a number, and of a second argument without dimensions, and so do quotients of the divisor.
[[gnu::noinline]] void execute_half(const FormulaOp& op, std::span<const Operand> given, const Scalar* attributes,
                                    const Plan& p, const Tensor& out) {
  const auto rounded = [&](const Scalar& s) {
    return dispatch(p.common, op.info->name, [&]<class T>() { return Scalar(convert<double>(s.as<T>())); });
  };
  const int o = op.index;
  const bool product = o == index_of<Mul>;
  const bool quotient =
      o == index_of<Div> || o == index_of<DivFloor> || o == index_of<DivTrunc> || o == index_of<FloorDivide>;
  const bool scaled =
      o == index_of<AddScaled> || o == index_of<SubScaled> || o == index_of<RsubScaled> || o == index_of<PowScalar>;
  Operand args[max_tensors];
  Scalar numbers[max_attributes];
  for (int k = 0; k < op.tensors; ++k) {
    args[k] = given[k];
    const Tensor* t = args[k].tensor;
    if (op.info->condition && k == 0) continue;
    if (t && (t->dtype() == p.common || without_elements(*t))) continue;
    if (!t || (t->dims() == 0 && t->device() == p.device)) {
      const Scalar value = t ? item_data(*t) : args[k].number;
      const bool keeps = (product && (!t || k == 1)) || (quotient && k == 1);
      args[k] = Operand(keeps ? value : rounded(value));
    }
  }
  Small<Tensor, max_tensors> made(max_tensors, Tensor());
  for (int k = 0; k < op.tensors; ++k) {
    const Tensor* t = args[k].tensor;
    if (!t || t->dtype() == p.common || without_elements(*t) || (op.info->condition && k == 0)) continue;
    made[k] = cast_data(*t, p.common);
    args[k].tensor = &made[k];
  }
  for (int a = 0; a < op.attributes; ++a) numbers[a] = scaled ? rounded(attributes[a]) : attributes[a];
  execute(op, {args, size_t(op.tensors)}, numbers, p, out);
}
void compute(const FormulaOp& op, std::span<const Operand> args, const Scalar* attributes, const Plan& p,
             const Tensor& out) {
  if (p.common == DType::f16 || p.common == DType::bf16) return execute_half(op, args, attributes, p, out);
  const bool narrow = is_integral(p.common) && p.common != DType::i64;
  return narrow ? execute_wrapped(op, args, attributes, p, out) : execute(op, args, attributes, p, out);
}

bool wants_recording(const FormulaOp& op, std::span<const Operand> args) {
  if (!grad_state.enabled) return false;
  for (int k = 0; k < op.tensors; ++k) {
    if (args[k].tensor && requires_grad(*args[k].tensor) && op.takes_gradient(k)) return true;
  }
  return false;
}

// Memory order of the result: that of the arguments, the first deciding where they disagree.
Tensor make_result(const Plan& p, std::span<const Operand> args) {
  if (p.shape.size() < 2) return empty(p.shape, p.out);
  // Where a size is 1, contiguous operands may still differ in strides: as in PyTorch, these count unless all shapes
  // agree.
  const Tensor* first = nullptr;
  bool plain = true, row_major = true, alike = true;
  for (const Operand& a : args) {
    if (!a.tensor) {
      alike = false;
      continue;
    }
    plain &= a.tensor->contiguous();
    row_major &= plain && a.tensor->strides() == contiguous_strides(a.tensor->shape());
    alike &= a.tensor->shape() == p.shape && (!first || a.tensor->strides() == first->strides() || plain);
    if (!first) first = a.tensor;
  }
  if (row_major || (plain && alike)) return empty(p.shape, p.out);
  if (alike) return empty_like(*first, p.out);
  Small<Dims, 3> strides;
  Small<const Dims*, 3> pointers;
  for (const Operand& a : args) {
    if (!a.tensor) continue;
    strides.push_back(a.tensor->layout().broadcast(p.shape).strides);
  }
  for (const Dims& s : strides) pointers.push_back(&s);
  return empty_ordered(p.shape, p.out, {pointers.data(), pointers.size()});
}

const FormulaOp& stand_in(const FormulaOp& op, std::span<const Operand> args) {
  if (!op.info->on_bool) return op;
  for (const Operand& a : args) {
    if (a.dtype() != DType::boolean) return op;
  }
  for (int i = 0; i < formula_count; ++i) {
    if (std::string_view(formulas[i].info->name) == op.info->on_bool) return formulas[i];
  }
  return op;
}

Tensor call_out(const FormulaOp& op, std::span<const Operand> args, const Scalar* attributes, const Tensor& into) {
  const Plan p = plan(op, args, attributes);
  const DeviceScope scope(p.device);
  check_out_device(p.device, into);
  // As PyTorch: what promotes nothing converts nothing.
  const bool exact =
      op.info->condition || (op.tensors == 1 && op.info->dtypes != Dtypes::floating && op.info->result == Result::same);
  check(!exact || p.out == into.dtype(), "Found dtype ", legacy_name(into.dtype()), " but expected ",
        legacy_name(p.out));
  check(category(p.out) <= category(into.dtype()), "result type ", legacy_name(p.out),
        " can't be cast to the desired output type ", legacy_name(into.dtype()));
  check(!wants_recording(op, args) && !(grad_state.enabled && op.differentiable() && requires_grad(into)),
        op.info->name,
        "(): functions with out=... arguments don't support automatic differentiation, but one of the arguments "
        "requires grad.");
  check_no_internal_overlap(into);
  bool overlaps = false;
  for (const Operand& a : args) {
    if (!a.tensor) continue;
    if (into.shape() == p.shape) check_no_partial_overlap(into, *a.tensor);
    overlaps |= (*a.tensor)->storage == into->storage && !a.tensor->same(into);
  }
  Tensor apart;  // before anything changes: its memory may be refused
  if (overlaps || p.out != into.dtype()) apart = empty(p.shape, p.out);
  if (into.shape() != p.shape) {
    Layout fresh = make_result(p, args).layout();  // what is made anew is laid out like a result
    resize_output(into, p.shape);
    fresh.offset = into.layout().offset;
    set_layout(into, fresh);
  }
  if (apart) {  // a result is rounded to its own type first
    compute(op, args, attributes, p, apart);
    copy_data(into, apart);
  } else {
    compute(op, args, attributes, p, into);
  }
  into->bump_version();
  return into;
}

}  // namespace

Tensor call_formula(const FormulaOp& asked, std::span<const Operand> args, const Scalar* attributes,
                    const Tensor* into) {
  const FormulaOp& op = stand_in(asked, args);
  if (into) return call_out(op, args, attributes, *into);
  const Plan p = plan(op, args, attributes);
  const DeviceScope scope(p.device);
  const bool record = wants_recording(op, args);
  Tensor out = make_result(p, args);
  compute(op, args, attributes, p, out);
  bool all_numbers = true;
  for (const Operand& a : args) all_numbers &= !a.tensor || (*a.tensor)->wrapped_number;
  if (all_numbers) out->wrapped_number = true;
  if (record && is_differentiable(p.out)) {
    if (op.info->in_place == InPlace::no_derivative) {
      set_producer(out, flat_node(op, args, ""));
      return out;
    }
    const Ref<FormulaNode> node = formula_node(op, args, attributes);
    save_for_node(*node, op, args, out, false);
    set_producer(out, Ref<Node>(node.get()));
  }
  return out;
}

Tensor call_formula_inplace(const FormulaOp& asked, const Tensor& self, std::span<const Operand> args,
                            const Scalar* attributes) {
  const FormulaOp& op = stand_in(asked, args);
  const InPlace how = op.info->in_place;
  bool record = how != InPlace::unrecorded && recording(self);
  for (const Operand& a : args) record |= how != InPlace::unrecorded && a.tensor && recording(*a.tensor);
  {
    GradMode mode(record);
    check_history(self, op.info->name);
  }
  // As PyTorch, what concerns the graph comes before memory, shapes and types.
  const FormulaOp& kept_by = *op.in_place;
  Ref<FormulaNode> formula;
  Ref<Node> node;
  if (record && is_differentiable(self.dtype())) {
    if (how == InPlace::recorded) formula = formula_node(kept_by, args, attributes, true);
    node = formula ? Ref<Node>(formula.get()) : flat_node(op, args);
  }
  check_no_internal_overlap(self);
  const Plan p = plan(op, args, attributes, &self);
  const DeviceScope scope(p.device);
  for (const Operand& a : args) {
    if (a.tensor && !a.tensor->same(self)) check_no_partial_overlap(self, *a.tensor);
  }
  if (!formula) {
    check_writable(self, op.info->name);
    compute(op, args, attributes, p, self);
    changed_inplace(self, std::move(node), op.info->name);
    return self;
  }
  const unsigned needed = to_save(*formula, kept_by);
  // The old value, where backward reads it.
  Tensor old;
  Small<Operand, 3> kept(args.begin(), args.end());
  for (int k = 0; k < op.tensors; ++k) {
    if (kept[k].tensor && kept[k].tensor->same(self) && k == 0 && (needed >> k & 1)) {
      old = snapshot(self);
      kept[k].tensor = &old;
    }
  }
  save_for_node(*formula, kept_by, kept, self, true);
  compute(op, args, attributes, p, self);
  changed_inplace(self, std::move(node), op.info->name);
  return self;
}

}  // namespace bulssi
