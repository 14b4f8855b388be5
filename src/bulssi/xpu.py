"""Intel's GPUs: there is none. What asks is answered so; what needs one raises; what can do nothing does nothing."""

from __future__ import annotations

from bulssi._absent import without_device
from bulssi.cuda import (
    AcceleratorError,
    OutOfMemoryError,
    StreamContext,
    device_count,
    empty_cache,
    get_arch_list,
    get_rng_state_all,
    is_available,
    is_bf16_supported,
    is_initialized,
    is_tf32_supported,
    manual_seed,
    manual_seed_all,
    max_memory_allocated,
    max_memory_reserved,
    memory_allocated,
    memory_reserved,
    memory_stats,
    reset_peak_memory_stats,
    seed,
    seed_all,
    set_rng_state_all,
    set_stream,
    stream,
)

__all__ = [
    "AcceleratorError",
    "OutOfMemoryError",
    "StreamContext",
    "current_device",
    "current_stream",
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
    "reset_peak_memory_stats",
    "seed",
    "seed_all",
    "set_device",
    "set_rng_state",
    "set_rng_state_all",
    "set_stream",
    "stream",
    "synchronize",
]

_needs_device = without_device("xpu")
current_device = _needs_device("current_device")
current_stream = _needs_device("current_stream")
get_device_capability = _needs_device("get_device_capability")
get_device_name = _needs_device("get_device_name")
get_device_properties = _needs_device("get_device_properties")
get_rng_state = _needs_device("get_rng_state")
init = _needs_device("init")
initial_seed = _needs_device("initial_seed")
mem_get_info = _needs_device("mem_get_info")
set_device = _needs_device("set_device")
set_rng_state = _needs_device("set_rng_state")
synchronize = _needs_device("synchronize")
