"""Data parallelism: over devices of one process, and over processes."""

from __future__ import annotations

from typing import Any

from .data_parallel import DataParallel, data_parallel
from .scatter_gather import gather, parallel_apply, replicate, scatter

__all__ = [
    "DataParallel",
    "DistributedDataParallel",
    "data_parallel",
    "gather",
    "parallel_apply",
    "replicate",
    "scatter",
]


def __getattr__(name: str) -> Any:
    if name in ("DistributedDataParallel", "distributed"):  # loaded on first use, with what it stands on
        from importlib import import_module

        module = import_module(f"{__name__}.distributed")
        return module if name == "distributed" else module.DistributedDataParallel
    raise AttributeError(f"module 'torch.nn.parallel' has no attribute {name!r}")
