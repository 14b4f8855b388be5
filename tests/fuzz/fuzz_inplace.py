"""Random programs of views and in-place operations, run with Bulssi and with PyTorch, and compared.

A program is a list of lines of Python. Its generator runs each line with PyTorch first, so that it can choose the next
from shapes and values; then the same line runs with Bulssi. Compared are, for every line, the kind of error and the
first sentence of its message; at the end, for every tensor, values, requires_grad, is_leaf, version and the name of
grad_fn; then the gradients of one tensor with respect to all leaves, and their gradients. A program is decided by its
seed alone. When both differ, the program is shortened as long as they still differ, and shown.

    python tests/fuzz/fuzz_inplace.py --programs 20000 --seed 0
    python tests/fuzz/fuzz_inplace.py --programs 1 --seed 1234 --show

Left out on purpose, because PyTorch itself does not define them: operands that overlap the written tensor without
being it, writing to a tensor some of whose elements share memory, what ends in an internal assertion of PyTorch, leaves
whose .grad PyTorch lets share memory with something else, what follows a refused change of an inference tensor, which
PyTorch refuses after it was made, and `.data =` an inference tensor, after which PyTorch records some operations on the
leaf and not others. A program ends where a value is so close to zero that it is what rounding has left: which sign it
has then depends on the processor, in PyTorch too.
"""

from __future__ import annotations

import argparse
import math
import re
import sys
import time
import warnings
from collections import Counter
from typing import Any

from inplace_programs import Generator, functions_of

LARGEST = 50.0  # no value may leave this range, so that both libraries round alike
SMALLEST = 1e-12  # what is closer to zero without being it is rounding


# ---- running ---------------------------------------------------------------------------------------------------------


class NotDefined(Exception):
    """PyTorch does not say what the program means."""


class Runner:
    """One library, its variables, and what each line did."""

    def __init__(self, library: Any) -> None:
        self.names: dict[str, Any] = {"torch": library, "seen": []}
        self.names.update(functions_of(library))

    def line(self, code: Any) -> str:
        """Run a line; "" or the error's kind and first sentence."""
        try:
            exec(code, self.names)
        except Exception as error:
            return f"{type(error).__name__}: {first_sentence(str(error))}"
        return ""

    def close(self) -> None:
        """Forget everything: hooks see these names, whose tensors hold the hooks; gradients lead to their tensors."""
        for _, t in self.tensors():
            t.grad = None
        self.names.clear()

    def tensors(self) -> list[tuple[str, Any]]:
        kind = self.names["torch"].Tensor
        return [(name, value) for name, value in self.names.items() if isinstance(value, kind)]

    def state(self) -> dict[str, Any]:
        """Everything that is compared at the end, by name."""
        seen: dict[str, Any] = {}
        counted = not any(t.is_inference() for _, t in self.tensors())
        for name, value in list(self.names.items()):
            if isinstance(value, self.names["torch"].Tensor):
                seen.update({f"{name}.{key}": found for key, found in self.describe(value, counted).items()})
            elif isinstance(value, (tuple, list)) and name in ("first", "second", "seen"):
                for i, item in enumerate(value):
                    if hasattr(item, "tolist"):
                        seen[f"{name}[{i}]"] = item.detach().clone().tolist()
                        seen[f"{name}[{i}].requires_grad"] = item.requires_grad
                        seen[f"{name}[{i}].shape"] = tuple(item.shape)
                    else:
                        seen[f"{name}[{i}]"] = item
        return seen

    def shares_gradients(self) -> bool:
        """Is the memory of a leaf's gradient that of another tensor, too, which the next backward changes with it?"""
        named = [t for _, t in self.tensors()]
        grads = [t.grad for t in named if not t._is_view() and t.is_leaf and t.grad is not None]
        if not grads:
            return False
        seen = [t for t in self.names["seen"] if isinstance(t, self.names["torch"].Tensor)]
        places = Counter(t.untyped_storage()._cdata for t in {id(t): t for t in [*named, *grads, *seen]}.values())
        return any(places[grad.untyped_storage()._cdata] > 1 for grad in grads)

    @staticmethod
    def describe(tensor: Any, counted: bool) -> dict[str, Any]:
        found: dict[str, Any] = {"values": tensor.detach().tolist(), "shape": tuple(tensor.shape)}
        keys = ("requires_grad", "is_leaf", "_version", "grad_fn", "grad", "output_nr", "retains_grad")
        # Copies of inference tensors start at version 1 in PyTorch.
        for key in keys if counted else [key for key in keys if key != "_version"]:
            try:
                value = getattr(tensor, key)
            except RuntimeError as error:
                value = f"{type(error).__name__}: {first_sentence(str(error))}"
            if key == "grad_fn" and value is not None and not isinstance(value, str):
                # Which of several rules of one name it is, tests/ops compares.
                value = value.name().rstrip("0123456789")
            if key == "grad":
                value = None if value is None else value.detach().clone().tolist()
            found[key] = value
        return found


def first_sentence(message: str) -> str:
    """The part of a message that users search for: the first sentence of its first line."""
    line = message.split("\n")[0] if message else ""
    # PyTorch names the node that made the tensor by what of its graph is still alive: not compared here.
    line = re.sub(r", which is output \d+ of [\w:.]+,", "", line)
    line = re.split(r"(?<=[a-z\])])\. |(?<=instead)\.|; ?(?=expected)", line)[0]
    return line.rstrip(".")


def same(a: Any, b: Any) -> bool:
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, float) and isinstance(b, float):
        return a == b or (a != a and b != b) or abs(a - b) <= 1e-8 + 1e-6 * abs(b)
    return type(a) is type(b) and a == b


def differences(ours: dict[str, Any], theirs: dict[str, Any]) -> list[str]:
    return [
        f"{key}: ours {ours.get(key, 'missing')}, torch {theirs.get(key, 'missing')}"
        for key in dict.fromkeys([*theirs, *ours])
        if not same(ours.get(key, "missing"), theirs.get(key, "missing"))
    ]


def compared(ours: Runner, theirs: Runner) -> list[str]:
    """The differences at the end."""
    expected = theirs.state()
    if any("INTERNAL ASSERT" in value for value in expected.values() if isinstance(value, str)):
        raise NotDefined
    return differences(ours.state(), expected)


def run_both(bulssi: Any, torch: Any, lines: list[str]) -> list[str]:
    """The differences of a given program."""
    ours, theirs = Runner(bulssi), Runner(torch)
    try:
        return run_lines(ours, theirs, lines)
    finally:
        ours.close()
        theirs.close()


def run_lines(ours: Runner, theirs: Runner, lines: list[str]) -> list[str]:
    found = []
    for line in lines:
        code = compile(line, "<program>", "exec")
        a, b = ours.line(code), theirs.line(code)
        if "INTERNAL ASSERT" in b or theirs.shares_gradients():
            return []
        if a == b and b.startswith("RuntimeError: Inplace update to inference tensor"):
            return []
        if a != b:
            found.append(f"`{line}`: ours {a or 'no error'}, torch {b or 'no error'}")
            if not a or not b:
                return found  # they go different ways from here
    try:
        return found + compared(ours, theirs)
    except NotDefined:
        return []


def shortened(bulssi: Any, torch: Any, lines: list[str]) -> list[str]:
    """A shorter program on which the libraries still differ, first in the same way."""
    found = run_both(bulssi, torch, lines)
    if not found:
        raise AssertionError("a difference that comes and goes:\n" + "\n".join(lines))
    kind = kind_of(found[0])
    changed = True
    while changed:
        changed = False
        for i in reversed(range(len(lines))):
            fewer = lines[:i] + lines[i + 1 :]
            found = run_both(bulssi, torch, fewer)
            if found and kind_of(found[0]) == kind:
                lines, changed = fewer, True
    return lines


# ---- making programs -------------------------------------------------------------------------------------------------


def try_program(bulssi: Any, torch: Any, seed: int) -> tuple[list[str], list[str]]:
    """A program and the differences found when it ran."""
    ours, theirs = Runner(bulssi), Runner(torch)
    try:
        return make_program(ours, theirs, seed)
    finally:
        ours.close()
        theirs.close()


def make_program(ours: Runner, theirs: Runner, seed: int) -> tuple[list[str], list[str]]:
    make = Generator(seed, theirs)
    lines: list[str] = []
    found: list[str] = []

    def run(line: str) -> bool:
        lines.append(line)
        code = compile(line, "<program>", "exec")
        b, a = theirs.line(code), ours.line(code)
        if "INTERNAL ASSERT" in b or theirs.shares_gradients():
            raise NotDefined
        if a != b:
            found.append(f"`{line}`: ours {a or 'no error'}, torch {b or 'no error'}")
        elif b.startswith("RuntimeError: Inplace update to inference tensor"):
            raise NotDefined
        return a == b

    for _ in range(make.rng.randint(1, 3)):
        run(make.leaf())
        if make.rng.random() < 0.7:
            run(f"{make.fresh()} = {make.leaves[-1]} * 1")
    for _ in range(make.rng.randint(4, 16)):
        line = make.step()
        if line is not None and not run(line):
            return lines, found
        if any(out_of_range(t) for _, t in theirs.tensors() if t.dtype == make.double()):
            break
    for line in make.gradients():
        if not run(line):
            return lines, found
    return lines, compared(ours, theirs)


def out_of_range(t: Any) -> bool:
    """Is a value too large, or so close to zero that its sign is chance?"""
    size = t.detach().abs()
    return bool((~(size < LARGEST) | ((size > 0) & (size < SMALLEST))).any())


def kind_of(difference: str) -> str:
    """What a difference is about, to count them."""
    if difference.startswith("`"):
        return "error: " + re.sub(r"\bt\d+\b|\d+", "#", difference.split("`: ", 1)[1])[:150]
    return re.sub(r"\d+", "#", difference.split(":")[0])


def fuzz(bulssi: Any, torch: Any, first: int, programs: int, seconds: float, show: bool) -> Counter[str]:
    """Try programs with seeds from `first` on; counts differences by kind and shows the first of each."""
    counts: Counter[str] = Counter()
    end = time.monotonic() + seconds
    for seed in range(first, first + programs):
        if time.monotonic() > end:
            break
        try:
            lines, found = try_program(bulssi, torch, seed)
        except NotDefined:
            continue
        counts["programs"] += 1
        if show:
            print("\n".join(lines))
        if found:  # lines are chosen by looking at PyTorch's tensors, which may change them: what counts is the program
            found = run_both(bulssi, torch, lines)
        if not found:
            continue
        kind = kind_of(found[0])
        counts[kind] += 1
        if counts[kind] == 1:
            lines = shortened(bulssi, torch, lines)
            print(f"--- seed {seed}: {kind}\n" + "\n".join(lines))
            print("\n".join("    " + d for d in run_both(bulssi, torch, lines)[:4]), flush=True)
    return counts


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--programs", type=int, default=20000, help="how many (default 20000)")
    parser.add_argument("--seed", type=int, default=0, help="of the first program (default 0)")
    parser.add_argument("--seconds", type=float, default=math.inf, help="stop after this time")
    parser.add_argument("--show", action="store_true", help="print every program")
    options = parser.parse_args(arguments)
    import torch

    import bulssi

    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    counts = fuzz(bulssi, torch, options.seed, options.programs, options.seconds, options.show)
    print(dict(counts.most_common()))
    return 0 if set(counts) <= {"programs"} else 1


if __name__ == "__main__":
    sys.exit(main())
