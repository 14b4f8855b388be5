"""Event files for TensorBoard. Needs the package `tensorboard` (`pip install bulssi[tensorboard]`) and NumPy."""

from __future__ import annotations

try:
    from tensorboard.summary.writer.record_writer import RecordWriter
except ImportError as error:
    raise ImportError("utils.tensorboard needs the package tensorboard: pip install tensorboard") from error

from .writer import FileWriter, SummaryWriter

__all__ = ["FileWriter", "RecordWriter", "SummaryWriter"]
