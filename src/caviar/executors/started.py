"""Agents that a cluster starts: how many there are to be, and when to give up."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from time import monotonic
from typing import Any

from caviar.base.errors import UsageError
from caviar.base.messages import Broken
from caviar.executors.remote import RemoteExecutor
from caviar.executors.remote_agent import RemoteAgent

IN_A_ROW = 5
"""So many agents that come to an end at once, without a trial, are no accident."""
AT_ONCE_SECONDS = 60.0
IDLE_SECONDS = 60.0
"""An agent that had nothing to do for so long is let go of."""
AGAIN_SECONDS = 30.0
"""After a cluster has refused an agent, until it is asked again."""


class StartedExecutor(RemoteExecutor, ABC):
    """Keeps as many agents as are wanted, by tickets: what each of them is started with.

    Who starts them overrides `more`, which asks for some and returns their tickets.

    Attributes:
        count: how many agents there are to be.
        tickets: those that were asked for and have not ended, with the time of asking.
    """

    starts_agents = True

    def __init__(
        self, host: str | None, port: int | None, engine: Mapping[str, Any] | None
    ) -> None:
        super().__init__(host, port, engine)
        self.count = 1
        self.tickets: dict[str, float] = {}
        self._fruitless = 0
        self._target = 1
        self._next = 0.0
        self._trials = self._engine.get("trials") or math.inf

    @abstractmethod
    def more(self, count: int) -> list[str]:
        """Ask for so many agents.

        Raises:
            UsageError: the cluster refuses.
        """

    def begin(self) -> None:
        """Ask for all agents that were not asked for yet."""
        self._target = self.count
        self._ask(self.count - len(self.tickets))

    def turn(self) -> None:
        """Let idle agents go, and ask for those that are missing."""
        now = monotonic()
        for agent in [agent for agent in self.agents if agent.lanes and not agent.jobs]:
            idle = not self._held and now - agent.since > IDLE_SECONDS
            if idle or agent.spent(self._longest):
                self.send_away(agent)
                self._target -= idle
        # Asked for events, there is something left to do: a trial under way, or to come.
        self._target = min(max(self._target, len(self._held), 1), self.count)
        if now >= self._next and not self.closing:
            try:
                self._ask(self._target - len(self.tickets))
            except UsageError as error:
                self.say(f"{error}")
                self.ended(0, 0.0, str(error))
                self._next = now + AGAIN_SECONDS

    def lost(self, agent: RemoteAgent) -> None:
        """Note how an agent that was asked for has ended."""
        if self.tickets.pop(agent.ticket, None) is None or self.closing:
            return
        self.ended(agent.ended, monotonic() - agent.came, agent.bye or "its connection was lost")

    def ended(self, trials: int, seconds: float, why: str) -> None:
        """Note how an agent ended: so many at once, without a trial, end the sweep."""
        if trials or seconds > AT_ONCE_SECONDS:
            self._fruitless = 0
            return
        self._fruitless += "SIGTERM" not in why and "SIGUSR2" not in why  # it was preempted
        if self._fruitless >= IN_A_ROW:
            text = f"{IN_A_ROW} agents in a row ended within a minute, without a trial"
            self._events.append(Broken(f"{text}: {why}", ""))

    def _ask(self, count: int) -> None:
        count = int(min(count, max(self._trials - self.done, 1)))
        if count >= 1 and self._fruitless < IN_A_ROW:
            now = monotonic()
            self.tickets |= dict.fromkeys(self.more(count), now)
