"""Resampling of images: to another size, or at given points."""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING

import bulssi
from bulssi.nn import _kernels
from bulssi.nn._native import native

from ._arguments import in_python
from ._graph import shown_as
from ._precision import as_is, float32, lower
from .pooling import adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_avg_pool3d

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from bulssi import Tensor

# ---- to another size ----------------------------------------------------------------------------------------------

_RANKS = {"linear": 1, "bilinear": 2, "trilinear": 3, "bicubic": 2, "lanczos": 2}
_AREA = {1: adaptive_avg_pool1d, 2: adaptive_avg_pool2d, 3: adaptive_avg_pool3d}


def _resize_name(
    input: Tensor, size: Any = None, scale_factor: Any = None, mode: str = "nearest", *_: Any, antialias: bool = False,
    **__: Any,
) -> str:  # fmt: skip
    rank = input.dim() - 2
    if mode == "area":
        return "SqueezeBackward1" if rank == 1 else f"AdaptiveAvgPool{rank}DBackward0"
    return f"Upsample{mode.title().replace('-', '')}{rank}D{'Aa' if antialias else ''}Backward0"


@shown_as(_resize_name)
@as_is
@in_python
def interpolate(
    input: Tensor,
    size: int | Sequence[int] | None = None,
    scale_factor: float | Sequence[float] | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> Tensor:
    """Resize the spatial dimensions of ``(N, C, L)``, ``(N, C, H, W)`` or ``(N, C, D, H, W)``.

    Args:
        size, scale_factor: one of the two.
        mode: "nearest", "nearest-exact", "area", "linear" (3D input), "bilinear", "bicubic", "lanczos" (4D),
        "trilinear"
            (5D).
        align_corners: the corner elements' centres, not their outer corners, stay where they are.
        recompute_scale_factor: use the ratio of the sizes in place of ``scale_factor``.
        antialias: widen the filter when shrinking (bilinear, bicubic and lanczos).
    """
    if mode in ("nearest", "area", "nearest-exact"):
        if align_corners is not None:
            raise ValueError(
                "align_corners option can only be set with the interpolating modes: linear | bilinear | bicubic | "
                "trilinear"
            )
    elif align_corners is None:
        align_corners = False
    rank = input.dim() - 2
    sizes, scales = _target(input, size, scale_factor, rank)
    if recompute_scale_factor and size is not None:
        raise ValueError("recompute_scale_factor is not meaningful with an explicit size.")
    if antialias and not (mode in ("bilinear", "bicubic", "lanczos") and input.dim() == 4):
        raise ValueError(
            "Anti-alias option is restricted to bilinear, bicubic, and lanczos modes and requires a 4-D tensor as input"
        )
    if recompute_scale_factor or mode == "area":
        scales = None
    _check_mode(input, mode, align_corners, antialias)
    if mode == "area":
        return _AREA[rank](input, sizes)
    given = scale_factor if isinstance(scale_factor, (list, tuple)) else [scale_factor] * rank
    plain = all(type(n) is int and abs(n) < 1 << 63 for n in sizes)
    if not plain or not all(f is None or (type(f) in (int, float) and abs(f) < 1 << 48) for f in given):
        _refuse_target(input, mode, sizes if size is not None else None, given, antialias, align_corners)
    if input.shape[1] == 0 or 0 in input.shape[2:] or min(sizes) <= 0:
        raise RuntimeError(
            f"Input and output sizes should be greater than 0, but got input {list(input.shape)} and output {sizes}"
        )
    out = input
    for i, n in reversed(list(enumerate(sizes))):
        scale = None if scales is None else float(scales[i])
        dim = 2 + i
        if n == input.shape[dim] and (scale is None or scale == 1):
            continue  # every element falls on itself
        out = _resize(out, dim, n, scale, mode, bool(align_corners), antialias)
    return out.clone() if out is input else _kernels.in_channel_order(out, input)


def _refuse_target(input: Tensor, mode: str, sizes: Any, scales: Any, antialias: bool, corners: Any) -> None:
    """Raise the error of PyTorch's operation for sizes, or scales, of a wrong type."""
    rank = input.dim() - 2
    kind = "_upsample_nearest_exact" if mode == "nearest-exact" else f"upsample_{mode}"
    operation = f"{'_' * antialias}{kind}{rank}d{'_aa' * antialias}"
    flag = "" if mode.startswith("nearest") else ", bool align_corners"
    schemas = (
        f"{operation}(Tensor input, int[]? output_size{flag}, float[]? scale_factors) -> Tensor",
        f"{operation}(Tensor input, int[{rank}] output_size{flag}{', float? scales=None' * rank}) -> Tensor",
    )
    scales = None if sizes is not None else scales
    bulssi._core._check_arguments(schemas, (input, sizes, *([corners] if flag else []), scales), {})
    if not all(abs(float(n)) < 1 << 48 for n in scales or ()):
        raise RuntimeError(
            "value cannot be converted to type int64_t without overflow\n(interpolate got a scale that is too large)"
        )


def _target(input: Tensor, size: Any, scale_factor: Any, rank: int) -> tuple[list[Any], list[float] | None]:
    if size is not None and scale_factor is not None:
        raise ValueError("only one of size or scale_factor should be defined")
    if size is not None:
        if not isinstance(size, (list, tuple)):
            return [size] * rank, None
        if len(size) != rank:
            raise ValueError(
                "Input and output must have the same number of spatial dimensions, but got input with spatial "
                "dimensions of "
                f"{list(input.shape[2:])} and output size of {size}. Please provide input tensor in (N, C, d1, d2, "
                "...,dK) "
                "format and output size in (o1, o2, ...,oK) format."
            )
        if not all(isinstance(n, int) or (hasattr(n, "__index__") and not isinstance(n, bulssi.Tensor)) for n in size):
            raise TypeError(
                "expected size to be one of int or Tuple[int] or Tuple[int, int] or Tuple[int, int, int], but got size "
                "with "
                f"types {[type(n) for n in size]}"
            )
        return [n if type(n) is int else n.__index__() for n in size], None
    if scale_factor is None:
        raise ValueError("either size or scale_factor should be defined")
    scales = list(scale_factor) if isinstance(scale_factor, (list, tuple)) else [scale_factor] * rank
    if len(scales) != max(rank, 0):
        raise ValueError(
            "Input and scale_factor must have the same number of spatial dimensions, but got input with spatial "
            "dimensions "
            f"of {list(input.shape[2:])} and scale_factor of shape {scale_factor}. Please provide input tensor in "
            "(N, C, d1, d2, ...,dK) format and scale_factor in (s1, s2, ...,sK) format."
        )
    if all(type(s) in (int, float) and abs(s) < 1 << 48 for s in scales):
        return [math.floor(float(n) * s) for n, s in zip(input.shape[2:], scales, strict=True)], scales
    return [s if type(s) is float else 1.5 for s in scales], scales  # no sizes: refused later, after what else is wrong


def _check_mode(input: Tensor, mode: str, align_corners: bool | None, antialias: bool) -> None:
    dims = input.dim()
    if (
        dims not in (3, 4, 5)
        or not isinstance(mode, str)
        or (mode not in ("nearest", "nearest-exact", "area") and mode not in _RANKS)
    ):
        raise NotImplementedError(
            f"Input Error: Only 3D, 4D and 5D input Tensors supported (got {dims}D) for the modes: nearest | linear | "
            f"bilinear | bicubic | trilinear | lanczos | area | nearest-exact (got {mode})"
        )
    if mode in _RANKS and _RANKS[mode] + 2 != dims:
        raise NotImplementedError(f"Got {dims}D input, but {mode} mode needs {_RANKS[mode] + 2}D input")
    if mode == "lanczos":
        if align_corners:
            raise ValueError("Lanczos mode does not support align_corners=True")
        if not antialias:
            raise ValueError("Lanczos mode requires antialias=True")


def _resize(
    x: Tensor, dim: int, out: int, scale: float | None, mode: str, align_corners: bool, antialias: bool
) -> Tensor:
    """Resample one dimension: each output element is a weighted sum of few input elements."""
    size = x.shape[dim]
    # Positions are computed as PyTorch does, in float32 unless the data is float64, so that rounding agrees.
    wide = bulssi.float64 if x.dtype == bulssi.float64 and not mode.startswith("nearest") else bulssi.float32
    at = bulssi.arange(out, device=x.device).to(wide)
    if mode.startswith("nearest"):
        step = _float32(1.0 / scale if scale else size / out)
        offset = 0.5 if mode == "nearest-exact" else 0.0
        index = ((at + offset) * step).floor().to(bulssi.int64).clamp(max=size - 1)
        return x.index_select(dim, index)
    step = _step(size, out, scale, align_corners)
    if wide == bulssi.float32:
        step = _float32(step)
    if antialias:
        return _weigh(x, dim, *_antialiased(at, size, step, _FILTERS[mode]))
    real = at * step if align_corners else (at + 0.5) * step - 0.5
    if mode == "bicubic":
        base = real.floor()
        fraction = real - base
        index = base.to(bulssi.int64).unsqueeze(1) + bulssi.arange(-1, 3, device=x.device)
        return _weigh(x, dim, index.clamp(0, size - 1), bulssi.stack(_cubic_weights(fraction), 1))
    real = real.clamp(min=0)
    low = real.to(bulssi.int64).clamp(max=size - 1)
    high = (low + 1).clamp(max=size - 1)
    fraction = (real - low.to(wide)).clamp(0, 1)
    return _weigh(x, dim, bulssi.stack([low, high], 1), bulssi.stack([1 - fraction, fraction], 1))


def _float32(value: float) -> float:
    return bulssi.tensor(value, dtype=bulssi.float32).item()


def _step(size: int, out: int, scale: float | None, align_corners: bool) -> float:
    """The distance of two output elements, in input elements."""
    if align_corners:
        return (size - 1) / (out - 1) if out > 1 else 0.0
    return 1.0 / scale if scale else size / out


def _weigh(x: Tensor, dim: int, index: Tensor, weight: Tensor) -> Tensor:
    """Along ``dim``: sum over k of ``weight[i, k] * x[index[i, k]]``."""
    compute = x if x.dtype in (bulssi.float32, bulssi.float64) else x.float()
    total = native._resample(compute, dim, index.t(), weight.t())
    if x.dtype == bulssi.uint8:
        total = total.round().clamp(0, 255)
    return total.to(x.dtype)


_CUBIC = -0.75  # the coefficient of the bicubic kernel (Keys 1981), without antialiasing


def _cubic_weights(t: Tensor, a: float = _CUBIC) -> list[Tensor]:
    """The weights of the elements at -1, 0, 1 and 2 for a point at ``t`` in [0, 1)."""

    def inner(x: Tensor) -> Tensor:
        return ((a + 2) * x - (a + 3)) * x * x + 1

    def outer(x: Tensor) -> Tensor:
        return ((a * x - 5 * a) * x + 8 * a) * x - 4 * a

    return [outer(t + 1), inner(t), inner(1 - t), outer(2 - t)]


def _triangle_filter(x: Tensor) -> Tensor:
    return (1 - x.abs()).clamp(min=0)


def _cubic_filter(x: Tensor) -> Tensor:
    a = -0.5
    x = x.abs()
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = (((x - 5) * x + 8) * x - 4) * a
    return bulssi.where(x < 1, near, bulssi.where(x < 2, far, bulssi.zeros_like(x)))


def _lanczos_filter(x: Tensor) -> Tensor:
    return bulssi.where(x.abs() < 3, bulssi.sinc(x) * bulssi.sinc(x / 3), bulssi.zeros_like(x))


_FILTERS: dict[str, tuple[Callable[[Tensor], Tensor], int]] = {
    "bilinear": (_triangle_filter, 2),
    "bicubic": (_cubic_filter, 4),
    "lanczos": (_lanczos_filter, 6),
}


def _antialiased(at: Tensor, size: int, step: float, kind: tuple[Any, int]) -> tuple[Tensor, Tensor]:
    """Indices and weights of a filter that is as wide as the elements of the output, if these are the larger ones."""
    kernel, width = kind
    stretch = max(step, 1.0)
    support = width * 0.5 * stretch
    center = step * (at + 0.5)
    low = (center - support + 0.5).to(bulssi.int64).clamp(min=0)
    high = (center + support + 0.5).to(bulssi.int64).clamp(max=size)
    taps = bulssi.arange(math.ceil(support) * 2 + 1, device=at.device)
    index = low.unsqueeze(1) + taps
    inside = index < high.unsqueeze(1)
    weight = kernel((index.to(at.dtype) - center.unsqueeze(1) + 0.5) / stretch).masked_fill(~inside, 0)
    return index.clamp(max=size - 1), weight / weight.sum(1, keepdim=True)


@in_python
def upsample(input, size=None, scale_factor=None, mode="nearest", align_corners=None) -> Tensor:
    """Deprecated: :func:`interpolate`."""
    warnings.warn("`nn.functional.upsample` is deprecated. Use `nn.functional.interpolate` instead.", stacklevel=2)
    return interpolate(input, size, scale_factor, mode, align_corners)


@in_python
def upsample_nearest(input, size=None, scale_factor=None) -> Tensor:
    """Deprecated: :func:`interpolate` with mode "nearest"."""
    warnings.warn(
        "`nn.functional.upsample_nearest` is deprecated. Use `nn.functional.interpolate` instead.", stacklevel=2
    )
    return interpolate(input, size, scale_factor, mode="nearest")


@in_python
def upsample_bilinear(input, size=None, scale_factor=None) -> Tensor:
    """Deprecated: :func:`interpolate` with mode "bilinear" and aligned corners."""
    warnings.warn(
        "`nn.functional.upsample_bilinear` is deprecated. Use `nn.functional.interpolate` instead.", stacklevel=2
    )
    return interpolate(input, size, scale_factor, mode="bilinear", align_corners=True)


# ---- at given points ----------------------------------------------------------------------------------------------


def _warn_align_corners() -> None:
    warnings.warn(
        "Default grid_sample and affine_grid behavior has changed to align_corners=False since 1.3.0. Please specify "
        "align_corners=True if the old behavior is desired. See the documentation of grid_sample for details.",
        stacklevel=3,
    )


def _grid_name(input: Tensor, *_: Any, **__: Any) -> str:
    return f"GridSampler{input.dim() - 2}DBackward0"


@shown_as(_grid_name, joint=True)
@float32
def grid_sample(
    input: Tensor,
    grid: Tensor,
    mode: str = "bilinear",
    padding_mode: str = "zeros",
    align_corners: bool | None = None,
) -> Tensor:
    """Sample ``(N, C, H, W)`` at ``grid`` (N, H', W', 2), or ``(N, C, D, H, W)`` at ``(N, D', H', W', 3)``.

    Args:
        grid: points, the last dimension's coordinate first; -1 and 1 are the ends of the input.
        mode: "bilinear", "nearest" or (4D input) "bicubic".
        padding_mode: outside the input: "zeros", "border" or "reflection".
        align_corners: -1 and 1 are the centres of the corner elements, not their outer corners.
    """
    if mode not in ("bilinear", "nearest", "bicubic"):
        raise ValueError(
            f"nn.functional.grid_sample(): expected mode to be 'bilinear', 'nearest' or 'bicubic', but got: '{mode}'"
        )
    if padding_mode not in ("zeros", "border", "reflection"):
        raise ValueError(
            "nn.functional.grid_sample(): expected padding_mode to be 'zeros', 'border', or 'reflection', but got: "
            f"'{padding_mode}'"
        )
    if align_corners is None:
        _warn_align_corners()
        align_corners = False
    _check_grid(input, grid, mode)
    sizes = input.shape[2:]
    # One coordinate per spatial dimension, in their order; the grid has them the other way round.
    at = [_unnormalized(grid[..., -1 - i], n, align_corners) for i, n in enumerate(sizes)]
    if mode == "bicubic":
        return _grid_bicubic(input, at, padding_mode, align_corners)
    at = [_into_input(x, n, padding_mode, align_corners) for x, n in zip(at, sizes, strict=True)]
    if mode == "nearest":
        out = _take(input, [x.round().to(bulssi.int64) for x in at])
        if grid.requires_grad:  # the derivative with respect to the grid is there, and zero
            never = bulssi.zeros_like(at[0], dtype=bulssi.bool)
            out = out + bulssi.where(never, at[0], 0.0).unsqueeze(1).to(out.dtype)
        return out
    low = [x.floor() for x in at]
    out: Any = None
    for corner in range(1 << len(at)):
        weight: Any = None
        index = []
        for i, (x, base) in enumerate(zip(at, low, strict=True)):
            upper = corner >> i & 1
            part = x - base if upper else base + 1 - x
            weight = part if weight is None else weight * part
            index.append(base.to(bulssi.int64) + upper)
        term = _take(input, index) * weight.unsqueeze(1)
        out = term if out is None else out + term
    return out


def _check_grid(input: Tensor, grid: Tensor, mode: str) -> None:
    rank = input.dim() - 2
    if rank not in (2, 3) or grid.dim() != input.dim():
        raise RuntimeError(
            "grid_sampler(): expected 4D or 5D input and grid with same number of dimensions, but got input with sizes "
            f"{list(input.shape)} and grid with sizes {list(grid.shape)}"
        )
    if input.shape[0] != grid.shape[0]:
        raise RuntimeError(
            "grid_sampler(): expected grid and input to have same batch size, but got input with sizes "
            f"{list(input.shape)} and grid with sizes {list(grid.shape)}"
        )
    if grid.shape[-1] != rank:
        raise RuntimeError(
            f"grid_sampler(): expected grid to have size {rank} in last dimension, but got grid with sizes "
            f"{list(grid.shape)}"
        )
    if 0 in input.shape[2:]:
        raise RuntimeError(
            f"grid_sampler(): expected input to have non-empty spatial dimensions, but got {list(input.shape)}"
        )
    if mode == "bicubic" and rank != 2:
        raise RuntimeError("grid_sampler(): bicubic interpolation only supports 4D input")


def _unnormalized(x: Tensor, size: int, align_corners: bool) -> Tensor:
    return (x + 1) / 2 * (size - 1) if align_corners else ((x + 1) * size - 1) / 2


def _into_input(x: Tensor, size: int, padding_mode: str, align_corners: bool) -> Tensor:
    """Coordinates outside the input, brought inside where the padding mode says so."""
    if padding_mode == "reflection":
        low, span = (0.0, float(size - 1)) if align_corners else (-0.5, float(size))
        if span == 0:
            x = x * 0
        else:
            x = (x - low).abs()
            turns = (x / span).floor()
            rest = x - turns * span
            x = bulssi.where(turns % 2 == 0, rest, span - rest) + low
    return x if padding_mode == "zeros" else x.clamp(0, size - 1)


def _take(input: Tensor, index: list[Tensor]) -> Tensor:
    """The elements of ``(N, C, *size)`` at integer positions, one tensor ``(N, *out)`` per dimension; 0 outside."""
    flat: Any = None
    inside: Any = None
    for i, n in zip(index, input.shape[2:], strict=True):
        here = (i >= 0) & (i < n)
        inside = here if inside is None else inside & here
        i = i.clamp(0, n - 1)
        flat = i if flat is None else flat * n + i
    batch, channels = input.shape[:2]
    position = flat.reshape(batch, 1, -1).expand(-1, channels, -1)
    out = input.flatten(2).gather(2, position).reshape(batch, channels, *flat.shape[1:])
    return out * inside.unsqueeze(1).to(out.dtype)


def _grid_bicubic(input: Tensor, at: list[Tensor], padding_mode: str, align_corners: bool) -> Tensor:
    low = [x.floor() for x in at]
    weights = [_cubic_weights(x - base) for x, base in zip(at, low, strict=True)]
    out: Any = None
    for i in range(4):
        for j in range(4):
            index = [
                _into_input(base + (k - 1), n, padding_mode, align_corners).to(bulssi.int64)
                for base, k, n in zip(low, (i, j), input.shape[2:], strict=True)
            ]
            term = _take(input, index) * (weights[0][i] * weights[1][j]).unsqueeze(1)
            out = term if out is None else out + term
    return out


@shown_as("AffineGridGeneratorBackward0")
@lower
@in_python
def affine_grid(theta: Tensor, size: Sequence[int], align_corners: bool | None = None) -> Tensor:
    """The grid for :func:`grid_sample` that maps an output of ``size`` through affine maps.

    ``theta`` is ``(N, 2, 3)`` for a size ``(N, C, H, W)``, ``(N, 3, 4)`` for ``(N, C, D, H, W)``.
    """
    if align_corners is None:
        _warn_align_corners()
        align_corners = False
    if not theta.is_floating_point():
        raise ValueError(f"Expected theta to have floating point type, but got {theta.dtype}")
    rank = len(size) - 2
    if rank not in (2, 3):
        raise NotImplementedError(
            "affine_grid only supports 4D and 5D sizes, for 2D and 3D affine transforms, respectively. "
            f"Got size {size}."
        )
    if theta.dim() != 3 or theta.shape[-2] != rank or theta.shape[-1] != rank + 1:
        raise ValueError(
            f"Expected a batch of {rank}D affine matrices of shape Nx{rank}x{rank + 1} for size {size}. "
            f"Got {theta.shape}."
        )
    if align_corners and min(size[2:]) == 1:
        warnings.warn(
            "Since version 1.3.0, affine_grid behavior has changed for unit-size grids when align_corners=True. This "
            "is not "
            "an intended use case of affine_grid. See the documentation of affine_grid for details.",
            stacklevel=2,
        )
    elif min(size) <= 0:
        raise ValueError(f"Expected non-zero, positive output size. Got {size}")
    out = tuple(size[2:])
    axes = []
    for i, n in enumerate(out):
        line = bulssi.linspace(-1, 1, n, dtype=theta.dtype, device=theta.device) if n > 1 else theta.new_zeros(1)
        if not align_corners:
            line = line * ((n - 1) / n)
        axes.append(line.reshape(n, *(1,) * (rank - 1 - i)).expand(out))
    base = bulssi.stack([*reversed(axes), theta.new_ones(()).expand(out)], -1)
    grid = bulssi.matmul(base.reshape(1, -1, rank + 1), theta.transpose(1, 2))
    return grid.reshape(theta.shape[0], *out, rank)
