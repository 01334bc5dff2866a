"""What a model computes on a prepared batch, and on a part of one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from deepchem_graphsam._host import TorchModelMixin, dc

Batch = tuple[Any, Sequence[Tensor], Sequence[Tensor]]
"""What ``_prepare_batch`` gives: inputs, labels, weights."""


class Batched(TorchModelMixin):
    """A mixin for a `TorchModel`: losses of batches, of samples, of parts."""

    def _batch_loss(self, inputs: Any, labels: Any, weights: Any,
                    loss: Callable[..., Tensor]) -> Tensor:
        """The loss of a batch, as ``TorchModel`` computes it."""
        with self._autocast():
            if isinstance(self, dc.models.torch_models.ModularTorchModel):
                return self.loss_func(_alone(inputs), labels, weights)
            return loss(self._outputs(inputs), labels, weights)

    def _sample_losses(self, inputs: Any, labels: Any, weights: Any,
                       loss: Callable[..., Tensor]) -> tuple[Tensor, Tensor]:
        """The loss of a batch, and what each sample contributes to it.

        Parameters
        ----------
        inputs, labels, weights:
            of M samples
        loss: function
            a mean over labels. Of one that is not, such as the root of a mean,
            samples contribute their own loss in proportion to their labels.

        Returns
        -------
        tuple of Tensor
            of shape (), and of shape (M,) without a graph, whose mean it is
        """
        if isinstance(self, dc.models.torch_models.ModularTorchModel):
            raise TypeError(
                f"{type(self).__name__} computes the loss of a batch as a whole "
                "(loss_func), and this strategy needs that of each sample. Choose "
                "another strategy, or for esam gamma=1")
        with self._autocast():
            outputs = self._outputs(inputs)
            self._check_rows("outputs", outputs, labels)
            batch_loss = loss(outputs, labels, weights)
            with torch.no_grad():
                own = torch.vmap(lambda *parts: loss(
                    *([t[None] for t in tensors] for tensors in parts)))(
                        outputs, list(labels), list(weights))
        counts = self._label_counts(labels, weights)
        share = counts / counts.sum().clamp(min=1)
        return batch_loss, own.float() * share * len(own)

    def _label_counts(self, labels: Sequence[Tensor],
                      weights: Sequence[Tensor]) -> Tensor:
        """(M,) float, over how many labels of each sample the loss is a mean."""
        n = len(labels[0])
        each = weights[0].numel() / max(n, 1) if weights else 1.0
        return torch.full((n,), each, device=labels[0].device)

    def _part(self, batch: Batch, rows: Tensor) -> Batch:
        """The samples `rows`, (m,) int64 on the CPU, of a prepared batch."""
        inputs, labels, weights = batch
        there = rows.to(labels[0].device)
        return (self._part_of_inputs(inputs, labels, rows),
                [t[there] for t in labels], [t[there] for t in weights])

    def _part_of_inputs(self, inputs: Any, labels: Sequence[Tensor],
                        rows: Tensor) -> Any:
        self._check_rows("inputs", inputs, labels)
        return [t[rows.to(t.device)] for t in inputs]

    def _check_rows(self, what: str, tensors: Any,
                    labels: Sequence[Tensor]) -> None:
        """Refuse what is not cut into samples by its first dimension."""
        tensors = tensors if isinstance(tensors, (list, tuple)) else [tensors]
        for t in tensors:
            if not isinstance(t, Tensor):
                found = f"a {type(t).__name__}"
            elif t.dim() == 0 or len(t) != len(labels[0]):
                found = f"a tensor of shape {tuple(t.shape)}"
            else:
                continue
            raise TypeError(
                f"among the {what} of {type(self).__name__} is {found}, and this "
                "strategy has to take single samples of a batch: it needs tensors "
                f"with a row for each of the {len(labels[0])} samples. Choose "
                "another strategy, or for esam gamma=1")

    def _outputs(self, inputs: Any) -> list[Tensor]:
        """What the network gives and the loss is computed from."""
        outputs = self.model(_alone(inputs))
        if isinstance(outputs, Tensor):
            outputs = [outputs]
        if self._loss_outputs is not None:
            outputs = [outputs[i] for i in self._loss_outputs]
        return list(outputs)

    def _autocast(self) -> Any:
        return torch.autocast(self.device.type,
                              dtype=self.autocast,
                              enabled=self.autocast is not None)


def _alone(inputs: Any) -> Any:
    """A list of one input is handed to the network as that input."""
    if isinstance(inputs, list) and len(inputs) == 1:
        return inputs[0]
    return inputs
