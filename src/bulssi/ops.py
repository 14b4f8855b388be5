"""Operations by namespace: `ops.aten.add` is the library's own, `ops.<name>` those of :mod:`library`."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, NoReturn

import bulssi
from bulssi import _core

__all__ = ["load_library", "loaded_libraries", "profiler"]

loaded_libraries: set[str] = set()


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


def load_library(path: Any) -> NoReturn:
    """Raises OSError: libraries of operations are built on PyTorch's C++ headers, and need its library."""
    raise OSError(f"Could not load this library: {path}\nIt holds operations for PyTorch's own core")


class _Packet:
    """An operation under `torch.ops`, with its overloads as attributes."""

    def __init__(self, namespace: str, name: str, function: Any, overloads: tuple[str, ...] = ("default",)) -> None:
        self._qualified_op_name = f"{namespace}::{name}"
        self._function = function
        self._overloads = overloads
        self.__name__ = name

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._function(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<OpOverloadPacket(op='{str(self)}')>"

    def __str__(self) -> str:
        return self._qualified_op_name.replace("::", ".")

    def overloads(self) -> list[str]:
        """The names of the overloads."""
        return list(self._overloads)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or not (name in self._overloads or self._qualified_op_name.startswith("aten::")):
            raise AttributeError(f"The underlying op of '{self}' has no overload name '{name}'", name=name, obj=self)
        return self._function


class _Namespace:
    """`ops.<name>`: the operations of a namespace."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"<module 'torch.ops.{self.name}'>"

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("__"):
            from bulssi.library import find_operator

            if (operator := find_operator(f"{self.name}::{name}")) is not None:
                return _Packet(self.name, name, operator)
            if self.name == "aten" and (own := _own(name)) is not None:
                return _Packet(self.name, name, own)
        raise AttributeError(f"'_OpNamespace' '{self.name}' object has no attribute '{name}'", name=name, obj=self)


def _own(name: str) -> Any:
    """The library's operation of that name, in PyTorch a function or a method."""
    for holder in (_core, bulssi.Tensor, getattr(_core, "_nn", None)):
        found = getattr(holder, name, None)
        if callable(found) and not isinstance(found, type):
            return found
    return None


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(f"module 'torch.ops' has no attribute {name!r}")
    made = globals()[name] = _Namespace(name)
    return made
