"""Padding of the last dimensions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import bulssi
from bulssi.nn import _kernels

from ._graph import shown_as

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bulssi import Tensor


def _pad_name(input: Tensor, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> str:
    kind = {"constant": "ConstantPadNd", "circular": "CopySlices"}.get(mode)
    if kind is None:
        kind = f"{'Reflection' if mode == 'reflect' else 'Replication'}Pad{len(pad) // 2}D"
    return kind if kind == "CopySlices" else f"{kind}Backward0"


@shown_as(_pad_name, joint=lambda name: name.startswith(("Reflection", "Replication")))
def pad(input: Tensor, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> Tensor:
    """Extend the last dimensions, or crop them where ``pad`` is negative.

    Args:
        input: any shape; for the modes other than "constant" ``(N, C, ...)`` or ``(C, ...)``.
        pad: ``(before, after)`` of the last dimension, then of the last but one, and so on.
        mode: "constant" (filled with ``value``), "reflect", "replicate" or "circular".
    """
    pad = tuple(pad)
    if len(pad) % 2 != 0:
        raise RuntimeError(f"Padding length must be divisible by 2\n(pad = {pad})")
    if len(pad) > 2 * input.dim():
        raise RuntimeError(
            "Padding length should be less than or equal to two times the input dimension but got padding length "
            f"{len(pad)} and input of dimension {input.dim()}"
        )
    if mode == "constant":
        _check_result(input, pad)
        return _kernels.in_channel_order(_kernels.pad_constant(input, pad, 0.0 if value is None else value), input)
    if mode not in _INDEX:
        raise NotImplementedError(f"Unrecognised padding mode {mode}")
    if value is not None and value != 0:
        raise RuntimeError(f'Padding mode "{mode}" doesn\'t take in value argument')
    rank = len(pad) // 2
    if input.dim() not in (rank + 1, rank + 2) or not 1 <= rank <= 3:
        raise NotImplementedError(
            f"Padding size {len(pad)} is not supported for {input.dim()}D input tensor.\n"
            "Only 2D, 3D, 4D, 5D padding with non-constant padding are supported for now."
        )
    if any(n == 0 for n in input.shape[1:]):
        raise RuntimeError(
            f"Expected {rank + 1}D or {rank + 2}D (batch mode) tensor with possibly 0 batch size and other non-zero "
            f"dimensions for input, but got: {list(input.shape)}"
        )
    _check_result(input, pad)
    out = input
    for i in range(rank):
        before, after = pad[2 * i : 2 * i + 2]
        if before or after:
            dim = input.dim() - 1 - i
            index = _INDEX[mode](out, dim, before, after)
            out = out.index_select(dim, index.to(out.device))
    return out if mode == "circular" else _kernels.in_channel_order(out, input)


def _check_result(input: Tensor, pad: tuple[int, ...]) -> None:
    for i in range(len(pad) // 2):
        size = input.shape[-1 - i]
        before, after = pad[2 * i : 2 * i + 2]
        if size + before + after < 0:
            raise RuntimeError(
                f"The input size {size}, plus negative padding {before} and {after} resulted in a negative output "
                "size, "
                f"which is invalid. Check dimension {input.dim() - 1 - i} of your input."
            )


def _reflect(input: Tensor, dim: int, before: int, after: int) -> Tensor:
    size = input.shape[dim]
    if before >= size or after >= size:
        raise RuntimeError(
            "Argument #4: Padding size should be less than the corresponding input dimension, but got: padding "
            f"({before}, {after}) at dimension {dim} of input {list(input.shape)}"
        )
    last = size - 1
    return last - (last - bulssi.arange(-before, size + after).abs()).abs()


def _replicate(input: Tensor, dim: int, before: int, after: int) -> Tensor:
    size = input.shape[dim]
    return bulssi.arange(-before, size + after).clamp(0, size - 1)


def _circular(input: Tensor, dim: int, before: int, after: int) -> Tensor:
    size = input.shape[dim]
    if before > size or after > size:
        raise RuntimeError("Padding value causes wrapping around more than once.")
    start, kept = max(-before, 0), size + min(before, 0) + min(after, 0)  # cropped first, what is left goes round
    if before > kept or after > kept:
        raise RuntimeError("Padding value causes wrapping around more than once.")
    return start + bulssi.arange(-max(before, 0), kept + max(after, 0)).remainder(kept)


_INDEX = {"reflect": _reflect, "replicate": _replicate, "circular": _circular}
