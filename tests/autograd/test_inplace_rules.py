"""What in-place operations save, refuse and leave in the graph, beside PyTorch."""

from __future__ import annotations

import warnings

import pytest

import bulssi

torch = pytest.importorskip("torch")

PROGRAMS = {
    "elu_ keeps its result": "y = x * 1; F.elu(y, inplace=True); y.add_(1); y.sum().backward()",
    "elu keeps its input": "y = x * 1; z = F.elu(y); z.add_(1); z.sum().backward()",
    "leaky_relu_ of a negative slope": "y = x * 1; F.leaky_relu(y, -0.1, inplace=True); y.sum().backward()",
    "hardsigmoid twice": "g, = t.autograd.grad(F.hardsigmoid(x).sum(), x, create_graph=True); (g * g).sum().backward()",
    "celu_": "y = x * 1; F.celu(y, 0.7, inplace=True); (y * y).sum().backward()",
    "selu_": "y = x * 1; F.selu(y, inplace=True); (y * y).sum().backward()",
    "floor_divide_": "y = x * 1; y.floor_divide_(0.7); y.sum().backward()",
    "set_": "y = x * 1; y.set_(x.detach()); y.sum().backward()",
    "scatter_ with reduce": "y = x * 1; y.scatter_(0, t.tensor([0]), x[:1] * 1, reduce='add'); y.sum().backward()",
    "a comparison stops the gradient": "y = x * 1; y.gt_(0.4); y.sum().backward()",
    "a comparison takes other's graph": "y = t.zeros(4); y.lt_(x); y.sum().backward()",
    "logical_not_ is not recorded": "y = x * 1; y.logical_not_(); y.sum().backward()",
    "fill_diagonal_": "y = (x * 1).expand(4, 4) * 1; y.fill_diagonal_(0.5); y.sum().backward()",
    "fill_diagonal_ of a vector": "x.fill_diagonal_(0.5)",
    "a hook of what gets no gradient": "a, b = (x * 1).split(2); b.register_hook(seen.append); a.sum().backward()",
    "a hook cannot replace None": "a, b = (x * 1).split(2); b.register_hook(lambda g: x); a.sum().backward()",
    "requires_grad of a non-leaf": "y = x * 1; y.requires_grad = True",
    "fill_ of shared elements": "y = t.zeros(1).expand(3); y.fill_(t.tensor(1.0))",
    "index_copy_ of itself": "y = t.zeros(3); y.index_copy_(0, t.tensor([0, 1, 2]), y)",
    "gather keeps its input": "y = x * 1; z = y.gather(0, t.tensor([0])); y.mul_(2); z.backward()",
    "inference tensors have no version": "with t.inference_mode(): y = t.zeros(2)\ny._version",
    "a view in inference mode": "y = x * 1\nwith t.inference_mode(): v = y.view(2, 2)\na, b = v.unbind()\na.mul_(2)",
    "a Function's view without recording": "y = x * 1\nwith t.no_grad(): v = View.apply(y)\nv[:1].mul_(2)",
    "a Function on inference tensors": "with t.inference_mode(): Double.apply(t.zeros(2))",
    "as_strided of windows": "(x * 1).unfold(0, 2, 1).as_strided((3, 2), (1, 1), 0).sum().backward()",
    "a kept gradient follows mark_dirty": "y = x * 1; y.retain_grad(); Double.apply(y); y.sum().backward(); x = y",
}


def run(library, program):
    """The error's kind and first sentence, the gradient, and what hooks saw."""

    class View(library.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.view_as(x)

        @staticmethod
        def backward(ctx, grad):
            return grad

    class Double(library.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.mark_dirty(x.mul_(2))
            return x

        @staticmethod
        def backward(ctx, grad):
            return grad * 2

    seen = []
    x = library.tensor([0.5, -0.75, 1.25, -1.5], requires_grad=True)
    names = {"t": library, "F": library.nn.functional, "x": x, "seen": seen, "View": View, "Double": Double}
    error = ""
    try:
        exec(program, names)
    except Exception as caught:
        error = f"{type(caught).__name__}: {str(caught).splitlines()[0].split('. ')[0].rstrip('.')}"
        error = error.split(", which is output")[0]
    grad = names["x"].grad
    names.clear()  # hooks see them, and they hold the hooks
    return error, None if grad is None else [round(g, 4) for g in grad.tolist()], seen


@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS)
def test_in_place_rules(program):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert run(bulssi, program) == run(torch, program)
