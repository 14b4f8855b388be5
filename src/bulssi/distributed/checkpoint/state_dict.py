"""States of models and optimizers by names of parameters, however the model is wrapped or split."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import bulssi
from bulssi import Tensor

from .. import distributed_c10d as c10d
from ..fsdp.api import FullStateDictConfig, StateDictType
from ..fsdp.fully_sharded_data_parallel import FullyShardedDataParallel as FSDP
from ..tensor import DTensor, distribute_tensor

if TYPE_CHECKING:
    from collections.abc import Callable

    from bulssi.nn import Module

__all__ = [
    "StateDictOptions",
    "get_model_state_dict",
    "get_optimizer_state_dict",
    "get_state_dict",
    "set_model_state_dict",
    "set_optimizer_state_dict",
    "set_state_dict",
]


@dataclass
class StateDictOptions:
    """Options of the functions here.

    Attributes:
        full_state_dict: whole tensors, rather than `DTensor`.
        cpu_offload: give tensors in the memory of the CPU; whole ones in process 0 only.
        ignore_frozen_params: leave out parameters that need no gradient.
        keep_submodule_prefixes: keep the paths of ``submodules`` in names.
        strict: raise when keys are missing or left over.
        broadcast_from_rank0: set the whole tensors of process 0 in all.
        flatten_optimizer_state_dict: give the state of optimizers by keys such as ``state.weight.exp_avg``.
    """

    full_state_dict: bool = False
    cpu_offload: bool = False
    ignore_frozen_params: bool = False
    keep_submodule_prefixes: bool = True
    strict: bool = True
    broadcast_from_rank0: bool = False
    flatten_optimizer_state_dict: bool = False
    dsd_fqn_modifiers: str = "_fqn_modifiers"


_WRAPPERS = ("_fsdp_wrapped_module", "_checkpoint_wrapped_module", "_orig_mod")


def _cleaner(model: Module) -> Callable[[str], str]:
    """What makes paths without the modules that wrap others."""
    from bulssi.nn.parallel import DistributedDataParallel

    around = {path for path, m in model.named_modules() if isinstance(m, DistributedDataParallel)}

    def clean(path: str) -> str:
        parts = path.split(".")
        return ".".join(
            part
            for i, part in enumerate(parts)
            if part not in _WRAPPERS and not (part == "module" and ".".join(parts[:i]) in around)
        )

    return clean


def _checked(options: StateDictOptions | None) -> StateDictOptions:
    options = options or StateDictOptions()
    if options.broadcast_from_rank0 and not options.full_state_dict:
        raise ValueError("full_state_dict must be True when broadcast_from_rank0 is True.")
    return options


def _presented(model: Module, options: StateDictOptions) -> Any:
    """The block in which wrapped modules give and take what is asked for."""
    if options.full_state_dict:
        return FSDP.state_dict_type(model, StateDictType.FULL_STATE_DICT, FullStateDictConfig())
    return FSDP.state_dict_type(model, StateDictType.SHARDED_STATE_DICT)


def _rank() -> int:
    return c10d.get_rank() if c10d.is_initialized() else 0


def _finished(state: dict[str, Any], options: StateDictOptions) -> dict[str, Any]:
    """Tensors as they are asked for."""

    def one(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: one(item) for key, item in value.items()}
        if isinstance(value, DTensor) and options.full_state_dict:
            value = value.full_tensor()
        return value.detach() if isinstance(value, Tensor) else value

    made = one(state)
    return {} if options.full_state_dict and options.cpu_offload and _rank() != 0 else made


def get_model_state_dict(
    model: Module, *, submodules: set[Module] | None = None, options: StateDictOptions | None = None
) -> dict[str, Any]:
    """The state of a model by the names of its parameters. All processes call this.

    Args:
        submodules: only those of these modules.
        options: what is asked for.
    """
    options = _checked(options)
    with _presented(model, options):
        state = model.state_dict()
    clean = _cleaner(model)
    state = {clean(key): value for key, value in state.items()}
    if options.ignore_frozen_params:
        for name, p in model.named_parameters():
            if not p.requires_grad:
                state.pop(clean(name), None)
    if submodules:
        state = _of_submodules(model, submodules, state, options)
    return _finished(state, options)


def _of_submodules(model: Module, chosen: set[Module], state: dict[str, Any], options: Any) -> dict[str, Any]:
    out, clean = {}, _cleaner(model)
    for path, module in model.named_modules():
        if module in chosen:
            prefix = clean(path) + "."
            for key, value in state.items():
                if key.startswith(prefix):
                    out[key if options.keep_submodule_prefixes else key[len(prefix) :]] = value
    return out


def set_model_state_dict(
    model: Module, model_state_dict: dict[str, Any], *, options: StateDictOptions | None = None
) -> Any:
    """Take over what :func:`get_model_state_dict` gave. All processes call this.

    Returns:
        a named tuple of ``missing_keys`` and ``unexpected_keys``.

    Raises:
        RuntimeError: keys are missing or left over and ``strict`` is set, or shapes differ.
    """
    options = _checked(options)
    clean = _cleaner(model)
    with _presented(model, options):
        wrapped = bool(FSDP.fsdp_modules(model))
        current = {} if wrapped else model.state_dict()
        if options.broadcast_from_rank0:
            model_state_dict = _from_first(model_state_dict)
        backwards = {clean(key): key for key in current}
        state: dict[str, Any] = {}
        meta = False
        for key, value in model_state_dict.items():
            own = backwards.get(key, key)
            now = current.get(own)
            meta = meta or (now is not None and now.is_meta)
            state[own] = _placed_as(value, now)
        return model.load_state_dict(state, strict=options.strict, assign=meta)


def _placed_as(value: Any, now: Any) -> Any:
    """A whole tensor split as the one that there is; others as they are."""
    if not isinstance(now, DTensor) or not isinstance(value, Tensor):
        return value
    if isinstance(value, DTensor):
        return value if value.placements == now.placements else value.redistribute(placements=now.placements)
    return distribute_tensor(value.detach(), now.device_mesh, now.placements, src_data_rank=None)


def _from_first(state: Any) -> Any:
    """What process 0 has: tensors travel one by one, everything else together."""
    tensors: list[Tensor] = []

    def out(value: Any) -> Any:
        if isinstance(value, Tensor):
            tensors.append(value)
            return _Sent(len(tensors) - 1, tuple(value.shape), value.dtype)
        return {k: out(v) for k, v in value.items()} if isinstance(value, dict) else value

    found: list[Any] = [out(state) if _rank() == 0 else None]
    c10d.broadcast_object_list(found, src=0)

    def back(value: Any) -> Any:
        if isinstance(value, _Sent):
            first = _rank() == 0
            tensor = tensors[value.index].detach() if first else bulssi.empty(value.shape, dtype=value.dtype)
            tensor = tensor.contiguous()
            c10d.broadcast(tensor, src=0)
            return tensor
        return {k: back(v) for k, v in value.items()} if isinstance(value, dict) else value

    return back(found[0])


class _Sent:
    """Stands for a tensor that comes after."""

    def __init__(self, index: int, shape: tuple[int, ...], dtype: Any) -> None:
        self.index, self.shape, self.dtype = index, shape, dtype


# ---- optimizers ------------------------------------------------------------------------------------------------------


def _init_optim_state(optim: Any) -> None:
    """Have an optimizer make its state, without a change of parameters."""
    if optim.state:
        return
    for group in optim.param_groups:
        for p in group["params"]:
            if p.grad is not None:
                return
    rates = []
    for group in optim.param_groups:
        for p in group["params"]:
            if p.requires_grad:
                p.grad = bulssi.zeros_like(p).detach()
        rates.append(group.get("lr"))
        if "lr" in group:
            group["lr"] = bulssi.zeros_like(group["lr"]) if isinstance(group["lr"], Tensor) else 0.0
    optim.step(closure=None)
    for group, rate in zip(optim.param_groups, rates, strict=True):
        if "lr" in group:
            group["lr"] = rate
    optim.zero_grad(set_to_none=True)


def _listed(optimizers: Any) -> list[Any]:
    return list(optimizers) if isinstance(optimizers, Iterable) else [optimizers]


def _by_name(model: Module, optim: Any) -> list[list[str]]:
    """The names of the parameters of an optimizer, by group."""
    clean = _cleaner(model)
    own = {id(p): clean(name) for name, p in model.named_parameters()}
    return [[own[id(p)] for p in group["params"]] for group in optim.param_groups]


def get_optimizer_state_dict(
    model: Module,
    optimizers: Any,
    *,
    submodules: set[Module] | None = None,
    options: StateDictOptions | None = None,
) -> dict[str, Any]:
    """The state of one or several optimizers by the names of parameters. All processes call this.

    Args:
        submodules: only for parameters of these modules.
        options: what is asked for.
    """
    options = _checked(options)
    state: dict[str, Any] = {"state": {}, "param_groups": []}
    for optim in _listed(optimizers):
        _init_optim_state(optim)
        if FSDP.fsdp_modules(model):
            with _presented(model, options):
                made = FSDP.optim_state_dict(model, optim)
        else:
            names = _by_name(model, optim)
            flat = [name for group in names for name in group]
            given = optim.state_dict()
            made = {
                "state": {flat[i]: dict(row) for i, row in given["state"].items()},
                "param_groups": [
                    {**{k: v for k, v in group.items() if k not in ("params", "param_names")}, "params": own}
                    for group, own in zip(given["param_groups"], names, strict=True)
                ],
            }
        state["state"].update(made["state"])
        state["param_groups"] += made["param_groups"]
    if submodules:
        state["state"] = _of_submodules(model, submodules, state["state"], options)
    if options.flatten_optimizer_state_dict:
        state = _flattened(state)
    return _finished(state, options)


def _flattened(state: dict[str, Any]) -> dict[str, Any]:
    out = {f"state.{name}.{key}": value for name, row in state["state"].items() for key, value in row.items()}
    for group in state["param_groups"]:
        for name in group["params"]:
            out.update({f"param_groups.{name}.{key}": value for key, value in group.items() if key != "params"})
    return out


def _nested(flat: dict[str, Any], names: list[list[str]]) -> dict[str, Any]:
    """What :func:`_flattened` was made of, for the groups of an optimizer."""
    state: dict[str, Any] = {}
    groups = []
    for group in names:
        options: dict[str, Any] = {}
        for name in group:
            for key, value in flat.items():
                if key.startswith(f"state.{name}."):
                    state.setdefault(name, {})[key[len(f"state.{name}.") :]] = value
                elif key.startswith(f"param_groups.{name}."):
                    options[key[len(f"param_groups.{name}.") :]] = value
        groups.append({**options, "params": group})
    return {"state": state, "param_groups": groups}


def set_optimizer_state_dict(
    model: Module, optimizers: Any, optim_state_dict: dict[str, Any], *, options: StateDictOptions | None = None
) -> None:
    """Take over what :func:`get_optimizer_state_dict` gave. All processes call this.

    Raises:
        KeyError: a parameter of an optimizer is missing from it.
    """
    options = _checked(options)
    state = _from_first(optim_state_dict) if options.broadcast_from_rank0 else optim_state_dict
    for optim in _listed(optimizers):
        _init_optim_state(optim)
        if FSDP.fsdp_modules(model):
            with _presented(model, options):
                optim.load_state_dict(FSDP.optim_state_dict_to_load(model, optim, state))
            continue
        names = _by_name(model, optim)
        mine = _nested(state, names) if state and "param_groups" not in state else state
        flat = [name for group in names for name in group]
        now = optim.state_dict()
        rows = {}
        for i, name in enumerate(flat):
            if i not in now["state"]:
                continue
            if name not in mine["state"]:
                raise KeyError(f"the state of the optimizer has nothing for parameter {name!r}")
            own = now["state"][i]
            rows[i] = {key: _placed_as(value, own.get(key)) for key, value in mine["state"][name].items()}
        groups = []
        for own, group in zip(names, now["param_groups"], strict=True):
            given = next((g for g in mine["param_groups"] if set(own) & set(g["params"])), None)
            if given is None:
                raise KeyError(f"the state of the optimizer has no group with parameter {own[0]!r}")
            groups.append({**group, **{k: v for k, v in given.items() if k != "params"}})
        optim.load_state_dict({"state": rows, "param_groups": groups})


# ---- both ------------------------------------------------------------------------------------------------------------


def get_state_dict(
    model: Module,
    optimizers: Any,
    *,
    submodules: set[Module] | None = None,
    options: StateDictOptions | None = None,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """:func:`get_model_state_dict` and :func:`get_optimizer_state_dict`."""
    state = get_model_state_dict(model, submodules=submodules, options=options)
    return state, get_optimizer_state_dict(model, optimizers, submodules=submodules, options=options)


def set_state_dict(
    model: Module,
    optimizers: Any,
    *,
    model_state_dict: dict[str, Any],
    optim_state_dict: dict[str, Any],
    options: StateDictOptions | None = None,
) -> Any:
    """:func:`set_model_state_dict` and :func:`set_optimizer_state_dict`."""
    keys = set_model_state_dict(model, model_state_dict, options=options)
    set_optimizer_state_dict(model, optimizers, optim_state_dict, options=options)
    return keys
