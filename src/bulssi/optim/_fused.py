"""The update formulas of the elementwise optimizers, and the one seam through which they run.

Each formula is one function of a parameter, its gradient, its state tensors and scalars. `step(kind, params, grads,
states, scalars)` runs it for a list of parameters: in the core's `fused_step` when that takes the case (plain numbers,
no recording), else here, with tensor operations in PyTorch's single-tensor order, which fixes the rounding.

Note [Optimizer seam]: `states[i]` holds the state tensors of `params[i]` in the order of the formula's positional
arguments (None for one not in use), step counters included as 0-d tensors; `scalars` are its keyword arguments. An
implementation updates params and states in place and returns True, or changes nothing and returns False.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import bulssi

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bulssi import Tensor

try:
    from bulssi._core import fused_step as _core_step
except ImportError:
    _core_step = None

FORMULAS: dict[str, Callable[..., None]] = {}
_CAPTURABLE_DEVICES = ["cuda", "xpu", "hpu", "privateuseone", "xla"]


def step(
    kind: str,
    params: list[Tensor],
    grads: list[Tensor],
    states: Sequence[tuple[Tensor | None, ...]],
    scalars: dict[str, Any],
) -> None:
    """Runs the formula `kind` on every parameter, in place. See Note [Optimizer seam]."""
    plain = not scalars.get("differentiable") and not any(isinstance(v, bulssi.Tensor) for v in scalars.values())
    if plain and _core_step is not None and _core_step(kind, params, grads, states, scalars):  # pyright: ignore[reportArgumentType]
        return
    if any(hasattr(param, "_local_tensor") for param in params):  # split over processes: each updates its part
        parts: list[Any] = [[getattr(t, "_local_tensor", t) for t in row] for row in (params, grads, *states)]
        return step(kind, parts[0], parts[1], [tuple(row) for row in parts[2:]], scalars)
    formula = FORMULAS[kind]
    for param, grad, state in zip(params, grads, states, strict=True):
        if param.is_complex():
            size = param.shape
            state = tuple([s if s is None or s.shape != size else bulssi.view_as_real(s) for s in state])
            param, grad = bulssi.view_as_real(param), bulssi.view_as_real(grad)
        formula(param, grad, *state, **scalars)


def check_options(kind: str, capturable: bool, foreach: bool | None, differentiable: bool) -> None:
    """Refuses at the first step what PyTorch refuses then: its texts depend on the optimizer and on `foreach`."""
    if foreach and differentiable:
        raise AssertionError("_foreach ops don't support autograd")
    if not capturable:
        return
    nadam = "mu_products, and " if foreach else "mu_products and "
    others = {"nadam": nadam, "asgd": "mus, etas, and "}.get(kind, "")
    without_xla = kind == "adadelta" or (foreach and kind not in ("rmsprop", "rprop"))
    devices = _CAPTURABLE_DEVICES[:-1] if without_xla else _CAPTURABLE_DEVICES
    joint = ", " if others else " and "
    raise AssertionError(
        f"If capturable=True, params{joint}{others}state_steps must be on supported devices: {devices}."
    )


def _formula(function: Callable[..., None]) -> Callable[..., None]:
    FORMULAS[function.__name__] = function
    return function


def _number(x: Any) -> Any:
    """A 0-d tensor as a Python number, for arguments that must be numbers."""
    return x.item() if isinstance(x, bulssi.Tensor) else x


def _squeezed(x: Any) -> Any:
    return x.squeeze() if isinstance(x, bulssi.Tensor) and x.dim() != 0 else x


def _decayed(grad: Tensor, param: Tensor, weight_decay: Any) -> Tensor:
    """The gradient with an L2 penalty's: grad + weight_decay * param."""
    if not isinstance(weight_decay, bulssi.Tensor):
        return grad.add(param, alpha=weight_decay) if weight_decay != 0 else grad
    if weight_decay.requires_grad:
        return grad.addcmul(param.clone(), weight_decay)
    return grad.add(param, alpha=weight_decay.item())


def _shrink(param: Tensor, lr: Any, weight_decay: Any) -> None:
    """Decoupled weight decay (Loshchilov & Hutter 2019): param *= 1 - lr * weight_decay."""
    if isinstance(weight_decay, bulssi.Tensor) or weight_decay != 0:
        param.mul_(1 - lr * weight_decay)


@_formula
def sgd(param, grad, buf, *, lr, momentum, dampening, weight_decay, nesterov, maximize, first_step, differentiable):
    """Stochastic gradient descent; `first_step` fills the momentum buffer with the gradient."""
    grad = _decayed(-grad if maximize else grad, param, weight_decay)
    if buf is not None:
        if first_step:
            buf.copy_(grad.detach())
        else:
            buf.mul_(momentum).add_(grad, alpha=1 - dampening)
        grad = grad.add(buf, alpha=momentum) if nesterov else buf
    lr = _squeezed(lr)
    if isinstance(lr, bulssi.Tensor) and lr.requires_grad:
        param.addcmul_(grad, lr, value=-1)
    else:
        param.add_(grad, alpha=-_number(lr))


@_formula
def adam(
    param, grad, step, exp_avg, exp_avg_sq, max_exp_avg_sq, *, lr, beta1, beta2, eps, weight_decay, amsgrad,
    decoupled_weight_decay, maximize, capturable, differentiable,
):  # fmt: skip
    """Adam (Kingma & Ba 2015), AMSGrad (Reddi et al. 2018), AdamW (Loshchilov & Hutter 2019)."""
    lr = _squeezed(lr)
    grad = -grad if maximize else grad
    step += 1
    if decoupled_weight_decay:
        _shrink(param, lr, weight_decay)
    else:
        grad = _decayed(grad, param, weight_decay)
    weight = 1 - beta1
    exp_avg.lerp_(grad, weight.to(param.dtype) if isinstance(weight, bulssi.Tensor) else weight)
    if isinstance(beta2, bulssi.Tensor) and beta2.requires_grad:
        exp_avg_sq.lerp_(grad.square(), (1 - beta2).to(param.dtype))
    else:
        exp_avg_sq.mul_(beta2).addcmul_(grad, grad, value=1 - _number(beta2))
    if differentiable:
        count = step.clone()
        bias1, bias2 = 1 - beta1**count, 1 - beta2**count
        second = exp_avg_sq
        if max_exp_avg_sq is not None:
            max_exp_avg_sq.copy_(bulssi.maximum(max_exp_avg_sq.clone(), exp_avg_sq))
            second = max_exp_avg_sq
        negative_size = -(lr / bias1)
        denom = (second.sqrt() / (bias2.sqrt() * negative_size)).add_(eps / negative_size)
        param.addcdiv_(exp_avg.clone(), denom)
        return
    count = step.item()
    bias1, bias2 = 1 - beta1**count, 1 - beta2**count
    second = exp_avg_sq
    if max_exp_avg_sq is not None:
        second = bulssi.maximum(max_exp_avg_sq, exp_avg_sq, out=max_exp_avg_sq)
    denom = (second.sqrt() / bias2**0.5).add_(eps)
    param.addcdiv_(exp_avg, denom, value=-_number(lr / bias1))


@_formula
def adagrad(param, grad, step, total, *, lr, lr_decay, weight_decay, eps, maximize, differentiable):
    """Adagrad (Duchi, Hazan & Singer 2011); `total` is the sum of squared gradients."""
    step += 1
    grad = _decayed(-grad if maximize else grad, param, weight_decay)
    rate = _squeezed(lr) / (1 + (step.item() - 1) * lr_decay)
    total.addcmul_(grad, grad, value=1)
    std = total.sqrt() + eps if differentiable else total.sqrt().add_(eps)
    param.addcdiv_(grad, std, value=-_number(rate))


@_formula
def adadelta(
    param, grad, step, square_avg, acc_delta, *, lr, rho, eps, weight_decay, maximize, capturable, differentiable
):
    """Adadelta (Zeiler 2012)."""
    step += 1
    grad = _decayed(-grad if maximize else grad, param, weight_decay)
    square_avg.mul_(rho).addcmul_(grad, grad, value=1 - rho)
    std = square_avg.add(eps).sqrt_()
    delta = acc_delta.add(eps).sqrt_()
    if differentiable:
        delta = delta.clone()
    delta.div_(std).mul_(grad)
    acc_delta.mul_(rho).addcmul_(delta, delta, value=1 - rho)
    param.add_(delta, alpha=-_number(_squeezed(lr)))


@_formula
def adamax(
    param, grad, step, exp_avg, exp_inf, *, lr, beta1, beta2, eps, weight_decay, maximize, capturable, differentiable
):
    """Adamax (Kingma & Ba 2015, section 7.1)."""
    grad = -grad if maximize else grad
    step += 1
    grad = _decayed(grad, param, weight_decay)
    exp_avg.lerp_(grad, 1 - beta1)
    if differentiable:
        both = bulssi.stack([exp_inf.mul_(beta2), grad.abs().add_(eps)])
        exp_inf.copy_(bulssi.amax(both, 0, keepdim=False))
    else:
        bulssi.maximum(exp_inf.mul_(beta2), grad.abs().add_(eps), out=exp_inf)
    rate = _squeezed(lr) / (1 - beta1 ** step.item())
    param.addcdiv_(exp_avg, exp_inf, value=-_number(rate))


@_formula
def nadam(
    param, grad, step, mu_product, exp_avg, exp_avg_sq, *, lr, beta1, beta2, eps, weight_decay, momentum_decay,
    decoupled_weight_decay, maximize, capturable, differentiable,
):  # fmt: skip
    """Adam with Nesterov momentum (Dozat 2016)."""
    lr = _squeezed(lr)
    grad = -grad if maximize else grad
    step += 1
    count = step.item()
    if decoupled_weight_decay:
        _shrink(param, lr, weight_decay)
    else:
        grad = _decayed(grad, param, weight_decay)
    mu = beta1 * (1.0 - 0.5 * (0.96 ** (count * momentum_decay)))
    mu_next = beta1 * (1.0 - 0.5 * (0.96 ** ((count + 1) * momentum_decay)))
    mu_product *= mu
    exp_avg.lerp_(grad, 1 - beta1)
    exp_avg_sq.mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
    denom = exp_avg_sq.div(1 - beta2**count).sqrt()
    if differentiable:
        denom = denom.add(eps)
        grad = grad * (-lr * (1.0 - mu) / (1.0 - mu_product))
        momentum = exp_avg * (-lr * mu_next / (1.0 - mu_product * mu_next))
        param.addcdiv_(grad, denom)
        param.addcdiv_(momentum, denom)
        return
    product = mu_product.item()
    denom.add_(eps)
    param.addcdiv_(grad, denom, value=_number(-lr * (1.0 - mu) / (1.0 - product)))
    param.addcdiv_(exp_avg, denom, value=_number(-lr * mu_next / (1.0 - product * mu_next)))


@_formula
def radam(
    param, grad, step, exp_avg, exp_avg_sq, *, lr, beta1, beta2, eps, weight_decay, decoupled_weight_decay, maximize,
    capturable, differentiable,
):  # fmt: skip
    """Rectified Adam (Liu et al. 2020)."""
    lr = _squeezed(lr)
    grad = -grad if maximize else grad
    step += 1
    count = step.item()
    if decoupled_weight_decay:
        _shrink(param, lr, weight_decay)
    else:
        grad = _decayed(grad, param, weight_decay)
    exp_avg.lerp_(grad, 1 - beta1)
    exp_avg_sq.mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
    bias2 = 1 - beta2**count
    corrected = exp_avg / (1 - beta1**count)
    rho_inf = 2 / (1 - beta2) - 1
    rho = rho_inf - 2 * count * (beta2**count) / bias2  # length of the approximated simple moving average
    if rho > 5.0:
        root = exp_avg_sq.sqrt()
        root = root.add(eps) if differentiable else root.add_(eps)
        rectifier = ((rho - 4) * (rho - 2) * rho_inf / ((rho_inf - 4) * (rho_inf - 2) * rho)) ** 0.5
        param.add_(corrected * lr * (bias2**0.5 / root) * rectifier, alpha=-1.0)
    else:
        param.add_(corrected * lr, alpha=-1.0)


@_formula
def rmsprop(
    param, grad, step, square_avg, momentum_buffer, grad_avg, *, lr, alpha, eps, weight_decay, momentum, centered,
    maximize, capturable, differentiable,
):  # fmt: skip
    """RMSprop (Hinton 2012, lecture 6e); `centered` divides by the variance (Graves 2013)."""
    lr = _squeezed(lr)
    grad = -grad if maximize else grad
    step += 1
    grad = _decayed(grad, param, weight_decay)
    square_avg.mul_(alpha).addcmul_(grad, grad, value=1 - alpha)
    if grad_avg is not None:
        grad_avg.lerp_(grad, 1 - alpha)
        avg = square_avg.addcmul(grad_avg, grad_avg, value=-1).sqrt_()
    else:
        avg = square_avg.sqrt()
    avg = avg.add(eps) if differentiable else avg.add_(eps)
    if momentum_buffer is not None:
        momentum_buffer.mul_(momentum).addcdiv_(grad, avg)
        param.add_(momentum_buffer, alpha=-_number(lr))
    else:
        param.addcdiv_(grad, avg, value=-_number(lr))


@_formula
def rprop(
    param, grad, step, prev, step_size, *, etaminus, etaplus, step_size_min, step_size_max, maximize, capturable,
    differentiable,
):  # fmt: skip
    """Resilient backpropagation (Riedmiller & Braun 1993): the sign of the gradient only, with a step per element."""
    grad = -grad if maximize else grad
    step += 1
    sign = grad.mul(prev.clone() if differentiable else prev).sign()
    turned = sign.lt(0)
    factor = sign.masked_fill(sign.eq(0), 1).masked_fill(sign.gt(0), etaplus).masked_fill(turned, etaminus)
    step_size.mul_(factor).clamp_(step_size_min, step_size_max)
    grad = grad.masked_fill(turned, 0)
    param.addcmul_(grad.sign(), step_size, value=-1)
    prev.copy_(grad)


@_formula
def asgd(param, grad, step, mu, eta, ax, *, lr, lambd, t0, alpha, weight_decay, maximize, capturable, differentiable):
    """Averaged stochastic gradient descent (Polyak & Juditsky 1992); `ax` is the average."""
    lr = _squeezed(lr)
    grad = -grad if maximize else grad
    step += 1
    count, rate = step.item(), eta.item()
    grad = _decayed(grad, param, weight_decay)
    param.mul_(1 - lambd * rate)
    param.add_(grad, alpha=-rate)
    if mu.item() != 1:
        ax.add_(param.sub(ax).mul_(mu))
    else:
        ax.copy_(param)
    eta.fill_(_number(lr / ((1 + lambd * lr * count) ** alpha)))
    mu.fill_(1 / max(1, count - t0))
