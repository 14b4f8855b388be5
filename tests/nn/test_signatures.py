"""The public names of nn and their arguments are PyTorch's."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

torch = pytest.importorskip("torch")

import bulssi  # noqa: E402

MODULES = ["", "functional", "init", "utils", "utils.rnn", "utils.parametrize", "utils.parametrizations"]
# Names of PyTorch that are left out: quantisation and JIT machinery, kernels of other devices, fusion of layers.
ABSENT = {
    "": {"Container", "common_types", "factory_kwargs", "grad", "intrinsic", "qat", "quantizable", "quantized"},
    "functional": {
        "ScalingType",
        "SwizzleType",
        "assert_int_or_pair",
        "boolean_dispatch",
        "grad",
        "grouped_mm",
        "has_torch_function",
        "has_torch_function_unary",
        "has_torch_function_variadic",
        "scaled_grouped_mm",
        "scaled_mm",
    },
    "utils": {
        "convert_conv2d_weight_memory_format",
        "convert_conv3d_weight_memory_format",
        "fuse_conv_bn_eval",
        "fuse_conv_bn_weights",
        "fuse_linear_bn_eval",
        "fuse_linear_bn_weights",
        "fusion",
        "memory_format",
    },
    "utils.rnn": {"PackedSequence_", "bind", "copy_method_params"},
    "utils.parametrize": {"Module"},
}


def find(library: Any, name: str) -> Any:
    module = library.nn
    for part in filter(None, name.split(".")):
        module = getattr(module, part)
    return module


def arguments(function: Any) -> Any:
    """Names, kinds and defaults; a default that is a function counts as the name of that function."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return None
    return [(p.name, p.kind, getattr(p.default, "__name__", p.default)) for p in parameters]


def public(name: str) -> list[str]:
    module = find(torch, name)
    home = module.__name__
    names = []
    for key, value in vars(module).items():
        own = getattr(value, "__module__", home) or home
        if (
            key.startswith("_")
            or not str(own).startswith("torch")
            or inspect.ismodule(value)
            and "torch.nn" not in value.__name__
        ):
            continue
        if (inspect.isclass(value) or inspect.isroutine(value)) and (
            "torch.nn" in str(own) or inspect.isbuiltin(value)
        ):
            names.append(key)
    return names


@pytest.mark.parametrize("name", MODULES, ids=lambda n: n or "nn")
def test_names(name: str) -> None:
    ours = find(bulssi, name)
    missing = [key for key in public(name) if not hasattr(ours, key) and key not in ABSENT.get(name, ())]
    assert not missing


@pytest.mark.parametrize("name", MODULES, ids=lambda n: n or "nn")
def test_arguments(name: str) -> None:
    differing = {}
    for key in public(name):
        theirs, ours = getattr(find(torch, name), key), getattr(find(bulssi, name), key, None)
        if ours is None:
            continue
        if inspect.isclass(theirs):
            theirs, ours = theirs.__init__, ours.__init__
        expected, got = arguments(theirs), arguments(ours)
        dispatched = expected is not None and [p[0] for p in expected] == ["args", "kwargs"]
        if expected is not None and got is not None and not dispatched and got != expected:
            differing[key] = (got, expected)
    assert not differing


def test_forward_arguments() -> None:
    differing = {}
    for key in public(""):
        theirs, ours = getattr(torch.nn, key), getattr(bulssi.nn, key, None)
        if ours is None or not (inspect.isclass(theirs) and issubclass(theirs, torch.nn.Module)) or key == "RNNBase":
            continue
        expected, got = (arguments(c.forward) for c in (theirs, ours))
        if "input" in {p[0] for p in expected} and [p[0] for p in got] != [p[0] for p in expected]:
            differing[key] = (got, expected)
    assert not differing
