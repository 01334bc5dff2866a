"""Vectors over all weights, and how strategies keep one from step to step."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from deepchem_graphsam.optim import tensors


@dataclass(frozen=True)
class Direction:
    """A vector over all weights: one tensor for each parameter that has a part.

    Attributes
    ----------
    parts: dict[Tensor, Tensor]
        parameter to tensor of the same shape
    norm: Tensor of shape ()
        L2 norm over all parts together
    """
    parts: dict[Tensor, Tensor]
    norm: Tensor

    @classmethod
    def of(cls, parts: dict[Tensor, Tensor]) -> Direction:
        """The direction with these parts, its norm worked out."""
        return cls(parts, tensors.global_norm(list(parts.values())))


@dataclass(frozen=True)
class Move:
    """A displacement of some weights that can be undone.

    Attributes
    ----------
    params, parts: lists of Tensor
        of equal shapes, one by one
    scale: Tensor of shape ()
        ``params += scale * parts``
    saved: list of Tensor, optional
        keeps the weights meanwhile; without it, undoing subtracts
    """
    params: list[Tensor]
    parts: list[Tensor]
    scale: Tensor
    saved: list[Tensor] | None

    @classmethod
    def along(cls, direction: Direction, params: Iterable[Tensor],
              scale: Tensor, places: dict[Tensor, Tensor] | None) -> Move:
        """For those of `params` that the direction has parts for.

        `places` has, or is given, where each parameter is saved.
        """
        known, parts = [], []
        for p in params:
            part = direction.parts.get(p)
            if part is not None:
                known.append(p)
                parts.append(part)
        saved = None
        if places is not None:
            saved = [_place(places, p) for p in known]
        return cls(known, tensors.like(parts, known), scale, saved)

    def make(self) -> None:
        """Away, by `scale` times the parts."""
        if self.saved is None:
            tensors.add_scaled_(self.params, self.parts, self.scale)
        else:
            tensors.move_(self.params, self.parts, self.scale, self.saved)

    def undo(self) -> None:
        """And back."""
        if self.saved is None:
            tensors.add_scaled_(self.params, self.parts, -self.scale)
        else:
            tensors.copy_(self.params, self.saved)


def _place(places: dict[Tensor, Tensor], p: Tensor) -> Tensor:
    place = places.get(p)
    if place is None:
        place = places[p] = torch.empty_like(p)
    return place


def make_room(kept: dict[Tensor, Tensor], direction: Direction) -> None:
    """Zeros in `kept` for parameters that never had a gradient before."""
    for p, part in direction.parts.items():
        if p not in kept:
            kept[p] = torch.zeros_like(part, dtype=tensors.wide(p.dtype))


def keep(kept: dict[Tensor, Tensor], direction: Direction) -> None:
    """Copy a direction into `kept`, zero where it has no part."""
    for p, part in kept.items():
        if p not in direction.parts:
            part.zero_()
    make_room(kept, direction)
    tensors.copy_([kept[p] for p in direction.parts],
                  list(direction.parts.values()))
