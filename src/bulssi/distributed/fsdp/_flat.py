"""A unit whose parameters are one flat tensor, of which each process has an equal part."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import bulssi
from bulssi import Tensor
from bulssi.nn.parameter import Parameter

from ..tensor import DTensor
from ..tensor._api import DTensorParameter, _wrap
from ..tensor._convert import _gather
from ._unit import Item, Precision, Unit, _numel, _placeholder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bulssi.nn import Module

    from .._process_group import ProcessGroup

__all__ = ["FLAT", "FlatParameter", "FlatUnit", "Spec"]

FLAT = "_flat_param"


class FlatParameter(Parameter):
    """This process's part of the parameters of a unit, one after the other."""


class Spec(NamedTuple):
    """One of the parameters in a flat one."""

    owners: list[tuple[Module, str]]
    name: str  # path from the wrapped module
    shape: tuple[int, ...]
    begin: int  # in the flat parameter
    end: int
    requires_grad: bool
    like: Any  # the DTensor that it was, if it was split already

    def placed(self, local: Tensor) -> Any:
        """A tensor of the parameter's shape as the parameter was: a part of one that is split already."""
        if self.like is None:
            return local
        kind = DTensorParameter if isinstance(local, Parameter) else DTensor
        return _wrap(local, self.like.device_mesh, self.like.placements, self.like.shape, self.like.stride(), kind)


def _local(value: Any) -> Tensor:
    return value._local_tensor if isinstance(value, DTensor) else value


class FlatUnit(Unit):
    """A unit with one flat parameter.

    Args:
        root: the wrapped module, which has the flat parameter.
        managed: parameters, with the modules that have them and their names there, and their paths from the root.
        original: modules have a part of each parameter while the unit is not gathered, not the flat one.
    """

    def __init__(
        self,
        root: Module,
        managed: Sequence[tuple[Parameter, list[tuple[Module, str]], str]],
        original: bool,
        group: ProcessGroup | None,
        replicas: ProcessGroup | None,
        precision: Precision,
        reshard: bool | None,
    ) -> None:
        self.root, self.original, self.specs = root, original, list[Spec]()
        at = 0
        for parameter, owners, name in managed:
            local = _local(parameter)
            like = parameter.detach() if isinstance(parameter, DTensor) else None
            end = at + local.numel()
            self.specs.append(Spec(owners, name, tuple(local.shape), at, end, parameter.requires_grad, like))
            at = end
        self.numel = at
        count = 1 if group is None else group.size()
        padded = -(-at // count) * count
        flats = [_local(parameter).detach().reshape(-1) for parameter, _, _ in managed]
        whole = bulssi.cat([*flats, flats[0].new_zeros(padded - at)])
        rank, part = 0 if group is None else group.rank(), padded // count
        needs = any(spec.requires_grad for spec in self.specs)
        self.flat = FlatParameter(whole.narrow(0, rank * part, part).clone(), requires_grad=needs)
        dtype = precision.param if precision.param is not None and whole.is_floating_point() else whole.dtype
        item = Item([], self.flat, (padded,), 0, dtype)
        super().__init__([item], group, replicas, precision, reshard)
        self.begin = rank * part  # of this process's part
        self.parts = [self._part_of(spec) for spec in self.specs] if original else []
        self.uninstall()

    def _bounds(self, spec: Spec) -> tuple[int, int]:
        """What this process has of a parameter, in its part."""
        n = self.flat.numel()
        return min(max(spec.begin - self.begin, 0), n), min(max(spec.end - self.begin, 0), n)

    def _part_of(self, spec: Spec) -> Parameter:
        begin, end = self._bounds(spec)
        return Parameter(self.flat.detach()[begin:end], requires_grad=spec.requires_grad)

    # ---- what modules have

    def present(self, values: Sequence[Any]) -> None:
        """Give modules parameters, in their order."""
        self.root._parameters.pop(FLAT, None)
        for spec, value in zip(self.specs, values, strict=True):
            for module, name in spec.owners:
                module.__dict__.pop(name, None)
                module._parameters[name] = value

    def _set(self, spec: Spec, value: Any) -> None:
        for module, name in spec.owners:
            module._parameters.pop(name, None)
            module.__dict__[name] = value

    def install(self) -> None:
        self.root._parameters.pop(FLAT, None)
        with bulssi.enable_grad():  # also where backward gathers: a checkpoint may run forward again
            views = self.items[0].full.split([*(s.end - s.begin for s in self.specs), self._padding()])
            for spec, view in zip(self.specs, views, strict=False):
                view = view.view(spec.shape)
                self._set(spec, spec.placed(view if spec.requires_grad else view.detach()))
        if not self.original:
            self.root._parameters[FLAT] = self.flat

    refresh = install

    def uninstall(self) -> None:
        if self.original:
            self.present(self.parts)
            return
        for spec in self.specs:
            for module, name in spec.owners:
                module._parameters.pop(name, None)
            self._set(spec, spec.placed(_placeholder(spec.shape, self.items[0].full.dtype)))
        self.root._parameters[FLAT] = self.flat

    def _padding(self) -> int:
        return self.items[0].shape[0] - self.numel

    def adopt(self) -> None:
        """Parameters may have been converted, or put elsewhere."""
        places = [self._bounds(s) for s in self.specs]
        if any(_moved(p, self.flat, *place) for p, place in zip(self.parts, places, strict=False)):
            with bulssi.no_grad():
                padding = self.flat.detach()[sum(p.numel() for p in self.parts) :].to(self.parts[0].dtype)
                self.flat.data = bulssi.cat([*(p.detach() for p in self.parts), padding])
                for p, (begin, end) in zip(self.parts, places, strict=True):
                    p.data = self.flat.detach()[begin:end]
        full = self.items[0].full
        if self.precision.param is None and full.dtype != self.flat.dtype and not self.gathered:
            full.data = _placeholder(full.shape, self.flat.dtype)

    def _versions(self) -> list[tuple[int, int]]:
        return [(id(t), t._version) for t in (self.flat, *self.parts)]

    # ---- gradients

    def add_gradient(self, item: Item, part: Tensor) -> None:
        if not self.original:
            super().add_gradient(item, part)
            return
        part = part.to(self.flat.dtype) if part.dtype != self.flat.dtype else part
        for p, spec in zip(self.parts, self.specs, strict=True):
            if p.requires_grad:
                begin, end = self._bounds(spec)
                p.grad = part[begin:end].clone() if p.grad is None else p.grad + part[begin:end]

    def gradient(self) -> Tensor | None:
        """The gradient of this process's part."""
        if not self.original:
            return self.flat.grad
        grads = [p.new_zeros(p.shape) if p.grad is None else p.grad for p in self.parts]
        if all(p.grad is None for p in self.parts):
            return None
        return bulssi.cat([*grads, self.flat.new_zeros(self.flat.numel() - sum(g.numel() for g in grads))])

    # ---- wholes and parts of them

    def gathered_flat(self, local: Tensor) -> Tensor:
        """All of a flat tensor of which each process has a part. All processes call this."""
        local = local.detach()
        return local.clone() if self.group is None else _gather(local, self.group, 0, self.items[0].shape[0])

    def split(self, flat: Tensor) -> list[Tensor]:
        """The tensors in a whole flat one, in memory of their own."""
        return [flat[s.begin : s.end].view(s.shape).clone() for s in self.specs]

    def whole(self) -> list[Tensor]:
        """All parameters, whole."""
        self.adopt()
        return self.split(self.gathered_flat(self.flat))

    def part(self, values: Sequence[Tensor | None]) -> Tensor:
        """This process's part of tensors of the parameters' shapes; None stands for zeros."""
        like = next(v for v in values if v is not None)
        flats = [
            like.new_zeros(_numel(s.shape)) if v is None else v.detach().reshape(-1).to(like.dtype)
            for s, v in zip(self.specs, values, strict=True)
        ]
        whole = bulssi.cat([*flats, like.new_zeros(self._padding())])
        return whole[self.begin : self.begin + self.flat.numel()].clone()

    def write(self, values: Sequence[Tensor]) -> None:
        """Take over whole parameters."""
        with bulssi.no_grad():
            self.flat.copy_(self.part(values))


def _moved(part: Tensor, flat: Tensor, begin: int, end: int) -> bool:
    return part.dtype != flat.dtype or (
        end > begin and part.data_ptr() != flat.data_ptr() + begin * flat.element_size()
    )
