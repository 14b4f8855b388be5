"""The reader of .pt files. A file may name data and the few functions below; it can run nothing else."""

from __future__ import annotations

import re
import struct
import sys
import zipfile
import zlib
from collections import Counter, OrderedDict
from typing import IO, TYPE_CHECKING, Any, NamedTuple

import bulssi
from bulssi import _pt_trusted
from bulssi._bytes import bytes_of, tensor_over
from bulssi._pt_write import STORAGE_NAMES
from bulssi._unpickle import Unpickler, UnpicklingError, check_key
from bulssi.storage import TypedStorage, UntypedStorage

if TYPE_CHECKING:
    from collections.abc import Callable

    from bulssi import Tensor

_BLOCKED_MODULES = {"sys", "os", "posix", "nt"}
_LEGACY_START = b"\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # the first pickle's number, after its protocol
_OTHER_FORMATS = (  # position, bytes there, what such a file is
    (8, b'{"', "a safetensors file; read it with bulssi.safetensors.load_file"),
    (0, b"\x1f\x8b", "a gzip file; unpack it first"),
    (0, b"\x93NUMPY", "an array of NumPy; read it with numpy.load"),
    (0, b"\x89HDF", "an HDF5 file"),
    (257, b"ustar", "a tar archive, as PyTorch before 0.2 wrote; load it with PyTorch and save it again"),
    (0, b"<", "a page of HTML or XML, perhaps a failed download"),
    (0, b"version https://git-lfs", "a pointer of git-lfs; fetch the file itself"),
)


class _Function:
    """A function that a file may call."""

    __slots__ = ("call",)

    def __init__(self, call: Callable[..., Any]) -> None:
        self.call = call


class _StorageType:
    """A type of storage, by its dtype; None is untyped."""

    __slots__ = ("dtype",)

    def __init__(self, dtype: Any) -> None:
        self.dtype = dtype


def _expect(holds: bool, what: str) -> None:
    if not holds:
        raise UnpicklingError(f"the pickle {what}; the file is damaged")


def _is_sizes(value: Any) -> bool:
    return isinstance(value, tuple) and all(type(n) is int and 0 <= n < 2**62 for n in value)


def _rebuild_tensor(storage: Any, offset: Any, size: Any, stride: Any, *rest: Any) -> Tensor:
    _expect(isinstance(storage, TypedStorage), "makes a tensor without a storage")
    return _tensor(storage._elements(), offset, size, stride, *rest)


def _tensor(
    flat: Tensor,
    offset: Any,
    size: Any,
    stride: Any,
    requires_grad: Any = False,
    hooks: Any = None,
    metadata: Any = None,
) -> Tensor:
    size = tuple(size) if isinstance(size, bulssi.Size) else size
    _expect(_is_sizes(size) and _is_sizes(stride) and len(size) == len(stride), "makes a tensor without proper sizes")
    _expect(type(offset) is int and offset >= 0, "makes a tensor without a proper offset")
    reach = 0 if 0 in size else offset + 1 + sum((n - 1) * s for n, s in zip(size, stride, strict=True))
    if reach > flat.numel():
        raise UnpicklingError(
            f"a tensor of size {size}, strides {stride} and offset {offset} needs {reach} elements, but its storage "
            f"has {flat.numel()}; the file is damaged"
        )
    if 0 in size:
        out = flat[:0].as_strided(size, stride, 0)
    else:
        out = flat.as_strided(size, stride, offset)
    out = out.data  # no view of `flat` for autograd, and a version of its own
    if requires_grad is True:
        out.requires_grad_()
    return out


def _rebuild_tensor_v3(
    storage: Any, offset: Any, size: Any, stride: Any, requires_grad: Any, hooks: Any, dtype: Any, metadata: Any = None
) -> Tensor:
    _expect(isinstance(storage, TypedStorage) and isinstance(dtype, bulssi.dtype), "makes a tensor without a storage")
    return _tensor(_typed(storage, dtype)._elements(), offset, size, stride, requires_grad)


def _rebuild_meta(dtype: Any, size: Any, stride: Any, requires_grad: Any) -> Tensor:
    _expect(isinstance(dtype, bulssi.dtype) and _is_sizes(tuple(size)) and _is_sizes(stride), "makes no proper tensor")
    _expect(len(size) == len(stride), "makes a tensor without proper sizes")
    out = bulssi.empty_strided(tuple(size), stride, dtype=dtype, device="meta")
    return out.requires_grad_() if requires_grad is True else out


def _typed(storage: TypedStorage, dtype: Any) -> TypedStorage:
    return TypedStorage(wrap_storage=storage.untyped(), dtype=dtype)


def _rebuild_parameter(data: Any, requires_grad: Any, hooks: Any, state: Any = None) -> Any:
    _expect(isinstance(data, bulssi.Tensor), "makes a parameter without a tensor")
    parameter = bulssi.nn.Parameter(data.detach(), bool(requires_grad))
    if state is not None:
        _set_attributes(parameter, state)
    return parameter


def _rebuild_from_type(function: Any, cls: Any, args: Any, state: Any) -> Any:
    _expect(isinstance(function, _Function) and isinstance(args, tuple), "makes a tensor in an unknown way")
    out = function.call(*args)
    if isinstance(cls, type) and cls is not bulssi.Tensor and issubclass(cls, bulssi.Tensor):
        if cls is bulssi.nn.Parameter:
            out = out if isinstance(out, cls) else cls(out.detach(), out.requires_grad)
        else:
            out = out.as_subclass(cls)
    _set_attributes(out, state)
    return out


def _set_attributes(obj: Any, state: Any) -> None:
    """Sets what a pickle keeps of an object's attributes: a dict, or (dict, dict of slots)."""
    slots: Any = None
    if isinstance(state, tuple) and len(state) == 2:
        state, slots = state
    parts: tuple[Any, ...] = (state, slots)
    for part in parts:
        if part is None:
            continue
        _expect(isinstance(part, dict) and all(isinstance(k, str) for k in part), "gives an object no proper state")
        for key, value in part.items():
            if key.startswith("__"):
                raise UnpicklingError(f"a file may not set the attribute {key}")
            if part is state and hasattr(obj, "__dict__"):
                obj.__dict__[key] = value
            else:
                setattr(obj, key, value)


def _make_set(*args: Any) -> set[Any]:
    return {check_key(item) for item in (args[0] if args else ())}


def _make_ordered_dict(*args: Any) -> OrderedDict[Any, Any]:
    _expect(len(args) <= 1, "makes an OrderedDict of several things")
    pairs = (args[0].items() if isinstance(args[0], dict) else args[0]) if args else ()
    return OrderedDict((check_key(key), value) for key, value in pairs)


def _make_counter(*args: Any) -> Counter[Any]:
    _expect(len(args) <= 1 and all(isinstance(arg, dict) for arg in args), "makes a Counter of no dict")
    return Counter({check_key(k): v for k, v in args[0].items()} if args else {})


def _latin1(text: Any = "", encoding: Any = "latin1") -> bytes:
    _expect(isinstance(text, str) and encoding in ("latin1", "latin-1"), "encodes something unknown")
    return text.encode("latin1")


def _make_bytearray(*args: Any) -> bytearray:
    if len(args) == 2:
        return bytearray(_latin1(*args))
    _expect(not args or (len(args) == 1 and isinstance(args[0], bytes)), "makes a bytearray of no bytes")
    return bytearray(*args)


def _make_complex(real: Any = 0.0, imaginary: Any = 0.0) -> complex:
    _expect(all(isinstance(x, (int, float)) for x in (real, imaginary)), "makes a complex number of no numbers")
    return complex(real, imaginary)


def _make_size(sizes: Any = ()) -> Any:
    _expect(isinstance(sizes, (tuple, list)) and _is_sizes(tuple(sizes)), "makes a Size of no sizes")
    return bulssi.Size(sizes)


def _make_device(*args: Any) -> Any:
    _expect(1 <= len(args) <= 2 and all(isinstance(arg, (str, int)) for arg in args), "makes no proper device")
    return bulssi.device(*args)


def _make_layout(name: Any) -> Any:
    _expect(name == "torch.strided", f"names the layout {name!r:.40}, which there is not")
    return bulssi.strided


def known_globals() -> dict[str, Any]:
    """What every file may name."""
    functions = {
        "collections.OrderedDict": _make_ordered_dict,
        "collections.Counter": _make_counter,
        "builtins.set": _make_set,
        "builtins.frozenset": lambda *args: frozenset(_make_set(*args)),
        "builtins.bytearray": _make_bytearray,
        "builtins.bytes": lambda *args: bytes(_make_bytearray(*args)),
        "builtins.complex": _make_complex,
        "_codecs.encode": _latin1,
        "torch.Size": _make_size,
        "torch.device": _make_device,
        "torch.serialization._get_layout": _make_layout,
        "torch._utils._rebuild_meta_tensor_no_storage": _rebuild_meta,
        "torch._utils._rebuild_tensor": _rebuild_tensor,
        "torch._utils._rebuild_tensor_v2": _rebuild_tensor,
        "torch._utils._rebuild_tensor_v3": _rebuild_tensor_v3,
        "torch._utils._rebuild_parameter": _rebuild_parameter,
        "torch._utils._rebuild_parameter_with_state": _rebuild_parameter,
        "torch._tensor._rebuild_from_type_v2": _rebuild_from_type,
    }
    known: dict[str, Any] = {name: _Function(call) for name, call in functions.items()}
    known["torch.storage.UntypedStorage"] = known["torch.UntypedStorage"] = _StorageType(None)
    for name, storage in STORAGE_NAMES.items():
        dtype = getattr(bulssi, name, None)
        if dtype is not None:
            known["torch." + storage] = known["torch.storage." + storage] = _StorageType(dtype)
    known["torch.Tensor"] = known["torch._tensor.Tensor"] = bulssi.Tensor
    known["torch.nn.parameter.Parameter"] = known["torch.nn.Parameter"] = bulssi.nn.Parameter
    return known


class Options(NamedTuple):
    """load()'s options, and what the user has allowed files to name."""

    map_location: Any
    weights_only: bool
    mmap: bool
    allowed: dict[str, Any]


class _Loader:
    """Turns a restricted pickle into objects; `read_storage(key, dtype, numel)` gives storages."""

    def __init__(self, read_storage: Callable[[str, Any, int], Tensor], options: Options) -> None:
        self.read_storage = read_storage
        self.map_location = options.map_location
        self.weights_only = options.weights_only
        self.user = options.allowed
        self.known = known_globals()
        self.storages: dict[str, TypedStorage] = {}

    def unpickler(self, data: bytes, position: int = 0) -> Unpickler:
        return Unpickler(
            data, find_global=self.find_global, call=self.call, new=self.new, build=self.build,
            persistent_load=self.persistent_load, position=position,
        )  # fmt: skip

    # ---- names, calls and states

    def find_global(self, module: str, name: str) -> Any:
        module = "builtins" if module == "__builtin__" else module
        full = f"{module}.{name}"
        if module in _BLOCKED_MODULES:
            raise UnpicklingError(f"Trying to load unsupported GLOBAL {full} whose module {module} is blocked.")
        if full in self.user:
            return self.user[full]
        if full in self.known:
            return self.known[full]
        if module == "torch" and re.fullmatch(r"bool|(u?int|b?float|complex)[0-9]\w*", name):
            dtype = getattr(bulssi, name, None)
            if isinstance(dtype, bulssi.dtype):
                return dtype
            raise UnpicklingError(f"the file has tensors or names of the dtype {full}, which Bulssi does not have")
        if not self.weights_only:
            found = _pt_trusted.find(module, name)
            if found is not None:
                return found
        shown = name if module == "builtins" else full
        raise UnpicklingError(
            f"Unsupported global: GLOBAL {shown} was not an allowed global by default. Please use "
            f"`torch.serialization.add_safe_globals([{shown}])` or the `torch.serialization.safe_globals([{shown}])` "
            "context manager to allowlist this global if you trust this class/function."
        )

    def _is_users(self, value: Any) -> bool:
        return any(value is item for item in self.user.values())

    def call(self, function: Any, args: tuple[Any, ...]) -> Any:
        if isinstance(function, _Function):
            return function.call(*args)
        if self._is_users(function):
            return function(*args)
        if isinstance(function, type) and function is bulssi.nn.Parameter:
            return _rebuild_parameter(*args, *((True, None)[len(args) - 1 :]))
        made = None if self.weights_only else _pt_trusted.call(function, args)
        if made is not None:
            return made[0]
        raise UnpicklingError(f"Trying to call reduce for unrecognized function {_shown(function)}")

    def new(self, cls: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if isinstance(cls, _Function):
            return cls.call(*args)
        if isinstance(cls, type) and self._is_users(cls):
            make: Any = cls.__new__
            return make(cls, *args, **kwargs)
        if not self.weights_only and not args and not kwargs and _pt_trusted.may_be_made_empty(cls):
            return _pt_trusted.object_of(cls)
        if isinstance(cls, type) and cls is bulssi.nn.Parameter:
            return self.call(cls, args)
        raise UnpicklingError(
            "Can only create new object for nn.Parameter or classes allowlisted "
            f"via `add_safe_globals` but got {_shown(cls)}"
        )

    def build(self, obj: Any, state: Any) -> None:
        cls = type(obj)
        if self._is_users(cls) or (not self.weights_only and _pt_trusted.may_be_made_empty(cls)):
            if hasattr(obj, "__setstate__"):
                obj.__setstate__(state)
            else:
                _set_attributes(obj, state)
        elif isinstance(obj, bulssi.nn.Parameter) or cls is Counter:
            _set_attributes(obj, state)
        elif self.weights_only or not _pt_trusted.build(obj, state):
            raise UnpicklingError(
                "Can only build Tensor, Parameter, OrderedDict or types allowlisted via `add_safe_globals`, but got "
                f"{_shown(obj) if isinstance(obj, type) else cls}"
            )

    # ---- storages

    def persistent_load(self, saved: Any) -> TypedStorage:
        _expect(
            isinstance(saved, tuple) and len(saved) >= 5 and saved[0] == "storage", f"has an unknown id {saved!r:.99}"
        )
        named: Any = saved
        kind, key, location, numel = named[1:5]
        _expect(isinstance(kind, _StorageType) and isinstance(key, str), "has a storage without a type or number")
        _expect(type(numel) is int and numel >= 0 and isinstance(location, str), "has a storage without a length")
        storage = self.storages.get(key)
        dtype = bulssi.uint8 if kind.dtype is None else kind.dtype
        if storage is None:
            flat = self.read_storage(key, dtype, numel)
            storage = _placed(
                TypedStorage(wrap_storage=flat.untyped_storage(), dtype=dtype), location, self.map_location
            )
            self.storages[key] = storage
        elif storage.dtype != dtype:
            storage = _typed(storage, dtype)
        return storage


def _shown(value: Any) -> str:
    return f"{value.__module__}.{value.__qualname__}" if isinstance(value, type) else type(value).__name__


def _placed(storage: TypedStorage, location: str, map_location: Any) -> TypedStorage:
    """The storage on the device that map_location makes of its saved location."""
    if callable(map_location):
        result: Any = map_location(storage.untyped(), location)
        if result is not None:
            untyped = result.untyped() if isinstance(result, TypedStorage) else result
            if not isinstance(untyped, UntypedStorage):
                raise TypeError(f"map_location must return a storage or None, not {type(result).__name__}")
            return TypedStorage(wrap_storage=untyped, dtype=storage.dtype)
        target = location
    elif isinstance(map_location, dict):
        target = map_location.get(location, location)
    else:
        target = location if map_location is None else map_location
    kind = str(target).split(":")[0]
    if kind == "cpu":
        return storage
    if kind == "cuda" and not bulssi.cuda.is_available():
        raise RuntimeError(
            "Attempting to deserialize object on a CUDA device but torch.cuda.is_available() is False. If you are "
            "running on a CPU-only machine, please use torch.load with map_location=torch.device('cpu') to map your "
            "storages to the CPU."
        )
    if kind == "cuda":
        return TypedStorage(wrap_storage=storage._elements().to(target).untyped_storage(), dtype=storage.dtype)
    raise RuntimeError(
        f"don't know how to restore data location of torch.storage.UntypedStorage (tagged with {target}); "
        "give map_location='cpu'"
    )


def read(file: IO[bytes], name: Any, options: Options) -> Any:
    """The object in an open file; `name` is for messages."""
    start = file.tell()
    head = file.read(16)
    file.seek(start)
    if not head:
        raise EOFError(f"Ran out of input: {name} is empty")
    try:
        if head.startswith(b"PK\x03\x04"):
            return _load_archive(file, name, options)
        return _load_legacy(file, options)
    except UnpicklingError as error:
        hint = (
            " Files that torch.save wrote with whole modules need weights_only=False." if options.weights_only else ""
        )
        raise UnpicklingError(
            f"Weights only load failed. {name}: {error}\nNothing in the file was run.{hint}"
        ) from None


def open_archive(file: IO[bytes], name: Any) -> tuple[zipfile.ZipFile, str]:
    """The archive and the folder in it."""
    try:
        archive = zipfile.ZipFile(file)
    except (zipfile.BadZipFile, OSError, ValueError, struct.error, EOFError, NotImplementedError) as error:
        raise RuntimeError(
            "PytorchStreamReader failed reading zip archive: failed finding central directory. "
            f"{name} is truncated or damaged ({error})"
        ) from None
    seen = Counter(archive.namelist())
    twice = [entry for entry, count in seen.items() if count > 1]
    if twice:
        raise RuntimeError(
            f"{name}: the archive has the entry {twice[0]} {seen[twice[0]]} times; save() writes it once"
        )
    folders = [n[: -len("data.pkl")] for n in archive.namelist() if n.count("/") == 1 and n.endswith("/data.pkl")]
    if len(folders) != 1:
        raise RuntimeError(
            f"PytorchStreamReader failed locating file data.pkl: file not found. {name} is a zip archive that no "
            "save() has written"
        )
    if folders[0] + "constants.pkl" in archive.NameToInfo:
        raise RuntimeError(f"Cannot use ``weights_only=True`` with TorchScript archives passed to torch.load. ({name})")
    return archive, folders[0]


def _entry_range(file: IO[bytes], archive: zipfile.ZipFile, entry: str, name: Any) -> tuple[int, zipfile.ZipInfo]:
    """Where an entry's bytes start, and its description."""
    info = archive.NameToInfo.get(entry)
    if info is None:
        raise RuntimeError(f"PytorchStreamReader failed locating file {entry}: file not found. {name} is damaged")
    if info.compress_type != zipfile.ZIP_STORED or info.compress_size != info.file_size or info.flag_bits & 1:
        raise RuntimeError(f"{name}: the entry {entry} is compressed or encrypted; save() writes neither")
    end = file.seek(0, 2)
    file.seek(max(0, info.header_offset))
    header = file.read(30)
    if len(header) == 30 and header[:4] == b"PK\x03\x04":
        name_length, extra_length = struct.unpack("<HH", header[26:30])
        start = info.header_offset + 30 + name_length + extra_length
        if 0 <= start and start + info.file_size <= end:
            return start, info
    raise RuntimeError(f"PytorchStreamReader failed reading file {entry}: {name} is truncated or damaged")


def read_entry(
    file: IO[bytes], archive: zipfile.ZipFile, entry: str, name: Any, into: memoryview | None = None
) -> bytes:
    start, info = _entry_range(file, archive, entry, name)
    file.seek(start)
    if into is None:
        data: Any = file.read(info.file_size)
        count = len(data)
    else:
        data, count = into, _read_into(file, into)
    if count != info.file_size or zlib.crc32(data) != info.CRC:
        raise RuntimeError(
            f"PytorchStreamReader failed reading file {entry}: {name} is truncated or damaged (the checksum differs)"
        )
    return data


def _read_into(file: IO[bytes], view: memoryview) -> int:
    done = 0
    readinto = getattr(file, "readinto", None)
    while done < len(view):
        if readinto is not None:
            count = readinto(view[done:])
        else:
            piece = file.read(min(len(view) - done, 1 << 20))
            count = len(piece)
            view[done : done + count] = piece
        if not count:
            break
        done += count
    return done


def _load_archive(file: IO[bytes], name: Any, options: Options) -> Any:
    archive, folder = open_archive(file, name)
    swap = False
    if folder + "byteorder" in archive.NameToInfo:
        order = read_entry(file, archive, folder + "byteorder", name)
        if order not in (b"little", b"big"):
            raise RuntimeError(f"{name}: unknown byteorder {order[:20]!r}")
        swap = order != sys.byteorder.encode()
    mapping = None
    if options.mmap:
        import mmap as mmap_module

        mapping = mmap_module.mmap(file.fileno(), 0, access=mmap_module.ACCESS_COPY)

    def read_storage(key: str, dtype: Any, numel: int) -> Tensor:
        entry = f"{folder}data/{key}"
        start, info = _entry_range(file, archive, entry, name)
        size = numel * dtype.itemsize
        if info.file_size != size:
            raise RuntimeError(
                f"{name}: storage {key} should have {numel} elements of {dtype} ({size} bytes), but the archive holds "
                f"{info.file_size} bytes; the file is damaged"
            )
        if mapping is not None and not swap and numel:
            if start + size > len(mapping):
                raise RuntimeError(f"PytorchStreamReader failed reading file {entry}: {name} is truncated")
            return tensor_over(mapping, dtype, numel, start)
        flat = bulssi.empty(numel, dtype=dtype)
        view = bytes_of(flat)
        read_entry(file, archive, entry, name, view)
        if swap:
            _swap_bytes(view, dtype)
        return flat

    loader = _Loader(read_storage, options)
    return loader.unpickler(read_entry(file, archive, folder + "data.pkl", name)).load()


def _swap_bytes(view: memoryview, dtype: Any) -> None:
    width = dtype.itemsize // (2 if dtype.is_complex else 1)
    if width > 1:
        data = bytes(view)
        for i in range(width):
            view[i::width] = data[width - 1 - i :: width]


def _refuse_other_format(data: bytes, loader: _Loader) -> None:
    """Says what a file that begins like no .pt file may be. One that is a pickle is told what it may not name."""
    if data[:1] == b"\x80" and data[1:2] in b"\x00\x01\x02\x03\x04\x05":
        loader.unpickler(data).load()
    kind = "its first bytes are " + repr(data[:8])
    for at, start, what in _OTHER_FORMATS:
        if data[at : at + len(start)] == start:
            kind = f"it looks like {what}"
    raise UnpicklingError(
        f"Invalid magic number; corrupt file? It is neither a zip archive nor an old .pt file: {kind}"
    )


def _load_legacy(file: IO[bytes], options: Options) -> Any:
    """Files of PyTorch before 1.6: five pickles in a row, then the storages."""
    data = file.read()
    storages: dict[str, Tensor] = {}

    def read_storage(key: str, dtype: Any, numel: int) -> Tensor:
        if numel * dtype.itemsize > len(data):
            raise UnpicklingError(f"storage {key} should have {numel} elements, more than the file; it is damaged")
        storages[key] = bulssi.empty(numel, dtype=dtype)
        return storages[key]

    loader = _Loader(read_storage, options)
    position, parts = 0, []
    if _LEGACY_START not in data[:40]:
        _refuse_other_format(data, loader)
    for _ in range(5):
        reader = loader.unpickler(data, position)
        parts.append(reader.load())
        position = reader.position
    for key in parts[4] if isinstance(parts[4], list) else ():
        flat = storages.get(key)
        if flat is None:
            raise UnpicklingError(f"the file of the old format has elements for an unknown storage {key!r}")
        _expect(position + 8 <= len(data), "of the old format ends early")
        (count,) = struct.unpack_from("<q", data, position)
        size = count * flat.element_size()
        _expect(count == flat.numel() and position + 8 + size <= len(data), "of the old format ends early")
        bytes_of(flat)[:] = data[position + 8 : position + 8 + size]
        position += 8 + size
    return parts[3]
