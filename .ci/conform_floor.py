"""Judge a report of the operator conformance tool: enough operators, enough of their samples right, and no crash.

python .ci/conform_floor.py REPORT.json --present 300 --rate 97
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path


def main() -> int:
    parser = argparse.ArgumentParser(description="Judge a conformance report.")
    parser.add_argument("report", type=Path)
    parser.add_argument("--present", type=int, required=True, help="least number of operators present")
    parser.add_argument("--rate", type=float, required=True, help="least percentage of samples right, of each kind")
    options = parser.parse_args()
    report = json.loads(options.report.read_text())
    failures = []
    present = report["summary"]["all"]["present"]
    if present < options.present:
        failures.append(f"{present} operators are present, at least {options.present} must be")
    for kind, counts in report["summary"]["kinds"].items():
        passed, total = counts["passed_of_present"]
        if total and 100 * passed / total < options.rate:
            failures.append(f"{kind}: {100 * passed / total:.1f} % of {total} samples, at least {options.rate} %")
    for name, entry in report["ops"].items():
        failures += [f"{name}: {death['stage']} {death['cause']}" for death in entry["deaths"]]
    print(f"{present} operators present; {'; '.join(failures) or 'conformance holds'}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
