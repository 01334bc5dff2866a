"""CoMPT: the communicative message passing transformer.

Chen, Zheng, Song, Rao and Yang, "Learning Attributed Graph Representations with
Communicative Message Passing Transformer", IJCAI 2021.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from deepchem_graphsam.backbones.attention import bond_softmax, message_matrices, propagate
from deepchem_graphsam.backbones.compt_config import PRESETS, CoMPTConfig
from deepchem_graphsam.data.batch import MolBatch
from deepchem_graphsam.nn.activations import Mish, mish
from deepchem_graphsam.nn.blocks import BlockGroup
from deepchem_graphsam.nn.gru import molecule_gru
from deepchem_graphsam.nn.largest import largest_of
from deepchem_graphsam.nn.norms import ScaleNorm, StandardNorm
from deepchem_graphsam.nn.segments import segment_mean, take_rows

__all__ = ["PRESETS", "CoMPT", "CoMPTConfig"]

_FAR = -1e30  # a logit that no softmax sees, and that stays finite on rows without any other


def _norm(config: CoMPTConfig) -> nn.Module:
    return (StandardNorm if config.norm == "layer" else ScaleNorm)(
        config.d_model)


@dataclass(frozen=True, eq=False)
class _Graph:
    """What all layers read of a batch; R rows in all blocks."""

    bonds: Tensor  # (B, d_bond)
    source: Tensor  # (B,)
    others: Tensor  # (A, 1) atoms of the molecule that an atom is not bonded to
    groups: tuple[BlockGroup, ...]
    row_to_atom: Tensor  # (h·R,) into (A·h) rows
    atom_to_row: Tensor  # (A·h,) into (h·R) rows

    @classmethod
    def of(cls, batch: MolBatch, config: CoMPTConfig) -> _Graph:
        source = batch.bond_index[0]
        degree = torch.bincount(source, minlength=len(batch.atoms))
        n_heads = config.n_heads
        heads = torch.arange(n_heads, device=batch.device)
        atoms = torch.cat([group.atoms for group in batch.blocks.groups])
        row = batch.blocks.row
        others = batch.n_atoms[batch.mol_index] - degree
        return cls(bonds=batch.bonds.reshape(-1, config.d_bond),
                   source=source,
                   others=others[:, None].to(batch.atoms.dtype),
                   groups=batch.blocks.groups,
                   row_to_atom=(atoms * n_heads + heads[:, None]).view(-1),
                   atom_to_row=(row[:, None] + heads * len(atoms)).view(-1))


class MessageAttention(nn.Module):
    """Attention of atoms to atoms, keyed by the bond between them (equations 5 to 8)."""

    def __init__(self, config: CoMPTConfig) -> None:
        super().__init__()
        d = config.d_model
        self.n_heads = config.n_heads
        self.kernel = config.distance_kernel
        self.query = nn.Linear(d, d)
        self.key = nn.Linear(d, d, bias=False)
        self.value = nn.Linear(d, d)
        self.output = nn.Linear(d, d)
        self.attenuation = nn.Parameter(torch.tensor(0.1))

    def kernels(self, groups: tuple[BlockGroup, ...]) -> list[Tensor]:
        """(N, L, L) of each group: ``(2 − δ) K``, zero between fragments."""
        if self.kernel == "exp":
            return [
                group.count * torch.exp(-self.attenuation * group.hops)
                for group in groups
            ]
        return [
            group.count * torch.softmax(
                (group.count == 0) * _FAR - self.attenuation * group.hops, -1)
            for group in groups
        ]

    def probabilities(self, x: Tensor, embedding: Tensor,
                      graph: _Graph) -> tuple[Tensor, Tensor]:
        """(A, h) background and (B, h) excess on the bonds; see `bond_softmax`.

        Query and key only meet in the scores, so their weights and that of the bond
        embedding are multiplied first: 13 columns per head instead of d / h.
        """
        h, d = self.n_heads, self.query.in_features
        keys = (self.key.weight @ embedding).view(h, d // h,
                                                  -1)  # (h, d_k, d_bond)
        keys = keys / math.sqrt(d // h)
        weight = torch.bmm(keys.transpose(1, 2),
                           self.query.weight.view(h, -1, d))
        bias = torch.bmm(self.query.bias.view(h, 1, -1), keys)
        terms = F.linear(x, weight.view(-1, d), bias.view(-1))  # (A, h·d_bond)
        terms = terms.to(
            graph.bonds.dtype)  # scores in full precision under autocast
        return bond_softmax(terms, graph.bonds, graph.source, graph.others)

    def forward(self, x: Tensor, embedding: Tensor, graph: _Graph) -> Tensor:
        """(A, d) normalised atoms, (d, d_bond) bond embedding -> (A, d)."""
        d_k = x.shape[1] // self.n_heads
        background, excess = self.probabilities(x, embedding, graph)
        value = take_rows(
            self.value(x).view(-1, d_k), graph.row_to_atom, graph.atom_to_row)
        summed = propagate(value.view(self.n_heads, -1, d_k), background,
                           excess, self.kernels(graph.groups), graph.groups)
        out = take_rows(summed.reshape(-1, d_k), graph.atom_to_row,
                        graph.row_to_atom)
        return mish(self.output(out.view(x.shape)))

    def matrices(self, x: Tensor, embedding: Tensor,
                 graph: _Graph) -> list[Tensor]:
        """(h, N, L, L) message matrices of each group of blocks."""
        background, excess = self.probabilities(x, embedding, graph)
        return [
            message_matrices(background, excess, kernel, group) for kernel,
            group in zip(self.kernels(graph.groups), graph.groups, strict=True)
        ]


class CoMPTLayer(nn.Module):
    """Attention and feed-forward network; the residual starts from the normed atoms."""

    def __init__(self, config: CoMPTConfig) -> None:
        super().__init__()
        d = config.d_model
        self.norm = _norm(config)  # one module, used three times
        self.attention = MessageAttention(config)
        self.feed_forward = nn.Sequential(
            *(nn.Sequential(nn.Linear(d, d), Mish())
              for _ in range(config.n_ff_layers)))
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, embedding: Tensor, graph: _Graph) -> Tensor:
        """(A, d) to (A, d)."""
        x = self.norm(x)
        a = self.dropout(self.attention(x, embedding, graph))
        u = self.norm(a, x)
        f = self.dropout(self.feed_forward(u))
        return self.norm(f, x + u)


class RecurrentReadout(nn.Module):
    """Bidirectional GRU over the atoms in their order, then the mean over a molecule."""

    def __init__(self, d: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.empty(d).uniform_(-d**-0.5, d**-0.5))
        self.gru = nn.GRU(d, d, bidirectional=True)
        self.output = nn.Linear(2 * d, d)

    def forward(self, x: Tensor, batch: MolBatch) -> Tensor:
        """(A, d) to (M, d)."""
        initial = largest_of(mish(x + self.bias), batch.mol_index, len(batch))
        states = molecule_gru(self.gru, x, initial, batch.sequences)
        return segment_mean(mish(self.output(states)), batch.mol_index,
                            batch.n_atoms)


class CoMPT(nn.Module):
    """The communicative message passing transformer, molecules to vectors.

    Outputs and gradients equal those of the authors' release, except that a molecule's
    output depends neither on padding nor on its batch mates, and that messages between
    fragments have weight 0 whatever λ is. Parameters of the release without any influence
    (the edge update, and the biases of key and bond embedding, which the softmax cancels) do
    not exist here. The order of the atoms matters, through positions and readout.

    Parameters
    ----------
    config: CoMPTConfig, optional
        the options; `PRESETS` has the published ones

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> import numpy as np
    >>> methane = SimpleNamespace(node_features=np.ones((1, 115)), edge_features=None,
    ...                           edge_index=np.zeros((2, 0), int))
    >>> backbone = CoMPT(CoMPTConfig(d_model=32))
    >>> backbone(MolBatch.from_graphs([methane, methane])).shape
    torch.Size([2, 32])

    References
    ----------
    .. [1] Chen, J., Zheng, S., Song, Y., Rao, J., and Yang, Y., "Learning Attributed Graph
       Representations with Communicative Message Passing Transformer", IJCAI 2021.
    """

    def __init__(self, config: CoMPTConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or CoMPTConfig()
        d = config.d_model
        self.atom_embedding = nn.Linear(config.d_atom, d)
        self.bond_embedding = nn.Linear(config.d_bond, d, bias=False)
        self.positions = nn.Parameter(torch.empty(config.max_atoms + 1, d))
        self.layers = nn.ModuleList(
            CoMPTLayer(config) for _ in range(config.n_layers))
        self.norm = _norm(config)
        self.readout = RecurrentReadout(d)
        _xavier(self)

    @property
    def output_dim(self) -> int:
        """Columns of the output."""
        return self.config.d_model

    def forward(self, batch: MolBatch) -> Tensor:
        """One vector per molecule.

        Parameters
        ----------
        batch: MolBatch
            `atoms` with `d_atom` columns, or one more as `CoMPTFeaturizer` gives them (the
            position, which is known anyway); `bonds` with `d_bond` columns

        Returns
        -------
        Tensor
            (M, d_model)

        Raises
        ------
        ValueError
            if atoms or bonds have another width
        """
        return self.readout(self.encode(batch), batch)

    def encode(self, batch: MolBatch) -> Tensor:
        """(A, d_model) states of the atoms, before the readout."""
        x, embedding, graph = self._embed(batch)
        for layer in self.layers:
            x = layer(x, embedding, graph)
        return self.norm(x)

    @torch.no_grad()
    def attention(self, batch: MolBatch) -> list[list[Tensor]]:
        """What each atom takes from each other one, per molecule and layer.

        Returns
        -------
        list of list of Tensor
            (h, n, n) for each molecule and layer: the softmax over outgoing plus that over
            incoming messages, the diagonal counted once, times the distance kernel
        """
        x, embedding, graph = self._embed(batch)
        found: list[list[Tensor]] = [[] for _ in range(len(batch))]
        for layer in self.layers:
            assert isinstance(layer, CoMPTLayer)
            matrices = layer.attention.matrices(layer.norm(x), embedding, graph)
            for m, matrix in enumerate(
                    batch.blocks.unpack(matrices, batch.sizes)):
                found[m].append(matrix)
            x = layer(x, embedding, graph)
        return found

    def head(self, d_in: int, n_outputs: int) -> nn.Sequential:
        """The published head: (M, d_in) to (M, n_outputs)."""
        d, layers = self.config.d_model, []
        for _ in range(self.config.n_head_layers - 1):
            layers += [
                nn.Linear(d_in, d),
                Mish(),
                _norm(self.config),
                nn.Dropout(self.config.dropout)
            ]
            d_in = d
        head = nn.Sequential(*layers, nn.Linear(d_in, n_outputs))
        _xavier(head)
        return head

    def _embed(self, batch: MolBatch) -> tuple[Tensor, Tensor, _Graph]:
        """Atom states (A, d), scaled bond embedding (d, d_bond), and the graph."""
        config = self.config
        d_atom, d_bond = batch.atoms.shape[1], batch.bonds.shape[1]
        if d_atom not in (config.d_atom, config.d_atom + 1):
            raise ValueError(
                f"CoMPT takes {config.d_atom} atom columns, or "
                f"{config.d_atom + 1} with the position as the last; the batch has "
                f"{d_atom}. Use CoMPTFeaturizer, or CoMPTConfig(d_atom={d_atom})"
            )
        if d_bond != config.d_bond and len(batch.bonds):
            raise ValueError(
                f"CoMPT takes {config.d_bond} bond columns, the batch has {d_bond}."
                f" Use CoMPTFeaturizer, or CoMPTConfig(d_bond={d_bond})")
        scale = math.sqrt(config.d_model)
        position = batch.place.clamp(max=config.max_atoms - 1) + 1
        atoms = self.atom_embedding(batch.atoms[:, :config.d_atom])
        x = torch.add(F.embedding(position, self.positions), atoms, alpha=scale)
        return x, self.bond_embedding.weight * scale, _Graph.of(batch, config)


def _xavier(module: nn.Module) -> None:
    for parameter in module.parameters():
        if parameter.dim() > 1:
            nn.init.xavier_uniform_(parameter)
