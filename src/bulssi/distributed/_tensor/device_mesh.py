"""The former name of :mod:`bulssi.distributed.device_mesh`."""

from ..device_mesh import *  # noqa: F403
from ..device_mesh import __all__ as __all__
