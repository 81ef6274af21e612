"""Trainings side by side, each by its own module: every lane goes through an epoch, all step together."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import torch
from torch import Tensor

from caviar.base.machine import keep_freed_memory
from caviar.base.private import batch_value
from caviar.engines.called.bank import Bank
from caviar.engines.called.feeds import stacked_batches
from caviar.engines.called.probe import PinnedError
from caviar.engines.called.reasons import explaining
from caviar.engines.called.results import Computed, Results
from caviar.engines.called.seeds import derived, seed_torch
from caviar.engines.called.template import Template
from caviar.engines.called.training import CalledTraining
from caviar.engines.progress import Ended
from caviar.engines.seats import Seats


class CalledStack(Seats[CalledTraining]):
    """Room for ``lanes`` trainings of one kind; see `caviar.engines.lanes.stack.Stack`.

    Args:
        trainings: those it is for, of one kind; they are not admitted by this.
        lanes: how many there is room for.
    """

    def __init__(
        self, trainings: Sequence[CalledTraining], lanes: int, device: str = "cpu"
    ) -> None:
        super().__init__(trainings[0].key, lanes)
        if device == "cpu":
            keep_freed_memory()
        self.device = device
        self._template = Template(trainings[0].module, trainings[0].course)
        self._banks: list[Bank] = []
        self._before: list[tuple[CalledTraining, dict[str, Any]]] = []

    def holds(self, training: CalledTraining) -> bool:
        """Whether a training of this kind has room on its lanes: they are of one size."""
        return True

    def resized(self, lanes: int, more: Sequence[CalledTraining] = ()) -> CalledStack:
        """The same trainings, as they stand, in a stack of ``lanes`` lanes."""
        trainings = [training for training in self.trainings if training is not None]
        other = CalledStack([*trainings, *more], lanes, self.device)
        other.take_over(self)
        for training in trainings:
            other.admit(training)
        return other

    def take_over(self, other: CalledStack) -> None:
        """Go on with what another stack has of the same trainings."""
        self._template, self._banks = other._template, other._banks

    def tick(self) -> list[Ended]:
        """One epoch in every lane."""
        trainings = [own for own in self.trainings if own is not None]
        self._before = [(own, own.save()) for own in trainings]
        for training in trainings:
            training.begin_epoch()
        found: dict[int, list[Computed]] = {}
        parts, banks = self._parts(trainings), []
        while parts:
            bank = self._bank(parts.pop(0))
            seed = derived(*(number for own in bank.trainings for number in _numbers(own)))
            try:
                with torch.random.fork_rng(devices=()):
                    seed_torch(seed, self.device != "cpu")
                    self._epoch(bank, found)
            except PinnedError:
                parts += self._parts(bank.trainings)
            else:
                banks.append(bank)
        self._banks = banks
        # From here on the epoch is done: trainings take it in, and cannot be taken back.
        self._before = []
        return [
            self._end(own, lane, found)
            for lane, own in enumerate(self.trainings)
            if own is not None
        ]

    def _parts(self, trainings: Sequence[CalledTraining]) -> list[list[CalledTraining]]:
        """Trainings that can share steps: all in which they differ can be each lane's own."""
        parts: dict[Hashable, list[CalledTraining]] = {}
        for training in trainings:
            if training.error is None:
                signature = training.signature(self._template.pinned)
                parts.setdefault(signature, []).append(training)
        return list(parts.values())

    def _bank(self, trainings: list[CalledTraining]) -> Bank:
        for bank in self._banks:
            if bank.trainings == trainings and all(
                own.stepper is bank.stepper for own in trainings
            ):
                return bank
        return Bank(self._template, trainings)

    def _epoch(self, bank: Bank, found: dict[int, list[Computed]]) -> None:
        """An epoch of a bank's lanes; what its steps have logged is told by ``found``."""
        trainings = bank.trainings
        epochs = [training.epoch for training in trainings]
        feeds = [training.train for training in trainings]
        last, results = feeds[0].batches - 1, Results()
        accumulate, log_every = bank.course.accumulate, bank.course.log_every
        busy = bool(log_every) or any(training.schedulers for training in trainings)
        stepwise = [training for training in trainings if training.callbacks.stepwise and log_every]
        with explaining("training_step"):
            bank.begin()
            batches = stacked_batches(feeds, epochs, bank.course.device)
            for number, (batch, shared) in enumerate(batches):
                for training in stepwise:
                    training.batch_begins()
                steps = (number + 1) % accumulate == 0 or number == last
                bank.train(batch, number, shared, steps, results)
                if steps and (busy or number == last):
                    logged = bool(log_every) or number == last
                    self._batch_ended(
                        bank, results if logged else Results(), number, number == last
                    )
            bank.end()
        if validating := [training for training in trainings if training.validates()]:
            self._validate(bank, validating)
        epoch = _here(results.of_epoch(lambda name: name))
        for lane, training in enumerate(trainings):
            found[id(training)] = _of_lane(epoch, lane)

    def _batch_ended(self, bank: Bank, results: Results, number: int, last: bool) -> None:
        step = _here(results.of_step())
        metrics = [(meta, name) for meta, name in results.metrics if meta.on_step]
        for lane, training in enumerate(bank.trainings):
            own = _of_lane(step, lane)
            own += [(meta, batch_value(training.metric(name))) for meta, name in metrics]
            training.batch_ended(own, number, last)

    def _validate(self, bank: Bank, validating: list[CalledTraining]) -> None:
        """Validate those of a bank's lanes that are to be."""
        for training in validating:
            training.begin_validation()
        same = self._parts(validating) == [bank.trainings]
        parts = [] if same else self._parts(validating)
        banks = [bank] if same else []
        while parts or banks:
            bank = banks.pop() if banks else Bank(self._template, parts.pop(0))
            try:
                self._validation(bank)
            except PinnedError:
                parts += self._parts(bank.trainings)

    @staticmethod
    def _validation(bank: Bank) -> None:
        """A validation of all lanes of a bank."""
        validating = bank.trainings
        feeds = [training.val for training in validating if training.val is not None]
        epochs, results = [training.epoch for training in validating], Results()
        with explaining("validation_step"):
            bank.begin()
            batches = stacked_batches(feeds, epochs, bank.course.device)
            for number, (batch, shared) in enumerate(batches):
                bank.validate(batch, number, shared, results)
            bank.end()
        epoch = _here(results.of_epoch(lambda name: name))
        for lane, training in enumerate(validating):
            training.end_validation(_of_lane(epoch, lane))

    @staticmethod
    def _end(training: CalledTraining, lane: int, found: dict[int, list[Computed]]) -> Ended:
        over, last = True, training.train.batches - 1
        if training.error is None:
            try:
                over = training.end_epoch(found[id(training)], last)
            except BaseException as error:  # its own: its neighbours go on
                training.error = error
        return Ended(training, lane, over or training.error is not None, training.error)

    def rewind(self) -> None:
        """After a tick that was cut short: put every lane back to where its epoch began."""
        before, self._before = self._before, []
        for training, saved in before:
            training.load(saved)
        if before:
            self._banks = []

    def fetch(self, lanes: Sequence[int]) -> None:
        """Nothing to do: lanes are on the host."""

    def best_weights(self, lane: int) -> dict[str, Tensor]:
        """The plain state dict of a lane's best epoch."""
        training = self.on(lane)
        assert training.best is not None
        return training.best

    def checkpoint(self, lane: int) -> dict[str, Any]:
        """What Lightning's ``load_from_checkpoint`` reads: a lane at its best epoch."""
        return self.on(lane).checkpoint()

    def last_weights(self, lane: int) -> dict[str, Tensor]:
        """The plain state dict of a lane as it stands."""
        return self.on(lane).weights()

    def save(self, lane: int) -> dict[str, Any]:
        """All that it takes to go on with a lane later, as plain values and tensors."""
        return self.on(lane).save()

    def load(self, lane: int, saved: dict[str, Any]) -> None:
        """Go on from what `save` gave; the training is on the lane already."""
        training = self.on(lane)
        training.load(saved)
        self._banks = [bank for bank in self._banks if training not in bank.trainings]


def _here(found: Sequence[Computed]) -> list[Computed]:
    """The same on the host."""
    return [(meta, own.cpu() if isinstance(own, Tensor) else own) for meta, own in found]


def _of_lane(found: Sequence[Computed], lane: int) -> list[Computed]:
    return [(meta, own[lane] if isinstance(own, Tensor) else own) for meta, own in found]


def _numbers(training: CalledTraining) -> tuple[int, int]:
    return training.recipe.seed, training.epoch
