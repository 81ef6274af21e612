"""``caviar dashboard``: optuna-dashboard and TensorBoard for a sweep, on this machine alone."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, suppress
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from caviar.base.errors import UsageError
from caviar.base.plain import echo
from caviar.base.private import DASHBOARD
from caviar.base.signals import heard
from caviar.commands.runs.arguments import OneSweep
from caviar.commands.tables import say

HOST = "127.0.0.1"
START_SECONDS = 60.0


def dashboard(
    sweep: OneSweep = "latest",
    port: Annotated[
        int | None,
        typer.Option(min=1, max=65535, help="Of optuna-dashboard; a free one if not given."),
    ] = None,
    storage: Annotated[
        str | None, typer.Option(help="The study's URL, where it has a password.")
    ] = None,
) -> None:
    """Start optuna-dashboard, and TensorBoard where it is installed, for a sweep; Ctrl-C ends both.

    Both listen on 127.0.0.1 alone: from another machine, tunnel the port with ssh -L.

    Examples:

      caviar dashboard

      caviar dashboard wide --port 8080
    """
    from caviar.reading.find import find_sweep

    if find_spec("optuna_dashboard") is None:
        raise UsageError("optuna-dashboard is not installed: pip install 'caviar[dashboard]'")
    folder = find_sweep(sweep)
    study = storage or _storage(folder)
    if port is not None and not _is_free(port):
        raise UsageError(f"port={port}: taken on {HOST}; leave --port out for a free one")
    chosen = port or _free_port(8080)
    commands = {"optuna-dashboard": ([sys.executable, "-c", DASHBOARD, study], chosen)}
    if find_spec("tensorboard") is None:
        say("TensorBoard is not installed: pip install 'caviar[dashboard]'")
    else:
        commands["TensorBoard"] = (
            [sys.executable, "-m", "tensorboard.main", "--logdir", str(folder)],
            _free_port(6006, but=chosen),
        )
        if next(folder.rglob("events.out.tfevents.*"), None) is None:
            say("TensorBoard has nothing to show: this sweep was run without logger=tensorboard")
    raise typer.Exit(_serve(commands))


def _serve(commands: dict[str, tuple[list[str], int]]) -> int:
    """Run servers until one ends or a signal comes; end them all."""
    asked: list[int] = []
    running: dict[str, subprocess.Popen[bytes]] = {}
    heeded = heard(asked.append, (signal.SIGINT, signal.SIGTERM))
    with heeded, TemporaryDirectory() as logs, ExitStack() as at_end:
        for name, (command, port) in commands.items():
            # A session of its own: Ctrl-C is for this process, which then ends them in order.
            with Path(logs, name).open("wb") as log:
                running[name] = subprocess.Popen(
                    [*command, "--host", HOST, "--port", str(port)],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
            at_end.callback(_end, running[name])
        waiting = {name: port for name, (_, port) in commands.items()}
        deadline = time.monotonic() + START_SECONDS
        while not asked:
            for name, process in running.items():
                if process.poll() is not None:
                    tail = Path(logs, name).read_text("utf-8", "replace").strip().splitlines()
                    last = tail[-1] if tail else ""
                    say(f"{name} ended with status {process.returncode}: {last}")
                    return 1
            for name, port in list(waiting.items()):
                if not _is_free(port):
                    echo(f"{name}: http://{HOST}:{port}/")
                    del waiting[name]
            if waiting and time.monotonic() > deadline:
                say(f"{', '.join(waiting)} did not answer within {START_SECONDS:g} s")
                return 1
            time.sleep(0.1)
        return 0


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(timeout=5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _storage(folder: Path) -> str:
    """The study as optuna-dashboard names it: the journal's path, or an URL."""
    from caviar.runs.ours import is_signed
    from caviar.runs.places import JOURNAL, SWEEP_FILE, inside
    from caviar.runs.sweep_file import read_sweep_file
    from caviar.sweep.record import HIDDEN

    held = str(read_sweep_file(folder).get("storage") or JOURNAL)
    if "://" in held:
        if not is_signed(folder, SWEEP_FILE):
            why = "the folder is not this user's own; give the URL with --storage"
            raise UsageError(f"storage={held}: {why}, where you trust it")
        if HIDDEN in held:
            raise UsageError(
                f"storage={held}: the password is not kept; give the URL with --storage"
            )
        return held
    path = inside(folder, held)
    if path is None or not path.is_file():
        raise UsageError(f"sweep={folder.name}: it has no study {held}")
    return str(path)


def _is_free(port: int) -> bool:
    with socket.socket() as tried:
        tried.settimeout(1)
        return tried.connect_ex((HOST, port)) != 0


def _free_port(wanted: int, but: int | None = None) -> int:
    """The first port from ``wanted`` on that nobody listens on."""
    for port in range(wanted, min(wanted + 200, 65536)):
        if port != but:
            with socket.socket() as tried, suppress(OSError):
                tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                tried.bind((HOST, port))
                return port
    raise UsageError(f"no free port on {HOST} from {wanted} to {wanted + 199}")
