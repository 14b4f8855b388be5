"""GPUs: there is none yet. What asks is answered so; what needs one raises; what can do nothing does nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "current_device",
    "current_stream",
    "device_count",
    "empty_cache",
    "get_device_capability",
    "get_device_name",
    "get_device_properties",
    "get_rng_state",
    "get_rng_state_all",
    "init",
    "ipc_collect",
    "is_available",
    "is_bf16_supported",
    "is_initialized",
    "manual_seed",
    "manual_seed_all",
    "max_memory_allocated",
    "max_memory_reserved",
    "memory_allocated",
    "memory_reserved",
    "reset_peak_memory_stats",
    "seed",
    "seed_all",
    "set_device",
    "synchronize",
]

_NO_CUDA = "Torch not compiled with CUDA enabled"


def is_available() -> bool:
    """False."""
    return False


def device_count() -> int:
    """0."""
    return 0


def is_initialized() -> bool:
    """False."""
    return False


def is_bf16_supported(including_emulation: bool = True) -> bool:
    """False."""
    return False


# Seeds and caches of no device: nothing to do.


def manual_seed(seed: int) -> None:
    """Nothing: there is no GPU whose stream to seed."""
    int(seed)


def manual_seed_all(seed: int) -> None:
    """Nothing: there are no GPUs whose streams to seed."""
    int(seed)


def seed() -> None:
    """Nothing."""


def seed_all() -> None:
    """Nothing."""


def empty_cache() -> None:
    """Nothing: no GPU memory is kept."""


def ipc_collect() -> None:
    """Nothing."""


def get_rng_state_all() -> list[Any]:
    """The states of all GPUs' generators: none."""
    return []


def _none_in_use(name: str) -> Callable[..., int]:
    def memory(device: Any = None) -> int:
        return 0

    memory.__name__ = memory.__qualname__ = name
    memory.__doc__ = "0 bytes."
    return memory


memory_allocated = _none_in_use("memory_allocated")
memory_reserved = _none_in_use("memory_reserved")
max_memory_allocated = _none_in_use("max_memory_allocated")
max_memory_reserved = _none_in_use("max_memory_reserved")


def reset_peak_memory_stats(device: Any = None) -> None:
    """Nothing."""


# What needs a device.


def _needs_device(name: str) -> Callable[..., NoReturn]:
    def refuse(*args: Any, **kwargs: Any) -> NoReturn:
        raise AssertionError(f"{_NO_CUDA}\ncuda.{name}() needs a GPU; ask cuda.is_available() first")

    refuse.__name__ = refuse.__qualname__ = name
    refuse.__doc__ = "Raises AssertionError: there is no GPU."
    return refuse


current_device = _needs_device("current_device")
current_stream = _needs_device("current_stream")
get_device_capability = _needs_device("get_device_capability")
get_device_name = _needs_device("get_device_name")
get_device_properties = _needs_device("get_device_properties")
get_rng_state = _needs_device("get_rng_state")
init = _needs_device("init")
set_device = _needs_device("set_device")
synchronize = _needs_device("synchronize")


class device:
    """A block with another current GPU. Raises on entering: there is none; a negative index or None does nothing."""

    def __init__(self, device: Any) -> None:
        self.idx = -1 if device is None else device if isinstance(device, int) else 0

    def __enter__(self) -> None:
        if self.idx >= 0:
            set_device(self.idx)

    def __exit__(self, *exc: object) -> None:
        pass


def __getattr__(name: str) -> Any:
    if name == "amp":
        from importlib import import_module

        return import_module("bulssi.cuda.amp")
    if name.endswith("Tensor") or name in ("Stream", "Event", "CUDAGraph", "graph", "nvtx"):
        raise AttributeError(f"module 'torch.cuda' has no attribute {name!r}: {_NO_CUDA}")
    raise AttributeError(f"module 'torch.cuda' has no attribute {name!r}")
