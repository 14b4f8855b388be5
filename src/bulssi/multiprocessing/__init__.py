"""Python's `multiprocessing`, with tensors that processes share: what is sent or inherited is the memory, not a copy.

A tensor that is put into a queue or pipe, or given to a process, is moved to shared memory (as `share_memory_()` does)
and travels as a descriptor of it; both sides then see each other's changes.
"""

from __future__ import annotations

import multiprocessing as _multiprocessing
from multiprocessing import *  # noqa: F403
from multiprocessing import connection as connection
from multiprocessing import queues as queues

from . import reductions as reductions
from .spawn import ProcessContext as ProcessContext
from .spawn import ProcessException as ProcessException
from .spawn import ProcessExitedException as ProcessExitedException
from .spawn import ProcessRaisedException as ProcessRaisedException
from .spawn import SpawnContext as SpawnContext
from .spawn import spawn as spawn
from .spawn import start_processes as start_processes

__all__ = ["get_all_sharing_strategies", "get_sharing_strategy", "set_sharing_strategy"]
__all__ += _multiprocessing.__all__  # type: ignore[attr-defined]

_strategies = {"file_descriptor", "file_system"}
_strategy = "file_descriptor"


def get_all_sharing_strategies() -> set[str]:
    """The names that :func:`set_sharing_strategy` takes."""
    return set(_strategies)


def get_sharing_strategy() -> str:
    """``"file_descriptor"``, or what was set."""
    return _strategy


def set_sharing_strategy(new_strategy: str) -> None:
    """Say how memory is found by other processes. It is by descriptor in any case, so that nothing is left on disk.

    Raises:
        AssertionError: an unknown name.
    """
    global _strategy
    if new_strategy not in _strategies:
        raise AssertionError(f"invalid sharing strategy {new_strategy!r}, expected one of {_strategies}")
    _strategy = new_strategy


reductions.init_reductions()
