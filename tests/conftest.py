"""What all tests share: nothing may leak, and the tests that need PyTorch as the oracle can be selected.

Warnings are errors (pyproject.toml). A module of tests that compares with PyTorch begins with
`torch = pytest.importorskip("torch")`; its tests then carry the mark `parity`, which `make parity` selects.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from types import ModuleType

import pytest

from bulssi import _core


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    pytorch = sys.modules.get("torch")
    for item in items:
        module: ModuleType | None = getattr(item, "module", None)
        if pytorch is not None and any(value is pytorch for value in vars(module).values()):
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
