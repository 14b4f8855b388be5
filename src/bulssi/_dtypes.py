"""Limits of number types, and the former names of tensors by their element type (`FloatTensor`, `LongTensor`, …)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from bulssi import _core

if TYPE_CHECKING:
    from bulssi import Tensor, dtype

__all__ = ["finfo", "iinfo", "typed_tensor"]

# Bits of precision and least exponent (of a normal number) of the floating-point formats, and what is printed of them.
_FORMATS = {
    "float16": (11, -14, 16, 1e-3),
    "bfloat16": (8, -126, 128, 1e-2),
    "float32": (24, -126, 128, 1e-6),
    "float64": (53, -1022, 1024, 1e-15),
}
_PARTS = {"complex64": "float32", "complex128": "float64"}


def _name(kind: dtype) -> str:
    return kind._name  # type: ignore[attr-defined]


class finfo:
    """The limits of a floating-point dtype (by default the default dtype; of a complex one, its parts).

    Attributes:
        bits: of one number.
        eps: the distance from 1 to the next number.
        max, min: the greatest finite number, and its negative.
        tiny, smallest_normal: the least positive number of full precision.
        resolution: the decimal digits that can be relied upon, as 10 to the power of their negative count.

    Example:
        >>> finfo(float32).eps
        1.1920928955078125e-07
    """

    __module__ = "torch"
    __slots__ = ("bits", "dtype", "eps", "max", "min", "resolution", "smallest_normal", "tiny")

    def __init__(self, type: dtype | None = None) -> None:
        if type is None:
            type = _core.get_default_dtype()
        if not isinstance(type, _core.dtype):
            raise TypeError(f"finfo(): argument 'type' (position 1) must be torch.dtype, not {type.__class__.__name__}")
        name = _PARTS.get(_name(type), _name(type))
        if name not in _FORMATS:
            raise TypeError(
                f"torch.finfo() requires a floating point input type. Use torch.iinfo to handle 'torch.finfo'\n"
                f"{type} is no floating-point dtype"
            )
        digits, least, greatest, self.resolution = _FORMATS[name]
        self.dtype = name
        self.bits = {"float16": 16, "bfloat16": 16, "float32": 32, "float64": 64}[name]
        self.eps = math.ldexp(1.0, 1 - digits)
        self.max = math.ldexp(2.0 - self.eps, greatest - 1)
        self.min = -self.max
        self.tiny = self.smallest_normal = math.ldexp(1.0, least)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, finfo) and self.dtype == other.dtype

    def __hash__(self) -> int:
        return hash(("finfo", self.dtype))

    def __repr__(self) -> str:
        return (
            f"finfo(resolution={self.resolution:g}, min={self.min:g}, max={self.max:g}, eps={self.eps:g}, "
            f"smallest_normal={self.tiny:g}, tiny={self.tiny:g}, dtype={self.dtype})"
        )


class iinfo:
    """The limits of an integer dtype: `bits`, `min`, `max`.

    Example:
        >>> iinfo(int8)
        iinfo(min=-128, max=127, dtype=int8)
    """

    __module__ = "torch"
    __slots__ = ("bits", "dtype", "max", "min")

    def __init__(self, type: dtype) -> None:
        if not isinstance(type, _core.dtype):
            raise TypeError(f"iinfo(): argument 'type' (position 1) must be torch.dtype, not {type.__class__.__name__}")
        if type is _core.bool:
            raise TypeError("torch.bool is not supported by torch.iinfo")
        if type.is_floating_point or type.is_complex:
            raise TypeError(
                "torch.iinfo() requires an integer input type. Use torch.finfo to handle 'torch.iinfo'\n"
                f"{type} is no integer dtype"
            )
        self.dtype = _name(type)
        self.bits = 8 * type.itemsize
        self.min = -(1 << (self.bits - 1)) if type.is_signed else 0
        self.max = (1 << (self.bits - (1 if type.is_signed else 0))) - 1

    def __eq__(self, other: object) -> bool:
        return isinstance(other, iinfo) and self.dtype == other.dtype

    def __hash__(self) -> int:
        return hash(("iinfo", self.dtype))

    def __repr__(self) -> str:
        return f"iinfo(min={self.min:g}, max={self.max:g}, dtype={self.dtype})"


# ---- tensors by element type --------------------------------------------------------------------------------------

DTYPE_OF_TYPED = {f"{kind._legacy_name}Tensor": kind for kind in vars(_core).values() if isinstance(kind, _core.dtype)}


class _TypedTensor(type):
    """The class of `FloatTensor` and its like: constructors, and classes for `isinstance` tests by dtype."""

    dtype: dtype

    def __call__(cls, *args: Any, device: Any = None) -> Tensor:
        from bulssi._tensor_methods import constructed

        return constructed(args, cls.dtype, device)

    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, _core.Tensor) and instance.dtype is cls.dtype

    def __repr__(cls) -> str:
        return f"<class '{cls.__module__}.{cls.__name__}'>"


class _TypedCudaTensor(_TypedTensor):
    """The class of `cuda.FloatTensor` and its like: no tensor is an instance, and none can be made."""

    def __call__(cls, *args: Any, device: Any = None) -> Tensor:
        raise TypeError(f"type torch.cuda.{cls.__name__} not available. Torch not compiled with CUDA enabled.")

    def __instancecheck__(cls, instance: object) -> bool:
        return False


_typed: dict[str, _TypedTensor] = {}


def typed_tensor(name: str) -> Any:
    """The class `FloatTensor`, `LongTensor`, `cuda.FloatTensor`, … of that name."""
    device, _, short = name.rpartition(".")
    module = f"torch.{device}" if device else "torch"
    if short not in DTYPE_OF_TYPED:
        raise AttributeError(f"module '{module}' has no attribute {short!r}")
    if name not in _typed:
        doc = f"{name}(sizes or data): the former way to make a tensor of this dtype; prefer tensor(data, dtype=...)."
        kind = _TypedCudaTensor if device else _TypedTensor
        made = kind(short, (), {"__module__": module, "__doc__": doc})
        made.dtype = DTYPE_OF_TYPED[short]
        _typed[name] = made
    return _typed[name]
