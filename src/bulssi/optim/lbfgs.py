"""LBFGS and its line search."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import bulssi
from bulssi.optim.optimizer import Optimizer, _to_scalar

if TYPE_CHECKING:
    from collections.abc import Callable

    from bulssi import Tensor
    from bulssi.optim.optimizer import ParamsT

__all__ = ["LBFGS"]


class LBFGS(Optimizer):
    """Limited-memory BFGS (Liu & Nocedal 1989; Nocedal & Wright, Numerical Optimization, 2nd ed., algorithm 7.4).

    One group of parameters. step() needs a closure that clears the gradients, evaluates, calls backward and returns
    the loss; it is called up to `max_eval` times. The state takes history_size + 1 times the parameters' memory.

    Args:
        params: tensors or (name, tensor) pairs.
        lr: step size, or the first one tried by the line search.
        max_iter: iterations in one step().
        max_eval: evaluations in one step(); None is max_iter * 5 // 4.
        tolerance_grad: stops when no element of the gradient is larger.
        tolerance_change: stops when neither the loss nor any parameter changes by more.
        history_size: pairs of differences kept.
        line_search_fn: None or "strong_wolfe".

    Raises:
        ValueError: more than one group, or a negative learning rate.
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1,
        max_iter: int = 20,
        max_eval: int | None = None,
        tolerance_grad: float = 1e-7,
        tolerance_change: float = 1e-9,
        history_size: int = 100,
        line_search_fn: str | None = None,
    ) -> None:
        if isinstance(lr, bulssi.Tensor) and lr.numel() != 1:
            raise ValueError("Tensor lr must be 1-element")
        if not 0.0 <= lr:
            raise ValueError(f"Invalid learning rate: {lr}")
        defaults = {
            "lr": lr, "max_iter": max_iter, "max_eval": max_iter * 5 // 4 if max_eval is None else max_eval,
            "tolerance_grad": tolerance_grad, "tolerance_change": tolerance_change, "history_size": history_size,
            "line_search_fn": line_search_fn,
        }  # fmt: skip
        super().__init__(params, defaults)
        if len(self.param_groups) != 1:
            raise ValueError("LBFGS doesn't support per-parameter options (parameter groups)")
        self._params = self.param_groups[0]["params"]

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._params = self.param_groups[0]["params"]

    # ---- parameters as one vector

    def _flat_grad(self) -> Tensor:
        parts = []
        for p in self._params:
            part = p.new_zeros(p.numel()) if p.grad is None else p.grad.reshape(-1)
            parts.append(bulssi.view_as_real(part).reshape(-1) if part.is_complex() else part)
        return bulssi.cat(parts, 0)

    def _move(self, size: Any, direction: Tensor) -> None:
        size = size.item() if isinstance(size, bulssi.Tensor) else size
        offset = 0
        for p in self._params:
            p = bulssi.view_as_real(p) if p.is_complex() else p
            p.add_(direction[offset : offset + p.numel()].view_as(p), alpha=size)
            offset += p.numel()

    # ---- the step

    @bulssi.no_grad()
    def step(self, closure: Callable[[], Any]) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Minimises for up to max_iter iterations; returns the loss before them."""

        def evaluate() -> Any:
            with bulssi.enable_grad():
                return closure()

        group = self.param_groups[0]
        state = self.state[self._params[0]]
        state.setdefault("func_evals", 0)
        state.setdefault("n_iter", 0)
        first_loss = evaluate()
        loss, evals = float(first_loss), 1
        state["func_evals"] += 1
        grad = self._flat_grad()
        if grad.abs().max() <= group["tolerance_grad"]:
            return first_loss
        names = ("d", "t", "old_dirs", "old_stps", "ro", "H_diag", "prev_flat_grad", "prev_loss")
        memory = {name: state.get(name) for name in names}
        for iteration in range(1, group["max_iter"] + 1):
            state["n_iter"] += 1
            previous = memory["prev_flat_grad"]  # none in the first iteration, or where that one was not finished
            d = self._direction(grad, memory, state, group["history_size"])
            memory["prev_flat_grad"] = grad.clone() if previous is None else previous.copy_(grad)
            memory["prev_loss"] = loss
            lr = _to_scalar(group["lr"])
            t = min(1.0, 1.0 / grad.abs().sum()) * lr if previous is None else lr
            slope = grad.dot(d)
            memory["t"] = t
            if slope > -group["tolerance_change"]:
                break
            last = iteration == group["max_iter"]
            used = 0
            if group["line_search_fn"] is not None:
                loss, grad, t, used = self._search(evaluate, t, d, loss, grad, slope, group["max_eval"] - evals)
                memory["t"] = t
            self._move(t, d)
            if group["line_search_fn"] is None and not last:
                loss, grad, used = float(evaluate()), self._flat_grad(), 1
            evals += used
            state["func_evals"] += used
            if last or evals >= group["max_eval"] or grad.abs().max() <= group["tolerance_grad"]:
                break
            if d.mul(t).abs().max() <= group["tolerance_change"]:
                break
            if abs(loss - memory["prev_loss"]) < group["tolerance_change"]:
                break
        state.update(memory)
        return first_loss

    def _direction(self, grad: Tensor, memory: dict[str, Any], state: dict[str, Any], history: int) -> Tensor:
        """The quasi-Newton direction by the two-loop recursion; updates the pairs in `memory`."""
        if memory["prev_flat_grad"] is None:
            memory.update(d=grad.neg(), old_dirs=[], old_stps=[], ro=[], H_diag=1)
            return memory["d"]
        ys, ss, ro = memory["old_dirs"], memory["old_stps"], memory["ro"]
        y, s = grad.sub(memory["prev_flat_grad"]), memory["d"].mul(memory["t"])
        curvature = y.dot(s)
        if curvature > 1e-10:
            if len(ys) == history:
                for pairs in (ys, ss, ro):
                    pairs.pop(0)
            ys.append(y)
            ss.append(s)
            ro.append(1.0 / curvature)
            memory["H_diag"] = curvature / y.dot(y)
        al = state.setdefault("al", [None] * history)
        q = grad.neg()
        for i in reversed(range(len(ys))):
            al[i] = ss[i].dot(q) * ro[i]
            q.add_(ys[i], alpha=-al[i].item())
        d = q.mul(memory["H_diag"])
        for i in range(len(ys)):
            d.add_(ss[i], alpha=(al[i] - ys[i].dot(d) * ro[i]).item())
        memory["d"] = d
        return d

    def _search(
        self, evaluate: Callable[[], Any], t: Any, d: Tensor, loss: float, grad: Tensor, slope: Tensor, limit: int
    ) -> tuple[float, Tensor, Any, int]:
        if self.param_groups[0]["line_search_fn"] != "strong_wolfe":
            raise RuntimeError("only 'strong_wolfe' is supported")
        start = [p.clone() for p in self._params]

        def at(t: Any) -> _Point:
            self._move(t, d)
            loss, grad = float(evaluate()), self._flat_grad()
            for p, value in zip(self._params, start, strict=True):
                p.copy_(value)
            return _Point(t, loss, grad, grad.dot(d))

        first = _Point(0, loss, grad.clone(), slope)
        best, used = _strong_wolfe(at, first, t, d.abs().max(), limit)
        return best.loss, best.grad, best.t, used


class _Point:
    """What is known at step size t along the direction: loss, gradient, and slope = gradient . direction."""

    __slots__ = ("grad", "loss", "slope", "t")

    def __init__(self, t: Any, loss: float, grad: Tensor, slope: Tensor) -> None:
        self.t, self.loss, self.grad, self.slope = t, loss, grad, slope


def _strong_wolfe(
    at: Callable[[Any], _Point], start: _Point, t: Any, d_norm: Tensor, limit: int, c1: float = 1e-4, c2: float = 0.9,
    tolerance: float = 1e-9,
) -> tuple[_Point, int]:  # fmt: skip
    """A step size that satisfies the strong Wolfe conditions (Nocedal & Wright, algorithms 3.5 and 3.6), or the lowest
    point found within `limit` rounds; and the number of evaluations."""
    point, previous = at(t), start
    evals, rounds, done = 1, 0, False

    def too_high(p: _Point) -> Any:
        return p.loss > start.loss + c1 * p.t * start.slope

    def flat_enough(p: _Point) -> Any:
        return abs(p.slope) <= -c2 * start.slope

    bracket = None
    while rounds < limit:
        if too_high(point) or (rounds > 1 and point.loss >= previous.loss):
            bracket = [previous, point]
            break
        if flat_enough(point):
            bracket, done = [point], True
            break
        if point.slope >= 0:
            bracket = [previous, point]
            break
        bounds = (point.t + 0.01 * (point.t - previous.t), point.t * 10)
        previous, t = point, _cubic_minimum(previous, point, bounds)
        point = at(t)
        evals, rounds = evals + 1, rounds + 1
    if bracket is None:
        bracket = [start, point]

    stuck = False
    low, high = (0, 1) if bracket[0].loss <= bracket[-1].loss else (1, 0)
    while not done and rounds < limit:
        left, right = min(p.t for p in bracket), max(p.t for p in bracket)
        if abs(bracket[1].t - bracket[0].t) * d_norm < tolerance:
            break
        t = _cubic_minimum(bracket[0], bracket[1])
        margin = 0.1 * (right - left)
        if min(right - t, t - left) < margin:  # too near an end: allowed once, then moved inwards
            if stuck or t >= right or t <= left:
                t = right - margin if abs(t - right) < abs(t - left) else left + margin
                stuck = False
            else:
                stuck = True
        else:
            stuck = False
        point = at(t)
        evals, rounds = evals + 1, rounds + 1
        if too_high(point) or point.loss >= bracket[low].loss:
            bracket[high] = point
            low, high = (0, 1) if bracket[0].loss <= bracket[1].loss else (1, 0)
            continue
        if flat_enough(point):
            done = True
        elif point.slope * (bracket[high].t - bracket[low].t) >= 0:
            bracket[high] = bracket[low]
        bracket[low] = point
    return bracket[low], evals


def _cubic_minimum(a: _Point, b: _Point, bounds: tuple[Any, Any] | None = None) -> Any:
    """Where the cubic through both points with their slopes is least, within bounds (equation 3.59)."""
    first, last = (a, b) if a.t <= b.t else (b, a)
    lower, upper = (first.t, last.t) if bounds is None else bounds
    d1 = a.slope + b.slope - 3 * (a.loss - b.loss) / (a.t - b.t)
    square = d1**2 - a.slope * b.slope
    if not square >= 0:
        return (lower + upper) / 2.0
    d2 = square.sqrt()
    least = last.t - (last.t - first.t) * ((last.slope + d2 - d1) / (last.slope - first.slope + 2 * d2))
    return min(max(least, lower), upper)
