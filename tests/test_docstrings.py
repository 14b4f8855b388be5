"""Every example in a docstring runs and prints what it shows."""

from __future__ import annotations

import builtins
import doctest
import importlib
import pkgutil
import warnings
from collections.abc import Iterator
from typing import Any

import pytest

import bulssi
from bulssi.distributions import kl

# Examples are written as after `from torch import *`, where that hides nothing of Python's, and `import torch`.
NAMES = {
    name: getattr(bulssi, name) for name in dir(bulssi) if not name.startswith("_") and not hasattr(builtins, name)
}
NAMES |= {"torch": bulssi, "F": bulssi.nn.functional}


def modules() -> Iterator[str]:
    """The modules whose source shows an example."""
    for found in pkgutil.walk_packages(bulssi.__path__, "bulssi."):
        if found.name.endswith("__main__") or ".as_torch" in found.name:
            continue
        spec = found.module_finder.find_spec(found.name, None)
        if spec and spec.origin and spec.origin.endswith(".py"):
            with open(spec.origin, encoding="utf-8") as source:
                if ">>> " in source.read():
                    yield found.name


class Finder(doctest.DocTestFinder):
    """Also finds what a module defines and calls torch's, as `finfo` is."""

    def _from_module(self, module: Any, object: Any) -> bool:
        return getattr(object, "__module__", None) == "torch" or super()._from_module(module, object)  # type: ignore[misc]


@pytest.mark.parametrize("name", list(modules()))
def test_examples(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setattr(kl, "_KL_REGISTRY", dict(kl._KL_REGISTRY))  # one example registers a pair
    monkeypatch.chdir(tmp_path)
    options = bulssi.get_printoptions()
    module = importlib.import_module(name)
    own = {key: value for key, value in vars(module).items() if not key.startswith("__")}
    known = {**NAMES, **own}
    if name == "bulssi.fft":  # it has a function of its own name
        known["fft"] = module
    tests = [t for t in Finder().find(module, name, globs=known) if t.examples]
    assert tests, f"{name}: the examples are in no docstring"
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.IGNORE_EXCEPTION_DETAIL)
    said: list[str] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for test in tests:
            bulssi.manual_seed(0)
            runner.run(test, out=said.append)
    bulssi.set_printoptions(**options)
    assert not runner.summarize(verbose=False).failed, "".join(said)


def test_methods_and_properties_of_tensors_say_what_they_are() -> None:
    silent = [name for name in dir(bulssi.Tensor) if name[0] != "_" and not getattr(bulssi.Tensor, name).__doc__]
    assert not silent


def test_signatures_of_operations() -> None:
    assert bulssi.exp.__doc__ == "exp(input, *, out=None)\n\ne to the power of input."
    assert bulssi.Tensor.exp.__doc__ == "exp(self)\n\ne to the power of self."
    assert bulssi.Tensor.exp_.__doc__.startswith("exp_(input)\n\ne to the power of input.\n\nIn place: ")
    assert bulssi.float_power.__doc__.count("float_power(") == 1  # its overloads differ in types only
    assert bulssi.movedim.__doc__.count("movedim(") == 2
