#include "core/op/registry.h"

#include <algorithm>

#include "core/op/formulas.h"
#include "core/op/pointwise.h"
#include "core/ops/basics.h"
#include "core/program/backend.h"

namespace bulssi {

std::vector<Operation>& registry() {
  static std::vector<Operation> all;
  return all;
}

Layout MemoryFormat::of(Ints shape) const {
  if (kind != channels_last && kind != channels_last_3d) return Layout::of(shape);
  const int dims = kind == channels_last ? 4 : 5;
  check(shape.size() == size_t(dims), "required rank ", dims, " tensor to use channels_last", dims == 5 ? "_3d" : "",
        " format");
  Dims moved(shape);  // (N, C, …) in memory as (N, …, C)
  moved.erase(1);
  moved.push_back(shape[1]);
  Layout layout{Dims(shape), contiguous_strides(moved), 0};
  const int64_t channel_step = layout.strides.back();
  layout.strides.pop_back();
  layout.strides.insert(1, channel_step);
  return layout;
}
bool MemoryFormat::fits(const Layout& layout) const {
  if (kind != channels_last && kind != channels_last_3d) return layout.contiguous();
  if (layout.dims() != (kind == channels_last ? 4 : 5)) return false;
  const Layout wanted = of(layout.shape);
  for (int i = 0; i < layout.dims(); ++i) {
    if (layout.shape[i] == 0) return true;
    if (layout.shape[i] != 1 && layout.strides[i] != wanted.strides[i]) return false;
  }
  return true;
}

// f_copy of a view f. One that gives several tensors has no form with out=.
static void register_copy(Operation op) {
  op.copies = true;
  op.name += "_copy";
  op.signature.text.insert(op.signature.name.size(), "_copy");
  op.signature.name = op.name;
  op.doc = str("A copy of what ", op.name.substr(0, op.name.size() - 5), " gives. ", op.doc);
  op.traits = {.kind = OpKind::composite, .method = false, .out = !op.signature.text.ends_with("[]")};
  op.traits.out_dtype = Traits::Out::exact;
  registry().push_back(std::move(op));
}

Registered::Registered(std::string_view schema, Call call, Call inplace, const char* doc, const Traits& traits) {
  Operation op;
  op.signature = parse_signature(schema);
  op.name = op.signature.name;
  op.doc = doc;
  op.traits = traits;
  op.call = call;
  op.call_inplace = inplace;
  if (inplace) {
    op.traits.inplace = true;
    if (op.traits.kind == OpKind::kernel) op.traits.kind = OpKind::alter;
  }
  const bool copied = traits.copy;
  registry().push_back(std::move(op));
  if (copied) register_copy(Operation(registry().back()));
}

void register_formulas() {
  std::vector<Operation> made;
  for (int i = 0; i < formula_count; ++i) {
    const FormulaOp& f = formulas[i];
    static const char* defaults[] = {"", "(Tensor self)", "(Tensor self, Tensor other)",
                                     "(Tensor self, Tensor other, Tensor third)"};
    Operation op;
    op.signature = parse_signature(std::string(f.info->name) +
                                   (f.info->signature ? f.info->signature : defaults[f.tensors]) + " -> Tensor");
    op.name = f.info->name;
    op.doc = f.info->doc;
    const Forms& forms = f.info->forms;
    op.traits = {OpKind::pointwise,
                 false,
                 forms.function,
                 forms.method,
                 forms.inplace,
                 forms.out,
                 f.differentiable(),
                 forms.module,
                 f.info->aliases,
                 f.info->dtypes == Dtypes::floating     ? "floating"
                 : f.info->dtypes == Dtypes::arithmetic ? "all"
                 : f.info->dtypes == Dtypes::bitwise    ? "bitwise"
                 : f.info->dtypes == Dtypes::integers   ? "integers"
                                                        : "only_floating"};
    op.formula = &f;
    made.push_back(std::move(op));
  }
  // Formulas are tried before functions of the same name.
  registry().insert(registry().begin(), made.begin(), made.end());
}

namespace {

// Calls f(parameter, tensor) for the tensors among the arguments.
template <class F>
void for_each_tensor(const Operation& op, const Value* v, F f) {
  for (size_t i = 0; i < op.signature.parameters.size(); ++i) {
    if (v[i].tensor) f(i, v[i].tensor);
    for (const Tensor& t : v[i].tensors) {
      if (t) f(i, t);
    }
  }
}

}  // namespace

void fail_devices(Device expected, Device other) {
  if (expected.kind != DeviceKind::meta && other.kind != DeviceKind::meta) {
    fail("Expected all tensors to be on the same device, but found at least two devices, ", expected, " and ", other,
         "!");
  }
  fail("Tensor on device ", other, " is not on the expected device ", expected,
       "!\nExpected all tensors to be on the same device, but found at least two devices, ", expected, " and ", other);
}
// A call on the CPU, by its first tensor, cannot read elements of other devices. (Calls on `meta` read none, and take
// what comes.) Tensors without dims may stay on the CPU.
static void check_first_device(const Operation& op, const Value* v) {
  bool any = false;
  Device expected;
  for_each_tensor(op, v, [&](size_t, const Tensor& t) {
    if (t.device().kind == DeviceKind::cpu && t.dims() == 0) return;
    if (!any) expected = t.device();
    any = true;
    if (expected.kind == DeviceKind::cpu && !(t.device() == expected)) fail_devices(expected, t.device());
  });
}

Device device_of_call(const Operation& op, const Value* v) {
  const int given = op.signature.device;
  if (given >= 0 && v[given].present) {
    check_device(v[given].device);
    return v[given].device.kind == DeviceKind::cuda ? v[given].device : Device{v[given].device.kind};
  }
  bool any = false;
  Device found;
  for_each_tensor(op, v, [&](size_t, const Tensor& t) {
    any = true;
    if (found.kind == DeviceKind::cpu) found = t.device();
  });
  // Indices may be elsewhere, and copies are what brings elements from one device to another.
  const std::string_view name = op.signature.name;
  const bool free = name.starts_with("index") || name.starts_with("embedding") || name == "copy_" ||
                    op.traits.kind == OpKind::composite || op.traits.kind == OpKind::view;
  if (found.kind != DeviceKind::cpu && !free) check_first_device(op, v);
  return given >= 0 && !any ? default_device : found;
}

Outcome run(const Operation& op, Value* v) {
  Outcome result = op.call(v);
  if (op.copies) {
    const MemoryFormat rows{MemoryFormat::contiguous};
    if (result.tensor) result.tensor = clone(result.tensor, rows);
    for (Tensor& t : result.tensors) t = clone(t, rows);
  }
  if (op.traits.shown && result.tensor && grad_state.enabled) {
    std::vector<Tensor> inputs;
    for_each_tensor(op, v, [&](size_t, const Tensor& t) { inputs.push_back(t); });
    show_as(result.tensor, op.traits.shown, inputs);
  }
  return result;
}

void check_fits_filling(Scalar value, DType dtype) {
  if (!is_half(dtype)) check_fits(value, dtype);
}
void check_fits(Scalar value, DType dtype) {
  bool fit = true;
  if (is_complex(dtype)) return;
  if (value.kind == Scalar::Kind::complex && value.imag != 0) {
    fit = false;
  } else if (dtype == DType::boolean) {
    return;
  } else if (is_floating(dtype)) {
    const double d = value.as_double();
    fit = !std::isfinite(d) || std::abs(d) <= largest(dtype);
  } else {
    const int bits = 8 * itemsize(dtype) - (is_signed(dtype) ? 1 : 0);
    const double top = std::ldexp(1.0, bits), d = value.as_double();
    if (value.integral() && dtype == DType::i64) return;
    if (value.integral())  // unsigned types take negative ones down to -max, which wrap
      fit = is_signed(dtype) ? d >= -top && d < top : d > -top && d < top;
    else if (is_signed(dtype))
      fit = d >= -top && (dtype == DType::i64 ? d <= top : d <= top - 1);
    else
      fit = d >= 0 && d <= top - 1;
  }
  check(fit, "value cannot be converted to type ", source_name(dtype), " without overflow\nthe value is ", value);
}

// PyTorch counts the rules of a name through: those in place come after all the others.
static void name_as_inplace(const Operation& op, Node& node) {
  std::string name = node.name();
  const auto others = std::count_if(registry().begin(), registry().end(),
                                    [&](const Operation& other) { return other.name == op.name; });
  if (name.empty() || name.back() < '0' || name.back() > '9') return;
  name.back() = static_cast<char>(name.back() + others);
  node.label = std::make_unique<Label>();
  node.label->name = std::move(name);
  for (const Edge& edge : node.edges) node.label->inputs.push_back(edge);
}

Tensor run_inplace(const Operation& op, Value* v) {
  const Tensor self = v[0].tensor;
  bool record = false;
  for_each_tensor(op, v, [&](size_t, const Tensor& t) { record = record || recording(t); });
  {
    GradMode mode(record);
    // Views change the layout, not the elements.
    check_history(self, op.name.c_str());
    check_overlap(self, op.name.c_str(), op.traits.kind == OpKind::view ? Overlap::allowed : Overlap::refused);
  }
  if (record && op.traits.kind == OpKind::view) {
    Tensor same = alias(self);
    const Edge edge = edge_to(self);
    set_producer(same, edge.node, edge.index);
    v[0].tensor = same;
  } else if (record) {
    v[0].tensor = snapshot(self);
  }
  Outcome result = run(op, v);
  v[0].tensor = self;
  const Tensor& made = result.tensor;
  check_writable(self, op.name.c_str());
  if (op.traits.kind == OpKind::view) {  // transpose_ and the like change the layout, not the elements
    const Ref<Node> node = record ? producer(made) : Ref<Node>();
    if (node) name_as_inplace(op, *node);
    note_shape(self, made.shape());
    set_layout(self, made.layout());
    self->bump_version();
    note_change(self, op.name.c_str(), static_cast<bool>(node));
    if (!node) return self;
    // Of a view as well: its base has not changed. The gradient that is kept stays that of the former shape.
    set_producer(self, node);
    return self;
  }
  check(made.shape() == self.shape(), "output with shape ", Ints(self.shape()), " doesn't match the broadcast shape ",
        Ints(made.shape()));
  check(category(made.dtype()) <= category(self.dtype()), "result type ", legacy_name(made.dtype()),
        " can't be cast to the desired output type ", legacy_name(self.dtype()));
  const Ref<Node> node = record ? producer(made) : Ref<Node>();
  if (node && op.traits.inplace_rule) name_as_inplace(op, *node);
  copy_data(self, made);
  for (size_t i = 0; node && made.dtype() == self.dtype() && i < node->saved.size(); ++i) {
    node->saved[i].move_result(self);
  }
  changed_inplace(self, node, op.name.c_str());
  return self;
}

namespace {

void check_no_recording(const Operation& op, const Value* v, std::span<const Tensor> out) {
  if (!grad_state.enabled) return;
  bool any = false, tensors = false;
  for_each_tensor(op, v, [&](size_t, const Tensor& t) {
    tensors = true;
    any = any || (op.traits.differentiable && requires_grad(t));
  });
  for (const Tensor& t : out) any = any || requires_grad(t);
  const std::string_view home = op.traits.module ? op.traits.module : "";
  check(!any, tensors && !op.copies ? (home == "linalg" ? "linalg_" : "") : "aten::", op.name,
        "(): functions with out=... arguments don't support automatic differentiation, but one of the arguments "
        "requires grad.");
}

Traits::Out out_rule(const Operation& op) {
  using Out = Traits::Out;
  if (op.traits.out_dtype != Out::by_kind) return op.traits.out_dtype;
  return op.traits.kind == OpKind::kernel || op.traits.kind == OpKind::alter ? Out::exact : Out::converted;
}

// Where a device and a dtype are asked for, `out` has them.
void check_options(const Operation& op, const Value* v, const Tensor& out) {
  const int device = op.signature.device;
  if (device < 0) return;
  check(!v[device].present || v[device].device.kind == out.device().kind, "device type ",
        device_kind_name(v[device].device.kind), " does not match device type of out parameter (",
        device_kind_name(out.device().kind), ")");
  for (size_t i = 0; i < op.signature.parameters.size(); ++i) {
    if (op.signature.parameters[i].type != ArgType::dtype || !v[i].present) continue;
    check(v[i].dtype == out.dtype(), "dtype ", legacy_name(v[i].dtype), " does not match dtype of out parameter (",
          legacy_name(out.dtype()), ")");
  }
}

// May a result of that dtype go into `out`?
void check_out_dtype(const Operation& op, DType made, const Tensor& out) {
  using Out = Traits::Out;
  const Out rule = out_rule(op);
  if (made == out.dtype()) return;
  check(rule == Out::converted, "Expected out tensor to have dtype ", c_name(made), ", but got ", c_name(out.dtype()),
        " instead");
  const bool joins = op.signature.parameters[0].list;  // several tensors: what PyTorch does with its cat
  check(category(made) <= category(out.dtype()), joins ? ErrorKind::type : ErrorKind::runtime,
        joins ? "torch.cat(): input types" : "result type ", joins ? "" : legacy_name(made),
        " can't be cast to the desired output type ", legacy_name(out.dtype()));
}

}  // namespace

void check_out_device(Device made, const Tensor& out) {
  check(made == out.device(), "Attempting to copy from device ", made, " to device ", out.device(),
        ", but cross-device copies are not allowed!\nout= must be on the device of the result");
}

Outcome run_out(const Operation& op, Value* v, std::span<const Tensor> out) {
  check_no_recording(op, v, out);
  if (out.size() == 1) check_options(op, v, out[0]);
  GradMode off(false);
  for (const Tensor& to : out) {
    for_each_tensor(op, v, [&](size_t, const Tensor& t) { check_no_partial_overlap(to, t); });
  }
  // Operations that let the user choose a dtype compute in that of out.
  const auto& parameters = op.signature.parameters;
  for (size_t i = 0; i < parameters.size() && out.size() == 1; ++i) {
    const Parameter& p = parameters[i];
    if (p.type != ArgType::dtype || !p.optional || v[i].present || op.traits.out_dtype != Traits::Out::by_kind)
      continue;
    v[i].present = true;
    v[i].dtype = out[0].dtype();
  }
  Outcome result = op.call(v);
  if (result.kind == Outcome::Kind::tensor) result.tensors = {result.tensor};
  check(result.tensors.size() == out.size(), ErrorKind::type, op.name, "(): expected ", result.tensors.size(),
        " out tensors, got ", out.size());
  bool placed = false;  // a result made from tensors is on their device
  for_each_tensor(op, v, [&](size_t, const Tensor&) { placed = true; });
  for (size_t i = 0; i < out.size(); ++i) {
    const Device device = result.tensors[i].device();
    check(!placed || device == out[i].device() || out_rule(op) != Traits::Out::exact,
          "Expected out tensor to have device ", device, ", but got ", out[i].device(), " instead");
    if (placed) check_out_device(device, out[i]);
    check_out_dtype(op, result.tensors[i].dtype(), out[i]);
    if (op.traits.apart || out[i].shape() == result.tensors[i].shape()) check_no_internal_overlap(out[i]);
    if (!op.traits.apart) continue;
    for_each_tensor(op, v, [&](size_t k, const Tensor& t) {
      if (op.traits.kind != OpKind::alter || k > 0) check_no_overlap(out[i], result.tensors[i].shape(), t);
    });
  }
  for (size_t i = 0; i < out.size(); ++i) {
    const Tensor& made = result.tensors[i];
    resize_output(out[i], made.shape());
    check_no_internal_overlap(out[i]);
    copy_data(out[i], made);
    out[i]->bump_version();
    result.tensors[i] = out[i];
  }
  if (result.kind == Outcome::Kind::tensor) result.tensor = out[0];
  return result;
}

}  // namespace bulssi
