"""Modules without initial values."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bulssi.nn.modules.module import Module

if TYPE_CHECKING:
    from typing import Any


def skip_init(module_cls: type[Module], *args: Any, **kwargs: Any) -> Module:
    """``module_cls(*args, **kwargs)`` with undefined parameters; the class has to take ``device``."""
    import inspect

    if not issubclass(module_cls, Module):
        raise RuntimeError(f"Expected a Module; got {module_cls}")
    if "device" not in inspect.signature(module_cls).parameters:
        raise RuntimeError("Module must support a 'device' arg to skip initialization")
    device = kwargs.pop("device", "cpu")
    return module_cls(*args, **kwargs, device="meta").to_empty(device=device)
