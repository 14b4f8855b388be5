"""Event files, read back by TensorBoard's own reader, beside those that PyTorch's writer makes."""

from __future__ import annotations

import sys
from typing import Any

import pytest

import bulssi

pytest.importorskip("tensorboard")
np = pytest.importorskip("numpy")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::PendingDeprecationWarning")


def _read(folder: Any) -> list[Any]:
    """(folder, step, tag, kind, content) of every value, without times."""
    from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
    from tensorboard.compat.proto.event_pb2 import Event

    found = []
    for path in sorted(folder.rglob("events.out.tfevents.*")):
        for raw in RawEventFileLoader(str(path)).Load():
            event = Event.FromString(raw)
            for value in event.summary.value:
                kind = value.WhichOneof("value") or "metadata"
                where = str(path.parent.relative_to(folder))
                found.append((where, event.step, value.tag, kind, value.SerializeToString(deterministic=True)))
    return found


def _write(library: Any, writer_class: Any, folder: Any) -> None:
    with writer_class(str(folder)) as writer:
        for step in range(3):
            writer.add_scalar("loss", library.tensor(1 / (step + 1)), step)
        writer.add_scalar("new", 2.5, 7, new_style=True)
        writer.add_scalar("double", 2.5, 7, new_style=True, double_precision=True)
        writer.add_scalars("both/of", {"a": 1, "b": library.tensor(2.0)}, 4)
        library.manual_seed(0)
        values = library.randn(1000)
        writer.add_histogram("weights", values, 1)
        writer.add_histogram("few", values, 1, bins="auto", max_bins=5)
        writer.add_histogram_raw("raw", 0, 3, 4, 6.0, 14.0, [1.0, 2.0, 3.0], [1, 2, 1], 2)
        writer.add_image("one", library.arange(48).reshape(3, 4, 4) / 48, 1)
        writer.add_image("grey", library.arange(16).reshape(4, 4).to(library.uint8), 1, dataformats="HW")
        writer.add_images("many", library.arange(10 * 3 * 4).reshape(10, 1, 3, 4) / 120, 1)
        writer.add_text("words", "*hello*", 3)
        writer.add_audio("sound", library.linspace(-1, 1, 100), 3)
        writer.add_hparams(
            {"lr": 0.1, "name": "x", "steps": 3, "none": None}, {"hparam/loss": 1.5}, {"name": ["x", "y"]}, "run"
        )


def test_files_are_those_of_pytorch(tmp_path: Any) -> None:
    torch = pytest.importorskip("torch")
    from torch.utils.tensorboard import SummaryWriter as Theirs

    from bulssi.utils.tensorboard import SummaryWriter

    _write(bulssi, SummaryWriter, tmp_path / "ours")
    _write(torch, Theirs, tmp_path / "theirs")
    ours, theirs = _read(tmp_path / "ours"), _read(tmp_path / "theirs")
    assert [row[:4] for row in ours] == [row[:4] for row in theirs]
    for mine, other in zip(ours, theirs, strict=True):
        if mine[2] not in ("many", "weights", "few"):  # sums of floats; PyTorch's grid of images
            assert mine == other
    from tensorboard.compat.proto.summary_pb2 import Summary

    for mine, other in zip(ours, theirs, strict=True):
        a, b = Summary.Value.FromString(mine[4]), Summary.Value.FromString(other[4])
        if mine[3] == "histo":
            assert list(a.histo.bucket_limit) == pytest.approx(list(b.histo.bucket_limit))
            assert list(a.histo.bucket) == list(b.histo.bucket) and a.histo.sum == pytest.approx(b.histo.sum)
        if mine[3] == "image":
            assert (a.image.height, a.image.width) == (b.image.height, b.image.width)


def test_figures(tmp_path: Any) -> None:
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    from tensorboard.compat.proto.summary_pb2 import Summary

    from bulssi.utils.tensorboard import SummaryWriter

    with SummaryWriter(tmp_path) as writer:
        writer.add_figure("f", plt.figure(figsize=(2, 1), dpi=50), 1)
        writer.add_figure("g", [plt.figure(figsize=(2, 1), dpi=50) for _ in range(2)], 1)
    assert not plt.get_fignums()
    sizes = [(v.image.height, v.image.width) for v in (Summary.Value.FromString(row[4]) for row in _read(tmp_path))]
    assert sizes == [(50, 100), (50, 200)]


def test_refusals(tmp_path: Any) -> None:
    from bulssi.utils.tensorboard import SummaryWriter

    with SummaryWriter(tmp_path) as writer:
        with pytest.raises(AssertionError, match="Tensor should contain one element"):
            writer.add_scalar("x", bulssi.ones(2))
        with pytest.raises(ValueError, match="The input has no element"):
            writer.add_histogram("x", bulssi.ones(0))
        with pytest.raises(AssertionError, match="size of input tensor and input format are different"):
            writer.add_image("x", bulssi.ones(2, 2))
        with pytest.raises(TypeError, match="should be dictionary"):
            writer.add_hparams([], {})  # pyright: ignore
        with pytest.raises(NotImplementedError, match="add_graph"):
            writer.add_graph(bulssi.nn.Linear(1, 1))
        with pytest.raises(NotImplementedError, match="add_embedding"):
            writer.add_embedding(bulssi.ones(2, 2))
        writer.close()
        writer.add_scalar("again", 1.0, 0)
    assert [row[2] for row in _read(tmp_path)] == ["again"]


def test_without_the_package_it_says_what_to_install(monkeypatch: Any, tmp_path: Any) -> None:
    for name in [n for n in sys.modules if n.split(".")[0] == "tensorboard" or "utils.tensorboard" in n]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    from bulssi.utils.tensorboard import SummaryWriter

    with pytest.raises(ImportError, match="pip install tensorboard"):
        SummaryWriter(tmp_path)
