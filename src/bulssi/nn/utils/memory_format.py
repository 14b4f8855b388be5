"""The order of memory of convolutions' weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any, TypeVar

    from bulssi.nn.modules.module import Module

    M = TypeVar("M", bound=Module)


def _convert(module: Any, memory_format: Any, kinds: tuple[type, ...]) -> None:
    for part in module.modules():
        if isinstance(part, kinds):
            part.weight.data = part.weight.detach().clone().contiguous(memory_format=memory_format)


def convert_conv2d_weight_memory_format(module: M, memory_format: Any) -> M:
    """Put the weights of all 2-d (transposed) convolutions in ``module`` into ``memory_format``."""
    from bulssi import nn

    _convert(module, memory_format, (nn.Conv2d, nn.ConvTranspose2d))
    return module


def convert_conv3d_weight_memory_format(module: M, memory_format: Any) -> M:
    """Put the weights of all 3-d (transposed) convolutions in ``module`` into ``memory_format``."""
    from bulssi import nn

    _convert(module, memory_format, (nn.Conv3d, nn.ConvTranspose3d))
    return module
