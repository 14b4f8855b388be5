"""Neural networks: layers, losses, initialisation and utilities, with PyTorch's names and behaviour."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import functional as functional
from . import init as init
from .modules import *  # noqa: F403
from .parameter import Buffer as Buffer
from .parameter import Parameter as Parameter
from .parameter import UninitializedBuffer as UninitializedBuffer
from .parameter import UninitializedParameter as UninitializedParameter

if TYPE_CHECKING:
    from typing import Any

    from . import attention as attention
    from . import common_types as common_types
    from . import grad as grad
    from . import parallel as parallel
    from . import utils as utils
    from .parallel import DataParallel as DataParallel


def __getattr__(name: str) -> Any:
    """Loads on first use what few programs need, to keep the import short."""
    from importlib import import_module

    if name in ("attention", "common_types", "grad", "parallel", "utils"):
        return import_module(f"{__name__}.{name}")
    if name == "DataParallel":
        return import_module(f"{__name__}.parallel").DataParallel
    raise AttributeError(f"module 'torch.nn' has no attribute {name!r}")
