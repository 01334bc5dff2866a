"""The layers of GROVER, on one row of each class of equal rows."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from deepchem_graphsam.backbones.grover_config import GROVERConfig
from deepchem_graphsam.nn.activations import Activation
from deepchem_graphsam.nn.adjacency import Lists
from deepchem_graphsam.nn.classes import Classes, refine, take
from deepchem_graphsam.nn.message_networks import HeadAttention, MessageNetworks


class InputLayer(nn.Module):
    """Features to states."""

    def __init__(self, width: int, config: GROVERConfig) -> None:
        super().__init__()
        self.linear = nn.Linear(width, config.d_model, config.bias)
        self.activation = Activation(config.activation)
        self.norm = nn.LayerNorm(config.d_model)
        self.dropout = config.dropout

    def forward(self, features: Tensor,
                classes: Classes) -> tuple[Tensor, Classes]:
        """(C, width) features of R rows in C classes, to states and their classes."""
        x = self.norm(self.activation(self.linear(features)))
        if not (self.training and self.dropout):
            return x, classes
        every = Classes.all_different(len(classes.of_row), x.device)
        return F.dropout(classes.spread(x), self.dropout), every


class Block(nn.Module):
    """Queries, keys and values from message passing, then attention among the heads.

    The same for atoms and for directed bonds, which differ in who is a neighbour.
    """

    def __init__(self, config: GROVERConfig) -> None:
        super().__init__()
        d, h = config.d_model, config.n_heads
        self.networks = MessageNetworks(3 * h, d, config.residual, config.bias,
                                        config.activation, config.dropout)
        self.attention = HeadAttention(h, d, config.bias, config.dropout)
        self.norm = nn.LayerNorm(d)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, classes: Classes, neighbours: Lists,
                depths: list[int]) -> tuple[Tensor, Classes]:
        """(C, d) states of classes of rows, to new states and their classes."""
        reached, steps = [classes], []
        for _ in range(1, max(depths)):
            finer, step = refine(classes, reached[-1], neighbours)
            reached.append(finer)
            steps.append(step)
        last = reached[-1]
        parts = [x] * len(depths)
        for own, (which, states) in zip(reached,
                                        self.networks(x, steps, depths),
                                        strict=True):
            if which:
                places = last.within(own)
                rows = [
                    part for same in self.attention.projected(states, which)
                    for part in take(same, places).unbind()
                ]
                for i, part in zip(which, rows, strict=True):
                    parts[i] = part
        return self.dropout(self.norm(self.attention(parts))), last


class OutputLayer(nn.Module):
    """Summed states, beside the raw features again, to an embedding."""

    def __init__(self, width: int, config: GROVERConfig) -> None:
        super().__init__()
        d = config.d_model
        self.first = nn.Linear(width + d, 4 * d)
        self.activation = Activation(config.activation)
        self.inner_dropout = nn.Dropout(config.dropout)
        self.second = nn.Linear(4 * d, d)
        self.norm = nn.LayerNorm(d)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self,
                features: Tensor,
                sums: Tensor,
                own: Lists | None = None) -> Tensor:
        """(C, width) features and (R, d) sums of states, to (R, d).

        `own` says which row of the features each row of the sums has.
        """
        width = features.shape[1]
        weight = self.first.weight
        of_features = F.linear(features, weight[:, :width], self.first.bias)
        x = take(of_features, own) + F.linear(sums, weight[:, width:])
        x = self.inner_dropout(self.activation(x))
        return self.dropout(self.norm(self.second(x)))


def xavier(module: nn.Module) -> None:
    """The release's initialisation, but that gains and slopes do not start at 0.

    That would leave the network dead: all molecules would have the same output.
    """
    for parameter in module.parameters():
        if parameter.dim() == 2:
            nn.init.xavier_normal_(parameter)
        elif parameter.dim() == 3:
            for matrix in parameter.unbind():
                nn.init.xavier_normal_(matrix)
    for part in module.modules():
        if isinstance(part, nn.Linear) and part.bias is not None:
            nn.init.zeros_(part.bias)
