"""autograd.backward, autograd.grad and autograd.graph: arguments and errors, beside PyTorch's."""

from __future__ import annotations

import warnings

import pytest

import bulssi

try:
    import torch
except ImportError:
    torch = None

CASES = {
    "vector": lambda t, x: t.autograd.grad(x * 2, x),
    "class_of_a_node": lambda t, x: [
        (type(n).__name__, type(n).__module__, str(type(n)), isinstance(n, t.autograd.graph.Node))
        for n in [(x * 2).exp().grad_fn, (x * 2).grad_fn.next_functions[0][0]]
    ],
    "vector_backward": lambda t, x: (x * 2).backward(),
    "not_required": lambda t, x: t.ones(1).backward(),
    "input_not_required": lambda t, x: t.autograd.grad((x * 2).sum(), t.ones(2)),
    "unused": lambda t, x: t.autograd.grad((x * 2).sum(), t.ones(2, requires_grad=True)),
    "unused_allowed": lambda t, x: t.autograd.grad((x * 2).sum(), t.ones(2, requires_grad=True), allow_unused=True),
    "materialized": lambda t, x: t.autograd.grad(
        (x * 2).sum(), [x, t.ones(2, requires_grad=True)], materialize_grads=True
    ),
    "materialized_not_allowed": lambda t, x: t.autograd.grad(x.sum(), x, materialize_grads=True, allow_unused=False),
    "shape": lambda t, x: t.autograd.grad(x * 2, x, t.ones(3)),
    "shape_backward": lambda t, x: (x * 2).sum().backward(t.ones(2)),
    "integers": lambda t, x: t.autograd.grad(x * 2, x, t.tensor([1, 2])),
    "number": lambda t, x: t.autograd.grad(x * 2, x, 3),
    "strings": lambda t, x: t.autograd.grad(x.sum(), x, ["a"]),
    "no_inputs": lambda t, x: t.autograd.grad(x.sum(), []),
    "no_inputs_backward": lambda t, x: x.sum().backward(inputs=[]),
    "dictionary": lambda t, x: sorted(t.autograd.grad((x * 3).sum(), {"x": x}).items()),
    "two_outputs": lambda t, x: t.autograd.grad([x.sum(), (x * 2).sum()], x),
    "one_of_two_not_required": lambda t, x: t.autograd.grad([x.sum(), t.ones(())], x),
    "non_leaf_input": lambda t, x: (lambda y: t.autograd.grad((y * y).sum(), y))(x * 2),
    "same_input_twice": lambda t, x: t.autograd.grad((x * 2).sum(), [x, x]),
    "input_is_output": lambda t, x: (lambda y: t.autograd.grad(y, y))(x.sum()),
    "create_graph": lambda t, x: [g.requires_grad for g in t.autograd.grad((x**2).sum(), x, create_graph=True)],
    "both_names": lambda t, x: t.autograd.backward(x.sum(), t.ones(()), grad_variables=t.ones(())),
    "former_name": lambda t, x: (t.autograd.backward(x * 2, grad_variables=t.ones(2)), x.grad),
    "only_some": lambda t, x: ((x * 2).sum().backward(inputs=[t.ones(2, requires_grad=True)]), x.grad),
    "into_a_non_leaf": lambda t, x: (lambda y: ((y * y).sum().backward(inputs=[y]), y.grad, x.grad))(x * 2),
    "not_required_input_backward": lambda t, x: x.sum().backward(inputs=[t.ones(2)]),
    "nothing": lambda t, x: t.autograd.backward([]),
    "kept_from_then_on": lambda t, x: _kept(t, x),
    "only_two": lambda t, x: _only_two(t, x),
    "checked_in_order": lambda t, x: t.ones(2).sum().backward(inputs=[t.ones(2)]),
    "hooks_see_what_goes_on": lambda t, x: _hooks_see(t, x),
    "flat_to_flat": lambda t, x: [_flat_twice(t, x, f) for f in ("relu", "relu6", "leaky_relu", "hardtanh")],
    "flat_in_place": lambda t, x: [_flat_twice(t, x, f, inplace=True) for f in ("relu", "leaky_relu", "hardtanh")],
    "flat_of_two": lambda t, x: _flat_of_two(t, x),
    "no_derivative": lambda t, x: [_no_derivative(f, x) for f in (lambda x: x // 2, lambda x: x.heaviside(x))],
    "no_derivative_first": lambda t, x: _not_implemented_first(t, x),
    "saved_for_nothing": lambda t, x: _saved_for_nothing(t, x),
    "twice_retained": lambda t, x: (lambda y: (y.backward(retain_graph=True), y.backward(), x.grad))((x**2).sum()),
    "twice": lambda t, x: (lambda y: (y.backward(), y.backward()))((x**2).sum()),
    "gradient_keyword": lambda t, x: ((x * 2).backward(gradient=t.tensor([1.0, 3.0])), x.grad),
    "accumulates": lambda t, x: (x.sum().backward(), (x * 2).sum().backward(), x.grad),
    "batched_dimension": lambda t, x: t.autograd.grad(x * 2, x, (None, None)),
    "edge": lambda t, x: t.autograd.graph.get_gradient_edge(x * 2).node.name(),
    "edge_not_required": lambda t, x: t.autograd.graph.get_gradient_edge(t.ones(1)),
    "edge_as_input": lambda t, x: (lambda y: t.autograd.grad((y * y).sum(), t.autograd.graph.get_gradient_edge(y)))(
        x * 2
    ),
    "edge_as_output": lambda t, x: (lambda y: t.autograd.grad(t.autograd.graph.get_gradient_edge(y), x, t.ones(2)))(
        x * 3
    ),
    "variable": lambda t, x: t.autograd.Variable(t.ones(2), requires_grad=True).requires_grad,
    "is_variable": lambda t, x: isinstance(x, t.autograd.Variable),
    "hooks_disabled": lambda t, x: _disabled(t, x),
    "nan_found": lambda t, x: _nan(t, x),
    "multi_hook": lambda t, x: _multi(t, "all"),
    "multi_hook_any": lambda t, x: _multi(t, "any"),
    "multi_hook_mode": lambda t, x: _multi(t, "some"),
    "packed": lambda t, x: _packed(t, x),
    "on_cpu": lambda t, x: _on_cpu(t, x),
    "version": lambda t, x: (lambda y: (t.autograd.graph.increment_version(y), y._version))(t.ones(1)),
}


def _disabled(t, x):
    with t.autograd.graph.disable_saved_tensors_hooks("not here"):
        with t.autograd.graph.saved_tensors_hooks(lambda v: v, lambda v: v):
            return x.exp()


def _nan(t, x):
    with t.autograd.set_detect_anomaly(True):
        (x - 5).sqrt().sum().backward()


def _multi(t, mode):
    seen = []
    a, b, c = (t.ones(2, requires_grad=True) for _ in range(3))
    handle = t.autograd.graph.register_multi_grad_hook([a, b, c], seen.append, mode=mode)
    (a * 2 + b * 3).sum().backward()
    (a * 5 + b + c).sum().backward()
    handle.remove()
    a.sum().backward()
    if mode == "any":
        return len(seen)
    return [[None if g is None else g for g in gradients] for gradients in seen]


def _packed(t, x):
    log = []

    def pack(v):
        log.append(("pack", v.tolist()))
        return v.tolist()

    def unpack(v):
        log.append(("unpack", v))
        return t.tensor(v)

    with t.autograd.graph.saved_tensors_hooks(pack, unpack):
        y = (x * x).sum()
    y.backward()
    return log, x.grad


def _on_cpu(t, x):
    with t.autograd.graph.save_on_cpu():
        y = (x.exp() * x).sum()
    (g,) = t.autograd.grad(y, x, create_graph=True)
    return g, t.autograd.grad(g.sum(), x)


def _kept(t, x):
    y = x * x
    seen = []
    y.grad_fn.register_hook(lambda inputs, outputs: seen.append([g is None for g in inputs]))
    z = (y * 2).sum()
    z.backward(inputs=[y], retain_graph=True)
    z.backward(retain_graph=True)
    z.backward(inputs=[y])
    found = [y.grad, y.retains_grad, x.grad, seen]
    try:
        y.sum().backward()
    except RuntimeError as error:
        found.append(str(error)[:50])
    return found


def _only_two(t, x):
    y = x * x
    w = y * 3
    (w * y).sum().backward(inputs=[y, w])
    return y.grad, w.grad, x.grad


def _hooks_see(t, x):
    seen = []
    y = x * t.ones(2, requires_grad=True)
    y.grad_fn.register_hook(lambda inputs, outputs: seen.append([g is None for g in inputs]))
    t.autograd.grad(y.sum(), x, retain_graph=True)
    y.sum().backward()
    return seen


def _flat_twice(t, x, name, **options):
    """Of an activation whose slopes are constant: the gradient counts as made from x, with zeros."""
    w, seen = t.tensor([3.0, 4.0], requires_grad=True), []
    y = getattr(t.nn.functional, name)(x - 1.5, **options)
    y.grad_fn.register_hook(lambda inputs, outputs: seen.append(len(inputs)))
    (g,) = t.autograd.grad((y * w).sum(), x, create_graph=True)
    return t.autograd.grad(g.sum(), [x, w], allow_unused=True), seen


def _flat_of_two(t, x):
    slope = t.tensor(0.25, requires_grad=True)
    made = t.autograd.grad(t.nn.functional.prelu(x - 1.5, slope).sum(), [x, slope], create_graph=True)
    return [t.autograd.grad(g.sum(), [x, slope], allow_unused=True, retain_graph=True) for g in made]


def _no_derivative(function, x):
    y = function(x)
    try:
        y.sum().backward()
    except RuntimeError as error:
        return y.requires_grad, y.grad_fn.name(), str(error)


def _not_implemented_first(t, x):
    """It fails before the node of relu, which is newer, finds that its result was changed."""
    a, b = x * 1, x * 2
    b.set_(b.detach())
    a.relu_()
    a.add_(b)
    a.sum().backward()


def _saved_for_nothing(t, x):
    """A view made without recording, which requires grad as its base does, leads nowhere: what is freed differs."""
    y = x * 1
    with t.no_grad():
        view = y[:]
    two = view.dot(view)
    one = view.index_select(0, t.tensor([0])).sum()
    two.backward()
    two.backward()
    one.backward()
    one.backward()


def plain(value):
    if isinstance(value, (tuple, list)):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return round(value, 5)
    return plain(value.tolist()) if hasattr(value, "tolist") else value


def outcome(library, name):
    x = library.tensor([1.0, 2.0], requires_grad=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return plain(CASES[name](library, x))
        except Exception as error:
            return f"{type(error).__name__}: {str(error).splitlines()[0]}"


# Where the kind of error is better here: PyTorch tries to iterate over a number, or fails an assertion.
OTHER = {
    "both_names": "RuntimeError: `grad_tensors` and `grad_variables` (deprecated) arguments both passed to "
    "`backward()`. Please only use `grad_tensors`.",
    "batched_dimension": "RuntimeError: got 1 tensors and 2 gradients",
}


@pytest.mark.skipif(torch is None, reason="the oracle, torch, is not installed")
@pytest.mark.parametrize("name", CASES)
def test_as_in_torch(name):
    assert outcome(bulssi, name) == OTHER.get(name, outcome(torch, name))


BATCHED = {
    "jacobian": "grad(y, x, torch.eye(3), **batched)",
    "two outputs": "grad([y, z], x, [torch.eye(3), torch.ones(3)], **batched)",
    "unused": "grad(y, [x, w], torch.eye(3), allow_unused=True, **batched)",
    "materialized": "grad(y, [x, w], torch.eye(3), materialize_grads=True, **batched)",
    "not used": "grad(y, [x, w], torch.eye(3), **batched)",
    "no gradient": "grad(z, x, **batched)",
    "none of a vector": "grad(y, x, **batched)",
    "no batch": "grad(y, x, torch.ones(3), **batched)",
    "another shape": "grad(y, x, torch.ones(2, 4), **batched)",
    "another size": "grad([y, z], x, [torch.eye(3), torch.ones(2)], **batched)",
    "second derivative": "grad(grad(y, x, torch.eye(3), create_graph=True, **batched)[0].sum(), x)",
    "freed": "grad(y, x, torch.eye(3), is_grads_batched=True) + grad(y, x, torch.eye(3), is_grads_batched=True)",
}


@pytest.mark.skipif(torch is None, reason="the oracle, torch, is not installed")
@pytest.mark.parametrize("name", BATCHED)
def test_gradients_of_a_batch_are_those_of_its_elements(name):
    found = []
    for library in (bulssi, torch):
        x = library.arange(3.0, requires_grad=True)
        y, w = x * x * x, library.ones(2, requires_grad=True)
        names = {"torch": library, "grad": library.autograd.grad, "x": x, "y": y, "z": x.sum(), "w": w}
        try:
            result = eval(BATCHED[name], {**names, "batched": {"is_grads_batched": True, "retain_graph": True}})
            found.append([None if g is None else g.tolist() for g in result])
        except (RuntimeError, ValueError) as error:
            found.append((type(error), str(error).split("\n")[0].split(". ")[0]))
    assert found[0] == found[1]


def test_a_scalar_is_asked_for_with_the_shape_at_hand():
    with pytest.raises(RuntimeError, match=r"the output has shape \(2, 3\)"):
        bulssi.ones(2, 3, requires_grad=True).mul(2).backward()


@pytest.mark.parametrize("split", [lambda x: x.split(1), lambda x: x.unbind()])
def test_more_pieces_than_a_node_counts(split):
    """A node counts 65535 results; pieces beyond that have gradients as well."""
    x = bulssi.ones(66000, requires_grad=True)
    pieces = split(x)
    (pieces[65999] * 2 + pieces[3] + pieces[65535] * 5).sum().backward()
    assert x.grad.sum() == 8 and x.grad[65999] == 2 and x.grad[3] == 1 and x.grad[65535] == 5
