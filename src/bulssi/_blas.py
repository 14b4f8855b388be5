"""Where the library of BLAS and LAPACK is; the core asks when an operation first needs it."""

from __future__ import annotations


def library_path() -> str:
    """The shared library of the package scipy-openblas32, which is not imported.

    Raises:
        RuntimeError: the package, or the library in it, is missing.
    """
    from importlib.util import find_spec
    from pathlib import Path

    spec = find_spec("scipy_openblas32")
    for folder in (spec.submodule_search_locations if spec else None) or ():
        for path in sorted(Path(folder, "lib").glob("*scipy_openblas*")):
            if path.suffix in (".so", ".dylib", ".dll"):
                return str(path)
    raise RuntimeError(
        "linear algebra: LAPACK comes with the package scipy-openblas32, which "
        + ("has no shared library" if spec else "is not installed")
        + "\nreinstall it: pip install --force-reinstall scipy-openblas32"
    )
