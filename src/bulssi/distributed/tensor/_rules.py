"""Rules for operations on `DTensor`: labels for the dimensions of arguments and results. See `_dispatch.py`."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import bulssi
from bulssi import Tensor, _core

from ._api import DTensor, _from_first, _wrap
from ._convert import converted
from ._dispatch import SUM, Call, Labels, choose, execute, execute_inplace, local_parts, run, whole
from .placement_types import Replicate, local_shape

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Rule = "Callable[[Call, Any], Labels]"


def _first(meta: Any) -> Tensor:
    return meta if isinstance(meta, Tensor) else meta[0]


def _dims(value: Any, ndim: int) -> tuple[int, ...]:
    """Dimensions given as a number, several, or None for all."""
    if value is None or value == ():
        return tuple(range(ndim))
    given = (value,) if isinstance(value, int) else value
    return tuple(d % ndim if ndim else 0 for d in given)


def _argument(call: Call, position: int, *names: str, default: Any = None) -> Any:
    if len(call.args) > position:
        return call.args[position]
    return next((call.kwargs[name] for name in names if name in call.kwargs), default)


# ---- element by element ----------------------------------------------------------------------------------------------

_LINEAR = {"neg", "negative", "positive"}
_SUMS = {"add", "sub", "subtract"}


def _aligned(shape: Any, out: Any) -> list[Any]:
    """Labels of an argument whose shape is broadcast."""
    skip = len(out) - len(shape)
    return [skip + i if n == out[skip + i] and n != 1 else None for i, n in enumerate(shape)]


def pointwise(call: Call, meta: Any) -> Labels:
    """Dimensions as those of the result; what is linear takes sums."""
    out = _first(meta).shape
    every = range(len(call.tensors))
    linear: list[Any] = []
    name = call.name.rstrip("_")
    if name in _LINEAR:
        linear = [every]
    elif name in _SUMS:
        linear = [every] if len(every) == 2 else []
    elif name in ("mul", "multiply"):
        linear = [[i] for i in every]
    elif name in ("div", "divide", "true_divide") and call.args and isinstance(call.args[0], DTensor):
        linear = [] if call.kwargs.get("rounding_mode") else [[0]]
    labels = [_aligned(t.shape, out) for t in call.tensors]
    return Labels(labels, [i if n != 1 else None for i, n in enumerate(out)], linear=linear)


# What works element by element beside the pointwise operations of the registry: compositions of them, and operators.
_ELEMENTWISE = (
    "clamp clip copy fill float_power gelu masked_fill nan_to_num positive pow square zero "
    "and invert or radd rdiv rmul rpow rtruediv truediv xor"
).split()
_KEPT = (
    "to type type_as float double half bfloat16 int long bool short char byte cpu clone contiguous "
    "zeros_like ones_like empty_like full_like"
)


@functools.cache
def _elementwise() -> frozenset[str]:
    names = set(_ELEMENTWISE)
    for row in _core.registry():
        if row["kind"] == "pointwise":
            names.add(row["name"])
            names.update(alias.rpartition(".")[2] for alias in row["aliases"].split())
    return frozenset(names)


# ---- products --------------------------------------------------------------------------------------------------------


def linear(call: Call, meta: Any) -> Labels:
    """x (*, k), w (n, k), b (n) to (*, n)."""
    x = call.tensors[0]
    batch = list(range(x.dim() - 1))
    labels: list[Any] = [[*batch, "k"], ["n", "k"], ["n"]]
    return Labels(labels[: len(call.tensors)], [*batch, "n"], sums=["k"], addends=[2])


def matmul(call: Call, meta: Any) -> Labels:
    """(*, m, k) by (*, k, n); the operands may be vectors."""
    a, b = call.tensors
    out = list(range(_first(meta).dim()))
    tail = (["m"] if a.dim() > 1 else []) + (["n"] if b.dim() > 1 else [])
    batch = out[: len(out) - len(tail)]
    shape = _first(meta).shape[: len(batch)]

    def led(t: DTensor) -> list[Any]:
        return _aligned(t.shape[:-2], shape)

    first = [*led(a), "m", "k"] if a.dim() > 1 else ["k"]
    second = [*led(b), "k", "n"] if b.dim() > 1 else ["k"]
    return Labels([first, second], [*batch, *tail], sums=["k"])


def addmm(call: Call, meta: Any) -> Labels:
    """b + (m, k) by (k, n)."""
    names = ["m", "n"]
    added = [names[i] if i is not None else None for i in _aligned(call.tensors[0].shape, _first(meta).shape)]
    return Labels([added, ["m", "k"], ["k", "n"]], names, sums=["k"], addends=[0])


def convolution(call: Call, meta: Any) -> Labels:
    """Split by samples only."""
    x = call.tensors[0]
    rest = [[None] * t.dim() for t in call.tensors[1:]]
    batch = ["b"] if x.dim() == call.tensors[1].dim() else [None]
    return Labels([[*batch, *[None] * (x.dim() - 1)], *rest], [*batch, *[None] * (_first(meta).dim() - 1)])


def attention(call: Call, meta: Any) -> Labels:
    """Split by samples and heads: all dimensions but the last two."""
    out = _first(meta)
    heads = list(range(out.dim() - 2))
    labels = []
    for t in call.tensors:
        led = _aligned(t.shape[:-2], out.shape[:-2]) if t.dim() >= 2 else []
        labels.append([*led, None, None])
    if len({t.shape[-3] for t in call.tensors[:3] if t.dim() > 2}) > 1 and heads:  # heads that share keys
        labels = [[*row[:-3], None, None, None] for row in labels]
        heads[-1] = None  # type: ignore[call-overload]
    return Labels(labels, [*heads, None, None])


# ---- along dimensions ------------------------------------------------------------------------------------------------


def along(position: int, default: Any = -1) -> Any:
    """Not split along the dimension that is the argument ``position`` (counted with self)."""

    def rule(call: Call, meta: Any) -> Labels:
        x = call.tensors[0]
        whole_dims = _dims(_argument(call, position, "dim", default=default), x.dim())
        labels = [None if i in whole_dims else i for i in range(x.dim())]
        kept = [[n if t.shape[i] == x.shape[i] else None for i, n in enumerate(labels)] for t in call.tensors]
        return Labels(kept, labels)

    return rule


def last_dims(call: Call, meta: Any) -> Labels:
    """layer_norm, rms_norm: not split along the dimensions that are normalized."""
    x, shape = call.tensors[0], _argument(call, 1, "normalized_shape")
    count = 1 if isinstance(shape, int) else len(shape)
    labels = [None if i >= x.dim() - count else i for i in range(x.dim())]
    return Labels([labels, *([None] * t.dim() for t in call.tensors[1:])], labels)


def matrices(call: Call, meta: Any) -> Labels:
    """tril, triu: not split along the last two dimensions."""
    labels = [i if i < call.tensors[0].dim() - 2 else None for i in range(call.tensors[0].dim())]
    return Labels([labels], labels)


def _reduction(call: Call, meta: Any, sums: bool) -> Labels:
    x = call.tensors[0]
    value = _argument(call, 1, "dim", "axis")
    reduced = _dims(value if isinstance(value, (int, tuple, list)) else None, x.dim())
    labels = [i if i not in reduced or sums else None for i in range(x.dim())]
    out: list[Any] = [i for i in range(x.dim()) if i not in reduced]
    if _first(meta).dim() == x.dim():
        out = [None if i in reduced else i for i in range(x.dim())]
    return Labels([labels], out, sums=reduced if sums else (), linear=[[0]] if sums else ())


def reduction(call: Call, meta: Any) -> Labels:
    """Not split along the dimensions that are reduced."""
    return _reduction(call, meta, sums=False)


def summation(call: Call, meta: Any) -> Labels:
    """Split along the dimensions that are reduced, a sum."""
    return _reduction(call, meta, sums=True)


def concatenation(call: Call, meta: Any) -> Labels:
    """cat: not split along the dimension where the tensors meet."""
    x = call.tensors[0]
    at = _argument(call, 1, "dim", "axis", default=0) % x.dim()
    labels = [None if i == at else i for i in range(x.dim())]
    return Labels([labels] * len(call.tensors), labels, linear=[range(len(call.tensors))])


def stack(call: Call, meta: Any) -> Labels:
    """stack: as each of the tensors."""
    labels = list(range(call.tensors[0].dim()))
    at = _argument(call, 1, "dim", default=0) % (len(labels) + 1)
    return Labels([labels] * len(call.tensors), [*labels[:at], None, *labels[at:]], linear=[range(len(call.tensors))])


# ---- views -----------------------------------------------------------------------------------------------------------

_PRIMES = (1009, 1013, 1019, 1021, 1031, 1033, 1039, 1049, 1051, 1061, 1063, 1069, 1087, 1091, 1093, 1097)


def strided_view(call: Call, meta: Any) -> Labels:
    """Dimensions that the view leaves as they are: a tensor of odd strides shows where they have gone."""
    x = call.tensors[0]
    strides = _PRIMES[: x.dim()]
    seen = _first(call.with_tensors([bulssi.empty_strided(tuple(x.shape), strides, device="meta")]))
    to = {s: i for i, s in enumerate(strides) if x.shape[i] != 1}
    out = [
        to.get(s) if to.get(s) is not None and x.shape[to[s]] == n else None
        for s, n in zip(seen.stride(), seen.shape, strict=True)
    ]
    kept = {label for label in out if label is not None}
    return Labels([[i if i in kept else None for i in range(x.dim())]], out, linear=[[0]])


def _groups(a: Any, b: Any) -> Iterator[tuple[list[int], list[int]]]:
    """Dimensions of two shapes of one size that go together in a view."""
    i = j = 0
    while i < len(a) or j < len(b):
        left, right = [], []
        m = n = 1
        while True:
            if m <= n and i < len(a) and (m < n or not left):
                m *= a[i]
                left.append(i)
                i += 1
            elif j < len(b) and (n < m or not right):
                n *= b[j]
                right.append(j)
                j += 1
            else:
                break
            if m == n and left and right:
                break
        yield left, right


def reshape_labels(call: Call, meta: Any) -> Labels:
    """The first dimensions of those that a view merges or splits stay split, if the parts fit."""
    x, out = call.tensors[0], _first(meta)
    before: list[Any] = [None] * x.dim()
    after: list[Any] = [None] * out.dim()
    if x.numel():
        for left, right in _groups(x.shape, out.shape):
            i = next((d for d in left if x.shape[d] != 1), None)
            j = next((d for d in right if out.shape[d] != 1), None)
            if i is None or j is None:
                continue
            count = math.prod(call.mesh.size(m) for m, p in enumerate(x.placements) if p.is_shard(i))
            alone = x.shape[i] == out.shape[j]
            if alone or (x.shape[i] % count == 0 and out.shape[j] % count == 0):
                before[i] = after[j] = i
    return Labels([before], after, linear=[[0]])


def _reshape(func: Any, args: Any, kwargs: Any) -> Any:
    """view, reshape and the like: the parts take their part of the shape."""
    if args[1:] and isinstance(args[1], bulssi.dtype):
        call = Call(func, func.__name__, args, kwargs)
        return execute(call, pointwise(call, call.meta()), call.meta())
    call = Call(func, func.__name__, args[:1] if func.__name__ in ("view_as", "reshape_as") else args, kwargs)
    with bulssi.no_grad():
        others = [a._meta if isinstance(a, DTensor) else a for a in args[1:]]
        meta = func(call.tensors[0]._meta, *others, **kwargs)
    targets, out = choose(call, reshape_labels(call, meta))
    (part,) = local_parts(call, targets, out)
    size, _ = local_shape(meta.shape, call.mesh.shape, call.mesh.get_coordinate() or (), out)
    return _wrap(part.reshape(size), call.mesh, out, meta.shape, meta.stride())


def _expand(func: Any, args: Any, kwargs: Any) -> Any:
    call = Call(func, "expand", args[:1], {})
    with bulssi.no_grad():
        others = [a._meta if isinstance(a, DTensor) else a for a in args[1:]]
        meta = func(call.tensors[0]._meta, *others, **kwargs)
    labels = Labels([_aligned(call.tensors[0].shape, meta.shape)], range(meta.dim()), linear=[[0]])
    kept = {label for label in labels.inputs[0] if label is not None}
    labels.output = [i if i in kept else None for i in range(meta.dim())]
    targets, out = choose(call, labels)
    (part,) = local_parts(call, targets, out)
    size, _ = local_shape(meta.shape, call.mesh.shape, call.mesh.get_coordinate() or (), out)
    return _wrap(part.expand(size), call.mesh, out, meta.shape, meta.stride())


# ---- what is done otherwise ------------------------------------------------------------------------------------------


def _mean(func: Any, args: Any, kwargs: Any) -> Any:
    """A sum, divided."""
    if kwargs.get("dtype") is None and not args[0].is_floating_point():
        raise RuntimeError(
            f"mean(): could not infer output dtype. Input dtype must be floating point. Got: {args[0].dtype}"
        )
    total = bulssi.sum(*args, **kwargs)
    return total / max(1, args[0].numel() // max(1, total.numel()))


def _embedding(func: Any, args: Any, kwargs: Any) -> Any:
    """Rows of a table; one split by rows gives sums, of which one summand is not zero."""
    call = Call(func, "embedding", args, kwargs)
    meta = call.meta()
    index = list(range(meta.dim() - 1))
    indices, weight = call.tensors if len(call.tensors) == 2 else (None, call.tensors[0])
    if indices is None:
        raise RuntimeError("embedding got mixed torch.Tensor and DTensor: indices have to be a DTensor too")
    labels = Labels([index, ["v", "e"]], [*index, "e"], sums=["v"])
    if any(kwargs.get(key) is not None for key in ("max_norm",)) or kwargs.get("scale_grad_by_freq"):
        return whole(call)
    if not any(p.is_shard(0) for p in weight.placements):
        return execute(call, Labels([index, [None, "e"]], [*index, "e"]), meta)
    targets, out = choose(call, labels)
    targets[0] = tuple(Replicate() if o == SUM else p for p, o in zip(targets[0], out, strict=True))
    ids, table = local_parts(call, targets, out)
    _, begin = local_shape(weight.shape, call.mesh.shape, call.mesh.get_coordinate() or (), targets[1])
    missing = (ids < begin[0]) | (ids >= begin[0] + table.shape[0])
    if table.shape[0] == 0:
        rows = bulssi.zeros((*ids.shape, table.shape[1]), dtype=table.dtype) + table.sum()
    else:
        padding = kwargs.get("padding_idx", args[2] if len(args) > 2 else None)
        if padding is not None:
            padding = padding % weight.shape[0] - begin[0]
            padding = padding if 0 <= padding < table.shape[0] else None
        rows = bulssi.nn.functional.embedding((ids - begin[0]).masked_fill(missing, 0), table, padding)
        rows = rows.masked_fill(missing.unsqueeze(-1), 0)
    return _wrap(rows, call.mesh, out, meta.shape)


def _drawn(like: DTensor, draw: Callable[[Tensor], Any]) -> Tensor:
    """This process's part of what the first process of the mesh would draw for all of a tensor."""
    own = bulssi.get_rng_state()
    first = _from_first(own, like.device_mesh)
    bulssi.set_rng_state(first)
    drawn = bulssi.empty(tuple(like.shape), dtype=like.dtype)
    made = draw(drawn)
    if not own.equal(first):
        bulssi.set_rng_state(own)
    whole_of = (Replicate(),) * like.device_mesh.ndim
    return converted(
        made if isinstance(made, Tensor) else drawn, like.device_mesh, like.shape, whole_of, like.placements
    )


def _random_fill(func: Any, args: Any, kwargs: Any) -> Any:
    """Filled with what one process would draw: the same numbers, however the tensor is split."""
    this = args[0]
    if any(p.is_partial() for p in this.placements):
        raise RuntimeError(f"{func.__name__}: a tensor placed as {this.placements} cannot be filled")
    if this.is_meta:
        return this
    this._local_tensor.copy_(_drawn(this, lambda t: func(t, *args[1:], **kwargs)))
    return this


def _random_like(func: Any, args: Any, kwargs: Any) -> Any:
    like = args[0]
    local = _drawn(like, lambda t: func(t, *args[1:], **kwargs))
    return _wrap(local, like.device_mesh, like.placements, like.shape, like.stride())


def _dropout(func: Any, args: Any, kwargs: Any) -> Any:
    x = args[0]
    x = x.redistribute(placements=[Replicate() if p.is_partial() else p for p in x.placements])
    with bulssi.no_grad():
        mask = _drawn(x, lambda t: func(t.fill_(1), *args[1:], **kwargs))
    return x * _wrap(mask, x.device_mesh, x.placements, x.shape, x.stride())


def _copy(func: Any, args: Any, kwargs: Any) -> Any:
    target, source = args[0], args[1]
    if not isinstance(target, DTensor):
        raise RuntimeError(
            "copy_ got mixed torch.Tensor and DTensor, need to convert all torch.Tensor to DTensor before calling "
            "distributed operators!\na DTensor is copied into a plain tensor by full_tensor() or to_local()"
        )
    call = Call(func, "copy_", args, kwargs)
    if isinstance(source, DTensor) and source.shape == target.shape:
        target._local_tensor.copy_(source._placed(target.placements))
        target.__dict__.pop("_made", None)
        return target
    return execute_inplace(call, pointwise(call, target._meta))


def _compare(func: Any, args: Any, kwargs: Any) -> Any:
    """equal, allclose: of the wholes."""
    return func(*[a.full_tensor() if isinstance(a, DTensor) else a for a in args], **kwargs)


def _kept(func: Any, args: Any, kwargs: Any) -> Any:
    """Copies and conversions: each process does it with its part."""
    x = args[0]
    others = [a._local_tensor if isinstance(a, DTensor) else a for a in args[1:]]
    local = func(x._local_tensor, *others, **kwargs)
    if any(p.is_partial() for p in x.placements) and (
        func.__name__.endswith("_like") or not local.dtype.is_floating_point
    ):
        whole_of = x.redistribute(placements=[Replicate() if p.is_partial() else p for p in x.placements])
        return _kept(func, (whole_of, *args[1:]), kwargs)
    return _wrap(local, x.device_mesh, x.placements, x.shape, x.stride())


def _norm(func: Any, args: Any, kwargs: Any) -> Any:
    """Norms: of sums over the parts, so that only these travel."""
    x, order = args[0], _argument(Call(func, "norm", args, kwargs), 1, "ord", "p", default=2)
    order = {"fro": 2, None: 2}.get(order, order)
    dims = _argument(Call(func, "norm", args, kwargs), 2, "dim")
    keep = bool(kwargs.get("keepdim", args[3] if len(args) > 3 else False))
    if not isinstance(order, (int, float)) or order in (0, float("inf"), -float("inf")) or kwargs.get("dtype"):
        return _whole(func, args, kwargs)
    powers = x.abs() ** order if order != 2 else x * x
    total = powers.sum() if dims is None and not keep else powers.sum(_dims(dims, x.dim()), keep)
    return total.sqrt() if order == 2 else total ** (1 / order)


def _whole(func: Any, args: Any, kwargs: Any) -> Any:
    return whole(Call(func, func.__name__, args, kwargs))


def _setitem(func: Any, args: Any, kwargs: Any) -> Any:
    run(bulssi.Tensor.copy_, (args[0][args[1]], args[2]), {}) if isinstance(args[2], DTensor) else args[0][
        args[1]
    ].fill_(args[2])


class _ByName(Mapping[str, Any]):
    """Rules by name, and those of what works element by element."""

    def __init__(self, named: dict[str, Any]) -> None:
        self._named = named

    def __getitem__(self, name: str) -> Any:
        found = self._named.get(name)
        if found is not None:
            return found
        if name in _elementwise():
            return pointwise
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return iter({*self._named, *_elementwise()})

    def __len__(self) -> int:
        return len({*self._named, *_elementwise()})


def _table(**rules: Any) -> dict[str, Any]:
    return {name: rule for names, rule in rules.items() for name in names.split("__")}


INPLACE = _ByName({})
RULES = _ByName(
    _table(
        linear=linear,
        mm__matmul__bmm__mv__dot__rmatmul=matmul,
        addmm=addmm,
        conv1d__conv2d__conv3d=convolution,
        scaled_dot_product_attention=attention,
        softmax__log_softmax__cumsum__cumprod__softmin=along(1),
        sort__argsort=along(1),
        topk=along(2),
        gather=along(1),
        layer_norm__rms_norm=last_dims,
        tril__triu=matrices,
        sum=summation,
        amax__amin__max__min__var__std__prod__any__all__argmax__argmin__logsumexp=reduction,
        cat__concat__concatenate=concatenation,
        stack=stack,
        transpose__permute__t__movedim__swapaxes__swapdims__select__narrow__getitem__split__chunk__unbind=strided_view,
        adjoint__moveaxis__tensor_split__split_with_sizes=strided_view,
    )
)
SPECIAL: dict[str, Callable[[Any, Any, Any], Any]] = _table(
    mean=_mean,
    embedding=_embedding,
    view__reshape__flatten__unflatten__squeeze__unsqueeze__view_as__reshape_as=_reshape,
    expand__expand_as=_expand,
    **dict.fromkeys(("normal_", "uniform_", "bernoulli_", "random_", "exponential_"), _random_fill),
    rand_like__randn_like=_random_like,
    dropout=_dropout,
    **{"copy_": _copy},
    equal__allclose=_compare,
    setitem=_setitem,
    nll_loss__cross_entropy=_whole,
    vector_norm__norm=_norm,
    **dict.fromkeys(_KEPT.split(), _kept),
)
