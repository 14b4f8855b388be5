"""What an expression gives in Bulssi and in PyTorch, compared."""

from __future__ import annotations

import math
import re
import warnings
from typing import Any

import torch

import bulssi

LIBRARIES = (bulssi, torch)


def plain(value: Any) -> Any:
    """Numbers, lists and texts in place of what belongs to a library."""
    if isinstance(value, (bulssi.Tensor, torch.Tensor)):
        return ["tensor", str(value.dtype), list(value.shape), value.detach().reshape(-1).tolist()]
    if isinstance(value, (tuple, list)):
        return [plain(v) for v in value]
    if value is None or isinstance(value, (bool, int, float)):
        return value
    return str(value)


def outcome(f: Any) -> Any:
    """What f() gives, or the error that it raises."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return plain(f())
        except Exception as error:
            lines = re.sub(r"[ \t]+", " ", str(error)).splitlines() or [""]
            return [
                "error",
                type(error).__name__,
                re.sub(r"torch\.distributions\.|bulssi\.distributions\.", "", lines[0]),
            ]


def same(a: Any, b: Any, tolerance: float) -> bool:
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(same(x, y, tolerance) for x, y in zip(a, b, strict=True))
    if isinstance(a, float) and isinstance(b, float):
        if math.isnan(a) or math.isnan(b) or math.isinf(a) or math.isinf(b):
            return str(a) == str(b)
        return abs(a - b) <= tolerance * max(1.0, abs(b))
    return a == b


def agree(what: str, of: Any, tolerance: float) -> None:
    """of(library) is the same for both; to single precision if it is of that."""
    ours, theirs = (outcome(lambda library=library: of(library)) for library in LIBRARIES)
    if "float32" in str(ours) and "float64" not in str(ours) and tolerance:
        tolerance = max(tolerance, 1e-4)
    assert same(ours, theirs, tolerance), f"{what}: {ours}, PyTorch: {theirs}"
