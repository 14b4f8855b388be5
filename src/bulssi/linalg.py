"""Linear algebra: factorisations, equations, eigenvalues and singular values, norms, of batches of real matrices.

Matrices are the last two dimensions, ``(*, m, n)``, of float32 or float64; everything before them is a batch. The
functions are operations of the core, which calls LAPACK; gradients of any order exist unless a function's text says
otherwise.
What has no result for a matrix raises LinAlgError; the functions whose names end in ``_ex`` return codes instead.

>>> import bulssi as torch
>>> torch.linalg.solve(torch.tensor([[2.0, 0.0], [0.0, 4.0]]), torch.tensor([2.0, 2.0]))
tensor([1.0000, 0.5000])
"""

from __future__ import annotations

from typing import Any

from bulssi import _core

_functions: Any = getattr(_core, "linalg", None)
LinAlgError = _core._LinAlgError

_ABSENT = {
    "eig": "its results are complex, which tensors cannot be yet: for symmetric matrices use eigh",
    "eigvals": "its result is complex, which tensors cannot be yet: for symmetric matrices use eigvalsh",
}


def __getattr__(name: str) -> Any:
    if name.startswith("__") or not hasattr(_functions, name):
        why = f": {_ABSENT[name]}" if name in _ABSENT else ""
        raise AttributeError(f"module 'torch.linalg' has no attribute {name!r}{why}")
    found = globals()[name] = getattr(_functions, name)
    return found


def __dir__() -> list[str]:
    return sorted(["LinAlgError", *(name for name in dir(_functions) if not name.startswith("_"))])
