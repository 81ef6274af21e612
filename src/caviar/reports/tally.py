"""How a sweep stands: how many trials have ended and how, the best, and what each one tries."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from caviar.base.messages import Event, Failed, Finished, Pruned, Reported, Started
from caviar.base.objectives import dominates, signed
from caviar.base.words import short
from caviar.reports.pace import Pace
from caviar.sweep.asking import Asked


@dataclass
class Lane:
    """A trial under way.

    Attributes:
        worker: the label of its worker's slot.
        heard: when it last gave a sign of life (`time.monotonic`).
        step, value: what it last reported.
        tries: its values, in words.
    """

    worker: str
    heard: float
    step: int | None = None
    value: float | None = None
    tries: str = ""


@dataclass
class Tally:
    """Counts what happens in a sweep; each event costs the same, however many there were.

    Attributes:
        n_trials: how many trials there will be.
        directions: one an objective.
        labels: each score's name; trials report the first, epoch after epoch.
        complete, pruned, failed: how many have ended so.
        best: value and number of the best trial.
        front: the scores that no other trial's beat, where there are several objectives.
        lanes: trials under way, by number.
        best_tries: what the best trial has tried, in words.
        pace: how fast this session goes.
        earlier: how many had ended before it.
    """

    n_trials: int
    directions: list[str]
    labels: list[str]
    complete: int = 0
    pruned: int = 0
    failed: int = 0
    best: tuple[float, int] | None = None
    front: list[list[float]] = field(default_factory=list)
    lanes: dict[int, Lane] = field(default_factory=dict)
    best_tries: str = ""
    pace: Pace = field(default_factory=Pace)
    earlier: int = 0
    _tries: dict[int, str] = field(default_factory=dict)

    def take_up(self, trials: Iterable[FrozenTrial]) -> None:
        """Count the trials of an earlier session that are not to be done again."""
        for trial in trials:
            self.complete += trial.state == TrialState.COMPLETE
            self.pruned += trial.state == TrialState.PRUNED
            self.failed += trial.state == TrialState.FAIL and "interrupted" not in trial.user_attrs
            if trial.state == TrialState.COMPLETE and self._rank(trial.values, trial.number):
                held = {k: v for k, v in trial.params.items() if not k.startswith("1 - ")}
                self.best_tries = in_words(held)
        self.earlier = self.ended

    @property
    def ended(self) -> int:
        """How many trials have ended."""
        return self.complete + self.pruned + self.failed

    @property
    def seconds_left(self) -> float | None:
        """How long the rest will take at the pace of this session; None before there is a pace."""
        return self.pace.left(self.n_trials - self.ended)

    def asked(self, asked: Asked) -> None:
        """Keep what a trial tries."""
        self._tries[asked.number] = in_words(asked.values)

    def tries(self, number: int) -> str:
        """What a trial tries, in words."""
        return self._tries.get(number, "")

    def happened(self, event: Event) -> bool:
        """Count an event; says whether it gave a better trial than any before, or one for the front."""
        improved = False
        if isinstance(event, Started):
            self.lanes[event.number] = Lane(
                event.worker, monotonic(), tries=self.tries(event.number)
            )
            self.pace.started(event.number)
        elif isinstance(event, Reported) and event.number in self.lanes:
            lane = self.lanes[event.number]
            lane.heard, lane.step, lane.value = monotonic(), event.step, event.value
        elif isinstance(event, Finished):
            self.complete += 1
            improved = self._rank(event.values, event.number)
            if improved:
                self.best_tries = self.tries(event.number)
        elif isinstance(event, Pruned):
            self.pruned += 1
        elif isinstance(event, Failed):
            self.failed += 1
        if isinstance(event, Finished | Pruned | Failed):
            self.pace.over(event.number, ended=True, whole=isinstance(event, Finished))
            self.forget(event.number)
            self._tries.pop(event.number, None)
        return improved

    def forget(self, number: int) -> None:
        """A trial is not under way any more: it has ended, or waits for another try."""
        self.lanes.pop(number, None)
        self.pace.over(number, ended=False, whole=False)

    def in_words(self) -> str:
        """``12 complete, 3 pruned, 1 failed, 2 running of 32``."""
        return (
            f"{self.complete} complete, {self.pruned} pruned, {self.failed} failed, "
            f"{len(self.lanes)} running of {self.n_trials}"
        )

    def best_in_words(self) -> str:
        """``best 0.9777 (trial 18)``, or ``3 on the Pareto front``; empty where there is none."""
        if self.front:
            return f"{len(self.front)} on the Pareto front"
        return f"best {short(self.best[0])} (trial {self.best[1]})" if self.best else ""

    def scores(self, values: Iterable[float]) -> str:
        """``val/acc=0.9777``, one an objective."""
        named = zip(self.labels, values, strict=False)
        return ", ".join(f"{name}={short(value)}" for name, value in named)

    def _rank(self, values: list[float], number: int) -> bool:
        """Take a trial's scores in; says whether it is the best so far, or on the front."""
        losses = signed(values, self.directions)
        if len(losses) > 1:
            if any(dominates(other, losses) for other in self.front):
                return False
            self.front = [*(o for o in self.front if not dominates(losses, o)), losses]
            return True
        if self.best is not None and losses >= signed([self.best[0]], self.directions):
            return False
        self.best = (values[0], number)
        return True


def in_words(values: Mapping[str, Any]) -> str:
    """``lr=0.001 width=64``."""
    return " ".join(f"{name.rpartition('.')[2]}={short(value)}" for name, value in values.items())
