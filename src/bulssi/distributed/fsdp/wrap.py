"""Which modules of a tree become units of their own.

A policy is a function of a module, whether this is the question whether to look at its children (``recurse``), and the
number of elements of its parameters that are in no unit yet (``nonwrapped_numel``).
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from bulssi.nn import Module, ModuleDict, ModuleList, MultiheadAttention

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

__all__ = [
    "CustomPolicy",
    "ModuleWrapPolicy",
    "always_wrap_policy",
    "enable_wrap",
    "lambda_auto_wrap_policy",
    "size_based_auto_wrap_policy",
    "transformer_auto_wrap_policy",
    "wrap",
]


_EXCLUDE_WRAP_MODULES: set[type[Module]] = {ModuleList, ModuleDict}
_FORCE_LEAF_MODULES: set[type[Module]] = {MultiheadAttention}


def always_wrap_policy(*args: Any, **kwargs: Any) -> bool:
    """Every module is a unit."""
    return True


def lambda_auto_wrap_policy(
    module: Module, recurse: bool, nonwrapped_numel: int, lambda_fn: Callable[[Module], bool]
) -> bool:
    """The modules for which a function is true are units."""
    return True if recurse else bool(lambda_fn(module))


def transformer_auto_wrap_policy(
    module: Module, recurse: bool, nonwrapped_numel: int, transformer_layer_cls: set[type[Module]]
) -> bool:
    """The modules of some classes are units: the layers of a transformer."""
    return True if recurse else isinstance(module, tuple(transformer_layer_cls))


def size_based_auto_wrap_policy(
    module: Module,
    recurse: bool,
    nonwrapped_numel: int,
    min_num_params: int = int(1e8),
    force_leaf_modules: set[type[Module]] | None = None,
    exclude_wrap_modules: set[type[Module]] | None = None,
) -> bool:
    """The modules with many parameters that are in no unit yet are units.

    Args:
        min_num_params: how many elements are many.
        force_leaf_modules: classes whose children are never units; ``MultiheadAttention`` without it.
        exclude_wrap_modules: classes that are never units; ``ModuleList`` and ``ModuleDict`` without it.
    """
    forced = _FORCE_LEAF_MODULES if force_leaf_modules is None else force_leaf_modules
    excluded = _EXCLUDE_WRAP_MODULES if exclude_wrap_modules is None else exclude_wrap_modules
    large = nonwrapped_numel >= min_num_params
    return large and not isinstance(module, tuple(forced if recurse else excluded))


class ModuleWrapPolicy:
    """The modules of some classes are units."""

    def __init__(self, module_classes: Iterable[type[Module]]) -> None:
        self._module_classes = tuple(set(module_classes))

    def __call__(self, module: Module, recurse: bool, *args: Any, **kwargs: Any) -> bool:
        return True if recurse else isinstance(module, self._module_classes)

    def __repr__(self) -> str:
        return f"ModuleWrapPolicy({set(self._module_classes)})"


class CustomPolicy:
    """The modules for which a function is true are units, or for which it gives a dict, with these options."""

    def __init__(self, lambda_fn: Callable[[Module], bool | dict[str, Any]]) -> None:
        self._lambda_fn = lambda_fn

    def options(self, module: Module) -> bool | dict[str, Any]:
        """What the function says of a module."""
        found = self._lambda_fn(module)
        if not isinstance(found, (bool, dict)):
            raise ValueError(
                "The lambda_fn passed to CustomPolicy should return False/True or a kwarg dict, but it returned "
                f"{found}"
            )
        return found


_wrapper: list[tuple[Any, dict[str, Any]]] = []  # of the blocks of enable_wrap


@contextlib.contextmanager
def enable_wrap(*, wrapper_cls: Any, **wrapper_kwargs: Any) -> Iterator[None]:
    """A block in which :func:`wrap` makes units of a class, with options."""
    _wrapper.append((wrapper_cls, wrapper_kwargs))
    try:
        yield
    finally:
        _wrapper.pop()


def wrap(module: Module, **wrap_overrides: Any) -> Module:
    """Make a module a unit inside :func:`enable_wrap`; elsewhere give it back as it is."""
    if not _wrapper:
        return module
    kind, options = _wrapper[-1]
    return kind(module, **{**options, **wrap_overrides})


def wrap_children(
    module: Module, policy: Any, wrapped: Callable[..., Module], unit: type, ignored: set[Module]
) -> None:
    """Make units of the modules below one as a policy says, the innermost first."""
    if isinstance(policy, CustomPolicy):
        for name, child in list(module.named_children()):
            if child in ignored or isinstance(child, unit):
                continue
            wrap_children(child, policy, wrapped, unit, ignored)
            options = policy.options(child)
            if options is not False:
                setattr(module, name, wrapped(child, **(options if isinstance(options, dict) else {})))
        return
    _wrap_by_numel(module, policy, wrapped, unit, ignored)


def _numel(module: Module, ignored: set[Module]) -> int:
    left_out = {p for other in ignored for p in other.parameters()}
    return sum(p.numel() for p in module.parameters() if p not in left_out)


def _wrap_by_numel(module: Module, policy: Any, wrapped: Any, unit: type, ignored: set[Module]) -> int:
    """The same for policies that are functions; returns how many elements are now in units."""
    if not policy(module=module, recurse=True, nonwrapped_numel=_numel(module, ignored)):
        return 0
    done = 0
    for name, child in list(module.named_children()):
        if child in ignored or isinstance(child, unit):
            continue
        total = _numel(child, ignored)
        inside = _wrap_by_numel(child, policy, wrapped, unit, ignored)
        if policy(module=child, recurse=False, nonwrapped_numel=total - inside):
            setattr(module, name, wrapped(child))
            inside = total
        done += inside
    return done
