"""Methods of Tensor that are written in Python, and the former constructor `Tensor(...)`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bulssi import _core

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bulssi import Tensor, dtype
    from bulssi.storage import TypedStorage, UntypedStorage

__all__ = ["install", "legacy_constructor"]


def legacy_constructor(*args: Any, device: Any = None) -> Tensor:
    """`Tensor(2, 3)`: uninitialised, of that shape; `Tensor([1, 2])`: of those numbers; both of the default dtype.

    `Tensor(other)` is `other` itself, without its history. Prefer `tensor(...)` and `empty(...)`.
    """
    if len(args) == 1 and isinstance(args[0], _core.Tensor):
        return args[0].detach()  # of any dtype
    return constructed(args, _core.get_default_dtype(), device)


def constructed(args: tuple[Any, ...], dtype: dtype, device: Any) -> Tensor:
    """What `FloatTensor(*args)` and its like make: of a shape, of data, or of another tensor."""
    if not args:
        return _core.empty(0, dtype=dtype, device=device)
    first = args[0]
    if isinstance(first, _core.Size) and len(args) == 1:
        return _core.empty(first, dtype=dtype, device=device)
    if all(_is_size(arg) for arg in args):
        return _core.empty(args, dtype=dtype, device=device)
    if len(args) > 1:
        raise TypeError(
            "new(): expected sizes as integers, or one sequence of data, but got "
            f"({', '.join(type(arg).__name__ for arg in args)})"
        )
    if isinstance(first, _core.Tensor):
        if first.dtype != dtype:
            raise TypeError(f"expected {dtype} (got {first.dtype})\nuse .to(dtype), or tensor(data, dtype=...)")
        return first.detach()
    if isinstance(first, (str, bytes)):
        raise TypeError(f"new(): invalid data type '{type(first).__name__}'")
    if isinstance(first, (bool, float)) or first is None:
        raise TypeError(f"new(): data must be a sequence (got {type(first).__name__})\nuse tensor(data) for a number")
    storage = getattr(first, "_untyped_storage", first)
    if hasattr(storage, "_bytes"):  # of module storage
        return _core._on_storage(storage._bytes, dtype, 0, (storage.nbytes() // dtype.itemsize,), (1,))  # pyright: ignore[reportAttributeAccessIssue]
    return _core.tensor(first, dtype=dtype, device=device)


def _is_size(arg: Any) -> bool:
    """Whether it is an integer (not an array of one)."""
    return hasattr(arg, "__index__") and not isinstance(arg, (bool, _core.Tensor)) and not hasattr(arg, "__len__")


def _new(self: Tensor, *args: Any, device: Any = None) -> Tensor:
    """A tensor of self's dtype, of a shape or of data. Prefer `new_empty` and `new_tensor`."""
    return constructed(args, self.dtype, device)


def _new_tensor(
    self: Tensor,
    data: Any,
    *,
    dtype: dtype | None = None,
    device: Any = None,
    requires_grad: bool = False,
    layout: Any = None,
    pin_memory: bool = False,
) -> Tensor:
    """`tensor(data)` with self's dtype unless another is given."""
    return _core.tensor(data, dtype=self.dtype if dtype is None else dtype, device=device, requires_grad=requires_grad)


def _type(self: Tensor, dtype: Any = None, non_blocking: bool = False) -> Any:
    """The name of self's type, such as `torch.FloatTensor`; with an argument, self as that type or dtype."""
    if dtype is None:
        return f"torch.{self.dtype._legacy_name}Tensor"
    if isinstance(dtype, _core.dtype):
        return self.to(dtype)
    from bulssi._dtypes import DTYPE_OF_TYPED

    name = dtype if isinstance(dtype, str) else f"torch.{getattr(dtype, '__name__', dtype)}"
    kind = DTYPE_OF_TYPED.get(name.removeprefix("torch."))
    if kind is None or not name.startswith("torch."):
        if name.startswith("torch.cuda."):
            raise TypeError(f"type {name} not available. Torch not compiled with CUDA enabled.")
        raise ValueError(f"invalid type: {dtype!r}")
    return self.to(kind)


# ---- memory ------------------------------------------------------------------------------------


def _untyped_storage(self: Tensor) -> UntypedStorage:
    """The memory under self, which views share."""
    from bulssi.storage import UntypedStorage

    return UntypedStorage._of(self)


def _storage(self: Tensor) -> TypedStorage:
    """The memory under self, as elements of its dtype."""
    from bulssi.storage import TypedStorage

    return TypedStorage(wrap_storage=_untyped_storage(self), dtype=self.dtype)


def _set(self: Tensor, source: Any = None, storage_offset: int = 0, size: Any = None, stride: Any = None) -> Tensor:
    """Let self show the memory of `source`, a tensor or a storage, in place; without one, nothing."""
    if source is None:
        return _core._set_storage(self, _core.empty(0, dtype=self.dtype), 0, (0,), (1,))
    if isinstance(source, _core.Tensor):
        if source.dtype != self.dtype:
            raise RuntimeError(
                f"Could not set tensor of type {source.dtype} to a tensor of type {self.dtype}\nset_: convert it first"
            )
        if size is None:
            size, stride, storage_offset = source.shape, source.stride(), source.storage_offset()
        return _core._set_storage(self, source, storage_offset, size, _row_major(size) if stride is None else stride)
    storage = getattr(source, "_untyped_storage", source)
    if not hasattr(storage, "_bytes"):
        raise TypeError(f"set_(): argument 'source' must be a Tensor or a storage, not {type(source).__name__}")
    if size is None:
        size = (storage.nbytes() // self.element_size() - storage_offset,)
    stride = _row_major(size) if stride is None else stride
    return _core._set_storage(self, storage._bytes, storage_offset, size, stride)


def _row_major(size: Any) -> tuple[int, ...]:
    strides, step = [], 1
    for n in reversed(tuple(size)):
        strides.append(step)
        step *= max(n, 1)
    return tuple(reversed(strides))


def _is_set_to(self: Tensor, tensor: Tensor) -> bool:
    """Whether both show the same memory in the same way."""
    return _core._is_set_to(self, tensor)


def _is_same_size(self: Tensor, other: Tensor) -> bool:
    """Whether both have the same shape."""
    if not isinstance(other, _core.Tensor):
        raise TypeError(f"is_same_size(): argument 'other' (position 1) must be Tensor, not {type(other).__name__}")
    return self.shape == other.shape


def _share_memory(self: Tensor) -> Tensor:
    """Move self's memory (and that of its views) to where processes forked later share it; returns self."""
    _core._share_storage(self)
    return self


def _is_shared(self: Tensor) -> bool:
    """Whether processes that are forked later share self's memory."""
    return _core._is_shared(self)


def _pin_memory(self: Tensor, device: Any = None) -> Tensor:
    """Memory that a GPU can read directly: needs a GPU."""
    raise RuntimeError("Cannot access accelerator device when none is available.\npin_memory needs a GPU")


def _get_device(self: Tensor) -> int:
    """The index of self's GPU; -1 on the CPU."""
    return -1 if self.device.index is None else self.device.index


def _as_subclass(self: Tensor, cls: type[Tensor]) -> Tensor:
    """Self as an object of a subclass of Tensor, with the same memory and the same place in the graph."""
    if not (isinstance(cls, type) and issubclass(cls, _core.Tensor)):
        raise TypeError(f"as_subclass(): cls must be a subclass of Tensor (got {cls!r})")
    return _core.Tensor._in_class(cls, self)


def _iterate(self: Tensor) -> Iterator[Tensor]:
    """Slices along the first dimension."""
    if self.dim() == 0:
        raise TypeError("iteration over a 0-d tensor")
    return iter(self.unbind(0))


# ---- pickle ------------------------------------------------------------------------------------


def _rebuild(
    storage: UntypedStorage,
    dtype: dtype,
    offset: int,
    size: tuple[int, ...],
    stride: tuple[int, ...],
    requires_grad: bool,
    subclass: type[Tensor] | None,
    state: dict[str, Any] | None,
) -> Tensor:
    """The tensor that `__reduce_ex__` described."""
    made = _core._on_storage(storage._bytes, dtype, offset, size, stride)
    if subclass is not None:
        made = _core.Tensor._make_subclass(subclass, made, False)
    if requires_grad:
        made.requires_grad_()
    if state:
        made.__dict__.update(state)
    return made


def _reduce(self: Tensor, protocol: Any) -> tuple[Any, ...]:
    """For pickle and copy.copy: the memory once, however many tensors share it, and the place of self in it."""
    state = getattr(self, "__dict__", None)
    kind = type(self)
    return _rebuild, (
        _untyped_storage(self),
        self.dtype,
        self.storage_offset(),
        tuple(self.shape),
        self.stride(),
        self.requires_grad,
        None if kind is _core.Tensor else kind,
        dict(state) if state else None,
    )


def operation(path: str) -> Any:
    """The operation of that name in the core, such as `special.erf` or `Tensor.add_`; for pickle."""
    found: Any = _core
    for part in path.split("."):
        found = getattr(found, part)
    return found


# ---- other protocols ------------------------------------------------------------------------------------


def _format(self: Tensor, spec: str) -> str:
    """A tensor without dimensions is formatted as its number."""
    if self.dim() == 0 and self.device.type != "meta" and type(self) is _core.Tensor:
        return format(self.item(), spec)
    if spec:
        raise TypeError("unsupported format string passed to Tensor.__format__")
    return str(self)


def _reversed(self: Tensor) -> Tensor:
    return self if self.dim() == 0 else self.flip(0)


def _deepcopy(self: Tensor, memo: dict[int, Any]) -> Tensor:
    """A tensor of its own memory; those that shared memory share it in the copy, too."""
    from copy import deepcopy

    if not self.is_leaf:
        raise RuntimeError(
            "Only Tensors created explicitly by the user (graph leaves) support the deepcopy protocol at the moment.\n"
            "Copy x.detach(), or use x.clone() to stay in the graph."
        )
    if id(self) in memo:
        return memo[id(self)]
    from bulssi import no_grad

    with no_grad():
        size = self.element_size()
        if min(self.stride(), default=0) < 0 or self.numel() == 0:
            made = self.detach().clone()
        else:
            key: Any = ("storage", self._storage_ptr(), size)
            if key not in memo:
                whole = self.detach().as_strided((self._storage_bytes() // size,), (1,), 0)
                memo[key] = whole.clone(), whole  # the original is kept alive: its address is the key
            made = memo[key][0].as_strided(tuple(self.shape), self.stride(), self.storage_offset()).detach()
        if type(self) is not _core.Tensor:
            made = _core.Tensor._make_subclass(type(self), made, False)
    made.requires_grad_(self.requires_grad)
    memo[id(self)] = made
    if self.grad is not None:
        made.grad = deepcopy(self.grad, memo)
    attributes = getattr(self, "__dict__", None)
    if attributes:
        made.__dict__.update(deepcopy(attributes, memo))
    return made


def _apply(self: Tensor, function: Callable[[Any], Any]) -> Tensor:
    """Replace every element by `function(element)`, in place; slow, for the CPU."""
    if self.requires_grad:
        raise RuntimeError("Can't call apply_() on Variable that requires grad. Use var.detach().apply_() instead.")
    if self.device.type == "meta":
        return self  # of the same shape
    if self.device.type != "cpu":
        raise TypeError("apply_ is only implemented on CPU tensors")
    from bulssi import tensor

    values = [function(value) for value in self.reshape(-1).tolist()]
    if values:
        self.copy_(tensor(values, dtype=self.dtype).reshape(self.shape))
    return self


def _map(self: Tensor, other: Tensor, function: Callable[[Any, Any], Any]) -> Tensor:
    """Replace every element a, beside b of `other`, by `function(a, b)`, in place; slow, for the CPU."""
    if not isinstance(other, _core.Tensor):
        raise TypeError(f"map_(): argument 'other' (position 1) must be Tensor, not {type(other).__name__}")
    if self.requires_grad or other.requires_grad:
        raise RuntimeError("Can't call map_() on Variable that requires grad. Use var.detach().map_() instead.")
    from bulssi import tensor

    beside = other.expand(self.shape).reshape(-1).tolist()
    values = [function(a, b) for a, b in zip(self.reshape(-1).tolist(), beside, strict=True)]
    if values:
        self.copy_(tensor(values, dtype=self.dtype).reshape(self.shape))
    return self


def _lu(self: Tensor, pivot: bool = True, get_infos: bool = False) -> tuple[Tensor, ...]:
    """The packed LU factors of matrices and the rows' exchanges: use ``linalg.lu_factor``."""
    from bulssi.functional import lu

    return lu(self, pivot, get_infos)


def _dir(self: Tensor) -> Iterator[str]:
    return iter(sorted({*dir(type(self)), *getattr(self, "__dict__", ())}))


_FUNCTION = type(_format)


class _CudaArrayInterface:
    """An attribute that tensors in CPU memory do not have: `hasattr` is how libraries ask for it."""

    def __get__(self, tensor: Any, kind: Any = None) -> Any:
        if tensor is None:
            return self
        raise AttributeError(
            f"Can't get __cuda_array_interface__ on non-CUDA tensor type: {tensor.type()} If CUDA data is required use "
            "tensor.cuda() to copy tensor to device memory."
        )


class DisableTorchFunctionSubclass:
    """A block in which operations on subclasses of Tensor give plain tensors, and no `__torch_function__` is called."""

    def __enter__(self) -> None:
        self._before = _core._disable_torch_function(True)

    def __exit__(self, *exc: object) -> None:
        _core._disable_torch_function(self._before)


def _fill_diagonal(self: Tensor, fill_value: Any, wrap: bool = False) -> Tensor:
    """Sets the elements whose indices are all equal, in place; with ``wrap``, of a tall matrix also those of the
    diagonals that begin again below, a row apart.

    Raises:
        RuntimeError: fewer than two dimensions, or more than two that differ.
    """
    if self.dim() < 2:
        raise RuntimeError("dimensions must larger than 1")
    sizes, strides = self.size(), self.stride()
    if self.dim() > 2 and len(set(sizes)) > 1:
        raise RuntimeError(f"all dimensions of input must be of equal length\ngot {tuple(sizes)}")
    count, step = min(sizes), sum(strides)
    self.as_strided((count,), (step,), self.storage_offset()).fill_(fill_value)
    if wrap and self.dim() == 2 and sizes[0] > sizes[1] + 1:
        for row in range(sizes[1] + 1, sizes[0], sizes[1] + 1):
            below = self[row:]
            below.as_strided((min(below.shape),), (step,), below.storage_offset()).fill_(fill_value)
    return self


def _is_nonzero(input: Tensor) -> bool:
    """Whether the only element is not zero.

    Raises:
        RuntimeError: there are several, or none.
    """
    if not isinstance(input, _core.Tensor):
        raise TypeError(f"is_nonzero(): argument 'input' (position 1) must be Tensor, not {type(input).__name__}")
    return bool(input)


def _is_distributed(input: Tensor) -> bool:
    """False: a tensor of several processes is a class of its own."""
    return False


def _to_dense(self: Tensor, dtype: Any = None, *, masked_grad: bool | None = None) -> Tensor:
    """The tensor, converted to ``dtype`` where one is given: all tensors are dense."""
    return self if dtype is None else self.to(dtype)


def install(kind: type[Tensor]) -> None:
    """Give `kind` the methods of this file."""
    from bulssi import _arrays

    for name, method in {
        "__array__": _arrays.array_of,
        "__array_wrap__": _arrays.array_wrap_of,
        "__cuda_array_interface__": _CudaArrayInterface(),
        "__deepcopy__": _deepcopy,
        "__dir__": _dir,
        "__dlpack__": _arrays.dlpack_of,
        "__dlpack_device__": _arrays.dlpack_device_of,
        "__format__": _format,
        "__iter__": _iterate,
        "__reduce_ex__": _reduce,
        "__reversed__": _reversed,
        "apply_": _apply,
        "as_subclass": _as_subclass,
        "fill_diagonal_": _fill_diagonal,
        "get_device": _get_device,
        "is_distributed": _is_distributed,
        "is_nonzero": _is_nonzero,
        "is_same_size": _is_same_size,
        "is_set_to": _is_set_to,
        "is_shared": _is_shared,
        "lu": _lu,
        "map_": _map,
        "new": _new,
        "new_tensor": _new_tensor,
        "numpy": _arrays.numpy_of,
        "pin_memory": _pin_memory,
        "set_": _set,
        "share_memory_": _share_memory,
        "storage": _storage,
        "to_dense": _to_dense,
        "type": _type,
        "untyped_storage": _untyped_storage,
    }.items():
        if isinstance(method, _FUNCTION):
            method.__name__, method.__qualname__ = name, f"Tensor.{name}"  # for messages about arguments
        setattr(kind, name, method)
    for former, name in {"__div__": "__truediv__", "__idiv__": "__itruediv__", "__rdiv__": "__rtruediv__"}.items():
        setattr(kind, former, getattr(kind, name))
    kind.__array_priority__ = 1000  # so that NumPy leaves `array + tensor` to the tensor
