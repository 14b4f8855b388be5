"""`bulssi info`: what this installation is."""

from __future__ import annotations

import os
import platform

import bulssi
from bulssi import _core

__all__ = ["info"]

_OPTIONAL = (
    ("numpy", "arrays to and from tensors"),
    ("matplotlib", "pictures of `bulssi demo`"),
    ("tqdm", "progress bars of programs"),
    ("safetensors", "not needed: the format is read and written without it"),
    ("tensorboard", "logs of programs"),
    ("torch", "the oracle of `make parity` and `make bench`"),
)


def info() -> int:
    """Prints version, build, instruction set, threads and why so many, and optional packages."""
    from importlib import metadata

    def version(name: str) -> str | None:
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            return None

    rows = [
        ("bulssi", bulssi.__version__),
        ("python", f"{platform.python_version()} ({platform.system()} {platform.machine()})"),
        ("package", os.path.dirname(os.path.abspath(bulssi.__file__))),
        ("build", f"kernels for {', '.join(_core.isas_built())}, {os.path.getsize(_core.__file__) / 1e6:.1f} MB"),
        ("isa", f"{_core.isa()}  ({_isa_reason()})"),
        ("threads", f"{bulssi.get_num_threads()}  ({_core.thread_reason()})"),
        ("cuda", "available" if bulssi.cuda.is_available() else "not available"),
        ("blas", _blas(version("scipy-openblas32"))),
    ]
    rows += [(name, f"{version(name)}  ({use})" if version(name) else f"-  ({use})") for name, use in _OPTIONAL]
    width = max(len(name) for name, _ in rows)
    for name, text in rows:
        print(f"{name:<{width}}  {text}")
    return 0


def _blas(version: str | None) -> str:
    return f"OpenBLAS of scipy-openblas32 {version}" if version else "scipy-openblas32 is not found"


def _isa_reason() -> str:
    wanted = os.environ.get("BULSSI_ISA")
    return f"BULSSI_ISA={wanted}" if wanted else "the best of the build that this processor runs"
