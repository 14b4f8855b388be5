"""How a state dict is saved and loaded: as keys and values, the names of which are paths."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bulssi import Tensor

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["DefaultLoadPlanner", "DefaultSavePlanner", "LoadPlanner", "SavePlanner"]

Path = tuple[Any, ...]


class SavePlanner:
    """Options of saving."""

    flatten_state_dict = True


class LoadPlanner:
    """Options of loading."""

    flatten_state_dict = True
    allow_partial_load = False


@dataclass
class DefaultSavePlanner(SavePlanner):
    """Options of saving.

    Args:
        flatten_state_dict: save what is in nested dicts under keys of its own.
        flatten_sharded_tensors, dedup_replicated_tensors, dedup_save_to_lowest_rank, enable_plan_caching: accepted:
            what several processes have, the first of them writes.
    """

    flatten_state_dict: bool = True
    flatten_sharded_tensors: bool = True
    dedup_replicated_tensors: bool | None = None
    dedup_save_to_lowest_rank: bool = False
    enable_plan_caching: bool = False


@dataclass
class DefaultLoadPlanner(LoadPlanner):
    """Options of loading.

    Args:
        flatten_state_dict: load what is in nested dicts from keys of its own.
        flatten_sharded_tensors: accepted.
        allow_partial_load: leave keys as they are that the checkpoint does not have.
    """

    flatten_state_dict: bool = True
    flatten_sharded_tensors: bool = True
    allow_partial_load: bool = False


def _is_value(value: Any) -> bool:
    """Whether this is saved as one: no dict, and no list with tensors or dicts in it."""
    if isinstance(value, dict):
        return False
    if not isinstance(value, list):
        return True
    return all(not isinstance(item, Tensor) and _is_value(item) for item in value)


def walk(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """The values in nested dicts and lists, with their paths."""
    if path and _is_value(value):
        yield path, value
        return
    items = enumerate(value) if isinstance(value, list) else value.items()
    for key, item in items:
        yield from walk(item, (*path, key if isinstance(key, int) and isinstance(value, list) else str(key)))


def flattened(state: dict[str, Any], nested: bool) -> dict[str, tuple[Path, Any]]:
    """Values by key, with their paths.

    Raises:
        ValueError: two paths have the same key.
    """
    found: dict[str, tuple[Path, Any]] = {}
    for path, value in walk(state) if nested else (((k,), v) for k, v in state.items()):
        key = ".".join(map(str, path))
        if key in found:
            raise ValueError(f"duplicated flatten key {key}\nit is that of the paths {found[key][0]} and {path}")
        found[key] = path, value
    return found


def put(state: Any, path: Path, value: Any) -> None:
    """Replace the value at a path."""
    for step in path[:-1]:
        state = state[_key(state, step)]
    state[_key(state, path[-1])] = value


def _key(state: Any, step: Any) -> Any:
    if isinstance(state, list) or step in state:
        return step
    return next(key for key in state if str(key) == step)
