"""Programs that mean ill: Python code that runs in the middle of a call and changes what the call works on.

Each function is one program, run in a process of its own by `test_attacks.py`. Any exception is fine; the process must
not crash or hang, and what is asserted must hold.

    python tests/fuzz/attacks.py index_changes_memory
"""

from __future__ import annotations

import copy
import faulthandler
import gc
import io
import itertools
import os
import pickle
import random
import sys
import threading
import time
import warnings
import weakref
from collections.abc import Callable
from typing import Any

import bulssi as torch


def attempt(function: Callable[..., Any], *args: Any) -> Any:
    """The result, looked at, or None: an exception is fine."""
    try:
        result = function(*args)
        repr(result)
    except Exception:
        return None
    return result


def index_changes_memory() -> None:
    """__index__ gives the tensor that is indexed less memory."""
    x = torch.ones(1000)

    class Index:
        def __index__(self) -> int:
            x.resize_(1)
            x.set_(torch.ones(1))
            return 500

    i = Index()
    calls = [
        lambda: x[i],
        lambda: x[i:],
        lambda: x[:, i],
        lambda: x[[i]],
        lambda: x.__setitem__(i, 2),
        lambda: x.__setitem__(slice(i), 2),
        lambda: x.select(0, i),
        lambda: x.narrow(0, i, 1),
        lambda: x.reshape(i, 2),
        lambda: x.view(i, 2),
        lambda: x.expand(i, 1000),
        lambda: x.as_strided((i,), (1,)),
        lambda: x.split(i),
        lambda: x.unfold(0, i, 1),
        lambda: x.roll(i),
        lambda: x.repeat(i),
        lambda: x.index_select(0, torch.tensor([i])),
    ]
    for call in calls:
        x = torch.ones(1000)
        attempt(call)


def number_changes_memory() -> None:
    """__float__ of an operand gives the other operand other memory."""
    x = torch.ones(1000)

    class Number:
        def __float__(self) -> float:
            x.set_(torch.ones(1))
            return 5.0

        def __index__(self) -> int:
            x.set_(torch.ones(1))
            return 5

    v = Number()
    calls = [
        lambda: x.__setitem__(slice(1, 999), v),
        lambda: x.fill_(v),
        lambda: x.add_(v),
        lambda: x + v,
        lambda: x.clamp(v, v),
        lambda: torch.where(x > 0, x, v),
        lambda: x.masked_fill_(x > 0, v),
        lambda: torch.lerp(x, x, v),
        lambda: x.index_fill_(0, torch.tensor([999]), v),
    ]
    for call in calls:
        x = torch.ones(1000)
        attempt(call)


def elements_change_the_list() -> None:
    """An element's conversion empties the list that it is in."""
    items: list[Any] = []

    class Element:
        def __float__(self) -> float:
            items.clear()
            return 1.0

        def __index__(self) -> int:
            items.clear()
            return 1

    calls = [
        torch.tensor,
        torch.as_tensor,
        torch.zeros,
        lambda given: torch.tensor(given, dtype=torch.float32),
        lambda given: torch.ones(3, 3).permute(given),
        lambda given: torch.ones(10)[given],
        lambda given: torch.ones(10).view(given),
        lambda given: torch.nn.functional.pad(torch.ones(3, 3), given),
        lambda given: torch.ones(3, 3).sum(given),
    ]
    for call in calls:
        for fill in ([Element() for _ in range(1000)], [2, Element(), 2, 2], [[Element()] * 3, [1, 2, 3]]):
            items[:] = fill
            attempt(call, items)


def sequences_that_lie() -> None:
    """Lengths that are wrong, sequences that contain themselves, and lists nested a hundred thousand deep."""

    class Lying:
        def __init__(self, length: int, items: list[int]) -> None:
            self.length, self.items = length, items

        def __len__(self) -> int:
            return self.length

        def __getitem__(self, i: int) -> int:
            return self.items[i]

    class Endless:
        def __len__(self) -> int:
            return 2

        def __getitem__(self, i: int) -> Any:
            if i > 1:
                raise IndexError
            return self

    itself: list[Any] = []
    itself.append(itself)
    twice: list[Any] = [0, 0]
    twice[0] = twice[1] = twice
    deep: Any = [1]
    for _ in range(100_000):
        deep = [deep]
    lies = [Lying(5, [1, 2]), Lying(1, [1, 2, 3]), Lying(2**62, [1]), Lying(0, [1, 2]), Lying(-5, [1]), Endless()]
    calls = [
        torch.tensor,
        torch.as_tensor,
        torch.zeros,
        torch.Tensor,
        torch.Size,
        torch.stack,
        torch.cat,
        lambda given: torch.ones(9)[given],
        lambda given: torch.ones(2, 2).sum(given),
    ]
    for given in [*lies, itself, twice, deep]:
        for call in calls:
            try:
                call(given)
            except Exception:
                continue
    while isinstance(deep, list):  # freeing it by recursion is Python's own affair
        deep = deep[0]


def exported_memory() -> None:
    """Memory that something else looks at outlives whatever happens to the tensor."""
    t = torch.ones(1000)
    view = memoryview(t)
    t.set_(torch.zeros(1))
    gc.collect()
    [torch.ones(1000) * 7 for _ in range(10)]
    assert view[999] == 1.0
    t = torch.ones(1000)
    view = memoryview(t)
    attempt(t.resize_, 100_000)
    t.data = torch.zeros(3)
    assert view[5] == 1.0
    x = torch.ones(1000)
    tail = x[500:]
    x.untyped_storage().resize_(0)
    x.untyped_storage().resize_(10**6)
    assert tail.shape == (500,) and repr(tail)
    x = torch.ones(10)
    x.resize_(10**6)
    tail = x[500:].zero_()
    x.resize_(10**7)
    x.untyped_storage().resize_(8)
    assert float(tail.sum()) == 0
    tail.add_(1)
    owner = bytearray(b"x" * 100)
    t = torch.frombuffer(owner, dtype=torch.uint8)
    try:
        owner.clear()
        raise AssertionError("the buffer was let go of")
    except BufferError:
        attempt(t.resize_, 10_000)
    del t
    gc.collect()
    owner.clear()


def exported_to_numpy() -> None:
    import numpy

    for convert in (lambda t: t.numpy(), numpy.from_dlpack):
        t = torch.ones(1000)
        array = convert(t)
        t.data = torch.zeros(3)
        t.set_(torch.zeros(1))
        del t
        gc.collect()
        assert array.sum() == 1000
    array = numpy.ones(100)
    t = torch.from_numpy(array)
    del array
    gc.collect()
    attempt(t.resize_, 100_000)
    assert t.sum() == 100


def attributes_go() -> None:
    """Every attribute of many objects is deleted and replaced."""
    leaf = torch.ones(3, requires_grad=True)
    y = leaf * 2
    objects = [leaf, y, torch.nn.Parameter(leaf.detach()), y.grad_fn, torch.Generator(), torch.nn.Linear(2, 2)]
    objects += [torch.optim.SGD([leaf], 0.1), torch.device("cpu"), torch.float32, torch.Size([1]), y.untyped_storage()]
    for thing in objects:
        for name in dir(thing):
            attempt(delattr, thing, name)
            attempt(setattr, thing, name, None)
            attempt(setattr, thing, name, object())
        attempt(repr, thing)
    attempt(lambda: leaf + y)


def odd_classes() -> None:
    class Slots(torch.Tensor):
        __slots__ = ("x",)

    t = torch.ones(3).as_subclass(Slots)
    t.x = 5
    assert (t + 1).sum() == 6 and copy.deepcopy(t).sum() == 3

    class ShowsItself(torch.Tensor):
        def __repr__(self, **unused: Any) -> str:
            return repr(self)

    attempt(repr, torch.ones(2).as_subclass(ShowsItself))

    class CallsItself(torch.Tensor):
        @classmethod
        def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            return func(*args, **(kwargs or {}))

    class Refuses(torch.Tensor):
        @classmethod
        def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            return NotImplemented

    for kind in (CallsItself, Refuses):
        odd = torch.ones(3).as_subclass(kind)
        for call in (torch.sum, repr, len, list, bool, torch.neg, lambda o: o + 1, lambda o: o[0], lambda o: o.shape):
            attempt(call, odd)

    class NoTensor(torch.Tensor):
        def __new__(cls, *args: Any) -> Any:
            return 5

    assert NoTensor() == 5
    plain = torch.ones(3)
    for base in (int, str, dict, Exception, type):
        attempt(type, "Mixed", (torch.Tensor, base), {})
    for kind in (int, object, torch.nn.Module, torch.Size, type, 5, None):
        attempt(setattr, plain, "__class__", kind)
        attempt(torch.Tensor._make_subclass, kind, plain)
        attempt(torch.Tensor._in_class, kind, plain)
        attempt(plain.as_subclass, kind)
        attempt(torch.Tensor.__new__, kind)
    attempt(object.__new__, torch.Tensor)
    attempt(torch._core.Node)
    node = torch._core.FunctionNode()
    for name in set(dir(node)) - {"__class__", "__init_subclass__", "__subclasshook__", "__dir__"}:
        attempt(getattr, node, name)
        for args in ((), (1,), ((),), ((), (), ()), ((1,), (2,), (3,))):
            attempt(lambda name=name, args=args: getattr(node, name)(*args))


def finalizers() -> None:
    """__del__ that brings its tensor back, and one that changes and computes."""
    kept: list[Any] = []

    class Returns(torch.Tensor):
        def __del__(self) -> None:
            if len(kept) < 20:
                kept.append(self)

    for i in range(10):
        t = torch.ones(3).as_subclass(Returns)
        t.number = i
        del t
    gc.collect()
    for t in list(kept):
        assert float(t.as_subclass(torch.Tensor).sum()) == 3.0
    kept.clear()

    class Computes(torch.Tensor):
        def __del__(self) -> None:
            self.as_subclass(torch.Tensor).resize_(0)
            torch.ones(100).sum()

    x = torch.ones(3, requires_grad=True)
    for _ in range(10):
        t = torch.ones(3).as_subclass(Computes)
        total = (x * t).sum()
        del t
        attempt(total.backward)  # the finalizer has taken the elements that were saved
    seen: list[Any] = []
    for _ in range(100):
        y = x * 2
        reference = weakref.ref(y, lambda _: seen.append((x * 3).sum().backward()))
        total = (y * y).sum()
        del y
        total.backward()
        del reference
    assert len(seen) == 100


def collector_callbacks() -> None:
    """The collector runs often, and looks at whatever tensors it finds, finished or not."""
    found: list[float] = []

    def look(phase: str, info: dict[str, int]) -> None:
        for thing in gc.get_objects()[-50:]:
            if isinstance(thing, torch.Tensor):
                found.append(attempt(lambda thing=thing: float(thing.sum())))
        if len(found) > 1000:
            found.clear()

    class Sub(torch.Tensor):
        pass

    x = torch.ones(1000)
    gc.callbacks.append(look)
    gc.set_threshold(5)
    for _ in range(200):
        (x * 2).as_subclass(Sub).tolist()
        t = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
        leaf = torch.ones(3, requires_grad=True)
        (leaf * leaf).sum().backward()
        torch.stack([t, t]).unbind(0)
        t.max(0)
        torch.nn.Parameter(t)
    gc.callbacks.clear()


def hooks_interfere() -> None:
    """Hooks that run backward again, change everybody's memory, leave the graph, return nonsense, or add hooks."""

    def again(tensors: Any, **options: Any) -> Any:
        depth: list[None] = []

        def hook(grad: Any) -> None:
            if len(depth) < 3:
                depth.append(None)
                attempt(lambda: tensors[-1].backward(**options))

        return hook

    def change(tensors: Any) -> Any:
        def hook(grad: Any) -> None:
            for t in (*tensors, *(grad if isinstance(grad, tuple) else (grad,))):
                attempt(setattr, t, "data", torch.ones(1))
                attempt(lambda t=t: t.detach().set_(torch.ones(1)))
                attempt(lambda t=t: t.resize_(1))

        return hook

    def leave(tensors: Any) -> Any:
        def hook(grad: Any) -> None:
            for t in tensors:
                t.grad = None
                attempt(t.detach_)
                attempt(t.requires_grad_, False)
            gc.collect()

        return hook

    def nonsense(tensors: Any) -> Any:
        ones = torch.ones(3)
        things = itertools.cycle([1, "a", ones, (ones,), torch.ones(1000).long(), object(), (), (None,) * 3])
        return lambda grad: next(things)

    def add(tensors: Any) -> Any:
        def hook(grad: Any) -> None:
            for t in tensors:
                attempt(lambda t=t: t.register_hook(lambda grad: grad * 2))

        return hook

    kinds = [again, lambda tensors: again(tensors, retain_graph=True), change, leave, nonsense, add]
    for kind, options in itertools.product(kinds, ({}, {"retain_graph": True}, {"create_graph": True})):
        x = torch.ones(1000, requires_grad=True)
        y = x.exp()
        z = y.sin()
        total = (z * y).sum()
        tensors = (x, y, z, total)
        for t in tensors[:3]:
            t.register_hook(kind(tensors))
        for t in tensors[1:]:
            t.grad_fn.register_prehook(kind(tensors))
        attempt(lambda total=total, options=options: total.backward(**options))
        attempt(repr, x.grad)


def unpacked_saves() -> None:
    """unpack_hook returns something else than was packed, or runs backward through the node that asks."""
    functional = torch.nn.functional
    x = torch.ones(1000, requires_grad=True)
    plane, matrix, square = (lambda: x.view(1, 10, 100)), (lambda: x.view(10, 100)), (lambda: x[:100].view(10, 10))
    image = lambda: x.view(1, 10, 10, 10)  # noqa: E731
    losses = [
        lambda: (x * x).sum(),
        lambda: x.exp().sum(),
        lambda: (matrix() @ x.view(100, 10)).sum(),
        lambda: torch.where(x > 0, x, x * 2).sum(),
        lambda: functional.layer_norm(x, (1000,), x, x).sum(),
        lambda: functional.batch_norm(matrix(), None, None, training=True).sum(),
        lambda: functional.cross_entropy(matrix(), torch.arange(10)),
        lambda: functional.nll_loss(matrix(), torch.arange(10)),
        lambda: functional.max_pool1d(plane(), 3).sum(),
        lambda: functional.adaptive_max_pool2d(image(), 2).sum(),
        lambda: functional.conv2d(image(), torch.ones(4, 10, 3, 3, requires_grad=True)).sum(),
        lambda: functional.embedding(torch.arange(5), matrix()).sum(),
        lambda: functional.embedding_bag(torch.arange(6).view(2, 3), matrix()).sum(),
        lambda: functional.scaled_dot_product_attention(plane(), plane(), plane()).sum(),
        lambda: functional.prelu(x, x[:1]).sum(),
        lambda: functional.gelu(x).sum(),
        lambda: torch.nn.LSTM(100, 4)(matrix())[0].sum(),
        lambda: torch.nn.GRU(100, 4)(matrix())[0].sum(),
        lambda: torch.nn.RNN(100, 4)(matrix())[0].sum(),
        lambda: torch.cdist(matrix(), matrix() + 1).sum(),
        lambda: torch.linalg.svd(matrix())[1].sum(),
        lambda: torch.linalg.inv(torch.eye(10) + square()).sum(),
        lambda: torch.linalg.eigh(square())[0].sum(),
        lambda: torch.gather(x, 0, torch.arange(10)).sum(),
        lambda: x[torch.arange(500)].sum(),
        lambda: x.scatter(0, torch.arange(10), x[:10]).sum(),
        lambda: x.cumsum(0).cumprod(0).sum(),
        lambda: x.sort()[0].sum() + x.topk(3)[0].sum() + x.median() + x.max(),
        lambda: x.softmax(0)[3] + x.log_softmax(0)[1] + x.logsumexp(0),
        lambda: torch.renorm(matrix(), 2, 0, 1).sum() + x.norm() + x.std() + x.prod(),
    ]
    unpacks = [
        lambda t: 5,
        lambda t: torch.ones(1),
        lambda t: torch.ones(0),
        lambda t: torch.ones(()),
        lambda t: torch.ones(1000, dtype=torch.int64),
        lambda t: t[..., : t.shape[-1] // 2] if t.dim() else t,
        lambda t: t.to(torch.float64),
        lambda t: t.half() if t.is_floating_point() else t + 10**9,
        lambda t: t.unsqueeze(0),
        lambda t: t.to("meta"),
        lambda t: torch.empty_like(t).fill_(-5),
        lambda t: t.t().contiguous().t() if t.dim() == 2 else t,
    ]
    for unpack, loss in itertools.product(unpacks, losses):
        with torch.autograd.graph.saved_tensors_hooks(lambda t: t, unpack):
            value = attempt(loss)
        if value is not None:
            attempt(value.backward)

    depth: list[None] = []

    def run_again(t: Any) -> Any:
        if len(depth) < 2:
            depth.append(None)
            attempt(total.backward)
        return t

    with torch.autograd.graph.saved_tensors_hooks(lambda t: t, run_again):
        y = x.exp()
        total = (y * x * y.sigmoid()).sum()
    attempt(total.backward)


def memory_changes_after_forward() -> None:
    """What a backward reads as places is changed behind its back."""
    functional = torch.nn.functional
    x = torch.ones(1, 10, 100, requires_grad=True)
    targets = torch.arange(10)
    loss = functional.cross_entropy(x[0], targets)
    targets.data.fill_(10**9)
    attempt(loss.backward)
    values, places = functional.max_pool1d(x, 2, return_indices=True)
    places.data.fill_(-(10**9))
    attempt(values.sum().backward)
    index = torch.arange(10)
    picked = functional.embedding(index, x[0]).sum() + x[0][index].sum() + x[0].gather(0, index.view(10, 1)).sum()
    index.data.fill_(10**12)
    attempt(picked.backward)


def long_chains() -> None:
    """A hundred thousand of anything that leads to the next."""
    for link in ("grad", "next"):
        newest = torch.ones(1)
        for _ in range(100_000):
            older, newest = newest, torch.ones(1)
            setattr(newest, link, older)
        del newest, older
        gc.collect()
    y = x = torch.ones(1, requires_grad=True)
    for _ in range(100_000):
        older, y = y, y * 1
        y.register_hook(lambda grad, older=older: None)
    del older
    y.backward()
    del y
    gc.collect()
    y = x * 1
    for _ in range(3000):
        y.mul_(1.0001)
        y[0:].add_(1)
    y.sum().backward()
    nested = torch.nn.Sequential()
    for _ in range(2000):
        nested = torch.nn.Sequential(nested)
    itself = torch.nn.Sequential()
    itself.add_module("itself", itself)
    for module in (nested, itself):
        for call in (
            repr,
            copy.deepcopy,
            lambda m: list(m.parameters()),
            lambda m: m.state_dict(),
            lambda m: m.train(),
        ):
            attempt(call, module)
        attempt(module, torch.ones(1))
    t = torch.ones(2)
    t.me = t
    attempt(copy.deepcopy, t)
    attempt(lambda: pickle.loads(pickle.dumps(t)))


def pickles() -> None:
    """The functions that pickles call, with arguments that do not fit; and every private function of the core."""
    rng = random.Random(1)
    function, args = torch.ones(10).__reduce_ex__(2)[:2]
    numbers: list[Any] = [None, -1, 0, 2**40, 2**63 - 1, -(2**63), 2**70, 1.5, True]
    others: list[Any] = ["a", b"x", (), (1,), (2**40,), (-1,), (3, 4), (2**62, 4), [1], {}, object(), torch.ones(3)]
    odd = [*numbers, *others, torch.float32, torch.int64, torch.ones(10).untyped_storage()]
    for _ in range(3000):
        changed = list(args)
        for _ in range(rng.randint(1, 3)):
            changed[rng.randrange(len(changed))] = rng.choice(odd)
        attempt(function, *changed)
    for name in dir(torch._core):
        private = getattr(torch._core, name)
        if not callable(private) or isinstance(private, type) or not name.startswith("_"):
            continue
        for _ in range(200):
            attempt(private, *[rng.choice(odd) for _ in range(rng.randint(0, 6))])


def damaged_files() -> None:
    import zipfile

    warnings.simplefilter("ignore")
    buffer = io.BytesIO()
    torch.save({"a": torch.ones(10), "b": [torch.arange(5), torch.nn.Linear(2, 2).state_dict()]}, buffer)
    whole, rng = buffer.getvalue(), random.Random(0)
    for _ in range(1000):
        damaged = bytearray(whole)
        for _ in range(rng.randint(1, 8)):
            at = rng.randrange(len(damaged))
            damaged[at : at + rng.choice([0, 1, 1, 40])] = rng.randbytes(rng.choice([0, 1, 1, 9]))
        attempt(torch.load, io.BytesIO(bytes(damaged)))
    archive = zipfile.ZipFile(io.BytesIO(whole))
    members = {name: archive.read(name) for name in archive.namelist()}
    for _ in range(2000):
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w") as changed:
            for name, content in members.items():
                data = bytearray(content)
                if name.endswith("data.pkl"):
                    for _ in range(rng.randint(1, 4)):
                        data[rng.randrange(len(data))] = rng.randrange(256)
                elif rng.random() < 0.3:
                    del data[len(data) // 2 :]
                changed.writestr(name, bytes(data))
        attempt(torch.load, io.BytesIO(out.getvalue()))


def optimizer_states() -> None:
    """Parameters, gradients and states of other shapes, types and kinds than the optimizer made."""
    optimizers = ("SGD", "Adam", "AdamW", "RMSprop", "Adagrad", "Adadelta", "NAdam", "RAdam", "Rprop", "Adamax", "ASGD")
    for name in optimizers:
        parameter = torch.nn.Parameter(torch.ones(1000))
        parameter.grad = torch.ones(1000)
        optimizer = getattr(torch.optim, name)([parameter], lr=0.1)
        optimizer.step()
        for value in optimizer.state[parameter].values():
            if isinstance(value, torch.Tensor):
                value.set_(torch.ones(1).to(value.dtype))
        attempt(optimizer.step)
        optimizer.state[parameter] = {key: (5, None)[i % 2] for i, key in enumerate(optimizer.state[parameter])}
        attempt(optimizer.step)
        parameter.grad.set_(torch.ones(1))
        attempt(optimizer.step)
        parameter.data = torch.ones(1)
        attempt(optimizer.step)
        optimizer.param_groups[0]["lr"] = "fast"
        attempt(optimizer.step)


def warnings_change_memory() -> None:
    """What shows a warning gives the operands and results of the operation that warns other memory."""
    x = out = torch.ones(10)

    def show(*args: Any, **kwargs: Any) -> None:
        out.set_(torch.ones(1))
        x.set_(torch.ones(1))
        out.resize_(100_000)

    warnings.showwarning = show
    warnings.simplefilter("always")
    calls = [
        lambda: torch.add(x, 1, out=out),
        lambda: torch.matmul(x.view(2, 5), x.view(5, 2), out=out),
        lambda: torch.cat([x, x], out=out),
        lambda: torch.sort(x, out=(out, torch.ones(3, dtype=torch.int64))),
        lambda: torch.sum(x, out=out),
        lambda: torch.cumsum(x, 0, out=out),
        lambda: torch.topk(x, 3, out=(out, torch.ones(9, dtype=torch.int64))),
        lambda: torch.index_select(x, 0, torch.tensor([9]), out=out),
        lambda: torch.linalg.inv(x[:9].view(3, 3), out=out),
        lambda: torch.normal(0, 1, (10,), out=out),
        lambda: torch.nn.functional.mse_loss(x, x[:1]),
        lambda: x[[slice(1), [0]]],
    ]
    for call in calls:
        x, out = torch.ones(10), torch.ones(5)
        attempt(call)
        attempt(torch.sum, out)
        attempt(torch.sum, x)


def iteration_changes_memory() -> None:
    x = torch.ones(1000, 3)
    try:
        for row in x:
            x.set_(torch.ones(1))
            repr(row)
    except Exception:
        x = torch.arange(1000.0)

    def generator() -> Any:
        for i in range(10):
            x.resize_(i)
            x.set_(torch.ones(2))
            yield x

    for call in (torch.cat, torch.stack, torch.tensor):
        attempt(lambda call=call: call(list(generator())))


def threads_change_memory() -> None:
    """A thread gives tensors other memory while kernels of another one work on them."""
    x = torch.rand(1000, 1000)
    done: list[None] = []

    def change() -> None:
        while not done:
            x.resize_(10)
            x.resize_(2000, 1000)
            x.set_(torch.rand(1000, 1000))
            x.data = torch.rand(1000, 1000)

    thread = threading.Thread(target=change)
    thread.start()
    start = time.monotonic()
    methods = ["exp", "sum", "sort", "t", "tolist", "clone", "neg_", "double"]
    while time.monotonic() - start < 3:
        attempt(lambda: x @ x)
        attempt(lambda: x.cumsum(0))
        for name in methods:
            try:
                getattr(x, name)()
            except RuntimeError:
                continue
    done.append(None)
    thread.join()


def threads_at_the_end() -> None:
    """The interpreter ends while threads are inside of kernels, backward and hooks."""
    x, big = torch.rand(300, 300), torch.rand(2000, 2000)
    leaf = torch.ones(300, 300, requires_grad=True)
    hooked = torch.ones(300, 300, requires_grad=True)
    hooked.register_hook(lambda grad: time.sleep(0.001))
    work = [
        lambda: big @ big,
        lambda: torch.lgamma(big),
        lambda: (leaf @ x).sum().backward(),
        lambda: (hooked * 2).sum().backward(),
    ]

    def forever(call: Callable[[], Any]) -> None:
        while True:
            call()

    for call in work:
        threading.Thread(target=forever, args=(call,), daemon=True).start()
    time.sleep(0.3 + random.random() * 0.2)


def objects_at_the_end() -> None:
    """Finalizers and exit functions compute while the interpreter takes itself apart."""
    import atexit

    x = torch.ones(3, requires_grad=True)
    y = x * 2
    y.register_hook(lambda grad: None)

    class Late:
        def __init__(self, t: Any) -> None:
            self.t = t

        def __del__(self) -> None:
            attempt(lambda: (self.t + 1).sum())

    class LateTensor(torch.Tensor):
        def __del__(self) -> None:
            attempt(lambda: (self.as_subclass(torch.Tensor) + 1).sum())

    torch.kept = Late(y)
    sys.modules["kept"] = Late(x)  # pyright: ignore[reportArgumentType]
    torch.kept_too = torch.ones(3).as_subclass(LateTensor)
    atexit.register(lambda: (torch.rand(1000, 1000) @ torch.rand(1000, 1000)).sum())


def forks() -> None:
    """Children of a process whose threads are at work compute as well."""
    x = torch.rand(1000, 1000)

    def forever() -> None:
        while True:
            x @ x

    threading.Thread(target=forever, daemon=True).start()
    for _ in range(5):
        child = os.fork()
        if child == 0:
            leaf = torch.rand(500, 500, requires_grad=True)
            (leaf @ leaf).sum().backward()
            torch.sort(torch.lgamma(torch.rand(10**6)))
            os._exit(0 if leaf.grad is not None else 1)
        start = time.monotonic()
        while not (ended := os.waitpid(child, os.WNOHANG))[0]:
            if time.monotonic() - start > 60:
                os.kill(child, 9)
                raise AssertionError("a forked child hangs")
            time.sleep(0.01)
        assert ended[1] == 0
    os._exit(0)


if __name__ == "__main__":
    faulthandler.enable()
    globals()[sys.argv[1]]()
