"""The texts of random arguments and calls for `fuzz_arguments.py`, and the names that they use."""

from __future__ import annotations

import inspect
import random
import re
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple


class Parameter(NamedTuple):
    name: str
    kind: str  # as in the operations' schemas: "Tensor", "int[]?", "Scalar", ...; "" where it is not known
    needed: bool
    keyword: bool  # by name alone


Signature = tuple[Parameter, ...]


class Target(NamedTuple):
    text: str  # how the call begins: "torch.add", "{tensor}.add", "torch.nn.Linear"
    kind: str  # "function", "method", "property", "object" (a method of another object), "class" or "module"
    signatures: tuple[Signature, ...]
    forward: Signature = ()  # what the module that a call makes takes itself


# ---- what a function takes -------------------------------------------------------------------------------------------

# What an annotation says, by what stands in it; the first that fits.
ANNOTATIONS = [
    (r"Callable", "Callable"),
    (r"(Iterable|Sequence|list|tuple|_params)[^|]*(Tensor|Parameter)|params", "Tensor[]"),
    (r"Module", "Module"),
    (r"Optimizer", "Optimizer"),
    (r"Tensor", "Tensor"),
    (r"Size|(tuple|list|Sequence|Iterable)[^|]*int", "int[]"),
    (r"(tuple|list|Sequence)[^|]*float", "float[]"),
    (r"dtype", "ScalarType"),
    (r"[Dd]evice", "Device"),
    (r"Generator", "Generator"),
    (r"memory_format", "MemoryFormat"),
    (r"\bbool\b", "bool"),
    (r"\bfloat\b", "Scalar"),
    (r"\bint\b", "int"),
    (r"\bstr\b|Literal", "str"),
]


def schema_signature(schema: str, method: bool) -> Signature:
    """The parameters of an operation: "sum(Tensor self, int[1]? dim, bool keepdim=False, *, ...) -> Tensor"."""
    inside = re.sub(r"\) -> .*", "", schema.partition("(")[2])
    found, keyword = [], False
    for part in filter(None, re.split(r", ", inside)):
        if part == "*":
            keyword = True
            continue
        text, _, default = part.partition("=")
        kind, _, name = text.rpartition(" ")
        found.append(Parameter("input" if name == "self" else name, kind, not default, keyword))
    if found and method:
        found = found[1:]
    return tuple(found)


def python_signature(function: Any) -> Signature:
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return ()
    found = []
    for p in parameters:
        if p.name in ("self", "args", "kwargs", "cls") or p.kind in (p.VAR_KEYWORD, p.VAR_POSITIONAL):
            continue
        text = p.annotation if isinstance(p.annotation, str) else getattr(p.annotation, "__name__", "")
        kind = next(
            (kind for pattern, kind in ANNOTATIONS if p.annotation is not p.empty and re.search(pattern, text)), ""
        )
        kind += "?" if kind and "None" in text else ""
        found.append(Parameter(p.name, kind, p.default is p.empty, p.kind is p.KEYWORD_ONLY))
    return tuple(found)


# ---- texts of arguments ----------------------------------------------------------------------------------------------

DTYPES = ["float32", "float64", "float16", "bfloat16", "int8", "int16", "int32", "int64", "uint8", "bool"]
SMALL_INTS = ["0", "1", "-1", "2", "3", "-2", "4", "5", "7"]
LARGE_INTS = ["100", "-100", "2**31", "-2**31", "2**31-1", "2**63-1", "-2**63", "2**64", "10**30", "2**40", "65536"]
FLOATS = [
    "0.0",
    "-0.0",
    "0.5",
    "1.0",
    "-1.5",
    "float('nan')",
    "float('inf')",
    "-float('inf')",
    "1e308",
    "1e-320",
    "2.7",
]
STRINGS = [
    "''",
    "'mean'",
    "'sum'",
    "'none'",
    "'reflect'",
    "'constant'",
    "'bilinear'",
    "'abc'",
    "'cpu'",
    "'cuda'",
    "'tanh'",
]
STRINGS += ["'ij,jk->ik'", "'i->'", "'\\udc80'", "'x' * 5000", "'floor'", "'trunc'", "'amax'", "'fro'", "'\\0'"]
ODD = [
    "None",
    "True",
    "False",
    "...",
    "object()",
    "{}",
    "{'dim': 1}",
    "slice(None)",
    "slice(0, 10, 2)",
    "slice(2, 0, -1)",
]
ODD += ["lambda *a: a[0]", "1j", "b'ab'", "range(3)", "int", "torch.Tensor", "NotImplemented", "iter([1, 2])", "set()"]
ODD += ["torch.device('cpu')", "torch.strided", "torch.Size([2, 3])", "torch.Generator()", "torch.contiguous_format"]
SHAPES = ["()", "(0,)", "(1,)", "(3,)", "(4,)", "(2, 3)", "(3, 3)", "(3, 4)", "(0, 3)", "(2, 0)", "(1, 1)", "(2, 3, 4)"]
SHAPES += ["(1, 3, 5, 5)", "(2, 2, 3, 4)", "(1, 2, 4, 4, 4)", "(1,) * 12", "(7, 1)", "(1, 7)", "(64,)", "(30, 30)"]

INT_NAMES = {"dim", "axis", "dims", "dim0", "dim1", "start", "end", "step", "k", "n", "offset", "diagonal", "groups"}
INT_NAMES |= {"num_classes", "sections", "chunks", "split_size", "length", "shifts", "repeats", "bins", "correction"}
SIZE_NAMES = {"size", "shape", "stride", "padding", "dilation", "kernel_size", "output_size", "normalized_shape", "pad"}


CALLABLES = ["lambda *a: a[0]", "lambda x: x * 2", "lambda x: (x * x).sum()", "lambda *a: None", "lambda *a: 3",
             "lambda *a: [x + 1 for x in a]", "lambda x, y=1: x @ x", "torch.nn.functional.relu", "torch.sum",
             "len"]  # fmt: skip
MODULES = ["torch.nn.Linear(3, 3)", "torch.nn.Conv2d(3, 2, 2)", "torch.nn.LSTM(3, 2)", "torch.nn.BatchNorm1d(3)",
           "torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ReLU())",
           "torch.nn.MultiheadAttention(4, 2)"]  # fmt: skip
# Which texts a parameter of this name takes.
WORDS = {
    "reduction": "'mean' 'sum' 'none'",
    "reduce": "'sum' 'prod' 'mean' 'amax' 'amin'",
    "mode": "'constant' 'reflect' 'replicate' 'circular' 'bilinear' 'nearest' 'bicubic' 'area' 'sum' 'mean' 'max' "
            "'reduced' 'complete' 'r' 'linear' 'trilinear' 'fan_in' 'fan_out'",
    "padding_mode": "'zeros' 'border' 'reflection' 'reflect' 'circular' 'replicate'",
    "rounding_mode": "'floor' 'trunc' None",
    "approximate": "'none' 'tanh'",
    "interpolation": "'linear' 'lower' 'higher' 'nearest' 'midpoint'",
    "side": "'left' 'right'",
    "ord": "'fro' 'nuc' inf -inf 0 1 2 -2 2.5",
    "p": "'fro' 'nuc' inf 0 1 2 0.5 -1",
    "uplo": "'L' 'U'",
    "indexing": "'ij' 'xy'",
    "padding": "'same' 'valid' 0 1 2 (1, 0)",
    "equation": "'ij,jk->ik' 'ii->i' '...i,i' 'ij->ji' 'abc,abd' 'i,j' 'ii'",
    "nonlinearity": "'relu' 'tanh' 'leaky_relu' 'linear' 'sigmoid'",
    "norm": "'ortho' 'forward' 'backward' None",
    "driver": "'gels' 'gelsd' 'gelsy' 'gelss' None",
}  # fmt: skip
WORDS["UPLO"] = WORDS["uplo"]
INTEGER_TENSORS = {"index", "indices", "target", "offsets", "labels", "lengths", "input_lengths", "target_lengths",
                   "tau", "pivots", "LU_pivots", "sorted_sequence", "boundaries", "batch_sizes"}  # fmt: skip


class Arguments:
    """Texts of random arguments."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.bound = False  # whether a tensor has the name `a`
        # What fitting arguments have in common.
        self.shape = rng.choice(SHAPES)
        self.dtype = rng.choice(DTYPES if rng.random() < 0.4 else ["float32", "float64", "float32"])

    def tensor(self, shape: str = "", dtype: str = "") -> str:
        """Perhaps the tensor of an earlier argument again, or a part of it."""
        r = self.rng
        if self.bound and r.random() < 0.15:
            return r.choice(
                ["a", "a", "a", "a.detach()", "a[..., 1:]", "a[..., :-1]", "a.t()", "a.reshape(-1)", "a[:1]"]
            )
        text = self.new_tensor(shape or r.choice(SHAPES), dtype)
        if not self.bound and r.random() < 0.3:
            self.bound = True
            return f"(a := {text})"
        return text

    def new_tensor(self, shape: str, dtype: str) -> str:
        r = self.rng
        dtype = dtype or r.choice(DTYPES if r.random() < 0.5 else ["float32"])
        floating = "float" in dtype
        made = r.choice(["ones", "zeros", "arange", "arange", "values"])
        if made == "arange":
            text = f"(torch.arange(torch.ones({shape}).numel()).reshape({shape}) - 2).to(torch.{dtype})"
        elif made == "values":
            value = r.choice([f for f in FLOATS if f != "1e308"] if floating else [*SMALL_INTS, "100", "-100"])
            value = "1" if dtype == "uint8" and value.startswith("-") else value
            text = f"torch.full({shape}, {value}).to(torch.{dtype})"
        else:
            text = f"torch.{made}({shape}, dtype=torch.{dtype})"
        if floating and r.random() < 0.3:
            text += ".requires_grad_()"
            if r.random() < 0.5:
                text = f"({text} * 1)"
            if r.random() < 0.15:
                text = f"hooked({text}, lambda g: {self.any()})"
        dims = len(eval(shape))
        if r.random() < 0.25:
            views = [".data", ".unsqueeze(0)", f".unsqueeze(0).expand(3, *[-1] * {dims})"]
            views += [".transpose(0, -1)", "[..., ::2]", ".flip(0)", ".expand_as", ".mT"] if dims > 1 else []
            view = r.choice(views)
            text = f"{text}.expand(2, *[-1] * {dims})" if view == ".expand_as" else text + view
        if r.random() < 0.06 and shape not in ("()", "(0,)", "(0, 3)", "(2, 0)"):
            text += r.choice([".unfold(0, 1, 1)", ".detach()", ".as_strided((2, 2), (0, 0))", ".flatten()[1:]"])
        if r.random() < 0.1:
            kinds = ["Sub({0})", "Shy({0})", "torch.nn.Parameter({0})", "{0}.to('meta')", "inference(lambda: {0})"]
            kinds += ["unrecorded(lambda: {0})", "torch.nn.Buffer({0})", "{0}.clone().resize_(0)", "{0}.split(1)[0]"]
            text = r.choice(kinds).format(text)
        return text

    def sizes(self) -> str:
        r = self.rng
        items = [r.choice(SMALL_INTS if r.random() < 0.85 else LARGE_INTS) for _ in range(r.randint(0, 4))]
        return r.choice(["({0},)", "[{0}]", "({0},)"]).format(", ".join(items)) if items else r.choice(["()", "[]"])

    def nested(self, depth: int = 0) -> str:
        r = self.rng
        items = [
            self.nested(depth + 1)
            if depth < 3 and r.random() < 0.4
            else r.choice([*SMALL_INTS, *FLOATS, "True", "None"])
            for _ in range(r.randint(0, 3))
        ]
        return "[" + ", ".join(items) + "]"

    def any(self) -> str:
        x = self.rng.random()
        for share, make in [
            (0.42, self.tensor),
            (0.60, lambda: self.rng.choice(SMALL_INTS)),
            (0.66, lambda: self.rng.choice(LARGE_INTS)),
            (0.73, lambda: self.rng.choice(FLOATS)),
            (0.80, self.sizes),
            (0.84, lambda: self.rng.choice(STRINGS)),
            (0.89, lambda: "torch." + self.rng.choice(DTYPES)),
            (0.91, self.nested),
            (0.94, lambda: f"[{self.tensor()}, {self.tensor()}]"),
            (1.01, lambda: self.rng.choice(ODD)),
        ]:
            if x < share:
                return make()
        raise AssertionError

    # ---- what fits a parameter ----

    def fitting(self, p: Parameter) -> str:
        """Something of the kind that the parameter takes; now and then anything."""
        r = self.rng
        if r.random() < 0.05:
            return self.any()
        if p.kind.endswith("?") and r.random() < 0.3:
            return "None"
        kind = p.kind.rstrip("?") or self.guess(p.name)
        if kind.startswith("Tensor["):
            return "[" + ", ".join(self.fitting_tensor(p.name) for _ in range(r.choice([0, 1, 2, 2, 2, 3]))) + "]"
        if kind.startswith("int["):
            if r.random() < 0.3:
                return self.fitting_int(p.name)
            return r.choice([self.sizes(), self.shape, self.few(p.name), self.few(p.name)])
        return {
            "Tensor": lambda: self.fitting_tensor(p.name),
            "int": lambda: self.fitting_int(p.name),
            "Scalar": lambda: r.choice([*FLOATS, *SMALL_INTS, *SMALL_INTS, "True", "torch.tensor(2.0)"]),
            "float": lambda: r.choice([*FLOATS, "0.5", "0.1", "1"]),
            "float[]": lambda: r.choice(["[0.5, 1.0]", "(2.0,)", "[]", "[float('nan')]", "[1e308, 0, 2]"]),
            "bool": lambda: r.choice(["True", "False"]),
            "str": lambda: r.choice(WORDS[p.name].split(" ") if p.name in WORDS else STRINGS),
            "ScalarType": lambda: "torch." + r.choice(DTYPES),
            "Device": lambda: r.choice(["'cpu'", "'cpu'", "'meta'", "torch.device('cpu')", "'cuda'"]),
            "Generator": lambda: r.choice(["torch.Generator()", "torch.default_generator", "None"]),
            "MemoryFormat": lambda: r.choice(
                ["torch.contiguous_format", "torch.channels_last", "torch.preserve_format"]
            ),
            "Layout": lambda: "torch.strided",
            "Callable": lambda: r.choice(CALLABLES),
            "Module": lambda: r.choice(MODULES),
            "Optimizer": lambda: f"torch.optim.SGD([{self.fitting_tensor('')}], 0.1)",
        }.get(kind, self.any)()

    def guess(self, name: str) -> str:
        """A kind for a parameter without one, by its name."""
        if name in WORDS:
            return "str"
        if name in INT_NAMES or name.startswith(("num_", "in_", "out_", "hidden")) or name.endswith("_size"):
            return "int"
        if name in SIZE_NAMES:
            return "int[]"
        if name in ("params", "parameters", "tensors"):
            return "Tensor[]"
        if name in (
            "keepdim",
            "inplace",
            "training",
            "bias",
            "largest",
            "descending",
            "unbiased",
            "affine",
            "batch_first",
        ):
            return "bool"
        if name in (
            "eps",
            "momentum",
            "alpha",
            "beta",
            "lr",
            "value",
            "dropout",
            "weight_decay",
            "p",
            "lambd",
            "margin",
        ):
            return "Scalar"
        return {"dtype": "ScalarType", "device": "Device", "generator": "Generator"}.get(name, "Tensor")

    def fitting_tensor(self, name: str) -> str:
        r = self.rng
        dims = eval(self.shape)
        x = r.random()
        shape = self.shape
        if x > 0.8:
            shape = r.choice(SHAPES)
        elif x > 0.7 and dims:
            shape = str(dims[r.randrange(len(dims) + 1) :])
        elif x > 0.6 and dims:
            shape = str(dims[:1] if r.random() < 0.5 else dims[-1:])
        dtype = self.dtype if r.random() < 0.85 else ""
        if name in INTEGER_TENSORS and r.random() < 0.7:
            return f"(torch.arange(torch.ones({shape}).numel()) % {r.choice('12345')}).reshape({shape})"
        if name in ("mask", "condition", "attn_mask", "key_padding_mask") and r.random() < 0.7:
            dtype = "bool"
        return self.tensor(shape, dtype)

    def fitting_int(self, name: str) -> str:
        r = self.rng
        if r.random() < 0.06:
            return r.choice(LARGE_INTS)
        rank = len(eval(self.shape))
        if name.startswith(("dim", "axis")) and rank and r.random() < 0.85:
            return str(r.randint(-rank, rank - 1))
        if name.startswith(("num_", "in_", "out_", "hidden", "kernel", "embed", "n", "d_")) or name.endswith(
            ("_size", "_dim")
        ):
            return r.choice(["1", "2", "3", "4", "3", "2", "5", "0", "-1"])
        return r.choice(SMALL_INTS)

    def few(self, name: str) -> str:
        """A list of small numbers that may be sizes, steps or dimensions."""
        r = self.rng
        low = -2 if name in ("dim", "dims", "axis", "shifts") else 0
        count = r.choice([1, 2, 2, 3, max(len(eval(self.shape)), 1)])
        return "[" + ", ".join(str(r.randint(low, 3)) for _ in range(count)) + "]"

    def arguments(self, signature: Signature) -> list[str]:
        """Texts for the parameters of a function."""
        r = self.rng
        texts, named = [], False
        for p in signature:
            if not p.needed and r.random() < 0.5:
                named = True
                continue
            text = self.fitting(p)
            named = named or p.keyword or r.random() < 0.1
            texts.append(f"{p.name}={text}" if named else text)
        if r.random() < 0.12:
            texts.append(f"out={self.fitting_tensor('out')}")
        if r.random() < 0.03 and texts:
            texts.pop(r.randrange(len(texts)))
        return texts

    def anyhow(self, names: Iterable[str], method: bool) -> list[str]:
        """Arguments that need not fit."""
        r = self.rng
        names = list(names)
        if names and r.random() < 0.5:
            count = r.randint(0, min(len(names), 5))
            texts = [
                self.fitting(Parameter(name, "", True, False)) if r.random() < 0.7 else self.any()
                for name in names[:count]
            ]
            return texts + [f"{name}={self.any()}" for name in names[count:] if r.random() < 0.25]
        if r.random() < 0.5:
            kinds = r.choice("- t t tt tt ti ts l li tit ttt tii f tf titt s".split()).strip("-")
            pick = {"t": self.tensor, "i": lambda: r.choice(SMALL_INTS), "s": self.sizes, "f": lambda: r.choice(FLOATS)}
            pick["l"] = lambda: f"[{self.tensor()}, {self.tensor()}]"
            return [pick[kind]() for kind in (kinds[1:] if method else kinds)]
        texts = [self.any() for _ in range(r.choice([0, 1, 1, 2, 2, 2, 3, 3, 4, 6]))]
        if r.random() < 0.2:
            name = r.choice(["dim", "keepdim", "dtype", "out", "device", "requires_grad", "abc", "size"])
            texts.append(f"{name}={self.any()}")
        return texts


SHARES = {"function": 42, "method": 32, "module": 12, "class": 4, "property": 3, "object": 7}
BY_KIND: dict[int, dict[str, list[Target]]] = {}


def choose(targets: list[Target], rng: random.Random) -> Target:
    """A target; the kinds of targets have shares of their own."""
    if id(targets) not in BY_KIND:
        kinds: dict[str, list[Target]] = {}
        for target in targets:
            kinds.setdefault(target.kind, []).append(target)
        BY_KIND[id(targets)] = kinds
    kinds = BY_KIND[id(targets)]
    return rng.choice(kinds[rng.choices(list(kinds), [SHARES[kind] for kind in kinds])[0]])


def target_of(targets: list[Target], seed: int, number: int) -> Target:
    return choose(targets, random.Random(f"{seed}:{number}"))


def call_text(targets: list[Target], seed: int, number: int) -> str:
    """Call `number` of this seed, as an expression of Python."""
    rng = random.Random(f"{seed}:{number}")
    target = choose(targets, rng)
    make = Arguments(rng)
    head = target.text
    if "{tensor}" in head:
        head = head.replace("{tensor}", make.fitting_tensor("input"))
    if target.kind == "property":
        return (
            head
            if rng.random() < 0.5
            else f"set_attribute({head.rpartition('.')[0]}, {target.text.split('.')[-1]!r}, {make.any()})"
        )

    def inside(signatures: tuple[Signature, ...]) -> str:
        if signatures and rng.random() < 0.7:
            return ", ".join(make.arguments(rng.choice(signatures)))
        names = [p.name for p in rng.choice(signatures)] if signatures else []
        return ", ".join(make.anyhow(names, target.kind == "method"))

    text = f"{head}({inside(target.signatures)})"
    if target.kind == "module":
        return f"{text}({inside((target.forward,) if target.forward else ())})"
    if target.kind == "class":
        return f"used({text}, {make.fitting_tensor('')})"
    x = rng.random()
    if x < 0.02:
        return f"saved(lambda t: {make.any()}, lambda t: {make.any()}, lambda: {text})"
    if x < 0.04:
        back = rng.choice(["g[0]", "(g[0], g[0])", "None", "(g[0] * 2,)", make.any()])
        return f"custom(lambda *t: {text}, lambda *g: {back}, {make.tensor()})"
    if x < 0.08:
        then = [".sum()", "[0]", ".resize_(5)", ".t_()", ".add_(1)", ".clone()", ".detach().zero_()", ".view(-1)"]
        then += [".squeeze()", ".to('meta')", ".numpy()", ".untyped_storage().resize_(0)", ".set_()", "[..., 0]"]
        return text + rng.choice(then)
    return text


# ---- names that the texts use ----------------------------------------------------------------------------------------


def helpers(library: Any) -> dict[str, Any]:
    """What the texts of calls may name."""

    class Sub(library.Tensor):
        pass

    class Shy(library.Tensor):
        @classmethod
        def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            return NotImplemented

    def hooked(t: Any, hook: Callable[[Any], Any]) -> Any:
        t.register_hook(hook)
        return t

    def inference(make: Callable[[], Any]) -> Any:
        with library.inference_mode():
            return make()

    def unrecorded(make: Callable[[], Any]) -> Any:
        with library.no_grad():
            return make().view_as(make())

    def saved(pack: Any, unpack: Any, call: Callable[[], Any]) -> Any:
        with library.autograd.graph.saved_tensors_hooks(pack, unpack):
            return call()

    def custom(forward: Any, backward: Any, *inputs: Any) -> Any:
        class Custom(library.autograd.Function):
            @staticmethod
            def forward(ctx: Any, *inputs: Any) -> Any:
                result = forward(*inputs)
                ctx.save_for_backward(*(t for t in (*inputs, result) if isinstance(t, library.Tensor)))
                return result

            @staticmethod
            def backward(ctx: Any, *grads: Any) -> Any:
                _ = ctx.saved_tensors
                return backward(*grads)

        return Custom.apply(*inputs)

    def used(made: Any, t: Any) -> Any:
        """What objects of the library are for."""
        calls = [("sample", ()), ("rsample", ((2,),)), ("log_prob", (t,)), ("entropy", ()), ("cdf", (t,))]
        for name, arguments in calls:
            if hasattr(made, name):
                try:
                    getattr(made, name)(*arguments)
                except Exception:
                    continue
        if hasattr(made, "param_groups"):
            for p in made.param_groups[0]["params"]:
                p.grad = t if t.shape == p.shape else library.ones_like(p)
            made.step()
            made.step()
            made.load_state_dict(made.state_dict())
        return made

    return {
        "torch": library, "Sub": Sub, "Shy": Shy, "hooked": hooked, "inference": inference, "unrecorded": unrecorded,
        "saved": saved, "custom": custom, "used": used, "set_attribute": setattr, "inf": float("inf"),
    }  # fmt: skip
