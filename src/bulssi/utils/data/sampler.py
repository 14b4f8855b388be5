"""Samplers: the order in which a DataLoader visits a dataset."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import bulssi

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence, Sized

    from bulssi import Tensor

__all__ = [
    "BatchSampler",
    "RandomSampler",
    "Sampler",
    "SequentialSampler",
    "SubsetRandomSampler",
    "WeightedRandomSampler",
]

_T_co = TypeVar("_T_co", covariant=True)


class Sampler(Generic[_T_co]):
    """The base of samplers: a subclass gives `__iter__()` over indices or lists of them, and mostly `__len__()`."""

    def __init__(self, data_source: Any = None) -> None:
        pass

    def __iter__(self) -> Iterator[_T_co]:
        raise NotImplementedError


class SequentialSampler(Sampler[int]):
    """0, 1, ... len(data_source) - 1."""

    def __init__(self, data_source: Sized) -> None:
        self.data_source = data_source

    def __iter__(self) -> Iterator[int]:
        return iter(range(len(self.data_source)))

    def __len__(self) -> int:
        return len(self.data_source)


class RandomSampler(Sampler[int]):
    """A random order: a permutation, or draws with replacement.

    Args:
        replacement: draw each index independently.
        num_samples: how many; len(data_source) when None.
        generator: source of randomness; when None, one that is seeded from the default generator at each pass.
    """

    def __init__(
        self, data_source: Sized, replacement: bool = False, num_samples: int | None = None, generator: Any = None
    ) -> None:
        self.data_source = data_source
        self.replacement = replacement
        self._num_samples = num_samples
        self.generator = generator
        if not isinstance(self.replacement, bool):
            raise TypeError(f"replacement should be a boolean value, but got replacement={self.replacement}")
        if not isinstance(self.num_samples, int) or self.num_samples <= 0:
            raise ValueError(f"num_samples should be a positive integer value, but got num_samples={self.num_samples}")

    @property
    def num_samples(self) -> int:
        return len(self.data_source) if self._num_samples is None else self._num_samples

    def _new_generator(self) -> Any:
        if self.generator is not None:
            return self.generator
        seed = int(bulssi.empty((), dtype=bulssi.int64).random_().item())
        generator = bulssi.Generator()
        generator.manual_seed(seed)
        return generator

    def _chunks(self) -> Iterator[Tensor]:
        """The indices in pieces, each drawn when it is reached: the random numbers are PyTorch's, one by one."""
        n, count, generator = len(self.data_source), self.num_samples, self._new_generator()
        if self.replacement:
            for size in itertools.chain(itertools.repeat(32, count // 32), [count % 32]):
                yield bulssi.randint(high=n, size=(size,), dtype=bulssi.int64, generator=generator)
            return
        for _ in range(count // n):
            yield bulssi.randperm(n, generator=generator)
        # A generator of the user's is advanced by one more permutation, needed or not.
        if count % n or self.generator is not None:
            yield bulssi.randperm(n, generator=generator)[: count % n]

    def __iter__(self) -> Iterator[int]:
        for chunk in self._chunks():
            yield from chunk.tolist()

    def __len__(self) -> int:
        return self.num_samples


class SubsetRandomSampler(Sampler[int]):
    """The given indices in random order, each once."""

    def __init__(self, indices: Sequence[int], generator: Any = None) -> None:
        self.indices = indices
        self.generator = generator

    def __iter__(self) -> Iterator[int]:
        for i in bulssi.randperm(len(self.indices), generator=self.generator).tolist():
            yield self.indices[i]

    def __len__(self) -> int:
        return len(self.indices)


class WeightedRandomSampler(Sampler[int]):
    """Indices drawn with the given weights, which need not add up to 1.

    Args:
        weights: one number >= 0 per index.
        num_samples: how many to draw.
        replacement: draw independently; otherwise each index at most once.
        generator: source of randomness; the default one when None.
    """

    def __init__(
        self, weights: Sequence[float], num_samples: int, replacement: bool = True, generator: Any = None
    ) -> None:
        if not isinstance(num_samples, int) or isinstance(num_samples, bool) or num_samples <= 0:
            raise ValueError(f"num_samples should be a positive integer value, but got num_samples={num_samples}")
        if not isinstance(replacement, bool):
            raise ValueError(f"replacement should be a boolean value, but got replacement={replacement}")
        self.weights = bulssi.as_tensor(weights, dtype=bulssi.float64)
        if self.weights.dim() != 1:
            raise ValueError(
                f"weights should be a 1d sequence but given weights have shape {tuple(self.weights.shape)}"
            )
        self.num_samples = num_samples
        self.replacement = replacement
        self.generator = generator

    def __iter__(self) -> Iterator[int]:
        drawn = bulssi.multinomial(self.weights, self.num_samples, self.replacement, generator=self.generator)
        yield from drawn.tolist()

    def __len__(self) -> int:
        return self.num_samples


class BatchSampler(Sampler["list[int]"]):
    """Lists of `batch_size` indices of another sampler.

    Args:
        sampler: a sampler or any iterable of indices.
        drop_last: leave out a last list that is shorter.
    """

    def __init__(self, sampler: Sampler[int] | Iterable[int], batch_size: int, drop_last: bool) -> None:
        if not isinstance(batch_size, int) or isinstance(batch_size, bool) or batch_size <= 0:
            raise ValueError(f"batch_size should be a positive integer value, but got batch_size={batch_size}")
        if not isinstance(drop_last, bool):
            raise ValueError(f"drop_last should be a boolean value, but got drop_last={drop_last}")
        self.sampler = sampler
        self.batch_size = batch_size
        self.drop_last = drop_last

    def __iter__(self) -> Iterator[list[int]]:
        indices = iter(self.sampler)
        while batch := list(itertools.islice(indices, self.batch_size)):
            if self.drop_last and len(batch) < self.batch_size:
                return
            yield batch

    def __len__(self) -> int:
        count = len(self.sampler)  # pyright: ignore[reportArgumentType]
        return count // self.batch_size if self.drop_last else -(-count // self.batch_size)


def index_batches(batch_sampler: Any) -> Iterator[Any] | None:
    """The batches of iter(batch_sampler) as index tensors, where the samplers are this module's own; else None."""
    if type(batch_sampler) is not BatchSampler:
        return None
    sampler = batch_sampler.sampler
    if type(sampler) is RandomSampler and not sampler.replacement:
        return _cut(sampler._chunks, batch_sampler.batch_size, batch_sampler.drop_last)
    if type(sampler) is SequentialSampler:
        count = len(sampler)
        return _cut(lambda: iter([bulssi.arange(count)]), batch_sampler.batch_size, batch_sampler.drop_last)
    return None


def _cut(chunks: Any, size: int, drop_last: bool) -> Iterator[Tensor]:
    """Pieces of `size` of the chunks' concatenation; chunks are asked for only when needed."""
    rest = None
    for chunk in chunks():
        if rest is not None:
            chunk = bulssi.cat([rest, chunk])
            rest = None
        start, count = 0, chunk.numel()
        while start + size <= count:
            yield chunk[start : start + size]
            start += size
        if start < count:
            rest = chunk[start:]
    if rest is not None and not drop_last:
        yield rest
