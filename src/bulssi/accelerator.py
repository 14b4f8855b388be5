"""The device that is faster than the CPU, whatever it is. There is none: questions are answered so, the rest raises."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable

    from bulssi import device

__all__ = [
    "current_accelerator",
    "current_device_idx",
    "current_device_index",
    "current_stream",
    "device_count",
    "device_index",
    "empty_cache",
    "get_device_capability",
    "get_memory_info",
    "is_available",
    "max_memory_allocated",
    "max_memory_reserved",
    "memory_allocated",
    "memory_reserved",
    "memory_stats",
    "reset_accumulated_memory_stats",
    "reset_peak_memory_stats",
    "set_device_idx",
    "set_device_index",
    "set_stream",
    "synchronize",
]


def is_available() -> bool:
    """False."""
    return False


def device_count() -> int:
    """0."""
    return 0


def current_accelerator(check_available: bool = False) -> device | None:
    """None."""
    return None


def _none(name: str) -> NoReturn:
    raise RuntimeError(
        "Cannot access accelerator device when none is available.\n"
        f"accelerator.{name}() needs one; ask accelerator.is_available() first"
    )


def _needs_device(name: str, instead: str | None = None) -> Callable[..., NoReturn]:
    def refuse(*args: Any, **kwargs: Any) -> NoReturn:
        if instead is not None:
            warnings.warn(f"Use `{instead}` instead.", FutureWarning, stacklevel=2)
        _none(name)

    refuse.__name__ = refuse.__qualname__ = name
    refuse.__doc__ = "Raises RuntimeError: there is no accelerator."
    return refuse


current_device_index = _needs_device("current_device_index")
current_device_idx = _needs_device("current_device_idx", "current_device_index")
set_device_index = _needs_device("set_device_index")
set_device_idx = _needs_device("set_device_idx", "set_device_index")
current_stream = _needs_device("current_stream")
set_stream = _needs_device("set_stream")
synchronize = _needs_device("synchronize")
get_device_capability = _needs_device("get_device_capability")
empty_cache = _needs_device("empty_cache")
memory_stats = _needs_device("memory_stats")
memory_allocated = _needs_device("memory_allocated")
max_memory_allocated = _needs_device("max_memory_allocated")
memory_reserved = _needs_device("memory_reserved")
max_memory_reserved = _needs_device("max_memory_reserved")
reset_peak_memory_stats = _needs_device("reset_peak_memory_stats")
reset_accumulated_memory_stats = _needs_device("reset_accumulated_memory_stats")
get_memory_info = _needs_device("get_memory_info")


class device_index:
    """A block with another current accelerator; with None, a block and no more.

    Raises:
        RuntimeError: on entering, for an index.
    """

    def __init__(self, device: int | None, /) -> None:
        self.idx = device

    def __enter__(self) -> None:
        if self.idx is not None:
            _none("device_index")

    def __exit__(self, *exc: object) -> None:
        pass
