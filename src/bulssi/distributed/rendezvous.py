"""How processes find each other: from an address to a store, and the numbers of this process and of all."""

from __future__ import annotations

import os
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlparse

from .store import DEFAULT_TIMEOUT, FileStore, Store, TCPStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["register_rendezvous_handler", "rendezvous"]

_handlers: dict[str, Callable[..., Iterator[Any]]] = {}


def register_rendezvous_handler(scheme: str, handler: Callable[..., Iterator[Any]]) -> None:
    """Have ``handler(url)`` serve addresses of a scheme; it yields a store, a rank and a world size.

    Raises:
        RuntimeError: the scheme is served already.
    """
    if scheme in _handlers or scheme in ("env", "tcp", "file"):
        raise RuntimeError(f"Rendezvous handler for {scheme}:// already registered")
    _handlers[scheme] = handler


def rendezvous(
    url: str, rank: int = -1, world_size: int = -1, timeout: timedelta = DEFAULT_TIMEOUT
) -> tuple[Store, int, int]:
    """A store that all processes reach, the number of this one, and how many there are.

    Args:
        url: ``env://`` (the variables MASTER_ADDR, MASTER_PORT, RANK and WORLD_SIZE say), ``tcp://host:port`` (where
            process 0 listens) or ``file:///path`` (a file that does not exist yet).
        rank, world_size: unless the address says (``?rank=0&world_size=2``).

    Raises:
        ValueError: a number is missing.
        RuntimeError: an unknown scheme.
    """
    parsed = urlparse(url)
    query = {name: values[0] for name, values in parse_qs(parsed.query).items()}
    rank = rank if rank >= 0 else int(query.get("rank", -1))
    world_size = world_size if world_size >= 0 else int(query.get("world_size", -1))
    if parsed.scheme == "env":
        rank = rank if rank >= 0 else int(_variable("RANK"))
        world_size = world_size if world_size >= 0 else int(_variable("WORLD_SIZE"))
        host, port = _variable("MASTER_ADDR"), int(_variable("MASTER_PORT"))
        return _tcp(host, port, rank, world_size, timeout), rank, world_size
    if parsed.scheme == "tcp":
        _check("tcp", rank, world_size)
        if parsed.port is None:
            raise ValueError(
                f"Error initializing torch.distributed using tcp:// rendezvous: port number missing in {url}"
            )
        return _tcp(parsed.hostname or "", parsed.port, rank, world_size, timeout), rank, world_size
    if parsed.scheme == "file":
        _check("file", rank, world_size)
        if not parsed.path:
            raise ValueError("Error initializing torch.distributed using file:// rendezvous: path missing")
        return FileStore(parsed.path, world_size), rank, world_size
    if parsed.scheme in _handlers:
        return next(_handlers[parsed.scheme](url))
    raise RuntimeError(f"No rendezvous handler for {parsed.scheme}://")


def _variable(name: str) -> str:
    value = os.environ.get(name)
    if value is None:
        raise ValueError(
            f"Error initializing torch.distributed using env:// rendezvous: environment variable {name} expected, "
            "but not set\nStart the script with `python -m bulssi.distributed.run --nproc_per_node=N script.py`, which "
            "sets it"
        )
    return value


def _check(scheme: str, rank: int, world_size: int) -> None:
    for name, value in (("rank", rank), ("world size", world_size)):
        if value < 0:
            raise ValueError(
                f"Error initializing torch.distributed using {scheme}:// rendezvous: {name} parameter missing"
            )


def _tcp(host: str, port: int, rank: int, world_size: int, timeout: timedelta) -> TCPStore:
    agent_holds_it = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
    return TCPStore(host, port, world_size, rank == 0 and not agent_holds_it, timeout, wait_for_workers=False)
