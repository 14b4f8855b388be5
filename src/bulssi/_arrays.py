"""Tensors from, and for, other libraries' arrays, without copying: NumPy, the buffer protocol, DLPack."""

from __future__ import annotations

import sys
import warnings
from typing import TYPE_CHECKING, Any

from bulssi import _core

if TYPE_CHECKING:
    from bulssi import Tensor, dtype

__all__ = ["as_tensor", "asarray", "from_dlpack", "from_file", "from_numpy", "frombuffer", "to_dlpack"]

_warned: set[str] = set()


def _is_array(obj: Any) -> bool:
    numpy = sys.modules.get("numpy")
    return numpy is not None and isinstance(obj, numpy.ndarray)


def _warn_read_only(tensor: Tensor, what: str, write: str) -> None:
    """Once per program, as PyTorch does."""
    if what in _warned or not _core._is_read_only(tensor):
        return
    _warned.add(what)
    warnings.warn(
        f"The given {what} is not writable, and PyTorch does not support non-writable tensors. {write} You may want to "
        f"copy the {what.split()[-1]} to protect its data or make it writable before converting it to a tensor. This "
        "type of warning will be suppressed for the rest of this program.",
        stacklevel=4,
    )


def from_file(
    filename: str,
    shared: bool | None = None,
    size: int = 0,
    *,
    dtype: dtype | None = None,
    layout: Any = None,
    device: Any = None,
    pin_memory: bool = False,
) -> Tensor:
    """The first elements of a file as a 1-d tensor on the file's memory (mmap).

    Args:
        filename: the file.
        shared: writes go to the file, which is made, or made longer, as needed; else they stay in this process.
        size: the number of elements.
        dtype: of the elements; the default one when None.

    Raises:
        RuntimeError: the file cannot be opened, or has too few bytes.
    """
    from bulssi._files import map_file

    _check_device(device)
    kind = _core.get_default_dtype() if dtype is None else dtype
    if size == 0:
        return _core.empty(0, dtype=kind)
    return _core._frombuffer(map_file(filename, size * kind.itemsize, bool(shared)), kind, -1, 0)


def from_numpy(ndarray: Any) -> Tensor:
    """A tensor on the memory of a NumPy array: a change of one shows in the other. Negative strides are fine.

    Raises:
        TypeError: no array, or an element type that tensors do not have.
        ValueError: strides that are no multiples of the element size, or bytes in the other order.

    Example:
        >>> import numpy
        >>> array = numpy.zeros(2)
        >>> from_numpy(array).fill_(3)
        tensor([3., 3.], dtype=torch.float64)
        >>> array
        array([3., 3.])
    """
    if not _is_array(ndarray):
        raise TypeError(f"expected np.ndarray (got {type(ndarray).__name__})")
    out = _core._from_array(ndarray)
    if out is None:
        if not ndarray.dtype.isnative:
            raise ValueError(
                "given numpy array has byte order different from the native byte order. Conversion between byte orders "
                "is currently not supported.\nUse array.astype(array.dtype.newbyteorder('='))."
            )
        if any(stride % ndarray.itemsize for stride in ndarray.strides):
            raise ValueError(
                "given numpy array strides not a multiple of the element byte size. Copy the numpy array to reallocate "
                f"the memory.\nstrides = {ndarray.strides}, element size = {ndarray.itemsize}"
            )
        kind = "numpy." + ("str_" if ndarray.dtype.kind == "U" else ndarray.dtype.type.__name__)
        raise TypeError(
            f"can't convert np.ndarray of type {kind}. The only supported types are: float64, float32, float16, "
            "int64, int32, int16, int8, uint8, and bool."
        )
    _warn_read_only(out, "NumPy array", "This means writing to this tensor will result in undefined behavior.")
    return out


def frombuffer(buffer: Any, *, dtype: dtype, count: int = -1, offset: int = 0, requires_grad: bool = False) -> Tensor:
    """A 1-d tensor on the memory of an object that has the buffer protocol: bytes, bytearray, mmap, array.

    Elements that do not lie at multiples of their size in memory are copied, with a warning.

    Args:
        buffer: the object; it stays alive as long as the tensor.
        dtype: of the elements.
        count: how many elements; all by default.
        offset: the first byte.

    Raises:
        ValueError: no buffer, or one that does not hold as much.

    Example:
        >>> frombuffer(bytearray(b"abc"), dtype=uint8)
        tensor([97, 98, 99], dtype=torch.uint8)
    """
    out = _core._frombuffer(buffer, dtype, count, offset)
    _warn_read_only(
        out,
        "buffer",
        "This means you can write to the underlying (supposedly non-writable) buffer using the tensor.",
    )
    return out.requires_grad_() if requires_grad else out


def _check_device(device: Any) -> None:
    if device is not None:
        _core.empty(0, device=device)  # raises for a device that does not exist here


def as_tensor(data: Any, dtype: dtype | None = None, device: Any = None) -> Tensor:
    """``data`` as a tensor, without a copy where possible: a tensor is returned itself, an array's memory is shared.

    A tensor of another dtype is converted (recorded). See :func:`tensor` for what else ``data`` may be.
    """
    _check_device(device)
    if isinstance(data, _core.Tensor):
        return data if dtype is None else data.to(dtype)
    if _is_array(data):
        out = from_numpy(data)
        return out if dtype is None else out.to(dtype)
    return _core.tensor(data, dtype=dtype)


def asarray(
    obj: Any, *, dtype: dtype | None = None, device: Any = None, copy: bool | None = None, requires_grad: bool = False
) -> Tensor:
    """``obj`` as a tensor on its memory where possible.

    Args:
        obj: a tensor, an array, an object with DLPack or the buffer protocol, a number or nested sequences.
        dtype: of the result; for a buffer, how its bytes are read.
        copy: True: always copy; False: never, raise rather; None: if need be.
        requires_grad: for a tensor False means that the result is detached.

    Raises:
        ValueError: ``copy=False`` where a copy is needed.
    """
    from bulssi.storage import UntypedStorage

    _check_device(device)
    if isinstance(obj, _core.Tensor):
        out = obj
    elif _is_array(obj):
        out = from_numpy(obj)
    elif hasattr(obj, "__dlpack__"):
        out = from_dlpack(obj)
    elif isinstance(obj, UntypedStorage):
        out = obj._whole()
    elif isinstance(obj, (bytes, bytearray, memoryview)) or _is_buffer(obj):
        dtype = _core.get_default_dtype() if dtype is None else dtype
        out = frombuffer(obj, dtype=dtype)  # pyright: ignore[reportArgumentType]
    else:
        if copy is False:
            raise ValueError("can't alias arbitrary sequence into a tensor.")
        return _core.tensor(obj, dtype=dtype, requires_grad=requires_grad)
    if dtype is not None and out.dtype != dtype:
        if copy is False:
            raise ValueError(
                f"can't alias tensor with dtype '{out.dtype._legacy_name}' into dtype '{dtype._legacy_name}'."
            )
        out = out.to(dtype)
    elif copy:
        out = out.clone()
    if requires_grad:
        return out if out.requires_grad else out.detach().requires_grad_()
    return out.detach() if out.requires_grad else out


def _is_buffer(obj: Any) -> bool:
    try:
        memoryview(obj).release()
    except TypeError:
        return False
    return True


# ---- DLPack ------------------------------------------------------------------------------------


def from_dlpack(ext_tensor: Any, *, device: Any = None, copy: bool | None = None) -> Tensor:
    """A tensor on the memory of another library's array, by the DLPack protocol (versions 0 and 1).

    Args:
        ext_tensor: an object with ``__dlpack__``, or a DLPack capsule (which can be used once).
        device: must be the CPU.
        copy: True asks the other library for a copy, False forbids one.

    Raises:
        BufferError: memory of another device, or an element type that tensors do not have.
    """
    _check_device(device)
    if not hasattr(ext_tensor, "__dlpack__"):
        if copy is not None:
            raise ValueError("from_dlpack: copy= needs an object with __dlpack__, not a capsule")
        return _core._from_dlpack(ext_tensor)
    kind, _ = ext_tensor.__dlpack_device__()
    if int(kind) != 1:
        raise BufferError(f"from_dlpack: the memory is on DLPack device type {int(kind)}, not on the CPU (1)")
    options = {} if copy is None else {"copy": copy}
    try:
        capsule = ext_tensor.__dlpack__(max_version=(1, 0), **options)
    except TypeError:  # a producer from before version 1
        if copy is not None:
            raise
        capsule = ext_tensor.__dlpack__()
    return _core._from_dlpack(capsule)


def to_dlpack(tensor: Tensor) -> Any:
    """A DLPack capsule (of version 0) of the tensor's memory, for consumers that take capsules."""
    return _core._to_dlpack(tensor, False, False)


def dlpack_of(
    self: Tensor,
    *,
    stream: Any = None,
    max_version: tuple[int, int] | None = None,
    dl_device: tuple[int, int] | None = None,
    copy: bool | None = None,
) -> Any:
    """The method ``Tensor.__dlpack__``: a capsule for the other library's ``from_dlpack``."""
    if stream is not None and stream != -1:
        raise AssertionError("stream should be None on cpu.")
    if dl_device is not None and int(dl_device[0]) != 1:
        raise BufferError(f"__dlpack__: cannot export to DLPack device type {int(dl_device[0])}, only to the CPU (1)")
    return _core._to_dlpack(self, max_version is not None and max_version[0] >= 1, bool(copy))


def dlpack_device_of(self: Tensor) -> tuple[Any, int]:
    """The method ``Tensor.__dlpack_device__``."""
    from bulssi.utils.dlpack import DLDeviceType

    return DLDeviceType.kDLCPU, 0


# ---- NumPy ------------------------------------------------------------------------------------


def numpy_of(self: Tensor, *, force: bool = False) -> Any:
    """A NumPy array on the memory of the tensor: a change of one shows in the other.

    Args:
        force: detach first.

    Raises:
        RuntimeError: the tensor requires grad and ``force`` is not set.
        TypeError: bfloat16, which NumPy does not have, or the meta device.
    """
    if self.is_meta:
        raise TypeError(
            "can't convert meta device type tensor to numpy. Use Tensor.cpu() to copy the tensor to host memory first."
            "\nA tensor on the meta device has no elements: numpy.empty(tensor.shape) makes an array of its shape."
        )
    import numpy

    return numpy.asarray(memoryview(self.detach() if force else self))


def array_of(self: Tensor, dtype: Any = None, copy: bool | None = None) -> Any:
    """The method ``Tensor.__array__``, by which NumPy functions take tensors."""
    array = numpy_of(self)
    if dtype is not None and array.dtype != dtype:
        if copy is False:
            raise ValueError(f"__array__: a change from {array.dtype} to {dtype} needs a copy, but copy=False")
        return array.astype(dtype)
    return array.copy() if copy else array


def array_wrap_of(self: Tensor, array: Any, context: Any = None, return_scalar: bool = False) -> Tensor:
    """The method ``Tensor.__array_wrap__``: results of NumPy functions on tensors are tensors."""
    if array.dtype == bool:
        array = array.astype("uint8")  # as PyTorch does
    return from_numpy(array)
