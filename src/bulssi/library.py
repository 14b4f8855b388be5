"""Operations of one's own: functions that appear under `torch.ops`, with kernels by device and gradients.

:func:`custom_op` makes one of a function; :class:`Library`, :func:`define` and :func:`impl` do it in steps, from a
schema. `register_fake` gives the kernel for tensors of the device "meta", `register_autograd` the gradient.
Operations of C++ libraries that are built on PyTorch's headers cannot be loaded.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

import bulssi
from bulssi._schema import Schema, infer_schema, parse
from bulssi.autograd import Function

if TYPE_CHECKING:
    from collections.abc import Callable

    from bulssi import Tensor

__all__ = [
    "CustomOpDef",
    "Library",
    "custom_op",
    "define",
    "fallthrough_kernel",
    "impl",
    "impl_abstract",
    "infer_schema",
    "opcheck",
    "register_autocast",
    "register_autograd",
    "register_fake",
    "register_kernel",
    "register_torch_dispatch",
    "register_vmap",
]

# The device, or the kind of kernel, that PyTorch's dispatch keys stand for.
_KEYS = {
    "": "composite",
    "compositeimplicitautograd": "composite",
    "compositeexplicitautograd": "default",
    "default": "composite",
    "autograd": "autograd",
    "meta": "meta",
}


def fallthrough_kernel() -> None:
    """Stands for "no kernel of this kind" in :meth:`Library.impl`."""
    raise NotImplementedError("fallthrough_kernel() should never be called.")


def _tensors(value: Any) -> list[Tensor]:
    if isinstance(value, bulssi.Tensor):
        return [value]
    return [t for item in value for t in _tensors(item)] if isinstance(value, (list, tuple)) else []


class Operator:
    """One operation: its schema, kernels and gradient. Also what `torch.ops.<namespace>.<name>.default` is."""

    def __init__(self, qualname: str, schema: Schema | None) -> None:
        self.qualname = qualname
        self.schema = schema
        self.kernels: dict[str, Callable[..., Any]] = {}  # by device type, or "composite", "default", "autograd"
        self.backward: Callable[..., Any] | None = None
        self.setup_context: Callable[..., Any] | None = None
        self.autocast: dict[str, Any] = {}
        self.torch_dispatch: dict[type, Callable[..., Any]] = {}
        self.no_aliases = False  # whether results are checked not to be arguments
        self.__name__ = qualname.rpartition("::")[2]
        namespace, _, name = qualname.partition("::")
        self._function: Any = None  # the autograd.Function, once one is needed
        self._label = f"GeneratedBackwardFor_{namespace}_{name}_default"
        self.__qualname__ = f"{namespace}.{name}.default"

    def __repr__(self) -> str:
        return f"<OpOverload(op='{self.qualname.replace('::', '.')}', overload='default')>"

    def __str__(self) -> str:
        return self.__qualname__

    @property
    def _schema(self) -> str:
        return self._declared().text

    def _declared(self) -> Schema:
        if self.schema is None:
            raise RuntimeError(f"operator {self.qualname} does not exist: define its schema first")
        return self.schema

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        values = self._declared().bind(args, kwargs)
        tensors = _tensors(values)
        device = tensors[0].device.type if tensors else "cpu"
        for t in tensors:
            if t.device.type == "meta":
                device = "meta"
        own = self.kernels.get(f"autocast{device}")
        if own is not None and bulssi.is_autocast_enabled(device):
            return self._call(own, values)
        kind = self.autocast.get(device)
        if kind is not None and bulssi.is_autocast_enabled(device):
            with bulssi.amp.autocast(device, enabled=False):
                return self._recorded(device, [_converted(v, kind) for v in values])
        return self._recorded(device, values)

    def _recorded(self, device: str, values: list[Any]) -> Any:
        """The result, with a gradient when an argument asks for one."""
        if "autograd" in self.kernels:
            return self._call(self.kernels["autograd"], values)
        wanted = bulssi.is_grad_enabled() and any(t.requires_grad for t in _tensors(values))
        if self.backward is None and device not in self.kernels and "composite" in self.kernels:
            return self._call(self.kernels["composite"], values)  # made of operations that record themselves
        if not wanted:
            return self._below(device, values)
        return self._with_backward(device, values)

    def _below(self, device: str, values: list[Any]) -> Any:
        """The result of the kernel for the device."""
        kernel = self.kernels.get(device)
        if kernel is None and device == "meta":
            raise RuntimeError(
                f"There was no fake impl registered for <CustomOpDef({self.qualname})>. This is necessary for tensors "
                f"of the device meta. Please use `{self.__name__}.register_fake` to add an fake impl."
            )
        kernel = kernel or self.kernels.get("default") or self.kernels.get("composite")
        if kernel is None:
            known = ", ".join(sorted(self.kernels)) or "none"
            raise NotImplementedError(
                f"Could not run '{self.qualname}' with arguments from the '{device.upper()}' backend.\n"
                f"It has kernels for: {known}. Register one with library.impl or library.register_kernel."
            )
        with bulssi.no_grad():
            result = self._call(kernel, values)
        if self.no_aliases:
            given = {id(t) for t in _tensors(values)}
            if any(id(t) in given for t in _tensors(result)):
                raise RuntimeError(
                    f"{self.qualname}: The output of this custom operator must not also be an input to this custom "
                    "operator and may not alias any inputs to this custom operator or other returns. Return a clone()."
                )
        return result

    def _call(self, kernel: Callable[..., Any], values: list[Any]) -> Any:
        positional, named = [], {}
        for argument, value in zip(self._declared().arguments, values, strict=True):
            if argument.kwarg_only:
                named[argument.name] = value
            else:
                positional.append(value)
        return kernel(*positional, **named)

    def _with_backward(self, device: str, values: list[Any]) -> Any:
        """The result as an autograd.Function over the tensors, those in lists among them."""
        call = _Call(device, [len(v) if isinstance(v, (list, tuple)) and _tensors(v) else None for v in values])
        flat = [item for v, n in zip(values, call.counts, strict=True) for item in ([v] if n is None else v)]
        if self._function is None:
            self._function = self._make_function()
        result = self._function.apply(*flat, call)  # last: indices into ctx.needs_input_grad stay
        return list(result) if call.gives_list else result

    def _make_function(self) -> Any:
        operator = self

        def forward(ctx: Any, *args: Any) -> Any:
            *flat, call = args
            ctx._call, inputs = call, call.arguments(flat)
            result = operator._below(call.device, inputs)
            call.gives_list = isinstance(result, list)
            if operator.setup_context is not None:
                _set_up(operator.setup_context, ctx, operator._declared(), inputs, result)
            return tuple(result) if isinstance(result, (list, tuple)) else result

        def backward(ctx: Any, *grads: Any) -> Any:
            if operator.backward is None:
                raise RuntimeError(
                    f"Trying to backward through {operator} but no autograd formula was registered. Please use "
                    "register_autograd to add one."
                )
            given = operator.backward(ctx, *([list(grads)] if ctx._call.gives_list else grads))
            return (*ctx._call.flattened(given if isinstance(given, tuple) else (given,)), None)

        members = {"forward": staticmethod(forward), "backward": staticmethod(backward)}
        return type(self._label, (Function,), members)


class _Call:
    """How the arguments of a call lie in one row: how many tensors each list has, None for what is no list."""

    def __init__(self, device: str, counts: list[int | None]) -> None:
        self.device, self.counts, self.gives_list = device, counts, False

    def arguments(self, flat: list[Any]) -> list[Any]:
        """The arguments, lists as lists."""
        out, at = [], 0
        for count in self.counts:
            out.append(flat[at] if count is None else flat[at : at + count])
            at += 1 if count is None else count
        return out

    def flattened(self, grads: tuple[Any, ...]) -> list[Any]:
        """Gradients of the arguments as a row; None for the keyword-only ones at the end."""
        flat: list[Any] = []
        for count, grad in zip(self.counts, grads + (None,) * (len(self.counts) - len(grads)), strict=True):
            if count is None:
                flat.append(grad)
            else:
                flat.extend([None] * count if grad is None else grad)
        return flat


def _set_up(setup: Callable[..., Any], ctx: Any, schema: Schema, inputs: list[Any], output: Any) -> None:
    named = {a.name: v for a, v in zip(schema.arguments, inputs, strict=True) if a.kwarg_only}
    positional = tuple(v for a, v in zip(schema.arguments, inputs, strict=True) if not a.kwarg_only)
    if named:
        setup(ctx=ctx, inputs=positional, keyword_only_inputs=named, output=output)
    else:
        setup(ctx=ctx, inputs=positional, output=output)


def _converted(value: Any, kind: Any) -> Any:
    if isinstance(value, bulssi.Tensor):
        return value.to(kind) if value.is_floating_point() and value.dtype is not bulssi.float64 else value
    return [_converted(item, kind) for item in value] if isinstance(value, (list, tuple)) else value


_operators: dict[str, Operator] = {}
_owners: dict[str, Library] = {}
_by_library: dict[int, list[str]] = defaultdict(list)


def find_operator(qualname: str) -> Operator | None:
    """The operation that was defined under that name, or None."""
    found = _operators.get(qualname)
    return None if found is None or found.schema is None else found


def _operator(op: Any) -> Operator:
    """The operation of a name, of an object under `torch.ops`, or of what `custom_op` gave.

    A kernel may be registered before the operation is defined: it waits.
    """
    if isinstance(op, CustomOpDef):
        return op._operator
    if isinstance(op, Operator):
        return op
    qualname = op if isinstance(op, str) else getattr(op, "_qualified_op_name", None)
    if not isinstance(qualname, str):
        raise ValueError(f"Expected a name such as 'namespace::name', or an operation, got {type(op).__name__}")
    return _operators.setdefault(_plain_name(qualname), Operator(_plain_name(qualname), None))


def _plain_name(qualname: str) -> str:
    namespace, found, name = qualname.partition("::")
    if not (namespace and found and name):
        raise ValueError(f"Expected torch.library.define to take a name of the form namespace::name, got {qualname!r}")
    return qualname.removesuffix(".default")


def define(qualname: str, schema: Any, *, lib: Any = None, tags: Any = ()) -> Any:
    """Declares an operation ``"namespace::name"`` by its schema, ``"(Tensor x, int n=1) -> Tensor"``.

    Raises:
        RuntimeError: the schema is none, or there is an operation of that name.

    Example:
        >>> library.define("doc::twice", "(Tensor x) -> Tensor")
        >>> library.impl("doc::twice", "cpu", lambda x: x * 2)
        >>> ops.doc.twice(tensor(3))
        tensor(6)
    """
    if not isinstance(qualname, str):
        raise ValueError(f"define(qualname, schema): expected qualname to be instance of str, got {type(qualname)}")
    operator = _operator(qualname)
    parsed = parse(operator.qualname, schema)
    if operator.schema is not None:
        raise RuntimeError(
            f"Tried to register an operator ({parsed.text}) with the same name and overload name multiple times. "
            f"It is declared as {operator.schema.text}"
        )
    operator.schema = parsed
    if lib is not None:
        _by_library[id(lib)].append(operator.qualname)


def _register(op: Any, types: Any, func: Callable[..., Any], named: dict[str, str] | None = None) -> None:
    operator = _operator(op)
    for each in [types] if isinstance(types, str) or types is None else types:
        key = "" if each is None else each.lower()
        operator.kernels[(named or _KEYS).get(key, key)] = func


def impl(qualname: Any, types: Any, func: Any = None, *, lib: Any = None) -> Any:
    """Gives an operation a kernel for devices (``"cpu"``), or with ``"default"`` for all; also a decorator.

    ``impl(library, "name", "CPU")`` is the form with a :class:`Library` and a dispatch key.
    """
    if isinstance(qualname, Library):
        library, name, key = qualname, types, func if func is not None else ""

        def register_with(function: Callable[..., Any]) -> Callable[..., Any]:
            library.impl(name, function, key)
            return function

        return register_with

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        _register(qualname, types, function)
        return function

    return register if func is None else void(register(func))


def void(_: object) -> None:
    """Drops a value."""


def register_kernel(op: Any, device_types: Any, func: Any = None, /, *, lib: Any = None) -> Any:
    """Gives an operation a kernel for devices; None is all of them. Without ``func``, a decorator."""

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        _register(op, device_types, function, {"": "default", "default": "default"})
        return function

    return register if func is None else register(func)


def register_fake(op: Any, func: Any = None, /, *, lib: Any = None, allow_override: bool = False, **_: Any) -> Any:
    """Gives an operation its kernel for tensors without elements (device "meta"). Without ``func``, a decorator."""

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        _operator(op).kernels["meta"] = function
        return function

    return register if func is None else register(func)


impl_abstract = register_fake


def register_autograd(
    op: Any, backward: Callable[..., Any], /, *, setup_context: Callable[..., Any] | None = None, lib: Any = None
) -> None:
    """Gives an operation its gradient: ``backward(ctx, *grads)`` returns one for each argument, None without one.

    Args:
        setup_context: ``(ctx, inputs, output)`` -> None, after the kernel: saves what ``backward`` needs in ``ctx``.

    Raises:
        RuntimeError: the operation changes its arguments.
    """
    operator = _operator(op)
    if operator.schema is not None and any(a.mutated for a in operator.schema.arguments):
        raise RuntimeError(
            f"Cannot register autograd formula for non-functional operator {operator} with schema "
            f"{operator.schema.text}. Please create a functional operator and register an autograd formula for that."
        )
    operator.backward, operator.setup_context = backward, setup_context


def register_autocast(op: Any, device_type: str, cast_inputs: Any, /, *, lib: Any = None) -> None:
    """Under autocast on the device, convert the operation's floating-point arguments to a dtype first."""
    if device_type not in ("cpu", "cuda"):
        raise ValueError(f"Unknown device type: {device_type}")
    _operator(op).autocast[device_type] = cast_inputs


def register_torch_dispatch(op: Any, torch_dispatch_class: Any, func: Any = None, /, *, lib: Any = None) -> Any:
    """Remembers how a class of tensors handles the operation. Its ``__torch_function__`` is what is called here."""

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        _operator(op).torch_dispatch[torch_dispatch_class] = function
        return function

    return register if func is None else register(func)


def register_vmap(op: Any, func: Any = None, /, *, lib: Any = None) -> Any:
    """A rule for batches; `func.vmap` calls the operation on each item, so it is remembered by nobody."""
    _operator(op)
    return (lambda function: function) if func is None else func


class Library:
    """A namespace of operations that are declared and given kernels in steps.

    Args:
        ns: the namespace.
        kind: ``"DEF"`` for a new namespace, ``"FRAGMENT"`` for more in one, ``"IMPL"`` for kernels only.
        dispatch_key: which kernels :meth:`impl` registers unless told: ``"CPU"``, ``"Meta"``, ``""`` for all.

    Raises:
        ValueError: another kind, or ``ns`` is PyTorch's own (``"prim"``).

    Example:
        >>> lib = library.Library("docs", "DEF")
        >>> lib.define("add_one(Tensor x) -> Tensor")
        'add_one'
        >>> lib.impl("add_one", lambda x: x + 1, "CPU")
        >>> ops.docs.add_one(tensor(1))
        tensor(2)
    """

    def __init__(self, ns: str, kind: str, dispatch_key: str = "") -> None:
        if kind not in ("IMPL", "DEF", "FRAGMENT"):
            raise ValueError(f"Unsupported kind: {kind}")
        if ns in ("prim",) and kind != "IMPL":
            raise ValueError(f"{ns} is a reserved namespace. Please try creating a library with another name.")
        if kind == "DEF":
            if ns in _owners:
                raise RuntimeError(f"Only a single TORCH_LIBRARY can be used to register the namespace {ns}")
            _owners[ns] = self
        self.ns, self.kind, self.dispatch_key = ns, kind, dispatch_key

    def __repr__(self) -> str:
        return f"Library(kind={self.kind}, ns={self.ns}, dispatch_key={self.dispatch_key})>"

    def define(self, schema: str, alias_analysis: str = "", *, tags: Any = ()) -> str:
        """Declares ``"name(Tensor x) -> Tensor"``; returns the name."""
        if alias_analysis not in ("", "FROM_SCHEMA", "CONSERVATIVE"):
            raise RuntimeError(f"Invalid alias_analysis type {alias_analysis}")
        if self.kind == "IMPL":
            raise ValueError(
                f"a library of kind IMPL gives kernels only; make one of kind DEF or FRAGMENT for {schema}"
            )
        name, bracket, rest = schema.partition("(")
        define(f"{self.ns}::{name.strip()}", bracket + rest, lib=self)
        return name.strip()

    def impl(self, op_name: Any, fn: Any, dispatch_key: str = "", *, with_keyset: bool = False, **_: Any) -> None:
        """Gives an operation of the namespace a kernel for ``dispatch_key``."""
        if not callable(fn):
            raise TypeError(f"Input function is required to be a callable but found type {type(fn)}")
        if fn is fallthrough_kernel:
            return
        name = op_name if isinstance(op_name, str) else getattr(op_name, "__name__", str(op_name))
        _register(f"{self.ns}::{name.rpartition('::')[2]}", dispatch_key or self.dispatch_key, fn)

    def _destroy(self) -> None:
        """Forgets the operations that it declared."""
        for qualname in _by_library.pop(id(self), []):
            _operators.pop(qualname, None)
        if _owners.get(self.ns) is self:
            del _owners[self.ns]


class CustomOpDef:
    """What :func:`custom_op` gives: a function, whose kernels and gradient are registered by its methods."""

    def __init__(self, operator: Operator, function: Callable[..., Any]) -> None:
        self._operator = operator
        self._init_fn = function
        self._name = self._operator.__name__
        self._qualname = operator.qualname
        self._opoverload = operator
        self.__name__, self.__doc__ = operator.__name__, function.__doc__

    def __repr__(self) -> str:
        return f"<CustomOpDef({self._qualname})>"

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._operator(*args, **kwargs)

    def register_kernel(self, device_types: Any, fn: Any = None, /) -> Any:
        """A kernel for devices; also a decorator."""
        return register_kernel(self, device_types, fn)

    def register_fake(self, fn: Callable[..., Any], /) -> Callable[..., Any]:
        """The kernel for tensors without elements; also a decorator."""
        return register_fake(self, fn)

    def register_autograd(
        self, backward: Callable[..., Any], /, *, setup_context: Callable[..., Any] | None = None
    ) -> None:
        """The gradient; see :func:`register_autograd`."""
        register_autograd(self, backward, setup_context=setup_context)

    def register_autocast(self, device_type: str, cast_inputs: Any) -> None:
        """The dtype of arguments under autocast."""
        register_autocast(self, device_type, cast_inputs)

    def register_vmap(self, func: Any = None) -> Any:
        """A rule for batches; see :func:`register_vmap`."""
        return register_vmap(self, func)

    def register_torch_dispatch(self, torch_dispatch_class: Any, fn: Any = None, /) -> Any:
        """How a class of tensors handles it."""
        return register_torch_dispatch(self, torch_dispatch_class, fn)


def custom_op(
    name: str,
    fn: Any = None,
    /,
    *,
    mutates_args: Any,
    device_types: Any = None,
    schema: str | None = None,
    tags: Any = None,
) -> Any:
    """Makes an operation ``"namespace::name"`` of a function; a decorator.

    The function sees plain tensors, without gradients, and must return new ones. Its parameters and result have
    annotations, of which the schema is made.

    Args:
        mutates_args: names of the arguments that it changes; ``()`` for none.
        device_types: for which devices it is the kernel; None is all.
        schema: in place of the annotations.

    Returns:
        a :class:`CustomOpDef`.

    Raises:
        ValueError: an annotation is missing or of a kind that schemas do not have.

    Example:
        >>> @library.custom_op("docs::scaled", mutates_args=())
        ... def scaled(x: Tensor, by: float) -> Tensor:
        ...     return x * by
        >>> scaled.register_autograd(lambda ctx, grad: (grad * ctx.by, None),
        ...                          setup_context=lambda ctx, inputs, output: setattr(ctx, "by", inputs[1]))
        >>> x = tensor(2.0, requires_grad=True)
        >>> scaled(x, 3.0).backward()
        >>> x.grad
        tensor(3.)
    """

    def make(function: Callable[..., Any]) -> CustomOpDef:
        text = infer_schema(function, mutates_args=mutates_args) if schema is None else schema
        qualname = _plain_name(name)
        _operators.pop(qualname, None)  # defining it again replaces it
        define(qualname, text)
        operator = _operators[qualname]
        operator.no_aliases = True
        register_kernel(operator, device_types, function)
        return CustomOpDef(operator, function)

    return make if fn is None else make(fn)


def opcheck(
    op: Any,
    args: tuple[Any, ...],
    kwargs: dict[str, Any] | None = None,
    *,
    test_utils: Any = ("test_schema", "test_autograd_registration", "test_faketensor"),
    raise_exception: bool = True,
    **_: Any,
) -> dict[str, str | Exception]:
    """Tests an operation on sample arguments: whether it is what was registered.

    ``test_schema``: it changes no argument that its schema does not mark. ``test_autograd_registration``: when an
    argument requires a gradient, there is one. ``test_faketensor``: the kernel for "meta" gives the shapes and dtypes
    that the real one gives.

    Returns:
        by test ``"SUCCESS"`` or, unless ``raise_exception``, the exception.
    """
    operator = _operator(op)
    kwargs = kwargs or {}
    tests = {
        "test_schema": _check_schema,
        "test_autograd_registration": _check_autograd,
        "test_faketensor": _check_fake,
    }
    results: dict[str, str | Exception] = {}
    for name in [test_utils] if isinstance(test_utils, str) else test_utils:
        if name not in tests:
            raise ValueError(f"opcheck: there is no test {name!r}; there are {', '.join(tests)}")
        try:
            tests[name](operator, operator._declared().bind(args, kwargs))
            results[name] = "SUCCESS"
        except Exception as error:
            if raise_exception:
                raise
            results[name] = error
    return results


def _check_schema(operator: Operator, values: list[Any]) -> None:
    marked = {
        id(t) for a, v in zip(operator._declared().arguments, values, strict=True) if a.mutated for t in _tensors(v)
    }
    before = [(t, t.detach().clone()) for t in _tensors(values) if id(t) not in marked]
    with bulssi.no_grad():
        operator._recorded("cpu", values)
    for tensor, copy in before:
        if not bulssi.equal(tensor, copy) and not bulssi.allclose(tensor, copy, equal_nan=True):
            raise RuntimeError(f"Argument of {operator.qualname} is not defined as mutable but was mutated")


def _check_autograd(operator: Operator, values: list[Any]) -> None:
    if not any(t.requires_grad for t in _tensors(values)) or operator.backward or "autograd" in operator.kernels:
        return
    if operator.kernels.keys() != {"composite"}:
        raise RuntimeError(f"{operator.qualname} has no gradient, but an argument requires one: use register_autograd")


def _check_fake(operator: Operator, values: list[Any]) -> None:
    def facts(value: Any) -> list[Any]:
        return [(tuple(t.shape), t.dtype) for t in _tensors(value if isinstance(value, (list, tuple)) else [value])]

    def on_meta(value: Any) -> Any:
        if isinstance(value, bulssi.Tensor):
            return bulssi.empty_like(value, device="meta")
        return [on_meta(item) for item in value] if isinstance(value, (list, tuple)) else value

    with bulssi.no_grad():
        real, fake = operator._recorded("cpu", values), operator._below("meta", [on_meta(v) for v in values])
    if facts(real) != facts(fake):
        raise RuntimeError(f"{operator.qualname}: the kernel gives {facts(real)}, the fake kernel {facts(fake)}")


def get_ctx() -> Any:
    """For kernels whose shapes depend on data; there is no such context.

    Raises:
        RuntimeError: always.
    """
    raise RuntimeError("library.get_ctx(): sizes that depend on data have no symbols here; return the real size")
