"""Output that never ends a program: for a character, a reader or a stream that is not there."""

from __future__ import annotations

import errno
import io
import os
import sys
from contextlib import suppress
from typing import cast


def make_patient(go_on: bool = True) -> None:
    """Let prints to stdout and stderr succeed wherever they lead, from here on.

    A character that the terminal or pipe cannot show is written as its escape. A stream that was
    closed before the start (``>&-``) is one to nowhere: the next file to be opened would take its
    number, and get what is printed. So is one whose reader has gone (``| head``).

    Args:
        go_on: whether the program goes on when its reader has gone, as a sweep does; else it ends,
            with the status of one that SIGPIPE has ended.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free: this one
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            stream = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - for all of the process
            setattr(sys, name, stream)
        if not isinstance(stream, io.TextIOWrapper) or isinstance(stream, _Patient):
            continue  # a notebook's or a test's own
        with suppress(OSError):
            # Whoever has it already, as a log's handler, prints there too.
            stream.reconfigure(errors="backslashreplace")
        if stream is getattr(sys, f"__{name}__"):
            setattr(sys, name, _Patient(cast("io.TextIOWrapper", stream), go_on))


class _Patient(io.TextIOWrapper):
    """A standard stream that outlives its reader."""

    def __init__(self, stream: io.TextIOWrapper, go_on: bool) -> None:
        buffer = open(stream.fileno(), "wb", closefd=False)  # noqa: SIM115 - the text stream closes it
        lines = stream.line_buffering or stream.isatty()
        super().__init__(buffer, stream.encoding, "backslashreplace", line_buffering=lines)
        self._go_on = go_on

    def write(self, text: str, /) -> int:
        try:
            return super().write(text)
        except OSError as error:
            self._lose(error)
        return len(text)

    def flush(self) -> None:
        try:
            super().flush()
        except OSError as error:
            self._lose(error)

    def _lose(self, error: OSError) -> None:
        if error.errno not in (errno.EPIPE, errno.EIO):  # a pipe's reader, or the terminal itself
            raise error
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.fileno())
        os.close(nowhere)
        if not self._go_on:
            raise SystemExit(141)
