// Views and in-place changes: one rule.
//
// Note [Views]
// `x.f_()` records exactly the node of `f(x)`, writes, counts a version, and makes that node the producer of x. When x
// is a view, the node goes behind a ScatterView node, which becomes the producer of the base: its gradient splits into
// the part outside the view (for the base as it was) and the part inside (for the node). Nodes of other views of that
// base are stale then; each notices by its version when it is next used, and becomes `as_strided(base)`.
#include "core/autograd/node.h"
#include "core/ops/basics.h"

namespace bulssi {

namespace {

// Where a view lies inside a fresh tensor that has the base's layout.
Layout inside(const Layout& view, const Layout& base) {
  Layout made = view;
  made.offset -= base.extent().first;
  return made;
}

// What stands behind a base whose view was changed by `inner`: the gradient of the view goes through `inner`, and what
// comes out of it takes its place in the gradient of the base. The other inputs of `inner` are inputs of this node.
class ScatterView final : public Node {
 public:
  ScatterView(const Tensor& base, const Tensor& view, Ref<Node> inner)
      : inner_(std::move(inner)), base_(base.layout()), view_(view.layout()) {
    edges.push_back(edge_to(base));
    for (size_t i = 1; i < inner_->edges.size(); ++i) edges.push_back(inner_->edges[i]);
  }
  std::string name() const override { return "CopySlices"; }
  void drop_saved() override {
    released = true;
    inner_ = {};
  }
  void backward(const Small<Tensor, 2>& grads, Small<Tensor, 2>& inputs) override {
    if (!grads[0]) return;
    if (!inner_ || inner_->released) fail_released(*this);
    const Ref<Node> inner = inner_;  // a hook may run this graph again and free it
    // Its own memory: the part is written below.
    Tensor whole;
    if (grad_state.enabled) {
      whole = in_layout(grads[0], base_);
    } else {
      whole = empty_strided(inside(base_, base_), grads[0].dtype());
      if (!base_.dense()) fill_data(whole, Scalar(0));
      copy_data(whole, grads[0]);
    }
    const Layout part = inside(view_, base_);
    Small<Tensor, 2> given, made(inner->edges.size());
    given.push_back(clone(as_strided(whole, part)));
    inner->backward(given, made);
    keep_in_graph(*inner, made);
    for (size_t i = 1; i < made.size(); ++i) {
      if (needs(static_cast<int>(i))) inputs[i] = std::move(made[i]);
    }
    if (made.empty() || !made[0] || !needs(0)) return;
    const Tensor slice = as_strided(whole, part);
    check_no_internal_overlap(slice);
    if (grad_state.enabled) {
      inputs[0] = as_strided_scatter(whole, expand(made[0], slice.shape()), part);
    } else {
      copy_data(slice, made[0]);
      inputs[0] = std::move(whole);
    }
  }

 private:
  Ref<Node> inner_;
  Layout base_, view_;
};

// What a view of changed memory becomes, where the base leads to `edge`.
struct ViewAgain {
  Layout base, view;
  Tensor operator()(const Tensor& g) const { return as_strided_backward(g, base, view); }
};
Ref<Node> made_again(const Tensor& t, Edge edge) {
  const ViewAgain rule{t->autograd->base.layout(), t.layout()};
  auto node = Ref<Node>::adopt(new LambdaNode<ViewAgain>("AsStridedBackward0", rule));
  init_node(*node);
  node->edges.push_back(std::move(edge));
  return node;
}

// Memory for what a change adds to the graph. That comes after the elements are written, when nothing may fail any
// more; so it is put aside before, and used where there is no other left.
struct Reserve {
  static constexpr size_t sizes[] = {sizeof(ScatterView), sizeof(LambdaNode<ViewAgain>), sizeof(Autograd),
                                     16 * sizeof(Edge)};
  void* blocks[std::size(sizes)] = {};
  void fill() {
    if (blocks[std::size(sizes) - 1]) return;
    for (size_t i = 0; i < std::size(sizes); ++i) {
      if (!blocks[i]) blocks[i] = allocate(sizes[i]);
    }
  }
  void give_back() {
    for (size_t i = 0; i < std::size(sizes); ++i) {
      if (blocks[i]) deallocate(std::exchange(blocks[i], nullptr), sizes[i]);
    }
  }
  ~Reserve() { give_back(); }
};
thread_local Reserve reserve;

}  // namespace

namespace {

// The place for who changes it last; without an operation until then.
Change& change_of(Storage& s) {
  if (!s.change) s.change = new (allocate(sizeof(Change))) Change{};
  return *s.change;
}

// Fails for a view whose history cannot follow a change of its memory: made without recording, together with others, or
// by a user's function. `indirect`: something else that shares the memory was changed, not the view.
void check_can_follow(const Tensor& view, bool indirect) {
  const Autograd& a = *view->autograd;
  if (a.creation == Creation::normal) return;
  const char* changed = indirect ? "its base or another view of its base has been" : "is being";
  const bool inference = a.creation == Creation::inference;
  std::string text;
  if (inference || a.creation == Creation::no_grad || !a.node) {
    text = a.node ? str("Output ", a.result_index, " of ", operation_name(*a.node),
                        " is a view of a view which was created in")
                  : std::string("A view was created in");
    text += inference ? str(" inference mode and ", changed, " modified inplace in normal mode.")
                      : str(" no_grad mode and ", changed, " modified inplace with grad mode enabled.");
  } else {
    text = str("Output ", a.result_index, " of ", operation_name(*a.node), " is a view and ", changed,
               " modified inplace.");
  }
  switch (a.creation) {
    case Creation::multi_output:
      text +=
          " This view is the output of a function that returns multiple views. Such functions do not allow the output "
          "views to be modified inplace. You should replace the inplace operation by an out-of-place one.";
      break;
    case Creation::function:
      text +=
          " This view was created inside a custom Function (or because an input was returned as-is) and the autograd "
          "logic to handle view+inplace would override the custom backward associated with the custom Function, "
          "leading to incorrect gradients. This behavior is forbidden. You can fix this by cloning the output of the "
          "custom Function.";
      break;
    default:
      text +=
          str(" Given that this use case is ambiguous and error-prone, it is forbidden. You can clarify your code by "
              "moving both the view and the inplace either both inside the ",
              inference ? "inference_mode" : "no_grad",
              " block (if you don't want the inplace to be tracked) or both outside (if you want the inplace to be "
              "tracked).");
  }
  const std::string change = indirect ? last_change(view) : std::string();
  if (!change.empty()) text += "\nThe memory was changed by " + change + ".";
  fail(text);
}

}  // namespace

bool requires_grad_slow(const Tensor& t) {
  return t->needs_grad || (t->autograd && t->autograd->base && requires_grad(t->autograd->base));
}

bool can_follow(const Tensor& t) {
  if (!t->is_view || !t->autograd || !t->autograd->base) return true;
  return t->autograd->creation == Creation::normal || t->autograd->seen_version == t->version();
}

// The producer of a view, made anew from its base if the memory was changed since.
Ref<Node> producer_of_view(const Tensor& t) {
  Autograd& a = *t->autograd;
  if (!a.base || (!a.node && !requires_grad(a.base))) return a.node;
  if (a.seen_version == t->version()) return a.node;
  check_can_follow(t, true);
  Ref<Node> old = a.node;
  set_producer(t, made_again(t, edge_to(a.base)));
  if (old && old->hooks && a.retains_grad) old->hooks->moved(t, *old);
  return a.node;
}

Tensor view_of(const Tensor& t, const Layout& layout, Creation creation) {
  Tensor out = alias(t, layout);
  if (t->inference) out->own_version = {};  // only what detach() made of it counts its changes
  if (t->inference && !t->is_view && !(t->autograd)) return out;
  Autograd& a = autograd_of(out);
  const bool chained = t->is_view && t->autograd->base;
  a.base = chained ? t->autograd->base : t;
  a.seen_version = t->version();
  a.creation = !grad_state.enabled ? (grad_state.inference ? Creation::inference : Creation::no_grad) : creation;
  // A view of a view keeps what forbids changing the latter.
  if (chained && (a.creation == Creation::normal || t->autograd->creation == Creation::inference)) {
    a.creation = t->autograd->creation;
  }
  out->is_view = true;
  return out;
}

void check_history(const Tensor& t, const char* op) {
  if (!grad_state.enabled || !t->autograd) return;
  const Autograd& a = *t->autograd;
  if (t->is_view && a.base) {
    check_can_follow(t, false);
    check(!requires_grad(t) || (a.base->autograd && a.base->autograd->node),
          "a view of a leaf Variable that requires grad is being used in an "
          "in-place operation.\n",
          op,
          "_ would change the leaf under its gradient: use the out-of-place form, clone() "
          "the leaf first, or change it under torch.no_grad().");
  }
  check(!requires_grad(t) || a.node,
        "a leaf Variable that requires grad is being used in an in-place "
        "operation.\n",
        op,
        "_ would change the leaf under its gradient: use the out-of-place form, or change it under "
        "torch.no_grad().");
}

void check_writable(const Tensor& t, const char* op) {
  check(!t->inference || grad_state.inference || t->own_version,
        "Inplace update to inference tensor outside InferenceMode is not allowed."
        "You can make a clone to get a normal tensor before doing inplace update."
        "See https://github.com/pytorch/rfcs/pull/17 for more details.");
  check(!t->storage->read_only, ErrorKind::runtime, op, "_: the memory of this tensor is read-only; clone() it first");
  change_of(*t->storage);  // its memory: once the elements are written nothing should fail
  reserve.fill();
}

void check_inplace(const Tensor& t, const char* op, Overlap overlap) {
  check_history(t, op);
  check_overlap(t, op, overlap);
  check_writable(t, op);
}

void check_overlap(const Tensor& t, const char* op, Overlap overlap) {
  if (overlap == Overlap::refused) {
    check_no_internal_overlap(t);
  } else if (overlap == Overlap::deprecated && t.layout().overlaps_itself()) {
    warn("UserWarning", str("Use of ", op,
                            "_ on expanded tensors is deprecated. Please clone() the tensor before performing "
                            "this operation. This also applies to advanced indexing e.g. tensor[mask] = scalar"));
  }
}

void changed_inplace(const Tensor& t, Ref<Node> node, const char* op) {
  t->bump_version();
  note_change(t, op, static_cast<bool>(node));
  if (node) rebase_history(t, std::move(node));
}

namespace {
// Fails before it has changed anything, or not at all.
void rebase_view(const Tensor& t, const Ref<Node>& node) {
  const Tensor base = t->autograd->base;
  const bool followed = requires_grad(t);
  auto scatter = Ref<Node>::adopt(new ScatterView(base, t, node));
  init_node(*scatter);
  Ref<Node> again = made_again(t, Edge{scatter, 0});
  autograd_of(base);
  const Ref<Node> old = producer(base), before = t->autograd->node;
  set_producer(base, std::move(scatter));
  set_producer(t, std::move(again));
  for (Saved& kept : node->saved) kept.mark_view(t);
  if (followed && old && old->hooks && base->autograd->retains_grad) old->hooks->moved(base, *old);
  if (before && before->hooks && t->autograd->retains_grad) before->hooks->moved(t, *before);
}
void rebase_tensor(const Tensor& t, Ref<Node> node, uint32_t result_index) {
  const Ref<Node> old = autograd_of(t).node;
  set_producer(t, std::move(node), result_index);
  if (old && old->hooks && t->autograd->retains_grad) old->hooks->moved(t, *old);
}
}  // namespace

void rebase_history(const Tensor& t, Ref<Node> node, uint32_t result_index) {
  const bool view = t->is_view && t->autograd->base;
  const auto rebase = [&] { view ? rebase_view(t, node) : rebase_tensor(t, node, result_index); };
  try {
    rebase();
  } catch (const OutOfMemory&) {
    reserve.give_back();
    rebase();
  }
}

void check_no_internal_overlap(const Tensor& t) {
  check(!t.layout().overlaps_itself(),
        "unsupported operation: more than one element of the written-to tensor refers "
        "to a single memory location. Please clone() the tensor before performing the operation.");
}

namespace {

enum class Shared : uint8_t { nothing, some, everything };

// As PyTorch: only tensors without holes can be judged; of others nothing is said to be shared.
Shared shared_memory(const Tensor& t, const Layout& layout, const Tensor& read) {
  if (!(t->storage == read->storage) || layout.numel() == 0 || read.numel() == 0) return Shared::nothing;
  if (t.same(read)) return Shared::everything;
  if (!layout.dense() || !read.layout().dense()) return Shared::nothing;
  const auto a = layout.extent(), b = read.layout().extent();
  const int64_t sa = itemsize(t.dtype()), sb = itemsize(read.dtype());
  const int64_t a0 = a.first * sa, a1 = (a.second + 1) * sa, b0 = b.first * sb, b1 = (b.second + 1) * sb;
  if (a1 <= b0 || b1 <= a0) return Shared::nothing;
  if (a0 == b0 && a1 == b1 && layout.strides == read.strides() && layout.shape == read.shape()) {
    return Shared::everything;
  }
  return Shared::some;
}
[[noreturn]] void fail_shared() {
  fail(
      "unsupported operation: some elements of the input tensor and the written-to tensor refer to a single memory "
      "location. Please clone() the tensor before performing the operation.");
}

}  // namespace

void check_no_partial_overlap(const Tensor& written, const Tensor& read) {
  if (!written.same(read) && shared_memory(written, written.layout(), read) == Shared::some) fail_shared();
}

void check_no_overlap(const Tensor& written, Ints shape, const Tensor& read) {
  Layout after = written.layout();
  if (!(after.shape == Dims(shape))) {
    after = Layout::of(shape);
    after.offset = written.layout().offset;
    if (written.same(read) && numel_of(shape) > 0) fail_shared();  // the resized tensor is the argument
  }
  if (shared_memory(written, after, read) != Shared::nothing) fail_shared();
}

Tensor snapshot(const Tensor& t) {
  Tensor out = empty_like(t);
  copy_data(out, t);
  if (recording(t)) {
    const Edge edge = edge_to(t);
    set_producer(out, edge.node, edge.index);
  }
  return out;
}

// ---- who changed it last --------------------------------------------------------------------------------------------

void note_change(const Tensor& t, const char* op, bool recorded) {
  Change& change = change_of(*t->storage);
  if (change.code && source_hooks.release) source_hooks.release(change.code);
  const Source here = source_hooks.here ? source_hooks.here() : Source{};
  change = {op, here.code, here.offset, here.line, recorded};
}

void note_shape(const Tensor& t, const Dims& shape) {
  if (t->autograd) t->autograd->shape = std::make_unique<Dims>(shape);
}

std::string last_change(const Tensor& t) {
  const Change* c = t->storage->change;
  if (!c || !c->op) return "";
  const std::string where = describe(Source{c->code, c->offset, c->line});
  return str(c->op, where.empty() ? "" : " at " + where);
}

void drop_change(Change* c) {
  if (c->code && source_hooks.release) source_hooks.release(c->code);
  deallocate(c, sizeof(Change));
}

}  // namespace bulssi
