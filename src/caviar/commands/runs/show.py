"""``caviar runs show``: all there is to know of one run, or of one sweep."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from caviar.commands.runs.arguments import Json, OneRun, rows_of, settings_of
from caviar.commands.tables import one_format, print_json, print_rows, say
from caviar.runs.text import strict


def show(run: OneRun, as_json: Json = False) -> None:
    """Show one run: how it went, what it was, where its files are, how to run it again.

    Examples:

      caviar runs show best

      caviar runs show latest/7 --json
    """
    from caviar.confirm.results import confirmed
    from caviar.reading.compare import code_of, rerun_command
    from caviar.reading.find import find
    from caviar.reading.index import one_run
    from caviar.reading.run import Run
    from caviar.runs import folder as names
    from caviar.runs.edits import in_force, read_edits
    from caviar.runs.folder import Result
    from caviar.runs.ours import is_signed, started_here
    from caviar.runs.places import SWEEP_FILE, inside, is_run, typed
    from caviar.runs.program import PROGRAM, command_of
    from caviar.runs.screening import to_paste
    from caviar.runs.sweep_file import read_sweep_file

    form = one_format(json=as_json)
    folder = find(run)
    if not is_run(folder):
        _show_sweep(folder, form)
        return
    problems: list[str] = []
    row = one_run(folder, problems)
    for problem in problems:
        say(f"skipped: {problem}")
    read = Run(folder, Result.read(folder))
    checkpoint = inside(folder, read.result.checkpoint)
    again = fresh = None
    if row.facts["sweep"] is not None:
        sweep = folder.parent.parent
        fresh = confirmed(sweep).get(str(row.facts["number"]))
        again = rerun_command(read_sweep_file(sweep), read.overrides, is_signed(sweep, SWEEP_FILE))
    elif isinstance(started := read.result.facts.get(PROGRAM), dict):
        ours = is_signed(folder, names.OVERRIDES)
        command = command_of(started_here(folder) or started if ours else started, read.overrides)
        again = command and to_paste(command, [], ours)
    files = {
        "folder": str(folder),
        "checkpoint": str(checkpoint) if checkpoint and checkpoint.is_file() else None,
        "log": str(read.log) if read.log.is_file() else None,
    }
    code, engine = code_of(row), read.result.facts.get("engine")
    said = summaries(folder)
    edits = in_force(read_edits(folder))
    if edits:
        # Its config alone would not make it again; its edits would, at the steps they were made at.
        again = f"caviar replay {typed(folder)}"
    if form == "json":
        facts = {k: v for k, v in row.facts.items() if k not in files}
        print_json(
            {
                **facts,
                **files,
                "engine": engine,
                "params": read.result.params,
                "metrics": row.metrics,
                "overrides": read.overrides,
                "config": read.config,
                "summaries": said,
                "confirmed": fresh and asdict(fresh),
                **code,
                "edits_in_force": [asdict(edit) for edit in edits],
                "rerun": again,
            }
        )
        return
    shown = {*files, "edits_in_force"}
    facts = [(k, v) for k, v in row.facts.items() if k not in shown and v is not None]
    lines: list[tuple[str, str, Any]] = [("result", k, v) for k, v in facts]
    lines += [("result", "engine", engine)] if engine else []
    if fresh:
        seeds = f"{fresh} over {fresh.n} fresh seeds, mean and 95 % interval"
        lines.append(("result", "confirmed", seeds))
    lines += [("edits in force", str(e.edit), e.in_words().partition(": ")[2]) for e in edits]
    lines += [("params", k, v) for k, v in row.params.items()]
    lines += [("overrides", k, v) for k, v in row.overrides.items()]
    lines += [("metrics", k, v) for k, v in row.metrics.items()]
    lines += [(part, k, v) for part, held in said.items() for k, v in held.items()]
    lines += [(part, k, v) for part, held in code.items() for k, v in held.items() if v is not None]
    lines += [("files", k, v) for k, v in files.items() if v is not None]
    lines += [("rerun", "command", again)] if again else []
    if form == "terminal":
        _print_long(row.facts["run"], lines)
        if row.facts["state"] == "FAIL" and files["log"]:
            say(f"traceback: caviar logs {row.facts['run']}  ({names.LOG})")
        return
    print_rows(["part", "key", "value"], lines, form)


def _show_sweep(folder: Path, form: str) -> None:
    from caviar.reading.compare import summarise
    from caviar.runs.sweep_file import read_sweep_file

    _, rows = rows_of([str(folder)])
    settings = read_sweep_file(folder)
    settings_of(folder)  # says where it is not known what is better
    (counts,) = summarise([(folder, rows.rows)])
    if form == "json":
        print_json({**counts, "folder": str(folder), "settings": settings})
        return
    lines = [("result", k, v) for k, v in counts.items() if v is not None]
    lines += [("space", k, v) for k, v in (settings.get("space") or {}).items()]
    parts = ("sampler", "pruner", "executor", "engine", "git_commit", "n_trials")
    lines += [("settings", k, json.dumps(strict(settings[k]))) for k in parts if settings.get(k)]
    lines.append(("files", "folder", str(folder)))
    if form == "terminal":
        _print_long(folder.name, lines)
    else:
        print_rows(["part", "key", "value"], lines, form)


def _print_long(title: str, lines: list[tuple[str, str, Any]]) -> None:
    shown, before = [], None
    for part, key, value in lines:
        shown.append((part if part != before else "", key, value if value is None else str(value)))
        before = part
    print_rows(["part", "key", "value"], shown, "terminal", title, narrow="fold")


def summaries(folder: Path) -> dict[str, dict[str, str]]:
    """What a project's own files in a run folder say of themselves: file's stem -> its ``summary``.

    Any ``NAME.json`` there may have such a mapping, text by text, which is shown as the part NAME. Of a run
    of folds, those of its first. A file that cannot be read has none.
    """
    from caviar.runs.folder import RESULT
    from caviar.runs.folds import FOLD, fold_folder

    found = {}
    for place in (folder, fold_folder(folder, 0)):
        for file in sorted(place.glob("*.json")):
            if file.name in (RESULT, FOLD) or file.is_symlink():
                continue
            try:
                summary = json.loads(file.read_text()).get("summary")
            except (OSError, ValueError, AttributeError, RecursionError):
                continue
            if isinstance(summary, dict) and summary:
                found.setdefault(file.stem, {str(k): str(v) for k, v in summary.items()})
    return found
