"""A few steps before the first trial of a kind: is a lane what the module is, and is it worth it?"""

from __future__ import annotations

import itertools
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from caviar.base.private import attach
from caviar.engines.called.bank import Bank
from caviar.engines.called.feeds import stacked_batches
from caviar.engines.called.graph import STEPS
from caviar.engines.called.reasons import explaining
from caviar.engines.called.results import Results
from caviar.engines.called.tapes import OFTEN
from caviar.engines.called.template import Template
from caviar.engines.called.training import CalledTraining
from caviar.engines.experiment import NotFusibleError
from caviar.engines.gpu import least_seconds
from caviar.engines.stacked.copies import sent

_WITHIN = {torch.float32: 2e-3, torch.float64: 1e-8}
"""How far a lane's gradient may be from the module's own, as a share of its length: by rounding alone."""

_STEPS = 32
"""Of an epoch, how many are timed together at most, where they are CUDA graphs."""


class Rehearsal:
    """Steps that no trial will know of, on copies.

    Args:
        training: of the kind; it is made anew, and left as it is.

    Raises:
        NotFusibleError: a step by the module itself fails: a Trainer says it better.
    """

    def __init__(self, training: CalledTraining) -> None:
        self._made = CalledTraining(training.recipe)
        batch, shared = next(stacked_batches([self._made.train], [0]))
        self._one = batch if shared else pytree.tree_map_only(Tensor, lambda own: own[0], batch)
        self._batch = pytree.tree_map_only(Tensor, lambda own: own[None], self._one)

    def check(self) -> None:
        """See that a lane comes to the loss and the gradient that the module comes to by itself.

        Raises:
            NotFusibleError: it does not.
        """
        alone, beside = self._copies(2)
        before = alone.draws.state
        loss = self._step_alone(alone)
        drawn = not torch.equal(before, alone.draws.state)
        bank = Bank(Template(beside.module, beside.course), [beside])
        with torch.random.fork_rng(devices=()), explaining("training_step"):
            bank.begin()
            found, gradients = bank.gradients(self._batch, 0, shared=False)
            bank.end()
        if drawn:
            return  # each its own numbers
        own = dict(alone.module.named_parameters())
        wanted = [own[name].grad for name in self._made.layout.places]
        flat = torch.cat(
            [
                torch.zeros(end - begin) if grad is None else grad.reshape(-1)
                for grad, ((begin, end), _) in zip(
                    wanted, self._made.layout.places.values(), strict=True
                )
            ]
        )
        within = _WITHIN[self._made.course.dtype] if not self._made.course.mixed else 0.1
        off = (flat.double() - gradients[0].cpu().double()).norm()
        if not off <= within * flat.double().norm() + within * 1e-3 and flat.isfinite().all():
            raise NotFusibleError(
                f"training_step comes to a loss of {float(found[0]):.6g} on a lane, and of "
                f"{float(loss):.6g} by itself, with another gradient: something that it does is unknown"
            )

    def solo_step(self) -> float:
        """Seconds of a step by the module itself."""
        (alone,) = self._copies(1)
        device = alone.course.device
        if device != "cpu":
            alone.module.to(device)
            self._one = pytree.tree_map_only(Tensor, lambda own: own.to(device), self._one)

        def step() -> None:
            self._step_alone(alone)
            alone.optimizer.step()
            alone.optimizer.zero_grad()

        return least_seconds(step, device)

    def lane_step(self, lanes: int, by_graph: bool = True) -> float:
        """Seconds of a step of so many lanes, a lane's share.

        On a GPU an epoch is timed, of 32 steps at most: its first ones are launched, and held against the
        graphs by which all others go. That these are recorded, once in some epochs, is no part of it. On a
        CPU a step that is called is timed, one that is taken down, and steps by tape, of which an epoch
        mostly is.

        Args:
            by_graph: on a GPU, CUDA graphs may be taken; on a CPU, tapes.
        """
        trainings, course = self._copies(lanes), self._made.course
        bank = Bank(Template(trainings[0].module, course), trainings)
        batch = pytree.tree_map_only(
            Tensor,
            lambda own: sent(own.repeat(lanes, *[1] * (own.ndim - 1)), course.device),
            self._batch,
        )
        batches, numbers = self._made.train.batches, itertools.count()
        none: dict[str, str] = dict.fromkeys(STEPS, "not asked for")
        template = bank.template

        def step(number: int) -> None:
            bank.train(batch, number, False, True, Results())
            bank.intake.flush()

        def epoch() -> None:
            bank.begin()
            for number in range(min(batches, _STEPS)):
                step(number)
            bank.end()

        def first_two() -> None:  # of which what is trusted is taken down in the second
            bank.begin()
            step(next(numbers))
            step(next(numbers))

        def steps() -> float:  # of an epoch's first one more is asked than of the others
            return least_seconds(lambda: step(next(numbers)), course.device) / lanes

        with torch.random.fork_rng(devices=()), explaining("training_step"):
            if course.device != "cpu":
                template.launched = {} if by_graph else none
                return least_seconds(epoch, course.device) / min(batches, _STEPS) / lanes
            bank.begin()
            template.launched = none
            called = steps()
            if not by_graph or batches < OFTEN:
                return called
            template.launched, template.taped.is_trusted = {}, True
            taken_down = least_seconds(first_two, course.device) / lanes - called
            by_tape = steps()
            return (called + taken_down + (batches - 2) * by_tape) / batches

    def _step_alone(self, training: CalledTraining) -> Tensor:
        try:
            return training.step_alone(self._one)
        except NotFusibleError:
            raise
        except Exception as error:
            raise NotFusibleError(
                f"its steps could not be measured: {type(error).__name__}: {error}"
            ) from error

    def _copies(self, count: int) -> list[CalledTraining]:
        made = self._made
        memo: dict[int, Any] = {id(one): one for one in made.shared()}
        copies = [deepcopy(made, dict(memo)) for _ in range(count)]
        for one in copies:
            attach(one.module, one.trainer)  # which Lightning leaves out of copies
        return copies
