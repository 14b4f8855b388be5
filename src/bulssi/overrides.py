"""`__torch_function__`: classes that take part in operations, for programs that ask about it or call it themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bulssi import _core

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["TorchFunctionMode", "handle_torch_function", "has_torch_function", "is_tensor_like", "resolve_name"]


def _overloaded(args: Iterable[Any]) -> list[Any]:
    """The arguments that have a `__torch_function__`, one of each class, subclasses before their bases."""
    found: list[Any] = []
    for arg in args:
        kind = type(arg)
        method = getattr(kind, "__torch_function__", None)
        if method is None or kind is _core.Tensor or method is _core._disabled_torch_function_impl:
            continue
        if any(type(other) is kind for other in found):
            continue
        at = next((i for i, other in enumerate(found) if issubclass(kind, type(other))), len(found))
        found.insert(at, arg)
    return found


def has_torch_function(relevant_args: Iterable[Any]) -> bool:
    """Whether one of the arguments, none of them a plain tensor, has a `__torch_function__`."""
    return bool(_overloaded(relevant_args))


def handle_torch_function(
    public_api: Callable[..., Any], relevant_args: Iterable[Any], *args: Any, **kwargs: Any
) -> Any:
    """Let the arguments with a `__torch_function__` make the call `public_api(*args, **kwargs)`, in turn.

    Raises:
        TypeError: none of them wanted to.
    """
    overloaded = _overloaded(relevant_args)
    types = tuple(type(arg) for arg in overloaded)
    for arg in overloaded:
        result = arg.__torch_function__(public_api, types, args, kwargs)
        if result is not NotImplemented:
            return result
    name = f"{getattr(public_api, '__module__', None)}.{getattr(public_api, '__name__', public_api)}"
    raise TypeError(f"no implementation found for '{name}' on types that implement __torch_function__: {list(types)}")


def is_tensor_like(inp: Any) -> bool:
    """Whether it is a Tensor, or an object with a `__torch_function__`."""
    return isinstance(inp, _core.Tensor) or hasattr(type(inp), "__torch_function__")


class TorchFunctionMode:
    """A block in which ``__torch_function__`` of this object sees every call of an operation, by this thread.

    Subclasses write that method; inside it the mode is switched off, so that ``func(*args, **kwargs)`` makes the call.

    Example:
        >>> class Print(overrides.TorchFunctionMode):
        ...     def __torch_function__(self, func, types, args=(), kwargs=None):
        ...         print(func.__name__)
        ...         return func(*args, **(kwargs or {}))
        >>> with Print():
        ...     _ = ones(2).exp()
        ones
        exp
    """

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        raise NotImplementedError(f"{type(self).__name__} has no __torch_function__ of its own")

    def __enter__(self) -> TorchFunctionMode:
        _core._push_function_mode(self)
        return self

    def __exit__(self, *exc: object) -> None:
        _core._pop_function_mode()

    @classmethod
    def push(cls, *args: Any, **kwargs: Any) -> TorchFunctionMode:
        """The former way to make one."""
        return cls(*args, **kwargs)


def resolve_name(f: Callable[..., Any]) -> str | None:
    """The name under which programs find a function of the library: ``torch.add``, ``torch.nn.functional.relu``."""
    import bulssi

    name = getattr(f, "__name__", None)
    if name is None:
        return None
    homes = [(bulssi, "torch"), (bulssi.nn.functional, "torch.nn.functional"), (_core.Tensor, "torch.Tensor")]
    homes += [(getattr(bulssi, part, None), f"torch.{part}") for part in ("special", "linalg", "fft")]
    for home, where in homes:
        if home is not None and getattr(home, name, None) is f:
            return f"{where}.{name}"
    return None
