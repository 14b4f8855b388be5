// Derivatives of any order for operations whose backward is a kernel: with create_graph, the operation is done again in
// differentiable operations, and their graph gives the gradients.
#pragma once
#include <vector>

#include "core/autograd/node.h"

namespace bulssi {

// The recorded gradients of f(inputs), a list of tensors, given those of its results (undefined: none arrived). Inputs
// may be undefined; where no gradient is needed or none arrives, the result is undefined.
template <class F>
std::vector<Tensor> gradients_of(F&& f, const std::vector<Tensor>& inputs, const std::vector<Tensor>& grads) {
  const GradMode on(true);
  // Stand-ins, at which the graph ends until the gradients are there.
  std::vector<Tensor> inside = inputs, wanted;
  std::vector<Ref<Node>> ends(inputs.size());
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (!recording(inputs[i])) continue;
    inside[i] = detach(inputs[i]);
    ends[i] = make_node("AliasBackward0", {}, [](const Tensor& g) { return g; });
    set_producer(inside[i], ends[i]);
    wanted.push_back(inside[i]);
  }
  const std::vector<Tensor> results = f(inside);
  std::vector<Tensor> roots, root_grads;
  for (size_t i = 0; i < results.size(); ++i) {
    if (!grads[i] || !recording(results[i])) continue;
    roots.push_back(results[i]);
    root_grads.push_back(grads[i]);
  }
  Small<Tensor, 2> found(wanted.size());
  if (!roots.empty() && !wanted.empty()) {
    RunOptions options;
    options.retain_graph = options.create_graph = options.allow_unused = options.has_inputs = true;
    options.accumulate = false;
    found = run_backward(roots, root_grads, wanted, options);
  }
  std::vector<Tensor> made(inputs.size());
  size_t next = 0;
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (!ends[i]) continue;
    ends[i]->edges.push_back(edge_to(inputs[i]));
    made[i] = found[next++];
  }
  return made;
}

}  // namespace bulssi
