"""Pictures of a training: PNG files by matplotlib where it is there, else characters in the terminal."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bulssi.cli.demo import History


def draw(history: History, confusion: list[list[int]], out: str) -> None:
    """Writes learning-curve.png and confusion.png into `out`, or draws both in the terminal."""
    try:
        import matplotlib
    except ImportError:
        print()
        print("\n".join(curve_text(history.train_loss, history.test_loss)))
        print()
        print("\n".join(confusion_text(confusion)))
        return
    matplotlib.use("Agg")
    for path in (_curve_png(history, out), _confusion_png(confusion, out)):
        print(f"picture: {path}")


def _curve_png(history: History, out: str) -> str:
    from matplotlib import pyplot as plt

    epochs = range(1, len(history.train_loss) + 1)
    figure, left = plt.subplots(figsize=(6, 4))
    left.plot(epochs, history.train_loss, label="training loss")
    left.plot(epochs, history.test_loss, label="held-out loss")
    left.set_xlabel("epoch")
    left.set_ylabel("cross entropy")
    left.set_yscale("log")
    right = left.twinx()
    right.plot(epochs, [100 * a for a in history.accuracy], color="gray", linestyle=":", label="held-out accuracy")
    right.set_ylabel("accuracy, %")
    figure.legend(loc="upper center", ncols=3, fontsize="small")
    return _written(figure, out, "learning-curve.png")


def _confusion_png(confusion: list[list[int]], out: str) -> str:
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(5, 5))
    axes.imshow(confusion, cmap="Blues")
    axes.set_xlabel("predicted digit")
    axes.set_ylabel("true digit")
    axes.set_xticks(range(10))
    axes.set_yticks(range(10))
    top = max(max(row) for row in confusion)
    for i, row in enumerate(confusion):
        for j, count in enumerate(row):
            if count:
                axes.text(j, i, str(count), ha="center", va="center", color="white" if count > top / 2 else "black")
    return _written(figure, out, "confusion.png")


def _written(figure: object, out: str, name: str) -> str:
    from matplotlib import pyplot as plt

    path = os.path.join(out, name)
    figure.tight_layout()  # pyright: ignore[reportAttributeAccessIssue]
    figure.savefig(path, dpi=120)  # pyright: ignore[reportAttributeAccessIssue]
    plt.close(figure)  # pyright: ignore[reportArgumentType]
    return path


def curve_text(train: list[float], test: list[float], height: int = 10) -> list[str]:
    """The losses over the epochs as lines of text: * training, o held out, on a logarithmic scale."""
    import math

    logs = [[math.log(max(value, 1e-12)) for value in values] for values in (train, test)]
    low, high = min(map(min, logs)), max(map(max, logs))
    rows = [[" "] * (3 * len(train)) for _ in range(height)]
    for values, mark in zip(logs, "*o", strict=True):
        for i, value in enumerate(values):
            part = (high - value) / (high - low) if high > low else 0.0
            rows[round(part * (height - 1))][3 * i + 1] = mark
    labels = [f"{math.exp(high):8.4f}", *[" " * 8] * (height - 2), f"{math.exp(low):8.4f}"]
    lines = [f"{label} |{''.join(row)}" for label, row in zip(labels, rows, strict=True)]
    axis = "".join(f"{i:3}" for i in range(1, len(train) + 1))
    return ["loss (* training, o held out)", *lines, " " * 9 + "+" + "-" * (3 * len(train)), " " * 10 + axis]


def confusion_text(confusion: list[list[int]]) -> list[str]:
    """Counts of true (rows) and predicted (columns) digits as lines of text."""
    lines = ["true digit (rows), predicted digit (columns)", "    " + "".join(f"{j:4}" for j in range(len(confusion)))]
    for i, row in enumerate(confusion):
        lines.append(f"{i:3} " + "".join(f"{count:4}" if count else "   ·" for count in row))
    return lines
