"""Bulssi runs PyTorch programs: tensors, automatic differentiation and neural networks under PyTorch's names."""

# ruff: noqa: F401 (names are imported here to be found here)

from __future__ import annotations

from typing import Any

from . import _core, _tensor_methods, autograd
from ._core import *  # noqa: F403
from ._core import Size, Tensor, device, dtype
from .autograd.grad_mode import enable_grad, inference_mode, no_grad, set_grad_enabled

__version__ = "0.1.0"
_core._install_source_hooks()
_tensor_methods.install(Tensor)

# Loaded on first use, to keep `import bulssi` short: name -> module (the name itself, or an attribute of the module).
_LAZY = {
    "datasets": "datasets",
    "nn": "nn",
    "optim": "optim",
    "testing": "testing",
    "utils": "utils",
    "load": "serialization",
    "save": "serialization",
    "serialization": "serialization",
    "summary": "_summary",
    "conv1d": "nn.functional",
    "conv2d": "nn.functional",
    "conv3d": "nn.functional",
    "conv_transpose1d": "nn.functional",
    "conv_transpose2d": "nn.functional",
    "conv_transpose3d": "nn.functional",
    "get_printoptions": "_printing",
    "set_printoptions": "_printing",
}
for _name in _LAZY:  # the core has namespaces of operations under some of these names (nn)
    globals().pop(_name, None)


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'torch' has no attribute {name!r}")
    from importlib import import_module

    module = import_module(f"bulssi.{_LAZY[name]}")
    found = module if _LAZY[name] == name else getattr(module, name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY})
