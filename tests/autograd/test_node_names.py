"""The names of nodes, which grad_fn shows: which of PyTorch's rules of one name it is depends on what was given."""

from __future__ import annotations

import pytest

import bulssi

torch = pytest.importorskip("torch")

CALLS = """
    x.fmod(2.0) x.fmod(o) x.fmod_(o) x.fmod(o[0]) x.remainder(2.0) x.remainder(o) x%2 x%o x.xlogy(2.0) x.xlogy(o)
    T.xlogy(2.0,x) x.copysign(2.0) x.copysign(o) T.rsub(x,2) T.rsub(x,o) x.pow(2) x.pow(o) T.pow(2.0,x) 2**x x**o
    x.clamp(o,o+1) x.clamp(0.2) x.clamp(max=0.6) x.clamp(0.2,0.6) x.clamp_min(0.1) x.clamp_min(o[0]) x.clamp_max(o)
    x.lerp(o,0.5) x.lerp(o,o) x.lerp(o,o[0]) x.masked_fill(x>0.4,1.0) x.masked_fill(x>0.4,o[0]) 2/x 2-x 2*x x/2
    x.index_fill(0,T.tensor([0]),1.0) x.index_fill(0,T.tensor([0]),o[0]) x.round(decimals=1) x.round() x.dist(o)
    T.rot90(x[None]) T.block_diag(x,x) T.renorm(x[None],2,0,1.0) T.mvlgamma(x+5,2) x.ldexp(o) T.special.entr(x)
    T.special.log_ndtr(x) x//2 x.floor_divide(o) x.heaviside(o) F.threshold(x,0.1,0.2) F.threshold(x,0.1,0.2,True)
    F.relu(x) F.relu6(x) F.hardtanh(x) F.leaky_relu(x,0.1,True) F.elu(x,1.0,True) F.celu(x) F.selu(x)
""".split()


@pytest.mark.parametrize("call", CALLS)
def test_as_in_torch(call: str) -> None:
    names = []
    for library in (torch, bulssi):
        x = library.tensor([0.5, 0.3, 0.7], requires_grad=True) * 1
        given = {"T": library, "F": library.nn.functional, "x": x, "o": library.tensor([2.0, 3.0, 4.0])}
        made = eval(call, given)
        names.append(
            (made.grad_fn.name(), [n.name() for n, _ in made.grad_fn.next_functions if n], made.flatten().tolist())
        )
    torchs, ours = names
    assert ours[:2] == torchs[:2]
    assert ours[2] == pytest.approx(torchs[2], rel=1e-6)


def test_a_number_divided_rounds_twice() -> None:
    values = [0.1 * k for k in range(1, 200)]
    assert (3.0 / bulssi.tensor(values)).tolist() == (3.0 / torch.tensor(values)).tolist()
    assert (7 / bulssi.arange(1, 50)).tolist() == (7 / torch.arange(1, 50)).tolist()
