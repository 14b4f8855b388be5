"""`FullyShardedDataParallel`: a module around another whose parameters are split over processes."""

from __future__ import annotations

import contextlib
import warnings
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import bulssi
from bulssi import Tensor
from bulssi.nn import Module, Parameter

from .. import distributed_c10d as c10d
from ..device_mesh import DeviceMesh
from ..tensor import DTensor, distribute_tensor
from ..tensor._api import _wrap
from ..tensor.placement_types import Shard
from . import _optim
from ._flat import FLAT, FlatParameter, FlatUnit
from ._fully_shard import split_parameter
from ._unit import Precision
from .api import (
    BackwardPrefetch,
    CPUOffload,
    FullOptimStateDictConfig,
    FullStateDictConfig,
    LocalOptimStateDictConfig,
    LocalStateDictConfig,
    MixedPrecision,
    OptimStateDictConfig,
    OptimStateKeyType,
    ShardedOptimStateDictConfig,
    ShardedStateDictConfig,
    ShardingStrategy,
    StateDictConfig,
    StateDictSettings,
    StateDictType,
)
from .wrap import wrap_children

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from .._process_group import ProcessGroup

__all__ = ["FlatParameter", "FullyShardedDataParallel", "OptimStateKeyType", "StateDictType"]

WRAPPED = "_fsdp_wrapped_module"
_CONFIGS: dict[StateDictType, tuple[type[StateDictConfig], type[OptimStateDictConfig]]] = {
    StateDictType.FULL_STATE_DICT: (FullStateDictConfig, FullOptimStateDictConfig),
    StateDictType.LOCAL_STATE_DICT: (LocalStateDictConfig, LocalOptimStateDictConfig),
    StateDictType.SHARDED_STATE_DICT: (ShardedStateDictConfig, ShardedOptimStateDictConfig),
}
_HYBRID = (ShardingStrategy.HYBRID_SHARD, ShardingStrategy._HYBRID_SHARD_ZERO2)


def _clean(name: str) -> str:
    """A path without the modules that wrap others."""
    return name.replace(f"{WRAPPED}.", "").replace("_checkpoint_wrapped_module.", "")


class FullyShardedDataParallel(Module):
    """Holds ``module``, whose parameters are split over processes except while it runs (Zhao et al. 2023, "PyTorch
    FSDP", arXiv:2304.11277).

    The parameters of a unit are one flat parameter, of which each process has a part; make the optimizer afterwards.
    :func:`~bulssi.distributed.fsdp.fully_shard` is the newer form.

    Args:
        module: the module.
        process_group: who takes part, all; for hybrid strategies a pair, among whom parameters are split and who has
            the same parts.
        sharding_strategy: what is split; FULL_SHARD.
        cpu_offload, backward_prefetch, forward_prefetch, limit_all_gathers, device_id: accepted; parts are in the
            memory of the CPU.
        auto_wrap_policy: which modules inside become units of their own: see :mod:`bulssi.distributed.fsdp.wrap`.
        mixed_precision: dtypes.
        ignored_modules, ignored_states: modules and parameters that are left as they are.
        param_init_fn: called with each module that has parameters on the meta device; without it, they become
            ``to_empty()`` and ``reset_parameters()`` is called.
        sync_module_states: begin with the parameters and buffers of process 0.
        use_orig_params: ``parameters()`` gives a part of each parameter, not the flat one.
        device_mesh: the processes, in place of ``process_group``: of two dimensions for hybrid strategies.

    Raises:
        ValueError: parameters of a unit differ in dtype, or in ``requires_grad`` without ``use_orig_params``; a
            hybrid strategy without two groups.

    Example:
        >>> model = FullyShardedDataParallel(nn.Linear(4, 4))  # doctest: +SKIP
        >>> optimizer = torch.optim.AdamW(model.parameters())  # doctest: +SKIP
    """

    _fsdp_wrapped_module: Module

    def __init__(
        self,
        module: Module,
        process_group: ProcessGroup | tuple[ProcessGroup, ProcessGroup] | None = None,
        sharding_strategy: ShardingStrategy | None = None,
        cpu_offload: CPUOffload | None = None,
        auto_wrap_policy: Any = None,
        backward_prefetch: BackwardPrefetch | None = BackwardPrefetch.BACKWARD_PRE,
        mixed_precision: MixedPrecision | None = None,
        ignored_modules: Iterable[Module] | None = None,
        param_init_fn: Callable[[Module], None] | None = None,
        device_id: Any = None,
        sync_module_states: bool = False,
        forward_prefetch: bool = False,
        limit_all_gathers: bool = True,
        use_orig_params: bool = False,
        ignored_states: Iterable[Any] | None = None,
        device_mesh: DeviceMesh | None = None,
    ) -> None:
        super().__init__()
        if process_group is not None and device_mesh is not None:
            raise ValueError(
                "Cannot pass both process_group and device_mesh at the same time. Please just pass only one of them."
            )
        strategy = sharding_strategy or ShardingStrategy.FULL_SHARD
        ignored = set(ignored_modules or ()) | {m for m in ignored_states or () if isinstance(m, Module)}
        self._ignored = {p for m in ignored for p in m.parameters()}
        self._ignored |= {p for p in ignored_states or () if isinstance(p, Tensor)}
        if auto_wrap_policy is not None:
            self._wrap_inside(
                module,
                auto_wrap_policy,
                ignored,
                process_group=process_group, sharding_strategy=strategy, cpu_offload=cpu_offload,
                backward_prefetch=backward_prefetch, mixed_precision=mixed_precision, param_init_fn=param_init_fn,
                device_id=device_id, sync_module_states=sync_module_states, forward_prefetch=forward_prefetch,
                limit_all_gathers=limit_all_gathers, use_orig_params=use_orig_params, device_mesh=device_mesh,
                ignored_states=[*self._ignored],
            )  # fmt: skip
        self.sharding_strategy, self.mixed_precision = strategy, mixed_precision or MixedPrecision()
        self.process_group, self._replicas, self._device_mesh = self._groups(process_group, device_mesh, strategy)
        setattr(self, WRAPPED, module)
        self._use_orig_params, self._summoned = use_orig_params, False
        self._settings = StateDictSettings()
        self._materialize(param_init_fn)
        managed = self._managed()
        if sync_module_states:
            self._sync([p for p, _, _ in managed])
        self._buffer_dtypes = self._cast_buffers()
        self._unit: FlatUnit | None = self._flatten(managed, strategy) if managed else None
        self._register_load_state_dict_pre_hook(self._before_load)
        self.register_load_state_dict_post_hook(self._after_load)

    # ---- beginning

    def _wrap_inside(self, module: Module, policy: Any, ignored: set[Module], **options: Any) -> None:
        precision: MixedPrecision | None = options["mixed_precision"]
        low = None if precision is None else precision.param_dtype
        kinds = () if precision is None else tuple(precision._module_classes_to_ignore)
        if kinds and any(isinstance(m, kinds) for m in module.modules()):
            warnings.warn(
                "Both mixed precision and an auto_wrap_policy were specified to FSDP, where the wrapped module has "
                f"submodules of type:\n{set(kinds)}\nThese modules will be wrapped as separate FSDP instacnes with "
                "mixed precision disabled.",
                stacklevel=3,
            )

            def own(module: Module, recurse: bool, nonwrapped_numel: int) -> bool:
                return recurse or isinstance(module, kinds)

            def full(child: Module) -> Module:
                dtype = next((p.dtype for p in child.parameters()), None)
                wrapped = FullyShardedDataParallel(child, **{**options, "mixed_precision": MixedPrecision(dtype)})
                if wrapped._unit is not None:
                    wrapped._unit.precision.cast_inputs = True
                    wrapped._unit.precision.output = low
                return wrapped

            wrap_children(module, own, full, FullyShardedDataParallel, ignored)
        wrap_children(
            module,
            policy,
            lambda child, **more: FullyShardedDataParallel(child, **{**options, **more}),
            FullyShardedDataParallel,
            ignored,
        )

    @staticmethod
    def _groups(
        process_group: Any, mesh: DeviceMesh | None, strategy: ShardingStrategy
    ) -> tuple[Any, ProcessGroup | None, DeviceMesh]:
        """Among whom parameters are split, who has the same parts, and all of them as a mesh."""
        hybrid = strategy in _HYBRID
        if hybrid and (mesh is None or mesh.ndim != 2) and not isinstance(process_group, tuple):
            raise ValueError(
                f"{strategy} requires explicit specification of process group or device_mesh.\n"
                "give device_mesh=init_device_mesh('cpu', (rows, columns)), or a pair of groups"
            )
        if isinstance(process_group, tuple):
            return process_group[0], process_group[1], DeviceMesh.from_group(process_group[0], "cpu")
        if mesh is None:
            group = c10d._group(process_group)
            mesh = DeviceMesh.from_group(group, "cpu")
        group = mesh.get_group(mesh.ndim - 1)
        if strategy is ShardingStrategy.NO_SHARD:
            return group, group, mesh
        return group, mesh.get_group(0) if hybrid else None, mesh

    def _materialize(self, init: Callable[[Module], None] | None) -> None:
        for module in list(self._fsdp_wrapped_module.modules()):
            if isinstance(module, FullyShardedDataParallel) or not any(
                t is not None and t.is_meta for t in (*module._parameters.values(), *module._buffers.values())
            ):
                continue
            if init is not None:
                init(module)
                continue
            module.to_empty(device="cpu", recurse=False)
            reset: Any = getattr(module, "reset_parameters", None)
            if reset is None:
                raise RuntimeError(
                    f"{type(module).__name__} has parameters without elements and no reset_parameters(): give "
                    "param_init_fn"
                )
            with bulssi.no_grad():
                reset()

    def _own_tree(self) -> Iterator[tuple[str, Module]]:
        """The modules of this unit, with their paths."""
        stack: list[tuple[str, Module]] = [("", self._fsdp_wrapped_module)]
        while stack:
            path, module = stack.pop()
            yield path, module
            children = [(f"{path}{name}.", child) for name, child in module.named_children()]
            stack += [c for c in reversed(children) if not isinstance(c[1], FullyShardedDataParallel)]

    def _managed(self) -> list[tuple[Parameter, list[tuple[Module, str]], str]]:
        found: dict[Any, tuple[list[tuple[Module, str]], str]] = {}
        for path, module in self._own_tree():
            for name, p in module._parameters.items():
                if p is not None and p not in self._ignored and not isinstance(p, FlatParameter):
                    found.setdefault(p, ([], _clean(path + name)))[0].append((module, name))
        return [(p, owners, name) for p, (owners, name) in found.items()]

    def _sync(self, parameters: list[Any]) -> None:
        """Begin with what process 0 has."""
        buffers = [b for _, m in self._own_tree() for b in m._buffers.values() if b is not None]
        for group in (self.process_group, self._replicas):
            for t in (*parameters, *buffers) if group is not None else ():
                local = t._local_tensor if isinstance(t, DTensor) else t
                c10d.broadcast(local.detach(), group=group, group_src=0)

    def _cast_buffers(self) -> dict[str, Any]:
        """Convert buffers; their dtypes before, by path."""
        wanted, before = self.mixed_precision.buffer_dtype, {}
        for path, module in self._own_tree() if wanted is not None else ():
            for name, buffer in module._buffers.items():
                if buffer is not None and buffer.is_floating_point() and buffer.dtype != wanted:
                    before[_clean(path + name)] = buffer.dtype
                    module._buffers[name] = buffer.to(wanted)
        return before

    def _flatten(self, managed: list[Any], strategy: ShardingStrategy) -> FlatUnit:
        dtypes = {p.dtype for p, _, _ in managed}
        if len(dtypes) > 1:
            raise ValueError(
                f"Must flatten tensors with uniform dtype but got {' and '.join(sorted(map(str, dtypes)))}"
            )
        needs = {p.requires_grad for p, _, _ in managed}
        if len(needs) > 1 and not self._use_orig_params:
            names = [name for p, _, name in managed if not p.requires_grad]
            raise ValueError(
                "Must flatten tensors with uniform requires_grad when use_orig_params=False\n"
                f"of {len(managed)} parameters, these need no gradient: {', '.join(names[:9])}"
            )
        mp = self.mixed_precision
        if mp.keep_low_precision_grads:
            raise NotImplementedError("keep_low_precision_grads=True: gradients have the dtype of their parameters")
        precision = Precision(
            mp.param_dtype, mp.reduce_dtype or mp.param_dtype, None, mp.cast_forward_inputs, mp.cast_root_forward_inputs
        )
        group = None if strategy is ShardingStrategy.NO_SHARD else self.process_group
        reshard = {ShardingStrategy.FULL_SHARD: None, ShardingStrategy.HYBRID_SHARD: None}.get(strategy, False)
        return FlatUnit(
            self._fsdp_wrapped_module, managed, self._use_orig_params, group, self._replicas, precision, reshard
        )

    # ---- what it is

    @property
    def module(self) -> Module:
        """The wrapped module."""
        return self._fsdp_wrapped_module

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            if name == WRAPPED:
                raise
            return getattr(self._fsdp_wrapped_module, name)

    def __getitem__(self, key: Any) -> Any:
        wrapped: Any = self._fsdp_wrapped_module
        return wrapped[key]

    def check_is_root(self) -> bool:
        """Whether no unit is around this one in the present forward: with none running, True."""
        from ._unit import _running

        return not _running or _running[0] is self._unit

    @staticmethod
    def fsdp_modules(module: Module, root_only: bool = False) -> list[FullyShardedDataParallel]:
        """The units in a tree, the outermost first; with ``root_only`` those in no other."""
        if not root_only:
            return [m for m in module.modules() if isinstance(m, FullyShardedDataParallel)]
        if isinstance(module, FullyShardedDataParallel):
            return [module]
        return [f for child in module.children() for f in FullyShardedDataParallel.fsdp_modules(child, True)]

    def named_parameters(self, *args: Any, **kwargs: Any) -> Iterator[tuple[str, Parameter]]:
        """As for any module; inside :meth:`summon_full_params` with the names of the wrapped module."""
        for name, parameter in super().named_parameters(*args, **kwargs):
            yield (_clean(name) if self._summoned else name), parameter

    def named_buffers(self, *args: Any, **kwargs: Any) -> Iterator[tuple[str, Tensor]]:
        """As for any module; inside :meth:`summon_full_params` with the names of the wrapped module."""
        for name, buffer in super().named_buffers(*args, **kwargs):
            yield (_clean(name) if self._summoned else name), buffer

    def apply(self, fn: Callable[[Module], None]) -> Any:
        """Call a function with every module, whose parameters are whole meanwhile."""
        with FullyShardedDataParallel.summon_full_params(self) if not self._summoned else contextlib.nullcontext():
            return super().apply(fn)

    # ---- running

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        if self._unit is None:
            return self._fsdp_wrapped_module(*args, **kwargs)
        return self._unit.run(self._fsdp_wrapped_module, args, kwargs)

    @contextlib.contextmanager
    def no_sync(self) -> Iterator[None]:
        """A block in which backward adds gradients up here; the next backward outside sums them over processes."""
        units = [f._unit for f in self.fsdp_modules(self) if f._unit is not None]
        before = [unit.sync for unit in units]
        for unit in units:
            unit.sync = False
        try:
            yield
        finally:
            for unit, sync in zip(units, before, strict=True):
                unit.sync = sync

    def clip_grad_norm_(self, max_norm: float, norm_type: float = 2.0) -> Tensor:
        """Scale the gradients of all parameters so that their norm, as one vector, is at most ``max_norm``.

        All processes call this, on the outermost unit.

        Returns:
            The norm before.
        """
        order, grads = float(norm_type), []
        total = bulssi.zeros(())
        largest = order == float("inf")
        with bulssi.no_grad():
            managed: set[Any] = set()
            for f in self.fsdp_modules(self):
                unit = f._unit
                if unit is None:
                    continue
                own = unit.parts or [unit.flat]
                managed.update(own)
                found = [p.grad for p in own if p.grad is not None]
                grads += found
                norm = _power(found, order)
                if unit.group is not None:
                    c10d.all_reduce(norm, c10d.ReduceOp.MAX if largest else c10d.ReduceOp.SUM, unit.group)
                total = bulssi.maximum(total, norm) if largest else total + norm
            rest = [p.grad for p in self.parameters() if p not in managed and p.grad is not None]
            total = bulssi.maximum(total, _power(rest, order)) if largest else total + _power(rest, order)
            total = total if largest else total ** (1.0 / order)
            factor = (float(max_norm) / (total + 1e-6)).clamp(max=1.0)
            for grad in (*grads, *rest):
                grad.mul_(factor.to(grad.dtype))
        return total.to(grads[0].dtype) if grads else total

    # ---- whole parameters

    @staticmethod
    @contextlib.contextmanager
    def summon_full_params(
        module: Module,
        recurse: bool = True,
        writeback: bool = True,
        rank0_only: bool = False,
        offload_to_cpu: bool = False,
        with_grads: bool = False,
    ) -> Iterator[None]:
        """A block in which modules have whole parameters. All processes enter it.

        Args:
            recurse: also in units inside.
            writeback: take changes over, of which each process keeps its part.
            rank0_only: only in process 0.
            with_grads: with their gradients.
        """
        if rank0_only and writeback:
            raise NotImplementedError("rank0_only=True and writeback=True: the others would keep other values")
        units = FullyShardedDataParallel.fsdp_modules(module)
        shown = [f for f in (units if recurse else units[:1]) if f._unit is not None]
        values = [f._present_whole(with_grads, rank0_only) for f in shown]
        try:
            yield
        finally:
            for f, tensors in zip(shown, values, strict=True):
                f._summoned = False
                if tensors is not None and f._unit is not None:
                    if writeback:
                        f._unit.write([t._local_tensor if isinstance(t, DTensor) else t for t in tensors])
                    f._unit.uninstall()

    def _present_whole(self, with_grads: bool, rank0_only: bool) -> list[Any] | None:
        unit: Any = self._unit
        unit.reshard()
        whole, grads = unit.whole(), None
        if with_grads:
            own = unit.gradient()
            grads = None if own is None else unit.split(unit.gathered_flat(own))
        if rank0_only and self.process_group.rank() != 0:
            return None
        made = [s.placed(Parameter(t, requires_grad=s.requires_grad)) for s, t in zip(unit.specs, whole, strict=True)]
        for p, g in zip(made, grads or (), strict=False):
            (p._local_tensor if isinstance(p, DTensor) else p).grad = g
        unit.present(made)
        self._summoned = True
        return made

    # ---- states

    @staticmethod
    def set_state_dict_type(
        module: Module,
        state_dict_type: StateDictType,
        state_dict_config: StateDictConfig | None = None,
        optim_state_dict_config: OptimStateDictConfig | None = None,
    ) -> StateDictSettings:
        """What ``state_dict()`` and ``optim_state_dict()`` give; returns what it was before.

        Raises:
            RuntimeError: a config is one for another type.
        """
        kinds = _CONFIGS[state_dict_type]
        model_config = kinds[0]() if state_dict_config is None else state_dict_config
        optim_config = kinds[1]() if optim_state_dict_config is None else optim_state_dict_config
        for config, kind in ((model_config, kinds[0]), (optim_config, kinds[1])):
            if type(config) is not kind:
                raise RuntimeError(
                    f"Expected {'optim_' * (kind is kinds[1])}state_dict_config of type {kind} but got {type(config)}"
                )
        units = FullyShardedDataParallel.fsdp_modules(module)
        before = units[0]._settings if units else StateDictSettings()
        for f in units:
            f._settings = StateDictSettings(state_dict_type, model_config, optim_config)
        return before

    @staticmethod
    def get_state_dict_type(module: Module) -> StateDictSettings:
        """What ``state_dict()`` and ``optim_state_dict()`` give."""
        units = FullyShardedDataParallel.fsdp_modules(module)
        return units[0]._settings if units else StateDictSettings()

    @staticmethod
    @contextlib.contextmanager
    def state_dict_type(
        module: Module,
        state_dict_type: StateDictType,
        state_dict_config: StateDictConfig | None = None,
        optim_state_dict_config: OptimStateDictConfig | None = None,
    ) -> Iterator[None]:
        """A block in which ``state_dict()`` and ``optim_state_dict()`` give something else."""
        before = FullyShardedDataParallel.set_state_dict_type(
            module, state_dict_type, state_dict_config, optim_state_dict_config
        )
        try:
            yield
        finally:
            for f in FullyShardedDataParallel.fsdp_modules(module):
                f._settings = before

    def _split(self, value: Any) -> Any:
        """A whole tensor as `DTensor`, split as ``SHARDED_STATE_DICT`` has it."""
        return split_parameter(value, self._device_mesh, 0).detach()

    def state_dict(self, *args: Any, destination: Any = None, prefix: str = "", keep_vars: bool = False) -> Any:
        """The state under the names of the wrapped module, as :meth:`state_dict_type` says. All processes call this."""
        given = dict(zip(("destination", "prefix"), args, strict=False))
        destination, prefix = given.get("destination", destination), given.get("prefix", prefix)
        if destination is None:
            destination = OrderedDict()
            destination._metadata = OrderedDict()
        before, unit, settings = set(destination), self._unit, self._settings
        kind, wrapped = settings.state_dict_type, self._fsdp_wrapped_module
        if unit is None:
            return wrapped.state_dict(destination=destination, prefix=prefix)
        unit.reshard()
        if kind is StateDictType.LOCAL_STATE_DICT:
            flat = _wrap(unit.flat.detach(), self._flat_mesh(), self._flat_placements(), unit.items[0].shape)
            values: list[Any] = []
            unit.present([None] * len(unit.specs))
            unit.root._parameters[FLAT] = flat
        else:
            values = [s.placed(t) for s, t in zip(unit.specs, unit.whole(), strict=True)]
            if kind is StateDictType.SHARDED_STATE_DICT:
                values = [self._split(v) for v in values]
            else:
                values = [v.full_tensor() if isinstance(v, DTensor) else v for v in values]
            unit.present(values)
        try:
            wrapped.state_dict(destination=destination, prefix=prefix)
        finally:
            unit.root._parameters.pop(FLAT, None)
            unit.uninstall()
        for name, dtype in self._buffer_dtypes.items():
            if prefix + name in destination:
                destination[prefix + name] = destination[prefix + name].to(dtype)
        if getattr(settings.state_dict_config, "rank0_only", False) and c10d.get_rank() != 0:
            for key in [key for key in destination if key.startswith(prefix) and key not in before]:
                del destination[key]
        return destination

    def _flat_mesh(self) -> DeviceMesh:
        mesh = self._device_mesh
        return mesh if mesh.ndim == 1 else DeviceMesh.from_group(self.process_group, "cpu")

    def _flat_placements(self) -> Any:
        from ..tensor import Replicate

        return (Replicate() if self._unit is not None and self._unit.group is None else Shard(0),)

    def _before_load(self, state_dict: Any, prefix: str, *others: Any) -> None:
        """Names with the modules that wrap others, and whole parameters to load into."""
        inner = f"{prefix}{WRAPPED}."
        for key in [k for k in state_dict if k.startswith(prefix) and not k.startswith(inner)]:
            state_dict[inner + key[len(prefix) :]] = state_dict.pop(key)
        unit = self._unit
        if unit is None:
            return
        unit.reshard()
        if self._settings.state_dict_type is StateDictType.LOCAL_STATE_DICT:
            unit.present([None] * len(unit.specs))
            unit.root._parameters[FLAT] = unit.flat
            if isinstance(state_dict.get(inner + FLAT), DTensor):
                state_dict[inner + FLAT] = state_dict[inner + FLAT].to_local()
            return
        whole = [s.placed(Parameter(t, s.requires_grad)) for s, t in zip(unit.specs, unit.whole(), strict=True)]
        for spec in unit.specs:
            key = next((k for k in (inner + spec.name,) if k in state_dict), None)
            value = state_dict[key] if key else None
            if isinstance(value, DTensor):
                value = state_dict[key] = value.full_tensor()
            if spec.like is not None and value is not None:
                like = spec.like
                state_dict[key] = distribute_tensor(
                    value.detach(), like.device_mesh, like.placements, src_data_rank=None
                )
        unit.present(whole)

    def _after_load(self, module: Module, keys: Any) -> None:
        unit = self._unit
        if unit is None:
            return
        if self._settings.state_dict_type is not StateDictType.LOCAL_STATE_DICT:
            loaded = [spec.owners[0][0]._parameters[spec.owners[0][1]] for spec in unit.specs]
            unit.write([t._local_tensor if isinstance(t, DTensor) else t for t in loaded])  # type: ignore[misc]
        unit.root._parameters.pop(FLAT, None)
        unit.uninstall()

    # ---- states of optimizers

    @staticmethod
    def full_optim_state_dict(
        model: Module, optim: Any, optim_input: Any = None, rank0_only: bool = True, group: Any = None
    ) -> dict[str, Any]:
        """The state of an optimizer by names of parameters, whole; with ``rank0_only`` empty in other processes.

        All processes call this.
        """
        state = _optim.gather(model, optim, None)
        return state if not rank0_only or c10d.get_rank() == 0 else {}

    @staticmethod
    def sharded_optim_state_dict(model: Module, optim: Any, group: Any = None) -> dict[str, Any]:
        """The state of an optimizer by names of parameters, as `DTensor`. All processes call this."""
        return _optim.gather(model, optim, FullyShardedDataParallel._split)

    @staticmethod
    def optim_state_dict(
        model: Module, optim: Any, optim_state_dict: dict[str, Any] | None = None, group: Any = None
    ) -> dict[str, Any]:
        """The state of an optimizer by names of parameters, as :meth:`state_dict_type` says. All processes call this.

        Args:
            optim_state_dict: what ``optim.state_dict()`` gave, if not its present state.
        """
        settings = FullyShardedDataParallel.get_state_dict_type(model)
        sharded = settings.state_dict_type is not StateDictType.FULL_STATE_DICT
        split = FullyShardedDataParallel._split if sharded else None
        state = _optim.gather(model, optim, split, optim_state_dict)
        rank0_only = getattr(settings.optim_state_dict_config, "rank0_only", False)
        return {} if rank0_only and c10d.get_rank() != 0 else state

    @staticmethod
    def shard_full_optim_state_dict(
        full_optim_state_dict: dict[str, Any], model: Module, optim_input: Any = None, optim: Any = None
    ) -> dict[str, Any]:
        """What :meth:`full_optim_state_dict` gave as a state for ``optim.load_state_dict()``, of this process."""
        return _optim.scatter(full_optim_state_dict, model, optim, optim_input)

    @staticmethod
    def scatter_full_optim_state_dict(
        full_optim_state_dict: dict[str, Any] | None,
        model: Module,
        optim_input: Any = None,
        optim: Any = None,
        group: Any = None,
    ) -> dict[str, Any]:
        """:meth:`shard_full_optim_state_dict` of what process 0 has. All processes call this."""
        found: list[Any] = [full_optim_state_dict]
        c10d.broadcast_object_list(found, src=0, group=group)
        return _optim.scatter(found[0], model, optim, optim_input)

    @staticmethod
    def flatten_sharded_optim_state_dict(
        sharded_optim_state_dict: dict[str, Any], model: Module, optim: Any
    ) -> dict[str, Any]:
        """What :meth:`sharded_optim_state_dict` gave as a state for ``optim.load_state_dict()``, of this process."""
        return _optim.scatter(sharded_optim_state_dict, model, optim, None)

    @staticmethod
    def optim_state_dict_to_load(
        model: Module,
        optim: Any,
        optim_state_dict: dict[str, Any],
        is_named_optimizer: bool = False,
        load_directly: bool = False,
        group: Any = None,
    ) -> dict[str, Any]:
        """What :meth:`optim_state_dict` gave as a state for ``optim.load_state_dict()``. All processes call this.

        Args:
            load_directly: load it, too.
        """
        config = FullyShardedDataParallel.get_state_dict_type(model).optim_state_dict_config
        if getattr(config, "rank0_only", False):
            found: list[Any] = [optim_state_dict]
            c10d.broadcast_object_list(found, src=0, group=group)
            optim_state_dict = found[0]
        made = _optim.scatter(optim_state_dict, model, optim, None)
        if load_directly:
            optim.load_state_dict(made)
        return made

    @staticmethod
    def rekey_optim_state_dict(
        optim_state_dict: dict[str, Any],
        optim_state_key_type: OptimStateKeyType,
        model: Module,
        optim_input: Any = None,
        optim: Any = None,
    ) -> dict[str, Any]:
        """The state of an optimizer of a model that is not wrapped, by names or by numbers of its parameters."""
        return _optim.rekey(optim_state_dict, optim_state_key_type is OptimStateKeyType.PARAM_NAME, model, optim)


def _power(tensors: list[Tensor], order: float) -> Tensor:
    """The sum of powers of all elements, or the largest."""
    total = bulssi.zeros(())
    for t in tensors:
        if t.numel():
            norm = bulssi.linalg.vector_norm(t, order).float()
            total = bulssi.maximum(total, norm) if order == float("inf") else total + norm**order
    return total
