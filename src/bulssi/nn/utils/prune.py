"""Pruning: parameters with some of their elements held at zero (LeCun, Denker and Solla 1990, "Optimal brain damage").

A pruned parameter ``weight`` becomes the parameter ``weight_orig`` and the buffer ``weight_mask`` of ones and zeros;
before each forward their product is put in its place. Pruning again prunes what the mask has left.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from numbers import Integral, Real
from typing import TYPE_CHECKING

import bulssi

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

    from typing_extensions import Self

    from bulssi import Tensor
    from bulssi.nn.modules.module import Module


class BasePruningMethod(ABC):
    """The hook that prunes one parameter. A method of one's own defines :meth:`compute_mask` and ``PRUNING_TYPE``:
    "unstructured" (elements), "structured" (slices along ``self.dim``) or "global" (the whole tensor at once)."""

    PRUNING_TYPE: str
    _tensor_name: str

    def __call__(self, module: Module, inputs: Any) -> None:
        setattr(module, self._tensor_name, self.apply_mask(module))

    @abstractmethod
    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        """The mask for importance scores ``t``, zero wherever ``default_mask`` is."""

    def _check_applied(self, module: Module, what: str) -> None:
        if getattr(self, "_tensor_name", None) is None:
            raise AssertionError(f"Module {module} has to be pruned{what}")

    def apply_mask(self, module: Module) -> Tensor:
        """The pruned parameter."""
        self._check_applied(module, "")
        original = getattr(module, f"{self._tensor_name}_orig")
        return getattr(module, f"{self._tensor_name}_mask").to(dtype=original.dtype) * original

    @classmethod
    def _joined(cls, module: Module, name: str, *args: Any, **kwargs: Any) -> BasePruningMethod:
        """A new method of this kind, together with the one that ``name`` has already; that one's hook is removed."""
        present = _hooks_of(module, name)
        if len(present) > 1:
            raise AssertionError(
                f"Avoid adding multiple pruning hooks to the same tensor {name} of module {module}. Use a "
                "PruningContainer."
            )
        method = cls(*args, **kwargs)
        method._tensor_name = name
        for key, old in present:
            del module._forward_pre_hooks[key]
            container = old if isinstance(old, PruningContainer) else PruningContainer(old)
            container.add_pruning_method(method)
            return container
        return method

    @classmethod
    def apply(
        cls, module: Module, name: str, *args: Any, importance_scores: Tensor | None = None, **kwargs: Any
    ) -> BasePruningMethod:
        """Prune the parameter ``name`` of ``module``, by its elements or by ``importance_scores`` of its shape.

        Further arguments are those of the class.
        """
        method = cls._joined(module, name, *args, **kwargs)
        first = not isinstance(method, PruningContainer)
        value = getattr(module, name)
        if importance_scores is not None and importance_scores.shape != value.shape:
            raise AssertionError(
                f"importance_scores should have the same shape as parameter {name} of {module}, got "
                f"{importance_scores.shape} vs {value.shape}"
            )
        if first:
            module.register_parameter(f"{name}_orig", value)
            del module._parameters[name]
            mask = bulssi.ones_like(value)
        else:
            mask = getattr(module, f"{name}_mask").detach().clone()
        try:
            scores = value if importance_scores is None else importance_scores
            module.register_buffer(f"{name}_mask", method.compute_mask(scores, default_mask=mask))
            setattr(module, name, method.apply_mask(module))
        except Exception:
            if first:  # as before
                del module._parameters[f"{name}_orig"]
                module._buffers.pop(f"{name}_mask", None)
                module.__dict__.pop(name, None)
                module.register_parameter(name, value)
            raise
        module.register_forward_pre_hook(method)
        return method

    def prune(self, t: Tensor, default_mask: Tensor | None = None, importance_scores: Tensor | None = None) -> Tensor:
        """``t`` pruned, without any module."""
        if importance_scores is not None and importance_scores.shape != t.shape:
            raise AssertionError(
                f"importance_scores should have the same shape as tensor t, got {importance_scores.shape} vs {t.shape}"
            )
        scores = t if importance_scores is None else importance_scores
        return t * self.compute_mask(scores, bulssi.ones_like(t) if default_mask is None else default_mask)

    def remove(self, module: Module) -> None:
        """Makes the pruned values the parameter's own: mask and hook are no longer needed. It stays pruned."""
        self._check_applied(module, " before pruning can be removed")
        name = self._tensor_name
        value = self.apply_mask(module)
        if hasattr(module, name):
            delattr(module, name)
        parameter = module._parameters.pop(f"{name}_orig")
        assert parameter is not None
        parameter.data = value.data
        del module._buffers[f"{name}_mask"]
        setattr(module, name, parameter)


def _hooks_of(module: Module, name: str) -> list[tuple[int, BasePruningMethod]]:
    hooks = module._forward_pre_hooks.items()
    return [(key, h) for key, h in hooks if isinstance(h, BasePruningMethod) and h._tensor_name == name]


class PruningContainer(BasePruningMethod):
    """Methods that prune one parameter, one after the other; each sees what the one before it has left."""

    def __init__(self, *args: BasePruningMethod) -> None:
        self._pruning_methods: tuple[BasePruningMethod, ...] = ()
        if len(args) == 1:
            self._tensor_name = args[0]._tensor_name
        for method in args:
            self.add_pruning_method(method)

    def add_pruning_method(self, method: BasePruningMethod | None) -> None:
        """Let ``method``, which acts on the same parameter, prune after those that are here."""
        if method is not None and not isinstance(method, BasePruningMethod):
            raise TypeError(f"{type(method)} is not a BasePruningMethod subclass")
        if method is not None and self._tensor_name != method._tensor_name:
            raise ValueError(
                f"Can only add pruning methods acting on the parameter named '{self._tensor_name}' to "
                f"PruningContainer {self}. Found '{method._tensor_name}'"
            )
        self._pruning_methods += (method,)  # type: ignore[operator]

    def __len__(self) -> int:
        return len(self._pruning_methods)

    def __iter__(self) -> Iterator[BasePruningMethod]:
        return iter(self._pruning_methods)

    def __getitem__(self, idx: Any) -> Any:
        return self._pruning_methods[idx]

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        method = self._pruning_methods[-1]
        part = _left(method, t, default_mask)
        mask = default_mask.to(dtype=t.dtype, copy=True)
        mask[part] = method.compute_mask(t[part], default_mask=default_mask[part]).to(dtype=mask.dtype)
        return mask


def _left(method: BasePruningMethod, t: Tensor, mask: Tensor) -> Any:
    """The index of the part of ``t`` that ``method`` may still prune."""
    if method.PRUNING_TYPE == "unstructured":
        return mask == 1
    if method.PRUNING_TYPE == "global":
        return (slice(None),) * t.dim()
    if method.PRUNING_TYPE != "structured":
        raise ValueError(f"Unrecognized PRUNING_TYPE {method.PRUNING_TYPE}")
    if not hasattr(method, "dim"):
        raise AttributeError('Pruning methods of PRUNING_TYPE "structured" need to have the attribute `dim` defined.')
    dim = method.dim + t.dim() if method.dim < 0 else method.dim  # pyright: ignore[reportAttributeAccessIssue]
    if dim < 0:
        raise IndexError(f"Index is out of bounds for tensor with dimensions {t.dim()}")
    kept = mask.sum(dim=[d for d in range(t.dim()) if d != dim]) != 0
    return tuple(kept if d == dim else slice(None) for d in range(t.dim()))


class Identity(BasePruningMethod):
    """Prunes nothing: the parameter gets a mask of ones."""

    PRUNING_TYPE = "unstructured"

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        return default_mask

    @classmethod
    def apply(cls, module: Module, name: str) -> Self:
        return super().apply(module, name)  # type: ignore[return-value]


class _Amount(BasePruningMethod):
    """Prunes ``amount`` of the elements or slices: a number of them, or a part of all in [0, 1]."""

    def __init__(self, amount: float) -> None:
        if not isinstance(amount, Real):
            raise TypeError(f"Invalid type for amount: {amount}. Must be int or float.")
        if amount < 0 or (not isinstance(amount, Integral) and float(amount) > 1.0):
            raise ValueError(f"amount={amount} should either be a float in the range [0, 1] or a non-negative integer")
        self.amount = amount

    def _count(self, of: int) -> int:
        count = int(self.amount) if isinstance(self.amount, Integral) else round(self.amount * of)
        if count > of:
            raise ValueError(f"amount={count} should be smaller than the number of parameters to prune={of}")
        return count

    def _slices(self, t: Tensor, dim: int) -> int:
        """How many slices along ``dim`` to prune."""
        if t.dim() <= 1:
            raise ValueError(
                f"Structured pruning can only be applied to multidimensional tensors. Found tensor of shape {t.shape} "
                f"with {t.dim()} dims"
            )
        if dim >= t.dim():
            raise IndexError(f"Invalid index {dim} for tensor of size {t.shape}")
        return self._count(t.shape[dim])


def _without(mask: Tensor, elements: Tensor) -> Tensor:
    mask = mask.clone(memory_format=bulssi.contiguous_format)
    mask.view(-1)[elements] = 0
    return mask


def _only(t: Tensor, dim: int, slices: Tensor, mask: Tensor) -> Tensor:
    """``mask`` where ``slices`` (indices, or bool) along ``dim`` are, zero elsewhere."""
    kept = bulssi.zeros_like(t)
    kept[tuple(slices if d == dim % t.dim() else slice(None) for d in range(t.dim()))] = 1
    return kept * mask.to(dtype=kept.dtype)


class RandomUnstructured(_Amount):
    """Prunes elements drawn at random."""

    PRUNING_TYPE = "unstructured"

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        count = self._count(t.numel())
        if count == 0:
            return default_mask.clone(memory_format=bulssi.contiguous_format)
        return _without(default_mask, bulssi.rand_like(t).view(-1).topk(count)[1])

    @classmethod
    def apply(cls, module: Module, name: str, amount: float) -> Self:
        return super().apply(module, name, amount=amount)  # type: ignore[return-value]


class L1Unstructured(_Amount):
    """Prunes the elements with the smallest magnitudes."""

    PRUNING_TYPE = "unstructured"

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        count = self._count(t.numel())
        if count == 0:
            return default_mask.clone(memory_format=bulssi.contiguous_format)
        return _without(default_mask, t.abs().view(-1).topk(count, largest=False)[1])

    @classmethod
    def apply(cls, module: Module, name: str, amount: float, importance_scores: Tensor | None = None) -> Self:
        return super().apply(module, name, amount=amount, importance_scores=importance_scores)  # type: ignore


class RandomStructured(_Amount):
    """Prunes slices along ``dim`` drawn at random."""

    PRUNING_TYPE = "structured"

    def __init__(self, amount: float, dim: int = -1) -> None:
        super().__init__(amount)
        self.dim = dim

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        count = self._slices(t, self.dim)
        if count == 0:
            return default_mask
        chance = bulssi.rand(t.shape[self.dim])
        return _only(t, self.dim, chance > chance.kthvalue(count)[0], default_mask)

    @classmethod
    def apply(cls, module: Module, name: str, amount: float, dim: int = -1) -> Self:
        return super().apply(module, name, amount=amount, dim=dim)  # type: ignore[return-value]


class LnStructured(_Amount):
    """Prunes the slices along ``dim`` with the smallest ``n``-norms."""

    PRUNING_TYPE = "structured"

    def __init__(self, amount: float, n: Any, dim: int = -1) -> None:
        super().__init__(amount)
        self.n = n
        self.dim = dim

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        count = self._slices(t, self.dim)
        if count == 0:
            return default_mask
        norms = bulssi.norm(t, p=self.n, dim=[d for d in range(t.dim()) if d != self.dim % t.dim()])
        return _only(t, self.dim, norms.topk(t.shape[self.dim] - count)[1], default_mask)

    @classmethod
    def apply(
        cls, module: Module, name: str, amount: float, n: Any, dim: int, importance_scores: Tensor | None = None
    ) -> Self:
        return super().apply(module, name, amount=amount, n=n, dim=dim, importance_scores=importance_scores)  # type: ignore


class CustomFromMask(BasePruningMethod):
    """Prunes where a given mask is zero."""

    PRUNING_TYPE = "global"

    def __init__(self, mask: Tensor) -> None:
        self.mask = mask

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        if default_mask.shape != self.mask.shape:
            raise AssertionError(
                f"default_mask shape {default_mask.shape} must match self.mask shape {self.mask.shape}"
            )
        return default_mask * self.mask.to(dtype=default_mask.dtype)

    @classmethod
    def apply(cls, module: Module, name: str, mask: Tensor) -> Self:
        return super().apply(module, name, mask=mask)  # type: ignore[return-value]


def identity(module: Module, name: str) -> Module:
    """Give the parameter ``name`` a mask of ones; returns ``module``, as all of these functions."""
    Identity.apply(module, name)
    return module


def random_unstructured(module: Module, name: str, amount: float) -> Module:
    """Prune ``amount`` (a number, or a part in [0, 1]) of the elements of ``name``, drawn at random."""
    RandomUnstructured.apply(module, name, amount)
    return module


def l1_unstructured(module: Module, name: str, amount: float, importance_scores: Tensor | None = None) -> Module:
    """Prune the ``amount`` of elements of ``name`` with the smallest magnitudes (of ``importance_scores``).

    Example:
        >>> layer = nn.utils.prune.l1_unstructured(nn.Linear(2, 3), "weight", amount=2)
        >>> int((layer.weight == 0).sum())
        2
    """
    L1Unstructured.apply(module, name, amount=amount, importance_scores=importance_scores)
    return module


def random_structured(module: Module, name: str, amount: float, dim: int) -> Module:
    """Prune ``amount`` of the slices of ``name`` along ``dim``, drawn at random."""
    RandomStructured.apply(module, name, amount, dim)
    return module


def ln_structured(
    module: Module, name: str, amount: float, n: Any, dim: int, importance_scores: Tensor | None = None
) -> Module:
    """Prune the ``amount`` of slices of ``name`` along ``dim`` with the smallest ``n``-norms."""
    LnStructured.apply(module, name, amount, n, dim, importance_scores=importance_scores)
    return module


def custom_from_mask(module: Module, name: str, mask: Tensor) -> Module:
    """Prune ``name`` where ``mask`` is zero."""
    CustomFromMask.apply(module, name, mask)
    return module


def global_unstructured(
    parameters: Iterable[tuple[Module, str]],
    pruning_method: type[BasePruningMethod],
    importance_scores: dict[tuple[Module, str], Tensor] | None = None,
    **kwargs: Any,
) -> None:
    """Prune several parameters, given as (module, name), as if they were one vector.

    Args:
        pruning_method: an unstructured method; ``kwargs`` are its arguments.
        importance_scores: for some of the parameters, what to judge them by instead of their elements.
    """
    if not hasattr(parameters, "__iter__"):
        raise TypeError("global_unstructured(): parameters is not an Iterable")
    if importance_scores is not None and not isinstance(importance_scores, dict):
        raise TypeError("global_unstructured(): importance_scores must be of type dict")
    places, scores = list(parameters), importance_scores or {}
    values = [getattr(module, name) for module, name in places]
    masks = [getattr(m, f"{name}_mask", bulssi.ones_like(v)) for (m, name), v in zip(places, values, strict=True)]
    judged: list[Any] = [scores.get(place, value) for place, value in zip(places, values, strict=True)]
    method = pruning_method(**kwargs)
    if method.PRUNING_TYPE != "unstructured":
        raise TypeError(
            'Only "unstructured" PRUNING_TYPE supported for the `pruning_method`. Found method '
            f"{pruning_method} of type {method.PRUNING_TYPE}"
        )
    method._tensor_name = "temp"
    together = PruningContainer(method).compute_mask(
        bulssi.cat([t.reshape(-1) for t in judged]), bulssi.cat([mask.reshape(-1) for mask in masks])
    )
    parts = together.split([value.numel() for value in values])
    for (module, name), value, part in zip(places, values, parts, strict=True):
        custom_from_mask(module, name, mask=part.view_as(value))


def remove(module: Module, name: str) -> Module:
    """Make the pruned values of ``name`` its own and forget the mask; the parameter stays pruned."""
    for key, method in _hooks_of(module, name):
        method.remove(module)
        del module._forward_pre_hooks[key]
        return module
    raise ValueError(f"Parameter '{name}' of module {module} has to be pruned before pruning can be removed")


def is_pruned(module: Module) -> bool:
    """Is any parameter of ``module``, or of a module in it, pruned?"""
    hooks = (hook for part in module.modules() for hook in part._forward_pre_hooks.values())
    return any(isinstance(hook, BasePruningMethod) for hook in hooks)
