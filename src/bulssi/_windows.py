"""Windows: numbers that fall to the ends, by which a piece of a signal is multiplied."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import bulssi

if TYPE_CHECKING:
    from bulssi import Tensor

__all__ = ["bartlett_window", "blackman_window", "hamming_window", "hann_window", "kaiser_window"]


def _steps(name: str, window_length: int, periodic: bool, options: dict[str, Any]) -> tuple[Tensor | None, Tensor]:
    """What is returned at once for short windows, and 0, 1, … over the window that ends where it began."""
    kind = options.get("dtype") or bulssi.get_default_dtype()
    if not kind.is_floating_point:
        raise RuntimeError(f"{name} expects floating point dtypes, got: {str(kind).removeprefix('torch.')}")
    if window_length < 0:
        raise RuntimeError(f"{name} requires non-negative window_length, got window_length={window_length}")
    if window_length <= 1:
        return bulssi.ones(window_length, **options), bulssi.empty(0)
    plain = {key: value for key, value in options.items() if key in ("dtype", "device")}
    return None, bulssi.arange(window_length + periodic, **{"dtype": kind, **plain})


def _finished(window: Tensor, periodic: bool, options: dict[str, Any]) -> Tensor:
    """A periodic window is one of the next length without its end."""
    return (window[:-1] if periodic else window).requires_grad_(options.get("requires_grad", False))


def hann_window(window_length: int, periodic: bool = True, **options: Any) -> Tensor:
    """``(1 - cos(2 pi n / N)) / 2``, a vector of ``window_length``; not ``periodic`` ends where it began.

    Example:
        >>> hann_window(4)
        tensor([0.0000, 0.5000, 1.0000, 0.5000])
    """
    return _raised_cosine("hann_window", window_length, periodic, 0.5, 0.5, options)


def _raised_cosine(
    name: str, length: int, periodic: bool, alpha: float, beta: float, options: dict[str, Any]
) -> Tensor:
    short, x = _steps(name, length, periodic, options)
    if short is not None:
        return short
    window = x.mul_(math.pi * 2 / (len(x) - 1)).cos_().mul_(-beta).add_(alpha)
    return _finished(window, periodic, options)


def hamming_window(
    window_length: int, periodic: bool = True, alpha: float = 0.54, beta: float = 0.46, **options: Any
) -> Tensor:
    """``alpha - beta cos(2 pi n / N)``, a vector of ``window_length``."""
    return _raised_cosine("hamming_window", window_length, periodic, alpha, beta, options)


def blackman_window(window_length: int, periodic: bool = True, **options: Any) -> Tensor:
    """``0.42 - 0.5 cos(2 pi n / N) + 0.08 cos(4 pi n / N)``, a vector of ``window_length``."""
    short, x = _steps("blackman_window", window_length, periodic, options)
    if short is not None:
        return short
    x.mul_(math.pi / (len(x) - 1))
    window = (x * 4).cos_().mul_(0.08) - (x * 2).cos_().mul_(0.5) + 0.42
    return _finished(window, periodic, options)


def bartlett_window(window_length: int, periodic: bool = True, **options: Any) -> Tensor:
    """A triangle from 0 to 1 and back, a vector of ``window_length``."""
    short, x = _steps("bartlett_window", window_length, periodic, options)
    if short is not None:
        return short
    x.mul_(2 / (len(x) - 1))
    x[(len(x) - 1) // 2 + 1 :].mul_(-1).add_(2)
    return _finished(x, periodic, options)


def kaiser_window(window_length: int, periodic: bool = True, beta: float = 12.0, **options: Any) -> Tensor:
    """``I0(beta sqrt(1 - (2 n / N - 1)**2)) / I0(beta)``, a vector of ``window_length`` (Kaiser 1966)."""
    short, x = _steps("kaiser_window", window_length, periodic, options)
    if short is not None:
        return short
    half = (len(x) - 1) / 2
    inside = beta * (1 - ((x - half) / half) ** 2).clamp(min=0).sqrt()
    window = bulssi.special.i0(inside) / bulssi.special.i0(bulssi.tensor(beta, dtype=x.dtype))
    return _finished(window, periodic, options)
