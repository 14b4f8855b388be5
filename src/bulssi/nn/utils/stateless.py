"""A module's forward with other parameters than its own."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from bulssi import Tensor
    from bulssi.nn.modules.module import Module


def _untied(module: Module, given: dict[str, Tensor]) -> dict[str, Tensor]:
    """``given``, with a value for one name of a tensor of ``module`` passed on to its other names."""
    names: dict[Tensor, list[str]] = {}
    for members in (module.named_parameters, module.named_buffers):
        for name, tensor in members(remove_duplicate=False):
            names.setdefault(tensor, []).append(name)
    out = dict(given)
    for tied in names.values():
        values = [given[name] for name in tied if name in given]
        if len(tied) == 1 or not values:
            continue
        if any(value is not values[0] for value in values):
            keys = sorted(tied)
            raise ValueError(
                f"functional_call got multiple values for keys {keys}, which are tied. Consider using tie_weights=False"
            )
        out.update(dict.fromkeys(tied, values[0]))
    return out


def _check_names(module: Module, given: dict[str, Tensor]) -> None:
    own = {name for name, _ in module.named_parameters(remove_duplicate=False)}
    own |= {name for name, _ in module.named_buffers(remove_duplicate=False)}
    errors = []
    for kind, names in (("Unexpected", set(given) - own), ("Missing", own - set(given))):
        if names:
            errors.append(f"{kind} key(s): {', '.join(map(repr, sorted(names)))}.")
    if errors:
        listed = "\n\t".join(errors)
        raise RuntimeError(f"Error(s) in reparametrizing for {module._get_name()}:\n\t{listed}")


def _holder(module: Module, path: str) -> tuple[dict[str, Any], str]:
    """The registry that a parameter or buffer at ``path`` is (or would be an attribute) in."""
    prefix, _, name = path.rpartition(".")
    owner = module.get_submodule(prefix)
    for registry in (owner._parameters, owner._buffers):
        if name in registry:
            return registry, name
    return owner.__dict__, name


@contextmanager
def _reparametrize_module(
    module: Module,
    parameters_and_buffers: dict[str, Tensor],
    tie_weights: bool = False,
    strict: bool = False,
    stack_weights: bool = False,
) -> Iterator[None]:
    """Within the block, ``module`` has the given tensors; those that it replaced meanwhile are put into the
    dictionary."""
    tensors = _untied(module, parameters_and_buffers) if tie_weights else parameters_and_buffers
    if strict:
        _check_names(module, tensors)
    places = {path: _holder(module, path) for path in tensors}
    missing = object()
    saved = {path: registry.get(name, missing) for path, (registry, name) in places.items()}
    try:
        for path, (registry, name) in places.items():
            registry[name] = tensors[path]
        yield
    finally:
        for path, (registry, name) in places.items():
            if path in parameters_and_buffers and name in registry:
                parameters_and_buffers[path] = registry[name]
            if saved[path] is missing:
                registry.pop(name, None)
            else:
                registry[name] = saved[path]


def functional_call(
    module: Module,
    parameters_and_buffers: dict[str, Tensor],
    args: Any = None,
    kwargs: dict[str, Any] | None = None,
    *,
    tie_weights: bool = True,
    strict: bool = False,
) -> Any:
    """``module(*args, **kwargs)`` with some parameters and buffers replaced for the time of the call.

    Args:
        parameters_and_buffers: tensors by path. Buffers that the forward changes in place change here.
        args: a tuple, or one argument.
        tie_weights: a value for one name of a tensor that the module has under several counts for all of them.
        strict: raise unless all parameters and buffers, and nothing else, are given.
    """
    if args is None:
        args = ()
    elif not isinstance(args, tuple):
        args = (args,)
    with _reparametrize_module(module, parameters_and_buffers, tie_weights=tie_weights, strict=strict):
        return module(*args, **(kwargs or {}))
