#include "core/autograd/node.h"

#include <algorithm>
#include <cctype>
#include <vector>

#include "core/ops/basics.h"

namespace bulssi {

thread_local constinit GradState grad_state;
AnomalyHooks anomaly_hooks;
NodeClock node_clock;
SourceHooks source_hooks;
SavedHooks saved_hooks;

std::string describe(const Source& source) {
  return source.code && source_hooks.describe ? source_hooks.describe(source) : std::string();
}

static uint64_t sequence = 0;

void init_node(Node& node) {
  node.sequence = ++sequence;
  if (source_hooks.here) node.source = source_hooks.here();
  if (__builtin_expect(grad_state.anomaly && anomaly_hooks.made, 0)) anomaly_hooks.made(node);
}

std::string RuleNode::name() const { return name_; }
bool RuleNode::has_work(const Small<Tensor, 2>& grads) {
  const auto there = [](const auto& x) { return static_cast<bool>(x); };
  if (!std::ranges::any_of(grads, there)) return false;
  check_saved();
  return std::ranges::any_of(edges, there);
}

Ref<Node> with_edges(Node* made, std::initializer_list<const Tensor*> inputs) {
  auto node = Ref<Node>::adopt(made);
  init_node(*node);
  for (const Tensor* t : inputs) node->edges.push_back(*t ? edge_to(*t) : Edge{});
  return node;
}

Tensor made_by(Ref<Node> node, Tensor out, std::initializer_list<Keep> keeps) {
  for (const Keep& k : keeps) node->saved.push_back(Saved(k.tensor, k.is_result));
  set_producer(out, std::move(node));
  return out;
}

namespace {

class NotImplementedNode final : public Node {
 public:
  explicit NotImplementedNode(std::string op) : op_(std::move(op)) {}
  std::string name() const override { return "NotImplemented"; }
  void backward(const Small<Tensor, 2>&, Small<Tensor, 2>&) override {
    fail("derivative for ", op_, " is not implemented");
  }

 private:
  std::string op_;
};

}  // namespace

Ref<Node> not_implemented(std::string op, std::span<const Tensor* const> inputs) {
  auto node = Ref<Node>::adopt(new NotImplementedNode(std::move(op)));
  init_node(*node);
  node->sequence = UINT64_MAX;  // as PyTorch: it fails before anything else runs, and whatever arrives
  node->always = true;
  for (const Tensor* t : inputs) node->edges.push_back(t && *t ? edge_to(*t) : Edge{});
  return node;
}

std::string shown_name(const Node& node) { return node.label ? node.label->name : node.name(); }

void show_as(const Tensor& result, const char* name, Tensors inputs, bool joint) {
  if (!requires_grad(result) || is_leaf(result)) return;
  const Ref<Node> node = producer(result);
  auto label = std::make_unique<Label>();
  label->name = name;
  for (const Tensor& input : inputs) {
    label->inputs.push_back(input ? edge_to(input) : Edge());
    if (label->inputs.back().node.get() == node.get()) return;  // handed through
  }
  node->label = std::move(label);
  node->joint |= joint;
}

Tensor joint(Tensor out) {
  if (requires_grad(out) && !is_leaf(out)) producer(out)->joint = true;
  return out;
}

ZerosNode::ZerosNode(std::string name) : name_(std::move(name)) { init_node(*this); }
Ref<ZerosNode> ZerosNode::behind(const Node& from) {
  std::string name = shown_name(from);
  if (const size_t at = name.rfind("Backward"); at != std::string::npos) name.insert(at, "Backward");
  return Ref<ZerosNode>::adopt(new ZerosNode(std::move(name)));
}
void ZerosNode::add(Edge edge, Like like) {
  edges.push_back(std::move(edge));
  like_.push_back(std::move(like));
}
void ZerosNode::pass_on(Edge edge) {
  add(std::move(edge), {});
  passes_on_ = true;
}
void ZerosNode::backward(const Small<Tensor, 2>& grads, Small<Tensor, 2>& inputs) {
  if (!grads[0]) return;
  const DeviceScope scope(grads[0].device());
  for (size_t k = 0; k < edges.size(); ++k) {
    if (passes_on_ && k == 0)
      inputs[k] = grads[0];
    else if (edges[k])
      inputs[k] = zeros(like_[k].shape, like_[k].dtype);
  }
}

void keep_in_graph(const Node& node, Small<Tensor, 2>& inputs) {
  if (!node.joint || !grad_state.enabled) return;
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (!inputs[i] || !node.edges[i] || requires_grad(inputs[i])) continue;
    const auto made = ZerosNode::behind(node);
    made->add(node.edges[i], {inputs[i].shape(), inputs[i].dtype()});
    inputs[i] = detach(inputs[i]);
    set_producer(inputs[i], Ref<Node>(made.get()));
  }
}

std::string operation_name(const Node& node) {
  const std::string name = shown_name(node);
  const size_t at = name.rfind("Backward");
  if (name == "CopySlices") return "torch::autograd::CopySlices";
  // CopyBackwards keeps its name.
  if (at == std::string::npos || name.find_first_not_of("0123456789", at + 8) != std::string::npos) return name;
  // SqueezeBackward1 is Squeeze1, TanhBackward0 is Tanh.
  const std::string number = name.substr(at + 8);
  return name.substr(0, at) + (number == "0" ? "" : number);
}

Node::~Node() {
  if (source.code) source_hooks.release(source.code);
  if (first_backward.code) source_hooks.release(first_backward.code);
}

void retain(Node* node) { ++node->refs; }

// A chain of a million nodes must not free itself by recursion: only the outermost release frees, the others queue.
static bool freeing = false;
void release(Node* node) {
  if (--node->refs != 0) return;
  // The queue needs no memory: its links lie where the nodes' numbers were.
  static Node* doomed = nullptr;
  node->sequence = reinterpret_cast<uintptr_t>(doomed);
  doomed = node;
  if (freeing) return;
  freeing = true;
  while (doomed) {
    Node* next = doomed;
    doomed = reinterpret_cast<Node*>(static_cast<uintptr_t>(next->sequence));
    delete next;
  }
  freeing = false;
}

std::string backward_name(const char* op) {
  std::string text;
  bool up = true;
  for (const char* c = op; *c; ++c) {
    if (*c == '_')
      up = true;
    else
      text += up ? static_cast<char>(std::toupper(*c)) : *c, up = false;
  }
  return text + "Backward0";
}

Keep kept_for(const Tensor& other, const Tensor& t) {
  static const Tensor nothing;
  return keep(recording(other) && (!other->is_view || edge_to(other)) ? t : nothing);
}

// ---- saved tensors --------------------------------------------------------------------------------------------------

Saved::Saved(const Tensor& t, bool is_result, uint32_t result_index)
    : result_index_(result_index), is_result_(is_result) {
  if (!t) return;
  check(!t->inference || !grad_state.enabled || grad_state.inference,
        "Inference tensors cannot be saved for backward. Please do not use Tensors created in inference mode in "
        "computation tracked by autograd. To work around this, you can make a clone to get a normal tensor and use it "
        "in autograd, or use `torch.no_grad()` instead of `torch.inference_mode()`.");
  requires_grad_ = is_result || requires_grad(t);
  of_view_ = !is_result && t->is_view && t->autograd && t->autograd->base;
  if (saved_hooks.active) {
    packed_ = saved_hooks.pack(is_result ? detach(t) : t);
    return;
  }
  version_ = t->version();
  if (!is_result && requires_grad_ && can_follow(t)) producer_ = edge_to(t);
  if (!is_result && !t->wrapped_number && is_differentiable(t.dtype())) state_ = Ref<Autograd>(&autograd_of(t));
  if (producer_ && producer_.node->is_accumulate()) {
    producer_ = {};
    data_ = t;
    return;
  }
  data_ = alias(t);
  data_->wrapped_number = t->wrapped_number;
}
Saved::Saved(Saved&& other) noexcept { *this = std::move(other); }
Saved& Saved::operator=(Saved&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(producer_, other.producer_);
  std::swap(state_, other.state_);
  view_node_ = other.view_node_;
  std::swap(packed_, other.packed_);
  version_ = other.version_;
  result_index_ = other.result_index_;
  is_result_ = other.is_result_;
  of_view_ = other.of_view_;
  requires_grad_ = other.requires_grad_;
  return *this;
}
Saved::~Saved() {
  if (packed_) saved_hooks.drop(packed_);
}

Tensor Saved::original() const {
  TensorImpl* owner = state_ ? state_->owner : nullptr;
  if (!owner) return {};
  if (!(owner->state & 1) && !python_hooks.alive(reinterpret_cast<void*>(owner->state))) return {};
  return Ref<TensorImpl>(owner);
}

void Saved::move_result(const Tensor& t) {
  if (!is_result_ || packed_) return;
  data_ = alias(t);
  version_ = t->version() + 1;
}

void Saved::mark_view(const Tensor& t) {
  if (!is_result_ || packed_) return;
  of_view_ = true;
  state_ = Ref<Autograd>(t->autograd);
  view_node_ = t->autograd->node.get();
}

bool Saved::lost() const { return producer_ && state_ && (state_->owner ? !state_->node : state_->ended_as_leaf); }

// A user's Function may get what was detached since; it has no producer then.
void Saved::check_version(Node& node) const {
  if (is_result_ || !state_) {
    if (__builtin_expect(data_->version() != version_, 0)) fail_changed(node);
    return;
  }
  const TensorImpl* owner = state_->owner;
  const uint32_t version = owner ? owner->version() : data_->version();
  if (__builtin_expect(version != version_ || (lost() && !node.from_function), 0)) fail_changed(node);
}

// As PyTorch, this looks at the producer of the tensor as it stands now, which may itself be an error for a view.
void Saved::fail_changed(Node& node) const {
  const Tensor saved = is_result_ ? Tensor() : original();
  const Tensor& t = saved ? saved : data_;
  const Ref<Node> now = saved ? producer(saved) : Ref<Node>();
  const std::string where = describe(node.source), saved_at = where.empty() ? "" : " at " + where;
  if (!is_result_ && lost() && !node.from_function) {
    fail(
        "Trying to use a saved tensor that has been detached in-place, i.e. with .detach_().This is not supported, "
        "please use out-of-place `.detach()` instead\n",
        node.name(), " saved it", saved_at, ".");
  }
  std::string name;
  if (is_result_) {
    const bool view_stands = of_view_ && state_->owner && state_->node.get() == view_node_;
    name = operation_name(view_stands ? *state_->node : node);
  } else if (saved) {
    if (now) name = operation_name(*now);
  } else if (const Change* c = data_->storage->change; c && c->recorded) {
    const std::string full = backward_name(c->op);
    name = of_view_ ? "AsStrided" : full == "CopyBackward0" ? "CopyBackwards" : full.substr(0, full.rfind("Backward"));
  } else if (producer_) {
    name = operation_name(*producer_.node);
  }
  // Which of the producer's results it is, PyTorch knows of results only.
  if (!name.empty()) name = str(", which is output ", is_result_ && !of_view_ ? result_index_ : 0, " of ", name, ",");
  const Dims& shape = !saved && !is_result_ && state_ && state_->shape ? *state_->shape : t.shape();
  std::string text =
      str("one of the variables needed for gradient computation has been modified by an inplace operation: [torch.",
          legacy_name(t.dtype()), "Tensor ", Ints(shape), "]", name, " is at version ", t->version(),
          "; expected version ", version_, " instead.\n", node.name(), " saved it", saved_at, ".");
  const std::string changed = last_change(t);
  if (!changed.empty()) text += "\nIt was changed in place by " + changed + ".";
  text += "\nUse the out-of-place form of the changing operation, or change a clone().";
  fail(ErrorKind::runtime, text);
}

Tensor Saved::elements(Node& node) const {
  if (packed_ || !data_) return get(node);
  check_version(node);
  if (state_ && !is_result_) {
    if (Tensor whole = original()) return whole;
  }
  return data_;
}

Tensor Saved::get(Node& node) const {
  Tensor t;
  if (packed_) {
    // The user's function may run backward through this node, after which there is no more `this`.
    const bool is_result = is_result_;
    const uint32_t index = result_index_;
    t = saved_hooks.unpack(packed_);
    if (!is_result) return t;
    Tensor whole = detach(t);
    if (is_differentiable(whole.dtype())) set_producer(whole, Ref<Node>(&node), index);
    return whole;
  } else {
    if (!data_) return t;
    check_version(node);
    t = data_;
  }
  if (!is_result_) {
    if (Tensor whole = original()) return whole;
    if (!producer_ || lost()) return t;
    Tensor whole = alias(t);
    set_producer(whole, producer_.node, producer_.index);
    return whole;
  }
  Tensor whole = detach(t);
  if (!is_differentiable(whole.dtype())) return whole;
  const bool view_stands = of_view_ && state_->owner && state_->node.get() == view_node_;
  set_producer(whole, view_stands ? state_->node : Ref<Node>(&node), view_stands ? 0 : result_index_);
  return whole;
}

// ---- tensor state ---------------------------------------------------------------------------------------------------

void retain(Autograd* a) { ++a->refs; }
void release(Autograd* a) {
  if (--a->refs != 0) return;
  if (a->made.code) source_hooks.release(a->made.code);
  a->~Autograd();
  deallocate(a, sizeof(Autograd));
}
// A chain of gradients of gradients does not free itself by recursion either.
static void let_go(Tensor t) {
  static std::vector<Tensor> doomed;
  static bool busy = false;
  try {
    doomed.push_back(std::move(t));
  } catch (const std::bad_alloc&) {
    return;  // it goes here and now
  }
  if (busy) return;
  busy = true;
  while (!doomed.empty()) {
    const Tensor next = std::move(doomed.back());
    doomed.pop_back();
  }
  busy = false;
}
void abandon(Autograd* a) {
  if (a->grad) let_go(std::move(a->grad));
  if (a->refs > 1) {
    a->owner = nullptr;
    a->ended_as_leaf = !a->node;
    // Taken out first: what is freed here may lead to whoever looks at `a`.
    Ref<Node> node = std::move(a->node);
    Tensor base = std::move(a->base);
    std::unique_ptr<Hooks> hooks = std::move(a->hooks), post = std::move(a->post_accumulate);
  }
  release(a);
}
Autograd& autograd_of(const Tensor& t) {
  if (!t->autograd) {
    t->autograd = new (allocate(sizeof(Autograd))) Autograd;
    t->autograd->owner = t.get();
  }
  return *t->autograd;
}

AccumulateNode::~AccumulateNode() {
  if (leaf && leaf->autograd && leaf->autograd->accumulate == this) leaf->autograd->accumulate = nullptr;
}

void set_producer(const Tensor& t, Ref<Node> node, uint32_t result_index) {
  Autograd& a = autograd_of(t);
  t->needs_grad = static_cast<bool>(node) || a.requires_grad;
  a.node = std::move(node);
  a.result_index = result_index;
  a.seen_version = t->version();
}

void set_requires_grad(const Tensor& t, bool value) {
  // As it stands: a view of changed memory is not brought up to date for this.
  const bool leaf = !(t->autograd && t->autograd->node);
  check(leaf || value,
        "you can only change requires_grad flags of leaf variables. If you want to use a computed "
        "variable in a subgraph that doesn't require differentiation use var_no_grad = var.detach().");
  check(!value || is_differentiable(t.dtype()),
        "only Tensors of floating point and complex dtype can require gradients (this one is ", t.dtype(), ")");
  check(!value || !t->inference || grad_state.inference,
        "Setting requires_grad=True on inference tensor outside InferenceMode is not allowed.");
  if (!value && !t->autograd) return;
  if (!leaf) return;
  autograd_of(t).requires_grad = value;
  t->needs_grad = value;
}

bool is_leaf(const Tensor& t) { return !producer(t); }

Ref<Node> producer(const Tensor& t) {
  if (!t->autograd) return {};
  return t->is_view ? producer_of_view(t) : t->autograd->node;
}

Edge edge_to(const Tensor& t) {
  if (!requires_grad(t)) return {};
  Autograd& a = *t->autograd;
  if (t->is_view) producer_of_view(t);
  if (a.node) return {a.node, a.result_index};
  if (!a.requires_grad) return {};  // a view, made without recording, of a tensor that requires grad
  if (a.accumulate) return {Ref<Node>(a.accumulate), 0};
  auto node = Ref<Node>::adopt(new AccumulateNode(t));
  node->sequence = UINT64_MAX;  // leaves run as soon as they are ready
  a.accumulate = node.get();
  return {std::move(node), 0};
}

Tensor detach(const Tensor& t) {
  Tensor out = alias(t);
  return out;
}
Tensor data_of(const Tensor& t) {
  Tensor out = alias(t);
  out->own_version = Ref<Version>::adopt(new (allocate(sizeof(Version))) Version);
  return out;
}

}  // namespace bulssi
