"""Tensors beside other libraries' arrays, copies, pickles, storages, subclasses, and what the top level offers."""

from __future__ import annotations

import copy
import gc
import io
import mmap
import os
import pickle
import subprocess
import sys
import weakref
from typing import Any

import pytest

import bulssi

numpy = pytest.importorskip("numpy")
DTYPES = ["uint8", "int8", "int16", "int32", "int64", "float16", "float32", "float64", "bool"]


# ---- NumPy ----


@pytest.mark.parametrize("dtype", DTYPES)
def test_numpy_shares_memory_both_ways(dtype: str) -> None:
    x = bulssi.ones(2, 3).to(getattr(bulssi, dtype))
    array = x.t().numpy()
    assert array.dtype == dtype and array.shape == (3, 2) and array.strides == tuple(s * x.itemsize for s in (1, 3))
    array[1, 0] = 0
    assert x[0, 1].item() == 0
    back = bulssi.from_numpy(array)
    assert back.dtype == x.dtype and back.data_ptr() == x.data_ptr() and back.stride() == (1, 3)
    back.zero_()
    assert not array.any() and not x.any()


def test_arrays_of_every_layout() -> None:
    base = numpy.arange(24).reshape(2, 3, 4)
    arrays = base, base.T, base[:, ::-1], base[::-1, :, ::-2], base[:, 1], base[..., None], base[:0], base[0, 0, 0]
    for array in map(numpy.asarray, arrays):
        t = bulssi.from_numpy(array)
        assert t.tolist() == array.tolist() and tuple(t.shape) == array.shape
        assert bulssi.tensor(array).tolist() == array.tolist()
        assert bulssi.as_tensor(array).tolist() == array.tolist()
        assert t.numpy().tolist() == array.tolist()
    reversed_view = bulssi.from_numpy(base[:, ::-1])
    reversed_view[0, 0, 0] = 99
    assert base[0, 2, 0] == 99


def test_the_array_lives_as_long_as_the_tensor() -> None:
    array = numpy.ones(1000)
    gone = weakref.ref(array)
    t = bulssi.from_numpy(array)
    view = t[500:]
    del array, t
    gc.collect()
    assert gone() is not None and view.sum().item() == 500
    del view
    gc.collect()
    assert gone() is None


def test_numpy_refusals() -> None:
    with pytest.raises(TypeError, match=r"expected np.ndarray \(got list\)"):
        bulssi.from_numpy([1])
    with pytest.raises(TypeError, match="can't convert np.ndarray of type numpy.str_"):
        bulssi.from_numpy(numpy.array(["a"]))
    with pytest.raises(ValueError, match="byte order different"):
        bulssi.from_numpy(numpy.zeros(2, ">f4"))
    with pytest.raises(ValueError, match="strides not a multiple"):
        bulssi.from_numpy(numpy.zeros(3, [("a", "i1"), ("b", "<f4")])["b"])
    with pytest.raises(RuntimeError, match="Can't call numpy"):
        bulssi.ones(2, requires_grad=True).numpy()
    with pytest.raises(RuntimeError, match="Can't call numpy"):
        numpy.asarray(bulssi.ones(2, requires_grad=True))
    with pytest.raises(TypeError, match="Got unsupported ScalarType BFloat16"):
        bulssi.ones(2, dtype=bulssi.bfloat16).numpy()
    assert bulssi.ones(2, requires_grad=True).numpy(force=True).tolist() == [1, 1]


def test_numpy_functions_take_tensors() -> None:
    x = bulssi.arange(6.0).reshape(2, 3)
    assert numpy.asarray(x).dtype == "float32"
    assert numpy.asarray(x, dtype="float64").tolist() == x.tolist()
    assert isinstance(numpy.ones(3, "float32") + x, bulssi.Tensor)
    assert numpy.array(x, copy=True).sum() == 15
    assert bulssi.tensor(numpy.float64(2.5)).dtype == bulssi.float64
    assert bulssi.Tensor(numpy.array([1, 2])).tolist() == [1.0, 2.0]


def test_read_only_arrays_warn_once() -> None:
    code = (
        "import warnings, numpy, bulssi\n"
        "a = numpy.zeros(2); a.flags.writeable = False\n"
        "with warnings.catch_warnings(record=True) as seen:\n"
        "    warnings.simplefilter('always')\n"
        "    bulssi.from_numpy(a); bulssi.from_numpy(a)\n"
        "    bulssi.frombuffer(b'1234', dtype=bulssi.uint8); bulssi.frombuffer(b'1234', dtype=bulssi.uint8)\n"
        "print([str(w.message)[:35] for w in seen])\n"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out == "['The given NumPy array is not writab', 'The given buffer is not writable, a']\n"


# ---- buffers ----


def test_buffer_protocol() -> None:
    x = bulssi.arange(6, dtype=bulssi.uint8)
    view = memoryview(x)
    assert view.format == "B" and not view.readonly and bytes(view) == bytes(range(6))
    view[0] = 7
    assert x[0].item() == 7
    with pytest.raises(RuntimeError, match="not resizable"):
        x.resize_(10_000)
    view.release()
    assert x.resize_(10_000)[0] == 7
    for write in (pickle.dumps, copy.deepcopy, lambda t: bulssi.save(t, io.BytesIO())):
        write(x)
        x.resize_(2 * x.numel())
    columns = memoryview(bulssi.arange(6.0).reshape(2, 3).t())
    assert columns.shape == (3, 2) and columns.strides == (4, 12) and columns[2, 1] == 5.0


def test_frombuffer() -> None:
    data = bytearray(range(16))
    t = bulssi.frombuffer(data, dtype=bulssi.int16, count=3, offset=4)
    assert t.tolist() == [0x0504, 0x0706, 0x0908]
    t[0] = 0
    assert data[4] == 0 and data[5] == 0
    data[4:6] = b"\4\5"
    with pytest.warns(UserWarning, match="the tensor is a copy"):  # elements at odd addresses
        t = bulssi.frombuffer(data, dtype=bulssi.int16, count=3, offset=3)
    assert t.tolist() == [0x0403, 0x0605, 0x0807]
    for arguments, message in (
        ({"count": 9}, r"requested buffer length \(9 \* 2 bytes\) after offset \(0 bytes\)"),
        ({"offset": 16}, r"offset \(16 bytes\) must be non-negative and no greater"),
        ({"offset": -1}, r"offset \(-1 bytes\) must be non-negative"),
        ({"offset": 1}, r"buffer length \(15 bytes\) after offset \(1 bytes\) must be a multiple"),
        ({"count": 0}, r"both buffer length \(16\) and count \(0\) must not be 0"),
        ({"count": 2**62}, "requested buffer length"),
    ):
        with pytest.raises(ValueError, match=message):
            bulssi.frombuffer(data, dtype=bulssi.int16, **arguments)
    with pytest.raises(ValueError, match="object does not implement Python buffer protocol"):
        bulssi.frombuffer(3, dtype=bulssi.int16)
    with mmap.mmap(-1, 4096) as memory:
        t = bulssi.frombuffer(memory, dtype=bulssi.float32)
        t.fill_(2)
        assert memory[:4] == b"\x00\x00\x00@"
        del t


# ---- DLPack ----


@pytest.mark.parametrize("dtype", DTYPES)
def test_dlpack_with_numpy(dtype: str) -> None:
    x = bulssi.arange(6).reshape(2, 3).to(getattr(bulssi, dtype))
    array = numpy.from_dlpack(x.t())
    assert array.dtype == dtype and array.tolist() == x.t().tolist() and array.ctypes.data == x.data_ptr()
    source = numpy.arange(6).reshape(2, 3).astype(dtype)
    back = bulssi.from_dlpack(source.T)
    assert back.dtype == x.dtype and back.tolist() == source.T.tolist() and back.data_ptr() == source.ctypes.data


def test_dlpack_with_pytorch() -> None:
    torch = pytest.importorskip("torch")
    x = bulssi.arange(6.0).reshape(2, 3)[:, ::2]
    t = torch.from_dlpack(x)
    t.mul_(2)
    assert x.tolist() == [[0, 4], [6, 10]]
    y = bulssi.from_dlpack(torch.ones(3, dtype=torch.bfloat16))
    assert y.dtype == bulssi.bfloat16 and y.tolist() == [1, 1, 1]
    capsule = bulssi.utils.dlpack.to_dlpack(x)
    assert bulssi.from_dlpack(capsule).data_ptr() == x.data_ptr()
    with pytest.raises(RuntimeError, match="invalid capsule"):
        bulssi.from_dlpack(capsule)


def test_dlpack_owns_what_it_shares() -> None:
    gc.collect()
    before = bulssi._core.live_tensors()
    capsule = bulssi.ones(3).__dlpack__(max_version=(1, 0))
    assert bulssi._core.live_tensors() == before + 1
    del capsule
    assert bulssi._core.live_tensors() == before
    array = numpy.from_dlpack(bulssi.ones(3))
    gc.collect()
    assert array.tolist() == [1, 1, 1] and bulssi._core.live_tensors() == before + 1
    del array
    assert bulssi._core.live_tensors() == before
    x = bulssi.ones(2)
    assert bulssi.from_dlpack(x.__dlpack__(copy=True)).data_ptr() != x.data_ptr()
    assert x.__dlpack_device__() == (1, 0)
    with pytest.raises(BufferError, match="Can't export tensors that require gradient"):
        bulssi.ones(2, requires_grad=True).__dlpack__()
    with pytest.raises(AssertionError, match="stream should be None on cpu"):
        x.__dlpack__(stream=1)


# ---- copies and pickles ----


class Named(bulssi.Tensor):
    pass


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_pickle(protocol: int) -> None:
    base = bulssi.arange(12.0)
    tensors = [base, base[3:6], base.reshape(3, 4).t(), base[::2]]
    again = pickle.loads(pickle.dumps(tensors, protocol))
    for a, b in zip(tensors, again, strict=True):
        assert a.tolist() == b.tolist() and a.stride() == b.stride()
    again[0][3] = 99
    assert again[1][0].item() == 99 and again[2][3, 0].item() == 99 and base[3].item() == 3
    for dtype in [*DTYPES, "bfloat16"]:
        x = bulssi.ones(2, 0, 3).to(getattr(bulssi, dtype)), bulssi.ones(()).to(getattr(bulssi, dtype))
        y = pickle.loads(pickle.dumps(x, protocol))
        assert [t.dtype for t in y] == [t.dtype for t in x] and [t.tolist() for t in y] == [t.tolist() for t in x]
    leaf = bulssi.ones(2, requires_grad=True)
    assert pickle.loads(pickle.dumps(leaf, protocol)).requires_grad
    special = bulssi.ones(2).as_subclass(Named)
    special.label = "x"
    same = pickle.loads(pickle.dumps(special, protocol))
    assert type(same) is Named and same.label == "x" and same.tolist() == [1, 1]


def test_small_types_are_pickled() -> None:
    things = [bulssi.float32, bulssi.device("cuda", 1), bulssi.Size([2, 3]), bulssi.strided, bulssi.channels_last]
    assert pickle.loads(pickle.dumps(things)) == things
    assert copy.deepcopy(things) == things


def test_copy_and_deepcopy() -> None:
    leaf = bulssi.ones(3, requires_grad=True)
    shallow = copy.copy(leaf)
    assert shallow is not leaf and shallow.data_ptr() == leaf.data_ptr() and shallow.requires_grad
    leaf.sum().backward()
    deep = copy.deepcopy(leaf)
    assert deep.data_ptr() != leaf.data_ptr() and deep.grad.tolist() == [1, 1, 1] and deep.is_leaf
    base = bulssi.arange(4.0)
    pair = copy.deepcopy({"all": base, "part": base[1:3], "again": base})
    pair["part"].fill_(9)
    assert pair["all"].tolist() == [0, 9, 9, 3] and pair["all"] is pair["again"] and base.tolist() == [0, 1, 2, 3]
    with pytest.raises(RuntimeError, match="Only Tensors created explicitly by the user"):
        copy.deepcopy(leaf * 2)


# ---- storages ----


def test_storages() -> None:
    x = bulssi.arange(6.0).reshape(2, 3)
    s = x.untyped_storage()
    assert s is x[1].untyped_storage() and s.nbytes() == 24 and s.data_ptr() == x.data_ptr() and len(s) == 24
    assert x.storage().tolist() == [0, 1, 2, 3, 4, 5] and x[1].storage().size() == 6
    y = bulssi.zeros(0)
    assert y.set_(x.storage(), 1, (2, 2), (1, 2)) is y
    assert y.tolist() == [[1, 3], [2, 4]] and y.untyped_storage() is s
    assert y.set_(x).is_set_to(x) and not y.is_set_to(x[0])
    with pytest.raises(RuntimeError, match="are out of bounds for storage of size 24"):
        y.set_(s, 0, (7,), (1,))
    with pytest.raises(RuntimeError, match="are out of bounds"):
        y.set_(s, 0, (2**62, 2), (2**61, 1))
    assert y.tolist() == x.tolist()
    z = bulssi.zeros(2)
    z.untyped_storage().resize_(400)
    assert z.tolist() == [0, 0] and z.untyped_storage().nbytes() == 400


def test_shared_memory_over_fork() -> None:
    x = bulssi.zeros(3)
    view = x[1:]
    assert not x.is_shared() and x.share_memory_() is x and x.is_shared() and view.is_shared()
    pid = os.fork()
    if pid == 0:
        view.fill_(5)
        os._exit(0)
    os.waitpid(pid, 0)
    assert x.tolist() == [0, 5, 5]


# ---- constructors and types ----


def test_former_constructors() -> None:
    assert bulssi.FloatTensor(2, 3).shape == (2, 3) and bulssi.LongTensor([1, 2]).dtype == bulssi.int64
    assert isinstance(bulssi.ones(2), bulssi.FloatTensor) and not isinstance(bulssi.ones(2), bulssi.LongTensor)
    assert bulssi.Tensor([3]).tolist() == [3.0] and bulssi.Tensor(3).shape == (3,) and bulssi.Tensor().shape == (0,)
    x = bulssi.ones(2, dtype=bulssi.int32)
    assert x.new([2.5]).tolist() == [2] and x.new(2, 2).shape == (2, 2) and x.new_tensor([1.5]).tolist() == [1]
    assert x.type() == "torch.IntTensor" and x.type("torch.DoubleTensor").dtype == bulssi.float64
    assert x.type(bulssi.LongTensor).dtype == bulssi.int64 and x.type(bulssi.int8).dtype == bulssi.int8
    with pytest.raises(ValueError, match="invalid type: 'foo'"):
        x.type("foo")
    with pytest.raises(TypeError, match=r"new\(\): data must be a sequence \(got float\)"):
        bulssi.Tensor(3.5)


def test_limits_and_promotion() -> None:
    torch = pytest.importorskip("torch")
    for name in ("float16", "bfloat16", "float32", "float64", "complex64"):
        ours, theirs = bulssi.finfo(getattr(bulssi, name)), torch.finfo(getattr(torch, name))
        assert repr(ours) == repr(theirs)
        for field in ("bits", "eps", "max", "min", "tiny", "smallest_normal", "resolution", "dtype"):
            assert getattr(ours, field) == getattr(theirs, field)
    for name in ("uint8", "int8", "int16", "int32", "int64"):
        assert repr(bulssi.iinfo(getattr(bulssi, name))) == repr(torch.iinfo(getattr(torch, name)))
    names = [*DTYPES, "bfloat16"]
    for a in names:
        for b in names:
            promoted = torch.promote_types(getattr(torch, a), getattr(torch, b))
            assert str(bulssi.promote_types(getattr(bulssi, a), getattr(bulssi, b))) == str(promoted)
            expected = torch.can_cast(getattr(torch, a), getattr(torch, b))
            assert bulssi.can_cast(getattr(bulssi, a), getattr(bulssi, b)) == expected
    assert bulssi.result_type(bulssi.ones(1, dtype=bulssi.int32), 2.5) == bulssi.float32
    for t in (torch, bulssi):
        with pytest.raises(TypeError, match="requires a floating point input type"):
            t.finfo(t.int32)
        with pytest.raises(TypeError, match="only floating-point types are supported as the default type"):
            t.set_default_dtype(t.int32)


def test_memory_formats() -> None:
    x = bulssi.arange(120.0).reshape(2, 3, 4, 5)
    y = x.to(memory_format=bulssi.channels_last)
    assert y.stride() == (60, 1, 15, 3) and y.tolist() == x.tolist()
    assert y.is_contiguous(memory_format=bulssi.channels_last) and not y.is_contiguous()
    assert x.contiguous(memory_format=bulssi.channels_last).stride() == y.stride()
    assert bulssi.empty_like(y).stride() == y.stride() and y.clone().stride() == y.stride()
    assert y.clone(memory_format=bulssi.contiguous_format).is_contiguous()
    assert bulssi.empty(2, 3, 4, 5, memory_format=bulssi.channels_last).stride() == y.stride()
    assert x.layout is bulssi.strided and repr(bulssi.channels_last) == "torch.channels_last"
    with pytest.raises(RuntimeError, match="required rank 4 tensor to use channels_last format"):
        bulssi.ones(2).contiguous(memory_format=bulssi.channels_last)


# ---- subclasses ----


class Logged(bulssi.Tensor):
    calls: list[str] = []

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        cls.calls.append(func.__name__)
        return super().__torch_function__(func, types, args, kwargs)


class Outsider:
    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return func.__name__, len(args), types


class Refusing:
    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return NotImplemented


def test_results_are_of_the_subclass() -> None:
    x = bulssi.ones(2, 2).as_subclass(Named)
    assert type(x) is Named
    for y in (x + 1, 2 * x, x.exp(), bulssi.cat([x, x]), x[0], x.t(), x.T, x.detach(), x.sum(), -x, x @ x, x.clone()):
        assert type(y) is Named, y
    assert all(type(part) is Named for part in x.unbind(0)) and all(type(row) is Named for row in x)
    assert all(type(part) is Named for part in x.max(0))
    y = x.requires_grad_() * 3
    y.sum().backward()
    assert x.grad.tolist() == [[3, 3], [3, 3]]
    with bulssi.DisableTorchFunctionSubclass():
        assert type(x + 1) is bulssi.Tensor
    p = bulssi.nn.Parameter(bulssi.ones(2))
    assert type(p + 1) is bulssi.Tensor and type(p.detach()) is bulssi.Tensor

    class Special(bulssi.nn.Parameter):
        pass

    assert type(Special(bulssi.ones(2)) * 2) is bulssi.Tensor


def test_torch_function_sees_calls() -> None:
    x = bulssi.ones(2).as_subclass(Logged)
    Logged.calls.clear()
    y = bulssi.add(x, 1).exp()
    assert type(y) is Logged and Logged.calls == ["add", "exp"]
    assert bulssi.add(bulssi.ones(1), Outsider()) == ("add", 2, (Outsider,))
    assert bulssi.cat([bulssi.ones(1), Outsider()])[0] == "cat"
    with pytest.raises(TypeError, match="no implementation found for .*add.* on types that implement"):
        bulssi.add(bulssi.ones(1), Refusing())
    assert bulssi.overrides.is_tensor_like(Outsider()) and bulssi.overrides.has_torch_function((Outsider(),))


# ---- protocols of Python ----


def test_python_protocols() -> None:
    x = bulssi.arange(3)
    assert [t.item() for t in x] == [0, 1, 2] and list(reversed(x.tolist())) == reversed(x).tolist()
    assert 2 in x and 7 not in x and hash(x) == id(x) and {x: 1}[x] == 1
    assert f"{bulssi.tensor(2.5):.3f}" == "2.500" and "add" in dir(x)
    assert (x == None) is False and (x != "a") is True  # noqa: E711
    with pytest.raises(TypeError, match="iteration over a 0-d tensor"):
        iter(bulssi.tensor(1))
    with pytest.raises(RuntimeError, match="only supports Tensor or scalar"):
        "a" in x  # noqa: B015
    with pytest.raises(TypeError, match="unsupported format string passed to Tensor.__format__"):
        f"{x:.2f}"
    assert not hasattr(x, "__cuda_array_interface__")
    y = bulssi.ones(2)
    assert y.apply_(lambda v: v + 1).tolist() == [2, 2]
    assert y.map_(bulssi.ones(2), lambda a, b: a - b).tolist() == [1, 1]


def test_asarray_and_as_tensor() -> None:
    x = bulssi.ones(2)
    assert bulssi.asarray(x) is x and bulssi.as_tensor(x) is x and bulssi.asarray(x, copy=True) is not x
    assert bulssi.as_tensor(x, dtype=bulssi.float64).dtype == bulssi.float64
    array = numpy.ones(2)
    assert bulssi.asarray(array).data_ptr() == array.ctypes.data == bulssi.as_tensor(array).data_ptr()
    assert bulssi.asarray(bytearray(8)).dtype == bulssi.float32
    with pytest.raises(ValueError, match="can't alias tensor with dtype 'Float' into dtype 'Double'"):
        bulssi.asarray(x, dtype=bulssi.float64, copy=False)
    with pytest.raises(ValueError, match="can't alias arbitrary sequence"):
        bulssi.asarray([1], copy=False)


# ---- the top level ----


def test_top_level() -> None:
    assert bulssi.is_tensor(bulssi.ones(1)) and not bulssi.is_tensor(1) and bulssi.numel(bulssi.ones(2, 3)) == 6
    assert bulssi.pi > 3 and bulssi.inf > 0 and bulssi.nan != bulssi.nan and bulssi.newaxis is None
    assert not bulssi.cuda.is_available() and bulssi.cuda.device_count() == 0 and bulssi.version.cuda is None
    assert not bulssi.backends.cudnn.is_available() and not bulssi.backends.mps.is_available()
    bulssi.backends.cudnn.benchmark = True
    assert bulssi.typename(bulssi.ones(1)) == "torch.FloatTensor"
    bulssi.use_deterministic_algorithms(True)
    assert bulssi.are_deterministic_algorithms_enabled() and bulssi.get_deterministic_debug_mode() == 2
    bulssi.use_deterministic_algorithms(False)
    with pytest.raises(AttributeError, match="has no attribute 'sparse': tensors are strided"):
        bulssi.sparse.mm()
    with pytest.raises(AttributeError, match="module 'torch' has no attribute 'fooTensor'"):
        bulssi.fooTensor(1)
    with pytest.raises(AssertionError, match="Torch not compiled with CUDA enabled"):
        bulssi.cuda.synchronize()
    with pytest.raises(RuntimeError, match="set_num_threads expects a positive integer"):
        bulssi.set_num_threads(0)
    missing = [n for n, home in bulssi._LAZY.items() if home != "nn.functional" and not hasattr(bulssi, n)]
    assert missing == []


def test_import_is_light() -> None:
    code = "import sys, bulssi; print(sorted({n.split('.')[0] for n in sys.modules} & {'numpy', 'inspect', 'torch'}))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"


# ---- sizes that cannot be had ----


@pytest.mark.parametrize(
    "make",
    [
        lambda: bulssi.empty(2**60),
        lambda: bulssi.zeros(2**45),
        lambda: bulssi.ones(1).expand(2**40).contiguous(),
        lambda: bulssi.ones(1).expand(2**40) + 1,
        lambda: bulssi.full((2**50,), 1),
        lambda: bulssi.randn(2**45),
        lambda: bulssi.ones(3).resize_(2**60),
        lambda: bulssi.arange(0, 2**58),
    ],
)
def test_out_of_memory_leaves_everything_usable(make: Any) -> None:
    gc.collect()
    live = bulssi._core.live_tensors()
    with pytest.raises(RuntimeError, match="can't allocate memory: you tried to allocate"):
        make()
    gc.collect()
    assert bulssi._core.live_tensors() == live
    assert (bulssi.ones(1000) * 2).sum().item() == 2000


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: bulssi.empty(2**62), r"Storage size calculation overflowed with sizes=\[4611686018427387904\]"),
        (lambda: bulssi.zeros(2**62, 2**62), "Storage size calculation overflowed with sizes="),
        (lambda: bulssi.empty(-1), r"Trying to create tensor with negative dimension -1: \[-1\]"),
        (lambda: bulssi.zeros(-1), "zeros: Dimension size must be non-negative"),
        (lambda: bulssi.ones(2, -3), r"negative dimension -3: \[2, -3\]"),
        (lambda: bulssi.randn(-1), "negative dimension -1"),
        (lambda: bulssi.ones(3).resize_(-1), "negative"),
        (lambda: bulssi.eye(2**40), "overflow"),
        (lambda: bulssi.histc(bulssi.ones(3), 2**63 - 1), "more edges than can be counted"),
    ],
)
def test_sizes_that_cannot_be(make: Any, message: str) -> None:
    with pytest.raises(RuntimeError, match=message):
        make()


def test_saving_goes_through_buffers() -> None:
    file = io.BytesIO()
    bulssi.save({"x": bulssi.ones(2, 2).t()}, file)
    file.seek(0)
    assert bulssi.load(file)["x"].tolist() == [[1, 1], [1, 1]]
