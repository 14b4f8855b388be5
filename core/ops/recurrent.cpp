// A layer of a recurrent network in one direction as one operation, for padded and packed sequences.
#include <algorithm>
#include <vector>

#include "core/cpu/cpu.h"
#include "core/cpu/gemm.h"
#include "core/cpu/recurrent.h"
#include "core/op/tensor_math.h"
#include "core/ops/matmul.h"
#include "core/ops/recompute.h"
#include "core/ops/reduce.h"

namespace bulssi {

namespace {

Cell cell_named(std::string_view mode) {
  if (mode == "RNN_TANH") return Cell::tanh;
  if (mode == "RNN_RELU") return Cell::relu;
  if (mode == "LSTM") return Cell::lstm;
  check(mode == "GRU", ErrorKind::value, "rnn_layer: mode must be RNN_TANH, RNN_RELU, LSTM or GRU, got ", mode);
  return Cell::gru;
}

// The places of the tensor arguments in lists of them.
enum : size_t { at_x, at_h, at_c, at_w_ih, at_w_hh, at_b_ih, at_b_hh, at_w_hr, argument_count };
using Arguments = std::vector<Tensor>;

// What is no tensor: the cell, and which positions each step has, in the order in which the steps run.
struct Plan {
  Cell cell = Cell::tanh;
  bool packed = false;
  bool reverse = false;
  std::vector<int64_t> starts, counts;
};

Plan plan_of(Cell cell, const Tensor& x, std::optional<Ints> batch_sizes, int64_t rows, bool reverse) {
  Plan plan{cell, batch_sizes.has_value(), reverse, {}, {}};
  if (batch_sizes) {
    plan.counts.assign(batch_sizes->begin(), batch_sizes->end());
  } else {
    check(x.dims() == 3, "rnn_layer: expected an input of shape (steps, batch, features), got ", Ints(x.shape()));
    plan.counts.assign(size_t(x.shape()[0]), x.shape()[1]);
  }
  check(!plan.counts.empty(), "Expected sequence length to be larger than 0 in RNN");
  int64_t total = 0;
  for (size_t t = 0; t < plan.counts.size(); ++t) {
    check(plan.counts[t] > 0 || !batch_sizes, "rnn_layer: batch sizes must be positive, got ", plan.counts[t]);
    check(plan.counts[t] <= (t ? plan.counts[t - 1] : rows), "rnn_layer: step ", t, " has ", plan.counts[t],
          " sequences, more than there are: the state has ", rows, " rows and batch sizes must not grow");
    plan.starts.push_back(total);
    total += plan.counts[t];
  }
  check(!batch_sizes || (x.dims() == 2 && x.shape()[0] == total), "rnn_layer: expected packed data of shape (", total,
        ", features), got ", Ints(x.shape()));
  if (reverse) {
    std::reverse(plan.starts.begin(), plan.starts.end());
    std::reverse(plan.counts.begin(), plan.counts.end());
  }
  return plan;
}

// ---- in differentiable operations -------------------------------------------------------------------------------

Tensor part(const Tensor& t, int64_t i, int64_t n) { return narrow(t, -1, i * n, n); }
Tensor sigmoid(const Tensor& t) { return Tensor::apply<Sigmoid>(t); }
Tensor tanh(const Tensor& t) { return Tensor::apply<Tanh>(t); }

// One step: the input's part of the gates and the state, to the new state.
void step(Cell cell, const Tensor& gates, Tensor& h, Tensor& c, const Tensor& w_hh, const Tensor& b_hh) {
  const Tensor own = linear(h, w_hh, b_hh);
  if (cell == Cell::gru) {
    const int64_t n = w_hh.shape()[0] / 3;
    const Tensor update = sigmoid(part(gates, 1, n) + part(own, 1, n));
    const Tensor reset = sigmoid(part(gates, 0, n) + part(own, 0, n));
    const Tensor fresh = tanh(part(gates, 2, n) + reset * part(own, 2, n));
    h = (h - fresh) * update + fresh;
    return;
  }
  const Tensor sums = gates + own;
  if (cell != Cell::lstm) {
    h = cell == Cell::tanh ? tanh(sums) : Tensor::apply<Relu>(sums);
    return;
  }
  const int64_t n = w_hh.shape()[0] / 4;
  c = sigmoid(part(sums, 1, n)) * c + sigmoid(part(sums, 0, n)) * tanh(part(sums, 2, n));
  h = sigmoid(part(sums, 3, n)) * tanh(c);
}

Tensor joined(const std::vector<Tensor>& parts) { return parts.size() == 1 ? parts[0] : cat(parts, 0); }

// Output, last h and, for an LSTM, last c.
std::vector<Tensor> composite(const Plan& plan, const Arguments& a) {
  const Tensor all = linear(a[at_x], a[at_w_ih], a[at_b_ih]);
  const int64_t width = a[at_w_ih].shape()[0];
  const Tensor gates = plan.packed ? all : reshape(all, std::initializer_list<int64_t>{all.numel() / width, width});
  const bool cells = plan.cell == Cell::lstm;
  // The state of the sequences of the step; those that ended (forwards) or have not begun (backwards) stay in `rest`.
  const int64_t first = plan.counts.empty() ? a[at_h].shape()[0] : plan.counts[0];
  Tensor h = narrow(a[at_h], 0, 0, first), c = cells ? narrow(a[at_c], 0, 0, first) : Tensor();
  std::vector<Tensor> outputs, ended_h, ended_c;
  if (!plan.reverse && first < a[at_h].shape()[0]) {
    ended_h.push_back(narrow(a[at_h], 0, first, a[at_h].shape()[0] - first));
    if (cells) ended_c.push_back(narrow(a[at_c], 0, first, a[at_h].shape()[0] - first));
  }
  for (size_t t = 0; t < plan.counts.size(); ++t) {
    const int64_t now = plan.counts[t], had = h.shape()[0];
    if (now < had) {
      ended_h.push_back(narrow(h, 0, now, had - now));
      h = narrow(h, 0, 0, now);
      if (cells) {
        ended_c.push_back(narrow(c, 0, now, had - now));
        c = narrow(c, 0, 0, now);
      }
    } else if (now > had) {
      h = cat(std::vector<Tensor>{h, narrow(a[at_h], 0, had, now - had)}, 0);
      if (cells) c = cat(std::vector<Tensor>{c, narrow(a[at_c], 0, had, now - had)}, 0);
    }
    step(plan.cell, narrow(gates, 0, plan.starts[t], now), h, c, a[at_w_hh], a[at_b_hh]);
    if (a[at_w_hr]) h = linear(h, a[at_w_hr], Tensor());
    outputs.push_back(h);
  }
  const auto with_ended = [](const Tensor& last, std::vector<Tensor>& ended) {
    ended.push_back(last);
    std::reverse(ended.begin(), ended.end());
    return joined(ended);
  };
  if (plan.reverse) std::reverse(outputs.begin(), outputs.end());
  const int64_t features = h.shape()[1];
  Tensor y = outputs.empty() ? zeros(std::initializer_list<int64_t>{0, features}, h.dtype()) : joined(outputs);
  if (!plan.packed) {
    y = reshape(y, std::initializer_list<int64_t>{a[at_x].shape()[0], a[at_x].shape()[1], features});
  }
  std::vector<Tensor> results{y, with_ended(h, ended_h)};
  if (cells) results.push_back(with_ended(c, ended_c));
  return results;
}

// ---- fused --------------------------------------------------------------------------------------------------------

RecurrentShape shape_of(const Plan& plan, const Tensor& h, int64_t positions) {
  return {plan.cell,          h.shape()[1],      h.shape()[0], positions, int64_t(plan.counts.size()),
          plan.starts.data(), plan.counts.data()};
}

Tensor column_sums(const Tensor& t, int64_t width) {
  Tensor out = empty(Ints(&width, 1), t.dtype());
  cpu::ReduceShape s;
  s.reduced = t.numel() / width;
  s.inner = s.stride = width;
  s.outer_stride = t.numel();
  cpu::reduce(cpu::Monoid::sum, cpu::compute_of(t.dtype()), s, t->data(), nullptr, false, out->data());
  return out;
}

// The gradient of the hidden weight: the gates' gradients times the states before them.
Tensor hidden_weight_gradient(const RecurrentShape& s, bool packed, const Tensor& dgates, const Tensor& y,
                              const Tensor& h0) {
  const int64_t n = s.hidden, gates = gate_count(s.cell) * n, size = itemsize(y.dtype());
  const int64_t shape[] = {gates, n};
  Tensor out = empty(shape, y.dtype());
  const auto add = [&](int64_t first, int64_t count, const void* before, bool more) {
    gemm(y.dtype(), true, false, gates, n, count, Scalar(1), dgates->data() + first * gates * size, gates, before, n,
         Scalar(more), out->data(), n);
  };
  if (s.steps == 0) {
    fill_data(out, Scalar(0));
  } else if (!packed) {
    // All steps but the first follow their predecessors at one distance.
    add(s.starts[0], s.rows, h0->data(), false);
    if (s.steps > 1) {
      const int64_t last = s.steps - 1, first = std::min(s.starts[1], s.starts[last]);
      const int64_t before = std::min(s.starts[0], s.starts[last - 1]);
      add(first, last * s.rows, y->data() + before * n * size, true);
    }
  } else {
    const int64_t all[] = {s.positions, n};
    const Tensor before = empty(all, y.dtype());
    for (int64_t t = 0; t < s.steps; ++t) {
      const int64_t had = t ? std::min(s.counts[t], s.counts[t - 1]) : 0;
      char* to = before->data() + s.starts[t] * n * size;
      if (had) cpu::copy_bytes(to, y->data() + s.starts[t - 1] * n * size, had * n * size);
      cpu::copy_bytes(to + had * n * size, h0->data() + had * n * size, (s.counts[t] - had) * n * size);
    }
    add(0, s.positions, before->data(), false);
  }
  return out;
}

struct Kept {
  Tensor gates, y, cells;  // as recurrent_forward left them, in the type it computes in
};

// The gradients of all arguments for those of the results.
Arguments fused_backward(const Plan& plan, const Arguments& a, const Kept& kept, const Arguments& grads,
                         const std::vector<bool>& needed) {
  const DType type = kept.y.dtype();
  const auto ready = [&](const Tensor& t) { return t ? dense(cast_data(t, type)) : Tensor(); };
  const Tensor x = ready(a[at_x]), h0 = ready(a[at_h]), c0 = ready(a[at_c]), w_ih = ready(a[at_w_ih]),
               w_hh = ready(a[at_w_hh]), dy = ready(grads[0]);
  const int64_t positions = kept.y.numel() / h0.shape()[1];
  const RecurrentShape s = shape_of(plan, h0, positions);
  const int64_t width = gate_count(s.cell) * s.hidden, features = w_ih.shape()[1];
  const bool lstm = s.cell == Cell::lstm;
  const auto fresh = [&](size_t i) {
    const Tensor out = empty(h0.shape(), type);
    if (grads[i])
      copy_data(out, grads[i]);
    else
      fill_data(out, Scalar(0));
    return out;
  };
  const Tensor dh = fresh(1), dc = lstm ? fresh(2) : Tensor();
  const int64_t shape[] = {positions, width};
  const Tensor dgates = empty(shape, type), dpart = s.cell == Cell::gru ? empty(shape, type) : Tensor();
  const Tensor& inner = dpart ? dpart : dgates;
  Arguments made(argument_count);
  {
    const Unlocked unlocked(positions * width * s.hidden / 16);
    const auto at = [](const Tensor& t) { return t ? t->data() : nullptr; };
    recurrent_backward(type, s, w_hh->data(), kept.gates->data(), kept.y->data(), at(kept.cells), h0->data(), at(c0),
                       at(dy), dh->data(), at(dc), dgates->data(), at(dpart));
    if (needed[at_x]) {
      made[at_x] = empty(x.shape(), type);
      gemm(type, false, false, positions, features, width, Scalar(1), dgates->data(), width, w_ih->data(), features,
           Scalar(0), made[at_x]->data(), features);
    }
    if (needed[at_w_ih]) {
      made[at_w_ih] = empty(w_ih.shape(), type);
      gemm(type, true, false, width, features, positions, Scalar(1), dgates->data(), width, x->data(), features,
           Scalar(0), made[at_w_ih]->data(), features);
    }
    if (needed[at_w_hh]) made[at_w_hh] = hidden_weight_gradient(s, plan.packed, inner, kept.y, h0);
  }
  made[at_h] = dh;
  made[at_c] = dc;
  if (needed[at_b_ih]) made[at_b_ih] = column_sums(dgates, width);
  if (needed[at_b_hh]) made[at_b_hh] = column_sums(inner, width);
  for (size_t i = 0; i < argument_count; ++i) {
    if (!needed[i]) made[i] = Tensor();
    if (made[i]) made[i] = cast_data(made[i], a[i].dtype());
  }
  return made;
}

// The gradients of a call that was recorded, with the fused kernels unless they are to be differentiated themselves.
void fused_gradients(const Plan& plan, BackwardCall& call) {
  const auto saved = [&](size_t i) { return call.has(int(i)) ? call.saved(int(i)) : Tensor(); };
  Arguments a(argument_count), grads;
  std::vector<bool> needed(argument_count);
  for (size_t i = 0; i < at_w_hr; ++i) {
    a[i] = saved(i);
    needed[i] = call.needs(int(i));
  }
  for (const Tensor& g : call.grads) grads.push_back(g);
  bool any = false;
  for (const Arguments* list : {&a, &grads}) {
    for (const Tensor& t : *list) any = any || recording(t);
  }
  Arguments made;
  if (any) {
    made = gradients_of([&](const Arguments& in) { return composite(plan, in); }, a, grads);
  } else {
    const Tensor y = saved(at_w_hr + 1), gates = saved(at_w_hr);
    made = fused_backward(plan, a, {gates ? gates : y, y, saved(at_w_hr + 2)}, grads, needed);
  }
  for (size_t i = 0; i < at_w_hr; ++i) {
    if (needed[i] && made[i]) call.set(int(i), made[i]);
  }
}

// Records a call of the fused kernels that gave `results`, where something needs it.
void record_fused(const Plan& plan, const Arguments& a, const std::vector<Tensor>& results, const Kept& kept) {
  const std::initializer_list<const Tensor*> inputs = {&a[at_x],    &a[at_h],    &a[at_c],   &a[at_w_ih],
                                                       &a[at_w_hh], &a[at_b_ih], &a[at_b_hh]};
  if (!recording(inputs)) return;
  Ref<Node> node = make_node(plan.cell == Cell::lstm ? "MkldnnRnnLayerBackward0" : "StackBackward0", inputs,
                             [plan](BackwardCall& call) { fused_gradients(plan, call); });
  node->results = static_cast<uint16_t>(results.size());
  for (size_t i = 0; i < at_w_hr; ++i) node->saved.push_back(Saved(a[i], false));
  node->saved.push_back(Saved(kept.gates, false));
  const bool y_is_result = results[0].same(kept.y);
  node->saved.push_back(Saved(kept.y, y_is_result));
  node->saved.push_back(Saved(kept.cells, false));
  uint32_t index = 0;
  for (const Tensor& r : results) set_producer(r, node, index++);
}

std::vector<Tensor> fused(const Plan& plan, const Arguments& a) {
  const DType type = compute_dtype(a[at_x].dtype());
  const auto ready = [&](const Tensor& t) { return t ? dense(cast_data(t, type)) : Tensor(); };
  const auto copied = [&](const Tensor& t) {
    const Tensor out = empty(t.shape(), type);
    copy_data(out, t);
    return out;
  };
  const Tensor x = ready(a[at_x]), w_ih = ready(a[at_w_ih]), w_hh = ready(a[at_w_hh]), h = copied(a[at_h]);
  const bool lstm = plan.cell == Cell::lstm, one = gate_count(plan.cell) == 1;
  const Tensor c = lstm ? copied(a[at_c]) : Tensor();
  const int64_t features = w_ih.shape()[1], positions = plan.packed ? x.shape()[0] : x.shape()[0] * x.shape()[1];
  const RecurrentShape s = shape_of(plan, h, positions);
  const int64_t gates = gate_count(plan.cell) * s.hidden, width = kept_count(plan.cell) * s.hidden;
  Dims shape = x.shape();
  shape.back() = s.hidden;
  const int64_t room[] = {positions, width};
  const Tensor y = empty(shape, type), kept = one ? y : empty(room, type), cells = lstm ? empty(shape, type) : Tensor();
  Tensor bias = ready(a[at_b_ih]);
  const Tensor own_bias = ready(a[at_b_hh]);
  // The state's part has the same sum as the input's but in a GRU.
  if (plan.cell != Cell::gru && own_bias) {
    const GradMode off(false);
    bias = bias ? detach(bias) + detach(own_bias) : own_bias;
  }
  if (!without_elements(y)) {
    const Unlocked unlocked(positions * gates * (s.hidden + features) / 16);
    gemm(type, false, true, positions, gates, features, Scalar(1), x->data(), features, w_ih->data(), features,
         Scalar(0), kept->data(), width, bias ? bias->data() : nullptr);
    recurrent_forward(type, s, w_hh->data(), own_bias ? own_bias->data() : nullptr, kept->data(), h->data(),
                      lstm ? c->data() : nullptr, y->data(), lstm ? cells->data() : nullptr);
  }
  const DType out_type = a[at_x].dtype();
  std::vector<Tensor> results{cast_data(y, out_type), cast_data(h, out_type)};
  if (lstm) results.push_back(cast_data(c, a[at_c].dtype()));
  record_fused(plan, a, results, {one ? Tensor() : kept, y, cells});
  return results;
}

// One dtype throughout, shapes that fit: what the kernels take. The composite's own operations report the rest.
bool is_plain(const Plan& plan, const Arguments& a) {
  const Tensor &h = a[at_h], &w_ih = a[at_w_ih], &w_hh = a[at_w_hh];
  if (a[at_w_hr] || !is_floating(a[at_x].dtype()) || h.dims() != 2 || w_ih.dims() != 2 || w_hh.dims() != 2)
    return false;
  for (const Tensor& t : a) {
    if (t && t.dtype() != h.dtype()) return false;
  }
  const int64_t n = h.shape()[1], gates = gate_count(plan.cell) * n;
  for (size_t i : {at_b_ih, at_b_hh}) {
    if (a[i] && (a[i].dims() != 1 || a[i].shape()[0] != gates)) return false;
  }
  return w_ih.shape()[0] == gates && w_hh.shape()[0] == gates && w_hh.shape()[1] == n &&
         w_ih.shape()[1] == a[at_x].shape()[a[at_x].dims() - 1] && (!a[at_c] || a[at_c].shape() == h.shape()) &&
         h.numel() > 0 && w_ih.numel() > 0 && a[at_x].numel() > 0;
}

std::vector<Tensor> rnn_layer(std::string_view mode, const Tensor& input, std::optional<Ints> batch_sizes,
                              const Tensor& h, const Tensor& c, const Tensor& w_ih, const Tensor& w_hh,
                              const Tensor& b_ih, const Tensor& b_hh, const Tensor& w_hr, bool reverse) {
  const Cell cell = cell_named(mode);
  check((cell == Cell::lstm) == static_cast<bool>(c), "rnn_layer: a cell state c belongs to LSTM, and only there");
  const Plan plan = plan_of(cell, input, batch_sizes, h.dims() ? h.shape()[0] : 0, reverse);
  const Arguments a{input, h, c, w_ih, w_hh, b_ih, b_hh, w_hr};
  return is_plain(plan, a) ? fused(plan, a) : composite(plan, a);
}
OPERATION(
    "rnn_layer(str mode, Tensor input, int[]? batch_sizes, Tensor h, Tensor? c, Tensor w_ih, Tensor w_hh, "
    "Tensor? b_ih=None, Tensor? b_hh=None, Tensor? w_hr=None, bool reverse=False) -> Tensor[]",
    rnn_layer,
    "One layer of a recurrent network in one direction: the outputs of all steps and the last state. mode: RNN_TANH, "
    "RNN_RELU, GRU or LSTM (Hochreiter and Schmidhuber 1997). input is (steps, batch, features), or with batch_sizes "
    "packed (positions, features); h is (batch, hidden), c the LSTM's cell state, w_hr projects its output.",
    {.method = false, .module = "nn", .autocast = Autocast::lower})

}  // namespace

}  // namespace bulssi
