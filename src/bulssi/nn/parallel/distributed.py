"""`DistributedDataParallel`: processes that train one model, each on its part of every batch."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import bulssi
from bulssi import distributed as dist
from bulssi.futures import Future
from bulssi.nn.modules.module import Module

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from bulssi import Tensor

__all__ = ["DistributedDataParallel", "GradBucket"]

_FIRST_BUCKET = 1 << 20  # bytes: small, so that processes begin to talk early in backward


class GradBucket:
    """Gradients that travel together, for the hook of :meth:`DistributedDataParallel.register_comm_hook`."""

    def __init__(self, index: int, parameters: list[Tensor], last: bool) -> None:
        self._index, self._parameters, self._last = index, parameters, last
        self._flat: Tensor | None = None
        self._missing = len(parameters)

    def index(self) -> int:
        """Its number; 0 is ready first."""
        return self._index

    def is_last(self) -> bool:
        """Whether it is the last that gets ready."""
        return self._last

    def buffer(self) -> Tensor:
        """The gradients one after the other."""
        if self._flat is None:
            raise RuntimeError("the bucket is not ready")
        return self._flat

    def set_buffer(self, tensor: Tensor) -> None:
        """Replace the gradients."""
        self._flat = tensor

    def parameters(self) -> list[Tensor]:
        """The parameters whose gradients these are."""
        return self._parameters

    def gradients(self) -> list[Tensor]:
        """The gradients, as views of :meth:`buffer`."""
        parts = self.buffer().split([p.numel() for p in self._parameters])
        return [part.view(p.shape) for part, p in zip(parts, self._parameters, strict=True)]


def _buckets(parameters: list[Tensor], limit: float) -> list[GradBucket]:
    """Parameters in the order in which their gradients get ready, about the reverse of their use."""
    groups: list[list[Tensor]] = []
    size = 0
    for p in reversed(parameters):
        room = min(limit, _FIRST_BUCKET) if len(groups) <= 1 else limit
        if not groups or size + p.nbytes > room or groups[-1][0].dtype != p.dtype:
            groups.append([])
            size = 0
        groups[-1].append(p)
        size += p.nbytes
    return [GradBucket(i, group, i == len(groups) - 1) for i, group in enumerate(groups)]


def tensors_in(value: Any) -> Iterator[Tensor]:
    """The tensors of a result, in lists, tuples and dicts too."""
    if isinstance(value, bulssi.Tensor):
        yield value
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from tensors_in(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from tensors_in(item)


class DistributedDataParallel(Module):
    """Holds ``module``, and makes the gradients of all processes their mean.

    All processes begin with the parameters and buffers of process 0. In backward, gradients travel in buckets, while
    the rest is still computed; when backward ends, every process has the mean, so that optimizers stay in step.

    Args:
        module: the module; its parameters are on the CPU.
        device_ids, output_device: must be None, as on any CPU.
        broadcast_buffers: before each forward, take the buffers of process 0.
        process_group: who takes part; all processes.
        bucket_cap_mb: the size of a bucket in MiB, 25.
        find_unused_parameters: look at each result for parameters that it does not depend on; without it, all have to
            get a gradient in every backward.
        static_graph: the same parameters are used in every iteration.

    Raises:
        ValueError: device ids are given.
        RuntimeError: no parameter needs a gradient, or processes have different models.

    Example:
        >>> distributed.init_process_group("gloo", init_method="tcp://127.0.0.1:0", rank=0, world_size=1)
        >>> model = nn.parallel.DistributedDataParallel(nn.Linear(2, 1))
        >>> model(ones(3, 2)).sum().backward()
        >>> distributed.destroy_process_group()
    """

    def __init__(
        self,
        module: Module,
        device_ids: Any = None,
        output_device: Any = None,
        dim: int = 0,
        broadcast_buffers: bool = True,
        init_sync: bool = True,
        process_group: Any = None,
        bucket_cap_mb: float | None = None,
        find_unused_parameters: bool = False,
        check_reduction: bool = False,
        gradient_as_bucket_view: bool = False,
        static_graph: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__()
        self.process_group = process_group if process_group is not None else dist.distributed_c10d._group()
        if device_ids not in (None, []) or output_device is not None:
            raise ValueError(
                "DistributedDataParallel device_ids and output_device arguments only work with single-device/"
                f"multiple-device GPU modules or CPU modules, but got device_ids {device_ids}, output_device "
                f"{output_device}, and module parameters on the CPU"
            )
        self._parameters_to_sync: list[Tensor] = [p for p in module.parameters() if p.requires_grad]
        if not self._parameters_to_sync:
            raise RuntimeError(
                "DistributedDataParallel is not needed when a module doesn't have any parameter that requires a "
                "gradient."
            )
        self.module = module
        self.device_ids, self.output_device, self.dim = None, None, dim
        self.broadcast_buffers, self.static_graph = broadcast_buffers, static_graph
        self.find_unused_parameters = find_unused_parameters or static_graph
        self.require_backward_grad_sync = True
        self._hook: tuple[Any, Callable[[Any, GradBucket], Future[Tensor]]] | None = None
        self._buckets = _buckets(self._parameters_to_sync, (bucket_cap_mb or 25) * (1 << 20))
        self._bucket_of = {id(p): bucket for bucket in self._buckets for p in bucket._parameters}
        self._started: list[tuple[GradBucket, Future[Any]]] = []
        self._ready: set[int] = set()
        self._expecting = False
        if init_sync:
            self._check_models()
            self._sync([*module.parameters(), *module.buffers()])
        for p in self._parameters_to_sync:
            p.register_post_accumulate_grad_hook(self._grad_is_there)

    # ---- the same model everywhere

    def _check_models(self) -> None:
        shapes = [tuple(p.shape) for p in self._parameters_to_sync]
        everybody: list[Any] = [None] * self.process_group.size()
        dist.all_gather_object(everybody, shapes, self.process_group)
        for rank, other in enumerate(everybody):
            if len(other) != len(everybody[0]):
                raise RuntimeError(
                    f"DDP expects same model across all ranks, but Rank 0 has {len(everybody[0])} params, while rank "
                    f"{rank} has inconsistent {len(other)} params."
                )
            for i, (a, b) in enumerate(zip(everybody[0], other, strict=True)):
                if a != b:
                    raise RuntimeError(
                        f"[{self.process_group.rank()}]: params[{i}] in this process with sizes {list(b)} appears not "
                        f"to match sizes of the same param in process 0.\n(rank {rank} has {list(b)}, rank 0 {list(a)})"
                    )

    def _sync(self, tensors: list[Tensor]) -> None:
        """Give all processes what process 0 has: tensors of one dtype travel together."""
        by_dtype: dict[Any, list[Tensor]] = {}
        for t in tensors:
            by_dtype.setdefault(t.dtype, []).append(t.detach())
        for group in by_dtype.values():
            flat = bulssi.cat([t.reshape(-1) for t in group])
            dist.broadcast(flat, group=self.process_group, group_src=0)
            for t, part in zip(group, flat.split([t.numel() for t in group]), strict=True):
                t.copy_(part.view(t.shape))

    # ---- forward

    def forward(self, *inputs: Any, **kwargs: Any) -> Any:
        syncing = bulssi.is_grad_enabled() and self.require_backward_grad_sync
        if syncing:
            self._begin()
        buffers = list(self.module.buffers())
        if syncing and self.broadcast_buffers and buffers and self.process_group.size() > 1:
            with bulssi.no_grad():
                self._sync(buffers)
        result = self.module(*inputs, **kwargs)
        if syncing and self.find_unused_parameters:
            for p in self._unused(result):
                self._arrived(p)
        return result

    def _begin(self) -> None:
        if self._expecting and self._ready and len(self._ready) < len(self._parameters_to_sync):
            missing = [i for i, p in enumerate(self._parameters_to_sync) if id(p) not in self._ready]
            names = {id(p): name for name, p in self.module.named_parameters()}
            raise RuntimeError(
                "Expected to have finished reduction in the prior iteration before starting a new one. This error "
                "indicates that your module has parameters that were not used in producing loss. You can enable unused "
                "parameter detection by passing the keyword argument `find_unused_parameters=True` to "
                "`torch.nn.parallel.DistributedDataParallel`, and by \nmaking sure all `forward` function outputs "
                f"participate in calculating loss.\nParameter indices which did not receive grad for rank "
                f"{self.process_group.rank()}: {' '.join(map(str, missing))} "
                f"({', '.join(names[id(self._parameters_to_sync[i])] for i in missing)})"
            )
        self._expecting = True
        self._ready.clear()
        self._started.clear()
        for bucket in self._buckets:
            bucket._missing = len(bucket._parameters)
            bucket._flat = None

    def _unused(self, result: Any) -> list[Tensor]:
        """Parameters that no tensor of the result depends on."""
        seen: set[Any] = set()
        used: set[int] = set()
        stack = []
        for t in tensors_in(result):
            if t.grad_fn is not None:
                stack.append(t.grad_fn)
            else:
                used.add(id(t))
        while stack:
            node = stack.pop()
            if node in seen:
                continue
            seen.add(node)
            leaf = getattr(node, "variable", None)
            if leaf is not None:
                used.add(id(leaf))
            stack.extend(before for before, _ in node.next_functions if before is not None)
        return [p for p in self._parameters_to_sync if id(p) not in used]

    # ---- backward

    def _grad_is_there(self, p: Tensor) -> None:
        if self.require_backward_grad_sync and self._expecting:
            self._arrived(p)

    def _arrived(self, p: Tensor) -> None:
        """A parameter has its gradient, or gets none: its bucket may be complete, and be the last."""
        if id(p) in self._ready:
            raise RuntimeError(
                "Expected to mark a variable ready only once. This error is caused by one of the following reasons: 1) "
                "Use of a module parameter outside the `forward` function. 2) Reused parameters in multiple reentrant "
                "backward passes.\nFor several backward passes before a step, use no_sync()."
            )
        self._ready.add(id(p))
        bucket = self._bucket_of[id(p)]
        bucket._missing -= 1
        # In the order of the buckets, which is the same everywhere.
        while len(self._started) < len(self._buckets) and self._buckets[len(self._started)]._missing == 0:
            self._start(self._buckets[len(self._started)])
        if len(self._started) == len(self._buckets):
            self._finish()

    def _start(self, bucket: GradBucket) -> None:
        with bulssi.no_grad():
            zeros = [bulssi.zeros_like(p) if p.grad is None else p.grad for p in bucket._parameters]
            bucket._flat = bulssi.cat([g.detach().reshape(-1) for g in zeros])
            if self._hook is not None:
                state, hook = self._hook
                self._started.append((bucket, hook(state, bucket)))
                return
            bucket._flat.div_(self.process_group.size())
            work = dist.all_reduce(bucket._flat, group=self.process_group, async_op=True)
        if work is None:
            raise RuntimeError("this process is not in the process group")
        self._started.append((bucket, work.get_future()))

    def _finish(self) -> None:
        """Wait for the sums, and put them into the gradients."""
        nowhere = self._unused_everywhere()
        with bulssi.no_grad():
            for bucket, future in self._started:
                result = future.wait()
                flat = result[0] if isinstance(result, (list, tuple)) else result
                bucket.set_buffer(flat)
                for p, g in zip(bucket._parameters, bucket.gradients(), strict=True):
                    if id(p) in nowhere:
                        continue
                    if p.grad is None:
                        p.grad = g.clone()
                    else:
                        p.grad.copy_(g)
        self._expecting = False
        self._started.clear()

    def _unused_everywhere(self) -> set[int]:
        """Parameters that got a gradient in no process: theirs stay as they are."""
        if not self.find_unused_parameters:
            return set()
        used = bulssi.tensor([float(p.grad is not None) for p in self._parameters_to_sync])
        dist.all_reduce(used, group=self.process_group)
        return {id(p) for p, n in zip(self._parameters_to_sync, used.tolist(), strict=True) if n == 0}

    @contextmanager
    def no_sync(self) -> Iterator[None]:
        """A block in which backward adds to this process's gradients only; the next backward outside sums them up."""
        before = self.require_backward_grad_sync
        self.require_backward_grad_sync = False
        try:
            yield
        finally:
            self.require_backward_grad_sync = before

    def register_comm_hook(self, state: Any, hook: Callable[[Any, GradBucket], Future[Tensor]]) -> None:
        """Have ``hook(state, bucket)`` do what all_reduce does: it returns a future of the mean of ``bucket.buffer()``.

        Raises:
            TypeError: it cannot be called.
        """
        if not callable(hook):
            raise TypeError("Communication hook must be callable.")
        self._hook = state, hook

    def parameters_to_sync(self) -> Iterable[Tensor]:
        """The parameters whose gradients travel."""
        return list(self._parameters_to_sync)
