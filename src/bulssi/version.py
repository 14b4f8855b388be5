"""The version, and what it was built with: nothing of CUDA yet."""

from __future__ import annotations

from bulssi import __version__

__all__ = ["__version__", "cuda", "debug", "hip", "xpu"]

debug = False
cuda: str | None = None
hip: str | None = None
xpu: str | None = None
