"""`autocast`: which operations run in which precision is the core's table; here is what switches it on.

The state belongs to the thread. Only the CPU's matters to operations; that of other device types is remembered.
"""

from __future__ import annotations

import functools
import threading
import warnings
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from bulssi import _core

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from bulssi import dtype

__all__ = ["autocast", "custom_bwd", "custom_fwd", "is_autocast_available"]

# The device types that autocast knows, and the dtype that each starts with.
_DEFAULTS = {
    "cpu": _core.bfloat16,
    "cuda": _core.float16,
    "xpu": _core.float16,
    "mps": _core.float16,
    "ipu": _core.float16,
    "xla": _core.bfloat16,
    "hpu": _core.bfloat16,
    "mtia": _core.bfloat16,
    "maia": _core.bfloat16,
    "privateuseone": _core.bfloat16,
}


class _Others(threading.local):
    """Per device type but the CPU: whether autocast is on, and the dtype."""

    def __init__(self) -> None:
        self.enabled: dict[str, bool] = {}
        self.dtype: dict[str, dtype] = {}
        self.nesting = 0


_others = _Others()


def _kind(name: str, device_type: Any) -> str:
    if not isinstance(device_type, str):
        raise TypeError(f"{name}(): argument 'device_type' must be str, not {type(device_type).__name__}")
    return _core.device(device_type).type


def is_autocast_available(device_type: str) -> bool:
    """Whether autocast knows the device type."""
    return _kind("is_autocast_available", device_type) in _DEFAULTS


def is_autocast_enabled(device_type: str = "cuda") -> bool:
    """Whether autocast is on for a device type, in this thread. Without one PyTorch means ``"cuda"``."""
    kind = _kind("is_autocast_enabled", device_type)
    return _core._get_autocast()[0] if kind == "cpu" else _others.enabled.get(kind, False)


def set_autocast_enabled(device_type: Any, enabled: bool | None = None) -> None:
    """Switch autocast on or off for a device type, in this thread."""
    if enabled is None:
        device_type, enabled = "cuda", device_type
    kind = _kind("set_autocast_enabled", device_type)
    if kind == "cpu":
        _, to, cache = _core._get_autocast()
        _core._set_autocast(bool(enabled), to, cache)
    else:
        _others.enabled[kind] = bool(enabled)


def get_autocast_dtype(device_type: str) -> dtype:
    """The lower precision of a device type, in this thread.

    Raises:
        RuntimeError: autocast does not know the device type.
    """
    kind = _kind("get_autocast_dtype", device_type)
    if kind not in _DEFAULTS:
        raise RuntimeError(f"unsupported scalarType\nautocast does not know the device type {kind!r}")
    return _core._get_autocast()[1] if kind == "cpu" else _others.dtype.get(kind, _DEFAULTS[kind])


def set_autocast_dtype(device_type: str, dtype: dtype) -> None:
    """Set the lower precision of a device type, in this thread."""
    kind = _kind("set_autocast_dtype", device_type)
    if not isinstance(dtype, _core.dtype):
        raise TypeError(
            f"set_autocast_dtype(): argument 'dtype' (position 2) must be torch.dtype, not {type(dtype).__name__}"
        )
    if kind == "cpu":
        enabled, _, cache = _core._get_autocast()
        _core._set_autocast(enabled, dtype, cache)
    else:
        _others.dtype[kind] = dtype


def is_autocast_cache_enabled() -> bool:
    """Whether a parameter that is converted twice inside autocast is converted once."""
    return _core._get_autocast()[2]


def set_autocast_cache_enabled(enabled: bool) -> None:
    """Say whether converted parameters are kept until the outermost autocast ends."""
    on, to, _ = _core._get_autocast()
    _core._set_autocast(on, to, bool(enabled))


def clear_autocast_cache() -> None:
    """Forget converted parameters."""
    _core._clear_autocast_cache()


def autocast_increment_nesting() -> int:
    """Count one more autocast block of this thread; returns how many there are."""
    _others.nesting += 1
    return _others.nesting


def autocast_decrement_nesting() -> int:
    """Count one autocast block of this thread less; returns how many there are."""
    _others.nesting -= 1
    return _others.nesting


class autocast:
    """A block, or a function decorated, in which operations choose their precision.

    Products and convolutions run in the lower precision ``dtype``; losses, decompositions and the like in float32;
    joins in the widest dtype of what they join; everything else in the dtype it is given. Only float32, float16
    and bfloat16 tensors are converted, and nothing that writes into a given tensor.

    Args:
        device_type: ``"cpu"``; for ``"cuda"`` it warns, as there is none, and does nothing.
        dtype: bfloat16 (the default on the CPU) or float16.
        enabled: False switches an outer autocast off.
        cache_enabled: keep converted parameters until the outermost block ends.

    Raises:
        ValueError: ``device_type`` is no string.
        RuntimeError: an unknown device type.

    Example:
        >>> with autocast("cpu"):
        ...     print((ones(2, 2) @ ones(2, 2)).dtype)
        torch.bfloat16
    """

    def __init__(
        self, device_type: str, dtype: dtype | None = None, enabled: bool = True, cache_enabled: bool | None = None
    ) -> None:
        if not isinstance(device_type, str):
            raise ValueError(f"Expected `device_type` of type `str`, got: `{type(device_type)}`")
        self.fast_dtype = get_autocast_dtype(device_type) if dtype is None else dtype
        self.device = device_type
        if not is_autocast_available(device_type):
            raise RuntimeError(f"User specified an unsupported autocast device_type '{device_type}'")
        self._cache_enabled = is_autocast_cache_enabled() if cache_enabled is None else cache_enabled
        supported = (_core.bfloat16, _core.float16)
        if enabled and device_type == "cuda":
            warnings.warn("CUDA is not available or torch_xla is imported. Disabling autocast.", stacklevel=2)
            enabled = False
        elif enabled and self.fast_dtype not in supported:
            upper = device_type.upper()
            warnings.warn(
                f"In {upper} autocast, but the target dtype is not supported. Disabling autocast.\n"
                f"{upper} Autocast only supports dtypes of {', '.join(map(str, supported))} currently.",
                stacklevel=2,
            )
            enabled = False
        self._enabled = enabled
        self._before: list[tuple[bool, dtype, bool]] = []

    def __enter__(self) -> autocast:
        before = is_autocast_enabled(self.device), get_autocast_dtype(self.device), is_autocast_cache_enabled()
        set_autocast_dtype(self.device, self.fast_dtype)
        set_autocast_enabled(self.device, self._enabled)
        set_autocast_cache_enabled(self._cache_enabled)
        self._before.append(before)
        autocast_increment_nesting()
        return self

    def __exit__(self, *exc: object) -> bool:
        if autocast_decrement_nesting() == 0:
            clear_autocast_cache()
        enabled, to, cache = self._before.pop()
        set_autocast_enabled(self.device, enabled)
        set_autocast_dtype(self.device, to)
        set_autocast_cache_enabled(cache)
        return False

    def __call__(self, func: Callable[..., Any]) -> Callable[..., Any]:
        if not callable(func):
            raise TypeError(
                f"autocast()(func) requires a callable, but got {type(func).__name__}. Did you mean to use autocast as "
                "a context manager? For example:\n    with torch.autocast(device_type=...):\n        "
                "output = model(input)"
            )

        @functools.wraps(func)
        def within(*args: Any, **kwargs: Any) -> Any:
            with self:
                return func(*args, **kwargs)

        return within


# ---- for autograd.Function -----------------------------------------------------------------------------------------


def _converted(value: Any, device_type: str, to: dtype) -> Any:
    """Tensors of the device type, also inside containers, as `to`; double precision stays."""
    if isinstance(value, _core.Tensor):
        fits = value.is_floating_point() and value.device.type == device_type and value.dtype != _core.float64
        return value.to(to) if fits else value
    if isinstance(value, (str, bytes)) or type(value).__module__ == "numpy":
        return value
    if isinstance(value, Mapping):
        return {_converted(k, device_type, to): _converted(v, device_type, to) for k, v in value.items()}
    if isinstance(value, Iterable):
        each = (_converted(item, device_type, to) for item in value)
        return type(value)(each) if isinstance(value, (list, tuple)) else each
    return value


def custom_fwd(
    fwd: Callable[..., Any] | None = None, *, device_type: str, cast_inputs: dtype | None = None
) -> Callable[..., Any]:
    """Decorates ``forward`` of an ``autograd.Function``.

    With ``cast_inputs``, tensors are converted to it when autocast is on, and autocast is off inside. Without it,
    ``backward`` (decorated by :func:`custom_bwd`) runs under the autocast that forward ran under.
    """
    if not isinstance(device_type, str):
        raise ValueError(f"Expected `device_type` of type `str`, got: `{type(device_type)}`")
    if fwd is None:
        return functools.partial(custom_fwd, device_type=device_type, cast_inputs=cast_inputs)

    @functools.wraps(fwd)
    def decorated(*args: Any, **kwargs: Any) -> Any:
        ctx = args[0]
        on = is_autocast_enabled(device_type)
        ctx._dtype = get_autocast_dtype(device_type)
        ctx._fwd_used_autocast = on and cast_inputs is None
        if cast_inputs is None or not on:
            return fwd(*args, **kwargs)
        with autocast(device_type, enabled=False):
            return fwd(
                ctx, *_converted(args[1:], device_type, cast_inputs), **_converted(kwargs, device_type, cast_inputs)
            )

    return decorated


def custom_bwd(bwd: Callable[..., Any] | None = None, *, device_type: str) -> Callable[..., Any]:
    """Decorates ``backward`` of an ``autograd.Function`` whose ``forward`` has :func:`custom_fwd`."""
    if not isinstance(device_type, str):
        raise ValueError(f"Expected `device_type` of type `str`, got: `{type(device_type)}`")
    if bwd is None:
        return functools.partial(custom_bwd, device_type=device_type)

    @functools.wraps(bwd)
    def decorated(*args: Any, **kwargs: Any) -> Any:
        with autocast(device_type, enabled=args[0]._fwd_used_autocast, dtype=args[0]._dtype):
            return bwd(*args, **kwargs)

    return decorated


# ---- former names, by device type ----------------------------------------------------------------------------------


def is_autocast_cpu_enabled() -> bool:
    """``is_autocast_enabled("cpu")``, deprecated."""
    _former("is_autocast_cpu_enabled()", "is_autocast_enabled('cpu')")
    return is_autocast_enabled("cpu")


def set_autocast_cpu_enabled(enabled: bool) -> None:
    """``set_autocast_enabled("cpu", enabled)``, deprecated."""
    _former("set_autocast_cpu_enabled(enabled)", "set_autocast_enabled('cpu', enabled)")
    set_autocast_enabled("cpu", enabled)


def get_autocast_cpu_dtype() -> dtype:
    """``get_autocast_dtype("cpu")``, deprecated."""
    _former("get_autocast_cpu_dtype()", "get_autocast_dtype('cpu')")
    return get_autocast_dtype("cpu")


def set_autocast_cpu_dtype(dtype: dtype) -> None:
    """``set_autocast_dtype("cpu", dtype)``, deprecated."""
    _former("set_autocast_cpu_dtype(dtype)", "set_autocast_dtype('cpu', dtype)")
    set_autocast_dtype("cpu", dtype)


def get_autocast_gpu_dtype() -> dtype:
    """``get_autocast_dtype("cuda")``, deprecated."""
    _former("get_autocast_gpu_dtype()", "get_autocast_dtype('cuda')")
    return get_autocast_dtype("cuda")


def set_autocast_gpu_dtype(dtype: dtype) -> None:
    """``set_autocast_dtype("cuda", dtype)``, deprecated."""
    _former("set_autocast_gpu_dtype(dtype)", "set_autocast_dtype('cuda', dtype)")
    set_autocast_dtype("cuda", dtype)


def _former(call: str, instead: str) -> None:
    warnings.warn(f"torch.{call} is deprecated. Please use torch.{instead} instead.", DeprecationWarning, stacklevel=3)
