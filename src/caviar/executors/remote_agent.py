"""An agent as its controller sees it: what it can take, what it has, and its run folders' files."""

from __future__ import annotations

import math
import selectors
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import monotonic
from typing import Any

from caviar.base.errors import UsageError, name_and_text
from caviar.base.messages import (
    Event,
    Failed,
    Finished,
    Gone,
    Job,
    Pruned,
    Reported,
    Said,
    Started,
    Starting,
)
from caviar.executors.channel import Channel, RefusedError
from caviar.executors.mirror import Mirror, Outbox, Piece, write
from caviar.executors.protocol import Bye, Greeting, Joined, Lanes, Output
from caviar.executors.worker import Stop

AHEAD = 1.5
"""Jobs a lane, where trials are so short that a lane would wait for the network between two."""


@dataclass(eq=False)
class RemoteAgent:
    """The controller's end of the connection to an agent.

    Attributes:
        index: which one it is, from one.
        selector: in which ``serve`` is called when it has said something.
        name: unique among all; empty before it has said where it is.
        ticket: what the one who started it knows it by.
        shares: whether it writes to the sweep's folder itself; else its files come over the channel.
        workers, lanes: how many it has; ``spare``: of the lanes, those whose jobs would wait for others.
        ends: when its allocation does, by the monotonic clock; infinity where that is not known.
        labels: its workers'.
        bases: configs that it has been sent.
        since: when it last had a job, or came.
        ended: how many trials have ended on it.
        bye: what it said when it left.
    """

    channel: Channel
    index: int
    selector: selectors.BaseSelector
    serve: Callable[[RemoteAgent], None]
    name: str = ""
    ticket: str = ""
    shares: bool = True
    workers: int = 0
    lanes: int = 0
    spare: int = 0
    ends: float = math.inf
    jobs: dict[int, Job] = field(default_factory=dict[int, Job])
    labels: list[str] = field(default_factory=list[str])
    bases: set[int] = field(default_factory=set[int])
    since: float = field(default_factory=monotonic)
    came: float = field(default_factory=monotonic)
    ended: int = 0
    bye: str | None = None

    def __post_init__(self) -> None:
        self.outbox = Outbox(self.channel)
        self.selector.register(self.channel, selectors.EVENT_READ, lambda: self.serve(self))

    def room(self, longest: float, short: bool) -> int:
        """How many jobs it may have.

        Args:
            longest: seconds that a trial took at most: see `spent`.
            short: whether trials are, so that some more are sent ahead: none waits for the network.
                Where they are long, one that waits behind another would keep a free lane elsewhere
                waiting.
        """
        if self.lanes == 0 or self.spent(longest):
            return 0
        return math.ceil(AHEAD * self.lanes) if short else self.lanes

    def spent(self, longest: float) -> bool:
        """Whether its allocation has less time left than the longest trial took.

        One that is new has not, however short it is: a trial then takes several.
        """
        return bool(self.ended) and self.ends - monotonic() < longest

    def send(self, message: Any) -> None:
        """Send a message, as far as the network takes it now; the rest follows."""
        self.channel.send(message)
        self.watch()

    def watch(self) -> None:
        """Wait for room in the network too, where something is still to be sent."""
        events = selectors.EVENT_READ
        if self.channel.pending or self.outbox:
            events |= selectors.EVENT_WRITE
        key = self.selector.get_key(self.channel)
        if key.events != events:
            self.selector.modify(self.channel, events, key.data)

    def give(self, job: Job) -> None:
        """Send a job, behind the checkpoints that it goes on from where the disk is not shared."""
        self.jobs[job.number] = job
        if job.base.id not in self.bases:
            self.bases.add(job.base.id)
            self.channel.send(job.base)
        sent = replace(job, base=replace(job.base, pickled=None))
        if self.shares:
            self.channel.send(sent)
        else:
            earlier = {Path(job.folder), Path(job.resume_from).parent} if job.resume_from else set()
            there = [folder for folder in earlier if folder.is_dir()]
            pieces = (p for f in there for p in Mirror(int(f.name), f).changes())
            self.outbox.put(job.number, pieces, sent)
            self.outbox.pump()
        self.watch()

    def hear(self) -> Iterator[Event | Greeting | Output]:
        """Take in what it says, and send what waits for the network.

        Yields:
            what is for its executor, in order. Events of trials that it has not are left out.
        """
        self.channel.flush()
        try:
            messages = self.channel.receive()
        except RefusedError as error:
            messages = []
            yield Said(f"agent {self.name}: {error}")
        for message in messages:
            match message:
                case tuple():
                    yield from filter(None, map(self._take, message))
                case Greeting() | Output():
                    yield message
                case Joined():
                    self.shares, self.workers = message.shares_disk, message.workers
                    text = f"{self.workers} worker{'s' * (self.workers != 1)}"
                    if not self.shares:
                        text += "; no shared disk: run folders come over the connection"
                    yield Said(f"agent {self.name} has joined: {text}")
                case Lanes():
                    if not self.lanes:
                        self.since = monotonic()
                    self.lanes, self.spare = message.count, message.spare
                case Piece():
                    yield from self._write(message)
                case Bye():
                    self.bye, self.lanes = message.why, 0

    def _take(self, event: Event) -> Event | None:
        if isinstance(event, Started | Reported | Finished | Pruned | Failed):
            if event.number not in self.jobs:
                return None
            if isinstance(event, Finished | Pruned | Failed):
                self.ended += 1
                self.since = monotonic()
                del self.jobs[event.number]
            if isinstance(event, Failed) and event.quarantine:
                # Agents number theirs from one, each.
                return replace(event, quarantine=event.quarantine << 20 | self.index)
        if isinstance(event, Starting):
            self.labels.append(event.worker)
        return event

    def _write(self, piece: Piece) -> Iterator[Event]:
        """Write a piece of a run folder that it has sent, of a trial that it still has."""
        if piece.number not in self.jobs:
            return
        try:
            write(Path(self.jobs[piece.number].folder), piece)
        except OSError as error:
            del self.jobs[piece.number]
            self.channel.send(Stop(piece.number, "its files cannot be written"))
            yield Failed(piece.number, name_and_text(error), hopeless=True)
        except UsageError as error:
            yield Said(f"agent {self.name}: {error}")

    def losses(self) -> list[Event]:
        """How its trials end, and that its workers are no more, now that the agent has gone."""
        events: list[Event] = []
        for number in self.jobs:
            if self.bye is not None:
                why = f"Interrupted: the agent {self.name} {self.bye}"
                events.append(Failed(number, why, interrupted=True))
            else:
                why = f"AgentLost: the agent {self.name} that had it was lost"
                events.append(Failed(number, why, transient=True, kind="AgentLost"))
        return [*events, *map(Gone, self.labels)]
