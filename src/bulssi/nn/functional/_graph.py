"""How functions that are written in other operations appear in the graph."""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING

from bulssi import _core

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeVar

    F = TypeVar("F", bound=Callable[..., Any])


def shown_as(name: str | Callable[..., str], joint: bool | Callable[[str], bool] = False) -> Callable[[F], F]:
    """Decorates a function whose graph is shown as one node, as PyTorch shows it: ``grad_fn=<MseLossBackward0>``.

    ``name`` may be a function of the same arguments. The node's edges lead to the tensors that the function was given.
    With ``joint`` a gradient that does not depend on the input still belongs to its graph, with the derivative zero: so
    it is in PyTorch where the backward operation is given the input. It may be a function of the node's name.
    """

    def decorate(function: F) -> F:
        @wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            out = function(*args, **kwargs)
            result = out[0] if isinstance(out, tuple) else out
            if getattr(result, "requires_grad", False):
                shown = name if isinstance(name, str) else name(*args, **kwargs)
                _core.show_as(result, shown, joint(shown) if callable(joint) else joint, *args, *kwargs.values())
            return out

        return call  # pyright: ignore[reportReturnType]

    return decorate
