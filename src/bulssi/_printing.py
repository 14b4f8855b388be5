"""The text of a tensor: what `repr(tensor)` and `print(tensor)` show, and the options that steer it.

The numbers are fetched with one `tolist()` (of the edge items only, when the tensor is summarised) and laid out here.
"""

from __future__ import annotations

import math
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bulssi import Tensor

__all__ = ["get_printoptions", "printoptions", "set_printoptions", "tensor_str"]


class _Options:
    __slots__ = ("precision", "threshold", "edgeitems", "linewidth", "sci_mode")

    def __init__(self) -> None:
        self.precision: int = 4
        self.threshold: float = 1000
        self.edgeitems: int = 3
        self.linewidth: int = 80
        self.sci_mode: bool | None = None


PRINT_OPTS = _Options()

_PROFILES: dict[str, dict[str, float]] = {
    "default": {"precision": 4, "threshold": 1000, "edgeitems": 3, "linewidth": 80},
    "short": {"precision": 2, "threshold": 1000, "edgeitems": 2, "linewidth": 80},
    "full": {"precision": 4, "threshold": math.inf, "edgeitems": 3, "linewidth": 80},
}


def set_printoptions(
    precision: int | None = None,
    threshold: float | None = None,
    edgeitems: int | None = None,
    linewidth: int | None = None,
    profile: str | None = None,
    sci_mode: bool | None = None,
) -> None:
    """Choose how tensors are printed, from now on and for all tensors.

    Args:
        precision: digits after the point (4 at start).
        threshold: a tensor with more elements is summarised (1000 at start).
        edgeitems: elements kept at both ends of each dimension of a summary (3 at start).
        linewidth: columns after which a row is broken (80 at start).
        profile: "default", "short" or "full" sets the four options above together; the others given override it.
        sci_mode: True or False forces scientific notation on or off; None lets the values decide. Unlike the other
            options, this one is set by every call.

    Raises:
        ValueError: an unknown profile, or an option of the wrong kind; nothing is changed then.

    Example:
        >>> set_printoptions(precision=2)
        >>> tensor([1.12345])
        tensor([1.12])
    """
    chosen: dict[str, Any] = {}
    if profile is not None:
        if profile not in _PROFILES:
            raise ValueError(f"set_printoptions: unknown profile {profile!r}, expected one of {', '.join(_PROFILES)}")
        chosen.update(_PROFILES[profile])
    given = {"precision": precision, "threshold": threshold, "edgeitems": edgeitems, "linewidth": linewidth}
    chosen.update({name: value for name, value in given.items() if value is not None})
    from numbers import Real  # also NumPy's numbers

    for name, value in chosen.items():
        if not isinstance(value, Real) or value < 0 or (name != "threshold" and float(value) % 1 != 0):
            raise ValueError(f"set_printoptions: {name} = {value!r}, expected a number >= 0")
    for name, value in chosen.items():
        setattr(PRINT_OPTS, name, value)
    PRINT_OPTS.sci_mode = sci_mode


def get_printoptions() -> dict[str, Any]:
    """The printing options now in force, as a dictionary that `set_printoptions(**options)` accepts."""
    return {name: getattr(PRINT_OPTS, name) for name in _Options.__slots__}


class printoptions:
    """Context manager: `set_printoptions(**options)` inside the block, the former options after it.

    Example:
        >>> with printoptions(precision=1):
        ...     print(tensor([0.123, 4.5]))
        tensor([0.1, 4.5])
    """

    def __init__(self, **options: Any) -> None:
        self._options = options
        self._former: list[dict[str, Any]] = []

    def __enter__(self) -> None:
        self._former.append(get_printoptions())
        set_printoptions(**self._options)

    def __exit__(self, *exc: object) -> None:
        set_printoptions(**self._former.pop())


def _flatten(data: Any, depth: int) -> Iterator[Any]:
    if depth == 0:
        yield data
    elif depth == 1:
        yield from data
    else:
        for part in data:
            yield from _flatten(part, depth - 1)


def _float_text(values: list[float]) -> tuple[Callable[[float], str], int]:
    """How to write each of `values`, and the width of the widest.

    Zeros and non-finite numbers have no say in the choice of notation or width. Whole numbers are written "1." and
    others with `precision` digits, both in scientific notation when the magnitudes are too far from one another.
    """
    telling = [v for v in values if v != 0 and math.isfinite(v)]
    whole = all(v == math.floor(v) for v in telling)
    scientific = False
    if telling:
        scientific = PRINT_OPTS.sci_mode
        if scientific is None:
            smallest, largest = min(map(abs, telling)), max(map(abs, telling))
            scientific = largest / smallest > 1000.0 or largest > 1.0e8 or smallest < 1.0e-4
    if scientific:
        spec = f".{PRINT_OPTS.precision}e"
    elif whole:
        spec = ".0f"
    else:
        spec = f".{PRINT_OPTS.precision}f"

    if whole and not scientific:

        def text(value: float) -> str:
            return format(value, spec) + "." if math.isfinite(value) else format(value, spec)
    else:

        def text(value: float) -> str:
            return format(value, spec)

    return text, max([1, *(len(text(v)) for v in telling)])


def _writer(data: Any, depth: int, dtype: Any) -> tuple[Callable[[Any], str], int]:
    """A function that writes one element right-justified, and the width that line breaking counts for it."""
    values = list(_flatten(data, depth))
    if dtype.is_complex:
        real, real_width = _float_text([v.real for v in values])
        imag, imag_width = _float_text([v.imag for v in values])

        def write_complex(value: complex) -> str:
            second = imag(value.imag) + "j"
            joiner = "" if second[0] in "+-" else "+"
            return real(value.real).rjust(real_width) + joiner + second

        return write_complex, real_width + imag_width + 1
    if dtype.is_floating_point:
        text, width = _float_text(values)
    else:
        text, width = str, max([1, *(len(str(v)) for v in values)])
    return (lambda value: text(value).rjust(width)), width


def _row(data: list[Any], gap: bool, indent: int, write: Callable[[Any], str], width: int) -> str:
    items = [write(value) for value in data]
    if gap:
        items.insert(len(items) // 2, " ...")
    per_line = max(1, (PRINT_OPTS.linewidth - indent) // (width + 2))
    lines = [", ".join(items[i : i + per_line]) for i in range(0, len(items), per_line)]
    return "[" + (",\n" + " " * (indent + 1)).join(lines) + "]"


def _block(data: Any, gaps: list[bool], indent: int, write: Callable[[Any], str], width: int) -> str:
    if not gaps:
        return write(data)
    if len(gaps) == 1:
        return _row(data, gaps[0], indent, write, width)
    parts = [_block(part, gaps[1:], indent + 1, write, width) for part in data]
    if gaps[0]:
        parts.insert(len(parts) // 2, "...")
    return "[" + ("," + "\n" * (len(gaps) - 1) + " " * (indent + 1)).join(parts) + "]"


def _contents(tensor: Tensor, indent: int) -> str:
    """The bracketed numbers; `indent` columns precede the first bracket."""
    from bulssi import cat

    if tensor.numel() == 0:
        return "[]"
    shape = tuple(tensor.shape)
    gaps = [False] * len(shape)
    edge = PRINT_OPTS.edgeitems
    if tensor.numel() > PRINT_OPTS.threshold:
        if edge == 0 and shape:
            return "[...]"
        for dim, size in enumerate(shape):
            if size > 2 * edge:
                gaps[dim] = True
                tensor = cat((tensor.narrow(dim, 0, edge), tensor.narrow(dim, size - edge, edge)), dim)
    data = tensor.tolist()
    write, width = _writer(data, len(shape), tensor.dtype)
    return _block(data, gaps, indent, write, width)


def _grad_text(tensor: Tensor) -> str | None:
    try:
        grad_fn = tensor.grad_fn
    except RuntimeError:  # a view that was made without recording and whose base was then changed in place
        return "grad_fn=<Invalid>"
    if grad_fn is not None:
        return f"grad_fn=<{grad_fn.name().rpartition('::')[2]}>"
    return "requires_grad=True" if tensor.requires_grad else None


def _suffixes(tensor: Tensor) -> Iterator[str]:
    from bulssi import get_default_dtype

    default, dtype = get_default_dtype(), tensor.dtype
    size = f"size={tuple(tensor.shape)}"
    if tensor.device.type != "cpu":
        yield f"device='{tensor.device}'"
    if tensor.device.type == "meta":
        yield size
        if dtype != default:
            yield f"dtype={dtype}"
    elif tensor.numel() == 0:
        if tensor.dim() != 1:
            yield size
        if dtype != default:
            yield f"dtype={dtype}"
    else:
        if not PRINT_OPTS.edgeitems:
            yield size
        # int64 and bool (and the complex type of the default precision) show in the numbers themselves.
        shows_itself = str(dtype) in ("torch.int64", "torch.bool") or (
            dtype.is_complex and str(dtype) == ("torch.complex128" if default.itemsize == 8 else "torch.complex64")
        )
        if dtype != default and not shows_itself:
            yield f"dtype={dtype}"
    grad = _grad_text(tensor)
    if grad is not None:
        yield grad


def _is_plain(kind: type) -> bool:
    """Tensor itself and nn.Parameter print as `tensor(...)`, other subclasses under their own name."""
    from bulssi import Tensor

    parameter = sys.modules.get("bulssi.nn.parameter")
    return kind is Tensor or (parameter is not None and kind is parameter.Parameter)


def tensor_str(tensor: Tensor) -> str:
    """The text of `tensor` as `repr` shows it: numbers, then what is not as by default (size, dtype, device, history).

    Example:
        >>> tensor_str(ones(2, dtype=float64))
        'tensor([1., 1.], dtype=torch.float64)'
    """
    from bulssi.autograd.grad_mode import no_grad

    kind = type(tensor)
    prefix = "tensor(" if _is_plain(kind) else f"{kind.__name__}("
    with no_grad():
        numbers = "..." if tensor.device.type == "meta" else _contents(tensor.detach(), len(prefix))
        pieces = [prefix + numbers]
        column = len(pieces[0]) - pieces[0].rfind("\n") + 1
        for suffix in _suffixes(tensor):
            if column + len(suffix) + 2 > PRINT_OPTS.linewidth:
                pieces.append(",\n" + " " * len(prefix) + suffix)
                column = len(prefix) + len(suffix)
            else:
                pieces.append(", " + suffix)
                column += len(suffix) + 2
    return "".join(pieces) + ")"
