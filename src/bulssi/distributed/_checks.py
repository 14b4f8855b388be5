"""Checks of the arguments of what processes do together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import bulssi

from ._process_group import RedOpType

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bulssi import Tensor

    from ._process_group import ProcessGroup


def _check_tensor(tensor: Any, name: str) -> None:
    if not isinstance(tensor, bulssi.Tensor):
        raise TypeError(
            f"Invalid function argument. Expected parameter `{name}` of type torch.Tensor\n             but got "
            f"{type(tensor)} instead."
        )


def _check_tensors(tensors: Any, name: str) -> None:
    if not isinstance(tensors, (list, tuple)) or not all(isinstance(t, bulssi.Tensor) for t in tensors):
        raise TypeError(
            f"Invalid function argument. Expected parameter `{name}` of type List[torch.Tensor]\n             but got "
            f"{type(tensors)} instead."
        )


def _check_op(op: Any) -> RedOpType:
    if not isinstance(op, RedOpType):
        raise TypeError(f"op must be one of ReduceOp.SUM, AVG, PRODUCT, MIN, MAX, BAND, BOR and BXOR, not {op!r}")
    return op


def _check_count(tensors: Sequence[Any], pg: ProcessGroup, what: str) -> None:
    if len(tensors) != pg.size():
        raise RuntimeError(
            f"ProcessGroupGloo::{what}: invalid output tensor list at index 0 (expected length {pg.size()}, got "
            f"{len(tensors)})"
        )


def _check_same(tensors: Sequence[Tensor], like: Tensor, what: str) -> None:
    for i, tensor in enumerate(tensors):
        if tensor.shape != like.shape:
            raise RuntimeError(
                f"ProcessGroupGloo::{what}: invalid tensor size at index {i} (expected "
                f"({', '.join(map(str, like.shape))}), got ({', '.join(map(str, tensor.shape))}))"
            )
        if tensor.dtype != like.dtype:
            raise RuntimeError(
                f"ProcessGroupGloo::{what}: invalid tensor type at index {i} (expected {like.dtype}, "
                f"got {tensor.dtype})"
            )


def _root(pg: ProcessGroup, rank: int | None, group_rank: int | None, what: str) -> int:
    """The rank within the group of a process that is given by its number among all, or within the group."""
    if group_rank is not None:
        if rank is not None:
            raise ValueError("Can't specify both a global rank and a group rank")
        pg._check_rank(group_rank, what)
        return group_rank
    if rank is None:
        rank = pg._ranks[0]
    if rank not in pg._ranks:
        raise RuntimeError(f"ProcessGroupGloo::{what}: invalid root rank: {rank}")
    return pg._ranks.index(rank)


def _check_whole(whole: Tensor, part: Tensor, pg: ProcessGroup, what: str, large: str, small: str) -> None:
    if whole.numel() != part.numel() * pg.size():
        raise ValueError(
            f"{what}: {large} tensor size must be equal to world_size times {small} tensor size\n({large} has "
            f"{whole.numel()} elements, {small} {part.numel()}, and there are {pg.size()} processes)"
        )
    if whole.dtype != part.dtype:
        raise TypeError(f"{what}: output tensor must have the same type as input tensor")
    if not whole.is_contiguous():
        raise ValueError(f"{what}: the {large} tensor must be contiguous")


def _check_list(
    tensors: Sequence[Tensor] | None, pg: ProcessGroup, root: int, tensor: Tensor, what: str, kind: str
) -> None:
    """The list of gather and scatter, which the one process ``root`` gives, and no other."""
    if pg.rank() != root:
        if tensors:
            raise ValueError(f"Argument ``{what}_list`` must NOT be specified on non-{kind} ranks.")
        return
    if not tensors:
        raise ValueError(f"Argument ``{what}_list`` must be specified on {kind} rank.")
    _check_tensors(tensors, f"{what}_list")
    _check_count(tensors, pg, what)
    _check_same(tensors, tensor, what)
