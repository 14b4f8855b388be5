"""Grad modes as context managers and as decorators of functions, generators and classes."""

from __future__ import annotations

import threading

import pytest

import bulssi
from bulssi import enable_grad, inference_mode, is_grad_enabled, no_grad, set_grad_enabled


def requires():
    return (bulssi.ones(1, requires_grad=True) * 2).requires_grad


def test_contexts_nest_and_restore():
    assert requires()
    with no_grad():
        assert not requires()
        with enable_grad():
            assert requires()
            with set_grad_enabled(False):
                assert not requires()
            assert requires()
        assert not requires()
    assert requires()


def test_an_instance_can_be_entered_again():
    off = no_grad()
    with off, off:
        assert not is_grad_enabled()
    assert is_grad_enabled()


def test_restored_after_an_error():
    with pytest.raises(ZeroDivisionError), no_grad():
        _ = 1 / 0
    assert is_grad_enabled()


def test_set_grad_enabled_as_a_function():
    set_grad_enabled(False)
    assert not is_grad_enabled()
    set_grad_enabled(True)
    assert is_grad_enabled()


@pytest.mark.parametrize(
    "make", [lambda: no_grad, no_grad, lambda: set_grad_enabled(False), lambda: inference_mode, inference_mode]
)
def test_decorated_function(make):
    @make()
    def function(x, *, scale):
        """Its text."""
        return is_grad_enabled(), x * scale

    set_grad_enabled(True)
    assert function(2, scale=3) == (False, 6)
    assert is_grad_enabled()
    assert function.__name__ == "function" and function.__doc__ == "Its text."


def test_set_grad_enabled_as_decorator_does_not_act_at_definition():
    @set_grad_enabled(False)
    def function():
        return is_grad_enabled()

    assert is_grad_enabled()
    assert not function()


def test_decorated_method_and_recursion():
    class Thing:
        @no_grad()
        def down(self, n):
            assert not is_grad_enabled()
            return n if n == 0 else self.down(n - 1)

    assert Thing().down(5) == 0
    assert is_grad_enabled()


def test_decorated_generator_runs_its_steps_in_the_mode():
    seen = []

    @no_grad()
    def numbers():
        try:
            got = yield is_grad_enabled()
            seen.append(got)
            try:
                yield is_grad_enabled()
            except KeyError:
                yield "caught", is_grad_enabled()
            return "end"
        finally:
            seen.append(is_grad_enabled())

    generator = numbers()
    assert next(generator) is False
    assert is_grad_enabled()
    assert generator.send("sent") is False
    assert generator.throw(KeyError()) == ("caught", False)
    with pytest.raises(StopIteration) as stop:
        next(generator)
    assert stop.value.value == "end"
    assert seen == ["sent", False]

    generator = numbers()
    next(generator)
    generator.close()
    assert seen[-1] is False
    assert is_grad_enabled()


def test_decorated_class_warns():
    with pytest.warns(FutureWarning, match="Decorating classes is deprecated"):

        @no_grad()
        class Thing:
            def __init__(self):
                self.enabled = is_grad_enabled()

    assert Thing().enabled is False


def test_leaves_are_not_affected():
    with no_grad():
        assert bulssi.ones(1, requires_grad=True).requires_grad


def test_inference_mode():
    with inference_mode():
        assert bulssi.is_inference_mode_enabled() and not is_grad_enabled()
        x = bulssi.ones(2)
        assert x.is_inference()
        with inference_mode(False):
            assert is_grad_enabled() and not bulssi.is_inference_mode_enabled()
        assert not is_grad_enabled()
    assert is_grad_enabled() and not bulssi.is_inference_mode_enabled()
    with pytest.raises(RuntimeError, match="Inference tensors cannot be saved for backward"):
        bulssi.ones(2, requires_grad=True) * x


def test_wrong_argument():
    with pytest.raises(TypeError):
        set_grad_enabled("yes")
    assert is_grad_enabled()


def test_each_thread_has_its_own_mode():
    seen = []
    with no_grad():
        thread = threading.Thread(target=lambda: seen.append(is_grad_enabled()))
        thread.start()
        thread.join()
    assert seen == [True]
