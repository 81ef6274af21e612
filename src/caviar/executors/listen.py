"""Workers wherever somebody starts an agent: by hand, by ssh, in tmux, in a container, at any time."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from caviar.executors.remote import RemoteExecutor


class ListenExecutor(RemoteExecutor):
    """Waits for agents that somebody starts with ``caviar join``; any number, at any time.

    Args:
        host, port: see `RemoteExecutor`.
        engine: keyword arguments of `caviar.engines.make.make_engine`; the sweep sets them.
    """

    starts_agents = False

    def __init__(
        self,
        host: str | None = None,
        port: int | None = None,
        engine: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(host, port, engine)

    def begin(self) -> None:
        folder = shlex.quote(str(self.folder))
        self.say(
            f"waiting for agents: caviar join {folder} {self.address}   (on another machine copy "
            "agents.token from that folder and name it instead; nothing is encrypted on the way)"
        )
