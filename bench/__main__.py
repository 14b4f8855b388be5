"""The command: `python -m bench --help`."""

from __future__ import annotations

import argparse
import importlib
import json
import math
import os
import re
import statistics
import sys
from pathlib import Path
from typing import Any

from tools.requirements import tomllib

from . import package
from .measure import Outcome, bandwidth, measure, peak
from .row import ROWS, Library, Row

COPIES = [(22, "4 MiB"), (27, "128 MiB")]  # binary logarithm of the bytes moved
BUDGET = Path(__file__).with_name("budget.toml")


def budget_of(row: Row, budgets: dict[str, Any]) -> float:
    """The ratio that a row must reach: its own, else its group's, else its table's."""
    group = budgets["group"].get(row.group, {})
    return budgets["row"].get(row.name, group.get("each", budgets["table"][row.table]))


def failure(outcome: Outcome, budgets: dict[str, Any]) -> str:
    """Why a row does not pass, or an empty string."""
    if outcome.error:
        return outcome.error
    least = budget_of(outcome.row, budgets) * (1 - budgets["margin"])
    return "" if outcome.ratio >= least else f"{outcome.ratio:.2f}x is below {least:.2f}x"


def group_failures(outcomes: list[Outcome], budgets: dict[str, Any]) -> list[str]:
    """What groups are held to as a whole: the geometric mean of their ratios and the growth of time with work."""
    failures = []
    for name, budget in budgets["group"].items():
        members = [outcome for outcome in outcomes if outcome.row.group == name and not math.isnan(outcome.ratio)]
        if not members:
            continue
        mean = statistics.geometric_mean(outcome.ratio for outcome in members)
        worst = min(members, key=lambda outcome: outcome.ratio)
        print(f"\n{name}: {len(members)} rows, geometric mean {mean:.2f}x, least {worst.ratio:.2f}x ({worst.row.name})")
        if mean < budget.get("geometric_mean", 0) * (1 - budgets["margin"]):
            failures.append(f"{name}: geometric mean {mean:.2f}x, budget {budget['geometric_mean']}x")
        if "growth" in budget and len(members) > 1:
            first, last = members[0], members[-1]
            growth = math.log(last.candidate / first.candidate) / math.log(last.row.scale / first.row.scale)
            print(f"{name}: time grows with the power {growth:.3f} of the work")
            if growth > budget["growth"]:
                failures.append(f"{name}: growth {growth:.3f}, at most {budget['growth']}")
    return failures


def duration(seconds: float) -> str:
    """A time in the unit that leaves three digits before or after the point."""
    if math.isnan(seconds):
        return "-"
    for unit, factor in (("s", 1), ("ms", 1e3), ("us", 1e6)):
        if seconds * factor >= 1:
            return f"{seconds * factor:.3g} {unit}" if seconds * factor < 1000 else f"{seconds * factor:.0f} {unit}"
    return f"{seconds * 1e9:.0f} ns"


COLUMNS = "{:<{width}}  {:>9}  {:>9}  {:>7}  {:>6}  {:>8}  {:>8}  {}"


def print_row(outcome: Outcome, budgets: dict[str, Any], width: int) -> None:
    ratio = "-" if math.isnan(outcome.ratio) else f"{outcome.ratio:.2f}x"
    above = outcome.candidate / outcome.floor
    print(
        COLUMNS.format(
            outcome.row.name,
            duration(outcome.oracle),
            duration(outcome.candidate),
            ratio,
            f"{budget_of(outcome.row, budgets):g}x",
            duration(outcome.floor),
            "-" if math.isnan(above) else f"{above:.1f}x",
            failure(outcome, budgets),
            width=width,
        ).rstrip(),
        flush=True,
    )


def print_packages(names: list[str]) -> None:
    """Size and import time; the distribution has the module's name in both libraries."""
    print(f"{'package':<12}  {'installed':>12}  {'with requirements':>18}  {'import':>8}")
    for name in names:
        own, all_of_it = package.size(name) / 1e6, package.size_with_requirements(name) / 1e6
        print(f"{name:<12}  {own:>9.1f} MB  {all_of_it:>15.1f} MB  {duration(package.import_seconds(name)):>8}")


def print_machine(oracle: Library, candidate: Library, threads: int) -> None:
    """What was measured and on what; the floors in the tables come from these rates."""
    names = [f"{library.__name__} {library.__version__}" for library in (candidate, oracle)]
    print(f"{' beside '.join(names)}, {threads} threads, medians of interleaved batches without the empty call's time")
    rates = [f"{bandwidth(oracle, log2_bytes) / 1e9:.1f} GB/s ({size})" for log2_bytes, size in COPIES]
    print(f"peak {peak(oracle) / 1e9:.0f} GFLOP/s (float32), copy {', '.join(rates)}")
    load = os.getloadavg()[0]
    if load > 0.5:
        print(f"The machine was busy when this began (load {load:.1f}): do not quote these figures.")


def options_from_command_line() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench", description="Measure Bulssi beside PyTorch and print ratios."
    )
    parser.add_argument("--only", metavar="REGEX", default="", help="only rows whose name matches")
    parser.add_argument("--table", choices=["core", "models"], help="only this table")
    parser.add_argument("--seconds", type=float, default=0.4, help="time for each row (default %(default)s)")
    parser.add_argument("--threads", type=int, default=2, help="threads of both libraries (default %(default)s)")
    parser.add_argument("--check", action="store_true", help="fail when a row is below its budget")
    parser.add_argument("--json", metavar="FILE", type=Path, help="also write the figures to a file")
    parser.add_argument("--candidate", default="bulssi", help="the module to measure (default %(default)s)")
    parser.add_argument("--oracle", default="torch", help="the module to compare with (default %(default)s)")
    return parser.parse_args()


def load(name: str, threads: int) -> Library:
    library = importlib.import_module(name)
    library.set_num_threads(threads)
    return library


def again(outcome: Outcome, libraries: tuple[Library, Library], seconds: float) -> Outcome:
    """The better one of an outcome and of a measurement three times as long."""
    return max(outcome, measure(outcome.row, *libraries, 3 * seconds), key=lambda each: each.ratio)


def run_table(rows: list[Row], libraries: tuple[Library, Library], seconds: float, budgets: Any) -> list[Outcome]:
    """Measure and print; a row below budget is measured once more, and, since a machine may be disturbed for a minute,
    again after all others."""
    oracle, candidate = libraries
    width = max(len(row.name) for row in rows)
    titles = (oracle.__name__, candidate.__name__, "ratio", "budget", "floor", "to floor", "")
    print(COLUMNS.format("", *titles, width=width).rstrip())
    outcomes = []
    for row in rows:
        outcome = measure(row, oracle, candidate, seconds)
        if failure(outcome, budgets) and not outcome.error:
            outcome = again(outcome, libraries, seconds)
        print_row(outcome, budgets, width)
        outcomes.append(outcome)
    for i, outcome in enumerate(outcomes):
        if failure(outcome, budgets) and not outcome.error:
            outcomes[i] = again(outcome, libraries, seconds)
            print_row(outcomes[i], budgets, width)
    return outcomes


def main() -> int:
    options = options_from_command_line()
    budgets = tomllib.loads(BUDGET.read_text(encoding="utf-8"))
    oracle, candidate = load(options.oracle, options.threads), load(options.candidate, options.threads)
    importlib.import_module(".core", __package__)
    importlib.import_module(".models", __package__)
    unknown = set(budgets["row"]) - set(ROWS)
    if unknown:
        raise SystemExit(f"budget.toml names rows that do not exist: {', '.join(sorted(unknown))}")
    selected = [row for row in ROWS.values() if re.search(options.only, row.name)]
    print_machine(oracle, candidate, options.threads)
    if not options.only:
        print()
        print_packages([oracle.__name__, candidate.__name__])
    outcomes: list[Outcome] = []
    for table in [options.table] if options.table else ["core", "models"]:
        rows = [row for row in selected if row.table == table]
        if rows:
            print(f"\n{table}")
            outcomes += run_table(rows, (oracle, candidate), options.seconds, budgets)
    failures = [f"{o.row.name}: {why}" for o in outcomes if (why := failure(o, budgets))]
    failures += group_failures(outcomes, budgets)
    if options.json:
        figures = {o.row.name: {"oracle": o.oracle, "candidate": o.candidate, "floor": o.floor} for o in outcomes}
        options.json.write_text(json.dumps(figures, indent=1))
    print(f"\n{len(outcomes)} rows, {len(failures)} below budget or failing")
    for why in failures:
        print(f"  {why}")
    return 1 if failures and options.check else 0


if __name__ == "__main__":
    sys.exit(main())
