"""The ``caviar`` command. Each of its sub-commands is in a file of `caviar.commands`."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import NoReturn

import typer

from caviar.base.errors import UsageError, name_and_text
from caviar.base.plain import tell
from caviar.base.streams import make_patient

COMMANDS = {
    "Look at what was logged": ["runs", "status", "logs", "report", "dashboard"],
    "Steer a sweep": ["sweeps", "join", "search"],
    "Steer one run": ["panda"],
}
"""Modules of `caviar.commands`, under the heading that the help shows them under; each has
``register(app)``, and imports what it needs when called."""


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
        before = len(app.registered_commands), len(app.registered_groups)
        for name in modules:
            import_module(f"caviar.commands.{name}").register(app)
        for command in app.registered_commands[before[0] :]:
            command.rich_help_panel = heading
            _add_example(command)
        for group in app.registered_groups[before[1] :]:
            group.rich_help_panel = heading
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
        tell("aborted: nothing was done", file=sys.stderr)
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


def _add_example(command: typer.models.CommandInfo) -> None:
    """Let the help of a command with a text of its own show the example of its docstring too."""
    told = (command.callback and command.callback.__doc__) or ""
    if command.help and told.startswith("Example: "):
        command.help += f"\n\nExample:\n\n  {told.removeprefix('Example: ')}"


def _refuse(problem: str) -> NoReturn:
    tell(f"error: {' '.join(problem.split())}", file=sys.stderr)
    raise SystemExit(2)


if __name__ == "__main__":
    main()
