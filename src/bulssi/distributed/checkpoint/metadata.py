"""What the file ``.metadata`` of a checkpoint says: which tensors there are, in which parts, and where those are.

The file is PyTorch's: a pickle of these classes under PyTorch's names. It is read with nothing but these names allowed.
"""

from __future__ import annotations

import io
import os
import pathlib
import pickle
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import bulssi
from bulssi._pt_write import Parts, Pickler, named

__all__ = [
    "BytesStorageMetadata",
    "ChunkStorageMetadata",
    "Metadata",
    "MetadataIndex",
    "StorageMeta",
    "TensorProperties",
    "TensorStorageMetadata",
]


@dataclass
class ChunkStorageMetadata:
    """A part of a tensor: the index of its first element, and its shape."""

    offsets: Any
    sizes: Any


class _MEM_FORMAT_ENCODING(Enum):
    """Memory formats as numbers."""

    TORCH_CONTIGUOUS_FORMAT = 0
    TORCH_CHANNELS_LAST = 1
    TORCH_PRESERVE_FORMAT = 2


class _Layout:
    """The layout of dense tensors, as it stands in files."""

    def __reduce__(self) -> Any:
        return named("torch.serialization", "_get_layout"), ("torch.strided",)


@dataclass
class TensorProperties:
    """What there is to say of a tensor beside its shape."""

    dtype: Any = field(default_factory=bulssi.get_default_dtype)
    layout: Any = bulssi.strided
    requires_grad: bool = False
    memory_format: Any = bulssi.contiguous_format
    pin_memory: bool = False

    def __getstate__(self) -> Any:
        encoded = _MEM_FORMAT_ENCODING.TORCH_CONTIGUOUS_FORMAT
        return self.dtype, _Layout(), self.requires_grad, encoded, self.pin_memory

    def __setstate__(self, state: Any) -> None:
        self.dtype, self.layout, self.requires_grad, _, self.pin_memory = state
        self.memory_format = bulssi.contiguous_format

    @staticmethod
    def create_from_tensor(tensor: Any) -> TensorProperties:
        """Those of a tensor."""
        return TensorProperties(tensor.dtype, requires_grad=tensor.requires_grad)


@dataclass
class TensorStorageMetadata:
    """A tensor: its shape and the parts in which it was saved."""

    properties: TensorProperties
    size: Any
    chunks: list[ChunkStorageMetadata]


@dataclass
class BytesStorageMetadata:
    """An object that is no tensor."""


@dataclass
class StorageMeta:
    """Where a checkpoint was written, and by which call."""

    checkpoint_id: str | os.PathLike[str] | None = None
    save_id: str | None = None
    load_id: str | None = None
    modules: list[str] = field(default_factory=list)


@dataclass
class Metadata:
    """What a checkpoint has.

    Attributes:
        state_dict_metadata: by key.
        planner_data: for each key the path in the nested state dict.
        storage_data: where each part is.
    """

    state_dict_metadata: dict[str, TensorStorageMetadata | BytesStorageMetadata]
    planner_data: Any = None
    storage_data: Any = None
    storage_meta: StorageMeta | None = None
    version: str | None = None


@dataclass(frozen=True)
class MetadataIndex:
    """A part: the key, and for a tensor the index of its first element."""

    fqn: str
    offset: Any = None
    index: int | None = field(hash=False, compare=False, default=None)

    def __init__(self, fqn: str, offset: Sequence[int] | None = None, index: int | None = None) -> None:
        object.__setattr__(self, "fqn", fqn)
        object.__setattr__(self, "index", index)
        object.__setattr__(self, "offset", None if offset is None else bulssi.Size(offset))


@dataclass
class _StorageInfo:
    """Where a part is in a folder."""

    relative_path: str
    offset: int
    length: int
    transform_descriptors: Sequence[str] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in self.__dict__.items() if v is not None}


_StorageInfo.__module__ = "bulssi.distributed.checkpoint.filesystem"  # where files say it is


def dump(metadata: Metadata) -> bytes:
    """The contents of the file."""
    parts = Parts()
    Pickler(parts).dump(metadata)
    return b"".join(parts)


def _known() -> dict[tuple[str, str], Any]:
    here = "torch.distributed.checkpoint.metadata"
    kinds = (ChunkStorageMetadata, TensorProperties, TensorStorageMetadata, BytesStorageMetadata, StorageMeta, Metadata)
    found: dict[tuple[str, str], Any] = {
        (here, kind.__name__): kind for kind in (*kinds, MetadataIndex, _MEM_FORMAT_ENCODING)
    }
    found["torch.distributed.checkpoint.filesystem", "_StorageInfo"] = _StorageInfo
    found["torch", "Size"] = bulssi.Size
    found["torch.serialization", "_get_layout"] = lambda name: bulssi.strided
    found["builtins", "getattr"] = found["__builtin__", "getattr"] = _memory_format
    for name in ("PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath"):
        found["pathlib", name] = found["pathlib._local", name] = pathlib.PurePath
    return found


def _memory_format(encoding: Any, name: Any) -> Any:
    """A member of that enumeration, as Python 3.11.0 to 3.11.3 writes it."""
    if encoding is not _MEM_FORMAT_ENCODING:
        raise pickle.UnpicklingError(f"the file asks for the attribute {name!r:.40} of {encoding!r:.80}")
    return _MEM_FORMAT_ENCODING[name]


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        found = _known().get((module, name))
        if found is None and module == "torch" and isinstance(getattr(bulssi, name, None), bulssi.dtype):
            found = getattr(bulssi, name)
        if found is None:
            raise pickle.UnpicklingError(
                f"the file names {module}.{name}, which metadata of a checkpoint does not have"
            )
        return found


def load(contents: bytes) -> Metadata:
    """What the file says. Nothing in it is run.

    Raises:
        pickle.UnpicklingError: it names something else, or is damaged.
    """
    try:
        found = _Unpickler(io.BytesIO(contents)).load()
    except (EOFError, ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        raise pickle.UnpicklingError(f"the metadata of the checkpoint is damaged: {error}") from None
    if not isinstance(found, Metadata):
        raise pickle.UnpicklingError(f"the file holds a {type(found).__name__}, not the metadata of a checkpoint")
    return found
