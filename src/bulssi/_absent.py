"""What is not here: functions that say so when they are called, for modules whose names programs import or ask."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


def refusing(name: str, error: type[Exception], why: str) -> Callable[..., Any]:
    """A function of that name that raises `error` with the reason, whatever it is given."""

    def refuse(*args: Any, **kwargs: Any) -> Any:
        raise error(why)

    refuse.__name__ = refuse.__qualname__ = name.rpartition(".")[2]
    refuse.__doc__ = f"Raises {error.__name__}: {why.splitlines()[-1]}"
    return refuse


def without_device(kind: str) -> Callable[[str], Callable[..., Any]]:
    """Makes the functions of a kind of device ("cuda", "xpu") that raise because there is none."""

    def needs_device(name: str) -> Callable[..., Any]:
        first = f"Torch not compiled with {kind.upper()} enabled"
        return refusing(name, AssertionError, f"{first}\n{kind}.{name}() needs a GPU; ask {kind}.is_available() first")

    return needs_device
