"""What refers to itself through a graph is found by the collector, and nothing else is."""

from __future__ import annotations

import gc
import weakref

import pytest

import bulssi as torch


class Flag:
    """Dies with whoever holds it."""


def double():
    x = torch.ones(3, requires_grad=True)
    return x, x * 2


def result_hook(flag):
    _, y = double()
    y.register_hook(lambda grad: (flag, y) and None)


def leaf_hook(flag):
    x, _ = double()
    x.register_hook(lambda grad: (flag, x) and None)


def accumulated_hook(flag):
    x, _ = double()
    x.register_post_accumulate_grad_hook(lambda leaf: (flag, x) and None)


def node_hook(flag):
    _, y = double()
    node = y.grad_fn
    del y
    node.register_hook(lambda inputs, grads: (flag, node) and None)


def node_prehook(flag):
    _, y = double()
    y.grad_fn.register_prehook(lambda grads: (flag, y) and None)


def metadata(flag):
    _, y = double()
    y.grad_fn.metadata["mine"] = (flag, y)


def gradients_of_each_other(flag):
    x, y = torch.ones(3), torch.ones(3)
    x.grad, y.grad, x.flag = y, x, flag


def context_keeps_output(flag):
    class Twice(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.flag = flag
            return x * 2

        @staticmethod
        def backward(ctx, grad):
            return grad * 2

    y = Twice.apply(torch.ones(3, requires_grad=True))
    y.grad_fn.output = y


def attribute(flag):
    _, y = double()
    y.me, y.flag = y, flag


CYCLES = [
    result_hook,
    leaf_hook,
    accumulated_hook,
    node_hook,
    node_prehook,
    metadata,
    gradients_of_each_other,
    context_keeps_output,
    attribute,
]


@pytest.mark.parametrize("make", CYCLES, ids=lambda f: f.__name__)
def test_a_cycle_is_collected(make):
    flag = Flag()
    alive = weakref.ref(flag)
    make(flag)
    del flag
    gc.collect()
    assert alive() is None


def test_hooks_of_a_living_graph_survive_the_collector():
    x, y = double()
    seen = []
    y.register_hook(lambda grad: seen.append(grad.tolist()))
    y.grad_fn.register_hook(lambda inputs, grads: seen.append("after"))
    y.grad_fn.register_prehook(lambda grads: seen.append("before"))
    total = (y * y).sum()
    del y
    gc.collect()
    gc.collect()
    total.backward()
    assert seen == [[4.0, 4.0, 4.0], "before", "after"], seen
    assert x.grad.tolist() == [8.0, 8.0, 8.0]


def test_a_node_that_is_held_keeps_its_hooks():
    """The tensor of a cycle is garbage while the program still holds its node: two owners, so nothing is cleared."""
    seen = []

    def made():
        x, y = double()
        y.register_hook(lambda grad: seen.append(y.tolist()) and None)
        return x, y.grad_fn, y.sum()

    x, node, total = made()
    gc.collect()
    total.backward()
    assert seen == [[2.0, 2.0, 2.0]] and node.name() == "MulBackward0"
    assert x.grad.tolist() == [2.0, 2.0, 2.0]


def test_chains_of_gradients_end_without_recursion():
    newest = torch.ones(1)
    for _ in range(100_000):
        older, newest = newest, torch.ones(1)
        newest.grad = older
    del newest, older
