"""What files may name besides tensors and containers when load() is told weights_only=False.

Plain data of the standard library and of NumPy; the modules, optimizers and functions of this library; modules that the
program has defined and plain classes of its main module. Objects are made without calling anything that a file chooses:
by the makers below, or empty and then given their attributes.
"""

from __future__ import annotations

import enum
import re
import sys
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import bulssi
from bulssi._unpickle import UnpicklingError, check_key

if TYPE_CHECKING:
    from collections.abc import Callable

_FACTORIES = (list, dict, set, tuple, int, float, bool, str, bytes)
_HOMES = ("bulssi.nn.", "bulssi.optim.", "torch.nn.", "torch.optim.")  # the latter two under `bulssi run`
_PLAIN_DTYPE = re.compile(r"[<>=|]?[biufcSU?]\d*")


def find(module: str, name: str) -> Any:
    """The object of that name, or None when not even a trusted file may name it."""
    full = f"{module}.{name}"
    if full in _MAKERS:
        return Maker(full, _MAKERS[full])
    if full == "builtins.Ellipsis":
        return ...
    for factory in _FACTORIES:
        if full == f"builtins.{factory.__name__}":
            return factory
    if full in ("argparse.Namespace", "types.SimpleNamespace"):
        import argparse
        import types

        return argparse.Namespace if name == "Namespace" else types.SimpleNamespace
    if full == "numpy.ndarray":
        import numpy

        return numpy.ndarray
    if module == "torch" or module.startswith("torch."):
        return _own(module, name)
    found = getattr(sys.modules.get(module), name, None)  # nothing is imported for a file
    if not isinstance(found, type):
        return None
    return found if issubclass(found, bulssi.nn.Module) or _is_plain_class_of_main(found) else None


def _own(module: str, name: str) -> Any:
    """A class of nn or optim, or an operation: what the attributes of modules and optimizers hold."""
    homes = [sys.modules.get("bulssi" + module[len("torch") :])]
    for package in ("nn", "optim", "special", "linalg"):
        if (module + ".").startswith(f"torch.{package}."):
            homes.append(getattr(bulssi, package))
    if module in ("torch._C._nn", "torch.nn.functional"):
        homes.append(bulssi.nn.functional)
    if module in ("torch._C._special", "torch._C._linalg"):  # special_erf, linalg_norm
        space, _, name = name.partition("_")
        homes.append(getattr(bulssi, space, None))
    if module == "torch.optim.lr_scheduler":
        homes.append(bulssi.optim.lr_scheduler)
    for home in homes:
        found = getattr(home, name, None)
        source = f"{getattr(found, '__module__', '')}."
        if isinstance(found, type) and source.startswith(_HOMES):
            return found
        if callable(found) and not isinstance(found, type):
            if source.startswith("bulssi.nn.functional.") or type(found) is type(bulssi.relu):
                return found
    return None


def _is_plain_class_of_main(cls: type) -> bool:
    if cls.__module__ != "__main__":
        return False
    return issubclass(cls, enum.Enum) or cls.__new__ is object.__new__


def may_be_made_empty(cls: Any) -> bool:
    """Whether objects of a class that find() gave may be made without arguments, to get their attributes later."""
    return isinstance(cls, type) and (
        f"{cls.__module__}.".startswith(_HOMES)
        or issubclass(cls, bulssi.nn.Module)
        or (_is_plain_class_of_main(cls) and not issubclass(cls, enum.Enum))
        or f"{cls.__module__}.{cls.__qualname__}" in ("argparse.Namespace", "types.SimpleNamespace")
    )


def object_of(cls: Any) -> Any:
    """An object of a class, without attributes."""
    return cls.__new__(cls)


def call(function: Any, args: tuple[Any, ...]) -> Any:
    """What a file makes by calling something of find(): (object,), or None when that may not be called."""
    if isinstance(function, Maker):
        return (function.make(*args),)
    if not isinstance(function, type):
        return None
    if issubclass(function, bulssi.nn.parameter.UninitializedTensorMixin) and all(type(a) is bool for a in args):
        return (function(*args),)
    if issubclass(function, enum.Enum) and _is_plain_class_of_main(function) and len(args) == 1:
        return (function(check_key(args[0])),)
    if not args and may_be_made_empty(function):
        return (object_of(function),)
    return None


def build(obj: Any, state: Any) -> bool:
    """Gives NumPy's arrays and dtypes what a file says of them; False when `obj` is neither."""
    numpy = sys.modules.get("numpy")
    if numpy is None or not isinstance(obj, (numpy.ndarray, numpy.dtype)):
        return False
    if isinstance(obj, numpy.dtype):
        order = state[1] if isinstance(state, tuple) and len(state) > 1 else None
        size = obj.itemsize if obj.kind in "SU" else -1
        _expect(order in ("<", ">", "=", "|") and obj.kind in "biufcSU", "describes a dtype that is not understood")
        obj.__setstate__((3, order, None, None, None, size, -1 if size < 0 else obj.alignment, 0))  # pyright: ignore
        return True
    _expect(isinstance(state, tuple) and len(state) == 5, "describes an array in an unknown way")
    _, shape, dtype, by_columns, data = state
    _expect(isinstance(dtype, numpy.dtype) and not dtype.hasobject, "describes an array of Python objects")
    _expect(isinstance(shape, tuple) and all(type(n) is int and n >= 0 for n in shape), "makes an array of no sizes")
    _expect(isinstance(data, bytes), "makes an array of no bytes")
    count = dtype.itemsize
    for n in shape:
        count *= n
    _expect(count == len(data), f"makes an array of {count} bytes from {len(data)}")
    obj.__setstate__((1, shape, dtype, bool(by_columns), data))  # pyright: ignore
    return True


def _expect(holds: bool, what: str) -> None:
    if not holds:
        raise UnpicklingError(f"the pickle {what}; the file is damaged")


class Maker:
    """A function of this module under the name that a file uses for it."""

    __slots__ = ("make", "name")

    def __init__(self, name: str, make: Callable[..., Any]) -> None:
        self.name, self.make = name, make


def _range(*args: Any) -> range:
    _expect(1 <= len(args) <= 3 and all(type(n) is int for n in args), "makes a range of no numbers")
    return range(*args)


def _slice(*args: Any) -> slice:
    _expect(len(args) == 3, "makes a slice of other than three parts")
    return slice(*args)


def _defaultdict(factory: Any = None, *rest: Any) -> defaultdict[Any, Any]:
    _expect(not rest and (factory is None or factory in _FACTORIES), "makes a defaultdict with an unknown factory")
    return defaultdict(factory)


def _path(*parts: Any) -> Any:
    from pathlib import Path

    _expect(all(isinstance(part, str) for part in parts), "makes a path of no strings")
    return Path(*parts)


def _getattr(holder: Any, name: Any) -> Any:
    """An operation as PyTorch's files name it, a member of an enumeration as Python 3.11.0 to 3.11.3 writes it, or a
    method that a lazy module has as its own hook.
    """
    if isinstance(holder, enum.EnumMeta) and _is_plain_class_of_main(holder) and name in holder.__members__:
        return holder[name]
    if isinstance(holder, Maker) and holder.make is _operations and isinstance(name, str):
        found = _own("torch", name)
        _expect(found is not None, f"asks for the operation {name!r:.40}, which there is not")
        return found
    lazy = isinstance(holder, bulssi.nn.modules.lazy.LazyModuleMixin)
    known = lazy and name in ("_infer_parameters", "_lazy_load_hook")
    _expect(known, f"asks for the attribute {name!r:.40} of a {type(holder).__name__}")
    return getattr(holder, name)


def _joined_flags(a: Any, b: Any) -> Any:
    """Several members of an enumeration of flags, as the same versions of Python write them."""
    _expect(isinstance(a, enum.Flag) and type(a) is type(b), f"joins a {type(a).__name__} and a {type(b).__name__}")
    return a | b


def _operations(*args: Any) -> Any:
    """Stands for the class that holds PyTorch's operations."""
    raise UnpicklingError("the pickle makes an object of a class that only holds functions; the file is damaged")


def _numpy_dtype(text: Any, *rest: Any) -> Any:
    import numpy

    _expect(isinstance(text, str) and _PLAIN_DTYPE.fullmatch(text) is not None, "names an unknown NumPy dtype")
    return numpy.dtype(text, copy=True)  # pyright: ignore[reportCallIssue]


def _numpy_scalar(dtype: Any, data: Any) -> Any:
    import numpy

    _expect(isinstance(dtype, numpy.dtype) and isinstance(data, bytes), "makes a NumPy scalar of no dtype or bytes")
    _expect(len(data) == dtype.itemsize > 0, "makes a NumPy scalar of the wrong size")
    return numpy.frombuffer(data, dtype, 1)[0]


def _numpy_array(cls: Any, shape: Any, code: Any) -> Any:
    import numpy

    _expect(cls is numpy.ndarray, "makes an array of an unknown class")
    return numpy.empty(0, numpy.int8)


_MAKERS: dict[str, Callable[..., Any]] = {
    "builtins.getattr": _getattr,
    "_operator.or_": _joined_flags,
    "torch._C._VariableFunctionsClass": _operations,
    "builtins.range": _range,
    "builtins.xrange": _range,  # as protocol 2 writes it
    "builtins.slice": _slice,
    "collections.defaultdict": _defaultdict,
    "pathlib.PosixPath": _path,
    "pathlib.WindowsPath": _path,
    "pathlib._local.PosixPath": _path,
    "pathlib._local.WindowsPath": _path,
    "numpy.dtype": _numpy_dtype,
    **{f"numpy.{core}.multiarray.scalar": _numpy_scalar for core in ("core", "_core")},
    **{f"numpy.{core}.multiarray._reconstruct": _numpy_array for core in ("core", "_core")},
}
