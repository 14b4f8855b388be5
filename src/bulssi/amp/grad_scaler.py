"""`GradScaler`: gradients of float16 programs kept away from zero, by losses times a factor that adapts itself."""

from __future__ import annotations

import enum
import math
import struct
import warnings
from collections.abc import Iterable
from typing import TYPE_CHECKING

import bulssi

if TYPE_CHECKING:
    from typing import Any

    from bulssi import Tensor
    from bulssi.optim import Optimizer

__all__ = ["GradScaler", "OptState"]


class OptState(enum.Enum):
    """What has happened to an optimizer since the last ``update()``."""

    READY = 0
    UNSCALED = 1
    STEPPED = 2


def _float32(value: float) -> float:
    """The nearest float32; infinite where it is too large."""
    try:
        return struct.unpack("f", struct.pack("f", value))[0]
    except OverflowError:
        return math.copysign(math.inf, value)


class GradScaler:
    """Multiplies losses by a factor, divides gradients by it, and skips steps whose gradients are not finite.

    The factor halves after such a step and doubles after ``growth_interval`` good ones (Micikevicius et al., Mixed
    Precision Training, 2018).

    Args:
        device: ``"cpu"``; for ``"cuda"``, the default, it warns that there is none and does nothing.
        init_scale: the first factor.
        growth_factor: by what the factor grows, above 1.
        backoff_factor: by what it shrinks, below 1.
        growth_interval: steps with finite gradients in a row before it grows.
        enabled: False makes every method pass on what it gets.

    Raises:
        AssertionError: a factor is out of range.

    Example:
        >>> scaler = amp.GradScaler("cpu")
        >>> model = nn.Linear(2, 1)
        >>> optimizer = optim.SGD(model.parameters(), 0.1)
        >>> scaler.scale(model(ones(3, 2)).sum()).backward()
        >>> scaler.step(optimizer)
        >>> scaler.update()
    """

    def __init__(
        self,
        device: str = "cuda",
        init_scale: float = 2.0**16,
        growth_factor: float = 2.0,
        backoff_factor: float = 0.5,
        growth_interval: int = 2000,
        enabled: bool = True,
    ) -> None:
        self._device = device
        self._enabled = enabled
        if device == "cuda" and enabled:
            warnings.warn("torch.cuda.amp.GradScaler is enabled, but CUDA is not available.  Disabling.", stacklevel=2)
            self._enabled = False
        if not self._enabled:
            return
        if growth_factor <= 1.0:
            raise AssertionError("The growth factor must be > 1.0.")
        if backoff_factor >= 1.0:
            raise AssertionError("The backoff factor must be < 1.0.")
        self._scale = _float32(init_scale)
        self._used = False  # has scale() been called?
        self._growth_factor = growth_factor
        self._backoff_factor = backoff_factor
        self._growth_interval = growth_interval
        self._growth_tracker = 0
        self._stages: dict[int, OptState] = {}
        self._found_inf: dict[int, bool] = {}

    def _check_used(self, name: str) -> None:
        if not self._used:
            raise AssertionError(
                f"Attempted {name} but _scale is None.  This may indicate your script did not use scaler.scale(loss or "
                "outputs) earlier in the iteration."
            )

    def scale(self, outputs: Any) -> Any:
        """A tensor, or each in (nested) containers, times the factor.

        Raises:
            ValueError: something else.
        """
        if not self._enabled:
            return outputs
        self._used = True
        return self._scaled(outputs)

    def _scaled(self, value: Any) -> Any:
        if isinstance(value, bulssi.Tensor):
            return value * bulssi.tensor(self._scale, dtype=bulssi.float32)
        if isinstance(value, Iterable):
            each = map(self._scaled, value)
            return type(value)(each) if isinstance(value, (list, tuple)) else each  # pyright: ignore[reportCallIssue]
        raise ValueError("outputs must be a Tensor or an iterable of Tensors")

    def unscale_(self, optimizer: Optimizer) -> None:
        """Divide the gradients of the optimizer's parameters by the factor, to look at or clip them before the step.

        Raises:
            RuntimeError: it was done already since the last ``update()``, or the step was.
            ValueError: a gradient is float16: parameters have to be float32.
        """
        if not self._enabled:
            return
        self._check_used("unscale_")
        stage = self._stages.get(id(optimizer), OptState.READY)
        if stage is OptState.UNSCALED:
            raise RuntimeError("unscale_() has already been called on this optimizer since the last update().")
        if stage is OptState.STEPPED:
            raise RuntimeError("unscale_() is being called after step().")
        self._found_inf[id(optimizer)] = self._unscale(optimizer)
        self._stages[id(optimizer)] = OptState.UNSCALED

    def _unscale(self, optimizer: Optimizer) -> bool:
        """Divide the gradients; whether one of them was not finite."""
        grads = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        if any(grad.dtype == bulssi.float16 for grad in grads):
            raise ValueError("Attempting to unscale FP16 gradients.")
        inverse = _float32(1 / self._scale) if self._scale else math.inf
        found = False
        with bulssi.no_grad():
            for grad in grads:
                found = found or not bool(grad.isfinite().all())
                grad.mul_(inverse)
        return found

    def step(self, optimizer: Optimizer, *args: Any, **kwargs: Any) -> Any:
        """``optimizer.step(...)``, after :meth:`unscale_` if that was not called, unless a gradient is not finite.

        Returns:
            what the optimizer returns; None if the step was skipped.

        Raises:
            RuntimeError: a closure is given, or the step was already made since the last ``update()``.
        """
        if not self._enabled:
            return optimizer.step(*args, **kwargs)
        if "closure" in kwargs:
            raise RuntimeError("Closure use is not currently supported if GradScaler is enabled.")
        self._check_used("step")
        stage = self._stages.get(id(optimizer), OptState.READY)
        if stage is OptState.STEPPED:
            raise RuntimeError("step() has already been called since the last update().")
        if stage is OptState.READY:
            self.unscale_(optimizer)
        if not any(p.grad is not None for group in optimizer.param_groups for p in group["params"]):
            self._stages.pop(id(optimizer), None)
            self._found_inf.pop(id(optimizer), None)
            raise AssertionError(
                "No inf checks were recorded for this optimizer.\nNone of its parameters has a gradient"
            )
        result = None if self._found_inf[id(optimizer)] else optimizer.step(*args, **kwargs)
        self._stages[id(optimizer)] = OptState.STEPPED
        return result

    def update(self, new_scale: float | Tensor | None = None) -> None:
        """Adapt the factor to what the steps since the last call found, or set it.

        Raises:
            AssertionError: there was no step, or ``new_scale`` is no number.
        """
        if not self._enabled:
            return
        self._check_used("update")
        if new_scale is not None:
            if isinstance(new_scale, bulssi.Tensor):
                if new_scale.numel() != 1 or new_scale.requires_grad or new_scale.device.type != self._device:
                    raise AssertionError(
                        "new_scale should be a float or a 1-element torch.cuda.FloatTensor or torch.FloatTensor with "
                        "requires_grad=False."
                    )
                new_scale = float(new_scale.item())
            self._scale = _float32(float(new_scale))
        elif not self._found_inf:
            raise AssertionError("No inf checks were recorded prior to update.")
        elif any(self._found_inf.values()):
            self._scale = _float32(self._scale * self._backoff_factor)
            self._growth_tracker = 0
        else:
            self._growth_tracker += 1
            if self._growth_tracker == self._growth_interval:
                grown = _float32(self._scale * self._growth_factor)
                self._scale = grown if math.isfinite(grown) else self._scale
                self._growth_tracker = 0
        self._stages.clear()
        self._found_inf.clear()

    def get_scale(self) -> float:
        """The factor; 1.0 if the scaler is not enabled."""
        return self._scale if self._enabled else 1.0

    def get_growth_factor(self) -> float:
        """By what the factor grows."""
        return self._growth_factor

    def set_growth_factor(self, new_factor: float) -> None:
        """Set by what the factor grows."""
        self._growth_factor = new_factor

    def get_backoff_factor(self) -> float:
        """By what the factor shrinks."""
        return self._backoff_factor

    def set_backoff_factor(self, new_factor: float) -> None:
        """Set by what the factor shrinks."""
        self._backoff_factor = new_factor

    def get_growth_interval(self) -> int:
        """Steps in a row before the factor grows."""
        return self._growth_interval

    def set_growth_interval(self, new_interval: int) -> None:
        """Set how many steps in a row it takes before the factor grows."""
        self._growth_interval = new_interval

    def _get_growth_tracker(self) -> int:
        return self._growth_tracker if self._enabled else 0

    def is_enabled(self) -> bool:
        """Whether it scales."""
        return self._enabled

    def state_dict(self) -> dict[str, Any]:
        """The factor and its settings; empty if the scaler is not enabled."""
        if not self._enabled:
            return {}
        return {
            "scale": self._scale,
            "growth_factor": self._growth_factor,
            "backoff_factor": self._backoff_factor,
            "growth_interval": self._growth_interval,
            "_growth_tracker": self._growth_tracker,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a :meth:`state_dict`.

        Raises:
            RuntimeError: it is empty.
        """
        if not self._enabled:
            return
        if not state_dict:
            raise RuntimeError(
                "The source state dict is empty, possibly because it was saved from a disabled instance of GradScaler."
            )
        self._scale = _float32(state_dict["scale"])
        self._growth_factor = state_dict["growth_factor"]
        self._backoff_factor = state_dict["backoff_factor"]
        self._growth_interval = state_dict["growth_interval"]
        self._growth_tracker = state_dict["_growth_tracker"]

    def __getstate__(self) -> dict[str, Any]:
        if self._enabled and self._stages:
            raise AssertionError(
                "A GradScaler instance may only be pickled at the beginning of an iteration, or at the end after "
                "scaler.update()."
            )
        return self.__dict__.copy()
