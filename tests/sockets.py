"""Free ports that no client is given: one that dials such a port of its own machine again and again, while
nobody listens there, is at last connected to itself, and the server finds its port taken.
"""

import random
import socket


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 below those that the system gives to clients, above those of Ray's workers."""
    found: list[int] = []
    while len(found) < count:
        port = random.SystemRandom().randrange(20_000, 32_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port not in found:
            found.append(port)
    return found


def free_port() -> int:
    """One of `free_ports`."""
    return free_ports(1)[0]
