"""The sampler of one of several processes that share a dataset."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import bulssi
from bulssi.utils.data.sampler import Sampler

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["DistributedSampler"]


def _distributed() -> Any:
    distributed = getattr(bulssi, "distributed", None)
    if distributed is None or not distributed.is_available():
        raise RuntimeError("Requires distributed package to be available; give num_replicas and rank")
    return distributed


class DistributedSampler(Sampler[int]):
    """Every num_replicas-th index, from `rank` on, of an order that all processes share.

    Args:
        dataset: with a length that does not change.
        num_replicas, rank: number of processes and which one this is; from bulssi.distributed when None.
        shuffle: a random order, of seed + epoch; call set_epoch() before each epoch for another one.
        drop_last: leave out the indices that do not divide evenly; otherwise some are given twice.
    """

    def __init__(
        self,
        dataset: Any,
        num_replicas: int | None = None,
        rank: int | None = None,
        shuffle: bool = True,
        seed: int = 0,
        drop_last: bool = False,
    ) -> None:
        num_replicas = int(_distributed().get_world_size()) if num_replicas is None else num_replicas
        rank = int(_distributed().get_rank()) if rank is None else rank
        if rank >= num_replicas or rank < 0:
            raise ValueError(f"Invalid rank {rank}, rank should be in the interval [0, {num_replicas - 1}]")
        self.dataset = dataset
        self.num_replicas = num_replicas
        self.rank = rank
        self.epoch = 0
        self.drop_last = drop_last
        count = len(dataset)
        self.num_samples = count // num_replicas if drop_last else math.ceil(count / num_replicas)
        self.total_size = self.num_samples * num_replicas
        self.shuffle = shuffle
        self.seed = seed

    def __iter__(self) -> Iterator[int]:
        count = len(self.dataset)
        if self.shuffle:
            generator = bulssi.Generator()
            generator.manual_seed(self.seed + self.epoch)
            indices = bulssi.randperm(count, generator=generator).tolist()
        else:
            indices = list(range(count))
        if not self.drop_last and count:
            indices *= -(-self.total_size // count)
        return iter(indices[: self.total_size][self.rank :: self.num_replicas])

    def __len__(self) -> int:
        return self.num_samples

    def set_epoch(self, epoch: int) -> None:
        """Sets the epoch, which changes the random order."""
        self.epoch = epoch
