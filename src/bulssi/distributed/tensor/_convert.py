"""From one way of placing a tensor on a mesh to another: the messages, and their gradients.

Note [Gradients of placed tensors]: each process records operations on its own part. The gradient of a part is then
placed as the tensor is, except that where a tensor is a sum (`Partial`), each summand's gradient is all of it
(`Replicate`). A replicated tensor that goes into an operation whose result is split gets a part of its gradient in each
process: `convert` is told so (`arrives` is `Partial` there) and sums in backward. So every gradient that a program
sees of a replicated tensor is complete, and the same in all processes.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import bulssi
from bulssi.autograd.function import Function

from .._process_group import RedOpType, _flat
from .placement_types import Partial, Placement, Replicate, Shard, split_order

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bulssi import Tensor

    from .._process_group import ProcessGroup
    from ..device_mesh import DeviceMesh

Placements = tuple[Placement, ...]

_OPS = {
    "sum": RedOpType.SUM,
    "avg": RedOpType.AVG,
    "product": RedOpType.PRODUCT,
    "max": RedOpType.MAX,
    "min": RedOpType.MIN,
}


def _op(placement: Placement) -> RedOpType:
    name = placement.reduce_op  # type: ignore[attr-defined]
    if name not in _OPS:
        raise ValueError(f"Partial({name!r}): the operation is one of {', '.join(_OPS)}")
    return _OPS[name]


def _sizes(n: int, count: int) -> list[int]:
    return [Shard.local_shard_size_and_offset(n, count, r)[0] for r in range(count)]


def _cut(tensor: Tensor, dim: int, count: int) -> list[Tensor]:
    return list(tensor.split(_sizes(tensor.shape[dim], count), dim))


def _exchange(group: ProcessGroup, out: Sequence[Tensor], shapes: Sequence[Sequence[int]]) -> list[Tensor]:
    """Send ``out[r]`` to every rank r; what every rank sent here, of these shapes."""
    like = [out[0].new_empty(0).expand(0) if 0 in shape else out[0].new_empty(()).expand(shape) for shape in shapes]
    received = group._exchange(group._next(), [_flat(t) for t in out], like)
    return [flat.view(shape) for flat, shape in zip(received, shapes, strict=True)]


def _with(shape: Sequence[int], dim: int, size: int) -> tuple[int, ...]:
    return (*shape[:dim], size, *shape[dim + 1 :])


def _gather(local: Tensor, group: ProcessGroup, dim: int, whole: int) -> Tensor:
    shapes = [_with(local.shape, dim, n) for n in _sizes(whole, group.size())]
    return bulssi.cat(_exchange(group, [local] * group.size(), shapes), dim)


def _reduce(local: Tensor, group: ProcessGroup, op: RedOpType) -> Tensor:
    total = local.clone(memory_format=bulssi.contiguous_format)
    group._all_reduce(group._next(), total, op)
    return total


def _reduce_scatter(local: Tensor, group: ProcessGroup, dim: int, op: RedOpType) -> Tensor:
    parts = _cut(local, dim, group.size())
    out = local.new_empty(parts[group.rank()].shape)
    group._reduce_scatter(group._next(), out, parts, op)
    return out


def _swap(local: Tensor, group: ProcessGroup, source: int, target: int, whole: int) -> Tensor:
    """From parts along one dimension to parts along another."""
    parts = _cut(local, target, group.size())
    mine = parts[group.rank()].shape
    shapes = [_with(mine, source, n) for n in _sizes(whole, group.size())]
    return bulssi.cat(_exchange(group, parts, shapes), source)


def _undone(source: Placements, target: Placements) -> set[int]:
    """The dimensions of the mesh to deal with: those that differ, and those that split what these split before."""
    undo = {i for i, (a, b) in enumerate(zip(source, target, strict=True)) if a != b}
    before, after = split_order(source), split_order(target)
    while True:
        more = set()
        for i in undo:
            for placement, order in ((source[i], before), (target[i], after)):
                if isinstance(placement, Shard):
                    later = order[order.index(i) + 1 :]
                    more |= {j for j in later if source[j].is_shard(placement.dim)}
        if more <= undo:
            return undo
        undo |= more


def _whole_size(shape: Sequence[int], mesh: DeviceMesh, placements: Sequence[Placement], i: int) -> int:
    """The size of what dimension ``i`` of the mesh splits, in this process's row."""
    place, dim = _place(mesh), placements[i].dim  # type: ignore[attr-defined]
    size = shape[dim]
    for j in split_order(placements):
        if j == i:
            break
        if placements[j].is_shard(dim):
            size = Shard.local_shard_size_and_offset(size, mesh.size(j), place[j])[0]
    return size


def _place(mesh: DeviceMesh) -> tuple[int, ...]:
    place = mesh.get_coordinate()
    if place is None:
        raise RuntimeError(f"process {mesh.get_rank()} is not in {mesh}, and has no part of its tensors")
    return place


def _from_replicate(local: Tensor, target: Placement, count: int, rank: int) -> Tensor:
    if isinstance(target, Shard):
        return _cut(local, target.dim, count)[rank].contiguous()
    if isinstance(target, Partial) and target.reduce_op == "sum":
        return local / count if local.is_floating_point() else local * (rank == 0)
    return local  # the mean, the largest, the smallest of equal ones; a product is never asked for


def convert(local: Tensor, mesh: DeviceMesh, shape: Sequence[int], source: Placements, target: Placements) -> Tensor:
    """This process's part of a tensor placed as ``target``, from that placed as ``source``. Not recorded.

    Raises:
        RuntimeError: parts would have to become a sum.
    """
    if source == target:
        return local
    current: list[Placement] = list(source)
    undo = _undone(source, target)
    place = _place(mesh)
    with bulssi.no_grad():
        for i in [i for i, p in enumerate(source) if i in undo and isinstance(p, Partial)]:
            group, wanted = mesh.get_group(i), target[i]
            alone = not any(
                j != i
                and isinstance(wanted, Shard)
                and (source[j].is_shard(wanted.dim) or target[j].is_shard(wanted.dim))
                for j in range(len(source))
            )
            if isinstance(wanted, Shard) and alone:
                local = _reduce_scatter(local, group, wanted.dim, _op(source[i]))
                current[i] = wanted
            else:
                local = _reduce(local, group, _op(source[i]))
                current[i] = Replicate()
        for i in [i for i in reversed(split_order(source)) if i in undo]:
            group, wanted, dim = mesh.get_group(i), target[i], source[i].dim  # type: ignore[attr-defined]
            whole = _whole_size(shape, mesh, current, i)
            others = [p for j, p in enumerate((*source, *target)) if j % len(source) != i]
            free = not any(p.is_shard(dim) or (isinstance(wanted, Shard) and p.is_shard(wanted.dim)) for p in others)
            if isinstance(wanted, Shard) and wanted.dim != dim and free:
                local = _swap(local, group, dim, wanted.dim, whole)
                current[i] = wanted
            else:
                local = _gather(local, group, dim, whole)
                current[i] = Replicate()
        todo = [i for i in split_order(target) if current[i] != target[i]]
        todo += [i for i in range(len(target)) if current[i] != target[i] and not isinstance(target[i], Shard)]
        for i in todo:
            local = _from_replicate(local, target[i], mesh.size(i), place[i])
    return local


def gradient_of(placements: Placements) -> Placements:
    """How gradients of a tensor are placed. See Note [Gradients of placed tensors]."""
    return tuple(Replicate() if isinstance(p, Partial) else p for p in placements)


class _Convert(Function):
    """`convert`, recorded: the gradient arrives placed as ``arrives`` and leaves as the source's is, or as told."""

    @staticmethod
    def forward(
        ctx: Any,
        local: Tensor,
        mesh: DeviceMesh,
        shape: Sequence[int],
        source: Placements,
        target: Placements,
        arrives: Placements,
        leaves: Placements | None = None,
    ) -> Tensor:
        changed = [(i, a) for i, (a, b) in enumerate(zip(source, target, strict=True)) if a != b and a.is_partial()]
        if any(not (a.is_partial("sum") or a.is_partial("avg")) for _, a in changed):
            raise RuntimeError(f"a tensor placed as {source} cannot be redistributed with a gradient: detach() it")
        ctx.back = mesh, shape, arrives, gradient_of(source) if leaves is None else leaves
        ctx.count = math.prod(mesh.size(i) for i, a in changed if a.is_partial("avg"))
        out = convert(local, mesh, shape, source, target)
        return out.view_as(out) if out is local else out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        mesh, shape, arrives, leaves = ctx.back
        grad = grads[0] if ctx.count == 1 else grads[0] / ctx.count
        return _Convert.apply(grad, mesh, shape, arrives, leaves, gradient_of(arrives)), *[None] * 6


def converted(
    local: Tensor,
    mesh: DeviceMesh,
    shape: Sequence[int],
    source: Placements,
    target: Placements,
    arrives: Placements | None = None,
) -> Tensor:
    """:func:`convert`, recorded if the part needs a gradient."""
    arrives = gradient_of(target) if arrives is None else arrives
    if source == target and arrives == gradient_of(source):
        return local
    if bulssi.is_grad_enabled() and local.requires_grad:
        return _Convert.apply(local, mesh, shape, source, target, arrives)
    return convert(local, mesh, shape, source, target)
