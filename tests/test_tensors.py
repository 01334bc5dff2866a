"""Arithmetic on lists of tensors: the compiled passes, torch's way, and a float64 oracle."""

import subprocess
import sys

import pytest
import torch

from deepchem_graphsam.optim import tensors

# none, one, odd ones, one chunk and a bit, several chunks
SIZES = [(0,), (), (7,), (3, 5), (128, 129), (300, 211)]


@pytest.fixture(params=["compiled", "torch"])
def way(request, monkeypatch):
    if request.param == "torch":
        monkeypatch.setattr(tensors, "_compiled", lambda: None)
    else:
        pytest.importorskip("numba")
    return request.param


def lists(n, dtype):
    generator = torch.Generator().manual_seed(0)
    return [[
        torch.randn(size, generator=generator, dtype=torch.float64).to(dtype)
        for size in SIZES
    ]
            for _ in range(n)]


def flat(parts):
    return torch.cat([part.double().flatten() for part in parts])


@pytest.mark.parametrize("dtype",
                         [torch.float32, torch.float64, torch.bfloat16])
def test_every_operation_equals_its_formula(way, dtype):
    close = {torch.float32: 1e-6, torch.float64: 1e-14, torch.bfloat16: 2e-2}
    x, y, room = lists(3, dtype)
    before, end = flat(x), flat(y)

    def same(found, expected):
        torch.testing.assert_close(
            flat([found]) if torch.is_tensor(found) else flat(found),
            expected.reshape(-1).double(),
            rtol=close[dtype],
            atol=close[dtype])

    same(tensors.global_norm(x), before.norm())
    tensors.move_(x, y, torch.tensor(0.3, dtype=torch.float64), room)
    assert torch.equal(flat(room), before)
    same(x, before + 0.3 * end)
    tensors.copy_(x, room)
    assert torch.equal(flat(x), before)
    norm = tensors.lerp_(x, y, torch.tensor(0.25))
    same(x, before + 0.25 * (end - before))
    same(norm, flat(x).norm())


def test_tensors_that_lie_elsewhere_in_memory_are_left_to_torch():
    """Not dense, of two dtypes, or none at all."""
    dense = torch.arange(12.0).view(3, 4)
    for parts in ([dense.t()], [dense, dense.double()], [dense.bfloat16()]):
        assert tensors.passes_for(parts) is None
        expected = sum(float((p.double()**2).sum()) for p in parts)**0.5
        assert float(tensors.global_norm(parts)) == pytest.approx(expected,
                                                                  rel=1e-3)
    room = [torch.empty(4, 3)]
    transposed = [dense.t().clone(memory_format=torch.preserve_format)]
    tensors.move_(transposed, [torch.ones(4, 3)], torch.tensor(1.0), room)
    assert torch.equal(transposed[0], dense.t() + 1)
    assert float(tensors.global_norm([])) == 0


def test_not_a_number_is_not_hidden(way):
    x = [torch.tensor([1.0, float("nan")]), torch.tensor([float("inf")])]
    assert tensors.global_norm(x).isnan()
    assert tensors.global_norm(x[1:]).isinf()
    tensors.move_(x, [torch.zeros(2), torch.zeros(1)], torch.tensor(1.0),
                  [torch.empty(2), torch.empty(1)])
    assert x[0][1].isnan() and x[1].isinf()


def test_without_numba_everything_works():
    code = ("import sys; sys.modules['numba'] = None\n"
            "import torch\n"
            "from deepchem_graphsam.optim import GraphSAM\n"
            "w = torch.nn.Parameter(torch.ones(3))\n"
            "o = GraphSAM(torch.optim.SGD([w], lr=0.1))\n"
            "def closure():\n"
            "    o.zero_grad(); loss = (w**2).sum(); loss.backward()\n"
            "    return loss\n"
            "for _ in range(3): o.step(closure)\n"
            "assert w.isfinite().all() and (w < 1).all()")
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_the_number_of_threads_changes_no_bit():
    """A run that goes on with fewer threads goes on the same."""
    passes = pytest.importorskip("deepchem_graphsam.optim.passes")
    generator = torch.Generator().manual_seed(0)
    x, y = ([torch.randn(777_777, generator=generator, dtype=torch.float64)]
            for _ in range(2))
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            average, moved = [x[0].clone()], [x[0].clone()]
            saved, copied = ([torch.empty_like(x[0])] for _ in range(2))
            passes.move_(moved, y, saved, 0.1)
            passes.copy_(copied, moved)
            found.append(
                (passes.sum_of_squares(x), passes.lerp_(average, y, 0.1),
                 torch.cat(average + saved + copied)))
    finally:
        torch.set_num_threads(before)
    torch.testing.assert_close(found[0][2][-777_777:], x[0] + 0.1 * y[0])
    for squares, average_squares, everything in found[1:]:
        assert (squares, average_squares) == found[0][:2]
        assert torch.equal(everything, found[0][2])
