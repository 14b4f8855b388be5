"""Connectionist temporal classification."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING

import bulssi
from bulssi import Tensor

from . import _reduction
from ._arguments import check_floating, passed_as
from ._precision import float32

if TYPE_CHECKING:
    from typing import Any

_IMPOSSIBLE = -1e30  # stands for log 0: it survives additions, and no gradient through it is nan


def _padded_targets(targets: Tensor, lengths: list[int], device: Any) -> Tensor:
    """Targets given one after the other, as rows of equal length."""
    rows = bulssi.zeros((len(lengths), max(lengths, default=0)), dtype=bulssi.int64, device=device)
    start = 0
    for row, length in zip(rows, lengths, strict=True):
        row[:length] = targets[start : start + length]
        start += length
    return rows


def _check(log_probs: Tensor, targets: Tensor, inputs: list[int], lengths: list[int], blank: int) -> None:
    steps, batch, classes = log_probs.shape
    if not 0 <= blank < classes:
        raise RuntimeError(f"blank must be in label range (blank = {blank}, classes = {classes})")
    for name, got in (("input_lengths", inputs), ("target_lengths", lengths)):
        if len(got) != batch:
            raise RuntimeError(f"{name} must be of size batch_size\n({name} has {len(got)}, the batch {batch})")
        if any(n < 0 for n in got):
            raise RuntimeError(f"{name} must not be negative")
    if max(inputs, default=0) > steps:
        raise RuntimeError(f"Expected input_lengths to have value at most {steps}, but got value {max(inputs)}")
    if targets.dim() == 1:
        if sum(lengths) != targets.numel():
            raise RuntimeError(
                f"Expected the sum of target_lengths ({sum(lengths)}) to be the number of targets ({targets.numel()})"
            )
    elif targets.dim() == 0:
        raise RuntimeError("Expected 1 to 2 dimensions, but got 0-dimensional tensor for argument #2 'targets'")
    elif targets.dim() != 2 or targets.shape[0] != batch or targets.shape[1] < max(lengths, default=0):
        raise RuntimeError(
            f"Expected tensor to have size at least {max(lengths, default=0)} at dimension 1, but got size "
            f"{targets.shape[-1]} for argument #2 'targets'"
        )


@float32
@passed_as(
    "ctc_loss(Tensor log_probs, Tensor targets, int[] input_lengths, int[] target_lengths, int blank, int reduction, "
    "bool zero_infinity) -> Tensor",
    (),
    "ctc_loss(Tensor log_probs, Tensor targets, Tensor input_lengths, Tensor target_lengths, int blank, int reduction, "
    "bool zero_infinity) -> Tensor",
)
def ctc_loss(
    log_probs: Tensor,
    targets: Tensor,
    input_lengths: Any,
    target_lengths: Any,
    blank: int = 0,
    reduction: str = "mean",
    zero_infinity: bool = False,
) -> Tensor:
    """Minus the log-probability of a label sequence, summed over its alignments (Graves et al. 2006).

    Args:
        log_probs: ``(T, N, C)`` or ``(T, C)``, logarithms of probabilities such as ``log_softmax`` gives.
        targets: ``(N, S)``, or all sequences one after the other; without the blank.
        input_lengths, target_lengths: the used part of each sequence.
        blank: the class that stands for no label.
        reduction: a mean first divides each loss by its target's length.
        zero_infinity: sequences that cannot be aligned (too short an input) count as 0 instead of infinity.

    The gradient is the one with respect to the logits in front of a ``log_softmax``, as in PyTorch.
    """
    reduction = _reduction.resolve(reduction)
    for name, lengths in (("input_lengths", input_lengths), ("target_lengths", target_lengths)):
        if isinstance(lengths, Tensor) and (lengths.is_floating_point() or lengths.dtype == bulssi.bool):
            raise RuntimeError(f"{name} must be integral\nIts dtype is {lengths.dtype}.")
    check_floating(log_probs, "ctc_loss_cpu")
    batched = log_probs.dim() == 3
    if not batched:
        if log_probs.dim() != 2:
            raise RuntimeError(f"log_probs must have 2 or 3 dimensions, but has {log_probs.dim()}")
        log_probs, targets = log_probs.unsqueeze(1), targets.reshape(1, -1)
    inputs, lengths = (
        list(n.reshape(-1).tolist()) if isinstance(n, Tensor) else [operator.index(i) for i in n]
        for n in (input_lengths, target_lengths)
    )
    _check(log_probs, targets, inputs, lengths, blank)
    device = log_probs.device
    if targets.dim() == 1:
        targets = _padded_targets(targets, lengths, device)
    steps = bulssi.tensor(inputs, device=device)
    sizes = bulssi.tensor(lengths, device=device)
    loss = _negative_log_likelihood(log_probs, targets.long().to(device), steps, sizes, blank)
    impossible = loss.detach() > -_IMPOSSIBLE / 2
    if zero_infinity:
        loss = loss.masked_fill(impossible, 0)
    elif impossible.any():
        loss = bulssi.where(impossible, loss * float("inf"), loss)
    if reduction == "mean":
        return (loss / sizes.clamp(min=1).to(loss.dtype)).mean()
    return loss.sum() if reduction == "sum" else (loss if batched else loss.squeeze(0))


def _negative_log_likelihood(logp: Tensor, targets: Tensor, steps: Tensor, sizes: Tensor, blank: int) -> Tensor:
    """Forward variables over the labels with blanks between them: states 0, 2, ... are blanks, 1, 3, ... labels."""
    time, batch, _ = logp.shape
    labels = bulssi.full((batch, 2 * targets.shape[1] + 1), blank, dtype=bulssi.int64, device=logp.device)
    labels[:, 1::2] = targets
    emit = logp.gather(2, labels.unsqueeze(0).expand(time, -1, -1))
    # A state may be skipped if it is a blank between two different labels.
    skip = bulssi.zeros_like(labels, dtype=bulssi.bool)
    skip[:, 2:] = (labels[:, 2:] != blank) & (labels[:, 2:] != labels[:, :-2])
    never = logp.new_full((batch, 1), _IMPOSSIBLE)
    start = bulssi.zeros_like(labels, dtype=bulssi.bool)
    start[:, :2] = True
    alpha = bulssi.where(start, emit[0], _IMPOSSIBLE) if time else bulssi.where(start, 0.0, _IMPOSSIBLE)
    rows = [alpha]
    for t in range(1, time):
        one = bulssi.cat([never, alpha[:, :-1]], 1)
        two = bulssi.where(skip, bulssi.cat([never, one[:, :-1]], 1), _IMPOSSIBLE)
        alpha = bulssi.stack([alpha, one, two]).logsumexp(0) + emit[t]
        rows.append(alpha)
    item = bulssi.arange(batch, device=logp.device)
    last = bulssi.stack(rows)[(steps - 1).clamp(min=0), item]
    ends = bulssi.stack(
        [
            last.gather(1, (2 * sizes).unsqueeze(1)).squeeze(1),
            bulssi.where(sizes > 0, last.gather(1, (2 * sizes - 1).clamp(min=0).unsqueeze(1)).squeeze(1), _IMPOSSIBLE),
        ]
    )
    loss = -ends.logsumexp(0)
    if (steps == 0).any():  # nothing was read: certain for an empty target, impossible for another
        loss = bulssi.where(steps == 0, bulssi.where(sizes == 0, 0.0, -_IMPOSSIBLE).to(loss.dtype), loss)
    used = bulssi.arange(time, device=logp.device).unsqueeze(1) < steps
    mass = (logp.exp().sum(2) * used.to(logp.dtype)).sum(0)
    return loss + (mass - mass.detach())  # adds nothing but the term of the normalisation to the gradient
