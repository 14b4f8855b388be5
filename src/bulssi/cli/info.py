"""`bulssi info`: what this installation is."""

from __future__ import annotations

import os
import platform
import sys

import bulssi

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
        *_build(),
        ("threads", _threads()),
        ("cuda", "available" if bulssi.cuda.is_available() else "not available"),
        ("blas", _blas(version("scipy-openblas32"))),
    ]
    rows += [(name, f"{version(name)}  ({use})" if version(name) else f"-  ({use})") for name, use in _OPTIONAL]
    width = max(len(name) for name, _ in rows)
    for name, text in rows:
        print(f"{name:<{width}}  {text}")
    return 0


def _build() -> list[tuple[str, str]]:
    """What the core says of itself, as (name, text)."""
    core = sys.modules.get("bulssi._core")
    found = getattr(core, "build_info", None)
    return [(str(k), str(v)) for k, v in found().items()] if callable(found) else []


def _blas(version: str | None) -> str:
    return f"OpenBLAS of scipy-openblas32 {version}" if version else "scipy-openblas32 is not found"


def _threads() -> str:
    return f"{bulssi.get_num_threads()}  ({thread_reason()})"


def thread_reason() -> str:
    """What bounds the number of threads: processors this process may use, a quota, or the environment."""
    parts = []
    if hasattr(os, "sched_getaffinity"):
        parts.append(f"{len(os.sched_getaffinity(0))} of {os.cpu_count()} processors allowed to this process")
    else:
        parts.append(f"{os.cpu_count()} processors")
    try:
        with open("/sys/fs/cgroup/cpu.max") as file:
            quota, period = file.read().split()
        parts.append("no quota" if quota == "max" else f"quota of {int(quota) / int(period):.3g} processors")
    except (OSError, ValueError):
        pass  # no cgroup v2 here: nothing to tell
    parts += [f"{name}={os.environ[name]}" for name in ("OMP_NUM_THREADS", "BULSSI_NUM_THREADS") if name in os.environ]
    return ", ".join(parts)
