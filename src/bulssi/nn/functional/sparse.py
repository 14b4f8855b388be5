"""Tables of vectors, and one-hot codes."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import bulssi
from bulssi.nn._native import native

from ._arguments import arguments, check_call, in_python
from ._graph import shown_as

if TYPE_CHECKING:
    from bulssi import Tensor


def _renorm_(weight: Tensor, index: Tensor, max_norm: float, norm_type: float) -> None:
    """Scale the used rows whose norm is above ``max_norm`` down to it, in place."""
    if index.dtype not in (bulssi.int64, bulssi.int32):
        raise RuntimeError(
            "Expected tensor for argument #2 'indices' to have one of the following scalar types: Long, Int; but got "
            f"{index.type()} instead (while checking arguments for embedding_renorm_)"
        )
    with bulssi.no_grad():
        used = bulssi.unique(index.reshape(-1))
        rows = weight[used]
        norm = rows.norm(norm_type, 1, keepdim=True)
        scale = bulssi.where(norm > max_norm, max_norm / (norm + 1e-7), bulssi.ones_like(norm))
        weight[used] = rows * scale


def _row(padding_idx: int | None, weight: Tensor) -> int | None:
    """``padding_idx`` counted from the start."""
    if padding_idx is None:
        return None
    rows = weight.shape[0]
    if not -rows <= padding_idx < rows:
        raise AssertionError("Padding_idx must be within num_embeddings")
    return padding_idx % rows


def embedding(
    input: Tensor,
    weight: Tensor,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Tensor:
    """The rows ``input`` of ``weight``: ``(*)`` and ``(rows, size)`` to ``(*, size)``.

    Args:
        padding_idx: a row that gets no gradient.
        max_norm: rows that are used and longer than this are first scaled down to it, in place.
        scale_grad_by_freq: divide each row's gradient by how often it is used.
    """
    padding_idx = _row(padding_idx, weight)
    if max_norm is not None:
        _renorm_(weight, input, max_norm, norm_type)
    return native.embedding(weight, input, -1 if padding_idx is None else padding_idx, scale_grad_by_freq, sparse)


@shown_as("EmbeddingBagBackward0")
@in_python
def embedding_bag(
    input: Tensor,
    weight: Tensor,
    offsets: Tensor | None = None,
    max_norm: float | None = None,
    norm_type: float = 2,
    scale_grad_by_freq: bool = False,
    mode: str = "mean",
    sparse: bool = False,
    per_sample_weights: Tensor | None = None,
    include_last_offset: bool = False,
    padding_idx: int | None = None,
) -> Tensor:
    """The sum, mean or maximum of the rows of ``weight`` in each bag.

    ``input`` is ``(bags, size)``, or one-dimensional with ``offsets`` saying where each bag starts (and, with
    ``include_last_offset``, where the last one ends). Entries equal to ``padding_idx`` do not count; an empty bag is 0.
    """
    if weight.dtype == bulssi.int64 and input.is_floating_point():
        warnings.warn(
            "Argument order of nn.functional.embedding_bag was changed. "
            "Usage `embedding_bag(weight, input, ...)` is deprecated, and should now be `embedding_bag(input, weight, "
            "...)`.",
            stacklevel=2,
        )
        weight, input = input, weight
    if per_sample_weights is not None and input.size() != per_sample_weights.size():
        raise ValueError(
            f"embedding_bag: If per_sample_weights ({per_sample_weights.shape}) is not None, then it must have the "
            "same "
            f"shape as the input ({input.shape})"
        )
    if weight.dim() != 2:
        raise ValueError(f"weight has to be a 2D Tensor, but got Tensor of dimension {weight.dim()}")
    if mode not in ("sum", "mean", "max"):
        raise ValueError("mode has to be one of sum, mean or max")
    if mode == "max" and scale_grad_by_freq:
        raise ValueError("max mode does not support scaling the gradient by the frequency")
    if mode == "max" and sparse:
        raise ValueError("max mode does not support sparse weights")
    if per_sample_weights is not None and mode != "sum":
        raise NotImplementedError(
            "embedding_bag: per_sample_weights was not None. per_sample_weights is only supported for mode='sum' "
            f"(got mode='{mode}')."
        )
    if type(include_last_offset) is not bool:
        check_call(
            "embedding_bag(Tensor weight, Tensor indices, Tensor? offsets, bool scale_grad_by_freq, str mode, "
            "bool sparse, Tensor? per_sample_weights, bool include_last_offset) -> Tensor",
            weight, input, offsets, scale_grad_by_freq, mode, sparse, per_sample_weights, include_last_offset,
        )  # fmt: skip
    padding_idx = _row(padding_idx, weight)
    row = -1 if padding_idx is None else padding_idx
    bounds = _bounds(input, offsets, include_last_offset)
    flat = input.reshape(-1)
    if max_norm is not None:
        _renorm_(weight, flat[flat != row], max_norm, norm_type)
    if mode != "max":
        weights = None if per_sample_weights is None else per_sample_weights.reshape(-1)
        return native._bag_sums(weight, flat, bounds, weights, mode == "mean", row, scale_grad_by_freq, sparse)
    input, used = _bags(flat, bounds)
    used = used & (input != row)
    rows = native.embedding(weight, input, row, scale_grad_by_freq, sparse)
    filled = rows.masked_fill(~used.unsqueeze(-1), float("-inf"))
    out = filled.max(1)[0] if filled.shape[1] else filled.new_zeros(filled.shape[0], filled.shape[2])
    return out.masked_fill(~used.any(1, keepdim=True), 0)


def _bounds(input: Tensor, offsets: Tensor | None, include_last_offset: bool) -> Tensor:
    """Where the bags begin in the flat input, and where the last one ends."""
    if input.dim() == 2:
        if offsets is not None:
            raise ValueError(
                "if input is 2D, then offsets has to be None, as input is treated is a mini-batch of fixed length "
                f"sequences. However, found offsets of type {type(offsets)}"
            )
        bags, size = input.shape
        return bulssi.arange(bags + 1, device=input.device) * size
    if input.dim() != 1:
        raise ValueError(f"input has to be 1D or 2D Tensor, but got Tensor of dimension {input.dim()}")
    if offsets is None:
        raise ValueError("offsets has to be a 1D Tensor but got None")
    if offsets.dim() != 1:
        raise ValueError("offsets has to be a 1D Tensor")
    if offsets.numel() and offsets[0].item() != 0:
        raise RuntimeError(
            "offsets[0] has to be 0, i.e., the first sequence in the mini-batch has to start from position 0. "
            f"However, got {offsets[0].item()}"
        )
    if offsets.numel() and offsets[-1].item() > input.numel():
        raise RuntimeError(
            f"offsets[-1] can not be greater than input's length({input.numel()}) but got offsets[-1] of "
            f"{offsets[-1].item()}"
        )
    bounds = offsets.to(bulssi.int64)
    if include_last_offset:
        return bounds if bounds.numel() else bounds.new_zeros(1)
    return bulssi.cat([bounds, bounds.new_full((1,), input.numel())])


def _bags(flat: Tensor, bounds: Tensor) -> tuple[Tensor, Tensor]:
    """The bags as rows of equal length, and which entries are there."""
    starts = bounds[:-1].unsqueeze(1)
    sizes = (bounds[1:].unsqueeze(1) - starts).clamp(min=0)
    step = bulssi.arange(int(sizes.max()) if sizes.numel() else 0, device=flat.device)
    used = step < sizes
    return flat[(starts + step).masked_fill(~used, 0)], used


@arguments("one_hot(Tensor self, int num_classes=-1) -> Tensor")
def one_hot(tensor: Tensor, num_classes: int = -1) -> Tensor:
    """``(*)`` of class numbers to ``(*, num_classes)`` of 0 and 1 (int64); -1 takes the largest class plus one."""
    if tensor.dtype != bulssi.int64:
        raise RuntimeError(f"one_hot is only applicable to index tensor of type LongTensor.\n(got {tensor.dtype})")
    if tensor.numel() == 0:
        if num_classes <= 0:
            raise RuntimeError("Can not infer total number of classes from empty tensor.")
        return tensor.new_zeros((*tensor.shape, num_classes))
    if tensor.min().item() < 0:
        raise RuntimeError("Class values must be non-negative.")
    largest = tensor.max().item()
    if num_classes == -1:
        num_classes = largest + 1
    elif largest >= num_classes:
        raise RuntimeError(f"Class values must be smaller than num_classes.\n(largest = {largest})")
    return tensor.new_zeros((*tensor.shape, num_classes)).scatter_(-1, tensor.unsqueeze(-1), 1)
