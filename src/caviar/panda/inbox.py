"""What people ask of a run under way: a file a request, seen by the run with one stat a step."""

from __future__ import annotations

import getpass
import json
import logging
import os
import platform
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from caviar.base.errors import UsageError
from caviar.panda.files import FOLDER, alive
from caviar.runs.fields import FLAG, MAPPING, TEXT, WHOLE, check_fields, optional
from caviar.runs.files import read_json, write_atomic
from caviar.runs.inside import make_folders, remove_inside

log = logging.getLogger(__name__)

ASKED = "asked"
ANSWERS = "answers"

Request = dict[str, Any]

_REQUEST = {
    **dict.fromkeys(("kind", "who", "when"), TEXT),
    **dict.fromkeys(("at", "to"), optional(WHOLE)),
    "changes": MAPPING,
}


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
    """The run's answer to a request; None where none came within ``seconds``.

    Raises:
        UsageError: the run refused, or ended before it came to it.
    """
    file = run / FOLDER / ANSWERS / f"{id}.json"
    end = time.monotonic() + seconds
    while True:
        gone = not alive(run)
        if file.exists():
            answer = read_json(file)
            remove_inside(file)
            check_fields(file, answer, {"done": FLAG, "text": TEXT}, ("done", "text"))
            if not answer["done"]:
                raise UsageError(answer["text"])
            return answer["text"]
        if gone:
            remove_inside(run / FOLDER / ASKED / f"{id}.json")
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
    """The run's side."""

    def __init__(self, run: Path) -> None:
        self._asked = run / FOLDER / ASKED
        self._answers = run / FOLDER / ANSWERS
        for folder in (self._asked, self._answers):
            make_folders(folder)
        self._path = str(self._asked)
        self._seen = 0

    def changed(self) -> bool:
        """Whether anything was asked since `collect`; one stat."""
        return os.stat(self._path).st_mtime_ns != self._seen

    def collect(self) -> list[Request]:
        """All that is asked and not yet answered, oldest first."""
        self._seen = os.stat(self._path).st_mtime_ns
        names = sorted(name for name in os.listdir(self._path) if not name.startswith("."))
        return [request for name in names if (request := self._read(self._asked / name))]

    def _read(self, file: Path) -> Request | None:
        """A request; None where the file is not a valid one, and then it is removed."""
        try:
            held = read_json(file)
            if not isinstance(held, dict) or held.get("id") != file.stem:
                raise UsageError(f"{file}: no request")
            check_fields(file, held, _REQUEST, ("kind", "who", "when"))
        except (FileNotFoundError, UsageError) as error:
            log.warning("skipped: %s", error)
            with suppress(OSError):
                remove_inside(file)
            return None
        return held

    def answer(self, request: Request, text: str, done: bool = True) -> None:
        """Write the answer to a request, and remove the request."""
        self._tell(request, text, done)
        remove_inside(self._asked / f"{request['id']}.json")

    def note(self, request: Request, text: str) -> None:
        """Answer that a request will be done later; it stays, marked so that nobody waits for it."""
        noted = json.dumps({**request, "waits": False})
        write_atomic(self._asked / f"{request['id']}.json", noted)
        self._tell(request, text, done=True)

    def _tell(self, request: Request, text: str, done: bool) -> None:
        if request.get("waits"):
            answer = json.dumps({"done": done, "text": text})
            write_atomic(self._answers / f"{request['id']}.json", answer)
