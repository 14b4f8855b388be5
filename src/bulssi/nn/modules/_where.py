"""Says in which module, by its path from the model's root, an error of a forward happened."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from bulssi import Tensor

if TYPE_CHECKING:
    from typing import Any


class ForwardNote(str):
    """The line added to an exception; it grows by one name at each module the exception passes on its way out."""

    owner: int  # id of the outermost module reached so far
    path: tuple[str, ...]  # names from that module down to the one whose forward failed
    what: str  # that module and what it was called with


def name_the_layer(error: Exception, module: Any) -> None:
    """Wrong arguments for a method that a layer shares with its relatives are reported under the layer's name."""
    text = error.args[0] if error.args else None
    if type(error) is not TypeError or not isinstance(text, str) or not text.startswith("_"):
        return
    owner, _, rest = text.partition(".")
    name = None
    for cls in type(module).__mro__:
        if cls.__name__ == owner and name is not None:
            error.args = (f"{name}.{rest}",)
            return
        if not cls.__name__.startswith("_"):
            name = cls.__name__


def annotate(error: Exception, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Note on ``error``, which is leaving ``module``'s call, where in the model it happened."""
    name_the_layer(error, module)
    notes = error.__dict__.setdefault("__notes__", [])
    old = next((note for note in notes if isinstance(note, ForwardNote)), None)
    if old is None:
        path: tuple[str, ...] = ()
        what = f"{_describe_module(module)}, called with ({_describe_call(args, kwargs)})"
    elif old.owner == id(module):  # a forward that calls itself
        return
    else:
        path = (_name_in(module, old.owner), *old.path)
        what = old.what
    note = ForwardNote(f"  in the forward of {'.'.join(path) or 'the root module'}: {what}")
    note.owner, note.path, note.what = id(module), path, what
    if old is None:
        notes.append(note)
    else:
        notes[notes.index(old)] = note
    if sys.version_info < (3, 11):
        _put_into_message(error, old, note)


def _put_into_message(error: Exception, old: str | None, note: str) -> None:
    """Python 3.10 prints no notes, so there the note becomes the end of the message."""
    if error.args and isinstance(error.args[0], str) and not isinstance(error, KeyError):
        message = error.args[0].removesuffix("\n" + old) if old is not None else error.args[0]
        error.args = (f"{message}\n{note}", *error.args[1:])


def _name_in(module: Any, child_id: int) -> str:
    for name, child in module.named_modules(remove_duplicate=False):
        if id(child) == child_id:
            return name
    return "<a module that is not registered>"


def _describe_module(module: Any) -> str:
    name = type(module).__name__
    if module._modules:
        return name
    try:
        return f"{name}({module.extra_repr()})"
    except Exception:  # a half-built module must not hide the error that is being reported
        return name


def _describe_call(args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    return ", ".join([_describe(a) for a in args] + [f"{k}={_describe(v)}" for k, v in kwargs.items()])


def _describe(value: Any) -> str:
    if isinstance(value, Tensor):
        try:
            return f"{str(value.dtype).rpartition('.')[2]}[{', '.join(map(str, value.shape))}]"
        except RuntimeError:  # an uninitialised parameter has no shape
            return repr(value)
    if isinstance(value, (tuple, list)):
        inner = ", ".join(map(_describe, value[:4])) + (", ..." if len(value) > 4 else "")
        return f"({inner})" if isinstance(value, tuple) else f"[{inner}]"
    if value is None or isinstance(value, (bool, int, float)):
        return repr(value)
    return type(value).__name__
