"""SAM and its adaptive form ASAM."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from deepchem_graphsam.optim import tensors
from deepchem_graphsam.optim.base import Closure, SharpnessAware
from deepchem_graphsam.optim.direction import Direction


class SAM(SharpnessAware):
    r"""Sharpness-aware minimization.

    .. math::

        \epsilon = \nabla L(\theta), \quad
        \hat\epsilon = \rho\,\epsilon / \|\epsilon\|_2, \quad
        \omega = \nabla L(\theta + \hat\epsilon), \quad
        \theta \leftarrow U(\omega)

    With ``adaptive=True``, the scale-invariant form of ASAM: with
    :math:`T = |\theta| + \eta` on weights and 1 on biases and norms,
    :math:`\hat\epsilon = \rho\,T^2 g / \|T g\|_2`.

    Passes per step: 2. Extra memory: one copy of the weights (none if `lean`).

    Parameters
    ----------
    base_optimizer: torch.optim.Optimizer
        the built optimizer that makes the update :math:`U`
    rho: float
        radius; 0.05 in [1]_ and in the GraphSAM paper, 0.5 suits the adaptive
        form [2]_
    adaptive: bool
        ASAM instead of SAM
    eta: float
        the :math:`\eta` of ASAM
    adapt_vectors: bool
        let T scale tensors of fewer than two dimensions too, as the text of [2]_
        has it. By default it does not, as its released code has it.
    **options
        `max_grad_norm`, `buffers`, `lean`: see `SharpnessAware`

    References
    ----------
    .. [1] Foret et al. "Sharpness-aware minimization for efficiently improving
        generalization." ICLR 2021.
    .. [2] Kwon et al. "ASAM: Adaptive sharpness-aware minimization for
        scale-invariant learning of deep neural networks." ICML 2021.

    Examples
    --------
    >>> model = torch.nn.Linear(3, 1)
    >>> optimizer = SAM(torch.optim.Adam(model.parameters()), rho=0.05)
    >>> x, y = torch.randn(8, 3), torch.randn(8, 1)
    >>> def closure():
    ...     optimizer.zero_grad()
    ...     loss = ((model(x) - y)**2).mean()
    ...     loss.backward()
    ...     return loss
    >>> loss = optimizer.step(closure)
    >>> optimizer.evaluations
    2
    """

    def __init__(self,
                 base_optimizer: Optimizer,
                 rho: float = 0.05,
                 *,
                 adaptive: bool = False,
                 eta: float = 0.01,
                 adapt_vectors: bool = False,
                 **options: Any) -> None:
        super().__init__(base_optimizer, rho, **options)
        if eta < 0:
            raise ValueError(f"eta must not be negative, and is {eta}")
        self.adaptive = adaptive
        self.eta = eta
        self.adapt_vectors = adapt_vectors

    @torch.no_grad()
    def step(self, closure: Closure | None = None) -> Tensor:  # type: ignore
        """One step; returns the loss at θ, before the perturbation."""
        loss = self._extra_gradient(closure)
        epsilon = self._current_gradients()
        if self.adaptive:
            epsilon = self._scaled(epsilon)
        with self._perturbed(epsilon):
            self._gradient(closure)
        self._update()
        return loss

    def _scaled(self, gradient: Direction) -> Direction:
        """``T² g``, and as its norm ``‖T g‖``: ``rho`` then has ASAM's meaning.

        In the place of the gradient, which nobody reads again.
        """
        self._multiply(gradient)
        norm = tensors.global_norm(list(gradient.parts.values()))
        self._multiply(gradient)
        return Direction(gradient.parts, norm)

    def _multiply(self, gradient: Direction) -> None:
        """By T: each element by ``|θ| + eta``."""
        for p, part in gradient.parts.items():
            if p.dim() > 1 or self.adapt_vectors:
                part.mul_(p.abs().add_(self.eta))


class ASAM(SAM):
    """`SAM` with ``adaptive=True`` and the radius that suits it, 0.5.

    Passes per step: 2. Extra memory: one copy of the weights (none if `lean`).

    Parameters
    ----------
    base_optimizer: torch.optim.Optimizer
    rho: float
        0.5 in Kwon et al. 2021
    **options
        as for `SAM`

    Examples
    --------
    >>> weight = torch.nn.Parameter(torch.ones(2))
    >>> ASAM(torch.optim.SGD([weight])).param_groups[0]["rho"]
    0.5
    """

    def __init__(self,
                 base_optimizer: Optimizer,
                 rho: float = 0.5,
                 *,
                 eta: float = 0.01,
                 adapt_vectors: bool = False,
                 **options: Any) -> None:
        super().__init__(base_optimizer,
                         rho,
                         adaptive=True,
                         eta=eta,
                         adapt_vectors=adapt_vectors,
                         **options)
