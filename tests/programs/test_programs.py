"""Programs from tutorials and blog posts, run as at the prompt: their output is compared with a text beside them.

Each `documents/*.py` is a program (`import bulssi as torch`). After `manual_seed(0)` its statements run one after
another; the value of an expression is shown, and an error is shown by its type and first line and does not end the
program. What a program shows must equal its `*.txt`, and what it shows with PyTorch (`import torch` put in place) when
that is installed. Two comments may head a program: `# digits: N of S` compares numbers to N digits (those smaller
than S to the same absolute difference as S), for results that depend on the order of additions; `# torch: TEXT` says
that PyTorch ends with another error, TEXT.

S is where PyTorch stops agreeing with itself: in two_layers a loss that starts near a million is 0.004203 after 100
iterations with one of PyTorch's two matrix product libraries and 0.004196 with the other, and from then on nothing but
rounding. two_layers_first_steps prints the losses before that, which are all compared to 4 digits.

`python test_programs.py` writes the texts anew with PyTorch.
"""

from __future__ import annotations

import ast
import contextlib
import io
import json
import re
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

HERE = Path(__file__).parent / "documents"
PROGRAMS = sorted(path.stem for path in HERE.glob("*.py"))


def run(source: str, library: str) -> tuple[str, list[str]]:
    """What the program shows with `library`, and the warnings that it gets (kind and first line)."""
    tree = ast.parse(re.sub(r"\bbulssi\b", library, source))
    shown, names = io.StringIO(), {"__name__": "__main__"}
    __import__(library).manual_seed(0)
    with warnings.catch_warnings(record=True) as caught, contextlib.redirect_stdout(shown):
        warnings.simplefilter("always")
        for statement in tree.body:
            try:
                if isinstance(statement, ast.Expr):
                    value = eval(compile(ast.Expression(statement.value), "<program>", "eval"), names)
                    if value is not None:
                        print(repr(value))
                else:
                    exec(compile(ast.Module([statement], []), "<program>", "exec"), names)
            except Exception as error:
                print(f"{type(error).__name__}: {str(error).splitlines()[0]}")
    text = re.sub(r" at 0x[0-9a-f]+", " at 0x...", shown.getvalue())
    # PyTorch says where in its C++ files a warning comes from.
    told = [f"{w.category.__name__}: {str(w.message).split(' (Triggered')[0].splitlines()[0]}" for w in caught]
    return text, [re.sub(r"\.\s.*", ".", line) for line in told]


def accuracy(source: str) -> tuple[int, float] | None:
    """Digits, and the smallest magnitude that counts; None for exact comparison."""
    found = re.search(r"^# digits: (\d+) of (\S+)$", source, re.MULTILINE)
    return (int(found[1]), float(found[2])) if found else None


def same(text: str, other: str, asked: tuple[int, float] | None) -> bool:
    """Equal texts, but for numbers that agree as well as asked."""
    if asked is None:
        return text == other
    number = re.compile(r"-?\d+\.\d*(?:e[-+]\d+)?")
    if number.sub("#", text) != number.sub("#", other):
        return False
    pairs = zip(map(float, number.findall(text)), map(float, number.findall(other)), strict=True)
    return all(abs(a - b) <= 0.5 * 10.0 ** (1 - asked[0]) * max(abs(a), abs(b), asked[1]) for a, b in pairs)


@pytest.mark.parametrize("name", PROGRAMS)
def test_program_shows_the_expected_text(name):
    source = (HERE / f"{name}.py").read_text()
    expected = (HERE / f"{name}.txt").read_text()
    shown, _ = run(source, "bulssi")
    assert same(shown, expected, accuracy(source)), f"shown:\n{shown}\nexpected:\n{expected}"


@pytest.mark.parametrize("name", PROGRAMS)
def test_program_shows_what_torch_shows(name):
    source = (HERE / f"{name}.py").read_text()
    # torch.compile, which other tests may have called, turns PyTorch's checks of distributions off for good.
    pytest.importorskip("torch.distributions").Distribution.set_default_validate_args(True)
    theirs, their_warnings = run(source, "torch")
    other_error = re.search(r"^# torch: (.*)$", source, re.MULTILINE)
    if other_error:
        assert theirs.splitlines()[-1] == other_error[1]
        return
    ours, our_warnings = run(source, "bulssi")
    assert same(ours, theirs, accuracy(source)), f"ours:\n{ours}\ntorch:\n{theirs}"
    assert our_warnings == their_warnings


DRIVER = """
import json, runpy, sys, torch
run = runpy.run_path(sys.argv[1])["run"]
print(json.dumps([run(open(path).read(), "torch")[0] for path in sys.argv[2:]]))
"""


def test_programs_run_unmodified_under_bulssi_run(tmp_path):
    (tmp_path / "driver.py").write_text(DRIVER)
    paths = [HERE / f"{name}.py" for name in PROGRAMS]
    command = [sys.executable, "-m", "bulssi", "run", tmp_path / "driver.py", __file__, *paths]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    for path, shown in zip(paths, json.loads(done.stdout), strict=True):
        expected = path.with_suffix(".txt").read_text()
        assert same(shown, expected, accuracy(path.read_text())), f"{path.stem} shown:\n{shown}\nexpected:\n{expected}"


def readme_program() -> str:
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    return re.search(r"^## Ten lines\n\n```python\n(.*?)^```", readme, re.MULTILINE | re.DOTALL)[1]


def test_the_readmes_program_learns():
    shown, _ = run(readme_program(), "bulssi")
    assert 0 < float(shown.splitlines()[-1]) < 1e-3


def test_the_readmes_program_shows_what_torch_shows():
    pytest.importorskip("torch")
    ours, theirs = (run(readme_program(), library)[0] for library in ("bulssi", "torch"))
    assert same(ours, theirs, (4, 1e-6)), (ours, theirs)


def test_comparing_can_fail():
    asked = (4, 0.01)
    assert same("loss 1.2345\n", "loss 1.23449\n", asked)
    assert same("loss 0.000001\n", "loss 0.000002\n", asked)
    assert not same("loss 0.0001\n", "loss 0.0002\n", asked)
    assert not same("loss 1.2345\n", "loss 1.2445\n", asked)
    assert not same("loss 1.2345\n", "Loss 1.2345\n", asked)
    assert not same("1.0", "1.00001", None)


if __name__ == "__main__":
    for program in sys.argv[1:] or PROGRAMS:
        code = (HERE / f"{program}.py").read_text()
        if not re.search(r"^# torch: ", code, re.MULTILINE):
            (HERE / f"{program}.txt").write_text(run(code, "torch")[0])
