"""Module: a tree of parameters, buffers and submodules that is called like a function."""

from __future__ import annotations

import warnings
from collections import OrderedDict
from collections.abc import Mapping
from itertools import chain
from typing import TYPE_CHECKING

import bulssi
from bulssi import Tensor
from bulssi.nn.parameter import Buffer, Parameter

from ._hooks import BackwardHook, ModuleHook, RemovableHandle, add_backward_hook, add_hook, through_registration_hooks
from ._hooks import global_hooks as _global
from ._hooks import register_module_backward_hook as register_module_backward_hook
from ._hooks import register_module_buffer_registration_hook as register_module_buffer_registration_hook
from ._hooks import register_module_forward_hook as register_module_forward_hook
from ._hooks import register_module_forward_pre_hook as register_module_forward_pre_hook
from ._hooks import register_module_full_backward_hook as register_module_full_backward_hook
from ._hooks import register_module_full_backward_pre_hook as register_module_full_backward_pre_hook
from ._hooks import register_module_module_registration_hook as register_module_module_registration_hook
from ._hooks import register_module_parameter_registration_hook as register_module_parameter_registration_hook
from ._state import StateDictMixin
from ._state import _IncompatibleKeys as _IncompatibleKeys
from ._where import annotate, name_the_layer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from typing_extensions import Self

__all__ = ["Module"]

# The one question of a call is whether any of these is non-empty. They are never rebound.
_global_forward_pre, _global_forward = _global.forward_pre, _global.forward
_global_backward_pre, _global_backward = _global.backward_pre, _global.backward


def typename(value: Any) -> str:
    """The name of ``value``'s type as PyTorch's messages give it: ``torch.FloatTensor``, ``int``, ``package.Class``."""
    if isinstance(value, Tensor):
        return value.type()
    kind = type(value)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _addindent(text: str, by: int) -> str:
    first, *rest = text.split("\n")
    return "\n".join([first] + [" " * by + line if line.strip() else "" for line in rest])


def _parse_to(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, Any, bool, Any]:
    """The arguments of ``to``: ``(device, dtype, non_blocking, memory_format)``."""
    names = ["device", "dtype", "non_blocking", "copy"]
    if args and isinstance(args[0], Tensor):
        args = (args[0].device, args[0].dtype, *args[1:])
    elif args and isinstance(args[0], bulssi.dtype):
        names = names[1:]
    if len(args) > len(names):
        raise TypeError(f"to() received an invalid combination of arguments: at most {len(names)} after the module")
    given = dict(zip(names, args, strict=False))
    if "tensor" in kwargs or "other" in kwargs:
        kwargs = dict(kwargs)
        other = kwargs.pop("tensor", None) if "tensor" in kwargs else kwargs.pop("other")
        given.update(device=other.device, dtype=other.dtype)
    for key, value in kwargs.items():
        if key in given:
            raise TypeError(f"to() got multiple values for argument '{key}'")
        if key not in ("device", "dtype", "non_blocking", "copy", "memory_format"):
            raise TypeError(f"to() got an unexpected keyword argument '{key}'")
        given[key] = value
    device = given.get("device")
    dtype = given.get("dtype")
    if dtype is not None and not isinstance(dtype, bulssi.dtype):
        raise TypeError(f"to(): argument 'dtype' must be torch.dtype, not {type(dtype).__name__}")
    if device is not None:
        device = bulssi.device(device)
    return device, dtype, bool(given.get("non_blocking", False)), given.get("memory_format")


def _refuse_tensor_options(init: Callable[..., None]) -> Callable[..., None]:
    """``init`` of a layer, refusing data where an option belongs: ``nn.ReLU(x)`` for ``nn.ReLU()(x)``."""

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        for value in args:
            if isinstance(value, Tensor):
                _refuse_data(self, init, args, kwargs)
        if kwargs:
            for value in kwargs.values():
                if isinstance(value, Tensor):
                    _refuse_data(self, init, args, kwargs)
        try:
            init(self, *args, **kwargs)
        except TypeError as error:
            name_the_layer(error, self)
            raise

    __init__.__wrapped__ = init  # type: ignore[attr-defined]
    __init__.__doc__, __init__.__qualname__, __init__.__module__ = init.__doc__, init.__qualname__, init.__module__
    return __init__


def _refuse_data(module: Module, init: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    code = init.__code__
    names = code.co_varnames[1 : code.co_argcount]
    for name, value in chain(zip(chain(names, ("*args",) * len(args)), args, strict=False), kwargs.items()):
        # One number in a tensor serves as a number.
        if isinstance(value, Tensor) and name not in module._tensor_options and (name == "*args" or value.numel() != 1):
            layer = type(module).__name__
            options = ", ".join(names) or "none"
            raise TypeError(
                f"{layer}.__init__() got a Tensor of shape {tuple(value.shape)} where the option '{name}' is expected. "
                f"A layer is made first, from its options ({options}), and then called with data: write "
                f"`layer = nn.{layer}(...)` once and then `layer(x)`; for a one-off call use nn.functional."
            )


class Module(StateDictMixin):
    """Base class of all layers and models.

    Assigning a :class:`Parameter`, a :class:`Buffer` or another ``Module`` to an attribute registers it;
    ``parameters()``, ``state_dict()``, ``to()`` and the like then reach it. A subclass defines ``forward`` and calls
    ``super().__init__()`` before it assigns anything.

    Example::

        >>> class Net(nn.Module):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.fc = nn.Linear(4, 2)
        ...     def forward(self, x):
        ...         return self.fc(x).relu()
        >>> Net()(torch.ones(3, 4)).shape
        torch.Size([3, 2])

    An error inside a forward carries a note with the path of the module it happened in, and what that was called with.
    """

    dump_patches: bool = False
    _version: int = 1
    call_super_init: bool = False
    training: bool
    _tensor_options: tuple[str, ...] = ()  # names of constructor arguments that may be tensors

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "__init__" in cls.__dict__ and cls.__module__.startswith("bulssi.nn."):
            cls.__init__ = _refuse_tensor_options(cls.__init__)  # type: ignore[method-assign]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if (args or kwargs) and not self.call_super_init:
            for value in chain(args, kwargs.values()):
                if isinstance(value, Tensor):
                    _refuse_data(self, Module.__init__, args, kwargs)
            name = type(self).__name__
            if kwargs:
                raise TypeError(f"{name}.__init__() got an unexpected keyword argument '{next(iter(kwargs))}'")
            raise TypeError(f"{name}.__init__() takes 1 positional argument but {len(args) + 1} were given")
        self.__dict__.update(training=True, _parameters={}, _buffers={}, _non_persistent_buffers_set=set(), _modules={})
        self.__dict__.update(_no_hooks())
        if self.call_super_init:
            super().__init__(*args, **kwargs)

    if TYPE_CHECKING:
        forward: Callable[..., Any]  # every subclass has its own arguments
    else:

        def forward(self, *input: Any) -> Any:
            """What the module computes; every subclass defines it. Call the module, not this, so that hooks run."""
            raise NotImplementedError(
                f'Module [{type(self).__name__}] is missing the required "forward" function\n'
                "Define forward(self, ...) in the class; a misspelt or wrongly indented one counts as missing."
            )

    # ---- the call -----------------------------------------------------------------------------------------------

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        try:
            if (
                self._forward_hooks
                or self._forward_pre_hooks
                or self._backward_hooks
                or self._backward_pre_hooks
                or _global_forward
                or _global_forward_pre
                or _global_backward
                or _global_backward_pre
            ):
                return self._call_with_hooks(args, kwargs)
            return self.forward(*args, **kwargs)
        except Exception as error:
            annotate(error, self, args, kwargs)
            raise

    def _call_with_hooks(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        result = None
        done: set[int] = set()  # forward hooks that have run
        try:
            args, kwargs = self._run_pre_hooks(args, kwargs)
            watch = self._backward_watch()
            if watch is not None:
                args = watch.watch_inputs(args)
            result = self.forward(*args, **kwargs)
            for key, hook in (*_global.forward.items(), *self._forward_hooks.items()):
                done.add(key)
                out = self._run_forward_hook(key, hook, args, kwargs, result)
                if out is not None:
                    result = out
            if watch is not None:
                if not isinstance(result, (Tensor, tuple)):
                    warnings.warn(
                        "For backward hooks to be called, module output should be a Tensor or a tuple of Tensors but "
                        f"received {type(result)}",
                        stacklevel=3,
                    )
                result = watch.watch_outputs(result)
            self._add_partial_backward_hooks(result)
        except Exception:
            self._run_always_hooks(done, args, kwargs, result)
            raise
        return result

    def _run_pre_hooks(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        for key, hook in (*_global.forward_pre.items(), *self._forward_pre_hooks.items()):
            if key in self._forward_pre_hooks_with_kwargs:
                out = hook(self, args, kwargs)
                if out is None:
                    continue
                if not (isinstance(out, tuple) and len(out) == 2):
                    raise RuntimeError(
                        f"forward pre-hook must return None or a tuple of (new_args, new_kwargs), but got {out}."
                    )
                args, kwargs = out
            else:
                out = hook(self, args)
                if out is not None:
                    args = out if isinstance(out, tuple) else (out,)
        return args, kwargs

    def _run_forward_hook(self, key: int, hook: Any, args: Any, kwargs: Any, result: Any) -> Any:
        if key in self._forward_hooks_with_kwargs or key in _global.forward_with_kwargs:
            return hook(self, args, kwargs, result)
        return hook(self, args, result)

    def _run_always_hooks(self, done: set[int], args: Any, kwargs: Any, result: Any) -> None:
        """After an error: the forward hooks registered with ``always_call`` that have not run yet."""
        for kind, hooks, always in (
            ("global module", _global.forward, _global.forward_always),
            ("module", self._forward_hooks, self._forward_hooks_always_called),
        ):
            for key, hook in list(hooks.items()):
                if key not in always or key in done:
                    continue
                try:
                    out = self._run_forward_hook(key, hook, args, kwargs, result)
                    if out is not None:
                        result = out
                except Exception as error:
                    warnings.warn(
                        f"{kind} forward hook with ``always_call=True`` raised an exception that was silenced as "
                        "another "
                        f"error was raised in forward: {error}",
                        stacklevel=3,
                    )

    def _backward_hooks_where(self, full: bool) -> list[Any]:
        hooks = list(_global.backward.values()) if _global.backward_is_full is full else []
        return hooks + list(self._backward_hooks.values()) if self._is_full_backward_hook is full else hooks

    def _backward_watch(self) -> BackwardHook | None:
        hooks = self._backward_hooks_where(full=True)
        pre_hooks = [*_global.backward_pre.values(), *self._backward_pre_hooks.values()]
        return BackwardHook(self, hooks, pre_hooks) if hooks or pre_hooks else None

    def _add_partial_backward_hooks(self, result: Any) -> None:
        """The older backward hooks hang on the node that made the (first) output and see only that node's gradients."""
        hooks = self._backward_hooks_where(full=False)
        if not hooks:
            return
        while not isinstance(result, Tensor):
            values = result.values() if isinstance(result, Mapping) else result
            result = next(v for v in values if isinstance(v, (Tensor, tuple, list, Mapping)))
        if result.grad_fn is not None:
            for hook in hooks:
                result.grad_fn.register_hook(ModuleHook(hook, self))

    # ---- hooks --------------------------------------------------------------------------------------------------

    def register_forward_pre_hook(
        self, hook: Callable[..., Any], *, prepend: bool = False, with_kwargs: bool = False
    ) -> RemovableHandle:
        """Call ``hook(module, args)`` (``hook(module, args, kwargs)`` with ``with_kwargs``) before each forward.

        What it returns, if anything, replaces ``args``, or ``(args, kwargs)``. ``prepend`` puts it before the others.
        """
        flags = ((self._forward_pre_hooks_with_kwargs, with_kwargs),)
        return add_hook(self._forward_pre_hooks, hook, prepend=prepend, flags=flags)

    def register_forward_hook(
        self, hook: Callable[..., Any], *, prepend: bool = False, with_kwargs: bool = False, always_call: bool = False
    ) -> RemovableHandle:
        """Call ``hook(module, args, output)`` (``hook(module, args, kwargs, output)``) after each forward.

        What it returns, if anything, replaces the output. With ``always_call`` it runs also when the forward raised.
        """
        flags = ((self._forward_hooks_with_kwargs, with_kwargs), (self._forward_hooks_always_called, always_call))
        return add_hook(self._forward_hooks, hook, prepend=prepend, flags=flags)

    def register_full_backward_pre_hook(self, hook: Callable[..., Any], prepend: bool = False) -> RemovableHandle:
        """Call ``hook(module, grad_output)`` before the module's backward; a result replaces ``grad_output``."""
        return add_hook(self._backward_pre_hooks, hook, prepend=prepend)

    def register_full_backward_hook(self, hook: Callable[..., Any], prepend: bool = False) -> RemovableHandle:
        """Call ``hook(module, grad_input, grad_output)`` when the gradients of the inputs are there.

        What it returns, if anything, replaces ``grad_input`` from there on.
        """
        hooks = self._backward_hooks
        return add_backward_hook(self, "_is_full_backward_hook", hooks, True, hook, prepend, "on a single Module")

    def register_backward_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """The older kind of :meth:`register_full_backward_hook`: it sees only the last operation's gradients."""
        hooks = self._backward_hooks
        return add_backward_hook(self, "_is_full_backward_hook", hooks, False, hook, False, "on a single Module")

    def register_state_dict_pre_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call ``hook(module, prefix, keep_vars)`` before ``state_dict`` collects the module's state."""
        return add_hook(self._state_dict_pre_hooks, hook)

    def register_state_dict_post_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call ``hook(module, state_dict, prefix, local_metadata)`` at the end of ``state_dict``; it returns None."""
        hook._from_public_api = True  # type: ignore[attr-defined]
        return add_hook(self._state_dict_hooks, hook)

    def _register_state_dict_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        if getattr(hook, "_from_public_api", False):
            raise RuntimeError(
                "Cannot register the same function as the state dict post hook that was previously registered via "
                "register_state_dict_post_hook"
            )
        return add_hook(self._state_dict_hooks, hook)

    def register_load_state_dict_pre_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call ``hook(module, state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs)``
        before the module loads its part of a state dict; it may change any of them in place."""
        return self._register_load_state_dict_pre_hook(hook, with_module=True)

    def _register_load_state_dict_pre_hook(
        self, hook: Callable[..., Any], with_module: bool = False
    ) -> RemovableHandle:
        return add_hook(self._load_state_dict_pre_hooks, ModuleHook(hook, self) if with_module else hook)

    def register_load_state_dict_post_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call ``hook(module, incompatible_keys)`` after loading; it may change the two lists in place."""
        return add_hook(self._load_state_dict_post_hooks, hook)

    # ---- attributes ---------------------------------------------------------------------------------------------

    def _check_new_member(self, kind: str, registry: str, name: Any) -> dict[str, Any]:
        members = self.__dict__.get(registry)
        if members is None:
            raise AttributeError(f"cannot assign {kind} before Module.__init__() call")
        if not isinstance(name, str):
            raise TypeError(f"{kind} name should be a string. Got {typename(name)}")
        if name not in members and hasattr(self, name):
            raise KeyError(f"attribute '{name}' already exists")
        if "." in name:
            raise KeyError(f'{kind} name can\'t contain "."' + (f", got: {name}" if kind == "module" else ""))
        if name == "":
            raise KeyError(f'{kind} name can\'t be empty string ""')
        return members

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Add ``param`` (None: a parameter that is not there, as a layer's bias may be) under ``name``."""
        members = self._check_new_member("parameter", "_parameters", name)
        if param is not None:
            if not isinstance(param, Parameter):
                raise TypeError(
                    f"cannot assign '{typename(param)}' object to parameter '{name}' "
                    "(torch.nn.Parameter or None required)"
                )
            if param.grad_fn is not None:
                raise ValueError(
                    f"Cannot assign non-leaf Tensor to parameter '{name}'. Model parameters must be created "
                    "explicitly. "
                    f"To express '{name}' as a function of another Tensor, compute the value in the forward() method."
                )
            param = through_registration_hooks("parameter", self, name, param)
        members[name] = param

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Add ``tensor`` as state that is not trained; ``persistent`` says whether ``state_dict`` has it."""
        members = self._check_new_member("buffer", "_buffers", name)
        if tensor is not None and not isinstance(tensor, Tensor):
            raise TypeError(
                f"cannot assign '{typename(tensor)}' object to buffer '{name}' (torch Tensor or None required)"
            )
        members[name] = through_registration_hooks("buffer", self, name, tensor)
        if persistent:
            self._non_persistent_buffers_set.discard(name)
        else:
            self._non_persistent_buffers_set.add(name)

    def add_module(self, name: str, module: Module | None) -> None:
        """Add ``module`` as a child under ``name``."""
        if module is not None and not isinstance(module, Module):
            raise TypeError(f"{typename(module)} is not a Module subclass")
        members = self._check_new_member("module", "_modules", name)
        members[name] = through_registration_hooks("module", self, name, module)

    def register_module(self, name: str, module: Module | None) -> None:
        """The same as :meth:`add_module`."""
        self.add_module(name, module)

    def __getattr__(self, name: str) -> Any:
        members = self.__dict__
        if "_modules" in members:  # false before Module.__init__
            for registry in (members["_parameters"], members["_modules"], members["_buffers"]):
                if name in registry:
                    return registry[name]
        raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")

    def __setattr__(self, name: str, value: Any) -> None:
        own = self.__dict__
        if isinstance(value, Parameter):
            self._forget(name, "_parameters", "parameters")
            self.register_parameter(name, value)
        elif isinstance(value, Module):
            self._forget(name, "_modules", "module")
            own["_modules"][name] = through_registration_hooks("module", self, name, value)
        elif "_modules" not in own:
            if isinstance(value, Buffer):
                raise AttributeError("cannot assign buffer before Module.__init__() call")
            object.__setattr__(self, name, value)
        elif name in own["_parameters"]:
            if value is not None:
                raise TypeError(
                    f"cannot assign '{typename(value)}' as parameter '{name}' (torch.nn.Parameter or None expected)"
                )
            self.register_parameter(name, None)
        elif name in own["_modules"]:
            if value is not None:
                raise TypeError(
                    f"cannot assign '{typename(value)}' as child module '{name}' (torch.nn.Module or None expected)"
                )
            own["_modules"][name] = through_registration_hooks("module", self, name, None)
        elif name in own["_buffers"] or isinstance(value, Buffer):
            self._set_buffer(name, value)
        else:
            object.__setattr__(self, name, value)

    def _forget(self, name: str, keep: str, kind: str) -> None:
        """Drop whatever else is called ``name``, before a member of the registry ``keep`` takes the name."""
        own = self.__dict__
        if "_modules" not in own:
            raise AttributeError(f"cannot assign {kind} before Module.__init__() call")
        own.pop(name, None)
        for registry in ("_parameters", "_buffers", "_modules"):
            if registry != keep:
                own[registry].pop(name, None)
        own["_non_persistent_buffers_set"].discard(name)

    def _set_buffer(self, name: str, value: Any) -> None:
        if value is not None and not isinstance(value, Tensor):
            raise TypeError(
                f"cannot assign '{typename(value)}' as buffer '{name}' (torch.nn.Buffer, torch.Tensor or None expected)"
            )
        known = name not in self._non_persistent_buffers_set
        persistent = getattr(value, "persistent", known) if isinstance(value, Buffer) else known
        if persistent:  # a subclass may override register_buffer without that argument
            self.register_buffer(name, value)
        else:
            self.register_buffer(name, value, False)

    def __delattr__(self, name: str) -> None:
        for registry in ("_parameters", "_buffers", "_modules"):
            members = self.__dict__.get(registry, ())
            if name in members:
                del members[name]
                self._non_persistent_buffers_set.discard(name)
                return
        object.__delattr__(self, name)

    def __dir__(self) -> list[str]:
        names = {*dir(type(self)), *self.__dict__, *self._parameters, *self._modules, *self._buffers}
        return sorted(name for name in names if not name[:1].isdigit())

    # ---- walking the tree ---------------------------------------------------------------------------------------

    def _lookup(self, target: str) -> Module:
        module: Any = self
        for name in target.split(".") if target else ():
            if not hasattr(module, name):
                raise AttributeError(f"{module._get_name()} has no attribute `{name}`")
            module = getattr(module, name)
            if not isinstance(module, Module):
                raise AttributeError(f"`{name}` is not an nn.Module")
        return module

    def get_submodule(self, target: str) -> Module:
        """The submodule at a dotted path such as ``"encoder.3.fc1"``; ``""`` is the module itself."""
        return self._lookup(target)

    def set_submodule(self, target: str, module: Module, strict: bool = False) -> None:
        """Put ``module`` at a dotted path; with ``strict`` something has to be there already."""
        if target == "":
            raise ValueError("Cannot set the submodule without a target name!")
        if not isinstance(module, Module):
            raise ValueError(f"`module` is not an nn.Module, found {type(module)}")
        path, _, name = target.rpartition(".")
        parent = self._lookup(path)
        if hasattr(parent, name):
            if not isinstance(getattr(parent, name), Module):
                raise AttributeError(f"`{name}` is not an nn.Module")
        elif strict:
            raise AttributeError(f"{parent._get_name()} has no attribute `{name}`")
        setattr(parent, name, module)

    def _get_member(self, target: str) -> tuple[Module, str, Any]:
        path, _, name = target.rpartition(".")
        module = self._lookup(path)
        if not hasattr(module, name):
            raise AttributeError(f"{module._get_name()} has no attribute `{name}`")
        return module, name, getattr(module, name)

    def get_parameter(self, target: str) -> Parameter:
        """The parameter at a dotted path."""
        _, name, value = self._get_member(target)
        if not isinstance(value, Parameter):
            raise AttributeError(f"`{name}` is not an nn.Parameter")
        return value

    def get_buffer(self, target: str) -> Tensor:
        """The buffer at a dotted path."""
        module, name, value = self._get_member(target)
        if name not in module._buffers:
            raise AttributeError(f"`{name}` is not a buffer")
        return value

    def named_modules(
        self, memo: set[Module] | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Module]]:
        """All modules of the tree with their paths, the module itself first (each once with ``remove_duplicate``)."""
        memo = set() if memo is None else memo
        if self in memo:
            return
        if remove_duplicate:
            memo.add(self)
        yield prefix, self
        for name, child in self._modules.items():
            if child is not None:
                yield from child.named_modules(memo, f"{prefix}.{name}" if prefix else name, remove_duplicate)

    def modules(self, remove_duplicate: bool = True) -> Iterator[Module]:
        """All modules of the tree, the module itself first."""
        for _, module in self.named_modules(remove_duplicate=remove_duplicate):
            yield module

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """The direct submodules with their names, each once."""
        seen = set()
        for name, child in self._modules.items():
            if child is not None and child not in seen:
                seen.add(child)
                yield name, child

    def children(self) -> Iterator[Module]:
        """The direct submodules, each once."""
        for _, child in self.named_children():
            yield child

    def _named_members(
        self, get_members_fn: Any, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Any]]:
        seen: set[Any] = set()
        walk: Any = ((prefix, self),)
        if recurse:
            walk = self.named_modules(prefix=prefix, remove_duplicate=remove_duplicate)
        for path, module in walk:
            for name, member in get_members_fn(module):
                if member is None or member in seen:
                    continue
                if remove_duplicate:
                    seen.add(member)
                yield f"{path}.{name}" if path else name, member

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """The parameters with their paths; ``recurse=False`` leaves out those of submodules."""
        yield from self._named_members(lambda m: m._parameters.items(), prefix, recurse, remove_duplicate)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """The parameters, as an optimizer takes them."""
        for _, parameter in self.named_parameters(recurse=recurse):
            yield parameter

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Tensor]]:
        """The buffers with their paths."""
        yield from self._named_members(lambda m: m._buffers.items(), prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """The buffers."""
        for _, buffer in self.named_buffers(recurse=recurse):
            yield buffer

    def apply(self, fn: Callable[[Module], None]) -> Self:
        """Call ``fn`` on every submodule and then on the module itself."""
        for child in self.children():
            child.apply(fn)
        fn(self)
        return self

    # ---- modes and conversions ----------------------------------------------------------------------------------

    def train(self, mode: bool = True) -> Self:
        """Set ``training`` of the whole tree: dropout and batch normalisation look at it."""
        if not isinstance(mode, bool):
            raise ValueError("training mode is expected to be boolean")
        self.training = mode
        for child in self.children():
            child.train(mode)
        return self

    def eval(self) -> Self:
        """The same as ``train(False)``."""
        return self.train(False)

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Set ``requires_grad`` of all parameters."""
        for parameter in self.parameters():
            parameter.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Drop the gradients of all parameters, or fill them with zeros."""
        for parameter in self.parameters():
            if parameter.grad is None:
                continue
            if set_to_none:
                parameter.grad = None
            else:
                if parameter.grad.grad_fn is not None:
                    parameter.grad.detach_()
                else:
                    parameter.grad.requires_grad_(False)
                parameter.grad.zero_()

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Replace the data of every parameter, gradient and buffer ``t`` by ``fn(t)``; parameters stay the same
        objects."""
        if recurse:
            for child in self.children():
                child._apply(fn)
        for name, parameter in self._parameters.items():
            if parameter is None:
                continue
            with bulssi.no_grad():
                grad = parameter.grad
                new = fn(parameter)
                new_grad = None if grad is None else fn(grad)
                if new.is_meta != parameter.is_meta:  # one without storage can not become the other
                    self._parameters[name] = Parameter(new, parameter.requires_grad)
                    self._parameters[name].grad = new_grad
                    continue
                parameter.data = new
                if grad is not None:
                    grad.data = new_grad
        for name, buffer in self._buffers.items():
            if buffer is not None:
                self._buffers[name] = fn(buffer)
        return self

    def _to_floating(self, dtype: Any) -> Self:
        return self._apply(lambda t: t.to(dtype) if t.is_floating_point() else t)

    def to(self, *args: Any, **kwargs: Any) -> Self:
        """Move and convert parameters and buffers: ``to(device)``, ``to(dtype)``, ``to(device, dtype)``,
        ``to(tensor)``.

        The dtype, floating point or complex, is applied to floating-point and complex tensors only. Works in place.
        """
        device, dtype, non_blocking, memory_format = _parse_to(args, kwargs)
        if dtype is not None and not (dtype.is_floating_point or dtype.is_complex):
            raise TypeError(
                f"nn.Module.to only accepts floating point or complex dtypes, but got desired dtype={dtype}"
            )
        if dtype is not None and dtype.is_complex:
            warnings.warn(
                "Complex modules are a new feature under active development whose design may change, and some modules "
                "might not work as expected when using complex tensors as parameters or buffers. ",
                stacklevel=2,
            )

        def convert(t: Tensor) -> Tensor:
            if t.is_meta and device is not None and device.type != "meta":
                raise NotImplementedError(
                    "Cannot copy out of meta tensor; no data! Please use torch.nn.Module.to_empty() instead of "
                    "torch.nn.Module.to() when moving module from meta to a different device."
                )
            wanted = dtype if t.is_floating_point() or t.is_complex() else None
            if memory_format is not None and t.dim() in (4, 5):
                return t.to(device, wanted, non_blocking, memory_format=memory_format)
            return t.to(device, wanted, non_blocking)

        return self._apply(convert)

    def type(self, dst_type: Any) -> Self:
        """Convert all parameters and buffers to ``dst_type``."""
        return self._apply(lambda t: t.type(dst_type))

    def float(self) -> Self:
        """Convert floating-point parameters and buffers to float32."""
        return self._to_floating(bulssi.float32)

    def double(self) -> Self:
        """Convert floating-point parameters and buffers to float64."""
        return self._to_floating(bulssi.float64)

    def half(self) -> Self:
        """Convert floating-point parameters and buffers to float16."""
        return self._to_floating(bulssi.float16)

    def bfloat16(self) -> Self:
        """Convert floating-point parameters and buffers to bfloat16."""
        return self._to_floating(bulssi.bfloat16)

    def cpu(self) -> Self:
        """Move parameters and buffers to the CPU."""
        return self._apply(lambda t: t.cpu())

    def cuda(self, device: Any = None) -> Self:
        """Move parameters and buffers to a CUDA device."""
        return self._apply(lambda t: t.cuda(device))

    def to_empty(self, *, device: Any, recurse: bool = True) -> Self:
        """Move to ``device`` without copying the values, which are undefined afterwards."""
        return self._apply(lambda t: bulssi.empty_like(t, device=device), recurse=recurse)

    def share_memory(self) -> Self:
        """Move parameters and buffers to shared memory."""
        return self._apply(lambda t: t.share_memory_())

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Check the arguments as ``bulssi.compile(self, ...)`` does. Nothing is compiled."""
        bulssi.compile(self, *args, **kwargs)

    # ---- pickling and printing ---------------------------------------------------------------------------------------

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        for name, empty in (_no_hooks() | {"_non_persistent_buffers_set": set()}).items():
            self.__dict__.setdefault(name, empty)  # not there in files of older versions

    def _get_name(self) -> str:
        return type(self).__name__

    def extra_repr(self) -> str:
        """The options that ``repr`` shows; a subclass defines it."""
        return ""

    def __repr__(self) -> str:
        extra = self.extra_repr()
        lines = extra.split("\n") if extra else []
        if len(lines) <= 1 and not self._modules:
            return f"{self._get_name()}({extra})"
        lines += [f"({name}): {_addindent(repr(child), 2)}" for name, child in self._modules.items()]
        return f"{self._get_name()}(\n  " + "\n  ".join(lines) + "\n)"


def _no_hooks() -> dict[str, Any]:
    """A module's registries of hooks, empty. OrderedDict, because handles refer to them weakly and ``prepend``
    reorders."""
    return {
        "_backward_pre_hooks": OrderedDict(),
        "_backward_hooks": OrderedDict(),
        "_is_full_backward_hook": None,
        "_forward_hooks": OrderedDict(),
        "_forward_hooks_with_kwargs": OrderedDict(),
        "_forward_hooks_always_called": OrderedDict(),
        "_forward_pre_hooks": OrderedDict(),
        "_forward_pre_hooks_with_kwargs": OrderedDict(),
        "_state_dict_hooks": OrderedDict(),
        "_state_dict_pre_hooks": OrderedDict(),
        "_load_state_dict_pre_hooks": OrderedDict(),
        "_load_state_dict_post_hooks": OrderedDict(),
    }
