"""autograd.Function: each case does the same with PyTorch, where that is installed, and has its result written here."""

from __future__ import annotations

import gc
import warnings
import weakref

import pytest

import bulssi

try:
    import torch
except ImportError:
    torch = None


def outcome(call):
    """A result as plain Python, or the kind and first line of an error."""
    try:
        return plain(call())
    except Exception as error:
        return f"{type(error).__name__}: {str(error).splitlines()[0]}"


def plain(value):
    if isinstance(value, (tuple, list)):
        return [plain(item) for item in value]
    return value.tolist() if hasattr(value, "tolist") else value


def last_name(node):
    """PyTorch gives some names with their C++ namespace."""
    return node.name().rpartition("::")[2]


CASES = {}


def case(expected):
    def register(function):
        CASES[function.__name__] = (function, expected)
        return function

    return register


def square(t):
    class Square(t.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        def backward(ctx, grad):
            (x,) = ctx.saved_tensors
            return 2 * x * grad

    return Square


def simple(t, forward, backward, name="Op"):
    """A Function made of two plain functions."""
    return type(name, (t.autograd.Function,), {"forward": staticmethod(forward), "backward": staticmethod(backward)})


def leaf(t, *values):
    return t.tensor(list(values) or [1.0, 2.0], requires_grad=True)


@case([6.0])
def first_derivative(t):
    x = leaf(t, 3.0)
    square(t).apply(x).backward()
    return x.grad


@case([[12.0], [12.0], [6.0]])
def derivatives_of_any_order(t):
    x = leaf(t, 2.0)
    op = square(t)
    y, found = (op.apply(x) * x).sum(), []
    for _ in range(3):
        (y,) = t.autograd.grad(y, x, create_graph=True)
        found.append(y)
    return found


@case(["SquareBackward", "SquareBackward", True, [3.0], ["AccumulateGrad", 0]])
def the_node(t):
    y = square(t).apply(leaf(t, 3.0))
    node = y.grad_fn
    following = node.next_functions[0]
    return (
        node.name(),
        type(node).__name__,
        y.requires_grad,
        node.saved_tensors[0],
        (last_name(following[0]), following[1]),
    )


@case([True, True, "kept"])
def the_context_is_the_node(t):
    seen = []

    def forward(ctx, x):
        ctx.note = "kept"
        seen.append(ctx)
        return x * 2

    y = simple(t, forward, lambda ctx, g: (seen.append(ctx), g * 2)[1]).apply(leaf(t))
    y.sum().backward()
    return y.grad_fn is seen[0], seen[0] is seen[1], y.grad_fn.note


@case("RuntimeError: function OpBackward returned an incorrect number of gradients (expected 2, got 1)")
def too_few_gradients(t):
    simple(t, lambda ctx, x, k: x * k, lambda ctx, g: g).apply(leaf(t), 2).sum().backward()


@case([3.0, 3.0])
def extra_none_gradients_are_dropped(t):
    x = leaf(t)
    simple(t, lambda ctx, x: x * 3, lambda ctx, g: (g * 3, None, None)).apply(x).sum().backward()
    return x.grad


@case(
    "RuntimeError: function OpBackward returned a gradient different than None at position 2, but the corresponding "
    "forward input was not a Variable"
)
def gradient_of_a_number(t):
    simple(t, lambda ctx, x, k: x * k, lambda ctx, g: (g, g)).apply(leaf(t), 2).sum().backward()


@case("RuntimeError: expected Variable or None (got float)")
def gradient_that_is_no_tensor(t):
    simple(t, lambda ctx, x: x * 2, lambda ctx, g: 3.0).apply(leaf(t)).sum().backward()


@case(
    "RuntimeError: Function OpBackward returned an invalid gradient at index 0 - got [5] but expected shape compatible "
    "with [2]"
)
def gradient_of_another_shape(t):
    simple(t, lambda ctx, x: x * 2, lambda ctx, g: t.ones(5)).apply(leaf(t)).sum().backward()


@case([6.0, 6.0])
def gradient_that_broadcasts_is_summed(t):
    x = leaf(t)
    simple(t, lambda ctx, x: x * 2, lambda ctx, g: t.ones(3, 2) * 2).apply(x).sum().backward()
    return x.grad


@case("TypeError: save_for_backward can only save variables, but argument 0 is of type int")
def saving_a_number(t):
    def forward(ctx, x):
        ctx.save_for_backward(3)
        return x * 2

    simple(t, forward, lambda ctx, g: g).apply(leaf(t))


@case(
    "RuntimeError: Trying to backward through the graph a second time (or directly access saved tensors after they "
    "have already been freed). Saved intermediate values of the graph are freed when you call .backward() or "
    "autograd.grad(). Specify retain_graph=True if you need to backward through the graph a second time or if you need "
    "to access saved tensors after calling backward."
)
def second_backward(t):
    y = square(t).apply(leaf(t)).sum()
    y.backward()
    y.backward()


@case(True)
def changing_what_was_saved(t):
    x = leaf(t) * 1
    y = square(t).apply(x)
    x.add_(1)
    found = outcome(lambda: y.sum().backward())
    return found.startswith(
        "RuntimeError: one of the variables needed for gradient computation has been modified by an inplace operation"
    )


@case([[2.0, 2.0], "OpBackward", True, 2])
def changing_an_input_in_place(t):
    def forward(ctx, x):
        x.mul_(2)
        ctx.mark_dirty(x)
        return x

    x = leaf(t, 1.0, 1.0)
    y = x * 1
    out = simple(t, forward, lambda ctx, g: g * 2).apply(y)
    out.sum().backward()
    return x.grad, y.grad_fn.name(), out is y, y._version


@case([[2.0, 1.0], "CopySlices"])
def changing_a_view_in_place(t):
    def forward(ctx, x):
        x.mul_(2)
        ctx.mark_dirty(x)
        return x

    x = leaf(t, 1.0, 1.0)
    y = x * 1
    simple(t, forward, lambda ctx, g: g * 2).apply(y[:1])
    y.sum().backward()
    return x.grad, last_name(y.grad_fn)


@case("RuntimeError: a leaf Variable that requires grad has been used in an in-place operation.")
def changing_a_leaf_in_place(t):
    def forward(ctx, x):
        x.mul_(2)
        ctx.mark_dirty(x)
        return x

    simple(t, forward, lambda ctx, g: g).apply(leaf(t))


@case(
    "RuntimeError: Some elements marked as dirty during the forward method were not returned as output. The inputs "
    "that are modified inplace must all be outputs of the Function."
)
def dirty_but_not_returned(t):
    def forward(ctx, x):
        ctx.mark_dirty(x)
        return x * 1

    simple(t, forward, lambda ctx, g: g).apply(leaf(t) * 1)


@case([[3.0, 3.0], False, "OpBackward"])
def returning_an_input_as_it_is(t):
    x = leaf(t)
    y = simple(t, lambda ctx, x: x, lambda ctx, g: g * 3).apply(x)
    y.sum().backward()
    return x.grad, y is x, y.grad_fn.name()


@case(True)
def changing_such_an_output_in_place(t):
    y = simple(t, lambda ctx, x: x, lambda ctx, g: g).apply(leaf(t))
    return outcome(lambda: y.mul_(2)).startswith(
        "RuntimeError: Output 0 of Op is a view and is being modified inplace. This view was created inside a custom "
        "Function"
    )


@case([[[2.0, 2.0], [0.0, 0.0]], True, False])
def non_differentiable_output(t):
    seen = []

    def forward(ctx, x):
        y, z = x * 2, x > 0
        ctx.mark_non_differentiable(z)
        return y, z.to(x.dtype)[0:0] if False else z

    x = leaf(t)
    y, z = simple(t, forward, lambda ctx, g, h: (seen.append(h), g * 2)[1]).apply(x)
    y.sum().backward()
    return [x.grad, seen[0].to(x.dtype)], y.requires_grad, z.requires_grad


@case([[None, [1.0, 1.0]], [[0.0, 0.0], [1.0, 1.0]]])
def materialized_gradients(t):
    def run(materialize):
        seen = []

        def forward(ctx, x):
            ctx.set_materialize_grads(materialize)
            return x * 2, x * 3

        simple(t, forward, lambda ctx, g, h: (seen.extend((g, h)), h)[1]).apply(leaf(t))[1].sum().backward()
        return seen

    return run(False), run(True)


@case([[True, False, False], [2.0, 4.0]])
def needs_input_grad(t):
    seen = []

    def forward(ctx, x, y, k):
        ctx.save_for_backward(y)
        return x * y * k

    def backward(ctx, g):
        seen.append(ctx.needs_input_grad)
        return g * ctx.saved_tensors[0] * 2, None, None

    x = leaf(t)
    simple(t, forward, backward).apply(x, t.tensor([1.0, 2.0]), 2).sum().backward()
    return list(seen[0]), x.grad


@case([[8.0, 8.0], [[8.0, 8.0], [1.0, 2.0]]])
def separate_setup_of_the_context(t):
    class Scale(t.autograd.Function):
        @staticmethod
        def forward(x, k=4):
            return x * k

        @staticmethod
        def setup_context(ctx, inputs, output):
            x, ctx.k = inputs
            ctx.save_for_backward(x)

        @staticmethod
        def backward(ctx, grad):
            return grad * ctx.k * 2, None

    x = leaf(t)
    Scale.apply(x).sum().backward()
    first = x.grad.clone()
    x.grad = None
    y = Scale.apply(x, k=4)
    y.sum().backward(retain_graph=True)
    return first, [x.grad, y.grad_fn.saved_tensors[0]]


@case([2.0, 2.0])
def non_tensor_outputs_and_containers(t):
    x = leaf(t)
    y, text = simple(t, lambda ctx, x: (x * 2, "text"), lambda ctx, g, none: g * 2).apply(x)
    assert text == "text"
    y.sum().backward()
    return x.grad


@case([False, None])
def without_recording(t):
    with t.no_grad():
        y = square(t).apply(leaf(t))
    return y.requires_grad, y.grad_fn


@case([False, None, [False]])
def without_inputs_that_require_grad(t):
    seen = []

    def forward(ctx, x):
        seen.append(ctx.needs_input_grad)
        return x * 2

    y = simple(t, forward, lambda ctx, g: g).apply(t.ones(2))
    return y.requires_grad, y.grad_fn, list(seen[0])


@case([False, True])
def grad_mode_inside(t):
    seen = []

    def backward(ctx, g):
        seen.append(t.is_grad_enabled())
        return g

    def forward(ctx, x):
        seen.append(t.is_grad_enabled())
        return x * 2

    x = leaf(t)
    t.autograd.grad(simple(t, forward, backward).apply(x).sum(), x, create_graph=True)
    return seen


@case(["RuntimeError: trying to differentiate twice a function that was marked with @once_differentiable", [3.0, 3.0]])
def once_differentiable(t):
    once = t.autograd.function.once_differentiable
    op = simple(t, lambda ctx, x: x * 3, once(lambda ctx, g: g * 3))
    x = leaf(t)
    (g,) = t.autograd.grad((op.apply(x) ** 2).sum(), x, create_graph=True)
    twice = outcome(lambda: g.sum().backward())
    (plain_gradient,) = t.autograd.grad(op.apply(x).sum(), x)
    return twice, plain_gradient


@case("NotImplementedError: You must implement the forward function for custom autograd.Function.")
def no_forward(t):
    class Empty(t.autograd.Function):
        pass

    Empty.apply(leaf(t))


@case("ZeroDivisionError: division by zero")
def an_error_in_backward_passes_through(t):
    simple(t, lambda ctx, x: x * 2, lambda ctx, g: 1 / 0).apply(leaf(t)).sum().backward()


@case([[True], "ZeroDivisionError: division by zero"])
def an_error_in_forward_restores_the_mode(t):
    error = outcome(lambda: simple(t, lambda ctx, x: 1 / 0, None).apply(leaf(t)))
    return [t.is_grad_enabled()], error


@case([[0.42, 0.7], "ExpBackward"])
def saving_an_output(t):
    class Exp(t.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            y = x.exp()
            ctx.save_for_backward(y)
            return y

        @staticmethod
        def backward(ctx, grad):
            (y,) = ctx.saved_tensors
            return grad * y

    x = t.tensor([-0.867500567704723, -0.35667494393873245], dtype=t.float64, requires_grad=True)
    y = Exp.apply(x)
    (g,) = t.autograd.grad(y.sum(), x, create_graph=True)
    (h,) = t.autograd.grad(g.sum(), x)
    return [round(v, 12) for v in h.tolist()], y.grad_fn.name()


@pytest.mark.parametrize("name", CASES)
def test_case(name):
    function, expected = CASES[name]
    assert outcome(lambda: function(bulssi)) == expected


@pytest.mark.skipif(torch is None, reason="the oracle, torch, is not installed")
@pytest.mark.parametrize("name", CASES)
def test_the_expectation_is_what_torch_does(name):
    function, expected = CASES[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert outcome(lambda: function(torch)) == expected


def test_the_graph_is_freed():
    x = bulssi.ones(2, requires_grad=True)
    y = square(bulssi).apply(x)
    node = weakref.ref(y.grad_fn)
    assert node() is not None
    del y
    gc.collect()
    assert node() is None


def test_a_context_outlives_its_graph():
    kept = []

    def forward(ctx, x):
        kept.append(ctx)
        ctx.save_for_backward(x)
        return x * 2

    simple(bulssi, forward, lambda ctx, g: g).apply(bulssi.ones(2, requires_grad=True))
    gc.collect()
    with pytest.raises(RuntimeError):
        _ = kept[0].saved_tensors  # the graph is gone, but nothing breaks


def test_gradcheck_of_a_function():
    x = bulssi.tensor([0.5, -1.5], dtype=bulssi.float64, requires_grad=True)
    assert bulssi.autograd.gradcheck(square(bulssi).apply, (x,))
    assert bulssi.autograd.gradgradcheck(square(bulssi).apply, (x,))


def test_making_an_instance_warns():
    with pytest.warns(DeprecationWarning, match="should not be instantiated"):
        made = square(bulssi)()
    with pytest.raises(RuntimeError, match="Legacy autograd function with non-static forward method is deprecated"):
        made(bulssi.ones(1))
