"""The writer of .pt files: a pickle with the places of tensors in storages, and the storages' bytes, in a zip archive.

Note [Saved storages]: tensors that share memory when saved share it when loaded, as in PyTorch. But only the part of
the memory that the saved tensors reach is written: one view of a large tensor makes a small file. A lone view with
gaps (a column, every second row) is written without them.
"""

from __future__ import annotations

import pickle
import re
import struct
import sys
import zipfile
from collections import OrderedDict
from typing import IO, TYPE_CHECKING, Any

import bulssi
from bulssi._bytes import bytes_of
from bulssi.storage import TypedStorage, UntypedStorage

if TYPE_CHECKING:
    from bulssi import Tensor

# Names of typed storages in files; dtypes without one go by `_rebuild_tensor_v3` and an untyped storage.
STORAGE_NAMES = {
    "float32": "FloatStorage", "float64": "DoubleStorage", "float16": "HalfStorage", "bfloat16": "BFloat16Storage",
    "int64": "LongStorage", "int32": "IntStorage", "int16": "ShortStorage", "int8": "CharStorage",
    "uint8": "ByteStorage", "bool": "BoolStorage", "complex64": "ComplexFloatStorage",
    "complex128": "ComplexDoubleStorage",
}  # fmt: skip
_ALIGNMENT = 64  # of storages in the file, in bytes, so that they can be memory-mapped


def _dtype_name(dtype: Any) -> str:
    return str(dtype).rpartition(".")[2]


class _Name:
    """A global name to be written into a pickle, whether or not it can be imported here."""

    def __init__(self, module: str, name: str) -> None:
        self.module, self.name = module, name

    def __call__(self) -> None:
        raise TypeError(f"{self.module}.{self.name} is a name in a file")


_names: dict[tuple[str, str], _Name] = {}


def named(module: str, name: str) -> _Name:
    return _names.setdefault((module, name), _Name(module, name))


class _TensorRecord:
    """The place of one tensor in the pickle, filled in when all storages are known.

    With call=False it stands for the arguments of the call that makes the tensor; with bare=True, which a tensor over
    all of a storage is given, for the storage itself, in bytes (untyped=True) or in elements.
    """

    def __init__(self, tensor: Tensor, call: bool = True, bare: bool = False, untyped: bool = False) -> None:
        self.call, self.bare, self.untyped = call, bare, untyped
        self.requires_grad = bool(tensor.requires_grad)
        self.tensor = tensor.detach()  # keeps the memory, and so the address, until the file is written
        self.key = ""
        self.numel = 0  # of the storage
        self.offset = 0
        self.size = tuple(self.tensor.shape)
        self.stride = tuple(self.tensor.stride())

    @property
    def rebuild(self) -> _Name:
        """The name of the function that makes the tensor."""
        typed = _dtype_name(self.tensor.dtype) in STORAGE_NAMES
        return named("torch._utils", "_rebuild_tensor_v2" if typed else "_rebuild_tensor_v3")

    def span(self) -> tuple[int, int, int]:
        """(start of the storage, first byte, byte after the last) as addresses."""
        t, item = self.tensor, self.tensor.element_size()
        reach = [(n - 1) * s for n, s in zip(self.size, self.stride, strict=True)]
        first = t.data_ptr()
        low, high = sum(r for r in reach if r < 0), sum(r for r in reach if r > 0)
        return first - t.storage_offset() * item, first + low * item, first + (high + 1) * item

    def opcodes(self) -> bytes:
        """The call that makes the tensor, in protocol 2."""
        dtype = _dtype_name(self.tensor.dtype)
        storage = STORAGE_NAMES.get(dtype)
        typed = storage is not None and not self.untyped
        numel = self.numel if typed else self.numel * self.tensor.element_size()
        kind = f"ctorch\n{storage}\n".encode() if typed else b"ctorch.storage\nUntypedStorage\n"
        place = [b"(", _text("storage"), kind, _text(self.key), _text("cpu"), _int(numel), b"tQ"]
        if self.bare:
            return b"".join(place)
        out = [f"ctorch._utils\n{self.rebuild.name}\n".encode() if self.call else b"", b"("]
        out += [*place, _int(self.offset)]
        out += [b"(", *map(_int, self.size), b"t(", *map(_int, self.stride), b"t"]
        out += [b"\x88" if self.requires_grad else b"\x89", b"ccollections\nOrderedDict\n)R"]
        if not typed:
            out.append(f"ctorch\n{dtype}\n".encode())
        return b"".join([*out, b"tR" if self.call else b"t"])


def _text(value: str) -> bytes:
    data = value.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def _int(value: int) -> bytes:
    if 0 <= value < 256:
        return b"K" + bytes([value])
    if -(2**31) <= value < 2**31:
        return b"J" + struct.pack("<i", value)
    data = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
    return b"\x8a" + bytes([len(data)]) + data


class Parts(list):
    """What a pickler writes: bytes, and the tensors' records between them."""

    def write(self, data: bytes) -> None:
        self.append(data)


def _plain_record(obj: Any) -> _TensorRecord | None:
    """The record of a plain tensor or of a storage; None for everything else, also for a tensor without memory."""
    if type(obj) is bulssi.Tensor:
        return None if getattr(obj, "__dict__", None) or obj.device.type == "meta" else _TensorRecord(obj)
    if type(obj) is TypedStorage:
        return _TensorRecord(obj._elements(), bare=True)
    if type(obj) is UntypedStorage:
        return _TensorRecord(obj._whole(), bare=True, untyped=True)
    return None


class Pickler(pickle._Pickler):
    """Protocol 2, with tensors as records and this library's names as PyTorch's."""

    def __init__(self, parts: Parts) -> None:
        super().__init__(parts, protocol=2)  # pyright: ignore
        self.parts = parts
        self.records: list[_TensorRecord] = []

    def save(self, obj: Any, save_persistent_id: bool = True) -> Any:
        if isinstance(obj, _TensorRecord):
            self.records.append(obj)
            self.parts.append(obj)
        elif id(obj) not in self.memo and (record := _plain_record(obj)) is not None:  # pyright: ignore
            self.save(record)
            self.memoize(obj)  # pyright: ignore
        else:
            super().save(obj, save_persistent_id)  # pyright: ignore

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, _Name):
            return obj.name
        if type(obj) is type(bulssi.relu):
            return obj.__name__
        if isinstance(obj, bulssi.dtype):
            return _dtype_name(obj)
        if isinstance(obj, bulssi.Tensor):
            return self._reduce_tensor(obj)
        if isinstance(obj, bulssi.Size):
            return named("torch", "Size"), (tuple(obj),)
        if isinstance(obj, bulssi.device):
            return named("torch", "device"), (obj.type,) if obj.index is None else (obj.type, obj.index)
        if isinstance(obj, bulssi.layout):
            return named("torch.serialization", "_get_layout"), (str(obj),)
        if isinstance(obj, bulssi.memory_format):
            raise TypeError(f"cannot pickle {obj}: files have no word for memory formats; save str(memory_format)")
        return NotImplemented

    def _reduce_tensor(self, t: Tensor) -> tuple[Any, tuple[Any, ...]]:
        if hasattr(type(t), "_as_parameter") or bulssi.nn.parameter.is_lazy(t):  # no elements in its own memory
            return t.__reduce_ex__(2)
        state = dict(getattr(t, "__dict__", None) or {})
        if type(t) is bulssi.nn.Parameter:
            args = (t.detach(), bool(t.requires_grad), OrderedDict())
            if state:
                return named("torch._utils", "_rebuild_parameter_with_state"), (*args, state)
            return named("torch._utils", "_rebuild_parameter"), args
        if t.device.type == "meta":
            make, args = named("torch._utils", "_rebuild_meta_tensor_no_storage"), _meta_args(t)
            return (make, args) if type(t) is bulssi.Tensor and not state else self._of_type(t, make, args, state)
        record = _TensorRecord(t, call=False)
        return self._of_type(t, record.rebuild, record, state)

    @staticmethod
    def _of_type(t: Tensor, make: _Name, args: Any, state: dict[str, Any]) -> tuple[Any, tuple[Any, ...]]:
        return named("torch._tensor", "_rebuild_from_type_v2"), (make, type(t), args, state)

    def save_global(self, obj: Any, name: str | None = None) -> None:
        if isinstance(obj, _Name):
            module, name = obj.module, obj.name
        elif isinstance(obj, bulssi.dtype):
            module = "torch"
        elif type(obj) is type(bulssi.relu):
            space, _, name = obj.__reduce__()[1][0].rpartition(".")
            module = "torch.nn.functional" if space == "nn" else f"torch.{space}".rstrip(".")
        else:
            module = getattr(obj, "__module__", None) or ""
            name = name or getattr(obj, "__qualname__", None)
            if not (module + ".").startswith(("bulssi.", "torch.")):  # the core's types say they are torch's
                super().save_global(obj, name)  # pyright: ignore
                return
            module = re.sub("^bulssi", "torch", module)
        self.write(f"c{module}\n{name}\n".encode())  # pyright: ignore
        self.memoize(obj)  # pyright: ignore


def _meta_args(t: Tensor) -> tuple[Any, ...]:
    return t.dtype, tuple(t.shape), tuple(t.stride()), bool(t.requires_grad)


def _lay_out(records: list[_TensorRecord]) -> list[Tensor]:
    """Gives each record its storage; returns the contents of the storages, 1-d. See Note [Saved storages]."""
    for record in records:
        t = record.tensor
        if t.device.type != "cpu":
            record.tensor = t = t.cpu()
            record.stride = tuple(t.stride())
    spans = [(*record.span(), i) for i, record in enumerate(records) if record.tensor.numel() > 0]
    spans.sort()
    groups: list[list[int]] = [[i] for i, record in enumerate(records) if record.tensor.numel() == 0]
    last: tuple[int, int] | None = None  # storage and end of the open group
    for base, low, high, i in spans:
        if last is not None and last[0] == base and low < last[1]:
            groups[-1].append(i)
            last = (base, max(last[1], high))
        else:
            groups.append([i])
            last = (base, high)
    groups.sort(key=min)  # storages in the order of the tensors
    contents = []
    for group in groups:
        members = [records[i] for i in group]
        if len({record.tensor.dtype for record in members}) > 1:
            raise RuntimeError(
                "Cannot save multiple tensors or storages that view the same data as different types: "
                + ", ".join(sorted({str(record.tensor.dtype) for record in members}))
                + ". Save a clone() of one of them."
            )
        backward = [record for record in members if any(s < 0 for s in record.stride)]
        together = [record for record in members if record not in backward]
        if len(together) == 1:
            contents.append(_store_alone(together[0], str(len(contents))))
        elif together:
            contents.append(_store_together(together, str(len(contents))))
        for record in backward:  # files know no negative strides
            contents.append(_store_alone(record, str(len(contents))))
    return contents


def _store_together(records: list[_TensorRecord], key: str) -> Tensor:
    item = records[0].tensor.element_size()
    spans = [record.span() for record in records]
    base, low, high = spans[0][0], min(s[1] for s in spans), max(s[2] for s in spans)
    numel = (high - low) // item
    for record, span in zip(records, spans, strict=True):
        record.key, record.numel, record.offset = key, numel, (span[1] - low) // item
    return records[0].tensor.as_strided((numel,), (1,), (low - base) // item)


def _store_alone(record: _TensorRecord, key: str) -> Tensor:
    t, numel = record.tensor, record.tensor.numel()
    record.key, record.offset = key, 0
    if numel == 0:
        return t.reshape(-1)
    base, low, high = record.span()
    item = t.element_size()
    reach = (high - low) // item
    if reach <= numel and not any(s < 0 for s in record.stride):
        record.numel = reach
        return t.as_strided((reach,), (1,), (low - base) // item)
    # Gaps or backward strides: write the elements once, in the order they have in memory.
    order = sorted(range(t.dim()), key=lambda d: -abs(record.stride[d]))
    kept = t
    for d in range(t.dim()):
        if record.stride[d] == 0:
            kept = kept.narrow(d, 0, 1)
    flat = kept.permute(order).contiguous().reshape(-1)
    stride, step = [0] * t.dim(), 1
    for d in reversed(order):
        if record.stride[d] != 0:
            stride[d] = step
            step *= record.size[d]
    record.stride, record.numel = tuple(stride), flat.numel()
    return flat


class Contents:
    """What a file will hold: the pickle of `obj` and the storages of its tensors."""

    def __init__(self, obj: object) -> None:
        parts = Parts()
        pickler = Pickler(parts)
        pickler.dump(obj)
        self.storages = _lay_out(pickler.records)
        self.pickle = b"".join([part.opcodes() if isinstance(part, _TensorRecord) else part for part in parts])


def write_archive(file: IO[bytes], name: str, contents: Contents) -> None:
    """Writes the archive; `name` is the folder inside it."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:

        def add(entry: str, content: bytes | memoryview) -> None:
            info = zipfile.ZipInfo(f"{name}/{entry}")  # the date is 1980: equal objects make equal files
            info.file_size = len(content)
            zip64 = 20 if info.file_size * 1.05 > zipfile.ZIP64_LIMIT else 0
            start = archive.start_dir + 30 + len(info.filename.encode()) + zip64 + 4
            pad = -start % _ALIGNMENT
            info.extra = struct.pack("<HH", 0x4246, pad) + b"Z" * pad
            with archive.open(info, "w") as out:
                out.write(content)

        add("data.pkl", contents.pickle)
        add(".format_version", b"1")
        add(".storage_alignment", str(_ALIGNMENT).encode())
        add("byteorder", sys.byteorder.encode())
        for key, content in enumerate(contents.storages):
            add(f"data/{key}", bytes_of(content))
        add("version", b"3\n")
