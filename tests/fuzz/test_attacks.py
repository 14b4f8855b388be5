"""The programs of `attacks.py`, each in a process of its own: no crash, no hang, and what they assert holds."""

from __future__ import annotations

import ast
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

ATTACKS = Path(__file__).with_name("attacks.py")
PROGRAMS = [
    node.name
    for node in ast.parse(ATTACKS.read_text()).body
    if isinstance(node, ast.FunctionDef) and not node.args.args and node.name != "attempt"
]


@pytest.mark.skipif(os.name != "posix", reason="forks")
@pytest.mark.parametrize("name", PROGRAMS)
def test_attack(name):
    if "numpy" in name and importlib.util.find_spec("numpy") is None:
        pytest.skip("needs NumPy")
    done = subprocess.run([sys.executable, str(ATTACKS), name], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0 and "SystemError" not in done.stderr, done.stdout + done.stderr


def test_a_crash_is_noticed(tmp_path):
    """The process's status says so; what the programs import is there for all of them."""
    program = tmp_path / "crash.py"
    program.write_text("import ctypes, faulthandler\nfaulthandler.disable()\nctypes.string_at(0)\n")
    assert subprocess.run([sys.executable, str(program)], capture_output=True).returncode != 0
    assert len(PROGRAMS) >= 20
