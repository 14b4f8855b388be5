"""Calls for the programs of `fuzz_values.py`: scattering, order, products, layers, losses, creation, random numbers."""

from __future__ import annotations

import math

from value_programs import DTYPES, FLOATING, INTEGERS, Call, Maker, Operand, family, keywords, row_major


def tensor_and_dim(m: Maker) -> tuple[Operand, int, int, str]:
    """A tensor, one of its dimensions, the size of that, and how the call names it: counted from either end."""
    a = m.tensor(m.shape(0 if m.chance(0.1) else 1, 3), whole=True)
    d = m.rng.randrange(a.rank) if a.rank else 0
    n = a.shape[d] if a.rank else 1
    return a, d, n, str(m.pick([d, d - max(a.rank, 1)]))


@family("gather and scatter", 2)
def _(m: Maker) -> Call:
    name = m.pick("gather gather scatter scatter_add scatter_add scatter_reduce scatter_reduce scatter_reduce")
    a, d, n, dim = tensor_and_dim(m)
    sizes = tuple(m.pick([1, 2, 4]) if k == d else m.rng.randint(min(1, s), s) for k, s in enumerate(a.shape))
    if name == "gather":
        return Call(name, [a.name, dim, m.index(sizes, n).name], "ffmo")
    # PyTorch's gradients of a source that is larger than the index have its shape, and are refused.
    source = tuple(s + (not m.gradients and m.pick([0, 0, 1])) for s in sizes)
    if name == "scatter":
        # Which of several values at one place stays is not defined: every index once.
        sizes = tuple(min(s, n) if k == d else s for k, s in enumerate(sizes))
        i = different_along(m, sizes, d, n)
        value = m.tensor(source, a.dtype).name if m.chance(0.7) else m.scalar(a.dtype)
        return Call(name, [a.name, dim, i, value], "ffmio")
    i = m.index(sizes, n).name
    b = m.tensor(source, a.dtype).name
    if name == "scatter_add":
        return Call(name, [a.name, dim, i, b], "ffmio")
    way = m.pick("'sum' 'prod' 'mean' 'amax' 'amin'")
    return Call(name, [a.name, dim, i, b, way, *keywords(include_self=m.pick([None, False, True]))], "ffmio")


def different_along(m: Maker, sizes: tuple[int, ...], dim: int, below: int) -> str:
    """Indices that do not repeat along a dimension."""
    count = math.prod(sizes)
    strides = row_major(sizes)
    data = [0] * count
    for start in range(count):
        if sizes and (start // strides[dim]) % sizes[dim]:
            continue
        order = m.rng.sample(range(max(below, 1)), sizes[dim] if sizes else 1)
        for k, v in enumerate(order):
            data[start + k * (strides[dim] if sizes else 1)] = v
    return m.given(sizes, "int64", data).name


@family("gather and scatter")
def _(m: Maker) -> Call:
    name = m.pick("index_select index_add index_copy index_fill index_reduce")
    a, d, n, dim = tensor_and_dim(m)
    count = m.pick([0, 1, 2, 4])
    kind = m.pick(["int64", "int64", "int32"]) if name in ("index_select", "index_add") else "int64"
    if name == "index_select":
        return Call(name, [a.name, dim, m.index((count,), n, dtype=kind).name], "ffmo")
    if name == "index_fill":
        value = m.scalar(a.dtype) if m.chance(0.6) else m.tensor((), a.dtype).name
        return Call(name, [a.name, dim, m.index((count,), n).name, value], "fmi")
    if name == "index_copy":
        count = min(count, n)
        i = m.given((count,), "int64", m.rng.sample(range(n), count)).name
    else:
        i = m.index((count,), n, dtype=kind).name
    b = m.tensor(tuple(count if k == d else s for k, s in enumerate(a.shape)), a.dtype).name
    if name == "index_add":
        return Call(name, [a.name, dim, i, b, *m.pick([[], [f"alpha={m.scalar(a.dtype)}"]])], "ffmio")
    if name == "index_reduce":
        way = m.pick("'prod' 'mean' 'amax' 'amin'")
        return Call(name, [a.name, dim, i, b, way, *keywords(include_self=m.pick([None, False]))], "ffmi")
    return Call(name, [a.name, dim, i, b], "ffmi")


# ---- order -----------------------------------------------------------------------------------------------------------


@family("order", 2)
def _(m: Maker) -> Call:
    a = m.tensor(values=m.pick(["ties", "ties", "edge", "plain"]), whole=True)
    name = m.pick("sort sort argsort msort topk topk kthvalue median nanmedian mode unique unique unique_consecutive")
    dim, down = m.pick([None, m.dim(a)]), m.pick([None, True, False])
    n = a.shape[dim if dim is not None else -1] if a.rank else 1
    if name in ("sort", "argsort"):
        # In what order equal elements come is PyTorch's own secret unless asked for; up to 16 it is stable.
        stable = m.pick([None, None, True]) if max(a.shape, default=1) <= 16 else True
        return Call(name, [a.name, *keywords(dim=dim, descending=down, stable=stable)], "fm")
    if name == "topk":
        # Which of equal elements are taken is not defined where it changes the indices: distinct values.
        b = distinct(m, a.shape, a.dtype)
        sort = m.pick([None, True])
        return Call(name, [b, str(m.rng.randint(0, n)), *keywords(dim=dim, largest=down, sorted=sort)], "fm")
    if name == "kthvalue":
        return Call(name, [distinct(m, a.shape, a.dtype), str(m.rng.randint(1, max(n, 1))), *keywords(dim=dim)], "fm")
    if name in ("median", "nanmedian", "mode"):
        return Call(name, [a.name, *keywords(dim=m.dim(a))], "fm")
    if name.startswith("unique"):
        some = keywords(
            return_inverse=m.pick([None, True]), return_counts=m.pick([None, True]), dim=m.pick([None, None, dim])
        )
        return Call(name, [a.name, *some], "fm")
    return Call(name, [a.name], "fm")


def distinct(m: Maker, shape: tuple[int, ...], dtype: str) -> str:
    count = math.prod(shape)
    values = m.rng.sample(range(-100, 100), min(count, 200)) if dtype not in ("uint8", "bool") else list(range(count))
    if dtype == "bool":
        values = [v % 2 for v in values]
    scale = 0.5 if dtype in FLOATING else 1
    return m.given(shape, dtype, [(values[k % len(values)]) * scale for k in range(count)]).name


@family("order")
def _(m: Maker) -> Call:
    name = m.pick("searchsorted searchsorted bucketize bucketize bincount histc histc isin histogram")
    dtype = m.dtype()
    if name in ("searchsorted", "bucketize"):
        a = m.tensor(None, dtype)
        n = m.pick([0, 1, 4, 9])
        batch = a.shape[:-1] if name == "searchsorted" and a.rank and m.chance(0.4) else ()
        some = [sorted(m.number(dtype, "ties") for _ in range(n)) for _ in range(math.prod(batch))]
        edges = m.given((*batch, n), dtype, [x for row in some for x in row]).name
        way = m.pick([[], ["right=True"], ["out_int32=True"]])
        if name == "searchsorted":
            way = m.pick([way, ["side='left'"], ["side='right'"]])
        value = a.name if m.chance(0.8) else m.scalar(dtype)
        return Call(name, [edges, value, *way] if name == "searchsorted" else [value, edges, *way], "ff")
    if name == "bincount":
        a = m.index((m.pick([0, 1, 5, 17]),), 7, dtype=m.pick(INTEGERS))
        w = [m.tensor(a.shape, m.dtype()).name] if m.chance(0.5) else []
        return Call(name, [a.name, *w, *keywords(minlength=m.pick([None, 0, 9]))], "fm")
    a = m.tensor(None, dtype if name != "histogram" else m.pick(["float32", "float64"]))
    if name == "isin":
        b = m.tensor(None, dtype).name if m.chance(0.8) else m.scalar(dtype)
        return Call(name, [a.name, b, *keywords(invert=m.pick([None, True]))])
    if name == "histogram":
        return Call(
            name, [a.name, str(m.pick([1, 3, 10])), *m.pick([[], ["range=(-1.0, 2.0)"], ["density=True"]])], "f"
        )
    bounds = keywords(min=-2, max=2) if m.chance(0.5) else []
    return Call(name, [a.name, *keywords(bins=m.pick([None, 1, 4, 7])), *bounds], "ffm")


# ---- matrix products -------------------------------------------------------------------------------------------------


@family("products", 3)
def _(m: Maker) -> Call:
    name = m.pick("mm bmm matmul matmul addmm baddbmm mv dot outer linear addmv addr addbmm vdot inner tensordot "
                  "chain_matmul matrix_power bilinear cross")  # fmt: skip
    n, k, p, b = (m.pick([1, 2, 3, 5, 8, 0] if m.chance(0.1) else [1, 2, 3, 5, 8, 17]) for _ in range(4))
    dtype = m.dtype()
    make = lambda *shape: m.tensor(shape, dtype).name  # noqa: E731
    extra = m.pick([[], [], ["beta=0"], ["alpha=2"], ["beta=0.5", "alpha=-1.5"]])
    if dtype not in FLOATING:
        extra = m.pick([[], ["beta=2", "alpha=3"], ["beta=0"]])
    if name == "mm":
        return Call(name, [make(n, k), make(k, p)], "ffmo")
    if name == "bmm":
        return Call(name, [make(b, n, k), make(b, k, p)], "ffmo")
    if name == "matmul":
        first, second = m.pick([(), (b,), (2, b), (1,)]), m.pick([(), (b,), (1, b), (1,)])
        left = (*first, n, k) if m.chance(0.75) else (k,)
        right = (*second, k, p) if m.chance(0.75) else (k,)
        return Call(name, [make(*left), make(*right)], "ffmo")
    if name == "addmm":
        return Call(name, [make(*m.broadcast((n, p))), make(n, k), make(k, p), *extra], "ffmo")
    if name == "baddbmm":
        return Call(name, [make(*m.broadcast((b, n, p))), make(b, n, k), make(b, k, p), *extra], "ffmo")
    if name == "addbmm":
        return Call(name, [make(*m.broadcast((n, p))), make(b, n, k), make(b, k, p), *extra], "ffmo")
    if name == "mv":
        return Call(name, [make(n, k), make(k)], "ffmo")
    if name == "addmv":
        return Call(name, [make(*m.broadcast((n,))), make(n, k), make(k), *extra], "ffmo")
    if name in ("dot", "vdot"):
        return Call(name, [make(k), make(k)], "ffmo")
    if name == "outer":
        return Call(name, [make(n), make(p)], "ffmo")
    if name == "addr":
        return Call(name, [make(*m.broadcast((n, p))), make(n), make(p), *extra], "ffmo")
    if name == "inner":
        return Call(name, [make(*m.pick([(k,), (n, k)])), make(*m.pick([(k,), (p, k)]))], "ffm")
    if name == "linear":
        bias = m.pick([[], [make(p)]])
        return Call("nn.functional.linear", [make(*m.pick([(k,), (n, k), (2, n, k)])), make(p, k), *bias])
    if name == "tensordot":
        return Call(name, [make(n, k, b), make(k, b, p), m.pick(["2", "([1, 2], [0, 1])", "([2, 1], [1, 0])"])])
    if name == "chain_matmul":
        return Call("linalg.multi_dot", [f"[{make(n, k)}, {make(k, p)}, {make(p, b)}]"])
    if name == "matrix_power":
        return Call(name, [make(n, n), str(m.pick([0, 1, 2, 3]))], "fm")
    if name == "cross":
        return Call(name, [make(n, 3), make(*m.pick([(n, 3), (1, 3)])), "dim=1"], "fm")
    bias = m.pick([[], [make(b)]])
    return Call("nn.functional.bilinear", [make(n, k), make(n, p), make(b, k, p), *bias])


@family("products")
def _(m: Maker) -> Call:
    sizes = dict(zip("ijkl", (m.pick([1, 2, 3, 5]) for _ in range(4)), strict=True))
    dtype = m.dtype()
    terms = ["".join(m.rng.sample("ijkl", m.rng.randint(0, 3))) for _ in range(m.rng.randint(1, 3))]
    if m.chance(0.15):
        terms[0] = "ii" + terms[0].replace("i", "")
    letters = sorted(set("".join(terms)))
    result = m.pick([None, "".join(m.rng.sample(letters, m.rng.randint(0, len(letters))))])
    text = ",".join(terms) + ("" if result is None else "->" + result)
    return Call("einsum", [repr(text), *[m.tensor(tuple(sizes[c] for c in t), dtype).name for t in terms]])


# ---- layers and losses -----------------------------------------------------------------------------------------------


@family("layers", 2)
def _(m: Maker) -> Call:
    name = m.pick("softmax log_softmax softmin softmax layer_norm layer_norm embedding one_hot normalize "
                  "cosine_similarity pairwise_distance rms_norm dropout group_norm batch_norm instance_norm "
                  "gumbel embedding_bag pdist cdist")  # fmt: skip
    dtype = m.dtype(FLOATING)
    n = "nn.functional."
    a_shape = m.shape(0 if m.chance(0.1) else 1, 4)
    if name in ("softmax", "log_softmax", "softmin"):
        a = m.tensor(a_shape, dtype if m.chance(0.9) else None)
        typed = m.pick([None, None, "torch." + m.pick(FLOATING)])
        place = m.pick(["", n, "special."]) if name != "softmin" else n
        return Call(place + name, [a.name, f"dim={m.dim(a)}", *keywords(dtype=typed)])
    if name == "layer_norm" or name == "rms_norm":
        a = m.tensor(a_shape, dtype)
        kept = a.shape[m.rng.randrange(a.rank) :] if a.rank else ()
        some = [
            m.tensor(kept, dtype).name if m.chance(0.6) else "None" for _ in range(2 if name == "layer_norm" else 1)
        ]
        return Call(n + name, [a.name, str(kept), *some, *m.pick([[], ["1e-3"]])])
    if name == "embedding":
        rows = m.pick([1, 3, 6])
        table = m.tensor((rows, m.pick([1, 3, 0])), dtype)
        i = m.index(m.shape(0, 3), rows, dtype=m.pick(["int64", "int32"]))
        some = keywords(padding_idx=m.pick([None, 0, -1]), scale_grad_by_freq=m.pick([None, True]))
        return Call(n + name, [i.name, table.name, *some])
    if name == "embedding_bag":
        rows = m.pick([1, 3, 6])
        table = m.tensor((rows, 3), dtype)
        i = m.index((2, m.pick([1, 3])), rows)
        return Call(n + name, [i.name, table.name, f"mode={m.pick(['sum', 'mean', 'max'])!r}"])
    if name == "one_hot":
        i = m.index(m.shape(0, 3), 4)
        return Call(n + name, [i.name, *m.pick([[], ["5"], ["4"]])])
    if name in ("group_norm", "batch_norm", "instance_norm"):
        a = m.tensor((m.pick([1, 2, 3]), 4, *m.shape(1, 2)), dtype)
        w = [m.tensor((4,), dtype).name if m.chance(0.6) else "None" for _ in range(2)]
        if name == "group_norm":
            return Call(n + name, [a.name, str(m.pick([1, 2, 4])), *w])
        start = [m.tensor((4,), dtype, "positive", grad=False, whole=True).name for _ in range(2)]
        if name == "instance_norm":
            return Call(n + name, [a.name, *m.pick([["None", "None"], start]), *w])
        return Call(n + name, [a.name, *start, *w, f"training={m.pick('True False')}"])
    a = m.tensor(a_shape, dtype)
    if name == "normalize":
        return Call(n + name, [a.name, *keywords(p=m.pick([None, 1, 3]), dim=m.dim(a))])
    if name == "cosine_similarity":
        return Call(name, [a.name, m.tensor(m.broadcast(a.shape), dtype).name, f"dim={m.dim(a)}"])
    if name == "pairwise_distance":
        return Call(name, [a.name, m.tensor(a.shape, dtype).name, *keywords(p=m.pick([None, 1, 3.0, "inf"]))])
    if name == "dropout":
        return Call(n + name, [a.name, m.pick("0.5 0.1 0.0 1.0"), m.pick("True True False")])
    if name == "gumbel":
        return Call(
            n + "gumbel_softmax", [a.name, *keywords(tau=m.pick([None, 0.5]), hard=m.pick([None, True]), dim=m.dim(a))]
        )
    if name == "pdist":
        # PyTorch ends the process in the gradient of no rows.
        return Call(
            "pdist",
            [
                m.tensor((m.pick([2, 4] if m.gradients else [0, 1, 4]), 3), dtype).name,
                m.pick("0.0 1.0 2.0 3.0 inf 1.5"),
            ],
        )
    k = m.pick([1, 3])
    dtype = m.pick(["float32", "float64"])
    b = m.tensor((m.pick([1, 2, 30]), k), dtype).name
    return Call("cdist", [m.tensor((m.pick([0, 3, 30]), k), dtype).name, b, m.pick("0.0 1.0 2.0 3.0 inf 1.5")])


@family("losses", 2)
def _(m: Maker) -> Call:
    n = "nn.functional."
    name = m.pick("l1_loss mse_loss smooth_l1_loss huber_loss binary_cross_entropy binary_cross_entropy_with_logits "
                  "kl_div hinge_embedding_loss soft_margin_loss margin_ranking_loss poisson_nll_loss gaussian_nll_loss "
                  "cosine_embedding_loss triplet_margin_loss multilabel_soft_margin_loss")  # fmt: skip
    dtype = m.dtype(FLOATING)
    shape = m.shape(1, 3)
    reduction = keywords(reduction=m.pick([None, "'none'", "'sum'", "'mean'"]))
    values = "positive" if name == "binary_cross_entropy" and m.chance(0.5) else None
    a = m.tensor(shape, dtype, values)
    other = dtype if m.chance(0.9) else m.dtype(FLOATING)
    b = lambda values=None, shape=shape: m.tensor(shape, other, values).name  # noqa: E731
    if name in ("smooth_l1_loss", "huber_loss"):
        size = m.pick([None, 1.0, 0.5] + [0.0] * (name == "smooth_l1_loss"))
        return Call(n + name, [a.name, b(), *reduction, *keywords(**{"beta" if "l1" in name else "delta": size})])
    if name in ("l1_loss", "mse_loss"):
        return Call(n + name, [a.name, b(), *reduction, *(m.chance(0.2) * [f"weight={b('positive')}"])])
    if name == "binary_cross_entropy":
        given = f"{a}.abs().clamp(max=1)" if m.chance(0.8) else f"{a}.sigmoid()"
        weight = [f"weight={b('positive')}"] if m.chance(0.4) else []
        return Call(n + name, [given, f"{b()}.sigmoid()", *weight, *reduction])
    if name == "binary_cross_entropy_with_logits":
        weight = [f"weight={b('positive')}"] if m.chance(0.4) else []
        weight += [f"pos_weight={b('positive', shape[-1:])}"] if m.chance(0.4) else []
        return Call(n + name, [a.name, f"{b()}.sigmoid()", *weight, *reduction])
    if name == "kl_div":
        return Call(n + name, [a.name, b(), *reduction, *m.pick([[], ["log_target=True"]])])
    sign = m.given(shape, dtype, [m.pick([-1.0, 1.0]) for _ in range(math.prod(shape))], grad=False).name
    if name == "hinge_embedding_loss":
        return Call(n + name, [a.name, sign, *reduction, *keywords(margin=m.pick([None, 0.5]))])
    if name == "soft_margin_loss":
        return Call(n + name, [a.name, sign, *reduction])
    if name == "margin_ranking_loss":
        return Call(n + name, [a.name, b(), sign, *reduction, *keywords(margin=m.pick([None, 0.5]))])
    if name == "poisson_nll_loss":
        some = keywords(log_input=m.pick([None, False]), full=m.pick([None, True]))
        return Call(n + name, [a.name, b(), *some, *reduction])
    if name == "gaussian_nll_loss":
        return Call(n + name, [a.name, b(), b("positive"), *reduction, *m.pick([[], ["full=True"]])])
    if name == "triplet_margin_loss":
        some = keywords(p=m.pick([None, 1, 3]), swap=m.pick([None, True]))
        return Call(n + name, [a.name, b(), b(), *some, *reduction])
    if name == "cosine_embedding_loss":
        rows = m.given(
            shape[:-1][:1], dtype, [m.pick([-1.0, 1.0]) for _ in range(math.prod(shape[:-1][:1]))], grad=False
        )
        return Call(n + name, [a.name, b(), rows.name, *reduction])
    return Call(n + name, [a.name, f"({b()} > 0).to({a}.dtype)", *reduction])


@family("losses")
def _(m: Maker) -> Call:
    n = "nn.functional."
    name = m.pick(
        "cross_entropy cross_entropy cross_entropy nll_loss nll_loss multi_margin_loss multilabel_margin_loss"
    )
    dtype = m.dtype(FLOATING)
    classes, rows, more = m.pick([1, 3, 5]), m.pick([0, 1, 4, 17]), m.pick([(), (), (2,), (2, 3)])
    reduction = keywords(reduction=m.pick([None, "'none'", "'sum'", "'mean'"]))
    if name.startswith("multi"):
        rows = max(rows, 1)  # PyTorch leaves the mean of none unwritten
    if name == "multilabel_margin_loss":
        a = m.tensor((rows, classes), dtype)
        return Call(n + name, [a.name, different_along(m, (rows, classes), 1, classes), *reduction])
    if name == "multi_margin_loss":
        a = m.tensor((rows, classes), dtype)
        w = [f"weight={m.tensor((classes,), dtype, 'positive', grad=False)}"] if m.chance(0.3) else []
        some = keywords(p=m.pick([None, 2]), margin=m.pick([None, 0.5]))
        return Call(n + name, [a.name, m.index((rows,), classes).name, *some, *w, *reduction])
    single = m.chance(0.15)
    a = m.tensor((classes,) if single else (rows, classes, *more), dtype)
    where = () if single else (rows, *more)
    w = [f"weight={m.tensor((classes,), dtype, 'positive', grad=False)}"] if m.chance(0.4) else []
    ignored = keywords(ignore_index=m.pick([None, None, 0, 1]))
    if name == "nll_loss":
        return Call(n + name, [a.name, m.index(where, classes).name, *w, *ignored, *reduction])
    smooth = keywords(label_smoothing=m.pick([None, None, 0.1]))
    if m.chance(0.3):
        return Call(n + name, [a.name, m.tensor(a.shape, dtype, "positive").name, *w, *smooth, *reduction])
    return Call(n + name, [a.name, m.index(where, classes).name, *w, *ignored, *smooth, *reduction])


# ---- creation and random numbers -------------------------------------------------------------------------------------


@family("creation", 2)
def _(m: Maker) -> Call:
    m.gradients = False
    name = m.pick("arange arange linspace linspace logspace eye full tril_indices zeros_like ones_like full_like "
                  "empty_like rand_like to to as_tensor tensor scalar_tensor vander windows range")  # fmt: skip
    typed = m.pick([None, "torch." + m.pick(DTYPES)])
    number = lambda: m.pick([str(m.rng.randint(-9, 9)), f"{m.rng.uniform(-9, 9):.3f}", f"{m.rng.uniform(-1, 1):.6f}"])  # noqa: E731
    if name in ("arange", "range"):
        start, end = number(), number()
        if name == "range" and typed:
            typed = "torch." + m.pick(FLOATING)  # in whole numbers PyTorch divides by a step cut off to 0
        step = f"{m.pick([1, 0.5, 0.1, 2, 3, 0.3]) * (1 if float(end) >= float(start) else -1)}"
        return Call(
            name, [*m.pick([[end.lstrip("-")], [start, end, step], [start, end, step]]), *keywords(dtype=typed)]
        )
    if name in ("linspace", "logspace"):
        steps = str(m.pick([0, 1, 2, 3, 5, 7, 16, 17, 33, 100]))
        base = keywords(base=m.pick([None, 2, 0.5, 3.7])) if name == "logspace" else []
        ends = [f"{float(number()) / 3:.4f}" for _ in range(2)] if name == "logspace" else [number(), number()]
        return Call(name, [*ends, steps, *base, *keywords(dtype=typed)])
    if name == "eye":
        return Call(name, [str(m.pick([0, 1, 3])), *m.pick([[], [str(m.pick([0, 2, 5]))]]), *keywords(dtype=typed)])
    if name == "full":
        return Call(name, [str(m.shape(0, 3)), m.scalar(), *keywords(dtype=typed)])
    if name == "tril_indices":
        return Call(
            m.pick("tril_indices triu_indices"),
            [str(m.pick([0, 1, 4])), str(m.pick([0, 2, 5])), str(m.pick([-2, -1, 0, 1, 2]))],
        )
    if name == "windows":
        w = m.pick("hann_window hamming_window blackman_window bartlett_window kaiser_window")
        return Call(w, [str(m.pick([0, 1, 2, 7, 16])), m.pick("True False"), *keywords(dtype=typed)])
    if name == "scalar_tensor":
        return Call(name, [m.scalar(), *keywords(dtype=typed)])
    if name == "tensor":
        data = [[m.pick([1, 2.5, True, -3]) for _ in range(2)] for _ in range(m.pick([0, 1, 3]))]
        return Call(name, [str(data), *keywords(dtype=typed)])
    a = m.tensor()
    kept = m.pick(
        [None, None, "torch.preserve_format", "torch.contiguous_format"] + ["torch.channels_last"] * (a.rank == 4)
    )
    if name.endswith("_like"):
        fill = [m.scalar(a.dtype)] if name == "full_like" else []
        return Call(name, [a.name, *fill, *keywords(dtype=typed, memory_format=kept)])
    if name == "to":
        return Call(
            name, [a.name, "torch." + m.pick(DTYPES), *keywords(memory_format=kept, copy=m.pick([None, True]))], "m"
        )
    if name == "vander":
        return Call(name, [m.tensor((3,)).name, *keywords(N=m.pick([None, 0, 2, 4]), increasing=m.pick([None, True]))])
    return Call("as_tensor", [a.name, *keywords(dtype=typed)])


SIZES = [0, 1, 2, 7, 8, 15, 16, 17, 31, 32, 33, 100, 300]


@family("random", 2)
def _(m: Maker) -> Call:
    m.gradients = False
    name = m.pick("rand randn randint randperm normal bernoulli multinomial poisson rand_like randn_like randint_like "
                  "uniform_ normal_ exponential_ geometric_ cauchy_ log_normal_ random_ random_ bernoulli_ "
                  "nn.functional.dropout init init nn.functional.rrelu binomial nn.functional.alpha_dropout "
                  "nn.functional.dropout2d")  # fmt: skip
    dtype = m.pick(FLOATING)
    typed = keywords(dtype=m.pick([None, "torch." + dtype]), generator=m.pick([None, "generator"]))
    size = str(m.pick([(m.pick(SIZES),), m.shape(0, 3)]))
    if name in ("rand", "randn"):
        return Call(name, [size, *typed])
    made = keywords(generator=m.pick([None, "generator"]))
    if name == "randint":
        low, high = m.pick([(0, 10), (-5, 5), (0, 2**31), (0, 2**33), (-(2**62), 2**62), (0, 1)])
        kind = m.pick([None, None, "int32", "int8", "uint8", "float32", "int16", "bool", "float16"])
        return Call(name, [str(low), str(high), size, *made, *keywords(dtype=f"torch.{kind}" if kind else None)])
    if name == "randperm":
        return Call(
            name, [str(m.pick([*SIZES, 1000])), *made, *keywords(dtype=m.pick([None, "torch.int32", "torch.float32"]))]
        )
    if name == "binomial":
        a = m.tensor(m.shape(0, 2), dtype, "positive")
        return Call(name, [f"({a} * 7).floor()", f"torch.full_like({a}, {m.pick([0.1, 0.5, 0.9])})", *made])
    shape = m.pick([(m.pick(SIZES),), m.shape(0, 3)])
    a = m.tensor(shape, m.dtype() if name in ("random_", "bernoulli_", "geometric_") else dtype, "plain", whole=True)
    if name == "normal":
        first, second = m.pick([(a.name, f"{a}.abs()"), (a.name, "2.0"), ("0.5", f"{a}.abs()"), ("1.0", "2.0")])
        return Call(name, [first, second, *([size] if first == "1.0" and second == "2.0" else []), *made])
    if name == "bernoulli":
        return Call(name, [f"{a}.sigmoid()", *m.pick([[], ["p=0.3"]]), *made])
    if name == "multinomial":
        n = m.pick([1, 2, 7, 17])
        p = m.tensor(m.pick([(n,), (3, n)]), dtype, "positive")
        again = m.chance(0.5)
        return Call(name, [p.name, str(m.rng.randint(1, 9 if again else n)), str(again), *made])
    if name == "poisson":
        return Call(name, [f"{a}.abs() * {m.pick([1, 5, 30])}", *made])
    if name.endswith("_like"):
        high = [m.pick("5 1000 '2**40'").strip("'")] if name == "randint_like" else []
        return Call(name, [a.name, *high, *m.pick([[], [f"dtype=torch.{dtype}"]])])
    if name.startswith("nn.functional."):
        if name.endswith("rrelu"):
            return Call(name, [a.name, "training=True"])
        return Call(name, [a.name, m.pick("0.5 0.2 0.9"), "True"])
    if name == "init":
        w = m.tensor((m.pick([1, 3, 16]), m.pick([1, 2, 17])), dtype, "plain", whole=True)
        how = m.pick(["uniform_ , -1, 2", "normal_ , 1, 2", "xavier_uniform_", "xavier_normal_",
                      "kaiming_uniform_", "kaiming_normal_", "trunc_normal_", "sparse_ , 0.3",
                      "trunc_normal_ , 0, 1, -0.5, 3"])  # fmt: skip
        f, _, rest = how.partition(" ")
        return Call("nn.init." + f, [w.name + rest.replace(" ,", ",")])
    rest = {
        "uniform_": m.pick([[], ["-1", "3"], ["0.5", "0.7"]]),
        "normal_": m.pick([[], ["1", "3"]]),
        "exponential_": m.pick([[], ["2.5"]]),
        "geometric_": [m.pick("0.3 0.9")],
        "cauchy_": m.pick([[], ["1", "2"]]),
        "log_normal_": m.pick([[], ["0.5", "0.5"]]),
        "random_": m.pick([[], ["10"], ["-3", "100"]]),
        "bernoulli_": m.pick([[], ["0.3"], ["0.9"]]),
    }[name]
    return Call(name, [a.name, *rest, *made], "m")
