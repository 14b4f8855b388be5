"""What all tests share: nothing may leak, and the tests that need PyTorch as the oracle can be selected.

Warnings are errors (pyproject.toml). Tests that compare with PyTorch carry the mark `parity`, which `make parity`
selects: those of a module that has imported it, and those that call `pytest.importorskip("torch")` themselves.
"""

from __future__ import annotations

import gc
import re
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bulssi import _core

# A shell starts background jobs with Ctrl-C ignored, and so would be all processes that tests start to interrupt them.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def compares_with_pytorch(item: pytest.Function) -> bool:
    pytorch = sys.modules.get("torch")
    if pytorch is not None and any(value is pytorch for value in vars(item.module).values()):
        return True
    code = item.function.__code__
    required = [name for name in code.co_consts if isinstance(name, str) and re.search(r"^torch$|\.torch$", name)]
    return "importorskip" in code.co_names and bool(required)


def known_gaps() -> dict[str, str]:
    """Beginnings of the names of tests that are known to fail, with the reason: tests/known_gaps.txt."""
    gaps = {}
    for line in (Path(__file__).parent / "known_gaps.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            name, _, reason = line.partition("  # ")
            gaps[name.strip()] = reason.strip()
    return gaps


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    gaps = known_gaps()
    for item in items:
        for name, reason in gaps.items():
            if item.nodeid.startswith(name):
                item.add_marker(pytest.mark.xfail(reason=reason, strict=False))
        if isinstance(item, pytest.Function) and compares_with_pytorch(item):
            item.add_marker("parity")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    report = yield
    if call.when == "call":
        item.stash[PASSED] = report.passed
    return report


PASSED = pytest.StashKey[bool]()


@pytest.fixture(autouse=True)
def no_leak(request: pytest.FixtureRequest) -> Iterator[None]:
    """Every tensor that a test makes is gone when it ends. A failed test is let off: its traceback may hold some."""
    before = _core.live_tensors()
    yield
    if _core.live_tensors() > before and request.node.stash.get(PASSED, False):
        gc.collect()
        leaked = _core.live_tensors() - before
        assert leaked <= 0, f"{leaked} tensors outlive the test"
