"""What packages decorate the exporters of their own operations with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["parse_args"]


def parse_args(*arg_descriptors: str) -> Callable[[Any], Any]:
    """Decorates an exporter, with the kinds of its arguments; nothing calls it."""
    return lambda function: function
