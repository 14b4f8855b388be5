"""Independent references: NumPy's and SciPy's functions of the same name, found by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import special


def _degree_first(polynomial: Callable[..., Any]) -> Callable[..., Any]:
    """Of a polynomial (n, x): the function (x, n)."""
    return lambda x, n: polynomial(np.asarray(n).astype(np.int64), x)


CALLED_OTHERWISE: dict[str, Callable[..., Any]] = {
    "airy_ai": lambda x: special.airy(x)[0],
    "spherical_bessel_j0": lambda x: special.spherical_jn(0, x),
    "hermite_polynomial_h": _degree_first(special.eval_hermite),
    "hermite_polynomial_he": _degree_first(special.eval_hermitenorm),
    "laguerre_polynomial_l": _degree_first(special.eval_laguerre),
    "legendre_polynomial_p": _degree_first(special.eval_legendre),
    "chebyshev_polynomial_t": _degree_first(special.eval_chebyt),
    "chebyshev_polynomial_u": _degree_first(special.eval_chebyu),
    "shifted_chebyshev_polynomial_t": _degree_first(special.eval_sh_chebyt),
    "shifted_chebyshev_polynomial_u": _degree_first(special.eval_sh_chebyu),
}


def reference(name: str, arity: int) -> Callable[..., Any] | None:
    """NumPy's or SciPy's elementwise function of this name with this many arguments, or None."""
    plain = name.removeprefix("special_")
    if plain in CALLED_OTHERWISE:
        return CALLED_OTHERWISE[plain]
    for home in (np, special):
        found = getattr(home, plain, None)
        if isinstance(found, np.ufunc) and found.nin == arity and found.nout == 1:
            return found
    return None
