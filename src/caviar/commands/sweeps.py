"""``caviar resume | stop | cancel``: what a person does to a sweep."""

from __future__ import annotations

from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the commands of this file to ``app``."""

    @app.command()
    def resume(
        sweep: Annotated[str, typer.Argument(help="Folder or name of the sweep.")],
        n_trials: Annotated[
            int | None, typer.Option(help="Trials in total, old ones included.")
        ] = None,
    ) -> None:
        """Go on with a sweep that was interrupted or killed."""
        raise NotImplementedError
