"""Parameters that are split over processes, and gathered together when a module runs.

A `Unit` has, for each parameter, the part of this process, which the optimizer sees, and a leaf of the full shape,
which operations see. The leaf has memory only while the unit is gathered: before forward and again before backward.
What operations save of it for backward is kept as a note of its place, and gathered again. When all leaves have their
gradients, these are summed over the processes, each of which keeps its part.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import bulssi
from bulssi import Tensor, _core
from bulssi.nn.parallel.distributed import tensors_in
from bulssi.nn.parameter import Parameter
from bulssi.utils._pytree import tree_map

from .._process_group import RedOpType
from ..tensor import DTensor
from ..tensor._convert import _cut, _sizes, _with

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from bulssi.nn import Module

    from .._process_group import ProcessGroup

__all__ = ["Item", "Precision", "Unit"]

_running: list[Unit] = []  # whose modules run now, the outermost first


class Precision:
    """dtypes of a unit; None leaves them."""

    def __init__(
        self, param: Any = None, reduce: Any = None, output: Any = None, inputs: bool = True, root_inputs: bool = True
    ) -> None:
        self.param, self.reduce, self.output = param, reduce, output
        self.cast_inputs, self.cast_root_inputs = inputs, root_inputs


class Item:
    """One parameter of a unit.

    Args:
        owners: the modules that have it, and its name there.
        sharded: what they have while the unit is not gathered.
        shape, dim: of the whole, and along which dimension it is split.
    """

    def __init__(
        self, owners: list[tuple[Module, str]], sharded: Tensor, shape: Sequence[int], dim: int, dtype: Any
    ) -> None:
        self.owners, self.sharded, self.shape, self.dim = owners, sharded, tuple(shape), dim
        self.full = Parameter(_placeholder(self.shape, dtype), requires_grad=sharded.requires_grad)
        self.shown: Any = self.full  # what modules have while it is gathered
        self.watched = False

    def local(self) -> Tensor:
        """The part of this process, a leaf."""
        return self.sharded._local_tensor if isinstance(self.sharded, DTensor) else self.sharded

    def part_shape(self, size: int) -> tuple[int, ...]:
        """The shape of a part whose size along the dimension is this."""
        return _with(self.shape, self.dim, size)


def _placeholder(shape: Sequence[int], dtype: Any) -> Tensor:
    """A tensor of a shape, with the memory of one element."""
    return bulssi.zeros((), dtype=dtype).expand(tuple(shape))


class _Gone:
    """What is kept for backward of a gathered parameter: where it was."""

    __slots__ = ("index", "offset", "size", "stride")

    def __init__(self, index: int, tensor: Tensor) -> None:
        self.index, self.size, self.stride = index, tuple(tensor.shape), tensor.stride()
        self.offset = tensor.storage_offset()


class _Outer:
    """What hooks around those of the unit have made of another tensor."""

    __slots__ = ("packed", "unpack")

    def __init__(self, packed: Any, unpack: Callable[[Any], Tensor]) -> None:
        self.packed, self.unpack = packed, unpack


class Unit:
    """Parameters that are gathered together.

    Args:
        items: the parameters.
        group: the processes among which they are split; None for this process alone.
        replicas: the processes that have the same parts, whose gradients are averaged, too.
        precision: dtypes.
        reshard: give the gathered parameters up after forward; None: unless this is the outermost unit.
    """

    def __init__(
        self,
        items: list[Item],
        group: ProcessGroup | None,
        replicas: ProcessGroup | None,
        precision: Precision,
        reshard: bool | None,
    ) -> None:
        self.items, self.group, self.replicas, self.precision = items, group, replicas, precision
        self.reshard_after_forward, self.reshard_after_backward = reshard, True
        self.sync = True  # sum gradients over processes
        self.divide_by: float | None = None
        self.forward_prefetch: list[Unit] = []
        self.backward_prefetch: list[Unit] = []
        self.gathered = False
        self._in_backward = False
        self._arrived: set[int] = set()
        self._storages: dict[int, int] = {}
        self._seen: list[tuple[int, int]] = []  # versions of the parts that were gathered
        self._pending: Any = None

    @property
    def size(self) -> int:
        """Among how many processes parameters are split."""
        return 1 if self.group is None else self.group.size()

    @property
    def rank(self) -> int:
        """The number of this process among them."""
        return 0 if self.group is None else self.group.rank()

    # ---- what modules have

    def install(self) -> None:
        """Give modules the gathered parameters."""
        for item in self.items:
            for module, name in item.owners:
                module._parameters[name] = item.shown

    def uninstall(self) -> None:
        """Give modules the parts."""
        for item in self.items:
            for module, name in item.owners:
                module._parameters[name] = item.sharded

    def refresh(self) -> None:
        """What modules have anew for each forward."""

    def adopt(self) -> None:
        """Take over parameters that have been put into modules in place of the parts."""

    # ---- gathering

    def _by_dtype(self, dtype_of: Callable[[Item], Any]) -> Iterator[tuple[Any, list[int]]]:
        groups: dict[Any, list[int]] = {}
        for i, item in enumerate(self.items):
            groups.setdefault(dtype_of(item), []).append(i)
        yield from groups.items()

    def _start_gather(self) -> Callable[[], list[Tensor]]:
        """Send the parts; returns what waits for those of the others."""
        sent = []
        for dtype, indices in self._by_dtype(lambda item: item.full.dtype):
            locals_ = [self.items[i].local().detach().to(dtype).reshape(-1) for i in indices]
            sent.append((indices, bulssi.cat(locals_), None if self.group is None else self.group._next()))
        pending = [self._start_exchange(indices, flat, key) for indices, flat, key in sent]

        def finish() -> list[Tensor]:
            values: list[Any] = [None] * len(self.items)
            for (indices, _, _), wait in zip(sent, pending, strict=True):
                for i, value in zip(indices, self._joined(indices, wait()), strict=True):
                    values[i] = value
            return values

        return finish

    def _start_exchange(self, indices: list[int], flat: Tensor, key: Any) -> Callable[[], list[Tensor]]:
        group = self.group
        if group is None:
            return lambda: [flat]
        sizes = [0] * self.size
        for i in indices:
            item = self.items[i]
            for r, n in enumerate(_sizes(item.shape[item.dim], self.size)):
                sizes[r] += _numel(item.part_shape(n))
        waiting = {other: group._post(other, key) for other in group._others()}
        for other in group._others():
            group._send(other, key, flat)

        def wait() -> list[Tensor]:
            got = {r: group._take(p, flat.new_empty(()).expand(sizes[r])) for r, p in waiting.items()}
            return [flat if r == self.rank else got[r] for r in range(self.size)]

        return wait

    def _joined(self, indices: list[int], flats: list[Tensor]) -> list[Tensor]:
        """Whole parameters from what each process sent."""
        at = [0] * len(flats)
        out = []
        for i in indices:
            item = self.items[i]
            parts = []
            for r, n in enumerate(_sizes(item.shape[item.dim], self.size)):
                shape = item.part_shape(n)
                parts.append(flats[r].narrow(0, at[r], _numel(shape)).view(shape))
                at[r] += _numel(shape)
            out.append(bulssi.cat(parts, item.dim) if len(parts) > 1 else parts[0].clone())
        return out

    def prefetch(self) -> None:
        """Begin to gather: what is sent arrives while other things are done."""
        if not self.gathered and self._pending is None:
            self.adopt()
            with bulssi.no_grad():
                self._pending = self._start_gather()

    def _versions(self) -> list[tuple[int, int]]:
        return [(id(item.sharded), item.local()._version) for item in self.items]

    def unshard(self) -> None:
        """Gather the parameters and give them to the modules."""
        if self.gathered and self._versions() == self._seen:
            return
        self.prefetch()
        with bulssi.no_grad():
            finish = self._pending or self._start_gather()
            values, self._pending = finish(), None
            self._seen, self._storages = self._versions(), {}
            for i, (item, value) in enumerate(zip(self.items, values, strict=True)):
                item.full.data = value
                self._storages[value._storage_ptr()] = i
                self._watch_leaf(i, item)
        self.gathered = True
        self.install()

    def reshard(self) -> None:
        """Give the gathered parameters up."""
        if self._pending is not None:
            finish, self._pending = self._pending, None
            finish()
        if not self.gathered:
            return
        self.gathered = False
        for item in self.items:
            item.full.data = _placeholder(item.shape, item.full.dtype)
        self._storages = {}
        self.uninstall()

    # ---- what is saved for backward

    def _unpack(self, packed: Any) -> Tensor:
        if isinstance(packed, _Gone):
            self.unshard()
            with bulssi.no_grad():
                return self.items[packed.index].full.detach().as_strided(packed.size, packed.stride, packed.offset)
        return packed.unpack(packed.packed) if isinstance(packed, _Outer) else packed

    # ---- forward

    def run(self, call: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call a module, gathered."""
        if self._in_backward and _core.current_graph_task_id() == -1:  # that backward has failed
            self._in_backward = False
            self._arrived.clear()
        if self.reshard_after_forward is None:
            self.reshard_after_forward = bool(_running)
        reshard = self.reshard_after_forward or not bulssi.is_grad_enabled()
        if self.precision.cast_inputs or (self.precision.cast_root_inputs and not _running):
            args, kwargs = _cast((args, kwargs), self.precision.param)
        self.unshard()
        self.refresh()
        for other in self.forward_prefetch:
            other.prefetch()
        hooked = bulssi.is_grad_enabled() and self.reshard_after_forward
        if hooked:
            outer = _core.present_saved_tensors_hooks()
            pack, unpack = self._hooks(outer)
            _core.push_saved_tensors_hooks(pack, unpack)
        _running.append(self)
        try:
            out = call(*args, **kwargs)
        except BaseException:
            reshard = True
            raise
        finally:
            _running.pop()
            if hooked:
                _core.pop_saved_tensors_hooks()
            if reshard and not self._in_backward:
                self.reshard()
        if self.precision.output is not None:
            out = _cast(out, self.precision.output)
        if bulssi.is_grad_enabled():
            for tensor in tensors_in(out):
                if tensor.requires_grad:
                    tensor.register_hook(self._before_backward)
        return out

    def _hooks(self, outer: Any) -> tuple[Callable[[Tensor], Any], Callable[[Any], Tensor]]:
        def pack(tensor: Tensor) -> Any:
            index = self._storages.get(tensor._storage_ptr()) if tensor.numel() else None
            if index is not None:
                return _Gone(index, tensor)
            return tensor if outer is None else _Outer(outer[0](tensor), outer[1])

        return pack, self._unpack

    # ---- backward

    def _watch_leaf(self, index: int, item: Item) -> None:
        needs = item.local().requires_grad
        item.full.requires_grad_(needs)
        if needs and not item.watched:
            item.watched = True
            item.full.register_post_accumulate_grad_hook(lambda _: self._has_grad(index))

    def _begin_backward(self) -> None:
        if not self._in_backward:
            self._in_backward = True
            _core.queue_callback(self._end_backward)

    def _before_backward(self, grad: Tensor) -> None:
        self._begin_backward()
        self.unshard()
        for other in self.backward_prefetch:
            other.prefetch()

    def _has_grad(self, index: int) -> None:
        self._begin_backward()
        self._arrived.add(index)
        if len(self._arrived) == sum(item.full.requires_grad for item in self.items):
            self._finish_backward()

    def _end_backward(self) -> None:
        if self._in_backward:
            self._finish_backward()

    def _finish_backward(self) -> None:
        self._in_backward = False
        self._arrived.clear()
        if self.sync:
            with bulssi.no_grad():
                self._reduce()
        if self.reshard_after_backward:
            self.reshard()

    def _reduce(self) -> None:
        """Sum the gradients of the leaves over processes, and add this process's parts to those of the parts.

        Behind the gradients travels which of them there are: one that no process has stays None.
        """
        needing = {i for i, item in enumerate(self.items) if item.full.requires_grad}
        count = self.size * (1 if self.replicas is None else self.replicas.size())
        for dtype, indices in self._by_dtype(lambda item: self.precision.reduce or item.full.dtype):
            indices = [i for i in indices if i in needing]
            if not indices:
                continue
            grads = [self.items[i].full.grad for i in indices]
            there = bulssi.tensor([float(g is not None) for g in grads], dtype=dtype)
            cut: list[list[Tensor]] = [[] for _ in range(self.size)]
            for i, g in zip(indices, grads, strict=True):
                item = self.items[i]
                g = bulssi.zeros(item.shape, dtype=dtype) if g is None else g.detach().to(dtype)
                for mine, part in zip(cut, _cut(g, item.dim, self.size), strict=True):
                    mine.append(part.reshape(-1))
                item.full.grad = None
            total = self._summed([bulssi.cat([*mine, there]) for mine in cut])
            at, shared = 0, total.narrow(0, total.numel() - len(indices), len(indices)).tolist()
            total.div_(count if self.divide_by is None else self.divide_by)
            for i, present in zip(indices, shared, strict=True):
                local = self.items[i].local()
                part = total.narrow(0, at, local.numel()).view(local.shape)
                at += local.numel()
                if present:
                    self.add_gradient(self.items[i], part)

    def _summed(self, flats: list[Tensor]) -> Tensor:
        total = flats[self.rank].clone()
        if self.group is not None:
            self.group._reduce_scatter(self.group._next(), total, flats, RedOpType.SUM)
        if self.replicas is not None:
            self.replicas._all_reduce(self.replicas._next(), total, RedOpType.SUM)
        return total

    def add_gradient(self, item: Item, part: Tensor) -> None:
        """Add a gradient to that of a part."""
        local = item.local()
        part = part if part.dtype == local.dtype else part.to(local.dtype)
        local.grad = part.clone() if local.grad is None else local.grad + part


def _numel(shape: Sequence[int]) -> int:
    n = 1
    for size in shape:
        n *= size
    return n


def _cast(value: Any, dtype: Any) -> Any:
    """Floating-point tensors in a structure, converted."""
    if dtype is None:
        return value
    return tree_map(
        lambda t: t.to(dtype) if isinstance(t, Tensor) and t.is_floating_point() and t.dtype != dtype else t, value
    )
