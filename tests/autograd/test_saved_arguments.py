"""What operations save, which results have histories of their own, and how nodes end, as in PyTorch."""

from __future__ import annotations

import pytest

import bulssi

torch = pytest.importorskip("torch")


def outcome(library, lines):
    """What `lines` leave in `seen`, or the kind and start of their error."""
    names = {"torch": library, "seen": []}
    names["x"] = library.tensor([[1.0, 2.0, 3.0], [3.0, 1.0, 2.0]], dtype=library.float64, requires_grad=True)
    names["index"] = library.tensor([[0, 1, 2], [2, 1, 0]])
    try:
        for line in lines:
            exec(line, names)
    except Exception as error:
        return type(error).__name__, str(error).split("\n")[0][:60]
    return [s.tolist() if hasattr(s, "tolist") else s for s in names["seen"]]


PROGRAMS = {
    "an index is saved for the source alone": ["y = (x * 1).scatter_add(1, index, torch.ones(2, 3).double())"]
    + ["index.zero_()", "y.sum().backward()", "seen.append(x.grad)"],
    "the index of a source that requires grad": ["y = torch.ones(2, 3).double().scatter_add(1, index, x)"]
    + ["index.zero_()", "y.sum().backward()"],
    "index_add": ["i = torch.tensor([0, 1])", "s = torch.ones(2, 3).double()", "y = (x * 1).index_add(0, i, s)"]
    + ["i.zero_(); s.zero_()", "y.sum().backward()", "seen.append(x.grad)"],
    "put": ["s = x[0] * 1", "y = torch.zeros(2, 3).double().put(torch.tensor([0, 1, 2]), s)", "s.mul_(2)"]
    + ["y.sum().backward()"],
    "a rolled tensor is no view": ["y = x.roll(1)", "y.mul_(2)", "y.sum().backward()", "seen.append(x.grad)"],
    "hooks see differentiable results only": ["y = x.max(1)[0]"]
    + ["y.grad_fn.register_prehook(lambda g: seen.append(len(g)))", "y.sum().backward()"],
    "hooks of a comparison with a number": ["y = x * 1", "y.gt_(1.5)"]
    + ["y.grad_fn.register_hook(lambda i, o: seen.append(len(i)))", "y.sum().backward()"],
    "of a comparison with a tensor": ["y = x * 1", "y.gt_(x.detach())"]
    + ["y.grad_fn.register_hook(lambda i, o: seen.append(len(i)))", "y.sum().backward()"],
    "of two": ["y = torch.aminmax(x)[0]", "y.grad_fn.register_prehook(lambda g: seen.append(len(g)))"]
    + ["y.sum().backward()"],
    "of an inverse": ["y = torch.linalg.inv(x @ x.mT)"]
    + ["y.grad_fn.register_prehook(lambda g: seen.append(len(g)))", "y.sum().backward()"],
    "the product of one element": ["y = x[:1].prod(0)", "g = torch.autograd.grad(y.sum(), x, create_graph=True)[0]"]
    + ["seen.append(g.requires_grad)"],
    "of one element that is zero": ["y = (x[:1] - x[:1].detach()).prod(0)"]
    + ["g = torch.autograd.grad(y.sum(), x, create_graph=True)[0]", "seen.append(g.requires_grad)"],
    "one that is zero": ["z = torch.zeros(1, requires_grad=True)", "z.prod().backward()", "seen.append(z.grad)"],
    "of a 0-d tensor": ["y = x[0, 0].prod()", "g = torch.autograd.grad(y, x, create_graph=True)[0]"]
    + ["seen.append(g.requires_grad)"],
    "unique": ["y = x.unique()", "seen.append(y.grad_fn.name())", "seen.append(y)"],
    "backward of unique": ["x.unique().sum().backward()"],
    "backward of unique slices": ["x.unique(dim=0).sum().backward()"],
    "backward of unique_consecutive": ["torch.unique_consecutive(x, return_counts=True)[0].sum().backward()"],
    "set_ is a change of what was saved": ["y = x.tanh()", "z = y * 2", "y.set_(torch.zeros(2).double())"]
    + ["z.sum().backward()"],
    "what set_ made fails wherever it is reached": ["y = (x * 1).tanh()", "y.set_(y.detach())"]
    + ["torch.stack([x, y])[0].sum().backward()"],
    "equal numbers vary by nothing": ["seen.append(torch.full((3, 7), 0.7).double().var(1))"],
    "rrelu_": ["y = x * 1", "torch.nn.functional.rrelu_(y)", "seen.append(y.grad_fn.name())"],
    "trapezoid": ["y = torch.trapezoid(x, dx=0.5)", "seen.append(y.grad_fn.name())", "y.sum().backward()"]
    + ["seen.append(x.grad)", "seen.append(y)"],
    "trapezoid at points": ["y = torch.trapezoid(x, x[0])", "seen.append(y.grad_fn.name())", "y.sum().backward()"]
    + ["seen.append(x.grad)", "seen.append(y)"],
    "cumulative_trapezoid": ["y = torch.cumulative_trapezoid(x, x[0])", "seen.append(y.grad_fn.name())"]
    + ["y.sum().backward()", "seen.append(x.grad)"],
    "cov": ["y = x.cov()", "seen.append(y.grad_fn.name())", "seen.append(y)"],
    "corrcoef": ["y = x.corrcoef()", "seen.append(y.grad_fn.name())"],
    "kron": ["y = torch.kron(x, x)", "seen.append(y.grad_fn.name())", "y.mul_(2)", "y.sum().backward()"]
    + ["seen.append(x.grad)"],
    "combinations": ["y = torch.combinations(x[0])", "seen.append(y.grad_fn.name())", "seen.append(y)"]
    + ["y.sum().backward()", "seen.append(x.grad)"],
    "no combination": ["y = torch.combinations(x[0], 4)", "seen.append(tuple(y.shape))"],
    "cartesian_prod": ["y = torch.cartesian_prod(x[0], x[1])", "seen.append(y.grad_fn.name())", "seen.append(y)"],
    "narrow looks at its arguments first": ["y = x[0, 0] * 1", "with torch.no_grad(): v = y[...]", "y.mul_(2)"]
    + ["v.narrow(0, 0, 1)"],
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_as_in_torch(name):
    assert outcome(bulssi, PROGRAMS[name]) == outcome(torch, PROGRAMS[name])


@pytest.mark.parametrize("shape", [(1, 3), (3, 1), (2, 1, 3), (1, 4), (2, 3, 1), (1, 2, 3), (3, 3)])
@pytest.mark.parametrize("call", ["topk(1, 0)", "sort(0)", "mul(2)", "clone()", "double()", "flip(0)", "add(1).t()"])
def test_strides_where_a_size_is_one(call, shape):
    """Of a transposed tensor: what is contiguous has several ways to have strides there."""

    def strides(library):
        x = library.arange(12.0)[: library.ones(shape).numel()].reshape(shape).transpose(0, -1)
        made = eval(f"x.{call}", {"x": x}) if len(shape) == 2 or "t()" not in call else x
        return (made[0] if isinstance(made, tuple) else made).stride()

    assert strides(bulssi) == strides(torch)


def test_an_error_names_the_shape_that_a_gone_tensor_had():
    def error(library):
        x = library.ones(2, 3, requires_grad=True) * 1
        y = x.exp().log()
        z = x.erf()
        x.t_()
        del x
        with pytest.raises(RuntimeError) as caught:
            (y + z).sum().backward()
        return str(caught.value).split("Tensor ")[1][:6]

    assert error(bulssi) == error(torch) == "[3, 2]"
