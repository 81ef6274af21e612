"""A trial on its way: the job that a worker gets, and the events that come back."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Base:
    """A composed config, sent to a worker once and copied there for each trial.

    Attributes:
        id: which one it is within this sweep.
        pickled: the DictConfig, its ``hydra`` node included; None where the worker has it already.
    """

    id: int
    pickled: bytes | None


@dataclass(frozen=True)
class Job:
    """One trial, as a worker gets it.

    Attributes:
        number: the trial's number in the study.
        base: the config that it starts from.
        values: what it changes in the base, by key; ``+key`` is added.
        overrides: all that it changes, as Hydra overrides, config groups included.
        params: the hyperparameters drawn, as the run sees them, for ``result.json``.
        folder: the run folder, absolute; the worker makes it.
        metric: the score's name, where it has one, or the name of each.
        objectives: how many numbers it is to return.
        retry_of: the trial that this one repeats, because its sweep was interrupted.
        baseline: whether it is the config as it stands.
        resume_from: a folder of checkpoints to go on from: an earlier try's.
        quarantine: where it is not 0, the job may be on a worker with jobs of the same number alone:
            one of them has cost an earlier worker its life, and nobody knows which.
    """

    number: int
    base: Base
    values: dict[str, Any]
    overrides: list[str]
    params: dict[str, Any]
    folder: str
    metric: str | list[str] | None = None
    objectives: int = 1
    retry_of: int | None = None
    baseline: bool = False
    resume_from: str | None = None
    tags: list[str] = field(default_factory=list[str])
    quarantine: int = 0


@dataclass(frozen=True)
class Starting:
    """A worker's process has begun; it is loading the task."""

    worker: str


@dataclass(frozen=True)
class Ready:
    """A worker has loaded the task, and can have so many jobs under way; told anew when that changes.

    One that leaves before it is told to can have none.
    An engine leaves ``worker`` empty, here and in Started: the worker fills in its own label.

    Attributes:
        lanes: how many jobs.
        spare: of these, those that would wait for others to end.
    """

    worker: str = ""
    lanes: int = 1
    spare: int = 0


@dataclass(frozen=True)
class Started:
    """A worker has begun a trial."""

    number: int
    worker: str = ""


@dataclass(frozen=True)
class Reported:
    """A trial reported an intermediate value of its objective."""

    number: int
    value: float
    step: int


@dataclass(frozen=True)
class Finished:
    """A trial returned its score: one value an objective. ``facts`` is what it recorded."""

    number: int
    values: list[float]
    seconds: float
    facts: dict[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True)
class Pruned:
    """A trial was ended early, as the pruner wanted; ``value`` is the last that it reported."""

    number: int
    value: float | None
    seconds: float
    facts: dict[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True)
class Failed:
    """A trial ended without a score.

    Attributes:
        error: one line, the exception's.
        traceback: all of it, empty where none is needed (a killed worker, bad input).
        transient: whether another try may fare better (its worker was lost, memory was short).
        interrupted: whether it was told to stop: no failure, and it will be gone on with.
        hopeless: no other trial would fare better either (the disk is full).
        quarantine: where it is not 0, its worker was lost with others on it: the try counts for none
            of them, and the next one is a job of this quarantine.
        kind: what failures of other trials share with it; the error, where that is not said.
    """

    number: int
    error: str
    traceback: str = ""
    seconds: float = 0.0
    transient: bool = False
    interrupted: bool = False
    hopeless: bool = False
    quarantine: int = 0
    kind: str = ""


@dataclass(frozen=True)
class Broken:
    """No worker can be had at all: the task cannot be loaded."""

    error: str
    traceback: str


@dataclass(frozen=True)
class Said:
    """A worker's message to the person at the terminal; the same text is shown once a sweep."""

    text: str


@dataclass(frozen=True)
class Gone:
    """A worker has ended, and no other takes its place; its trials have been told of."""

    worker: str


Event = Starting | Said | Ready | Gone | Started | Reported | Finished | Pruned | Failed | Broken
