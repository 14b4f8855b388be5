// The backward graph: nodes, edges, saved tensors, and the autograd state of a tensor.
#pragma once
#include <algorithm>
#include <functional>
#include <initializer_list>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>

#include "core/base/alloc.h"
#include "core/base/small.h"
#include "core/tensor/tensor.h"

namespace bulssi {

class Node;
void retain(Node* node);
void release(Node* node);
void retain(Autograd* a);
void release(Autograd* a);

// ---- modes ---------------------------------------------------------------------------------------------------------

struct GradState {
  bool enabled = true;     // record operations
  bool inference = false;  // tensors made now can never be recorded
  bool anomaly = false;    // check every gradient for nan
  bool anomaly_check_nan = true;
};
extern thread_local constinit GradState grad_state [[gnu::tls_model("initial-exec")]];

struct GradMode {  // sets recording for a scope
  explicit GradMode(bool enabled) : before(std::exchange(grad_state.enabled, enabled)) {}
  ~GradMode() { grad_state.enabled = before; }
  GradMode(const GradMode&) = delete;
  bool before;
};

// ---- where in the user's program -----------------------------------------------------------------------------------

// A code object and an offset into it: what is needed to name a source line later, taken in a few ns.
struct Source {
  void* code = nullptr;
  int32_t offset = 0;
  int32_t line = 0;  // used instead of the offset where the interpreter gives lines only
};
struct SourceHooks {
  Source (*here)() = nullptr;  // of the innermost frame outside the library, with its code object retained
  void (*release)(void* code) = nullptr;
  std::string (*describe)(const Source& source) = nullptr;  // "file.py:12, in train: y = x.exp()", or ""
};
extern SourceHooks source_hooks;
std::string describe(const Source& source);

// ---- nodes ----------------------------------------------------------------------------------------------------------

struct Edge {
  Ref<Node> node;
  uint32_t index = 0;  // which of the node's results this is
  explicit operator bool() const { return static_cast<bool>(node); }
};

// A tensor kept for backward. A node's own result is kept without its producer (no cycle) and gets it back on use.
class Saved {
 public:
  Saved() = default;
  Saved(const Tensor& t, bool is_result, uint32_t result_index = 0);
  Saved(Saved&& other) noexcept;
  Saved& operator=(Saved&& other) noexcept;
  Saved(const Saved&) = delete;
  ~Saved();
  Tensor get(Node& node) const;
  // As get(), for code that does not record: the elements without their place in the graph.
  Tensor elements(Node& node) const;
  // Fails if it is not what was saved.
  void verify(Node& node) const {
    if (data_) check_version(node);
  }
  // For a result that is saved before the in-place operation that makes it counts its version.
  void expect_next_version() { ++version_; }
  // The result was copied into `t`, the next version of which is what is saved.
  void move_result(const Tensor& t);
  // The result is written into the view `t`, whose producer is the view's, not the operation that changed it.
  void mark_view(const Tensor& t);
  bool defined() const { return static_cast<bool>(data_) || packed_; }

 private:
  // The tensor that was saved, as long as it lives.
  Tensor original() const;
  bool lost() const;  // it had a producer, and was detached in place since
  void check_version(Node& node) const;
  [[noreturn]] void fail_changed(Node& node) const;
  // A leaf that requires grad is kept itself. Anything else is kept as its elements and its producer: the tensor may
  // get another producer later (in place), and that one's graph may lead back here, which would be a cycle. Its
  // autograd state is known in addition, which survives it: it tells what has become of it.
  Tensor data_;
  Edge producer_;
  Ref<Autograd> state_;
  const Node* view_node_ = nullptr;  // a result in a view: the view's producer then (only compared)
  void* packed_ = nullptr;           // what a saved-tensor hook made of it
  uint32_t version_ = 0;
  uint32_t result_index_ = 0;
  bool is_result_ = false;
  bool of_view_ = false;
  bool requires_grad_ = false;
};

struct SavedHooks {  // torch.autograd.graph.saved_tensors_hooks
  bool active = false;
  void* (*pack)(const Tensor& t) = nullptr;  // must itself keep where t stands in the graph
  Tensor (*unpack)(void* packed) = nullptr;
  void (*drop)(void* packed) = nullptr;
};
extern SavedHooks saved_hooks;

// Python callables attached to nodes and tensors; the binding implements this.
class Hooks {
 public:
  virtual ~Hooks() = default;
  virtual void on_tensors(Small<Tensor, 2>& grads) = 0;  // hooks of tensors: before gradients are captured
  virtual void before(Small<Tensor, 2>& grads) = 0;      // hooks of the node
  virtual void after(Small<Tensor, 2>& inputs, const Small<Tensor, 2>& grads) = 0;
  virtual void accumulated(const Tensor& leaf) = 0;
  // `t`, whose gradient is to be kept, has another producer than `old` now.
  virtual void moved(const Tensor& t, Node& old) = 0;
};
// Anomaly mode: called for every new node, and for a node whose backward fails.
struct AnomalyHooks {
  void (*made)(Node& node) = nullptr;
  void (*failed)(Node& node) = nullptr;
};
extern AnomalyHooks anomaly_hooks;
// Set while somebody measures how long nodes run.
struct NodeClock {
  int64_t (*started)() = nullptr;
  void (*ended)(const Node& node, int64_t start) = nullptr;
};
extern NodeClock node_clock;

[[noreturn]] void fail_released(Node& node);

// What the graph behind a composite operation is shown as: one node of this name, with edges to what it was given.
struct Label {
  std::string name;
  Small<Edge, 2> inputs;
};

class Node {
 public:
  Node() = default;
  Node(const Node&) = delete;
  virtual ~Node();
  // Sizes for the allocator.
  static void* operator new(size_t bytes) { return allocate(bytes); }
  static void operator delete(void* p, size_t bytes) { deallocate(p, bytes); }

  virtual std::string name() const = 0;
  // grads: one per result (undefined where nothing arrived). Returns one per edge.
  virtual void backward(const Small<Tensor, 2>& grads, Small<Tensor, 2>& inputs) = 0;
  // As PyTorch, in the order of saving and whether or not a gradient needs it.
  void check_saved() {
    for (const Saved& s : saved) s.verify(*this);
  }
  // Forgets what was saved; a second backward then fails.
  virtual void drop_saved() {
    for (const Saved& s : saved) released |= s.defined();
    if (released) saved.clear();  // what is not kept may be asked for again
  }
  virtual bool is_accumulate() const { return false; }

  bool needs(int edge) const { return static_cast<bool>(edges[edge]); }
  // A hook, or another thread, may have run backward through this node since its own began.
  Saved& kept(int i) {
    if (static_cast<size_t>(i) >= saved.size()) [[unlikely]]
      fail_released(*this);
    return saved[i];
  }
  Tensor unpack(int i) { return kept(i).get(*this); }

  // In the order in which a run needs them: a graph of a million nodes is read from memory, line by line.
  uint64_t run = 0;  // scratch of the engine, as are the next three and `incoming`
  int32_t pending = 0;
  bool wanted = true;
  bool captured = false;
  bool released = false;
  bool from_function = false;  // a user's autograd.Function
  bool always = false;         // runs even where no gradient arrives
  // Its gradients count as made from its arguments even where they do not depend on them (a constant slope): what is
  // differentiated once more then gets zeros, as from the backward operations of PyTorch, which take the arguments.
  bool joint = false;
  Small<Edge, 2> edges;
  Count refs = 1;
  uint16_t results = 1;  // how many gradients arrive here
  uint64_t sequence = 0;
  Small<Tensor, 2> incoming;
  std::unique_ptr<Hooks> hooks;
  std::unique_ptr<Label> label;
  Small<Saved, 2> saved;
  Source source;
  Source first_backward;   // where the backward that released it was called
  void* python = nullptr;  // its Python object while one exists (borrowed)
};

// The rule for a recorded operation as a closure: attributes are captured by value, tensors go through `saved`.
// F is Tensor(const Tensor& g) for one input and nothing saved, or void(BackwardCall&).
struct BackwardCall {
  Node& node;
  const Small<Tensor, 2>& grads;
  Small<Tensor, 2>& inputs;
  const Tensor& grad(int i = 0) const { return grads[i]; }
  bool needs(int i) const { return node.needs(i); }
  Tensor saved(int i) const { return node.unpack(i); }
  bool has(int i) const { return node.kept(i).defined(); }
  void set(int i, Tensor g) { inputs[i] = std::move(g); }
};

// What its kinds of rules share, compiled once.
class RuleNode : public Node {
 public:
  explicit RuleNode(const char* name) : name_(name) {}
  std::string name() const override;

 protected:
  // Checks what was saved. False if there is nothing to compute, as then arguments may not have been kept.
  bool has_work(const Small<Tensor, 2>& grads);

 private:
  const char* name_;
};
template <class F>
class LambdaNode final : public RuleNode {
 public:
  LambdaNode(const char* name, F rule) : RuleNode(name), rule_(std::move(rule)) {}
  void backward(const Small<Tensor, 2>& grads, Small<Tensor, 2>& inputs) override {
    if constexpr (std::is_invocable_v<F&, const Tensor&>) {
      if (grads[0]) inputs[0] = rule_(grads[0]);
    } else {
      if (!has_work(grads)) return;
      BackwardCall call{*this, grads, inputs};
      rule_(call);
    }
  }

 private:
  F rule_;
};

// Adds to a leaf's .grad.
class AccumulateNode final : public Node {
 public:
  explicit AccumulateNode(const Tensor& leaf) : leaf(leaf) {}
  ~AccumulateNode() override;
  std::string name() const override { return "AccumulateGrad"; }
  void backward(const Small<Tensor, 2>& grads, Small<Tensor, 2>& inputs) override;
  bool is_accumulate() const override { return true; }
  Tensor leaf;
};

// ---- the autograd state of a tensor ---------------------------------------------------------------------------------

// How a view came to be, which decides whether it may be changed in place.
enum class Creation : uint8_t { normal, multi_output, no_grad, inference, function };

// It is shared with those who saved the tensor; once the tensor is gone it holds nothing of the graph.
struct Autograd {
  Count refs = 1;
  TensorImpl* owner = nullptr;  // null once it is gone
  bool ended_as_leaf = false;   // when it went
  bool requires_grad = false;   // set by the user on a leaf
  bool retains_grad = false;
  Creation creation = Creation::normal;
  Ref<Node> node;  // producer
  uint32_t result_index = 0;
  Node* accumulate = nullptr;  // of a leaf; not owned: it owns the tensor
  Tensor grad;
  Tensor base;                   // views: the tensor that is no view
  std::unique_ptr<Dims> shape;   // set where it was given another shape in place: messages name it when it is gone
  uint32_t seen_version = 0;     // views: the version `node` was made for
  std::unique_ptr<Hooks> hooks;  // tensor hooks of a leaf wait here for the accumulate node
  std::unique_ptr<Hooks> post_accumulate;
  std::string name;
  Source made;  // where a non-leaf was made is its node's source
};
void abandon(Autograd* a);  // its tensor is gone
Autograd& autograd_of(const Tensor& t);

// Does an operation on t get recorded (views: after a look at their base)?
bool requires_grad_slow(const Tensor& t);
inline bool requires_grad(const Tensor& t) { return t->is_view ? requires_grad_slow(t) : t->needs_grad; }
bool is_leaf(const Tensor& t);
// False for a view of changed memory whose history cannot follow that: to use it is an error.
bool can_follow(const Tensor& t);
Ref<Node> producer_of_view(const Tensor& t);
// The producer, made anew where the base of a view was changed; null for leaves.
Ref<Node> producer(const Tensor& t);
// Where gradients of t go: producer, or the accumulate node of a leaf; empty if none is needed.
Edge edge_to(const Tensor& t);
void set_producer(const Tensor& t, Ref<Node> node, uint32_t result_index = 0);
void set_requires_grad(const Tensor& t, bool value);
// Shares memory and version counter, not the graph.
Tensor detach(const Tensor& t);
// Shares memory, counts versions apart (`.data`).
Tensor data_of(const Tensor& t);
void init_node(Node& node);  // sequence number and source line
// Shows the graph from `result` back to `inputs` as one node; nothing where that made no node.
void show_as(const Tensor& result, const char* name, Tensors inputs, bool joint = false);
std::string shown_name(const Node& node);
std::string operation_name(const Node& node);  // what the user called, for messages: "Mul" of MulBackward0

// ---- recording ------------------------------------------------------------------------------------------------------

inline bool recording(const Tensor& t) { return grad_state.enabled && t && requires_grad(t); }
inline bool recording(std::initializer_list<const Tensor*> inputs) {
  if (!grad_state.enabled) return false;
  for (const Tensor* t : inputs) {
    if (*t && requires_grad(*t)) return true;
  }
  return false;
}

// What to keep for backward: arguments, or the result itself.
struct Keep {
  const Tensor& tensor;
  bool is_result = false;
};
inline Keep result(const Tensor& t) { return {t, true}; }
inline Keep keep(const Tensor& t) { return {t, false}; }
// `t`, if the gradient of `other`, which reads it, goes anywhere; else nothing. (A view, made without recording, of
// what requires grad does so too, and leads nowhere.)
Keep kept_for(const Tensor& other, const Tensor& t);

// Makes a new node part of the graph: its place in time, and an edge per input.
Ref<Node> with_edges(Node* made, std::initializer_list<const Tensor*> inputs);
template <class F>
Ref<Node> make_node(const char* name, std::initializer_list<const Tensor*> inputs, F rule) {
  return with_edges(new LambdaNode<F>(name, std::move(rule)), inputs);
}
// `out` as the result of a node that keeps these.
Tensor made_by(Ref<Node> node, Tensor out, std::initializer_list<Keep> keeps);
// Records `out` as made from `inputs`; nothing happens if none of them needs it.
template <class F>
Tensor record(const char* name, std::initializer_list<const Tensor*> inputs, Tensor out, F rule,
              std::initializer_list<Keep> keeps = {}) {
  if (!recording(inputs) || !is_differentiable(out.dtype())) return out;
  return made_by(make_node(name, inputs, std::move(rule)), std::move(out), keeps);
}
template <class F>
Tensor record(const char* name, const Tensor& input, Tensor out, F rule, std::initializer_list<Keep> keeps = {}) {
  return record(name, {&input}, std::move(out), std::move(rule), keeps);
}

// Shape and dtype of an argument, which its gradient has.
struct Like {
  Dims shape;
  DType dtype = DType::f32;
};
// Gives zeros to its inputs, whatever arrives: of what is flat, or of what a gradient counts as made from although it
// does not depend on it (Node::joint).
class ZerosNode final : public Node {
 public:
  explicit ZerosNode(std::string name);
  // The backward node of the gradients that `from` makes.
  static Ref<ZerosNode> behind(const Node& from);
  std::string name() const override { return name_; }
  void backward(const Small<Tensor, 2>& grads, Small<Tensor, 2>& inputs) override;
  // One more input: zeros like this go to `edge`.
  void add(Edge edge, Like like);
  // As the first input, one that gets what arrives.
  void pass_on(Edge edge);

 private:
  std::string name_;
  bool passes_on_ = false;
  Small<Like, 3> like_;  // one per edge
};

// Of an operation whose derivative is not known: backward is an error. `op` is PyTorch's name, for its text.
Ref<Node> not_implemented(std::string op, std::span<const Tensor* const> inputs);

// Marks what made `out`: Node::joint.
Tensor joint(Tensor out);
// What Node::joint asks for, done to the gradients that its backward made: those that do not depend on their argument
// count as made from it with slope zero.
void keep_in_graph(const Node& node, Small<Tensor, 2>& inputs);

// ---- views and in-place (inplace.cpp) -------------------------------------------------------------------------------

// A differentiable view of t with another layout (and dtype), without its node.
Tensor view_of(const Tensor& t, const Layout& layout, Creation creation = Creation::normal);
template <class F>
Tensor make_view(const char* name, const Tensor& t, const Layout& layout, F rule) {
  return record(name, t, view_of(t, layout), std::move(rule));
}
// What an operation makes of a tensor some of whose elements share memory: the operations that write one value whatever
// the order allow it as PyTorch does, some with a warning.
enum class Overlap : uint8_t { refused, deprecated, allowed };
// Fails if t may not be changed in place now; call before writing. `op` is for messages. Its parts, for those who have
// to refuse other things in between, in PyTorch's order: the graph, elements that share memory, the memory itself.
void check_inplace(const Tensor& t, const char* op, Overlap overlap = Overlap::refused);
void check_history(const Tensor& t, const char* op);
void check_overlap(const Tensor& t, const char* op, Overlap overlap);
void check_writable(const Tensor& t, const char* op);
// After writing to t: version, and the history with `node` as its newest entry (null: no new entry).
void changed_inplace(const Tensor& t, Ref<Node> node, const char* op);
// The last part of it: the history. t is that result of the node.
void rebase_history(const Tensor& t, Ref<Node> node, uint32_t result_index = 0);
// Operation and place of the last in-place change of the memory of t, for messages; "" if none.
std::string last_change(const Tensor& t);
void note_change(const Tensor& t, const char* op, bool recorded);
void note_shape(const Tensor& t, const Dims& shape);  // before it gets that shape in place
// What PyTorch calls the node of an operation: MulBackward0 for mul.
std::string backward_name(const char* op);
void check_no_internal_overlap(const Tensor& t);
void check_no_partial_overlap(const Tensor& written, const Tensor& read);
// Fails where any memory is shared. `written` shall first get the shape `shape`.
void check_no_overlap(const Tensor& written, Ints shape, const Tensor& read);
// A stand-in for t that keeps its place in the graph but has its own memory: what in-place operations that read
// their argument in backward save.
Tensor snapshot(const Tensor& t);

// ---- the engine (engine.cpp) ----------------------------------------------------------------------------------------

struct RunOptions {
  bool retain_graph = false;
  bool create_graph = false;
  bool accumulate = true;  // into the leaves' .grad; otherwise gradients of `inputs` are returned
  bool allow_unused = false;
  bool has_inputs = false;
};
void check_roots(Tensors roots);  // fails for those that have no graph
Small<Tensor, 2> run_backward(Tensors roots, Tensors grads, Tensors inputs, const RunOptions& options);
// The node whose backward is running (null: none): hooks may start runs of their own.
extern thread_local constinit Node* current_node;
uint64_t current_run();           // number of this thread's run in progress, 0 outside of one
bool will_run(const Node& node);  // does that run get to that node?

}  // namespace bulssi
