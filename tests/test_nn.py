"""The shared parts of backbones equal the plain formulae, outputs and gradients."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from deepchem_graphsam.nn.activations import mish
from deepchem_graphsam.nn.distances import topological_distances
from deepchem_graphsam.nn.gru import library_gru, molecule_gru
from deepchem_graphsam.nn.norms import ScaleNorm, StandardNorm
from deepchem_graphsam.nn.largest import largest_of
from deepchem_graphsam.nn.segments import segment_mean, take_rows
from deepchem_graphsam.nn.sequences import Sequences

SIZES = np.array([3, 1, 7, 7, 2, 5])


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    made = torch.randn(*shape, dtype=torch.float64, generator=generator)
    return made.requires_grad_()


def assert_equal(ours, plain, inputs) -> None:
    """Two ways of computing the same have equal values and gradients."""
    torch.testing.assert_close(ours, plain, rtol=1e-12, atol=1e-13)
    weight = torch.linspace(-1, 2, ours.numel(), dtype=ours.dtype).view_as(ours)
    one, other = (
        torch.autograd.grad((y * weight).sum(), inputs) for y in (ours, plain))
    for a, b in zip(one, other, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)


def test_mish():
    x = torch.cat([
        torch.linspace(-60, 60, 2001, dtype=torch.float64),
        torch.tensor([0.0], dtype=torch.float64)
    ]).requires_grad_()
    assert_equal(mish(x), F.mish(x), [x])
    far = mish(torch.tensor([-1e4, 1e4]))
    assert far.tolist() == [0.0, 1e4]


@pytest.mark.parametrize("scale", [1.0, 1e-5, 1e5])
@pytest.mark.parametrize("residual", [None, random(4, 6, seed=3)])
def test_standard_norm(scale, residual):
    norm, x = StandardNorm(6).double(), (random(4, 6) *
                                         scale).detach().requires_grad_()
    nn.init.normal_(norm.weight), nn.init.normal_(norm.bias)
    plain = norm.bias + norm.weight * (x - x.mean(-1, keepdim=True)) / (
        x.std(-1, keepdim=True) + 1e-6)
    inputs = [x, norm.weight, norm.bias]
    if residual is not None:
        plain, inputs = plain + residual, [*inputs, residual]
    assert_equal(norm(x, residual), plain, inputs)


@pytest.mark.parametrize("norm", [StandardNorm(6), ScaleNorm(6)])
def test_norm_of_a_constant_row_is_finite(norm):
    for row in (torch.zeros(1, 6), torch.ones(1, 6)):
        row.requires_grad_()
        norm(row).sum().backward()
        assert torch.isfinite(row.grad).all()


def test_gru_equals_torch_molecule_by_molecule():
    gru, plan = nn.GRU(6, 6, bidirectional=True).double(), Sequences.build(
        SIZES, torch.device("cpu"))
    x, initial = random(int(SIZES.sum()), 6), random(len(SIZES), 6, seed=1)
    ranked = initial[plan.order].expand(2, -1, -1)

    def alone() -> torch.Tensor:
        return torch.cat([
            gru(part[:, None],
                first.expand(2, 1, 6).contiguous())[0][:, 0] for part, first in
            zip(x.split(SIZES.tolist()), initial, strict=True)
        ])

    inputs = [x, initial, *gru.parameters()]
    assert_equal(molecule_gru(gru, x, initial, plan), alone(), inputs)
    assert_equal(library_gru(gru, x, ranked, plan), alone(), inputs)


def test_segments():
    x, n_atoms = random(int(SIZES.sum()), 4), torch.from_numpy(SIZES)
    index = torch.arange(len(SIZES)).repeat_interleave(n_atoms)
    parts = x.split(SIZES.tolist())
    assert_equal(segment_mean(x, index, n_atoms),
                 torch.stack([p.mean(0) for p in parts]), [x])
    assert_equal(largest_of(x, index, len(SIZES)),
                 torch.stack([p.amax(0) for p in parts]), [x])


def test_equal_rows_share_the_gradient_of_the_largest():
    """Whatever the sign of the gradient: `assert_equal` takes both."""
    few = random(5, 6)
    rows = torch.tensor([0, 1, 1, 2, 0, 3, 3, 3,
                         4])  # rows 1 and 3 several times
    group = torch.tensor([3, 1, 1, 3, 0, 0, 0, 0, 1])  # nothing in group 2
    expected = [few[rows[group == g]] for g in range(4)]
    assert_equal(
        largest_of(few[rows], group, 4),
        torch.stack([
            p.amax(0) if len(p) else torch.zeros_like(few[0]) for p in expected
        ]), [few])


def test_rows_taken_twice_add_up():
    x = random(3, 2)
    index, inverse = torch.tensor([2, 0, 1, 1, 0, 2]), torch.tensor([[1, 4],
                                                                     [2, 3],
                                                                     [0, 5]])
    assert_equal(take_rows(x, index, inverse), x[index], [x])


@pytest.mark.parametrize("chunk", [1, 1 << 18])
def test_distances_of_a_ring_and_a_chain(monkeypatch, chunk):
    monkeypatch.setattr("deepchem_graphsam.nn.distances._CHUNK", chunk)
    ring = torch.tensor([[i, (i + 1) % 6] for i in range(6)]).T
    chain = torch.tensor([[i, i + 1] for i in range(299)]).T + 6
    bonds = torch.cat([ring, ring.flip(0), chain, chain.flip(0)], 1)
    sizes = torch.tensor([6, 300])
    index = torch.arange(2).repeat_interleave(sizes)
    hops = topological_distances(bonds, index, sizes)
    assert hops[:6].tolist() == [0, 1, 2, 3, 2, 1]
    line = torch.arange(300)
    assert torch.equal(hops[36:].view(300, 300).long(),
                       (line[:, None] - line).abs())


@pytest.mark.parametrize("module", ["nn.gru", "backbones", "data.batch"])
def test_torch_and_numpy_suffice(module):
    """In a process of its own: neither DeepChem nor RDKit is imported."""
    code = (
        f"import sys, deepchem_graphsam.{module}; "
        "print([m for m in ('deepchem', 'rdkit', 'scipy', 'pandas') if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code],
                         capture_output=True,
                         text=True,
                         check=True)
    assert run.stdout.strip() == "[]"
