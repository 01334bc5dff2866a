"""Arithmetic on lists of tensors, without ever waiting for a GPU.

A scalar that a step computes (a norm, a mixing weight) is a tensor without
dimensions. On a CPU reading its value is free; on a GPU it would make the host
wait, so there it stays a tensor.

On a CPU with numba installed, dense tensors go through the fewer passes over
memory of `passes`; everything else through torch's operations on lists.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor


@lru_cache(maxsize=1)
def _compiled() -> Any:
    """The module `passes`, or None where numba is not installed."""
    try:
        from deepchem_graphsam.optim import passes
    except ImportError:
        return None
    return passes


def passes_for(*lists: list[Tensor]) -> Any:
    """`passes`, if it is there and takes these tensors, else None."""
    if not lists[0] or not lists[0][0].is_cpu or not (passes := _compiled()):
        return None
    return passes if passes.serve(*lists) else None


def global_norm(tensors: list[Tensor]) -> Tensor:
    """The L2 norm of all elements together, in float32 or better.

    Parameters
    ----------
    tensors: list of Tensor
        of any shapes; float16 and bfloat16 are summed in float32

    Returns
    -------
    Tensor of shape ()
        on the device of the first tensor; 0 for an empty list

    Examples
    --------
    >>> float(global_norm([torch.tensor([3.0]), torch.tensor([[4.0]])]))
    5.0
    """
    if not tensors:
        return torch.zeros(())
    if passes := passes_for(tensors):
        return tensors[0].new_tensor(math.sqrt(passes.sum_of_squares(tensors)))
    device = tensors[0].device
    norms = torch._foreach_norm([t.to(wide(t.dtype)) for t in tensors])
    return torch.linalg.vector_norm(
        torch.stack([norm.to(device) for norm in norms]))


def dot(left: list[Tensor], right: list[Tensor]) -> Tensor:
    """The inner product over all elements, in float32 or better.

    Parameters
    ----------
    left, right: lists of Tensor
        of equal shapes, pair by pair

    Returns
    -------
    Tensor of shape ()

    Examples
    --------
    >>> float(dot([torch.tensor([1.0, 2.0])], [torch.tensor([3.0, 4.0])]))
    11.0
    """
    if not left:
        return torch.zeros(())
    device = left[0].device
    return torch.stack([
        torch.sum(a * b, dtype=wide(a.dtype)).to(device)
        for a, b in zip(left, right, strict=True)
    ]).sum()


def like(parts: Iterable[Tensor | None],
         models: Iterable[Tensor]) -> list[Tensor]:
    """The parts in the dtypes of their models, zeros where there is no part.

    Examples
    --------
    >>> like([torch.ones(1), None], [torch.ones(1).bfloat16(), torch.ones(1)])
    [tensor([1.], dtype=torch.bfloat16), tensor([0.])]
    """
    return [
        torch.zeros_like(model) if part is None else
        part if part.dtype == model.dtype else part.to(model.dtype)
        for part, model in zip(parts, models, strict=True)
    ]


def copy_(targets: list[Tensor], sources: list[Tensor]) -> None:
    """``target[:] = source`` for each pair, in place."""
    if passes := passes_for(targets, sources):
        passes.copy_(targets, sources)
    elif targets:
        torch._foreach_copy_(targets, sources)


def add_scaled_(targets: list[Tensor], directions: list[Tensor],
                scale: Tensor) -> None:
    """``target += scale * direction`` for each pair.

    Parameters
    ----------
    targets, directions: lists of Tensor
        of equal shapes, pair by pair
    scale: Tensor of shape ()
    """
    if not targets:
        return
    if targets[0].device.type == "cpu":
        torch._foreach_add_(targets, directions, alpha=float(scale))
    else:
        torch._foreach_add_(targets, torch._foreach_mul(directions, scale))


def move_(targets: list[Tensor], directions: list[Tensor], scale: Tensor,
          before: list[Tensor]) -> None:
    """``target += scale * direction`` for each pair; `before` keeps the old target.

    Parameters
    ----------
    targets, directions, before: lists of Tensor
        of equal shapes, one by one
    scale: Tensor of shape ()
    """
    if passes := passes_for(targets, directions, before):
        passes.move_(targets, directions, before, float(scale))
    else:
        copy_(before, targets)
        add_scaled_(targets, directions, scale)


def lerp_(targets: list[Tensor], ends: list[Tensor], weight: Tensor) -> Tensor:
    """``target += weight * (end - target)`` for each pair.

    Parameters
    ----------
    targets, ends: lists of Tensor
        of equal shapes, pair by pair
    weight: Tensor of shape ()
        between 0 (nothing changes) and 1 (the target becomes the end)

    Returns
    -------
    Tensor of shape ()
        the L2 norm of all targets together, as they are now
    """
    if passes := passes_for(targets, ends):
        squares = passes.lerp_(targets, ends, float(weight))
        return targets[0].new_tensor(math.sqrt(squares))
    if not targets:
        return torch.zeros(())
    if targets[0].device.type == "cpu":
        torch._foreach_lerp_(targets, ends, float(weight))
    else:
        torch._foreach_mul_(targets, 1 - weight)
        torch._foreach_add_(targets, torch._foreach_mul(ends, weight))
    return global_norm(targets)


def reciprocal_or_zero(norm: Tensor) -> Tensor:
    """``1 / norm``, and 0 where the norm is 0: no direction, no step along it."""
    return norm.reciprocal().nan_to_num_(nan=math.nan, posinf=0.0)


def wide(dtype: torch.dtype) -> torch.dtype:
    """The dtype in which sums over `dtype` are kept: float32 at least."""
    return torch.promote_types(dtype, torch.float32)
