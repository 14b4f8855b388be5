"""Write src/bulssi/_core.pyi from the built module: operations from their schemas, the rest by looking.

python tools/make_stubs.py            write the file
python tools/make_stubs.py --check    fail when the file is not what would be written
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
from typing import Any

from bulssi import _core
from tools.schema import Parameter, Signature, parse

STUB = Path(__file__).parent.parent / "src" / "bulssi" / "_core.pyi"
HEADER = '''"""The compiled core. Written by `make stubs`; do not edit."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias, overload

Number: TypeAlias = bool | int | float | complex
DeviceLike: TypeAlias = device | str | int
'''
TYPES = {
    "Tensor": "Tensor",
    "Scalar": "Number",
    "int": "int",
    "float": "float",
    "bool": "bool",
    "str": "str",
    "ScalarType": "dtype",
    "Device": "DeviceLike",
    "Generator": "Generator",
    "Layout": "layout",
    "MemoryFormat": "memory_format",
}
RESULTS = {"Tensor": "Tensor", "Tensor[]": "list[Tensor]", "Scalar": "Number", "()": "None"}
INDENT = "    "
TENSOR = "Tensor"  # the class whose methods are the operations
HIDDEN = {
    "__doc__",
    "__module__",
    "__new__",
    "__getattribute__",
    "__weakref__",
    "__dict__",
    "__hash__",
    "__eq__",
    "__ne__",
}


def annotation(parameter: Parameter) -> str:
    """The Python type of a parameter. A number stands for a tensor everywhere but in front."""
    base = TYPES.get(parameter.base, "Any")
    if parameter.is_list:
        base = f"Sequence[{base}]" if base != "int" else "int | Sequence[int]"
    elif base == "Tensor" and parameter.name != "self":
        base = "Tensor | Number"
    return f"{base} | None" if parameter.optional else base


def parameter_text(parameter: Parameter) -> str:
    name = parameter.name + "_" if keyword.iskeyword(parameter.name) else parameter.name
    text = f"{name}: {annotation(parameter)}"
    if parameter.default is None:
        return text
    plain = re.fullmatch(r"None|True|False|-?\d+(\.\d+)?(e-?\d+)?", parameter.default)
    return f"{text} = {parameter.default if plain else '...'}"


def returned(signature: Signature) -> str:
    results = [RESULTS.get(result, TYPES.get(result, "Any")) for result in signature.returns]
    if not results:
        return "None"
    return results[0] if len(results) == 1 else f"tuple[{', '.join(results)}]"


def definition(signature: Signature, name: str, form: str) -> str:
    """`def` line of one operation as a `function`, `method`, `inplace` method, or function with `out`."""
    method = form in ("method", "inplace")
    parts, stars = [], False
    for parameter in signature.parameters:
        if parameter.keyword_only and not stars:
            parts.append("*")
            stars = True
        parts.append("self" if method and parameter.name == "self" else parameter_text(parameter))
    if form == "out":
        out = "Tensor | None" if len(signature.returns) < 2 else "Sequence[Tensor] | None"
        parts += ([] if stars else ["*"]) + [f"out: {out} = None"]
    result = "Tensor" if form == "inplace" else returned(signature)
    return f"def {name}({', '.join(parts)}) -> {result}: ..."


def with_spread_sizes(signature: Signature, name: str, line: str) -> list[str]:
    """`x.view(2, 3)` beside `x.view((2, 3))`: a last list of integers may be given one by one."""
    positional = [parameter for parameter in signature.parameters if not parameter.keyword_only]
    if len(positional) > 2 or not positional or not positional[-1].is_list or positional[-1].base != "int":
        return [line]
    last = positional[-1]
    return [line, re.sub(rf"\b{last.name}: [^,)]*(\[[^]]*\])?[^,)]*", f"*{last.name}: int", line, count=1)]


def operations() -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """`def` lines by name: of methods of Tensor, and of functions of the module."""
    methods, functions = defaultdict[str, list[str]](list), defaultdict[str, list[str]](list)
    for entry in _core.registry():
        signature = parse(entry["schema"])
        for name in [entry["name"], *entry["aliases"].split()]:
            if entry["method"]:
                methods[name] += with_spread_sizes(signature, name, definition(signature, name, "method"))
            if entry["inplace"]:
                methods[name + "_"].append(definition(signature, name + "_", "inplace"))
            if entry["function"]:
                form = "out" if entry["out"] else "function"
                functions[name] += with_spread_sizes(signature, name, definition(signature, name, form))
    return methods, functions


def overloads(lines: Iterable[str]) -> Iterator[str]:
    distinct = list(dict.fromkeys(lines))
    for line in distinct:
        if len(distinct) > 1:
            yield "@overload"
        yield line


def looked_at(name: str, value: Any, in_class: bool) -> str:
    """The line of something the registry does not describe."""
    if isinstance(value, (types.GetSetDescriptorType, types.MemberDescriptorType, property)):
        return f"@property\n{{0}}def {name}(self) -> Any: ..."
    if callable(value) or isinstance(value, (staticmethod, classmethod)):
        try:
            found = inspect.signature(value).parameters.values()
            plain = [
                each.replace(annotation=each.empty, default=each.empty if each.default is each.empty else ...)
                for each in found
            ]
            return f"def {name}{inspect.Signature(plain)} -> Any: ...".replace("=Ellipsis", "=...")
        except (ValueError, TypeError):
            own = "self, " if in_class and not isinstance(value, (staticmethod, classmethod)) else ""
            return f"def {name}({own}*args: Any, **kwargs: Any) -> Any: ..."
    annotated = type(value).__name__ if type(value).__module__ in ("builtins", _core.__name__) else "Any"
    return f"{name}: {annotated}"


def class_lines(name: str, cls: type, known: dict[str, list[str]]) -> Iterator[str]:
    bases = [base.__name__ for base in cls.__bases__ if base is not object]
    yield f"class {name}({', '.join(bases)}):" if bases else f"class {name}:"
    members = {key: value for key, value in vars(cls).items() if key not in HIDDEN}
    if not members and not known:
        yield INDENT + "..."
    for key in sorted(set(members) | set(known)):
        lines = overloads(known[key]) if key in known else [looked_at(key, members[key], True)]
        for line in lines:
            yield INDENT + line.format(INDENT)


def stub() -> str:
    methods, functions = operations()
    lines = [HEADER]
    members = {name: value for name, value in vars(_core).items() if not name.startswith("__")}
    for name, value in sorted(members.items()):
        if isinstance(value, type):
            lines += [*class_lines(name, value, methods if name == TENSOR else {}), ""]
    for name in sorted({name for name, value in members.items() if not isinstance(value, type)}):
        lines += overloads(functions[name]) if name in functions else [looked_at(name, members[name], False).format("")]
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
