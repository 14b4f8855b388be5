"""Calls for the programs of `fuzz_values.py`: pointwise operations, reductions, views, joining and indexing."""

from __future__ import annotations

import math

from value_programs import DTYPES, FLOATING, INTEGERS, Call, Maker, Operand, family, keywords

# ---- pointwise -------------------------------------------------------------------------------------------------------


def partner(m: Maker, shape: tuple[int, ...], dtype: str) -> str:
    """A second operand: a tensor of the same or another dtype that broadcasts, or a number."""
    if m.chance(0.25):
        return m.scalar(dtype)
    other = dtype if m.chance(0.6) or m.gradients else m.dtype()
    return m.tensor(m.broadcast(shape), other).name


@family("pointwise", 3)
def _(m: Maker) -> Call:
    name, tensors, rest = m.pick(m.pointwise["registry"])
    shape = m.shape()
    dtype = m.dtype(INTEGERS + ["bool"] if rest == "bitwise" and m.chance(0.9) else DTYPES)
    a = m.tensor(shape, dtype, whole=m.chance(0.3))
    others = [partner(m, shape, dtype) for _ in range(tensors - 1)]
    if name in ("polygamma", "special.polygamma"):
        return Call(name, [str(m.pick(range(5))), a.name], "f")
    return Call(name, [a.name, *others], "ffm" + "io" * (not name.startswith("nn.")))


@family("pointwise")
def _(m: Maker) -> Call:
    a = m.tensor(whole=m.chance(0.5))
    name = m.pick("pow pow pow pow float_power clamp clamp div round nan_to_num ldexp nextafter frexp mvlgamma logit "
                  "square positive polygamma clamp_min clamp_max add sub rsub lerp addcmul addcdiv")  # fmt: skip
    if name in ("pow", "float_power", "ldexp", "nextafter"):
        b = partner(m, a.shape, a.dtype)
        turned = name in ("pow", "float_power") and m.chance(0.2)
        return Call(name, [m.scalar(), a.name] if turned else [a.name, b], "ffo" if turned else "ffmio")
    if name == "clamp":
        if m.chance(0.5):
            bounds = keywords(min=m.pick([None, partner_tensor(m, a)]), max=m.pick([None, partner_tensor(m, a)]))
        else:
            bounds = keywords(min=m.pick([None, m.scalar(a.dtype)]), max=m.pick([None, m.scalar(a.dtype)]))
        return Call(name, [a.name, *bounds], "ffmio")
    if name in ("clamp_min", "clamp_max"):
        return Call(name, [a.name, partner(m, a.shape, a.dtype)], "ffmio")
    if name == "div":
        mode = m.pick(["'trunc'", "'floor'", "'floor'", "None"])
        return Call(name, [a.name, partner(m, a.shape, a.dtype), f"rounding_mode={mode}"], "ffmio")
    if name == "round":
        return Call(name, [a.name, f"decimals={m.pick([0, 1, 2, -1, 3])}"], "ffmio")
    if name == "nan_to_num":
        return Call(name, [a.name, *keywords(nan=m.pick([None, "1.5"]), posinf=m.pick([None, "7.0"]))], "ffmio")
    if name == "mvlgamma":
        return Call(name, [a.name, str(m.pick([1, 2, 3]))], "ffmio")
    if name == "logit":
        return Call(name, [a.name, *m.pick([[], ["0.1"], ["eps=1e-6"], ["None"]])], "ffmio")
    if name == "polygamma":
        return Call(name, [str(m.pick(range(5))), a.name], "ffo")
    if name in ("add", "sub", "rsub"):
        alpha = f"alpha={m.scalar(a.dtype)}"
        return Call(name, [a.name, partner(m, a.shape, a.dtype), alpha], "ff" + "mio" * (name != "rsub"))
    if name == "lerp":
        return Call(name, [a.name, partner_tensor(m, a), partner(m, a.shape, a.dtype)], "ffmio")
    if name in ("addcmul", "addcdiv"):
        b, c = partner_tensor(m, a), partner_tensor(m, a)
        return Call(name, [a.name, b, c, f"value={m.scalar(a.dtype)}"], "ffmio")
    return Call(name, [a.name], "ffm" + "io" * (name == "square"))


def partner_tensor(m: Maker, a: Operand) -> str:
    return m.tensor(m.broadcast(a.shape), a.dtype if m.chance(0.85) or m.gradients else m.dtype()).name


@family("pointwise")
def _(m: Maker) -> Call:
    a = m.tensor(dtype=m.dtype(FLOATING) if m.chance(0.9) else None)
    n = "nn.functional."
    name = m.pick("elu celu selu leaky_relu gelu gelu silu mish softplus softplus hardtanh hardsigmoid hardswish "
                  "softshrink hardshrink logsigmoid threshold relu relu6 prelu softsign tanhshrink glu rrelu "
                  "sigmoid tanh")  # fmt: skip
    rest: list[str] = []
    if name in ("elu", "celu", "leaky_relu") and m.chance(0.6):
        rest = [f"{m.pick([0.01, 0.5, 1.0, 2, 1.7])}"]
    if name == "gelu" and m.chance(0.5):
        rest = ["approximate='tanh'"]
    if name == "softplus" and m.chance(0.6):
        rest = keywords(beta=m.pick([0.5, 1, 3]), threshold=m.pick([20, 1, 5.5]))
    if name == "hardtanh" and m.chance(0.6):
        rest = [f"{-m.pick([0.5, 2])}", f"{m.pick([0.5, 2])}"]
    if name in ("softshrink", "hardshrink") and m.chance(0.6):
        rest = [f"{m.pick([0.0, 0.5, 1.0, 2])}"]
    if name == "threshold":
        rest = [str(m.pick([0, 0.5, -1])), str(m.pick([0, 7, -2.5]))]
    if name == "prelu":
        rest = [m.tensor((a.shape[1],) if a.rank > 1 and m.chance(0.5) else (1,), a.dtype).name]
    if name == "glu":
        rest = [f"dim={m.dim(a)}"]
    return Call(n + name, [a.name, *rest])


@family("pointwise")
def _(m: Maker) -> Call:
    a = m.tensor()
    cond = m.tensor(m.broadcast(a.shape), "bool" if m.chance(0.85) else "uint8")
    other = partner(m, a.shape, a.dtype)
    return Call("where", [cond.name, *m.pick([[a.name, other], [other, a.name]])], "ffo")


@family("pointwise")
def _(m: Maker) -> Call:
    a = m.tensor()
    b = partner(m, a.shape, a.dtype)
    operator = m.pick("+ - * / // % ** == != < <= > >= & | ^ << >> +f -f")
    if operator in ("+f", "-f"):
        return Call(operator[0], [a.name], "u")
    return Call(operator, m.pick([[a.name, b], [b, a.name]]), "x")


# ---- reductions and scans --------------------------------------------------------------------------------------------


def with_zeros(m: Maker, name: str) -> Operand:
    return m.tensor(values="ties" if name in ("prod", "cumprod") and m.chance(0.6) else None)


@family("reduction", 4)
def _(m: Maker) -> Call:
    name = m.pick("sum sum nansum mean nanmean prod amax amin max min argmax argmin all any count_nonzero aminmax "
                  "logsumexp var std var_mean std_mean median nanmedian mode norm norm linalg.vector_norm quantile "
                  "nanquantile")  # fmt: skip
    # Of tensors whose elements share memory PyTorch sorts them there, while it reads them.
    a = with_zeros(m, name) if name not in ("median", "nanmedian", "mode") else m.tensor(whole=True)
    keep = m.pick([None, None, True, False])
    whole = name not in ("logsumexp", "mode", "linalg.vector_norm", "norm") and m.chance(0.25)
    typed = m.pick([None, None, "torch." + m.pick(DTYPES)])
    if name in ("sum", "nansum", "mean", "nanmean"):
        dims = [] if whole else [m.dims(a)]
        return Call(name, [a.name, *dims, *keywords(keepdim=keep if dims else None, dtype=typed)], "ffmo")
    if name == "prod":
        dims = [] if whole else [str(m.dim(a))]
        return Call(name, [a.name, *dims, *keywords(keepdim=keep if dims else None, dtype=typed)], "ffmo")
    if name in ("all", "any", "amax", "amin"):
        dims = [] if whole else [m.dims(a)]
        return Call(name, [a.name, *dims, *keywords(keepdim=keep if dims else None)], "ffmo")
    if name == "count_nonzero":
        return Call(name, [a.name, *([] if whole else [m.dims(a)])], "ffm")
    if name == "aminmax":
        return Call(name, [a.name, *keywords(dim=None if whole else m.dim(a), keepdim=None if whole else keep)], "ffm")
    if name in ("logsumexp",):
        return Call(name, [a.name, m.dims(a), *keywords(keepdim=keep)], "ffmo")
    if name in ("var", "std", "var_mean", "std_mean"):
        rest = m.pick([[], [f"correction={m.pick([0, 1, 2, 1.5])}"], [f"unbiased={m.pick('True False')}"]])
        dims = [] if whole else [f"dim={m.dims(a)}"]
        return Call(name, [a.name, *dims, *rest, *keywords(keepdim=keep if dims else None)], "ffm")
    if name == "norm":
        p = m.pick("2 1 0 3 0.5 inf -inf 'fro' None -1 1.5")
        return Call(name, [a.name, p, *m.pick([[], [m.dims(a)], [m.dims(a), "True"]])], "ffm")
    if name == "linalg.vector_norm":
        p = m.pick("2 1 0 3 0.5 inf -inf -1 1.5")
        rest = keywords(dim=m.pick([None, m.dims(a)]), keepdim=keep, dtype=m.pick([None, None, "torch.float64"]))
        return Call(name, [a.name, p, *rest], "ffo")
    if name in ("quantile", "nanquantile"):
        q = m.pick([f"{m.rng.random():.3f}", "0.5", "0", "1", m.given((2,), a.dtype, [0.25, 0.9], grad=False).name])
        way = m.pick([None, "'lower'", "'higher'", "'nearest'", "'midpoint'", "'linear'"])
        dims = [] if whole else [f"dim={m.dim(a)}"]
        return Call(name, [a.name, q, *dims, *keywords(keepdim=keep if dims else None, interpolation=way)], "ffm")
    if name in ("max", "min") and m.chance(0.2):
        return Call(name, [a.name, partner_tensor(m, a)], "ffmo")
    dims = [] if whole else [str(m.dim(a))]
    return Call(name, [a.name, *dims, *keywords(keepdim=keep if dims else None)], "ffm")


@family("reduction")
def _(m: Maker) -> Call:
    a = m.tensor()
    name = m.pick("dist renorm trapezoid cumulative_trapezoid diff cov corrcoef trace")
    if name == "dist":
        return Call(name, [a.name, partner_tensor(m, a), m.pick("2 1 0 inf 3 0.5")], "ffm")
    if name == "renorm":
        return Call(name, [a.name, m.pick("2 1 3 0.5 inf"), str(m.dim(a)), m.pick("1.0 2 0.1 5")], "ffmio")
    if name == "diff":
        return Call(name, [a.name, *keywords(n=m.pick([None, 0, 1, 2]), dim=m.pick([None, m.dim(a)]))], "ffm")
    if name in ("trapezoid", "cumulative_trapezoid"):
        return Call(name, [a.name, *keywords(dx=m.pick([None, 0.5]), dim=m.pick([None, m.dim(a)]))])
    return Call(name, [a.name], "ffm")


@family("scan")
def _(m: Maker) -> Call:
    name = m.pick("cumsum cumprod cummax cummin logcumsumexp")
    a = with_zeros(m, name)
    typed = m.pick([None, None, "torch." + m.pick(DTYPES)]) if name in ("cumsum", "cumprod") else None
    forms = "ffmio" if name in ("cumsum", "cumprod") else "ffm"
    return Call(name, [a.name, str(m.dim(a)), *keywords(dtype=typed)], forms)


# ---- views -----------------------------------------------------------------------------------------------------------


@family("view", 4)
def _(m: Maker) -> Call:
    a = m.tensor()
    name = m.pick("view reshape transpose permute mT H T squeeze unsqueeze expand flatten unflatten narrow select "
                  "split chunk unbind movedim diagonal as_strided unfold tensor_split swapaxes ravel t adjoint view_as "
                  "expand_as hsplit vsplit dsplit split_with_sizes atleast_1d atleast_2d atleast_3d squeeze moveaxis "
                  "swapdims real detach broadcast_to contiguous clone")  # fmt: skip
    if name in ("mT", "H", "T"):
        return Call(name, [a.name], "p")
    if name in ("view", "reshape", "broadcast_to"):
        sizes = list(a.shape)
        m.rng.shuffle(sizes)
        if sizes and m.chance(0.5):
            sizes[m.rng.randrange(len(sizes))] = -1
        for _ in range(m.rng.randint(0, 2)):
            where = m.rng.randint(0, len(sizes))
            if m.chance(0.5) and where < len(sizes) and len(sizes) > 1 and -1 not in sizes:
                n = sizes.pop(where)
                sizes[where % len(sizes)] *= n
            else:
                sizes.insert(where, 1)
        return Call(name, [a.name, str(tuple(sizes))], "fm" if name != "view" else "m")
    if name in ("transpose", "swapaxes", "swapdims", "movedim", "moveaxis"):
        return Call(name, [a.name, str(m.dim(a)), str(m.dim(a))], "fm" + "i" * (name == "transpose"))
    if name == "permute":
        order = list(range(a.rank))
        m.rng.shuffle(order)
        return Call(name, [a.name, str(tuple(d - a.rank if m.chance(0.3) else d for d in order))], "fm")
    if name == "squeeze":
        return Call(name, [a.name, *m.pick([[], [str(m.dim(a))], [m.dims(a)]])], "fmi")
    if name == "unsqueeze":
        return Call(name, [a.name, str(m.rng.randint(-a.rank - 1, a.rank))], "fmi")
    if name == "expand":
        sizes = [m.pick([2, 3])] * m.pick([0, 0, 1]) + [
            m.pick([n, -1]) if n != 1 else m.pick([1, 3, -1]) for n in a.shape
        ]
        return Call(name, [a.name, str(tuple(sizes))], "m")
    if name in ("view_as", "expand_as"):
        return Call(name, [a.name, partner_tensor(m, a)], "m")
    if name in ("flatten",):
        return Call(name, [a.name, *m.pick([[], [str(m.dim(a))], [str(m.dim(a)), str(m.dim(a))]])], "fm")
    if name == "unflatten":
        d = m.dim(a)
        n = a.shape[d] if a.rank else 1
        return Call(
            name, [a.name, str(d), m.pick([f"(1, {n})", f"({n}, 1)", "(-1, 1)", "(2, -1)", "(1, -1, 1)"])], "fm"
        )
    if name in ("narrow", "select", "unbind", "split", "chunk", "tensor_split", "hsplit", "vsplit", "dsplit",
                "split_with_sizes", "unfold"):  # fmt: skip
        return pieces(m, a, name)
    if name == "diagonal":
        rest = m.pick([[], [f"{m.pick([0, 1, -1, 2])}"], [f"{m.pick([0, 1, -1])}", str(m.dim(a)), str(m.dim(a))]])
        return Call(name, [a.name, *rest], "fm")
    if name == "as_strided":
        rank = m.rng.randint(0, 3)
        sizes, strides = [m.pick([1, 2, 3]) for _ in range(rank)], [m.pick([0, 1, 1, 2, 3]) for _ in range(rank)]
        rest = [] if m.chance(0.5) else [str(m.pick([0, 1, 2]))]
        return Call(name, [a.name, str(tuple(sizes)), str(tuple(strides)), *rest], "fmi")
    if name in ("contiguous", "clone"):
        kept = ["torch.contiguous_format", "torch.channels_last"] + ["torch.preserve_format"] * (name == "clone")
        return Call(name, [a.name, *m.pick([[], [f"memory_format={m.pick(kept)}"]])], "m")
    return Call(name, [a.name], "fm" if "atleast" not in name else "f")


def pieces(m: Maker, a: Operand, name: str) -> Call:
    d = m.dim(a)
    n = a.shape[d] if a.rank else 1
    start = m.rng.randint(0, n)
    if name == "narrow":
        return Call(name, [a.name, str(d), str(start), str(m.rng.randint(0, n - start))], "fm")
    if name == "select":
        return Call(name, [a.name, str(d), str(m.rng.randint(-n, max(n - 1, 0)))], "fm")
    if name == "unbind":
        return Call(name, [a.name, *m.pick([[], [str(d)]])], "fm")
    if name == "unfold":
        return Call(name, [a.name, str(d), str(m.rng.randint(0, n)), str(m.pick([1, 1, 2, 3]))], "m")
    if name == "split_with_sizes":
        return Call(name, [a.name, str([start, n - start]), str(d)], "fm")
    if name == "split":
        size = m.pick([str(m.pick([1, 2, 3])), str([start, n - start])])
        return Call(name, [a.name, size, str(d)], "fm")
    if name == "chunk":
        return Call(name, [a.name, str(m.pick([1, 2, 3, 7])), str(d)], "fm")
    rest = [] if name in ("hsplit", "vsplit", "dsplit") else [str(d)]
    cut = m.pick([str(m.pick([1, 2, 3])), f"[{start}]", f"[1, {start}]", "[-1]"])
    return Call(name, [a.name, cut, *rest], "fm")


# ---- joining and rearranging -----------------------------------------------------------------------------------------


@family("joining", 2)
def _(m: Maker) -> Call:
    name = m.pick("cat cat stack hstack vstack dstack column_stack row_stack concat")
    shape = m.shape(1 if name in ("cat", "concat") else 0, 3)
    dim = m.rng.randrange(len(shape)) if shape else 0
    parts = []
    dtype = m.dtype()
    for _ in range(m.rng.randint(1, 4)):
        mine = list(shape)
        if shape and name in ("cat", "concat") and m.chance(0.6):
            mine[dim] = m.rng.randint(0, 3)
        if name in ("cat", "concat") and m.chance(0.05):
            mine = [0]
        parts.append(m.tensor(tuple(mine), dtype if m.chance(0.8) else None).name)
    rest = [str(m.pick([dim, dim - len(shape)]))] if name in ("cat", "concat", "stack") else []
    return Call(name, [f"[{', '.join(parts)}]", *rest], "ffo")


@family("joining", 3)
def _(m: Maker) -> Call:
    a = m.tensor(whole=True)
    name = m.pick("repeat repeat_interleave tile flip roll rot90 tril triu fliplr flipud diag diag_embed diagflat "
                  "block_diag meshgrid cartesian_prod combinations kron select_scatter slice_scatter diagonal_scatter "
                  "as_strided_scatter")  # fmt: skip
    if name in ("repeat", "tile"):
        times = [m.pick([1, 2, 2, 0, 3]) for _ in range(a.rank + m.pick([0, 1] if name == "repeat" else [0, 1, -1]))]
        return Call(name, [a.name, str(tuple(times))], "m" if name == "repeat" else "fm")
    if name == "repeat_interleave":
        d = m.dim(a)
        n = a.shape[d] if a.rank else 1
        times = m.pick([str(m.pick([0, 1, 2, 3])), m.index((n,), 4).name])
        return Call(name, [a.name, times, *m.pick([[], [f"dim={d}"], [f"dim={d}"]])], "fm")
    if name == "flip":
        return Call(name, [a.name, m.dims(a)], "fm")
    if name == "roll":
        if m.chance(0.4) or not a.rank:
            return Call(name, [a.name, str(m.pick([1, -2, 7, 0]))], "fm")
        some = m.rng.sample(range(a.rank), m.rng.randint(1, a.rank))
        return Call(name, [a.name, str(tuple(m.pick([1, -2, 5]) for _ in some)), str(tuple(some))], "fm")
    if name == "rot90":
        two = m.rng.sample(range(a.rank), 2) if a.rank > 1 else [0, 1]
        return Call(name, [a.name, str(m.pick([0, 1, 2, 3, -1, 5])), str(two)], "fm")
    if name in ("tril", "triu"):
        return Call(name, [a.name, *m.pick([[], [str(m.pick([-2, -1, 1, 2]))]])], "ffmio")
    if name == "diag_embed":
        return Call(name, [a.name, *m.pick([[], [str(m.pick([-1, 1, 2]))], ["0", "0", "-1"]])], "fm")
    if name in ("diag", "diagflat"):
        return Call(name, [a.name, *m.pick([[], [str(m.pick([-1, 1, 2]))]])], "fm")
    if name in ("block_diag", "kron", "cartesian_prod"):
        return Call(name, [a.name, partner_tensor(m, a)])
    if name == "meshgrid":
        n = m.tensor((m.pick([0, 1, 2, 3]),), a.dtype)
        return Call(
            name,
            [
                n.name,
                m.tensor((2,), a.dtype).name,
                f"indexing={m.pick(chr(34) + 'ij' + chr(34) + ' ' + chr(34) + 'xy' + chr(34))}",
            ],
        )
    if name == "combinations":
        return Call(name, [a.name, str(m.pick([1, 2, 3])), *m.pick([[], ["True"]])])
    return scattered(m, a, name)


def scattered(m: Maker, a: Operand, name: str) -> Call:
    """`a` with another tensor in the place of a view of it."""
    d = m.rng.randrange(a.rank) if a.rank else 0
    n = a.shape[d] if a.rank else 1
    rest_shape = a.shape[:d] + a.shape[d + 1 :]
    if name == "select_scatter":
        return Call(
            name, [a.name, m.tensor(rest_shape, a.dtype).name, str(d), str(m.rng.randint(-n, max(n - 1, 0)))], "fm"
        )
    if name == "slice_scatter":
        start, step = m.rng.randint(0, n), m.pick([1, 2])
        count = len(range(start, n, step))
        b = m.tensor(a.shape[:d] + (count,) * bool(a.rank) + a.shape[d + 1 :], a.dtype)
        return Call(name, [a.name, b.name, *keywords(dim=d, start=start, step=step)], "fm")
    if name == "diagonal_scatter":
        size = min(a.shape[:2]) if a.rank > 1 else 1
        return Call(name, [a.name, m.tensor((*a.shape[2:], size), a.dtype).name], "fm")
    return Call(name, [a.name, m.tensor((2,), a.dtype).name, "(2,)", str((m.pick([1, 2]),)), "0"], "fm")


# ---- indexing --------------------------------------------------------------------------------------------------------


def subscript(m: Maker, a: Operand) -> str:
    """What stands in the brackets of `a[...]`."""
    if m.chance(0.1):
        return m.mask(a.shape).name
    items: list[str] = []
    shape: tuple[int, ...] = m.pick([(), (2,), (3,), (2, 1), (0,), (2, 2)])
    d = 0
    dots = False
    while d < a.rank:
        n = a.shape[d]
        kind = m.pick("int slice slice slice index index list none mask dots end")
        if kind == "end":
            break
        if kind == "none":
            items.append(m.pick("None True False") if m.chance(0.2) else "None")
            continue
        if kind == "dots":
            if not dots:
                dots = True
                items.append("...")
                d = m.rng.randint(d, a.rank)
            continue
        if kind == "int":
            items.append(str(m.rng.randint(-n, max(n - 1, 0))))
        elif kind == "slice":
            a0, a1, step = m.pick(["", "0", "1", "-2", "5"]), m.pick(["", "2", "-1", "9"]), m.pick(["", "", ":2", ":3"])
            items.append(f"{a0}:{a1}{step}")
        elif kind == "index":
            items.append(m.index(shape, n, m.chance(0.5), m.pick(["int64", "int64", "int32"])).name if n else ":")
        elif kind == "list":
            items.append(str([m.rng.randint(-n, n - 1) for _ in range(shape[-1] if shape else 1)]) if n else ":")
        else:
            items.append(m.mask((n,)).name)
        d += 1
        if len(m.operands) > 6:
            break
    return ", ".join(items) or "..."


@family("indexing", 2)
def _(m: Maker) -> Call:
    a = m.tensor(m.shape(1 if m.chance(0.9) else 0))
    return Call(subscript(m, a), [a.name], "[")


@family("indexing", 2)
def _(m: Maker) -> Call:
    a = m.tensor(m.shape(1 if m.chance(0.9) else 0), whole=True)
    return Call(subscript(m, a), [a.name, a.dtype], "=")


@family("indexing")
def _(m: Maker) -> Call:
    a = m.tensor(whole=True)
    name = m.pick("masked_fill masked_select masked_scatter take put index_put nonzero argwhere take_along_dim "
                  "nonzero_static")  # fmt: skip
    count = math.prod(a.shape)
    if name == "masked_fill":
        value = m.scalar(a.dtype) if m.chance(0.6) else m.tensor((), a.dtype).name
        return Call(name, [a.name, m.mask(m.broadcast(a.shape)).name, value], "fmi")
    if name == "masked_select":
        return Call(name, [a.name, m.mask(m.broadcast(a.shape)).name], "ffmo")
    if name == "masked_scatter":
        return Call(name, [a.name, m.mask(m.broadcast(a.shape)).name, m.tensor((count + 1,), a.dtype).name], "fmi")
    if name == "take":
        return Call(name, [a.name, m.index(m.shape(0, 2), count, m.chance(0.5)).name], "ffmo")
    if name == "put":
        shape = m.shape(0, 2)
        i = unique_index(m, shape, count) if m.chance(0.5) else None
        if i is None:
            return Call(name, [a.name, m.index(shape, count).name, m.tensor(shape, a.dtype).name, "True"], "fmi")
        return Call(name, [a.name, i, m.tensor(m_shape(m, i), a.dtype).name], "fmi")
    if name == "index_put":
        if not a.rank or 0 in a.shape:
            return Call("neg", [a.name])
        i = m.index((3,), a.shape[0], m.chance(0.5))
        b = m.tensor(m.broadcast((3, *a.shape[1:])), a.dtype)
        return Call(name, [a.name, f"({i},)", b.name, "accumulate=True"], "fmi")
    if name == "take_along_dim":
        d = m.rng.randrange(a.rank) if a.rank else 0
        i = m.index(tuple(3 if k == d else n for k, n in enumerate(a.shape)), a.shape[d] if a.rank else 1)
        return Call(name, [a.name, i.name, f"dim={d}"], "ffmo")
    if name == "nonzero":
        return Call(name, [a.name, *m.pick([[], ["as_tuple=True"]])], "fm")
    if name == "nonzero_static":
        return Call(name, [a.name, f"size={m.pick([0, 3, 40])}"], "fm")
    return Call(name, [a.name], "fm")


def unique_index(m: Maker, shape: tuple[int, ...], below: int) -> str | None:
    count = math.prod(shape)
    if count > below:
        return None
    return m.given(shape, "int64", m.rng.sample(range(below), count)).name


def m_shape(m: Maker, name: str) -> tuple[int, ...]:
    return next(o.shape for o in m.operands if o.name == name)
