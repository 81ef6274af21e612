"""Whether a file or a folder is this user's alone, so that nobody else decides what is found there."""

from __future__ import annotations

import grp
import os
import pwd
import stat
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any


def why_not_private(path: Path) -> str | None:
    """Who else may write to ``path``, or put something else in its place, in words; None: nobody.

    Looked at are its owner and mode, and the folders above it. A group that is the user's own, as
    many systems have one for each user, is nobody else. Above it, only what anybody may write to
    counts, if that is not sticky, as ``/tmp`` is: who may write there as one of a group cannot make
    a file that belongs to this user.

    Raises:
        OSError: there is no such path.
    """
    found = os.lstat(path)
    if stat.S_ISLNK(found.st_mode):
        return "it is a link"
    if found.st_uid != os.geteuid():
        return f"it belongs to user {_name(pwd.getpwuid, found.st_uid)}, not to you"
    if found.st_mode & stat.S_IWOTH:
        return "anybody may write to it"
    if found.st_mode & stat.S_IWGRP and not _is_own(found.st_gid):
        return f"the group {_name(grp.getgrgid, found.st_gid)} may write to it"
    for above in Path(os.path.realpath(path)).parents:
        mode = os.stat(above).st_mode
        if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
            return f"anybody may write to {above}, in which it is"
    return None


def private_folder(path: Path) -> Path:
    """A folder that nobody else may write to; made, for this user alone, where there is none.

    Raises:
        PermissionError: somebody else may write to it.
        OSError: it cannot be made.
    """
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    why_not = why_not_private(path)
    if why_not:
        raise PermissionError(f"{path}: {why_not}")
    return path


def _is_own(gid: int) -> bool:
    """Whether a group is this user's private one."""
    name = _name(pwd.getpwuid, os.geteuid())
    try:
        found = grp.getgrgid(gid)
    except KeyError:
        return gid == os.getegid() == os.geteuid()  # a container's user, who has no names
    return found.gr_name == name and set(found.gr_mem) <= {name}


def _name(look_up: Callable[[int], Sequence[Any]], number: int) -> str:
    with suppress(KeyError):
        return str(look_up(number)[0])
    return str(number)
