"""For tests: `assert_close` with tolerances by dtype and messages that say where, and `make_tensor`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bulssi import _core

if TYPE_CHECKING:
    from collections.abc import Callable

    from bulssi import Tensor

    _Message = str | Callable[[str], str] | None

__all__ = ["assert_allclose", "assert_close", "make_tensor"]

# (rtol, atol) by the dtype's last name; integers and booleans are compared exactly.
_TOLERANCES = {
    "float16": (1e-3, 1e-5),
    "bfloat16": (1.6e-2, 1e-5),
    "float32": (1.3e-6, 1e-5),
    "float64": (1e-7, 1e-7),
    "complex32": (1e-3, 1e-5),
    "complex64": (1.3e-6, 1e-5),
    "complex128": (1e-7, 1e-7),
}
_NUMBER_DTYPES = {bool: "bool", int: "int64", float: "float64", complex: "complex128"}


class _Failed(Exception):
    """What is wrong, and where in nested containers; becomes the error that the user sees."""

    def __init__(self, kind: type[Exception], text: str, place: tuple[Any, ...]) -> None:
        super().__init__(text)
        self.kind, self.text, self.place = kind, text, place

    def error(self, msg: _Message) -> Exception:
        place = "".join(f"[{key!r}]" for key in self.place)
        text = self.text + (f"\n\nThe failure occurred for item {place}" if self.place else "")
        if callable(msg):
            text = msg(text)
        elif msg is not None:
            text = msg
        return self.kind(text)


class _Rules:
    """What to compare beside the values, and how closely."""

    def __init__(self, rtol: float | None, atol: float | None, equal_nan: bool, checks: dict[str, bool]) -> None:
        self.rtol, self.atol, self.equal_nan, self.checks = rtol, atol, equal_nan, checks

    def tolerances(self, *dtypes: str, place: tuple[Any, ...] = ()) -> tuple[float, float]:
        if (self.rtol is None) != (self.atol is None):
            missing = "rtol" if self.rtol is None else "atol"
            text = f"Both 'rtol' and 'atol' must be either specified or omitted, but got no {missing}."
            raise _Failed(ValueError, text, place)
        if self.rtol is not None and self.atol is not None:
            return self.rtol, self.atol
        pairs = [_TOLERANCES.get(dtype, (0.0, 0.0)) for dtype in dtypes]
        return max(rtol for rtol, _ in pairs), max(atol for _, atol in pairs)


def _dtype_name(tensor: Tensor) -> str:
    return str(tensor.dtype).rpartition(".")[2]


def _difference_text(
    subject: str, extra: str, differences: tuple[tuple[str, Any, Any, float], ...], equality: bool
) -> str:
    lines = [f"{subject} are not {'equal' if equality else 'close'}!", "", extra]
    for kind, value, place, allowed in differences:
        line = f"{kind.title()} difference: {value}"
        if place is not None:
            line = f"Greatest {kind} difference: {value} at index {place}"
        lines.append(line if equality else f"{line} (up to {allowed} allowed)")
    return "\n".join(lines)


def _compare_numbers(
    actual: Any, expected: Any, rules: _Rules, tolerances: tuple[float, float], place: tuple[Any, ...]
) -> None:
    from cmath import isfinite, isnan

    if rules.checks["dtype"] and type(actual) is not type(expected):
        raise _Failed(AssertionError, f"The (d)types do not match: {type(actual)} != {type(expected)}.", place)
    if actual == expected or (rules.equal_nan and isnan(actual) and isnan(expected)):
        return
    rtol, atol = tolerances
    absolute = abs(actual - expected)
    if isfinite(absolute) and absolute <= atol + rtol * abs(expected):
        return
    relative = float("inf") if expected == 0 else absolute / abs(expected)
    differences = (("absolute", absolute, None, atol), ("relative", relative, None, rtol))
    text = _difference_text("Scalars", f"Expected {expected} but got {actual}.", differences, rtol == 0 and atol == 0)
    raise _Failed(AssertionError, text, place)


def _index(flat: int, shape: tuple[int, ...]) -> tuple[int, ...]:
    index = []
    for size in reversed(shape):
        flat, position = divmod(flat, size)
        index.append(position)
    return tuple(reversed(index))


def _mismatch_text(actual: Tensor, expected: Tensor, matches: Tensor, rtol: float, atol: float) -> str:
    from bulssi import int64

    count = matches.numel()
    wrong = count - int(matches.sum())
    a, e, ok = actual.flatten(), expected.flatten(), matches.flatten()
    if not (a.dtype.is_floating_point or a.dtype.is_complex):
        a, e = a.to(int64), e.to(int64)
    absolute = (a - e).abs()
    absolute[ok] = 0
    relative = absolute / e.abs()
    relative[ok] = 0
    shape = tuple(matches.shape)
    differences = tuple(
        (kind, values.max().item(), _index(int(values.argmax()), shape), allowed)
        for kind, values, allowed in (("absolute", absolute, atol), ("relative", relative, rtol))
    )
    extra = f"Mismatched elements: {wrong} / {count} ({wrong / count:.1%})"
    return _difference_text("Tensor-likes", extra, differences, rtol == 0 and atol == 0)


def _compare_tensors(
    actual: Tensor, expected: Tensor, rules: _Rules, tolerances: tuple[float, float], place: tuple[Any, ...]
) -> None:
    from bulssi import isclose, promote_types

    rtol, atol = tolerances
    attributes: list[tuple[str, Any, Any]] = [("shape", actual.shape, expected.shape)]
    if rules.checks["stride"]:
        attributes.append(("stride()", actual.stride(), expected.stride()))
    if rules.checks["device"]:
        attributes.append(("device", actual.device, expected.device))
    if rules.checks["dtype"]:
        attributes.append(("dtype", actual.dtype, expected.dtype))
    for name, got, wanted in attributes:
        if got != wanted:
            raise _Failed(AssertionError, f"The values for attribute '{name}' do not match: {got} != {wanted}.", place)
    actual, expected = actual.detach().cpu(), expected.detach().cpu()
    if actual.dtype != expected.dtype:
        common = promote_types(actual.dtype, expected.dtype)
        actual, expected = actual.to(common), expected.to(common)
    matches = isclose(actual, expected, rtol=rtol, atol=atol, equal_nan=rules.equal_nan)
    if not bool(matches.all()):
        raise _Failed(AssertionError, _mismatch_text(actual, expected, matches, rtol, atol), place)


def _as_tensor(value: Any) -> Tensor | None:
    if isinstance(value, _core.Tensor):
        return value
    from bulssi import as_tensor

    try:
        return as_tensor(value)
    except (TypeError, ValueError, RuntimeError):
        return None


def _python_number(value: Any) -> Any:
    """NumPy's scalars as Python's; everything else as it is."""
    if type(value).__module__ == "numpy" and hasattr(value, "item") and not hasattr(value, "__len__"):
        return value.item()
    return value


def _compare_objects(actual: Any, expected: Any, rules: _Rules, tolerances: Any, place: tuple[Any, ...]) -> None:
    """None and booleans."""
    if actual is not expected:
        kind = "None" if actual is None or expected is None else "Booleans"
        raise _Failed(AssertionError, f"{kind} mismatch: {actual} is not {expected}", place)


def _mapping_keys(actual: Any, expected: Any, place: tuple[Any, ...]) -> list[Any]:
    missing, additional = set(expected) - set(actual), set(actual) - set(expected)
    if missing or additional:
        raise _Failed(
            AssertionError,
            "The keys of the mappings do not match:\n"
            f"Missing keys in the actual mapping: {sorted(missing)}\n"
            f"Additional keys in the actual mapping: {sorted(additional)}",
            place,
        )
    try:
        return sorted(actual)
    except TypeError:  # keys without an order
        return list(actual)


def _pairs(actual: Any, expected: Any, rules: _Rules, subclasses: bool, place: tuple[Any, ...]) -> list[Any]:
    """What to call, with which arguments, to compare all that is inside; errors if the structures differ."""
    sequences = isinstance(actual, Sequence) and isinstance(expected, Sequence)
    if sequences and not isinstance(actual, str) and not isinstance(expected, str):
        if len(actual) != len(expected):
            text = f"The length of the sequences mismatch: {len(actual)} != {len(expected)}"
            raise _Failed(AssertionError, text, place)
        keys: Any = range(len(actual))
    elif isinstance(actual, Mapping) and isinstance(expected, Mapping):
        keys = _mapping_keys(actual, expected, place)
    else:
        return [_pair(actual, expected, rules, subclasses, place)]
    found = []
    for key in keys:
        found += _pairs(actual[key], expected[key], rules, subclasses, (*place, key))
    return found


def _pair(actual: Any, expected: Any, rules: _Rules, subclasses: bool, place: tuple[Any, ...]) -> tuple[Any, ...]:
    if actual is None or expected is None:
        return _compare_objects, actual, expected, rules, (0.0, 0.0), place
    numbers = _python_number(actual), _python_number(expected)
    if isinstance(numbers[0], bool) and isinstance(numbers[1], bool):
        return _compare_objects, *numbers, rules, (0.0, 0.0), place
    if all(type(number) in _NUMBER_DTYPES for number in numbers):
        tolerances = rules.tolerances(*[_NUMBER_DTYPES[type(number)] for number in numbers], place=place)
        return _compare_numbers, *numbers, rules, tolerances, place
    related = isinstance(actual, type(expected)) or isinstance(expected, type(actual))
    if related and (subclasses or type(actual) is type(expected)):
        tensors = _as_tensor(actual), _as_tensor(expected)
        if tensors[0] is not None and tensors[1] is not None:
            tolerances = rules.tolerances(_dtype_name(tensors[0]), _dtype_name(tensors[1]), place=place)
            return _compare_tensors, *tensors, rules, tolerances, place
    text = f"No comparison pair was able to handle inputs of type {type(actual)} and {type(expected)}."
    raise _Failed(TypeError, text, place)


def assert_close(
    actual: Any,
    expected: Any,
    *,
    allow_subclasses: bool = True,
    rtol: float | None = None,
    atol: float | None = None,
    equal_nan: bool = False,
    check_device: bool = True,
    check_dtype: bool = True,
    check_layout: bool = True,
    check_stride: bool = False,
    msg: _Message = None,
) -> None:
    """Raise an AssertionError unless |actual - expected| <= atol + rtol |expected| everywhere.

    Args:
        actual, expected: tensors, things a tensor can be made of, numbers, None, or sequences and mappings of these.
        allow_subclasses: let a tensor be compared with one of a subclass.
        rtol, atol: tolerances, both or none; by default by dtype: float16 (1e-3, 1e-5), bfloat16 (1.6e-2, 1e-5),
            float32 (1.3e-6, 1e-5), float64 (1e-7, 1e-7), integers and booleans (0, 0); the larger of both sides.
        equal_nan: NaN equals NaN.
        check_device, check_dtype, check_stride: these must be equal, too.
        check_layout: accepted for compatibility (all tensors are strided here).
        msg: a text instead of the usual one, or a function from the usual one to it.

    Raises:
        AssertionError: with the number of wrong elements, the largest differences and their places.
        TypeError: things that cannot be compared.
        ValueError: only one of rtol and atol is given.

    Example:
        >>> assert_close(tensor([1.0, 2.0]), tensor([1.0, 2.5]))
        Traceback (most recent call last):
        AssertionError: Tensor-likes are not close!
    """
    checks = {"device": check_device, "dtype": check_dtype, "stride": check_stride}
    rules = _Rules(rtol, atol, equal_nan, checks)
    own_text: _Message = None  # `msg` is for values that differ, not for what cannot be compared
    try:
        pairs = _pairs(actual, expected, rules, allow_subclasses, ())
        own_text = msg
        for compare, *arguments in pairs:
            compare(*arguments)
    except _Failed as failed:
        error = failed.error(own_text)
    else:
        return
    raise error


def assert_allclose(
    actual: Any,
    expected: Any,
    rtol: float | None = None,
    atol: float | None = None,
    equal_nan: bool = True,
    msg: str = "",
) -> None:
    """The former `assert_close`: compares the numbers only, and anything that a tensor can be made of."""
    from bulssi import as_tensor

    a = actual if isinstance(actual, _core.Tensor) else as_tensor(actual)
    e = expected if isinstance(expected, _core.Tensor) else as_tensor(expected, dtype=a.dtype)
    if rtol is None and atol is None:
        rtol, atol = _Rules(None, None, True, {}).tolerances(_dtype_name(a), _dtype_name(e))
    assert_close(a, e, rtol=rtol, atol=atol, equal_nan=equal_nan, check_device=True, check_dtype=False, msg=msg or None)


def _range(
    dtype: Any, low: float | None, high: float | None, default: tuple[float, float], limits: tuple[float, float]
) -> tuple[float, float]:
    """The interval to draw from, within what the dtype can hold."""
    low = default[0] if low is None else low
    high = default[1] if high is None else high
    if low != low or high != high:
        raise ValueError(f"`low` and `high` cannot be NaN, but got {low=} and {high=}")
    if low == high and dtype.is_floating_point:
        import warnings

        warnings.warn(
            "Passing `low==high` to `torch.testing.make_tensor` for floating or complex types is deprecated since 2.1 "
            "and will be removed in 2.3. Use `torch.full(...)` instead.",
            FutureWarning,
            stacklevel=4,
        )
    elif low >= high:
        raise ValueError(f"`low` must be less than `high`, but got {low} >= {high}")
    elif high < limits[0] or low >= limits[1]:
        raise ValueError(
            f"The value interval specified by `low` and `high` is [{low}, {high}), but {dtype} only supports "
            f"[{limits[0]}, {limits[1]})"
        )
    return min(max(low, limits[0]), limits[1]), min(max(high, limits[0]), limits[1])


def make_tensor(
    *shape: Any,
    dtype: Any,
    device: Any,
    low: float | None = None,
    high: float | None = None,
    requires_grad: bool = False,
    noncontiguous: bool = False,
    exclude_zero: bool = False,
    memory_format: Any = None,
) -> Tensor:
    """A tensor of random numbers, uniform in [low, high).

    Args:
        shape: sizes, or one sequence of them.
        dtype, device: of the result.
        low, high: the interval; by default [0, 2) for bool, [0, 10) for uint8, [-9, 10) for other integers and [-9, 9)
            for floats. What the dtype cannot hold is cut off.
        requires_grad: for floats only.
        noncontiguous: take every second element of a memory twice as large.
        exclude_zero: replace zeros by 1 (integers) or by the smallest normal number.
        memory_format: of the result; not together with `noncontiguous`.

    Raises:
        ValueError: an empty interval, NaN, or contradicting options.

    Example:
        >>> make_tensor(2, 3, dtype=float32, device="cpu").shape
        torch.Size([2, 3])
    """
    from math import ceil, prod

    import bulssi

    sizes = tuple(shape[0]) if len(shape) == 1 and isinstance(shape[0], Sequence) else tuple(shape)
    real = dtype.is_floating_point
    if dtype.is_complex:
        raise TypeError(f"make_tensor: {dtype} is not supported")
    if noncontiguous and memory_format is not None:
        raise ValueError(
            "The parameters `noncontiguous` and `memory_format` are mutually exclusive, but got "
            f"{noncontiguous=} and {memory_format=}"
        )
    if requires_grad and not real:
        raise ValueError(f"`requires_grad=True` is not supported for boolean and integral dtypes, but got {dtype=}")
    spread = noncontiguous and prod(sizes) > 1
    if spread:
        sizes = (*sizes[:-1], 2 * sizes[-1])
    if real:
        info = bulssi.finfo(dtype)
        low, high = _range(dtype, low, high, (-9, 9), (info.min, info.max))
        result = bulssi.empty(sizes, dtype=dtype, device=device)
        if high - low >= info.max:  # the width itself would overflow
            result.uniform_(low / 2, high / 2).mul_(2)
        else:
            result.uniform_(low, high)
    else:
        if dtype == bulssi.bool:
            default, limits = (0, 2), (0, 2)
        else:
            info = bulssi.iinfo(dtype)
            # randint's bound is exclusive and an int64 itself, so that the largest int64 is never drawn.
            default, limits = (-9, 10), (info.min, info.max + (0 if dtype == bulssi.int64 else 1))
        low, high = _range(dtype, low, high, default, limits)
        result = bulssi.randint(ceil(low), ceil(high), sizes, dtype=dtype, device=device)
    if spread:
        result = result[..., 1::2]
    elif memory_format is not None:
        result = result.clone(memory_format=memory_format)
    if exclude_zero:
        result[result == 0] = bulssi.finfo(dtype).tiny if real else 1
    return result.requires_grad_(requires_grad) if real else result
