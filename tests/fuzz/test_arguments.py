"""A few of the random calls of `fuzz_arguments.py`, and that it notices crashes, hangs and broken states."""

from __future__ import annotations

import ctypes
import faulthandler
import importlib.util
import os
import sys
import time
import types
from pathlib import Path

import pytest

import bulssi

spec = importlib.util.spec_from_file_location("fuzz_arguments", Path(__file__).with_name("fuzz_arguments.py"))
fuzz_arguments = importlib.util.module_from_spec(spec)
sys.modules["fuzz_arguments"] = fuzz_arguments
spec.loader.exec_module(fuzz_arguments)


def test_random_calls_raise_or_return():
    wrong = fuzz_arguments.fuzz(bulssi, seed=1, first=0, calls=3000, workers=1)
    targets = fuzz_arguments.find_targets(bulssi)
    assert not wrong, "\n".join(f"{how}: {fuzz_arguments.call_text(targets, 1, number)}" for number, how in wrong)


def test_the_library_is_found():
    names = {target.text for target in fuzz_arguments.find_targets(bulssi)}
    assert {"torch.add", "{tensor}.add_", "torch.nn.functional.relu"} <= names


# AddressSanitizer reports the signal and ends the process itself.
CRASH = "ended the process" if "libasan" in os.environ.get("LD_PRELOAD", "") else "SIGSEGV"


def _library(**functions):
    """A library whose only functions are these."""

    class Tensor:
        pass

    fake = types.SimpleNamespace(Tensor=Tensor, set_grad_enabled=lambda on: None, **functions)
    fake.ones = lambda *a, **k: bulssi.ones(3)
    return fake


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda *a, **k: (faulthandler.disable(), ctypes.string_at(0)), CRASH),
        (lambda *a, **k: time.sleep(60), "took longer"),
        (lambda *a, **k: next(filter(None, iter(int, 1))), "took longer"),
        (lambda *a, **k: (_ for _ in ()).throw(SystemError("broken")), "SystemError: broken"),
    ],
)
def test_what_is_wrong_is_noticed(monkeypatch, function, expected):
    monkeypatch.setattr(fuzz_arguments, "CALL_SECONDS", 1.0)
    monkeypatch.setattr(fuzz_arguments, "CLOCK_SECONDS", 3.0)
    monkeypatch.setattr(fuzz_arguments, "call_text", lambda targets, seed, number: "torch.bad()")
    wrong = fuzz_arguments.fuzz(_library(bad=function), seed=0, first=0, calls=2, workers=1)
    assert [number for number, _ in wrong] == [0, 1]
    assert all(expected in how for _, how in wrong)


def test_a_broken_state_is_noticed(monkeypatch):
    fake = _library(bad=lambda: None)
    fake.ones = lambda *a, **k: bulssi.zeros(3)
    assert fuzz_arguments.run_call(fake, "torch.bad()") == "afterwards (ones(3) + 1).sum() is 3.0"
