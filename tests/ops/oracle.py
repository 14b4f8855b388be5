"""Independent references: NumPy's and SciPy's functions of the same name, found by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import special


def reference(name: str, arity: int) -> Callable[..., Any] | None:
    """NumPy's or SciPy's elementwise function of this name with this many arguments, or None."""
    plain = name.removeprefix("special_")
    for home in (np, special):
        found = getattr(home, plain, None)
        if isinstance(found, np.ufunc) and found.nin == arity and found.nout == 1:
            return found
    return None
