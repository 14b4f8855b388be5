"""What is said about an argument that is no tensor, or one of a dtype that an operation does not take."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bulssi import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeVar

    F = TypeVar("F", bound=Callable[..., object])

# PyTorch's messages name the operation behind the function where that has another name.
_OPERATIONS = {"cross_entropy": "cross_entropy_loss", "nll_loss": "nll_loss_nd", "fold": "col2im", "unfold": "im2col"}


def in_python(function: F) -> F:
    """Marks what PyTorch writes in Python, where it therefore meets a wrong argument with an AttributeError of its own.

    What is marked does not name the argument, as functions of the core do: :func:`refuse_what_is_no_tensor`.
    """
    function.__dict__["in_python"] = True
    return function


def refuse_what_is_no_tensor(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Raise a TypeError if an argument of ``function`` that must be a tensor is none."""
    while hasattr(function, "__wrapped__"):
        function = function.__wrapped__
    names = function.__code__.co_varnames[: function.__code__.co_argcount]
    given = {**dict(zip(names, args, strict=False)), **kwargs}
    for position, name in enumerate(names, 1):
        wanted = name == "input" or function.__annotations__.get(name) == "Tensor"
        if wanted and name in given and not isinstance(given[name], Tensor):
            raise TypeError(
                f"{_OPERATIONS.get(function.__name__, function.__name__)}(): argument '{name}' (position {position}) "
                f"must be Tensor, not {type(given[name]).__name__}"
            )


def scalar_name(t: Tensor) -> str:
    """The name of the dtype in PyTorch's messages: ``Float``, ``Long``."""
    return t.type().rpartition(".")[2].removesuffix("Tensor")


def check_floating(t: Tensor, operation: str) -> None:
    """Raise, in the name of PyTorch's operation, unless ``t`` is of a floating dtype."""
    if not t.is_floating_point():
        raise NotImplementedError(f"\"{operation}\" not implemented for '{scalar_name(t)}'")
