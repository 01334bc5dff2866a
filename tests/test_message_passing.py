"""The message-passing backbones equal their papers, bond by bond, and others' code."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from rdkit import Chem
from test_backbone_contract import graphs
from torch import nn
from torch.nn import functional as F

from deepchem_graphsam.backbones import MoleculeNetwork
from deepchem_graphsam.backbones.cmpnn import BOOSTERS, CMPNN, KERNELS, CMPNNConfig
from deepchem_graphsam.backbones.dmpnn import DMPNN, DMPNNConfig, load_chemprop_state_dict
from deepchem_graphsam.backbones.gcn import GCN, GCNConfig
from deepchem_graphsam.backbones.mpnn import MPNN, MPNNConfig
from deepchem_graphsam.data.batch import MolBatch
from deepchem_graphsam.data.featurizers import ChempropFeaturizer
from deepchem_graphsam.nn.grouped import kinds_of
from deepchem_graphsam.nn.readouts import Set2Set

D_ATOM, D_BOND = 12, 5
WIDTHS = dict(d_atom=D_ATOM, d_bond=D_BOND, d_model=16)


@pytest.fixture
def batch() -> MolBatch:
    """Rings, chains, salts, lone atoms, a star and a large chain, in float64."""
    torch.manual_seed(0)
    return MolBatch.from_graphs(graphs(D_ATOM, D_BOND)).to(dtype=torch.float64)


def bonds_of(batch: MolBatch) -> list[tuple[int, int, int]]:
    """(source, target, reverse) of each directed bond."""
    return list(
        zip(*batch.bond_index.tolist(),
            batch.reverse_bond.tolist(),
            strict=True))


def close(ours: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(ours, expected, rtol=1e-12, atol=1e-12)


def same_gradients(module: nn.Module, ours: torch.Tensor,
                   expected: torch.Tensor) -> None:
    """Of a random function of either output."""
    weights = torch.randn_like(ours)
    parameters = list(module.parameters())
    one = torch.autograd.grad((ours * weights).sum(),
                              parameters,
                              allow_unused=True)
    other = torch.autograd.grad((expected * weights).sum(),
                                parameters,
                                allow_unused=True)
    for a, b in zip(one, other, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-10)


# --- one bond at a time -------------------------------------------------------------


def dmpnn_by_bond(net: DMPNN, batch: MolBatch) -> torch.Tensor:
    """Equations 1 to 5 of Yang et al.: a state for each directed bond."""
    act, bonds = net.activation, bonds_of(batch)
    undirected = net.config.messages == "undirected"
    x = [
        torch.cat([batch.atoms[v], e])
        for (v, _, _), e in zip(bonds, batch.bonds, strict=True)
    ]
    h_0 = [net.W_i.weight @ row for row in x]
    h = [act(row) for row in h_0]
    for _ in range(1, net.config.depth):
        if undirected:
            h = [(h[b] + h[r]) / 2 for b, (_, _, r) in enumerate(bonds)]
        new = []
        for b, (v, w, _) in enumerate(bonds):
            m = sum((h[k]
                     for k, (u, to, _) in enumerate(bonds)
                     if to == v and u != w), torch.zeros_like(h[0]))
            new.append(act(h_0[b] + net.W_h.weight @ m))
        h = new
    return torch.stack([
        act(net.W_o.weight @ torch.cat([
            batch.atoms[v],
            sum((h[k] for k, (_, to, _) in enumerate(bonds) if to == v
                ), torch.zeros(net.config.d_model, dtype=torch.float64))
        ]) + net.W_o.bias) for v in range(len(batch.atoms))
    ])


@pytest.mark.parametrize("messages", ["directed", "undirected"])
@pytest.mark.parametrize("activation", ["relu", "tanh"])
@pytest.mark.parametrize("depth", [1, 3, 4])
def test_dmpnn_bond_by_bond(batch, messages, activation, depth):
    config = DMPNNConfig(**WIDTHS,
                         messages=messages,
                         activation=activation,
                         depth=depth)
    net = DMPNN(config).double()
    small = batch.select([0, 1, 2, 3, 4, 5])
    ours, expected = net.encode(small), dmpnn_by_bond(net, small)
    close(ours, expected)
    same_gradients(net, ours, expected)


def cmpnn_by_bond(net: CMPNN, batch: MolBatch) -> torch.Tensor:
    """As the release computes it, atom by atom and bond by bond."""
    act, bonds, config = net.activation, bonds_of(batch), net.config
    zero = torch.zeros(config.d_model, dtype=torch.float64)

    def boosted(h, v):
        mine = [h[k] for k, (_, to, _) in enumerate(bonds) if to == v]
        if not mine:
            return zero
        mine = torch.stack(mine)
        return {
            "sum-max": mine.sum(0) * mine.max(0).values,
            "sum": mine.sum(0),
            "mean": mine.mean(0),
            "max": mine.max(0).values,
        }[config.booster]

    def heard(layer, h, m):
        if config.kernel == "gru":
            return layer.cell(m[None], h[None])[0]
        if config.kernel == "mlp":
            return act(layer.linear.weight @ torch.cat([h, m]))
        return h + m if config.kernel == "add" else h * m

    atom_0 = atom = [act(net.W_atom.weight @ x) for x in batch.atoms]
    bond_0 = bond = [
        act(net.W_bond.weight @ torch.cat([batch.atoms[v], e]))
        for (v, _, _), e in zip(bonds, batch.bonds, strict=True)
    ]
    for layer, communicate in zip(net.W_h, net.communicate, strict=True):
        atom = [
            heard(communicate, h, boosted(bond, v)) for v, h in enumerate(atom)
        ]
        bond = [
            act(bond_0[b] + layer.weight @ (atom[v] - bond[r]))
            for b, (v, _, r) in enumerate(bonds)
        ]
    return torch.stack([
        net.W_last.weight @ torch.cat([boosted(bond, v), atom[v], atom_0[v]])
        for v in range(len(atom))
    ])


@pytest.mark.parametrize("options", [
    *({
        "booster": name
    } for name in BOOSTERS),
    *({
        "kernel": name
    } for name in KERNELS[1:]),
    {
        "activation": "tanh"
    },
    {
        "depth": 1
    },
],
                         ids=str)
def test_cmpnn_bond_by_bond(batch, options):
    net = CMPNN(CMPNNConfig(**WIDTHS, **options)).double()
    small = batch.select([0, 1, 2, 3, 4, 5])
    ours, expected = net.encode(small), cmpnn_by_bond(net, small)
    close(ours, expected)
    same_gradients(net, ours, expected)


def test_cmpnn_reads_atoms_by_a_gru(batch):
    """Each molecule through `torch.nn.GRU` alone, then the mean of the atoms."""
    same_as_gru(CMPNN(CMPNNConfig(**WIDTHS)).double(), batch)


def test_cmpnn_learns_from_symmetric_atoms():
    """They are equally large where the readout looks for the largest."""
    molecules = MolBatch.from_graphs(ChempropFeaturizer().featurize(SMILES))
    same_as_gru(
        CMPNN(CMPNNConfig(d_model=8)).double(),
        molecules.to(dtype=torch.float64))


def same_as_gru(net: CMPNN, batch: MolBatch) -> None:
    with torch.no_grad():
        net.readout.bias.normal_()
        for parameter in net.readout.gru.parameters():
            parameter.normal_()
    found = []
    for i in range(len(batch)):
        one = batch.select([i])
        x = net.encode(one)
        first = x.amax(0).expand(2, 1, -1).contiguous()
        states, _ = net.readout.gru(
            F.relu(x + net.readout.bias)[:, None], first)
        found.append(F.relu(net.W_o(states[:, 0])).mean(0))
    ours = net(batch)
    close(ours, torch.stack(found))
    same_gradients(net, ours, torch.stack(found))


# --- torch_geometric's operators ------------------------------------------------------


@pytest.mark.parametrize("readout", ["mean", "sum"])
def test_gcn_equals_torch_geometric(batch, readout):
    gnn = pytest.importorskip("torch_geometric.nn")
    net = GCN(GCNConfig(d_atom=D_ATOM, d_model=16, n_layers=3,
                        readout=readout)).double()
    x = batch.atoms
    for layer in net.layers:
        theirs = gnn.GCNConv(*reversed(layer.linear.weight.shape)).double()
        theirs.lin.weight, theirs.bias = layer.linear.weight, layer.bias
        with torch.no_grad():
            layer.bias.normal_()
        x = F.relu(theirs(x, batch.bond_index))
    pool = gnn.global_mean_pool if readout == "mean" else gnn.global_add_pool
    ours, expected = net(batch), pool(x, batch.mol_index)
    close(ours, expected)
    same_gradients(net, ours, expected)


@pytest.mark.parametrize("kinds", [None, 3])
def test_mpnn_equals_torch_geometric(batch, kinds):
    """With bonds of a few kinds, and of as many kinds as there are bonds."""
    gnn = pytest.importorskip("torch_geometric.nn")
    if kinds:
        kind = torch.arange(len(batch.bonds)) % kinds
        kind = torch.minimum(kind, kind[batch.reverse_bond])
        batch = dataclasses.replace(batch,
                                    bonds=torch.eye(D_BOND,
                                                    dtype=torch.float64)[kind])
    net = MPNN(MPNNConfig(**WIDTHS, d_edge=7, depth=4, n_set2set=5)).double()
    with torch.no_grad():
        net.message_bias.normal_()
    conv = gnn.NNConv(16, 16, net.edge_network, root_weight=False).double()
    conv.nn, conv.bias = net.edge_network, net.message_bias
    # NNConv resets what it is given: the weights are those of `net` after that
    read = gnn.Set2Set(16, processing_steps=5).double()
    for name, parameter in net.readout.lstm.named_parameters():
        setattr(read.lstm, f"{name}_l0", parameter)
    read.lstm.flatten_parameters = lambda: None
    h = F.relu(net.input(batch.atoms))
    for _ in range(4):
        h = net.update(conv(h, batch.bond_index, batch.bonds), h)
    both = F.linear(torch.cat([h, batch.atoms], 1), net.project.weight,
                    net.project.bias)
    ours, expected = net(batch), read(both, batch.mol_index)
    close(ours, expected)
    same_gradients(net, ours, expected)


@pytest.mark.parametrize("rows", [
    torch.randn(400, 14),
    torch.eye(3)[torch.arange(50) % 3],
    torch.zeros(5, 0),
    torch.zeros(0, 4),
],
                         ids=["all-different", "three", "no-columns", "none"])
def test_kinds_of_rows(rows):
    different, kind = kinds_of(rows)
    assert torch.equal(different[kind], rows)
    assert len(different) == len({tuple(row) for row in rows.tolist()})


def test_set2set_of_a_single_atom_reads_it():
    read = Set2Set(3, n_steps=2)
    x = torch.randn(1, 3)
    out = read(x, torch.tensor([0]), torch.tensor([1]))
    torch.testing.assert_close(out[:, 3:], x)


# --- chemprop -------------------------------------------------------------------------

SMILES = [
    "CC(C)Cc1ccc(cc1)C(C)C(=O)O", "O=C([O-])c1ccccc1.[Na+]", "[He]",
    "[Na+].[Cl-]", "C/C=C/[C@H](N)C#N", "[NH3]->[Pt](Cl)Cl"
]


def of_chemprop(config: DMPNNConfig, n_tasks: int):
    """Chemprop's model with the options of ours, and its batch of `SMILES`."""
    chemprop = pytest.importorskip("chemprop")
    blocks = chemprop.nn
    passing = (blocks.AtomMessagePassing
               if config.messages == "atoms" else blocks.BondMessagePassing)
    activation = config.activation
    torch.manual_seed(1)
    theirs = chemprop.models.MPNN(
        passing(depth=config.depth,
                bias=config.bias,
                activation=activation,
                undirected=config.messages == "undirected"), {
                    "mean": blocks.MeanAggregation,
                    "sum": blocks.SumAggregation,
                    "norm": blocks.NormAggregation,
                }[config.readout](),
        blocks.RegressionFFN(n_tasks=n_tasks,
                             n_layers=config.n_head_layers - 1,
                             activation=activation)).eval()
    read = chemprop.featurizers.SimpleMoleculeMolGraphFeaturizer()
    molecules = [read(Chem.MolFromSmiles(text)) for text in SMILES]
    return theirs, chemprop.data.BatchMolGraph(molecules)


@pytest.mark.parametrize("options", [
    {},
    {
        "depth": 5,
        "readout": "mean",
        "bias": True
    },
    {
        "messages": "undirected",
        "readout": "sum"
    },
    {
        "messages": "atoms"
    },
    {
        "activation": "prelu",
        "n_head_layers": 4
    },
    {
        "activation": "leakyrelu"
    },
    {
        "activation": "elu",
        "depth": 1
    },
],
                         ids=str)
def test_dmpnn_equals_chemprop(options):
    """Features, weights, outputs and gradients."""
    config = DMPNNConfig(**options)
    theirs, molecules = of_chemprop(config, n_tasks=2)
    network = MoleculeNetwork(DMPNN(config), 2)
    state = theirs.state_dict()
    if config.depth == 1:
        del state["message_passing.W_h.weight"]  # of no message
    load_chemprop_state_dict(network, state)
    ours = network(MolBatch.from_graphs(ChempropFeaturizer().featurize(SMILES)))
    expected = theirs(molecules)
    torch.testing.assert_close(ours, expected, rtol=0, atol=1e-6)
    ours.square().sum().backward()
    expected.square().sum().backward()
    norms = sorted(p.grad.norm().item() for p in network.parameters())
    others = sorted(
        p.grad.norm().item() for p in theirs.parameters() if p.grad is not None)
    np.testing.assert_allclose(norms, others, rtol=1e-4)


def test_default_sizes_are_the_published():

    def size(module):
        return sum(p.numel() for p in module.parameters())

    assert size(MoleculeNetwork(DMPNN(), 1)) == 318_301  # chemprop's default
    # the release's 133 atom columns, its dead W_h_atom (134,100 weights) left out
    release = CMPNN(CMPNNConfig(d_atom=133))
    assert size(release) == (133 * 300 + 147 * 300 + 2 * 300 * 300 + 900 * 300 +
                             600 * 300 + 300 + 300 + 2 * 3 *
                             (2 * 300 * 300 + 2 * 300))
    assert MPNNConfig().d_model == 200 and GCNConfig().d_model == 64
