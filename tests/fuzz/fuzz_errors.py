"""Calls with one thing wrong, made with Bulssi and with PyTorch, and compared.

Compared are: whether both raise, the type of the exception, and the first sentence of its message; where neither
raises, types, dtypes, shapes and values of the result; and after a refused call, whether everything is as before. A
program is decided by the seed and its number (`error_programs.py`). Calls run in forked workers, so that one which ends
the process costs only itself; those that end PyTorch's are left out.

    python tests/fuzz/fuzz_errors.py --programs 20000 --seed 0
    python tests/fuzz/fuzz_errors.py --seed 0 --show 4711      # one program, and what differs
    python tests/fuzz/fuzz_errors.py --only 'index_add|scatter' --top 50
"""

from __future__ import annotations

import argparse
import json
import operator
import re
import sys
import warnings
from collections import Counter, defaultdict
from typing import Any

import fuzz_arguments
from error_programs import Corpus, make_program
from fuzz_inplace import Runner

fuzz_arguments.MEMORY_LIMIT = 8 << 30
fuzz_arguments.CALL_SECONDS = 5.0

# Results whose values the call does not decide, or that are free up to a choice.
UNDECIDED = re.compile(
    r"\b(empty|new_empty|resize|eig|svd|qr|lu|lobpcg|lowrank|geqrf|householder|data_ptr|orthogonal)|ormqr|rng_state"
)

# What the library has not, and says so: complex tensors, and a few functions of PyTorch.
ABSENT = re.compile(
    r"complex tensors are not|complex, which|^AttributeError: (module|'Tensor' object has no attribute '(c|hash))"
)

# What PyTorch takes and the library does not, with the reason: a pattern of the call, one of our error, and what must
# hold of PyTorch's result.
KNOWN = {
    "on the CPU it computes with a tensor that has no elements there, and so reads memory that nobody wrote": (
        r"", r"not on the expected device|with Meta tensors|on meta tensors|Cannot copy out of meta", "on the CPU",
    ),
    "it cuts a device's index down to 8 bits": (r"torch\.device\(", r"Device index must not be negative", ""),
    "a hook that cannot be called fails in backward": (r"register_hook\(", r"cannot be called", ""),
    "complex numbers are absent": (r"", r"not implemented for 'Complex", ""),
}  # fmt: skip


def on_cpu(result: Any) -> bool:
    """Is a result, as `described` gives it, of CPU tensors alone?"""
    if isinstance(result, dict):
        return result["device"] == "cpu"
    return isinstance(result, list) and bool(result) and all(map(on_cpu, result))


# rtol of comparing values, which are not what this looks for: rounding is compared elsewhere.
TOLERANCE = {"float16": 1e-2, "bfloat16": 6e-2, "float32": 1e-3, "complex64": 1e-3}

KINDS = (
    "only torch raises",
    "only we raise",
    "type",
    "message",
    "result",
    "state",
    "crash",
    "torch lacks a kernel",
    "absent",
)


def described(value: Any, library: Any, depth: int = 0) -> Any:
    """A result as plain values."""
    if isinstance(value, library.Tensor):
        found = {"shape": list(value.shape), "dtype": str(value.dtype), "grad": value.requires_grad}
        found["device"] = str(value.device)
        if value.device.type == "cpu":
            found["values"] = value.detach().resolve_conj().tolist() if value.numel() <= 4096 else "many"
        return found
    if isinstance(value, (list, tuple)) and depth < 4:
        return [described(item, library, depth + 1) for item in value]
    if isinstance(value, (bool, int, float, complex, str)) or value is None:
        return value
    return type(value).__name__


def near(a: Any, b: Any, rtol: float) -> bool:
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):
        return len(a) == len(b) and all(near(x, y, rtol) for x, y in zip(a, b, strict=True))
    if isinstance(a, dict) and isinstance(b, dict):
        loose = TOLERANCE.get(str(a.get("dtype", "")).removeprefix("torch."), 1e-5)
        return a.keys() == b.keys() and all(near(a[key], b[key], loose) for key in a)
    if isinstance(a, complex) and isinstance(b, complex):
        return near([a.real, a.imag], [b.real, b.imag], rtol)
    if isinstance(a, float) and isinstance(b, float):
        return a == b or (a != a and b != b) or abs(a - b) <= rtol + rtol * abs(b)
    return type(a) is type(b) and a == b


def differing(a: Any, b: Any) -> str:
    """What of two results differs, briefly."""
    if isinstance(a, dict) and isinstance(b, dict):
        return "; ".join(
            f"{key} {a[key]!s:.60} but {b.get(key)!s:.60}" for key in a if not near(a[key], b.get(key), 1e-5)
        )
    return f"{a!s:.80} but {b!s:.80}"


class Side:
    """One library, and what its run of a program did."""

    def __init__(self, library: Any, lines: list[str]) -> None:
        self.library = library
        self.runner = Runner(library)
        self.runner.names.update(operator=operator, nan=float("nan"), inf=float("inf"))
        library.manual_seed(0)
        self.changed, self.result = False, None
        for line in lines[:-1]:
            self.error = self.runner.line(compile(line, "<program>", "exec"))
            if self.error:
                self.kind, self.message = "arguments", self.error
                return
        self.before = self.state()
        self.error = self.runner.line(compile(lines[-1], "<program>", "exec"))
        self.kind, _, self.message = self.error.partition(": ")
        self.changed = self.error != "" and self.state() != self.before
        self.result = None if self.error else described(self.runner.names.get("r"), library)

    def state(self) -> str:
        tensors = [(name, t) for name, t in self.runner.tensors() if t.device.type == "cpu"]
        return repr([(name, t._version, described(t, self.library)) for name, t in tensors])


def plain(message: str) -> str:
    """A message without what PyTorch itself leaves open: the order of the named arguments that it got."""

    def in_order(found: re.Match[str]) -> str:
        parts = [part for part in found[1].split(", ") if part]
        return f"got ({', '.join(sorted(parts, key=lambda part: part if '=' in part else ''))})"

    return re.sub(r"got \(([^()]*)\)", in_order, message)


def compare(bulssi: Any, torch: Any, lines: list[str]) -> tuple[str, str]:
    """How a program differs: one of KINDS and what was seen, or ("", "")."""
    theirs = Side(torch, lines)
    if "INTERNAL ASSERT" in theirs.error:
        return "", ""
    ours = Side(bulssi, lines)
    for side in (ours, theirs):
        reset(side.library)
    if ABSENT.search(ours.error) or ours.kind == "arguments":
        return "absent", ours.error
    if not ours.error and not theirs.error:
        if UNDECIDED.search(lines[-1]) or near(ours.result, theirs.result, 1e-5):
            return "", ""
        return "result", differing(ours.result, theirs.result)
    if not ours.error:
        lacking = "not implemented" in theirs.error or theirs.kind == "NotImplementedError"
        return "torch lacks a kernel" if lacking else "only torch raises", theirs.error
    if ours.changed and not theirs.changed:
        return "state", ours.error
    if not theirs.error:
        for call, error, result in KNOWN.values():
            if re.search(call, lines[-1]) and re.search(error, ours.error) and (not result or on_cpu(theirs.result)):
                return "", ""
        return "only we raise", ours.error
    if ours.kind != theirs.kind:
        return "type", f"{ours.error} | {theirs.error}"
    if plain(ours.message) != plain(theirs.message):
        return "message", f"{ours.error} | {theirs.error}"
    return "", ""


def reset(library: Any) -> None:
    """What calls may have set for the process."""
    library.set_grad_enabled(True)
    library.set_default_dtype(library.float32)
    library.set_num_threads(1)
    library.autograd.set_detect_anomaly(False)


class Work:
    """Runs programs by number; what differs is written as JSON."""

    def __init__(self, bulssi: Any, torch: Any, seed: int, only: str = "") -> None:
        self.bulssi, self.torch, self.seed, self.only = bulssi, torch, seed, only
        self.corpus = Corpus()
        if only:
            self.corpus.operators = {k: op for k, op in self.corpus.operators.items() if re.search(only, k)}
            self.corpus.written = [c for c in self.corpus.written if re.search(only, c.path)] or [
                self.corpus.written[0]
            ]

    def program(self, number: int) -> tuple[str, list[str]]:
        return make_program(self.corpus, self.seed, number)

    def __call__(self, number: int) -> str:
        kind, lines = self.program(number)
        how, seen = compare(self.bulssi, self.torch, lines)
        return json.dumps([kind, how, seen, lines]) if how else ""

    def of_torch(self, number: int) -> str:
        Side(self.torch, self.program(number)[1])
        return ""


def fuzz(work: Work, first: int, programs: int, workers: int = 2) -> list[tuple[int, str, str, str, list[str]]]:
    """(number, what was wrong with the call, how they differ, what was seen, program) of each that differs."""
    found = []
    if programs > 2000:  # each process would make most of them again
        work.corpus.make_all()
    for number, text in fuzz_arguments.in_workers(work, first, programs, workers, 1000):
        if text.startswith("["):
            found.append((number, *json.loads(text)))
        elif not fuzz_arguments.in_workers(work.of_torch, number, 1, 1):  # else PyTorch ends the process, too
            found.append((number, work.program(number)[0], "crash", text, work.program(number)[1]))
    return found


def cause(how: str, seen: str) -> str:
    """What was seen, without names and numbers, to count."""
    text = re.sub(r"'[^']*'|\"[^\"]*\"", "'..'", seen)
    text = re.sub(r"\b[\w.]+\(\)", "f()", text)
    return how + ": " + re.sub(r"-?\d+(\.\d+)?", "#", text)[:300]


def report(found: list[tuple[int, str, str, str, list[str]]], programs: int, top: int) -> None:
    causes = defaultdict(list)
    for number, _, how, seen, lines in found:
        causes[cause(how, seen)].append((number, seen, lines))
    for key, cases in sorted(causes.items(), key=lambda item: (KINDS.index(item[0].split(":")[0]), -len(item[1])))[
        :top
    ]:
        number, seen, lines = cases[0]
        print(f"{len(cases):4} {key.split(':')[0]}: {seen[:400]}")
        print("       " + f"({number}) " + "; ".join(lines)[:600])
        names = Counter(re.split(r"[\[(]", lines[-1].removeprefix("r = "))[0] for _, _, lines in cases)
        if len(names) > 1:
            print("       " + " ".join(f"{name}*{n}" for name, n in names.most_common(12)))
    table = Counter((how, kind) for _, kind, how, _, _ in found)
    for how in KINDS:
        row = {kind: n for (h, kind), n in table.most_common() if h == how}
        print(f"{how}: {sum(row.values())} ({100 * sum(row.values()) / programs:.2f} %) {row}")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--programs", type=int, default=20000, help="how many (default 20000)")
    parser.add_argument("--seed", type=int, default=0, help="decides all programs (default 0)")
    parser.add_argument("--first", type=int, default=0, help="number of the first")
    parser.add_argument("--workers", type=int, default=2, help="processes (default 2)")
    parser.add_argument("--top", type=int, default=60, help="how many causes to print (default 60)")
    parser.add_argument("--only", default="", help="operators and functions whose name has this pattern")
    parser.add_argument("--json", default="", help="write what was found there")
    parser.add_argument("--show", type=int, help="print program number SHOW and how it differs")
    options = parser.parse_args(arguments)
    import torch

    import bulssi

    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    work = Work(bulssi, torch, options.seed, options.only)
    if options.show is not None:
        kind, lines = work.program(options.show)
        print(f"# {kind}", *lines, *compare(bulssi, torch, lines), sep="\n")
        return 0
    found = fuzz(work, options.first, options.programs, options.workers)
    if options.json:
        with open(options.json, "w") as file:
            json.dump(found, file)
    report(found, options.programs, options.top)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
