"""A run's files, read and written: whole or not at all, and never through a link."""

import errno
import os
import reprlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from caviar.base.errors import UsageError
from caviar.runs.inside import open_inside, opener, put
from caviar.runs.parsing import parse_json, parse_yaml

CHUNK = 1 << 20

MOST_BYTES = 1 << 28
"""Bytes of a file that is read whole: the curves of a year, and less than a memory."""
MOST_PARSED = 1 << 24
"""Bytes of JSON or YAML: a sweep of 100,000 points to try first."""


def read_bytes(path: Path | str, most: int = MOST_BYTES) -> bytes:
    """The bytes of a file of a run, which must be a regular file: no link, no pipe.

    Raises:
        FileNotFoundError: there is none.
        UsageError: it cannot be read, in one line that names it.
    """
    try:
        file = opener(path, os.O_RDONLY)
        try:
            size = os.fstat(file).st_size
            data = os.read(file, min(size, most) + 1)
            while len(data) <= most and (more := os.read(file, CHUNK)):
                data += more
        finally:
            os.close(file)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise UsageError(unreadable(path, error)) from None
    if len(data) > most:
        raise UsageError(f"{path}: not readable (it has more than {most >> 20} MiB)")
    return data


def read_text(path: Path | str, errors: str = "strict", most: int = MOST_BYTES) -> str:
    """`read_bytes`, as UTF-8, a newline being one character, whichever it is."""
    try:
        text = read_bytes(path, most).decode("utf-8", errors)
    except UnicodeDecodeError as error:
        raise UsageError(unreadable(path, error)) from None
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


def read_json(path: Path | str) -> Any:
    """`read_bytes`, as JSON: plain values."""
    return _parsed(path, parse_json, "JSON")


def read_yaml(path: Path | str) -> Any:
    """`read_bytes`, as YAML: plain values."""
    return _parsed(path, parse_yaml, "YAML")


def _parsed(path: Path | str, parse: Callable[[str], Any], kind: str) -> Any:
    text = read_text(path, most=MOST_PARSED)
    try:
        return parse(text)
    except ValueError as error:
        raise UsageError(f"{path}: not readable as {kind} ({error})") from None


def read_lines(path: Path | str) -> list[dict[str, Any]]:
    """A file of one JSON object a line; a last line that is not whole is left out.

    Raises:
        UsageError: it cannot be read, in one line that names it.
    """
    try:
        text = read_text(path)
    except FileNotFoundError:
        return []
    found: list[Any] = []
    for number, line in enumerate(text[: text.rfind("\n") + 1].splitlines(), 1):
        try:
            found.append(parse_json(line))
        except ValueError as error:
            raise UsageError(f"{path}: line {number} is not readable as JSON ({error})") from None
        if not isinstance(found[-1], dict):
            raise UsageError(f"{path}: line {number} is not a mapping")
    return found


def read_described(path: Path | str, schema: int, kind: str) -> dict[str, Any]:
    """Read a JSON or YAML file that says what the folder around it is.

    Args:
        path: the file; its suffix tells which of the two it is.
        schema: the newest schema that can be read.
        kind: what a folder with such a file is called.

    Raises:
        UsageError: there is none, it cannot be parsed, or a newer caviar wrote it.
    """
    read = read_json if str(path).endswith(".json") else read_yaml
    try:
        found = read(path)
    except FileNotFoundError:
        folder, name = os.path.split(path)
        raise UsageError(f"{folder}: not a {kind} (it has no {name})") from None
    if not isinstance(found, dict):
        raise UsageError(f"{path}: not what a {kind} has there")
    held = cast("dict[str, Any]", found)
    written = held.get("schema", 0)
    if not isinstance(written, int):
        raise UsageError(f"{path}: schema={reprlib.repr(written)}: must be a number")
    if written > schema:
        raise UsageError(f"{path}: schema {written}, but this caviar reads {schema}")
    return held


def unreadable(path: Path | str, error: Exception) -> str:
    """One line for a file that cannot be read, naming it once."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    text = " ".join(text.split())
    return text if str(path) in text else f"{path}: not readable ({text})"


def write_atomic(path: Path, content: str | bytes, durable: bool = True) -> None:
    """`caviar.runs.inside.put`, of text or bytes: no reader sees half a file."""
    data = content.encode() if isinstance(content, str) else content
    put(path, lambda file: file.write(data), durable)


def is_full(error: BaseException) -> bool:
    """Whether an error says that a disk, or a person's share of it, is full."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


def append_whole(path: Path, text: str) -> None:
    """Add ``text`` to the end of a file, made where there is none: all of it, or none.

    Raises:
        LinkError: it, or the folder that it is in, is a link.
        OSError: the disk is full; the file is then as it was.
    """
    data = text.encode()
    file = opener(path, os.O_WRONLY | os.O_CREAT)
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
    """Fsync a file that was written without being ``durable``.

    Raises:
        OSError: it is gone, or the disk cannot take it.
    """
    with open_inside(path, "rb") as file:
        os.fsync(file.fileno())
