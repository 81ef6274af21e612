"""Whose sweep it is: one controller at a time, and how other processes ask it to stop."""

from __future__ import annotations

import json
import os
import secrets
import socket
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from time import monotonic, time
from typing import IO, Any

from caviar.base.errors import UsageError
from caviar.runs.fields import TEXT, WHOLE, check_fields
from caviar.runs.files import read_json, read_text, unreadable, write_atomic
from caviar.runs.inside import remove_inside
from caviar.runs.locks import hold, is_held

LOCK = "owner.lock"
OWNER = "owner.json"
REQUEST = "request"
REQUESTS = ("stop", "cancel")
"""What can be asked: no new trials; or end at once."""

_OWNER = {"pid": WHOLE, "host": TEXT, "token": TEXT}

BEAT_SECONDS = 10.0
STALE_SECONDS = 60.0


class Owner:
    """Holds a sweep's folder for this process.

    The lock is the operating system's and goes with the process, however it ends. Where a network
    file system does not carry locks between hosts, a heartbeat in ``owner.json`` tells.

    Raises:
        UsageError: another process has it, named with its pid and host.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._request = folder / REQUEST  # made once: it is looked at very often
        lock = _lock(folder)
        other = owner_of(folder)
        elsewhere = other is not None and other["host"] != socket.gethostname()
        if lock is None or (elsewhere and _alive(folder)):
            raise UsageError(f"{folder}: {self.describe()} is running this sweep")
        self._lock = lock
        self._token = secrets.token_hex(8)
        try:
            self._request.unlink(missing_ok=True)
        except OSError as error:
            raise UsageError(f"{self._request}: in the way ({error.strerror})") from None
        mine = {"pid": os.getpid(), "host": socket.gethostname(), "token": self._token}
        write_atomic(folder / OWNER, json.dumps(mine) + "\n")
        self._beat = monotonic()

    def still_owns(self) -> bool:
        """Whether no other process has taken over; also gives a sign of life, now and then."""
        if monotonic() - self._beat < BEAT_SECONDS:
            return True
        self._beat = monotonic()
        owner = owner_of(self._folder)
        if owner is not None and owner["token"] != self._token:
            return False
        os.utime(self._folder / OWNER)
        return True

    def requests(self) -> list[str]:
        """What other processes have asked for since the last call."""
        if not self._request.exists():
            return []
        try:
            text = read_text(self._request).strip()
        except (FileNotFoundError, UsageError):
            text = ""
        with suppress(OSError):
            remove_inside(self._request)
        return [text] if text in REQUESTS else []

    def describe(self) -> str:
        """Who has the sweep, for a message."""
        return named(owner_of(self._folder))

    def release(self) -> None:
        """Let the sweep go: no lock and no owner stay behind."""
        owner = owner_of(self._folder)
        if owner and owner["token"] == self._token:
            (self._folder / OWNER).unlink(missing_ok=True)
            # Unlinked while it is held: who opens it later makes a new one.
            (self._folder / LOCK).unlink(missing_ok=True)
        self._lock.close()


def owner_of(folder: Path) -> dict[str, Any] | None:
    """What ``owner.json`` holds; None where nobody owns the sweep."""
    try:
        owner = read_json(folder / OWNER)
        check_fields(folder / OWNER, owner, _OWNER, _OWNER)
    except (FileNotFoundError, UsageError, AttributeError):
        return None
    return owner


def named(owner: Mapping[str, Any] | None) -> str:
    """The process that owns a sweep or its study, for a message."""
    return f"process {owner.get('pid')} on {owner.get('host')}" if owner else "another process"


def is_running(folder: Path) -> bool:
    """Whether a controller has this sweep in hand now."""
    owner = owner_of(folder)
    if owner is None:
        return False
    if owner["host"] != socket.gethostname():
        return _alive(folder)
    return bool(is_held(folder / LOCK))


def _lock(folder: Path) -> IO[str] | None:
    """The lock, held; None where another process holds it."""
    while True:
        try:
            lock = hold(folder / LOCK)
        except OSError as error:
            raise UsageError(unreadable(folder / LOCK, error)) from None
        if lock is None:
            return None
        # Its last holder may have removed the file between our opening and our locking it.
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(lock.fileno()), (folder / LOCK).stat()):
                return lock
        lock.close()


def ask_to_stop(folder: Path, request: str) -> None:
    """Ask the controller of a sweep to ``stop`` (no new trials) or to ``cancel`` (end at once).

    Raises:
        UsageError: nobody is running it.
    """
    if not is_running(folder):
        raise UsageError(f"{folder}: nobody is running this sweep")
    write_atomic(folder / REQUEST, request)


def _alive(folder: Path) -> bool:
    try:
        return time() - (folder / OWNER).stat().st_mtime < STALE_SECONDS
    except OSError:
        return False
