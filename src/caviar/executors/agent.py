"""An agent: the workers of one machine, or of one allocation, for a controller on another one.

It is `LocalExecutor` behind messages. It comes by itself (``caviar join``), by Slurm or by Ray, dials
in, and ends with its controller.
"""

from __future__ import annotations

import os
import selectors
import signal
import socket
import sys
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import monotonic
from typing import Any

from caviar.base.errors import UsageError
from caviar.base.messages import Base, Event, Failed, Finished, Job, Pruned
from caviar.base.plain import echo
from caviar.base.signals import GRACE_SECONDS, heard
from caviar.executors.channel import Channel, RefusedError, connect
from caviar.executors.local import LocalExecutor
from caviar.executors.mirror import Outbox, Piece
from caviar.executors.protocol import Bye, Greeting, Joined, Lanes, Output, Welcome, version
from caviar.executors.scratch import Scratch
from caviar.executors.task import moved
from caviar.executors.worker import Goodbye, Interrupt, Prune, Stop


def join(
    find: Callable[[], tuple[str, int, bytes]],
    ticket: str = "",
    patience: float = 60.0,
) -> None:
    """Serve the controller of a sweep until it needs this agent no more, or this process is to end.

    One that is lost is waited for: a resumed sweep has its agents back at once.

    Args:
        find: where the controller listens, and the token; asked before each try.
        ticket: see `Greeting`.
        patience: seconds without a controller after which the agent gives up.

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
            echo(f"joined the sweep at {host}:{port}")
            with closing(Scratch()) as scratch, closing(Agent(channel, scratch)) as agent:
                ended = agent.serve(ticket)
            if ended is not None:
                echo(ended)
                return
            since = monotonic()
            echo(f"the controller is gone, and its trials with it; waiting {patience:g} s for it")
        if monotonic() - since >= patience:
            raise UsageError(f"no controller for {patience:g} s: {problem or 'it is gone'}")
        time.sleep(min(0.5, patience))


@dataclass(eq=False)
class Agent:
    """One connection's worth of an agent."""

    channel: Channel
    scratch: Scratch
    _local: LocalExecutor | None = None
    _shares: bool = True
    _trials: dict[int, Job] = field(default_factory=dict[int, Job])
    _bases: dict[int, Base] = field(default_factory=dict[int, Base])
    _lanes: int = 0
    _leaving: float | None = None
    _signum: int = 0

    def __post_init__(self) -> None:
        self._outbox = Outbox(self.channel)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self.channel, selectors.EVENT_READ)

    def close(self) -> None:
        """End its workers, and the connection."""
        if self._local is not None:
            self._local.close()
        self.channel.close()
        self._selector.close()

    def serve(self, ticket: str) -> str | None:
        """Do what the controller says.

        Returns:
            why the agent is done; None where the controller was lost.
        """
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
            self.scratch.write(message)
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
        local.log = self.scratch.log
        self._local = local
        local.start(task)
        self._selector.register(local, selectors.EVENT_READ)
        self.channel.send(Joined(self._shares, len(local.slots)))

    def _take(self, job: Job) -> None:
        assert self._local is not None
        if self._leaving is not None:
            why = "Interrupted: the agent leaves"
            self.channel.send((Failed(job.number, why, interrupted=True),))
            return
        job = replace(job, base=self._bases[job.base.id])
        self._trials[job.number] = job
        self._local.submit(job if self._shares else self.scratch.take(job))

    def _pass_on(self) -> None:
        """Tell the controller what the workers said, and send it what they wrote."""
        if self._local is not None:
            now: list[Event] = []
            for event in self._local.events(0):
                ended = isinstance(event, Finished | Pruned | Failed)
                job = self._trials.pop(event.number, None) if ended else None
                if job is None or job.number not in self.scratch:
                    now.append(event)
                    continue
                if now:  # what it said before
                    self.channel.send(tuple(now))
                    now = []
                self._outbox.put(job.number, self.scratch.last(job), (event,))
            if now:
                self.channel.send(tuple(now))
            lanes = 0 if self._leaving is not None else self._local.ready
            if lanes != self._lanes:
                self._lanes = lanes
                self.channel.send(Lanes(lanes, min(self._local.spare, lanes)))
            if self.scratch.look(self._outbox):
                self._tell_output()
        self._outbox.pump()
        if self._signum and self._leaving is None:
            self._leaving = monotonic() + GRACE_SECONDS
            self._lanes = 0
            self.channel.send(Lanes(0))
            if self._local is not None:
                self._local.interrupt()

    def _tell_output(self) -> None:
        if text := self.scratch.output():
            self.channel.send(Output(text))

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
