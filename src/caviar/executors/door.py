"""Where agents dial in: who proves to know the token is let in, all else is dropped, and told."""

from __future__ import annotations

import resource
import selectors
import socket
from collections.abc import Callable
from contextlib import suppress
from time import monotonic

from caviar.base.errors import usage_error
from caviar.executors.channel import Channel, Guest, RefusedError

GUESTS = 512
"""So many may be about to prove themselves; an agent that is one too many dials again."""
GUEST_SECONDS = 10.0


class Door:
    """Listens for agents.

    Args:
        host: where agents find this machine; at 127.0.0.1 nobody else does.
        port: 0 for any that is free.
        selector: in which its callables are to be called.
        come: given the channel to each agent that was let in.
        say: told of who was not.

    Attributes:
        port: where it listens.
        token: what agents have to know.

    Raises:
        UsageError: it cannot listen there.
    """

    def __init__(
        self,
        host: str,
        port: int,
        selector: selectors.BaseSelector,
        come: Callable[[Channel], None],
        say: Callable[[str], None],
    ) -> None:
        bound = "127.0.0.1" if host in ("127.0.0.1", "localhost") else ""
        try:
            self._listener = socket.create_server((bound, port), backlog=GUESTS)
        except OSError as error:
            raise usage_error("executor.port", port, str(error.strerror or error)) from None
        self._listener.setblocking(False)
        _allow_files()
        self.port: int = self._listener.getsockname()[1]
        self.token = b""
        self._selector = selector
        self._come = come
        self._say = say
        self._guests: dict[Guest, float] = {}
        selector.register(self._listener, selectors.EVENT_READ, self._accept)

    def turn(self) -> None:
        """Drop who has said nothing for too long; called often."""
        now = monotonic()
        for guest in [g for g, came in self._guests.items() if now - came > GUEST_SECONDS]:
            self._drop(guest, f"it said nothing for {GUEST_SECONDS:g} s")

    def close(self) -> None:
        """Listen no more."""
        for end in [*self._guests, self._listener]:
            end.close()

    def _accept(self) -> None:
        try:
            connection, (ip, *_) = self._listener.accept()
        except OSError:
            return  # it has gone again, or there is no room for it
        try:
            guest = Guest(connection, str(ip))
        except OSError:
            connection.close()
            return
        if len(self._guests) >= GUESTS:
            guest.close()
            return
        self._guests[guest] = monotonic()
        self._selector.register(guest, selectors.EVENT_READ, lambda: self._hear(guest))

    def _hear(self, guest: Guest) -> None:
        try:
            channel = guest.hear(self.token)
        except RefusedError as error:
            self._drop(guest, str(error))
            return
        if channel is not None:
            self._selector.unregister(guest)
            del self._guests[guest]
            self._come(channel)

    def _drop(self, guest: Guest, why: str) -> None:
        self._selector.unregister(guest)
        del self._guests[guest]
        guest.close()
        self._say(f"a connection from {guest.address} was dropped: {why}")


def _allow_files() -> None:
    """Have as many connections as the system allows, not the 1,024 that many a shell begins with."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 65536 if hard == resource.RLIM_INFINITY else min(hard, 65536)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
