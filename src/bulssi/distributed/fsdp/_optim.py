"""The state of an optimizer of flat parameters: by names of parameters and whole, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import bulssi
from bulssi import Tensor

from ..tensor import DTensor

if TYPE_CHECKING:
    from collections.abc import Callable

    from bulssi.nn import Module

__all__ = ["gather", "rekey", "scatter"]


def _units(model: Module) -> list[tuple[str, Any]]:
    """The units in a tree, with the paths of their modules."""
    from .fully_sharded_data_parallel import FullyShardedDataParallel, _clean

    found = []
    for path, module in model.named_modules():
        if isinstance(module, FullyShardedDataParallel) and module._unit is not None:
            found.append((_clean(f"{path}." if path else ""), module))
    return found


def _owners(model: Module) -> dict[int, tuple[Any, str, int]]:
    """For each parameter of an optimizer: its unit, the path of that, and which of its specs it is; -1 for all."""
    found: dict[int, tuple[Any, str, int]] = {}
    for path, module in _units(model):
        unit = module._unit
        if unit.original:
            found.update({id(p): (module, path, i) for i, p in enumerate(unit.parts)})
        else:
            found[id(unit.flat)] = module, path, -1
    return found


def _names(model: Module, owners: dict[int, Any], parameter: Tensor, plain: dict[int, str]) -> list[str]:
    """The names of the parameters in one of an optimizer's."""
    if id(parameter) not in owners:
        if id(parameter) not in plain:
            raise KeyError(
                f"the optimizer has a parameter of shape {tuple(parameter.shape)} that the model does not have"
            )
        return [plain[id(parameter)]]
    module, path, index = owners[id(parameter)]
    specs = module._unit.specs
    return [path + spec.name for spec in (specs if index < 0 else [specs[index]])]


def _plain_names(model: Module) -> dict[int, str]:
    from .fully_sharded_data_parallel import _clean

    return {id(p): _clean(name) for name, p in model.named_parameters()}


def _is_elementwise(value: Any, count: int) -> bool:
    return isinstance(value, Tensor) and value.dim() > 0 and value.numel() == count


def gather(
    model: Module, optim: Any, split: Callable[[Any, Any], Any] | None, given: dict[str, Any] | None = None
) -> dict[str, Any]:
    """The state of an optimizer by names, with whole tensors or what ``split`` makes of them.

    Args:
        given: what ``optim.state_dict()`` gave, if not the present state.
    """
    owners, plain = _owners(model), _plain_names(model)
    if given is None:
        state_of = {id(p): s for p, s in optim.state.items()}
    else:
        numbered = [p for group in optim.param_groups for p in group["params"]]
        state_of = {id(numbered[i]): s for i, s in given["state"].items()}
    groups, state, done = [], {}, set()
    for group in optim.param_groups:
        names = []
        for p in group["params"]:
            names += _names(model, owners, p, plain)
            if id(p) not in owners:
                if state_of.get(id(p)):
                    state[plain[id(p)]] = dict(state_of[id(p)])
                continue
            module, path, _ = owners[id(p)]
            if id(module) not in done:
                done.add(id(module))
                state.update(_gather_unit(module, path, state_of, split))
        groups.append({**{k: v for k, v in group.items() if k != "params"}, "params": names})
    return {"state": state, "param_groups": groups}


def _gather_unit(module: Any, path: str, state_of: dict[int, Any], split: Any) -> dict[str, dict[str, Any]]:
    unit = module._unit
    rows: list[dict[str, Any]] = [{} for _ in unit.specs]
    if not unit.original:
        for key, value in state_of.get(id(unit.flat), {}).items():
            if _is_elementwise(value, unit.flat.numel()):
                values = unit.split(unit.gathered_flat(value))
            else:
                values = [value] * len(rows)
            for row, each in zip(rows, values, strict=True):
                row[key] = each
    else:
        own = [state_of.get(id(p), {}) for p in unit.parts]
        for key in dict.fromkeys(key for s in own for key in s):
            known = [(s.get(key), p) for s, p in zip(own, unit.parts, strict=True)]
            if all(v is None or not isinstance(v, Tensor) or v.dim() == 0 for v, _ in known):
                for row, (value, _) in zip(rows, known, strict=True):
                    if value is not None:
                        row[key] = value
                continue
            parts = [p.new_zeros(p.shape) if v is None else v.reshape(-1) for v, p in known]
            padding = unit.flat.new_zeros(unit.flat.numel() - sum(t.numel() for t in parts))
            whole = unit.split(unit.gathered_flat(bulssi.cat([*parts, padding.to(parts[0].dtype)])))
            for row, value, (v, _) in zip(rows, whole, known, strict=True):
                if v is not None:
                    row[key] = value
    for row, spec in zip(rows, unit.specs, strict=True):
        for key, value in row.items():
            if isinstance(value, Tensor) and value.dim() == 0:
                row[key] = value.clone()  # a counter, which goes on
            elif isinstance(value, Tensor) and tuple(value.shape) == spec.shape and value.dim() > 0:
                value = spec.placed(value)
                row[key] = split(module, value) if split is not None else _whole(value)
    return {path + spec.name: row for spec, row in zip(unit.specs, rows, strict=True) if row}


def _whole(value: Any) -> Any:
    return value.full_tensor() if isinstance(value, DTensor) else value


def scatter(full: dict[str, Any], model: Module, optim: Any, optim_input: Any) -> dict[str, Any]:
    """A state by names as one by numbers, of this process's parts.

    Raises:
        KeyError: a parameter of a group is missing from it.
    """
    owners, plain = _owners(model), _plain_names(model)
    if optim is not None:
        groups = [group["params"] for group in optim.param_groups]
    else:
        given = list(model.parameters() if optim_input is None else optim_input)
        groups = [list(g["params"]) for g in given] if given and isinstance(given[0], dict) else [given]
    state, made, number = {}, [], 0
    states = {name: {k: _whole(v) for k, v in row.items()} for name, row in full["state"].items()}
    options = [{k: v for k, v in g.items() if k != "params"} for g in full["param_groups"]]
    if len(options) != len(groups):
        raise ValueError(f"the state has {len(options)} groups of parameters, and the optimizer {len(groups)}")
    for group, option in zip(groups, options, strict=True):
        numbers = []
        for p in group:
            row = _scatter_one(p, _names(model, owners, p, plain), owners, states)
            if row:
                state[number] = row
            numbers.append(number)
            number += 1
        made.append({**option, "params": numbers})
    return {"state": state, "param_groups": made}


def _scatter_one(parameter: Any, names: list[str], owners: dict[int, Any], states: dict[str, Any]) -> dict[str, Any]:
    rows = [states.get(name, {}) for name in names]
    if id(parameter) not in owners:
        return rows[0]
    module, _, index = owners[id(parameter)]
    unit = module._unit
    out: dict[str, Any] = {}
    for key in dict.fromkeys(key for row in rows for key in row):
        values: list[Any] = [None] * len(unit.specs)
        for i, row in enumerate(rows):
            at = i if index < 0 else index
            values[at] = _local_part(row.get(key), unit.specs[at])
        some = next(v for v in values if v is not None)
        if not isinstance(some, Tensor) or some.dim() == 0:
            out[key] = some.clone() if isinstance(some, Tensor) else some
            continue
        part = unit.part(values)
        begin, end = (0, unit.flat.numel()) if index < 0 else unit._bounds(unit.specs[index])
        out[key] = part[begin:end]
    return out


def _local_part(value: Any, spec: Any) -> Any:
    """What belongs to this process of a tensor whose parameter was split already."""
    if spec.like is None or not isinstance(value, Tensor) or value.dim() == 0:
        return value
    from ..tensor import distribute_tensor

    return distribute_tensor(value, spec.like.device_mesh, spec.like.placements, src_data_rank=None)._local_tensor


def rekey(state: dict[str, Any], by_name: bool, model: Module, optim: Any) -> dict[str, Any]:
    """A state by names, or by numbers, of the parameters of a model that is not wrapped."""
    names = _plain_names(model)
    groups = [list(model.parameters())] if optim is None else [group["params"] for group in optim.param_groups]
    order = [names[id(p)] for group in groups for p in group]
    to: dict[Any, Any] = dict(enumerate(order)) if by_name else {name: i for i, name in enumerate(order)}
    return {
        "state": {to.get(key, key): row for key, row in state["state"].items()},
        "param_groups": [
            {**group, "params": [to.get(key, key) for key in group["params"]]} for group in state["param_groups"]
        ],
    }
