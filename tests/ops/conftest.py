"""What the tests over the registry let pass: one operation warns that it is deprecated whenever it is called."""

from __future__ import annotations

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        item.add_marker(pytest.mark.filterwarnings("ignore:.*range is deprecated:UserWarning"))
