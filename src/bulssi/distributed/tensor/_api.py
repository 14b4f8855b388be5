"""Tensors of which each process of a mesh has a part: `DTensor`, and how to make them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import bulssi
from bulssi import Tensor
from bulssi.nn.parameter import Parameter

from .. import distributed_c10d as c10d
from ..device_mesh import DeviceMesh, _mesh_or_present
from ._convert import _Convert, convert, converted, gradient_of
from .placement_types import Placement, Replicate, Shard, local_shape

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["DTensor", "distribute_module", "distribute_tensor", "empty", "full", "ones", "rand", "randn", "zeros"]

Placements = tuple[Placement, ...]


def _normalized(placements: Sequence[Placement] | None, mesh: DeviceMesh, ndim: int, default: type) -> Placements:
    """One placement for each dimension of the mesh, with dimensions of the tensor counted from the front."""
    if placements is None:
        return tuple(default() for _ in range(mesh.ndim))
    found = tuple(placements)
    if len(found) != mesh.ndim:
        raise ValueError(
            "`placements` must have the same length as `device_mesh.ndim`! Found placements length: "
            f"{len(found)}, and device_mesh.ndim: {mesh.ndim}."
        )
    out = []
    for p in found:
        if not isinstance(p, Placement):
            raise TypeError(f"placements are Shard(dim), Replicate() or Partial(), not {p!r}")
        if isinstance(p, Shard) and not -ndim <= p.dim < ndim:
            raise AssertionError(f"Sharding dim {p.dim} greater than tensor ndim {ndim}")
        out.append(Shard(p.dim + ndim) if isinstance(p, Shard) and p.dim < 0 else p)
    return tuple(out)


def _contiguous_strides(shape: Sequence[int]) -> tuple[int, ...]:
    strides, step = [], 1
    for n in reversed(shape):
        strides.append(step)
        step *= max(n, 1)
    return tuple(reversed(strides))


def _wrap(
    local: Tensor,
    mesh: DeviceMesh,
    placements: Placements,
    shape: Sequence[int],
    stride: Sequence[int] | None = None,
    kind: type[DTensor] | None = None,
) -> Any:
    """The tensor of a shape of which this process has the part ``local``, whose gradients are the tensor's."""
    stride = _contiguous_strides(shape) if stride is None else stride
    meta = bulssi.empty_strided(tuple(shape), tuple(stride), dtype=local.dtype, device="meta")
    out = Tensor._make_subclass(kind or DTensor, meta, False)
    out._local_tensor, out.device_mesh, out.placements, out._meta = local, mesh, placements, meta
    return out


class DTensor(Tensor):
    """A tensor of which each process of a mesh has a part, according to its ``placements``.

    Operations take and give such tensors, as if each were one; they send what they need from process to process.
    Shapes are those of the whole. Every process does the same operations in the same order. See
    :func:`distribute_tensor` and :meth:`from_local` to make one, :meth:`to_local` and :meth:`full_tensor` to leave.

    Attributes:
        device_mesh: the processes.
        placements: for each dimension of the mesh ``Shard(dim)``, ``Replicate()`` or ``Partial()``.

    Example:
        >>> mesh = init_device_mesh("cpu", (2,))  # doctest: +SKIP
        >>> x = distribute_tensor(torch.ones(4, 3), mesh, [Shard(0)])  # doctest: +SKIP
        >>> x.sum().full_tensor()  # doctest: +SKIP
        tensor(12.)
    """

    _local_tensor: Tensor
    _meta: Tensor  # without elements, of the shape of the whole
    device_mesh: DeviceMesh
    placements: Placements

    @classmethod
    def __torch_function__(
        cls, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        from ._dispatch import run

        return run(func, args, kwargs or {})

    # ---- in and out

    @staticmethod
    def from_local(
        local_tensor: Tensor,
        device_mesh: DeviceMesh | None = None,
        placements: Sequence[Placement] | None = None,
        *,
        run_check: bool = False,
        shape: Any = None,
        stride: tuple[int, ...] | None = None,
        grad_placements: Sequence[Placement] | None = None,
    ) -> DTensor:
        """The tensor whose part in this process is ``local_tensor``. Differentiable.

        Args:
            placements: replicated along all dimensions of the mesh without it.
            run_check: take replicated parts from the first process.
            shape, stride: of the whole; without them parts are taken to be of one size.
            grad_placements: how the gradient of ``local_tensor`` is placed, if not as the tensor is.

        Raises:
            RuntimeError: ``local_tensor`` is one already.
        """
        if isinstance(local_tensor, DTensor):
            raise RuntimeError(
                f"the local_tensor argument only accepts torch.Tensor but got {type(local_tensor)} value."
            )
        mesh = _mesh_or_present(device_mesh)
        where = _normalized(placements, mesh, local_tensor.dim(), Replicate)
        if shape is None:
            whole = list(local_tensor.shape)
            for i, p in enumerate(where):
                if isinstance(p, Shard):
                    whole[p.dim] *= mesh.size(i)
            shape = tuple(whole)
        if grad_placements is None:
            local = local_tensor.view_as(local_tensor)
        else:
            leaves = _normalized(grad_placements, mesh, local_tensor.dim(), Replicate)
            local = _Convert.apply(local_tensor, mesh, tuple(shape), where, where, gradient_of(where), leaves)
        if run_check:
            for i, p in enumerate(where):
                if p.is_replicate():
                    c10d.broadcast(local.detach(), group=mesh.get_group(i), group_src=0)
        return _wrap(local, mesh, where, tuple(shape), stride)

    def to_local(self, *, grad_placements: Sequence[Placement] | None = None) -> Tensor:
        """This process's part. Differentiable.

        Args:
            grad_placements: how the gradients that arrive are placed, if not as the tensor is: ``Partial()`` where
                each process uses a replicated tensor for a part of the result only.
        """
        arrives = None
        if grad_placements is not None:
            arrives = _normalized(grad_placements, self.device_mesh, self.dim(), Replicate)
        return self._placed(self.placements, arrives).view_as(self._local_tensor)

    def full_tensor(self, *, grad_placements: Sequence[Placement] | None = None) -> Tensor:
        """All of it, in every process. Differentiable."""
        out = self.redistribute(placements=[Replicate()] * self.device_mesh.ndim)
        return out.to_local(grad_placements=grad_placements)

    def redistribute(
        self,
        device_mesh: DeviceMesh | None = None,
        placements: Sequence[Placement] | None = None,
        *,
        async_op: bool = False,
        forward_dtype: Any = None,
        backward_dtype: Any = None,
    ) -> DTensor:
        """The same tensor with other placements. Differentiable.

        Raises:
            RuntimeError: there are no placements, or parts would become a sum.
            NotImplementedError: another mesh is given.
        """
        if device_mesh is not None and device_mesh != self.device_mesh:
            raise NotImplementedError("Cross device mesh comm not supported yet!")
        if placements is None:
            raise RuntimeError("placements is needed for redistribute!")
        target = _normalized(placements, self.device_mesh, self.dim(), Replicate)
        for a, b in zip(self.placements, target, strict=True):
            if b.is_partial() and a != b:
                raise RuntimeError(
                    f"Can not redistribute from {a} to {b}, redistributing to Partial is for internal use only!"
                )
        source: Any = self if forward_dtype is None else self.to(forward_dtype)
        return source._moved(target)

    def _placed(self, target: Placements, arrives: Placements | None = None) -> Tensor:
        """This process's part if the tensor were placed as ``target``. See Note [Gradients of placed tensors]."""
        if arrives is None and target == self.placements:
            return self._local_tensor
        local = self._local_tensor
        if local.grad_fn is None or not bulssi.is_grad_enabled():
            return converted(local, self.device_mesh, self.shape, self.placements, target, arrives)
        # Uses of one tensor share what was made of it, and so the messages of its gradient.
        made = self.__dict__.setdefault("_made", {})
        key = target, arrives, local._version
        if key not in made:
            made[key] = converted(local, self.device_mesh, self.shape, self.placements, target, arrives)
        return made[key]

    def _moved(self, target: Placements) -> DTensor:
        return _wrap(self._placed(target), self.device_mesh, target, self.shape, self.stride())

    def __repr__(self, *, tensor_contents: Any = None) -> str:
        local = self._local_tensor.detach()
        shown = local.item() if local.dim() == 0 and not local.is_meta else local
        return f"DTensor(local_tensor={shown}, device_mesh={self.device_mesh}, placements={self.placements})"

    __str__ = __repr__

    # ---- what autograd knows about it is what it knows about the part

    @property
    def requires_grad(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self._local_tensor.requires_grad

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:  # pyright: ignore[reportIncompatibleVariableOverride]
        self._local_tensor.requires_grad = value

    def requires_grad_(self, requires_grad: bool = True) -> DTensor:
        self._local_tensor.requires_grad_(requires_grad)
        return self

    @property
    def grad(self) -> Any:  # pyright: ignore[reportIncompatibleVariableOverride]
        grad = self._local_tensor.grad
        if grad is None:
            self.__dict__.pop("_grad_shown", None)
            return None
        known = self.__dict__.get("_grad_shown")
        if known is None or known._local_tensor is not grad:
            where = gradient_of(self.placements)
            known = self._grad_shown = _wrap(grad, self.device_mesh, where, self.shape, self.stride())
        return known

    @grad.setter
    def grad(self, value: Any) -> None:
        if value is None:
            self._local_tensor.grad = None
            return
        if not isinstance(value, DTensor):
            raise RuntimeError(f"the gradient of a DTensor has to be one too, not {type(value)}")
        self._local_tensor.grad = value._placed(gradient_of(self.placements))

    @grad.deleter
    def grad(self) -> None:
        self._local_tensor.grad = None

    @property
    def grad_fn(self) -> Any:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self._local_tensor.grad_fn

    @property
    def is_leaf(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self._local_tensor.is_leaf

    @property
    def retains_grad(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self._local_tensor.retains_grad

    def retain_grad(self) -> None:
        self._local_tensor.retain_grad()

    @property
    def _version(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self._local_tensor._version

    def backward(
        self, gradient: Any = None, retain_graph: bool | None = None, create_graph: bool = False, inputs: Any = None
    ) -> None:
        """Gradients of this tensor, a number if no ``gradient`` is given, in all tensors it was computed from."""
        if gradient is None:
            if self.numel() != 1:
                raise RuntimeError(
                    f"grad can be implicitly created only for scalar outputs\nthe output is a DTensor of shape "
                    f"{tuple(self.shape)}: reduce it, or pass a gradient"
                )
            local = bulssi.ones_like(self._local_tensor)
        elif isinstance(gradient, DTensor):
            local = gradient._placed(gradient_of(self.placements))
        else:
            raise RuntimeError(f"the gradient of a DTensor has to be one too, not {type(gradient)}")
        if inputs is not None:
            inputs = [inputs] if isinstance(inputs, Tensor) else list(inputs)
            inputs = [t._local_tensor if isinstance(t, DTensor) else t for t in inputs]
        self._local_tensor.backward(local, retain_graph, create_graph, inputs)

    def _hook(self, hook: Callable[[Any], Any]) -> Callable[[Tensor], Any]:
        def call(grad: Tensor) -> Any:
            out = hook(_wrap(grad, self.device_mesh, gradient_of(self.placements), self.shape, self.stride()))
            return out._placed(gradient_of(self.placements)) if isinstance(out, DTensor) else out

        return call

    def register_hook(self, hook: Callable[[Any], Any]) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        return self._local_tensor.register_hook(self._hook(hook))

    def register_post_accumulate_grad_hook(self, hook: Callable[[Any], None]) -> Any:
        return self._local_tensor.register_post_accumulate_grad_hook(lambda _: hook(self))

    def detach(self) -> DTensor:
        return _wrap(self._local_tensor.detach(), self.device_mesh, self.placements, self.shape, self.stride())

    # ---- where it is

    @property
    def device(self) -> Any:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self._local_tensor.device

    @property
    def is_meta(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self._local_tensor.is_meta

    @property
    def is_cpu(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self._local_tensor.is_cpu

    @property
    def data(self) -> Any:  # pyright: ignore[reportIncompatibleVariableOverride]
        return _wrap(self._local_tensor.data, self.device_mesh, self.placements, self.shape, self.stride())

    @data.setter
    def data(self, value: Any) -> None:
        if not isinstance(value, DTensor) or value.placements != self.placements:
            raise RuntimeError(f"data of a DTensor placed as {self.placements} has to be one placed so, not {value!r}")
        self._local_tensor.data = value._local_tensor.data
        if value.dtype != self.dtype or value.shape != self.shape:
            self._meta = value._meta
            Tensor.data.__set__(self, value._meta)  # pyright: ignore[reportAttributeAccessIssue]

    # ---- numbers

    def item(self) -> Any:
        return self.full_tensor().item()

    def __bool__(self) -> bool:
        return bool(self.full_tensor())

    def __float__(self) -> float:
        return float(self.full_tensor())

    def __int__(self) -> int:
        return int(self.full_tensor())

    def __format__(self, spec: str) -> str:
        return format(self.full_tensor().detach(), spec) if self.dim() == 0 else repr(self)

    def tolist(self) -> Any:
        raise RuntimeError(".tolist() is not supported for tensor subclasses, got DTensor\nuse full_tensor().tolist()")

    def numpy(self, *, force: bool = False) -> Any:
        raise RuntimeError(".numpy() is not supported for tensor subclasses.\nuse full_tensor().numpy()")

    # ---- copies

    def _as_parameter(self, requires_grad: bool) -> Any:
        """For ``nn.Parameter``: the same part as one."""
        local = self._local_tensor.detach().requires_grad_(requires_grad)
        return _wrap(local, self.device_mesh, self.placements, self.shape, self.stride(), DTensorParameter)

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        from copy import deepcopy

        if id(self) not in memo:
            local = deepcopy(self._local_tensor, memo)
            memo[id(self)] = _wrap(local, self.device_mesh, self.placements, self.shape, self.stride(), type(self))
        return memo[id(self)]

    def __reduce_ex__(self, protocol: Any, /) -> tuple[Any, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        local = self._local_tensor.detach().requires_grad_(self.requires_grad)
        parts = local, self.device_mesh, self.placements, tuple(self.shape), self.stride(), type(self)
        return _wrap, parts


class DTensorParameter(DTensor, Parameter):  # pyright: ignore[reportIncompatibleVariableOverride]
    """A `DTensor` that is a parameter of a module: what ``nn.Parameter`` makes of one."""

    def __new__(cls, data: Any = None, requires_grad: bool = True) -> Any:
        return data._as_parameter(requires_grad)

    __repr__ = __str__ = DTensor.__repr__
    __deepcopy__ = DTensor.__deepcopy__
    __reduce_ex__ = DTensor.__reduce_ex__


# ---- making them -----------------------------------------------------------------------------------------------------


def distribute_tensor(
    tensor: Tensor,
    device_mesh: DeviceMesh | None = None,
    placements: Sequence[Placement] | None = None,
    *,
    src_data_rank: int | None = 0,
) -> DTensor:
    """A tensor that every process has, as one of which each has a part.

    Args:
        placements: replicated without it.
        src_data_rank: the process of the mesh whose values count; with None each takes its part of what it has
            itself, without a message.

    Raises:
        ValueError: placements are not as many as the dimensions of the mesh.
        RuntimeError: the tensor is no leaf.

    Example:
        >>> distribute_tensor(torch.ones(4), mesh, [Shard(0)]).to_local()  # doctest: +SKIP
        tensor([1., 1.])
    """
    mesh = _mesh_or_present(device_mesh)
    where = _normalized(placements, mesh, tensor.dim(), Replicate)
    if isinstance(tensor, DTensor):
        if tensor.device_mesh != mesh:
            raise ValueError(
                f"Cannot distribute a DTensor with device mesh {tensor.device_mesh} to a different device mesh {mesh}."
            )
        if tensor.placements != where:
            raise ValueError(
                f"Cannot distribute a DTensor with placements {tensor.placements} to a different placements {where}. "
                "do you want to call `redistribute` instead?"
            )
        return tensor
    if not tensor.is_leaf:
        raise RuntimeError("`distribute_tensor` should be used to distribute leaf tensors! but found non-leaf tensor!")
    local = tensor.detach()
    if src_data_rank is not None and not local.is_meta:
        local = _from_first(local, mesh)
    whole: Placements = (Replicate(),) * mesh.ndim
    if local.is_meta:
        part, _ = local_shape(local.shape, mesh.shape, mesh.get_coordinate() or (0,) * mesh.ndim, where)
        local = local.new_empty(part)
    else:
        local = convert(local, mesh, tensor.shape, whole, where)
    local = local.clone() if local._storage_ptr() == tensor._storage_ptr() else local
    out = _wrap(local.requires_grad_(tensor.requires_grad), mesh, where, tensor.shape)
    return out._as_parameter(tensor.requires_grad) if isinstance(tensor, Parameter) else out


def _from_first(local: Tensor, mesh: DeviceMesh) -> Tensor:
    """What the first process of the mesh has."""
    local = local.clone(memory_format=bulssi.contiguous_format)
    for i in range(mesh.ndim):
        if mesh.size(i) > 1:
            c10d.broadcast(local, group=mesh.get_group(i), group_src=0)
    return local


def distribute_module(
    module: Any,
    device_mesh: DeviceMesh | None = None,
    partition_fn: Callable[[str, Any, DeviceMesh], None] | None = None,
    input_fn: Callable[..., Any] | None = None,
    output_fn: Callable[..., Any] | None = None,
) -> Any:
    """Make all parameters and buffers of a module `DTensor`, in place.

    Args:
        partition_fn: ``(name, module, mesh)``, called for each module of the tree, replaces its parameters; those
            that it leaves are replicated.
        input_fn: ``(module, inputs, mesh)`` gives other inputs before each forward.
        output_fn: ``(module, outputs, mesh)`` gives other outputs behind it.
    """
    mesh = _mesh_or_present(device_mesh)
    for name, part in module.named_modules():
        if partition_fn is not None:
            partition_fn(name, part, mesh)
        for key, p in part._parameters.items():
            if p is not None and not isinstance(p, DTensor):
                part.register_parameter(key, Parameter(distribute_tensor(p.data, mesh), p.requires_grad))
        for key, b in part._buffers.items():
            if b is not None and not isinstance(b, DTensor):
                part._buffers[key] = distribute_tensor(b, mesh)
    if input_fn is not None:
        module.register_forward_pre_hook(lambda m, inputs: input_fn(m, inputs, mesh))
    if output_fn is not None:
        module.register_forward_hook(lambda m, inputs, outputs: output_fn(m, outputs, mesh))
    return module


def _make(
    make: Callable[..., Tensor],
    size: tuple[Any, ...],
    mesh: DeviceMesh | None,
    placements: Sequence[Placement] | None,
    requires_grad: bool,
    **options: Any,
) -> DTensor:
    shape = tuple(size[0]) if len(size) == 1 and isinstance(size[0], (tuple, list)) else tuple(size)
    mesh = _mesh_or_present(mesh)
    where = _normalized(placements, mesh, len(shape), Replicate)
    if any(p.is_partial() for p in where):
        raise ValueError(f"a new tensor cannot be a sum (placements {where})")
    place = mesh.get_coordinate()
    if place is None:
        raise RuntimeError(f"process {mesh.get_rank()} is not in {mesh}, and has no part of its tensors")
    local = make(local_shape(shape, mesh.shape, place, where)[0], **options)
    return _wrap(local.requires_grad_(requires_grad), mesh, where, shape)


def zeros(
    *size: Any, requires_grad: bool = False, dtype: Any = None, layout: Any = None,
    device_mesh: DeviceMesh | None = None, placements: Sequence[Placement] | None = None,
) -> DTensor:  # fmt: skip
    """A `DTensor` of zeros."""
    return _make(bulssi.zeros, size, device_mesh, placements, requires_grad, dtype=dtype)


def ones(
    *size: Any, requires_grad: bool = False, dtype: Any = None, layout: Any = None,
    device_mesh: DeviceMesh | None = None, placements: Sequence[Placement] | None = None,
) -> DTensor:  # fmt: skip
    """A `DTensor` of ones."""
    return _make(bulssi.ones, size, device_mesh, placements, requires_grad, dtype=dtype)


def empty(
    *size: Any, requires_grad: bool = False, dtype: Any = None, layout: Any = None,
    device_mesh: DeviceMesh | None = None, placements: Sequence[Placement] | None = None,
) -> DTensor:  # fmt: skip
    """A `DTensor` of undefined values."""
    return _make(bulssi.empty, size, device_mesh, placements, requires_grad, dtype=dtype)


def full(
    size: Any, fill_value: Any, *, requires_grad: bool = False, dtype: Any = None, layout: Any = None,
    device_mesh: DeviceMesh | None = None, placements: Sequence[Placement] | None = None,
) -> DTensor:  # fmt: skip
    """A `DTensor` of one value."""
    return _make(bulssi.full, (size,), device_mesh, placements, requires_grad, fill_value=fill_value, dtype=dtype)


def rand(
    *size: Any, requires_grad: bool = False, dtype: Any = None, layout: Any = None,
    device_mesh: DeviceMesh | None = None, placements: Sequence[Placement] | None = None,
) -> DTensor:  # fmt: skip
    """A `DTensor` of numbers from [0, 1): those that ``torch.rand`` draws in the first process."""
    made = _make(bulssi.empty, size, device_mesh, placements, False, dtype=dtype)
    return made.uniform_().requires_grad_(requires_grad)


def randn(
    *size: Any, requires_grad: bool = False, dtype: Any = None, layout: Any = None,
    device_mesh: DeviceMesh | None = None, placements: Sequence[Placement] | None = None,
) -> DTensor:  # fmt: skip
    """A `DTensor` of normal numbers: those that ``torch.randn`` draws in the first process."""
    made = _make(bulssi.empty, size, device_mesh, placements, False, dtype=dtype)
    return made.normal_().requires_grad_(requires_grad)
