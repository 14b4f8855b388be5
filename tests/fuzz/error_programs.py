"""Calls that are right but for one thing: the programs of `fuzz_errors.py`.

Right calls are PyTorch's own samples of its operators (function, method, in-place and with out=), and the expressions
of `right_calls.txt`. One argument is then changed so that the call is wrong, or nearly so. Everything is made with
PyTorch and written down as lines of Python, so that both libraries run the same text.
"""

from __future__ import annotations

import ast
import operator
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

MOST_ELEMENTS = 30  # of a tensor that is written down
SAMPLES = 12  # of an operator and dtype
SAMPLE_DTYPES = (torch.float32, torch.float64, torch.int64, torch.bool)
DTYPES = [torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.uint8, torch.bool]
DTYPES += [torch.float32, torch.int8]

# Operators that no right call of a program of the core needs: sparse and private ones, and what waits or writes files.
LEFT_OUT = re.compile(r"sparse|^_|^torch\.|jiterator|^masked\.|signal\.|to_sparse|mkldnn|quantiz|native_|^fft\.|stft")


@dataclass(frozen=True)
class Text:
    """An argument that is written as it stands, and the lines that it needs."""

    text: str
    needs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Call:
    """A call: of a function by its path, of a method of the first argument, or an index."""

    form: str  # "function", "method", "get" or "set"
    path: str
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)

    def lines(self) -> list[str]:
        """The program: tensors by name, then the call."""
        lines: list[str] = []
        seen: dict[int, str] = {}
        args = [spelled(value, lines, seen) for value in self.args]
        named = [f"{name}={spelled(value, lines, seen)}" for name, value in self.kwargs.items()]
        if self.form == "get":
            return [*lines, f"r = {args[0]}[{', '.join(args[1:])}]"]
        if self.form == "set":
            return [*lines, f"{args[0]}[{', '.join(args[1:-1])}] = {args[-1]}"]
        if self.form == "method":
            return [*lines, f"r = {args[0]}.{self.path}({', '.join(args[1:] + named)})"]
        return [*lines, f"r = {self.path}({', '.join(args + named)})"]

    def slots(self) -> Iterator[tuple[tuple[Any, ...], Any]]:
        """Where an argument, or an element of one, stands, and its value."""
        for key, value in [*enumerate(self.args), *self.kwargs.items()]:
            yield (key,), value
            if isinstance(value, (list, tuple)):
                for i, item in enumerate(value):
                    yield (key, i), item

    def at(self, place: tuple[Any, ...], value: Any) -> Call:
        """The call with another value there."""
        key = place[0]
        old = self.args[key] if isinstance(key, int) else self.kwargs[key]
        if len(place) == 2:
            items = list(old)
            items[place[1]] = value
            value = type(old)(items) if type(old) in (list, tuple) else tuple(items)
        if isinstance(key, int):
            return replace(self, args=(*self.args[:key], value, *self.args[key + 1 :]))
        return replace(self, kwargs={**self.kwargs, key: value})


# ---- writing down ----------------------------------------------------------------------------------------------------


def number(value: Any) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(map(number, value)) + "]"
    return f"{value:.5g}" if isinstance(value, float) and abs(value) < 1e30 else repr(value)


def spelled_tensor(value: torch.Tensor) -> str:
    plain = value.detach()
    if plain.is_meta:
        return f"torch.zeros({tuple(plain.shape)}, dtype={plain.dtype}, device='meta')"
    if plain.numel() == 0:
        text = f"torch.zeros({tuple(plain.shape)}, dtype={plain.dtype})"
    else:
        text = f"torch.tensor({number(plain.resolve_conj().tolist())}, dtype={plain.dtype})"
    if type(value) is torch.nn.Parameter:
        return f"torch.nn.Parameter({text})"
    return text + (".requires_grad_()" if value.requires_grad else "")


def spelled(value: Any, lines: list[str], seen: dict[int, str]) -> str:
    """How an argument is written; tensors get a line and a name."""
    if isinstance(value, Text):
        lines.extend(line for line in value.needs if line not in lines)
        return value.text
    if isinstance(value, torch.Tensor):
        if id(value) not in seen:
            seen[id(value)] = "abcdefghijklmnop"[len(seen)] if len(seen) < 16 else f"t{len(seen)}"
            lines.append(f"{seen[id(value)]} = {spelled_tensor(value)}")
        return seen[id(value)]
    if isinstance(value, (list, tuple)):
        items = [spelled(item, lines, seen) for item in value]
        if isinstance(value, list):
            return "[" + ", ".join(items) + "]"
        return "(" + ", ".join(items) + ("," if len(items) == 1 else "") + ")"
    if isinstance(value, slice):
        return f"slice({', '.join(spelled(x, lines, seen) for x in (value.start, value.stop, value.step))})"
    if isinstance(value, torch.device):
        return f"torch.device({str(value)!r})"
    return "..." if value is ... else repr(value)


def can_be_spelled(value: Any) -> bool:
    if isinstance(value, torch.Tensor):
        return value.layout is torch.strided and value.numel() <= MOST_ELEMENTS and value.device.type == "cpu"
    if isinstance(value, (list, tuple)):
        return len(value) < 8 and all(map(can_be_spelled, value))
    if isinstance(value, slice):
        return can_be_spelled((value.start, value.stop, value.step))
    plain = (bool, int, float, complex, str, Text, torch.dtype, torch.device, torch.layout, torch.memory_format)
    return value is None or value is ... or isinstance(value, plain)


# ---- right calls -----------------------------------------------------------------------------------------------------


def resolve(path: str) -> Any:
    found: Any = torch
    for part in path.split("."):
        found = getattr(found, part, None)
    return found


def calls_of_sample(op: Any, sample: Any) -> Iterator[Call]:
    """A sample of an operator as a function, as a method and in place."""
    args = (sample.input, *sample.args)
    if not can_be_spelled(args) or not all(map(can_be_spelled, sample.kwargs.values())):
        return
    if callable(resolve(op.name)):
        yield Call("function", f"torch.{op.name}", args, sample.kwargs)
    plain = op.name.split(".")[-1]
    if isinstance(sample.input, torch.Tensor):
        if op.method_variant and hasattr(torch.Tensor, plain):
            yield Call("method", plain, args, sample.kwargs)
        if op.inplace_variant and hasattr(torch.Tensor, plain + "_"):
            yield Call("method", plain + "_", args, sample.kwargs)


CONSTANTS = {
    "f": torch.arange(6.0).reshape(2, 3) / 4,
    "d": torch.arange(4.0, dtype=torch.float64).reshape(2, 2),
    "v": torch.tensor([0.5, -1.0, 2.0]),
    "s": torch.tensor(1.5),
    "i": torch.tensor([1, 0, 1]),
    "j": torch.tensor([[0, 2, 1], [1, 0, 2]]),
    "b": torch.tensor([[True, False, True], [False, True, True]]),
    "m": torch.tensor([True, False, True]),
    "q": torch.tensor([[2.0, 0.5], [0.5, 1.0]]),
    "x": torch.arange(32.0).reshape(1, 2, 4, 4) / 8,
    "g": torch.tensor([1.0, 2.0, 3.0], requires_grad=True),
    "e": torch.zeros(0, 3),
}
GRAPH = ("g = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)", "y = (g * g).sum()", "z = g * 2")
# Names that stand for more than a value: with the lines that make them.
MADE = {
    "y": Text("y", GRAPH),
    "z": Text("z", GRAPH),
    "leaf": Text("g", GRAPH[:1]),
    "gen": Text("gen", ("gen = torch.Generator()",)),
    "square": Text("(lambda t: (t * t).sum())"),
    "cube": Text("(lambda t: t ** 3)"),
    "inner": Text("(lambda t, u: (t * u).sum())"),
    "hook": Text("(lambda grad: grad * 2)"),
}


def written_value(node: ast.expr) -> Any:
    """The value of an argument as it is written in `right_calls.txt`."""
    if isinstance(node, ast.Name) and node.id in MADE:
        return MADE[node.id]
    if isinstance(node, (ast.Tuple, ast.List)):
        items = [written_value(item) for item in node.elts]
        return tuple(items) if isinstance(node, ast.Tuple) else items
    if isinstance(node, ast.Slice):
        return slice(*[part and written_value(part) for part in (node.lower, node.upper, node.step)])
    value = eval(compile(ast.Expression(node), "<right call>", "eval"), {"torch": torch, **CONSTANTS})
    return value if can_be_spelled(value) else Text(ast.unparse(node))


def written_call(line: str) -> Call:
    """A line of `right_calls.txt`: a call, a method call, an index read, or an index assigned."""
    statement = ast.parse(line).body[0]
    if isinstance(statement, ast.Assign):
        target = statement.targets[0]
        assert isinstance(target, ast.Subscript)
        return Call("set", "[]", (*index_parts(target), written_value(statement.value)))
    assert isinstance(statement, ast.Expr)
    node = statement.value
    if isinstance(node, ast.Subscript):
        return Call("get", "[]", index_parts(node))
    assert isinstance(node, ast.Call)
    args = tuple(map(written_value, node.args))
    kwargs = {str(keyword.arg): written_value(keyword.value) for keyword in node.keywords}
    path = ast.unparse(node.func)
    if path.startswith(("torch.", "operator.")):
        return Call("function", path, args, kwargs)
    assert isinstance(node.func, ast.Attribute)
    return Call("method", node.func.attr, (written_value(node.func.value), *args), kwargs)


def index_parts(node: ast.Subscript) -> tuple[Any, ...]:
    parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
    return (written_value(node.value), *map(written_value, parts))


class Corpus:
    """The right calls, by operator; samples are made when first wanted."""

    def __init__(self) -> None:
        from torch.testing._internal import common_methods_invocations as database

        database.wrapper_set_seed = lambda op, *args, **kwargs: op(*args, **kwargs)
        self.operators = {
            f"{op.name}|{op.variant_test_name}": op for op in database.op_db if not LEFT_OUT.search(op.name)
        }
        text = Path(__file__).with_name("right_calls.txt").read_text()
        lines = [line for line in text.splitlines() if line and not line.startswith("#")]
        self.written = [written_call(line) for line in lines]
        self.made: dict[str, list[Call]] = {}

    def samples(self, key: str) -> list[Call]:
        """The right calls of an operator, in a fixed order."""
        if key not in self.made:
            op, calls = self.operators[key], []
            for dtype in SAMPLE_DTYPES:
                if dtype not in op.supported_dtypes("cpu"):
                    continue
                torch.manual_seed(0)
                random.seed(0)
                found = [c for sample in op.sample_inputs("cpu", dtype) for c in calls_of_sample(op, sample)]
                calls += found[:: max(1, len(found) // SAMPLES)]
            self.made[key] = calls
        return self.made[key]

    def make_all(self) -> None:
        """Make all samples now, for the processes to come."""
        for key in self.operators:
            self.samples(key)

    def pick(self, rng: random.Random) -> Call | None:
        if rng.random() < 0.35:
            return rng.choice(self.written)
        calls = self.samples(rng.choice(list(self.operators)))
        return rng.choice(calls) if calls else None


def result_of(call: Call) -> Any:
    """What PyTorch gives for a call; raises where it refuses it."""
    names: dict[str, Any] = {"torch": torch, "operator": operator, "nan": float("nan"), "inf": float("inf")}
    torch.manual_seed(0)
    for line in call.lines():
        exec(line, names)
    return names.get("r")


def with_out(call: Call) -> Call | None:
    """The call with tensors of the right kind to write into, if it takes them."""
    if call.form != "function" or "out" in call.kwargs:
        return None
    try:
        result = result_of(call)
        room = empty_like(result)
        made = room is not None and replace(call, kwargs={**call.kwargs, "out": room})
        if made:
            result_of(made)
    except Exception:
        return None
    return made or None


def empty_like(result: Any) -> Any:
    if isinstance(result, torch.Tensor):
        return torch.zeros(result.shape, dtype=result.dtype) if result.numel() <= MOST_ELEMENTS else None
    if isinstance(result, (tuple, list)) and result and all(isinstance(x, torch.Tensor) for x in result):
        room = tuple(map(empty_like, result))
        return None if None in [x if x is None else 0 for x in room] else room
    return None


# ---- one thing wrong -------------------------------------------------------------------------------------------------

# Things that hardly any argument may be, and sizes, names and devices that are not right.
ODD = ["'abc'", "None", "[1, 2]", "1.5", "True", "object()", "[[1], [2, 3]]", "{}", "1j", "torch.float32", "(1.5,)"]
ODD += ["torch.ones(2)", "b'ab'", "nan", "2**70", "slice(None)", "...", "torch.tensor(1)", "['a']", "()", "int", "3"]
ODD += ["torch.tensor([1, 2])", "torch.tensor(1.5)", "torch.device('cpu')", "[True, False]", "(1, None)", "'mean'"]
ODD += ["-2", "torch.tensor(True)", "[torch.ones(2)]", "torch.Size([2])", "set()", "range(2)", "inf", "0.0"]
ODD += ["torch.ones(2, 2)"]
SIZES = ["-1", "-5", "2**31", "2**40", "2**62", "2**63", "-2**63 - 1", "2**64", "0", "7"]
SPELLINGS = ["abc", "dims", "axi", "Input", "self", "input", "othr", "dtyp", "keep_dim", "inplace", "dim", "other"]
SPELLINGS += ["out"]
DEVICES = ["'cuda'", "'meta'", "'abc'", "'cuda:1'", "'cpu:1'", "torch.device('cuda')", "-1", "'cpu:-1'", "''", "None"]
DEVICES += ["0"]
STRINGS = ["'abc'", "''", "'Mean'", "'sum '", "'none'", "b'mean'"]
NUMBERS = ["nan", "inf", "-inf", "-1.5", "1e300", "1j", "0", "True"]


def is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


class Spoiler:
    """Changes one thing about a right call."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng

    def spoil(self, call: Call, kind: str) -> Call | None:
        """The call with something wrong of this kind, or None where it has nothing of the kind."""
        return getattr(self, "spoil_" + kind)(call)

    def choose(self, call: Call, wanted: Any) -> tuple[tuple[Any, ...], Any] | None:
        found = [(place, value) for place, value in call.slots() if wanted(value)]
        return self.rng.choice(found) if found else None

    def spoil_nothing(self, call: Call) -> Call | None:
        return call

    def spoil_dim(self, call: Call) -> Call | None:
        slot = self.choose(call, is_int)
        if slot is None:
            return None
        n = next((value.dim() for _, value in call.slots() if isinstance(value, torch.Tensor)), 2)
        return call.at(slot[0], self.rng.choice([n, -n - 1, n + 1, 100, -100, -1, 0]))

    def spoil_size(self, call: Call) -> Call | None:
        slot = self.choose(call, is_int)
        return slot and call.at(slot[0], Text(self.rng.choice(SIZES)))

    def spoil_duplicate(self, call: Call) -> Call | None:
        slot = self.choose(call, lambda v: isinstance(v, (list, tuple)) and len(v) > 0)
        if slot is None:
            return None
        items = list(slot[1])
        items = [*items, items[0]] if self.rng.random() < 0.5 else [items[0]] * len(items)
        return call.at(slot[0], type(slot[1])(items))

    def spoil_length(self, call: Call) -> Call | None:
        slot = self.choose(call, lambda v: isinstance(v, (list, tuple)))
        if slot is None:
            return None
        items = list(slot[1])
        items = items[1:] if self.rng.random() < 0.6 else [*items, 1]
        return call.at(slot[0], items if isinstance(slot[1], list) else tuple(items))

    def spoil_shape(self, call: Call) -> Call | None:
        slot = self.choose(call, lambda v: isinstance(v, torch.Tensor))
        if slot is None:
            return None
        t, r = slot[1].detach(), self.rng
        ways: list[Any] = [lambda: t.new_zeros(()), lambda: t.new_zeros(0), lambda: t.new_ones(7), lambda: t[None]]
        if t.dim():
            d = r.randrange(t.dim())
            ways += [lambda: t.select(d, 0) if t.shape[d] else t.sum(d), lambda: torch.cat([t, t], d)]
            ways += [lambda: t.narrow(d, 0, 0), lambda: t.transpose(0, -1), lambda: t.flatten(), lambda: t[..., None]]
            ways += [lambda: t.narrow(d, 0, max(t.shape[d] - 1, 0))]
        made = r.choice(ways)().clone()
        return call.at(slot[0], made) if can_be_spelled(made) else None

    def spoil_dtype(self, call: Call) -> Call | None:
        slot = self.choose(call, lambda v: isinstance(v, (torch.Tensor, torch.dtype)))
        if slot is None:
            return None
        dtype = self.rng.choice(DTYPES)
        return call.at(slot[0], slot[1].detach().to(dtype) if isinstance(slot[1], torch.Tensor) else dtype)

    def spoil_index(self, call: Call) -> Call | None:
        slot = self.choose(call, lambda v: isinstance(v, torch.Tensor) and v.dtype == torch.int64 and v.numel() > 0)
        if slot is None:
            return None
        made = slot[1].clone()
        made.view(-1)[self.rng.randrange(made.numel())] = self.rng.choice([100, -100, 2, 3, -1])
        return call.at(slot[0], made)

    def spoil_missing(self, call: Call) -> Call | None:
        if call.kwargs and self.rng.random() < 0.4:
            gone = self.rng.choice(list(call.kwargs))
            return replace(call, kwargs={k: v for k, v in call.kwargs.items() if k != gone})
        least = 1 if call.form in ("method", "get", "set") else 0
        return replace(call, args=call.args[:-1]) if len(call.args) > least and call.form != "set" else None

    def spoil_extra(self, call: Call) -> Call | None:
        if call.form in ("get", "set"):
            return replace(call, args=(call.args[0], Text(self.rng.choice(ODD)), *call.args[1:]))
        return replace(call, args=(*call.args, Text(self.rng.choice(ODD))))

    def spoil_name(self, call: Call) -> Call | None:
        if call.form in ("get", "set"):
            return None
        name = self.rng.choice(SPELLINGS)
        if call.kwargs and self.rng.random() < 0.6:
            old = self.rng.choice(list(call.kwargs))
            name = old + "s" if self.rng.random() < 0.4 else name
            return replace(call, kwargs={name if k == old else k: v for k, v in call.kwargs.items()})
        value = Text(self.rng.choice(["1", "None", "True", *ODD]))
        return replace(call, kwargs={**call.kwargs, name: value})

    def spoil_type(self, call: Call) -> Call | None:
        slot = self.choose(call, lambda v: True)
        if slot is None or (call.form != "function" and slot[0][0] == 0):
            return None
        return call.at(slot[0], Text(self.rng.choice(ODD)))

    def spoil_string(self, call: Call) -> Call | None:
        slot = self.choose(call, lambda v: isinstance(v, str))
        return slot and call.at(slot[0], Text(self.rng.choice(STRINGS)))

    def spoil_number(self, call: Call) -> Call | None:
        slot = self.choose(call, lambda v: isinstance(v, (int, float, complex)))
        return slot and call.at(slot[0], Text(self.rng.choice(NUMBERS)))

    def spoil_grad(self, call: Call) -> Call | None:
        slot = self.choose(call, lambda v: isinstance(v, torch.Tensor) and v.dtype.is_floating_point)
        return slot and call.at(slot[0], slot[1].detach().clone().requires_grad_())

    def spoil_device(self, call: Call) -> Call | None:
        slot = self.choose(call, lambda v: isinstance(v, torch.Tensor))
        if slot and self.rng.random() < 0.6:
            return call.at(slot[0], slot[1].detach().to("meta"))
        if call.form in ("get", "set") or (call.form == "method" and "device" not in call.kwargs):
            return None
        return replace(call, kwargs={**call.kwargs, "device": Text(self.rng.choice(DEVICES))})

    def spoil_out(self, call: Call) -> Call | None:
        made = with_out(call)
        if made is None:
            return None
        room, r = made.kwargs["out"], self.rng
        one = room if isinstance(room, torch.Tensor) else room[-1]
        ways = [torch.zeros_like(one), one.to(r.choice(DTYPES)), torch.zeros(7, dtype=one.dtype), Text(r.choice(ODD))]
        ways += [one.to("meta"), torch.zeros(0, dtype=one.dtype), (one,), (one, one), [one], one.to(r.choice(DTYPES))]
        if one.dtype.is_floating_point:
            ways.append(one.clone().requires_grad_())
        new = r.choice(ways)
        if not isinstance(room, torch.Tensor) and r.random() < 0.8:
            new = (*room[:-1], new)
        return replace(made, kwargs={**made.kwargs, "out": new})


KINDS = {
    "nothing": 4, "dim": 10, "size": 8, "duplicate": 4, "length": 5, "shape": 16, "dtype": 14, "index": 5, "missing": 6,
    "extra": 5, "name": 6, "type": 14, "string": 6, "number": 6, "grad": 6, "device": 5, "out": 10,
}  # fmt: skip


def make_program(corpus: Corpus, seed: int, number: int) -> tuple[str, list[str]]:
    """What is wrong with it, and the lines of program `number`."""
    rng = random.Random(f"{seed}:{number}")
    for _ in range(200):
        call = corpus.pick(rng)
        if call is None:
            continue
        kind = rng.choices(list(KINDS), list(KINDS.values()))[0]
        spoiled = Spoiler(rng).spoil(call, kind)
        if spoiled is not None:
            return kind, spoiled.lines()
    raise AssertionError("no call can be made wrong")
