"""The former names of mixed precision on GPUs; as there is no GPU, they warn and do nothing."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from bulssi.amp import autocast_mode, grad_scaler

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from bulssi import dtype

__all__ = ["GradScaler", "autocast", "custom_bwd", "custom_fwd"]


def _deprecated(name: str, instead: str) -> None:
    warnings.warn(
        f"`torch.cuda.amp.{name}(args...)` is deprecated. Please use `torch.amp.{instead}` instead.",
        FutureWarning,
        stacklevel=3,
    )


class autocast(autocast_mode.autocast):
    """``amp.autocast("cuda", ...)``, deprecated."""

    def __init__(self, enabled: bool = True, dtype: dtype | None = None, cache_enabled: bool = True) -> None:
        _deprecated("autocast", "autocast('cuda', args...)")
        super().__init__("cuda", dtype=dtype or autocast_mode.get_autocast_dtype("cuda"), enabled=enabled)


class GradScaler(grad_scaler.GradScaler):
    """``amp.GradScaler("cuda", ...)``, deprecated."""

    def __init__(
        self,
        init_scale: float = 2.0**16,
        growth_factor: float = 2.0,
        backoff_factor: float = 0.5,
        growth_interval: int = 2000,
        enabled: bool = True,
    ) -> None:
        _deprecated("GradScaler", "GradScaler('cuda', args...)")
        super().__init__("cuda", init_scale, growth_factor, backoff_factor, growth_interval, enabled)


def custom_fwd(fwd: Callable[..., Any] | None = None, *, cast_inputs: dtype | None = None) -> Callable[..., Any]:
    """``amp.custom_fwd(..., device_type="cuda")``, deprecated."""
    _deprecated("custom_fwd", "custom_fwd(args..., device_type='cuda')")
    return autocast_mode.custom_fwd(fwd, device_type="cuda", cast_inputs=cast_inputs)


def custom_bwd(bwd: Callable[..., Any] | None = None) -> Callable[..., Any]:
    """``amp.custom_bwd(..., device_type="cuda")``, deprecated."""
    _deprecated("custom_bwd", "custom_bwd(args..., device_type='cuda')")
    return autocast_mode.custom_bwd(bwd, device_type="cuda")
