"""Other libraries that PyTorch can be built with, so that programs can ask for them and set their switches.

Operations run on kernels of our own, and on OpenBLAS for large matrix products: a switch is remembered and changes
nothing.
"""

from __future__ import annotations

import sys
from contextlib import contextmanager
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["cpu", "cuda", "cudnn", "mkl", "mkldnn", "mps", "openmp"]


class _Backend(ModuleType):
    """`backends.cudnn` and its like: `is_available()` is False, and attributes can be set."""

    def __init__(self, name: str, **attributes: Any) -> None:
        super().__init__(f"{__name__}.{name}")
        self.__dict__.update(attributes)
        sys.modules[self.__name__] = self

    def is_available(self) -> bool:
        """Whether operations can run on it."""
        return False

    def is_built(self) -> bool:
        """Whether it is compiled in."""
        return False

    def version(self) -> int | None:
        """None."""
        return None

    def flags(self, **switches: Any) -> _Flags:
        """A block with other switches."""
        return _Flags(self, switches)


class _Flags:
    def __init__(self, backend: _Backend, switches: dict[str, Any]) -> None:
        self._backend, self._switches = backend, switches

    def __enter__(self) -> None:
        self._before = {name: getattr(self._backend, name, None) for name in self._switches}
        self._backend.__dict__.update(self._switches)

    def __exit__(self, *exc: object) -> None:
        self._backend.__dict__.update(self._before)


class _Cpu(_Backend):
    def get_cpu_capability(self) -> str:
        """The instruction set of the kernels that run, by PyTorch's name."""
        from bulssi import _core

        return {"v4": "AVX512", "v3": "AVX2"}.get(_core.isa(), "DEFAULT")


class _Cuda(_Backend):
    """`backends.cuda`: with the switches of the kernels of attention, such as `enable_flash_sdp(False)`."""

    _ATTENTION = ("flash", "mem_efficient", "math", "cudnn", "overrideable")

    def __init__(self, name: str, **attributes: Any) -> None:
        super().__init__(name, **attributes)
        self.__dict__["_attention"] = dict.fromkeys(self._ATTENTION, True)

    def __getattr__(self, name: str) -> Any:
        kernel, _, end = name.removeprefix("enable_").rpartition("_sdp")
        if kernel in self._ATTENTION:
            if name.startswith("enable_") and not end:
                return lambda enabled: self.sdp_enable({kernel: enabled})
            if end == "_enabled":
                return lambda: self._attention[kernel]
        raise AttributeError(f"module 'torch.backends.cuda' has no attribute {name!r}")

    def sdp_enabled(self) -> dict[str, bool]:
        """Which kernels of attention are allowed."""
        return dict(self._attention)

    def sdp_enable(self, switches: dict[str, bool]) -> None:
        """Allows some kernels of attention and forbids others."""
        self._attention.update({name: bool(value) for name, value in switches.items()})

    @contextmanager
    def sdp_kernel(
        self,
        enable_flash: bool = True,
        enable_math: bool = True,
        enable_mem_efficient: bool = True,
        enable_cudnn: bool = True,
    ) -> Iterator[dict[str, object]]:
        """A block in which attention may use only these kernels."""
        before = self.sdp_enabled()
        switches = {"flash": enable_flash, "math": enable_math, "mem_efficient": enable_mem_efficient}
        self.sdp_enable({**switches, "cudnn": enable_cudnn})
        try:
            yield {}
        finally:
            self.sdp_enable(before)


class _Switches:
    """A group of switches such as `cuda.matmul`."""

    def __init__(self, **switches: Any) -> None:
        self.__dict__.update(switches)


cudnn = _Backend("cudnn", enabled=True, benchmark=False, deterministic=False, allow_tf32=True, benchmark_limit=10)
cuda = _Cuda(
    "cuda",
    matmul=_Switches(
        allow_tf32=False,
        allow_fp16_reduced_precision_reduction=True,
        allow_bf16_reduced_precision_reduction=True,
        fp32_precision="none",
    ),
)
mps = _Backend("mps")
mkl = _Backend("mkl")
mkldnn = _Backend("mkldnn", enabled=False, deterministic=False)
openmp = _Backend("openmp")
opt_einsum = _Backend("opt_einsum", enabled=False, strategy=None)
cpu = _Cpu("cpu")
