"""The former name of :mod:`bulssi.distributed.tensor`."""

from ..tensor import *  # noqa: F403
from ..tensor import __all__ as __all__
from . import device_mesh as device_mesh
