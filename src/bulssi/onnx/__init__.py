"""ONNX files are not written: programs can import this module and ask, and `export` says what to do instead.

Modules of ONNX operators that packages register their own with (`symbolic_helper`, `symbolic_opset11`, …) are not here.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any

from bulssi._absent import refusing

__all__ = [
    "OnnxExporterError",
    "OperatorExportTypes",
    "TrainingMode",
    "export",
    "is_in_onnx_export",
    "register_custom_op_symbolic",
    "unregister_custom_op_symbolic",
]


class OnnxExporterError(RuntimeError):
    """A model cannot be written as ONNX."""


class TrainingMode(IntEnum):
    """In which mode a model is exported."""

    EVAL = 0
    PRESERVE = 1
    TRAINING = 2


class OperatorExportTypes(IntEnum):
    """What becomes of operations that ONNX has not."""

    ONNX = 0
    ONNX_ATEN = 1
    ONNX_ATEN_FALLBACK = 2
    ONNX_FALLTHROUGH = 3


def is_in_onnx_export() -> bool:
    """False: nothing is ever exported."""
    return False


def register_custom_op_symbolic(symbolic_name: str, symbolic_fn: Any, opset_version: int, *args: Any) -> None:
    """Says how an operation of one's own would be exported: checked, and used by nobody.

    Raises:
        ValueError: ``symbolic_name`` is not of the form ``"domain::name"``.
    """
    domain, found, name = symbolic_name.partition("::")
    if not (domain and found and name):
        raise OnnxExporterError(
            f"Failed to register operator {symbolic_name}. The symbolic name must match the format 'domain::name'"
        )


def unregister_custom_op_symbolic(symbolic_name: str, opset_version: int) -> None:
    """Forgets what :func:`register_custom_op_symbolic` was told: nothing is remembered."""


export = refusing(
    "onnx.export",
    NotImplementedError,
    "onnx.export: ONNX files are not written here; save model.state_dict() with torch.save() or safetensors, load it "
    "in PyTorch, and export there",
)


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name in ("operators", "symbolic_helper"):
        return import_module(f"{__name__}.{name}")
    if name.startswith("symbolic_opset") and name[len("symbolic_opset") :].isdigit():
        return _Opset(name)
    raise AttributeError(f"module 'torch.onnx' has no attribute {name!r}")


class _Opset:
    """The operations of a version of ONNX: packages name them in exporters, which nothing calls."""

    def __init__(self, name: str) -> None:
        self.__name__ = f"torch.onnx.{name}"

    def __getattr__(self, name: str) -> Any:
        return refusing(name, NotImplementedError, f"{self.__name__}.{name}: ONNX files are not written here")
