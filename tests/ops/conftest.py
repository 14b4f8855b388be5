"""What the tests over the registry let pass: warnings that an operation is deprecated, ours and PyTorch's, or new."""

from __future__ import annotations

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        item.add_marker(pytest.mark.filterwarnings("ignore:.* is (deprecated|in beta):UserWarning"))
