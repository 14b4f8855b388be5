"""Apple's GPUs: there is none. `is_available()` says so; what needs one raises RuntimeError."""

from __future__ import annotations

from bulssi._absent import refusing
from bulssi.cuda import device_count, is_available, manual_seed

_NEEDS = {
    "current_allocated_memory": "getCurrentAllocatedMemory",
    "driver_allocated_memory": "getDriverAllocatedMemory",
    "empty_cache": "emptyCache",
    "get_rng_state": "getDefaultGenerator",
    "recommended_max_memory": "getRecommendedMaxMemory",
    "seed": "getDefaultGenerator",
    "set_per_process_memory_fraction": "setMemoryFraction",
    "set_rng_state": "getDefaultGenerator",
    "synchronize": "deviceSynchronize",
}
__all__ = ["device_count", "is_available", "manual_seed", *_NEEDS]  # pyright: ignore[reportUnsupportedDunderAll]

for _name, _call in _NEEDS.items():
    globals()[_name] = refusing(
        _name,
        RuntimeError,
        f"Cannot execute {_call}() without MPS backend.\nmps.{_name}() needs a GPU; ask mps.is_available() first",
    )
