"""The installed package: its size, what importing it costs and drags in, and the hygiene of its binary."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bench import package
from bulssi import _core

MODULE = Path(_core.__file__)
STRIPPED_MODULE_BYTES = 12e6
INSTALLED_BYTES = 60e6
IMPORT_SECONDS = 0.060


def test_module_is_small() -> None:
    assert MODULE.stat().st_size < STRIPPED_MODULE_BYTES


def test_package_with_its_requirements_is_small() -> None:
    assert package.size_with_requirements("bulssi") < INSTALLED_BYTES


def test_only_requirement_is_a_blas() -> None:
    assert package.required("bulssi") == ["scipy-openblas32"]


def test_import_is_quick() -> None:
    # The best of three medians, in processor time: what the import costs, not what else the machine is doing.
    took = [package.import_seconds("bulssi", rounds=5, clock=package.processor_seconds) for _ in range(3)]
    assert min(took) < IMPORT_SECONDS


def test_import_stays_within_the_standard_library() -> None:
    code = (
        "import sys, bulssi\n"
        "allowed = set(sys.stdlib_module_names) | {'bulssi', 'scipy_openblas32'}\n"
        "print(*sorted({name.partition('.')[0] for name in sys.modules} - allowed))"
    )
    # -S: no site packages' own start-up hooks, which may import what they like; -I: no environment variables.
    paths = f"import sys; sys.path[:0] = {[path for path in sys.path if path]!r}\n"
    imported = subprocess.run(
        [sys.executable, "-I", "-S", "-c", paths + code], capture_output=True, text=True, check=True
    )
    assert set(imported.stdout.split()) <= {"__main__"}


OLD = """
import sys
sys.path[:0] = {paths!r}
import bulssi as torch
torch.manual_seed(0)
x = torch.randn(40, 40)
model = torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(16, 3))
loss = torch.nn.functional.cross_entropy(model(torch.randn(4, 1, 4, 4)), torch.arange(4) % 3)
loss.backward()
values = [(x @ x).sum(), x.exp().sum(), x.sort()[0][0, 0], x.bfloat16().float().sum(), x.long().sum(), loss]
print(torch._core.isa(), *(round(v.item(), 3) for v in values))
"""


@pytest.mark.skipif(shutil.which("qemu-x86_64") is None, reason="needs qemu-x86_64")
@pytest.mark.skipif("v2" not in _core.isas_built(), reason="the build has no kernels for old processors")
@pytest.mark.parametrize("processor", ["Nehalem", "Haswell"])
def test_old_processors(processor: str) -> None:
    """One build runs where AVX is not: no instruction of another set is reached."""
    code = OLD.format(paths=[path for path in sys.path if path])
    command = [sys.executable, "-c", code]
    emulated = ["qemu-x86_64", "-cpu", processor, *command]
    here, there = (
        subprocess.run(each, capture_output=True, text=True, check=True).stdout.split() for each in (command, emulated)
    )
    assert there[0] == ("v2" if processor == "Nehalem" else "v3")
    assert [float(v) for v in there[1:]] == pytest.approx([float(v) for v in here[1:]], rel=1e-4, abs=2e-3)


def kernel_objects() -> list[tuple[str, Path]]:
    """(instruction set, object file) of the kernels, from the build folder of the environment that runs the tests."""
    build = Path(__file__).parents[2] / "build" / Path(sys.prefix).name.lstrip(".")
    found = [(re.search(r"(?:kernels|pointwise)_([a-z0-9]+)", str(path)), path) for path in sorted(build.rglob("*.o"))]
    return [(match[1], path) for match, path in found if match]


@pytest.mark.skipif(shutil.which("nm") is None, reason="needs nm")
def test_weak_symbols_of_kernels_name_their_instruction_set() -> None:
    """The linker keeps one copy of a weak symbol: were it the AVX-512 one, older machines would crash."""
    objects = kernel_objects()
    if not objects:
        pytest.skip("the build folder of this environment is not beside the tests")
    for isa, path in objects:
        listed = subprocess.run(["nm", "--demangle", path], capture_output=True, text=True, check=True).stdout
        weak = re.findall(r"^[0-9a-f]* [WVu] (.*)$", listed, re.MULTILINE)
        foreign = [symbol for symbol in weak if f"bulssi::{isa}::" not in symbol]
        assert not foreign, f"{path.name}: {foreign[:5]}"
