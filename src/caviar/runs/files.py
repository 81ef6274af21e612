"""Whole files or none: what a reader of a run folder may rely on."""

import errno
import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

from caviar.errors import UsageError

CHUNK = 1 << 16


def read_text(path: str, errors: str = "strict") -> str:
    """What ``Path(path).read_text(errors=errors)`` gives of UTF-8, in a third of the time: a sweep has four
    such files a trial."""
    file = os.open(path, os.O_RDONLY)
    try:
        data = os.read(file, CHUNK)
        while more := os.read(file, CHUNK):
            data += more
    except OSError as error:
        error.filename = path  # as `open` says it of a folder
        raise
    finally:
        os.close(file)
    text = data.decode("utf-8", errors)
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


def read_described(path: Path | str, schema: int, kind: str) -> dict[str, Any]:
    """Read a JSON or YAML file that says what the folder around it is.

    Args:
        path: the file; its suffix tells which of the two it is.
        schema: the newest schema that can be read.
        kind: what a folder with such a file is called.

    Raises:
        UsageError: there is none, it cannot be parsed, or a newer caviar wrote it.
    """
    parse = json.loads if str(path).endswith(".json") else yaml.safe_load
    try:
        found = parse(read_text(str(path)))
    except FileNotFoundError:
        folder, name = os.path.split(path)
        raise UsageError(f"{folder}: not a {kind} (it has no {name})") from None
    except (ValueError, yaml.YAMLError) as error:
        language, problem = Path(path).suffix[1:].upper(), " ".join(str(error).split())
        raise UsageError(f"{path}: not readable as {language} ({problem})") from None
    if not isinstance(found, dict):
        raise UsageError(f"{path}: not what a {kind} has there")
    if found.get("schema", 0) > schema:
        raise UsageError(f"{path}: schema {found['schema']}, but this caviar reads {schema}")
    return found


def unreadable(path: Path | str, error: Exception) -> str:
    """One line for a file that cannot be read, naming it once."""
    text = " ".join(str(error).split())
    return text if str(path) in text else f"{path}: not readable ({text})"


def write_atomic(path: Path, content: str | bytes, durable: bool = True) -> None:
    """Write ``content`` beside ``path``, fsync it, and move it in, so no reader sees half a file.

    Args:
        durable: whether it is to outlast a power cut; what is soon written anew need not.

    Raises:
        OSError: the disk is full or the folder is gone; ``path`` is then as it was.
    """
    data = content.encode() if isinstance(content, str) else content
    # By the operating system's own calls: a sweep of short trials writes thousands.
    partial = os.path.join(path.parent, f".{path.name}.{os.getpid()}.partial")
    try:
        file = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
        try:
            written = os.write(file, data)
            while written < len(data):
                written += os.write(file, data[written:])
            if durable:
                os.fsync(file)
        finally:
            os.close(file)
        os.replace(partial, path)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(partial)
        raise


FULL = (errno.ENOSPC, errno.EDQUOT)
"""What an OSError says where a disk, or a person's share of it, is full."""


def append_whole(path: Path, text: str) -> None:
    """Add ``text`` to the end of a file, made where there is none: all of it, or none.

    Raises:
        OSError: the disk is full; the file is then as it was.
    """
    data = text.encode()
    file = os.open(path, os.O_WRONLY | os.O_CREAT, 0o666)
    try:
        before = os.lseek(file, 0, os.SEEK_END)
        try:
            while data:
                data = data[os.write(file, data) :]
        except BaseException:
            os.ftruncate(file, before)
            raise
    finally:
        os.close(file)


def sync(path: Path) -> None:
    """Have a file on the disk that was written without being ``durable``.

    Raises:
        OSError: it is gone, or the disk cannot take it.
    """
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)
