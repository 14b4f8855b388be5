"""Checkpoints of several processes, which any number of processes can load."""

from __future__ import annotations

from typing import Any

from .api import CheckpointException, async_save, load, load_state_dict, save, save_state_dict
from .filesystem import FileSystemReader, FileSystemWriter, StorageReader, StorageWriter
from .metadata import BytesStorageMetadata, ChunkStorageMetadata, Metadata, TensorStorageMetadata
from .planner import DefaultLoadPlanner, DefaultSavePlanner, LoadPlanner, SavePlanner

__all__ = [
    "BytesStorageMetadata",
    "CheckpointException",
    "ChunkStorageMetadata",
    "DefaultLoadPlanner",
    "DefaultSavePlanner",
    "FileSystemReader",
    "FileSystemWriter",
    "LoadPlanner",
    "Metadata",
    "SavePlanner",
    "StorageReader",
    "StorageWriter",
    "TensorStorageMetadata",
    "async_save",
    "load",
    "load_state_dict",
    "save",
    "save_state_dict",
]


def __getattr__(name: str) -> Any:
    if name in ("default_planner", "state_dict", "stateful"):
        from importlib import import_module

        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module 'torch.distributed.checkpoint' has no attribute {name!r}")
