"""Pictures of a training: PNG files by matplotlib where it is there, else characters in the terminal."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bulssi.cli.demo import History

_BLUE, _ORANGE = "#2a6fbb", "#e8751a"


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
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

    epochs = range(1, len(history.train_loss) + 1)
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.8))
    left.plot(epochs, history.train_loss, color=_BLUE, marker="o", markersize=3.5, label="training")
    left.plot(epochs, history.test_loss, color=_ORANGE, marker="o", markersize=3.5, label="held out")
    left.set_yscale("log")
    left.yaxis.set_major_locator(LogLocator(subs=(1.0, 3.0)))
    left.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    left.yaxis.set_minor_formatter(NullFormatter())
    left.set_title("Cross entropy", loc="left")
    left.legend(frameon=False)
    percent = [100 * accuracy for accuracy in history.accuracy]
    right.plot(epochs, percent, color=_ORANGE, marker="o", markersize=3.5)
    right.set_title("Held-out digits recognised, %", loc="left")
    right.annotate(
        f"{percent[-1]:.2f} %", (epochs[-1], percent[-1]), xytext=(0, -14), textcoords="offset points",
        ha="right", va="top", color=_ORANGE, fontweight="bold",
    )  # fmt: skip
    for axes in (left, right):
        axes.set_xlabel("epoch")
        axes.set_xlim(0.5, len(epochs) + 0.5)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(color="0.9")
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    return _written(figure, out, "learning-curve.png")


def _confusion_png(confusion: list[list[int]], out: str) -> str:
    from matplotlib import pyplot as plt
    from matplotlib.patches import Rectangle

    total, right = sum(map(sum, confusion)), sum(row[i] for i, row in enumerate(confusion))
    top = max(max(row) for row in confusion)
    figure, axes = plt.subplots(figsize=(5.6, 5.8))
    # Right answers in blue; a wrong one stands out in orange however few there are.
    hits = [[count if i == j else 0 for j, count in enumerate(row)] for i, row in enumerate(confusion)]
    axes.imshow(hits, cmap="Blues", vmin=0, vmax=1.25 * top)
    for i, row in enumerate(confusion):
        for j, count in enumerate(row):
            if count and i != j:
                axes.add_patch(Rectangle((j - 0.5, i - 0.5), 1, 1, color=_ORANGE, alpha=0.35 + 0.5 * count / top))
            if count:
                dark = i == j and count > top / 2
                axes.text(j, i, str(count), ha="center", va="center", color="white" if dark else "black")
    axes.set_title(f"{right} of {total} right, {total - right} wrong", loc="left")
    axes.set_xlabel("predicted digit")
    axes.set_ylabel("true digit")
    axes.set_xticks(range(len(confusion)))
    axes.set_yticks(range(len(confusion)))
    axes.set_xticks([i - 0.5 for i in range(1, len(confusion))], minor=True)
    axes.set_yticks([i - 0.5 for i in range(1, len(confusion))], minor=True)
    axes.grid(which="minor", color="white", linewidth=1.5)
    axes.tick_params(which="both", length=0)
    axes.spines[:].set_visible(False)
    return _written(figure, out, "confusion.png")


def _written(figure: object, out: str, name: str) -> str:
    from matplotlib import pyplot as plt

    path = os.path.join(out, name)
    figure.tight_layout()  # pyright: ignore[reportAttributeAccessIssue]
    figure.savefig(path, dpi=140)  # pyright: ignore[reportAttributeAccessIssue]
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
