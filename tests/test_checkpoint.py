"""utils.checkpoint: the same gradients with less kept, the same random numbers, errors for functions that change."""

from __future__ import annotations

import pytest

import bulssi
from bulssi.utils.checkpoint import CheckpointError, checkpoint, checkpoint_sequential, set_checkpoint_early_stop

BOTH = pytest.mark.parametrize("use_reentrant", [False, True])


def _block(x, w):
    return (x @ w).tanh().exp().sin()


def _gradients(call):
    bulssi.manual_seed(0)
    x = bulssi.randn(3, 4, requires_grad=True)
    w = bulssi.randn(4, 4, requires_grad=True)
    (call(x, w) ** 2).sum().backward()
    return x.grad, w.grad


@BOTH
def test_gradients_are_the_same(use_reentrant):
    plain = _gradients(_block)
    for a, b in zip(plain, _gradients(lambda x, w: checkpoint(_block, x, w, use_reentrant=use_reentrant)), strict=True):
        assert bulssi.equal(a, b)


@BOTH
def test_the_function_runs_twice(use_reentrant):
    calls = []

    def counted(x):
        calls.append(bulssi.is_grad_enabled())
        return x.exp()

    y = checkpoint(counted, bulssi.ones(2, requires_grad=True), use_reentrant=use_reentrant)
    assert len(calls) == 1
    y.sum().backward()
    assert calls == [not use_reentrant, True]


@BOTH
def test_dropout_drops_the_same_and_the_stream_goes_on(use_reentrant):
    def noisy(x):
        return x * (bulssi.rand(100) < 0.5)

    bulssi.manual_seed(1)
    x = bulssi.ones(100, requires_grad=True)
    y = checkpoint(noisy, x, use_reentrant=use_reentrant)
    after = bulssi.get_rng_state()
    y.sum().backward()
    assert bulssi.equal(bulssi.get_rng_state(), after)
    assert bulssi.equal(x.grad, y.detach())


def test_nothing_saved_outside_is_kept():
    kept = []
    x = bulssi.ones(4, requires_grad=True)
    with bulssi.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        y = checkpoint(lambda x: x.exp().sin().cos(), x, use_reentrant=False)
    assert kept == []
    y.sum().backward()
    assert x.grad is not None


def test_nested():
    def inner(x):
        return x.sin().exp()

    def outer(x):
        return checkpoint(inner, x.cos(), use_reentrant=False).tanh()

    x = bulssi.tensor([0.3, 0.7], requires_grad=True)
    checkpoint(outer, x, use_reentrant=False).sum().backward()
    expected = bulssi.tensor([0.3, 0.7], requires_grad=True)
    inner(expected.cos()).tanh().sum().backward()
    assert bulssi.equal(x.grad, expected.grad)


def test_second_derivative():
    x = bulssi.tensor([0.3, 0.7], dtype=bulssi.float64, requires_grad=True)
    y = checkpoint(lambda x: x.exp() * x, x, use_reentrant=False)
    (first,) = bulssi.autograd.grad(y.sum(), x, create_graph=True)
    (second,) = bulssi.autograd.grad(first.sum(), x)
    bulssi.testing.assert_close(second, (x.exp() * (x + 2)).detach())


def test_two_backwards_over_a_retained_graph():
    x = bulssi.ones(2, requires_grad=True)
    y = checkpoint(lambda x: x.exp().sin(), x, use_reentrant=False).sum()
    y.backward(retain_graph=True)
    once = x.grad.clone()
    y.backward()
    bulssi.testing.assert_close(x.grad, 2 * once)


def test_early_stop():
    reached = []

    def function(x):
        y = x.exp()
        reached.append(True)
        return y + 1

    for enable, times in [(True, 1), (False, 2)]:
        reached.clear()
        with set_checkpoint_early_stop(enable):
            y = checkpoint(function, bulssi.ones(2, requires_grad=True), use_reentrant=False)
        y.sum().backward()
        assert len(reached) == times


def test_a_function_that_changes_is_an_error():
    sizes = iter([2, 3])

    def function(x):
        return (x * bulssi.ones(next(sizes), 1)).exp().sum()

    y = checkpoint(function, bulssi.ones(1, requires_grad=True), use_reentrant=False)
    with pytest.raises(CheckpointError, match="have different metadata than during the forward pass"):
        y.backward()


def test_fewer_tensors_in_the_second_run_is_an_error():
    flags = iter([True, False])

    def function(x):
        return x.exp().sin().exp() if next(flags) else x.exp()

    y = checkpoint(function, bulssi.ones(1, requires_grad=True), use_reentrant=False)
    with pytest.raises(CheckpointError, match="A different number of tensors was saved"):
        y.sum().backward()


def test_an_argument_changed_in_place_is_an_error():
    a = bulssi.ones(2, requires_grad=True)
    x = a * 1
    y = checkpoint(lambda x: x.exp() * x, x, use_reentrant=False)
    with bulssi.no_grad():
        x.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


@BOTH
def test_an_error_in_the_function_passes_through(use_reentrant):
    with pytest.raises(ZeroDivisionError):
        checkpoint(lambda x: 1 / 0, bulssi.ones(2, requires_grad=True), use_reentrant=use_reentrant)
    assert bulssi.is_grad_enabled()


def test_options():
    x = bulssi.ones(2, requires_grad=True)
    with pytest.warns(UserWarning, match="use_reentrant parameter should be passed explicitly"):
        checkpoint(lambda x: x * 2, x)
    with pytest.raises(ValueError, match="Unexpected keyword arguments: scale"):
        checkpoint(lambda x, scale: x, x, use_reentrant=True, scale=2)
    assert checkpoint(lambda x, scale: x * scale, x, use_reentrant=False, scale=3).tolist() == [3, 3]
    with pytest.raises(ValueError, match="determinism_check should be one of"):
        checkpoint(lambda x: x, x, use_reentrant=False, determinism_check="bits")
    with pytest.warns(UserWarning, match="None of the inputs have requires_grad=True"):
        checkpoint(lambda x: x * 2, bulssi.ones(2), use_reentrant=True)


@BOTH
def test_sequential(use_reentrant):
    functions = [bulssi.sin, bulssi.exp, bulssi.cos, bulssi.tanh, bulssi.sin]

    def run(segments):
        x = bulssi.tensor([0.1, 0.9], requires_grad=True)
        y = x
        if segments:
            y = checkpoint_sequential(functions, segments, x, use_reentrant=use_reentrant)
        else:
            for function in functions:
                y = function(y)
        y.sum().backward()
        return y.detach(), x.grad

    for segments in (1, 2, 3, 5):
        for a, b in zip(run(0), run(segments), strict=True):
            assert bulssi.equal(a, b)
    with pytest.raises(ValueError, match="segments = 6"):
        run(6)
