"""The loop of a sweep: whenever a lane is free, ask; whenever a trial ends, tell. No batches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from time import monotonic

from optuna.exceptions import StorageInternalError
from optuna.trial import TrialState

from caviar.base.errors import UsageError, name_and_text
from caviar.base.messages import (
    Broken,
    Event,
    Failed,
    Finished,
    Job,
    Pruned,
    Reported,
    Said,
    Started,
)
from caviar.base.signals import GRACE_SECONDS, heard
from caviar.executors.base import Executor
from caviar.sweep.asking import INTERRUPTIONS, Asked
from caviar.sweep.folders import TrialFolders
from caviar.sweep.owner import Owner
from caviar.sweep.settings import Settings
from caviar.sweep.stopping import Stopping
from caviar.sweep.study import SweepStudy
from caviar.sweep.tries import Running, Try
from caviar.sweep.view import Outcome, View

SOON_SECONDS = 3.0
"""Before a sweep's end that is told of: what comes then takes two to load."""
STANDSTILL_SECONDS = 2.0
"""Between two looks at the clock there are 0.2; after more than these, the process was stopped."""


@dataclass
class Loop:
    """Drives one sweep to its end.

    Attributes:
        study: asked and told here alone.
        executor: started already.
        n_trials: how many trials in total, those of an earlier session included.
        make_job: what a worker gets for a trial, at its first try (0), its second (1), …
        view: shows every event.
        limits: when to give up a trial, or the sweep.
        owner: whose sweep this is; it also carries requests to stop.
        folders: the run folders; read when a worker is lost.
        soon: called once, when the end is near by the pace so far.
    """

    study: SweepStudy
    executor: Executor
    n_trials: int
    make_job: Callable[[Asked, int], Job]
    view: View
    limits: Settings
    owner: Owner
    folders: TrialFolders
    soon: Callable[[], None] | None = None
    outcome: Outcome = field(default_factory=Outcome)
    _running: dict[int, Running] = field(default_factory=dict[int, Running])
    _again: list[Try] = field(default_factory=list[Try])
    _ended: bool = False
    _errors: list[str] = field(default_factory=list[str])
    _completed: int = 0
    _said: set[str] = field(default_factory=set[str])
    _heard: float = field(default_factory=monotonic)
    _looked: float = field(default_factory=monotonic)
    _begun: float = 0.0
    _before: int = 0

    def __post_init__(self) -> None:
        self._stopping = Stopping(self.owner, self.executor, self.view, self.outcome)

    def run(self) -> Outcome:
        """Ask, submit and tell until all trials have ended or somebody stops it."""
        self.executor.judge = self.study.judge
        if database := self.study.database:
            database.hurried, database.say = lambda: bool(self._stopping.heard), self.view.say
        self._completed = sum(t.state == TrialState.COMPLETE for t in self.study.trials())
        self._begun, self._before = monotonic(), self.study.places
        with heard(self._stopping.note):
            try:
                events: list[Event] = []
                while True:
                    self.study.check_owner()
                    # What has ended and what is asked next are one write, in the file before any of it
                    # runs. The lanes do not wait until the disk has it too.
                    with self.study.store.batch():
                        for event in events:
                            self._handle(event)
                        ready = self._ready()
                    self._submit(ready)
                    self.study.store.sync()
                    self._watch_clock()
                    if self._stopping.obey(len(self._running)):
                        self._stop_now()
                    self.view.tick()
                    self._foresee()
                    done = not (self._more() or self._running or self._again)
                    if done or self._ended:
                        break
                    events = self.executor.events(timeout=0.2)
            except (OSError, StorageInternalError) as error:
                # The study takes nothing any more: a resume reads in the run folders how trials ended.
                problem = f"{error}".splitlines()[0]
                self.outcome.stopped = f"the sweep cannot write its study: {problem}"
                self.outcome.blocked = True
                if self._stopping.heard:
                    self.outcome.interrupted = self._stopping.status
                self._let_go()
        done = not (self._ended or self._again or self.outcome.stopped)
        if done and self.study.places >= self.n_trials:
            # All that was planned is done: who asked to stop meanwhile stopped nothing.
            self.outcome.interrupted = None
        return self.outcome

    def _let_go(self) -> None:
        """Have the trials under way leave a checkpoint and end, as far as they do so in time."""
        deadline = monotonic() + GRACE_SECONDS
        self.executor.interrupt()
        while self._running and monotonic() < deadline and "interrupt" not in self._stopping.heard:
            for event in self.executor.events(timeout=0.2):
                if isinstance(event, Finished | Pruned | Failed):
                    self._running.pop(event.number, None)
        self.executor.close()

    def _foresee(self) -> None:
        """Say once that the end is near; where all trials are under way, it may be a minute off."""
        ended = self.study.places - self._before - len(self._running) - len(self._again)
        if self.soon is None or ended <= 0:
            return
        seconds = (self.n_trials - self._before - ended) * (monotonic() - self._begun) / ended
        if seconds < (SOON_SECONDS if self._more() else 20 * SOON_SECONDS):
            self.soon()
            self.soon = None

    def _more(self) -> bool:
        return self.study.places < self.n_trials and not self._stopping.draining and not self._ended

    def _ready(self) -> list[Try]:
        """What the free lanes get next: trials to try again, then new ones."""
        lanes, spare = self.executor.lanes, self.executor.spare
        free = self._room(lanes, spare) - len(self._running)
        if free <= 0 or self._stopping.at is not None or self._stopping.heard:
            return []
        ready, self._again = self._again[:free], self._again[free:]
        # There is less room for the last ones: it is looked at before each.
        while self._more() and len(self._running) + len(ready) < self._room(lanes, spare):
            if self.study.waits(len(self._running) + len(ready)):
                break
            asked = self.study.ask()
            self.view.asked(asked)
            ready.append(Try(asked))
        return ready

    def _room(self, lanes: int, spare: int) -> int:
        if self.n_trials - self.study.places <= lanes - spare:
            # None of the last ones is to wait in one worker while another has nothing left to do.
            lanes -= spare
        # With all lanes full from the start, a sampler that learns would see no result before its last
        # trial. It gets those of seven eighths, or of all trials but one a worker.
        at_once = max(self.executor.workers, self.n_trials // 8)
        if not self.study.learns or lanes <= at_once:
            return lanes
        text = f"at most {at_once} trials at once, of {lanes} lanes"
        self._say_once(f"{text}: the sampler learns from those that ended")
        return at_once

    def _say_once(self, text: str) -> None:
        if text not in self._said:
            self._said.add(text)
            self.view.say(text)

    def _submit(self, ready: list[Try]) -> None:
        for this in ready:
            now, number = monotonic(), this.asked.number
            self._running[number] = Running(this, now, now)
            try:
                job = self.make_job(this.asked, this.begun)
            except UsageError as error:
                # Its choices do not go together; those of the next trial may.
                self._handle(Failed(number, name_and_text(error)))
            else:
                self.executor.submit(replace(job, quarantine=this.quarantine))

    def _handle(self, event: Event) -> None:
        running = self._running.get(getattr(event, "number", -1))
        self._heard = monotonic()
        if running is not None:
            running.heard = self._heard
        if isinstance(event, Started) and running:
            running.began, running.started = running.heard, True
        elif isinstance(event, Reported) and running:
            if self.study.judge(event):
                self.executor.prune(event.number)
        elif isinstance(event, Finished | Pruned | Failed) and running:
            if isinstance(event, Failed) and (event.transient or event.interrupted):
                ended = self.folders.ended(event.number)
                if isinstance(ended, Finished | Pruned):
                    event = ended  # its worker was lost between writing that and telling it
            if isinstance(event, Failed) and (again := self._try_again(event, running.this)):
                self._again.append(again)
                del self._running[event.number]
                return
            if isinstance(event, Failed) and event.interrupted and self._stopping.at is None:
                why = f"interrupted {INTERRUPTIONS + 1} times; not tried again"
                event = replace(event, error=f"GivenUp: {why} ({event.error})")
            stopping = self._stopping.at is not None
            self._tell(event)
            if stopping and isinstance(event, Failed):
                self.view.stopped(event.number, event.error)
                return
        elif isinstance(event, Said):
            self._say_once(event.text)
        elif isinstance(event, Broken):
            self._stopping.stop(f"no worker can load the task: {event.error}\n{event.traceback}")
        self.view.happened(event)

    def _try_again(self, event: Failed, this: Try) -> Try | None:
        """The next try of a trial that failed; None where it has had its last."""
        if self._ended or self._stopping.at is not None:
            return None
        again = this.after(event, self.limits.retries)
        if again is None:
            return None
        self.view.again(event.number, again[1])
        return again[0]

    def _tell(self, event: Finished | Pruned | Failed) -> None:
        running = self._running.pop(event.number)
        if isinstance(event, Finished):
            self._completed += 1
            self.study.tell(event.number, TrialState.COMPLETE, event.values)
        elif isinstance(event, Pruned):
            self.study.tell(event.number, TrialState.PRUNED)
        else:
            self._tell_failed(event)
        failed = isinstance(event, Failed)
        over = not (failed and self._stopping.at is not None)
        self.folders.tidy_after(running.this, over, failed)

    def _tell_failed(self, event: Failed) -> None:
        stopping = self._stopping.at is not None
        if stopping and event.transient:
            # What the same signal did to its worker.
            event = replace(event, error=f"Interrupted: the sweep was stopped ({event.error})")
        self.folders.give_up(event)
        if stopping or event.hopeless:
            self.study.tell_interrupted(event.number)
        else:
            self.study.tell(event.number, TrialState.FAIL)
        if event.hopeless:
            self.outcome.blocked = True
            self._stopping.stop(event.error)
        self._errors.append(event.kind or event.error)
        alike = self._completed == 0 and len(set(self._errors)) == 1
        if alike and len(self._errors) >= self.limits.max_same_failures and self._more():
            self._stopping.stop(
                f"the first {len(self._errors)} trials all failed the same way:\n"
                f"{event.traceback or event.error}"
            )

    def _watch_clock(self) -> None:
        """Stop trials that take too long or have fallen silent."""
        now = monotonic()
        stood_still, self._looked = now - self._looked > STANDSTILL_SECONDS, now
        if stood_still:
            return  # what was said meanwhile is yet to be read
        for number, running in self._running.items():
            if why := running.why_stopped(now, self._heard, self.limits):
                self.executor.stop(number, why)

    def _stop_now(self) -> None:
        self._ended = True
        self.executor.close()
        with self.study.store.batch():
            for number in [*self._running, *(this.asked.number for this in self._again)]:
                ended = self.folders.ended(number)
                if isinstance(ended, Finished):
                    self.study.tell(number, TrialState.COMPLETE, ended.values)
                else:
                    self.folders.give_up(Failed(number, "Interrupted: the sweep was stopped"))
                    self.study.tell_interrupted(number)
        for running in self._running.values():
            self.folders.tidy_after(running.this, over=False)
        self.study.store.sync()
        self._running, self._again = {}, []
