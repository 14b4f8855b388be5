"""`bulssi demo`: a small convolutional network learns real handwritten digits."""

from __future__ import annotations

import os
import sys
import time
from typing import Any, NamedTuple

import bulssi
from bulssi import nn
from bulssi.utils.data import DataLoader, TensorDataset, random_split

__all__ = ["demo", "train"]

_HELD_OUT = 360


class History(NamedTuple):
    """Per epoch: mean training loss, held-out loss and held-out accuracy."""

    train_loss: list[float]
    test_loss: list[float]
    accuracy: list[float]


def make_model() -> nn.Module:  # pyright: ignore[reportInvalidTypeForm]
    """8 x 8 images of one channel to the scores of ten digits."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(),
        nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Dropout(0.25), nn.Linear(64 * 2 * 2, 10),
    )  # fmt: skip


def load_data(seed: int) -> tuple[Any, Any]:
    """Training and held-out part of the digits, scaled to 0 to 1."""
    images, labels = bulssi.datasets.digits()
    data = TensorDataset(images.unsqueeze(1).float() / 16, labels)
    generator = bulssi.Generator().manual_seed(seed)
    train, test = random_split(data, [len(data) - _HELD_OUT, _HELD_OUT], generator=generator)
    return train, test


def evaluate(model: nn.Module, data: Any) -> tuple[float, float, Any]:  # pyright: ignore[reportInvalidTypeForm]
    """Mean loss, accuracy, and the 10 x 10 counts of (true digit, predicted digit)."""
    model.eval()
    confusion = bulssi.zeros(10, 10, dtype=bulssi.int64)
    total = 0.0
    with bulssi.no_grad():
        for x, y in DataLoader(data, batch_size=_HELD_OUT):
            scores = model(x)
            total += nn.functional.cross_entropy(scores, y, reduction="sum").item()
            pairs = y * 10 + scores.argmax(1)
            confusion += bulssi.bincount(pairs, minlength=100).reshape(10, 10)
    return total / len(data), confusion.diagonal().sum().item() / len(data), confusion


def train(model: nn.Module, train_data: Any, test_data: Any, epochs: int, show: Any) -> tuple[History, Any]:  # pyright: ignore[reportInvalidTypeForm]
    """Trains; calls `show(epoch, done, batches, loss, history)` after every batch. Returns history and optimizer."""
    loader = DataLoader(train_data, batch_size=32, shuffle=True)
    optimizer = bulssi.optim.Adam(model.parameters(), lr=2e-3)
    schedule = bulssi.optim.lr_scheduler.OneCycleLR(optimizer, 6e-3, epochs=epochs, steps_per_epoch=len(loader))
    history = History([], [], [])
    for epoch in range(epochs):
        model.train()
        total, seen = 0.0, 0
        for done, (x, y) in enumerate(loader, 1):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
            schedule.step()
            total, seen = total + loss.item() * len(x), seen + len(x)
            show(epoch, done, len(loader), total / seen, history)
        test_loss, accuracy, _ = evaluate(model, test_data)
        history.train_loss.append(total / seen)
        history.test_loss.append(test_loss)
        history.accuracy.append(accuracy)
    return history, optimizer


class _Progress:
    """One line per epoch, redrawn in place on a terminal."""

    def __init__(self, epochs: int) -> None:
        self.epochs = epochs
        self.live = sys.stdout.isatty()
        self.drawn = 0.0

    def __call__(self, epoch: int, done: int, batches: int, loss: float, history: History) -> None:
        if epoch > 0 and done == 1:
            self.close(epoch - 1, history)
        now = time.perf_counter()
        if self.live and (done == batches or now - self.drawn > 0.05):
            self.drawn = now
            filled = 24 * done // batches
            bar = "█" * filled + "·" * (24 - filled)
            print(f"\repoch {epoch + 1:2}/{self.epochs}  {bar}  loss {loss:.4f}", end="", flush=True)

    def close(self, epoch: int, history: History) -> None:
        """The last word on an epoch."""
        start = "\r\033[K" if self.live else ""
        print(
            f"{start}epoch {epoch + 1:2}/{self.epochs}  loss {history.train_loss[epoch]:.4f}  held out: "
            f"loss {history.test_loss[epoch]:.4f}, {history.accuracy[epoch]:.2%} right",
            flush=True,
        )


def demo(epochs: int, seed: int, out: str, plots: bool) -> int:
    """The command. Returns the exit code."""
    from bulssi.cli import _plots

    try:
        os.makedirs(out, exist_ok=True)
    except OSError as error:
        print(f"bulssi demo: {out}: {error.strerror}", file=sys.stderr)
        return 2
    bulssi.manual_seed(seed)
    train_data, test_data = load_data(seed)
    model = make_model()
    print(f"{len(train_data)} handwritten digits to learn from, {len(test_data)} held out\n")
    bulssi.summary(model, (1, 1, 8, 8))
    print()
    progress = _Progress(epochs)
    start = time.perf_counter()
    history, optimizer = train(model, train_data, test_data, epochs, progress)
    seconds = time.perf_counter() - start
    progress.close(epochs - 1, history)

    path = os.path.join(out, "checkpoint.pt")
    bulssi.save({"model": model.state_dict(), "optimizer": optimizer.state_dict(), "epochs": epochs}, path)
    loaded = make_model()
    loaded.load_state_dict(bulssi.load(path)["model"])
    _, accuracy, confusion = evaluate(loaded, test_data)
    wrong = len(test_data) - int(confusion.diagonal().sum().item())
    print(f"\n{accuracy:.2%} of the held-out digits right ({wrong} wrong), after {seconds:.1f} s of training")
    print(f"checkpoint: {path}")
    if plots:
        _plots.draw(history, confusion.tolist(), out)
    return 0
