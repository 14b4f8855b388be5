"""The CPU under the names that programs use for any device. It is one device, number 0, and always ready."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

__all__ = [
    "Stream",
    "StreamContext",
    "current_device",
    "current_stream",
    "device_count",
    "is_available",
    "is_initialized",
    "set_device",
    "stream",
    "synchronize",
]


def is_available() -> bool:
    """True."""
    return True


def is_initialized() -> bool:
    """True: there is nothing to start."""
    return True


def device_count() -> int:
    """1."""
    return 1


def current_device() -> str:
    """``"cpu"``."""
    return "cpu"


def set_device(device: Any) -> None:
    """Does nothing: there is one CPU."""


def synchronize(device: Any = None) -> None:
    """Does nothing: an operation is done when its call returns."""


class Stream:
    """The order in which operations run; on the CPU there is one, that of the calls."""

    def __init__(self, priority: int = -1) -> None:
        self.priority = priority

    def wait_stream(self, stream: Any) -> None:
        """Does nothing: what was called before is done."""


_stream = Stream()


def current_stream(device: Any = None) -> Stream:
    """The one stream."""
    return _stream


class StreamContext(AbstractContextManager["StreamContext | None"]):
    """A block whose operations go to ``stream``: all streams of the CPU are the order of the calls."""

    def __init__(self, stream: Stream | None) -> None:
        self.stream = stream

    def __exit__(self, *exc: object) -> None:
        pass


def stream(stream: Stream | None) -> AbstractContextManager[Any]:
    """A block whose operations go to ``stream``."""
    return StreamContext(stream) if stream is not None else nullcontext()
