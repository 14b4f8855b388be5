"""Small real data sets that come with the package."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from bulssi import Tensor

__all__ = ["Digits", "digits"]

_COUNT, _SIDE = 1797, 8


class Digits(NamedTuple):
    """Images, uint8 of shape (1797, 8, 8) with values from 0 to 16, and their labels, int64 of shape (1797,)."""

    images: Tensor
    labels: Tensor


def digits() -> Digits:
    """1,797 handwritten digits of 13 people, 8 x 8 pixels: the test part of the UCI set "Optical Recognition of
    Handwritten Digits" (Alpaydin & Kaynak 1998, CC BY 4.0, https://doi.org/10.24432/C50P49).

    Pixels are ink from 0 to 16; divide by 16 for the range 0 to 1. The order is the data set's.

    >>> import bulssi
    >>> images, labels = bulssi.datasets.digits()
    >>> images.shape, labels[:3].tolist()
    (torch.Size([1797, 8, 8]), [0, 1, 2])
    """
    import zlib

    import bulssi

    path = os.path.join(os.path.dirname(__file__), "digits.bin")
    with open(path, "rb") as file:
        data = bytearray(zlib.decompress(file.read()))
    pixels = _COUNT * _SIDE * _SIDE
    images = bulssi.frombuffer(data, dtype=bulssi.uint8, count=pixels).reshape(_COUNT, _SIDE, _SIDE).clone()
    labels = bulssi.frombuffer(data, dtype=bulssi.uint8, count=_COUNT, offset=pixels).to(bulssi.int64)
    return Digits(images, labels)
