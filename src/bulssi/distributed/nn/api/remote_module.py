"""`RemoteModule`: a module that another process has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

import bulssi
from bulssi.distributed import rpc
from bulssi.nn import Module

if TYPE_CHECKING:
    from bulssi.futures import Future

__all__ = ["RemoteModule"]


def _create(kind: type[Module], args: tuple[Any, ...], kwargs: dict[str, Any], device: str) -> Module:
    made = kind(*args, **kwargs)
    if not isinstance(made, Module):
        raise ValueError(
            "Expect `module_cls(*args, **kwargs)` returns an instance of <class nn.Module>, but it returns an instance "
            f"of {type(made)}."
        )
    return made.to(device)


def _forward(module: rpc.RRef[Module], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return module.local_value()(*args, **kwargs)


def _parameters(module: rpc.RRef[Module], recurse: bool) -> list[rpc.RRef[Any]]:
    return [rpc.RRef(p) for p in module.local_value().parameters(recurse)]


def _parsed(remote_device: str) -> tuple[Any, str]:
    """Who has the module, and on what device."""
    if not isinstance(remote_device, str):
        raise TypeError(f"remote_device has to be a text such as 'worker1/cpu', not {type(remote_device).__name__}")
    worker, slash, device = remote_device.partition("/")
    device = device if slash else "cpu"
    if not worker or not device or "/" in device:
        raise ValueError(f"Could not parse remote_device: {remote_device}. The valid format is '<workername>/<device>'")
    if bulssi.device(device).type != "cpu":
        raise ValueError(f"remote_device {remote_device!r}: tensors are on the CPU; write '{worker}/cpu'")
    rank = worker[len("rank:") :] if worker.startswith("rank:") else ""
    return (int(rank) if rank.isdigit() else worker), device


class RemoteModule(Module):
    """A module that is made in another process, and called there.

    Gradients flow through its calls inside ``distributed.autograd.context``.

    Args:
        remote_device: the process and the device: ``"worker1/cpu"``, ``"rank:1/cpu"`` or ``"worker1"``.
        module_cls: the class, which that process can import.
        args, kwargs: what it is made with.

    Raises:
        ValueError: the device cannot be read or is none of that process's.

    Example:
        >>> layer = RemoteModule("worker1/cpu", nn.Linear, args=(20, 30))  # doctest: +SKIP
        >>> layer(torch.randn(128, 20)).shape  # doctest: +SKIP
        torch.Size([128, 30])
    """

    def __init__(
        self,
        remote_device: str,
        module_cls: type[Module],
        args: tuple[Any, ...] | None = None,
        kwargs: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.on, self.device = _parsed(remote_device)
        self.is_scriptable = False
        self.module_rref = rpc.remote(self.on, _create, (module_cls, args or (), kwargs or {}, self.device))

    @staticmethod
    def init_from_module_rref(
        remote_device: str, module_rref: rpc.RRef[Module], _module_interface_cls: Any = None
    ) -> RemoteModule:
        """One whose module is in another process already."""
        made = RemoteModule.__new__(RemoteModule)
        Module.__init__(made)
        made.on, made.device = _parsed(remote_device)
        made.is_scriptable, made.module_rref = False, module_rref
        return made

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Call the module there, and wait for its result."""
        return rpc.rpc_sync(self.on, _forward, (self.module_rref, args, kwargs))

    def forward_async(self, *args: Any, **kwargs: Any) -> Future[Any]:
        """Call the module there; a future of its result."""
        return rpc.rpc_async(self.on, _forward, (self.module_rref, args, kwargs))

    def remote_parameters(self, recurse: bool = True) -> list[rpc.RRef[Any]]:
        """References to its parameters, for ``DistributedOptimizer``."""
        return rpc.rpc_sync(self.on, _parameters, (self.module_rref, recurse))

    def get_module_rref(self) -> rpc.RRef[Module]:
        """A reference to it."""
        return self.module_rref

    def extra_repr(self) -> str:
        return f"on={self.on!r}, device={self.device!r}"


def _refusing(name: str) -> Any:
    def refuse(self: RemoteModule, *args: Any, **kwargs: Any) -> NoReturn:
        raise ValueError(f"Method ``{name}`` not supported for RemoteModule")

    refuse.__name__ = name
    return refuse


# What would be done here, and the module is there.
for _name in (
    "register_buffer register_parameter add_module apply cuda cpu type float double half bfloat16 to "
    "register_backward_hook register_forward_pre_hook register_forward_hook state_dict load_state_dict parameters "
    "named_parameters buffers named_buffers children named_children modules named_modules train eval requires_grad_ "
    "zero_grad share_memory"
).split():
    setattr(RemoteModule, _name, _refusing(_name))
