"""A few of the programs of `fuzz_errors.py`, and that it notices what it looks for."""

from __future__ import annotations

import sys
import warnings
from collections import Counter
from pathlib import Path

import pytest

import bulssi

torch = pytest.importorskip("torch")
pytest.importorskip("torch.testing._internal.common_methods_invocations", exc_type=ImportError)

sys.path.insert(0, str(Path(__file__).parent))
import fuzz_errors  # noqa: E402

PROGRAMS = 500


def test_programs_fail_alike():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = fuzz_errors.fuzz(fuzz_errors.Work(bulssi, torch, seed=1, only=r"^(a|i|m|s)"), 0, PROGRAMS, workers=1)
    counts = Counter(how for _, _, how, _, _ in found)
    assert counts["crash"] == 0 and counts["state"] == 0, found
    # What is left are rare combinations, such as tensors of two devices; a broken rule would be seen in many calls.
    differing = [each for each in found if each[2] in ("only torch raises", "only we raise", "type")]
    assert len(differing) < PROGRAMS // 40, differing


class Wrong:
    """PyTorch whose `add` fails in another way, or not at all."""

    def __init__(self, add):
        self.add = add

    def __getattr__(self, name):
        return getattr(torch, name)


def fails_with(error):
    def add(*args, **kwargs):
        raise error

    return add


def changes_and_fails(a, b):
    a.fill_(7)
    return torch.add(a, b)


@pytest.mark.parametrize(
    ("add", "how"),
    [
        (torch.add, ""),
        (lambda *args: torch.zeros(2), "only torch raises"),
        (fails_with(KeyError("a")), "type"),
        (fails_with(RuntimeError("no")), "message"),
        (changes_and_fails, "state"),
    ],
)
def test_another_failure_is_noticed(add, how):
    lines = ["a = torch.ones(2)", "b = torch.ones(3)", "r = torch.add(a, b)"]
    assert fuzz_errors.compare(Wrong(add), torch, lines)[0] == how


@pytest.mark.parametrize(
    ("add", "how"), [(lambda *args: torch.zeros(2), "result"), (fails_with(OSError()), "only we raise")]
)
def test_another_result_is_noticed(add, how):
    lines = ["a = torch.ones(2)", "r = torch.add(a, 1)"]
    assert fuzz_errors.compare(Wrong(add), torch, lines)[0] == how


def test_programs_are_reproducible_and_right_calls_are_right():
    work = fuzz_errors.Work(torch, torch, seed=3, only="^(add|sum|gather)\\|")
    programs = [work.program(number) for number in range(60)]
    assert programs == [work.program(number) for number in range(60)]
    right = [lines for kind, lines in programs if kind == "nothing"]
    assert right
    for lines in right:
        assert not fuzz_errors.Side(torch, lines).error
    # (Of tensors on `meta` PyTorch may read what nobody has written.)
    decided = [lines for kind, lines in programs if kind not in ("device", "out")]
    assert all(fuzz_errors.compare(torch, torch, lines) == ("", "") for lines in decided)
