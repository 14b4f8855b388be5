"""Gradients that do not depend on the input stay in its graph where PyTorch keeps them there, with the derivative 0."""

from __future__ import annotations

import pytest

import bulssi

torch = pytest.importorskip("torch")

FUNCTIONS = {
    "relu": lambda lib, f, x: f.relu(x),
    "relu6": lambda lib, f, x: f.relu6(x),
    "leaky_relu": lambda lib, f, x: f.leaky_relu(x, 0.1),
    "hardtanh": lambda lib, f, x: f.hardtanh(x),
    "hardshrink": lambda lib, f, x: f.hardshrink(x),
    "softshrink": lambda lib, f, x: f.softshrink(x),
    "threshold": lambda lib, f, x: f.threshold(x, 0.1, 2.0),
    "prelu": lambda lib, f, x: f.prelu(x, lib.tensor([0.2])),
    "rrelu": lambda lib, f, x: f.rrelu(x),
    "abs": lambda lib, f, x: x.abs(),
    "clamp": lambda lib, f, x: x.clamp(-1, 1),
    "sum": lambda lib, f, x: x.sum(),
    "max_pool2d": lambda lib, f, x: f.max_pool2d(x, 2),
    "avg_pool1d": lambda lib, f, x: f.avg_pool1d(x[0], 2),
    "avg_pool2d": lambda lib, f, x: f.avg_pool2d(x, 2),
    "adaptive_avg_pool2d": lambda lib, f, x: f.adaptive_avg_pool2d(x, 2),
    "adaptive_avg_pool2d_mean": lambda lib, f, x: f.adaptive_avg_pool2d(x, 1),
    "adaptive_max_pool2d": lambda lib, f, x: f.adaptive_max_pool2d(x, 2),
    "pad_constant": lambda lib, f, x: f.pad(x, (1, 1)),
    "pad_reflect": lambda lib, f, x: f.pad(x, (1, 1, 1, 1), mode="reflect"),
    "pad_replicate": lambda lib, f, x: f.pad(x, (1, 1, 1, 1), mode="replicate"),
    "pad_circular": lambda lib, f, x: f.pad(x, (1, 1, 1, 1), mode="circular"),
    "nll_loss": lambda lib, f, x: f.nll_loss(x[0, 0], lib.arange(8)),
    "batch_norm_eval": lambda lib, f, x: f.batch_norm(x, lib.zeros(1), lib.ones(1)),
    "conv2d": lambda lib, f, x: f.conv2d(x, lib.ones(1, 1, 2, 2)),
    "interpolate": lambda lib, f, x: f.interpolate(x, scale_factor=2, mode="bilinear"),
    "pixel_shuffle": lambda lib, f, x: f.pixel_shuffle(x.expand(1, 4, 8, 8), 2),
    "grid_sample": lambda lib, f, x: f.grid_sample(x, lib.zeros(1, 2, 2, 2), align_corners=False),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_as_pytorch(name):
    found = []
    for lib in (bulssi, torch):
        x = lib.linspace(-2, 2, 64).reshape(1, 1, 8, 8).requires_grad_()
        y = FUNCTIONS[name](lib, lib.nn.functional, x)
        (first,) = lib.autograd.grad(y.sum(), x, create_graph=True)
        second = lib.autograd.grad(first.sum(), x, allow_unused=True)[0] if first.requires_grad else None
        found.append((first.requires_grad, None if second is None else bool((second == 0).all())))
    assert found[0][0] == found[1][0]
    assert found[0][1] in (found[1][1], True)  # zeros may stand for nothing


def test_the_node_is_named_after_the_operation():
    x = bulssi.ones(3, requires_grad=True)
    (g,) = bulssi.autograd.grad(bulssi.nn.functional.leaky_relu(x).sum(), x, create_graph=True)
    assert g.grad_fn.name() == "LeakyReluBackwardBackward0"
    assert [n and n.variable is x for n, _ in g.grad_fn.next_functions] == [None, True]  # of the gradient, of x
