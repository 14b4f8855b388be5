"""Finding the operation whose backward fails or makes NaN.

Error messages of backward always name the line that made a node; anomaly mode adds the whole stack of that place and
checks every gradient for NaN.
"""

from __future__ import annotations

import warnings

from bulssi import _core

__all__ = ["detect_anomaly", "set_detect_anomaly"]


class detect_anomaly:
    """Context manager: remember the stack of every recorded operation, and stop a backward at the first NaN.

    Args:
        check_nan: raise a RuntimeError when a node's backward gives a NaN.

    Example:
        >>> x = tensor(-1.0, requires_grad=True)
        >>> with detect_anomaly():
        ...     x.sqrt().backward()
        Traceback (most recent call last):
        RuntimeError: Function 'SqrtBackward0' returned nan values in its 0th output.
    """

    def __init__(self, check_nan: bool = True) -> None:
        self.check_nan = check_nan
        self._former: list[tuple[bool, bool]] = []
        warnings.warn(
            "Anomaly Detection has been enabled. This mode will increase the runtime and should only be enabled for "
            "debugging.",
            stacklevel=2,
        )

    def __enter__(self) -> None:
        self._former.append(_core.set_anomaly_mode(True, self.check_nan))

    def __exit__(self, *exc: object) -> None:
        _core.set_anomaly_mode(*self._former.pop())


class set_detect_anomaly:
    """Anomaly mode on or off, at once; at the end of a `with` block the former state comes back.

    Example:
        >>> with set_detect_anomaly(False):
        ...     pass
    """

    def __init__(self, mode: bool, check_nan: bool = True) -> None:
        for position, (name, flag) in enumerate((("enabled", mode), ("check_nan", check_nan)), 1):
            if not isinstance(flag, bool):
                raise TypeError(
                    f"set_anomaly_enabled(): argument '{name}' (position {position}) must be bool, "
                    f"not {type(flag).__name__}"
                )
        self._former = _core.set_anomaly_mode(bool(mode), bool(check_nan))

    def __enter__(self) -> None:
        pass

    def __exit__(self, *exc: object) -> None:
        _core.set_anomaly_mode(*self._former)


def _format_stack() -> str:
    """The stack of the user's code that records an operation right now; called by the core for every node."""
    from traceback import format_stack

    return "".join(format_stack()[:-1])


def _warn_traceback(name: str, stack: str | None, is_parent: bool) -> None:
    """Show where the node `name` was recorded; called by the core when its backward raises."""
    if stack is None:
        warnings.warn(
            f"Error detected in {name}. No forward pass information available. Enable detect anomaly during forward "
            "pass for more information.",
            stacklevel=2,
        )
    elif is_parent:
        warnings.warn(
            f"\n\nPrevious calculation was induced by {name}. Traceback of forward call that induced the previous "
            f"calculation:\n{stack}",
            stacklevel=2,
        )
    else:
        warnings.warn(
            f"Error detected in {name}. Traceback of forward call that caused the error:\n{stack}", stacklevel=2
        )
