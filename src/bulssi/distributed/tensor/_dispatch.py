"""How an operation on `DTensor` runs: which parts it needs, the operation on them, and how the result is placed.

A rule (`_rules.py`) labels the dimensions of the arguments and of the result, as einsum does. From the labels follow,
for each dimension of the mesh, the ways of doing the operation without further messages; the one whose arguments are
cheapest to get is taken.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import bulssi
from bulssi import Tensor

from ._api import DTensor, _wrap
from .placement_types import Partial, Placement, Replicate, Shard, _StridedShard

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ..device_mesh import DeviceMesh

Label = Any  # of a dimension: something hashable; None where it cannot be split
SUM = Partial()


class Labels:
    """What a rule says.

    Args:
        inputs: for each `DTensor` among the arguments a label for each of its dimensions.
        output: labels of the dimensions of the result (of each, if there are several).
        sums: labels that the result does not have, and over which the operation sums: split, they make a `Partial`.
        addends: arguments that are added to that sum.
        linear: sets of arguments that may be `Partial` together, the others being replicated; then so is the result.
    """

    def __init__(
        self,
        inputs: Sequence[Sequence[Label]],
        output: Sequence[Label],
        sums: Sequence[Label] = (),
        addends: Sequence[int] = (),
        linear: Sequence[Sequence[int]] = (),
    ) -> None:
        self.inputs, self.output, self.sums = inputs, output, sums
        self.addends, self.linear = addends, linear

    def ways(self) -> list[tuple[list[Placement], Placement]]:
        """Placements of the arguments and of the result along one dimension of a mesh."""
        n = len(self.inputs)
        out: list[tuple[list[Placement], Placement]] = [([Replicate()] * n, Replicate())]
        for i, label in enumerate(self.output):
            if label is not None:
                out.append((self._split(label), Shard(i)))
        for label in self.sums:
            placed = self._split(label)
            out.append(([SUM if i in self.addends else p for i, p in enumerate(placed)], SUM))
        for chosen in self.linear:
            out.append(([SUM if i in chosen else Replicate() for i in range(n)], SUM))
        return out

    def _split(self, label: Label) -> list[Placement]:
        return [Shard(list(dims).index(label)) if label in dims else Replicate() for dims in self.inputs]


class Call:
    """A call of an operation: its `DTensor` arguments, and its result as a tensor without elements."""

    def __init__(self, func: Callable[..., Any], name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.func, self.name, self.args, self.kwargs = func, name, args, kwargs
        self.tensors: list[DTensor] = []
        self._collect((args, kwargs))
        self.mesh: DeviceMesh = self.tensors[0].device_mesh
        for t in self.tensors:
            if t.device_mesh != self.mesh:
                raise RuntimeError(
                    f"{name}: arguments are on different meshes, {self.mesh} and {t.device_mesh}: use one for all"
                )

    def _collect(self, value: Any) -> None:
        if isinstance(value, DTensor):
            self.tensors.append(value)
        elif isinstance(value, (list, tuple)):
            for item in value:
                self._collect(item)
        elif isinstance(value, dict):
            for item in value.values():
                self._collect(item)
        elif isinstance(value, Tensor) and value.dim() > 0:
            raise RuntimeError(
                f"{self.name} got mixed torch.Tensor and DTensor, need to convert all torch.Tensor to DTensor before "
                f"calling distributed operators!\na tensor of shape {tuple(value.shape)} stands beside DTensor: "
                "distribute_tensor() or DTensor.from_local() make one of it"
            )

    def with_tensors(self, tensors: Sequence[Tensor]) -> Any:
        """Call the function with other tensors in place of the `DTensor` arguments."""
        left = iter(tensors)

        def replaced(value: Any) -> Any:
            if isinstance(value, DTensor):
                return next(left)
            if isinstance(value, (list, tuple)) and type(value) in (list, tuple):
                return type(value)(replaced(item) for item in value)
            return {k: replaced(v) for k, v in value.items()} if isinstance(value, dict) else value

        args, kwargs = replaced(self.args), replaced(self.kwargs)
        return self.func(*args, **kwargs)

    def meta(self) -> Any:
        """The result without elements."""
        with bulssi.no_grad():
            return self.with_tensors([t._meta for t in self.tensors])

    def describe(self) -> str:
        """The arguments, for messages."""
        shown = ", ".join(f"{tuple(t.shape)} placed as {t.placements}" for t in self.tensors)
        return f"{self.name}({shown}) on {self.mesh}"


def _cost(source: Placement, target: Placement, size: float, count: int) -> float:
    """What it takes to get from one placement to another, in elements sent by a process."""
    if source == target:
        return 0.0
    if target.is_partial():
        return 1.0 if source.is_replicate() else float("inf")
    if source.is_replicate():
        return 0.5
    part = size / count
    if source.is_partial():
        return 10 + (2 if target.is_replicate() else 1) * (count - 1) * part
    return 10 + (count - 1) * part * (1 if target.is_replicate() else 1 / count)


def _as_strided(
    inputs: list[Placement], output: Placement, now: Sequence[Placement]
) -> tuple[list[Placement], Placement]:
    """A way of doing it for parts of parts, if those are what there is."""
    found = next((p for p in now if isinstance(p, _StridedShard)), None)
    if found is None:
        return inputs, output
    factor = found.split_factor
    made = [_StridedShard(p.dim, split_factor=factor) if isinstance(p, Shard) else p for p in (*inputs, output)]
    return made[:-1], made[-1]


def choose(
    call: Call, labels: Labels, fixed: bool = False
) -> tuple[list[tuple[Placement, ...]], tuple[Placement, ...]]:
    """Placements for the arguments, and of the result; ``fixed``: the first argument stays, and is the result."""
    tensors, mesh = call.tensors, call.mesh
    ways = labels.ways()
    rows: list[list[Placement]] = [[] for _ in tensors]
    out: list[Placement] = []
    for i in range(mesh.ndim):
        n = mesh.size(i)
        best, least = None, float("inf")
        for inputs, output in ways:
            now = [t.placements[i] for t in tensors]
            inputs, output = _as_strided(inputs, output, now)
            if any(p.is_shard() for p in inputs) and not any(
                p.is_shard() and p == q for p, q in zip(inputs, now, strict=True)
            ):
                continue  # nothing is split anew
            if fixed and not inputs[0] == output == tensors[0].placements[i]:
                continue
            cost = sum(_cost(q, p, t.numel(), n) for t, q, p in zip(tensors, now, inputs, strict=True))
            if cost < least:
                best, least = (inputs, output), cost
        if best is None:
            raise RuntimeError(
                f"{call.name}: in-place operations that require placement changes are not supported.\n"
                f"{call.describe()}: use the out-of-place form, or redistribute() the first argument before"
            )
        for row, p in zip(rows, best[0], strict=True):
            row.append(p)
        out.append(best[1])
    return [tuple(row) for row in rows], tuple(out)


def local_parts(call: Call, targets: Sequence[tuple[Placement, ...]], out: tuple[Placement, ...]) -> list[Tensor]:
    """The parts of the arguments; see Note [Gradients of placed tensors]."""
    parts = []
    for t, target in zip(call.tensors, targets, strict=True):
        arrives = tuple(
            SUM if p.is_replicate() and not o.is_replicate() else (Replicate() if p.is_partial() else p)
            for p, o in zip(target, out, strict=True)
        )
        parts.append(t._placed(target, arrives))
    return parts


def wrap_results(call: Call, result: Any, meta: Any, out: tuple[Placement, ...]) -> Any:
    """Parts of results as `DTensor`."""
    if isinstance(meta, Tensor):
        return _wrap(result, call.mesh, out, meta.shape, meta.stride())
    if isinstance(meta, (list, tuple)):
        made = [wrap_results(call, r, m, out) for r, m in zip(result, meta, strict=True)]
        return type(meta)(made)
    return result


def execute(call: Call, labels: Labels, meta: Any) -> Any:
    """Do the operation as a rule says."""
    targets, out = choose(call, labels)
    result = call.with_tensors(local_parts(call, targets, out))
    return wrap_results(call, result, meta, out)


def execute_inplace(call: Call, labels: Labels) -> Any:
    """Do an operation that changes its first argument."""
    this = call.tensors[0]
    targets, out = choose(call, labels, fixed=True)
    call.with_tensors(local_parts(call, targets, out))
    this.__dict__.pop("_made", None)
    return this


def whole(call: Call) -> Any:
    """Do an operation on all of each argument, in every process."""
    targets = [(Replicate(),) * call.mesh.ndim for _ in call.tensors]
    out = targets[0]
    result = call.with_tensors(local_parts(call, targets, out))
    return wrap_results(call, result, result, out)


def run(func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """What `DTensor.__torch_function__` does.

    Raises:
        NotImplementedError: there is no rule for the operation, and an argument is split.
        RuntimeError: a tensor that is no `DTensor` is among the arguments, meshes differ, or an operation in place
            needs other placements.
    """
    from ._rules import INPLACE, RULES, SPECIAL

    given = func.__name__
    name = given.strip("_") if given.startswith("__") else given
    if name in SPECIAL:
        return SPECIAL[name](func, args, kwargs)
    out = kwargs.get("out")
    if out is not None:
        result = run(func, args, {k: v for k, v in kwargs.items() if k != "out"})
        return out.copy_(result)
    call = Call(func, name, args, kwargs)
    if name.endswith("_") and name[:-1] in INPLACE:
        return execute_inplace(call, INPLACE[name[:-1]](call, call.tensors[0]._meta))
    if name in RULES:
        meta = call.meta()
        return execute(call, RULES[name](call, meta), meta)
    inner = getattr(func, "__wrapped__", None)
    if inner is not None:  # a function written in other operations
        return inner(*args, **kwargs)
    if all(p.is_replicate() for t in call.tensors for p in t.placements):
        return whole(call)
    raise NotImplementedError(
        f"Operator {name} does not have a sharding strategy registered.\n{call.describe()}: redistribute() the "
        "arguments to Replicate() before, or work on the parts, to_local()"
    )
