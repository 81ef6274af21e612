"""What is logged of an epoch in all lanes, losses and metrics: it leaves the device by one copy."""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable, Sequence
from functools import cached_property, partial

import torch
from torch import Tensor

from caviar.base.errors import name_and_text
from caviar.engines.experiment import Recipe
from caviar.engines.gpu import gpu_lost
from caviar.engines.stacked.backend import Backend
from caviar.engines.stacked.metrics import Metrics, Outputs, Targets
from caviar.engines.stacked.recording import ROUNDING, apart, recorded
from caviar.engines.stacked.tensors import LaneTensors

log = logging.getLogger(__name__)

Launched = tuple[Tensor, Tensor]
"""Rows of `Metrics.launch`, and probabilities; on a GPU it may still be at them."""


class Validation:
    """Validates all lanes.

    On a GPU a validation is a hundred launches, the same ones each time. Where the lanes' backend is
    ``recorded``, they become a CUDA graph at the first, if it comes to what they come to one by one.

    Args:
        tensors: what the lanes hold.
        recipe: whose validation part and metrics all have in common.

    Attributes:
        losses: ``(lanes,)``: of the epoch's steps, summed. It stays where it is in memory.
    """

    def __init__(self, tensors: LaneTensors, recipe: Recipe) -> None:
        self.losses = torch.zeros(tensors.lanes, dtype=tensors.course.dtype, device=tensors.device)
        self._tensors = tensors
        self._classes = recipe.val[1][: tensors.course.eval_samples]
        self._metrics = Metrics(recipe.metrics, tensors.num_classes)
        self._graphs: dict[Hashable, tuple[Callable[[], None], Launched] | None] = {}

    @property
    def train_losses(self) -> Tensor:
        """The mean loss of the epoch's steps, ``(lanes,)``."""
        return self.losses / self._tensors.course.steps

    def __call__(
        self, backend: Backend, lanes: Sequence[int], meanwhile: Callable[[], None]
    ) -> dict[str, Tensor]:
        """Of each lane what is logged, by its name, in double precision on the host: ``(lanes,)``.

        Args:
            backend: what evaluates the lanes.
            meanwhile: is called once all is launched, before the host waits for it.
        """
        rows, probabilities = self._launched(backend, lanes)
        meanwhile()
        return self._metrics.read(rows.cpu(), probabilities, self._targets, ("train/loss", "loss"))

    @cached_property
    def _targets(self) -> Targets:
        return Targets(self._classes, self._tensors.num_classes, self._tensors.device)

    def _launch(self, backend: Backend, lanes: Sequence[int]) -> Launched:
        probabilities, total = backend.evaluate(lanes)
        losses = self.train_losses, total / self._tensors.course.eval_samples
        return self._metrics.launch(Outputs(probabilities, self._targets), losses), probabilities

    def _launched(self, backend: Backend, lanes: Sequence[int]) -> Launched:
        launch = partial(self._launch, backend, lanes)
        if not backend.recorded:
            return launch()
        smoothing, weights = self._tensors.loss_settings
        key = type(backend), smoothing is None, weights is None
        if key not in self._graphs:
            one_by_one = launch()
            self._graphs[key] = _graph(launch, one_by_one[0])
            return one_by_one
        graph = self._graphs[key]
        if graph is None:
            return launch()
        replay, found = graph
        replay()
        return found


def _graph(
    launch: Callable[[], Launched], wanted: Tensor
) -> tuple[Callable[[], None], Launched] | None:
    """A validation recorded, which comes to the rows that are wanted; None where that cannot be."""
    try:
        replay, found = recorded(launch)
        replay()
        off = apart(found[0], wanted)
        if off <= ROUNDING:
            return replay, found
        why = f"it comes {off:.2g} away from what torch does"
    except Exception as error:
        if gpu_lost(error):
            raise
        why = name_and_text(error)
    log.info("validated without a CUDA graph: %s", why)
    return None
