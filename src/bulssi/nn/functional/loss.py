"""Losses, in tensor operations: each is differentiable as often as these are.

All take ``reduction``: ``"none"`` (one loss per item), ``"mean"`` or ``"sum"``. The arguments ``size_average``
and ``reduce`` are the deprecated way to say the same.
"""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING

import bulssi
from bulssi.nn._native import native

from . import _reduction
from ._arguments import check_call, check_floating, in_python, passed_as, scalar_name
from ._graph import shown_as
from ._precision import float32
from .distance import pairwise_distance

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from bulssi import Tensor


# ---- regression ---------------------------------------------------------------------------------------------------


def _broadcast(input: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    if target.size() == input.size():
        return input, target
    warnings.warn(
        f"Using a target size ({target.size()}) that is different to the input size ({input.size()}). This will likely "
        "lead "
        "to incorrect results due to broadcasting. Please ensure they have the same size.",
        stacklevel=3,
    )
    input, target = bulssi.broadcast_tensors(input, target)
    return input, target


def _weighted(loss: Tensor, input: Tensor, weight: Tensor | None, reduction: str, by_weight: bool) -> Tensor:
    """``loss`` times ``weight``, reduced; a mean divides by the sum of the weights if ``by_weight``."""
    if weight is None:
        return _reduction.apply(loss, _reduction.resolve(reduction))
    if weight.size() != input.size():
        raise ValueError("Weights and input must have the same size.")
    if reduction not in ("none", "mean", "sum"):
        raise ValueError(f"Invalid reduction mode: {reduction}. Expected one of 'none', 'mean', 'sum'.")
    loss = loss * weight
    if reduction == "mean" and by_weight:
        return loss.sum() / weight.sum()
    return _reduction.apply(loss, reduction)


@shown_as("MseLossBackward0")
@float32
@in_python
def mse_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Tensor | None = None,
) -> Tensor:
    """Squared difference."""
    input, target = _broadcast(input, target)
    if size_average is not None or reduce is not None:
        reduction = _reduction.legacy_get_string(size_average, reduce)
    return _weighted(native.mse_cpu(input, target), input, weight, reduction, by_weight=True)


@float32
@in_python
def l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Tensor | None = None,
) -> Tensor:
    """Absolute difference."""
    input, target = _broadcast(input, target)
    if size_average is not None or reduce is not None:
        reduction = _reduction.legacy_get_string(size_average, reduce)
    return _weighted((input - target).abs(), input, weight, reduction, by_weight=True)


@shown_as("SmoothL1LossBackward0")
@float32
@passed_as("smooth_l1_loss(Tensor input, Tensor target, int reduction, float beta) -> Tensor", ("input", "target"))
def smooth_l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    beta: float = 1.0,
) -> Tensor:
    """Squared difference / (2 beta) where that is below ``beta / 2``, absolute difference - beta/2 elsewhere."""
    input, target = _broadcast(input, target)
    reduction = _reduction.resolve(reduction, size_average, reduce)
    if beta < 0:
        raise RuntimeError(f"smooth_l1_loss does not support negative values for beta.\n(beta = {beta})")
    loss = (input - target).abs() if beta == 0 else native.smooth_l1_cpu(input, target, beta)
    return _reduction.apply(loss, reduction)


@shown_as("HuberLossBackward0")
@float32
@passed_as("huber_loss(Tensor input, Tensor target, int reduction, float delta) -> Tensor", ("input", "target"))
def huber_loss(
    input: Tensor, target: Tensor, reduction: str = "mean", delta: float = 1.0, weight: Tensor | None = None
) -> Tensor:
    """Half the squared difference where the difference is below ``delta``, linear elsewhere (Huber 1964)."""
    input, target = _broadcast(input, target)
    if delta <= 0:
        raise RuntimeError(f"huber_loss does not support non-positive values for delta.\n(delta = {delta})")
    return _weighted(native.huber_cpu(input, target, delta), input, weight, reduction, by_weight=False)


@float32
@passed_as("poisson_nll_loss(Tensor input, Tensor target, bool log_input, bool full, float eps) -> Tensor", ())
def poisson_nll_loss(
    input: Tensor,
    target: Tensor,
    log_input: bool = True,
    full: bool = False,
    size_average: bool | None = None,
    eps: float = 1e-8,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Negative log-likelihood of counts under a Poisson distribution with rate ``exp(input)`` (or ``input``).

    ``full`` adds Stirling's approximation of ``log(target!)``; ``eps`` keeps ``log(input)`` finite.
    """
    reduction = _reduction.resolve(reduction, size_average, reduce)
    if type(log_input) is not bool or type(full) is not bool:
        check_call(
            "poisson_nll_loss(Tensor input, Tensor target, bool log_input, bool full) -> Tensor",
            input, target, log_input, full,
        )  # fmt: skip
    loss = input.exp() - target.mul(input) if log_input else input - target.mul((input + eps).log())
    if full:
        stirling = target * target.log() - target + 0.5 * (2 * math.pi * target).log()
        loss = loss + stirling.masked_fill(target <= 1, 0)
    return _reduction.apply(loss, reduction)


@in_python
def gaussian_nll_loss(
    input: Tensor,
    target: Tensor,
    var: Any,
    full: bool = False,
    eps: float = 1e-6,
    reduction: str = "mean",
) -> Tensor:
    """Negative log-likelihood under a normal distribution with mean ``input`` and variance ``var`` (at least ``eps``).

    ``full`` adds the constant ``log(2 pi) / 2``.
    """
    if isinstance(var, float):
        if var < 0:
            raise ValueError("var has negative entry/entries")
        var = var * bulssi.ones_like(input)
    elif (var < 0).any():
        raise ValueError("var has negative entry/entries")
    if var.size() != input.size():
        if input.size()[:-1] == var.size():
            var = var.unsqueeze(-1)
        elif not (
            input.dim() == var.dim() and sum(v for i, v in zip(input.shape, var.shape, strict=True) if i != v) == 1
        ):
            raise ValueError(f"var is of incorrect size: {tuple(var.shape)} for an input of {tuple(input.shape)}")
    if reduction not in ("none", "mean", "sum"):
        raise ValueError(reduction + " is not valid")
    var = var.clone()
    with bulssi.no_grad():
        var.clamp_(min=eps)
    loss = 0.5 * (var.log() + (input - target) ** 2 / var)
    if full:
        loss = loss + 0.5 * math.log(2 * math.pi)
    return _reduction.apply(loss, reduction)


# ---- classification -----------------------------------------------------------------------------------------------


def _class_dim(input: Tensor) -> int:
    return 0 if input.dim() == 1 else 1


def _check_class_weight(weight: Tensor | None, classes: int, who: str = "") -> None:
    if weight is not None and not (weight.dim() == 1 and weight.numel() == classes):
        raise RuntimeError(
            f"{who}weight tensor should be defined either for all {classes} classes or no classes but got weight "
            "tensor of "
            f"shape: {list(weight.shape)}"
        )


def _check_nll_shapes(input: Tensor, target: Tensor) -> None:
    if input.dim() < 1:
        raise ValueError(f"Expected 1 or more dimensions (got {input.dim()})")
    if input.dim() == 1:
        if target.dim() > 1:
            raise RuntimeError("0D or 1D target tensor expected, multi-target not supported")
        if target.numel() != 1:
            raise ValueError(f"For 1D input, 1D target must have size 1, but got target size: {target.numel()}")
        return
    batch = target.shape[0] if target.dim() else 0
    if input.shape[0] != batch:
        raise ValueError(f"Expected input batch_size ({input.shape[0]}) to match target batch_size ({batch}).")
    if input.dim() == 2:
        if target.dim() > 1:
            raise RuntimeError("0D or 1D target tensor expected, multi-target not supported")
    elif input.dim() == 4 and target.dim() != 3:
        raise RuntimeError(
            f"only batches of spatial targets supported (3D tensors) but got targets of dimension: {target.dim()}"
        )
    elif target.shape != (input.shape[0], *input.shape[2:]):
        if input.dim() == 4:
            raise RuntimeError(f"size mismatch (got input: {list(input.shape)} , target: {list(target.shape)}")
        expected = [input.shape[0], *input.shape[2:]]
        raise RuntimeError(f"Expected target size {expected}, got {list(target.shape)}")


def _pick(values: Tensor, index: Tensor, dim: int) -> Tensor:
    """``values`` at the class ``index`` of each item."""
    try:
        if dim == 0:
            return values.gather(0, index.reshape(1)).reshape(index.shape)
        return values.gather(1, index.reshape(values.shape[0], 1, *values.shape[2:])).squeeze(1)
    except (IndexError, RuntimeError):
        wrong = index[(index < 0) | (index >= values.shape[dim])] if index.dim() else index
        if wrong.numel() and not 0 <= wrong.reshape(-1)[0].item() < values.shape[dim]:
            label = wrong.reshape(-1)[0].item()
            raise IndexError(
                f"Target {label} is out of bounds.\nThere are {values.shape[dim]} classes, numbered from 0."
            ) from None
        raise


@float32
@passed_as("nll_loss_nd(Tensor input, Tensor target, Tensor? weight, int reduction, int ignore_index) -> Tensor", ())
def nll_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Minus the log-probability of the target class.

    Args:
        input: log-probabilities, ``(C)``, ``(N, C)`` or ``(N, C, d1, ...)``.
        target: classes, ``()``, ``(N)`` or ``(N, d1, ...)``.
        weight: one factor per class; a mean is divided by the sum of those used.
        ignore_index: the target of items that do not count.
    """
    reduction = _reduction.resolve(reduction, size_average, reduce)
    _check_nll_shapes(input, target)
    return _nll(input, target, weight, ignore_index, reduction)


def _nll_name(logp: Tensor, target: Tensor, weight: Tensor | None, ignore_index: int, reduction: str) -> str:
    if reduction == "none" and logp.dim() not in (1, 2, 4):
        return "ViewBackward0"  # made flat in between
    return "NllLossBackward0" if logp.dim() <= 2 else "NllLoss2DBackward0"


@shown_as(_nll_name, joint=True)
def _nll(logp: Tensor, target: Tensor, weight: Tensor | None, ignore_index: int, reduction: str) -> Tensor:
    """:func:`nll_loss` when the shapes have been checked."""
    if target.dtype != bulssi.int64:
        if target.dtype != bulssi.uint8:
            raise RuntimeError(
                f"expected target dtype to be Long or Byte, but got {scalar_name(target)}\n"
                "Targets are class numbers: convert them with target.long()."
            )
        target = target.long()
    check_floating(logp, "nll_loss_out_frame" if logp.dim() <= 2 else "nll_loss2d_forward_out_frame")
    dim = _class_dim(logp)
    if weight is None and logp.dim() == 2 and logp.is_floating_point() and logp.device.type == "cpu":
        return native._nll(logp, target, ("none", "mean", "sum").index(reduction), ignore_index)
    if weight is not None:
        _check_class_weight(weight, logp.shape[dim])
        if weight.dtype != logp.dtype:
            raise RuntimeError(f"expected scalar type {scalar_name(logp)} but found {scalar_name(weight)}\n(weight)")
    if dim == 0:
        target = target.reshape(())
    ignored = target == ignore_index
    masked = bool(ignored.any())
    index = target.masked_fill(ignored, 0) if masked else target
    loss = -_pick(logp, index, dim)
    if weight is None and not masked:
        return _reduction.apply(loss, reduction)
    factor = bulssi.ones_like(loss) if weight is None else weight[index]
    if masked:
        factor = factor.masked_fill(ignored, 0)
        loss = loss.masked_fill(ignored, 0)  # also where the ignored log-probability is infinite
    loss = loss * factor
    return loss.sum() / factor.sum() if reduction == "mean" else _reduction.apply(loss, reduction)


@float32
@passed_as(
    "cross_entropy_loss(Tensor input, Tensor target, Tensor? weight, int reduction, int ignore_index, "
    "float label_smoothing) -> Tensor",
    (),
)
def cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """Cross entropy between the softmax of ``input`` and a target class or distribution.

    Args:
        input: logits, ``(C)``, ``(N, C)`` or ``(N, C, d1, ...)``.
        target: classes, ``()``, ``(N)`` or ``(N, d1, ...)``; or probabilities in the shape of ``input``.
        weight: one factor per class.
        ignore_index: the target class of items that do not count.
        label_smoothing: how much of the target is spread evenly over the classes, in [0, 1].
    """
    reduction = _reduction.resolve(reduction, size_average, reduce)
    if not 0.0 <= label_smoothing <= 1.0:
        raise RuntimeError(f"label_smoothing must be between 0.0 and 1.0. Got: {label_smoothing}")
    dim = _class_dim(input)
    if input.shape == target.shape:
        return _soft_cross_entropy(input, target, weight, ignore_index, reduction, label_smoothing)
    if input.dim() == 0:
        raise IndexError(
            "Dimension out of range (expected to be in range of [-1, 0], but got 1)\nA loss needs classes."
        )
    _check_nll_shapes(input, target)
    if input.dim() == 2 and weight is None and label_smoothing == 0 and target.dtype == bulssi.int64:
        how = ("none", "mean", "sum").index(reduction)
        return native._cross_entropy(input, target, how, ignore_index)  # no log-softmax in memory
    logp = input.log_softmax(dim)
    loss = _nll(logp, target, weight, ignore_index, reduction)
    if label_smoothing == 0:
        return loss
    even = -(logp if weight is None else logp * weight.reshape(-1, *(1,) * (input.dim() - 1 - dim))).sum(dim)
    ignored = target == ignore_index
    even = even.masked_fill(ignored, 0)
    if reduction == "mean":
        used = bulssi.ones_like(even) if weight is None else weight[target.masked_fill(ignored, 0)]
        even = even.sum() / used.masked_fill(ignored, 0).sum()
    else:
        even = _reduction.apply(even, reduction)
    return (1 - label_smoothing) * loss + even * (label_smoothing / input.shape[dim])


def _soft_cross_entropy(
    input: Tensor, target: Tensor, weight: Tensor | None, ignore_index: int, reduction: str, label_smoothing: float
) -> Tensor:
    if not target.is_floating_point():
        raise RuntimeError(
            f"Expected floating point type for target with class probabilities, got {scalar_name(target)}\n"
            "A target in the shape of the input holds probabilities; one of class numbers has no class dimension."
        )
    if ignore_index >= 0:
        raise RuntimeError("ignore_index is not supported for floating point target")
    dim = _class_dim(input)
    classes = input.shape[dim]
    _check_class_weight(weight, classes, "cross_entropy: ")
    if label_smoothing > 0:
        target = target * (1 - label_smoothing) + label_smoothing / classes
    loss = input.log_softmax(dim) * target
    if weight is not None:
        loss = loss * weight.reshape(-1, *(1,) * (input.dim() - 1 - dim))
    if reduction == "none":
        return -loss.sum(dim)
    return _mean_of(-loss.sum(), input.numel() / classes) if reduction == "mean" else -loss.sum()


@shown_as("DivBackward1")
def _mean_of(total: Tensor, count: float) -> Tensor:
    return total / count


@float32
@in_python
def linear_cross_entropy(
    input: Tensor,
    linear_weight: Tensor,
    target: Tensor,
    *,
    linear_bias: Tensor | None = None,
    weight: Tensor | None = None,
    reduction: str = "mean",
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    options: Any = None,
) -> Tensor:
    """:func:`cross_entropy` of ``linear(input, linear_weight, linear_bias)``.

    ``linear_weight`` is ``(C, *out_features, in_features)``. ``options`` say how the work may be cut up; they do not
    change the result, and here they have no effect.
    """
    if not 1 <= input.dim() <= 2:
        raise RuntimeError(f"expected input with dimensionality 1 or 2, got {input.dim()}")
    if linear_weight.dim() < 2:
        raise RuntimeError(f"expected linear_weight with dimensionality at least 2, got {linear_weight.dim()}")
    in_features = input.shape[-1]
    if in_features != linear_weight.shape[-1]:
        raise RuntimeError(
            f"expected equal input and linear_weight last dimensions (in_features), got {in_features} and "
            f"{linear_weight.shape[-1]}, respectively"
        )
    classes = tuple(linear_weight.shape[:-1])
    if linear_bias is not None and tuple(linear_bias.shape) != classes:
        raise RuntimeError(f"expected linear_bias shape {classes}, got {tuple(linear_bias.shape)}")
    if len(classes) > 1 and input.dim() == 1:
        raise RuntimeError(
            f"K-dimensional loss defined by linear_weight shape {tuple(linear_weight.shape)} requires batched input, "
            f"(N, {in_features}), got unbatched input with shape {tuple(input.shape)}"
        )
    shape = (*input.shape[:-1], *classes)
    if ignore_index is not None and tuple(target.shape) == shape:
        raise RuntimeError("ignore_index cannot be specified when target contains probabilities")
    bias = None if linear_bias is None else linear_bias.reshape(-1)
    logits = native.linear(input, linear_weight.reshape(-1, in_features), bias).reshape(shape)
    return cross_entropy(
        logits,
        target,
        weight=weight,
        reduction=reduction,
        ignore_index=-100 if ignore_index is None else ignore_index,
        label_smoothing=label_smoothing,
    )


_BCE_EDGE = 9.999999960041972e-13  # 1e-12 as a float: where x * (1 - x) is smaller, the gradient's denominator is this


@shown_as("BinaryCrossEntropyBackward0")
@float32
@in_python
def binary_cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """``-(t log x + (1 - t) log(1 - x))`` for probabilities ``x``; the logarithms are at least -100."""
    reduction = _reduction.resolve(reduction, size_average, reduce)
    if target.size() != input.size():
        raise ValueError(
            f"Using a target size ({target.size()}) that is different to the input size ({input.size()}) is "
            "deprecated. "
            "Please ensure they have the same size."
        )
    if weight is not None:
        weight.size()
    if target.dtype != input.dtype:
        raise RuntimeError(
            f"Found dtype {scalar_name(target)} but expected {scalar_name(input)}\nbinary_cross_entropy: the target is "
            f"{target.dtype}; convert it with .to(input.dtype)."
        )
    check_floating(input, "binary_cross_entropy")
    if input.dtype.itemsize == 2:  # what follows needs the range of float
        loss = binary_cross_entropy(
            input.float(), target.float(), None if weight is None else weight.float(), reduction="none"
        )
        return _reduction.apply(loss.to(input.dtype), reduction)
    with bulssi.no_grad():
        if not ((input >= 0) & (input <= 1)).all():
            raise RuntimeError(
                "all elements of input should be between 0 and 1\nFor logits use binary_cross_entropy_with_logits."
            )
        inside = input * (1 - input) > _BCE_EDGE
        all_inside = bool(inside.all())
    safe = input if all_inside else bulssi.where(inside, input, 0.5)
    loss = -(target * safe.log() + (1 - target) * (-safe).log1p())
    if not all_inside:
        # At the edges the value is cut off and the slope is that of the formula with the denominator cut off.
        x = input.detach()
        edge = -(target * x.log().clamp(min=-100) + (1 - target) * (-x).log1p().clamp(min=-100))
        edge = edge + (x - target.detach()) / _BCE_EDGE * (input - x)
        loss = bulssi.where(inside, loss, edge)
    return _reduction.apply(loss if weight is None else loss * weight, reduction)


@shown_as("BinaryCrossEntropyWithLogitsBackward0")
@float32
@passed_as(
    "binary_cross_entropy_with_logits(Tensor input, Tensor target, Tensor? weight, Tensor? pos_weight, int reduction) "
    "-> Tensor",
    ("input", "target"),
)
def binary_cross_entropy_with_logits(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    pos_weight: Tensor | None = None,
) -> Tensor:
    """:func:`binary_cross_entropy` of ``sigmoid(input)``, without overflow; ``pos_weight`` scales the term of ``t``."""
    reduction = _reduction.resolve(reduction, size_average, reduce)
    if target.size() != input.size():
        raise ValueError(f"Target size ({target.size()}) must be the same as input size ({input.size()})")
    if weight is not None and not isinstance(weight, bulssi.Tensor):
        raise TypeError("weight is no tensor")
    log_sigmoid = native.logsigmoid(input)
    if pos_weight is not None:
        log_sigmoid = ((pos_weight - 1) * target + 1) * log_sigmoid
    loss = (1 - target) * input - log_sigmoid
    return _reduction.apply(loss if weight is None else loss * weight, reduction)


@float32
def kl_div(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    log_target: bool = False,
) -> Tensor:
    """Kullback-Leibler divergence of ``target`` (probabilities, or their logarithms) from log-probabilities ``input``.

    ``reduction="batchmean"`` divides the sum by the size of the first dimension, as the definition has it.
    """
    if size_average is None and reduce is None and reduction == "mean":
        warnings.warn(
            "reduction: 'mean' divides the total loss by both the batch size and the support size."
            "'batchmean' divides only by the batch size, and aligns with the KL div math definition."
            "'mean' will be changed to behave the same as 'batchmean' in the next major release.",
            stacklevel=2,
        )
    if not (input.is_floating_point() and target.is_floating_point()):
        raise RuntimeError(
            f"kl_div: Integral inputs not supported.\ninput is {input.dtype} and target {target.dtype}; both hold "
            "(log-)probabilities."
        )
    if type(log_target) is not bool:
        check_call(
            "kl_div(Tensor input, Tensor target, *, bool log_target) -> Tensor", input, target, log_target=log_target
        )
    by_batch = reduction == "batchmean"
    reduction = _reduction.resolve("sum" if by_batch else reduction, size_average, reduce)
    loss = target.exp() * (target - input) if log_target else bulssi.xlogy(target, target) - target * input
    loss = _reduction.apply(loss, reduction)
    return loss / input.shape[0] if by_batch and input.dim() else loss


# ---- margins ------------------------------------------------------------------------------------------------------


@float32
def hinge_embedding_loss(
    input: Tensor,
    target: Tensor,
    margin: float = 1.0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """``x`` where the target is 1, ``max(0, margin - x)`` where it is -1."""
    reduction = _reduction.resolve(reduction, size_average, reduce)
    zero = bulssi.zeros((), dtype=input.dtype, device=input.device)
    apart = bulssi.where(target.ne(1), (margin - input).clamp(min=0).to(input.dtype), zero)
    return _reduction.apply(apart + bulssi.where(target.ne(-1), input, zero), reduction)


@float32
@passed_as(
    "margin_ranking_loss(Tensor input1, Tensor input2, Tensor target, float margin, int reduction) -> Tensor",
    ("input1", "input2", "target"),
)
def margin_ranking_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: float = 0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """``max(0, -t (x1 - x2) + margin)``."""
    reduction = _reduction.resolve(reduction, size_average, reduce)
    if not input1.dim() == input2.dim() == target.dim():
        raise RuntimeError(
            "margin_ranking_loss : All input tensors should have same dimension but got sizes: "
            f"input1: {input1.size()}, input2: {input2.size()}, target: {target.size()} "
        )
    return _reduction.apply((-target * (input1 - input2) + margin).clamp_min(0), reduction)


@shown_as("SoftMarginLossBackward0")
@float32
def soft_margin_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """``log(1 + exp(-t x))``."""
    if target.requires_grad and bulssi.is_grad_enabled():
        raise RuntimeError(
            "The function 'soft_margin_loss' is not differentiable with respect to argument 'target'. This input "
            "cannot have requires_grad True."
        )
    loss = (-target * input).exp().log1p()  # infinite where exp is, as PyTorch's
    return _reduction.apply(loss, _reduction.resolve(reduction, size_average, reduce))


@float32
def cosine_embedding_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: float = 0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """``1 - cos`` where the target is 1, ``max(0, cos - margin)`` where it is -1."""
    reduction = _reduction.resolve(reduction, size_average, reduce)
    if target.dim() > 1:
        raise RuntimeError("0D or 1D target tensor expected, multi-target not supported")
    if input1.dim() != target.dim() + 1 or input2.dim() != target.dim() + 1:
        raise RuntimeError(
            f"{target.dim()}D target tensor expects {target.dim() + 1}D input tensors, but found inputs with sizes "
            f"{list(input1.shape)} and {list(input2.shape)}."
        )
    tiny = 1e-12
    squares = ((input1 * input1).sum(-1) + tiny) * ((input2 * input2).sum(-1) + tiny)
    cos = (input1 * input2).sum(-1) / squares.sqrt()
    zero = bulssi.zeros_like(cos)
    loss = bulssi.where(target == 1, 1 - cos, zero) + bulssi.where(target == -1, (cos - margin).clamp(min=0), zero)
    return _reduction.apply(loss, reduction)


def _check_margin_input(input: Tensor) -> None:
    if input.dim() > 2 or 0 in input.shape[-1:]:
        raise RuntimeError(
            f"Expected non-empty vector or matrix with optional 0-dim batch size, but got: {list(input.shape)}"
        )


@shown_as("MultiMarginLossBackward0")
@float32
@passed_as(
    "multi_margin_loss(Tensor input, Tensor target, Scalar p, Scalar margin, Tensor? weight, int reduction) -> Tensor",
    (),
)
def multi_margin_loss(
    input: Tensor,
    target: Tensor,
    p: int = 1,
    margin: float = 1.0,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Mean over the classes ``i`` of ``max(0, margin - x[t] + x[i])**p``, the target class left out."""
    reduction = _reduction.resolve(reduction, size_average, reduce)
    if p not in (1, 2):
        raise ValueError("only p == 1 and p == 2 supported")
    if weight is not None and weight.dim() != 1:
        raise ValueError("weight must be one-dimensional")
    _check_margin_input(input)
    count = input.shape[0] if input.dim() == 2 else 1
    if target.dim() > 1 or target.numel() != count:
        raise RuntimeError(
            "multi_margin_loss: target tensor should be 1-D with size equal to the number of input samples (batch "
            "size). "
            f"Expected target size [{count}], but got {list(target.shape)}. Input has shape {list(input.shape)}."
        )
    classes = input.shape[-1] if input.dim() else 1
    if weight is not None and weight.numel() != classes:
        raise RuntimeError(f"inconsistent weight size, expected {classes} but got {list(weight.shape)}")
    check_floating(input, "multi_margin_loss_cpu_kernel")
    if target.dtype != bulssi.int64:
        raise RuntimeError(f"expected scalar type Long but found {scalar_name(target)}\n(target)")
    rows = input.reshape(count, classes)
    index = target.reshape(count, 1)
    if ((index < 0) | (index >= classes)).any():
        raise RuntimeError(f"target out of range\nThere are {classes} classes, numbered from 0.")
    loss = _positive(margin - rows.gather(1, index) + rows)
    if p == 2:
        loss = loss * loss
    if weight is not None:
        loss = loss * weight[index]
    loss = loss.scatter(1, index, 0.0).sum(1) / classes
    return _reduction.apply(loss.reshape(target.shape) if input.dim() < 2 else loss, reduction)


def _positive(x: Tensor) -> Tensor:
    """``max(x, 0)``, and 0 for nan, as PyTorch counts only what is above the margin."""
    return bulssi.where(x > 0, x, 0.0)


@shown_as("MultilabelMarginLossBackward0")
@float32
def multilabel_margin_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Sum over target classes ``j`` and others ``i`` of ``max(0, 1 - (x[j] - x[i]))``, divided by the number of
    classes.

    ``target`` has the shape of ``input`` and lists classes up to the first -1.
    """
    reduction = _reduction.resolve(reduction, size_average, reduce)
    _check_margin_input(input)
    if target.shape != input.shape:
        raise RuntimeError(f"inconsistent target size: {list(target.shape)} for input of size: {list(input.shape)}")
    check_floating(input, "multilabel_margin_loss_forward_out_frame")
    classes = input.shape[-1] if input.dim() else 1
    rows, labels = input.reshape(-1, classes), target.reshape(-1, classes)
    if ((labels < -1) | (labels >= classes)).any():
        raise RuntimeError(f"argument #2 'target' is out of range\nThere are {classes} classes; -1 ends the list.")
    if target.dtype != bulssi.int64:
        raise RuntimeError(f"expected scalar type Long but found {scalar_name(target)}\n(target)")
    listed = (labels >= 0).long().cumprod(1).bool()
    index = labels.masked_fill(~listed, 0)
    others = bulssi.zeros_like(labels).scatter_add(1, index, listed.long()) == 0
    loss = _positive(1 - rows.gather(1, index).unsqueeze(2) + rows.unsqueeze(1))
    loss = loss * (listed.unsqueeze(2) & others.unsqueeze(1)).to(loss.dtype)
    loss = loss.sum((1, 2)) / classes
    return _reduction.apply(loss.reshape(input.shape[:-1]), reduction)


def multilabel_soft_margin_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Mean over the classes of the binary cross entropy of ``sigmoid(input)``."""
    if size_average is not None or reduce is not None:
        reduction = _reduction.legacy_get_string(size_average, reduce)
    if reduction not in ("none", "mean", "sum"):
        raise ValueError(f"{reduction} is not valid")
    loss = -(target * native.logsigmoid(input) + (1 - target) * native.logsigmoid(-input))
    if weight is not None:
        loss = loss * weight
    return _reduction.apply(loss.sum(input.dim() - 1) / input.shape[-1], reduction)


@float32
def triplet_margin_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    margin: float = 1.0,
    p: float = 2,
    eps: float = 1e-6,
    swap: bool = False,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """``max(0, d(anchor, positive) - d(anchor, negative) + margin)`` with the p-norm distance.

    With ``swap`` the smaller of the negative's distances to anchor and positive counts (Balntas et al. 2016).
    """
    return triplet_margin_with_distance_loss(
        anchor,
        positive,
        negative,
        distance_function=lambda a, b: pairwise_distance(a, b, p, eps),
        margin=margin,
        swap=swap,
        reduction=_reduction.resolve(reduction, size_average, reduce),
    )


@in_python
def triplet_margin_with_distance_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    *,
    distance_function: Callable[[Tensor, Tensor], Tensor] | None = None,
    margin: float = 1.0,
    swap: bool = False,
    reduction: str = "mean",
) -> Tensor:
    """:func:`triplet_margin_loss` with another distance."""
    reduction = _reduction.resolve(reduction)
    if margin <= 0:
        raise ValueError(f"margin must be greater than 0, got {margin}")
    if not anchor.dim() == positive.dim() == negative.dim():
        raise RuntimeError(
            "The anchor, positive, and negative tensors are expected to have the same number of dimensions, but got: "
            f"anchor {anchor.dim()}D, positive {positive.dim()}D, and negative {negative.dim()}D inputs"
        )
    distance = pairwise_distance if distance_function is None else distance_function
    near, far = distance(anchor, positive), distance(anchor, negative)
    if swap:
        far = bulssi.minimum(far, distance(positive, negative))
    return _reduction.apply((margin + near - far).clamp(min=0), reduction)
