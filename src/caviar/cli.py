"""The ``caviar`` command. Each of its sub-commands is in a file of `caviar.commands`."""

from __future__ import annotations

import sys
from importlib import import_module

import typer

from caviar.errors import UsageError

COMMANDS = [
    "dashboard",
    "logs",
    "panda",
    "report",
    "runs",
    "search",
    "status",
    "sweeps",
]
"""Modules of `caviar.commands`; each has ``register(app)``, and imports what it needs when called."""


def make_app() -> typer.Typer:
    """The command with all its sub-commands."""
    app = typer.Typer(
        name="caviar",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode="rich",
        help="Look at logged experiments, and steer those that are under way.",
    )

    @app.callback()
    def _root() -> None: ...

    for name in COMMANDS:
        import_module(f"caviar.commands.{name}").register(app)
    return app


def main() -> None:
    """Run the command; bad input is one line on stderr and exit status 2."""
    try:
        make_app()()
    except UsageError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None


if __name__ == "__main__":
    main()
