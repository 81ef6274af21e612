"""Workers in jobs of Slurm: an array of agents, each of which dials in when its job starts."""

from __future__ import annotations

import contextlib
import hashlib
import math
import re
import selectors
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from time import monotonic
from typing import Any

from caviar.base.errors import UsageError, usage_error
from caviar.executors.started import StartedExecutor

LOOK_SECONDS = 30.0
"""Between two calls of ``squeue``, and only while some agent has not come."""
_PATIENCE = 60.0


class SlurmExecutor(StartedExecutor):
    """Agents in a job array; one that is preempted, killed or out of time is asked for again.

    Args:
        jobs: how many agents.
        workers_per_job: how many workers each has; None for as many as fit its allocation.
        partition, time, account, qos, constraint, mem: of each, as ``sbatch`` takes them.
        cpus, gpus: of each, as ``--cpus-per-task`` and ``--gres=gpu:``.
        sbatch: more arguments of ``sbatch``, as they are.
        setup: lines of shell that come before Python (``module load …``).
        host, port: see `caviar.executors.remote.RemoteExecutor`.
        engine: keyword arguments of `caviar.engines.make.make_engine`; the sweep sets them.
    """

    def __init__(
        self,
        jobs: int = 1,
        workers_per_job: int | None = None,
        partition: str | None = None,
        time: str | int | None = None,
        account: str | None = None,
        qos: str | None = None,
        constraint: str | None = None,
        mem: str | int | None = None,
        cpus: int | None = None,
        gpus: int | None = None,
        sbatch: Sequence[str] = (),
        setup: Sequence[str] = (),
        host: str | None = None,
        port: int | None = None,
        engine: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(host, port, engine)
        for name, value in (("jobs", jobs), ("workers_per_job", workers_per_job), ("cpus", cpus)):
            if value is not None and (type(value) is not int or value < 1):
                raise usage_error(f"executor.{name}", value, "must be a whole number, 1 or more")
        for name, lines in (("sbatch", sbatch), ("setup", setup)):
            if isinstance(lines, str) or not all(isinstance(line, str) for line in lines):
                raise usage_error(f"executor.{name}", lines, "must be a list of lines")
        self.count = jobs
        self.in_all = jobs * (workers_per_job or 1)
        self.lasts = _seconds(time)
        self.worker_settings = {"workers": workers_per_job}
        if cpus and not gpus:
            self.worker_settings["threads"] = max(cpus // (workers_per_job or cpus), 1)
            self.worker_settings["workers"] = workers_per_job or cpus
        given = {
            "partition": partition,
            "time": time,
            "account": account,
            "qos": qos,
            "constraint": constraint,
            "mem": mem,
            "cpus-per-task": cpus,
            "gres": None if gpus is None else f"gpu:{gpus}",
        }
        self._words = [f"--{name}={value}" for name, value in given.items() if value is not None]
        if time is not None:
            self._words.append("--signal=B:USR2@30")
        self._words += sbatch
        self._setup = list(setup)
        self._queue: subprocess.Popen[str] | None = None
        self._looked = monotonic()

    def begin(self) -> None:
        """Ask for agents; those that an earlier session asked for, and that still wait, are its own."""
        words = ["squeue", "--noheader", "--array", "--format=%i", f"--name={self._name}"]
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            done = subprocess.run(
                words, capture_output=True, check=False, text=True, timeout=_PATIENCE
            )
            self.tickets |= dict.fromkeys(done.stdout.split(), monotonic())
        super().begin()

    @property
    def _name(self) -> str:
        """What this sweep's jobs are called, and no others."""
        return f"caviar-{self.folder.name}-{hashlib.sha256(self._token).hexdigest()[:8]}"

    def more(self, count: int) -> list[str]:
        """Submit an array of so many agents.

        Raises:
            UsageError: there is no ``sbatch``, or what it says.
        """
        folder = self.folder
        join = [sys.executable, "-m", "caviar.cli", "join", str(folder)]
        script = "\n".join(["#!/bin/sh", *self._setup, f"exec {shlex.join(join)}", ""])
        words = [
            *("sbatch", "--parsable", "--no-requeue", f"--array=0-{count - 1}"),
            *(f"--job-name={self._name}", f"--output={folder}/slurm-%A_%a.txt"),
            *self._words,
        ]
        try:
            done = subprocess.run(
                words, input=script, capture_output=True, check=False, text=True, timeout=_PATIENCE
            )
        except FileNotFoundError:
            raise UsageError("executor=slurm: there is no sbatch on this machine") from None
        except subprocess.TimeoutExpired:
            raise UsageError(f"executor=slurm: sbatch did not answer for {_PATIENCE:g} s") from None
        if done.returncode:
            text = " ".join(done.stderr.split()).removeprefix("sbatch: ")
            raise UsageError(f"executor=slurm: sbatch: {text}")
        job = done.stdout.strip().partition(";")[0]
        self.say(f"asked Slurm for {count} of {self.count} agents: job {job}")
        return [f"{job}_{index}" for index in range(count)]

    def turn(self) -> None:
        """Ask for more, and ask the queue why some have not come."""
        super().turn()
        missing = self.tickets.keys() - {agent.ticket for agent in self.agents}
        if missing and self._queue is None and monotonic() - self._looked > LOOK_SECONDS:
            self._looked = monotonic()
            words = ["squeue", "--noheader", "--array", "--format=%i|%T|%r"]
            words.append("--jobs=" + ",".join({t.partition("_")[0] for t in missing}))
            with contextlib.suppress(OSError):
                self._queue = subprocess.Popen(
                    words,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    text=True,
                )
                out: Any = self._queue.stdout
                self._selector.register(out, selectors.EVENT_READ, self._hear_queue)

    def _hear_queue(self) -> None:
        """What the queue says of agents that have not come: why they wait, or that they are gone."""
        queue, self._queue = self._queue, None
        assert queue is not None
        assert queue.stdout is not None
        self._selector.unregister(queue.stdout)
        try:
            text, _ = queue.communicate(timeout=_PATIENCE)
        except subprocess.TimeoutExpired:
            queue.kill()
            queue.communicate()
            return
        if queue.returncode:
            return  # too busy to answer, or its records are gone
        rows = [line.split("|", 2) for line in text.splitlines() if line.count("|") >= 2]
        states = {ticket: (state, reason) for ticket, state, reason in rows}
        here = {agent.ticket for agent in self.agents}
        waiting: dict[str, int] = {}
        for ticket in [t for t in self.tickets if t not in here]:
            asked = monotonic() - self.tickets[ticket]
            if ticket in states:
                state, reason = states[ticket]
                if state == "PENDING":
                    waiting[reason] = waiting.get(reason, 0) + 1
            elif asked > LOOK_SECONDS:
                del self.tickets[ticket]
                log = self.folder / f"slurm-{ticket}.txt"
                self.ended(0, 0.0, f"job {ticket} never dialled in, see {log}")
        for reason, count in waiting.items():
            self.say(f"Slurm: {count} agents wait: {reason}")

    def end(self) -> None:
        """Cancel the jobs that wait in the queue."""
        jobs = {ticket.partition("_")[0] for ticket in self.tickets}
        if jobs:
            # An agent that has been told to go is let end by itself: only what waits is cancelled.
            words = ["scancel", "--quiet", "--state=PENDING", *sorted(jobs)]
            with contextlib.suppress(OSError, subprocess.TimeoutExpired):
                subprocess.run(words, capture_output=True, check=False, timeout=_PATIENCE)
        if self._queue is not None:
            self._queue.kill()
            self._queue.communicate()


def _seconds(time: str | int | None) -> float:
    """What ``sbatch --time`` takes, in seconds: minutes, [days-]hours:minutes:seconds, …"""
    found = re.fullmatch(r"(?:(\d+)-)?(\d+)(?::(\d+))?(?::(\d+))?", str(time))
    if found is None:
        return math.inf
    days, *rest = (None if part is None else int(part) for part in found.groups())
    parts = [part for part in rest if part is not None]
    if days is None and len(parts) < 3:
        parts = [0, *parts]  # without days the first is minutes
    units = (3600, 60, 1)
    return 86400 * (days or 0) + sum(n * unit for n, unit in zip(parts, units, strict=False))
