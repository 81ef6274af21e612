"""Which try of a trial comes next: retries, interruptions, and the quarantine of a lost worker's trials."""

from __future__ import annotations

from dataclasses import dataclass, replace

from caviar.base.messages import Failed
from caviar.sweep.asking import INTERRUPTIONS, Asked
from caviar.sweep.settings import Settings

SILENT = "Timeout: silent"
"""How the error of a trial that gives no sign of life begins."""


@dataclass(frozen=True)
class Try:
    """A trial that is to be run.

    Attributes:
        attempt: how many tries of it have counted so far.
        interruptions: how many tries were told to stop, which do not count.
        quarantine: see `caviar.base.messages.Job`.
    """

    asked: Asked
    attempt: int = 0
    interruptions: int = 0
    quarantine: int = 0

    @property
    def begun(self) -> int:
        """How many tries have begun, at least: a quarantined trial has had one that does not count."""
        return self.attempt + self.interruptions + (self.quarantine > 0)

    def after(self, event: Failed, retries: int) -> tuple[Try, str] | None:
        """The next try of a trial that failed, and why there is one; None where it has had its last.

        Args:
            retries: how many tries that count may follow the first.
        """
        if event.interrupted:
            count = self.interruptions + 1
            if count > INTERRUPTIONS:
                return None
            text = f"{event.error} (interrupted {count} times of {INTERRUPTIONS} at most)"
            return replace(self, interruptions=count), text
        # Of trials that fell silent together, one may hold up the others.
        if event.quarantine and (event.transient or event.error.startswith(SILENT)):
            return replace(self, quarantine=event.quarantine), event.error
        if not event.transient or self.attempt >= retries:
            return None
        text = f"{event.error} (try {self.attempt + 2} of {retries + 1})"
        return replace(self, attempt=self.attempt + 1), text


@dataclass
class Running:
    """A try under way.

    Attributes:
        began: when it was submitted, or, once it is ``started``, when it did.
        heard: when it last gave a sign of life.
    """

    this: Try
    began: float
    heard: float
    started: bool = False

    def why_stopped(self, now: float, heard: float, limits: Settings) -> str | None:
        """Why it has to end now, where it takes too long or has fallen silent.

        Args:
            heard: when any trial last gave a sign of life.
        """
        timeout, silence = limits.trial_timeout, limits.heartbeat_timeout
        began, own = self.began, self.heard
        if not self.started:
            # It waits for a lane: its clock stands still while others give signs of life.
            began = own = max(began, heard)
        if timeout and now - began > timeout:
            return f"Timeout: it took over {timeout:g} s"
        if silence and now - own > silence:
            return f"{SILENT} for {silence:g} s"
        return None
