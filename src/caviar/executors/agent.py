"""An agent: the workers of one machine, or of one allocation, for a controller on another one.

It is `LocalExecutor` behind messages. It comes by itself (``caviar join``), by Slurm or by Ray, dials
in, and ends with its controller.
"""

from __future__ import annotations

import os
import selectors
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import monotonic
from typing import Any

from caviar.base.errors import UsageError
from caviar.base.messages import (
    Base,
    Event,
    Failed,
    Finished,
    Job,
    Pruned,
)
from caviar.base.plain import echo
from caviar.base.signals import GRACE_SECONDS, heard
from caviar.executors.channel import Channel, RefusedError, connect
from caviar.executors.local import LocalExecutor
from caviar.executors.mirror import Mirror, Outbox, Piece, write
from caviar.executors.protocol import Bye, Greeting, Joined, Lanes, Output, Welcome, version
from caviar.executors.task import moved
from caviar.executors.worker import Goodbye, Interrupt, Prune, Stop

LOOK_SECONDS = 2.0
"""Between two looks at what running trials have written, where there is no shared disk."""
CHECKPOINT_SECONDS = 10.0
"""The same of checkpoints."""


def join(
    find: Callable[[], tuple[str, int, bytes]],
    ticket: str = "",
    patience: float = 60.0,
    say: Callable[[str], None] = echo,
) -> None:
    """Serve the controller of a sweep until it needs this agent no more, or this process is to end.

    One that is lost is waited for: a resumed sweep has its agents back at once.

    Args:
        find: where the controller listens, and the token; asked before each try.
        ticket: see `Greeting`.
        patience: seconds without a controller after which the agent gives up.
        say: told what happens.

    Raises:
        UsageError: there is none, it does not know the token, or that is gone, as when a sweep is over.
    """
    since = monotonic()
    while True:
        problem = ""
        try:
            host, port, token = find()
            channel = connect(host, port, token)
        except RefusedError as error:
            raise UsageError(str(error)) from None
        except OSError as error:
            problem = str(error)
        else:
            say(f"joined the sweep at {host}:{port}")
            ended = serve(channel, ticket)
            if ended is not None:
                say(ended)
                return
            since = monotonic()
            say(f"the controller is gone, and its trials with it; waiting {patience:g} s for it")
        if monotonic() - since >= patience:
            raise UsageError(f"no controller for {patience:g} s: {problem or 'it is gone'}")
        time.sleep(min(0.5, patience))


def serve(channel: Channel, ticket: str = "") -> str | None:
    """Serve one controller.

    Returns:
        why the agent is done; None where the controller was lost.
    """
    scratch = Path(tempfile.mkdtemp(prefix="caviar-agent-"))
    try:
        with Agent(channel, scratch) as agent:
            return agent.serve(ticket)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


@dataclass
class _Trial:
    """A trial under way; ``mirror``: what the controller has of its folder, without a shared disk."""

    job: Job
    mirror: Mirror | None = None


@dataclass(eq=False)
class Agent:
    """One connection's worth of an agent; use it in a ``with`` block.

    Attributes:
        channel: to the controller.
        scratch: a folder of its own: for its workers' log and, without a shared disk, run folders.
    """

    channel: Channel
    scratch: Path
    _local: LocalExecutor | None = None
    _shares: bool = True
    _trials: dict[int, _Trial] = field(default_factory=dict[int, _Trial])
    _bases: dict[int, Base] = field(default_factory=dict[int, Base])
    _lanes: int = 0
    _told: int = 0  # bytes of the workers' log
    _leaving: float | None = None
    _signum: int = 0
    _looked: float = field(default_factory=monotonic)
    _saved: float = field(default_factory=monotonic)

    def __post_init__(self) -> None:
        self._outbox = Outbox(self.channel)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self.channel, selectors.EVENT_READ)

    def __enter__(self) -> Agent:
        return self

    def __exit__(self, *_: object) -> None:
        if self._local is not None:
            self._local.close()
        self.channel.close()
        self._selector.close()

    def serve(self, ticket: str) -> str | None:
        """Do what the controller says; see `serve`."""
        ends = os.environ.get("SLURM_JOB_END_TIME", "")
        left = float(ends) - time.time() if ends.isdigit() else None
        here = socket.gethostname()
        self.channel.send(Greeting(here, os.getpid(), ticket, left, version()))
        with heard(self._hear, (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2)):
            while True:
                self._wait()
                try:
                    messages = self.channel.receive()
                except RefusedError:
                    messages = []
                for message in messages:
                    if isinstance(message, Goodbye | Bye):
                        return (
                            message.why if isinstance(message, Bye) else "the sweep needs no more"
                        )
                    try:
                        self._obey(message)
                    except UsageError as error:
                        return self._bye(f"cannot serve: {error}")
                if self.channel.closed:
                    return None
                self._pass_on()
                if self._leaving is not None and self._gone():
                    return self._bye(f"ended by {signal.Signals(self._signum).name}")

    def _hear(self, signum: int) -> None:
        if self._signum and signum == signal.SIGINT:
            self._leaving = monotonic()  # Ctrl-C again
        self._signum = self._signum or signum

    def _wait(self) -> None:
        """Until there is something to do; a second at most, for a signal does not end a select."""
        events = selectors.EVENT_READ
        if self.channel.pending:
            events |= selectors.EVENT_WRITE
        self._selector.modify(self.channel, events)
        idle = not self._outbox or self.channel.pending
        self._selector.select(1.0 if idle else 0)

    def _obey(self, message: Any) -> None:
        if isinstance(message, Welcome):
            self._start(message)
            return
        local = self._local
        assert local is not None
        if isinstance(message, Job):
            self._take(message)
        elif isinstance(message, Base):
            self._bases[message.id] = message
        elif isinstance(message, Piece):
            with suppress(OSError):  # it then begins afresh
                write(self._folder(message.number), message)
        elif isinstance(message, Prune):
            local.prune(message.number)
        elif isinstance(message, Stop):
            local.stop(message.number, message.why)
        elif isinstance(message, Interrupt):
            local.interrupt()

    def _start(self, welcome: Welcome) -> None:
        self._shares = welcome.nonce.is_here()
        if self._shares and Path(welcome.cwd).is_dir():
            os.chdir(welcome.cwd)
        task, here = welcome.task, Path.cwd()
        for folder in reversed([moved(entry, welcome.cwd, here) for entry in welcome.path]):
            if folder not in sys.path:
                sys.path.insert(0, folder)
        if task.path is not None:
            task = replace(task, path=moved(task.path, welcome.cwd, here))
        local = LocalExecutor(**{"fork": False, **welcome.workers}, engine=welcome.engine)
        local.slots = [replace(s, label=f"{welcome.name}/{s.label}") for s in local.slots]
        local.in_all = max(welcome.in_all, len(local.slots))
        local.log = self.scratch / "workers.txt"
        self._local = local
        local.start(task)
        self._selector.register(local, selectors.EVENT_READ)
        self.channel.send(Joined(self._shares, len(local.slots)))

    def _folder(self, number: int) -> Path:
        return self.scratch / "trials" / f"{number:04}"

    def _take(self, job: Job) -> None:
        assert self._local is not None
        if self._leaving is not None:
            why = "Interrupted: the agent leaves"
            self.channel.send((Failed(job.number, why, interrupted=True),))
            return
        job = replace(job, base=self._bases[job.base.id])
        trial = _Trial(job)
        if not self._shares:
            folder = self._folder(job.number)
            trial.mirror = Mirror(job.number, folder)
            trial.mirror.note()
            came = job.resume_from and self.scratch / "trials" / _trial_of(job.resume_from)
            job = replace(job, folder=str(folder), resume_from=came and str(came / "checkpoints"))
        self._trials[job.number] = trial
        self._local.submit(job)

    def _pass_on(self) -> None:
        """Tell the controller what the workers said, and send it what they wrote."""
        if self._local is not None:
            events = self._local.events(0)
            now: list[Event] = []
            for event in events:
                if isinstance(event, Finished | Pruned | Failed):
                    self._end(event, now)
                else:
                    now.append(event)
            if now:
                self.channel.send(tuple(now))
            lanes = 0 if self._leaving is not None else self._local.ready
            if lanes != self._lanes:
                self._lanes = lanes
                self.channel.send(Lanes(lanes))
            self._look()
        self._outbox.pump()
        if self._signum and self._leaving is None:
            self._leaving = monotonic() + GRACE_SECONDS
            self._lanes = 0
            self.channel.send(Lanes(0))
            if self._local is not None:
                self._local.interrupt()

    def _end(self, event: Finished | Pruned | Failed, now: list[Event]) -> None:
        trial = self._trials.pop(event.number, None)
        if trial is None or trial.mirror is None:
            now.append(event)
            return
        if now:  # what it said before
            self.channel.send(tuple(now))
            now.clear()
        self._outbox.put(event.number, self._last(trial), (event,))

    def _last(self, trial: _Trial) -> Iterator[Piece]:
        """What is still to be sent of a trial that has ended; then nothing of it is left here."""
        assert trial.mirror is not None
        yield from trial.mirror.changes()
        earlier = _trial_of(trial.job.resume_from) if trial.job.resume_from else ""
        for name in {f"{trial.job.number:04}", earlier} - {""}:
            if int(name) not in self._trials:
                shutil.rmtree(self.scratch / "trials" / name, ignore_errors=True)

    def _look(self) -> None:
        """Send what has changed in the folders of running trials, and in the workers' log."""
        now = monotonic()
        if now - self._looked < LOOK_SECONDS:
            return
        self._looked = now
        checkpoints = now - self._saved >= CHECKPOINT_SECONDS
        if checkpoints:
            self._saved = now
        for number, trial in self._trials.items():
            if trial.mirror is not None and number not in self._outbox:
                self._outbox.put(number, trial.mirror.changes(checkpoints))
        self._tell_output()

    def _tell_output(self) -> None:
        with suppress(OSError), (self.scratch / "workers.txt").open("rb") as log:
            log.seek(self._told)
            text = log.read(1 << 20)
            if text:
                self._told += len(text)
                self.channel.send(Output(text.decode(errors="backslashreplace")))

    def _gone(self) -> bool:
        """Whether it may leave: nothing is under way any more, or there is no time left."""
        assert self._leaving is not None
        done = not (self._trials or self._outbox)
        return done or monotonic() > self._leaving or self._local is None

    def _bye(self, why: str) -> str:
        """Say the last word, wait until it has gone, and return it."""
        self._tell_output()
        self.channel.send(Bye(why))
        deadline = monotonic() + 5
        while self.channel.pending and not self.channel.closed and monotonic() < deadline:
            self._selector.modify(self.channel, selectors.EVENT_WRITE)
            self._selector.select(0.5)
            self.channel.flush()
        return why


def _trial_of(resume_from: str) -> str:
    """The name of the run folder that checkpoints are in."""
    return Path(resume_from).parent.name
