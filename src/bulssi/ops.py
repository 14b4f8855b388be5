"""Operations by namespace: those of the profiler, which begin and end a named range."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from bulssi import _core

__all__ = ["profiler"]


def _record_function_enter(name: str, args: str | None = None) -> Any:
    """Begin a range of a profile; returns what ends it."""
    from bulssi.autograd.profiler import record_function

    return record_function(name, args).__enter__()


def _record_function_exit(handle: Any) -> None:
    """End a range of a profile."""
    handle.__exit__()


for _function in (_record_function_enter, _record_function_exit):
    _function.__module__ += ".profiler"  # where programs find it
profiler = SimpleNamespace(
    _record_function_enter=_core.overridable(_record_function_enter),
    _record_function_exit=_core.overridable(_record_function_exit),
)
