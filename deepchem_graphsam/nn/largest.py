"""The largest row of each group, column by column."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class _LargestOf(torch.autograd.Function):

    @staticmethod
    def forward(ctx: Any, x: Tensor, group: Tensor, n_groups: int) -> Tensor:
        largest = x.new_zeros(n_groups, x.shape[1])
        largest.scatter_reduce_(0,
                                group[:, None].expand_as(x),
                                x,
                                "amax",
                                include_self=False)
        ctx.save_for_backward(x, group, largest)
        return largest

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        x, group, largest = ctx.saved_tensors
        # 1 where a row is the largest, 0 elsewhere; a comparison takes ten times as long
        behind = largest.index_select(0, group).sub_(x).sign_()
        chosen = behind.neg_().add_(1)
        count = torch.zeros_like(grad).index_add_(0, group, chosen)
        share = grad / count.clamp_(min=1)
        return share.index_select(0, group).mul_(chosen), None, None


def largest_of(x: Tensor, group: Tensor, n_groups: int) -> Tensor:
    """The largest of the rows of each group, column by column; 0 where there is none.

    Rows that are equally large share the gradient. Atoms that a molecule's symmetry exchanges
    are, so this is no rare case. (The gradient of ``torch.segment_reduce(x, "max")``, up to
    torch 2.13 at least, counts a negative one once for each of them.)

    Parameters
    ----------
    x: Tensor
        (N, d)
    group: Tensor
        (N,) int64, below `n_groups`

    Returns
    -------
    Tensor
        (n_groups, d)

    Examples
    --------
    >>> x = torch.tensor([[1.], [-2.], [-4.]])
    >>> largest_of(x, group=torch.tensor([1, 1, 0]), n_groups=3).tolist()
    [[-4.0], [1.0], [0.0]]
    """
    return _LargestOf.apply(x, group, n_groups)
