"""Parameters that are functions of other parameters, recomputed whenever they are looked at."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import contextmanager
from copy import deepcopy
from typing import TYPE_CHECKING

import bulssi
from bulssi import Tensor
from bulssi.nn.modules.container import ModuleDict, ModuleList
from bulssi.nn.parameter import Parameter

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from bulssi.nn.modules.module import Module

__all__ = [
    "ParametrizationList",
    "cached",
    "is_parametrized",
    "register_parametrization",
    "remove_parametrizations",
    "transfer_parametrizations_and_params",
    "type_before_parametrizations",
]

_cache_depth = 0
_cache: dict[tuple[int, str], Tensor] = {}


@contextmanager
def cached() -> Iterator[None]:
    """Within the block every parametrised tensor is computed once; after it the results are forgotten."""
    global _cache_depth
    _cache_depth += 1
    try:
        yield
    finally:
        _cache_depth -= 1
        if not _cache_depth:
            _cache.clear()


def _register(module: Module, name: str, tensor: Tensor) -> None:
    if isinstance(tensor, Parameter):
        module.register_parameter(name, tensor)
    else:
        module.register_buffer(name, tensor)


def _check_alike(what: str, was: Tensor, now: Any, names: tuple[str, str]) -> None:
    """Raise unless ``now`` is a tensor with the dtype and shape of ``was``; the message calls them ``names``."""
    for kind in ("dtype", "shape"):
        if getattr(was, kind) != getattr(now, kind):
            raise ValueError(
                f"{what.format(kind=kind)}, unless the `unsafe` flag is enabled.\n"
                f"{names[0]}{kind}: {getattr(was, kind)}\n{names[1]}{kind}: {getattr(now, kind)}"
            )


def _check_tensor(value: Any, what: str = "A parametrization must return a tensor.") -> None:
    if not isinstance(value, Tensor):
        raise ValueError(f"{what} Got {type(value).__name__}.")


def _invert(parametrizations: Any, value: Any, required: bool) -> Any:
    """The original tensor, or tensors, that ``value`` comes from."""
    for module in reversed(list(parametrizations)):
        if hasattr(module, "right_inverse"):
            try:
                value = module.right_inverse(value)
            except NotImplementedError:
                if required:
                    raise
        elif required:
            raise RuntimeError(f"parametrization {type(module).__name__} does not implement right_inverse.")
    return value


class ParametrizationList(ModuleList):
    """The parametrisations of one tensor, and the tensor they start from: ``original``, or ``original0``,
    ``original1``..."""

    _tensor_options = ("original",)

    def __init__(self, modules: Sequence[Module], original: Tensor, unsafe: bool = False) -> None:
        if len(modules) == 0:
            raise ValueError("ParametrizationList requires one or more modules.")
        super().__init__(modules)
        self.unsafe = unsafe
        shape, dtype = original.shape, original.dtype
        with bulssi.no_grad():
            new = _invert(self, original, required=False)
        if not isinstance(new, (Tensor, Sequence)):
            raise ValueError(
                "'right_inverse' must return a Tensor or a Sequence of tensors (list, tuple...). "
                f"Got {type(new).__name__}"
            )
        self.is_tensor = isinstance(new, Tensor)
        self.ntensors = 1 if self.is_tensor else len(new)
        if self.is_tensor:
            self._set_single(original, new)  # pyright: ignore[reportArgumentType]
        else:
            self._set_several(original, new)  # pyright: ignore[reportArgumentType]
        if not unsafe:
            self._check_result(shape, dtype)

    def _set_single(self, original: Tensor, new: Tensor) -> None:
        for kind in ("dtype", "device"):
            if getattr(original, kind) != getattr(new, kind):
                raise ValueError(
                    f"When `right_inverse` outputs one tensor, it may not change the {kind}.\n"
                    f"original.{kind}: {getattr(original, kind)}\nright_inverse(original).{kind}: {getattr(new, kind)}"
                )
        with bulssi.no_grad():
            _replace(original, new)
        _register(self, "original", original)

    def _set_several(self, original: Tensor, new: Sequence[Any]) -> None:
        for i, tensor in enumerate(new):
            if not isinstance(tensor, Tensor):
                raise ValueError(
                    "'right_inverse' must return a Tensor or a Sequence of tensors (list, tuple...). "
                    f"Got element {i} of the sequence with type {type(tensor).__name__}."
                )
            if isinstance(original, Parameter):
                tensor = Parameter(tensor, original.requires_grad)
            tensor.requires_grad_(original.requires_grad)
            _register(self, f"original{i}", tensor)

    def _check_result(self, shape: Any, dtype: Any) -> None:
        result = self()
        _check_tensor(result)
        for kind, was in (("dtype", dtype), ("shape", shape)):
            if getattr(result, kind) != was:
                raise ValueError(
                    f"Registering a parametrization may not change the {kind} of the tensor, unless `unsafe` flag is "
                    f"enabled.\nunparametrized {kind}: {was}\nparametrized {kind}: {getattr(result, kind)}"
                )

    def _originals(self) -> list[Tensor]:
        return [self.original] if self.is_tensor else [getattr(self, f"original{i}") for i in range(self.ntensors)]

    def right_inverse(self, value: Tensor) -> None:
        """Change the original tensors such that the parametrised one becomes ``value``."""
        with bulssi.no_grad():
            new = _invert(self, value, required=True)
            if self.is_tensor:
                _check_tensor(new, "`right_inverse` should return a tensor.")
                new = [new]
            elif not isinstance(new, Sequence):
                raise ValueError(f"'right_inverse' must return a sequence of tensors. Got {type(new).__name__}.")
            elif len(new) != self.ntensors:
                raise ValueError(
                    f"'right_inverse' must return a sequence of tensors of length {self.ntensors}. "
                    f"Got a sequence of length {len(new)}."
                )
            for i, (original, tensor) in enumerate(zip(self._originals(), new, strict=True)):
                _check_tensor(tensor, f"'right_inverse' must return a sequence of tensors; see element {i}.")
                if original.dtype != tensor.dtype:
                    which = ("The tensor", "`original`") if self.is_tensor else (f"Tensor {i}", f"`original{i}`")
                    raise ValueError(
                        f"{which[0]} returned by `right_inverse` has dtype {tensor.dtype} while {which[1]} has dtype "
                        f"{original.dtype}"
                    )
                _replace(original, tensor)

    def forward(self) -> Tensor:
        first, *others = self
        value = first(*self._originals())
        for module in others:
            value = module(value)
        return value


def _replace(tensor: Tensor, new: Tensor) -> None:
    """Make the data of ``new``, which may have another shape, that of ``tensor``."""
    if new is not tensor:
        tensor.data = new.detach()


def _parametrized_class(cls: type) -> type:
    """A subclass of ``cls`` to hang properties on; modules that are parametrised have one each."""

    def __deepcopy__(self: Any, memo: dict[int, Any]) -> Any:
        if id(self) in memo:
            return memo[id(self)]
        replica = self.__new__(type(self))
        memo[id(self)] = replica
        replica.__dict__ = deepcopy(self.__dict__, memo)
        return replica

    def __getstate__(self: Any) -> Any:
        raise RuntimeError(
            "Serialization of parametrized modules is only supported through state_dict(). Save module.state_dict()."
        )

    body: dict[str, Any] = {"__getstate__": __getstate__, "__module__": cls.__module__}
    if not hasattr(cls, "__deepcopy__"):
        body["__deepcopy__"] = __deepcopy__
    return type(f"Parametrized{cls.__name__}", (cls,), body)


def _add_property(cls: type, name: str) -> None:
    def get(self: Any) -> Tensor:
        parametrization = self.parametrizations[name]
        if not _cache_depth:
            return parametrization()
        key = (id(self), name)
        if key not in _cache:
            _cache[key] = parametrization()
        return _cache[key]

    def set_original(self: Any, value: Tensor) -> None:
        self.parametrizations[name].right_inverse(value)

    setattr(cls, name, property(get, set_original))


def register_parametrization(
    module: Module, tensor_name: str, parametrization: Module, *, unsafe: bool = False
) -> Module:
    """From now on ``module.tensor_name`` is ``parametrization(original)``.

    The original is kept as ``module.parametrizations.tensor_name.original``. If the parametrisation has a method
    ``right_inverse``, the original is set such that the tensor keeps its value, and can be assigned to. Several can be
    registered, one on the result of the other.

    Args:
        unsafe: allow a parametrisation to change the tensor's dtype and shape.

    Example::

        >>> class Symmetric(nn.Module):
        ...     def forward(self, x):
        ...         return x.triu() + x.triu(1).transpose(-1, -2)
        >>> layer = nn.utils.parametrize.register_parametrization(nn.Linear(3, 3), "weight", Symmetric())
        >>> torch.equal(layer.weight, layer.weight.T)
        True
    """
    parametrization.train(module.training)
    if is_parametrized(module, tensor_name):
        if not unsafe:
            _check_on_top(module, tensor_name, parametrization)
        listed = module.parametrizations[tensor_name]
        listed.append(parametrization)
        listed.unsafe |= unsafe
    elif tensor_name in module._buffers or tensor_name in module._parameters:
        listed = ParametrizationList([parametrization], getattr(module, tensor_name), unsafe=unsafe)
        delattr(module, tensor_name)
        if not is_parametrized(module):
            module.__class__ = _parametrized_class(type(module))
            module.parametrizations = ModuleDict()
        _add_property(type(module), tensor_name)
        module.parametrizations[tensor_name] = listed
    else:
        raise ValueError(
            f"Module '{module}' does not have a parameter, a buffer, or a parametrized element with name "
            f"'{tensor_name}'"
        )
    return module


def _check_on_top(module: Module, name: str, parametrization: Module) -> None:
    """Raise unless ``parametrization`` keeps dtype and shape of an already parametrised tensor."""
    was = getattr(module, name)
    now = parametrization(was)
    _check_tensor(now)
    _check_alike(
        "Registering a parametrization may not change the {kind} of the tensor",
        was,
        now,
        (f"module.{name}.", f"parametrization(module.{name})."),
    )
    if hasattr(parametrization, "right_inverse"):
        try:
            back = parametrization.right_inverse(now)
        except NotImplementedError:
            return
        _check_tensor(back, "parametrization.right_inverse must return a tensor.")
        _check_alike(
            "The tensor returned by parametrization.right_inverse must have the same {kind} as module." + name,
            was,
            back,
            (f"module.{name}.", "returned "),
        )


def is_parametrized(module: Module, tensor_name: str | None = None) -> bool:
    """Whether ``module`` has any parametrised tensor, or one of that name."""
    parametrizations = getattr(module, "parametrizations", None)
    if not isinstance(parametrizations, ModuleDict):
        return False
    return len(parametrizations) > 0 if tensor_name is None else tensor_name in parametrizations


def remove_parametrizations(module: Module, tensor_name: str, leave_parametrized: bool = True) -> Module:
    """Make ``module.tensor_name`` an ordinary parameter or buffer again.

    It keeps its present value, or, with ``leave_parametrized=False``, becomes the original.
    """
    if not is_parametrized(module, tensor_name):
        raise ValueError(f"Module {module} does not have a parametrization on {tensor_name}")
    listed = module.parametrizations[tensor_name]
    if listed.is_tensor:
        original = listed.original
        if leave_parametrized:
            with bulssi.no_grad():
                _replace(original, getattr(module, tensor_name))
    elif leave_parametrized:
        value = getattr(module, tensor_name)
        original = Parameter(value.detach()) if value.requires_grad else value
    else:
        raise ValueError(
            "Cannot leave unparametrized (`leave_parametrized=False`) a tensor that is parametrized in terms of a "
            "sequence of tensors."
        )
    delattr(type(module), tensor_name)
    del module.parametrizations[tensor_name]
    _register(module, tensor_name, original)
    if not is_parametrized(module):
        delattr(module, "parametrizations")
        module.__class__ = type(module).__bases__[0]
    return module


def type_before_parametrizations(module: Module) -> type:
    """The class of ``module`` without its parametrisations."""
    return type(module).__bases__[0] if is_parametrized(module) else type(module)


def transfer_parametrizations_and_params(
    from_module: Module, to_module: Module, tensor_name: str | None = None
) -> Module:
    """Give ``to_module`` the parametrisations of ``from_module`` (or those of one tensor), with the same originals."""
    if not is_parametrized(from_module):
        return to_module
    for name in list(from_module.parametrizations) if tensor_name is None else [tensor_name]:
        source = from_module.parametrizations[name]
        if not hasattr(to_module, name):
            setattr(to_module, name, Parameter(getattr(from_module, name)))
        for parametrization in source:
            register_parametrization(to_module, name, parametrization)
        target = to_module.parametrizations[name]
        for key, original in list(source._parameters.items()) + list(source._buffers.items()):
            setattr(target, key, original)
    return to_module
