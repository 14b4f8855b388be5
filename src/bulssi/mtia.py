"""MTIA devices: there is none. `is_available()` says so; what needs one raises RuntimeError."""

from __future__ import annotations

from bulssi._absent import refusing
from bulssi.cuda import device_count, is_available, is_initialized

__all__ = ["current_device", "device_count", "is_available", "is_initialized", "synchronize"]

current_device = refusing("current_device", RuntimeError, "Cannot execute getCurrentDevice() without MTIA backend.")
synchronize = refusing("synchronize", RuntimeError, "Cannot execute deviceSynchronize() without MTIA backend.")
