"""What an agent needs to find its controller and to be let in: a file in the sweep's folder."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from caviar.base.errors import UsageError

TOKEN = "agents.token"
"""Two lines: the token, and where the controller listens. Nobody else may read it."""
_BYTES = 32


def write(folder: Path, address: str) -> bytes:
    """Write the file for a controller that listens at ``address``, and return the token.

    A token that stands there already is kept: agents of an earlier session have it.
    """
    path = folder / TOKEN
    try:
        token, _ = read(path)
    except UsageError:
        token = secrets.token_bytes(_BYTES)
    partial = path.with_name(f".{TOKEN}.{os.urandom(6).hex()}.partial")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "w") as file:
        file.write(f"{token.hex()}\n{address}\n")
    os.replace(partial, path)
    return token


def read(path: Path) -> tuple[bytes, str]:
    """The token and the address in a file, or in the file of a sweep's folder.

    Raises:
        UsageError: there is none, it holds something else, or others may read it.
    """
    path = path / TOKEN if path.is_dir() else path
    try:
        text, mode = path.read_text(), path.stat().st_mode
        token, address = bytes.fromhex(text.split()[0]), " ".join(text.split()[1:2])
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}: no sweep there waits for agents") from None
    except (ValueError, IndexError):
        raise UsageError(f"{path}: holds no token of a sweep") from None
    if len(token) != _BYTES:
        raise UsageError(f"{path}: holds no token of a sweep")
    if mode & 0o077:
        raise UsageError(f"{path}: others may read it, and with it run programs; chmod 600 {path}")
    return token, address


def split(address: str) -> tuple[str, int]:
    """``HOST:PORT`` as the two.

    Raises:
        UsageError: it is something else.
    """
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise UsageError(f"{address or 'no address'}: must be HOST:PORT")
    return host.strip("[]"), int(port)
