"""What processes do together, with gradients: the gradients travel the way back.

All processes call these, and all of them go through backward.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import bulssi
from bulssi.autograd.function import Function

from .. import distributed_c10d as c10d
from .._process_group import ReduceOp

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bulssi import Tensor

__all__ = [
    "all_gather",
    "all_reduce",
    "all_to_all",
    "all_to_all_single",
    "broadcast",
    "gather",
    "reduce",
    "reduce_scatter",
    "scatter",
]


def _fresh(tensor: Tensor) -> Tensor:
    return tensor.detach().clone(memory_format=bulssi.contiguous_format)


def _here(root: int, group: Any) -> bool:
    return c10d.get_rank() == root and group != c10d.GroupMember.NON_GROUP_MEMBER


class _Broadcast(Function):
    @staticmethod
    def forward(ctx: Any, src: int, group: Any, tensor: Tensor) -> Tensor:
        ctx.src, ctx.group = src, group
        out = _fresh(tensor)
        c10d.broadcast(out, src, group)
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        grad = _Reduce.apply(ctx.src, ReduceOp.SUM, ctx.group, grads[0])
        return None, None, grad if _here(ctx.src, ctx.group) else bulssi.zeros_like(grad)


class _Reduce(Function):
    @staticmethod
    def forward(ctx: Any, dst: int, op: Any, group: Any, tensor: Tensor) -> Tensor:
        ctx.dst, ctx.group = dst, group
        out = _fresh(tensor)
        c10d.reduce(out, dst, op, group)
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        return None, None, None, _Broadcast.apply(ctx.dst, ctx.group, grads[0])


class _AllReduce(Function):
    @staticmethod
    def forward(ctx: Any, op: Any, group: Any, tensor: Tensor) -> Tensor:
        ctx.op, ctx.group = op, group
        out = _fresh(tensor)
        c10d.all_reduce(out, op, group)
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        return None, None, _AllReduce.apply(ctx.op, ctx.group, grads[0])


class _AllToAll(Function):
    """Send the r-th tensor to process r; receive tensors of given shapes."""

    @staticmethod
    def forward(ctx: Any, group: Any, shapes: Sequence[Any], *tensors: Tensor) -> tuple[Tensor, ...]:
        ctx.group, ctx.shapes = group, [tuple(t.shape) for t in tensors]
        out = [tensors[0].new_empty(shape) for shape in shapes]
        c10d.all_to_all(out, [_fresh(t) for t in tensors], group)
        return tuple(out)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        return None, None, *_AllToAll.apply(ctx.group, ctx.shapes, *grads)


def broadcast(tensor: Tensor, src: int, group: Any = None) -> Tensor:
    """What process ``src`` has."""
    return _Broadcast.apply(src, group, tensor)


def reduce(tensor: Tensor, dst: int, op: Any = ReduceOp.SUM, group: Any = None) -> Tensor:
    """The sum (or another ``op``) over all, in process ``dst``."""
    return _Reduce.apply(dst, op, group, tensor)


def all_reduce(tensor: Tensor, op: Any = ReduceOp.SUM, group: Any = None) -> Tensor:
    """The sum (or another ``op``) over all. Its gradient is that of a sum."""
    return _AllReduce.apply(op, group, tensor)


def all_gather(tensor: Tensor, group: Any = None) -> tuple[Tensor, ...]:
    """The tensors of all, of one shape."""
    size = c10d.get_world_size(group)
    return _AllToAll.apply(group, [tuple(tensor.shape)] * size, *[tensor] * size)


def gather(tensor: Tensor, dst: int = 0, group: Any = None) -> tuple[Tensor, ...]:
    """The tensors of all, of one shape, in process ``dst``; zeros in the others."""
    sent = [tensor if r == dst else tensor.new_zeros(tensor.shape) for r in c10d.get_process_group_ranks(group)]
    return _AllToAll.apply(group, [tuple(tensor.shape)] * len(sent), *sent)


def scatter(tensors: Sequence[Tensor], src: int = 0, group: Any = None) -> Tensor:
    """This process's of the tensors of process ``src``, of one shape."""
    ranks = c10d.get_process_group_ranks(group)
    shapes = [tuple(t.shape) for t in tensors]
    sent = tensors if c10d.get_rank() == src else [t * 0 for t in tensors]
    received = _AllToAll.apply(group, [shapes[0]] * len(ranks), *sent)
    return received[ranks.index(src)]


def reduce_scatter(output: Tensor, input_list: Sequence[Tensor], op: Any = ReduceOp.SUM, group: Any = None) -> Tensor:
    """The sum over all processes of their tensors for this one, which have the shape of ``output``.

    Raises:
        ValueError: another ``op`` than SUM and AVG.
    """
    if op not in (ReduceOp.SUM, ReduceOp.AVG):
        raise ValueError(f"reduce_scatter has gradients for ReduceOp.SUM and AVG only, not {op}")
    received = _AllToAll.apply(group, [tuple(output.shape)] * len(input_list), *input_list)
    total: Any = sum(received[1:], received[0])
    return total / len(received) if op is ReduceOp.AVG else total


def all_to_all(
    output_tensor_list: Sequence[Tensor], input_tensor_list: Sequence[Tensor], group: Any = None
) -> tuple[Tensor, ...]:
    """What every process sends here, of the shapes of ``output_tensor_list``."""
    return _AllToAll.apply(group, [tuple(t.shape) for t in output_tensor_list], *input_tensor_list)


def all_to_all_single(
    output: Tensor,
    input: Tensor,
    output_split_sizes: Sequence[int] | None = None,
    input_split_sizes: Sequence[int] | None = None,
    group: Any = None,
) -> Tensor:
    """:func:`all_to_all` of parts along the first dimension, equal or of the given sizes."""
    size = c10d.get_world_size(group)
    sizes = output_split_sizes or [output.shape[0] // size] * size
    parts = input.split(list(input_split_sizes or [input.shape[0] // size] * size))
    shapes = [(n, *output.shape[1:]) for n in sizes]
    return bulssi.cat(_AllToAll.apply(group, shapes, *parts))
