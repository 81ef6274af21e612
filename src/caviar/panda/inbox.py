"""What people ask of a run under way: a file a request, seen by the run with one stat a step."""

from __future__ import annotations

import getpass
import json
import os
import platform
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from caviar.errors import UsageError
from caviar.panda.files import FOLDER, alive
from caviar.runs.files import write_atomic

ASKED = "asked"
ANSWERS = "answers"

Request = dict[str, Any]


def ask(run: Path, kind: str, **what: Any) -> str:
    """Leave a request for ``run``; its id comes back, for `answer_to`."""
    folder = run / FOLDER / ASKED
    id = f"{time.time_ns():020}-{uuid4().hex[:8]}"
    request = {"id": id, "kind": kind, "who": who(), "when": now(), **what}
    write_atomic(folder / f"{id}.json", json.dumps(request))
    # A file system's clock is coarse: of two requests within one tick, the second would change
    # nothing that a stat could see.
    os.utime(folder)
    os.utime(folder, ns=(time.time_ns(), time.time_ns()))
    return id


def answer_to(run: Path, id: str, seconds: float) -> str | None:
    """What the run says to a request; None when it has said nothing for ``seconds``.

    Raises:
        UsageError: the run refused, or ended before it came to it.
    """
    file = run / FOLDER / ANSWERS / f"{id}.json"
    end = time.monotonic() + seconds
    while True:
        gone = not alive(run)
        if file.exists():
            answer = json.loads(file.read_text("utf-8"))
            file.unlink()
            if not answer["done"]:
                raise UsageError(answer["text"])
            return answer["text"]
        if gone:
            (run / FOLDER / ASKED / f"{id}.json").unlink(missing_ok=True)
            raise UsageError(f"run={run.name}: it ended before it came to this")
        if time.monotonic() > end:
            return None
        time.sleep(0.02)


def who() -> str:
    """The person at this machine: ``ada@laptop``."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        name = str(os.getuid())
    return f"{name}@{platform.node()}"


def now() -> str:
    """The time in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


class Inbox:
    """The run's side.

    Args:
        run: the run folder.
    """

    def __init__(self, run: Path) -> None:
        self._asked = run / FOLDER / ASKED
        self._answers = run / FOLDER / ANSWERS
        for folder in (self._asked, self._answers):
            folder.mkdir(parents=True, exist_ok=True)
        self._path = str(self._asked)
        self._seen = 0

    def changed(self) -> bool:
        """Whether anything was asked since `collect`; one stat."""
        return os.stat(self._path).st_mtime_ns != self._seen

    def collect(self) -> list[Request]:
        """All that is asked and not yet answered, oldest first."""
        self._seen = os.stat(self._path).st_mtime_ns
        names = sorted(name for name in os.listdir(self._path) if not name.startswith("."))
        return [json.loads((self._asked / name).read_text("utf-8")) for name in names]

    def answer(self, request: Request, text: str, done: bool = True) -> None:
        """Tell whoever asked, and take the request away."""
        if request.get("waits"):
            self._tell(request, text, done)
        (self._asked / f"{request['id']}.json").unlink(missing_ok=True)

    def note(self, request: Request, text: str) -> None:
        """Tell whoever asked that it will be done; the request stays, and nobody waits for it now."""
        noted = json.dumps({**request, "waits": False})
        write_atomic(self._asked / f"{request['id']}.json", noted)
        if request.get("waits"):
            self._tell(request, text, done=True)

    def _tell(self, request: Request, text: str, done: bool) -> None:
        answer = json.dumps({"done": done, "text": text})
        write_atomic(self._answers / f"{request['id']}.json", answer)
