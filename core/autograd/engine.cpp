// Runs a backward graph: counts the consumers of every reachable node, then runs ready nodes, newest first, on the
// calling thread and without recursion.
#include <algorithm>
#include <optional>
#include <queue>
#include <unordered_map>
#include <vector>

#include "core/autograd/node.h"
#include "core/base/threads.h"
#include "core/cpu/cpu.h"
#include "core/ops/basics.h"

namespace bulssi {

thread_local constinit Node* current_node = nullptr;

namespace {

uint64_t run_counter = 0;

struct Newer {
  bool operator()(const Node* a, const Node* b) const { return a->sequence < b->sequence; }
};

// Memory that stays mapped from run to run: touching fresh pages costs as much as walking the graph.
template <class T>
struct Pooled {
  using value_type = T;
  T* allocate(size_t n) { return static_cast<T*>(bulssi::allocate(n * sizeof(T))); }
  void deallocate(T* p, size_t n) { bulssi::deallocate(p, n * sizeof(T)); }
  bool operator==(const Pooled&) const { return true; }
};

class Run;
std::vector<Run*> active_runs;  // of all threads
thread_local constinit Run* running = nullptr;

// One run. A node's scratch fields belong to the run whose number it carries; they mean nothing once that run is over.
// Runs nest (a hook that calls backward) and alternate (threads, at every place where the interpreter's lock is given
// up: hooks, long kernels, the end of a Python object), so another run may take a node over. It puts what the first run
// knew of the node into that run's `aside_`, from where that gets it back when it needs it: so a run calls own() before
// it looks at a node, and holds no reference into one across such a place.
class Run {
 public:
  Run(const RunOptions& options) : options_(options), number_(++run_counter), outer_(running) {
    active_runs.push_back(this);
    running = this;
  }
  ~Run() {
    running = outer_;
    std::erase(active_runs, this);
    for (const Capture& c : captures_) {
      if (c.edge && c.edge.node->run == number_) c.edge.node->captured = false;
    }
    if (!finished_) {
      for (Node* node : reached_) forget(*node);
    }
    for (const Edge& root : roots_) forget(*root.node);
  }

  Small<Tensor, 2> execute(Tensors roots, Tensors grads, Tensors inputs);
  uint64_t number() const { return number_; }
  bool will_run(const Node& node) const {
    if (node.run == number_) return node.wanted;
    const auto found = aside_.find(&node);
    return found != aside_.end() && found->second.wanted;
  }

 private:
  struct Scratch {
    int32_t pending;
    bool wanted;
    bool captured;
    Small<Tensor, 2> incoming;
  };
  struct Capture {
    Edge edge;
    Tensor grad;
    bool arrived = false;
  };

  // Makes the scratch fields this run's; false if it has not met the node before.
  bool own(Node& node) { return node.run == number_ || take_over(node); }
  bool take_over(Node& node);
  void forget(Node& node) {
    if (node.run != number_) return;
    node.run = 0;
    const auto gone = std::move(node.incoming);
  }
  bool enter(Node* node);
  void visit(Node* root);
  void process(Node& node);
  void call(Node& node, Small<Tensor, 2>& grads, Small<Tensor, 2>& inputs, bool wanted);
  bool goes_on(const Edge& edge);  // is a gradient wanted there?
  void deliver(const Edge& edge, Tensor grad);
  void add(Tensor& into, Tensor grad);
  void check_nan(Node& node, const Small<Tensor, 2>& inputs);

  const RunOptions& options_;
  const uint64_t number_;
  Run* const outer_;  // the run of this thread that this one is part of
  bool finished_ = false;
  std::vector<Edge> roots_;
  std::vector<Node*, Pooled<Node*>> reached_;
  std::unordered_map<const Node*, Scratch> aside_;
  std::priority_queue<Node*, std::vector<Node*>, Newer> ready_;
  std::vector<Capture> captures_;
};

bool Run::take_over(Node& node) {
  if (node.run) {
    for (Run* other : active_runs) {
      if (other->number_ != node.run) continue;
      other->aside_.insert_or_assign(
          &node, Scratch{node.pending, node.wanted, node.captured, std::exchange(node.incoming, {})});
    }
  }
  node.run = number_;
  const auto found = aside_.find(&node);
  if (found == aside_.end()) return false;
  Scratch mine = std::move(found->second);
  aside_.erase(found);
  node.pending = mine.pending;
  node.wanted = mine.wanted;
  node.captured = mine.captured;
  node.incoming = std::move(mine.incoming);
  return true;
}

// Makes the node this run's; true when it has to be visited. A capture is entered before the walk gets to it: until
// then its count is negative.
bool Run::enter(Node* node) {
  if (own(*node)) {
    if (node->pending >= 0) return false;
    node->pending = 0;
    reached_.push_back(node);
    return true;
  }
  node->pending = 0;
  node->wanted = true;
  node->captured = false;
  node->incoming.clear();
  reached_.push_back(node);
  return true;
}

// Counts the consumers of every node that can be reached, depth first. With `inputs` given, only nodes on a way to one
// of them are wanted: what a node can reach is known when the walk leaves it.
//
// A step stands for nodes that lie on a chain, each with one edge, which is to the next, and were reached one after the
// other: they share their fate. So a chain needs one step, and its nodes, which have left the cache by the time the
// walk returns, are looked at again only to be told that they are not wanted.
void Run::visit(Node* root) {
  struct Step {
    const Edge *next, *end;  // of the last node
    size_t first, last;      // places in reached_
    bool wanted;
  };
  if (!enter(root)) return;
  const auto step = [this](Node* node) {
    const size_t place = reached_.size() - 1;
    const Edge *begin = node->edges.begin(), *end = node->edges.end();
    while (end != begin && !end[-1]) --end;
    return Step{begin, end, place, place, !options_.has_inputs || node->captured};
  };
  std::vector<Step> path{step(root)};
  while (!path.empty()) {
    Step& here = path.back();
    if (here.next == here.end) {
      const bool wanted = here.wanted;
      for (size_t i = here.first; i <= here.last && !wanted; ++i) reached_[i]->wanted = false;
      path.pop_back();
      if (!path.empty()) path.back().wanted |= wanted;
      continue;
    }
    Node* child = (here.next++)->node.get();
    if (!child) continue;
    const bool first = enter(child);
    ++child->pending;
    if (!first) {
      here.wanted |= child->wanted;
      continue;
    }
    const Step there = step(child);
    const bool chained = here.next == here.end && here.last + 1 == there.last && here.wanted == there.wanted;
    if (chained)
      here = {there.next, there.end, here.first, there.last, there.wanted};
    else
      path.push_back(there);
  }
}

void Run::add(Tensor& into, Tensor grad) {
  if (!into) {
    into = std::move(grad);
    return;
  }
  // In place only if nobody else can see the buffer.
  const bool ours = !options_.create_graph && into->state == 3 && into->storage->refs == 1 && !into->is_view &&
                    into.layout().dense() && into.dtype() == grad.dtype() && into.shape() == grad.shape();
  if (ours)
    add_data(into, grad);
  else
    into = sum_of(into, grad);
}

void Run::deliver(const Edge& edge, Tensor grad) {
  Node& node = *edge.node;
  own(node);
  // A node may have more results than its count can say (see pieces in ops/shape.cpp).
  const size_t places = std::max<size_t>(node.results, edge.index + size_t{1});
  if (node.incoming.size() < places) node.incoming.resize(places);
  if (!grad) return;
  Tensor& place = node.incoming[edge.index];
  if (!place) {
    place = std::move(grad);
    return;
  }
  Tensor sum = std::move(place);
  add(sum, std::move(grad));
  own(node);
  node.incoming[edge.index] = std::move(sum);
}

void Run::check_nan(Node& node, const Small<Tensor, 2>& inputs) {
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (!inputs[i] || !is_floating(inputs[i].dtype()) || !has_nan(inputs[i])) continue;
    const std::string made = describe(node.source);
    fail("Function '", node.name(), "' returned nan values in its ", i, "th output.",
         made.empty() ? "" : "\nThe operation was recorded at " + made + ".");
  }
}

// Where a node works: Note [Devices].
Device device_of(const Small<Tensor, 2>& grads) {
  for (const Tensor& g : grads) {
    if (g && g.device().kind != DeviceKind::cpu) return g.device();
  }
  return {};
}

bool Run::goes_on(const Edge& edge) { return edge && (!options_.has_inputs || (own(*edge.node), edge.node->wanted)); }

// Runs the node itself, between its hooks. As in PyTorch, these see no gradients that are not wanted, but for those
// that a user's function has made.
void Run::call(Node& node, Small<Tensor, 2>& grads, Small<Tensor, 2>& inputs, bool wanted) {
  Node* before = std::exchange(current_node, &node);
  struct Restore {
    Node* before;
    ~Restore() { current_node = before; }
  } restore{before};
  try {
    if (node.hooks) node.hooks->before(grads);
    if (node.released) fail_released(node);
    const int64_t start = node_clock.started ? node_clock.started() : 0;
    const CallScope scope(device_of(grads), "backward");
    bool any = node.from_function || node.always;
    for (const Tensor& g : grads) any |= wanted && g;
    if (any)
      node.backward(grads, inputs);
    else
      node.check_saved();
    keep_in_graph(node, inputs);
    for (size_t i = 0; i < inputs.size() && node.hooks && !node.from_function; ++i) {
      if (!goes_on(node.edges[i])) inputs[i] = Tensor();
    }
    if (node_clock.ended) [[unlikely]]
      node_clock.ended(node, start);
    if (node.hooks) node.hooks->after(inputs, grads);
    if (grad_state.anomaly && grad_state.anomaly_check_nan) check_nan(node, inputs);
  } catch (...) {
    if (grad_state.anomaly && anomaly_hooks.failed) anomaly_hooks.failed(node);
    throw;
  }
  if (!options_.retain_graph) {
    node.drop_saved();
    if (node.released && !node.first_backward.code && source_hooks.here) node.first_backward = source_hooks.here();
  }
}

void Run::process(Node& node) {
  own(node);
  Small<Tensor, 2> grads = std::move(node.incoming);
  node.incoming.clear();
  if (!node.wanted) return;
  const bool captured = node.captured;
  if (grads.empty()) grads.resize(node.results);
  Ref<Node> alive(&node);
  // The hooks of a leaf wait at the leaf: its node comes and goes.
  if (node.is_accumulate()) {
    const Tensor& leaf = static_cast<AccumulateNode&>(node).leaf;
    if (leaf && leaf->autograd->hooks) leaf->autograd->hooks->on_tensors(grads);
  }
  if (node.hooks) node.hooks->on_tensors(grads);
  for (Capture& c : captures_) {
    if (!captured) break;
    if (c.edge.node.get() != &node) continue;
    if (c.edge.index < grads.size()) c.grad = grads[c.edge.index];
    c.arrived = static_cast<bool>(c.grad);
  }
  if (node.is_accumulate() && !options_.accumulate) return;
  Small<Tensor, 2> inputs(node.edges.size());
  bool wanted = !options_.has_inputs || node.is_accumulate();
  for (const Edge& edge : node.edges) wanted |= goes_on(edge);
  // As in PyTorch, the producer of a tensor whose .grad is asked for runs, too, though nothing comes of it.
  if (wanted || (captured && options_.accumulate)) call(node, grads, inputs, wanted);
  grads.clear();
  for (size_t i = 0; i < node.edges.size(); ++i) {
    const Edge& edge = node.edges[i];
    if (!edge) continue;
    own(*edge.node);
    if (goes_on(edge)) deliver(edge, std::move(inputs[i]));
    if (--edge.node->pending == 0) ready_.push(edge.node.get());
  }
}

Small<Tensor, 2> Run::execute(Tensors roots, Tensors grads, Tensors inputs) {
  for (const Tensor& input : inputs) {
    captures_.push_back({edge_to(input), {}, false});
    check(requires_grad(input), "One of the differentiated Tensors does not require grad");
  }
  for (const Capture& c : captures_) {
    if (!c.edge) continue;  // a view of what requires grad, made without recording: nothing arrives there
    if (!own(*c.edge.node)) {
      c.edge.node->wanted = true;
      c.edge.node->incoming.clear();
    }
    c.edge.node->pending = -1;
    c.edge.node->captured = true;
  }
  for (const Tensor& root : roots) {
    roots_.push_back(edge_to(root));
    visit(roots_.back().node.get());
  }
  for (const Capture& c : captures_) {
    if (c.edge && (own(*c.edge.node), c.edge.node->pending < 0)) c.edge.node->wanted = false;
  }
  for (size_t i = 0; i < roots_.size(); ++i) {
    Node* node = roots_[i].node.get();
    own(*node);
    if (node->pending == 0 && node->incoming.empty()) ready_.push(node);  // once, if it is the root of several
    const Tensor& g = grads[i];
    deliver(roots_[i], g && g.dtype() != roots[i].dtype() ? cast(g, roots[i].dtype()) : g);
  }
  GradMode mode(options_.create_graph);
  constexpr size_t ahead = 4;
  size_t steps = 0;
  while (!ready_.empty()) {
    Node* node = ready_.top();
    ready_.pop();
    // Nodes mostly run in the order in which they were found.
    if (steps + ahead < reached_.size()) {
      const char* line = reinterpret_cast<const char*>(reached_[steps + ahead]);
      __builtin_prefetch(line);
      __builtin_prefetch(line + 64);
      __builtin_prefetch(line + sizeof(Node));  // what the kind of node adds
    }
    process(*node);
    if ((++steps & 63) == 0) check_interrupt();
  }
  finished_ = true;
  Small<Tensor, 2> out;
  for (size_t i = 0; i < captures_.size(); ++i) {
    Capture& c = captures_[i];
    if (options_.accumulate) break;
    check(c.arrived || options_.allow_unused, "The differentiated Tensor at index ", i,
          " appears to not have been used in the graph. Set "
          "allow_unused=True if this is the desired behavior.\nIts shape is ",
          Ints(inputs[i].shape()), ".");
    out.push_back(c.grad);
  }
  return out;
}

}  // namespace

uint64_t current_run() { return running ? running->number() : 0; }
bool will_run(const Node& node) { return running && running->will_run(node); }

void fail_released(Node& node) {
  const std::string first = describe(node.first_backward), made = describe(node.source);
  std::string text =
      "Trying to backward through the graph a second time (or directly access saved tensors after they have already "
      "been freed). Saved intermediate values of the graph are freed when you call .backward() or autograd.grad(). "
      "Specify retain_graph=True if you need to backward through the graph a second time or if you need to access "
      "saved tensors after calling backward.";
  text += str("\n", node.name(), made.empty() ? " was freed" : " (recorded at " + made + ") was freed",
              first.empty() ? " by an earlier backward." : " by the backward at " + first + ".");
  fail(ErrorKind::runtime, text);
}

void check_roots(Tensors roots) {
  for (size_t i = 0; i < roots.size(); ++i) {
    check(static_cast<bool>(edge_to(roots[i])), "element ", i,
          " of tensors does not require grad and does not have a grad_fn");
  }
}

Small<Tensor, 2> run_backward(Tensors roots, Tensors grads, Tensors inputs, const RunOptions& options) {
  check_roots(roots);
  // The roots keep the graph alive while it runs, even if a hook drops the user's last reference.
  return Run(options).execute(roots, grads, inputs);
}

static void accumulate(const Tensor& leaf, Tensor g) {
  Autograd& a = *leaf->autograd;
  const Locked alone;  // other threads may add to the same leaf
  if (g.dtype() != leaf.dtype()) g = cast(g, leaf.dtype());
  check(g.shape() == leaf.shape(), "Function AccumulateGrad returned an invalid gradient at index 0 - got ",
        Ints(g.shape()), " but expected shape compatible with ", Ints(leaf.shape()));
  if (!a.grad) {
    // Keep the buffer itself if nobody else holds it (the engine's list and `g` do).
    const bool placed = (g.contiguous() && leaf.contiguous()) || g.strides() == leaf.strides() ||
                        (g.layout().dense() && !leaf.layout().dense());
    const bool ours = !grad_state.enabled && g->state == (2 << 1 | 1) && g->storage->refs == 1 && placed &&
                      !g->is_view && !g->autograd;
    a.grad = ours                    ? g
             : grad_state.enabled    ? clone(g)
             : leaf.layout().dense() ? in_layout(detach(g), leaf.layout())
                                     : clone(detach(g));
  } else if (grad_state.enabled) {
    a.grad = sum_of(a.grad, g);
  } else {
    add_data(a.grad, g);
    a.grad->bump_version();
  }
}

void AccumulateNode::backward(const Small<Tensor, 2>& grads, Small<Tensor, 2>&) {
  if (!grads[0] || !leaf) return;
  check(!producer(leaf), "leaf variable has been moved into the graph interior\nA tensor of shape ", Ints(leaf.shape()),
        " that was a leaf when it was used has been changed in place by a recorded operation since.");
  if (leaf->autograd->requires_grad) accumulate(leaf, grads[0]);  // else requires_grad_(False) has come since
  if (const Autograd& a = *leaf->autograd; a.post_accumulate) a.post_accumulate->accumulated(leaf);
}

}  // namespace bulssi
