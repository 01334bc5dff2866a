"""CMPNN: message passing in which atoms and bonds communicate.

Song, Zheng, Niu, Fu, Lu and Yang, "Communicative Representation Learning on Attributed Molecular
Graphs", IJCAI 2020.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from deepchem_graphsam.backbones.config import BackboneConfig, check_choice, check_columns
from deepchem_graphsam.data.batch import MolBatch
from deepchem_graphsam.nn.activations import ACTIVATIONS, Activation
from deepchem_graphsam.nn.feed_forward import PairLinear, feed_forward
from deepchem_graphsam.nn.gru import molecule_gru
from deepchem_graphsam.nn.largest import largest_of
from deepchem_graphsam.nn.segments import segment_mean, take_rows

BOOSTERS = ("sum-max", "sum", "mean", "max")
KERNELS = ("add", "product", "mlp", "gru")


@dataclass(frozen=True)
class CMPNNConfig(BackboneConfig):
    """Options of `CMPNN`; the defaults are those of the authors' release.

    Parameters
    ----------
    d_atom, d_bond, d_global: int
        columns of the features of atoms, bonds and whole molecules
    d_model: int
        width of the states and of the output
    depth: int
        1 + rounds of messages
    booster: str
        how an atom gathers the messages m of its bonds: "sum-max" for sum(m) max(m), the
        paper's, or "sum", "mean" or "max" alone
    kernel: str
        how an atom's state h takes them in: "add" for h + m, as the release does, "product"
        for h m, "mlp" for the activation of W [h, m], "gru" for GRU(m, h)
    bias: bool
        of all layers but the output's and the GRU's, which have one
    activation: str
        a name of `ACTIVATIONS`
    dropout: float
        probability, on states and in the head
    d_head, n_head_layers: int
        width and linear layers of the head
    """

    d_atom: int = 72
    d_bond: int = 14
    d_model: int = 300
    depth: int = 3
    booster: Literal["sum-max", "sum", "mean", "max"] = "sum-max"
    kernel: Literal["add", "product", "mlp", "gru"] = "add"
    bias: bool = False
    activation: str = "relu"
    dropout: float = 0.0
    d_head: int = 300
    n_head_layers: int = 2

    def __post_init__(self) -> None:
        if self.depth < 1:
            raise ValueError(f"depth={self.depth} is less than 1")
        check_choice(self, "booster", BOOSTERS)
        check_choice(self, "kernel", KERNELS)
        check_choice(self, "activation", ACTIVATIONS)


PRESETS: dict[str, CMPNNConfig] = {"release": CMPNNConfig()}


class GRUReadout(nn.Module):
    """A GRU over the atoms in their order, from both ends."""

    def __init__(self, d: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(d))
        self.gru = nn.GRU(d, d, bidirectional=True)

    def forward(self, x: Tensor, batch: MolBatch) -> Tensor:
        """(A, d) to (A, 2d)."""
        return molecule_gru(self.gru, F.relu(x + self.bias),
                            largest_of(x, batch.mol_index, len(batch)),
                            batch.sequences)


class CMPNN(nn.Module):
    """The communicative message passing network, molecules to vectors.

    As the authors' release computes it, without its layer that nothing reads, and but that the
    GRU does not run over the padding, so that a molecule's output is its own. The order of the
    atoms matters to the GRU.

    Parameters
    ----------
    config: CMPNNConfig, optional

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> import numpy as np
    >>> methane = SimpleNamespace(node_features=np.ones((1, 72)), edge_features=None,
    ...                           edge_index=np.zeros((2, 0), int))
    >>> CMPNN()(MolBatch.from_graphs([methane, methane])).shape
    torch.Size([2, 300])

    References
    ----------
    .. [1] Song et al., "Communicative Representation Learning on Attributed Molecular Graphs",
       IJCAI 2020.
    """

    def __init__(self, config: CMPNNConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or CMPNNConfig()
        d, bias = config.d_model, config.bias
        self.W_atom = nn.Linear(config.d_atom, d, bias)
        self.W_bond = PairLinear(config.d_atom, config.d_bond, d, bias)
        self.W_h = nn.ModuleList(
            nn.Linear(d, d, bias) for _ in range(config.depth - 1))
        self.communicate = nn.ModuleList(
            _kernel(config) for _ in range(config.depth - 1))
        self.W_last = nn.Linear(3 * d, d, bias)
        self.readout = GRUReadout(d)
        self.W_o = nn.Linear(2 * d, d)
        self.activation = Activation(config.activation)
        self.dropout = nn.Dropout(config.dropout)
        _initialize(self)

    @property
    def output_dim(self) -> int:
        """Columns of the output."""
        return self.config.d_model

    def forward(self, batch: MolBatch) -> Tensor:
        """One vector per molecule.

        Parameters
        ----------
        batch: MolBatch
            `atoms` with `d_atom` columns, `bonds` with `d_bond`

        Returns
        -------
        Tensor
            (M, d_model)

        Raises
        ------
        ValueError
            if atoms or bonds have another width
        """
        states = self.readout(self.encode(batch), batch)
        atoms = self.dropout(self.activation(self.W_o(states)))
        return segment_mean(atoms, batch.mol_index, batch.n_atoms)

    def encode(self, batch: MolBatch) -> Tensor:
        """(A, d_model) states of the atoms, before the readout."""
        check_columns(batch, self.config)
        reverse = batch.reverse_bond
        bonds = batch.bonds.reshape(len(reverse), self.config.d_bond)
        atom_0 = atom = self.activation(self.W_atom(batch.atoms))
        bond_0 = bond = self.activation(
            self.W_bond(batch.atoms, bonds, batch.leaving))
        for layer, communicate in zip(self.W_h, self.communicate, strict=True):
            atom = communicate(atom, self._boosted(bond, batch))
            message = batch.leaving(atom) - take_rows(bond, reverse, reverse)
            bond = self.dropout(self.activation(bond_0 + layer(message)))
        last = torch.cat([self._boosted(bond, batch), atom, atom_0], 1)
        return self.W_last(last)

    def _boosted(self, bond: Tensor, batch: MolBatch) -> Tensor:
        """(B, d) messages to (A, d)."""
        booster, target = self.config.booster, batch.bond_index[1]
        if booster == "max":
            return largest_of(bond, target, len(batch.atoms))
        total = batch.entering(bond)
        if booster == "mean":
            degree = torch.bincount(target, minlength=len(total))
            return total / degree.clamp(min=1)[:, None]
        if booster == "sum":
            return total
        return total * largest_of(bond, target, len(total))

    def head(self, d_in: int, n_outputs: int) -> nn.Sequential:
        """The release's head: (M, d_in) to (M, n_outputs)."""
        config = self.config
        head = nn.Sequential(
            nn.Dropout(config.dropout),
            *feed_forward(d_in, config.d_head, n_outputs, config.n_head_layers,
                          config.activation, config.dropout))
        _initialize(head)
        return head


class _Add(nn.Module):

    def forward(self, h: Tensor, m: Tensor) -> Tensor:
        return h + m


class _Product(nn.Module):

    def forward(self, h: Tensor, m: Tensor) -> Tensor:
        return h * m


class _MLP(nn.Module):

    def __init__(self, config: CMPNNConfig) -> None:
        super().__init__()
        d = config.d_model
        self.linear = PairLinear(d, d, d, config.bias)
        self.activation = Activation(config.activation)

    def forward(self, h: Tensor, m: Tensor) -> Tensor:
        return self.activation(self.linear(h, m))


class _GRU(nn.Module):

    def __init__(self, config: CMPNNConfig) -> None:
        super().__init__()
        self.cell = nn.GRUCell(config.d_model, config.d_model)

    def forward(self, h: Tensor, m: Tensor) -> Tensor:
        return self.cell(m, h)


def _kernel(config: CMPNNConfig) -> nn.Module:
    """What communicates between atoms and bonds in one round."""
    if config.kernel == "add":
        return _Add()
    if config.kernel == "product":
        return _Product()
    return _MLP(config) if config.kernel == "mlp" else _GRU(config)


def _initialize(module: nn.Module) -> None:
    """As the release: Xavier-normal matrices, and zero for all biases."""
    for name, parameter in module.named_parameters():
        if parameter.dim() > 1:
            nn.init.xavier_normal_(parameter)
        elif "slope" not in name:
            nn.init.zeros_(parameter)
