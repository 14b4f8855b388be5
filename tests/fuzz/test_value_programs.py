"""A few of the random calls of `fuzz_values.py`, and that it can find a difference at all."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import pytest

import bulssi

torch = pytest.importorskip("torch")

sys.path.insert(0, str(Path(__file__).parent))
import fuzz_values  # noqa: E402
from value_programs import FAMILIES, Call  # noqa: E402


@pytest.mark.parametrize("family", list(FAMILIES))
def test_calls_compute_the_same_in_both(family):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for seed in range(150):
            program = fuzz_values.Program(bulssi, torch, seed, [family])
            found = program.differences()
            assert not found, f"seed {seed}\n" + "\n".join(program.lines) + "\n" + "\n".join(found)


class Wrong:
    """PyTorch with one operation that does something else."""

    def __init__(self, **other):
        self.__dict__.update(other)

    def __getattr__(self, name):
        return getattr(torch, name)


def differences(lines, family="pointwise", **other):
    program = fuzz_values.Program.__new__(fuzz_values.Program)
    program.bulssi, program.torch, program.family, program.lines = Wrong(**other), torch, family, lines
    program.call, program.form = Call("", []), ""
    return program.differences()


A = "a = make([0.5, 0.25, -3.0, 1.5], torch.float32, (2, 2), grad=True)"


@pytest.mark.parametrize(
    ("line", "what", "other"),
    [
        ("r = torch.exp(a)", "r.values", {"exp": lambda a: a.exp() * (1 + 1e-5)}),
        ("r = torch.exp(a)", "r.strides", {"exp": lambda a: a.exp().t().contiguous().t()}),
        ("r = torch.exp(a)", "r.dtype", {"exp": lambda a: a.double().exp()}),
        ("r = torch.mul(a, 0)", "r.sign of zero", {"mul": lambda a, b: a.abs() * b}),
        ("r = torch.exp(a)", "r.memory", {"exp": lambda a: a.exp_() if not a.requires_grad else a.detach()}),
        ("r = torch.exp(a)", "r.requires_grad", {"exp": lambda a: a.detach().exp()}),
        ("r = torch.sum(a, 0)", "error", {"sum": lambda a, d: a.view(77)}),
        ("r = torch.exp(a); g = grads(r, [a])", "g[0].values", {"exp": lambda a: a.exp().detach() + 0 * a}),
    ],
)
def test_a_difference_is_found(line, what, other):
    assert differences([A, line]) == []
    assert any(each.startswith(what) for each in differences([A, line], **other))


def test_half_precision_is_compared_exactly():
    lines = ["a = make([1.0, 3.0], torch.bfloat16)", "r = torch.mul(a, a)"]
    assert differences(lines) == []
    assert differences(lines, mul=lambda a, b: a * b + 0.0625)
