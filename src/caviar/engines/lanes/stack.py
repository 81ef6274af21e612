"""Trainings side by side: every lane goes through its own epoch, and all of them step together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from time import perf_counter
from typing import Any

import numpy as np
import torch
from torch import Tensor

from caviar.base.errors import name_and_text
from caviar.engines.lanes.training import Training
from caviar.engines.progress import Ended, lightning_checkpoint
from caviar.engines.seats import Seats
from caviar.engines.stacked.backend import Backend, ByTorch, Steps
from caviar.engines.stacked.metrics import Metrics, Outputs
from caviar.engines.stacked.tensors import LaneTensors

_DRAWN_AT_ONCE = 1 << 20
"""Random numbers for dropout, a lane: a few steps' worth, so that memory stays small."""


class Stack(Seats[Training]):
    """Room for ``lanes`` trainings of one kind.

    Nothing that one lane computes reaches another, so a lane whose numbers are NaN harms nobody.

    Args:
        trainings: those it is for, of one kind; they are not admitted by this.
        lanes: how many there is room for.
        device: where it computes.

    Attributes:
        tensors: what the lanes hold.
        backend: what steps them, see `use`.
    """

    def __init__(self, trainings: Sequence[Training], lanes: int, device: str = "cpu") -> None:
        first = trainings[0]
        super().__init__(first.key, lanes)
        self.device = device
        self._course, self._optimizer = first.course, first.optimizer
        plans = [training.plan for training in trainings]
        self.tensors = LaneTensors(
            plans, first.course, first.optimizer, first.recipe, lanes, device
        )
        self.backend: Backend = ByTorch(self.tensors)
        self._metrics = Metrics(first.recipe.metrics, self.tensors.num_classes)
        self._order = torch.zeros(lanes, first.course.samples, dtype=torch.int64)
        self._snapshot: list[Tensor] = []
        self._generators = [torch.Generator() for _ in range(lanes)]

    def use(self, backend: type[Backend]) -> str | None:
        """Step the lanes by another backend from now on, which changes rounding; or say why it cannot."""
        if type(self.backend) is backend:
            return None
        found = backend.over(self.tensors)
        if isinstance(found, str):
            return found
        self.backend = found
        for lane, training in enumerate(self.trainings):
            if training is not None:
                found.admit(lane, training.plan)
        return None

    def admit(self, training: Training, lane: int | None = None) -> int:
        """Put a training on a lane, the first free one unless it is said which."""
        lane = super().admit(training, lane)
        self.tensors.begin(lane, training.plan, training.weights)
        self._set(lane, training)
        return lane

    def release(self, lane: int) -> None:
        """Empty a lane."""
        super().release(lane)
        self.tensors.clear(lane)

    def holds(self, training: Training) -> bool:
        """Whether its lanes are wide enough for a training of this kind."""
        return self.tensors.net.holds(training.plan)

    def resized(self, lanes: int, more: Sequence[Training] = ()) -> Stack:
        """The same trainings, as they stand, in a stack of ``lanes`` lanes that has room for more."""
        active = self.active
        trainings = [training for training in self.trainings if training is not None]
        other = Stack([*trainings, *more], lanes, self.device)
        other.use(type(self.backend))
        for new, (lane, training) in enumerate(zip(active, trainings, strict=True)):
            other.trainings[new] = training
            other.tensors.load(new, training.plan, self.tensors.save(lane, training.plan))
            other._set(new, training)
        return other

    def tick(self) -> list[Ended]:
        """One epoch in every lane."""
        self._snapshot = [tensor.detach().clone() for tensor in self.tensors.changing]
        columns = self._prepare()
        losses = torch.zeros(self.lanes, dtype=self._course.dtype, device=self.device)
        size, done = self._course.batch_size, 0
        order = self._order.to(self.device)
        for bits, steps in self._bits():
            rows = order[:, done * size : (done + steps) * size]
            some = columns[done : done + steps]
            self.backend.steps(Steps(self.active, rows, some, bits, losses))
            done += steps
        losses /= self._course.steps
        metrics = self._evaluate() if any(t.validates() for t in self.trainings if t) else {}
        # From here on the epoch is done: trainings take it in, and cannot be taken back.
        self._snapshot = []
        return self._end_epoch(losses.tolist(), metrics)

    def rehearse(self) -> float:
        """Seconds that a step takes at best, from a few; what they do to the lanes is undone."""
        before = [tensor.detach().clone() for tensor in self.tensors.changing]
        columns, (bits, count) = self._prepare(), next(self._bits())
        steps = min(count, self.backend.rehearsed)
        rows = self._order[:, : steps * self._course.batch_size].to(self.device)
        losses = torch.zeros(self.lanes, dtype=self._course.dtype, device=self.device)
        some = Steps(self.active, rows, columns[:steps], bits, losses)
        found = seconds(lambda: self.backend.steps(some), self.device) / steps
        self._snapshot = before
        self.rewind()
        return found

    def rewind(self) -> None:
        """After a tick that was cut short: put every lane back to where its epoch began.

        The trainings are there still: they take an epoch in when all else of it is done.
        """
        with torch.no_grad():
            for tensor, before in zip(self.tensors.changing, self._snapshot, strict=False):
                tensor.copy_(before)
        self._snapshot = []

    def best_weights(self, lane: int) -> dict[str, Tensor]:
        """The plain state dict of a lane's best epoch."""
        return self.tensors.best.take(lane, self.on(lane).plan)

    def checkpoint(self, lane: int) -> dict[str, Any]:
        """What Lightning's ``load_from_checkpoint`` reads: a lane at its best epoch."""
        training = self.on(lane)
        assert training.best_epoch is not None
        step = (training.best_epoch + 1) * training.course.steps
        recipe, best = training.recipe, self.best_weights(lane)
        return lightning_checkpoint(
            best, recipe.prefix, recipe.hyper_parameters, training.best_epoch, step
        )

    def last_weights(self, lane: int) -> dict[str, Tensor]:
        """The plain state dict of a lane as it stands."""
        return self.tensors.net.take(lane, self.on(lane).plan)

    def save(self, lane: int) -> dict[str, Any]:
        """All that it takes to go on with a lane later, as plain values and tensors."""
        training = self.on(lane)
        return {"training": training.state(), "tensors": self.tensors.save(lane, training.plan)}

    def load(self, lane: int, saved: dict[str, Any]) -> None:
        """Go on from what `save` gave; the training is on the lane already."""
        training = self.on(lane)
        self.tensors.load(lane, training.plan, saved["tensors"])
        training.load_state(saved["training"])

    def _set(self, lane: int, training: Training) -> None:
        self.tensors.set(lane, training.course, training.settings, training.recipe)
        self.backend.admit(lane, training.plan)

    def _prepare(self) -> Tensor:
        """Each lane's order of samples, and the optimizer's columns ``(steps, columns, lanes, 1)``."""
        course, active = self._course, self.active
        shape = (len(self._optimizer.columns), course.steps, self.lanes)
        columns = np.ones(shape)
        columns[0] = 0.0
        trainings = [training for training in self.trainings if training is not None]
        rates = np.empty((course.steps, len(active)))
        for index, (lane, training) in enumerate(zip(active, trainings, strict=True)):
            recipe = training.recipe
            order = recipe.order(len(recipe.train[0]), recipe.seed, training.epoch)
            self._order[lane] = order[: course.samples]
            rates[:, index] = training.rates()
        settings = {name: values[active] for name, values in self.tensors.settings.items()}
        done = np.array([float(training.epoch * course.steps) for training in trainings])
        columns[:, :, active] = self._optimizer.steps(settings, rates, done)
        found = torch.from_numpy(columns).transpose(0, 1).unsqueeze(3)
        return found.to(self.device, course.dtype).contiguous()

    def _bits(self) -> Iterator[tuple[dict[str, Tensor], int]]:
        """The epoch's steps, some at a time: random numbers of the dropout layers, and how many steps.

        A layer's numbers are of shape ``(steps, lanes, batch, …)``, drawn lane by lane.
        """
        size, left = self._course.batch_size, self._course.steps
        if not self.tensors.units:
            yield {}, left
            return
        for lane, training in enumerate(self.trainings):
            if training is not None:
                seed = np.random.SeedSequence([training.recipe.seed % 2**32, training.epoch, 2])
                self._generators[lane].manual_seed(int(seed.generate_state(1)[0]))
        numbers = size * sum(int(np.prod(shape)) for shape in self.tensors.units.values())
        at_once = min(left, max(1, _DRAWN_AT_ONCE // numbers))
        while left:
            drawn = {
                name: torch.zeros(at_once, self.lanes, size, *shape, dtype=torch.int16)
                for name, shape in self.tensors.units.items()
            }
            for lane, training in enumerate(self.trainings):
                if training is not None:
                    self._draw(lane, training, at_once, drawn)
            on_device = {name: tensor.to(self.device) for name, tensor in drawn.items()}
            yield on_device, min(at_once, left)
            left -= min(at_once, left)

    def _draw(self, lane: int, training: Training, steps: int, drawn: dict[str, Tensor]) -> None:
        """Draw a lane's numbers, for the units that it has and no others."""
        for name, tensor in drawn.items():
            units = training.plan.dropouts[name]
            place = tensor[:, lane] if units is None else tensor[:, lane, ..., :units]
            # Four 16-bit numbers a word: a generator gives words no slower.
            words = torch.empty(-(-place.numel() // 4), dtype=torch.int64)
            words.random_(-(2**63), None, generator=self._generators[lane])
            place.copy_(words.view(torch.int16)[: place.numel()].view(place.shape))

    def _evaluate(self) -> dict[str, list[float]]:
        (x, y), (probabilities, total) = self.tensors.val, self.backend.evaluate(self.active)
        values = {"loss": total / len(x), **self._metrics(Outputs(probabilities, y))}
        return {f"val/{name}": value.tolist() for name, value in values.items()}

    def _end_epoch(self, losses: list[float], metrics: dict[str, list[float]]) -> list[Ended]:
        ended = []
        for lane, training in enumerate(self.trainings):
            if training is None:
                continue
            own = {name: values[lane] for name, values in metrics.items()}
            try:
                over = training.epoch_ended(losses[lane], own if training.validates() else None)
                ended.append(Ended(training, lane, over))
            except BaseException as error:  # its own: its neighbours go on
                ended.append(Ended(training, lane, True, error))
            if training.improved:
                self.tensors.keep(lane)
        return ended


def seconds(step: Callable[[], Any], device: str) -> float:
    """The least time of a step, over some after the first two: others on the machine only add to it."""
    times: list[float] = []
    for number in range(22):
        began = perf_counter()
        step()
        if device == "cuda":
            torch.cuda.synchronize()
        if number > 1:
            times.append(perf_counter() - began)
        if len(times) > 2 and sum(times) > 0.2:
            break
    return min(times)


def out_of_memory(error: BaseException) -> bool:
    """Whether torch, or the loop in C++, found no memory for the lanes."""
    return isinstance(error, torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and "can't allocate memory" in name_and_text(error)
    )
