"""`compile`: programs that ask for compilation get their function or module back, checked and wrapped.

Nothing is compiled. Operations are run as they are called, so a "compiled" function gives the same results at the
same speed, and every Python construct is allowed in it.
"""

from __future__ import annotations

import functools
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from bulssi.nn.modules.module import Module

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["InvalidBackend", "OptimizedModule", "disable", "graph_break", "is_compiling", "list_backends", "reset"]

_BACKENDS = ("cudagraphs", "inductor", "openxla", "tvm")
_DEBUG_BACKENDS = ("aot_eager", "aot_eager_decomp_partition", "aot_ts", "eager", "eager_debug", "eager_noexcept", "ts")
_MODES = ("default", "lite", "reduce-overhead", "max-autotune-no-cudagraphs", "max-autotune")

config = SimpleNamespace(  # switches of a compiler that is not there: remembered
    cache_size_limit=8,
    recompile_limit=8,
    suppress_errors=False,
    verbose=False,
    capture_scalar_outputs=False,
    dynamic_shapes=True,
    optimize_ddp=False,
)


class InvalidBackend(RuntimeError):
    """A backend of that name is not known."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"Invalid backend: {name!r}, see `torch._dynamo.list_backends()` for available backends.\n"
            f"Known are {', '.join(sorted((*_BACKENDS, *_DEBUG_BACKENDS)))}; none of them compiles anything here."
        )


def list_backends(exclude_tags: Any = ("debug", "experimental")) -> list[str]:
    """The names that `compile` takes as a backend, without those for debugging unless ``exclude_tags`` is empty."""
    return sorted(_BACKENDS if exclude_tags else (*_BACKENDS, *_DEBUG_BACKENDS))


class OptimizedModule(Module):
    """What `compile` makes of a module: a module whose child ``_orig_mod`` is the module, and which does as it does.

    Attributes are those of the module; names in ``state_dict()`` begin with ``_orig_mod.``.
    """

    _orig_mod: Module
    _OWN = frozenset({"_orig_mod", "_parameters", "_buffers", "_modules", "forward"})

    def __init__(self, mod: Module) -> None:
        super().__init__()
        del self.__dict__["training"]
        Module.__setattr__(self, "_orig_mod", mod)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self._orig_mod(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        if name == "_orig_mod":
            return self._modules["_orig_mod"]
        return getattr(self._orig_mod, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in self._OWN or name in self.__dict__:
            Module.__setattr__(self, name, value)
        else:
            setattr(self._orig_mod, name, value)

    def __delattr__(self, name: str) -> None:
        if name in self._OWN or name in self.__dict__:
            Module.__delattr__(self, name)
        else:
            delattr(self._orig_mod, name)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *dir(self._orig_mod)})

    def __len__(self) -> int:
        return len(self._orig_mod)  # pyright: ignore[reportArgumentType]

    def __getitem__(self, index: Any) -> Any:
        return self._orig_mod[index]  # pyright: ignore[reportIndexIssue]


def _check(backend: Any, mode: Any, options: Any, dynamic: Any) -> None:
    if mode is not None and options is not None:
        raise RuntimeError("Either mode or options can be specified, but both can't be specified at the same time.")
    if not (dynamic is None or isinstance(dynamic, bool)):
        raise AssertionError(f"Expected enable to be a bool, got {type(dynamic)}")
    if not isinstance(backend, str):
        raise NotImplementedError(
            f"compile(backend={getattr(backend, '__name__', backend)}): a backend of your own would be given graphs, "
            "and none are captured; use fx.symbolic_trace(model) to get one"
        )
    if backend not in (*_BACKENDS, *_DEBUG_BACKENDS):
        raise InvalidBackend(backend)
    if backend == "inductor" and mode is not None and mode not in _MODES:
        raise RuntimeError(f"Unrecognized mode={mode}, should be one of: {', '.join(_MODES)}")
    if options is not None and not isinstance(options, dict):
        raise TypeError(f"compile(): options must be a dict, not {type(options).__name__}")


def compile(
    model: Callable[..., Any] | None = None,
    *,
    fullgraph: bool = False,
    dynamic: bool | None = None,
    backend: str | Callable[..., Any] = "inductor",
    mode: str | None = None,
    options: dict[str, Any] | None = None,
    disable: bool = False,
) -> Any:
    """The function or module, for programs that ask for a compiled one: nothing is compiled, results are the same.

    Args:
        model: a function, or a module; without it, a decorator is returned.
        fullgraph: whether breaks of the graph would be errors; there is no graph to break.
        dynamic: whether code for any shape would be made.
        backend: one of ``compiler.list_backends()``, or one of those for debugging such as ``"eager"``.
        mode: ``"default"``, ``"reduce-overhead"``, ``"max-autotune"`` or ``"max-autotune-no-cudagraphs"``.
        options: of a backend; remembered by nobody.
        disable: return ``model`` itself.

    Returns:
        a function like ``model``, or for a module an :class:`OptimizedModule` around it.

    Raises:
        RuntimeError: ``mode`` and ``options`` are both given, or the mode or backend is not known.
        NotImplementedError: ``backend`` is a function: there is no graph to give it.
        AssertionError: ``model`` cannot be called.

    Example:
        >>> compile(lambda x: x * 2)(tensor(3))
        tensor(6)
    """
    if model is None:
        return functools.partial(
            compile, fullgraph=fullgraph, dynamic=dynamic, backend=backend, mode=mode, options=options, disable=disable
        )
    _check(backend, mode, options, dynamic)
    if not callable(model):
        raise AssertionError(f"A callable function is expected, but {type(model)} is provided.")
    if disable:
        return model
    if isinstance(model, OptimizedModule):
        return model
    if isinstance(model, Module):
        return OptimizedModule(model)
    if isinstance(model, type):
        return model  # PyTorch compiles the methods of a class, and returns it
    function = model

    @functools.wraps(function)
    def compiled(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    compiled._torchdynamo_orig_callable = function  # type: ignore[attr-defined]
    return compiled


def disable(fn: Any = None, recursive: bool = True, *, reason: str | None = None, wrapping: bool = True) -> Any:
    """A function that is not to be compiled: itself. Without a function, a decorator."""
    if fn is None:
        return functools.partial(disable, recursive=recursive, reason=reason, wrapping=wrapping)
    return fn


def reset() -> None:
    """Forget what was compiled: nothing was."""


def graph_break(msg: str = "") -> None:
    """End the graph here: there is none."""


def is_compiling() -> bool:
    """False: nothing is compiled."""
    return False
