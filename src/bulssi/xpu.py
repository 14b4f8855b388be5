"""Intel's GPUs: there is none. What asks is answered so; what needs one raises; what can do nothing does nothing."""

# ruff: noqa: I001 (imports of one module stay together)

from bulssi._absent import without_device as _without_device
from bulssi.cuda import (
    AcceleratorError as AcceleratorError,
    OutOfMemoryError as OutOfMemoryError,
    StreamContext as StreamContext,
    device_count as device_count,
    empty_cache as empty_cache,
    get_arch_list as get_arch_list,
    get_rng_state_all as get_rng_state_all,
    is_available as is_available,
    is_bf16_supported as is_bf16_supported,
    is_initialized as is_initialized,
    is_tf32_supported as is_tf32_supported,
    manual_seed as manual_seed,
    manual_seed_all as manual_seed_all,
    max_memory_allocated as max_memory_allocated,
    max_memory_reserved as max_memory_reserved,
    memory_allocated as memory_allocated,
    memory_reserved as memory_reserved,
    memory_stats as memory_stats,
    reset_peak_memory_stats as reset_peak_memory_stats,
    seed as seed,
    seed_all as seed_all,
    set_rng_state_all as set_rng_state_all,
    set_stream as set_stream,
    stream as stream,
)

_needs_device = _without_device("xpu")
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
