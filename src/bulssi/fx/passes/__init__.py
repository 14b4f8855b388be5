"""Passes over graphs."""

from __future__ import annotations

from typing import Any


def __getattr__(name: str) -> Any:
    if name == "shape_prop":
        from importlib import import_module

        return import_module("bulssi.fx.passes.shape_prop")
    raise AttributeError(f"module 'torch.fx.passes' has no attribute {name!r}")
