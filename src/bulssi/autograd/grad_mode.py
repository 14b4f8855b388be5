"""Switching the recording of operations off and on: context managers that are decorators, too."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bulssi import _core

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["enable_grad", "inference_mode", "no_grad", "set_grad_enabled", "set_multithreading_enabled"]

_CO_GENERATOR = 0x20  # code flag of a function with `yield` (inspect.CO_GENERATOR; inspect itself is slow to import)


def _is_generator_function(function: Any) -> bool:
    while True:
        inner = getattr(function, "func", None) or getattr(function, "__func__", None)  # partial, bound method
        if inner is None:
            break
        function = inner
    code = getattr(function, "__code__", None)
    return code is not None and bool(code.co_flags & _CO_GENERATOR)


def _generator_in(context: Callable[[], Any], function: Callable[..., Any]) -> Callable[..., Any]:
    """`function` as a generator whose steps run inside `context()`; between them the caller's mode rules."""
    from functools import wraps

    @wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        generator = function(*args, **kwargs)
        step, passed = generator.send, (None,)
        try:
            while True:
                with context():
                    value = step(*passed)
                try:
                    step, passed = generator.send, ((yield value),)
                except GeneratorExit:
                    with context():
                        generator.close()
                    raise
                except BaseException as error:
                    step, passed = generator.throw, (error,)
        except StopIteration as stop:
            return stop.value

    return wrapper


class _DecoratorContextManager:
    """A context manager whose instances decorate functions, methods and generator functions."""

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        from functools import wraps

        if isinstance(function, type):
            import warnings

            warnings.warn(
                "Decorating classes is deprecated and will be disabled in future versions. You should only decorate "
                "functions or methods. To preserve the current behavior of class decoration, you can directly "
                "decorate the `__init__` method and nothing else.",
                FutureWarning,
                stacklevel=2,
            )
            made = function
            return self.__call__(lambda *args, **kwargs: made(*args, **kwargs))
        if _is_generator_function(function):
            return _generator_in(self.clone, function)

        @wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            with self.clone():
                return function(*args, **kwargs)

        return wrapper

    def __enter__(self) -> None:
        raise NotImplementedError

    def __exit__(self, *exc: object) -> None:
        raise NotImplementedError

    def clone(self) -> Any:
        """A fresh context manager of the same kind and arguments."""
        return type(self)()


class _GradMode(_DecoratorContextManager):
    """Recording on or off, according to the class; also a decorator without parentheses."""

    _mode: bool

    def __new__(cls, function: Callable[..., Any] | None = None) -> Any:
        return super().__new__(cls) if function is None else cls()(function)

    def __init__(self) -> None:
        self._former: list[bool] = []

    def __enter__(self) -> None:
        self._former.append(_core.set_grad_mode(self._mode))

    def __exit__(self, *exc: object) -> None:
        _core.set_grad_mode(self._former.pop())


class no_grad(_GradMode):
    """Record nothing: results of operations inside do not require grad, which saves time and memory.

    A function that creates a tensor (`ones(2, requires_grad=True)`) is not affected. The mode belongs to the thread.

    Example:
        >>> x = ones(1, requires_grad=True)
        >>> with no_grad():
        ...     y = x * 2
        >>> y.requires_grad
        False
        >>> @no_grad
        ... def double(x):
        ...     return x * 2
    """

    _mode = False


class enable_grad(_GradMode):
    """Record again inside a `no_grad` or `set_grad_enabled(False)` block.

    Example:
        >>> with no_grad(), enable_grad():
        ...     y = ones(1, requires_grad=True) * 2
        >>> y.requires_grad
        True
    """

    _mode = True


class set_grad_enabled(_DecoratorContextManager):
    """Recording as `mode` says: at once when called as a function, and restored at the end of a `with` block.

    Example:
        >>> with set_grad_enabled(False):
        ...     y = ones(1, requires_grad=True) * 2
        >>> y.requires_grad
        False
    """

    def __init__(self, mode: bool) -> None:
        if not isinstance(mode, bool):
            raise TypeError(
                f"set_grad_enabled(): argument 'enabled' (position 1) must be bool, not {type(mode).__name__}"
            )
        self.prev = _core.set_grad_mode(mode)
        self.mode = mode

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        _core.set_grad_mode(self.prev)  # as a decorator it must not act before the function is called
        return super().__call__(function)

    def __enter__(self) -> None:
        _core.set_grad_mode(self.mode)

    def __exit__(self, *exc: object) -> None:
        _core.set_grad_mode(self.prev)

    def __repr__(self) -> str:
        return f"torch.autograd.grad_mode.set_grad_enabled(mode={self.mode})"

    def clone(self) -> set_grad_enabled:
        return type(self)(self.mode)


class inference_mode(_DecoratorContextManager):
    """Like `no_grad`, and tensors made inside can never take part in recording later: no version counts are kept.

    `inference_mode(False)` inside such a block switches back to normal, recording included.

    Example:
        >>> with inference_mode():
        ...     y = ones(1, requires_grad=True) * 2
        >>> y.requires_grad, y.is_inference()
        (False, True)
    """

    def __new__(cls, mode: Any = True) -> Any:
        return super().__new__(cls) if isinstance(mode, bool) else cls()(mode)

    def __init__(self, mode: bool = True) -> None:
        self.mode = mode
        self._former: list[tuple[bool, bool]] = []

    def __enter__(self) -> None:
        grad = _core.set_grad_mode(not self.mode)
        self._former.append((_core.set_inference_mode(self.mode), grad))

    def __exit__(self, *exc: object) -> None:
        inference, grad = self._former.pop()
        _core.set_inference_mode(inference)
        _core.set_grad_mode(grad)

    def clone(self) -> inference_mode:
        return type(self)(self.mode)


class set_multithreading_enabled(_DecoratorContextManager):
    """Accepted so that programs run; there is nothing to set: `backward` always runs on the calling thread."""

    def __init__(self, mode: bool) -> None:
        self.mode = bool(mode)

    def __enter__(self) -> None:
        pass

    def __exit__(self, *exc: object) -> None:
        pass

    def clone(self) -> set_multithreading_enabled:
        return type(self)(self.mode)
