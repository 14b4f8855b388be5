"""Equality of results: exact, and within the rounding of a dtype."""

from __future__ import annotations

from typing import Any

import numpy as np

import bulssi

from .operations import flatten

# Units in the last place that a result of this precision may be away from the float64 one, relative to its size.
ULPS = 16


def as_array(tensor: bulssi.Tensor) -> np.ndarray[Any, Any]:
    """A tensor's numbers; half-precision ones, which NumPy has not all, as float32."""
    tensor = tensor.detach()
    return (tensor.float() if tensor.dtype == bulssi.bfloat16 else tensor).numpy()


def assert_same(actual: Any, expected: Any) -> None:
    """The same structure, shapes, dtypes and bits; any NaN equals any other."""
    pairs = list(zip(flatten(actual), flatten(expected), strict=True))
    assert pairs or actual == expected
    for ours, theirs in pairs:
        assert ours.shape == theirs.shape and ours.dtype == theirs.dtype
        np.testing.assert_array_equal(as_array(ours), as_array(theirs))


def assert_close(actual: Any, expected: Any, epsilon: float, ulps: float = ULPS) -> None:
    """The same shapes, and numbers within some units in the last place at the scale of the largest."""
    pairs = list(zip(flatten(actual), flatten(expected), strict=True))
    assert pairs or actual == expected
    for ours, theirs in pairs:
        assert ours.shape == theirs.shape
        left, right = as_array(ours).astype(np.float64), as_array(theirs).astype(np.float64)
        finite = np.abs(right[np.isfinite(right)])
        scale = finite.max() if finite.size else 1.0
        np.testing.assert_allclose(left, right, rtol=ulps * epsilon, atol=ulps * epsilon * scale)
