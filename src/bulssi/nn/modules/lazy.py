"""What makes a layer lazy: it takes the sizes it was not told from its first input."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

import bulssi
from bulssi.nn.parameter import is_lazy

if TYPE_CHECKING:
    from typing import Any

__all__ = ["LazyModuleMixin"]


class LazyModuleMixin:
    """Put before a Module class in the bases; the subclass defines ``initialize_parameters(*args)``.

    Before the first forward (or when a state dict is loaded) the uninitialised parameters get their shapes; after
    it the module becomes an instance of ``cls_to_become``. Run a forward before the parameters go to an optimizer.
    """

    cls_to_become: type | None = None

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._load_hook = self._register_load_state_dict_pre_hook(self._lazy_load_hook)
        self._initialize_hook = self.register_forward_pre_hook(self._infer_parameters, with_kwargs=True)

    def _lazy_load_hook(self: Any, state_dict: Any, prefix: str, *_: Any) -> None:
        for name, param in chain(self._parameters.items(), self._buffers.items()):
            stored = state_dict.get(prefix + name)
            if stored is not None and is_lazy(param) and not is_lazy(stored):
                with bulssi.no_grad():
                    param.materialize(stored.shape)

    def initialize_parameters(self: Any, *args: Any, **kwargs: Any) -> None:
        """Give the parameters their shapes, and values, from the arguments of the first forward."""
        raise NotImplementedError(f"initialize_parameters is not implemented for {type(self).__name__}")

    def has_uninitialized_params(self: Any) -> bool:
        """Whether any parameter or buffer of this module still has no shape."""
        return any(is_lazy(p) for p in chain(self._parameters.values(), self._buffers.values()))

    def _infer_parameters(self: Any, module: Any, args: Any, kwargs: Any = None) -> None:
        module.initialize_parameters(*args, **(kwargs or {}))
        if module.has_uninitialized_params():
            raise RuntimeError(f"module {self._get_name()} has not been fully initialized")
        for name in ("_initialize_hook", "_load_hook"):
            getattr(module, name).remove()
            delattr(module, name)
        if module.cls_to_become is not None:
            module.__class__ = module.cls_to_become
