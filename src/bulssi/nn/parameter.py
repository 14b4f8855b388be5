"""Tensors that a :class:`~bulssi.nn.Module` registers by itself when they are assigned to one of its attributes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import bulssi
from bulssi import Tensor, _core
from bulssi._tensor_methods import DisableTorchFunctionSubclass

if TYPE_CHECKING:
    from typing import Any

__all__ = ["Parameter", "UninitializedParameter", "Buffer", "UninitializedBuffer", "is_lazy"]


class _BufferMeta(type(Tensor)):
    """A buffer is a plain tensor with a flag, so that operations on it pay nothing; ``isinstance`` looks at the
    flag."""

    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, Tensor) and getattr(instance, "_is_buffer", False)


def _rebuild_parameter(cls: type, data: Tensor, requires_grad: bool, state: dict[str, Any] | None) -> Tensor:
    out = cls(data, requires_grad)
    if state:
        out.__dict__.update(state)
    return out


class Parameter(Tensor):
    """A tensor that is a trainable part of a module.

    Args:
        data: the values; the parameter shares their storage. ``None`` makes an empty tensor.
        requires_grad: record operations on it (also under ``no_grad``, which does not change this flag).

    Example::

        >>> layer = nn.Module()
        >>> layer.scale = nn.Parameter(torch.ones(3))
        >>> [name for name, _ in layer.named_parameters()]
        ['scale']
    """

    __torch_function__ = _core._disabled_torch_function_impl  # results of operations are plain tensors

    def __new__(cls, data: Tensor | None = None, requires_grad: bool = True) -> Parameter:
        if data is None:
            data = bulssi.empty(0)
        if not isinstance(data, Tensor):
            raise TypeError(
                f"Parameter data has to be a Tensor, but got {type(data).__name__}. Make one first: "
                "nn.Parameter(torch.tensor(data))."
            )
        if not isinstance(requires_grad, bool):
            raise TypeError(
                "_make_subclass(): argument 'require_grad' (position 3) must be bool, "
                f"not {type(requires_grad).__name__}"
            )
        made = getattr(type(data), "_as_parameter", None)  # of a subclass that does not stay one by sharing storage
        if made is not None:
            return made(data, requires_grad)
        return Tensor._make_subclass(cls, data, requires_grad)

    def __deepcopy__(self, memo: dict[int, Any]) -> Parameter:
        if id(self) not in memo:
            memo[id(self)] = type(self)(self.data.clone(), self.requires_grad)
        return memo[id(self)]

    def __repr__(self) -> str:
        return "Parameter containing:\n" + super().__repr__()

    def __reduce_ex__(self, protocol: Any, /) -> tuple[Any, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        return _rebuild_parameter, (
            type(self),
            self.data,
            self.requires_grad,
            dict(getattr(self, "__dict__", ())) or None,
        )


_core._set_parameter_type(Parameter)  # results of operations on parameters are plain tensors


class Buffer(Tensor, metaclass=_BufferMeta):
    """A tensor that belongs to a module's state but is not trained.

    Assigned to a module's attribute it is registered as by :meth:`~bulssi.nn.Module.register_buffer`.

    Args:
        data: the values; storage is shared. ``None`` makes an empty tensor.
        persistent: whether the buffer is part of the module's ``state_dict``.
    """

    def __new__(cls, data: Any = None, *, persistent: bool = True) -> Tensor:
        if data is None:
            data = bulssi.empty(0)
        out = data.detach().requires_grad_(data.requires_grad)
        out.persistent = persistent
        out._is_buffer = True
        return out


_LAZY_HINT = "Call `forward` to initialize the parameters before "
_WITHOUT_SHAPE = frozenset(
    "size copy_ is_complex is_floating_point half float double char short int long cuda cpu to get_device".split()
)  # methods that need no shape


class UninitializedTensorMixin:
    """What parameters and buffers without a shape have in common: :meth:`materialize` gives them one."""

    cls_to_become: type = Tensor

    def materialize(self, shape: Any, device: Any = None, dtype: Any = None) -> None:
        """Become an ordinary tensor of ``shape`` with undefined values, on the given or the present device and
        dtype."""
        data = self.data
        self.data = bulssi.empty(
            shape, device=data.device if device is None else device, dtype=data.dtype if dtype is None else dtype
        )
        self.__class__ = self.cls_to_become

    @property
    def shape(self) -> Any:
        raise RuntimeError(
            "Can't access the shape of an uninitialized parameter or buffer. "
            "This error usually happens in `load_state_dict` when trying to load an uninitialized parameter into an "
            "initialized one. " + _LAZY_HINT + "accessing their attributes."
        )

    def share_memory_(self) -> Any:
        raise RuntimeError(
            "Can't share memory on an uninitialized parameter or buffer. "
            + _LAZY_HINT
            + "calling `module.share_memory()`."
        )

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Lets through what needs no shape, and refuses everything else by name."""
        if getattr(func, "__name__", "") not in _WITHOUT_SHAPE:
            raise ValueError(
                f"Attempted to use an uninitialized parameter in {func}. This error happens when you are using a "
                f"`LazyModule` or explicitly manipulating `torch.nn.parameter.{cls.__name__}` objects. When using "
                "LazyModules Call `forward` with a dummy batch to initialize the parameters before calling torch "
                "functions"
            )
        with DisableTorchFunctionSubclass():
            return func(*args, **(kwargs or {}))

    # Methods that ask no class.

    def numel(self) -> Any:
        return self.__torch_function__(Tensor.numel, (), (self,))

    def nelement(self) -> Any:
        return self.__torch_function__(Tensor.nelement, (), (self,))

    def requires_grad_(self, requires_grad: bool = True) -> Any:
        return self.__torch_function__(Tensor.requires_grad_, (), (self, requires_grad))

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    def __reduce_ex__(self: Any, protocol: Any, /) -> tuple[Any, ...]:
        return type(self), (self.requires_grad,)

    def __deepcopy__(self: Any, memo: dict[int, Any]) -> Any:
        if id(self) not in memo:
            memo[id(self)] = type(self)(self.requires_grad, self.data.device, self.data.dtype)
        return memo[id(self)]


class UninitializedParameter(UninitializedTensorMixin, Parameter):  # pyright: ignore[reportIncompatibleVariableOverride]
    """A parameter whose shape a lazy module learns from its first input."""

    cls_to_become = Parameter

    def __new__(cls, requires_grad: bool = True, device: Any = None, dtype: Any = None) -> UninitializedParameter:
        return Tensor._make_subclass(cls, bulssi.empty(0, device=device, dtype=dtype), requires_grad)


class UninitializedBuffer(UninitializedTensorMixin, Tensor):  # pyright: ignore[reportIncompatibleVariableOverride]
    """A buffer whose shape a lazy module learns from its first input."""

    cls_to_become = Tensor

    def __new__(
        cls, requires_grad: bool = False, device: Any = None, dtype: Any = None, persistent: bool = True
    ) -> UninitializedBuffer:
        out = Tensor._make_subclass(cls, bulssi.empty(0, device=device, dtype=dtype), requires_grad)
        out.persistent = persistent
        out._is_buffer = True
        return out


def is_lazy(param: Any) -> bool:
    """Whether ``param`` is a parameter or buffer that has no shape yet."""
    return isinstance(param, UninitializedTensorMixin)
