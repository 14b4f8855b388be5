"""Values carried between PyTorch, the oracle, and Bulssi."""

from __future__ import annotations

import math
import warnings
from typing import Any

import pytest

torch = pytest.importorskip("torch")

import bulssi  # noqa: E402


def dtype_of(dtype: Any, library: Any) -> Any:
    return getattr(library, str(dtype).rpartition(".")[2])


def _copy(value: Any, library: Any) -> Any:
    """A tensor of ``library`` with the values of a tensor of the other library."""
    data = value.detach()
    out = library.tensor(data.reshape(-1).tolist(), dtype=dtype_of(value.dtype, library)).reshape(tuple(value.shape))
    return out.requires_grad_() if value.requires_grad and value.is_leaf else out


def to_bulssi(value: Any) -> Any:
    """``value`` with torch's tensors, dtypes and modules in any structure replaced by Bulssi's."""
    if isinstance(value, torch.Tensor):
        return _copy(value, bulssi)
    if isinstance(value, torch.dtype):
        return dtype_of(value, bulssi)
    if isinstance(value, torch.device):
        return bulssi.device(str(value))
    if isinstance(value, torch.Size):
        return tuple(value)
    if isinstance(value, torch.nn.Module):
        return module_to_bulssi(value)
    if isinstance(value, (list, tuple)):
        return type(value)(to_bulssi(v) for v in value)
    if isinstance(value, dict):
        return {k: to_bulssi(v) for k, v in value.items()}
    name = getattr(value, "__name__", "")
    if name and getattr(torch.nn.functional, name, None) is value:
        return getattr(bulssi.nn.functional, name)
    return value


def module_to_bulssi(module: Any) -> Any:
    """A layer given to another layer's constructor (a transformer's layers), rebuilt."""
    kind = type(module).__name__
    if kind in ("TransformerEncoderLayer", "TransformerDecoderLayer"):
        out = getattr(bulssi.nn, kind)(
            module.self_attn.embed_dim,
            module.self_attn.num_heads,
            module.linear1.out_features,
            module.dropout.p,
            to_bulssi(module.activation),
            module.norm1.eps,
            module.self_attn.batch_first,
            module.norm_first,
            module.linear1.bias is not None,
        )
    elif kind == "LayerNorm":
        out = bulssi.nn.LayerNorm(tuple(module.normalized_shape), module.eps)
    else:
        raise NotImplementedError(kind)
    out.to(dtype_of(next(module.parameters()).dtype, bulssi))
    out.load_state_dict({k: to_bulssi(v) for k, v in module.state_dict().items()})
    return out


def to_torch(value: Any) -> Any:
    """``value`` with Bulssi's tensors in any structure replaced by torch's."""
    if isinstance(value, bulssi.Tensor):
        return _copy(value, torch)
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return tuple(to_torch(v) for v in value)
    if isinstance(value, (list, tuple)):
        return type(value)(to_torch(v) for v in value)
    return value


def flat(value: Any) -> list[Any]:
    """The tensors of a structure, in order."""
    if isinstance(value, (torch.Tensor, bulssi.Tensor)):
        return [value]
    if isinstance(value, dict):
        value = value.values()
    if isinstance(value, (list, tuple)) or hasattr(value, "__iter__") and not isinstance(value, str):
        return [t for v in value for t in flat(v)]
    return []


_TOLERANCE = {"float64": 1e-9, "float32": 3e-5, "float16": 5e-3, "bfloat16": 3e-2}


def assert_same(got: Any, expected: Any, what: str = "", factor: float = 1.0) -> None:
    """``got`` (Bulssi's) has the dtype, shape and values of ``expected`` (torch's)."""
    assert (got is None) == (expected is None), f"{what}: {got} for {expected}"
    if expected is None:
        return
    assert str(got.dtype).rpartition(".")[2] == str(expected.dtype).rpartition(".")[2], what
    assert tuple(got.shape) == tuple(expected.shape), (
        f"{what}: shape {tuple(got.shape)}, expected {tuple(expected.shape)}"
    )
    tolerance = _TOLERANCE.get(str(expected.dtype).rpartition(".")[2], 0) * factor
    ours = to_torch(got.detach()).double() if not expected.is_complex() else to_torch(got.detach())
    theirs = expected.detach().double() if not expected.is_complex() else expected.detach()
    scale = theirs[theirs.isfinite()].abs().max().item() if theirs.numel() and theirs.isfinite().any() else 0.0
    close = torch.allclose(ours, theirs, rtol=tolerance, atol=tolerance * max(1.0, math.sqrt(scale)), equal_nan=True)
    assert close, f"{what}:\n{ours}\nexpected\n{theirs}"


def seeded(seed: int) -> None:
    torch.manual_seed(seed)
    bulssi.manual_seed(seed)


def plain(value: Any) -> Any:
    """``value`` in a form that can be compared between the libraries."""
    if isinstance(value, (torch.Tensor, bulssi.Tensor)):
        return str(value.dtype).rpartition(".")[2], tuple(value.shape), value.detach().reshape(-1).tolist()
    if isinstance(value, (torch.dtype, bulssi.dtype)):
        return str(value).rpartition(".")[2]
    if isinstance(value, dict):
        return [(k, plain(v)) for k, v in value.items()]
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if isinstance(value, type):
        return value.__name__
    return value


def error(action: Any) -> Any:
    """The type and first line of the error that ``action`` raises."""
    try:
        action()
    except Exception as e:
        return type(e).__name__, str(e).split("\n")[0]
    return "no error"


def compare_runs(function: Any) -> None:
    """``function(library)`` returns the same list of results with either library; floats to 6 digits."""

    def run(library: Any) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return function(library)

    ours, theirs = run(bulssi), run(torch)
    assert len(ours) == len(theirs)
    for i, (a, b) in enumerate(zip(ours, theirs, strict=True)):
        assert same(a, b), f"result {i}:\n{a}\nexpected\n{b}"


def same(a: Any, b: Any) -> bool:
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, float) and isinstance(b, float):
        return a == b or abs(a - b) <= 1e-6 * max(1.0, abs(b)) or (a != a and b != b)
    return a == b
