"""Steps on a CPU of lanes that call their module, by tapes: their code runs in an epoch's first steps.

A step that comes often in an epoch is watched first: whether its code does what a tape would not. Then it
is taken down while it is done, and those after it go by the tape, to the end of the epoch; the next one's
first is taken down anew. A tape that says what none did before it is held against the step after it.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import torch
from torch import Tensor

from caviar.engines.called.attributes import Gathered, Leaf, Place
from caviar.engines.called.came import same
from caviar.engines.called.course import DefaultType
from caviar.engines.called.record import Record
from caviar.engines.called.recordable import (
    COUNTED,
    Counted,
    CountingError,
    UntoldError,
    counts,
    drawn_by_others,
    host_random,
    kept_in,
    untold,
    why_not,
)
from caviar.engines.called.step import Launch, Stepped, Taken
from caviar.engines.called.tape import Recorder, Run, Tape
from caviar.engines.called.template import Template
from caviar.engines.called.watching import Watch
from caviar.engines.stacked.recording import copied, put_back

log = logging.getLogger(__name__)

OFTEN = 4
"""How often a step has to come in an epoch: to take it down costs most of a step, which a few repay."""

_SETTLES = 2
"""Steps of an epoch that may change what modules keep: what starts afresh with it is soon what it stays."""

Slots = dict[Leaf, Tensor]


@dataclass
class _Taped:
    """A step's tape, in the epoch that it was taken down in.

    Attributes:
        run: the tape's function.
        stepped: what the step gave, which tells what the tape gives.
        leaves: what each lane has its own of in attributes: a tape takes it, and gives it, at the end.
        places: the attributes that the step sets.
        counts: how far the step counts up what stands in some.
        is_held: whether the tape was held against a step.
    """

    tape: Tape
    run: Run
    stepped: Stepped
    leaves: list[Leaf]
    places: frozenset[Place]
    counts: dict[Leaf, int]
    is_held: bool

    def again(
        self, inputs: Sequence[Tensor], slots: Slots, dtype: torch.dtype
    ) -> tuple[Stepped, Slots]:
        """What the step comes to, and what each lane then has its own of."""
        with torch.no_grad(), DefaultType(dtype):
            found = self.run([*inputs, *(slots[leaf] for leaf in self.leaves)], self.tape.stays)
        rest, was = iter(found), self.stepped
        loss = None if was.loss is None else next(rest)
        gradients = None if was.gradients is None else next(rest)
        outs = [next(rest) for _ in was.outs]
        stepped = Stepped(loss, was.record, outs, gradients, was.unused)
        return stepped, dict(zip(self.leaves, rest, strict=True))


@dataclass
class _Step:
    """A step to be done.

    Attributes:
        method: its name.
        launch: does it.
        given: what ``launch`` is given.
        taken: the same, taken apart.
        buffers: what it may write to.
    """

    method: str
    launch: Launch
    given: tuple[Any, Mapping[str, Tensor], int, Gathered]
    taken: Taken
    buffers: Sequence[Tensor]

    def __post_init__(self) -> None:
        self.gathered = self.given[3]
        inputs = [*self.taken.inputs, *self.gathered.slots.values()]
        first = {id(one): number for number, one in reversed([*enumerate(inputs)])}
        same = () if len(first) == len(inputs) else tuple(first[id(one)] for one in inputs)
        self.key: Hashable = (self.taken.key, same)


class Tapes:
    """The tapes of a bank.

    Args:
        template: whose code they are of.
    """

    def __init__(self, template: Template) -> None:
        self._template = template
        self._taped: dict[Hashable, _Taped] = {}
        self._came: Counter[Hashable] = Counter()
        self._counted = Counted(template)

    def begin(self) -> None:
        """Before an epoch's steps: what was taken down in the last one is not known of this one."""
        self._taped.clear()
        self._came.clear()

    def settle(self, gathered: Gathered) -> None:
        """Have the attributes say what tapes have counted."""
        self._counted.settle(gathered)

    def call(
        self,
        method: str,
        launch: Launch,
        given: tuple[Any, Mapping[str, Tensor], int, Gathered],
        shared: bool,
        buffers: Sequence[Tensor],
    ) -> Stepped:
        """A step of the module.

        Args:
            launch: does it.
            given: what it is given.
            shared: the batch is all lanes'.
            buffers: what it may write to.
        """
        if method in self._template.launched:
            return launch(*given)
        how = method, shared, self._template.lifting
        taken = Taken(self._template.trainer, how, *given[:2])
        step = _Step(method, launch, given, taken, buffers)
        taped = self._taped.get(step.key)
        if taped is None:
            return self._called(step)
        if not taped.is_held:
            return self._compared(step, taped)
        gathered = step.gathered
        try:
            stepped, slots = taped.again(taken.inputs, gathered.slots, self._dtype)
        except Exception:
            self._by_itself(step)  # it says the line that the error is about
            raise
        gathered.slots.update(slots)
        gathered.changed |= taped.places
        self._counted.add(taped.counts)
        return stepped

    @property
    def _dtype(self) -> torch.dtype:
        return self._template.course.dtype

    def _called(self, step: _Step) -> Stepped:
        """A step by itself, which may be taken down meanwhile."""
        known, key, method = self._template.taped, step.key, step.method
        self._came[key] += 1
        if self._came[key] == OFTEN:
            known.often.add(key)
        kept = self._kept(step)
        if step.taken.unknown is not None:
            self._refuse(method, f"{method}: its batches hold a {step.taken.unknown}")
        elif self._is_known(key, kept):
            return self._recorded(step)
        random = host_random()
        with Watch() if key in known.often else nullcontext() as watch:
            stepped, changes = self._by_itself(step)
        if changes is not None:
            self._taped.clear()  # they have what was kept before
            if self._came[key] > _SETTLES:
                self._refuse(method, changes)
        elif watch is not None and watch.seen is not None:
            self._refuse(method, watch.seen)
        elif watch is not None and drawn_by_others(random):
            self._refuse(method, f"{method} draws by other means than torch's")
        elif watch is not None:
            known.watched[key] = self._kept(step), watch
        return stepped

    def _is_known(self, key: Hashable, kept: Any) -> bool:
        """Whether a step was seen to do no more than compute, where all was what it is now."""
        known = self._template.taped
        if known.is_trusted:
            return self._came[key] > 1
        before, watch = known.watched.get(key, (None, None))
        known_now = watch is not None and before == kept and watch.changed() is None
        return known_now and key in known.often

    def _by_itself(self, step: _Step) -> tuple[Stepped, str | None]:
        """A step; and what it changes of what modules keep in attributes, but for what it counts."""
        gathered, modes = step.gathered, self._template.modes
        self._counted.settle(gathered)
        before = Gathered(dict(gathered.slots), {}, {}, dict(gathered.trees))
        changed, gathered.changed = gathered.changed, set()
        stepped = step.launch(*step.given)
        why = None
        try:
            counts(step.method, gathered, before)
        except CountingError as counting:
            self._template.taped.counted |= counting.leaves
        except UntoldError as error:
            why = str(error)
        gathered.changed |= changed
        if self._template.modes != modes:
            why = f"{step.method} puts modules into another mode"
        return stepped, why

    def _recorded(self, step: _Step) -> Stepped:
        """A step by itself, taken down."""
        gathered, template = step.gathered, self._template
        leaves, modes = [*gathered.slots], template.modes
        held = [*step.buffers, *step.taken.inputs, *gathered.slots.values()]
        before, random = copied(held), torch.get_rng_state()
        recorder = Recorder([*step.taken.inputs, *gathered.slots.values()])
        batch, lifted = step.given[:2]
        try:
            with untold(
                template.trainer, step.method, lifted, template.taped.counted, COUNTED[1:]
            ) as told:
                fixed = template.copied(gathered.fixed, told[1])
                trial = Gathered(
                    dict(gathered.slots), dict(gathered.numbers), fixed, dict(gathered.trees)
                )
                template.put(fixed)
                with recorder:
                    stepped = step.launch(batch, lifted, told[0], trial)
                counted = counts(step.method, trial, gathered)
            if template.modes != modes:
                raise UntoldError(f"{step.method} puts modules into another mode")
            repr((stepped.record.calls, stepped.record.logs))  # which are the host's
            tape = recorder.tape([*_numbers(stepped), *(trial.slots[leaf] for leaf in leaves)])
        except Exception as error:
            put_back(held, before)
            torch.set_rng_state(random)
            for part, mode in modes.items():
                part.training = mode
            template.put(gathered.fixed)
            self._refuse(step.method, why_not(step.method, error))
            return self._by_itself(step)[0]
        template.put(gathered.fixed)
        gathered.slots.update(trial.slots)
        gathered.changed |= trial.changed
        self._counted.add(counted)
        run, places = template.taped.runs.get(tape.text), frozenset(trial.changed)
        is_held = run is not None or template.taped.is_trusted
        run = run or tape.compiled()
        self._taped[step.key] = _Taped(
            tape, run, _without(stepped), leaves, places, counted, is_held
        )
        return stepped

    def _compared(self, step: _Step, taped: _Taped) -> Stepped:
        """What a step comes to by itself; its tape goes on if it comes to the very same."""
        gathered = step.gathered
        inputs, slots = copied(step.taken.inputs), dict(gathered.slots)
        slots = dict(zip(slots, copied(slots.values()), strict=True))
        before, random = copied(step.buffers), torch.get_rng_state()
        stepped, changes = self._by_itself(step)
        after, there = copied(step.buffers), torch.get_rng_state()
        put_back(step.buffers, before)
        torch.set_rng_state(random)
        mine = [*_numbers(stepped), *gathered.slots.values(), *after, there]
        is_same = changes is None
        try:
            its, own = taped.again(inputs, slots, self._dtype)
        except Exception:  # the step itself raises nothing
            is_same = False
        else:
            found = [*_numbers(its), *own.values(), *step.buffers, torch.get_rng_state()]
            is_same = is_same and same(mine, found)
        put_back(step.buffers, after)
        torch.set_rng_state(there)
        if is_same:
            taped.is_held = True
            self._template.taped.runs[taped.tape.text] = taped.run
        else:
            self._refuse(step.method, f"{step.method} comes to other numbers by its tape")
        return stepped

    def _kept(self, step: _Step) -> Any:
        """What modules keep in attributes, and their modes; not what is each lane's own, or counted."""
        return self._template.modes, kept_in(step.gathered, self._template.taped.counted)

    def _refuse(self, name: str, why: str) -> None:
        self._taped.clear()
        if self._template.launched.setdefault(name, why) is why:
            _say(why)


@cache
def _say(why: str) -> None:
    """Say it once: a sweep has many kinds of trials, of the same code."""
    log.info("called in each step, not by a tape: %s", why)


def _numbers(stepped: Stepped) -> list[Tensor]:
    ends = [one for one in (stepped.loss, stepped.gradients) if one is not None]
    return [*ends, *stepped.outs]


def _without(stepped: Stepped) -> Stepped:
    """The same, and none of what its record holds of the step."""
    return replace(stepped, record=Record([], 0, stepped.record.calls, stepped.record.logs))
