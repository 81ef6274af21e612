"""Writing inside a run's folder: through no link, so that nothing that a folder holds leads out of it.

A folder may come from somebody else, with a link where a file or a folder is expected. What opens,
makes or copies files of a run does it by the functions here. They look at a file and at the folder
that it is in; `check_tree` looks at a whole folder, before a program goes on in it. Each of them raises
LinkError where a link stands in the place of one of these, and OSError as the system does.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from shutil import copyfileobj
from typing import IO, Any

from caviar.base.errors import UsageError

_WRITING = os.O_WRONLY | os.O_RDWR
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class LinkError(UsageError, OSError):
    """A link, or no file at all, stands where a run has a file or a folder."""


def open_inside(path: Path | str, mode: str = "r", **options: Any) -> IO[Any]:
    """`open`, for a file of a run: neither the file nor the folder that it is in may be a link.

    Args:
        mode, options: as `open` has them; text is UTF-8, whatever the locale, and what UTF-8 cannot hold
            is written as its escape.

    Raises:
        LinkError: one of them is; it is no regular file; or it is to be written, and has a second name
            (a hard link), which may lie anywhere.
    """
    if "b" not in mode:
        text = {"encoding": "utf-8", "errors": None if mode == "r" else "backslashreplace"}
        options = text | options
    return open(path, mode, opener=opener, **options)


def opener(path: Path | str, flags: int) -> int:
    """The opener of `open_inside`: a file's descriptor, for any flags of `os.open`."""
    folder, name = os.path.split(path)
    parent = folder_inside(folder or ".")
    try:
        # O_NONBLOCK: nobody may ever come to the other end of a pipe. Not O_TRUNC: looked at first.
        wanted = (flags & ~os.O_TRUNC) | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        file = os.open(name, wanted, 0o666, dir_fd=parent)
    except OSError as error:
        error.filename = str(path)
        if os.path.islink(path):
            raise _link(path) from None
        raise
    finally:
        os.close(parent)
    try:
        found = os.fstat(file)
        if not stat.S_ISREG(found.st_mode) and not stat.S_ISDIR(found.st_mode):
            raise LinkError(f"{path}: not a file")
        if flags & _WRITING and found.st_nlink > 1:
            raise LinkError(f"{path}: a hard link; who else has the file is not known")
        if flags & os.O_TRUNC:
            os.ftruncate(file, 0)
    except BaseException:
        os.close(file)
        raise
    return file


def folder_inside(path: Path | str) -> int:
    """A descriptor of a folder of a run, for ``dir_fd``; the caller closes it."""
    try:
        return os.open(path, _FOLDER)
    except OSError:
        if os.path.islink(path):
            raise _link(path) from None
        raise


def make_folders(path: Path) -> None:
    """Make a folder of a run, and those above it that are missing; it may be there already."""
    try:
        parent = folder_inside(path.parent)
    except FileNotFoundError:
        make_folders(path.parent)
        parent = folder_inside(path.parent)
    try:
        os.mkdir(path.name, dir_fd=parent)
    except FileExistsError:
        os.close(folder_inside(path))
    finally:
        os.close(parent)


def remove_inside(path: Path) -> None:
    """Remove a file of a run, or the link in its place, if there is one."""
    with suppress(FileNotFoundError):
        parent = folder_inside(path.parent)
        try:
            os.unlink(path.name, dir_fd=parent)
        finally:
            os.close(parent)


def partial_of(path: Path) -> Path:
    """A name beside ``path`` that nobody can have foreseen, to write to before moving it in."""
    os.close(folder_inside(path.parent))
    return path.with_name(f".{path.name}.{os.urandom(6).hex()}.partial")


def put(path: Path, write: Callable[[IO[bytes]], object], durable: bool = True) -> None:
    """Have ``write`` write a file beside ``path``, and move it in: no reader sees half of it.

    Where that fails (the disk is full), ``path`` is as it was.

    Args:
        durable: whether it is to outlast a power cut; what is soon written anew need not.
    """
    folder, name = os.path.split(path)
    parent = folder_inside(folder or ".")
    partial = f".{name}.{os.urandom(6).hex()}.partial"
    try:
        # By the operating system's own calls: a sweep of short trials writes thousands.
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666, dir_fd=parent)
        with open(descriptor, "wb") as file:
            write(file)
            file.flush()
            if durable:
                os.fsync(descriptor)
        os.replace(partial, name, src_dir_fd=parent, dst_dir_fd=parent)
    except BaseException:
        with suppress(OSError):
            os.unlink(partial, dir_fd=parent)
        raise
    finally:
        os.close(parent)


def copy_inside(source: Path, target: Path) -> None:
    """Copy a file of a run to another place in a run, whole or not at all."""
    with open_inside(source, "rb") as file:
        put(target, lambda copy: copyfileobj(file, copy, 1 << 20), durable=False)


def copy_folder(source: Path, target: Path) -> None:
    """Copy all that is in a folder of a run, no link among it, into another, made where it is missing."""
    make_folders(target)
    os.close(folder_inside(source))
    for entry in sorted(source.iterdir()):
        if entry.is_dir() and not entry.is_symlink():
            copy_folder(entry, target / entry.name)
        else:
            copy_inside(entry, target / entry.name)


def check_tree(folder: Path) -> None:
    """See that a folder holds files and folders alone, at any depth; a link may lead from one to another.

    Raises:
        LinkError: a link leads out of it, or there is a pipe, a socket or a device.
    """
    left = [root := os.path.realpath(folder)]
    while left:
        with os.scandir(left.pop()) as entries:
            for entry in entries:
                if entry.is_symlink():
                    if not os.path.realpath(entry.path).startswith(f"{root}{os.sep}"):
                        raise LinkError(f"{entry.path}: a link, which leads out of the folder")
                elif entry.is_dir(follow_symlinks=False):
                    left.append(entry.path)
                elif not entry.is_file(follow_symlinks=False):
                    raise LinkError(f"{entry.path}: neither a file nor a folder")


def _link(path: Path | str) -> LinkError:
    return LinkError(f"{path}: a link, which may lead out of the folder")
