"""Operations by namespace: those of the profiler, which begin and end a named range."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from bulssi import _core

__all__ = ["profiler"]


@_core.overridable
def _record_function_enter(name: str, args: str | None = None) -> Any:
    """Begin a range of a profile; returns what ends it."""
    from bulssi.autograd.profiler import record_function

    return record_function(name, args).__enter__()


@_core.overridable
def _record_function_exit(handle: Any) -> None:
    """End a range of a profile."""
    handle.__exit__()


profiler = SimpleNamespace(
    _record_function_enter=_record_function_enter,
    _record_function_enter_new=_record_function_enter,
    _record_function_exit=_record_function_exit,
)
