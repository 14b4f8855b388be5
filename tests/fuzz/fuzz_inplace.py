"""Random programs of views and in-place operations, run with Bulssi and with PyTorch, and compared.

A program is a list of lines of Python. Its generator runs each line with PyTorch first, so that it can choose the next
from shapes and values; then the same line runs with Bulssi. Compared are, for every line, the kind of error and the
first sentence of its message; at the end, for every tensor, values, requires_grad, is_leaf, version and the name of
grad_fn; then the gradients of one tensor with respect to all leaves, and their gradients. A program is decided by its
seed alone. When both differ, the program is shortened as long as they still differ, and shown.

    python tests/fuzz/fuzz_inplace.py --programs 20000 --seed 0
    python tests/fuzz/fuzz_inplace.py --programs 1 --seed 1234 --show

Left out on purpose, because PyTorch itself does not define them: operands that overlap the written tensor without
being it, writing to a tensor some of whose elements share memory, and what ends in an internal assertion of PyTorch.
"""

from __future__ import annotations

import argparse
import itertools
import math
import random
import re
import sys
import time
import warnings
from collections import Counter
from typing import Any

SHAPES = [(3, 3), (3, 3), (2, 3), (4,), (2, 2, 3), (1, 3), ()]
LARGEST = 50.0  # no value may leave this range, so that both libraries round alike


# ---- running ---------------------------------------------------------------------------------------------------------


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
        """Forget everything: hooks see these names, and the names' tensors hold the hooks."""
        self.names.clear()

    def tensors(self) -> list[tuple[str, Any]]:
        kind = self.names["torch"].Tensor
        return [(name, value) for name, value in self.names.items() if isinstance(value, kind)]

    def state(self) -> dict[str, Any]:
        """Everything that is compared at the end, by name."""
        seen: dict[str, Any] = {}
        for name, value in list(self.names.items()):
            if isinstance(value, self.names["torch"].Tensor):
                seen.update({f"{name}.{key}": found for key, found in self.describe(value).items()})
            elif isinstance(value, (tuple, list)) and name in ("first", "second", "seen"):
                for i, item in enumerate(value):
                    if hasattr(item, "tolist"):
                        seen[f"{name}[{i}]"] = item.detach().clone().tolist()
                        seen[f"{name}[{i}].requires_grad"] = item.requires_grad
                        seen[f"{name}[{i}].shape"] = tuple(item.shape)
                    else:
                        seen[f"{name}[{i}]"] = item
        return seen

    @staticmethod
    def describe(tensor: Any) -> dict[str, Any]:
        found: dict[str, Any] = {"values": tensor.detach().tolist(), "shape": tuple(tensor.shape)}
        for key in ("requires_grad", "is_leaf", "_version", "grad_fn", "grad", "output_nr", "retains_grad"):
            try:
                value = getattr(tensor, key)
            except RuntimeError as error:
                value = f"{type(error).__name__}: {first_sentence(str(error))}"
            if key == "grad_fn" and value is not None and not isinstance(value, str):
                # Which of several rules of one name it is, tests/ops compares.
                value = value.name().rpartition("::")[2].rstrip("0123456789")
            if key == "grad":
                value = None if value is None else value.detach().clone().tolist()
            found[key] = value
        return found


def functions_of(library: Any) -> dict[str, Any]:
    """Operations with a derivative of their own: one that writes into its input, one that returns a view of it."""

    class Twice(library.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            x.mul_(2)
            ctx.mark_dirty(x)
            return x

        @staticmethod
        def backward(ctx: Any, grad: Any) -> Any:
            return grad * 2

    class TimesInto(library.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any, y: Any) -> Any:
            ctx.save_for_backward(x.clone(), y)
            x.mul_(y)
            ctx.mark_dirty(x)
            return x

        @staticmethod
        def backward(ctx: Any, grad: Any) -> Any:
            x, y = ctx.saved_tensors
            return grad * y, grad * x

    class Square(library.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        def backward(ctx: Any, grad: Any) -> Any:
            (x,) = ctx.saved_tensors
            return 2 * x * grad

    class First(library.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x.view_as(x)

        @staticmethod
        def backward(ctx: Any, grad: Any) -> Any:
            return grad * 3

    return {f.__name__: f for f in (Twice, TimesInto, Square, First)}


def first_sentence(message: str) -> str:
    """The part of a message that users search for: the first sentence of its first line."""
    line = message.split("\n")[0] if message else ""
    # PyTorch names the node that made the tensor by what of its graph is still alive: not compared here.
    line = re.sub(r", which is output \d+ of [\w:]+,", "", line)
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
        if "INTERNAL ASSERT" in b:
            return []
        if a != b:
            found.append(f"`{line}`: ours {a or 'no error'}, torch {b or 'no error'}")
            if not a or not b:
                return found  # they go different ways from here
    return found + differences(ours.state(), theirs.state())


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


def overlaps_itself(t: Any) -> bool:
    """Do some elements share memory?"""
    steps = [range(0, n * s if s else 1, s or 1) if n > 1 else (0,) for n, s in zip(t.shape, t.stride(), strict=True)]
    if any(n > 1 and s == 0 for n, s in zip(t.shape, t.stride(), strict=True)):
        return True
    places = [sum(place) for place in itertools.product(*steps)]
    return len(set(places)) < len(places)


def is_expanded(t: Any) -> bool:
    return any(n > 1 and s == 0 for n, s in zip(t.shape, t.stride(), strict=True))


def overlap(a: Any, b: Any) -> bool:
    """Do two tensors share memory without being the same view?"""
    if a.untyped_storage().data_ptr() != b.untyped_storage().data_ptr():
        return False
    alike = a.data_ptr() == b.data_ptr() and a.shape == b.shape and a.stride() == b.stride()
    return not alike


def nested(values: list[float], shape: tuple[int, ...]) -> Any:
    """The values as nested lists of that shape."""
    if not shape:
        return values[0]
    size = len(values) // shape[0]
    return [nested(values[i * size : (i + 1) * size], shape[1:]) for i in range(shape[0])]


class Generator:
    """Chooses lines by a seed and by the tensors that PyTorch has so far."""

    def __init__(self, seed: int, runner: Runner) -> None:
        self.rng = random.Random(seed)
        self.runner = runner
        self.count = 0
        self.leaves: list[str] = []

    def fresh(self) -> str:
        self.count += 1
        return f"t{self.count - 1}"

    def leaf(self) -> str:
        shape = self.rng.choice(SHAPES)
        values = [round(self.rng.uniform(0.2, 1.8), 3) for _ in range(math.prod(shape))]
        name = self.fresh()
        flag = ", requires_grad=True" if self.rng.random() < 0.65 else ""
        self.leaves.append(name)
        return f"{name} = torch.tensor({nested(values, shape)}, dtype=torch.float64{flag})"

    def pick(self) -> tuple[str, Any]:
        named = [(n, t) for n, t in self.runner.tensors() if n.startswith("t") and t.dtype == self.double()]
        # Most changes of leaves are errors: let programs work on what was made of them.
        derived = [(n, t) for n, t in named if n not in self.leaves]
        if derived and self.rng.random() < 0.9:
            named = derived
        return self.rng.choice(named[-6:] if self.rng.random() < 0.5 else named)

    def double(self) -> Any:
        return self.runner.names["torch"].float64

    def like(self, t: Any) -> str | None:
        """A tensor that broadcasts to t; None if there is none."""
        shape = tuple(t.shape)
        fits = []
        for name, other in self.runner.tensors():
            if not name.startswith("t") or other.dtype != self.double() or other.dim() > len(shape):
                continue
            if all(m in (1, n) for m, n in zip(reversed(other.shape), reversed(shape), strict=False)):
                fits.append(name)
        return self.rng.choice(fits) if fits else None

    # -- kinds of lines; each gives a line, or None if it does not apply

    def view(self) -> str | None:
        name, t = self.pick()
        r, dim, shape = self.rng, t.dim(), tuple(t.shape)
        if t.numel() == 0:
            return None
        made = [f"{name}.detach()", f"{name}.view_as({name})", f"{name}.unsqueeze(0)", f"{name}.unsqueeze(-1)"]
        made += [f"{name}.squeeze()", f"{name}[None]", f"{name}[...]", f"{name}.reshape(-1)", f"{name}.view(-1)"]
        made += [f"{name}.view({shape})", f"{name}.contiguous()", f"{name}.flatten()", f"{name}.data"]
        if dim >= 1:
            d = r.randrange(dim)
            n = shape[d]
            i, j = sorted((r.randrange(n), r.randrange(n)))
            made += [f"{name}[{r.randrange(shape[0])}]", f"{name}[{-r.randint(1, shape[0])}]"]
            made += [
                f"{name}[{r.randrange(shape[0])}:]",
                f"{name}[::2]",
                f"{name}[..., {i}:{j + 1}]" if d == dim - 1 else f"{name}[1:]",
            ]
            made += [f"{name}.select({d}, {i})", f"{name}.narrow({d}, {i}, {j - i + 1})", f"{name}[..., -1]"]
            made += [f"{name}.transpose({d}, {r.randrange(dim)})", f"{name}.squeeze({d})", f"{name}.movedim({d}, 0)"]
            made += [f"{name}.expand(2, *{shape})", f"{name}.unsqueeze({d}).expand({[*shape[:d], 2, *shape[d:]]})"]
            made += [f"{name}.unfold({d}, {max(1, n - 1)}, 1)", f"{name}.permute({r.sample(range(dim), dim)})"]
            made += [f"{name}.as_strided({shape}, {tuple(t.stride())}, {t.storage_offset()})"]
            made += [f"{name}.swapaxes(0, {d})", f"{name}.unflatten({d}, (1, -1))", f"{name}.view_as({name})"]
            made.append(f"{name}[{r.randrange(shape[0])}:][None]")
            made += [f"{name}.tile(2)", f"{name}.broadcast_to(2, *{shape})", f"torch.atleast_2d({name})"]
            made += [f"{name}.flip({d})", f"{name}.roll(1, {d})", f"{name}.reshape(*{shape}, 1)", f"{name}.ravel()"]
            made += [f"First.apply({name})", f"{name}.adjoint()" if dim > 1 else f"{name}.squeeze(0)"]
            made += [f"{name}.index_select({d}, torch.tensor([{i}, {j}]))", f"{name}[{name} > 0.5]"]
        if dim >= 2:
            made += [f"{name}.diagonal(0, 0, -1)", f"{name}.flatten(0, 1)", f"{name}[..., None, 0]", f"{name}.mT"]
            made += [f"{name}.swapdims(0, 1)[0]", f"{name}.unfold(0, 1, 1)", f"{name}[:, -1:]", f"{name}[0, ..., 0]"]
        if dim == 2:
            made += [
                f"{name}.t()",
                f"{name}.T",
                f"{name}.diagonal()",
                f"{name}.mT",
                f"{name}[:, {r.randrange(shape[1])}]",
            ]
        if t.numel() % 2 == 0:
            made += [f"{name}.view(2, -1)", f"{name}.reshape(-1, 2)"]
        line = f"{self.fresh()} = {r.choice(made)}"
        return f"with torch.no_grad(): {line}" if r.random() < 0.08 else line

    def several_views(self) -> str | None:
        name, t = self.pick()
        if t.dim() == 0 or t.numel() == 0:
            return None
        d = self.rng.randrange(t.dim())
        call = self.rng.choice(
            [f"unbind({d})", f"split(2, {d})", f"chunk(2, {d})", f"split(1, {d})", f"tensor_split(2, {d})"]
            + [f"split([1, {t.shape[d] - 1}], {d})", f"tensor_split([1], {d})", "unbind()"]
        )
        count = len(eval(f"t.{call}", {"t": t.detach()}))
        names = ", ".join(self.fresh() for _ in range(count))
        return f"{names}, = {name}.{call}"

    def new_tensor(self) -> str | None:
        name, t = self.pick()
        other = self.like(t)
        r = self.rng
        made = [f"{name} + {other}", f"{name} * {other}", f"{name} - {other}", f"{name}.sin()", f"{name}.tanh()"]
        made += [f"{name} * 0.5", f"1.5 - {name}", f"{name}.clone()", f"{name}.neg()", f"{name}.cos()", f"{name}.sum()"]
        made += [f"torch.where({name} > 0.5, {name}, {other})", f"{name}.sigmoid()", f"torch.stack([{name}, {name}])"]
        made += [f"Square.apply({name})", f"{name}.exp().clamp(max=9.0)", f"{name}.expm1().tanh()", f"{name}.square()"]
        made += [f"{name}.clamp(-0.5, 0.7)", f"torch.maximum({name}, {other})", f"{name}.relu()", f"{name}.detach()"]
        made += [f"torch.lerp({name}, {other}, 0.25)", f"{name}.erf()", f"{name}.mean()", f"{name}.abs()"]
        made += [
            f"torch.addcmul({name}, {other}, {other}, value=0.5)",
            f"{name}.logsumexp(-1)",
            f"{name}.sinh().tanh()",
        ]
        made += [f"torch.nn.functional.softplus({name})", f"{name}.masked_fill({name}.detach() > 0.7, 0.25)"]
        if t.dim():
            d = r.randrange(t.dim())
            made += [f"{name}.sum({d})", f"torch.cat([{name}, {name}], {d})", f"{name}.cumsum({d})"]
            made += [f"{name}.softmax({d})", f"{name}.amax({d})", f"{name}.max({d})[0]", f"{name}.log_softmax({d})"]
            made += [
                f"{name}.prod({d})",
                f"{name}.norm(dim={d})",
                f"{name}.sort({d})[0]",
                f"{name}.var({d}, correction=0)",
            ]
        if t.dim() == 2 and t.shape[0] == t.shape[1]:
            made.append(f"({name} @ {name}) * 0.3")
        if t.dim() and t.shape[0] > 1:
            made.append(f"{name}[[0, 1]]")
        return f"{self.fresh()} = {r.choice(made)}"

    def writable(self, name: str, t: Any) -> bool:
        return t.numel() > 0 and (is_expanded(t) or not overlaps_itself(t))

    def inplace(self) -> str | None:
        name, t = self.pick()
        if not self.writable(name, t):
            return None
        r, values = self.rng, t.detach()
        other = self.like(t)
        o = self.runner.names[other]
        scalar = round(r.uniform(-1.5, 1.5), 2)
        lines = [
            "sin_()",
            "tanh_()",
            "neg_()",
            "sigmoid_()",
            "cos_()",
            "zero_()",
            f"fill_({scalar})",
            f"mul_({scalar})",
            "t_()" if t.dim() == 2 else "sin_()",
            "unsqueeze_(0)",
            "squeeze_()",
            "expm1_().clamp_(-1.0, 1.0)",
            "erf_().sin_()",
            "clamp_(min=-0.3)",
            f"div_({abs(scalar) + 0.5})",
            "neg_()" if t.dim() == 0 else "transpose_(0, -1)",
            "sinh_().tanh_()",
            "floor_()",
            "sign_()",
            "detach().mul_(0.5)",
            "data.add_(0.25)",
        ]
        if t.dim():
            d = r.randrange(t.dim())
            k = r.randrange(t.shape[d])
            index = f"torch.tensor([{k}])"
            lines += [
                f"index_fill_({d}, {index}, {scalar})",
                f"index_add_({d}, {index}, {name}.narrow({d}, 0, 1).clone())",
            ]
            lines += [f"index_copy_({d}, {index}, {name}.narrow({d}, 0, 1).clone())", f"cumsum_({d})"]
            lines += [f"scatter_({d}, torch.zeros({tuple(t.shape)}, dtype=torch.int64), {scalar})"]
            lines += [f"scatter_add_({d}, torch.zeros({tuple(t.shape)}, dtype=torch.int64), {name}.clone())"]
            lines += [
                f"index_put_((torch.tensor([{k if d == 0 else 0}]),), torch.tensor({scalar}, dtype=torch.float64))"
            ]
            lines += [f"masked_scatter_({name} > 0.4, {name}.clone())"]
        lines += [f"add_({scalar})", f"sub_({scalar})", f"masked_fill_({name} > 0.4, {scalar})", "clamp_(-0.5, 0.9)"]
        lines += ["abs_()", "relu_()", f"masked_fill_({name}.detach() < 0.4, {scalar})", "erf_()"]
        if values.abs().max() < 2:
            lines += ["exp_()", "square_()", "pow_(2)", "pow_(3)"]
        if values.min() > 0.1:
            lines += ["sqrt_()", "log_()", "reciprocal_()"]
        calls = [f"{name}.{line}" for line in lines]
        calls += [f"Twice.apply({name})", f"{self.fresh()} = Twice.apply({name})"]
        if not overlap(t, o):
            calls += [f"{name}.{op}_({other})" for op in ("add", "mul", "sub", "copy", "copy", "add", "mul")] * 2
            calls += [f"{name}.add_({other}, alpha={scalar})", f"{name}.lerp_({other}.expand_as({name}), 0.3)"]
            calls += [f"{name} += {other}", f"{name} *= {other}", f"{name} -= {other}", f"{name}[...] = {other}"]
            calls += [
                f"{name}.addcmul_({other}, {other})",
                f"{name}.atan2_({other})",
                f"TimesInto.apply({name}, {other}.expand_as({name}).clone())",
            ]
            calls += [f"{name}.fill_({other}.sum())"]
            calls += [
                f"{name}.masked_fill_({name} > 0.3, {other}.mean())",
                f"{name}.addcdiv_({other}, {other} * 0 + 2)",
            ]
            if o.detach().abs().min() > 0.2:
                calls += [f"{name}.div_({other})", f"{name} /= {other}"]
        line = r.choice(calls)
        if any(f".{changed}_(" in line for changed in ("t", "transpose", "squeeze", "unsqueeze")):
            return line  # a new shape of which the graph does not know is not defined
        if r.random() < 0.03:
            return f"with torch.inference_mode(): {line}"
        return f"with torch.no_grad(): {line}" if r.random() < 0.1 else line

    def assignment(self) -> str | None:
        name, t = self.pick()
        if t.dim() == 0 or not self.writable(name, t):
            return None
        r, shape = self.rng, tuple(t.shape)
        i = r.randrange(shape[0])
        index = r.choice(
            [f"{i}", f"{i}:", "::2", f"..., {r.randrange(shape[-1])}", f"{name} > 0.5", f"[{i}]", "..., :1"]
        )
        part = eval(f"t[{index}]", {"t": t.detach(), name: t.detach()})
        value = str(round(r.uniform(-1, 1), 2))
        if part.numel() and ">" not in index and r.random() < 0.6:
            source = self.like(part)
            if source is not None:
                if overlap(t, self.runner.names[source]) or self.runner.names[source] is t:
                    return None
                value = source
        return f"{name}[{index}] = {value}"

    def other(self) -> str | None:
        name, t = self.pick()
        choices = [f"seen += {name}.requires_grad, {name}.is_leaf, {name}.grad_fn is None", f"{name}.requires_grad_()"]
        choices += [f"{name}.requires_grad_(False)", f"{name}.detach_()", f"{name}.retain_grad()", f"{name}.grad_fn"]
        if not t._is_view():  # PyTorch crashes for a view that requires grad, but has no producer
            hooks = ["lambda g: g * 2", "lambda g: seen.append(g.detach())"]
            choices += [f"{name}.register_hook({hook})" for hook in hooks]
        choices += [f"seen.append(torch.autograd.grad({name}.sum(), {name}, retain_graph=True)[0])"]
        choices += [f"del {name}"] if name not in self.leaves else []
        choices += [f"{name}.sum().backward(retain_graph=True)", f"({name} * {name}).sum().backward(retain_graph=True)"]
        choices += [f"{name}.grad_fn.register_prehook(lambda g: None)"]
        return self.rng.choice(choices)

    def step(self) -> str | None:
        x = self.rng.random()
        for share, kind in [
            (0.33, self.view),
            (0.38, self.several_views),
            (0.56, self.new_tensor),
            (0.87, self.inplace),
            (0.95, self.assignment),
            (1.01, self.other),
        ]:
            if x < share:
                return kind()
        raise AssertionError

    def gradients(self) -> list[str]:
        """The first and second gradients of one tensor, in one of two ways."""
        named = [(n, t) for n, t in self.runner.tensors() if n.startswith("t") and t.numel()]
        wanting = [n for n, t in named if t.requires_grad]
        target = self.rng.choice(wanting or [n for n, _ in named])
        leaves = [n for n in self.leaves if self.runner.names[n].requires_grad and self.runner.names[n].is_leaf]
        if self.rng.random() < 0.4 or not leaves:
            again = f"({target} * 2).sum().backward()" if self.rng.random() < 0.3 else "None"
            return [f"({target} * {target}.detach().cos()).sum().backward()", again]
        listed = ", ".join(leaves)
        return [
            f"first = torch.autograd.grad(({target} * {target}.detach().cos()).sum(), [{listed}], create_graph=True, "
            "allow_unused=True)",
            f"squares = sum(((x * x).sum() for x in first if x is not None), ({leaves[0]} * 0).sum())",
            f"second = torch.autograd.grad(squares, [{listed}], allow_unused=True)",
            f"({target} * 2).sum().backward()" if self.rng.random() < 0.2 else "None",
        ]


class NotDefined(Exception):
    """PyTorch does not say what the program means."""


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
        if "INTERNAL ASSERT" in b:
            raise NotDefined
        if a != b:
            found.append(f"`{line}`: ours {a or 'no error'}, torch {b or 'no error'}")
        return a == b

    for _ in range(make.rng.randint(1, 3)):
        run(make.leaf())
        if make.rng.random() < 0.7:
            run(f"{make.fresh()} = {make.leaves[-1]} * 1")
    for _ in range(make.rng.randint(4, 16)):
        line = make.step()
        if line is not None and not run(line):
            return lines, found
        if any(
            t.numel() and not bool((t.detach().abs() < LARGEST).all())
            for _, t in theirs.tensors()
            if t.dtype == make.double()
        ):
            break
    for line in make.gradients():
        if not run(line):
            return lines, found
    return lines, differences(ours.state(), theirs.state())


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
