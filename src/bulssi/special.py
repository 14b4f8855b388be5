"""Special functions: those operations whose registration says that they are also called `special.<name>`."""

from __future__ import annotations

from typing import Any

from bulssi import _core

_functions: Any = getattr(_core, "special", None)


def __getattr__(name: str) -> Any:
    if name.startswith("__") or not hasattr(_functions, name):
        raise AttributeError(f"module 'torch.special' has no attribute {name!r}")
    found = globals()[name] = getattr(_functions, name)
    return found


def __dir__() -> list[str]:
    return sorted(name for name in dir(_functions) if not name.startswith("_"))
