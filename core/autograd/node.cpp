#include "core/autograd/node.h"

#include <cctype>
#include <vector>

#include "core/ops/basics.h"

namespace bulssi {

thread_local constinit GradState grad_state;
AnomalyHooks anomaly_hooks;
NodeClock node_clock;
SourceHooks source_hooks;
SavedHooks saved_hooks;
void (*check_interrupt)() = [] {};

std::string describe(const Source& source) {
  return source.code && source_hooks.describe ? source_hooks.describe(source) : std::string();
}

static uint64_t sequence = 0;
uint64_t next_sequence() { return ++sequence; }

void init_node(Node& node) {
  node.sequence = ++sequence;
  if (source_hooks.here) node.source = source_hooks.here();
  if (__builtin_expect(grad_state.anomaly && anomaly_hooks.made, 0)) anomaly_hooks.made(node);
}

std::string operation_name(const Node& node) {
  const std::string name = node.name();
  const size_t at = name.rfind("Backward");
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
  static std::vector<Node*> doomed;
  doomed.push_back(node);
  if (freeing) return;
  freeing = true;
  while (!doomed.empty()) {
    Node* next = doomed.back();
    doomed.pop_back();
    delete next;
  }
  freeing = false;
  if (doomed.capacity() > 4096) doomed.shrink_to_fit();
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

// ---- saved tensors
// -------------------------------------------------------------------------------------------------------

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
  if (!is_result && requires_grad_) producer_ = edge_to(t);
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

void Saved::check_version(Node& node) const {
  if (__builtin_expect(producer_ && producer_.node->detached, 0)) {
    const std::string where = describe(node.source);
    fail(
        "Trying to use a saved tensor that has been detached in-place, i.e. with .detach_().This is not supported, "
        "please use out-of-place `.detach()` instead\n",
        node.name(), " saved it", where.empty() ? "" : " at " + where, ".");
  }
  if (__builtin_expect(data_->version() == version_, 1)) return;
  const std::string saved_at = describe(node.source);
  std::string producer_name;
  if (is_result_) {
    producer_name =
        str(", which is output ", result_index_, " of ", of_view_ ? "AsStrided" : operation_name(node), ",");
  } else if (const Change* c = data_->storage->change; c && c->recorded) {
    const std::string name = backward_name(c->op);
    producer_name = str(", which is output 0 of ",
                        of_view_                  ? "AsStrided"
                        : name == "CopyBackward0" ? "CopyBackwards"
                                                  : name.substr(0, name.rfind("Backward")),
                        ",");
  } else if (producer_) {
    producer_name = str(", which is output ", producer_.index, " of ", operation_name(*producer_.node), ",");
  }
  std::string kind = str(legacy_name(data_.dtype()), "Tensor");
  std::string text =
      str("one of the variables needed for gradient computation has been modified by an inplace operation: [", "torch.",
          kind, " ", Ints(data_.shape()), "]", producer_name, " is at version ", data_->version(),
          "; expected version ", version_, " instead.");
  text += str("\n", node.name(), " saved it", saved_at.empty() ? "" : " at " + saved_at, ".");
  const std::string changed = last_change(data_);
  if (!changed.empty()) text += "\nIt was changed in place by " + changed + ".";
  text += "\nUse the out-of-place form of the changing operation, or change a clone().";
  fail(ErrorKind::runtime, text);
}

Tensor Saved::elements(Node& node) const {
  if (packed_ || !data_) return get(node);
  check_version(node);
  return data_;
}

Tensor Saved::get(Node& node) const {
  Tensor t;
  if (packed_) {
    t = saved_hooks.unpack(packed_);
    if (!is_result_) return t;
  } else {
    if (!data_) return t;
    check_version(node);
    t = data_;
  }
  if (!is_result_) {
    if (!producer_) return t;
    Tensor whole = alias(t);
    set_producer(whole, producer_.node, producer_.index);
    return whole;
  }
  Tensor whole = detach(t);
  if (is_differentiable(whole.dtype())) set_producer(whole, Ref<Node>(&node), result_index_);
  return whole;
}

// ---- tensor state
// --------------------------------------------------------------------------------------------------------

void destroy(Autograd* a) {
  if (a->made.code) source_hooks.release(a->made.code);
  a->~Autograd();
  deallocate(a, sizeof(Autograd));
}
Autograd& autograd_of(const Tensor& t) {
  if (!t->autograd) t->autograd = new (allocate(sizeof(Autograd))) Autograd;
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
