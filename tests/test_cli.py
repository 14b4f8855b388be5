"""The command line, the digits, and the table of layers."""

from __future__ import annotations

import importlib
import os
import pathlib
import subprocess
import sys

import pytest

import bulssi
from bulssi.cli import _plots, main


def bulssi_command(*args: object, **options) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "bulssi", *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, **options)


def script(folder: pathlib.Path, text: str, name: str = "script.py") -> pathlib.Path:
    path = folder / name
    path.write_text(text)
    return path


def test_run_maps_torch(tmp_path: pathlib.Path) -> None:
    script(tmp_path, "VALUE = 5", "helper.py")
    path = script(
        tmp_path,
        """
import sys
import helper
import torch
import torch.nn as nn
import torch.nn.functional as F
import torch.optim
from torch.utils.data import DataLoader, TensorDataset
from torch import nn as again, optim
from torch.optim.lr_scheduler import StepLR
import bulssi
assert torch.Tensor is bulssi.Tensor and nn is again is bulssi.nn is torch.nn and F is bulssi.nn.functional
assert sys.modules["torch.nn"] is sys.modules["bulssi.nn"] and bulssi.nn.__spec__.name == "bulssi.nn"
assert __name__ == "__main__" and __file__ == sys.argv[0] and sys.modules["__main__"].helper is helper
assert tuple(int(part) for part in torch.__version__.split("+")[0].split(".")) >= (2, 0)
print(helper.VALUE, sys.argv[1:], torch.ones(2))
sys.exit(3)
""",
    )
    done = bulssi_command("run", path, "--epochs", "2")
    assert done.stderr == ""
    assert done.stdout == "5 ['--epochs', '2'] tensor([1., 1.])\n" and done.returncode == 3


def test_a_script_finds_itself_as_under_python(tmp_path: pathlib.Path) -> None:
    path = script(
        tmp_path,
        """
import builtins, os, sys
import torch
x: int = 3
assert __annotations__ == {"x": int}, "the program's own future imports only"
assert __builtins__ is builtins and __spec__ is None and __package__ is None
assert os.path.isabs(__file__) and sys.argv[0] == "script.py" and sys.path[0] == os.path.dirname(__file__)
1 / 0
""",
    )
    done = bulssi_command("run", "script.py", cwd=tmp_path)
    assert done.returncode == 1 and f'File "{path}", line 8, in <module>' in done.stderr


MODULE = """
import multiprocessing, pickle, sys, torch
from . import helper
class Own: pass
def double(x): return 2 * x
if __name__ == "__main__":
    assert type(pickle.loads(pickle.dumps(Own()))) is Own
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        print(pool.map(double, [torch.ones(1)]), sys.argv[1:], helper.VALUE)
    raise ValueError("the end")
"""


def test_run_module(tmp_path: pathlib.Path) -> None:
    (tmp_path / "pkg").mkdir()
    script(tmp_path, "", "pkg/__init__.py")
    script(tmp_path, "VALUE = 5", "pkg/helper.py")
    path = script(tmp_path, MODULE, "pkg/work.py")
    script(tmp_path, "import sys; print('main', sys.argv[1:]); sys.exit(4)", "pkg/__main__.py")
    done = bulssi_command("run", "-m", "pkg.work", "-m", "3", cwd=tmp_path)
    assert done.stdout == "[tensor([2.])] ['-m', '3'] 5\n" and done.returncode == 1
    lines = done.stderr.splitlines()
    assert lines[1] == f'  File "{path}", line 10, in <module>' and lines[-1] == "ValueError: the end"
    done = bulssi_command("run", "-m", "pkg", "a", cwd=tmp_path)
    assert (done.stdout, done.stderr, done.returncode) == ("main ['a']\n", "", 4)
    for name in ("none", "pkg.none", "pkg.work.none"):
        done = bulssi_command("run", "-m", name, cwd=tmp_path)
        assert (done.stderr, done.returncode) == (f"bulssi run: there is no module {name} to run\n", 2)


SAFETENSORS = """
import sys
from importlib.machinery import PathFinder
import torch

class Without(PathFinder):
    @staticmethod
    def find_spec(name, path=None, target=None):
        return None if name.split(".")[0] == "safetensors" else PathFinder.find_spec(name, path, target)

if sys.argv[1] == "without":
    sys.meta_path[:] = [Without if finder is PathFinder else finder for finder in sys.meta_path]
from safetensors.torch import load_file, safe_open, save_file
tensors = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.tensor(3)}
save_file(tensors, "x.safetensors", metadata={"k": "v"})
back = load_file("x.safetensors")
assert {k: v.tolist() for k, v in back.items()} == {k: v.tolist() for k, v in tensors.items()}
with safe_open("x.safetensors", framework="pt") as f:
    print(sorted(f.keys()), f.metadata(), f.get_tensor("b"))
print(load_file.__module__)
"""


@pytest.mark.parametrize("package", ["with", "without"])
def test_programs_find_safetensors(tmp_path: pathlib.Path, package: str) -> None:
    if package == "with":
        pytest.importorskip("safetensors")
    done = bulssi_command("run", script(tmp_path, SAFETENSORS), package, cwd=tmp_path)
    module = "safetensors.torch" if package == "with" else "bulssi.safetensors"
    assert (done.stdout, done.stderr) == (f"['a', 'b'] {{'k': 'v'}} tensor(3)\n{module}\n", "")


def test_run_star_import_and_pickles_of_main(tmp_path: pathlib.Path) -> None:
    path = script(
        tmp_path,
        "from torch import *\nimport pickle\nclass A: pass\n"
        "assert type(pickle.loads(pickle.dumps(A()))) is A\nprint(zeros(1))\n",
    )
    done = bulssi_command("run", path)
    assert (done.stdout, done.stderr, done.returncode) == ("tensor([0.])\n", "", 0)


@pytest.mark.parametrize(
    "line,name,close",
    [
        ("torch.onez(3)", "torch.onez", "torch.ones"),
        ("torch.nn.Lineer(3, 4)", "torch.nn.Lineer", "torch.nn.Linear"),
        ("from torch.nn import Lineer", "torch.nn.Lineer", "torch.nn.Linear"),
        ("import torch.optin", "torch.optin", "torch.optim"),
        ("torch.ones(3).reshap(3)", "torch.Tensor.reshap", "torch.Tensor.reshape"),
        ("torch.optim.Adan", "torch.optim.Adan", "torch.optim.Adam"),
    ],
)
def test_a_missing_name_is_told(tmp_path: pathlib.Path, line: str, name: str, close: str) -> None:
    path = script(tmp_path, f"import torch\n\ndef f():\n    {line}\n\nf()\n")
    done = bulssi_command("run", path)
    lines = done.stderr.splitlines()
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert lines[0].startswith(f"{path}:4: {name} is not in Bulssi")
    assert lines[1].strip() == line
    assert close in lines[2].removeprefix("  closest: ").split(", ")


def test_the_reason_why_a_name_is_missing_is_told(tmp_path: pathlib.Path) -> None:
    path = script(tmp_path, "import torch\ntorch.polar(torch.ones(2), torch.ones(2))\n")
    done = bulssi_command("run", path)
    lines = done.stderr.splitlines()
    assert lines[0].startswith(f"{path}:2: torch.polar is not in Bulssi") and len(lines) == 3
    assert lines[2].strip().startswith("complex tensors are not supported yet")


def test_other_errors_have_the_scripts_traceback(tmp_path: pathlib.Path) -> None:
    path = script(tmp_path, "import torch\ndef f():\n    return 1 / 0\nf()\n")
    done = bulssi_command("run", path)
    lines = done.stderr.splitlines()
    assert done.returncode == 1 and lines[0] == "Traceback (most recent call last):"
    assert lines[1] == f'  File "{path}", line 4, in <module>' and lines[-1].startswith("ZeroDivisionError")
    path = script(
        tmp_path,
        "import torch\nclass Net(torch.nn.Module):\n"
        "    def forward(self, x): return self.fc(x)\nNet()(torch.ones(1))\n",
    )
    assert "AttributeError: 'Net' object has no attribute 'fc'" in bulssi_command("run", path).stderr
    path = script(tmp_path, "import torch\ntry:\n    torch.onez\nexcept AttributeError:\n    print('caught')\n")
    assert bulssi_command("run", path).stdout == "caught\n"
    path = script(tmp_path, "x = (\n")
    assert "SyntaxError" in bulssi_command("run", path).stderr
    path = script(tmp_path, "import sys\nsys.exit('a message')\n")
    done = bulssi_command("run", path)
    assert (done.stderr, done.returncode) == ("a message\n", 1)


def test_wrong_usage_has_no_traceback() -> None:
    done = bulssi_command("run", "no-such-file.py")
    assert (done.stderr, done.returncode) == ("bulssi run: no-such-file.py: No such file or directory\n", 2)
    for args in ([], ["fly"], ["run"], ["demo", "--epochs", "0"], ["demo", "--epochs", "x"]):
        done = bulssi_command(*args)
        assert done.returncode == 2 and "usage: bulssi" in done.stderr and "Traceback" not in done.stderr


def test_version(capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--version"])
    assert caught.value.code == 0 and capsys.readouterr().out == f"bulssi {bulssi.__version__}\n"


@pytest.mark.parametrize("args", [["--help"], ["run", "--help"], ["demo", "--help"], ["info", "--help"]])
def test_help(args: list[str], capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as caught:
        main(args)
    assert caught.value.code == 0 and "usage: bulssi" in capsys.readouterr().out


def test_info(capsys: pytest.CaptureFixture) -> None:
    assert main(["info"]) == 0
    out = capsys.readouterr().out
    rows = {line.split()[0]: line for line in out.splitlines()}
    assert bulssi.__version__ in rows["bulssi"] and str(bulssi.get_num_threads()) in rows["threads"]
    assert bulssi._core.isa() in rows["isa"] and bulssi._core.thread_reason() in rows["threads"]
    assert {"python", "build", "cuda", "blas", "numpy"} <= rows.keys()


def test_demo(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture) -> None:
    before = bulssi.get_rng_state()
    try:
        assert main(["demo", "--epochs", "2", "--out", str(tmp_path / "out")]) == 0
    finally:
        bulssi.set_rng_state(before)
    out = capsys.readouterr().out
    assert "1437 handwritten digits to learn from, 360 held out" in out and "of the held-out digits right" in out
    assert (tmp_path / "out" / "checkpoint.pt").exists()
    assert bulssi.load(tmp_path / "out" / "checkpoint.pt")["epochs"] == 2
    pytest.importorskip("matplotlib")
    for name in ("learning-curve.png", "confusion.png"):
        assert (tmp_path / "out" / name).read_bytes().startswith(b"\x89PNG")


def test_the_whole_demo_learns(tmp_path: pathlib.Path) -> None:
    done = bulssi_command("demo", "--out", tmp_path)
    assert done.returncode == 0
    accuracy = float(done.stdout.split("% of the held-out")[0].rsplit("\n", 1)[1])
    assert accuracy >= 98


def test_demo_where_nothing_can_be_written(tmp_path: pathlib.Path) -> None:
    (tmp_path / "file").write_text("")
    done = bulssi_command("demo", "--out", tmp_path / "file" / "x")
    assert done.returncode == 2 and "Traceback" not in done.stderr


def test_terminal_plots() -> None:
    curve = _plots.curve_text([1.0, 0.1, 0.01], [1.0, 0.2, 0.05])
    assert curve[1].startswith("  1.0000 |") and curve[10].startswith("  0.0100 |") and curve[10].rstrip().endswith("*")
    table = _plots.confusion_text([[3, 0], [1, 12]])
    assert table[2:] == ["  0    3   ·", "  1    1  12"]


def test_digits() -> None:
    images, labels = bulssi.datasets.digits()
    assert images.shape == (1797, 8, 8) and images.dtype == bulssi.uint8 and labels.dtype == bulssi.int64
    assert (int(images.min()), int(images.max())) == (0, 16)
    assert bulssi.bincount(labels).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert images[0, 0].tolist() == [0, 0, 5, 13, 9, 1, 0, 0]
    folder = pathlib.Path(bulssi.datasets.__file__).parent
    assert (folder / "digits.bin").stat().st_size < 100_000
    assert "CC BY 4.0" in (folder / "digits.LICENSE.txt").read_text()


class Two(bulssi.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table = bulssi.nn.Linear(6, 4)
        self.lstm = bulssi.nn.LSTM(4, 5, batch_first=True)
        self.up = bulssi.nn.ConvTranspose1d(7, 2, 3)
        self.tied = self.table

    def forward(self, x, y):
        h, _ = self.lstm(self.tied(self.table(x)[..., :4].repeat(1, 1, 2)[..., :6]))
        return {"h": h, "up": self.up(y)}


def test_summary(capsys: pytest.CaptureFixture) -> None:
    model = Two()
    model.up.weight.requires_grad_(False)
    found = bulssi.summary(model, [(2, 7, 6), (2, 7, 9)])
    out = capsys.readouterr().out
    assert str(found) + "\n" == out
    rows = {layer.name: layer for layer in found.layers}
    assert found.parameters == sum(p.numel() for p in model.parameters())
    assert found.parameters - found.trainable == model.up.weight.numel()
    assert sum(layer.parameters for layer in found.layers) == found.parameters, "shared ones are counted once"
    assert rows["lstm"].multiply_adds == 14 * (20 * 4 + 20 * 5) and rows["lstm"].output.startswith("[2, 7, 5]")
    assert rows["up"].multiply_adds == 2 * 7 * 9 * 2 * 3
    assert [layer.multiply_adds for layer in found.layers if layer.kind == "Linear"] == [14 * 24, 14 * 24]
    assert model.training and not model._forward_hooks and not model.lstm._forward_pre_hooks
    assert "of them frozen" in out and os.linesep.join(out.splitlines()[:1]).startswith("layer")
    with pytest.raises(Exception):  # noqa: B017 - whatever the model raises
        bulssi.summary(model, (2, 7, 9))
    assert model.training and not model._forward_hooks


def test_run_shows_types_as_pytorch_does(tmp_path: pathlib.Path) -> None:
    path = script(
        tmp_path,
        """
import inspect, pickle
import torch
from torch import nn
model = nn.Sequential(nn.Linear(2, 3), nn.ReLU())
print(type(model), type(model[0].weight), type(torch.ones(2).shape), type(torch.float32), type(torch.device("cpu")))
loss = model(torch.ones(2)).sum()
print(nn.MultiheadAttention, type(torch.optim.Adam(model.parameters())), type(loss.grad_fn).__name__)
print(pickle.loads(pickle.dumps(model)), pickle.loads(pickle.dumps((torch.Size([2]), torch.int8, torch.device("cpu")))))
def f(x: int) -> torch.Tensor: ...
print(f.__annotations__["x"], inspect.signature(f).return_annotation is torch.Tensor)
torch.save(model, "model.pt")
assert repr(torch.load("model.pt", weights_only=False)) == repr(model)
""",
    )
    done = bulssi_command("run", path, cwd=tmp_path)
    assert done.stderr == ""
    assert done.stdout == (
        "<class 'torch.nn.modules.container.Sequential'> <class 'torch.nn.parameter.Parameter'> <class 'torch.Size'> "
        "<class 'torch.dtype'> <class 'torch.device'>\n"
        "<class 'torch.nn.modules.activation.MultiheadAttention'> <class 'torch.optim.adam.Adam'> SumBackward0\n"
        "Sequential(\n  (0): Linear(in_features=2, out_features=3, bias=True)\n  (1): ReLU()\n) "
        "(torch.Size([2]), torch.int8, device(type='cpu'))\n"
        "<class 'int'> True\n"
    )


@pytest.mark.parametrize("name", ["xpu", "mps", "mtia", "onnx", "fft", "types", "hub", "library", "func", "ao", "_C"])
def test_modules_that_programs_import(name: str) -> None:
    module = importlib.import_module(f"bulssi.{name}")
    assert getattr(bulssi, name) is module
    for each in getattr(module, "__all__", []):
        assert hasattr(module, each), each


def test_what_is_absent_says_so() -> None:
    assert not bulssi.xpu.is_available() and bulssi.mps.device_count() == 0
    with pytest.raises(AssertionError, match="Torch not compiled with XPU enabled"):
        bulssi.xpu.synchronize()
    with pytest.raises(NotImplementedError, match="ONNX files are not written"):
        bulssi.onnx.export(None, None, "x.onnx")
    with pytest.raises(NotImplementedError, match="complex numbers"):
        bulssi.fft.rfft(bulssi.ones(4))
    with pytest.raises(TypeError, match=r"type torch\.cuda\.FloatTensor not available"):
        bulssi.cuda.FloatTensor(2)
    assert not isinstance(bulssi.ones(1), bulssi.cuda.FloatTensor)
    assert bulssi.fft.fftfreq(4).tolist() == [0.0, 0.25, -0.5, -0.25] and bulssi.fft.rfftfreq(3).tolist() == [
        0.0,
        pytest.approx(1 / 3),
    ]
    assert bulssi.fft.ifftshift(bulssi.fft.fftshift(bulssi.arange(5))).tolist() == [0, 1, 2, 3, 4]


def test_summary_of_tensors_and_of_layers_that_are_not_called() -> None:
    nn = bulssi.nn
    model = nn.Sequential(nn.Embedding(10, 4), nn.Linear(4, 3))
    model[1].spare = nn.Linear(5, 5)
    found = bulssi.summary(model, bulssi.zeros(2, 7, dtype=bulssi.int64), verbose=False)
    assert found.layers[0].output == "[2, 7, 3]"
    assert (found.layers[-1].name, found.layers[-1].output, found.layers[-1].parameters) == (
        "1.spare",
        "not called",
        30,
    )
    assert sum(layer.parameters for layer in found.layers) == found.parameters and "0.3 KiB" in str(found)
    with pytest.raises(TypeError, match="expected an nn.Module, got int"):
        bulssi.summary(3, (1,))
    with pytest.raises(TypeError, match="must be a shape or a list of shapes, got 'abc'"):
        bulssi.summary(model, "abc")
