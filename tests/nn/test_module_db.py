"""Every sample of PyTorch's own module database, run through both libraries."""

from __future__ import annotations

import random
import warnings
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("expecttest")

import bulssi  # noqa: E402
from tests.nn.oracle import assert_same, flat, seeded, to_bulssi, to_torch  # noqa: E402

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from torch.testing._internal.common_modules import module_db

INFOS = [info for info in module_db if hasattr(bulssi.nn, info.module_cls.__name__)]


def samples(info: Any, dtype: Any, training: bool) -> list[Any]:
    seeded(3)
    return info.module_inputs_func(info, device="cpu", dtype=dtype, requires_grad=True, training=training)


def build(info: Any, sample: Any, dtype: Any = None) -> tuple[Any, Any]:
    """The same layer in both libraries, made from the same seed."""
    args, kwargs = sample.constructor_input.args, sample.constructor_input.kwargs
    ours_class = getattr(bulssi.nn, info.module_cls.__name__)
    seeded(0)
    theirs = info.module_cls(*args, **kwargs)
    our_args, our_kwargs = to_bulssi(args), to_bulssi(kwargs)
    seeded(0)
    ours = ours_class(*our_args, **our_kwargs)
    return (ours, theirs) if dtype is None else (ours.to(to_bulssi(dtype)), theirs.to(dtype))


def call(module: Any, inputs: Any) -> Any:
    random.seed(0)
    seeded(1)
    return module(*inputs.args, **inputs.kwargs)


class Inputs:
    def __init__(self, args: Any, kwargs: Any) -> None:
        self.args, self.kwargs = args, kwargs


def leaves(module: Any, inputs: Any) -> list[Any]:
    given = [t for t in flat([inputs.args, inputs.kwargs]) if t.requires_grad and t.is_leaf]
    return given + list(module.parameters())


def project(output: Any, library: Any) -> Any:
    """A scalar that depends on every element of every floating-point output in another way."""
    total = None
    for t in flat(output):
        if t.is_floating_point() and t.requires_grad:
            weights = library.arange(t.numel(), dtype=t.dtype).reshape(tuple(t.shape)).add(1).sin()
            part = (t * weights).sum()
            total = part if total is None else total + part
    return total


def gradients(library: Any, module: Any, inputs: Any, order: int) -> list[Any]:
    scalar = project(call(module, inputs), library)
    if scalar is None:
        return []
    wanted = leaves(module, inputs)
    if not wanted:
        return []
    first = library.autograd.grad(scalar, wanted, create_graph=order > 1, allow_unused=True)
    if order == 1:
        return list(first)
    scalar = project([g for g in first if g is not None], library)
    if scalar is None:  # the first derivatives are constant
        return [None] * len(wanted)
    return list(library.autograd.grad(scalar, wanted, allow_unused=True))


def run(info: Any, dtype: Any, training: bool, check: Any) -> None:
    for number, sample in enumerate(samples(info, dtype, training)):
        if sample.forward_input is None:
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ours, theirs = build(info, sample, dtype)
            for module in (ours, theirs):
                module.train(training)
            there = Inputs(sample.forward_input.args, sample.forward_input.kwargs)
            here = Inputs(to_bulssi(there.args), to_bulssi(there.kwargs))
            check(ours, here, theirs, there, f"sample {number} {sample.desc} {sample.constructor_input}")


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("info", INFOS, ids=[info.name for info in INFOS])
def test_forward(info: Any, training: bool) -> None:
    """The same parameters from the same seed, the same text, outputs and buffers."""

    def check(ours: Any, here: Any, theirs: Any, there: Any, what: str) -> None:
        mine, own = ours.state_dict(), theirs.state_dict()
        assert list(mine) == list(own), what
        for key in own:
            if not torch.nn.parameter.is_lazy(own[key]):
                assert_same(mine[key], own[key], f"{what}: {key}", factor=0)
        assert repr(ours) == repr(theirs)
        output, expected = flat(call(ours, here)), flat(call(theirs, there))
        assert len(output) == len(expected), what
        for a, b in zip(output, expected, strict=True):
            assert_same(a, b, what)
        for (name, a), (_, b) in zip(ours.named_buffers(), theirs.named_buffers(), strict=True):
            assert_same(a, b, f"{what}: buffer {name}")

    run(info, torch.float32, training, check)


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("info", INFOS, ids=[info.name for info in INFOS])
def test_gradients(info: Any, order: int) -> None:
    """The same first and second derivatives with respect to inputs and parameters."""

    def check(ours: Any, here: Any, theirs: Any, there: Any, what: str) -> None:
        try:
            expected = gradients(torch, theirs, there, order)
        except (RuntimeError, NotImplementedError):
            assert order == 2, what  # torch has no second derivative of some
            return
        got = gradients(bulssi, ours, here, order)
        for i, (a, b) in enumerate(zip(got, expected, strict=True)):
            if order == 2 and b is None and info.name == "nn.LinearCrossEntropyLoss":
                continue  # the path that torch takes with options has no second derivative
            if order == 2 and (a is None or b is None):  # zeros that are not there, in one of the two
                assert not any(to_torch(g).any() for g in (a, b) if g is not None), f"{what}: gradient {i}"
                continue
            assert_same(a, b, f"{what}: gradient {i}", factor=10)

    run(info, torch.float64, True, check)


@pytest.mark.parametrize(
    "info", [i for i in INFOS if i.module_error_inputs_func is not None], ids=lambda info: info.name
)
def test_errors(info: Any) -> None:
    """Wrong inputs raise errors of the same type with the same first words."""
    for error in info.module_error_inputs_func(
        info, device="cpu", dtype=torch.float32, requires_grad=False, training=True
    ):
        sample = error.module_error_input
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if "CONSTRUCTION" in str(error.error_on):
                with pytest.raises(error.error_type, match=error.error_regex):
                    build(info, sample)
                continue
            ours, _ = build(info, sample)
            inputs = Inputs(to_bulssi(sample.forward_input.args), to_bulssi(sample.forward_input.kwargs))
            with pytest.raises(error.error_type, match=error.error_regex):
                call(ours, inputs)
