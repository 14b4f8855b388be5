"""What autocast makes of the arguments of a function that is written in Python (C++ operations have it as a trait)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    F = TypeVar("F", bound=Callable[..., object])


def lower(function: F) -> F:
    """Arguments become the lower precision of the autocast block."""
    function.__dict__["autocast"] = "lower"
    return function


def float32(function: F) -> F:
    """Arguments become float32: in less, sums of many parts would lose what matters."""
    function.__dict__["autocast"] = "float32"
    return function


def as_is(function: F) -> F:
    """Neither the arguments nor the operations inside are converted, as PyTorch's version is made of other parts."""
    function.__dict__["autocast"] = "as_is"
    return function
