"""bulssi.testing: results and messages, alone and against PyTorch's."""

from __future__ import annotations

import itertools
import math

import pytest

import bulssi
from bulssi.testing import assert_close, make_tensor

try:
    import torch
except ImportError:
    torch = None

needs_torch = pytest.mark.skipif(torch is None, reason="the oracle, torch, is not installed")


def test_close_tensors_pass():
    assert_close(bulssi.tensor([1.0, 2.0]), bulssi.tensor([1.0, 2.0 + 1e-6]))


def test_message_says_how_many_where_and_how_much():
    with pytest.raises(AssertionError) as caught:
        assert_close(bulssi.tensor([[1.0, 2.0], [3.0, 4.0]]), bulssi.tensor([[1.0, 2.0], [3.0, 4.5]]))
    assert str(caught.value) == (
        "Tensor-likes are not close!\n\n"
        "Mismatched elements: 1 / 4 (25.0%)\n"
        "Greatest absolute difference: 0.5 at index (1, 1) (up to 1e-05 allowed)\n"
        "Greatest relative difference: 0.1111111119389534 at index (1, 1) (up to 1.3e-06 allowed)"
    )


def test_message_names_the_place_in_containers():
    with pytest.raises(AssertionError, match=r"The failure occurred for item \['b'\]\[1\]"):
        assert_close({"a": 1, "b": [1, 2]}, {"a": 1, "b": [1, 3]})


def test_dtype_and_shape_count():
    with pytest.raises(AssertionError, match="'dtype' do not match: torch.float32 != torch.float64"):
        assert_close(bulssi.ones(2), bulssi.ones(2, dtype=bulssi.float64))
    with pytest.raises(AssertionError, match="'shape' do not match"):
        assert_close(bulssi.ones(2), bulssi.ones(3))


VALUES = [
    lambda t: 1,
    lambda t: 2.5,
    lambda t: 1.0,
    lambda t: True,
    lambda t: None,
    lambda t: math.nan,
    lambda t: "a",
    lambda t: [1, 2],
    lambda t: (1, 2, 3),
    lambda t: {"a": 1},
    lambda t: {"a": 2, "b": 1},
    lambda t: {"a": t.tensor([1.0])},
    lambda t: t.tensor([1.0, 2.0]),
    lambda t: t.tensor([1.0, 2.5]),
    lambda t: t.tensor([1, 2]),
    lambda t: t.tensor([1.0, math.nan]),
    lambda t: t.tensor([[1.0, 2.0], [3.0, 4.0]]),
    lambda t: t.tensor(3),
    lambda t: t.tensor(3.0),
    lambda t: t.tensor([True]),
    lambda t: t.tensor([1.0], dtype=t.float64),
    lambda t: t.tensor([1.0], dtype=t.bfloat16),
    lambda t: t.tensor([1.015625], dtype=t.bfloat16),
    lambda t: [t.tensor([1.0]), [t.tensor([2.0])]],
    lambda t: t.zeros(0),
    lambda t: t.tensor([0.0, 1.0]),
    lambda t: t.tensor([math.inf]),
]
OPTIONS = [
    {},
    {"check_dtype": False},
    {"rtol": 0, "atol": 0},
    {"equal_nan": True},
    {"rtol": 1.0},
    {"check_stride": True},
    {"msg": "mine"},
    {"msg": lambda text: "mine: " + text},
]


def _outcome(library, first, second, options):
    try:
        library.testing.assert_close(first(library), second(library), **options)
    except Exception as error:
        return f"{type(error).__name__}: {error}".replace("bulssi.", "torch.")
    return "close"


@needs_torch
@pytest.mark.parametrize("options", OPTIONS, ids=[",".join(o) or "none" for o in OPTIONS])
def test_as_in_torch(options):
    for first, second in itertools.product(VALUES, VALUES):
        theirs = _outcome(torch, first, second, options)
        if "Originating a NumberPair()" in theirs:
            continue  # PyTorch fails on a number beside a boolean
        assert _outcome(bulssi, first, second, options) == theirs, f"{first(torch)} and {second(torch)}"


MAKE = [
    {},
    {"low": -2, "high": 3},
    {"noncontiguous": True},
    {"exclude_zero": True},
    {"low": 3, "high": 2},
    {"low": math.nan},
    {"requires_grad": True},
    {"low": 300},
]


def _made(library, dtype, options):
    library.manual_seed(0)
    try:
        made = library.testing.make_tensor(3, 4, dtype=getattr(library, dtype), device="cpu", **options)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return made.tolist(), made.stride(), made.requires_grad


@needs_torch
@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16", "int8", "uint8", "int64", "bool"])
@pytest.mark.parametrize("options", MAKE, ids=[",".join(o) or "none" for o in MAKE])
def test_make_tensor_draws_as_torch(dtype, options):
    assert _made(bulssi, dtype, options) == _made(torch, dtype, options)


def test_make_tensor_takes_a_sequence_as_shape():
    assert tuple(make_tensor((2, 3), dtype=bulssi.float32, device="cpu").shape) == (2, 3)
