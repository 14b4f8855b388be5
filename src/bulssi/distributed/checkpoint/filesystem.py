"""Checkpoints in a folder: one file of each process, and ``.metadata``, which is written last.

A folder holds the checkpoint that its ``.metadata`` describes. New files have new names; when all are on the disk, the
new ``.metadata`` takes the place of the old one in one step, and files that it does not name are removed. So whatever
happens, the folder holds the old checkpoint or the new one.
"""

from __future__ import annotations

import io
import os
import pathlib
import re
from typing import TYPE_CHECKING, Any

import bulssi
from bulssi._files import atomic_write

from . import metadata as _metadata
from .metadata import Metadata, _StorageInfo

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bulssi import Tensor

__all__ = ["FileSystemReader", "FileSystemWriter", "StorageReader", "StorageWriter"]

_FILE = re.compile(r"__(\d+)_(\d+)\.distcp$")


class StorageWriter:
    """Where a checkpoint is written."""

    path: pathlib.Path


class StorageReader:
    """Where a checkpoint is read."""

    path: pathlib.Path


class FileSystemWriter(StorageWriter):
    """Writes checkpoints into a folder that all processes reach.

    Args:
        path: the folder; it is made.
        overwrite: whether a checkpoint that is there may be replaced.
        single_file_per_rank, sync_files, thread_count, per_thread_copy_ahead, cache_staged_state_dict: accepted.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        single_file_per_rank: bool = True,
        sync_files: bool = True,
        thread_count: int = 1,
        per_thread_copy_ahead: int = 10_000_000,
        cache_staged_state_dict: bool = False,
        overwrite: bool = True,
    ) -> None:
        self.path, self.overwrite = pathlib.Path(path), overwrite

    def begin(self) -> int:
        """Make the folder; the number that new files have in their names.

        Raises:
            RuntimeError: there is a checkpoint, and it may not be replaced.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        if (self.path / ".metadata").exists() and not self.overwrite:
            raise RuntimeError(f"Checkpoint already exists and self.overwrite={self.overwrite}.\nit is in {self.path}")
        numbers = [int(found[2]) for name in os.listdir(self.path) if (found := _FILE.match(name))]
        return max(numbers, default=-1) + 1

    def write(self, rank: int, number: int, values: Sequence[Any]) -> list[_StorageInfo]:
        """Write tensors and other objects into the file of a process; where each of them is."""
        name = f"__{rank}_{number}.distcp"
        contents, places, at = [], [], 0
        for value in values:
            buffer = io.BytesIO()
            bulssi.save(value, buffer)
            contents.append(buffer.getbuffer())
            places.append(_StorageInfo(name, at, len(contents[-1])))
            at += len(contents[-1])
        if contents:
            with atomic_write(self.path / name) as file:
                for part in contents:
                    file.write(part)
        return places

    def commit(self, metadata: Metadata) -> None:
        """Make the files that were written the folder's checkpoint."""
        with atomic_write(self.path / ".metadata") as file:
            file.write(_metadata.dump(metadata))
        kept = {info.relative_path for info in metadata.storage_data.values()}
        for name in os.listdir(self.path):
            if _FILE.match(name) and name not in kept:
                (self.path / name).unlink(missing_ok=True)

    def discard(self, number: int) -> None:
        """Remove files that were written for a checkpoint that is not finished."""
        for name in os.listdir(self.path) if self.path.is_dir() else ():
            found = _FILE.match(name)
            if found and int(found[2]) == number:
                (self.path / name).unlink(missing_ok=True)


class FileSystemReader(StorageReader):
    """Reads a checkpoint from a folder.

    Args:
        path: the folder.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = pathlib.Path(path)

    def read_metadata(self) -> Metadata:
        """What the checkpoint has.

        Raises:
            FileNotFoundError: there is none.
            pickle.UnpicklingError: its description is damaged.
        """
        return _metadata.load((self.path / ".metadata").read_bytes())

    def read(self, info: _StorageInfo, tensor: bool) -> Any:
        """A tensor or another object from its place.

        Raises:
            FileNotFoundError: a file of the checkpoint is missing.
            RuntimeError, pickle.UnpicklingError: it is damaged.
        """
        name = pathlib.PurePath(info.relative_path)
        if name.is_absolute() or ".." in name.parts:
            raise RuntimeError(f"the checkpoint in {self.path} names a file outside of its folder: {name}")
        with open(self.path / name, "rb") as file:
            file.seek(info.offset)
            contents = file.read(info.length)
        if len(contents) != info.length:
            raise RuntimeError(
                f"{self.path / name} ends at byte {info.offset + len(contents)}, where {info.length} bytes from "
                f"{info.offset} were expected: the checkpoint is damaged"
            )
        value: Tensor | Any = bulssi.load(io.BytesIO(contents), map_location="cpu", weights_only=tensor)
        return value
