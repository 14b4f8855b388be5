"""Quantisation's part that is about modules of ordinary numbers."""

from . import quantization as quantization

__all__ = ["quantization"]
