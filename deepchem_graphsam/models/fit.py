"""The fit loop: a mixin that gives any `TorchModel` sharpness-aware training."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from deepchem_graphsam._host import dc
from deepchem_graphsam.models.batched import Batched
from deepchem_graphsam.models.loop import Plan, TrainingLoop
from deepchem_graphsam.models.run import RunState, Validation, fingerprint
from deepchem_graphsam.models.scored import Scored
from deepchem_graphsam.models.stored import Stored
from deepchem_graphsam.optim import (
    STRATEGIES,
    RhoScheduler,
    SharpnessAware,
    Strategy,
    running_statistics,
)
from deepchem_graphsam.optim.rng import RandomStream

logger = logging.getLogger(__name__)


class SharpnessAwareFit(Batched, Scored, Stored):
    """Replaces a `TorchModel`'s training by a sharpness-aware one.

    Put it before the model: ``class SAMDMPNN(SharpnessAwareFit,
    dc.models.DMPNNModel)``. All arguments but those below go to the model.

    Parameters
    ----------
    strategy: str or callable
        a name of `STRATEGIES`, or a function from a built optimizer and options
        to a `SharpnessAware`, such as a class of yours
    strategy_options: dict, optional
        what the strategy takes: ``{"rho": 0.01}``
    rho_schedule: str or callable, optional
        a name of `RHO_SCHEDULES`, or epoch to factor on the initial rho, such as
        ``StepRho(gamma=0.2)``; by default the strategy's own
    accumulate: int
        batches that make up one step. The gradient is that of all their labels
        together, so that ``batch_size=8, accumulate=4`` trains as 32 does in a
        quarter of the memory, but for what rounds differently.
    autocast: torch.dtype, optional
        run forward passes of training in ``torch.bfloat16`` where torch deems it
        safe; weights and updates stay in float32
    seed: int, optional
        makes a run repeat itself: initialisation, shuffling, dropout. The global
        generators of the program stay untouched. Without a seed they are used.

    Attributes
    ----------
    history: list of dict
        one record per epoch

    Examples
    --------
    >>> import numpy as np
    >>> class SAMClassifier(SharpnessAwareFit, dc.models.MultitaskClassifier):
    ...     pass
    >>> rng = np.random.default_rng(0)
    >>> X = rng.random((20, 5))
    >>> data = dc.data.NumpyDataset(X, (X[:, :1] > 0.5).astype(float))
    >>> model = SAMClassifier(1, 5, strategy="sam", seed=0)
    >>> loss = model.fit(data, nb_epoch=2)
    >>> len(model.history)
    2
    """

    def __init__(self,
                 *args: Any,
                 strategy: str | Callable[..., SharpnessAware] = "graphsam",
                 strategy_options: dict[str, Any] | None = None,
                 rho_schedule: Any = None,
                 accumulate: int = 1,
                 autocast: torch.dtype | None = None,
                 seed: int | None = None,
                 **kwargs: Any) -> None:
        if accumulate < 1:
            raise ValueError(f"accumulate is at least 1, and is {accumulate}")
        if autocast not in (None, torch.bfloat16):
            raise ValueError(
                f"autocast is None or torch.bfloat16, not {autocast}: float16 "
                "needs a gradient scaler")
        self.accumulate = accumulate
        self.autocast = autocast
        self.strategy = strategy
        self.strategy_options = dict(strategy_options or {})
        self._strategy = (STRATEGIES[strategy] if isinstance(strategy, str) else
                          Strategy(strategy, "?", "?", "a strategy of yours"))
        self._rho_factor = rho_schedule or self._strategy.rho_schedule
        # The optimizer is built when training starts; what is wrong with its
        # options is said now.
        RhoScheduler(
            self._strategy.build(torch.optim.SGD([torch.zeros(1)], lr=0.0),
                                 **self.strategy_options), self._rho_factor)
        self.seed = seed
        self._rng = RandomStream(seed)
        self._run = RunState()
        self._batch_ids: Sequence[Any] | None = None
        with self._rng.active():
            super().__init__(*args, **kwargs)

    @property
    def history(self) -> list[dict[str, Any]]:
        """One record per epoch: epoch, loss, valid, learning rate, rho, evaluations."""
        return self._run.history

    @property
    def best_score(self) -> float | None:
        """Best validation score of the last ``fit``, if it had a validation set."""
        return self._run.best_score

    @property
    def best_epoch(self) -> int:
        """The epoch, counted from 1, that had it."""
        return self._run.best_epoch + 1

    # --- building ---------------------------------------------------------------

    def _ensure_built(self) -> None:
        if self._built:
            return
        super()._ensure_built()
        base: Any = self._pytorch_optimizer  # type: ignore[has-type]
        self._pytorch_optimizer = self._wrap(base)
        self._rho_schedule = RhoScheduler(self._pytorch_optimizer,
                                          self._rho_factor)

    def _wrap(self, base_optimizer: torch.optim.Optimizer) -> SharpnessAware:
        return self._strategy.build(base_optimizer,
                                    buffers=running_statistics(self.model),
                                    **self.strategy_options)

    def _tools(self, variables: Any) -> tuple[SharpnessAware, Any, Any]:
        """Strategy, learning-rate schedule and rho schedule for some variables."""
        if variables is None:
            return (self._pytorch_optimizer, self._lr_schedule,
                    self._rho_schedule)
        key = tuple(variables)
        if key not in self._optimizer_for_vars:
            base = self.optimizer._create_pytorch_optimizer(key)
            rate = self.optimizer.learning_rate
            schedule = None
            if isinstance(rate, dc.models.optimizers.LearningRateSchedule):
                schedule = rate._create_pytorch_schedule(base)
            optimizer = self._wrap(base)
            rho = RhoScheduler(optimizer, self._rho_factor)
            self._optimizer_for_vars[key] = optimizer, schedule, rho
        return self._optimizer_for_vars[key]

    # --- training -----------------------------------------------------------------

    def fit(self,
            dataset: Any,
            nb_epoch: int = 10,
            max_checkpoints_to_keep: int = 5,
            checkpoint_interval: int = 1000,
            deterministic: bool = False,
            restore: bool = False,
            variables: Sequence[torch.nn.Parameter] | None = None,
            loss: Callable[..., Tensor] | None = None,
            callbacks: Any = (),
            all_losses: list[float] | None = None,
            *,
            valid: Any = None,
            metric: Any = None,
            transformers: Sequence[Any] = (),
            higher_is_better: bool | None = None,
            patience: int | None = None,
            progress: bool | None = None) -> float:
        """Train on a dataset, as ``TorchModel.fit`` does, and more.

        Parameters
        ----------
        dataset: dc.data.Dataset
            the training set
        nb_epoch: int
            epochs of this call; with ``restore=True``, of the run in all
        max_checkpoints_to_keep, checkpoint_interval:
            how many checkpoints stay, and steps between them (0: none)
        deterministic: bool
            keep the order of the samples instead of shuffling every epoch
        restore: bool
            continue an interrupted run from the newest checkpoint in
            ``model_dir``: the result is the same, bit for bit, as without the
            interruption. Without a checkpoint, start from the beginning.
        variables, loss, callbacks, all_losses:
            as for ``TorchModel.fit``; a callback is ``f(model, step)``
        valid: dc.data.Dataset, optional
            validation set. It is scored after each epoch, and at the end the
            model has the weights of the best epoch.
        metric: dc.metrics.Metric
            what `valid` is scored by
        transformers: sequence of dc.trans.Transformer
            undone before scoring
        higher_is_better: bool, optional
            known of the usual metrics; needed for one of your own
        patience: int, optional
            stop after so many epochs without a better score
        progress: bool, optional
            a progress bar; None shows one on a terminal and in a notebook, and
            logs elsewhere

        Returns
        -------
        float
            mean loss of the steps since the last log line

        Raises
        ------
        ValueError
            if the dataset is empty, or a checkpoint is of another model,
            strategy or dataset
        FloatingPointError
            if the loss is not finite
        """
        self._prepare_fit(dataset)
        validation = Validation.of(valid, metric, transformers,
                                   higher_is_better, patience,
                                   getattr(self, "mode", None))
        steps = self.steps_per_epoch(dataset)
        rate = self.optimizer.learning_rate
        if getattr(rate, "steps_per_epoch", steps) is None:
            rate.steps_per_epoch = steps

        def batches() -> Iterable[Any]:
            return self.default_generator(dataset,
                                          epochs=1,
                                          deterministic=deterministic)

        self._begin(restore, fingerprint(dataset))
        return self._train(
            Plan(batches, nb_epoch, steps, max_checkpoints_to_keep,
                 checkpoint_interval, loss, callbacks, all_losses, validation,
                 progress), variables)

    def fit_generator(self,
                      generator: Iterable[Any],
                      max_checkpoints_to_keep: int = 5,
                      checkpoint_interval: int = 1000,
                      restore: bool = False,
                      variables: Any = None,
                      loss: Callable[..., Tensor] | None = None,
                      callbacks: Any = (),
                      all_losses: list[float] | None = None,
                      *,
                      progress: bool | None = False) -> float:
        """Train on batches from a generator, which counts as one epoch.

        Parameters and return value are those of ``TorchModel.fit_generator``.
        """
        if restore:
            self.restore()
        self._ensure_built()
        self._run.begin("a generator")
        return self._train(
            Plan(lambda: generator, 1, None, max_checkpoints_to_keep,
                 checkpoint_interval, loss, callbacks, all_losses, None,
                 progress), variables)

    def fit_on_batch(self,
                     X: Sequence[Any],
                     y: Any,
                     w: Any,
                     variables: Any = None,
                     loss: Callable[..., Tensor] | None = None,
                     callbacks: Any = (),
                     checkpoint: bool = True,
                     max_checkpoints_to_keep: int = 5) -> float:
        """One step on one batch, within the present epoch.

        Parameters and return value are those of ``TorchModel.fit_on_batch``.
        """
        self._ensure_built()
        dataset = dc.data.NumpyDataset(X, y, w)
        plan = Plan(
            lambda: self.default_generator(dataset, deterministic=False), 1,
            None, max_checkpoints_to_keep, 0, loss, callbacks, None, None,
            False)
        with self._rng.active():
            mean = TrainingLoop(self, plan, *self._tools(variables)).steps()
        if checkpoint:
            self.save_checkpoint(max_checkpoints_to_keep)
        return mean

    def _prepare_fit(self, dataset: Any) -> None:
        """Look at the training set, and refuse one that cannot be trained on."""
        if len(dataset) == 0:
            raise ValueError("the dataset is empty")

    def steps_per_epoch(self, dataset: Any) -> int:
        """Steps that an epoch over this dataset takes."""
        return math.ceil(
            math.ceil(len(dataset) / self.batch_size) / self.accumulate)

    def _begin(self, restore: bool, dataset: str) -> None:
        """Start a run, or take one up where its newest checkpoint left it."""
        self._ensure_built()
        if restore and not self.get_checkpoints():
            # Killed before its first checkpoint, a run begins again.
            logger.warning("no checkpoint in %s: starting from the beginning",
                           self.model_dir)
            restore = False
        if not restore:
            self._run.begin(dataset)
            return
        self.restore()
        run = self._run
        if run.dataset != dataset:
            raise ValueError(
                f"the checkpoint in {self.model_dir} was made while training on "
                f"another dataset ({run.dataset}), and this one has {dataset}")
        if run.last_weights is not None:
            self.model.load_state_dict(run.last_weights)
            run.last_weights = None

    def _train(self, plan: Plan, variables: Any) -> float:
        tools = self._tools(variables)
        if plan.steps is not None:
            tools[0].expect(plan.epochs * plan.steps)
        with self._rng.active():
            return TrainingLoop(self, plan, *tools).run()
