"""Fetching: from the indices of a batch to the batch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import bulssi
from bulssi.utils.data._utils.collate import default_collate
from bulssi.utils.data.dataset import IterableDataset, Subset, TensorDataset

if TYPE_CHECKING:
    from collections.abc import Callable

    from bulssi import Tensor


class MapFetcher:
    """Asks a map-style dataset for the samples and joins them."""

    def __init__(self, dataset: Any, batched: bool, collate_fn: Callable[[Any], Any], drop_last: bool) -> None:
        self.dataset = dataset
        self.batched = batched
        self.collate_fn = collate_fn

    def fetch(self, index: Any) -> Any:
        dataset = self.dataset
        if not self.batched:
            data = dataset[index]
        elif callable(getattr(dataset, "__getitems__", None)):
            data = dataset.__getitems__(index)
        else:
            data = [dataset[i] for i in index]
        return self.collate_fn(data)


class IterableFetcher:
    """Takes as many samples from a stream as there are indices."""

    def __init__(self, dataset: Any, batched: bool, collate_fn: Callable[[Any], Any], drop_last: bool) -> None:
        self.samples = iter(dataset)
        self.batched = batched
        self.collate_fn = collate_fn
        self.drop_last = drop_last
        self.ended = False

    def fetch(self, index: Any) -> Any:
        if self.ended:
            raise StopIteration
        if not self.batched:
            return self.collate_fn(next(self.samples))
        data = []
        for _ in index:
            try:
                data.append(next(self.samples))
            except StopIteration:
                self.ended = True
                break
        if not data or (self.drop_last and len(data) < len(index)):
            raise StopIteration
        return self.collate_fn(data)


class TensorFetcher:
    """Takes whole batches from tensors in memory: what MapFetcher gives for a TensorDataset, row by row never."""

    def __init__(self, tensors: tuple[Tensor, ...], rows: Tensor | None) -> None:
        self.tensors = tensors
        self.rows = rows  # of a Subset: the rows of the tensors that its indices stand for

    def fetch(self, index: Any) -> list[Tensor]:
        """`index` is an index tensor within bounds, or a list of ints of the user's sampler."""
        if not isinstance(index, bulssi.Tensor):
            index = bulssi.tensor(index, dtype=bulssi.int64)
            if self.rows is not None:
                index = self.rows[index]
            return [tensor[index] for tensor in self.tensors]
        if self.rows is not None:
            index = self.rows.index_select(0, index)
        return [tensor.index_select(0, index) for tensor in self.tensors]


def in_memory(dataset: Any, collate_fn: Any) -> TensorFetcher | None:
    """A TensorFetcher when the dataset is tensors in memory (a TensorDataset, or a Subset of one), else None."""
    if collate_fn is not default_collate:
        return None
    rows: Any = None
    while type(dataset) is Subset:
        indices: Any = dataset.indices
        if isinstance(indices, bulssi.Tensor):
            own = indices if indices.dtype == bulssi.int64 and indices.dim() == 1 else None
        else:
            own = bulssi.tensor(indices, dtype=bulssi.int64) if all(type(i) is int for i in indices) else None
        if own is None:
            return None
        rows = own if rows is None else own[rows]
        dataset = dataset.dataset
    if not isinstance(dataset, TensorDataset) or not dataset.tensors:
        return None
    cls = type(dataset)
    if cls.__getitem__ is not TensorDataset.__getitem__ or hasattr(cls, "__getitems__"):
        return None
    if not all(type(tensor) is bulssi.Tensor and tensor.dim() > 0 for tensor in dataset.tensors):
        return None
    if rows is not None and rows.numel():
        low, high, count = int(rows.min()), int(rows.max()), len(dataset)
        if low < -count or high >= count:
            return None  # the rows' own errors say which
        if low < 0:
            rows = bulssi.where(rows < 0, rows + count, rows)
    return TensorFetcher(dataset.tensors, rows)


def make_fetcher(dataset: Any, batched: bool, collate_fn: Callable[[Any], Any], drop_last: bool) -> Any:
    kind = IterableFetcher if isinstance(dataset, IterableDataset) else MapFetcher
    return kind(dataset, batched, collate_fn, drop_last)
