"""The life of a run, from RUNNING to its end: what ``result.json`` holds, and what its controller gets."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import Any, cast

from caviar.base.errors import UsageError, name_and_text, traceback_of
from caviar.base.messages import Failed, Finished, Job, Pruned
from caviar.runs.active import TrialInterrupted
from caviar.runs.cost import WORKER_SECONDS
from caviar.runs.files import is_full
from caviar.runs.folder import LOG, Result, was_stopped
from caviar.runs.inside import make_folders, open_inside
from caviar.runs.tags import FACT as TAGS


@dataclass(frozen=True)
class End:
    """How a run ended.

    Attributes:
        result: what its ``result.json`` is to say.
        event: what its controller is to get.
        log: what its ``log.txt`` is to end with.
    """

    result: Result
    event: Finished | Pruned | Failed
    log: str = ""

    def written(self, write: Callable[[Result], None]) -> Finished | Pruned | Failed:
        """Have ``write`` put the result into its place; the event, or, where that raises, a failure."""
        try:
            write(self.result)
        except BaseException as error:
            return _failed(self.event.number, error, self.event.seconds)
        return self.event


@dataclass
class Life:
    """One run, from RUNNING to its end.

    Attributes:
        folder: the run's.
        result: what ``result.json`` says while it runs.
        began: when it began, by `time.perf_counter`; None before that.
        facts: what it recorded; they are a part of its end.
        shared: on a lane, its share of its worker's seconds so far; None where it shares with nobody.
    """

    folder: Path
    result: Result
    began: float | None = None
    facts: dict[str, Any] = field(default_factory=dict[str, Any])
    shared: float | None = None

    @classmethod
    def of(cls, job: Job, engine: str) -> Life:
        """The life of a trial that has not begun."""
        facts = {"engine": engine}
        result = Result("RUNNING", job.number, metric=job.metric, params=job.params, facts=facts)
        if job.retry_of is not None:
            result.facts["retry_of"] = job.retry_of
        if job.baseline:
            result.facts["baseline"] = True
        if job.tags:
            result.facts[TAGS] = job.tags
        return cls(Path(job.folder), result)

    def begin(self) -> None:
        """Start the clock, and note the time of day."""
        self.began = perf_counter()
        self.result.started = datetime.now(UTC).isoformat(timespec="milliseconds")

    @property
    def seconds(self) -> float:
        """The wall time since `begin`; 0 before it."""
        return 0.0 if self.began is None else perf_counter() - self.began

    def complete(self, value: Any) -> End:
        """The end of a run whose task returned ``value``: a score or, for several objectives, a list."""
        result = self._result("COMPLETE", value=value)
        values = cast("list[Any]", value) if isinstance(value, list) else [value]
        return End(result, Finished(self.number, values, self.seconds, self._all_facts))

    def pruned(self, value: float | None) -> End:
        """The end of a pruned trial; ``value`` is the last that it reported."""
        result = self._result("PRUNED", value=value)
        return End(result, Pruned(self.number, value, self.seconds, self._all_facts))

    def failed(self, error: BaseException | str, stopped: bool = False) -> End:
        """The end of a run that failed.

        Args:
            error: what was raised, or, where nothing was, the line that says why it ends.
            stopped: whether it had been told to leave a checkpoint and end. What then ended it (Lightning's
                own way with a signal, a child that the same signal killed) is no failure of the run.
        """
        event = _failed(self.number, error, self.seconds, stopped)
        return End(self._result("FAIL", error=event.error), event, _last_words(event))

    def write(self, result: Result) -> None:
        """Write ``result.json``."""
        result.write(self.folder)

    @property
    def number(self) -> int:
        """The trial's number; 0 for a single run, whose events nobody gets."""
        return self.result.number or 0

    @property
    def _all_facts(self) -> dict[str, Any]:
        return {**self.result.facts, **self._cost, **self.facts}

    @property
    def _cost(self) -> dict[str, Any]:
        return {} if self.shared is None else {WORKER_SECONDS: round(self.shared, 6)}

    def _result(self, state: str, **said: Any) -> Result:
        """The final result, a copy: the writer's thread may be writing the running one."""
        seconds, facts = round(self.seconds, 6), {**self.result.facts, **self._cost}
        result = replace(self.result, state=state, seconds=seconds, facts=facts)
        result.take({**self.facts, **said})
        return result


def _failed(
    number: int, error: BaseException | str, seconds: float, stopped: bool = False
) -> Failed:
    if isinstance(error, str):
        return Failed(number, error, seconds=seconds)
    line, full = name_and_text(error), is_full(error)
    stopped = not full and (stopped or isinstance(error, TrialInterrupted))
    if stopped and not was_stopped(line):
        line = f"Interrupted: told to stop; it ended with {line}"
    trace = "" if full else traceback_of(error)
    return Failed(number, line, trace, seconds, interrupted=stopped, hopeless=full)


def _last_words(event: Failed) -> str:
    return event.traceback or f"{event.error}\n"


def add_to_log(folder: Path, text: str) -> None:
    """Add to a run's ``log.txt``, where the disk has room for that."""
    with suppress(OSError), open_inside(folder / LOG, "a", encoding="utf-8") as file:
        file.write(text)


def end_of(folder: Path, number: int) -> Finished | Pruned | Failed | None:
    """How a trial ended, by what its worker wrote; None where it was cut short or stopped.

    A worker writes the result and then tells its controller: either may be killed in between,
    and the trial is done all the same.
    """
    try:
        result = Result.read(folder)
    except (UsageError, OSError):
        return None
    seconds = result.seconds or 0.0
    if result.state == "COMPLETE" and result.value is not None:
        values = result.value if isinstance(result.value, list) else [result.value]
        return Finished(number, [float(value) for value in values], seconds, result.facts)
    if result.state == "PRUNED":
        value = result.value if isinstance(result.value, float) else None
        return Pruned(number, value, seconds, result.facts)
    if result.state == "FAIL" and not was_stopped(result.error):
        return Failed(number, result.error or "", seconds=seconds)
    return None


def give_up(folder: Path, event: Failed) -> None:
    """Write the end of a trial whose worker could not do so itself, where the disk has room for it."""
    try:
        result = Result.read(folder)
    except UsageError:  # its worker was lost before it wrote a word
        result = Result("RUNNING", event.number)
    except OSError:
        return
    stopped = was_stopped(result.error) and not was_stopped(event.error)
    if result.state != "RUNNING" and not stopped:
        return
    with suppress(OSError):
        make_folders(folder)
        replace(result, state="FAIL", error=event.error, seconds=event.seconds).write(folder)
        add_to_log(folder, _last_words(event))
