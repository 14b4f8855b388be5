"""Every operation of the registry beside PyTorch's of the same name: values, dtypes, kinds of error, gradients."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import bulssi

from .compare import as_array
from .operations import DIFFERENTIABLE, OPERATIONS, Operation, Sample, flatten, mapped, samples

torch = pytest.importorskip("torch")

DTYPES = ["float64", "float32", "bfloat16", "float16", "uint8", "int8", "int16", "int32", "int64", "bool"]
# Rounding: PyTorch computes some half-precision results in several rounded steps where we round once.
ULPS = 32


def counterpart(operation: Operation) -> Any:
    """PyTorch's function or method, or None where it has none by this name (an overload of ours, say)."""
    if not operation.has("function"):
        return getattr(torch.Tensor, operation.name, None)
    if operation.entry["module"] == "linalg":
        return getattr(torch.linalg, operation.name)
    for home in (torch, torch.nn.functional, torch.special, torch._C._nn, torch.ops.aten):
        found = getattr(home, operation.name.removeprefix("special_"), None)
        if callable(found):
            return found
    return getattr(torch.Tensor, operation.name, None)


def name_of(dtype: Any) -> str:
    """`float32` of either library's dtype."""
    return str(dtype).split(".")[1]


def to_torch(tensor: bulssi.Tensor) -> Any:
    return torch.from_numpy(as_array(tensor).copy()).to(getattr(torch, name_of(tensor.dtype)))


def to_numpy(tensor: Any) -> np.ndarray[Any, Any]:
    tensor = tensor.detach()
    return (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()


def in_torch(sample: Sample) -> Sample:
    """The same call with PyTorch's tensors and dtypes."""
    args, kwargs = mapped((sample.args, sample.kwargs), to_torch)

    def dtype(value: Any) -> Any:
        return getattr(torch, name_of(value)) if isinstance(value, bulssi.dtype) else value

    return Sample(tuple(dtype(each) for each in args), {key: dtype(each) for key, each in kwargs.items()})


def torch_tensors(value: Any) -> Iterator[Any]:
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, (list, tuple)):
        for part in value:
            yield from torch_tensors(part)


# Where PyTorch itself is only as good as float32 or less: constants or polynomials of that precision. Ours
# are tested against SciPy and mpmath in test_values.py and the tests of vecmath.
COARSE = dict.fromkeys(["digamma", "polygamma", "hardsigmoid", "sinc", "bessel_j0", "bessel_j1"], 1e-7)
COARSE |= {"bessel_y0": 1e-7, "bessel_y1": 1e-7, "airy_ai": 1e-6}
COARSE |= {"_standard_gamma_grad": 1e-4, "_dirichlet_grad": 1e-4}  # fitted rational functions


def assert_agree(ours: Any, theirs: Any, name: str = "") -> None:
    for left, right in zip(flatten(ours), torch_tensors(theirs), strict=True):
        assert tuple(left.shape) == tuple(right.shape)
        assert left.dtype == getattr(bulssi, name_of(right.dtype))
        expected = to_numpy(right).astype(np.float64)
        epsilon = torch.finfo(right.dtype).eps if right.dtype.is_floating_point else 0.0
        if epsilon and name in COARSE:
            epsilon = max(epsilon, COARSE[name])
        finite = np.abs(expected[np.isfinite(expected)])
        scale = finite.max() if finite.size else 1.0
        if name in COARSE:
            scale = max(scale, 1.0)  # sinc at whole numbers: all are noise
        actual = as_array(left).astype(np.float64)
        np.testing.assert_allclose(actual, expected, rtol=ULPS * epsilon, atol=ULPS * epsilon * scale)


def mapped_torch(value: Any) -> Any:
    """Arguments with every tensor of PyTorch's replaced by a copy."""
    if isinstance(value, torch.Tensor):
        return value.clone()
    if type(value) in (list, tuple):
        return type(value)(mapped_torch(part) for part in value)
    if type(value) is dict:
        return {key: mapped_torch(part) for key, part in value.items()}
    return value


def weights(tensor: Any) -> np.ndarray[Any, Any]:
    """Fixed uneven weights for the elements of a result: a plain sum has no gradient through a normalisation."""
    return np.cos(np.arange(tensor.numel(), dtype=np.float64)).reshape(tuple(tensor.shape))


TIES = {"topk", "kthvalue", "mode", "median", "nanmedian", "sort", "msort", "argsort"}
shared = [each for each in OPERATIONS if each.is_defined and counterpart(each) is not None]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("operation", shared, ids=str)
def test_value_dtype_and_kind_of_error(operation: Operation, dtype: str) -> None:
    target = getattr(bulssi, dtype)
    whole = not target.is_floating_point
    for sample in samples(operation):
        cast = sample.map(lambda x: (x.abs() + 1 if whole else x).to(target) if x.is_floating_point() else x)
        torch.manual_seed(0)  # as Sample.call
        try:
            expected = counterpart(operation)(*in_torch(cast).args, **in_torch(cast).kwargs)
        except (RuntimeError, TypeError, ValueError, IndexError, NotImplementedError) as refused:
            if isinstance(refused, NotImplementedError) or "not implemented for" in str(refused):
                continue  # a kernel that PyTorch lacks, not a combination it refuses
            with pytest.raises(type(refused)):
                cast.call(operation)
            continue
        actual = cast.call(operation)
        if whole and operation.name in TIES and isinstance(actual, tuple):  # which of equal elements is named is open
            actual, expected = actual[0], expected[0]
        assert_agree(actual, expected, operation.name)


# The gradient of PyTorch's as_strided_scatter is memory as it was found where src has replaced self.
comparable = [each for each in DIFFERENTIABLE if each in shared and each.name != "as_strided_scatter"]


@pytest.mark.parametrize("operation", comparable, ids=str)
def test_gradient(operation: Operation) -> None:
    for sample in samples(operation):
        ours = sample.map(lambda x: x.detach().requires_grad_() if x.is_floating_point() else x)
        theirs = in_torch(sample)
        leaves = [x for x in torch_tensors([theirs.args, list(theirs.kwargs.values())]) if x.is_floating_point()]
        for leaf in leaves:
            leaf.requires_grad_()
        copy_of_theirs = Sample(*mapped_torch((theirs.args, theirs.kwargs)))  # leaves refuse to be changed in place
        results = counterpart(operation)(*copy_of_theirs.args, **copy_of_theirs.kwargs)
        expected = [x for x in torch_tensors(results) if x.requires_grad]
        actual = [x for x in flatten(ours.map(lambda x: x.clone()).call(operation)) if x.requires_grad]
        assert len(actual) == len(expected)
        if not expected:
            continue
        theirs_total = sum((root * torch.from_numpy(weights(root))).sum() for root in expected)
        ours_total = sum((root * bulssi.from_numpy(weights(root))).sum() for root in actual)
        try:
            theirs_total.backward()
        except NotImplementedError:  # no derivative with respect to some argument
            with pytest.raises(NotImplementedError):
                ours_total.backward()
            continue
        ours_total.backward()
        for left, right in zip((x for x in ours.tensors() if x.requires_grad), leaves, strict=True):
            assert (left.grad is None) == (right.grad is None)
            if right.grad is not None:
                # Adding nothing gives memory to the zeros that PyTorch leaves without.
                assert_agree(left.grad, right.grad + 0.0, operation.name)


def refusal(call: Any) -> Exception | None:
    try:
        call()
    except (RuntimeError, TypeError, ValueError, IndexError) as refused:
        return refused
    return None


# What PyTorch says where the dtype of out, or that it shares memory with an argument, is what it refuses.
OBLIGING = ["lerp.1"]  # converts to out's dtype, as lerp with a number for a weight does in both
with_out = [each for each in shared if each.has("out") and each.has("function")]
OF_OUT = r"Expected out tensor to have dtype|Found dtype|can't be cast to the desired output type|unsupported operation"


@pytest.mark.filterwarnings("ignore:An output with one or more elements was resized")
@pytest.mark.parametrize("operation", with_out, ids=str)
def test_out_of_another_dtype_and_out_that_is_an_argument(operation: Operation) -> None:
    """Taken where PyTorch takes it, with its numbers, and refused where it says that this is the reason."""
    for sample in samples(operation):
        results = list(flatten(sample.call(operation)))
        if len(results) != 1:
            continue
        result = results[0]
        others = {bulssi.float64: [bulssi.float32, bulssi.int64], bulssi.float32: [bulssi.float64, bulssi.int64]}
        for dtype in others.get(result.dtype, []):
            theirs = torch.zeros(tuple(result.shape), dtype=getattr(torch, name_of(dtype)))
            ours = bulssi.zeros(result.shape, dtype=dtype)
            compare_out(operation, sample, in_torch(sample), ours, theirs)
        for at, argument in enumerate(sample.tensors()):
            if argument.dtype != result.dtype or argument.shape != result.shape:
                continue
            copied = sample.map(lambda x: x.clone())
            mirrored = in_torch(sample)
            compare_out(
                operation,
                copied,
                mirrored,
                list(copied.tensors())[at],
                list(torch_tensors([mirrored.args, list(mirrored.kwargs.values())]))[at],
            )


def compare_out(operation: Operation, ours: Sample, theirs: Sample, our_out: Any, their_out: Any) -> None:
    torch.manual_seed(0)
    refused = refusal(lambda: counterpart(operation)(*theirs.args, **theirs.kwargs, out=their_out))
    bulssi.manual_seed(0)
    if refused is None:
        operation.function(*ours.args, **ours.kwargs, out=our_out)
        if operation.is_defined and not operation.is_random:
            assert_agree(our_out, their_out, operation.name)
    elif re.search(OF_OUT, str(refused)) and str(operation) not in OBLIGING:
        before = our_out.clone()
        with pytest.raises(type(refused)):
            operation.function(*ours.args, **ours.kwargs, out=our_out)
        assert our_out.shape == before.shape
        assert bulssi.equal(our_out, before)
