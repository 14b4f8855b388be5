"""Messages between GPUs: there is no GPU."""

from __future__ import annotations

from typing import Any

__all__ = ["is_available", "version"]


def version() -> tuple[int, ...]:
    """The version of NCCL.

    Raises:
        RuntimeError: it is not there.
    """
    raise RuntimeError("PyTorch is not compiled with NCCL support\nprocesses talk by the backend 'gloo'")


def is_available(tensors: Any) -> bool:
    """False."""
    return False
