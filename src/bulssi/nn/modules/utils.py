"""Small things that the layers share."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

__all__ = ["consume_prefix_in_state_dict_if_present"]


def _ntuple(n: int, name: str = "parse") -> Callable[[Any], tuple[Any, ...]]:
    def parse(x: Any) -> tuple[Any, ...]:
        return tuple(x) if isinstance(x, Iterable) else (x,) * n

    parse.__name__ = name
    return parse


_single = _ntuple(1, "_single")
_pair = _ntuple(2, "_pair")
_triple = _ntuple(3, "_triple")
_quadruple = _ntuple(4, "_quadruple")


def consume_prefix_in_state_dict_if_present(state_dict: Any, prefix: str) -> None:
    """Strip ``prefix`` (such as ``"module."``) from the keys of ``state_dict`` and of its metadata, in place."""

    def strip(mapping: Any, matches: Callable[[str], bool]) -> None:
        for key in [key for key in mapping if matches(key)]:
            mapping[key[len(prefix) :]] = mapping.pop(key)

    strip(state_dict, lambda key: key.startswith(prefix))
    if hasattr(state_dict, "_metadata"):
        whole = prefix.replace(".", "")
        strip(state_dict._metadata, lambda key: bool(key) and (key == whole or key.startswith(prefix)))
