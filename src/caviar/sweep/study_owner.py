"""Whose study it is, said in the study itself: a sweep's folder may be copied, its database is one."""

from __future__ import annotations

import json
import os
import secrets
import socket
from time import monotonic, time
from typing import TYPE_CHECKING, Any

from optuna.exceptions import StorageInternalError

from caviar.base.errors import UsageError
from caviar.sweep.owner import BEAT_SECONDS, STALE_SECONDS, named
from caviar.sweep.rows import replace_study_attribute

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from caviar.sweep.database import Database

KEY = "caviar_owner"


class StudyTakenError(StorageInternalError):
    """Another process has this study now: nothing may be written to it any more."""


class StudyOwner:
    """Holds a study in a database for this process, and guards what is written to it.

    Every transaction replaces what the last one said here. Where that is not there any more, another
    process has the study; where the new one is there already, the transaction was made before its
    connection was lost.

    Raises:
        UsageError: another process has it and is alive, as far as can be seen from here.
    """

    def __init__(self, database: Database, study_id: int) -> None:
        self._database, self._study_id = database, study_id
        other = self._found()
        if other and _alive(other):
            raise UsageError(f"storage: {named(other)} is running this study")
        self._token = secrets.token_hex(8)
        self._turn = 0
        self._said = self._next = self._sign()
        # Of two that came at once the later one has it.
        database.server.set_study_user_attr(study_id, KEY, json.loads(self._said))
        database.guard = self
        self._due = monotonic()

    def check(self) -> None:
        """Give a sign of life, now and then, where nothing was written for long.

        Raises:
            StudyTakenError: another process has taken it over.
        """
        if monotonic() >= self._due:
            self._database.write()

    def release(self) -> None:
        """Let it go, where it is still this process's."""
        self._database.patiently(self._release)

    def _release(self) -> None:
        if self._found().get("token") == self._token:
            self._database.server.set_study_user_attr(self._study_id, KEY, {})

    def next(self) -> None:
        """Make what the next transaction says, which writes a turn, perhaps in several attempts."""
        self._turn += 1
        self._next = self._sign()

    def renew(self, session: Session) -> bool:
        """Say it in a transaction.

        Returns:
            False where it was said already, and so all of this turn was.

        Raises:
            StudyTakenError: another process has the study.
        """
        found = replace_study_attribute(session, self._study_id, KEY, self._said, self._next)
        if found is not None and found[0] == self._next:
            return found[1]
        taken: dict[str, Any] = json.loads(found[0]) if found else {}
        raise StudyTakenError(f"{named(taken)} has taken it over")

    def written(self) -> None:
        """Note that what was made is said."""
        self._said, self._due = self._next, monotonic() + BEAT_SECONDS

    def _sign(self) -> str:
        who = {"token": self._token, "host": socket.gethostname(), "pid": os.getpid()}
        return json.dumps({**who, "beat": time(), "turn": self._turn})

    def _found(self) -> dict[str, Any]:
        return self._database.server.get_study_user_attrs(self._study_id).get(KEY) or {}


def _alive(owner: dict[str, Any]) -> bool:
    if time() - float(owner.get("beat", 0)) > STALE_SECONDS:
        return False
    if owner.get("host") != socket.gethostname():
        return True
    try:
        os.kill(int(owner["pid"]), 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass
    return True
