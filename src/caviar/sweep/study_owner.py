"""Whose study it is, said in the study itself: a sweep's folder may be copied, its database is one."""

from __future__ import annotations

import os
import secrets
import socket
from time import monotonic, time
from typing import Any

from optuna.exceptions import StorageInternalError
from optuna.storages import BaseStorage

from caviar.base.errors import UsageError
from caviar.sweep.owner import BEAT_SECONDS, STALE_SECONDS

KEY = "caviar_owner"


class StudyTakenError(StorageInternalError):
    """Another process has this study now: nothing may be told to it any more."""


class StudyOwner:
    """Holds a study in a database for this process.

    Args:
        storage, study_id: the study.

    Raises:
        UsageError: another process has it and is alive, as far as can be seen from here.
    """

    def __init__(self, storage: BaseStorage, study_id: int) -> None:
        self._storage, self._study_id = storage, study_id
        other = self._found()
        if other and _alive(other):
            raise UsageError(f"storage: {_named(other)} is running this study")
        self._mine = {
            "token": secrets.token_hex(8),
            "host": socket.gethostname(),
            "pid": os.getpid(),
        }
        self._beat()
        self.check()  # of two that came at once the later one has it

    def check(self) -> None:
        """Give a sign of life, now and then.

        Raises:
            StudyTakenError: another process has taken it over.
        """
        if monotonic() < self._next:
            return
        found = self._found()
        if found.get("token") != self._mine["token"]:
            raise StudyTakenError(f"{_named(found)} has taken it over")
        self._beat()
        self._next = monotonic() + BEAT_SECONDS

    def release(self) -> None:
        """Let it go, where it is still this process's."""
        if self._found().get("token") == self._mine["token"]:
            self._storage.set_study_user_attr(self._study_id, KEY, {})

    def _beat(self) -> None:
        self._next = 0.0
        self._storage.set_study_user_attr(self._study_id, KEY, {**self._mine, "beat": time()})

    def _found(self) -> dict[str, Any]:
        return self._storage.get_study_user_attrs(self._study_id).get(KEY) or {}


def _named(owner: dict[str, Any]) -> str:
    return f"process {owner.get('pid')} on {owner.get('host')}" if owner else "another process"


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
