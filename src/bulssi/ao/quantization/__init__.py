"""Marks in a model of where PyTorch would quantise it. Nothing is quantised here: there are no quantised tensors."""

from __future__ import annotations

from typing import Any

from bulssi._absent import refusing
from bulssi.nn.modules.module import Module

_ABSENT = ("convert", "prepare", "prepare_qat", "quantize", "quantize_dynamic", "quantize_qat")
__all__ = [  # pyright: ignore[reportUnsupportedDunderAll]
    "DeQuantStub",
    "QuantStub",
    "QuantWrapper",
    *_ABSENT,
]


class QuantStub(Module):
    """Where numbers would become quantised ones; until a model is converted, the identity."""

    def __init__(self, qconfig: Any = None) -> None:
        super().__init__()
        if qconfig is not None:
            self.qconfig = qconfig

    def forward(self, x: Any) -> Any:
        """``x``."""
        return x


class DeQuantStub(QuantStub):
    """Where quantised numbers would become ordinary ones; until a model is converted, the identity."""


class QuantWrapper(Module):
    """A module between a :class:`QuantStub` and a :class:`DeQuantStub`."""

    def __init__(self, module: Module) -> None:
        super().__init__()
        self.add_module("quant", QuantStub())
        self.add_module("dequant", DeQuantStub())
        self.add_module("module", module)
        self.train(module.training)

    def forward(self, X: Any) -> Any:
        """The module's output."""
        return self.dequant(self.module(self.quant(X)))


for _name in _ABSENT:
    globals()[_name] = refusing(
        _name,
        NotImplementedError,
        f"quantization.{_name}: there are no quantised tensors; model.half() or model.bfloat16() halves the memory",
    )
