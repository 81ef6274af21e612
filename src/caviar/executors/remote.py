"""Workers on any number of machines: agents dial in, and are handed the trials.

This is all that `listen`, `slurm` and `ray` have in common; they differ in who starts the agents.
"""

from __future__ import annotations

import math
import os
import secrets
import selectors
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import monotonic
from typing import Any

from caviar.base.errors import UsageError, name_and_text, usage_error
from caviar.base.messages import (
    Broken,
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
from caviar.executors import token as tokens
from caviar.executors.channel import Channel, RefusedError
from caviar.executors.door import Door
from caviar.executors.local import EVENTS_AT_ONCE
from caviar.executors.mirror import Mirror, Outbox, Piece, write
from caviar.executors.protocol import Bye, Greeting, Joined, Lanes, Output, Welcome, version
from caviar.executors.task import TaskSource, own_path
from caviar.executors.worker import Goodbye, Interrupt, Prune, Stop
from caviar.runs.inside import open_inside

SHORT_SECONDS = 2.0
"""Where trials take no longer, an agent has some more than it has lanes: none waits for the network.

Where they take longer, one that waits behind another would keep a free lane elsewhere waiting."""
AHEAD = 1.5
"""Jobs a lane then."""
CLOSING_SECONDS = 10.0


@dataclass(eq=False)
class Agent:
    """An agent, as the controller sees it.

    Attributes:
        channel: to it.
        index: which one it is, from one.
        name: unique among all; empty before it has said where it is.
        ticket: what the one who started it knows it by.
        shares: whether it writes to the sweep's folder itself; else its files come over the channel.
        workers, lanes: how many it has.
        ends: when its allocation does, by the monotonic clock; infinity where that is not known.
        jobs: those that it has.
        labels: its workers'.
        bases: configs that it has been sent.
        since: when it last had a job, or came.
        ended: how many trials have ended on it.
        bye: what it said when it left.
    """

    channel: Channel
    index: int
    name: str = ""
    ticket: str = ""
    shares: bool = True
    workers: int = 0
    lanes: int = 0
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


class RemoteExecutor:
    """The controller's end of all agents. Who starts them overrides `begin`, `turn`, `lost` and `end`.

    Args:
        host: where agents find this machine, by name or address; None for the machine's name. It
            listens on all of its addresses, or on this machine alone where ``host`` is 127.0.0.1.
        port: None for any that is free.
        engine: keyword arguments of `caviar.engines.make.make_engine`; the sweep sets them.

    Attributes:
        agents: all that have joined.
        in_all: how many workers there will be, as far as is known.
        lasts: seconds that an agent's allocation does, where it cannot say itself how long.
        worker_settings: keyword arguments of each agent's `LocalExecutor`.
        done: how many trials have ended on agents.
        closing: whether all are told to go.
        starts_agents: whether an agent that cannot work is as any other would be.
    """

    can_stop = True
    starts_agents = True

    def __init__(
        self,
        host: str | None = None,
        port: int | None = None,
        engine: Mapping[str, Any] | None = None,
    ) -> None:
        if port is not None and not (type(port) is int and 0 <= port < 65536):
            raise usage_error("executor.port", port, "must be null, or a port's number")
        if host is not None and not isinstance(host, str):
            raise usage_error("executor.host", host, "must be null, or this machine's name")
        self.host = host or socket.gethostname()
        self.port = port or 0
        self.log = Path(os.devnull)
        self.judge: Callable[[Reported], bool] = lambda report: False
        self.agents: list[Agent] = []
        self.in_all = 1
        self.lasts = math.inf
        self.worker_settings: dict[str, Any] = {}
        self._engine = dict(engine or {})
        self._task: TaskSource | None = None
        self._door: Door | None = None
        self._selector = selectors.DefaultSelector()
        self._events: list[Event] = []
        self._held: list[Job] = []
        self._longest = 0.0
        self._typical = math.inf
        self._served = False
        self._joined = 0
        self.closing = False
        self.done = 0

    # What an executor is

    @property
    def lanes(self) -> int:
        return sum(map(self._room, self.agents))

    @property
    def workers(self) -> int:
        return sum(agent.workers for agent in self.agents)

    def start(self, task: TaskSource) -> None:
        """Listen for agents, and have them started; they come by themselves.

        Raises:
            UsageError: it cannot listen there, or no agent can be started.
        """
        self._task = replace(task, function=None)
        self._door = Door(self.host, self.port, self._selector, self._come, self.say)
        self.port = self._door.port
        self._door.token = self._token = tokens.write(self.folder, self.address)
        self._nonce = self.folder / f".agents.{os.urandom(6).hex()}.partial"
        self._nonce.write_text(secrets.token_hex(16))
        self.begin()

    def submit(self, job: Job) -> None:
        self._held.append(job)
        self._hand_on()

    def events(self, timeout: float) -> list[Event]:
        """What the agents' workers said; of an agent that is lost, that its trials are."""
        self.turn()
        if self._door is not None:
            self._door.turn()
        wait = 0 if self._events else timeout
        while len(self._events) < EVENTS_AT_ONCE and (ready := self._selector.select(wait)):
            for key, _ in ready:
                key.data()
            wait = 0  # for all else that has been said by now
        events, self._events = self._events, []
        return events

    def prune(self, number: int) -> None:
        self._send(number, Prune(number))

    def interrupt(self) -> None:
        for agent in self.agents:
            self._tell(agent, Interrupt())
        for job in self._held:
            why = "TrialInterrupted: the sweep was stopped"
            self._events.append(Failed(job.number, why, interrupted=True))
        self._held = []

    def stop(self, number: int, why: str) -> None:
        if any(job.number == number for job in self._held):
            self._held = [job for job in self._held if job.number != number]
            self._events.append(Failed(number, why))
        self._send(number, Stop(number, why))

    def close(self) -> None:
        """End all agents with their workers, and wait until they are gone; may be called twice."""
        if self._door is None:
            return
        self.closing = True
        for agent in self.agents:
            self._tell(agent, Goodbye())
        self.end()
        deadline = monotonic() + CLOSING_SECONDS
        while self.agents and (left := deadline - monotonic()) > 0:
            for key, _ in self._selector.select(left):
                key.data()
        for end in [*(agent.channel for agent in self.agents), self._door]:
            end.close()
        self._selector.close()
        self._door, self.agents, self._held = None, [], []
        for file in (self._nonce, self.folder / tokens.TOKEN):
            with suppress(OSError):
                file.unlink()

    # For whoever starts agents

    @property
    def folder(self) -> Path:
        """The sweep's."""
        return self.log.absolute().parent

    @property
    def address(self) -> str:
        return f"{self.host}:{self.port}"

    def say(self, text: str) -> None:
        """Tell whoever watches the sweep, once."""
        self._events.append(Said(text))

    def give_up(self, why: str, more: str = "") -> None:
        """No agent can be had at all."""
        self._events.append(Broken(why, more))

    def listen_to(self, what: Any, call: Callable[[], None]) -> None:
        """Have ``call`` called whenever something can be read from ``what``."""
        self._selector.register(what, selectors.EVENT_READ, call)

    def listen_no_more(self, what: Any) -> None:
        self._selector.unregister(what)

    def begin(self) -> None:
        """Start agents; called once, when they may dial in."""

    def turn(self) -> None:
        """Called often: start more, or see why none comes."""

    def lost(self, agent: Agent) -> None:
        """An agent has gone, and its trials are about to be given to others: see that it is dead."""

    def end(self) -> None:
        """End all agents that have not come yet; those that have are told to go."""

    def spent(self, agent: Agent) -> bool:
        """Whether its allocation has less time left than the longest trial took.

        One that is new has not, however short it is: a trial then takes several.
        """
        return bool(agent.ended) and agent.ends - monotonic() < self._longest

    def send_away(self, agent: Agent) -> None:
        """Let an agent go that has nothing to do."""
        agent.lanes = 0
        self._tell(agent, Goodbye())

    # Agents come and go

    def _come(self, channel: Channel) -> None:
        self._joined += 1
        agent = Agent(channel, self._joined)
        self.agents.append(agent)
        self.listen_to(channel, lambda: self._serve(agent))

    def _serve(self, agent: Agent) -> None:
        """Take in what an agent says, and send what waits for the network."""
        agent.channel.flush()
        try:
            messages = agent.channel.receive()
        except RefusedError as error:
            messages = []
            self.say(f"agent {agent.name}: {error}")
        for message in messages:
            if isinstance(message, tuple):
                self._take(agent, message)
            else:
                self._obey(agent, message)
        if agent.channel.closed:
            self._gone(agent)
        else:
            agent.outbox.pump()
            self._watch(agent)
        self._hand_on()

    def _watch(self, agent: Agent) -> None:
        """Wait for room in the network too, where something is still to be sent."""
        events = selectors.EVENT_READ
        if agent.channel.pending or agent.outbox:
            events |= selectors.EVENT_WRITE
        key = self._selector.get_key(agent.channel)
        if key.events != events:
            self._selector.modify(agent.channel, events, key.data)

    def _obey(self, agent: Agent, message: Any) -> None:
        if isinstance(message, Greeting):
            self._welcome(agent, message)
        elif isinstance(message, Joined):
            agent.shares, agent.workers = message.shares_disk, message.workers
            disk = "" if agent.shares else "; no shared disk: run folders come over the connection"
            self.say(f"agent {agent.name} has joined: {_count(agent.workers, 'worker')}{disk}")
        elif isinstance(message, Lanes):
            if not agent.lanes:
                agent.since = monotonic()
            agent.lanes = message.count
        elif isinstance(message, Output):
            with suppress(OSError), open_inside(self.log, "a") as log:
                log.write(message.text)
        elif isinstance(message, Piece):
            self._write(agent, message)
        elif isinstance(message, Bye):
            agent.bye, agent.lanes = message.why, 0

    def _welcome(self, agent: Agent, greeting: Greeting) -> None:
        names = {other.name for other in self.agents}
        name, count = greeting.host, 1
        while name in names:
            count += 1
            name = f"{greeting.host}#{count}"
        agent.name, agent.ticket = name, greeting.ticket
        left = self.lasts if greeting.seconds_left is None else greeting.seconds_left
        agent.ends = monotonic() + left
        if greeting.version != version():
            why = f"it is {greeting.version}, and the controller {version()}"
            self.say(f"agent {name} was sent away: {why}")
            agent.channel.send(Bye(f"sent away: {why}"))
            return
        assert self._task is not None
        settings = self.worker_settings
        in_all = max(self.in_all, self.workers)
        where, path = os.getcwd(), own_path()
        nonce = (str(self._nonce), self._nonce.read_text())
        folder = str(self.folder)
        task, engine = self._task, self._engine
        agent.channel.send(
            Welcome(name, folder, nonce, where, path, task, engine, settings, in_all)
        )

    def _gone(self, agent: Agent) -> None:
        self.listen_no_more(agent.channel)
        self.agents.remove(agent)
        agent.channel.close()
        self.lost(agent)
        if agent.name and not self.closing:
            self.say(f"agent {agent.name} has gone: {agent.bye or 'its connection was lost'}")
        self._give_back(agent)

    def _give_back(self, agent: Agent) -> None:
        """Tell what comes of an agent's trials, and that its workers are no more."""
        for number in agent.jobs:
            if agent.bye is not None:
                why = f"Interrupted: the agent {agent.name} {agent.bye}"
                self._events.append(Failed(number, why, interrupted=True))
            else:
                why = f"AgentLost: the agent {agent.name} that had it was lost"
                self._events.append(Failed(number, why, transient=True, kind="AgentLost"))
        self._events += [Gone(label) for label in agent.labels]

    # Jobs and what comes of them

    def _room(self, agent: Agent) -> int:
        if agent.lanes == 0 or self.spent(agent):
            return 0
        return math.ceil(AHEAD * agent.lanes) if self._typical < SHORT_SECONDS else agent.lanes

    def _hand_on(self) -> None:
        """Give the agents what is held for them, in its order, each to the one with the most room."""
        while self._held:
            able = [agent for agent in self.agents if len(agent.jobs) < self._room(agent)]
            if not able:
                return
            self._give(min(able, key=lambda a: len(a.jobs) / a.lanes), self._held.pop(0))

    def _give(self, agent: Agent, job: Job) -> None:
        agent.jobs[job.number] = job
        if job.base.id not in agent.bases:
            agent.bases.add(job.base.id)
            agent.channel.send(job.base)
        sent = replace(job, base=replace(job.base, pickled=None))
        if agent.shares:
            agent.channel.send(sent)
        else:
            folders = {Path(job.folder)} | (
                {Path(job.resume_from).parent} if job.resume_from else set()
            )
            there = [folder for folder in folders if folder.is_dir()] if job.resume_from else []
            pieces = (p for f in there for p in Mirror(int(f.name), f).changes())
            agent.outbox.put(job.number, pieces, sent)
            agent.outbox.pump()
        self._watch(agent)

    def _tell(self, agent: Agent, message: Any) -> None:
        agent.channel.send(message)
        self._watch(agent)

    def _send(self, number: int, message: Any) -> None:
        for agent in self.agents:
            if number in agent.jobs:
                self._tell(agent, message)

    def _write(self, agent: Agent, piece: Piece) -> None:
        job = agent.jobs.get(piece.number)
        if job is None:
            return
        try:
            write(Path(job.folder), piece)
        except OSError as error:
            del agent.jobs[piece.number]
            agent.channel.send(Stop(piece.number, "its files cannot be written"))
            self._events.append(Failed(piece.number, name_and_text(error), hopeless=True))
        except UsageError as error:
            self.say(f"agent {agent.name}: {error}")

    def _take(self, agent: Agent, events: tuple[Event, ...]) -> None:
        for event in events:
            if isinstance(event, Broken):
                self._broken(agent, event)
                continue
            if isinstance(event, Started | Reported | Finished | Pruned | Failed):
                if event.number not in agent.jobs:
                    continue
                if isinstance(event, Finished):
                    self._longest = max(self._longest, event.seconds)
                    self._typical = event.seconds
                if isinstance(event, Finished | Pruned | Failed):
                    self._served = True
                    self.done += 1
                    agent.ended += 1
                    agent.since = monotonic()
                    del agent.jobs[event.number]
                if isinstance(event, Failed) and event.quarantine:
                    # Agents number theirs from one, each.
                    apart = event.quarantine << 20 | agent.index
                    event = replace(event, quarantine=apart)
            if isinstance(event, Starting):
                agent.labels.append(event.worker)
            self._events.append(event)

    def _broken(self, agent: Agent, event: Broken) -> None:
        """An agent's workers cannot load the task; those of others may."""
        if not self._served and self.starts_agents:
            self._events.append(event)
        else:
            why = f"agent {agent.name}: no worker there can load the task"
            self.say(f"{why}: {event.error}\n{event.traceback}")
        self.send_away(agent)


def _count(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"
