"""Optimizers of parameters that several processes keep."""

from __future__ import annotations

from .optimizer import DistributedOptimizer

__all__ = ["DistributedOptimizer"]
