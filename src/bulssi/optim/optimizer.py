"""The base of all optimizers: parameter groups, per-parameter state, hooks and state dicts."""

from __future__ import annotations

import functools
import warnings
from collections import OrderedDict, defaultdict
from copy import deepcopy
from itertools import chain
from typing import TYPE_CHECKING, Any, cast

import bulssi
from bulssi.optim import _extension, _fused
from bulssi.optim._extension import _default_to_fused_or_foreach as _default_to_fused_or_foreach
from bulssi.optim._extension import _disable_dynamo_if_unsupported as _disable_dynamo_if_unsupported
from bulssi.optim._extension import _dispatch_sqrt as _dispatch_sqrt
from bulssi.optim._extension import _get_capturable_supported_devices as _get_capturable_supported_devices
from bulssi.optim._extension import _get_value as _get_value
from bulssi.optim._extension import _stack_if_compiling as _stack_if_compiling
from bulssi.optim._extension import _use_grad_for_differentiable as _use_grad_for_differentiable
from bulssi.optim._extension import _view_as_real as _view_as_real
from bulssi.utils.hooks import RemovableHandle

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from bulssi import Tensor

    ParamsT = Iterable[Tensor] | Iterable[dict[str, Any]] | Iterable[tuple[str, Tensor]]
else:
    ParamsT = object

__all__ = ["Optimizer", "register_optimizer_step_post_hook", "register_optimizer_step_pre_hook"]

_global_pre_hooks: OrderedDict[int, Callable[..., Any]] = OrderedDict()
_global_post_hooks: OrderedDict[int, Callable[..., Any]] = OrderedDict()


class _Required:
    def __repr__(self) -> str:
        return "<required parameter>"


required = _Required()


def _typename(value: object) -> str:
    if isinstance(value, bulssi.Tensor):
        return value.type()
    kind = type(value)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _to_scalar(x: Any) -> Any:
    """A one-element tensor as a 0-d tensor; anything else as it is."""
    return x.squeeze() if isinstance(x, bulssi.Tensor) and x.dim() != 0 else x


def _scalar_dtype(fused: bool | None = None) -> Any:
    """dtype of step counters: float32 unless the default dtype is float64."""
    if fused or bulssi.get_default_dtype() != bulssi.float64:
        return bulssi.float32
    return bulssi.float64


def _check_lr(lr: Any) -> None:
    if isinstance(lr, bulssi.Tensor) and lr.numel() != 1:
        raise ValueError("Tensor lr must be 1-element")
    if not 0.0 <= lr:
        raise ValueError(f"Invalid learning rate: {lr}")


def _check_nonnegative(**values: Any) -> None:
    """Raises ValueError `Invalid <name>: <value>` value: <v>` for the first below zero or nan."""
    for name, value in values.items():
        if not 0.0 <= value:
            raise ValueError(f"Invalid {name} value: {value}")


def _check_betas(betas: Any) -> None:
    for i in (0, 1):
        if not 0.0 <= betas[i] < 1.0:
            raise ValueError(f"Invalid beta parameter at index {i}: {betas[i]}")


def _check_fused_param(p: Tensor) -> None:
    if not p.is_floating_point():
        raise RuntimeError(
            "`fused=True` requires all the params to be floating point Tensors of "
            f"supported devices: ['cpu', 'cuda'] but {p.dtype} and {p.device.type}"
        )


def register_optimizer_step_pre_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """Registers `hook(optimizer, args, kwargs) -> None | (args, kwargs)` to run before every optimizer's step().

    Returns a handle whose `remove()` takes the hook away.
    """
    return _add_hook(_global_pre_hooks, hook)


def register_optimizer_step_post_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """Registers `hook(optimizer, args, kwargs) -> None` to run after every optimizer's step().

    Returns a handle whose `remove()` takes the hook away.
    """
    return _add_hook(_global_post_hooks, hook)


def _add_hook(table: OrderedDict[int, Callable[..., Any]], hook: Callable[..., Any], prepend: bool = False):
    handle = RemovableHandle(table)
    table[handle.id] = hook
    if prepend:
        table.move_to_end(handle.id, last=False)
    return handle


class Optimizer:
    """What all optimizers share. A subclass gives its default options and a `step()`.

    Args:
        params: tensors to optimize, `(name, tensor)` pairs, or dicts, one per group, with the key "params" and the
            options of that group. The order must be the same from run to run (no sets).
        defaults: options for groups that do not give their own.

    `param_groups` is a list of dicts (options of each group, "params" among them); `state` maps a parameter to its dict
    of state. `state_dict()` is the same structure as PyTorch's, so checkpoints can be exchanged.

    >>> import bulssi as torch
    >>> w = torch.zeros(2, requires_grad=True)
    >>> opt = torch.optim.SGD([w], lr=0.1)
    >>> w.sum().backward()
    >>> opt.step(); opt.zero_grad()
    >>> w
    tensor([-0.1000, -0.1000], requires_grad=True)
    """

    _group_tensors_by_device_and_dtype = staticmethod(_extension._group_tensors_by_device_and_dtype)

    # The hook tables that every instance owns; they are not part of pickles or state dicts.

    _optimizer_step_pre_hooks: OrderedDict[int, Callable[..., Any]]
    _optimizer_step_post_hooks: OrderedDict[int, Callable[..., Any]]
    _optimizer_state_dict_pre_hooks: OrderedDict[int, Callable[..., Any]]
    _optimizer_state_dict_post_hooks: OrderedDict[int, Callable[..., Any]]
    _optimizer_load_state_dict_pre_hooks: OrderedDict[int, Callable[..., Any]]
    _optimizer_load_state_dict_post_hooks: OrderedDict[int, Callable[..., Any]]

    def __init__(self, params: ParamsT, defaults: dict[str, Any]) -> None:
        self.defaults = defaults
        self._make_ready()
        if isinstance(params, bulssi.Tensor):
            raise TypeError(
                "params argument given to the optimizer should be an iterable of Tensors or dicts, but got "
                f"{_typename(params)}; for a single tensor write [tensor]"
            )
        self.state: defaultdict[Any, Any] = defaultdict(dict)
        self.param_groups: list[dict[str, Any]] = []
        groups = list(params)
        if not groups:
            raise ValueError("optimizer got an empty parameter list")
        if not isinstance(groups[0], dict):
            groups = [{"params": groups}]
        for group in groups:
            self.add_param_group(cast(Any, group))

    def _make_ready(self) -> None:
        """Gives the instance its hook tables and its class's step() the calls of hooks."""
        for table in Optimizer.__annotations__:
            if table.endswith("_hooks"):
                self.__dict__.setdefault(table, OrderedDict())
        cls = type(self)
        if not getattr(cls.step, "hooked", False):
            step: Any = self.profile_hook_step(cls.step)
            step.hooked = True
            cls.step = step

    @staticmethod
    def profile_hook_step(func: Callable[..., Any]) -> Callable[..., Any]:
        """step() with the registered pre and post hooks around it."""

        @functools.wraps(func)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            self = args[0]
            pre, post = self._optimizer_step_pre_hooks, self._optimizer_step_post_hooks
            if not (pre or post or _global_pre_hooks or _global_post_hooks):
                return func(*args, **kwargs)
            for hook in chain(_global_pre_hooks.values(), pre.values()):
                result = hook(self, args, kwargs)
                if result is None:
                    continue
                if not (isinstance(result, tuple) and len(result) == 2):
                    raise RuntimeError(
                        f"{func} must return None or a tuple of (new_args, new_kwargs), but got {result}."
                    )
                args, kwargs = result
            out = func(*args, **kwargs)
            for hook in chain(post.values(), _global_post_hooks.values()):
                hook(self, args, kwargs)
            return out

        return wrapper

    def __getstate__(self) -> dict[str, Any]:
        return {"defaults": self.defaults, "state": self.state, "param_groups": self.param_groups}

    # Options that a state dict of an older version may lack, and the states kept as 0-d tensors.
    _setstate_defaults: dict[str, Any] = {}
    _scalar_states: tuple[str, ...] = ()

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._make_ready()
        self.defaults.setdefault("differentiable", False)
        for group in self.param_groups:
            for name, value in self._setstate_defaults.items():
                group.setdefault(name, value)
            dtype = _scalar_dtype(group.get("fused"))
            for p in group["params"] if self._scalar_states else ():
                own = self.state.get(p) or {}
                for name in self._scalar_states:
                    if name in own and not isinstance(own[name], bulssi.Tensor):
                        own[name] = bulssi.tensor(float(own[name]), dtype=dtype)

    def __repr__(self) -> str:
        lines = [type(self).__name__ + " ("]
        for i, group in enumerate(self.param_groups):
            lines.append(("\n" if i else "") + f"Parameter Group {i}")
            lines += [f"    {key}: {group[key]}" for key in sorted(group) if key != "params"]
        return "\n".join(lines) + "\n)"

    # ---- hooks

    def register_step_pre_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """`hook(optimizer, args, kwargs) -> None | (args, kwargs)` runs before step()."""
        return _add_hook(self._optimizer_step_pre_hooks, hook)

    def register_step_post_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """`hook(optimizer, args, kwargs) -> None` runs after step()."""
        return _add_hook(self._optimizer_step_post_hooks, hook)

    def register_state_dict_pre_hook(self, hook: Callable[..., Any], prepend: bool = False) -> RemovableHandle:
        """`hook(optimizer) -> None` runs before state_dict(); `prepend` puts it before the hooks there are."""
        return _add_hook(self._optimizer_state_dict_pre_hooks, hook, prepend)

    def register_state_dict_post_hook(self, hook: Callable[..., Any], prepend: bool = False) -> RemovableHandle:
        """`hook(optimizer, state_dict) -> None | state_dict` runs after state_dict() and may replace its result."""
        return _add_hook(self._optimizer_state_dict_post_hooks, hook, prepend)

    def register_load_state_dict_pre_hook(self, hook: Callable[..., Any], prepend: bool = False) -> RemovableHandle:
        """`hook(optimizer, state_dict) -> None | state_dict` runs before load_state_dict() on a shallow copy."""
        return _add_hook(self._optimizer_load_state_dict_pre_hooks, hook, prepend)

    def register_load_state_dict_post_hook(self, hook: Callable[..., Any], prepend: bool = False) -> RemovableHandle:
        """`hook(optimizer) -> None` runs after load_state_dict()."""
        return _add_hook(self._optimizer_load_state_dict_post_hooks, hook, prepend)

    # ---- state dicts

    def state_dict(self) -> dict[str, Any]:
        """The optimizer's state: {"state": {index: state of that parameter}, "param_groups": [options and indices]}.

        Parameters are numbered in the order of the groups. Tensors are not copied.
        """
        for hook in self._optimizer_state_dict_pre_hooks.values():
            hook(self)
        index: dict[int, int] = {}
        groups = []
        for group in self.param_groups:
            packed = {k: v for k, v in group.items() if k != "params"}
            for p in group["params"]:
                index.setdefault(id(p), len(index))
            packed["params"] = [index[id(p)] for p in group["params"]]
            groups.append(packed)
        state = {(index[id(k)] if isinstance(k, bulssi.Tensor) else k): v for k, v in self.state.items()}
        out: dict[str, Any] = {"state": state, "param_groups": groups}
        for hook in self._optimizer_state_dict_post_hooks.values():
            replaced = hook(self, out)
            out = out if replaced is None else replaced
        return out

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes over what `state_dict()` returned, here or in PyTorch.

        State tensors are cast to the dtype and device of their parameter (step counters keep their dtype).

        Raises:
            ValueError: the groups or their numbers of parameters differ. The optimizer is then as before.
        """
        state_dict = state_dict.copy()
        for hook in self._optimizer_load_state_dict_pre_hooks.values():
            replaced = hook(self, state_dict)
            state_dict = state_dict if replaced is None else replaced

        groups, saved = self.param_groups, deepcopy(state_dict["param_groups"])
        if len(groups) != len(saved):
            raise ValueError(
                "loaded state dict has a different number of parameter groups "
                f"(saved {len(saved)}, this optimizer has {len(groups)})"
            )
        for i, (group, new) in enumerate(zip(groups, saved, strict=True)):
            if len(group["params"]) != len(new["params"]):
                raise ValueError(
                    "loaded state dict contains a parameter group that doesn't match the size of optimizer's group "
                    f"(group {i}: saved {len(new['params'])} parameters, this optimizer has {len(group['params'])})"
                )
        param_of = {
            key: p
            for group, new in zip(groups, saved, strict=True)
            for key, p in zip(new["params"], group["params"], strict=True)
        }
        state: defaultdict[Any, Any] = defaultdict(dict)
        for key, value in state_dict["state"].items():
            if key in param_of:
                param = param_of[key]
                state[param] = self._cast_state(param, value, key, state_dict["param_groups"])
            else:
                state[key] = value
        for group, new in zip(groups, saved, strict=True):
            new["params"] = group["params"]
            if "param_names" in group:
                new.setdefault("param_names", group["param_names"])
        self.__setstate__({"state": state, "param_groups": saved})
        for hook in self._optimizer_load_state_dict_post_hooks.values():
            hook(self)

    def _cast_state(self, param: Tensor, value: Any, key: Any, groups: list[dict[str, Any]], name: Any = None) -> Any:
        """A saved state value with its tensors on the device and in the dtype of `param`; counters keep their dtype."""
        if isinstance(value, bulssi.Tensor):
            if name == "step" or name in self._scalar_states:
                group = next((g for g in groups if key in g["params"]), {})
                if group.get("capturable") or group.get("fused"):
                    return value.to(dtype=bulssi.float32, device=param.device)
                return value
            if param.is_floating_point():
                return value.to(dtype=param.dtype, device=param.device)
            return value.to(device=param.device)
        if isinstance(value, dict):
            return {k: self._cast_state(param, v, key, groups, k) for k, v in value.items()}
        if hasattr(value, "__iter__") and not isinstance(value, str):
            return type(value)(self._cast_state(param, v, key, groups) for v in value)
        return value

    # ---- steps

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forgets the gradients of all parameters: `.grad` becomes None, or is filled with zeros."""
        for group in self.param_groups:
            for p in group["params"]:
                if set_to_none:
                    p.grad = None
                elif (grad := p.grad) is not None:
                    if grad.grad_fn is not None:
                        grad.detach_()
                    else:
                        grad.requires_grad_(False)
                    grad.zero_()

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Updates the parameters from their gradients.

        Args:
            closure: clears the gradients, evaluates the model, calls backward and returns the loss. LBFGS needs it;
                the others take it and return its loss.
        """
        raise NotImplementedError

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Adds one more group of parameters, as a dict with "params" and options; defaults fill the rest."""
        if not isinstance(param_group, dict):
            raise TypeError(f"param_group must be a dict, but got {type(param_group)}")
        params = param_group["params"]
        if isinstance(params, bulssi.Tensor):
            params = [params]
        elif isinstance(params, set):
            raise TypeError(
                "optimizer parameters need to be organized in ordered collections, but "
                "the ordering of tensors in sets will change between runs. Please use a list instead."
            )
        params = list(params)
        names = [p[0] for p in params if isinstance(p, tuple)]
        params = [p[1] if isinstance(p, tuple) else p for p in params]
        param_group["params"] = params
        if names:
            if len(names) != len(params):
                raise ValueError("all optimizer params should be with/without names. Some param names are missing")
            param_group["param_names"] = names
        for p in params:
            self._check_param(p)
        for name, default in self.defaults.items():
            if default is required and name not in param_group:
                raise ValueError(f"parameter group didn't specify a value of required optimization parameter {name}")
            param_group.setdefault(name, default)
        if len(params) != len(set(params)):
            warnings.warn(
                "optimizer contains a parameter group with duplicate parameters; "
                "in future, this will cause an error; "
                "see github.com/pytorch/pytorch/issues/40967 for more information",
                stacklevel=3,
            )
        taken: set[Any] = set()
        for group in self.param_groups:
            taken.update(group["params"])
            if ("param_names" in param_group) != ("param_names" in group):
                with_or_without = "with names" if "param_names" in param_group else "without names"
                raise ValueError(
                    "all optimizer param groups should be with/without names. "
                    f"cannot add param group {with_or_without} to the optimizer"
                )
        if not taken.isdisjoint(params):
            raise ValueError("some parameters appear in more than one parameter group")
        self.param_groups.append(param_group)

    def _check_param(self, p: Any) -> None:
        if not isinstance(p, bulssi.Tensor):
            raise TypeError(f"optimizer can only optimize Tensors, but one of the params is {_typename(p)}")
        if not self.defaults.get("differentiable") and not (p.is_leaf or p.retains_grad):
            raise ValueError("can't optimize a non-leaf Tensor")


class ElementwiseOptimizer(Optimizer):
    """An optimizer that updates each element from that element's gradient and state alone.

    A subclass names its formula in `_fused` and says which state a parameter has; step() gathers each group's tensors
    and hands them over in one call.
    """

    _kind: str
    _scalar_states = ("step",)

    def _new_state(self, p: Tensor, group: dict[str, Any]) -> dict[str, Any]:
        """First state of a parameter, under PyTorch's keys."""
        raise NotImplementedError

    def _slots(self, group: dict[str, Any]) -> tuple[str | None, ...]:
        """The keys of the state in the order of the formula's arguments; None for one not in use."""
        raise NotImplementedError

    def _scalars(self, group: dict[str, Any]) -> dict[str, Any]:
        """The formula's keyword arguments."""
        raise NotImplementedError

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Updates all parameters that have a gradient; returns closure's loss when there is a closure."""
        before = bulssi.is_grad_enabled()
        bulssi.set_grad_enabled(self.defaults["differentiable"])
        try:
            loss = None
            if closure is not None:
                with bulssi.enable_grad():
                    loss = closure()
            for group in self.param_groups:
                self._step_group(group)
        finally:
            bulssi.set_grad_enabled(before)
        return loss

    def _step_group(self, group: dict[str, Any]) -> None:
        params, grads, states = [], [], []
        slots, all_state = self._slots(group), self.state
        for p in group["params"]:
            grad = p.grad
            if grad is None:
                continue
            state = all_state[p]
            if not state:
                if group.get("fused"):
                    _check_fused_param(p)
                state.update(self._new_state(p, group))
            params.append(p)
            grads.append(grad)
            states.append(tuple([None if key is None else state[key] for key in slots]))
        if params:
            options = group.get("capturable", False), group.get("foreach"), group.get("differentiable", False)
            if options[0] or options[2]:
                _fused.check_options(self._kind, *options)
            _fused.step(self._kind, params, grads, states, self._scalars(group))

    def _check_fused(self, fused: bool | None, foreach: bool | None, differentiable: bool) -> None:
        if fused and differentiable:
            raise RuntimeError("`fused` does not support `differentiable`")
        if fused and foreach:
            raise RuntimeError("`fused` and `foreach` cannot be `True` together.")


def _new_step(group: dict[str, Any]) -> Tensor:
    return bulssi.zeros((), dtype=_scalar_dtype(group.get("fused")))
