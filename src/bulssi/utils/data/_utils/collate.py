"""Making batches of samples."""

from __future__ import annotations

import copy
import re
import sys
from collections.abc import Mapping, MutableMapping, MutableSequence, Sequence
from typing import TYPE_CHECKING, Any

import bulssi

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["collate", "default_collate", "default_collate_fn_map", "default_convert"]

default_collate_err_msg_format = (
    "default_collate: batch must contain tensors, numpy arrays, numbers, dicts or lists; found {}"
)
_NO_NUMBERS = re.compile(r"[SaUO]")  # kinds of NumPy arrays: bytes, text, objects


def _rebuilt(like: Any, make: Callable[[], dict[Any, Any] | list[Any]]) -> Any:
    """A container of the type of `like` with the new items, or a plain one where its type does not allow that."""
    items = make()
    try:
        if isinstance(like, MutableMapping):
            out = copy.copy(like)
            out.update(items)
            return out
        if isinstance(like, MutableSequence):
            out = copy.copy(like)
            for i, item in enumerate(items):
                out[i] = item
            return out
        return type(like)(items)  # pyright: ignore[reportCallIssue]
    except TypeError:
        return items


def default_convert(data: Any) -> Any:
    """NumPy arrays and scalars in `data`, however deep in containers, as tensors; everything else as it is."""
    numpy = sys.modules.get("numpy")
    if isinstance(data, bulssi.Tensor):
        return data
    if numpy is not None and isinstance(data, (numpy.ndarray, numpy.generic)):
        if isinstance(data, numpy.ndarray) and _NO_NUMBERS.search(data.dtype.str):
            return data
        return bulssi.as_tensor(data)
    if isinstance(data, Mapping):
        return _rebuilt(data, lambda: {key: default_convert(data[key]) for key in data})
    if isinstance(data, tuple):
        items = [default_convert(item) for item in data]
        return type(data)(*items) if hasattr(data, "_fields") else items
    if isinstance(data, Sequence) and not isinstance(data, (str, bytes)):
        return _rebuilt(data, lambda: [default_convert(item) for item in data])
    return data


def collate(batch: Any, *, collate_fn_map: dict[Any, Callable[..., Any]] | None = None) -> Any:
    """Makes one batch of a list of samples.

    Args:
        collate_fn_map: from the type (or tuple of types) of a sample's part to the function (parts, *, collate_fn_map)
            that joins such parts. Containers are taken apart.

    Raises:
        TypeError: there is no function for a part.
        RuntimeError: sequences of different lengths.
    """
    first = batch[0]
    kind = type(first)
    if collate_fn_map is not None:
        if kind in collate_fn_map:
            return collate_fn_map[kind](batch, collate_fn_map=collate_fn_map)
        for known, function in collate_fn_map.items():
            if isinstance(first, known):
                return function(batch, collate_fn_map=collate_fn_map)

    def joined(parts: Any) -> Any:
        return collate(parts, collate_fn_map=collate_fn_map)

    if isinstance(first, Mapping):
        return _rebuilt(first, lambda: {key: joined([sample[key] for sample in batch]) for key in first})
    if isinstance(first, tuple) and hasattr(first, "_fields"):
        return kind(*[joined(parts) for parts in zip(*batch, strict=False)])
    if isinstance(first, Sequence):
        if any(len(sample) != len(first) for sample in batch):
            raise RuntimeError("each element in list of batch should be of equal size")
        columns = list(zip(*batch, strict=True))
        if isinstance(first, tuple):
            return [joined(parts) for parts in columns]
        return _rebuilt(first, lambda: [joined(parts) for parts in columns])
    raise TypeError(default_collate_err_msg_format.format(kind))


def collate_tensor_fn(batch: Any, *, collate_fn_map: Any = None) -> Any:
    return bulssi.stack(list(batch), 0)


def collate_numpy_array_fn(batch: Any, *, collate_fn_map: Any = None) -> Any:
    if _NO_NUMBERS.search(batch[0].dtype.str):
        raise TypeError(default_collate_err_msg_format.format(batch[0].dtype))
    return collate([bulssi.as_tensor(array) for array in batch], collate_fn_map=collate_fn_map)


def collate_numpy_scalar_fn(batch: Any, *, collate_fn_map: Any = None) -> Any:
    import numpy

    return bulssi.as_tensor(numpy.asarray(batch))


def collate_float_fn(batch: Any, *, collate_fn_map: Any = None) -> Any:
    return bulssi.tensor(batch, dtype=bulssi.float64)


def collate_int_fn(batch: Any, *, collate_fn_map: Any = None) -> Any:
    return bulssi.tensor(batch)


def collate_str_fn(batch: Any, *, collate_fn_map: Any = None) -> Any:
    return batch


default_collate_fn_map: dict[Any, Callable[..., Any]] = {
    bulssi.Tensor: collate_tensor_fn,
    float: collate_float_fn,
    int: collate_int_fn,
    str: collate_str_fn,
    bytes: collate_str_fn,
}


def _know_numpy() -> None:
    """Adds NumPy's types once the program has imported it."""
    numpy = sys.modules.get("numpy")
    if numpy is not None and getattr(numpy, "ndarray", None) and numpy.ndarray not in default_collate_fn_map:
        # Before the rest: numpy.float64 is a float too.
        rest = dict(default_collate_fn_map)
        default_collate_fn_map.clear()
        default_collate_fn_map[bulssi.Tensor] = rest.pop(bulssi.Tensor, collate_tensor_fn)
        default_collate_fn_map[numpy.ndarray] = collate_numpy_array_fn
        default_collate_fn_map[(numpy.bool_, numpy.number, numpy.object_)] = collate_numpy_scalar_fn
        default_collate_fn_map.update(rest)


def default_collate(batch: Any) -> Any:
    """Makes one batch of a list of samples: tensors and arrays are stacked, numbers become a tensor, strings a list;
    tuples, lists and dicts are taken apart, and their parts joined.

    >>> import bulssi as torch
    >>> torch.utils.data.default_collate([(1, 2.5), (3, 4.5)])
    [tensor([1, 3]), tensor([2.5000, 4.5000], dtype=torch.float64)]
    """
    _know_numpy()
    return collate(batch, collate_fn_map=default_collate_fn_map)
