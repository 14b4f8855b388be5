"""Switches that concern the whole program: default dtype and device, threads, precision, determinism."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from bulssi import _core

if TYPE_CHECKING:
    from bulssi import Tensor, device, dtype


def set_default_dtype(d: dtype) -> None:
    """The dtype of new tensors of floating-point numbers: float32 at start.

    Raises:
        TypeError: not a floating-point dtype.
    """
    if not isinstance(d, _core.dtype) or not d.is_floating_point:
        raise TypeError(f"only floating-point types are supported as the default type\ngot {d!r}")
    _core._set_default_dtype(d)


def set_default_tensor_type(t: Any) -> None:
    """The former way to set the default dtype: by a class or a name such as ``torch.DoubleTensor``."""
    name = t if isinstance(t, str) else getattr(t, "__name__", "")
    from bulssi._dtypes import DTYPE_OF_TYPED

    kind = DTYPE_OF_TYPED.get(name.removeprefix("torch."))
    if kind is None:
        raise TypeError(f"invalid type object: only floating-point types are supported as the default type, got {t!r}")
    set_default_dtype(kind)


def get_default_device() -> device:
    """The device of tensors that are made without naming one."""
    return _core.get_default_device()


def set_default_device(device: Any) -> None:
    """Choose the device of tensors that are made without naming one; None is the CPU.

    >>> torch.set_default_device("meta")
    >>> torch.zeros(2).device
    device(type='meta')
    >>> torch.set_default_device(None)

    Raises:
        AssertionError: a CUDA device, which this build does not have.
    """
    _core._set_default_device(_core.device("cpu" if device is None else device))


def set_num_threads(num: int) -> None:
    """How many threads one operation may use. Results do not depend on it.

    Raises:
        RuntimeError: not a positive integer.
    """
    if isinstance(num, bool) or not isinstance(num, int):
        raise RuntimeError(f"set_num_threads expects an int, but got {type(num).__name__}")
    if num <= 0:
        raise RuntimeError(f"set_num_threads expects a positive integer\ngot {num}")
    _core.set_num_threads(num)


_interop_threads = 1


def get_num_interop_threads() -> int:
    """Operations run one after the other, on the thread that calls them: what was set is only remembered."""
    return _interop_threads


def set_num_interop_threads(num: int) -> None:
    """Accepted so that programs run; there is nothing to set."""
    global _interop_threads
    if isinstance(num, bool) or not isinstance(num, int) or num <= 0:
        raise RuntimeError(f"set_num_interop_threads expects a positive integer\ngot {num!r}")
    _interop_threads = num


# ---- determinism --------------------------------------------------------------------------------------------------
# Every operation gives the same bits for the same arguments, whatever the number of threads; so these switches have
# nothing to change, and only report what was set.

_deterministic = 0  # 0 default, 1 warn, 2 error


def use_deterministic_algorithms(mode: bool, *, warn_only: bool = False) -> None:
    """Ask for operations without run-to-run differences. They all are so anyway."""
    global _deterministic
    _deterministic = 0 if not mode else 1 if warn_only else 2


def are_deterministic_algorithms_enabled() -> bool:
    """What :func:`use_deterministic_algorithms` was told."""
    return _deterministic > 0


def is_deterministic_algorithms_warn_only_enabled() -> bool:
    """Whether :func:`use_deterministic_algorithms` was told to warn only."""
    return _deterministic == 1


def set_deterministic_debug_mode(debug_mode: int | str) -> None:
    """As :func:`use_deterministic_algorithms`: ``"default"`` (0), ``"warn"`` (1) or ``"error"`` (2)."""
    global _deterministic
    names = {"default": 0, "warn": 1, "error": 2}
    if isinstance(debug_mode, str):
        if debug_mode not in names:
            raise RuntimeError(
                f"invalid value of debug_mode, expected one of `default`, `warn`, `error`, but got {debug_mode}"
            )
        debug_mode = names[debug_mode]
    if debug_mode not in (0, 1, 2):
        raise RuntimeError(f"invalid value of debug_mode, expected 0, 1, or 2, but got {debug_mode}")
    _deterministic = debug_mode


def get_deterministic_debug_mode() -> int:
    """0 default, 1 warn, 2 error."""
    return _deterministic


# ---- precision and warnings ---------------------------------------------------------------------------------------

_matmul_precision = "highest"
_warn_always = False


def get_float32_matmul_precision() -> str:
    """What :func:`set_float32_matmul_precision` was told."""
    return _matmul_precision


def set_float32_matmul_precision(precision: str) -> None:
    """Allow float32 matrix products less precision; on the CPU they keep all of it, so this is only remembered."""
    global _matmul_precision
    if precision not in ("highest", "high", "medium"):
        warnings.warn(
            f"{precision} is not one of 'highest', 'high', or 'medium'; the current setFloat32MatmulPrecision call has "
            "no effect.",
            stacklevel=2,
        )
        return
    _matmul_precision = precision


def set_warn_always(b: bool, /) -> None:
    """Accepted so that programs run: Python's warning filters decide how often a warning is shown."""
    global _warn_always
    _warn_always = bool(b)


def is_warn_always_enabled() -> bool:
    """What :func:`set_warn_always` was told."""
    return _warn_always


def set_flush_denormal(mode: bool) -> bool:
    """Treating tiny numbers as zero is not supported: False says so."""
    return False


@_core.overridable
def _assert(condition: Any, message: str) -> None:
    """Raises AssertionError with the message unless the condition holds; traced programs keep it as a call."""
    if not condition:
        raise AssertionError(message)


# ---- questions about objects ---------------------------------------------------------------------------------------


def is_tensor(obj: Any, /) -> bool:
    """Whether ``obj`` is a Tensor."""
    return isinstance(obj, _core.Tensor)


def is_storage(obj: Any, /) -> bool:
    """Whether ``obj`` is a storage object."""
    from bulssi.storage import TypedStorage, UntypedStorage

    return isinstance(obj, (TypedStorage, UntypedStorage))


def numel(input: Tensor) -> int:
    """The number of elements."""
    if not isinstance(input, _core.Tensor):
        raise TypeError(f"numel(): argument 'input' (position 1) must be Tensor, not {type(input).__name__}")
    return input.numel()


def is_floating_point(input: Tensor) -> bool:
    """Whether the dtype is a floating-point one."""
    if not isinstance(input, _core.Tensor):
        raise TypeError(
            f"is_floating_point(): argument 'input' (position 1) must be Tensor, not {type(input).__name__}"
        )
    return input.is_floating_point()


def is_complex(input: Tensor) -> bool:
    """Whether the dtype is complex."""
    if not isinstance(input, _core.Tensor):
        raise TypeError(f"is_complex(): argument 'input' (position 1) must be Tensor, not {type(input).__name__}")
    return input.is_complex()


def is_same_size(input: Tensor, other: Tensor) -> bool:
    """Whether both have the same shape."""
    return input.shape == other.shape


def is_inference(input: Tensor) -> bool:
    """Whether the tensor was made in inference mode."""
    return input.is_inference()


def get_device(input: Tensor) -> int:
    """The index of a GPU, -1 on the CPU."""
    return input.get_device()


def typename(obj: Any, /) -> str:
    """The name of a class, or of the class of an object, with its module; `torch.FloatTensor` for a tensor."""
    if isinstance(obj, _core.Tensor):
        return obj.type()
    kind = obj if isinstance(obj, type) or hasattr(obj, "__qualname__") else type(obj)
    module = getattr(kind, "__module__", None)
    name = getattr(kind, "__qualname__", type(kind).__name__)
    return name if module in (None, "builtins", "__builtin__") else f"{module}.{name}"


def compiled_with_cxx11_abi() -> bool:
    """Always."""
    return True
