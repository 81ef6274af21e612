"""``caviar join``: this machine's workers for a sweep that waits for agents."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer


def join(
    token: Annotated[
        str,
        typer.Argument(
            metavar="FOLDER_OR_TOKEN_FILE", help="The sweep's folder, or its agents.token."
        ),
    ],
    address: Annotated[
        str | None,
        typer.Argument(
            metavar="HOST:PORT", help="Where the sweep listens; else as the token says."
        ),
    ] = None,
) -> None:
    """Give a sweep (executor=listen) this machine's workers, until it needs them no more.

    Example: caviar join outputs/sweeps/first gpu-box:40123
    """
    from caviar.executors import agent
    from caviar.executors import token as tokens

    path = Path(token)
    if address is not None:
        tokens.split(address)
    tokens.read(path)

    def find() -> tuple[str, int, bytes]:
        known, there = tokens.read(path)
        return (*tokens.split(address or there), known)

    array, task = (os.environ.get(f"SLURM_ARRAY_{name}_ID", "") for name in ("JOB", "TASK"))
    agent.join(find, f"{array}_{task}" if array else os.environ.get("SLURM_JOB_ID", ""))
