"""The ``caviar`` command. Each of its sub-commands is in a file of `caviar.commands`."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import NoReturn

import typer

from caviar.base.errors import UsageError, name_and_text
from caviar.base.plain import echo
from caviar.base.streams import make_patient
from caviar.commands.names import NAMES

COMMANDS = {
    "Look at what was logged": {
        "runs": "list show diff best export tag rm",  # a module each, of this package
        "status": "status",
        "logs": "logs",
        "report": "report",
        "dashboard": "dashboard",
    },
    "Begin": {"new": "new"},
    "Use a run that has ended": {"saved": "test predict export"},
    "Steer a sweep": {"sweeps": "resume stop cancel", "join": "join", "search": "zoom confirm"},
    "Steer one run": {"panda": "watch set rollback pause replay"},
}
"""Heading of the help -> module of `caviar.commands` -> its commands: functions of that name, or
``NAME_command``, that import what they need when called."""
_WITHOUT_NAMES = ("search", "panda", "new")
"""Modules whose commands take no ``-1`` for a name."""


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

    for heading, modules in COMMANDS.items():
        for name, words in modules.items():
            place, panel, path = app, heading, f"caviar.commands.{name}"
            if name == "runs":
                does = "List, show, compare, export, tag and remove logged runs."
                place = typer.Typer(no_args_is_help=True, rich_markup_mode="rich", help=does)
                app.add_typer(place, name=name, rich_help_panel=heading)
                panel = None
            settings = {} if name in _WITHOUT_NAMES else NAMES
            for word in words.split():
                module = import_module(path if panel else f"{path}.{word}")
                command = getattr(module, f"{word}_command", None) or getattr(module, word)
                place.command(word, context_settings=settings, rich_help_panel=panel)(command)
    return app


def main() -> None:
    """Run the command; bad input is one line on stderr and exit status 2."""
    make_patient(go_on=False)
    try:
        status = make_app()(standalone_mode=False)
    except UsageError as error:
        _refuse(str(error))
    except OSError as error:  # a file that cannot be read or written, wherever it was named
        _refuse(f"{error.filename}: {error.strerror}" if error.filename else name_and_text(error))
    except typer.Abort:
        echo("aborted: nothing was done", file=sys.stderr)
        raise SystemExit(1) from None
    except Exception as error:
        # What typer finds wrong with the words themselves. It has no public name for all of these.
        if not hasattr(error, "format_message"):
            raise
        if type(error).__name__ == "NoArgsIsHelpError":
            error.show()  # type: ignore[attr-defined]
            raise SystemExit(2) from None
        context = getattr(error, "ctx", None)
        more = f" ({context.command_path} --help tells more)" if context else ""
        _refuse(f"{error.format_message().rstrip('.')}{more}")  # type: ignore[attr-defined]
    raise SystemExit(status or 0)


def _refuse(problem: str) -> NoReturn:
    echo(f"error: {' '.join(problem.split())}", file=sys.stderr)
    raise SystemExit(2)


if __name__ == "__main__":
    main()
