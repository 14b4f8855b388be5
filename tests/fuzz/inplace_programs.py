"""Makes the random programs of `fuzz_inplace.py`, one line after the other."""

from __future__ import annotations

import itertools
import math
import random
import re
from typing import Any

SHAPES = [(3, 3), (3, 3), (2, 3), (4,), (2, 2, 3), (1, 3), ()]


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

    class AsIs(library.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x

        @staticmethod
        def backward(ctx: Any, grad: Any) -> Any:
            return grad * 2

    class Tanh(library.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            result = x.tanh()
            ctx.save_for_backward(result)
            return result

        @staticmethod
        def backward(ctx: Any, grad: Any) -> Any:
            (result,) = ctx.saved_tensors
            return grad * (1 - result * result)

    class Pair(library.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x * 2, x.view(-1)

        @staticmethod
        def backward(ctx: Any, first: Any, second: Any) -> Any:
            return first * 2 + second.view(first.shape)

    class TwoViews(library.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.set_materialize_grads(False)
            return x.view_as(x), x.unsqueeze(0)

        @staticmethod
        def backward(ctx: Any, first: Any, second: Any) -> Any:
            second = None if second is None else second[0]
            return second if first is None else first if second is None else first + second

    class Constant(library.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            factor = x.cos()
            ctx.mark_non_differentiable(factor)
            ctx.save_for_backward(factor)
            return x * factor, factor

        @staticmethod
        def backward(ctx: Any, grad: Any, _: Any) -> Any:
            return grad * ctx.saved_tensors[0]

    class DirtyAndMore(library.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any, y: Any) -> Any:
            ctx.save_for_backward(y)
            x.mul_(2)
            ctx.mark_dirty(x)
            return x, x * y

        @staticmethod
        def backward(ctx: Any, first: Any, second: Any) -> Any:
            (y,) = ctx.saved_tensors
            return 2 * first + 2 * second * y, None

    class Separate(library.autograd.Function):
        @staticmethod
        def forward(x: Any) -> Any:
            return x.sin()

        @staticmethod
        def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
            ctx.save_for_backward(inputs[0], output)

        @staticmethod
        def backward(ctx: Any, grad: Any) -> Any:
            x, result = ctx.saved_tensors
            return grad * x.cos() + 0 * result

    class OnceOnly(library.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.save_for_backward(x)
            return x.square()

        @staticmethod
        @library.autograd.function.once_differentiable
        def backward(ctx: Any, grad: Any) -> Any:
            return grad * 2 * ctx.saved_tensors[0]

    made = (Twice, TimesInto, Square, First, AsIs, Tanh, Pair, TwoViews, Constant, DirtyAndMore, Separate, OnceOnly)
    return {f.__name__: f for f in made}


# Operations of tables: {x} is the tensor, {o} one that broadcasts to it, {c} a number, {d} a dimension of {x}, {k} a
# place in it.
POINTWISE_INPLACE = """
    ceil_() round_() trunc_() frac_() fix_() absolute_() negative_() arctan_() atan_() erfc_() sinc_() sigmoid_()
    exp2_().clamp_(max=3.0) nan_to_num_() fmod_(0.7) remainder_(0.6) clip_(-0.4,0.6) clamp_min_(0.3) clamp_max_({c})
    multiply_({c}) subtract_({o}) hypot_({o}) copysign_({o}) fmod_({o}+2) floor_divide_(0.7)
    float_power_(2).clamp_(-3,3) rsub({c}) heaviside_({o}.detach()) eq_({o}) gt_(0.4) ne_({c}) le_({o})
    xlogy_({o}.abs()+1) lerp_({o},{o}) lerp_({c},0.5) true_divide_({o}.detach().abs()+1) arctan2_({o})
    not_equal_({o}) greater_equal_({o}) logical_not_() fill_({o}.detach().mean()) fill_({o}.sum())
    addcmul_({o},{x},value=0.5) addcmul_({x},{o}) add_({x}) mul_({x}).clamp_(-5,5) sub_({x},alpha=0.5)
    div_({x}.detach().abs()+1) copy_({x}) copy_({o}) copy_({o}.float()) copy_({o}.detach().int())
    copy_(torch.tensor({c})) mul_(torch.tensor({c})) add_({o}.detach()) add_(torch.tensor(True))
    add_({o}.detach().long()) mul_({o}.float()) deg2rad_() set_(torch.zeros(2).double()) add_(torch.ones(7))
    mul_(torch.ones(2,1,1,1,1)) requires_grad_()
""".split()
FUNCTIONAL_INPLACE = """
    relu elu leaky_relu hardtanh relu6 selu celu silu hardswish hardsigmoid mish threshold:0.3,0.7 leaky_relu:0.3
    elu:1.5 dropout:0.0,True dropout:0.5,False hardtanh:-0.3,0.4 leaky_relu:-0.2 celu:0.7
""".split()
SHAPED_INPLACE = """
    cumprod_({d}) cumsum_({d}) fill_diagonal_({c}) fill_diagonal_({c},True) tril_() triu_(1)
    index_put_((torch.tensor([0,0]),),torch.tensor({c},dtype=torch.float64),accumulate=True)
    addmm_({x}.detach(),{x}) index_put_((torch.tensor([0]),),{x}[:1].clone()*{c})
    index_reduce_({d},torch.tensor([{k}]),{x}.narrow({d},0,1).clone(),'mean')
    put_(torch.tensor([0]),torch.tensor([{c}],dtype=torch.float64))
    scatter_({d},torch.zeros_like({x},dtype=torch.int64),{x}.clone(),reduce='add')
    scatter_reduce_({d},torch.zeros_like({x},dtype=torch.int64),{x}.clone()*2,'sum')
    masked_fill_({x}[{k}:{k}+1]>0.5,{c}) masked_fill_(torch.tensor(True),{o}.mean()) sort()[0].mul_(2)
    unbind({d})[0].mul_(2) split(1,{d})[-1].add_(1) chunk(2,{d})[0].sin_() select({d},{k}).mul_(0.5)
    diagonal().zero_() narrow({d},{k},1).copy_({o}.mean()) view(-1)[::2].add_(1) flatten()[1:].mul_(2)
    transpose({d},0).add_({c}) T.mul_(0.5) expand(2,*{x}.shape)[0].mul_(0.5) unfold(0,1,1).add_(0.5)
    detach()[0].mul_(2) data.mul_(0.5) data[0].zero_() squeeze({d}).mul_(0.5) reshape(-1).add_(0.5)
    contiguous().mul_(0.5) clone().mul_(0.5) view_as({x}).mul_(0.5) movedim({d},0).neg_()
    as_strided((1,),(1,),{x}.storage_offset()).mul_(2) swapaxes_(0,{d}) swapdims_({d},-1)
    index_add_({d},torch.tensor([{k}]),{x}.narrow({d},0,1).clone(),alpha=0.5)
    index_copy_({d},torch.tensor([{k}]),{o}.expand_as({x}).clone()) addmv_({x}.detach(),{x}.detach()[0])
    addr_({x}[0].clone(),{x}[0].clone()) swapaxes(0,{d})[0].add_(1) transpose_(0,{d}) t_() squeeze_({d})
    unsqueeze_({d}) unsqueeze_(-1) squeeze_() as_strided_((1,),(1,),{x}.storage_offset()) resize_(1) resize_(2,1)
    resize_as_({x}[:1]) set_({x}) set_({o}) set_({x}.detach()) resize_({x}.shape)
""".split()
NEW = """
    select_scatter({x}.select({d},{k}).clone()*2,{d},{k}) slice_scatter({x}.narrow({d},0,1).clone(),{d},0,1)
    diagonal_scatter(torch.zeros_like({x}.detach().diagonal())) repeat(2,*[1]*({x}.dim()-1))
    take(torch.tensor([0,-1])) to(torch.float64) type_as({o}) double() contiguous() positive()
    unsqueeze({d}).squeeze({d}) float().double() clone(memory_format=torch.preserve_format) conj() real.mul(2)
    resolve_neg() cumprod({d}) tril() triu() scatter({d},torch.zeros_like({x},dtype=torch.int64),{c})
    scatter_add({d},torch.zeros_like({x},dtype=torch.int64),{x}) gather({d},torch.zeros_like({x},dtype=torch.int64))
    masked_select({x}.detach()>0.5) index_fill({d},torch.tensor([{k}]),{c}) fill({c}) copysign({o}) hypot({o})
    repeat_interleave(2,{d}) where({x}>0.5,{o}) std({d},correction=0) median({d})[0] min({d})[0] aminmax(dim={d})[1]
    topk(1,{d})[0] msort() kthvalue(1,{d})[0] fmod(0.7) remainder(0.6) round() floor() sign() frac() nansum({d})
    logcumsumexp({d}) cummax({d})[0] diag_embed() unsqueeze(0).expand(2,*{x}.shape) detach().clone()
    new_zeros(2) new_tensor([1.0]) trace() amin({d}) flatten().dot({x}.flatten())
""".split()
FUNCTIONS = ["AsIs", "Tanh", "Square", "First", "Separate", "OnceOnly", "Pair", "TwoViews", "Constant", "DirtyAndMore"]
HOOKS = [
    "g * 2",
    "None",
    "g.detach()",
    "seen.append(g.clone())",
    "seen.append(g.requires_grad)",
    "g.sum()",
    "g + 1",
    "g.clone()",
]
HOOKS += ["g.float()", "torch.zeros_like(g)", "g.expand_as(g)"]


def overlaps_itself(t: Any) -> bool:
    """Do some elements share memory?"""
    steps = [range(0, n * s if s else 1, s or 1) if n > 1 else (0,) for n, s in zip(t.shape, t.stride(), strict=True)]
    if any(n > 1 and s == 0 for n, s in zip(t.shape, t.stride(), strict=True)):
        return True
    places = [sum(place) for place in itertools.product(*steps)]
    return len(set(places)) < len(places)


def is_expanded(t: Any) -> bool:
    return any(n > 1 and s == 0 for n, s in zip(t.shape, t.stride(), strict=True))


def changes_layout(line: str) -> bool:
    """Unrecorded, these give a tensor a shape of which its graph does not know, which is not defined."""
    return re.search(r"\.(t|(un)?squeeze|transpose|swap\w+|as_strided|resize\w*|set)_\(", line) is not None


def shared(a: Any, b: Any) -> bool:
    return a.untyped_storage()._cdata == b.untyped_storage()._cdata


def overlap(a: Any, b: Any) -> bool:
    """Do two tensors share memory without being the same view?"""
    if not shared(a, b):
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

    def __init__(self, seed: int, runner: Any) -> None:
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
            made += [f"{name}[{i}:{j + 1}].select({d}, 0)" if d else f"{name}[{i}:{j + 1}].unsqueeze(0)[..., 0]"]
            made += [f"{name}.narrow({d}, {i}, 1).squeeze({d}).unsqueeze(-1)", f"{name}.view_as({name}).unbind({d})[0]"]
            made += [f"{name}.movedim({d}, -1)[..., {i}:]", f"{name}.expand(2, *{shape})[1].view_as({name})"]
            made += [f"{name}.squeeze(({d},))", f"{name}.diff(dim={d})"]
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
        return self.in_mode(f"{self.fresh()} = {r.choice(made)}", 0.08)

    def in_mode(self, line: str, share: float) -> str:
        """The line, now and then without recording."""
        x = self.rng.random() / share
        mode = "no_grad" if x < 1 else "inference_mode" if x < 1.25 else "enable_grad" if x < 1.3 else ""
        return f"with torch.{mode}(): {line}" if mode else line

    def fill(self, text: str, name: str, t: Any) -> str:
        """A line of a table."""
        d = self.rng.randrange(t.dim()) if t.dim() else 0
        k = self.rng.randrange(t.shape[d]) if t.dim() else 0
        values = {"x": name, "o": self.like(t), "c": round(self.rng.uniform(-1.5, 1.5), 2), "d": d, "k": k}
        for key, value in values.items():
            text = text.replace("{" + key + "}", str(value))
        return text

    def several_views(self) -> str | None:
        name, t = self.pick()
        if t.dim() == 0 or t.numel() == 0:
            return None
        d = self.rng.randrange(t.dim())
        call = self.rng.choice(
            [f"unbind({d})", f"split(2, {d})", f"chunk(2, {d})", f"split(1, {d})", f"tensor_split(2, {d})"]
            + [f"split([1, {t.shape[d] - 1}], {d})", f"tensor_split([1], {d})", "unbind()"]
            + [f"hsplit({t.shape[min(1, t.dim() - 1)]})"]
        )
        count = len(eval(f"t.{call}", {"t": t.detach()}))
        names = ", ".join(self.fresh() for _ in range(count))
        return self.in_mode(f"{names}, = {name}.{call}", 0.04)

    def function(self) -> str | None:
        name, t = self.pick()
        which = self.rng.choice(FUNCTIONS)
        if t.numel() == 0 or (which == "DirtyAndMore" and overlaps_itself(t)):
            return None
        other = self.like(t)
        if which == "DirtyAndMore" and shared(t, self.runner.names[other]):
            return None
        second = f", {other}" if which == "DirtyAndMore" else ""
        several = which in ("Pair", "TwoViews", "Constant", "DirtyAndMore")
        given = ", ".join([self.fresh() for _ in range(1 + several)])
        return self.in_mode(f"{given} = {which}.apply({name}{second})", 0.06)

    def from_table(self) -> str | None:
        """A change in place, or a new tensor, from the tables."""
        name, t = self.pick()
        r = self.rng
        if t.numel() == 0:
            return None
        x = r.random()
        if x < 0.25 and not overlaps_itself(t):
            return self.in_mode(f"{self.fresh()} = {name}.{self.fill(r.choice(NEW), name, t)}", 0.05)
        if not self.writable(name, t):
            return None
        if x < 0.35:
            if overlaps_itself(t):
                return None
            function, _, arguments = r.choice(FUNCTIONAL_INPLACE).partition(":")
            arguments = f"{arguments}, " if arguments else ""
            return f"torch.nn.functional.{function}({name}, {arguments}inplace=True)"
        table = SHAPED_INPLACE if x < 0.7 and t.dim() else POINTWISE_INPLACE
        line = f"{name}.{self.fill(r.choice(table), name, t)}"
        if any(overlap(t, self.runner.names[o]) for o in re.findall(r"\bt\d+\b", line)):
            return None
        if (t.dim() > 2 and ".t_(" in line) or (".tri" in line and overlaps_itself(t)):
            return None
        if re.search(r"\.add(mm|mv|r)_", line) and (t.dim() != 2 or len(set(t.shape)) > 1 or overlaps_itself(t)):
            return None
        if "resize_" in line and not t.is_contiguous():
            return None
        if re.search(r"\.(set|as_strided|resize\w*)_\(", line) and any(
            shared(t, x) for _, x in self.runner.tensors() if x is not t
        ):
            return None  # no longer a part of its base, though still a view of it
        return line if changes_layout(line) else self.in_mode(line, 0.05)

    def with_out(self) -> str | None:
        """Results written into a tensor that is there."""
        name, t = self.pick()
        into, out = self.pick()
        other = self.like(t)
        if t.numel() == 0 or overlap(t, out) or overlap(self.runner.names[other], out) or overlaps_itself(out):
            return None
        calls = [f"add({name}, {other}", f"mul({name}, {other}", f"sin({name}", f"clamp({name}, -0.5, 0.5"]
        calls += [f"sum({name}, -1", f"where({name} > 0.5, {name}, {other}", f"stack([{name}]", f"neg({name}"]
        calls += [f"addcmul({name}, {other}, {other}", f"cat([{name}]"] if t.dim() else []
        call = self.rng.choice(calls)
        made = eval(f"torch.{call})", {**self.runner.names, "__builtins__": {}})
        if (
            out.is_inference()
            or made.shape != out.shape
            or (shared(t, out) and call.startswith(("sum", "stack", "cat")))
        ):
            return None
        line = f"torch.{call}, out={into})"
        return f"with torch.no_grad(): {line}" if self.rng.random() < 0.5 else line

    def data(self) -> str | None:
        r = self.rng
        other, value = self.pick()
        name = r.choice(self.leaves)
        t = self.runner.names[name]
        if t._is_view() or any(shared(t, x) for _, x in self.runner.tensors() if x is not t):
            return None  # it would still count its changes together with what it no longer shares memory with
        choices = [
            f"{name}.data = {name}.detach().clone() * 0.5",
            f"{name}.data = torch.ones({tuple(t.shape)}).double()",
        ]
        choices += [f"{name}.data = {name}.data", f"{name}.data.mul_(0.5)"]
        if tuple(value.shape) == tuple(t.shape) and not value.is_inference():
            choices += [f"{name}.data = {other}", f"{name}.data = {other}.data", f"{name}.data = {other}.detach()"] * 2
        return r.choice(choices)

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
        return line if changes_layout(line) else self.in_mode(line, 0.1)

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
        if r.random() < 0.25:
            change = r.choice([f"+= {round(r.uniform(-1, 1), 2)}", "*= 0.5", f"-= {name}.mean()", "*= 2", "/= 2"])
            return self.in_mode(f"{name}[{index}] {change}", 0.05)
        value = str(round(r.uniform(-1, 1), 2))
        if part.numel() and ">" not in index and r.random() < 0.6:
            source = self.like(part)
            if source is not None:
                if overlap(t, self.runner.names[source]) or self.runner.names[source] is t:
                    return None
                value = source
        return self.in_mode(f"{name}[{index}] = {value}", 0.05)

    def other(self) -> str | None:
        name, t = self.pick()
        choices = [f"seen += {name}.requires_grad, {name}.is_leaf, {name}.grad_fn is None", f"{name}.requires_grad_()"]
        choices += [f"{name}.requires_grad_(False)", f"{name}.detach_()", f"{name}.retain_grad()", f"{name}.grad_fn"]
        # PyTorch crashes for a view that requires grad, but has no producer; to look at that here would make it anew.
        safe = f"{name}.grad_fn and {name}.register_hook"
        choices += [f"h{self.count} = {safe}(lambda g: {self.rng.choice(HOOKS)})"]
        if not t._is_view():
            choices += [f"h{self.count} = {name}.register_hook(lambda g: {hook})" for hook in self.rng.sample(HOOKS, 3)]
            if t.is_leaf:
                choices.append(f"{name}.register_post_accumulate_grad_hook(lambda p: seen.append(p.grad.clone()))")
                choices += [f"{name}.grad = None", f"{name}.grad = torch.ones({tuple(t.shape)}).double()"]
                choices += [f"{name}.grad.mul_(0.5)", f"{name}.grad.zero_()"] if t.grad is not None else []
        handles = [h for h in self.runner.names if h.startswith("h") and h[1:].isdigit()]
        choices += [f"{self.rng.choice(handles)}.remove()"] if handles else []
        choices += [f"seen.append(torch.autograd.grad({name}.sum(), {name}, retain_graph=True)[0])"]
        choices += [f"del {name}"] if name not in self.leaves else []
        choices += [f"{name}.sum().backward(retain_graph=True)", f"({name} * {name}).sum().backward(retain_graph=True)"]
        choices += [f"({name} * {name}).sum().backward(create_graph=True)", f"{name}.sum().backward()"]
        choices += [f"{name}.backward(torch.ones({tuple(t.shape)}).double(), retain_graph=True)", f"{name}.backward()"]
        choices += [f"{name}.sum().backward(inputs=[{self.rng.choice(self.leaves)}], retain_graph=True)"]
        choices += [f"{name}.grad_fn.register_prehook(lambda g: None)", f"{name}.requires_grad = True"]
        choices += [f"{name}.grad_fn.register_hook(lambda i, o: seen.append([g is None for g in i]))"]
        choices += [f"{name}.grad_fn.register_prehook(lambda g: seen.append([x is None for x in g]))"]
        choices += [f"{name}.grad_fn.register_prehook(lambda g: tuple(None if x is None else x * 2 for x in g))"]
        choices += [f"{name}.grad_fn.register_hook(lambda i, o: tuple(None if x is None else x * 0.5 for x in i))"]
        choices += [f"{name}.untyped_storage().nbytes()", f"seen.append(({name}._base is None, {name}._is_view()))"]
        choices += [
            f"with torch.no_grad(): {self.rng.choice(self.leaves)} -= 0.1 * {self.rng.choice(self.leaves)}.grad"
        ]
        choices += [
            f"seen.append(torch.autograd.grad({name}.sum(), {self.rng.choice(self.leaves)}, retain_graph=True, "
            "create_graph=True, allow_unused=True)[0])"
        ]
        choices += [f"{name}.retain_grad(); {name}.retain_grad()", f"seen.append(str({name}.grad_fn.name()))"]
        return self.rng.choice(choices)

    def step(self) -> str | None:
        try:
            return self.any_line()
        except (RuntimeError, IndexError):  # the tensor at hand cannot be asked, or what was tried with it failed
            return None

    def any_line(self) -> str | None:
        x = self.rng.random()
        for share, kind in [
            (0.27, self.view),
            (0.31, self.several_views),
            (0.45, self.new_tensor),
            (0.49, self.function),
            (0.68, self.inplace),
            (0.85, self.from_table),
            (0.87, self.with_out),
            (0.88, self.data),
            (0.94, self.assignment),
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
