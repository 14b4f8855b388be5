"""The random numbers of calls that name no generator: seeds and states."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from bulssi._core import Generator, default_generator

if TYPE_CHECKING:
    from collections.abc import Generator as Iterator
    from collections.abc import Iterable

    from bulssi import Tensor

__all__ = ["fork_rng", "get_rng_state", "initial_seed", "manual_seed", "seed", "set_rng_state"]


def manual_seed(seed: int) -> Generator:
    """Start the default stream of ``seed``, an integer between -2^63 and 2^64 - 1; negative ones wrap around.

    Example:
        >>> manual_seed(0)  # doctest: +ELLIPSIS
        <torch._C.Generator object at ...>
        >>> rand(2)
        tensor([0.4963, 0.7682])
    """
    return default_generator.manual_seed(int(seed))


def seed() -> int:
    """Start a stream from the operating system's entropy; returns its seed."""
    return default_generator.seed()


def initial_seed() -> int:
    """The seed that the default stream was started with."""
    return default_generator.initial_seed()


def get_rng_state() -> Tensor:
    """The state of the default stream: a uint8 tensor of 5056 elements, the same that PyTorch has."""
    return default_generator.get_state()


def set_rng_state(new_state: Tensor) -> None:
    """Continue the default stream of a state from :func:`get_rng_state`.

    Raises:
        TypeError: it is no uint8 tensor.
        RuntimeError: it is no state.
    """
    default_generator.set_state(new_state)


@contextmanager
def fork_rng(
    devices: Iterable[Any] | None = None,
    enabled: bool = True,
    _caller: str = "fork_rng",
    _devices_kw: str = "devices",
    device_type: str = "cuda",
) -> Iterator[None, None, None]:
    """Inside the block the default stream may be seeded and drawn from; behind it, it goes on as before.

    Args:
        devices: other devices whose streams to keep; there are none yet, so only an empty list or None makes sense.
        enabled: do nothing if False.
        device_type: the kind of ``devices``.
    """
    if not enabled:
        yield
        return
    if devices:
        raise RuntimeError(f"{_caller}: {_devices_kw}={list(devices)}: there is no {device_type} device here")
    state = default_generator.get_state()
    try:
        yield
    finally:
        default_generator.set_state(state)


def _generator_with(state: Tensor) -> Generator:
    """A new generator that goes on from ``state``; unpickling calls it."""
    return Generator().set_state(state)
