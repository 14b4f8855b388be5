"""Write src/bulssi/_core.pyi from the built module: operations from their schemas, the rest by looking.

python -m tools.make_stubs            write the file
python -m tools.make_stubs --check    fail when the file is not what would be written
"""

from __future__ import annotations

import argparse
import difflib
import inspect
import keyword
import re
import subprocess
import sys
import types
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, cast

from bulssi import _core
from tools.schema import Parameter, Signature, parse

STUB = Path(__file__).parent.parent / "src" / "bulssi" / "_core.pyi"
HEADER = '''"""The compiled core. Written by `make stubs`; do not edit."""

# Overloads are tried in order, and PyTorch's overlap.
# pyright: reportOverlappingOverload=false

import builtins
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias, overload

# Names of Python's types that names of the library hide: `float` is a dtype here, and a method of Tensor.
Bool: TypeAlias = builtins.bool
Int: TypeAlias = builtins.int
Float: TypeAlias = builtins.float
Dtype: TypeAlias = dtype
Number: TypeAlias = Bool | Int | Float | complex
DeviceLike: TypeAlias = device | str | Int
'''
TYPES = {
    "Tensor": "Tensor",
    "Scalar": "Number",
    "int": "Int",
    "float": "Float",
    "bool": "Bool",
    "str": "str",
    "ScalarType": "Dtype",
    "Device": "DeviceLike",
}
PYTHON_TYPES = {"bool": "Bool", "int": "Int", "float": "Float", "dtype": "Dtype", "str": "str", "Size": "Size"}
PYTHON_TYPES |= {"tuple": "tuple[Any, ...]", "list": "list[Any]", "dict": "dict[str, Any]", "None": "None"}
SLOTS = {
    "len": "Int",
    "bool": "Bool",
    "float": "Float",
    "int": "Int",
    "index": "Int",
    "repr": "str",
    "contains": "Bool",
}
RESULTS = {"Tensor": "Tensor", "Tensor[]": "list[Tensor]", "Scalar": "Number", "()": "None"}
INDENT = "    "
TENSOR = "Tensor"  # the class whose methods are the operations
HIDDEN = {"__doc__", "__module__", "__new__", "__init__", "__getattribute__", "__weakref__", "__dict__", "__hash__"}
# What a slot of the C type gives and its attributes do not show, or show with too little.
TENSOR_SLOTS = {
    "__eq__": "def __eq__(self, value: Any, /) -> Tensor: ...  # pyright: ignore[reportIncompatibleMethodOverride]",
    "__ne__": "def __ne__(self, value: Any, /) -> Tensor: ...  # pyright: ignore[reportIncompatibleMethodOverride]",
    "__hash__": "def __hash__(self) -> Int: ...",
    "__iter__": "def __iter__(self) -> Iterator[Tensor]: ...",
    "__buffer__": "def __buffer__(self, flags: Int, /) -> memoryview: ...",
}


def annotation(parameter: Parameter, front: bool) -> str:
    """The Python type of a parameter. A number stands for a tensor everywhere but in front."""
    base = TYPES.get(parameter.base, "Any")
    if parameter.is_list:
        base = f"Sequence[{base}]" if base != "Int" else "Int | Sequence[Int]"
    elif base == "Tensor" and not front:
        base = "Tensor | Number"
    return f"{base} | None" if parameter.optional else base


def parameter_text(parameter: Parameter, front: bool) -> str:
    name = parameter.name + "_" if keyword.iskeyword(parameter.name) else parameter.name
    text = f"{name}: {annotation(parameter, front)}"
    if parameter.default is None:
        return text
    plain = re.fullmatch(r"None|True|False|-?\d+(\.\d+)?(e-?\d+)?", parameter.default)
    return f"{text} = {parameter.default if plain else '...'}"


def returned(signature: Signature) -> str:
    results = [RESULTS.get(result, TYPES.get(result, "Any")) for result in signature.returns]
    if not results:
        return "None"
    if signature.fields:
        return named_tuple(signature.fields)
    return results[0] if len(results) == 1 else f"tuple[{', '.join(results)}]"


def named_tuple(fields: tuple[str, ...]) -> str:
    """The stub's name for results with these names, whatever the operation: `_ValuesIndices`."""
    return "_" + "".join(field.title().replace("_", "") for field in fields)


def named_tuples(signatures: Iterable[Signature]) -> Iterator[str]:
    """The classes of those results. Python knows them as tuples whose items have names, not as `NamedTuple`s."""
    distinct = {signature.fields: signature for signature in signatures if signature.fields}
    for fields, signature in sorted(distinct.items()):
        results = [RESULTS.get(result, TYPES.get(result, "Any")) for result in signature.returns]
        yield f"class {named_tuple(fields)}(tuple[{', '.join(results)}]):"
        for field, result in zip(fields, results, strict=True):
            yield f"{INDENT}@property\n{INDENT}def {field}(self) -> {result}: ..."
        yield ""


def definition(signature: Signature, name: str, form: str, spread: bool = False) -> str:
    """`def` line of one operation as a `function`, `method`, `inplace` method, or function with `out`.

    With `spread`, the last positional argument, a list, is given as one argument each: `x.view(2, 3)`.
    """
    parts, stars = [], False
    positional = [parameter for parameter in signature.parameters if not parameter.keyword_only]
    for parameter in signature.parameters:
        if parameter.keyword_only and not stars:
            parts.append("*")
            stars = True
        if form in ("method", "inplace") and parameter.name == "self":
            parts.append("self")
        elif spread and parameter is positional[-1]:
            parts.append(f"*{parameter.name}: {TYPES[parameter.base]}")
            stars = True
        else:
            parts.append(parameter_text(parameter, front=parameter is signature.parameters[0]))
    if form == "out":
        out = "Tensor | None" if len(signature.returns) < 2 else "Sequence[Tensor] | None"
        parts += ([] if stars else ["*"]) + [f"out: {out} = None"]
    result = "Tensor" if form == "inplace" else returned(signature)
    return f"def {name}({', '.join(parts)}) -> {result}: ..."


def definitions(signature: Signature, name: str, form: str) -> list[str]:
    positional = [parameter for parameter in signature.parameters if not parameter.keyword_only]
    own = positional[1:] if form in ("method", "inplace") else positional
    spreads = len(own) == 1 and own[0].is_list and own[0].base in ("int", "Tensor")
    return [definition(signature, name, form, spread) for spread in ([False, True] if spreads else [False])]


def operations() -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """`def` lines by name: of methods of Tensor, and of functions of the module."""
    methods, functions = defaultdict[str, list[str]](list), defaultdict[str, list[str]](list)
    for entry in _core.registry():
        signature = parse(entry["schema"])
        for name in [entry["name"], *entry["aliases"].split()]:
            if "." in name:  # in a submodule
                continue
            if entry["method"]:
                methods[name] += definitions(signature, name, "method")
            if entry["inplace"]:
                methods[name + "_"].append(definition(signature, name + "_", "inplace"))
            if entry["function"]:
                form = "out" if entry["out"] else "function"
                functions[name] += definitions(signature, name, form)
    return methods, functions


def overloads(lines: Iterable[str]) -> Iterator[str]:
    distinct = list(dict.fromkeys(lines))
    for line in distinct:
        if len(distinct) > 1:
            yield "@overload"
        yield line


CLASS_METHODS = (classmethod, types.ClassMethodDescriptorType)


def is_tensor(value: Any) -> bool:
    return type(value).__name__ == TENSOR


def looked_at(name: str, value: Any, example: Any = None) -> str:
    """The line of something the registry does not describe; an example tells the types of properties."""
    if isinstance(value, (types.GetSetDescriptorType, types.MemberDescriptorType, property)):
        there = getattr(example, name, None)
        return f"{name}: {PYTHON_TYPES.get(type(there).__name__, 'Any')}"
    if hasattr(value, "__nb_signature__"):
        return nanobind_signature(value.__nb_signature__[0][0])
    if callable(value) or isinstance(value, (staticmethod, classmethod)):
        result = SLOTS.get(name.strip("_"), "Tensor" if is_tensor(example) and name in OPERATORS else "Any")
        try:
            found: Any = inspect.signature(cast(Any, value)).parameters.values()
            parameters = [
                each.replace(annotation=each.empty, default=each.empty if each.default is each.empty else ...)
                for each in found
            ]
            text = str(inspect.Signature(parameters)).replace("=Ellipsis", "=...")
        except (ValueError, TypeError):
            first = "cls, " if isinstance(value, CLASS_METHODS) else "self, " if example is not None else ""
            text = f"({'' if isinstance(value, staticmethod) else first}*args: Any, **kwargs: Any)"
            if written := getattr(value, "__text_signature__", None):  # inspect knows built-in functions only
                text = re.sub(r"=[^,)]+", "=...", written)
        decorator = "@staticmethod\n{0}" if isinstance(value, staticmethod) else ""
        decorator = "@classmethod\n{0}" if isinstance(value, CLASS_METHODS) else decorator
        return f"{decorator}def {name}{text} -> {result}: ..."
    return f"{name}: {PYTHON_TYPES.get(type(value).__name__, 'Any')}"


BINARY = "add sub mul truediv floordiv mod pow and or xor lshift rshift matmul".split()
OPERATORS = {f"__{prefix}{name}__" for prefix in ("", "r", "i") for name in BINARY}
OPERATORS |= {f"__{name}__" for name in "neg pos abs invert lt le gt ge getitem".split()}


def nanobind_signature(text: str) -> str:
    """nanobind's own text with this file's names for types."""
    text = re.sub(r"\b(?:object|handle|capsule)\b", "Any", text)
    return re.sub(r"\b(bool|int|float|dtype)\b(?=[\],) |:]|$)", lambda found: PYTHON_TYPES[found[1]], text) + ": ..."


def class_lines(name: str, cls: type, known: dict[str, list[str]]) -> Iterator[str]:
    bases = [base.__name__ for base in cls.__bases__ if base is not object]
    yield f"class {name}({', '.join(bases)}):" if bases else f"class {name}:"
    # What a subclass of a built-in type redefines keeps the meaning that the built-in's own stub describes.
    inherited = {key for base in cls.__bases__ if base is not object for key in dir(base)}
    members = {key: value for key, value in vars(cls).items() if key not in HIDDEN | inherited}
    example = _core.tensor([[1.0]]) if name == TENSOR else ()
    known = known | ({key: [line] for key, line in TENSOR_SLOTS.items()} if name == TENSOR else {})
    if all(base is object for base in cls.__bases__):
        yield INDENT + "def __init__(self, *args: Any, **kwargs: Any) -> None: ..."
    elif not members and not known:
        yield INDENT + "..."
    for key in sorted(set(members) | set(known)):
        lines = overloads(known[key]) if key in known else [looked_at(key, members[key], example)]
        for line in lines:
            yield INDENT + line.format(INDENT)


def stub() -> str:
    methods, functions = operations()
    lines = [HEADER, *named_tuples(parse(entry["schema"]) for entry in _core.registry())]
    members = {name: value for name, value in vars(_core).items() if not name.startswith("__")}
    for name, value in sorted(members.items()):
        if isinstance(value, type):
            lines += [*class_lines(name, value, methods if name == TENSOR else {}), ""]
    for name in sorted({name for name, value in members.items() if not isinstance(value, type)}):
        lines += overloads(functions[name]) if name in functions else [looked_at(name, members[name])]
    return formatted("\n".join(lines) + "\n")


def formatted(text: str) -> str:
    command = [sys.executable, "-m", "ruff", "format", "--stdin-filename", str(STUB), "-"]
    return subprocess.run(command, input=text, capture_output=True, text=True, check=True).stdout


def main() -> int:
    parser = argparse.ArgumentParser(description="Write the stub of the compiled core.")
    parser.add_argument("--check", action="store_true", help="only compare")
    if not parser.parse_args().check:
        STUB.write_text(stub(), encoding="utf-8")
        return 0
    there = STUB.read_text(encoding="utf-8").splitlines() if STUB.exists() else []
    difference = list(difflib.unified_diff(there, stub().splitlines(), "checked in", "built", lineterm="", n=0))
    print("\n".join(difference[:20]) if difference else "_core.pyi is up to date")
    return 1 if difference else 0


if __name__ == "__main__":
    sys.exit(main())
