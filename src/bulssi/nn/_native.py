"""The core's functions for neural networks, found by name wherever they have their home."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bulssi import Tensor, _core

if TYPE_CHECKING:
    from typing import Any


class _Native:
    """``native.f`` is the core's ``nn.f`` or else its ``f``; ``native.f_`` may also be the method of tensors."""

    def __getattr__(self, name: str) -> Any:
        homes = [getattr(_core, "nn", None), _core]
        if name.endswith("_"):
            homes.append(Tensor)
        for home in homes:
            found = getattr(home, name, None)
            if found is not None:
                setattr(self, name, found)  # the next look-up is an ordinary attribute's
                return found
        raise AttributeError(f"the core has no function {name!r}")


native = _Native()
