"""Bulssi runs PyTorch programs: tensors, automatic differentiation and neural networks under PyTorch's names."""

from __future__ import annotations

from . import _core
from ._core import *  # noqa: F403
from ._core import Size, Tensor, device, dtype

__version__ = "0.1.0"
_core._install_source_hooks()
