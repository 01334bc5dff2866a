"""The closure that a step of training hands to its strategy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from deepchem_graphsam.models.batched import Batch
from deepchem_graphsam.optim import SharpnessAware


class StepClosure:
    """Passes over the batches that make up a step, like a `SampleClosure`.

    The gradient is that of all labels together, however they are divided into
    batches, and of the labels of the chosen samples in a pass over some.

    Parameters
    ----------
    model: TorchModel with `SharpnessAwareFit`
    optimizer: SharpnessAware
    loss: function
        of outputs, labels and weights
    batches: list
        prepared
    ids: sequence
        of the samples of each batch, or None
    check: function
        called on the CPU with each loss and its ids, before the backward
    """

    def __init__(self, model: Any, optimizer: SharpnessAware,
                 loss: Callable[..., Tensor], batches: list[Batch],
                 ids: Sequence[Any], check: Callable[[Tensor, Any],
                                                     None]) -> None:
        self.model = model
        self.optimizer = optimizer
        self.loss = loss
        self.batches = batches
        self.ids = ids
        self.check = check
        self.shares = self._shares(batches)

    def __call__(self, rows: Tensor | None = None) -> Tensor:
        """A pass over some samples, counted through the batches, or over all."""
        batches, shares, ids = self.batches, self.shares, self.ids
        if rows is not None:
            batches, ids = self._chosen(rows)
            shares = self._shares(batches)
        self.optimizer.zero_grad()
        losses = [
            self._close(self.model._batch_loss(*batch, self.loss), share, names)
            for batch, share, names in zip(batches, shares, ids, strict=True)
        ]
        return _sum(losses)

    def samples(self, backward: bool = False) -> tuple[Tensor, Tensor]:
        """The loss, and (M,) those of the samples, whose mean it is."""
        if backward:
            self.optimizer.zero_grad()
        losses, each = [], []
        for batch, share, names in zip(self.batches,
                                       self.shares,
                                       self.ids,
                                       strict=True):
            loss, own = self.model._sample_losses(*batch, self.loss)
            losses.append(self._close(loss, share, names, backward))
            each.append(own if share is None else own * (share / len(own)))
        if len(each) == 1:
            return losses[0], each[0]
        together = torch.cat(each)
        return _sum(losses), together * len(together)

    def _close(self,
               loss: Tensor,
               share: float | None,
               ids: Any,
               backward: bool = True) -> Tensor:
        """Weigh, look at, and differentiate the loss of a batch; returns it bare."""
        if share is not None:
            loss = loss * share
        # Reading a value makes a GPU wait; there the log looks at times.
        if loss.device.type == "cpu":
            self.check(loss.detach(), ids)
        if backward:
            loss.backward()
        return loss.detach()

    def _shares(self, batches: list[Batch]) -> list[float | None]:
        """What each batch counts in a step, by its labels; None if it is alone."""
        if len(batches) == 1:
            return [None]
        counts = [
            float(self.model._label_counts(labels, w).sum().clamp(min=1))
            for _, labels, w in batches
        ]
        return [count / sum(counts) for count in counts]

    def _chosen(self, rows: Tensor) -> tuple[list[Batch], list[Any]]:
        """The parts of the batches that hold these samples, and their ids."""
        rows = rows.cpu()  # a GPU has to wait: molecules are chosen on the host
        batches: list[Batch] = []
        ids: list[Any] = []
        start = 0
        for batch, names in zip(self.batches, self.ids, strict=True):
            own = rows[(rows >= start) &
                       (rows < start + len(batch[1][0]))] - start
            start += len(batch[1][0])
            if len(own):
                batches.append(self.model._part(batch, own))
                ids.append(None if names is
                           None else [names[i] for i in own.tolist()])
        return batches, ids


def _sum(losses: list[Tensor]) -> Tensor:
    return losses[0] if len(losses) == 1 else torch.stack(losses).sum()
