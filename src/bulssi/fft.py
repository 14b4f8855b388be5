"""Fourier transforms: the frequencies and shifts, which are real. The transforms themselves give complex numbers.

There are no complex tensors, so a transform raises NotImplementedError. For convolutions of any length
`nn.functional.conv1d` is exact; for power spectra multiply by matrices of cosines and sines, or use ``numpy.fft`` on
``x.numpy()``.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import bulssi
from bulssi._absent import refusing

if TYPE_CHECKING:
    from bulssi import Tensor

_TRANSFORMS = (
    "fft fft2 fftn hfft hfft2 hfftn ifft ifft2 ifftn ihfft ihfft2 ihfftn irfft irfft2 irfftn rfft rfft2 rfftn"
).split()
__all__ = [  # pyright: ignore[reportUnsupportedDunderAll]
    "fftfreq",
    "fftshift",
    "ifftshift",
    "rfftfreq",
    *_TRANSFORMS,
]


def _grid(steps: Tensor, n: int, d: float, out: Tensor | None, options: dict[str, Any]) -> Tensor:
    requires_grad = options.pop("requires_grad", False)
    kind = options.get("dtype") or bulssi.get_default_dtype()
    if not kind.is_floating_point:
        raise RuntimeError(f"fftfreq requires a floating point or complex dtype\ngot dtype={kind}")
    frequencies = steps.to(kind) * (1.0 / (n * d) if n * d else math.inf)
    if options.get("device") is not None:
        frequencies = frequencies.to(options["device"])
    if out is not None:
        return out.resize_(frequencies.shape).copy_(frequencies)
    return frequencies.requires_grad_(requires_grad)


def fftfreq(n: int, d: float = 1.0, *, out: Tensor | None = None, **options: Any) -> Tensor:
    """Frequencies of the terms of a transform of ``n`` samples that are ``d`` apart: 0, 1, …, -2, -1 over ``n d``.

    Example:
        >>> fft.fftfreq(4)
        tensor([ 0.0000,  0.2500, -0.5000, -0.2500])
    """
    steps = bulssi.arange(n, dtype=bulssi.float64)
    return _grid(bulssi.where(steps < (n + 1) // 2, steps, steps - n), n, d, out, options)


def rfftfreq(n: int, d: float = 1.0, *, out: Tensor | None = None, **options: Any) -> Tensor:
    """Frequencies of the terms of a transform of ``n`` real samples that are ``d`` apart: 0, 1, …, n/2 over ``n d``.

    Example:
        >>> fft.rfftfreq(4)
        tensor([0.0000, 0.2500, 0.5000])
    """
    return _grid(bulssi.arange(n // 2 + 1, dtype=bulssi.float64), n, d, out, options)


def _rolled(input: Tensor, dim: Any, half: Any) -> Tensor:
    dims = list(range(input.dim())) if dim is None else [dim] if isinstance(dim, int) else list(dim)
    return input.roll([half(input.size(i)) for i in dims], dims)


def fftshift(input: Tensor, dim: Any = None) -> Tensor:
    """The terms in the order of their frequencies, with that of frequency 0 in the middle, along ``dim`` (all)."""
    return _rolled(input, dim, lambda n: n // 2)


def ifftshift(input: Tensor, dim: Any = None) -> Tensor:
    """Undoes :func:`fftshift`."""
    return _rolled(input, dim, lambda n: (n + 1) // 2)


for _name in _TRANSFORMS:
    globals()[_name] = refusing(
        _name,
        NotImplementedError,
        f"fft.{_name}: Fourier transforms work on complex numbers, which tensors cannot be yet; numpy.fft.{_name} "
        "takes x.numpy(), without gradients",
    )
