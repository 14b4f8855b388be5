"""The forms of an operation agree: function, method, in-place, `out=`; and so do layouts of its arguments."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import bulssi

from .compare import as_array, assert_close, assert_same
from .operations import OPERATIONS, POINTWISE, Operation, Sample, derived, flatten, samples

Tensor = bulssi.Tensor


def with_form(form: str) -> list[Operation]:
    return [operation for operation in OPERATIONS if operation.has(form)]


def test_registry_is_there() -> None:
    assert len(OPERATIONS) >= 300
    assert len(POINTWISE) >= 80


@pytest.mark.parametrize("operation", OPERATIONS, ids=str)
def test_every_operation_has_a_sample_that_runs_and_a_docstring(operation: Operation) -> None:
    assert operation.entry["doc"].strip()
    for sample in samples(operation):
        sample.call(operation)


@pytest.mark.parametrize("operation", with_form("method"), ids=str)
def test_method_equals_function(operation: Operation) -> None:
    if not operation.has("function"):
        pytest.skip("a method only")
    if not operation.is_defined:
        pytest.skip("memory as it was found")
    for sample in samples(operation):
        first, *rest = sample.args
        if operation.signature.parameters[0].name != "self":
            continue
        expected = sample.call(operation)
        bulssi.manual_seed(0)
        assert_same(getattr(first, operation.name)(*rest, **sample.kwargs), expected)


@pytest.mark.parametrize("operation", with_form("inplace"), ids=str)
def test_in_place_equals_out_of_place(operation: Operation) -> None:
    for sample in samples(operation):
        expected = sample.call(operation)
        if expected.dtype != sample.args[0].dtype or expected.shape != sample.args[0].shape:
            continue
        target, *rest = sample.map(lambda tensor: tensor.clone()).args
        address, version = target.data_ptr(), target._version
        bulssi.manual_seed(0)
        returned = operation.inplace(target, *rest, **sample.kwargs)
        assert returned is target
        assert (target.data_ptr(), target._version) == (address, version + 1)
        assert_same(target, expected)


@pytest.mark.parametrize("operation", with_form("out"), ids=str)
def test_out_receives_the_result(operation: Operation) -> None:
    for sample in samples(operation):
        expected = sample.call(operation)
        if not isinstance(expected, Tensor):
            continue
        backwards = list(range(expected.dim()))[::-1]
        not_contiguous = bulssi.empty(list(expected.shape)[::-1], dtype=expected.dtype).permute(backwards)
        for out in (bulssi.empty_like(expected), not_contiguous):
            bulssi.manual_seed(0)
            returned = operation.function(*sample.args, **sample.kwargs, out=out)
            assert returned is out
            assert out.shape == expected.shape
            if operation.is_defined:
                assert_same(out, expected)


def transposed(x: Tensor) -> Tensor:
    """The same numbers, last dimension not contiguous."""
    return x.mT.contiguous().mT if x.dim() >= 2 else strided(x)


def strided(x: Tensor) -> Tensor:
    """The same numbers, every second element of a larger storage."""
    if x.dim() == 0:
        return bulssi.stack([x, x])[1]
    spread = bulssi.empty(*x.shape[:-1], 2 * x.shape[-1], dtype=x.dtype)
    spread.zero_()
    view = spread[..., ::2]
    view.copy_(x)
    return view


def reversed_twice(x: Tensor) -> Tensor:
    """The same numbers under a negative stride."""
    return x.flip(0)[::-1] if x.dim() else x


@pytest.mark.parametrize("operation", OPERATIONS, ids=str)
@pytest.mark.parametrize("change", [transposed, strided, reversed_twice], ids=lambda change: change.__name__)
def test_layout_of_arguments_does_not_matter(operation: Operation, change: Callable[[Tensor], Tensor]) -> None:
    of_memory = operation.kind == "view" or operation.name == "view_copy" or "strided" in operation.name
    if of_memory or not operation.is_defined or operation.is_random:
        pytest.skip("the result is the argument's memory, new memory as it is, or drawn in the order of memory")
    for sample in samples(operation):
        expected = sample.call(operation)
        assert_close(sample.map(change).call(operation), expected, 2**-52)


@pytest.mark.parametrize("operation", POINTWISE, ids=str)
def test_broadcasting_equals_expanding(operation: Operation) -> None:
    draw = operation.draw()
    count = len(operation.signature.tensors)
    if count < 2:
        pytest.skip("one tensor")
    shapes = [(3, 1, 4), (2, 1), (1, 1, 4)]
    sample = derived(operation, draw, (1,))
    tensors = iter([fitting(tensor, draw, shapes[at % 3]) for at, tensor in enumerate(sample.tensors())])
    sample = sample.map(lambda _: next(tensors))
    shape = np.broadcast_shapes(*(tuple(tensor.shape) for tensor in sample.tensors()))
    assert_same(sample.call(operation), sample.map(lambda x: x.expand(shape).contiguous()).call(operation))


def fitting(like: Tensor, draw: Any, shape: tuple[int, ...]) -> Tensor:
    return draw.mask(*shape) if like.dtype == bulssi.bool else draw(*shape).to(like.dtype)


@pytest.mark.parametrize("operation", POINTWISE, ids=str)
@pytest.mark.parametrize("shape", [(), (0,), (2, 0, 3), (1,), (1, 1, 1, 1, 1)], ids=str)
def test_small_and_empty_shapes(operation: Operation, shape: tuple[int, ...]) -> None:
    sample = derived(operation, operation.draw(), shape)
    result = sample.call(operation)
    for each in flatten(result):
        assert each.shape == shape
        if each.numel() == 1:
            flat = sample.map(lambda tensor: tensor.reshape(1)).call(operation)
            assert as_array(each).reshape(1) == pytest.approx(as_array(flat), nan_ok=True)


@pytest.mark.filterwarnings("ignore::UserWarning")  # a variance without degrees of freedom warns
@pytest.mark.parametrize("operation", [each for each in OPERATIONS if each.kind != "pointwise"], ids=str)
@pytest.mark.parametrize("shape", [(), (0,), (2, 0, 3)], ids=str)
def test_unusual_shapes_give_a_result_or_an_explained_error(operation: Operation, shape: tuple[int, ...]) -> None:
    if not samples(operation):
        pytest.skip("its recipe says why it cannot run")
    try:
        sample: Sample = derived(operation, operation.draw(), shape)
        sample.call(operation)
    except (RuntimeError, IndexError, ValueError, TypeError) as refused:
        assert str(refused)


@pytest.mark.parametrize(
    "call,message",
    [
        (lambda: bulssi.zeros((1, 2.5)), "zeros(): argument 'size' failed to unpack the object at pos 2"),
        (lambda: bulssi.ones(4).view(2, "a"), "view(): argument 'size' failed to unpack the object at pos 2"),
        (lambda: bulssi.ones(4).permute((0, None)), "permute(): argument 'dims' failed to unpack the object at pos 2"),
        (lambda: bulssi.ones(4).sum(dim=(0, "a")), "sum(): argument 'dim' failed to unpack the object at pos 2"),
        (lambda: bulssi.ones(4).flip(["a"]), "must be tuple of ints, but found element of type str at pos 0"),
        (lambda: bulssi.cat([bulssi.ones(1), 3]), "expected Tensor as element 1 in argument 0, but got int"),
        (lambda: bulssi.stack((bulssi.ones(1), None)), "expected Tensor as element 1 in argument 0, but got NoneType"),
        (lambda: bulssi.einsum("i", [None]), "expected Tensor as element 0 in argument 1, but got NoneType"),
        (lambda: bulssi.hstack([None]), "expected Tensor as element 0 in argument 0, but got NoneType"),
        (lambda: bulssi.block_diag(None), "block_diag(): argument 'tensors' (position 1) must be tuple of Tensors"),
        (lambda: bulssi.block_diag([None]), "expected Tensor as element 0 in argument 0, but got NoneType"),
        (lambda: bulssi.cartesian_prod(tensors=[None]), "expected Tensor as element 0 in argument 0, but got NoneType"),
        (lambda: bulssi.meshgrid([None]), "expected Tensor as element 0 in argument 0, but got NoneType"),
        (lambda: bulssi.broadcast_tensors([None]), "expected Tensor as element 0 in argument 0, but got NoneType"),
        (lambda: bulssi.atleast_1d([None]), "atleast_1d() received an invalid combination of arguments"),
        (lambda: bulssi.max(bulssi.ones(2), 0, out=(None, None)), "max() received an invalid combination"),
        (lambda: bulssi.cat("ab"), "cat(): argument 'tensors' (position 1) must be tuple of Tensors, not str"),
    ],
)
def test_a_wrong_element_of_a_list_is_named(call, message: str) -> None:
    with pytest.raises(TypeError) as caught:
        call()
    assert message in str(caught.value)


@pytest.mark.parametrize("name", ["add_", "sub_", "floor_divide_", "bitwise_or_", "exp_", "masked_fill_"])
def test_a_number_cannot_be_written_to(name: str) -> None:
    """Where numbers stand for tensors, they do so as what is read."""
    if not hasattr(bulssi, name):
        pytest.skip("no function of that name")
    for others in ((), (3,), (bulssi.ones(2),), (True, 1)):
        with pytest.raises(TypeError, match="must be Tensor|invalid combination of arguments|missing|takes"):
            getattr(bulssi, name)(2, *others)


@pytest.mark.parametrize("shape", [(2, 3), (7,), (1, 3)], ids=str)
@pytest.mark.parametrize("name", ["neg", "lt", "hypot"])
def test_what_is_written_twice_is_refused_whatever_its_shape(name: str, shape: tuple[int, ...]) -> None:
    """Not resized first, which would make memory of its own: the program meant to write where it pointed."""
    x, out = bulssi.ones(2, 3), bulssi.zeros(()).expand(shape)
    if name == "lt":
        out = out.bool()[(0,) * len(shape)].expand(shape)
    with pytest.raises(RuntimeError, match="more than one element of the written-to tensor refers to a single memory"):
        getattr(bulssi, name)(x, *[x] * (name != "neg"), out=out)
    assert out.shape == shape and not out.any()


@pytest.mark.parametrize(
    "call,message",
    [
        (
            lambda: bulssi.zeros(1, 64).index_add(-1, bulssi.zeros(64, dtype=bulssi.int64), bulssi.zeros(64)),
            "index_add_(): Indexing dim 1 is out of bounds of the source tensor with dim 1",
        ),
        (
            lambda: bulssi.zeros(1, 7, 1).index_reduce_(-1, bulssi.tensor([0]), bulssi.zeros(7, 1), "amin"),
            "index_reduce(): Indexing dim 2 is out of bounds of the source tensor with dim 2",
        ),
        (
            lambda: bulssi.ones(1, 4, dtype=bulssi.int16).t().view(bulssi.int8),  # [4, 1]: its last stride is 4
            "self.stride(-1) must be 1 to view Short as Char",
        ),
        (lambda: bulssi.zeros(0, 3).unflatten(0, (7, -(2**63), 3)), "unflatten: Provided sizes"),
        (lambda: bulssi.zeros(4, 3).unflatten(0, (2**62, 4, 4)), "unflatten: Provided sizes"),
        (lambda: bulssi.ones(3).tensor_split(2**40), "can't allocate memory"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(call, message: str) -> None:
    with pytest.raises((RuntimeError, MemoryError), match="(?i)" + re.escape(message)):
        call()


def test_bytes_that_show_as_bool_are_true() -> None:
    x = bulssi.tensor([1.0, 0.0]).view(bulssi.bool)
    assert x.tolist() == [False, False, True, True, False, False, False, False]
    assert x[3].item() is True and x[0].item() is False
