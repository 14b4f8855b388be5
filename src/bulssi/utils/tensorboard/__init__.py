"""Event files for TensorBoard; a writer needs the packages `tensorboard` and NumPy (`bulssi[tensorboard]`)."""

from __future__ import annotations

from .writer import FileWriter, SummaryWriter

__all__ = ["FileWriter", "SummaryWriter"]
