"""Backward in several Python threads, through one graph or into one leaf, at the same time."""

from __future__ import annotations

import subprocess
import sys
import threading
import time

import pytest

import bulssi as torch


def in_threads(function, count=4):
    errors = []

    def guarded():
        try:
            function()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=guarded) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors, errors


def made_graph():
    """Large enough that kernels give the interpreter's lock away."""
    x = torch.rand(600, 600, requires_grad=True)
    w = torch.rand(600, 600, requires_grad=True)
    y = (x @ w * 0.01).exp().sin()
    total = (y * y).sum()
    (expected,) = torch.autograd.grad(total, x, retain_graph=True)
    return x, total, expected


def test_one_graph():
    x, total, expected = made_graph()

    def run():
        for _ in range(5):
            total.backward(retain_graph=True)

    in_threads(run)
    torch.testing.assert_close(x.grad, expected * 20)


def test_one_graph_returns_gradients():
    x, total, expected = made_graph()

    def run():
        for _ in range(5):
            (grad,) = torch.autograd.grad(total, x, retain_graph=True)
            assert torch.equal(grad, expected)

    in_threads(run)


def test_one_leaf_of_many_graphs():
    x = torch.rand(600, 600, requires_grad=True)

    def run():
        for _ in range(20):
            (x * 2).sum().backward()

    in_threads(run)
    assert (x.grad == 160).all()


def test_hooks_that_let_others_run():
    x = torch.rand(30, 30, requires_grad=True)
    y = x * 2
    y.register_hook(lambda grad: time.sleep(0.001))
    total = (y * y).sum()
    total.backward(retain_graph=True)
    expected, x.grad = x.grad * 40, None

    def run():
        for _ in range(10):
            total.backward(retain_graph=True)

    in_threads(run)
    torch.testing.assert_close(x.grad, expected)


def test_only_one_may_free_the_graph():
    x, total, expected = made_graph()
    freed = []

    def run():
        try:
            total.backward()
        except RuntimeError as error:
            freed.append(str(error))

    in_threads(run)
    assert len(freed) <= 3 and all("second time" in text for text in freed)
    assert x.grad is not None


def test_runs_inside_runs():
    """A hook's own backward through the same nodes leaves the counts of the outer run as they were."""
    x = torch.ones(4, requires_grad=True)
    y = x.exp()
    z = y * y
    total = (z * y).sum()
    depth = []

    def again(grad):
        if len(depth) < 3:
            depth.append(None)
            total.backward(retain_graph=True)

    handle = z.register_hook(again)
    total.backward(retain_graph=True)
    handle.remove()  # the hook leads back to its node by way of `total`
    (once,) = torch.autograd.grad(total, x)
    torch.testing.assert_close(x.grad, once * 4)


def test_a_hook_that_frees_the_graph_of_the_run_it_is_in():
    x = torch.ones(1000, requires_grad=True)
    y = x.exp()
    total = (y * y.sin()).sum()
    depth = []

    def again(grads):
        if not depth:
            depth.append(None)
            total.backward()

    handle = y.grad_fn.register_prehook(again)
    with pytest.raises(RuntimeError, match="second time"):
        total.backward()
    handle.remove()
    assert (torch.ones(3) + 1).sum() == 6


def test_will_run_is_asked_about_the_run_of_this_thread():
    x = torch.ones(3, requires_grad=True)
    y = x * 2
    total = (y * y).sum()
    seen = []
    y.register_hook(lambda grad: seen.append(torch._core.will_execute_node(y.grad_fn)))
    in_threads(lambda: total.backward(retain_graph=True), 3)
    assert seen == [True] * 3
    assert not torch._core.will_execute_node(y.grad_fn)


def test_the_first_factorisations_of_a_program():
    """LAPACK is opened by the first of several threads, in a process of its own."""
    program = """
import threading, time
import bulssi as torch
x = torch.eye(8)
def run():
    ready.wait()
    torch.linalg.inv(x)
ready = threading.Barrier(4)
threads = [threading.Thread(target=run) for _ in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print("end")
"""
    for _ in range(3):
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
        assert done.stdout == "end\n", done.stderr
