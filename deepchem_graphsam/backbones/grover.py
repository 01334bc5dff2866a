"""GROVER: the graph transformer with message-passing attention heads.

Rong, Bian, Xu, Xie, Wei, Huang and Huang, "Self-Supervised Graph Transformer on Large-Scale
Molecular Data", NeurIPS 2020.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from deepchem_graphsam.backbones.grover_config import PRESETS, GROVERConfig
from deepchem_graphsam.backbones.grover_layers import (Block, InputLayer,
                                                       OutputLayer, xavier)
from deepchem_graphsam.backbones.network import BranchedHead
from deepchem_graphsam.data.batch import MolBatch
from deepchem_graphsam.nn.adjacency import Lists
from deepchem_graphsam.nn.classes import Classes, joint_hash, refine, row_hash
from deepchem_graphsam.nn.feed_forward import feed_forward
from deepchem_graphsam.nn.message_networks import random_depths
from deepchem_graphsam.nn.segments import AttentionReadout

__all__ = ["GROVER", "PRESETS", "GROVERConfig"]

_States = tuple[Tensor, Classes]  # (C, d), one row of each class

# Where the release has the charge columns 108 to 113 that DeepChem's featurizer writes: that has
# −1, −2, +1, +2, 0 and all others, the release 0, +1, +2, ±3, −2 and −1.
_CHARGE = slice(108, 114)
_CHARGE_ORDER = [4, 2, 3, 5, 1, 0]


@dataclass(frozen=True, eq=False)
class _Graph:
    """Features of a batch, and which rows of them are equal."""

    atoms: Tensor  # (A, d_atom)
    bonds: Tensor  # (B, d_bond)
    atom_classes: Classes
    bond_classes: Classes  # of the bond's and its source atom's features
    batch: MolBatch

    @classmethod
    def of(cls, batch: MolBatch, atoms: Tensor, bonds: Tensor) -> _Graph:
        hashes = row_hash(atoms)
        of_source = hashes.index_select(0, batch.bond_index[0])
        return cls(atoms, bonds, Classes.of(hashes),
                   Classes.of(joint_hash(of_source, row_hash(bonds))), batch)

    def bond_rows(self, which: Tensor) -> Tensor:
        """(n, d_atom + d_bond) features of some bonds, the source atom's first."""
        return torch.cat(
            [self.atoms[self.batch.bond_index[0, which]], self.bonds[which]], 1)


class GROVER(nn.Module):
    """GROVER's fine-tuning network, molecules to vectors.

    Outputs equal those of the authors' release, except that the release's padding row leaks
    into neighbour sums, so that there a molecule's output depends on its batch mates.
    Parameters of the release without any influence do not exist here. The order of the atoms
    does not matter.

    Parameters
    ----------
    config: GROVERConfig, optional
        the options; `PRESETS` has the published ones

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> import numpy as np
    >>> methane = SimpleNamespace(node_features=np.ones((1, 151)), edge_features=None,
    ...                           edge_index=np.zeros((2, 0), int))
    >>> backbone = GROVER(GROVERConfig(d_model=32))
    >>> backbone(MolBatch.from_graphs([methane, methane])).shape
    torch.Size([2, 64])

    References
    ----------
    .. [1] Rong, Y., Bian, Y., Xu, T., Xie, W., Wei, Y., Huang, W., and Huang, J.,
       "Self-Supervised Graph Transformer on Large-Scale Molecular Data", NeurIPS 2020.
    """

    def __init__(self, config: GROVERConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or GROVERConfig()
        d_atom, d_bond = config.d_atom, config.d_bond
        self.atom_input = InputLayer(d_atom, config)
        self.bond_input = InputLayer(d_atom + d_bond, config)
        self.atom_blocks = nn.ModuleList(
            Block(config) for _ in range(config.n_blocks))
        self.bond_blocks = nn.ModuleList(
            Block(config) for _ in range(config.n_blocks))
        widths = {"atom_from_atom": d_atom, "atom_from_bond": d_atom}
        if config.embeddings == "both":
            widths |= dict.fromkeys(("bond_from_atom", "bond_from_bond"),
                                    d_atom + d_bond)
        self.outputs = nn.ModuleDict({
            name: OutputLayer(width, config) for name, width in widths.items()
        })
        self.readout = None
        if config.readout == "attention":
            self.readout = AttentionReadout(config.d_model,
                                            config.readout_hidden,
                                            config.readout_out)
        xavier(self)

    @property
    def output_dim(self) -> int:
        """Columns of the output: one half from atom states, one from bond states."""
        return 2 * self.config.d_model * (self.config.readout_out
                                          if self.readout else 1)

    def forward(self, batch: MolBatch) -> Tensor:
        """One vector per molecule.

        Parameters
        ----------
        batch: MolBatch
            `atoms` with `d_atom` columns and `bonds` with `d_bond`, as `GROVERFeaturizer` gives
            them; or as DeepChem's `GroverFeaturizer` does, known by the source atom's columns
            in front of a bond's, whose charge columns are put into the release's order

        Returns
        -------
        Tensor
            (M, output_dim)

        Raises
        ------
        ValueError
            if atoms or bonds have another width
        """
        graph, states = self._states(batch)
        return torch.cat([
            self._read(*self._of_atoms(name, states, graph), batch)
            for name in ("atom_from_atom", "atom_from_bond")
        ], 1)

    def encode(self, batch: MolBatch) -> dict[str, Tensor]:
        """The embeddings by name: (A, d) of atoms and, if there are any, (B, d) of bonds."""
        graph, states = self._states(batch)
        found = {}
        for name, layer in self.outputs.items():
            if name.startswith("atom"):
                x, classes = self._of_atoms(name, states, graph)
                found[name] = classes.spread(x)
            else:
                every = torch.arange(len(graph.bonds), device=batch.device)
                found[name] = layer(graph.bond_rows(every),
                                    self._around(name, states, graph))
        return found

    def head(self, d_in: int, n_outputs: int) -> BranchedHead:
        """The published head: a network for what comes from atom states, one for bonds'."""
        half, config = self.output_dim // 2, self.config
        head = BranchedHead([
            nn.Sequential(
                nn.Dropout(config.dropout),
                *feed_forward(d_in - half, config.d_head, n_outputs,
                              config.n_head_layers, config.activation,
                              config.dropout)) for _ in range(2)
        ], self.output_dim, config.disagreement)
        xavier(head)
        return head

    def _states(self, batch: MolBatch) -> tuple[_Graph, dict[str, _States]]:
        """States of atoms and bonds after the last block."""
        graph = _Graph.of(batch, *self._features(batch))
        depths = iter(self._depths())
        first, of_bond = graph.atom_classes.first, graph.bond_classes.first
        atoms = self.atom_input(graph.atoms[first], graph.atom_classes)
        for block in self.atom_blocks:
            atoms = block(*atoms, batch.neighbours.lists, next(depths))
        bonds = self.bond_input(graph.bond_rows(of_bond), graph.bond_classes)
        for block in self.bond_blocks:
            bonds = block(*bonds, batch.following.lists, next(depths))
        return graph, {"atom": atoms, "bond": bonds}

    def _of_atoms(self, name: str, states: dict[str, _States],
                  graph: _Graph) -> _States:
        """An embedding of the atoms."""
        x, classes = states[name[-4:]]
        classes, step = refine(graph.atom_classes, classes,
                               (graph.batch.neighbours if name.endswith("atom")
                                else graph.batch.entering).lists)
        features = graph.atoms[graph.atom_classes.first]
        return self.outputs[name](features, step.sums(x), step.own), classes

    def _around(self, name: str, states: dict[str, _States],
                graph: _Graph) -> Tensor:
        """(B, d) sums of states that an embedding of the bonds is made of."""
        x, classes = states[name[-4:]]
        x = classes.spread(x)
        source, target = graph.batch.bond_index
        if name.endswith("bond"):
            return graph.batch.following(x)
        # the source atom and its neighbours, but not the target
        return (graph.batch.neighbours(x) + x)[source] - x[target]

    def _read(self, x: Tensor, classes: Classes, batch: MolBatch) -> Tensor:
        """(M, d) or (M, readout_out·d) of the atoms' embedding."""
        if self.readout is not None:
            return self.readout(classes.spread(x), batch.mol_index, batch.place,
                                batch.n_atoms, int(batch.sizes.max()))
        starts = batch.n_atoms.cumsum(0) - batch.n_atoms
        atoms = Lists(classes.of_row, starts, len(classes))
        return atoms(x) / batch.n_atoms[:, None]

    def _depths(self) -> list[list[int]]:
        """Of each network in each block; random in training."""
        config = self.config
        n, blocks = 3 * config.n_heads, 2 * config.n_blocks
        if not self.training:
            return [[config.depth] * n] * blocks
        drawn = random_depths(config.depth, n * blocks)
        return [drawn[n * i:n * (i + 1)] for i in range(blocks)]

    def _features(self, batch: MolBatch) -> tuple[Tensor, Tensor]:
        """Atom and bond features as the release has them, (A, d_atom) and (B, d_bond)."""
        config = self.config
        d_atom, d_bond = batch.atoms.shape[1], batch.bonds.shape[1]
        if d_atom != config.d_atom:
            raise ValueError(
                f"GROVER takes {config.d_atom} atom columns, the batch has "
                f"{d_atom}. Use GROVERFeaturizer, or GROVERConfig(d_atom={d_atom})"
            )
        if not len(batch.bonds):
            return batch.atoms, batch.bonds.new_zeros(0, config.d_bond)
        if d_bond == config.d_bond:
            return batch.atoms, batch.bonds
        if d_bond == config.d_atom + config.d_bond:
            atoms = batch.atoms.clone()
            atoms[:, _CHARGE] = batch.atoms[:, _CHARGE][:, _CHARGE_ORDER]
            return atoms, batch.bonds[:, config.d_atom:]
        raise ValueError(
            f"GROVER takes {config.d_bond} bond columns, or "
            f"{config.d_atom + config.d_bond} with those of the source atom first; the batch "
            f"has {d_bond}. Use GROVERFeaturizer, or GROVERConfig(d_bond={d_bond})"
        )
