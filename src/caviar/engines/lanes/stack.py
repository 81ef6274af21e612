"""Trainings side by side: every lane goes through its own epoch, and all of them step together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from caviar.engines.gpu import least_seconds
from caviar.engines.lanes.training import Training
from caviar.engines.philox import signed
from caviar.engines.progress import Ended, lightning_checkpoint
from caviar.engines.seats import Seats
from caviar.engines.stacked.backend import Backend, ByTorch, Steps
from caviar.engines.stacked.copies import sent
from caviar.engines.stacked.dock import Dock
from caviar.engines.stacked.recording import copied, put_back
from caviar.engines.stacked.tensors import LaneTensors
from caviar.engines.stacked.validation import Validation


class Stack(Seats[Training]):
    """Room for ``lanes`` trainings of one kind.

    Nothing that one lane computes reaches another, so a lane whose numbers are NaN harms nobody.

    Args:
        trainings: those it is for, of one kind; they are not admitted by this.
        lanes: how many there is room for.
        device: where it computes.
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
        self._dock = Dock(self.tensors)
        self.backend: Backend = ByTorch(self.tensors)
        self._validation = Validation(self.tensors, first.recipe)
        self._order = torch.zeros(lanes, first.course.samples, dtype=torch.int64)
        self._drawn: dict[int, tuple[Training, int]] = {}
        self._snapshot: list[Tensor] = []

    def use(self, backend: type[Backend]) -> str | None:
        """Step the lanes by another backend from now on, which changes rounding; or say why it cannot."""
        if type(self.backend) is backend:
            return None
        found = backend.over(self.tensors)
        if isinstance(found, str):
            return found
        self.backend = found
        for lane, training in self.taken:
            found.admit(lane, training.plan)
        return None

    def admit(self, training: Training, lane: int | None = None) -> int:
        """Put a training on a lane, the first free one unless it is said which."""
        lane = super().admit(training, lane)
        rows, row = self._dock.to_write(lane, anew=True)
        rows.begin(row, training.plan, training.weights)
        self._set(lane, training)
        return lane

    def release(self, lane: int) -> None:
        """Empty a lane."""
        super().release(lane)
        self._dock.empty(lane)
        self._drawn.pop(lane, None)
        self.tensors.forget(lane)

    def holds(self, training: Training) -> bool:
        """Whether its lanes are wide enough for a training of this kind."""
        return self.tensors.net.holds(training.plan)

    def resized(self, lanes: int, more: Sequence[Training] = ()) -> Stack:
        """The same trainings, as they stand, in a stack of ``lanes`` lanes that has room for more."""
        taken = self.taken
        other = Stack([*(training for _, training in taken), *more], lanes, self.device)
        other.use(type(self.backend))
        self.fetch(self.active)
        for new, (lane, training) in enumerate(taken):
            other.trainings[new] = training
            rows, row = self._dock.to_read(lane)
            its, place = other._dock.to_write(new, anew=True)
            its.load(place, training.plan, rows.save(row, training.plan))
            other._set(new, training)
        return other

    def tick(self) -> list[Ended]:
        """One epoch in every lane."""
        self._settle()
        self._snapshot = copied(self.tensors.changing)
        columns = self._prepare()
        losses = self._validation.losses.zero_()
        self.backend.steps(self._steps(self._course.steps, columns, losses))
        found = self._evaluate()
        # From here on the epoch is done: trainings take it in, and cannot be taken back.
        self._snapshot = []
        return self._end_epoch(found.pop("train/loss"), found)

    def rehearse(self) -> float:
        """Seconds that a step takes at best, from a few; what they do to the lanes is undone."""
        count = min(self._course.steps, self.backend.rehearsed)
        with self._tried(count) as steps:
            return least_seconds(lambda: self.backend.steps(steps), self.device) / count

    def moved(self, count: int) -> Tensor:
        """How far some steps bring the lanes' parameters, ``(lanes, numbers)``; they are undone."""
        flat = self.tensors.net.flat.detach()
        with self._tried(min(self._course.steps, count)) as steps:
            before = flat.clone()
            self.backend.steps(steps)
            return flat - before

    @contextmanager
    def _tried(self, count: int) -> Iterator[Steps]:
        """An epoch's first steps; what they do to the lanes is undone."""
        self._settle()
        before = copied(self.tensors.changing)
        losses = torch.zeros(self.lanes, dtype=self._course.dtype, device=self.device)
        try:
            yield self._steps(count, self._prepare(), losses)
        finally:
            put_back(self.tensors.changing, before)

    def rewind(self) -> None:
        """After a tick that was cut short: put every lane back to where its epoch began.

        The trainings are there still: they take an epoch in when all else of it is done.
        """
        if self._snapshot:
            put_back(self.tensors.changing, self._snapshot)
        self._snapshot = []

    def fetch(self, lanes: Sequence[int]) -> None:
        """Bring some lanes to the host together: to save them, or to read them, then waits for nothing."""
        self._dock.fetch(lanes)

    def best_weights(self, lane: int) -> dict[str, Tensor]:
        """The plain state dict of a lane's best epoch."""
        rows, row = self._dock.to_read(lane)
        return rows.best.take(row, self.on(lane).plan)

    def checkpoint(self, lane: int) -> dict[str, Any]:
        """What Lightning's ``load_from_checkpoint`` reads: a lane at its best epoch."""
        training = self.on(lane)
        epoch = training.scoring.epoch
        assert epoch is not None
        step = (epoch + 1) * training.course.steps
        recipe, best = training.recipe, self.best_weights(lane)
        return lightning_checkpoint(best, recipe.prefix, recipe.hyper_parameters, epoch, step)

    def last_weights(self, lane: int) -> dict[str, Tensor]:
        """The plain state dict of a lane as it stands."""
        rows, row = self._dock.to_read(lane)
        return rows.net.take(row, self.on(lane).plan)

    def save(self, lane: int) -> dict[str, Any]:
        """All that it takes to go on with a lane later, as plain values and tensors."""
        training, (rows, row) = self.on(lane), self._dock.to_read(lane)
        return {"training": training.state(), "tensors": rows.save(row, training.plan)}

    def load(self, lane: int, saved: dict[str, Any]) -> None:
        """Go on from what `save` gave; the training is on the lane already."""
        training, (rows, row) = self.on(lane), self._dock.to_write(lane)
        rows.load(row, training.plan, saved["tensors"])
        training.load_state(saved["training"])

    def _settle(self) -> None:
        """See that every lane is where it is stepped; it changes now."""
        self._dock.settle()
        self._dock.stepped()

    def _set(self, lane: int, training: Training) -> None:
        rows, row = self._dock.to_write(lane)
        rows.set(row, training.course, training.settings, training.recipe)
        self.tensors.note(lane, training.plan, training.settings, training.recipe)
        self.backend.admit(lane, training.plan)

    def _prepare(self) -> Tensor:
        """Each lane's order of samples, and the optimizer's columns ``(steps, columns, lanes, 1)``."""
        course, taken, active = self._course, self.taken, self.active
        columns = np.ones((len(self._optimizer.columns), course.steps, self.lanes))
        columns[0] = 0.0
        rates = np.empty((course.steps, len(active)))
        for index, (lane, training) in enumerate(taken):
            self._draw(lane, training, training.epoch)
            rates[:, index] = training.rates()
        settings = {name: values[active] for name, values in self.tensors.settings.items()}
        done = np.array([float(training.epoch * course.steps) for _, training in taken])
        columns[:, :, active] = self._optimizer.steps(settings, rates, done)
        found = torch.from_numpy(columns).transpose(0, 1).unsqueeze(3)
        return sent(found.to(course.dtype).contiguous(), self.device)

    def _draw(self, lane: int, training: Training, epoch: int) -> None:
        """Draw a lane's order of samples in an epoch of its training, where it is not."""
        if self._drawn.get(lane) != (training, epoch):
            recipe = training.recipe
            order = recipe.order(len(recipe.train[0]), recipe.seed, epoch)
            self._order[lane] = order[: self._course.samples]
            self._drawn[lane] = training, epoch

    def _draw_ahead(self) -> None:
        """Draw what the next epoch will go by, while a GPU works at this one, whose order it has."""
        if self.device == "cpu":
            return
        for lane, training in self.taken:
            if training.epoch + 1 < training.course.max_epochs:
                self._draw(lane, training, training.epoch + 1)

    def _steps(self, count: int, columns: Tensor, losses: Tensor) -> Steps:
        """The epoch's first steps."""
        rows = sent(self._order[:, : count * self._course.batch_size], self.device)
        keys = np.zeros((2, self.lanes), dtype=np.int64)
        for lane, training in self.taken:
            keys[:, lane] = signed(training.recipe.seed), training.epoch
        return Steps(self.active, rows, columns[:count], keys, losses)

    def _evaluate(self) -> dict[str, list[float]]:
        """Of each lane what is logged of the epoch, by name; it waits for the device, once."""
        if not any(training.validates() for _, training in self.taken):
            train = self._validation.train_losses.double()
            self._draw_ahead()
            return {"train/loss": train.tolist()}
        values = self._validation(self.backend, self.active, self._draw_ahead)
        train = values.pop("train/loss").tolist()
        return {"train/loss": train} | {
            f"val/{name}": value.tolist() for name, value in values.items()
        }

    def _end_epoch(self, losses: list[float], metrics: dict[str, list[float]]) -> list[Ended]:
        ended = []
        for lane, training in self.taken:
            own = {name: values[lane] for name, values in metrics.items()}
            try:
                over = training.epoch_ended(losses[lane], own if training.validates() else None)
                ended.append(Ended(training, lane, over))
            except BaseException as error:  # its own: its neighbours go on
                ended.append(Ended(training, lane, True, error))
        self.tensors.keep([one.lane for one in ended if one.training.scoring.improved])
        return ended
