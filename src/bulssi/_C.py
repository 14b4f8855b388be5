"""Names that programs take from PyTorch's compiled module."""

from __future__ import annotations

from enum import Enum
from typing import Any

from bulssi import DisableTorchFunctionSubclass, Generator, Size, Tensor, _core, device, dtype
from bulssi.amp import autocast

__all__ = ["DisableTorchFunctionSubclass", "Generator", "Size", "Tensor", "device", "dtype"]

TensorBase = _TensorBase = Tensor
_TensorMeta = type(Tensor)
_nn = getattr(_core, "_nn", None)
_VariableFunctions = _core._VF
_disabled_torch_function_impl = _core._disabled_torch_function_impl


def _log_api_usage_once(event: str) -> None:
    """Nothing: no use is logged."""


def _get_tracing_state() -> None:
    """None: nothing is traced."""


def _is_tracing() -> bool:
    """False: nothing is traced."""
    return False


def _get_privateuse1_backend_name() -> str:
    """The name of a backend of one's own: none was registered."""
    return "privateuseone"


class DispatchKey(Enum):
    """Kinds of kernels, as :mod:`library` names them."""

    AutocastCPU = "cpu"
    AutocastCUDA = "cuda"
    AutocastXPU = "xpu"
    CPU = "CPU"
    Meta = "Meta"
    Autograd = "Autograd"
    CompositeExplicitAutograd = "CompositeExplicitAutograd"
    CompositeImplicitAutograd = "CompositeImplicitAutograd"


class DispatchKeySet(frozenset[DispatchKey]):
    """Some kinds of kernels."""

    def __new__(cls, keys: Any) -> DispatchKeySet:
        return super().__new__(cls, [keys] if isinstance(keys, DispatchKey) else keys)

    def __or__(self, other: Any) -> DispatchKeySet:
        return DispatchKeySet(frozenset(self) | frozenset(other))

    def has(self, key: DispatchKey) -> bool:
        """Whether a kind is among them."""
        return key in self


class _ExcludeDispatchKeyGuard:
    """A block without some kinds of kernels: without those of autocast, autocast is off on the device."""

    def __init__(self, keys: DispatchKeySet) -> None:
        devices = {DispatchKey.AutocastCPU, DispatchKey.AutocastCUDA} & keys
        self._off = [autocast(key.value, enabled=False) for key in devices]

    def __enter__(self) -> None:
        for block in self._off:
            block.__enter__()

    def __exit__(self, *exc: Any) -> None:
        for block in reversed(self._off):
            block.__exit__(*exc)


# Switches of TorchScript's compilers, which are not here: each returns what was set before, nothing.


def _jit_set_profiling_executor(enabled: bool) -> bool:
    return False


def _jit_set_profiling_mode(enabled: bool) -> bool:
    return False


def _jit_set_texpr_fuser_enabled(enabled: bool) -> None:
    pass


def _jit_override_can_fuse_on_cpu(enabled: bool) -> None:
    pass


def _jit_override_can_fuse_on_gpu(enabled: bool) -> None:
    pass


def _jit_can_fuse_on_cpu() -> bool:
    return False


def _jit_can_fuse_on_gpu() -> bool:
    return False


def __getattr__(name: str) -> Any:
    if not name.startswith("__") and hasattr(_core, name):
        return getattr(_core, name)
    raise AttributeError(f"module 'torch._C' has no attribute {name!r}")
