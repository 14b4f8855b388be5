"""What a benchmark is: a name, a setup that returns the statement, and the work that no implementation can avoid.

A row is declared once, as a function generic over the library module:

    @row("sum, 1M", bytes=4 * MILLION)
    def _(lib):
        x = lib.randn(MILLION)
        return lambda: x.sum()

The function is the setup; what it returns is timed. It runs once per library with the same seed, so the statement's
first results can be compared, and they are: a fast wrong answer is a failure.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

MILLION = 1 << 20

Library = Any  # the module under measurement: bulssi or torch
Statement = Callable[[], Any]
Setup = Callable[[Library], Statement]


@dataclass(frozen=True)
class Row:
    """One benchmark.

    Attributes:
        name: what is printed, and the key in budget.toml.
        setup: makes the inputs with the given library and returns the statement to time.
        table: the table the row is printed in.
        group: rows of one group also have their geometric mean held to a budget.
        bytes: bytes that must move between memory and core, each operand and result counted once.
        flops: floating-point operations that must be done, an addition and a multiplication counted as two.
        scale: units of work in one statement (nodes, samples); the linearity of a group is judged by time per unit.
        compare: whether the first results of both libraries must agree.
    """

    name: str
    setup: Setup
    table: str
    group: str | None
    bytes: float
    flops: float
    scale: int
    compare: bool


ROWS: dict[str, Row] = {}


def row(
    name: str,
    *,
    table: str = "core",
    group: str | None = None,
    bytes: float = 0,
    flops: float = 0,
    scale: int = 1,
    compare: bool = True,
) -> Callable[[Setup], Setup]:
    """Declare a row; decorates its setup."""

    def declare(setup: Setup) -> Setup:
        if name in ROWS:
            raise ValueError(f"two rows are named {name!r}")
        ROWS[name] = Row(name, setup, table, group, bytes, flops, scale, compare)
        return setup

    return declare
