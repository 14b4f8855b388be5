"""The safetensors format: eight bytes with the length of a JSON header, the header, and the tensors' bytes.

Specification: https://github.com/huggingface/safetensors (format section of its README).
"""

from __future__ import annotations

import os
import struct
from typing import TYPE_CHECKING, Any

import bulssi
from bulssi._bytes import bytes_of
from bulssi._files import atomic_write

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bulssi import Tensor

__all__ = ["SafetensorError", "load", "load_file", "safe_open", "save", "save_file"]

_NAMES = {
    "BOOL": "bool", "U8": "uint8", "I8": "int8", "I16": "int16", "U16": "uint16", "I32": "int32", "U32": "uint32",
    "I64": "int64", "U64": "uint64", "F16": "float16", "BF16": "bfloat16", "F32": "float32", "F64": "float64",
    "C64": "complex64",
}  # fmt: skip
_MAX_HEADER = 100_000_000  # bytes, as the specification says


class SafetensorError(ValueError):
    """A file that is no proper safetensors file."""


def _header(tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None) -> tuple[bytes, list[Tensor]]:
    import json

    codes = {name: code for code, name in _NAMES.items()}
    header: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    blobs, at = [], 0
    # Larger elements first, so that each tensor is aligned to its own size.
    for name, tensor in sorted(tensors.items(), key=lambda item: (-item[1].element_size(), item[0])):
        code = codes.get(str(tensor.dtype).rpartition(".")[2])
        if code is None:
            raise TypeError(f"safetensors: {name} has dtype {tensor.dtype}, which the format does not know")
        blob = tensor.detach().contiguous()
        end = at + blob.numel() * blob.element_size()
        header[name] = {"dtype": code, "shape": list(blob.shape), "data_offsets": [at, end]}
        blobs.append(blob)
        at = end
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text, blobs


def save(tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> bytes:
    """The safetensors bytes of named tensors. `metadata` maps strings to strings."""
    head, blobs = _header(tensors, metadata)
    return b"".join([head, *map(bytes_of, blobs)])


def save_file(
    tensors: Mapping[str, Tensor], filename: str | os.PathLike[str], metadata: Mapping[str, str] | None = None
) -> None:
    """Writes named tensors to a safetensors file, in one step: the old file stays until the new one is complete."""
    head, blobs = _header(tensors, metadata)
    with atomic_write(filename) as file:
        file.write(head)
        for blob in blobs:
            file.write(bytes_of(blob))


def load(data: bytes) -> dict[str, Tensor]:
    """The named tensors in safetensors bytes. Raises SafetensorError when they are damaged."""
    view = memoryview(data)
    entries, start, _ = _parse(bytes(view[: 8 + _header_length(bytes(view[:8]), len(view))]), len(view))
    out = {}
    for name, (dtype, shape, begin, end) in entries.items():
        tensor = bulssi.empty(shape, dtype=dtype)
        bytes_of(tensor)[:] = view[start + begin : start + end]
        out[name] = tensor
    return out


def load_file(filename: str | os.PathLike[str], device: Any = "cpu") -> dict[str, Tensor]:
    """The named tensors in a safetensors file.

    Raises:
        SafetensorError: the file is damaged or truncated.
        OSError: it cannot be read.
    """
    with safe_open(filename, device=device) as file:
        return {name: file.get_tensor(name) for name in file.keys()}


class safe_open:
    """An open safetensors file: tensors are read when they are asked for.

    Args:
        filename: the file.
        framework: accepted; tensors are this library's.
        device: where the tensors go.

    Raises:
        SafetensorError: the file is damaged or truncated.
        OSError: it cannot be read.

    Example:
        >>> from bulssi.safetensors import safe_open, save_file
        >>> save_file({"w": ones(2)}, "w.safetensors")  # doctest: +SKIP
        >>> with safe_open("w.safetensors") as file:  # doctest: +SKIP
        ...     print(file.get_tensor("w"))
        tensor([1., 1.])
    """

    def __init__(self, filename: str | os.PathLike[str], framework: str = "pt", device: Any = "cpu") -> None:
        self._name = os.fspath(filename)
        self._device = str(device)
        self._file = open(filename, "rb")  # noqa: SIM115 - closed by __exit__
        try:
            size = os.fstat(self._file.fileno()).st_size
            head = self._file.read(8)
            head += self._file.read(_header_length(head, size))
            self._entries, self._start, self._metadata = _parse(head, size)
        except SafetensorError as error:
            self._file.close()
            raise SafetensorError(f"{self._name}: {error}") from None

    def __enter__(self) -> safe_open:
        return self

    def __exit__(self, *exc: object) -> None:
        self._file.close()

    def keys(self) -> list[str]:
        """The names of the tensors."""
        return list(self._entries)

    def metadata(self) -> dict[str, str] | None:
        """The strings that the file has beside its tensors."""
        return self._metadata

    def get_tensor(self, name: str) -> Tensor:
        """One tensor. Raises SafetensorError when there is none of that name, or the file ends inside it."""
        if name not in self._entries:
            raise SafetensorError(f"{self._name}: File does not contain tensor {name}")
        dtype, shape, begin, end = self._entries[name]
        tensor = bulssi.empty(shape, dtype=dtype)
        self._file.seek(self._start + begin)
        view, done = bytes_of(tensor), 0
        while done < end - begin:
            count = self._file.readinto(view[done:])  # pyright: ignore
            if not count:
                raise SafetensorError(f"{self._name}: the file ends inside tensor {name!r}")
            done += count
        return tensor if self._device == "cpu" else tensor.to(self._device)


def _header_length(head: bytes, size: int) -> int:
    if len(head) < 8:
        raise SafetensorError(f"safetensors: the file has {size} bytes, fewer than the 8 of its length field")
    (length,) = struct.unpack("<Q", head)
    if length > _MAX_HEADER or 8 + length > size:
        raise SafetensorError(f"safetensors: the header should have {length} bytes, but the file has {size}")
    return length


def _parse(
    head: bytes, size: int
) -> tuple[dict[str, tuple[Any, tuple[int, ...], int, int]], int, dict[str, str] | None]:
    """(dtype, shape, first byte, end) of each tensor by its name, where the data starts, and the metadata."""
    import json

    try:
        header = json.loads(head[8:].decode(), object_pairs_hook=_without_doubles)
    except (ValueError, RecursionError) as error:
        raise SafetensorError(f"safetensors: the header is no JSON: {error}") from None
    if not isinstance(header, dict):
        raise SafetensorError("safetensors: the header is no JSON object")
    metadata = header.pop("__metadata__", None)
    if metadata is not None and not (isinstance(metadata, dict) and all(type(v) is str for v in metadata.values())):
        raise SafetensorError("safetensors: __metadata__ is no object of strings")
    entries, room = {}, size - len(head)
    for name, entry in header.items():
        try:
            code, shape, (begin, end) = entry["dtype"], tuple(entry["shape"]), entry["data_offsets"]
            ints = all(type(n) is int and n >= 0 for n in (*shape, begin, end))
        except (TypeError, KeyError, ValueError):
            raise SafetensorError(f"safetensors: the entry of {name!r} is not understood") from None
        dtype = getattr(bulssi, _NAMES.get(code, "") or " ", None) if isinstance(code, str) else None
        if dtype is None:
            raise SafetensorError(f"safetensors: {name!r} has the unknown dtype {code!r}")
        numel = 1
        for n in shape if ints else ():
            numel *= n
        if not ints or not 0 <= begin <= end <= room or end - begin != numel * dtype.itemsize:
            raise SafetensorError(
                f"safetensors: {name!r} has shape {list(shape)}, dtype {code} and bytes {begin} to {end}, which do not "
                f"agree or lie outside the file's {room} bytes of data"
            )
        entries[name] = dtype, shape, begin, end
    at = 0
    for begin, end in sorted((begin, end) for *_, begin, end in entries.values()):
        if begin != at:
            what = "overlap" if begin < at else "leave a hole"
            raise SafetensorError(f"safetensors: the tensors {what} in the file at byte {begin} of the data")
        at = end
    if at != room:
        raise SafetensorError(f"safetensors: the tensors end at byte {at} of the data, which has {room}")
    return entries, len(head), metadata


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"it has {next(n for n in names if names.count(n) > 1)!r} more than once")
    return found
