"""A few of the random programs of `fuzz_inplace.py`, and that it can find a difference at all."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import pytest

import bulssi

torch = pytest.importorskip("torch")

sys.path.insert(0, str(Path(__file__).parent))
import fuzz_inplace  # noqa: E402


@pytest.mark.parametrize("block", range(10))
def test_programs_do_the_same_in_both(block):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for seed in range(block * 30, block * 30 + 30):
            try:
                lines, found = fuzz_inplace.try_program(bulssi, torch, seed)
            except fuzz_inplace.NotDefined:
                continue
            assert not found, f"seed {seed}\n" + "\n".join(lines) + "\n" + "\n".join(found)


class Wrong:
    """PyTorch with a `where` that gives something else."""

    def __getattr__(self, name):
        return (lambda *args: torch.zeros(2)) if name == "where" else getattr(torch, name)


def test_a_wrong_value_is_found_and_its_program_shortened():
    lines = ["t0 = torch.tensor([1.0, 2.0])", "t1 = t0.sin()", "t2 = torch.where(t0 > 0, t0, t0)", "t3 = t2 * 2"]
    assert fuzz_inplace.run_both(torch, torch, lines) == []
    assert any("t2.values" in line for line in fuzz_inplace.run_both(Wrong(), torch, lines))
    short = fuzz_inplace.shortened(Wrong(), torch, lines)
    assert short == [lines[0], lines[2]]


def test_another_error_is_found():
    lines = ["t0 = torch.tensor([1.0])", "t0.view(7)"]
    found = fuzz_inplace.run_both(torch, torch, lines)
    assert found == []
    assert fuzz_inplace.run_both(torch, Wrong(), [*lines, "torch.where(1)"])[0].startswith("`torch.where(1)`")
