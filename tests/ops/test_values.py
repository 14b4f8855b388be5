"""Values of the pointwise operations against references, over dtypes and edge values."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import bulssi

from .compare import as_array, assert_close
from .operations import FORMULAS, POINTWISE, Operation, Sample, samples
from .oracle import reference

FLOATING = [bulssi.float64, bulssi.float32, bulssi.bfloat16, bulssi.float16]
INTEGERS = [bulssi.uint8, bulssi.int8, bulssi.int16, bulssi.int32, bulssi.int64]
EDGES = [0.0, -0.0, math.inf, -math.inf, math.nan, 5e-324, -5e-324, 1e-310, 1e300, -1e300, 1.0, -1.0, 0.5, 88.0, 710.0]

# Where the oracle's edges are not ours: SciPy's Bessel functions overflow early and give NaN at infinity; the sign of
# NaN is 0 and a step at NaN is 0 in PyTorch.
UNRELIABLE = ["i0", "i1", "sign", "heaviside"]
# A formula with a condition has no reading in numbers alone, one with attributes none in NumPy or SciPy.
with_reference = [each for each in FORMULAS if each.entry["reference"] is not None]
public = [each for each in with_reference if each.is_public and not each.is_whole]
plain = [each for each in POINTWISE if len(each.signature.parameters) == len(each.signature.tensors)]
with_oracle = [each for each in plain if reference(each.name, len(each.signature.tensors))]


def floats(sample: Sample) -> list[np.ndarray[Any, Any]]:
    return [as_array(tensor).astype(np.float64) for tensor in sample.tensors()]


@pytest.mark.parametrize(
    "operation", [each for each in with_reference if each.is_public and not each.is_whole], ids=str
)
@pytest.mark.parametrize("dtype", FLOATING, ids=str)
def test_kernel_agrees_with_the_formula_in_double(operation: Operation, dtype: bulssi.dtype) -> None:
    for sample in samples(operation):
        cast = sample.map(lambda tensor: tensor.to(dtype) if tensor.is_floating_point() else tensor)
        actual = cast.call(operation)
        compute = np.vectorize(operation.entry["reference"], otypes=[np.float64])
        expected = bulssi.from_numpy(np.asarray(compute(*floats(cast), *operation.attributes(cast))))
        assert actual.dtype in (dtype, bulssi.bool)
        assert_close(actual, expected, bulssi.finfo(dtype).eps)


@pytest.mark.parametrize("operation", with_reference, ids=str)
def test_expression_agrees_with_the_formula_in_double(operation: Operation) -> None:
    """The graph that sources for other devices are written from computes what the formula computes."""
    for sample in samples(operation):
        for point in zip(*(array.flat for array in np.broadcast_arrays(*floats(sample))), strict=True):
            arguments = [*map(float, point), *operation.attributes(sample)]
            expected = operation.entry["reference"](*arguments)
            assert operation.entry["expression"](*arguments) == pytest.approx(
                expected, rel=1e-13, abs=1e-300, nan_ok=True
            )


@pytest.mark.parametrize("operation", with_oracle, ids=str)
def test_formula_agrees_with_numpy_or_scipy(operation: Operation) -> None:
    oracle = reference(operation.name, len(operation.signature.tensors))
    assert oracle is not None
    for sample in samples(operation):
        expected = oracle(*(as_array(tensor) for tensor in sample.tensors()))
        assert_close(sample.call(operation), bulssi.from_numpy(np.asarray(expected)), 2**-52, ulps=64)


# Degrees of polynomials have no edges among these.
with_edges = [each for each in with_oracle if isinstance(reference(each.name, len(each.signature.tensors)), np.ufunc)]


@pytest.mark.parametrize("operation", [each for each in with_edges if not each.is_whole], ids=str)
def test_edge_values_agree_with_numpy_or_scipy(operation: Operation) -> None:
    """Where the oracle is finite or infinite the value follows it; where it is NaN, so is ours."""
    arity = len(operation.signature.tensors)
    oracle = reference(operation.name, arity)
    assert oracle is not None
    grid = np.array(np.meshgrid(*[EDGES] * arity)).reshape(arity, -1)
    with np.errstate(all="ignore"):
        expected = oracle(*grid)
    known = ~np.isin(operation.name, UNRELIABLE) | np.isfinite(expected)
    actual = as_array(operation.function(*(bulssi.from_numpy(row.copy()) for row in grid)))
    wrong = ~np.isclose(actual.astype(np.float64), expected.astype(np.float64), rtol=1e-12, atol=1e-15, equal_nan=True)
    report = [(*grid[:, at], actual[at], expected[at]) for at in np.flatnonzero(wrong & known)]
    assert not report, f"(arguments, actual, expected): {report[:5]}"


@pytest.mark.parametrize("operation", POINTWISE, ids=str)
@pytest.mark.parametrize("dtype", [*INTEGERS, bulssi.bool], ids=str)
def test_integers_agree_with_doubles(operation: Operation, dtype: bulssi.dtype) -> None:
    """Small integers give the value that the same numbers give as floats, or the dtype is refused."""
    low = max(operation.domain[0], 0)
    for sample in samples(operation):
        whole = sample.map(lambda tensor: bulssi.from_numpy(np.floor(np.maximum(as_array(tensor), low) + 1)).to(dtype))
        try:
            actual = whole.call(operation)
        except (RuntimeError, TypeError) as refused:
            assert str(refused), "a refused dtype is named"
            continue
        try:
            expected = whole.map(lambda tensor: tensor.double()).call(operation)
        except (RuntimeError, TypeError):
            continue  # bitwise operations are for integers alone
        if operation.name == "sinc":
            continue  # at whole numbers nothing but the rounding of pi
        if not actual.is_floating_point():
            expected = expected.to(bulssi.int64).to(actual.dtype)  # integers wrap around
        assert_close(actual.double(), expected.double(), bulssi.finfo(bulssi.float32).eps)
