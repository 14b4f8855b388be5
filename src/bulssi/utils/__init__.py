"""Tools beside the library proper: data loading, checkpointing, hooks."""

from __future__ import annotations

__all__ = ["checkpoint", "data", "dlpack", "hooks", "tensorboard"]


def __getattr__(name: str) -> object:
    if name in __all__:  # loaded on first use, to keep `import bulssi` short
        from importlib import import_module

        return import_module(f"bulssi.utils.{name}")
    raise AttributeError(f"module 'torch.utils' has no attribute {name!r}")
