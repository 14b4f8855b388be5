"""The same bits for any number of threads, and the right values on every instruction set."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

import bulssi
from bulssi import _core

from .compare import assert_same
from .operations import OPERATIONS, Operation, Sample, derived, flatten, recipe_of, samples

LARGE = (530, 257)  # above the grain at which work is split over threads, and no multiple of a register or block


@pytest.fixture
def threads() -> Iterator[None]:
    before = bulssi.get_num_threads()
    yield
    bulssi.set_num_threads(before)


def large(operation: Operation) -> list[Sample]:
    """Large arguments where they follow from the schema; a recipe's own sizes otherwise."""
    if recipe_of(operation):
        return samples(operation)
    return [derived(operation, operation.draw(), LARGE)]


def outcome(operation: Operation, sample: Sample, threads: int) -> list[bulssi.Tensor]:
    """Results and, where there are any, gradients."""
    bulssi.set_num_threads(threads)
    recorded = sample.map(
        lambda x: x.detach().requires_grad_() if operation.differentiable and x.is_floating_point() else x
    )
    found = list(flatten(recorded.map(lambda x: x.clone()).call(operation)))  # leaves refuse to be changed in place
    roots = [each for each in found if each.requires_grad]
    leaves = [each for each in recorded.tensors() if each.requires_grad]
    if roots:
        total = sum(root.double().sum() for root in roots)
        try:
            found += [g for g in bulssi.autograd.grad(total, leaves, allow_unused=True) if g is not None]
        except NotImplementedError as refused:
            assert "derivative" in str(refused)  # of an argument for which none is known
    return [each.detach() for each in found]


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("operation", [each for each in OPERATIONS if each.is_defined], ids=str)
def test_same_bits_with_one_and_two_threads(operation: Operation) -> None:
    for sample in large(operation):
        for dtype in (bulssi.float32, bulssi.float64):
            cast = sample.map(lambda x, dtype=dtype: x.to(dtype) if x.is_floating_point() else x)
            one = outcome(operation, cast, 1)
            if one:
                assert_same(outcome(operation, cast, 2), one)


others = [isa for isa in _core.isas_built() if isa != _core.isa() and _core.isa_runs(isa)]


@pytest.mark.parametrize("isa", others)
def test_values_on_other_instruction_sets(isa: str) -> None:
    """The tests of values again, in a process that is told to use other kernels than this machine's best."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "tests/ops/test_values.py"]
    command += ["tests/ops/test_gradients.py::test_fused_backward_equals_recorded_backward"]
    done = subprocess.run(command, env={**os.environ, "BULSSI_ISA": isa}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:]
    confirmed = subprocess.run(
        [sys.executable, "-c", "from bulssi import _core; print(_core.isa())"],
        env={**os.environ, "BULSSI_ISA": isa},
        capture_output=True,
        text=True,
        check=True,
    )
    assert confirmed.stdout.strip() == isa
