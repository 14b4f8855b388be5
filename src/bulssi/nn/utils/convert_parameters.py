"""Parameters as one vector."""

from __future__ import annotations

from typing import TYPE_CHECKING

import bulssi
from bulssi import Tensor

if TYPE_CHECKING:
    from collections.abc import Iterable


def _check_devices(parameters: Iterable[Tensor]) -> list[Tensor]:
    parameters = list(parameters)
    if len({str(p.device) for p in parameters}) > 1:
        raise TypeError("Found two parameters on different devices, this is currently not supported.")
    return parameters


def parameters_to_vector(parameters: Iterable[Tensor]) -> Tensor:
    """The elements of all ``parameters``, one after the other."""
    return bulssi.cat([p.view(-1) for p in _check_devices(parameters)])


def vector_to_parameters(vec: Tensor, parameters: Iterable[Tensor]) -> None:
    """Make pieces of ``vec`` the data of ``parameters``; they share its storage."""
    if not isinstance(vec, Tensor):
        raise TypeError(f"expected torch.Tensor, but got: {type(vec).__name__}")
    start = 0
    for parameter in _check_devices(parameters):
        end = start + parameter.numel()
        parameter.data = vec[start:end].view_as(parameter).data
        start = end
