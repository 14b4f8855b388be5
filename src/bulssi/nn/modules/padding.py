"""Padding as modules."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bulssi.nn import functional as F

from .module import Module
from .utils import _ntuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bulssi import Tensor

__all__ = [
    "CircularPad1d",
    "CircularPad2d",
    "CircularPad3d",
    "ConstantPad1d",
    "ConstantPad2d",
    "ConstantPad3d",
    "ReflectionPad1d",
    "ReflectionPad2d",
    "ReflectionPad3d",
    "ReplicationPad1d",
    "ReplicationPad2d",
    "ReplicationPad3d",
    "ZeroPad1d",
    "ZeroPad2d",
    "ZeroPad3d",
]


class _PadNd(Module):
    """Pads the last ``_rank`` dimensions; ``padding`` is one number or a (before, after) pair each, the last one
    first."""

    _rank: int
    _mode: str

    def __init__(self, padding: int | Sequence[int]) -> None:
        super().__init__()
        self.padding = _ntuple(2 * self._rank)(padding)

    def forward(self, input: Tensor) -> Tensor:
        return F.pad(input, self.padding, self._mode)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class _CircularPadNd(_PadNd):
    _mode = "circular"

    def forward(self, input: Tensor) -> Tensor:
        if input.dim() not in (self._rank + 1, self._rank + 2):
            raise ValueError(f"expected {self._rank + 1}D or {self._rank + 2}D input (got {input.dim()}D input)")
        return super().forward(input)


class _ReflectionPadNd(_PadNd):
    _mode = "reflect"


class _ReplicationPadNd(_PadNd):
    _mode = "replicate"


class _ConstantPadNd(_PadNd):
    def __init__(self, padding: int | Sequence[int], value: float) -> None:
        super().__init__(padding)
        self.value = value

    def forward(self, input: Tensor) -> Tensor:
        return F.pad(input, self.padding, "constant", self.value)

    def extra_repr(self) -> str:
        return f"padding={self.padding}, value={self.value}"


class _ZeroPadNd(_ConstantPadNd):
    def __init__(self, padding: int | Sequence[int]) -> None:
        super().__init__(padding, 0.0)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class CircularPad1d(_CircularPadNd):
    """Pads the last dimension with the other end of the input."""

    _rank = 1


class CircularPad2d(_CircularPadNd):
    """Pads the last two dimensions with the other end of the input."""

    _rank = 2


class CircularPad3d(_CircularPadNd):
    """Pads the last three dimensions with the other end of the input."""

    _rank = 3


class ConstantPad1d(_ConstantPadNd):
    """Pads the last dimension with ``value``."""

    _rank = 1


class ConstantPad2d(_ConstantPadNd):
    """Pads the last two dimensions with ``value``."""

    _rank = 2


class ConstantPad3d(_ConstantPadNd):
    """Pads the last three dimensions with ``value``."""

    _rank = 3


class ReflectionPad1d(_ReflectionPadNd):
    """Pads the last dimension by reflection at the border."""

    _rank = 1


class ReflectionPad2d(_ReflectionPadNd):
    """Pads the last two dimensions by reflection at the border."""

    _rank = 2


class ReflectionPad3d(_ReflectionPadNd):
    """Pads the last three dimensions by reflection at the border."""

    _rank = 3


class ReplicationPad1d(_ReplicationPadNd):
    """Pads the last dimension with the border elements."""

    _rank = 1


class ReplicationPad2d(_ReplicationPadNd):
    """Pads the last two dimensions with the border elements."""

    _rank = 2


class ReplicationPad3d(_ReplicationPadNd):
    """Pads the last three dimensions with the border elements."""

    _rank = 3


class ZeroPad1d(_ZeroPadNd, ConstantPad1d):
    """Pads the last dimension with zeros."""

    _rank = 1


class ZeroPad2d(_ZeroPadNd, ConstantPad2d):
    """Pads the last two dimensions with zeros."""

    _rank = 2


class ZeroPad3d(_ZeroPadNd, ConstantPad3d):
    """Pads the last three dimensions with zeros."""

    _rank = 3
