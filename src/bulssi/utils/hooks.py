"""Handles of registered hooks."""

from __future__ import annotations

import weakref
from typing import Any

__all__ = ["RemovableHandle"]


class RemovableHandle:
    """Takes a hook away again: `handle.remove()`, or the end of `with handle:`.

    Args:
        hooks_dict: the dictionary that will hold the hook, under the key `handle.id`; only a weak reference is kept,
            so it must be an object that allows one, such as an OrderedDict.
        extra_dict: another dictionary, or a list of them, from which the same key is removed, too.
    """

    next_id: int = 0

    def __init__(self, hooks_dict: Any, *, extra_dict: Any = None) -> None:
        self.id: int = RemovableHandle.next_id
        RemovableHandle.next_id += 1
        extra = [] if extra_dict is None else extra_dict if isinstance(extra_dict, list) else [extra_dict]
        self.hooks_dict_ref = weakref.ref(hooks_dict)
        self.extra_dict_ref = tuple([weakref.ref(d) for d in extra])

    def remove(self) -> None:
        """Remove the hook; does nothing when it is already gone."""
        for ref in (self.hooks_dict_ref, *self.extra_dict_ref):
            hooks = ref()
            if hooks is not None:
                hooks.pop(self.id, None)

    def __getstate__(self) -> tuple[Any, ...]:
        return (self.hooks_dict_ref(), self.id, tuple([ref() for ref in self.extra_dict_ref]))

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        from collections import OrderedDict

        hooks, self.id = state[:2]
        self.hooks_dict_ref = weakref.ref(OrderedDict() if hooks is None else hooks)
        extra = state[2] if len(state) > 2 and state[2] is not None else ()
        self.extra_dict_ref = tuple([weakref.ref(OrderedDict() if d is None else d) for d in extra])
        RemovableHandle.next_id = max(RemovableHandle.next_id, self.id + 1)

    def __enter__(self) -> RemovableHandle:
        return self

    def __exit__(self, *exc: object) -> None:
        self.remove()
