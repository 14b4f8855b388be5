"""save() and load(): PyTorch's .pt files.

A file is a zip archive, uncompressed: `data.pkl` is a pickle in which each tensor is its storage's number, offset,
shape and strides; `data/N` are the bytes of storage N. The writer is `_pt_write`, the reader `_pt_read`.
"""

from __future__ import annotations

import io
import os
import pickle
from typing import IO, Any

from bulssi._files import atomic_write
from bulssi._pt_read import Options, known_globals, open_archive, read, read_entry
from bulssi._pt_write import Contents, write_archive
from bulssi._unpickle import UnpicklingError

__all__ = [
    "add_safe_globals",
    "clear_safe_globals",
    "get_safe_globals",
    "get_unsafe_globals_in_checkpoint",
    "load",
    "safe_globals",
    "save",
]

MAP_LOCATION = Any  # what load() takes as map_location: None, a device or its name, a dict of names, a function
_safe_globals: list[Any] = []


def add_safe_globals(safe_globals: list[Any]) -> None:
    """Lets load() make objects of these classes and call these functions when a file names them.

    Args:
        safe_globals: classes and functions, or pairs (class or function, "the.name.in.the.file").
    """
    _safe_globals.extend(item for item in safe_globals if item not in _safe_globals)


def get_safe_globals() -> list[Any]:
    """What add_safe_globals() has been given."""
    return list(_safe_globals)


def clear_safe_globals() -> None:
    """Forgets what add_safe_globals() has been given."""
    _safe_globals.clear()


class safe_globals:
    """`with safe_globals([Class]): load(path)` lets files name these classes and functions inside the block only."""

    def __init__(self, safe_globals: list[Any]) -> None:
        self.safe_globals = safe_globals

    def __enter__(self) -> None:
        self._added = [item for item in self.safe_globals if item not in _safe_globals]
        _safe_globals.extend(self._added)

    def __exit__(self, *exc: object) -> None:
        for item in self._added:
            if item in _safe_globals:
                _safe_globals.remove(item)


def _user_globals() -> dict[str, Any]:
    out = {}
    for item in _safe_globals:
        if isinstance(item, tuple):
            item, name = item
        else:
            name = f"{item.__module__}.{item.__qualname__}"
        out[name] = item
        if name.startswith("bulssi."):  # files have the library's own classes under PyTorch's names
            out["torch" + name[6:]] = item
    return out


def save(
    obj: object,
    f: str | os.PathLike[str] | IO[bytes],
    pickle_module: Any = pickle,
    pickle_protocol: int = 2,
    _use_new_zipfile_serialization: bool = True,
) -> None:
    """Writes `obj` to a file that load() here and in PyTorch reads.

    A file given by its path is replaced in one step: until everything is on the disk the old file stays, also when the
    process is killed. Tensors that share memory share it again when loaded; of that memory only what they reach is
    written. See Note [Saved storages] in _pt_write.py.

    Args:
        obj: tensors, parameters, numbers, strings, and containers of such (state dicts); also objects that pickle.
        f: a path, or an object with write().
        pickle_module, pickle_protocol, _use_new_zipfile_serialization: accepted; files are always zip archives with
            pickles of protocol 2, which every version of PyTorch since 1.6 reads.

    Raises:
        RuntimeError: the folder does not exist, or tensors of different dtypes share memory.
        OSError: the file cannot be written. The old file is then as it was.
        pickle.PicklingError, TypeError, AttributeError: something in `obj` cannot be pickled.

    >>> import bulssi as torch, io
    >>> file = io.BytesIO()
    >>> torch.save({"w": torch.arange(3)}, file)
    >>> _ = file.seek(0)
    >>> torch.load(file)
    {'w': tensor([0, 1, 2])}
    """
    is_path = isinstance(f, (str, os.PathLike))
    if not is_path and not callable(getattr(f, "write", None)):
        raise AttributeError(
            f"expected 'f' to be string, path, or a file-like object with a 'write' attribute, got {type(f).__name__}"
        )
    contents = Contents(obj)
    if is_path:
        name = os.path.splitext(os.path.basename(os.fspath(f)))[0] or "archive"
        with atomic_write(f) as file:
            write_archive(file, name, contents)
    else:
        write_archive(f, "archive", contents)


def load(
    f: str | os.PathLike[str] | IO[bytes],
    map_location: Any = None,
    pickle_module: Any = None,
    *,
    weights_only: bool | None = None,
    mmap: bool | None = None,
    **pickle_load_args: Any,
) -> Any:
    """Reads what save(), here or in PyTorch, has written.

    Nothing in a file is ever run: it may name tensors, parameters, containers, numbers and strings; everything else is
    refused by its name, unless `add_safe_globals` has allowed it. With weights_only=False more may be named, see there.

    Args:
        f: a path, or a binary file object with read(), seek() and tell().
        map_location: where to put storages: a device, a dict from saved to wanted location, or a function (storage,
            location) -> storage or None.
        pickle_module, pickle_load_args: accepted; the reader is always this library's.
        weights_only: None and True are the same. With False a file may also name layers, optimizers and operations of
            this library, modules that the program has defined, plain classes of its main module, NumPy's arrays and
            numbers, and plain data of the standard library (ranges, paths, namespaces). Calls are still not made.
        mmap: map the file instead of reading it (a path is needed). Changes to the tensors do not reach the file.

    Raises:
        FileNotFoundError: there is no such file.
        pickle.UnpicklingError: the file names something that is not allowed, or is damaged.
        RuntimeError: the archive is truncated or damaged, or the device is not there.
    """
    options = Options(map_location, weights_only is None or bool(weights_only), bool(mmap), _user_globals())
    if mmap and not isinstance(f, (str, os.PathLike)):
        raise ValueError("f must be a string filename in order to use mmap argument")
    if isinstance(f, (str, os.PathLike)):
        with open(f, "rb") as file:
            return read(file, os.fspath(f), options)
    for name in ("read", "seek", "tell"):
        if not callable(getattr(f, name, None)):
            raise AttributeError(
                f"'{type(f).__name__}' object has no attribute '{name}'. You can only torch.load from a file that is "
                "seekable. Please pre-load the data into a buffer like io.BytesIO and try to load from it instead."
            )
    try:
        f.seek(f.tell())
    except (io.UnsupportedOperation, OSError) as error:
        raise type(error)(
            f"{error}. You can only torch.load from a file that is seekable. Please pre-load the data into a buffer "
            "like io.BytesIO and try to load from it instead."
        ) from None
    return read(f, getattr(f, "name", "the file"), options)


def get_unsafe_globals_in_checkpoint(f: str | os.PathLike[str] | IO[bytes]) -> list[str]:
    """The names in a file that load() would refuse, as add_safe_globals() stands now. Nothing in it is run."""
    import pickletools

    if isinstance(f, (str, os.PathLike)):
        with open(f, "rb") as file:
            return get_unsafe_globals_in_checkpoint(file)
    archive, folder = open_archive(f, getattr(f, "name", "the file"))
    data = read_entry(f, archive, folder + "data.pkl", getattr(f, "name", "the file"))
    allowed = {**known_globals(), **_user_globals()}
    found, strings = set(), []
    try:
        for opcode, arg, _ in pickletools.genops(data):
            if opcode.name == "GLOBAL":
                found.add(str(arg).replace(" ", ".", 1))
            elif opcode.name == "STACK_GLOBAL" and len(strings) >= 2:
                found.add(".".join(strings[-2:]))
            elif isinstance(arg, str):
                strings.append(arg)
    except (ValueError, IndexError, KeyError) as error:
        raise UnpicklingError(f"the pickle is damaged: {error}") from None
    return sorted(name for name in found if name.replace("__builtin__.", "builtins.") not in allowed)
