"""What programs ask of the compiler that is not here."""

from __future__ import annotations

__all__ = ["is_compile_supported"]


def is_compile_supported(device_type: str) -> bool:
    """False: nothing is compiled, on any device."""
    return False
