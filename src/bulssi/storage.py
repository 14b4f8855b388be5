"""The memory under tensors as objects: `tensor.untyped_storage()` in bytes, `tensor.storage()` in elements.

Tensors that share memory have the same `UntypedStorage` object as long as somebody holds it, which is how pickle and
`copy.deepcopy` keep them sharing.
"""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

from bulssi import _core

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bulssi import Tensor, device, dtype

__all__ = ["TypedStorage", "UntypedStorage"]

_known: weakref.WeakValueDictionary[int, UntypedStorage] = weakref.WeakValueDictionary()


class UntypedStorage:
    """A block of memory in bytes.

    Example:
        >>> zeros(3).untyped_storage().nbytes()
        12
    """

    _bytes: Tensor

    def __new__(cls, size: int = 0, *, device: Any = None) -> UntypedStorage:
        return cls._of(_core.empty(size, dtype=_core.uint8, device=device))

    @classmethod
    def _of(cls, tensor: Tensor) -> UntypedStorage:
        key = _core._storage_id(tensor)
        found = _known.get(key)
        if found is None:
            found = object.__new__(cls)
            found._bytes = _core._storage_view(tensor)
            _known[key] = found
        return found

    @classmethod
    def from_file(cls, filename: str, shared: bool = False, nbytes: int = 0) -> UntypedStorage:
        """The bytes of a file as memory (POSIX mmap).

        Args:
            filename: the file.
            shared: writes go to the file, which is made, or made longer, when it has fewer bytes; else they stay here.
            nbytes: how many of its bytes.

        Raises:
            RuntimeError: the file cannot be opened, or has too few bytes.
        """
        from bulssi._files import map_file

        return cls._of(_core._frombuffer(map_file(filename, nbytes, shared), _core.uint8, -1, 0)) if nbytes else cls(0)

    @property
    def device(self) -> device:
        """Where the memory is."""
        return self._bytes.device

    @property
    def _cdata(self) -> int:
        return _core._storage_id(self._bytes)

    def _whole(self) -> Tensor:
        """All bytes, also after a resize."""
        return _core._storage_view(self._bytes)

    def untyped(self) -> UntypedStorage:
        """Itself."""
        return self

    def nbytes(self) -> int:
        """The number of bytes."""
        return self._bytes._storage_bytes()

    size = __len__ = nbytes

    def data_ptr(self) -> int:
        """The address of the first byte."""
        return self._bytes._storage_ptr()

    def element_size(self) -> int:
        """One byte."""
        return 1

    def resize_(self, size: int) -> UntypedStorage:
        """Change the number of bytes; contents are kept as far as they fit."""
        if size < self.nbytes():
            # Tensors may still show the end of the memory: it is kept, which costs space and not safety.
            return self
        _core._resize_storage(self._bytes, size)
        return self

    def __getitem__(self, index: Any) -> Any:
        found = self._whole()[index]
        return found.item() if found.dim() == 0 else UntypedStorage._of(found.clone())

    def __setitem__(self, index: Any, value: Any) -> None:
        self._whole()[index] = value._whole() if isinstance(value, UntypedStorage) else value

    def __iter__(self) -> Iterator[int]:
        return iter(self.tolist())

    def tolist(self) -> list[int]:
        """The bytes as a list of int."""
        return self._whole().tolist()

    def fill_(self, value: int) -> UntypedStorage:
        """Set every byte."""
        self._whole().fill_(value)
        return self

    def copy_(self, source: UntypedStorage, non_blocking: bool = False) -> UntypedStorage:
        """Overwrite with the bytes of another storage of the same size."""
        self._whole().copy_(source._whole())
        return self

    def clone(self) -> UntypedStorage:
        """A copy."""
        return UntypedStorage._of(self._whole().clone())

    def cpu(self) -> UntypedStorage:
        """Itself."""
        return self

    def is_shared(self) -> bool:
        """Whether processes that are forked later share this memory."""
        return _core._is_shared(self._bytes)

    def share_memory_(self) -> UntypedStorage:
        """Move it to memory that processes forked later share."""
        _core._share_storage(self._bytes)
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> UntypedStorage:
        if id(self) not in memo:
            memo[id(self)] = self.clone()
        return memo[id(self)]

    def __reduce_ex__(self, protocol: Any, /) -> tuple[Any, ...]:
        view = memoryview(self._whole()) if self.nbytes() else memoryview(b"")
        if protocol >= 5:
            from pickle import PickleBuffer

            return _storage_from, (PickleBuffer(view),)
        return _storage_from, (bytes(view),)

    def __repr__(self) -> str:
        lines = "".join(f" {byte}\n" for byte in self.tolist())
        return f"{lines}[torch.storage.UntypedStorage(device={self.device}) of size {self.nbytes()}]"


def _storage_from(data: Any) -> UntypedStorage:
    """A storage of these bytes; on them, not a copy, if they are writable."""
    if len(data) == 0:
        return UntypedStorage(0)
    if memoryview(data).readonly:
        data = bytearray(data)
    return UntypedStorage._of(_core._frombuffer(data, _core.uint8, -1, 0))


class TypedStorage:
    """A block of memory as elements of one dtype. `UntypedStorage` is preferred."""

    def __init__(self, *, wrap_storage: UntypedStorage, dtype: dtype, _internal: bool = False) -> None:
        self._untyped_storage = wrap_storage
        self.dtype = dtype

    def _elements(self) -> Tensor:
        size = self.size()
        return _core._on_storage(self._untyped_storage._bytes, self.dtype, 0, (size,), (1,))

    @property
    def device(self) -> device:
        """Where the memory is."""
        return self._untyped_storage.device

    @property
    def _cdata(self) -> int:
        return self._untyped_storage._cdata

    def untyped(self) -> UntypedStorage:
        """The same memory in bytes."""
        return self._untyped_storage

    def size(self) -> int:
        """The number of elements."""
        return self._untyped_storage.nbytes() // self.dtype.itemsize

    __len__ = size

    def nbytes(self) -> int:
        """The number of bytes."""
        return self._untyped_storage.nbytes()

    def element_size(self) -> int:
        """Bytes of one element."""
        return self.dtype.itemsize

    def data_ptr(self) -> int:
        """The address of the first element."""
        return self._untyped_storage.data_ptr()

    def resize_(self, size: int) -> TypedStorage:
        """Change the number of elements."""
        self._untyped_storage.resize_(size * self.dtype.itemsize)
        return self

    def tolist(self) -> list[Any]:
        """The elements as a list."""
        return self._elements().tolist()

    def __iter__(self) -> Iterator[Any]:
        return iter(self.tolist())

    def __getitem__(self, index: Any) -> Any:
        found = self._elements()[index]
        return found.item() if found.dim() == 0 else found.clone().storage()

    def __setitem__(self, index: Any, value: Any) -> None:
        self._elements()[index] = value

    def fill_(self, value: Any) -> TypedStorage:
        """Set every element."""
        self._elements().fill_(value)
        return self

    def copy_(self, source: TypedStorage, non_blocking: bool = False) -> TypedStorage:
        """Overwrite with the elements of another storage of the same size."""
        self._elements().copy_(source._elements())
        return self

    def clone(self) -> TypedStorage:
        """A copy."""
        return TypedStorage(wrap_storage=self._untyped_storage.clone(), dtype=self.dtype)

    def is_shared(self) -> bool:
        """Whether processes that are forked later share this memory."""
        return self._untyped_storage.is_shared()

    def __repr__(self) -> str:
        lines = "".join(f" {value}\n" for value in self.tolist())
        return f"{lines}[torch.storage.TypedStorage(dtype={self.dtype}, device={self.device}) of size {self.size()}]"
