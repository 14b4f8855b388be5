"""`Variable`: the former name of tensors that take part in recording; now every tensor does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bulssi import _core

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Variable"]


class VariableMeta(type):
    """Makes every tensor an instance of Variable."""

    def __instancecheck__(cls, other: Any) -> bool:
        return isinstance(other, _core.Tensor)


class _Engine:
    """What runs backward."""

    @staticmethod
    def queue_callback(callback: Callable[[], None]) -> None:
        """Call a function when the backward that is running in this thread, the outermost, has ended without an error.

        Raises:
            RuntimeError: none is running.
        """
        _core.queue_callback(callback)


class Variable(metaclass=VariableMeta):
    """`Variable(data, requires_grad=False)` is a tensor that shares the memory of `data`, without its history.

    Example:
        >>> Variable(ones(2), requires_grad=True)
        tensor([1., 1.], requires_grad=True)
    """

    _execution_engine = _Engine()

    def __new__(cls, data: Any = None, requires_grad: bool = False, volatile: bool = False) -> Any:
        from bulssi import empty

        if volatile:
            import warnings

            warnings.warn(
                "volatile was removed (Variable.volatile is always False), use torch.no_grad() instead",
                UserWarning,
                stacklevel=2,
            )
        if data is None:
            data = empty(0)
        if not isinstance(data, _core.Tensor):
            raise TypeError(f"Variable data has to be a tensor, but got {type(data).__name__}")
        made = data.detach()
        return made.requires_grad_() if requires_grad else made
