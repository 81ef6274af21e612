"""What a controller and its agents say to each other, beside jobs, events and a worker's messages."""

from __future__ import annotations

import os
import platform
import secrets
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from caviar.executors.task import TaskSource


@dataclass(frozen=True)
class Nonce:
    """A file in the sweep's folder, at the controller's ``path``: who finds its text shares the disk."""

    path: str
    text: str

    @classmethod
    def write(cls, folder: Path) -> Nonce:
        """Write one for a sweep."""
        path = folder / f".agents.{os.urandom(6).hex()}.partial"
        path.write_text(text := secrets.token_hex(16))
        return cls(str(path), text)

    def is_here(self) -> bool:
        """Whether the sweep's folder is on a disk of this machine too, and can be written to."""
        path = Path(self.path)
        try:
            if path.read_text() != self.text:
                return False
            with tempfile.TemporaryFile(dir=path.parent, prefix=".", suffix=".partial"):
                return True
        except OSError:
            return False


@dataclass(frozen=True)
class Greeting:
    """An agent's first message.

    Attributes:
        ticket: what the one who started it knows it by; empty where a person did.
        seconds_left: until its allocation ends; None where that is not known.
        version: of Python and caviar, which are to be the controller's.
    """

    host: str
    pid: int
    ticket: str
    seconds_left: float | None
    version: str


@dataclass(frozen=True)
class Welcome:
    """The controller's first message.

    Attributes:
        nonce: by which an agent sees whether it shares the disk.
        cwd: the controller's working directory.
        path: folders in which the controller finds modules, of the app itself.
        engine: keyword arguments of `caviar.engines.make.make_engine`.
        workers: keyword arguments of `LocalExecutor`.
        in_all: how many workers share the sweep's trials, as far as is known.
    """

    name: str
    nonce: Nonce
    cwd: str
    path: list[str]
    task: TaskSource
    engine: Mapping[str, Any]
    workers: Mapping[str, Any]
    in_all: int


@dataclass(frozen=True)
class Joined:
    """The agent starts its workers now.

    Attributes:
        shares_disk: whether it writes to the sweep's folder itself.
        workers: how many there will be.
    """

    shares_disk: bool
    workers: int


@dataclass(frozen=True)
class Lanes:
    """How many jobs the agent can have under way; none: it leaves, or its workers are lost.

    Attributes:
        spare: of these, those that would wait for others to end.
    """

    count: int
    spare: int = 0


@dataclass(frozen=True)
class Output:
    """What an agent's workers wrote outside their trials."""

    text: str


@dataclass(frozen=True)
class Bye:
    """The agent's last message: why it goes."""

    why: str


def version() -> str:
    """What an agent and its controller are to have in common."""
    from importlib.metadata import version

    return f"caviar {version('caviar')}, Python {'.'.join(platform.python_version_tuple()[:2])}"
