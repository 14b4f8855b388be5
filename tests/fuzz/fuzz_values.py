"""Random calls of operations on random tensors, with Bulssi and with PyTorch, and what they compute compared.

A program makes tensors (of any dtype, contiguous, permuted, stepped, expanded or overlapping; with infinities, zeros of
both signs, the largest and the least numbers), calls one operation in one of its forms, and takes first and second
gradients. Compared are dtype, shape, strides, offset, whose memory it is, requires_grad, and that we take what PyTorch
takes; and the values: whole numbers, random numbers and half precision exactly, others within a few units in the last
place, or where sums cancel, as near to the same program in float64 as PyTorch is. What is known to differ is listed in
KNOWN, with the reason. A program is decided by its seed alone.

    python tests/fuzz/fuzz_values.py --programs 20000 --seed 0
    python tests/fuzz/fuzz_values.py --programs 1 --seed 1234 --show
    python tests/fuzz/fuzz_values.py --families scan,order --calls '^cumprod$'

Left out on purpose, because PyTorch does not define them: which of several values that are written to one place stays,
the order of what is equal under topk and kthvalue, and what a strided tensor of size 0 or 1 has as stride.
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

import numpy as np
import value_calls  # noqa: F401  (its calls are declared on import)
import value_functions  # noqa: F401
from value_programs import FAMILIES, Call, Maker

EPSILON = {"float16": 2.0**-10, "bfloat16": 2.0**-7, "float32": 2.0**-23, "float64": 2.0**-52}
ENOUGH = {"float16": 2.0**-8, "bfloat16": 2.0**-5, "float32": 2.0**-18, "float64": 2.0**-36}
LEAST = {"float16": 2.0**-24, "bfloat16": 2.0**-133, "float32": 2.0**-149, "float64": 2.0**-1074}
HALVES = ("float16", "bfloat16")
# What differs and is meant to, or is not worth its price: kinds of differences, and why.
KNOWN = {
    r"(unique\w*|quantile|renorm|einsum|addr|logsigmoid|soft_margin_loss|index_select|index_reduce|any|all|rot90|index|"
    r"repeat_interleave|matrix_power|\*\*) \(.\) [or].*strides": "the order in memory of results of permuted tensors",
    r"as_strided_scatter \(.\) [gh]": "PyTorch takes the gradient at other places than were written",
    r"mode \(.\) r.*(values|nan)": "which of more than 16 equal elements is found, and of nan",
    r"binary_cross_entropy \(.\) [gh]": "gradients of the target at 0 and 1",
    r"hardsigmoid \(.\) [gh]": "PyTorch's slope is 1/6 in float, also in double",
    r"celu_? \(.\) [gh]": "PyTorch rounds 1 / alpha to float in the gradient, also in double",
    r"(log\w*sumexp|var\w*|std\w*|\w*mean|\w+_norm|matmul|linear|mm|bmm|mv|einsum|bilinear|tensordot|cross_entropy|nll_loss|"
    r"quantile|\w*trapezoid|prod|cumprod|cumsum|matrix_power|cdist|\w*baddbmm) \(.\) .*\.(nan|inf)":
        "whether infinities that cancel give nan or infinity",
    r"(xlogy|xlog1py|pow|\*\*|\w*elu|scatter_reduce|max|min|norm|vector_norm|dist|kl_div|mish) .*[gh]\[.*(nan|inf)":
        "zero times infinity",
    r"gelu \(.\) .*nan": "PyTorch's whole vectors and the rest differ at infinity",
    r"(softshrink|logsigmoid|unique|maximum|minimum|max|min|sort|hardshrink).*sign of zero": "as above; equal zeros",
    r"(rrelu|rsqrt|xlogy|xlog1py|erf\w*|ndtr|kaiser_window|blackman_window|bartlett_window|hann_window|hamming_window|linspace)"
    r" .*values of b?float16": "halves that PyTorch rounds between its steps",
    r"(loss|logits) .*dtype": "the dtype of losses of different dtypes",
    r"\(o\) .*(requires_grad|is_leaf|automatic differentiation)": "out= of what has no derivative in PyTorch",
    r"(take_along_dim|unflatten|flip|amax|amin|adjoint|mT|histc) .*error": "tensors without dimensions",
}  # fmt: skip
# Where PyTorch itself is off by more (beside 40 digits); tests/ops compares ours with references.
INACCURATE = re.compile(r"airy_ai|log_ndtr|bessel|polynomial|polygamma|zeta|gammainc|igamma|erfcx|mvlgamma|i[01]e?$")
DIFFERENCES = re.compile(
    r"gelu|tanhshrink|mish|expm1|sinc|lgamma|digamma|erfinv|ndtri|logit|acosh|cosine|renorm|window"
)
# Where sums may round in another order; elsewhere every result is its own.
SUMS = ("reduction", "scan", "products", "layers", "losses", "gather and scatter")


# ---- running ---------------------------------------------------------------------------------------------------------


class Runner:
    """One library, the variables of a program, and what each line did."""

    def __init__(self, library: Any, exact: bool = False) -> None:
        self.library = library
        self.exact = exact  # floating inputs are made float64, after they were rounded to their dtype
        self.names: dict[str, Any] = {
            "torch": library, "inf": math.inf, "nan": math.nan, "make": self.make, "grads": self.grads,
            "second": self.second, "blank": self.blank,
        }  # fmt: skip

    def make(self, data: list[Any], dtype: Any, shape: Any = None, strides: Any = None, offset: int = 0,
             grad: bool = False) -> Any:  # fmt: skip
        t = self.library.tensor(data, dtype=dtype)
        if self.exact and t.is_floating_point():
            t = t.to(self.library.float64)
        if strides is not None:
            t = t.as_strided(shape, strides, offset)
        elif shape is not None:
            t = t.reshape(shape)
        return t.requires_grad_() if grad else t

    def blank(self, shape: Any, strides: Any, dtype: Any) -> Any:
        """Zeros with these strides, to be written."""
        size = 1 + sum((n - 1) * s for n, s in zip(shape, strides, strict=True)) if 0 not in shape else 0
        return self.library.zeros(size, dtype=dtype).as_strided(shape, strides)

    def weights(self, t: Any, salt: int) -> Any:
        """What stands above a result: numbers without rounding, some of them zero for first gradients."""
        data = [((i * 7919 + salt * 31) % 13 - (6 if salt == 1 else 6.5)) / 4 for i in range(t.numel())]
        return self.library.tensor(data, dtype=t.dtype).reshape(t.shape)

    def grads(self, result: Any, inputs: list[Any], salt: int = 1, again: bool = False) -> Any:
        outs = [t for t in tensors_in(result) if t.requires_grad]
        if not outs:
            return None
        above = [self.weights(t, salt) for t in outs]
        options = {"create_graph": again, "retain_graph": True, "allow_unused": True}
        return self.library.autograd.grad(outs, inputs, above, **options)

    def second(self, result: Any, inputs: list[Any]) -> Any:
        first = self.grads(result, inputs, 5, again=True)
        return None if first is None else self.grads([g for g in first if g is not None], inputs, 7)

    def line(self, code: Any) -> str:
        """Run a line; "" or the error's kind and message."""
        try:
            exec(code, self.names)
        except Exception as error:
            return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
        return ""

    def tensors(self) -> dict[str, Any]:
        return {k: v for k, v in self.names.items() if isinstance(v, self.library.Tensor)}


def tensors_in(value: Any) -> list[Any]:
    if isinstance(value, (list, tuple)):
        return [t for part in value for t in tensors_in(part)]
    return [value] if hasattr(value, "untyped_storage") else []


# ---- comparing -------------------------------------------------------------------------------------------------------


def numbers(t: Any, library: Any) -> np.ndarray:
    """Values, floating ones in float64."""
    t = t.detach()
    if getattr(t, "_is_zerotensor", bool)():
        return np.zeros(t.numel())  # PyTorch's gradients without memory
    if t.is_floating_point():
        return np.array(t.to(library.float64).tolist(), dtype=np.float64).reshape(-1)
    return np.array(t.tolist(), dtype=object).reshape(-1)


def unit(x: np.ndarray, dtype: str) -> np.ndarray:
    """The distance of numbers of this dtype at x."""
    with np.errstate(all="ignore"):
        power = np.floor(np.log2(np.maximum(np.abs(x), LEAST[dtype])))
        return np.maximum(np.ldexp(1.0, power.astype(np.int64)) * EPSILON[dtype], LEAST[dtype])


class Comparison:
    """What of a program's results differs."""

    def __init__(self, family: str, ours: Runner, theirs: Runner, lines: list[str], call: str = "") -> None:
        self.call = call
        self.family, self.ours, self.theirs, self.lines = family, ours, theirs, lines
        self.found: list[str] = []
        self.reference: Runner | None = None
        self.inputs = {k for k in theirs.tensors() if len(k) == 1 and k < "n"}
        self.scale = 0.0

    def exact(self) -> Runner:
        """The same program with floating inputs in float64, by PyTorch."""
        if self.reference is None:
            self.reference = Runner(self.theirs.library, exact=True)
            for line in self.lines:
                text = re.sub(r"torch\.(float32|float16|bfloat16)(?=[,)])", "torch.float64", line)
                error = self.reference.line(line if " = make(" in line else text)
                if error:
                    break
            for name in self.inputs:
                values = numbers(self.theirs.names[name], self.theirs.library)
                if values.size and values.dtype == np.float64:
                    finite = np.abs(values[np.isfinite(values)])
                    self.scale = max(self.scale, float(finite.max()) if finite.size else 0.0)
        return self.reference

    def run(self) -> list[str]:
        for name in [*sorted(self.inputs), "x", "o", "r", "s", "g", "h"]:
            if name in self.theirs.names or name in self.ours.names:
                ours, theirs = self.ours.names.get(name), self.theirs.names.get(name)
                self.compare(name, ours, theirs, (name,))
        return self.found

    def note(self, what: str) -> None:
        self.found.append(what)

    def compare(self, label: str, a: Any, b: Any, path: tuple[Any, ...]) -> None:
        if isinstance(b, (list, tuple)) and isinstance(a, (list, tuple)):
            if len(a) != len(b):
                return self.note(f"{label}.length: ours {len(a)}, torch {len(b)}")
            for i, (x, y) in enumerate(zip(a, b, strict=True)):
                self.compare(f"{label}[{i}]", x, y, (*path, i))
            return None
        if isinstance(b, self.theirs.library.Tensor) and isinstance(a, self.ours.library.Tensor):
            return self.compare_tensors(label, a, b, path)
        if path[0] == "h" and None in (a, b):
            rest = tensors_in([t for t in (a, b) if t is not None])
            if all(not t.detach().to(t.dtype).any() for t in rest):
                return None  # zeros that one of the two does not make
        if type(a).__name__ != type(b).__name__ or (b is not None and a != b and a == a):
            self.note(f"{label}: ours {a!r}, torch {b!r}")
        return None

    def compare_tensors(self, label: str, a: Any, b: Any, path: tuple[Any, ...]) -> None:
        dtype = str(b.dtype).removeprefix("torch.")
        pairs = {"dtype": (str(a.dtype), str(b.dtype)), "shape": (tuple(a.shape), tuple(b.shape))}
        if path[0] not in ("g", "h"):
            pairs |= {key: (getattr(a, key), getattr(b, key)) for key in ("requires_grad", "is_leaf")}
            if b.numel() and a.numel():
                pairs["memory"] = (self.memory(self.ours, a), self.memory(self.theirs, b))
            pairs["strides"] = (self.strides(a), self.strides(b))
            if b.numel():
                pairs["offset"] = (a.storage_offset(), b.storage_offset())
        for key, (x, y) in pairs.items():
            if x != y:
                self.note(f"{label}.{key}: ours {x}, torch {y}")
        if a.shape != b.shape:
            return
        x, y = numbers(a, self.ours.library), numbers(b, self.theirs.library)
        if x.dtype != np.float64 or y.dtype != np.float64:
            wrong = np.flatnonzero(x != y)
            if wrong.size:
                i = wrong[0]
                self.note(f"{label}.values of {dtype}: [{i}] ours {x[i]}, torch {y[i]}")
            return
        self.compare_floats(label, x, y, dtype, path)

    @staticmethod
    def strides(t: Any) -> tuple[int, ...]:
        return tuple(s for n, s in zip(t.shape, t.stride(), strict=True) if n > 1) if t.numel() else ()

    def memory(self, runner: Runner, t: Any) -> str:
        place = t.untyped_storage().data_ptr()
        return ",".join(k for k, v in runner.tensors().items() if place and v.untyped_storage().data_ptr() == place)

    def compare_floats(self, label: str, x: np.ndarray, y: np.ndarray, dtype: str, path: tuple[Any, ...]) -> None:
        with np.errstate(all="ignore"):
            same = (x == y) | (np.isnan(x) & np.isnan(y))
            if same.all():
                signs = (np.signbit(x) != np.signbit(y)) & ~np.isnan(x)
                if signs.any() and self.family not in SUMS and path[0] not in ("g", "h"):
                    i = np.flatnonzero(signs)[0]
                    self.note(f"{label}.sign of zero of {dtype}: [{i}] ours {x[i]}, torch {y[i]}")
                return
            wrong = ~same
            off = np.abs(x - y) / np.maximum(unit(x, dtype), unit(y, dtype))
        kind = "values"
        if self.family == "pointwise" and INACCURATE.search(self.call):
            return
        sums = self.family in SUMS or path[0] in ("g", "h")
        if sums and dtype != "float64" and (exact := self.exact_values(path)) is not None and exact.size == x.size:
            # What PyTorch's steps in less precision lose, and ours do not.
            with np.errstate(all="ignore"):
                wrong &= ~(np.isfinite(exact) & (np.abs(x - exact) <= unit(exact, dtype)))
            if not wrong.any():
                return
        if (np.isnan(x) != np.isnan(y)).any():
            kind = "nan"
            wrong &= np.isnan(x) != np.isnan(y)
        elif self.family == "random":
            kind = "random values"
        elif (np.isinf(x) != np.isinf(y)).any():
            kind = "inf"
            wrong &= np.isinf(x) != np.isinf(y)
        else:
            wrong &= ~self.near(x, y, off, dtype, path)
        if wrong.any():
            i = np.flatnonzero(wrong)[np.argmax(np.nan_to_num(off[wrong], nan=0.0, posinf=1e300))]
            exact = self.exact_values(path)
            beside = f", in float64 {exact[i]}" if exact is not None and exact.size == x.size else ""
            self.note(f"{label}.{kind} of {dtype}: [{i}] ours {x[i]}, torch {y[i]}{beside} ({off[i]:.1f} ulp)")

    def exact_values(self, path: tuple[Any, ...]) -> np.ndarray | None:
        value = self.exact().names.get(path[0])
        for key in path[1:]:
            if not isinstance(value, (list, tuple)) or len(value) <= key:
                return None
            value = value[key]
        if not isinstance(value, self.theirs.library.Tensor) or not value.is_floating_point():
            return None
        return numbers(value, self.theirs.library)

    def near(self, x: np.ndarray, y: np.ndarray, off: np.ndarray, dtype: str, path: tuple[Any, ...]) -> np.ndarray:
        """Where ours is as good as PyTorch's."""
        sums = self.family in SUMS or path[0] in ("g", "h")
        near = np.zeros(x.shape, bool) if dtype in HALVES else off <= (8 if sums else 3)
        if self.call and DIFFERENCES.search(self.call):
            near |= off <= 1000  # of numbers that nearly cancel, or where small errors of the argument count
        if near.all():
            return near
        exact = self.exact_values(path)
        if exact is None or exact.shape != x.shape:
            return near | (off <= 1)
        with np.errstate(all="ignore"):
            one = unit(exact, dtype)
            scale = max(1.0, self.scale) ** 2 if sums and self.scale < 1e3 else 0.0
            slack = 8 * EPSILON["float32" if dtype in HALVES else dtype] * scale
            if sums:
                finite = np.abs(y[np.isfinite(y)])
                largest = max(float(finite.max()) if finite.size else 0.0, self.scale if self.scale < 1e3 else 0.0)
                near |= np.abs(x - y) <= ENOUGH[dtype] * largest  # sums that nearly cancel
            if dtype in HALVES:
                # Both round a number in float32, which may be one or the other at the middle of two.
                middle = np.abs(exact - (x + y) / 2)
                close = (off <= 1) & (middle <= 2.0**-17 * np.abs(exact) + slack)
                better = np.abs(x - exact) <= np.maximum(one, np.abs(y - exact)) + slack
                return near | close | (better if sums else False)
            theirs = np.abs(y - exact)
            top = float(np.nanmax(np.where(np.isfinite(theirs), theirs, 0.0))) if sums else 0.0
            return near | (np.abs(x - exact) <= np.maximum(4 * one, 2 * theirs) + 2 * top + slack)


# ---- programs --------------------------------------------------------------------------------------------------------


def pointwise_calls(bulssi: Any, torch: Any) -> dict[str, list[tuple[str, int, str]]]:
    """The public pointwise operations of the registry: name, number of tensors, dtypes."""
    found = []
    for entry in bulssi._core.registry():
        if entry["kind"] == "pointwise" and entry["function"] and not entry["attributes"]:
            place = {"nn": "nn.functional."}.get(entry["module"], f"{entry['module']}." if entry["module"] else "")
            found.append((place + entry["name"], entry["tensors"], entry["dtypes"]))
    return {"registry": [each for each in found if each[0] != "where"]}


class Program:
    """The lines of one program; PyTorch has run them when it is made."""

    def __init__(self, bulssi: Any, torch: Any, seed: int, families: list[str], calls: str = "") -> None:
        self.bulssi, self.torch = bulssi, torch
        maker = Maker(seed, families, pointwise_calls(bulssi, torch))
        self.family = maker.family
        self.lines, self.call = maker.make()
        self.maker = maker
        self.form = maker.pick(list(self.call.forms))
        self.wanted = bool(re.search(calls, self.call.name)) if calls else True
        if self.wanted:
            self.finish(self.call)

    def finish(self, call: Call) -> None:
        m, add = self.maker, self.lines.append
        first, rest = call.arguments[0], ", ".join(call.arguments[1:])
        inside = ", ".join(call.arguments)
        seed = m.rng.randint(0, 10**6)
        if self.family in ("random", "layers"):
            add(f"torch.manual_seed({seed}); generator = torch.Generator().manual_seed({seed + 1})")
        if self.form == "o":
            made = self.blank(f"torch.{call.name}({inside})")
            if made:
                add(f"o = {made}")
                add(f"r = torch.{call.name}({inside}, out=o)")
            else:
                self.form = "f"
        if self.form in ("i", "="):
            operand = next(o for o in m.operands if o.name == first)
            copied = m.gradients or not operand.whole
            add(f"x = {first}.clone()" if copied else f"x = {first}")
            if self.form == "i":
                add(f"r = x.{call.name.removeprefix('special.')}_({rest})")
            else:
                value = self.assigned(call, operand)
                add(f"x[{call.name}] = {value}")
                add("r = x")
        else:
            text = {
                "f": f"torch.{call.name}({inside})",
                "m": f"{first}.{call.name.removeprefix('special.')}({rest})",
                "p": f"{first}.{call.name}",
                "u": f"{call.name}{first}",
                "x": f"{first} {call.name} {rest}",
                "[": f"{first}[{call.name}]",
            }
            if self.form in text:
                add(f"r = {text[self.form]}")
        if call.name == "empty_like":
            add("r.fill_(1)")
        if self.family == "random":
            add("s = (torch.rand(3), torch.randn(2), torch.rand(3, generator=generator))")
        leaves = [o.name for o in m.operands if any(f"{o.name} = make" in s and "grad=True" in s for s in self.lines)]
        if m.gradients and leaves and self.form != "o":
            given = f"[{', '.join(leaves)}]"
            add(f"g = grads(r, {given})")
            if m.second:
                add(f"h = second(r, {given})")

    def blank(self, text: str) -> str:
        """The text of a tensor that takes the result, "" if it has none; perhaps of another shape, dtype or order."""
        m = self.maker
        theirs = Runner(self.torch)
        for line in [*self.lines, f"r = {text}"]:
            if theirs.line(line):
                return ""
        r = theirs.names["r"]
        if not isinstance(r, self.torch.Tensor):
            return ""
        if m.chance(0.15):
            return f"torch.empty({m.pick(['0', '(0,)', '(2, 0)', '0'])}, dtype={r.dtype})"
        dtype = r.dtype if m.chance(0.75) else f"torch.{m.dtype()}"
        order = list(range(r.dim()))
        if m.chance(0.5):
            m.rng.shuffle(order)
        strides, step = [1] * r.dim(), m.pick([1, 1, 2])
        for d in reversed(order):
            strides[d] = step
            step *= max(r.shape[d], 1)
        return f"blank({tuple(r.shape)}, {tuple(strides)}, {dtype})"

    def assigned(self, call: Call, operand: Any) -> str:
        """What is assigned to a part: a number, or a tensor that broadcasts to it."""
        m = self.maker
        theirs = Runner(self.torch)
        errors = [theirs.line(line) for line in [*self.lines, f"r = {operand}[{call.name}]"]]
        if m.chance(0.35) or any(errors):
            return m.scalar(operand.dtype)
        several = "[" in call.name or any(o.name in call.name for o in m.operands)
        shape = m.broadcast(tuple(theirs.names["r"].shape))
        before = len(self.lines)
        # Of several values for one place any may stay, unless all are the same.
        name = m.tensor(() if several else shape, operand.dtype if m.chance(0.8) else None)
        self.lines.insert(before - 1, self.lines.pop())
        return name.name

    def differences(self, lines: list[str] | None = None) -> list[str]:
        lines = self.lines if lines is None else lines
        ours, theirs = Runner(self.bulssi), Runner(self.torch)
        for line in lines:
            code = compile(line, "<program>", "exec")
            a, b = ours.line(code), theirs.line(code)
            if b:
                return []  # what PyTorch refuses is not compared here
            if a:
                what = line.split("=")[0].strip() if line[0] in "gh" else ""
                return self.unknown([f"error {what}: ours {a}"])
        return self.unknown(Comparison(self.family, ours, theirs, lines, self.call.name).run())

    def unknown(self, found: list[str]) -> list[str]:
        return [each for each in found if not any(re.search(known, self.kind(each)) for known in KNOWN)]

    def kind(self, difference: str) -> str:
        """What a difference is about, to count them."""
        what = difference.split(":")[0]
        if what.startswith("error"):
            what = re.sub(r"[\d.]+|\b[a-h]\b", "#", difference)[:160]
        return f"{self.call.name if self.form not in '[=' else 'index'} ({self.form}) " + re.sub(r"\d+\]", "#]", what)

    def shortened(self) -> list[str]:
        """The program with plainer tensors and fewer lines, as long as it differs in the same way."""
        lines = list(self.lines)
        first = self.differences(lines)
        if not first:
            raise AssertionError("a difference that comes and goes:\n" + "\n".join(lines))
        kind = self.kind(first[0])

        def still(fewer: list[str]) -> bool:
            found = self.differences(fewer)
            return bool(found) and self.kind(found[0]) == kind

        for i in reversed(range(len(lines))):
            if lines[i][:2] in ("g ", "h ", "s ") and still(lines[:i] + lines[i + 1 :]):
                lines = lines[:i] + lines[i + 1 :]
        return lines


def fuzz(bulssi: Any, torch: Any, options: argparse.Namespace) -> tuple[Counter[str], Counter[str], Counter[str]]:
    """Programs and agreements by family, and differences by kind; the first of each kind is shown."""
    programs, failed, kinds = Counter[str](), Counter[str](), Counter[str]()
    families = options.families.split(",") if options.families else list(FAMILIES)
    end = time.monotonic() + options.seconds
    for seed in range(options.seed, options.seed + options.programs):
        if time.monotonic() > end:
            break
        program = Program(bulssi, torch, seed, families, options.calls)
        if not program.wanted:
            continue
        if options.show:
            print("\n".join(program.lines), flush=True)
        found = program.differences()
        programs[program.family] += 1
        if not found:
            continue
        failed[program.family] += 1
        kind = program.kind(found[0])
        kinds[kind] += 1
        if kinds[kind] == 1:
            print(f"--- seed {seed}, {program.family}: {kind}\n" + "\n".join(program.shortened()))
            print("\n".join("    " + d for d in found[:4]), flush=True)
    return programs, failed, kinds


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--programs", type=int, default=20000, help="how many (default 20000)")
    parser.add_argument("--seed", type=int, default=0, help="of the first program (default 0)")
    parser.add_argument("--seconds", type=float, default=math.inf, help="stop after this time")
    parser.add_argument("--families", default="", help="only these, with commas: " + ",".join(FAMILIES))
    parser.add_argument("--calls", default="", help="only calls whose name matches this expression")
    parser.add_argument("--show", action="store_true", help="print every program")
    options = parser.parse_args(arguments)
    import torch

    import bulssi

    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    programs, failed, kinds = fuzz(bulssi, torch, options)
    print("\n".join(f"{count:6} {kind}" for kind, count in kinds.most_common()))
    for family, count in programs.items():
        print(f"{family}: {count} programs, {100 * (1 - failed[family] / count):.2f} % agree")
    print(f"all: {sum(programs.values())} programs, {sum(failed.values())} differ")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
