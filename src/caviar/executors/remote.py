"""Workers on any number of machines: agents dial in, and are handed the trials.

This is all of ``executor=listen``; ``slurm`` and ``ray`` differ in who starts the agents.
"""

from __future__ import annotations

import math
import os
import shlex
import socket
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from time import monotonic
from typing import Any

from caviar.base.errors import usage_error
from caviar.base.messages import Broken, Event, Failed, Finished, Pruned, Said
from caviar.executors import token as tokens
from caviar.executors.base import ProcessExecutor
from caviar.executors.channel import Channel
from caviar.executors.door import Door
from caviar.executors.protocol import Bye, Greeting, Nonce, Output, Welcome, version
from caviar.executors.remote_agent import RemoteAgent
from caviar.executors.task import TaskSource, own_path
from caviar.executors.worker import Goodbye, Interrupt, Prune, Stop
from caviar.runs.inside import open_inside

SHORT_SECONDS = 2.0
"""Where trials take no longer, an agent has some more than it has lanes: see `RemoteAgent.room`."""
CLOSING_SECONDS = 10.0


class RemoteExecutor(ProcessExecutor):
    """The controller's end of all agents, which a person starts with ``caviar join``, at any time.

    Who starts them for a person overrides `begin`, `turn`, `lost` and `end`.

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

    starts_agents = False

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
        super().__init__(engine)
        self.host = host or socket.gethostname()
        self.port = port or 0
        self.agents: list[RemoteAgent] = []
        self.in_all = 1
        self.lasts = math.inf
        self.worker_settings: dict[str, Any] = {}
        self._door: Door | None = None
        self._longest = 0.0
        self._typical = math.inf
        self._joined = 0
        self.closing = False
        self.done = 0

    # What an executor is

    @property
    def lanes(self) -> int:
        """Jobs that its agents may have: see `RemoteAgent.room`."""
        return sum(map(self._room, self.agents))

    @property
    def spare(self) -> int:
        """Of these, those that would wait for others to end."""
        return sum(max(0, self._room(a) - (a.lanes - a.spare)) for a in self.agents)

    @property
    def workers(self) -> int:
        """All its agents'."""
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
        self._nonce = Nonce.write(self.folder)
        self.begin()

    def events(self, timeout: float) -> list[Event]:
        """What the agents' workers said, and the ends of the trials of lost agents."""
        self.turn()
        if self._door is not None:
            self._door.turn()
        return super().events(timeout)

    def prune(self, number: int) -> None:
        self._send(number, Prune(number))

    def interrupt(self) -> None:
        for agent in self.agents:
            agent.send(Interrupt())
        super().interrupt()

    def stop(self, number: int, why: str) -> None:
        super().stop(number, why)
        self._send(number, Stop(number, why))

    def close(self) -> None:
        """End all agents with their workers, and wait until they are gone; may be called twice."""
        if self._door is None:
            return
        self.closing = True
        for agent in self.agents:
            agent.send(Goodbye())
        self.end()
        deadline = monotonic() + CLOSING_SECONDS
        while self.agents and (left := deadline - monotonic()) > 0:
            for key, _ in self._selector.select(left):
                key.data()
        for end in [*(agent.channel for agent in self.agents), self._door]:
            end.close()
        self._selector.close()
        self._door, self.agents, self._held = None, [], []
        for file in (Path(self._nonce.path), self.folder / tokens.TOKEN):
            with suppress(OSError):
                file.unlink()

    # For whoever starts agents

    @property
    def folder(self) -> Path:
        """The sweep's."""
        return self.log.absolute().parent

    @property
    def address(self) -> str:
        """Where agents dial in, ``HOST:PORT``."""
        return f"{self.host}:{self.port}"

    def say(self, text: str) -> None:
        """Show a line to the person at the terminal; one that was shown already is not shown again."""
        self._events.append(Said(text))

    def begin(self) -> None:
        """Say how an agent is started; called once, when they may dial in."""
        folder = shlex.quote(str(self.folder))  # ~ is another one's home elsewhere
        self.say(
            f"waiting for agents: caviar join {folder} {self.address}\n"
            "    on another machine, copy agents.token from that folder and name it instead of the folder; "
            "nothing is encrypted on the way"
        )

    def turn(self) -> None:
        """Called often: start more, or see why none comes."""

    def lost(self, agent: RemoteAgent) -> None:
        """An agent has gone, and its trials are about to be given to others: see that it is dead."""

    def end(self) -> None:
        """End all agents that have not come yet; those that have are told to go."""

    def send_away(self, agent: RemoteAgent) -> None:
        """Let an agent go that has nothing to do."""
        agent.lanes = 0
        agent.send(Goodbye())

    # Agents come and go

    def _come(self, channel: Channel) -> None:
        self._joined += 1
        self.agents.append(RemoteAgent(channel, self._joined, self._selector, self._serve))

    def _serve(self, agent: RemoteAgent) -> None:
        for said in agent.hear():
            if isinstance(said, Greeting):
                self._welcome(agent, said)
            elif isinstance(said, Output):
                with suppress(OSError), open_inside(self.log, "a") as log:
                    log.write(said.text)
            elif isinstance(said, Broken):
                self._broken(agent, said)
            else:
                if isinstance(said, Finished):
                    self._longest = max(self._longest, said.seconds)
                    self._typical = said.seconds
                self.done += isinstance(said, Finished | Pruned | Failed)
                self._events.append(said)
        if agent.channel.closed:
            self._gone(agent)
        else:
            agent.outbox.pump()
            agent.watch()
        self._hand_on()

    def _welcome(self, agent: RemoteAgent, greeting: Greeting) -> None:
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
        agent.channel.send(
            Welcome(
                name,
                self._nonce,
                os.getcwd(),
                own_path(),
                self._task,
                self._engine,
                self.worker_settings,
                in_all=max(self.in_all, self.workers),
            )
        )

    def _gone(self, agent: RemoteAgent) -> None:
        self.agents.remove(agent)
        self._selector.unregister(agent.channel)
        agent.channel.close()
        self.lost(agent)
        if agent.name and not self.closing:
            self.say(f"agent {agent.name} has gone: {agent.bye or 'its connection was lost'}")
        self._events += agent.losses()

    # Jobs and what comes of them

    def _room(self, agent: RemoteAgent) -> int:
        return agent.room(self._longest, short=self._typical < SHORT_SECONDS)

    def _hand_on(self) -> None:
        """Give the agents what is held for them, in its order, each to the one with the most room."""
        while self._held:
            able = [a for a in self.agents if len(a.jobs) < self._room(a)]
            if not able:
                return
            min(able, key=lambda a: len(a.jobs) / a.lanes).give(self._held.pop(0))

    def _send(self, number: int, message: Any) -> None:
        for agent in self.agents:
            if number in agent.jobs:
                agent.send(message)

    def _broken(self, agent: RemoteAgent, event: Broken) -> None:
        """An agent's workers cannot load the task; those of others may."""
        if not self.done and self.starts_agents:
            self._events.append(event)
        else:
            why = f"agent {agent.name}: no worker there can load the task"
            self.say(f"{why}: {event.error}\n{event.traceback}")
        self.send_away(agent)
