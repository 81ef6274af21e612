"""Whether a run or a sweep is ours: this user's caviar made it, here, and nobody else may write to it.

What a folder says decides what a resume, a replay or a confirm runs; and a folder may come from
somebody else, or come back from somebody. So whoever makes one signs what it says of how it was
started, with a key that never leaves this user's folder for state. The signature holds for the folder
where it lies (or wherever it is moved to, as long as it is the same folder): a copy is none of ours.
"""

from __future__ import annotations

import hmac
import json
import os
import secrets
from collections.abc import Mapping
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

from caviar.base.errors import UsageError
from caviar.base.machine import state_folder
from caviar.runs.files import write_atomic
from caviar.runs.inside import check_tree, open_inside
from caviar.runs.places import typed
from caviar.runs.private import private_folder, why_not_private

MADE = "made.json"
"""What a folder says of its making, and the signature."""

_KEY = "key"


class NotOursError(UsageError):
    """A folder that this user's caviar did not make here, or that others may have changed since."""


def mark(folder: Path, files: Mapping[str, str], started: Mapping[str, Any] | None = None) -> None:
    """Sign a folder that this process makes, or goes on in.

    Where there can be no key (a home that cannot be written to) there is no signature: the folder is
    then nobody's.

    Args:
        folder: the run's or the sweep's.
        files: those that say what it is and how it was started, name -> text, as they are about to be
            written. What was signed of them before holds too: a kill may come in between.
        started: how it was started, where no file says so.

    Raises:
        OSError: the disk is full or the folder is gone.
    """
    try:
        key = _key(make=True)
    except (OSError, RuntimeError):  # RuntimeError: there is no home
        return
    before: dict[str, Any] = {}
    with suppress(NotOursError):
        before = _signed(folder).get("files", {})
    digests = {name: [sha256(text.encode()).hexdigest()] for name, text in files.items()}
    for name, now in digests.items():
        now += [old for old in before.get(name, [])[:1] if old not in now]
    made = {
        "schema": 1,
        "folder": os.path.realpath(folder),
        "inode": os.stat(folder).st_ino,
        "files": digests,
        "started": started,
    }
    signed = {**made, "signature": _signature(made, key)}
    write_atomic(folder / MADE, json.dumps(signed, indent=1) + "\n")


def check_ours(folder: Path, *files: str) -> dict[str, Any]:
    """See that a folder is ours, and that no link in it leads out of it.

    Args:
        files: those of it that are to be signed.

    Returns:
        how it was started, as `mark` was told; empty where a file says so.

    Raises:
        NotOursError: it is not ours; the text says why.
        LinkError: there is a link in it that leads out of it.
    """
    real = Path(os.path.realpath(folder))
    started = _check_signed(real, *files)
    check_tree(real)
    return started


def _check_signed(real: Path, *files: str) -> dict[str, Any]:
    made = _signed(real)
    for name in files:
        if name not in made["files"]:
            raise NotOursError(f"{real / name}: this user's caviar did not make it here")
    for path in (real, real / MADE, *(real / name for name in made["files"])):
        try:
            why_not = why_not_private(path)
        except OSError as error:
            raise NotOursError(f"{path}: {error.strerror}") from None
        if why_not:
            raise NotOursError(f"{path}: {why_not}")
    if made["folder"] != str(real) and made["inode"] != os.stat(real).st_ino:
        raise NotOursError(f"{real}: it is a copy; caviar made {made['folder']}")
    for name, digests in made["files"].items():
        if sha256(_read(real / name)).hexdigest() not in digests:
            raise NotOursError(f"{real / name}: it has been changed since caviar wrote it")
    return made["started"] or {}


def check_trusted(folder: Path, file: str, verb: str, trust: bool) -> dict[str, Any]:
    """See that what a folder says may be run: it is ours, or the user trusts it.

    Args:
        file: where it says so.
        verb: the command of `caviar` that would run it, for the error's advice.

    Returns:
        how the run in it was started, if it is ours and says so; else empty.

    Raises:
        UsageError: it is not; or a link in it leads out of it.
    """
    if trust:
        return {}
    try:
        return check_ours(folder, file)
    except NotOursError as error:
        again = f"caviar {verb} {typed(folder)} --trust"
        raise UsageError(
            f"{error}; what it says could run anything (where you trust it: {again})"
        ) from None


def is_signed(folder: Path, *files: str) -> bool:
    """Whether a folder is ours, and these files of it signed; links in it are not looked for."""
    try:
        _check_signed(Path(os.path.realpath(folder)), *files)
    except (NotOursError, OSError):
        return False
    return True


def started_here(folder: Path) -> dict[str, Any]:
    """How the run in a folder was started, where this user's caviar has signed that; else empty."""
    with suppress(NotOursError, OSError):
        return _check_signed(Path(os.path.realpath(folder)))
    return {}


def _signed(folder: Path) -> dict[str, Any]:
    """What `MADE` holds, if this user signed it."""
    with suppress(OSError, ValueError, LookupError, TypeError, AttributeError, RuntimeError):
        made = json.loads(_read(folder / MADE))
        signature = made.pop("signature")
        if hmac.compare_digest(signature, _signature(made, _key())):
            return made
    raise NotOursError(f"{folder}: this user's caviar did not make it here (or an older one did)")


def _signature(made: Mapping[str, Any], key: bytes) -> str:
    return hmac.new(key, json.dumps(made, sort_keys=True).encode(), sha256).hexdigest()


def _key(make: bool = False) -> bytes:
    """This user's key.

    Raises:
        OSError: there is none (and none can be made), or somebody else may have put it there.
        RuntimeError: the user has no home.
    """
    folder = state_folder()
    if make:
        private_folder(folder)
    path = folder / _KEY
    if make and not path.exists():
        partial = folder / f".{_KEY}.{secrets.token_hex(6)}"
        with open(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(secrets.token_bytes(32))
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(partial, path)
        except FileExistsError:
            pass  # another process was faster: its key holds
        except OSError:  # a file system without links
            os.replace(partial, path)
        partial.unlink(missing_ok=True)
    for held in (folder, path):
        why_not = why_not_private(held)
        if why_not:
            raise PermissionError(f"{held}: {why_not}")
    if os.stat(path).st_mode & 0o077:
        raise PermissionError(f"{path}: others may read it")
    key = path.read_bytes()
    if len(key) != 32:
        raise PermissionError(f"{path}: not a key")
    return key


def _read(path: Path) -> bytes:
    with open_inside(path, "rb") as file:
        return file.read()
