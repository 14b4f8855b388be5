"""`fully_shard`: a module whose parameters are `DTensor`, split over processes except while it runs."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from bulssi.nn import Module, ModuleDict, ModuleList

from ..device_mesh import DeviceMesh, _mesh_or_present
from ..tensor import DTensor, Replicate, Shard
from ..tensor._api import DTensorParameter, _wrap
from ..tensor._convert import _cut
from ..tensor.placement_types import Placement, _StridedShard
from ._unit import Item, Precision, Unit
from .api import MixedPrecisionPolicy, OffloadPolicy

if TYPE_CHECKING:
    from collections.abc import Callable

    from bulssi.nn import Parameter

__all__ = ["FSDPModule", "UnshardHandle", "fully_shard", "register_fsdp_forward_method"]


class UnshardHandle:
    """What ``unshard(async_op=True)`` gives."""

    def __init__(self, unit: Unit) -> None:
        self._unit = unit

    def wait(self) -> None:
        """Wait until the parameters are there."""
        self._unit.unshard()


class _DTensorUnit(Unit):
    """A unit whose parts are `DTensor`."""

    def adopt(self) -> None:
        for item in self.items:
            now: Any = next((m._parameters[n] for m, n in item.owners if m._parameters[n] is not item.sharded), None)
            if now is None or now is item.shown:
                continue
            old: Any = item.sharded
            if not isinstance(now, DTensor) or now.placements != old.placements or now.shape != old.shape:
                module, name = item.owners[0]
                raise ValueError(
                    f"parameter {name!r} of {type(module).__name__} was replaced by {type(now).__name__} of shape "
                    f"{tuple(now.shape)}; a sharded module needs a DTensor of shape {tuple(old.shape)} placed as "
                    f"{old.placements} on {old.device_mesh}: distribute_tensor() makes one"
                )
            item.sharded = now
            for module, name in item.owners:
                module._parameters[name] = now


class FSDPModule(Module):
    """What a module is, beside its own class, after :func:`fully_shard`."""

    _fsdp_unit: Unit

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._fsdp_unit.run(super().__call__, args, kwargs)

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        raise AssertionError("FSDP does not support deepcopy. Please use state dict for serialization.")

    def _apply(self, *args: Any, **kwargs: Any) -> Any:
        self.reshard()
        return super()._apply(*args, **kwargs)

    def unshard(self, async_op: bool = False) -> UnshardHandle | None:
        """Gather this module's own unit; with ``async_op`` only begin to, and return what waits."""
        if async_op:
            self._fsdp_unit.prefetch()
            return UnshardHandle(self._fsdp_unit)
        self._fsdp_unit.unshard()
        return None

    def reshard(self) -> None:
        """Give the gathered parameters of this module's own unit up."""
        self._fsdp_unit.reshard()

    def _units(self, recurse: bool = True) -> list[Unit]:
        modules = self.modules() if recurse else (self,)
        return [m._fsdp_unit for m in modules if isinstance(m, FSDPModule)]

    def set_requires_gradient_sync(self, requires_gradient_sync: bool, *, recurse: bool = True) -> None:
        """Whether backward sums gradients over processes; without it they add up here until a backward that does."""
        for unit in self._units(recurse):
            unit.sync = requires_gradient_sync

    def set_requires_all_reduce(self, requires_all_reduce: bool, *, recurse: bool = True) -> None:
        """Whether backward sums gradients over the rows of a mesh of two dimensions; without it they add up here."""
        for unit in self._units(recurse):
            if unit.replicas is not None:
                unit.sync = requires_all_reduce

    def set_is_last_backward(self, is_last_backward: bool) -> None:
        """Accepted: a backward ends when it ends."""

    def set_reshard_after_forward(self, reshard_after_forward: bool, recurse: bool = True) -> None:
        """Whether to give gathered parameters up after forward."""
        if not isinstance(reshard_after_forward, bool):
            raise ValueError(f"reshard_after_forward should be a bool, got {type(reshard_after_forward)}")
        for unit in self._units(recurse):
            unit.reshard_after_forward = reshard_after_forward

    def set_reshard_after_backward(self, reshard_after_backward: bool, *, recurse: bool = True) -> None:
        """Whether to give gathered parameters up after backward."""
        for unit in self._units(recurse):
            unit.reshard_after_backward = reshard_after_backward

    def set_modules_to_forward_prefetch(self, modules: list[FSDPModule]) -> None:
        """Begin to gather these while this one runs forward."""
        self._fsdp_unit.forward_prefetch = _own_units(modules)

    def set_modules_to_backward_prefetch(self, modules: list[FSDPModule]) -> None:
        """Begin to gather these while this one runs backward."""
        self._fsdp_unit.backward_prefetch = _own_units(modules)

    def set_gradient_divide_factor(self, factor: float) -> None:
        """Divide sums of gradients by this, rather than by the number of processes."""
        self._fsdp_unit.divide_by = factor

    set_reduce_scatter_divide_factor = set_gradient_divide_factor


def _own_units(modules: list[FSDPModule]) -> list[Unit]:
    for module in modules:
        if not isinstance(module, FSDPModule):
            raise ValueError(f"only modules that fully_shard() was applied to can be prefetched, not {type(module)}")
    return [module._fsdp_unit for module in modules]


def _managed(modules: list[Module], ignored: set[Any]) -> dict[Parameter, list[tuple[Module, str]]]:
    """The parameters of trees of modules that are in no unit yet, and who has them."""
    found: dict[Any, list[tuple[Module, str]]] = {}
    for root in modules:
        for module in _own_tree(root):
            for name, parameter in module._parameters.items():
                if parameter is not None and parameter not in ignored:
                    owners = found.setdefault(parameter, [])
                    if (module, name) not in owners:
                        owners.append((module, name))
    return found


def _own_tree(module: Module) -> Any:
    """A module and those below it that are in no unit."""
    yield module
    for child in module.children():
        if not isinstance(child, FSDPModule):
            yield from _own_tree(child)


def _whole_mesh(mesh: DeviceMesh, other: DeviceMesh) -> DeviceMesh:
    """The mesh of the dimensions of both."""
    root, names = mesh._root, (*(mesh.mesh_dim_names or ()), *(other.mesh_dim_names or ()))
    if root is None or root is not other._root:
        raise ValueError(
            "FSDP requires the DP and model parallel TP/EP mesh to have the same parent mesh but got: "
            f"DP's global mesh: {root}\nTP/EP's global mesh: {other._root}"
        )
    return root[names]


def split_parameter(parameter: Any, mesh: DeviceMesh, dim: int) -> Any:
    """This process's part of a parameter that all processes have, or that is split over another mesh, as `DTensor`."""
    split = isinstance(parameter, DTensor)
    local = (parameter._local_tensor if split else parameter).detach()
    group = mesh.get_group(mesh.ndim - 1)
    part = _cut(local, dim, group.size())[group.rank()].clone()
    placements: list[Placement] = [*[Replicate()] * (mesh.ndim - 1), Shard(dim)]
    if split:
        for p in parameter.placements:
            if p.is_shard(dim):
                placements[-1] = _StridedShard(dim, split_factor=parameter.device_mesh.size())
        mesh = _whole_mesh(mesh, parameter.device_mesh)
        placements += parameter.placements
    part.requires_grad_(parameter.requires_grad)
    return _wrap(part, mesh, tuple(placements), parameter.shape, parameter.stride(), DTensorParameter)


def _sharded_item(
    parameter: Any, owners: list[tuple[Module, str]], mesh: DeviceMesh, dim: int, precision: Precision
) -> Item:
    """The part of a parameter, and a leaf for when it is gathered."""
    local = parameter._local_tensor if isinstance(parameter, DTensor) else parameter
    dim = dim + local.dim() if dim < 0 else dim
    dtype = precision.param if precision.param is not None and local.is_floating_point() else local.dtype
    item = Item(owners, split_parameter(parameter, mesh, dim), local.shape, dim, dtype)
    if isinstance(parameter, DTensor):
        tp = parameter.device_mesh, parameter.placements
        item.shown = _wrap(item.full, *tp, parameter.shape, parameter.stride(), DTensorParameter)
    return item


def fully_shard(
    module: Any,
    *,
    mesh: DeviceMesh | None = None,
    reshard_after_forward: bool | int | None = None,
    shard_placement_fn: Callable[[Parameter], Shard | None] | None = None,
    mp_policy: MixedPrecisionPolicy = MixedPrecisionPolicy(),  # noqa: B008
    offload_policy: OffloadPolicy = OffloadPolicy(),  # noqa: B008
    ignored_params: set[Parameter] | None = None,
) -> Any:
    """Split the parameters of a module over processes (Rajbhandari et al. 2020, "ZeRO", arXiv:1910.02054), in place.

    They become `DTensor` parameters, which an optimizer made afterwards updates in parts. Before forward, and again
    before backward, they are gathered; in backward, gradients are averaged over processes, each of which keeps its
    part. Apply it to the layers of a model first and to the model then: each call makes a unit of the parameters that
    are in none yet.

    Args:
        module: a module or several, which become of a class that is also :class:`FSDPModule`.
        mesh: the processes: of one dimension, or of two, between whose rows parameters are replicated; all without it.
        reshard_after_forward: give the gathered parameters up after forward; without it, unless this is the
            outermost. A number is taken as True.
        shard_placement_fn: says along which dimension a parameter is split, the first without it.
        mp_policy: dtypes.
        offload_policy: accepted: parts are in the memory of the CPU.
        ignored_params: parameters that are left as they are.

    Raises:
        ValueError: the module is a container without forward, or the mesh has more than two dimensions.
        AssertionError: it was applied to the module before.

    Example:
        >>> for layer in model.layers:  # doctest: +SKIP
        ...     fully_shard(layer)
        >>> fully_shard(model)  # doctest: +SKIP
    """
    modules: list[Any] = list(module) if isinstance(module, (list, tuple)) else [module]
    for each in modules:
        if isinstance(each, (ModuleList, ModuleDict)):
            raise ValueError(f"fully_shard does not support containers that do not implement forward: {each}")
        if isinstance(each, FSDPModule):
            raise AssertionError(f"fully_shard was applied to this {type(each).__name__} before")
    mesh = _mesh_or_present(mesh)
    if mesh.ndim not in (1, 2):
        raise ValueError(f"fully_shard expects a 1D or 2D DeviceMesh but got {mesh}")
    group = mesh.get_group(mesh.ndim - 1)
    precision = Precision(
        mp_policy.param_dtype, mp_policy.reduce_dtype, mp_policy.output_dtype, mp_policy.cast_forward_inputs, False
    )
    items = []
    for parameter, owners in _managed(modules, ignored_params or set()).items():
        placement = shard_placement_fn(parameter) if shard_placement_fn is not None else None
        dim = 0 if placement is None else placement.dim
        if parameter.dim() == 0:
            raise ValueError(
                f"fully_shard doesn't support scalar parameters. Change {owners[0][1]} to a 1D tensor with numel equal "
                "to 1."
            )
        items.append(_sharded_item(parameter, owners, mesh, dim, precision))
    reshard = None if reshard_after_forward is None else bool(reshard_after_forward)
    unit = _DTensorUnit(items, group, mesh.get_group(0) if mesh.ndim == 2 else None, precision, reshard)
    unit.uninstall()
    for each in modules:
        each._fsdp_unit = unit
        kind = type(each)
        each.__class__ = _sharded_class(kind)
    return module


@functools.cache
def _sharded_class(kind: type) -> type:
    return type(f"FSDP{kind.__name__}", (FSDPModule, kind), {"__module__": kind.__module__})


def register_fsdp_forward_method(module: Module, method_name: str) -> None:
    """Have a method gather the module's parameters as calling it does. Without effect on other modules.

    Raises:
        ValueError: there is no such method.
    """
    if not isinstance(module, FSDPModule):
        return
    if not hasattr(module, method_name):
        raise ValueError(f"{type(module)} does not have a method {method_name}")
    method = getattr(module, method_name)

    @functools.wraps(method)
    def gathered(*args: Any, **kwargs: Any) -> Any:
        return module._fsdp_unit.run(method, args, kwargs)

    object.__setattr__(module, method_name, gathered)
