"""Messages between a controller and its agents: pickled, over TCP, each signed.

Both ends prove that they know one token before anything is unpickled, and every message carries a
signature by a key of this connection and its place in the order: who reads along can add nothing,
leave nothing out and say nothing again. Nothing is encrypted.
"""

from __future__ import annotations

import hmac
import pickle
import secrets
import socket
import struct
import sys
from contextlib import suppress
from typing import Any

MAGIC = b"caviar-1"
NONCE = 32
GREETING = len(MAGIC) + NONCE
"""What a controller says first: who it is, and a number that it never used before."""
ANSWER = len(MAGIC) + NONCE + 32
"""What an agent answers: a number of its own, and the proof that it knows the token."""

LONGEST = 1 << 30
"""Bytes of a message; files go in pieces."""
_PIECE = 1 << 18
_HEAD = struct.Struct(">Q32s")


class RefusedError(Exception):
    """The other end does not know the token, or does not speak as it should."""


def proof(token: bytes, who: bytes, theirs: bytes, ours: bytes) -> bytes:
    """What only one who has the token can say to these two numbers."""
    return hmac.digest(token, who + theirs + ours, "sha256")


def keep_alive(connection: socket.socket, seconds: int) -> None:
    """Have a connection end where the other machine has said nothing at all for so long."""
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    every = max(seconds // 4, 1)
    idle = "TCP_KEEPIDLE" if sys.platform.startswith("linux") else "TCP_KEEPALIVE"
    for name, value in (
        (idle, every),
        ("TCP_KEEPINTVL", every),
        ("TCP_KEEPCNT", 3),
        ("TCP_USER_TIMEOUT", seconds * 1000),
    ):
        if hasattr(socket, name):
            with suppress(OSError):  # a kernel that has the name and not the thing
                connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def connect(host: str, port: int, token: bytes, timeout: float = 10.0) -> Channel:
    """Dial a controller and prove to each other that both know the token.

    Raises:
        RefusedError: it does not, or ends the connection when it has heard our proof.
        OSError: nobody answers.
    """
    connection = socket.create_connection((host, port), timeout)
    try:
        said = _exactly(connection, GREETING)
        if len(said) < GREETING:
            raise ConnectionResetError(f"{host}:{port} ended the connection at once")
        if said[: len(MAGIC)] != MAGIC:
            raise RefusedError(f"{host}:{port} is no caviar")
        theirs, ours = said[len(MAGIC) :], secrets.token_bytes(NONCE)
        connection.sendall(MAGIC + ours + proof(token, b"agent", theirs, ours))
        answer = _exactly(connection, 32)
        if not answer:
            raise RefusedError(f"{host}:{port} ended the connection: it has another token")
        if not hmac.compare_digest(answer, proof(token, b"controller", theirs, ours)):
            raise RefusedError(f"{host}:{port} does not know the token")
    except BaseException:
        connection.close()
        raise
    keep_alive(connection, 12)
    return Channel(connection, proof(token, b"key", theirs, ours), mine=b"a", theirs=b"c")


def _exactly(connection: socket.socket, count: int) -> bytes:
    """So many bytes; fewer where the other end hung up."""
    found = b""
    while len(found) < count:
        more = connection.recv(count - len(found))
        if not more:
            break
        found += more
    return found


class Guest:
    """Who has dialled in, and has not proved anything yet; nothing that it says is unpickled."""

    def __init__(self, connection: socket.socket, address: str) -> None:
        self.address = address
        self._connection = connection
        self._nonce = secrets.token_bytes(NONCE)
        self._said = b""
        connection.setblocking(False)
        connection.send(MAGIC + self._nonce)

    def fileno(self) -> int:
        """What a selector waits for."""
        return self._connection.fileno()

    def close(self) -> None:
        """Hang up."""
        self._connection.close()

    def hear(self, token: bytes) -> Channel | None:
        """Take in what it says; the channel, once it has proved that it knows the token.

        Raises:
            RefusedError: it does not, or it is no agent at all.
        """
        try:
            more = self._connection.recv(ANSWER - len(self._said))
        except BlockingIOError:
            return None
        except OSError as error:
            raise RefusedError(str(error)) from None
        self._said += more
        if not more or not MAGIC.startswith(self._said[: len(MAGIC)]):
            raise RefusedError("no agent: it does not speak as one")
        if len(self._said) < ANSWER:
            return None
        theirs, answer = self._said[len(MAGIC) : -32], self._said[-32:]
        if not hmac.compare_digest(answer, proof(token, b"agent", self._nonce, theirs)):
            raise RefusedError("it does not know the token")
        try:
            self._connection.send(proof(token, b"controller", self._nonce, theirs))
        except OSError as error:
            raise RefusedError(str(error)) from None
        keep_alive(self._connection, 24)  # the agent is to find out first, and end its trials
        key = proof(token, b"key", self._nonce, theirs)
        return Channel(self._connection, key, mine=b"c", theirs=b"a")


class Channel:
    """One end of a connection over which both have proved themselves; it never waits.

    Attributes:
        closed: whether the other end has gone, and all that it said has been received.
        pending: bytes that are still to be sent.
    """

    def __init__(self, connection: socket.socket, key: bytes, mine: bytes, theirs: bytes) -> None:
        self._connection = connection
        self._key, self._mine, self._theirs = key, mine, theirs
        self._sent = self._received = 0
        self._out = bytearray()
        self._in = bytearray()
        self.closed = False
        connection.setblocking(False)

    def fileno(self) -> int:
        """What a selector waits for."""
        return self._connection.fileno()

    @property
    def pending(self) -> int:
        """Bytes that the network has not taken yet."""
        return len(self._out)

    def send(self, message: Any) -> None:
        """Send a message, or as much of it as the network takes now; `flush` sends the rest."""
        payload = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
        self._out += _HEAD.pack(len(payload), self._signature(self._mine, self._sent, payload))
        self._out += payload
        self._sent += 1
        self.flush()

    def flush(self) -> None:
        """Send as much as the network takes now."""
        while self._out and not self.closed:
            try:
                count = self._connection.send(self._out[:_PIECE])
            except BlockingIOError:
                return
            except OSError:
                # What it said before that may still be read; then it is seen to be closed.
                self._out.clear()
                return
            del self._out[:count]

    def receive(self) -> list[Any]:
        """All messages that are there; afterwards it may be `closed`.

        Raises:
            RefusedError: one has no valid signature; the connection is closed.
        """
        while True:
            try:
                more = self._connection.recv(_PIECE)
            except BlockingIOError:
                break
            except OSError:
                more = b""
            if not more:
                self.closed = True
                break
            self._in += more
            if len(self._in) > 16 * _PIECE:
                break  # whoever sends much is to leave time for others
        return self._messages()

    def _messages(self) -> list[Any]:
        found: list[Any] = []
        at = 0
        while len(self._in) - at >= _HEAD.size:
            length, signature = _HEAD.unpack_from(self._in, at)
            if length > LONGEST:
                self.closed = True
                raise RefusedError("a message that is longer than any")
            if len(self._in) - at < _HEAD.size + length:
                break
            payload = bytes(self._in[at + _HEAD.size : at + _HEAD.size + length])
            expected = self._signature(self._theirs, self._received, payload)
            if not hmac.compare_digest(signature, expected):
                self.closed = True
                raise RefusedError("a message that the other end did not sign")
            self._received += 1
            at += _HEAD.size + length
            found.append(pickle.loads(payload))
        del self._in[:at]
        return found

    def _signature(self, whose: bytes, place: int, payload: bytes) -> bytes:
        return hmac.digest(self._key, whose + place.to_bytes(8, "big") + payload, "sha256")

    def close(self) -> None:
        """Hang up, when what can be sent at once has been."""
        self.flush()
        self.closed = True
        self._connection.close()
