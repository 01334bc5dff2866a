"""GraphSAM as its authors' released code has it, departure by departure."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from typing_extensions import Self

from deepchem_graphsam.optim import tensors
from deepchem_graphsam.optim.base import Closure
from deepchem_graphsam.optim.direction import Direction
from deepchem_graphsam.optim.graphsam import GraphSAM


class ReleasedGraphSAM(GraphSAM):
    r"""`GraphSAM` with the departures of the paper's released code, each a switch.

    As built by default it does what that code did on the CUDA builds of its time. The
    release's schedule of rho belongs to it: `CompoundingRho`. With all switches off it
    is `GraphSAM`. ``docs/released_code.md`` compares paper and code point by point.

    Passes per step: 1 + 1/S. Extra memory: three copies of the weights (two without
    `adaptive` and `clip_radius`).

    Parameters
    ----------
    base_optimizer: torch.optim.Optimizer
        the built optimizer that makes the update
    rho: float
        initial radius
    per_tensor: bool
        divide each tensor of :math:`\omega` by its own norm before it is averaged, and
        not all of them by the norm of all
    adaptive: bool
        move along :math:`\theta^2 \epsilon`, and measure by
        :math:`\|\,|\theta|\,\epsilon\|`: the adaptive form of SAM, with
        :math:`\eta = 0`, on all tensors
    clip_radius: float, optional
        no tensor moves further than so many rho; the release's ``radius`` is rho, 1.0
        here. Without `adaptive` or `vanishing_norm`, 1.0 changes nothing: no tensor
        is longer than all together.
    vanishing_norm: bool
        beside anchor steps, divide by 1e-12 and not by the norm, as the release does,
        which measures gradients that it has zeroed before. So each tensor moves by
        `clip_radius` times rho, and all together by :math:`\sqrt n` times as much
        with n tensors. Needs `clip_radius`.
    loss_weighted_gradient: bool
        multiply the gradient that the base optimizer uses by the loss, as
        ``loss.backward(loss.detach())`` does; anchors are not multiplied
    beta, k, anchor_every, normalise_anchor, **options
        as for `GraphSAM`

    Raises
    ------
    ValueError
        for a `clip_radius` that is not positive, or `vanishing_norm` without one

    References
    ----------
    .. [1] Wang et al. "Efficient sharpness-aware minimization for molecular graph
        transformer models." ICLR 2024, and https://github.com/YL-wang/GraphSAM as of
        commit 05d2a96.

    Examples
    --------
    >>> model = nn.Linear(3, 1)
    >>> optimizer = ReleasedGraphSAM(torch.optim.Adam(model.parameters()))
    >>> x, y = torch.randn(8, 3), torch.randn(8, 1)
    >>> def closure():
    ...     optimizer.zero_grad()
    ...     loss = ((model(x) - y)**2).mean()
    ...     loss.backward()
    ...     return loss
    >>> for batch in range(10):
    ...     loss = optimizer.step(closure)
    >>> optimizer.evaluations
    11
    """

    def __init__(self,
                 base_optimizer: Optimizer,
                 rho: float = 0.05,
                 *,
                 per_tensor: bool = True,
                 adaptive: bool = True,
                 clip_radius: float | None = 1.0,
                 vanishing_norm: bool = True,
                 loss_weighted_gradient: bool = True,
                 beta: float = 0.99,
                 k: int = 1,
                 anchor_every: int | None = None,
                 normalise_anchor: bool = False,
                 **options: Any) -> None:
        super().__init__(base_optimizer,
                         rho,
                         beta=beta,
                         k=k,
                         anchor_every=anchor_every,
                         normalise_anchor=normalise_anchor,
                         **options)
        if clip_radius is not None and not clip_radius > 0:
            raise ValueError(
                f"clip_radius must be positive, and is {clip_radius}")
        if vanishing_norm and clip_radius is None:
            raise ValueError(
                "vanishing_norm divides by 1e-12: without a clip_radius the weights "
                "would fly off. Give both or neither")
        self.per_tensor = per_tensor
        self.adaptive = adaptive
        self.clip_radius = clip_radius
        self.vanishing_norm = vanishing_norm
        self.loss_weighted_gradient = loss_weighted_gradient

    def _average(self, omega: Direction) -> None:
        if self.per_tensor:
            omega = Direction(
                {
                    p: part * tensors.reciprocal_or_zero(_length(part))
                    for p, part in omega.parts.items()
                }, torch.ones_like(omega.norm))
        super()._average(omega)

    @torch.no_grad()
    def _heading(self) -> Direction:
        heading = super()._heading()
        if self.adaptive:
            once = {p: p.abs() * part for p, part in heading.parts.items()}
            heading = Direction({
                p: p.abs() * part for p, part in once.items()
            }, tensors.global_norm(list(once.values())))
        if self.vanishing_norm and self._steps_since_anchor:
            # of ε, which is _scale times what is kept
            heading = Direction(heading.parts,
                                1e-12 * tensors.reciprocal_or_zero(self._scale))
        if self.clip_radius is not None:
            longest = self.clip_radius * heading.norm
            heading = Direction(
                {
                    p:
                        part * (longest * tensors.reciprocal_or_zero(
                            _length(part))).clamp(max=1.0)
                    for p, part in heading.parts.items()
                }, heading.norm)
        return heading

    def _gradient(self, closure: Closure | None, cost: float = 1) -> Tensor:
        loss = super()._gradient(closure, cost)
        if self.loss_weighted_gradient and self.perturbs:  # and so no anchor
            weight = _mean_over_processes(loss)
            for p in self._parameters():
                if p.grad is not None:
                    p.grad.mul_(weight)
        return loss

    def attach(self, *modules: nn.Module, **options: Any) -> Self:
        """As for `GraphSAM`; a loop without closure does not tell its loss.

        Raises
        ------
        ValueError
            with `loss_weighted_gradient`
        """
        if self.loss_weighted_gradient:
            raise ValueError(
                "the loss that loss_weighted_gradient multiplies by is known with a "
                "closure only: set it to False, or give step a closure")
        return super().attach(*modules, **options)


def _mean_over_processes(loss: Tensor) -> Tensor:
    """All processes have the mean gradient, and must multiply it by the same."""
    distributed = torch.distributed
    if not (distributed.is_available() and distributed.is_initialized()):
        return loss
    mean = loss.clone()
    distributed.all_reduce(mean)
    return mean / distributed.get_world_size()


def _length(part: Tensor) -> Tensor:
    """The norm of one tensor, in float32 or better."""
    return torch.linalg.vector_norm(part, dtype=tensors.wide(part.dtype))
