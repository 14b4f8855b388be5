"""Compiles parts of the core for a test, as the package's build does: same flags, warnings are errors."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ISAS = ("v2", "v3", "v4") if platform.machine() in ("x86_64", "AMD64") else ("generic",)

BASE = [str(source.relative_to(ROOT)) for source in sorted((ROOT / "core/base").glob("*.cpp"))]

COMMON = ["-std=c++20", "-fPIC", "-Wall", "-Wextra", "-Werror", f"-I{ROOT}"]
KERNEL = ["-O3", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=fast"]


def runnable_isas() -> list[str]:
    """Those of ISAS that this processor runs, the best last."""
    if ISAS == ("generic",):
        return list(ISAS)
    flags = set(Path("/proc/cpuinfo").read_text().split())
    needed = {"v2": {"sse4_2"}, "v3": {"avx2", "fma", "bmi2"}, "v4": {"avx512f", "avx512bw", "avx512dq", "avx512vl"}}
    return [isa for isa in ISAS if needed[isa] <= flags]


def compiler() -> list[str]:
    return os.environ.get("CXX", "g++").split()


def isas(folder: Path) -> str:
    """The flag that finds the build's list of instruction sets, written into a folder."""
    every = " ".join(f"X({isa} __VA_OPT__(,) __VA_ARGS__)" for isa in ISAS)
    (folder / "bulssi_isas.h").write_text(f"#define BULSSI_FOR_ISAS(X, ...) {every}\n")
    return f"-I{folder}"


def run(command: Sequence[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}{done.stderr}"


def compile_object(source: str, to: Path, flags: Iterable[str] = ("-O2",)) -> str:
    run([*compiler(), *COMMON, *flags, "-c", str(ROOT / source), "-o", str(to)])
    return str(to)


def compile_kernels(source: str, to: Path) -> list[str]:
    """One object per instruction set."""
    objects = []
    for isa in ISAS:
        march = [f"-march=x86-64-{isa}"] if isa.startswith("v") else []
        flags = [*KERNEL, *march, f"-DBULSSI_ISA={isa}"]
        objects.append(compile_object(source, to / f"{Path(source).stem}_{isa}.o", flags))
    return objects


def link(objects: Sequence[str], to: Path, shared: bool = False, flags: Iterable[str] = ()) -> Path:
    run([*compiler(), *(["-shared"] if shared else []), *flags, *objects, "-o", str(to), "-pthread", "-ldl"])
    return to
