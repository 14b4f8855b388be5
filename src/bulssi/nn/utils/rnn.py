"""Batches of sequences of different lengths: padded, and packed step by step without the padding."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

import bulssi
from bulssi import Tensor

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

__all__ = [
    "PackedSequence",
    "invert_permutation",
    "pack_padded_sequence",
    "pack_sequence",
    "pad_packed_sequence",
    "pad_sequence",
    "unpack_sequence",
    "unpad_sequence",
]


class _PackedFields(NamedTuple):
    data: Tensor
    batch_sizes: Tensor
    sorted_indices: Tensor | None
    unsorted_indices: Tensor | None


_PackedFields.__name__ = "PackedSequence"


class PackedSequence(_PackedFields):
    """Sequences of different lengths, longest first, packed step by step; made by :func:`pack_padded_sequence`.

    Attributes:
        data: ``(total length, *)``: the first elements of all sequences, then the second ones, and so on.
        batch_sizes: how many sequences have an element at each step (int64, on the CPU).
        sorted_indices: which sequence of the original batch is at each place, None if they were sorted.
        unsorted_indices: the inverse.
    """

    def __new__(
        cls,
        data: Any,
        batch_sizes: Tensor | None = None,
        sorted_indices: Tensor | None = None,
        unsorted_indices: Tensor | None = None,
    ) -> PackedSequence:
        if unsorted_indices is None:
            unsorted_indices = invert_permutation(sorted_indices)
        if batch_sizes is None:
            if not (isinstance(data, (list, tuple)) and len(data) == 2):
                raise AssertionError("Expected data to be a list or tuple of length 2")
            pair: Any = data
            data, batch_sizes = pair
        elif batch_sizes.device.type != "cpu":
            raise ValueError("batch_sizes should always be on CPU. Make a PackedSequence by pack_padded_sequence.")
        return super().__new__(cls, data, batch_sizes, sorted_indices, unsorted_indices)  # pyright: ignore[reportArgumentType]

    def to(self, *args: Any, **kwargs: Any) -> PackedSequence:
        """The same with the data converted and all but the batch sizes moved, or itself if nothing changes."""
        data = self.data.to(*args, **kwargs)
        if data is self.data:
            return self
        indices = [None if i is None else i.to(data.device) for i in (self.sorted_indices, self.unsorted_indices)]
        return type(self)(data, self.batch_sizes, *indices)

    def cpu(self) -> PackedSequence:
        """On the CPU."""
        return self.to("cpu")

    def cuda(self, device: Any = "cuda") -> PackedSequence:
        """On a CUDA device."""
        return self.to(device)

    def pin_memory(self) -> PackedSequence:
        """With its tensors in pinned memory."""
        indices = [None if i is None else i.pin_memory() for i in (self.sorted_indices, self.unsorted_indices)]
        return type(self)(self.data.pin_memory(), self.batch_sizes, *indices)

    def double(self) -> PackedSequence:
        """With data in float64."""
        return self.to(bulssi.float64)

    def float(self) -> PackedSequence:
        """With data in float32."""
        return self.to(bulssi.float32)

    def half(self) -> PackedSequence:
        """With data in float16."""
        return self.to(bulssi.float16)

    def long(self) -> PackedSequence:
        """With data in int64."""
        return self.to(bulssi.int64)

    def int(self) -> PackedSequence:
        """With data in int32."""
        return self.to(bulssi.int32)

    def short(self) -> PackedSequence:
        """With data in int16."""
        return self.to(bulssi.int16)

    def char(self) -> PackedSequence:
        """With data in int8."""
        return self.to(bulssi.int8)

    def byte(self) -> PackedSequence:
        """With data in uint8."""
        return self.to(bulssi.uint8)

    @property
    def is_cuda(self) -> bool:
        """Whether the data is on a CUDA device."""
        return self.data.is_cuda

    def is_pinned(self) -> bool:
        """Whether the data is in pinned memory."""
        return self.data.is_pinned()


def invert_permutation(permutation: Tensor | None) -> Tensor | None:
    """The permutation that undoes ``permutation``."""
    if permutation is None:
        return None
    places = bulssi.arange(permutation.numel(), device=permutation.device)
    return bulssi.empty_like(permutation).scatter_(0, permutation, places)


def pack_padded_sequence(
    input: Tensor, lengths: Any, batch_first: bool = False, enforce_sorted: bool = True
) -> PackedSequence:
    """Pack a padded batch ``(T, N, *)`` (``(N, T, *)`` with ``batch_first``).

    With ``enforce_sorted`` the lengths have to be given in decreasing order; otherwise the batch is sorted here.
    """
    if isinstance(lengths, Tensor):
        lengths = lengths.to(bulssi.int64)
    else:
        lengths = bulssi.as_tensor(lengths, dtype=bulssi.int64)
    sorted_indices = None
    x = input.transpose(0, 1) if batch_first else input
    if not enforce_sorted:
        lengths, sorted_indices = lengths.sort(descending=True)
        sorted_indices = sorted_indices.to(input.device)
        x = x.index_select(1, sorted_indices)
    sizes = lengths.tolist()
    if len(sizes) != x.shape[1]:
        raise RuntimeError(
            f"Expected `len(lengths)` to be equal to batch_size, but got {len(sizes)} (batch_size={x.shape[1]})"
        )
    if min(sizes, default=0) <= 0:
        raise RuntimeError(
            "Length of all samples has to be greater than 0, but found an element in 'lengths' that is <= 0"
        )
    if sizes != sorted(sizes, reverse=True):
        raise RuntimeError(
            "`lengths` array must be sorted in decreasing order when `enforce_sorted` is True. You can pass "
            "`enforce_sorted=False` to pack_padded_sequence and/or pack_sequence to sidestep this requirement."
        )
    if sizes[0] > x.shape[0]:
        raise RuntimeError(
            f"lengths has a sequence of length {sizes[0]}, but the padded batch has only {x.shape[0]} steps"
        )
    steps = bulssi.arange(sizes[0]).unsqueeze(1) < lengths.cpu()
    batch_sizes = steps.sum(1)
    data = bulssi.cat([x[t, :n] for t, n in enumerate(batch_sizes.tolist())])
    return PackedSequence(data, batch_sizes, sorted_indices, None)


def pad_packed_sequence(
    sequence: PackedSequence, batch_first: bool = False, padding_value: float = 0.0, total_length: int | None = None
) -> tuple[Tensor, Tensor]:
    """The padded batch ``(T, N, *)`` (``(N, T, *)`` with ``batch_first``) and its lengths, in the original order."""
    longest = len(sequence.batch_sizes)
    if total_length is not None and total_length < longest:
        raise ValueError(
            "Expected total_length to be at least the length of the longest sequence in input, but got "
            f"total_length={total_length} and max sequence length being {longest}"
        )
    sizes = sequence.batch_sizes.tolist()
    batch = sizes[0]
    rows = []
    for part in sequence.data.split(sizes):
        missing = batch - len(part)
        rows.append(bulssi.cat([part, part.new_full((missing, *part.shape[1:]), padding_value)]) if missing else part)
    out = bulssi.stack(rows)
    if total_length is not None and total_length > longest:
        out = bulssi.cat([out, out.new_full((total_length - longest, *out.shape[1:]), padding_value)])
    lengths = (sequence.batch_sizes.unsqueeze(0) > bulssi.arange(batch).unsqueeze(1)).sum(1)
    if sequence.unsorted_indices is not None:
        out = out.index_select(1, sequence.unsorted_indices)
        lengths = lengths[sequence.unsorted_indices.cpu()]
    return (out.transpose(0, 1) if batch_first else out), lengths


def pad_sequence(
    sequences: Any, batch_first: bool = False, padding_value: float = 0.0, padding_side: str = "right"
) -> Tensor:
    """Sequences ``(L, *)`` as one batch ``(T, N, *)`` (``(N, T, *)`` with ``batch_first``), padded on one side."""
    if not isinstance(sequences, Iterable):
        raise RuntimeError(
            f"pad_sequence: Expected iterable for input sequences, but got arg of type: {type(sequences)}"
        )
    if padding_side not in ("left", "right"):
        raise RuntimeError(f"Expected padding_side to be one of left or right, but got {padding_side}.")
    sequences = tuple(sequences)
    if not sequences:
        raise RuntimeError("received an empty list of sequences")
    longest = max(len(s) for s in sequences)
    rows = []
    for s in sequences:
        missing = longest - len(s)
        if missing:
            fill = s.new_full((missing, *s.shape[1:]), padding_value)
            s = bulssi.cat([s, fill] if padding_side == "right" else [fill, s])
        rows.append(s)
    return bulssi.stack(rows, 0 if batch_first else 1)


def unpad_sequence(padded_sequences: Tensor, lengths: Tensor, batch_first: bool = False) -> list[Tensor]:
    """The sequences of a padded batch."""
    rows = padded_sequences if batch_first else padded_sequences.transpose(0, 1)
    return [row[:length] for row, length in zip(rows, lengths.tolist(), strict=True)]


def pack_sequence(sequences: Sequence[Tensor], enforce_sorted: bool = True) -> PackedSequence:
    """Pack sequences ``(L, *)``."""
    lengths = bulssi.as_tensor([len(s) for s in sequences])
    return pack_padded_sequence(pad_sequence(sequences), lengths, enforce_sorted=enforce_sorted)


def unpack_sequence(packed_sequences: PackedSequence) -> list[Tensor]:
    """The sequences of a packed batch, in the original order."""
    padded, lengths = pad_packed_sequence(packed_sequences, batch_first=True)
    return unpad_sequence(padded, lengths, batch_first=True)
