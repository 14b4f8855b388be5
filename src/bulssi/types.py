"""Names for type hints."""

from __future__ import annotations

import builtins
import os
from collections.abc import Sequence
from typing import IO, Any, Union

from bulssi import Size, Tensor, device, dtype
from bulssi.storage import TypedStorage, UntypedStorage

__all__ = ["Device", "FileLike", "Number", "Storage"]

Device = Union[device, str, int, None]  # noqa: UP007 - programs ask for its __args__
FileLike = Union[str, os.PathLike[str], IO[bytes]]  # noqa: UP007
Number = Union[int, float, bool]  # noqa: UP007
Storage = UntypedStorage

_int, _float, _bool, _complex = builtins.int, builtins.float, builtins.bool, builtins.complex
_dtype, _device = dtype, device
_size = Union[Size, list[int], tuple[int, ...]]  # noqa: UP007
_qscheme = _layout = Any
_TensorOrTensors = Union[Tensor, Sequence[Tensor]]  # noqa: UP007
_TensorOrTensorsOrGradEdge = Union[Tensor, Sequence[Tensor], Any]  # noqa: UP007
IntLikeType, FloatLikeType, BoolLikeType = int, float, bool
py_sym_types = ()
LegacyStorage = TypedStorage
