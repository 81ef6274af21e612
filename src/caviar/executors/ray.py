"""Workers on a cluster of Ray: an actor is an agent with one worker, and Ray says where it fits.

Ray starts the actors, and scales the cluster by those that wait; messages go over the agents' own
connections, as with any other executor of many machines.
"""

from __future__ import annotations

import itertools
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from concurrent.futures import Future
from importlib import import_module
from time import monotonic
from typing import Any

from caviar.base.errors import UsageError, usage_error
from caviar.base.plain import echo
from caviar.executors.remote_agent import RemoteAgent
from caviar.executors.started import StartedExecutor

LOOK_SECONDS = 10.0
"""Between two looks at how many workers the cluster has room for."""


class RayAgent:
    """The actor."""

    def serve(self, host: str, port: int, token: bytes, ticket: str) -> None:
        """Serve the controller there until it needs this agent no more."""
        from caviar.executors import agent

        agent.join(lambda: (host, port, token), ticket, patience=10.0)


class RayExecutor(StartedExecutor):
    """An actor a worker; one that is lost is made anew.

    Args:
        address: of the cluster: ``auto`` for the one that this machine belongs to, ``local`` for one of
            its own on this machine.
        workers: how many; None for as many as fit, also as the cluster grows.
        gpus_per_trial, cpus_per_trial, resources: what a worker holds, as Ray counts it.
        runtime_env: Ray's description of what a worker's node must have; None: it has the project.
        host, port: see `caviar.executors.remote.RemoteExecutor`; None for the address that Ray knows.
        engine: keyword arguments of `caviar.engines.make.make_engine`; the sweep sets them.

    Raises:
        UsageError: Ray is not installed, no cluster is there, or a number makes no sense.
    """

    def __init__(
        self,
        address: str = "auto",
        workers: int | None = None,
        gpus_per_trial: float = 0,
        cpus_per_trial: float = 1,
        resources: Mapping[str, float] | None = None,
        runtime_env: Mapping[str, Any] | None = None,
        host: str | None = None,
        port: int | None = None,
        engine: Mapping[str, Any] | None = None,
    ) -> None:
        if workers is not None and (type(workers) is not int or workers < 1):
            raise usage_error("executor.workers", workers, "must be a whole number, 1 or more")
        for name, number in (("gpus", gpus_per_trial), ("cpus", cpus_per_trial)):
            if isinstance(number, bool) or not isinstance(number, int | float) or number < 0:
                raise usage_error(f"executor.{name}_per_trial", number, "must be 0 or more")
        super().__init__(host, port, engine)
        self._needs = {"CPU": cpus_per_trial, "GPU": gpus_per_trial, **(resources or {})}
        if not any(self._needs.values()):
            raise usage_error("executor.cpus_per_trial", 0, "a worker must need something")
        self._address = address
        self._workers = workers
        self._runtime_env = dict(runtime_env or {})
        self._own_host = host is None
        self.worker_settings = {
            "workers": 1,
            "gpus_per_trial": gpus_per_trial,
            "threads": max(int(cpus_per_trial), 1),
        }
        self._actors: dict[str, Any] = {}
        self._numbers = itertools.count()
        self._looked = 0.0
        self._ended: list[tuple[str, str]] = []

    def begin(self) -> None:
        """Connect to Ray, or start one, and ask for the first actors."""
        try:
            ray: Any = import_module("ray")
        except ImportError:
            raise UsageError("executor=ray needs Ray: pip install 'caviar[ray]'") from None
        self._ray = ray
        try:
            if not ray.is_initialized():
                if self._address != "local":
                    _try_to_connect(self._address)
                ray.init(
                    address=self._address,
                    runtime_env=self._runtime_env or None,
                    log_to_driver=False,
                    configure_logging=False,
                )
        except Exception as error:
            text = " ".join(str(error).split())[:300]
            why = f"{text}; ray start --head starts one, executor.address=local is one by itself"
            raise usage_error("executor.address", self._address, why) from error
        if self._own_host:
            self.host = ray.util.get_node_ip_address()
        self.count = self._fitting()
        self.in_all = self.count
        super().begin()

    def _fitting(self) -> int:
        """How many workers there are to be: as many as the cluster has room for, and one at the least.

        Where none fits it waits, which is what an autoscaler looks at.
        """
        self._looked = monotonic()
        if self._workers is not None:
            return self._workers
        here = self._ray.cluster_resources()
        return max(int(min(here.get(name, 0) / n for name, n in self._needs.items() if n)), 1)

    def turn(self) -> None:
        """Hear of actors that have ended, and ask for more where the cluster has grown."""
        while self._ended:
            ticket, why = self._ended.pop(0)
            self._actors.pop(ticket, None)
            joined = any(agent.ticket == ticket for agent in self.agents)
            if not joined and self.tickets.pop(ticket, None) is not None:
                self.ended(0, 0.0, why or "it has ended")
        if self._workers is None and monotonic() - self._looked > LOOK_SECONDS:
            grown = self._fitting()
            if grown > self.count:
                self._target += grown - self.count
            self.count = grown
        super().turn()

    def more(self, count: int) -> list[str]:
        """Ask for so many actors; each waits until there is room for it."""
        needs = {n: v for n, v in self._needs.items() if n not in ("CPU", "GPU") and v}
        kind = self._ray.remote(RayAgent).options(
            num_cpus=self._needs["CPU"],
            num_gpus=self._needs["GPU"],
            resources=needs or None,
            max_restarts=0,
        )
        tickets = [f"actor {next(self._numbers)}" for _ in range(count)]
        for ticket in tickets:
            actor = kind.remote()
            self._actors[ticket] = actor
            ended = actor.serve.remote(self.host, self.port, self._token, ticket).future()
            ended.add_done_callback(lambda done, ticket=ticket: self._note_end(ticket, done))
        return tickets

    def _note_end(self, ticket: str, done: Future[None]) -> None:
        """In a thread of Ray's: an actor has ended."""
        error = done.exception()
        self._ended.append((ticket, " ".join(str(error).split())[:300] if error else ""))

    def lost(self, agent: RemoteAgent) -> None:
        # It may live, and only its connection be cut: a trial would train twice.
        self._kill(agent.ticket)
        super().lost(agent)

    def _kill(self, ticket: str) -> None:
        actor = self._actors.pop(ticket, None)
        if actor is not None:
            try:
                self._ray.kill(actor)
            except Exception as error:
                echo(f"Ray: {ticket} could not be killed: {error}")

    def end(self) -> None:
        """Kill the actors that have not come."""
        here = {agent.ticket for agent in self.agents}
        for ticket in [t for t in self._actors if t not in here]:
            self._kill(ticket)

    def close(self) -> None:
        """End all agents, and leave Ray."""
        super().close()
        for ticket in list(self._actors):
            self._kill(ticket)
        if os.environ.get("RAY_JOB_ID") is None and getattr(self, "_ray", None):
            self._ray.shutdown()


_TRY = """
import sys, ray
try:
    ray.init(address=sys.argv[1], log_to_driver=False, configure_logging=False)
except Exception as error:
    sys.exit(" ".join(str(error).split()))
"""


def _try_to_connect(address: str) -> None:
    """Connect to a cluster in a process that may die of it.

    Where a node's daemon has just died, Ray's own code ends the process that connects, and no exception
    is raised. A Ray that this process starts itself is not tried: to start it twice takes as long again.

    Raises:
        ConnectionError: that process came to its end, or what Ray says.
    """
    words = [sys.executable, "-c", _TRY, address]
    done = subprocess.run(words, capture_output=True, check=False, text=True)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise ConnectionError(re.sub(r"^\[.*?\] ", "", last))
