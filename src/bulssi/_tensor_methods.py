"""Methods of Tensor that are written in Python, and the former constructor `Tensor(...)`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bulssi import _core

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bulssi import Tensor

__all__ = ["install", "legacy_constructor"]


def legacy_constructor(*args: Any, device: Any = None) -> Tensor:
    """`Tensor(2, 3)`: uninitialised, of that shape; `Tensor([1, 2])`: of those numbers; both of the default dtype.

    `Tensor(other)` is `other` itself, without its history. Prefer `tensor(...)` and `empty(...)`.
    """
    from bulssi import as_tensor, empty, get_default_dtype

    dtype = get_default_dtype()
    if not args:
        return empty(0, dtype=dtype, device=device)
    first = args[0]
    if isinstance(first, _core.Size) and len(args) == 1:
        return empty(first, dtype=dtype, device=device)
    if all(hasattr(arg, "__index__") and not isinstance(arg, (bool, _core.Tensor)) for arg in args):
        return empty(*args, dtype=dtype, device=device)
    if len(args) > 1:
        raise TypeError(
            "new(): expected sizes as integers, or one sequence of data, but got "
            f"({', '.join(type(arg).__name__ for arg in args)})"
        )
    if isinstance(first, _core.Tensor):
        if first.dtype != dtype:
            raise TypeError(f"expected {dtype} (got {first.dtype})\nuse .to(dtype), or tensor(data, dtype=...)")
        return first.detach()
    if isinstance(first, (bool, float, str, bytes)) or first is None:
        raise TypeError(f"new(): data must be a sequence (got {type(first).__name__})\nuse tensor(data) for a number")
    return as_tensor(first, dtype=dtype, device=device)


def _format(self: Tensor, spec: str) -> str:
    """A tensor without dimensions is formatted as its number."""
    if self.dim() == 0 and self.device.type != "meta" and type(self) is _core.Tensor:
        return format(self.item(), spec)
    if spec:
        raise TypeError("unsupported format string passed to Tensor.__format__")
    return str(self)


def _reversed(self: Tensor) -> Tensor:
    return self if self.dim() == 0 else self.flip(0)


def _deepcopy(self: Tensor, memo: dict[int, Any]) -> Tensor:
    """A tensor of its own memory; those that shared memory share it in the copy, too."""
    from copy import deepcopy

    if not self.is_leaf:
        raise RuntimeError(
            "Only Tensors created explicitly by the user (graph leaves) support the deepcopy protocol at the moment.\n"
            "Copy x.detach(), or use x.clone() to stay in the graph."
        )
    if id(self) in memo:
        return memo[id(self)]
    from bulssi import no_grad

    with no_grad():
        size = self.element_size()
        if min(self.stride(), default=0) < 0 or self.numel() == 0:
            made = self.detach().clone()
        else:
            key: Any = ("storage", self._storage_ptr(), size)
            if key not in memo:
                whole = self.detach().as_strided((self._storage_bytes() // size,), (1,), 0)
                memo[key] = whole.clone(), whole  # the original is kept alive: its address is the key
            made = memo[key][0].as_strided(tuple(self.shape), self.stride(), self.storage_offset()).detach()
        if type(self) is not _core.Tensor:
            made = _core.Tensor._make_subclass(type(self), made, False)
    made.requires_grad_(self.requires_grad)
    memo[id(self)] = made
    if self.grad is not None:
        made.grad = deepcopy(self.grad, memo)
    attributes = getattr(self, "__dict__", None)
    if attributes:
        made.__dict__.update(deepcopy(attributes, memo))
    return made


def _apply(self: Tensor, function: Callable[[Any], Any]) -> Tensor:
    """Replace every element by `function(element)`, in place; slow, for the CPU."""
    if self.requires_grad:
        raise TypeError("can't call apply_() on a Variable that requires grad. Use var.detach().apply_() instead.")
    if self.device.type != "cpu":
        raise TypeError("apply_ is only implemented on CPU tensors")
    from bulssi import tensor

    values = [function(value) for value in self.reshape(-1).tolist()]
    if values:
        self.copy_(tensor(values, dtype=self.dtype).reshape(self.shape))
    return self


def _map(self: Tensor, other: Tensor, function: Callable[[Any, Any], Any]) -> Tensor:
    """Replace every element a, beside b of `other`, by `function(a, b)`, in place; slow, for the CPU."""
    if self.requires_grad or other.requires_grad:
        raise TypeError("Can't call map_() on Variable that requires grad. Use var.detach().map_() instead.")
    from bulssi import tensor

    beside = other.expand(self.shape).reshape(-1).tolist()
    values = [function(a, b) for a, b in zip(self.reshape(-1).tolist(), beside, strict=True)]
    if values:
        self.copy_(tensor(values, dtype=self.dtype).reshape(self.shape))
    return self


def _dir(self: Tensor) -> Iterator[str]:
    return iter(sorted({*dir(type(self)), *getattr(self, "__dict__", ())}))


def install(kind: type[Tensor]) -> None:
    """Give `kind` the methods of this file."""
    for name, method in {
        "__format__": _format,
        "__reversed__": _reversed,
        "__deepcopy__": _deepcopy,
        "__dir__": _dir,
        "apply_": _apply,
        "map_": _map,
    }.items():
        setattr(kind, name, method)
    kind.__array_priority__ = 1000  # so that NumPy leaves `array + tensor` to the tensor
