"""Modules around others whose intermediate results are computed again for backward, or wait in memory of the CPU.

They are not seen in names: parameters and states keep those of the module inside.
"""

from __future__ import annotations

from enum import Enum, auto
from functools import partial
from typing import TYPE_CHECKING, Any

from bulssi.autograd.graph import save_on_cpu
from bulssi.nn import Module
from bulssi.utils.checkpoint import checkpoint

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bulssi import Tensor
    from bulssi.nn import Parameter

__all__ = [
    "ActivationWrapper",
    "CheckpointImpl",
    "CheckpointWrapper",
    "OffloadWrapper",
    "apply_activation_checkpointing",
    "checkpoint_wrapper",
    "offload_wrapper",
]

_CHECKPOINT_WRAPPED_MODULE = "_checkpoint_wrapped_module"
_CHECKPOINT_PREFIX = _CHECKPOINT_WRAPPED_MODULE + "."


class CheckpointImpl(Enum):
    """How results are computed again; see :func:`bulssi.utils.checkpoint.checkpoint`."""

    REENTRANT = auto()
    NO_REENTRANT = auto()


class ActivationWrapper(Module):
    """A module around another that is not seen in names."""

    _checkpoint_wrapped_module: Module

    def __init__(self, mod: Module) -> None:
        super().__init__()
        setattr(self, _CHECKPOINT_WRAPPED_MODULE, mod)
        self._register_state_dict_hook(self._without_prefix)
        self._register_load_state_dict_pre_hook(self._with_prefix)

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            if name == _CHECKPOINT_WRAPPED_MODULE:
                raise
            return getattr(self._checkpoint_wrapped_module, name)

    def __getitem__(self, key: Any) -> Any:
        inside: Any = self._checkpoint_wrapped_module
        return inside[key]

    def named_parameters(self, *args: Any, **kwargs: Any) -> Iterator[tuple[str, Parameter]]:
        """The parameters, with the names they have in the module inside."""
        for name, parameter in super().named_parameters(*args, **kwargs):
            yield name.replace(_CHECKPOINT_PREFIX, ""), parameter

    @staticmethod
    def _without_prefix(module: Module, state_dict: dict[str, Tensor], prefix: str, *others: Any) -> None:
        inner = prefix + _CHECKPOINT_PREFIX
        for key in [key for key in state_dict if key.startswith(prefix)]:  # all: the order stays
            value = state_dict.pop(key)
            state_dict[prefix + key[len(inner) :] if key.startswith(inner) else key] = value

    @staticmethod
    def _with_prefix(state_dict: dict[str, Tensor], prefix: str, *others: Any) -> None:
        inner = prefix + _CHECKPOINT_PREFIX
        for key in [key for key in state_dict if key.startswith(prefix) and not key.startswith(inner)]:
            state_dict[inner + key[len(prefix) :]] = state_dict.pop(key)


class OffloadWrapper(ActivationWrapper):
    """What the module saves for backward waits in the memory of the CPU."""

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        with save_on_cpu(pin_memory=True):
            return self._checkpoint_wrapped_module(*args, **kwargs)


class CheckpointWrapper(ActivationWrapper):
    """What the module saves for backward is computed again."""

    def __init__(
        self,
        mod: Module,
        checkpoint_impl: CheckpointImpl = CheckpointImpl.NO_REENTRANT,
        checkpoint_fn: Callable[..., Any] | None = None,
        **checkpoint_fn_kwargs: Any,
    ) -> None:
        super().__init__(mod)
        self.checkpoint_impl = checkpoint_impl
        reentrant = checkpoint_impl is CheckpointImpl.REENTRANT
        if checkpoint_fn is None:
            checkpoint_fn = partial(checkpoint, use_reentrant=reentrant)
        self.checkpoint_fn = partial(checkpoint_fn, **checkpoint_fn_kwargs)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        inside = self._checkpoint_wrapped_module
        if self.checkpoint_impl is CheckpointImpl.REENTRANT and kwargs:
            names, count = list(kwargs), len(args)

            def positional(*values: Any) -> Any:  # that form passes on no keywords
                return inside(*values[:count], **dict(zip(names, values[count:], strict=True)))

            return self.checkpoint_fn(positional, *args, *kwargs.values())
        return self.checkpoint_fn(inside, *args, **kwargs)


def offload_wrapper(module: Module) -> Module:
    """A module that keeps what it saves for backward in the memory of the CPU."""
    return OffloadWrapper(module)


def checkpoint_wrapper(
    module: Module,
    checkpoint_impl: CheckpointImpl = CheckpointImpl.NO_REENTRANT,
    checkpoint_fn: Callable[..., Any] | None = None,
    **checkpoint_fn_kwargs: Any,
) -> Module:
    """A module that computes what it saves for backward again.

    Args:
        checkpoint_impl: how.
        checkpoint_fn: a function as :func:`bulssi.utils.checkpoint.checkpoint`, which is called without it.
        checkpoint_fn_kwargs: its options.

    Example:
        >>> layer = checkpoint_wrapper(nn.Linear(2, 2))
        >>> list(layer.state_dict())
        ['weight', 'bias']
    """
    return CheckpointWrapper(module, checkpoint_impl, checkpoint_fn, **checkpoint_fn_kwargs)


def _always(module: Module) -> bool:
    return True


def apply_activation_checkpointing(
    model: Module,
    checkpoint_wrapper_fn: Callable[[Module], Module] = checkpoint_wrapper,
    check_fn: Callable[[Module], bool] = _always,
    auto_wrap_policy: Callable[..., bool] | None = None,
) -> None:
    """Wrap the modules below one for which ``check_fn`` is true, or as a policy of `fsdp.wrap` says, in place."""
    from bulssi.distributed.fsdp.wrap import lambda_auto_wrap_policy, wrap_children

    policy = auto_wrap_policy or partial(lambda_auto_wrap_policy, lambda_fn=check_fn)
    wrap_children(model, policy, checkpoint_wrapper_fn, ActivationWrapper, set())
