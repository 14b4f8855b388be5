"""The former name of :mod:`bulssi.distributed.tensor.placement_types`."""

from ..tensor.placement_types import *  # noqa: F403
from ..tensor.placement_types import __all__ as __all__
