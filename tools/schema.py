"""Reading of operator schemas, as the registry of the core gives them.

sum(Tensor self, int[1]? dim=None, bool keepdim=False, *, ScalarType? dtype=None) -> Tensor
"""

from __future__ import annotations

import re
from dataclasses import dataclass

REQUIRED = None  # the default of a parameter that has none


@dataclass(frozen=True)
class Parameter:
    """One parameter: `int[1]? dim=None` is ("dim", base "int", is_list, optional, default "None")."""

    name: str
    base: str
    is_list: bool
    optional: bool
    default: str | None
    keyword_only: bool

    @property
    def required(self) -> bool:
        return self.default is REQUIRED


@dataclass(frozen=True)
class Signature:
    name: str
    parameters: tuple[Parameter, ...]
    returns: tuple[str, ...]
    fields: tuple[str, ...] = ()  # the names of several results, where they have any

    @property
    def required(self) -> tuple[Parameter, ...]:
        return tuple(parameter for parameter in self.parameters if parameter.required)

    @property
    def tensors(self) -> tuple[Parameter, ...]:
        """The required parameters that are single tensors."""
        return tuple(parameter for parameter in self.required if parameter.base == "Tensor" and not parameter.is_list)


PARAMETER = re.compile(
    r"(?P<base>\w+)(\((?P<alias>[^)]*)\))?(?P<inner>\?)?(?P<list>\[\d*\])?(?P<optional>\?)?"
    r"\s+(?P<name>\w+)\s*(=\s*(?P<default>.+))?$"
)


def split(text: str) -> list[str]:
    """Pieces between the commas that stand outside of brackets and quotes."""
    pieces, depth, quoted, piece = [], 0, "", ""
    for letter in text:
        if quoted:
            quoted = "" if letter == quoted else quoted
        elif letter in "\"'":
            quoted = letter
        depth += (letter in "([") - (letter in ")]") if not quoted else 0
        if letter == "," and not depth and not quoted:
            pieces.append(piece.strip())
            piece = ""
        else:
            piece += letter
    return [*pieces, piece.strip()] if piece.strip() else pieces


def parse(schema: str) -> Signature:
    """The signature that a schema spells; raises ValueError that quotes the part that is not understood."""
    head, arrow, result = schema.rpartition("->")
    name, opened, rest = head.strip().partition("(")
    if not arrow or not opened or not rest.endswith(")"):
        raise ValueError(f"schema {schema!r} does not read `name(parameters) -> results`")
    parameters, keyword_only = [], False
    for text in split(rest[:-1]):
        if text == "*":
            keyword_only = True
            continue
        match = PARAMETER.match(text)
        if match is None:
            raise ValueError(f"parameter {text!r} of schema {schema!r} does not read `type name=default`")
        parameters.append(
            Parameter(
                name=match["name"],
                base=match["base"],
                is_list=match["list"] is not None,
                optional=match["optional"] is not None or match["inner"] is not None,
                default=match["default"],
                keyword_only=keyword_only,
            )
        )
    result = result.strip()
    inner = result[1:-1] if result.startswith("(") else result
    types, _, fields = zip(*(piece.partition(" ") for piece in split(inner)), strict=True) if inner else ((), (), ())
    return Signature(name.strip(), tuple(parameters), types, fields if all(fields) else ())
