"""Size on disk and import time of an installed package, measured from outside."""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
import time
from importlib.metadata import distribution, requires
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def size(name: str) -> int:
    """Bytes of the installed files of a distribution, without compiled Python caches."""
    dist = distribution(name)
    files = [Path(str(dist.locate_file(file))) for file in dist.files or [] if "__pycache__" not in str(file)]
    return sum(path.stat().st_size for path in files if path.is_file())


def required(name: str) -> list[str]:
    """Names of the distributions that one always needs, without those of its extras."""
    found = [text for text in requires(name) or [] if "extra ==" not in text]
    return [text.split(";")[0].strip().split(" ")[0].split("=")[0].split(">")[0].split("<")[0] for text in found]


def size_with_requirements(name: str) -> int:
    """Bytes of a distribution and, recursively, of what is installed of its requirements."""
    seen, queue = set(), [name]
    while queue:
        current = queue.pop()
        if current not in seen:
            seen.add(current)
            queue += required(current)
    return sum(size(current) for current in seen)


def processor_seconds() -> float:
    """What the processes that this one has started, and which have ended, have computed."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def import_seconds(module: str, rounds: int = 11, clock: Callable[[], float] = time.perf_counter) -> float:
    """Median seconds that `import module` adds to a fresh interpreter, its files in the page cache."""

    def run(code: str) -> float:
        start = clock()
        subprocess.run([sys.executable, "-c", code], check=True)
        return clock() - start

    run(f"import {module}")
    added = [run(f"import {module}") - run("pass") for _ in range(rounds)]
    return statistics.median(added)
