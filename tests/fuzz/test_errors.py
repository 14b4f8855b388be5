"""A few of the programs of `fuzz_errors.py`, and that it notices what it looks for."""

from __future__ import annotations

import sys
import warnings
from collections import Counter
from pathlib import Path

import pytest

import bulssi

torch = pytest.importorskip("torch")
pytest.importorskip("torch.testing._internal.common_methods_invocations", exc_type=ImportError)

sys.path.insert(0, str(Path(__file__).parent))
import fuzz_errors  # noqa: E402

PROGRAMS = 500


def test_programs_fail_alike():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = fuzz_errors.fuzz(fuzz_errors.Work(bulssi, torch, seed=1, only=r"^(a|i|m|s)"), 0, PROGRAMS, workers=1)
    counts = Counter(how for _, _, how, _, _ in found)
    assert counts["crash"] == 0 and counts["state"] == 0, found
    # What is left are rare combinations, such as tensors of two devices; a broken rule would be seen in many calls.
    differing = [each for each in found if each[2] in ("only torch raises", "only we raise", "type")]
    assert len(differing) < PROGRAMS // 40, differing


class Wrong:
    """PyTorch whose `add` fails in another way, or not at all."""

    def __init__(self, add):
        self.add = add

    def __getattr__(self, name):
        return getattr(torch, name)


def fails_with(error):
    def add(*args, **kwargs):
        raise error

    return add


def changes_and_fails(a, b):
    a.fill_(7)
    return torch.add(a, b)


@pytest.mark.parametrize(
    ("add", "how"),
    [
        (torch.add, ""),
        (lambda *args: torch.zeros(2), "only torch raises"),
        (fails_with(KeyError("a")), "type"),
        (fails_with(RuntimeError("no")), "message"),
        (changes_and_fails, "state"),
    ],
)
def test_another_failure_is_noticed(add, how):
    lines = ["a = torch.ones(2)", "b = torch.ones(3)", "r = torch.add(a, b)"]
    assert fuzz_errors.compare(Wrong(add), torch, lines)[0] == how


@pytest.mark.parametrize(
    ("add", "how"), [(lambda *args: torch.zeros(2), "result"), (fails_with(OSError()), "only we raise")]
)
def test_another_result_is_noticed(add, how):
    lines = ["a = torch.ones(2)", "r = torch.add(a, 1)"]
    assert fuzz_errors.compare(Wrong(add), torch, lines)[0] == how


# One call of each cause that was mended, as the fuzzer found it.
REFUSED = """
x.add_()
x.add_(1, dims=2)
x.addcdiv_(x, x, ['a'], value=2)
x.flip((0, 1), object())
x.item(3)
x.requires_grad_(1)
x.stride(dims=1)
x.register_hook(self=1)
torch.block_diag(x, 'abc')
torch.cartesian_prod(x, torch.ones(2).int())
torch.unsqueeze_copy(x, 0, out=[1])
torch.squeeze_copy({}, 0)
torch.zero_()
torch.device('cpu', True)
torch.device(3)
torch.Generator(1.5)
torch.special.airy_ai(3)
torch.linalg.solve_triangular(q)
torch.linalg.slogdet(q.half())
torch.index_select(q, 1, torch.tensor([5]))
torch.gather(q, 0, torch.tensor([[0]], dtype=torch.int8))
q.scatter_add_(5, torch.tensor([[0]]), q)
x.uniform_(1j, 2)
torch.isin(x, True)
torch.combinations(x, 2, out=x)
torch.arange(3, device='cpu', out=torch.zeros(3, device='meta'))
torch.broadcast_shapes((2, 1.5), (3,))
torch.tensordot(q, q, 'abc')
torch.autograd.grad([True], x)
torch.nn.functional.elu(x.bool())
torch.nn.functional.softplus(x, out={})
torch.nn.functional.conv1d(1, x)
torch.nn.functional.batch_norm(q, None, None, training=1j)
torch.nn.functional.instance_norm(torch.ones(1, 2, 3), 0.5)
torch.nn.functional.kl_div(x, x, reduction='sum', log_target=2)
torch.nn.functional.huber_loss(x, x, delta={})
torch.nn.functional.cross_entropy(q, 1j)
torch.nn.functional.rms_norm(q, (3,))
torch.nn.functional.group_norm(q, -1)
torch.nn.functional.interpolate(torch.ones(1, 1, 4), size=(1.5,))
torch.nn.functional.interpolate(torch.ones(1, 1, 4), scale_factor=float('inf'))
torch.nn.functional.interpolate(torch.ones(4), scale_factor=2)
torch.nn.functional.unfold(torch.ones(1, 1, 4, 4), (-1, 2))
torch.nn.functional.fold(torch.ones(1, 4, 9), (4,), 2)
torch.nn.functional.avg_pool2d(torch.ones(1, 1, 4, 4), 2, 0)
torch.nn.functional.adaptive_avg_pool3d(torch.ones(1, 1, 4, 4, 4), (1, -2, 3))
torch.nn.functional.max_unpool1d(torch.ones(1, 1, 2), torch.ones(1, 1, 2).long(), 2, output_size=(7,))
torch.nn.functional.fractional_max_pool2d(torch.ones(1, 1, 4, 4), (4, 2), output_size=2)
torch.nn.functional.embedding_bag(torch.tensor([9]), q, torch.tensor([0]))
torch.nn.functional.cosine_similarity(x)
""".strip().splitlines()


@pytest.mark.parametrize("call", REFUSED)
def test_refused_in_pytorchs_words(call):
    lines = ["x = torch.ones(2)", "q = torch.ones(2, 2)", f"r = {call}"]
    theirs = fuzz_errors.Side(torch, lines)
    assert theirs.error
    assert fuzz_errors.compare(bulssi, torch, lines) == ("", "")


EMPTY = "linalg.eigh", "linalg.cholesky", "linalg.lu", "linalg.ldl_factor", "linalg.svd"


@pytest.mark.parametrize("name", EMPTY)
def test_factors_of_no_matrices_are_of_any_dtype(name):
    lines = [f"r = torch.{name}(torch.zeros(0, 2, 2, dtype=torch.float16))"]
    assert not fuzz_errors.Side(bulssi, lines).error
    assert fuzz_errors.compare(bulssi, torch, lines) == ("", "")


def test_programs_are_reproducible_and_right_calls_are_right():
    work = fuzz_errors.Work(torch, torch, seed=3, only="^(add|sum|gather)\\|")
    programs = [work.program(number) for number in range(60)]
    assert programs == [work.program(number) for number in range(60)]
    right = [lines for kind, lines in programs if kind == "nothing"]
    assert right
    for lines in right:
        assert not fuzz_errors.Side(torch, lines).error
    # (Of tensors on `meta` PyTorch may read what nobody has written.)
    decided = [lines for kind, lines in programs if kind not in ("device", "out")]
    assert all(fuzz_errors.compare(torch, torch, lines) == ("", "") for lines in decided)
