"""Workers wherever somebody starts an agent: by hand, by ssh, in tmux, in a container, at any time."""

from __future__ import annotations

import shlex

from caviar.executors.remote import RemoteExecutor


class ListenExecutor(RemoteExecutor):
    """Waits for agents that somebody starts with ``caviar join``; any number, at any time.

    Its arguments are those of `RemoteExecutor`.
    """

    starts_agents = False

    def begin(self) -> None:
        """Say how an agent is started."""
        folder = shlex.quote(str(self.folder.absolute()))  # ~ is another one's home elsewhere
        self.say(
            f"waiting for agents: caviar join {folder} {self.address}\n"
            "    on another machine, copy agents.token from that folder and name it instead of the folder; "
            "nothing is encrypted on the way"
        )
