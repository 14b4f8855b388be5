"""autograd.functional: values by hand, and values and errors against PyTorch."""

from __future__ import annotations

import pytest

import bulssi
from bulssi.autograd import functional

try:
    import torch
except ImportError:
    torch = None

needs_torch = pytest.mark.skipif(torch is None, reason="the oracle, torch, is not installed")


def test_jacobian_of_squares_is_diagonal():
    found = functional.jacobian(lambda x: x * x, bulssi.tensor([1.0, 2.0, 3.0]))
    assert found.tolist() == [[2, 0, 0], [0, 4, 0], [0, 0, 6]]
    assert not found.requires_grad


def test_hessian_by_hand():
    x, y = bulssi.tensor(2.0), bulssi.tensor(3.0)
    found = functional.hessian(lambda x, y: x * x * y, (x, y))
    assert [[float(entry) for entry in row] for row in found] == [[6.0, 4.0], [4.0, 0.0]]


def test_results_are_differentiable_with_create_graph():
    x = bulssi.tensor([1.0, 2.0], requires_grad=True)
    found = functional.jacobian(lambda x: x**3, x, create_graph=True)
    (second,) = bulssi.autograd.grad(found.sum(), x)
    assert second.tolist() == [6.0, 12.0]


def test_grad_mode_is_restored_after_an_error():
    with bulssi.no_grad(), pytest.raises(ZeroDivisionError):
        functional.vjp(lambda x: 1 / 0, bulssi.ones(2))
    assert bulssi.is_grad_enabled()


def test_unsupported_options_say_so():
    with pytest.raises(NotImplementedError, match="forward-mode"):
        functional.jacobian(lambda x: x, bulssi.ones(2), strategy="forward-mode")


FUNCTIONS = {
    "exp": lambda t, x: x.exp(),
    "cube_sum": lambda t, x: (x**3).sum(),
    "two_outputs": lambda t, x: (x.sin(), (x * x).sum()),
    "two_inputs": lambda t, x, y: x * y + y.exp(),
    "two_by_two": lambda t, x, y: (x * y, (x + y * y).sum()),
    "product_sum": lambda t, x, y: (x * x * y).sum(),
    "ignores_second": lambda t, x, y: (x * x).sum(),
    "constant": lambda t, x: t.ones(2),
    "linear": lambda t, x: (2 * x).sum(),
    "not_a_tensor": lambda t, x: 3,
    "list": lambda t, x: [x],
    "vector_2d": lambda t, x: x.reshape(1, -1) * 2,
}
X, Y = [0.5, -1.5], [2.0, 0.25]


def _describe(value):
    if isinstance(value, tuple):
        return tuple(_describe(v) for v in value)
    return [value.tolist(), tuple(value.shape), value.requires_grad, value.dtype.__str__()]


def _outcome(library, which, name, v, **options):
    function, inputs = FUNCTIONS[name], [library.tensor(X, requires_grad=options.pop("leaf", False))]
    if function.__code__.co_argcount == 3:
        inputs.append(library.tensor(Y))
    vector = None
    if v is not None:
        vector = tuple(library.tensor(e) for e in v)
        vector = vector[0] if len(vector) == 1 else vector
    arguments = () if which in ("jacobian", "hessian") else (vector,)
    call = getattr(library.autograd.functional, which)
    single = inputs[0] if len(inputs) == 1 else tuple(inputs)
    try:
        return "ok", _describe(call(lambda *a: function(library, *a), single, *arguments, **options))
    except Exception as error:
        return type(error).__name__, str(error).split("\n")[0].replace("bulssi.", "torch.")


def _close(a, b):
    if isinstance(a, (tuple, list)) and isinstance(b, (tuple, list)):
        return len(a) == len(b) and all(_close(p, q) for p, q in zip(a, b, strict=True))
    if isinstance(a, float) and isinstance(b, float):
        return abs(a - b) <= 1e-6 + 1e-5 * abs(b)
    return a == b


VECTORS = [None, ([1.0, 2.0],), ([1.0, 2.0], [3.0, 4.0]), ([1.0, 2.0], 3.0), (3.0,), ([1.0],)]
OPTIONS = [{}, {"strict": True}, {"create_graph": True, "leaf": True}, {"create_graph": True, "strict": True}]


@needs_torch
@pytest.mark.parametrize("which", ["vjp", "jvp", "jacobian", "hessian", "vhp", "hvp"])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_as_in_torch(which, name):
    for v in [None] if which in ("jacobian", "hessian") else VECTORS:
        for options in OPTIONS:
            ours = _outcome(bulssi, which, name, v, **options)
            theirs = _outcome(torch, which, name, v, **options)
            assert _close(ours, theirs), f"{which}({name}, v={v}, {options})\n ours  {ours}\n torch {theirs}"
