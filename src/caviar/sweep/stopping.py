"""What ends a sweep early: by a signal, by another process, or by what has happened in it."""

from __future__ import annotations

import signal
from dataclasses import dataclass, field
from time import monotonic

from caviar.base.signals import GRACE_SECONDS, exit_status
from caviar.executors.base import Executor
from caviar.sweep.owner import Owner
from caviar.sweep.view import Outcome, View


@dataclass
class Stopping:
    """What has been asked of a sweep, and what was done of it.

    Attributes:
        owner: carries the requests of other processes.
        outcome: gets how the sweep ended.
        draining: whether no new trial is asked for.
        at: when the trials under way end at the latest, by the monotonic clock; None: when they have.
        heard: signals that were not acted on yet.
        status: the exit status that signals ask for.
    """

    owner: Owner
    executor: Executor
    view: View
    outcome: Outcome
    draining: bool = False
    at: float | None = None
    heard: list[str] = field(default_factory=list[str])
    status: int = exit_status(signal.SIGINT)

    def note(self, signum: int) -> None:
        """Note a signal, which is acted on between two events.

        The first Ctrl-C stops asking and lets trials end; the second ends them. SIGTERM, and SIGUSR2
        from Slurm, mean that the machine is about to be taken away.
        """
        self.status = max(self.status, exit_status(signum))
        self.heard.append("interrupt" if signum == signal.SIGINT else "terminate")

    def stop(self, why: str) -> None:
        """Ask no more and end what is under way."""
        if self.outcome.stopped is None:
            self.outcome.stopped = why
        self.at = monotonic()

    def obey(self, under_way: int) -> bool:
        """Act on signals, on requests from other processes, and on a deadline that has passed.

        Args:
            under_way: how many trials are.

        Returns:
            Whether these end now.
        """
        if not self.owner.still_owns():
            self.stop(f"another process took this sweep over: {self.owner.describe()}")
        # Taken first: a signal may come while the owner's are read.
        signals, self.heard = self.heard, []
        for request in [*signals, *self.owner.requests()]:
            self.outcome.interrupted = self.status
            if request == "terminate":
                self.view.say(f"terminated: trials have {GRACE_SECONDS:g} s to leave a checkpoint")
                self.draining = True
                self.at = monotonic() + GRACE_SECONDS
                self.executor.interrupt()
            elif request == "cancel" or (request == "interrupt" and self.draining):
                self.at = monotonic()
            elif not self.draining:
                self.draining = True
                if under_way:
                    self.view.say(f"stopping after {under_way} trials; Ctrl-C: now")
        return self.at is not None and (monotonic() >= self.at or not under_way)
