"""``caviar resume | stop | cancel``: what a person does to a sweep."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from caviar.base.errors import usage_error
from caviar.base.plain import echo
from caviar.commands.names import complete_either, named, sweep_folder
from caviar.commands.panda import Trust

Sweep = Annotated[
    str, named("The sweep (or the single run): its folder, its name, latest.", complete_either)
]


def resume(
    sweep: Sweep,
    settings: Annotated[
        list[str] | None,
        typer.Argument(
            help="n_trials=NUMBER: how many trials in total, old ones included. storage=URL: the "
            "study's, where it has a password. executor=NAME, with hydra.sweeper.executor.… for its "
            "settings: go on by another one."
        ),
    ] = None,
    trust: Trust = False,
) -> None:
    """Go on with a sweep or a run that was interrupted or killed, or with a paused run.

    Example: caviar resume latest n_trials=64
    """
    from caviar.panda import steer

    if not settings and (run := steer.single(sweep)):
        steer.resume(run, trust)
        return
    from caviar.sweep import resume as resuming

    given: dict[str, Any] = {}
    words: list[str] = []
    for setting in settings or []:
        key, _, value = setting.partition("=")
        if resuming.chooses_executor(key):
            words.append(setting)
            continue
        if key not in ("n_trials", "storage"):
            raise usage_error("resume", key, "no such setting", ["n_trials", "storage", "executor"])
        if key == "n_trials" and (not value.isdigit() or int(value) < 1):
            raise usage_error("n_trials", value, "must be a whole number, 1 or more")
        given[key] = int(value) if key == "n_trials" else value
    folder = sweep_folder(sweep)
    resuming.become(*resuming.to_resume(folder, **given, trust=trust, executor=words))


def stop(sweep: Sweep) -> None:
    """Ask a running sweep for no new trials, or a watched run to end now.

    Example: caviar stop outputs/sweeps/first
    """
    from caviar.panda import steer
    from caviar.panda.files import is_watched
    from caviar.sweep.owner import ask_to_stop

    if (run := steer.single(sweep)) and is_watched(run):
        echo(steer.request(run, "stop"))
        return
    ask_to_stop(folder := sweep_folder(sweep), "stop")
    echo(f"{folder}: asked to start no new trial; those under way end (at once: caviar cancel)")


def cancel(sweep: Sweep) -> None:
    """End a running sweep now; it can be resumed.

    Example: caviar cancel outputs/sweeps/first
    """
    from caviar.sweep.owner import ask_to_stop

    ask_to_stop(folder := sweep_folder(sweep), "cancel")
    echo(f"{folder}: asked to end now (caviar resume goes on with it)")
