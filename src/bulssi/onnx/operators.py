"""Shapes as tensors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import bulssi

if TYPE_CHECKING:
    from bulssi import Tensor

__all__ = ["reshape_from_tensor_shape", "shape_as_tensor"]


def shape_as_tensor(x: Tensor) -> Tensor:
    """The sizes of ``x``, a vector of int64."""
    return bulssi.tensor(x.shape, dtype=bulssi.int64)


def reshape_from_tensor_shape(x: Tensor, shape: Tensor) -> Tensor:
    """``x`` in the shape that a vector gives."""
    return x.reshape(shape.tolist())
