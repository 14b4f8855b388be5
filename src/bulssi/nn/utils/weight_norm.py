"""Weight normalisation by a hook (Salimans and Kingma 2016); newer: ``parametrizations.weight_norm``."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from bulssi.nn.parameter import Parameter, is_lazy

if TYPE_CHECKING:
    from typing import Any

    from bulssi import Tensor
    from bulssi.nn.modules.module import Module


def norm_except_dim(v: Tensor, dim: int) -> Tensor:
    """The 2-norm of each slice of ``v`` along ``dim``, in a shape that broadcasts; of all of it for -1."""
    if dim == -1:
        return v.norm(2)
    others = [d for d in range(v.dim()) if d != dim % v.dim()]
    return v.norm(2, others, keepdim=True) if others else v.abs()


def weighted(v: Tensor, g: Tensor, dim: int) -> Tensor:
    """``v`` with each slice scaled to the norm ``g``."""
    return v * (g / norm_except_dim(v, dim))


class WeightNorm:
    """The hook: computes ``module.name`` from ``name_g`` and ``name_v`` before each forward."""

    def __init__(self, name: str, dim: int) -> None:
        self.name = name
        self.dim = dim

    def compute_weight(self, module: Module) -> Tensor:
        """The weight that the two parameters stand for."""
        return weighted(getattr(module, self.name + "_v"), getattr(module, self.name + "_g"), self.dim)

    def __call__(self, module: Module, inputs: Any) -> None:
        setattr(module, self.name, self.compute_weight(module))


def find_hook(module: Module, kind: type, name: str) -> int | None:
    """The id of the forward pre-hook of that kind for the parameter ``name``."""
    hooks = module._forward_pre_hooks.items()
    return next((key for key, hook in hooks if isinstance(hook, kind) and hook.name == name), None)


def weight_norm(module: Module, name: str = "weight", dim: int | None = 0) -> Module:
    """Replace the parameter ``name`` by ``name_g`` (a norm per slice along ``dim``) and ``name_v`` (the direction)."""
    warnings.warn(
        "`torch.nn.utils.weight_norm` is deprecated in favor of `torch.nn.utils.parametrizations.weight_norm`.",
        FutureWarning,
        stacklevel=2,
    )
    if find_hook(module, WeightNorm, name) is not None:
        raise RuntimeError(f"Cannot register two weight_norm hooks on the same parameter {name}")
    dim = -1 if dim is None else dim
    weight = getattr(module, name)
    if is_lazy(weight):
        raise ValueError(
            "The module passed to `WeightNorm` can't have uninitialized parameters. Make sure to run the dummy forward "
            "before applying weight normalization"
        )
    hook = WeightNorm(name, dim)
    delattr(module, name)
    module.register_parameter(name + "_g", Parameter(norm_except_dim(weight, dim).data))
    module.register_parameter(name + "_v", Parameter(weight.data))
    setattr(module, name, hook.compute_weight(module))
    module.register_forward_pre_hook(hook)
    return module


def remove_weight_norm(module: Module, name: str = "weight") -> Module:
    """Make ``name`` an ordinary parameter again, of its present value."""
    key = find_hook(module, WeightNorm, name)
    if key is None:
        raise ValueError(f"weight_norm of '{name}' not found in {module}")
    weight = module._forward_pre_hooks.pop(key).compute_weight(module)
    for attribute in (name, name + "_g", name + "_v"):
        delattr(module, attribute)
    setattr(module, name, Parameter(weight.data))
    return module
