"""Tensors split over processes: each has a part, and operations send what they need."""

from __future__ import annotations

from typing import Any

from bulssi.serialization import add_safe_globals

from ..device_mesh import DeviceMesh, _find, init_device_mesh
from ._api import (
    DTensor,
    DTensorParameter,
    _wrap,
    distribute_module,
    distribute_tensor,
    empty,
    full,
    ones,
    rand,
    randn,
    zeros,
)
from .placement_types import Partial, Placement, Replicate, Shard

__all__ = [
    "DTensor",
    "DeviceMesh",
    "Partial",
    "Placement",
    "Replicate",
    "Shard",
    "distribute_module",
    "distribute_tensor",
    "empty",
    "full",
    "init_device_mesh",
    "ones",
    "rand",
    "randn",
    "zeros",
]

# What saved tensors are made of.
add_safe_globals([DTensor, DTensorParameter, Partial, Replicate, Shard, _find, _wrap])


def __getattr__(name: str) -> Any:
    if name == "parallel":
        from importlib import import_module

        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module 'torch.distributed.tensor' has no attribute {name!r}")
