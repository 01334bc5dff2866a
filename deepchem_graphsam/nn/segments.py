"""Gathers of packed rows, and means over the rows of each molecule."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class _TakeRows(torch.autograd.Function):

    @staticmethod
    def forward(ctx: Any, x: Tensor, index: Tensor, inverse: Tensor) -> Tensor:
        ctx.inverse = inverse
        return x.index_select(0, index)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        inverse = ctx.inverse
        taken = grad.index_select(0, inverse.flatten())
        if inverse.dim() == 2:
            taken = taken.view(*inverse.shape, -1).sum(1)
        return taken, None, None


def take_rows(x: Tensor, index: Tensor, inverse: Tensor) -> Tensor:
    """``x[index]``, with a gather instead of a scatter in the backward pass.

    Parameters
    ----------
    x: Tensor
        (N, d)
    index: Tensor
        (R,) int64
    inverse: Tensor
        (N,) or (N, k) int64, the places of `index` that hold each row of x. Places that are
        in no row of `inverse` get no gradient: padding, which nothing may depend on.

    Examples
    --------
    >>> x = torch.tensor([[1.], [2.]], requires_grad=True)
    >>> take_rows(x, torch.tensor([1, 0]), torch.tensor([1, 0])).detach()
    tensor([[2.],
            [1.]])
    """
    return _TakeRows.apply(x, index, inverse)


def segment_mean(x: Tensor, mol_index: Tensor, n_atoms: Tensor) -> Tensor:
    """Mean of the rows of each molecule, (A, d) to (M, d).

    Examples
    --------
    >>> segment_mean(torch.tensor([[1.], [2.], [4.]]), torch.tensor([0, 1, 1]),
    ...              torch.tensor([1, 2]))
    tensor([[1.],
            [3.]])
    """
    total = x.new_zeros(len(n_atoms), x.shape[1]).index_add(0, mol_index, x)
    return total / n_atoms[:, None]


def padded(x: Tensor, mol_index: Tensor, place: Tensor, n_molecules: int,
           length: int) -> Tensor:
    """Rows of each molecule, zeros after them: (A, d) to (M, length, d).

    Parameters
    ----------
    x: Tensor
        (A, d)
    mol_index, place: Tensor
        (A,) int64, the molecule of each row and its place there, below `length`

    Examples
    --------
    >>> padded(torch.tensor([[1.], [2.], [4.]]), torch.tensor([0, 1, 1]),
    ...        torch.tensor([0, 0, 1]), n_molecules=2, length=2).tolist()
    [[[1.0], [0.0]], [[2.0], [4.0]]]
    """
    empty = x.new_zeros(n_molecules * length, x.shape[1])
    return empty.index_copy(0, mol_index * length + place,
                            x).view(n_molecules, length, -1)


class AttentionReadout(nn.Module):
    """Several weighted means over the atoms of a molecule, side by side.

    The weights are ``softmax(W_2 tanh(W_1 Xᵀ))`` over the atoms; Lin et al., "A structured
    self-attentive sentence embedding", ICLR 2017.

    Parameters
    ----------
    d, hidden, n_out: int
        width of the atoms' states, of the hidden layer, and the number of means

    Examples
    --------
    >>> readout = AttentionReadout(4, hidden=2, n_out=3)
    >>> readout(torch.ones(3, 4), torch.tensor([0, 1, 1]), torch.tensor([0, 0, 1]),
    ...         torch.tensor([1, 2]), length=2).shape
    torch.Size([2, 12])
    """

    def __init__(self, d: int, hidden: int, n_out: int) -> None:
        super().__init__()
        self.first = nn.Linear(d, hidden, bias=False)
        self.second = nn.Linear(hidden, n_out, bias=False)

    def forward(self, x: Tensor, mol_index: Tensor, place: Tensor,
                n_atoms: Tensor, length: int) -> Tensor:
        """(A, d) to (M, n_out·d); see `padded`."""
        shape = (mol_index, place, len(n_atoms), length)
        scores = padded(self.second(torch.tanh(self.first(x))), *shape)
        absent = torch.arange(length, device=x.device) >= n_atoms[:, None]
        weights = scores.masked_fill(absent[..., None], -torch.inf).softmax(1)
        return (weights.transpose(1, 2) @ padded(x, *shape)).flatten(1)
