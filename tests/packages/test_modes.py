"""Calls as __torch_function__, function modes and the core's record of calls see them."""

from __future__ import annotations

import inspect
import pickle
from typing import Any

import pytest

import bulssi
from bulssi.overrides import TorchFunctionMode

F = bulssi.nn.functional


class Log(TorchFunctionMode):
    def __init__(self) -> None:
        self.names: list[str] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names.append(func.__name__)
        return func(*args, **(kwargs or {}))


class Logged(bulssi.Tensor):
    names: list[str] = []

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        cls.names.append(func.__name__)
        return super().__torch_function__(func, types, args, kwargs or {})


def test_a_mode_sees_every_call() -> None:
    x = bulssi.ones(2)
    with Log() as log:
        y = x + x
        y = 2 - y
        y = F.mse_loss(y, x)
        y = y.exp() > 0
        x += 1
    x.sum()
    assert log.names == ["add", "sub", "mse_loss", "exp", "gt", "add_"]


def test_modes_nest_and_survive_errors() -> None:
    with Log() as outer:
        with pytest.raises(RuntimeError), Log() as inner:
            bulssi.mm(bulssi.ones(2, 3), bulssi.ones(2, 3))
        bulssi.ones(1).exp()
    assert inner.names == ["ones", "ones", "mm"] and outer.names == [*inner.names, "ones", "exp"]


def test_a_mode_may_answer_itself() -> None:
    class Zero(TorchFunctionMode):
        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            return 0

    with Zero():
        assert bulssi.ones(3) == 0 and F.relu(bulssi.pi) == 0  # pyright: ignore


def test_subclasses_see_functions_of_nn() -> None:
    x = bulssi.ones(2, 2).as_subclass(Logged)
    Logged.names.clear()
    assert type(F.mse_loss(x, bulssi.ones(2, 2))) is Logged
    assert Logged.names == ["mse_loss"]


def test_wrapped_functions_are_like_functions() -> None:
    assert pickle.loads(pickle.dumps(F.mse_loss)) is F.mse_loss
    for f in (bulssi.add, bulssi.special.erf, bulssi.Tensor.add, bulssi.Tensor.add_, F.gelu):
        assert pickle.loads(pickle.dumps(f)) is f
    assert list(inspect.signature(F.relu).parameters) == ["input", "inplace"] and F.relu.__doc__
    assert F.relu.__name__ == "relu" and F.relu.__module__ == "bulssi.nn.functional"

    class Holder:
        act = F.relu

    assert Holder.act(bulssi.tensor(-1.0)).item() == 0
    with pytest.raises(TypeError, match="missing 1 required positional argument"):
        F.mse_loss(bulssi.ones(1))  # pyright: ignore


def test_nothing_is_kept() -> None:
    live = bulssi._core.live_tensors()
    with bulssi.autocast("cpu"):
        for _ in range(10):
            F.mse_loss(bulssi.ones(2, 2) @ bulssi.ones(2, 2), bulssi.ones(2, 2))
            bulssi.cat([bulssi.ones(2), bulssi.ones(2)])
    assert bulssi._core.live_tensors() == live
