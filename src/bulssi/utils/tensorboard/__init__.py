"""Event files for TensorBoard. A writer needs the packages `tensorboard` and NumPy (`pip install bulssi[tensorboard]`)."""

from __future__ import annotations

from .writer import FileWriter, SummaryWriter

__all__ = ["FileWriter", "SummaryWriter"]
