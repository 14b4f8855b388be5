"""The operations under test, as the registry of the core lists them, and sample arguments for each.

Nothing here lists operations for the sake of listing them: arguments follow from the types and names of the schema's
parameters. `RECIPES` holds only operations whose arguments must fit together in a way a schema cannot say.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

import bulssi
from bulssi import _core
from tools.schema import Parameter, Signature, parse

Tensor = bulssi.Tensor


@dataclass(frozen=True)
class Operation:
    """An entry of the registry; an overload of a name is an entry of its own, told apart by a number."""

    entry: dict[str, Any]
    overload: int

    @property
    def name(self) -> str:
        return self.entry["name"]

    @property
    def kind(self) -> str:
        return self.entry["kind"]

    @property
    def differentiable(self) -> bool:
        return self.entry["differentiable"]

    @cached_property
    def signature(self) -> Signature:
        return parse(self.entry["schema"])

    def has(self, variant: str) -> bool:
        """Whether there is a `function`, `method`, `inplace` or `out` form."""
        return self.entry[variant]

    @property
    def is_public(self) -> bool:
        """Whether it has a form at all; a formula without one is a part of other operations."""
        return any(self.has(form) for form in ("function", "method", "inplace"))

    @property
    def is_whole(self) -> bool:
        """Whether it is for integers and bool alone."""
        return self.entry["dtypes"] in ("bitwise", "integers")

    @cached_property
    def home(self) -> Any:
        """The namespace of the core that has its functions."""
        home: Any = _core
        for part in (self.entry["module"] or "").split("."):
            home = getattr(home, part) if part else home
        return home

    @cached_property
    def function(self) -> Callable[..., Any]:
        """The operation as a function of its arguments, whatever forms it has."""
        if self.has("function"):
            return getattr(self.home, self.name)
        if self.has("method"):
            return lambda self_, *args, **kwargs: getattr(self_, self.name)(*args, **kwargs)
        return lambda self_, *args, **kwargs: getattr(self_.clone(), self.name + "_")(*args, **kwargs)

    @cached_property
    def inplace(self) -> Callable[..., Any]:
        """The in-place form: a method, or a function where methods have no such name."""
        name = self.name + "_"
        return getattr(Tensor, name) if hasattr(Tensor, name) else getattr(self.home, name)

    @property
    def is_random(self) -> bool:
        return any(parameter.base == "Generator" for parameter in self.signature.parameters)

    @property
    def is_defined(self) -> bool:
        """Whether its results are determined: not memory as it was found."""
        return "empty" not in self.name and not self.name.startswith("resize")

    @property
    def domain(self) -> tuple[float, float]:
        """Where arguments are drawn from; a formula declares its own."""
        return self.entry.get("domain", (-2.0, 2.0))

    def draw(self) -> Draw:
        """A source of arguments; the same ones in every run."""
        return Draw(np.random.default_rng(zlib.crc32(self.name.encode())), *self.domain, self.is_whole)

    def attributes(self, sample: Sample) -> list[float]:
        """The numbers behind the tensors of a pointwise operation, in order: given ones, else defaults."""
        given = dict(zip((each.name for each in self.signature.parameters), sample.args, strict=False)) | sample.kwargs
        numbers = [each for each in self.signature.parameters if each.base != "Tensor"]
        return [float(given.get(each.name, each.default)) for each in numbers]

    @property
    def full_name(self) -> str:
        """`linalg.norm`, beside which there is another `norm`."""
        return f"linalg.{self.name}" if self.entry["module"] == "linalg" else self.name

    def __str__(self) -> str:
        return self.full_name if self.overload == 0 else f"{self.full_name}.{self.overload}"


@dataclass
class Draw:
    """A source of arguments for one operation, drawn from its domain in float64, or whole numbers in int64."""

    rng: np.random.Generator
    low: float
    high: float
    whole: bool = False

    def __call__(self, *shape: int, low: float | None = None, high: float | None = None) -> Tensor:
        if self.whole:
            return self.index(16, *shape)
        low, high = self.low if low is None else low, self.high if high is None else high
        return bulssi.from_numpy(np.asarray(self.rng.uniform(low, high, shape)))

    def index(self, below: int, *shape: int) -> Tensor:
        return bulssi.from_numpy(np.asarray(self.rng.integers(0, below, shape)))

    def mask(self, *shape: int) -> Tensor:
        return bulssi.from_numpy(np.asarray(self.rng.random(shape) < 0.5))

    def positive_definite(self, n: int) -> Tensor:
        x = self(n, n)
        return x @ x.mT + n * bulssi.eye(n, dtype=x.dtype)


SHAPE = (3, 4)


@dataclass
class Sample:
    """Arguments of one call."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]

    def tensors(self) -> Iterator[Tensor]:
        yield from flatten((self.args, self.kwargs))

    def map(self, change: Callable[[Tensor], Any]) -> Sample:
        """The same call with every tensor argument changed."""
        args, kwargs = mapped((self.args, self.kwargs), change)
        return Sample(args, kwargs)

    def call(self, operation: Operation) -> Any:
        """The result; random operations give the same one every time."""
        bulssi.manual_seed(0)
        return operation.function(*self.args, **self.kwargs)


def mapped(value: Any, change: Callable[[Tensor], Any]) -> Any:
    if isinstance(value, Tensor):
        return change(value)
    if type(value) in (list, tuple):
        return type(value)(mapped(part, change) for part in value)
    if type(value) is dict:
        return {key: mapped(part, change) for key, part in value.items()}
    return value


def flatten(value: Any) -> Iterator[Tensor]:
    """The tensors in arguments or in a result."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (list, tuple)):
        for part in value:
            yield from flatten(part)
    elif isinstance(value, dict):
        yield from flatten(list(value.values()))


def argument(parameter: Parameter, draw: Draw, shape: tuple[int, ...]) -> Any:
    """An argument for a required parameter, by its type and, for index and mask tensors and sizes, its name."""
    if parameter.base == "Tensor":
        if parameter.is_list:
            return [draw(*shape), draw(*shape)]
        if parameter.name in ("index", "indices"):
            return draw.index(max(1, shape[0] if shape else 1), *shape)
        if parameter.name in ("mask", "condition"):
            return draw.mask(*shape)
        return draw(*shape)
    if parameter.is_list:
        return {"size": [2, *shape], "shape": [2, *shape], "sizes": [2, *shape]}.get(parameter.name, [0])
    by_type = {"int": 0, "SymInt": 0, "float": 0.5, "Scalar": 0.5, "number": 0.5, "bool": False, "str": "mean"}
    by_type |= {"ScalarType": bulssi.float64, "dtype": bulssi.float64}
    if parameter.base not in by_type:
        raise NotImplementedError(f"no argument of type {parameter.base} for parameter {parameter.name}")
    return by_type[parameter.base]


def derived(operation: Operation, draw: Draw, shape: tuple[int, ...]) -> Sample:
    """Arguments for the required parameters alone, from their types."""
    required = operation.signature.required
    positional = [argument(each, draw, shape) for each in required if not each.keyword_only]
    named = {each.name: argument(each, draw, shape) for each in required if each.keyword_only}
    return Sample(tuple(positional), named)


def samples(operation: Operation) -> list[Sample]:
    """Sample calls in float64: of the recipe, or derived for the usual shape."""
    draw = operation.draw()
    made_by = recipe_of(operation)
    if made_by:
        made = made_by(draw)
        return [each if isinstance(each, Sample) else Sample(each, {}) for each in made]
    return [derived(operation, draw, SHAPE)]


def recipe_of(operation: Operation) -> Recipe | None:
    """That of the overload, else that of the name (`linalg.norm`, then `norm`); of a copy that of its view."""
    names = (str(operation), operation.full_name, operation.name)
    names = (*names, *(name.replace("_copy", "") for name in names))
    return next((RECIPES[name] for name in names if name in RECIPES), None)


def of(*args: Any, **kwargs: Any) -> Sample:
    return Sample(args, kwargs)


Recipe = Callable[[Draw], list[Any]]
RECIPES: dict[str, Recipe] = {}


def recipe(*names: str) -> Callable[[Recipe], Recipe]:
    def declare(made: Recipe) -> Recipe:
        RECIPES.update(dict.fromkeys(names, made))
        return made

    return declare


def numbered(entries: list[dict[str, Any]]) -> Iterator[Operation]:
    seen = Counter[str]()
    for entry in entries:
        operation = Operation(entry, 0)
        yield Operation(entry, seen[operation.full_name])
        seen[operation.full_name] += 1


EVERYTHING = list(numbered(_core.registry()))
FORMULAS = [operation for operation in EVERYTHING if operation.kind == "pointwise"]
OPERATIONS = [operation for operation in EVERYTHING if operation.is_public]
POINTWISE = [operation for operation in OPERATIONS if operation.kind == "pointwise"]
# What is drawn has no derivative to compare with differences of draws.
DIFFERENTIABLE = [operation for operation in OPERATIONS if operation.differentiable and not operation.is_random]
