"""The task function in another process: how it is found there, and where the app's modules are."""

from __future__ import annotations

import importlib
import os
import runpy
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from caviar.base.private import noting_entries


@dataclass(frozen=True)
class TaskSource:
    """How a worker process finds the task function: by module name, else by running its file.

    Attributes:
        name: the function's name at the top of its module.
        module: the module's import name; None where the task is in a script.
        path: the script.
        whitelist: what the app lets Hydra call: `caviar.base.hydra_versions.whitelist_of`.
        function: the task function itself, for an executor that need not look for it; it goes to
            no other process.
    """

    name: str
    module: str | None
    path: str | None
    whitelist: Any = field(default=None, kw_only=True)
    function: Callable[[Any], Any] | None = field(default=None, kw_only=True)


def task_source(task: Callable[[Any], Any], whitelist: Any = None) -> TaskSource:
    """How another process finds the task function that this one has."""
    module, path = task.__module__, None
    if module in {"__main__", "__mp_main__"}:  # the latter in a worker
        main = sys.modules["__main__"]
        spec = getattr(main, "__spec__", None)
        # Started with `python -m`: a package's name stands for its __main__ module.
        module = spec and spec.name
        path = None if spec else str(Path(main.__file__ or "").absolute())
    return TaskSource(task.__name__, module, path, whitelist=whitelist, function=task)


def load_task(source: TaskSource) -> Callable[[Any], Any]:
    """Import the app's module, or run its script, and find the task function there.

    A script may call its entry without an ``if __name__ == "__main__"`` guard. That call would start
    the whole app again, so while the module loads Hydra's entry does nothing but note the function.

    Raises:
        AttributeError: the function is not at the top of the module.
    """
    noted: list[Callable[[Any], Any]] = []

    def note(*_: Any, task_function: Callable[[Any], Any], **__: Any) -> None:
        noted.append(task_function)

    arguments, sys.argv = sys.argv, [source.path or source.module or ""]
    try:
        with noting_entries(note):
            if source.module is not None:
                found = vars(importlib.import_module(source.module))
            else:
                assert source.path is not None
                found = runpy.run_path(source.path, run_name="__mp_main__")
                # What it defines is `__main__.Thing` in its configs and pickles, as in the controller.
                module = type(sys)("__mp_main__")
                module.__dict__.update(found)
                sys.modules["__main__"] = sys.modules["__mp_main__"] = module
    except SystemExit:
        # Without a guard, `sys.exit(main())` is the script's last line.
        found = {}
    finally:
        sys.argv = arguments
    task = found.get(source.name)
    if task is None:
        task = next((t for t in noted if t.__name__ == source.name), None)
    if task is None:
        raise AttributeError(
            f"the task function {source.name} is not at the top of {source.module or source.path}; "
            "executor=inline runs it as it is"
        )
    # A function that `hydra.main` decorated takes a config and passes it straight on.
    return task


def own_path() -> list[str]:
    """Where the app's own modules are found: what is on the path and came not with Python or pip."""
    installed = {os.path.realpath(p) for p in (sys.prefix, sys.base_prefix, sys.exec_prefix)}
    found: list[str] = []
    for entry in sys.path:
        path = os.path.abspath(entry or ".")
        real = os.path.realpath(path)
        theirs = "site-packages" in real or "dist-packages" in real
        theirs = theirs or any(real.startswith(f"{prefix}{os.sep}lib") for prefix in installed)
        if not theirs and os.path.isdir(path):
            found.append(path)
    return found


def moved(path: str, cwd: str, here: Path) -> str:
    """What lies under the controller's working directory, under the one here where it is not there."""
    if os.path.exists(path):
        return path
    with suppress(ValueError):
        return str(here / Path(path).relative_to(cwd))
    return path
