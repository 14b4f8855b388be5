"""Schemas of operations of one's own: read from text, or made from the annotations of a function."""

from __future__ import annotations

import ast
import collections.abc
import inspect
import re
import types
import typing
from typing import Any, NamedTuple

import bulssi

_EMPTY = inspect.Parameter.empty
_NUMBER = frozenset({int, float, bool})


class Argument(NamedTuple):
    """One argument of a schema; ``default`` is `inspect.Parameter.empty` without one."""

    name: str
    type: str
    default: Any
    kwarg_only: bool
    mutated: bool


class Schema(NamedTuple):
    """A schema: the name of the operation, its arguments and the text of its results."""

    qualname: str
    arguments: tuple[Argument, ...]
    returns: str
    text: str

    def bind(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Any]:
        """All arguments in order, defaults filled in.

        Raises:
            RuntimeError: one is missing, unknown or of another type, or there are too many.
        """
        declaration = f"Declaration: {self.text}"
        positional = [a for a in self.arguments if not a.kwarg_only]
        if len(args) > len(positional):
            raise RuntimeError(
                f"{self.qualname}() expected at most {len(positional)} argument(s) but received {len(args)} "
                f"argument(s). {declaration}"
            )
        given = {a.name: value for a, value in zip(positional, args, strict=False)}
        for name, value in kwargs.items():
            if name in given or all(a.name != name for a in self.arguments):
                raise RuntimeError(f"Unknown keyword argument '{name}' for operator '{self.qualname}'. {declaration}")
            given[name] = value
        for position, a in enumerate(self.arguments):
            if a.name not in given:
                if a.default is _EMPTY:
                    raise RuntimeError(f"{self.qualname}() is missing value for argument '{a.name}'. {declaration}")
                given[a.name] = a.default
            elif not _fits(given[a.name], a.type):
                value = given[a.name]
                raise RuntimeError(
                    f"{self.qualname}() Expected a value of type '{_shown(a.type)}' for argument '{a.name}' but "
                    f"instead found type '{type(value).__name__}'.\nPosition: {position}\nValue: {value}\n{declaration}"
                )
        return [given[a.name] for a in self.arguments]


def _shown(kind: str) -> str:
    return re.sub(r"\(\w+!?\)", "", kind).replace("SymInt", "int")


def _fits(value: Any, kind: str) -> bool:
    kind = _shown(kind)
    if kind.endswith("?"):
        return value is None or _fits(value, kind[:-1])
    inner = re.fullmatch(r"(.+)\[\d*\]", kind)
    if inner:
        return isinstance(value, (list, tuple)) and all(_fits(item, inner[1]) for item in value)
    if kind == "Tensor":
        return isinstance(value, bulssi.Tensor)
    if kind in ("int", "float", "Scalar"):
        whole = (int,) if kind == "int" else (int, float)
        return isinstance(value, whole) or (isinstance(value, bulssi.Tensor) and value.dim() == 0)
    expected = {"bool": bool, "str": str, "ScalarType": bulssi.dtype}.get(kind)
    return expected is None or isinstance(value, expected)


# ---- from text -------------------------------------------------------------------------------------------------------


def _split(text: str) -> list[str]:
    """The parts between commas that no bracket encloses."""
    parts, depth, start = [], 0, 0
    for at, character in enumerate(text):
        depth += (character in "([") - (character in ")]")
        if character == "," and depth == 0:
            parts.append(text[start:at])
            start = at + 1
    return [part.strip() for part in [*parts, text[start:]] if part.strip()]


def _default(text: str) -> Any:
    named = {"None": None, "True": True, "False": False}
    if text in named:
        return named[text]
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return getattr(bulssi, text, text)  # a dtype such as float32, or a word


def parse(qualname: str, text: str) -> Schema:
    """The schema of ``"(Tensor x, float y=1.0, *, int[] z) -> Tensor"``.

    Raises:
        RuntimeError: the text is none.
    """
    match = re.fullmatch(r"\s*\((.*)\)\s*->\s*(.+?)\s*", text, re.DOTALL)
    if match is None:
        raise RuntimeError(f"schema {text!r} of {qualname} is not of the form '(Tensor x, float y=1.0) -> Tensor'")
    arguments, kwarg_only = [], False
    for part in _split(match[1]):
        if part == "*":
            kwarg_only = True
            continue
        declared, found, default = part.partition("=")
        kind, _, name = declared.strip().rpartition(" ")
        if not kind or not name.isidentifier():
            raise RuntimeError(f"schema {text!r} of {qualname}: {part!r} is no argument (a type, then a name)")
        value = _default(default.strip()) if found else _EMPTY
        arguments.append(Argument(name, kind.strip(), value, kwarg_only, "!" in kind))
    return Schema(qualname, tuple(arguments), match[2], f"{qualname}({match[1]}) -> {match[2]}")


# ---- from a function -------------------------------------------------------------------------------------------------

_PLAIN = {
    bulssi.Tensor: "Tensor",
    int: "SymInt",
    float: "float",
    bool: "bool",
    str: "str",
    bulssi.dtype: "ScalarType",
    bulssi.device: "Device",
}


def _type_text(annotation: Any) -> str | None:
    """The schema's word for an annotation, or None."""
    if annotation in _PLAIN:
        return _PLAIN[annotation]
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (typing.Union, types.UnionType):
        rest = [a for a in args if a is not type(None)]
        if frozenset(rest) == _NUMBER:
            text = "Scalar"
        else:
            text = _type_text(rest[0]) if len(rest) == 1 else None
        return text if len(rest) == len(args) or text is None else f"{text}?"
    if origin in (list, collections.abc.Sequence) and len(args) == 1:
        inner = _type_text(args[0])
        return None if inner is None else f"{inner}[]"
    return None


def _returns_text(annotation: Any, fail: Any) -> str:
    if annotation is None or annotation is type(None):
        return "()"
    if annotation is _EMPTY:
        fail("No return type annotation was provided. Please add one.")
    if typing.get_origin(annotation) is tuple:
        parts = [_type_text(a) for a in typing.get_args(annotation)]
    else:
        parts = [_type_text(annotation)]
    if None in parts:
        fail(f"Return has unsupported type {annotation}. The valid types are tensors, lists of them, and numbers")
    return parts[0] if typing.get_origin(annotation) is not tuple else f"({', '.join(map(str, parts))})"  # type: ignore


def infer_schema(prototype_function: Any, /, *, mutates_args: Any, op_name: str | None = None) -> str:
    """The schema of a function from the annotations of its parameters and result.

    Args:
        prototype_function: it is not called.
        mutates_args: the names of the arguments that it changes, or ``"unknown"``: all of its tensors.
        op_name: put before the schema.

    Raises:
        ValueError: an annotation is missing or has no word in schemas, or a name is of no parameter.

    Example:
        >>> def f(x: Tensor, n: int = 2) -> Tensor: ...
        >>> library.infer_schema(f, mutates_args=())
        '(Tensor x, SymInt n=2) -> Tensor'
    """
    signature = inspect.signature(prototype_function)
    hints = typing.get_type_hints(prototype_function)

    def fail(what: str) -> typing.NoReturn:
        raise ValueError(f"infer_schema(func): {what} Got func with signature {signature})")

    seen, parts, star = set(), [], False
    for index, (name, parameter) in enumerate(signature.parameters.items()):
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            fail("We do not support *args or **kwargs.")
        if parameter.kind is parameter.KEYWORD_ONLY and not star:
            star = True
            parts.append("*")
        if name not in hints:
            fail(f"Parameter {name} must have a type annotation.")
        kind = _type_text(hints[name])
        if kind is None:
            fail(
                f"Parameter {name} has unsupported type {hints[name]}. The valid types are Tensor, int, float, bool, "
                "str, dtype, device, numbers, lists of those, and Optional ones."
            )
        if name in mutates_args or (mutates_args == "unknown" and kind.startswith("Tensor")):
            if not kind.startswith("Tensor"):
                fail(f"Parameter {name} is in mutable_args but only Tensors or collections of Tensors can be mutated")
            kind = kind.replace("Tensor", f"Tensor(a{index}!)", 1)
        seen.add(name)
        parts.append(f"{kind} {name}" + ("" if parameter.default is _EMPTY else f"={_default_text(parameter, fail)}"))
    if mutates_args != "unknown" and (unknown := set(mutates_args) - seen):
        fail(f"{sorted(unknown)} in mutates_args were not found in the custom op's signature.")
    text = f"({', '.join(parts)}) -> {_returns_text(hints.get('return', signature.return_annotation), fail)}"
    return text if op_name is None else f"{op_name}{text}"


def _default_text(parameter: inspect.Parameter, fail: Any) -> str:
    value = parameter.default
    if value is None or isinstance(value, (int, float, bool)):
        return str(value)
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, bulssi.dtype):
        return str(value).removeprefix("torch.")
    fail(f"Parameter {parameter.name} has an unsupported default value type {type(value)}.")
    raise AssertionError
