"""GPUs: there is none yet. What asks is answered so; what needs one raises; what can do nothing does nothing."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from bulssi._absent import without_device

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "AcceleratorError",
    "CUDAGraph",
    "Event",
    "OutOfMemoryError",
    "Stream",
    "StreamContext",
    "can_device_access_peer",
    "cudart",
    "current_device",
    "current_stream",
    "default_stream",
    "device_count",
    "empty_cache",
    "get_arch_list",
    "get_device_capability",
    "get_device_name",
    "get_device_properties",
    "get_rng_state",
    "get_rng_state_all",
    "init",
    "initial_seed",
    "ipc_collect",
    "is_available",
    "is_bf16_supported",
    "is_initialized",
    "is_tf32_supported",
    "manual_seed",
    "manual_seed_all",
    "max_memory_allocated",
    "max_memory_reserved",
    "mem_get_info",
    "memory_allocated",
    "memory_reserved",
    "memory_stats",
    "memory_summary",
    "reset_peak_memory_stats",
    "seed",
    "seed_all",
    "set_device",
    "set_per_process_memory_fraction",
    "set_rng_state",
    "set_rng_state_all",
    "set_stream",
    "stream",
    "synchronize",
    "utilization",
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


_needs_device = without_device("cuda")
current_device = _needs_device("current_device")
current_stream = _needs_device("current_stream")
get_device_capability = _needs_device("get_device_capability")
get_device_name = _needs_device("get_device_name")
get_device_properties = _needs_device("get_device_properties")
get_rng_state = _needs_device("get_rng_state")
init = _needs_device("init")
set_device = _needs_device("set_device")
synchronize = _needs_device("synchronize")
can_device_access_peer = _needs_device("can_device_access_peer")
cudart = _needs_device("cudart")
default_stream = _needs_device("default_stream")
initial_seed = _needs_device("initial_seed")
mem_get_info = _needs_device("mem_get_info")
memory_summary = _needs_device("memory_summary")
set_per_process_memory_fraction = _needs_device("set_per_process_memory_fraction")
set_rng_state = _needs_device("set_rng_state")
utilization = _needs_device("utilization")
_lazy_init = _needs_device("_lazy_init")


def memory_stats(device: Any = None) -> OrderedDict[str, Any]:
    """Empty: nothing was allocated."""
    return OrderedDict()


def set_rng_state_all(new_states: Any) -> None:
    """Restores the states of all GPUs' generators, of which there are none.

    Raises:
        AssertionError: there are states to restore.
    """
    for state in new_states:
        set_rng_state(state)


def get_arch_list() -> list[str]:
    """Empty: there is no code for any GPU."""
    return []


def is_tf32_supported() -> bool:
    """False."""
    return False


class AcceleratorError(RuntimeError):
    """An error of a device; none is raised here."""


class OutOfMemoryError(RuntimeError):
    """The memory of a device is used up. None is raised here: the CPU's is a plain RuntimeError, as in PyTorch."""


class _NoGpuObject:
    """Raises on making one: it belongs to a GPU."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise RuntimeError(f"torch.cuda.{type(self).__name__} requires CUDA support\n{_NO_CUDA}")


class Stream(_NoGpuObject):
    """A queue of a GPU's work."""


class Event(_NoGpuObject):
    """A mark in a queue of a GPU's work."""


class CUDAGraph(_NoGpuObject):
    """Work of a GPU that was recorded."""


class StreamContext:
    """A block whose work goes to a stream; with None, a block and no more."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream

    def __enter__(self) -> None:
        if self.stream is not None:
            current_stream()

    def __exit__(self, *exc: object) -> None:
        pass


def stream(stream: Any) -> StreamContext:
    """A block whose work goes to a stream; None does nothing."""
    return StreamContext(stream)


def set_stream(stream: Any) -> None:
    """Makes a stream the current one; None does nothing."""
    if stream is not None:
        current_stream()


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
    if name in ("amp", "nccl"):
        from importlib import import_module

        return import_module(f"bulssi.cuda.{name}")
    if name.endswith("Tensor"):
        from bulssi._dtypes import typed_tensor

        return typed_tensor(f"cuda.{name}")
    if name in ("graph", "nvtx"):
        raise AttributeError(f"module 'torch.cuda' has no attribute {name!r}: {_NO_CUDA}")
    raise AttributeError(f"module 'torch.cuda' has no attribute {name!r}")
