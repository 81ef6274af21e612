"""``caviar runs …``: list, show, compare, export, tag and remove logged runs."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from caviar.commands.names import NAMES, complete_run, complete_sweep, options_refused
from caviar.commands.tables import one_format, print_json, print_rows, say, strict
from caviar.errors import UsageError, usage_error

TERMINAL_LIMIT = 50

Sweeps = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="SWEEP", help="Sweeps; none for all runs.", autocompletion=complete_sweep
    ),
]
OneRun = Annotated[
    str,
    typer.Argument(
        metavar="RUN",
        help="A path, a name, SWEEP/7, latest, best, -1.",
        autocompletion=complete_run,
    ),
]
Where = Annotated[
    str | None,
    typer.Option(help="Only runs of which this holds: \"lr < 1e-3 and state == 'COMPLETE'\"."),
]
Json = Annotated[bool, typer.Option("--json", help="As JSON, with a schema version.")]
Csv = Annotated[bool, typer.Option("--csv", help="As CSV, every digit.")]
Md = Annotated[bool, typer.Option("--md", help="As a Markdown table.")]


def register(app: typer.Typer) -> None:
    """Add the commands of this file to ``app``."""
    runs = typer.Typer(
        no_args_is_help=True,
        rich_markup_mode="rich",
        help="List, show, compare, export, tag and remove logged runs.",
    )
    for command in (list_, show, diff, best, export, tag, rm):
        runs.command(command.__name__.rstrip("_"), context_settings=NAMES)(command)
    app.add_typer(runs, name="runs")


def list_(
    sweeps: Sweeps = None,
    where: Where = None,
    sort: Annotated[
        str | None,
        typer.Option(help="Column to sort by, -COLUMN for descending, or best. Default: newest."),
    ] = None,
    columns: Annotated[
        str | None, typer.Option(help="Which columns, with commas: run,value,lr.")
    ] = None,
    all_columns: Annotated[
        bool, typer.Option("--all-columns", help="Every column, not only those that vary.")
    ] = False,
    limit: Annotated[
        int | None,
        typer.Option(min=0, help=f"At most so many; 0 for all. A terminal gets {TERMINAL_LIMIT}."),
    ] = None,
    summary: Annotated[
        bool, typer.Option("--summary", help="A line a sweep: counts, best, how soon found.")
    ] = False,
    as_json: Json = False,
    as_csv: Csv = False,
    as_md: Md = False,
) -> None:
    """List runs: those of some sweeps, or all; by default the columns that vary.

    JSON has all columns. Several sweeps are compared first, on a terminal.

    Examples:

      caviar runs list latest --sort best --limit 10

      caviar runs list --where "optimizer.lr < 1e-3 and state == 'COMPLETE'"

      caviar runs list wide narrow --summary

      caviar runs list latest --columns run,value,lr --csv > runs.csv
    """
    from caviar.runs.compare import summarise
    from caviar.runs.index import by_sweep

    form = one_format(json=as_json, csv=as_csv, md=as_md)
    folders, rows = _rows(sweeps)
    if summary and not folders:
        from caviar.runs.find import sweep_folders

        folders = sweep_folders()
    groups = by_sweep(folders, rows.rows)
    summaries = summarise(groups) if summary or (len(folders) > 1 and form != "csv") else []
    if summary:
        if form == "json":
            print_json({"sweeps": summaries})
        else:
            names = list(summaries[0]) if summaries else ["sweep"]
            print_rows(names, [[line.get(n) for n in names] for line in summaries], form)
        return
    shown, chosen = _choose(rows, where, sort, columns, all_columns or form == "json")
    cut = limit if limit is not None else (TERMINAL_LIMIT if form == "terminal" else 0)
    total = len(shown)
    shown = shown[:cut] if cut else shown
    cells = [[row.get(column) for column in chosen] for row in shown]
    if form == "json":
        runs = [dict(zip(chosen, line, strict=True)) for line in cells]
        print_json(
            {"columns": chosen, "runs": runs, **({"sweeps": summaries} if summaries else {})}
        )
        return
    if summaries and form == "terminal":
        names = list(summaries[0])
        print_rows(names, [[line.get(n) for n in names] for line in summaries], form)
    print_rows(chosen, cells, form)
    if len(shown) < total and limit is None:
        say(f"{total - len(shown)} runs more; --limit 0 lists all")


def show(run: OneRun, as_json: Json = False) -> None:
    """Show one run: how it went, what it was, where its files are, how to run it again.

    Examples:

      caviar runs show best

      caviar runs show latest/7 --json
    """
    from caviar.runs import folder as names
    from caviar.runs.compare import code_of, rerun_command
    from caviar.runs.find import find, inside, is_run, read_sweep_file
    from caviar.runs.folder import Result
    from caviar.runs.index import one_run
    from caviar.runs.load import Run

    options_refused([run])
    form = one_format(json=as_json)
    folder = find(run)
    if not is_run(folder):
        _show_sweep(folder, form)
        return
    row = one_run(folder)
    read = Run(folder, Result.read(folder))
    checkpoint = inside(folder, read.result.checkpoint)
    again = None
    if row.facts["sweep"] is not None:
        again = rerun_command(read_sweep_file(folder.parent.parent), read.overrides)
    files = {
        "folder": str(folder),
        "checkpoint": str(checkpoint) if checkpoint and checkpoint.is_file() else None,
        "log": str(read.log) if read.log.is_file() else None,
    }
    code = code_of(row)
    if form == "json":
        facts = {k: v for k, v in row.facts.items() if k not in files}
        print_json(
            {
                **facts,
                **files,
                "params": read.result.params,
                "metrics": row.metrics,
                "overrides": read.overrides,
                "config": read.config,
                **code,
                "rerun": again,
            }
        )
        return
    facts = [(k, v) for k, v in row.facts.items() if k not in files and v is not None]
    lines: list[tuple[str, str, Any]] = [("result", k, v) for k, v in facts]
    lines += [("params", k, v) for k, v in row.params.items()]
    lines += [("overrides", k, v) for k, v in row.overrides.items()]
    lines += [("metrics", k, v) for k, v in row.metrics.items()]
    lines += [(part, k, v) for part, held in code.items() for k, v in held.items() if v is not None]
    lines += [("files", k, v) for k, v in files.items() if v is not None]
    lines += [("rerun", "command", again)] if again else []
    if form == "terminal":
        _print_long(row.facts["run"], lines)
        if row.facts["state"] == "FAIL" and files["log"]:
            say(f"traceback: caviar logs {row.facts['run']}  ({names.LOG})")
        return
    print_rows(["part", "key", "value"], lines, form)


def diff(
    a: OneRun,
    b: OneRun,
    as_json: Json = False,
    as_csv: Csv = False,
    as_md: Md = False,
) -> None:
    """Show what differs between two runs: result, config, code commit, versions, metrics.

    Examples:

      caviar runs diff wide/best narrow/best

      caviar runs diff -1 -2 --md
    """
    from caviar.runs.compare import differences
    from caviar.runs.find import find_run
    from caviar.runs.index import Rows, add_configs, one_run

    options_refused([a, b])
    form = one_format(json=as_json, csv=as_csv, md=as_md)
    rows = Rows([one_run(find_run(name)) for name in (a, b)], [])
    add_configs(rows)
    for problem in rows.problems:
        say(f"skipped: {problem}")
    first, second = rows.rows
    found = differences(first, second)
    if form == "json":
        differing: dict[str, Any] = {}
        for part, key, x, y in found:
            differing.setdefault(part, {})[key] = [x, y]
        print_json({"runs": [first.facts["run"], second.facts["run"]], "differences": differing})
        return
    if not found:
        say("nothing differs")
    print_rows(["part", "key", first.facts["run"], second.facts["run"]], found, form)


def best(
    sweep: Annotated[
        str,
        typer.Argument(help="A sweep; the latest by default.", autocompletion=complete_sweep),
    ] = "latest",
    ckpt: Annotated[
        bool, typer.Option("--ckpt", help="Print its checkpoint's path alone.")
    ] = False,
    path: Annotated[bool, typer.Option("--path", help="Print its folder alone.")] = False,
    where: Where = None,
    as_json: Json = False,
) -> None:
    """The best run of a sweep; with --ckpt one path, fit for $(…).

    Examples:

      caviar runs best

      python -m project.predict ckpt="$(caviar runs best --ckpt)" …

      caviar runs best wide --where "model.depth == 2" --json
    """
    from caviar.runs.compare import best_of, sign
    from caviar.runs.find import find_sweep, inside, read_sweep_file
    from caviar.runs.folder import Result
    from caviar.runs.select import matching

    options_refused([sweep])
    one_format(ckpt=ckpt, path=path, json=as_json)
    folder = find_sweep(sweep)
    signed = sign(read_sweep_file(folder))
    if signed is None:
        raise UsageError(f"sweep={folder.name}: several objectives have no one best; see runs list")
    _, rows = _rows([str(folder)])
    found = best_of(matching(rows, where), signed)
    if found is None:
        raise UsageError(
            f"sweep={folder.name}: no trial of it is complete"
            + (f" where {where}" if where else "")
        )
    if ckpt:
        name = Result.read(found.folder).checkpoint
        checkpoint = inside(found.folder, name)
        if checkpoint is None or not checkpoint.is_file():
            kept = f"its checkpoint {name} is not there" if name else "it kept no checkpoint"
            raise UsageError(f"run={found.facts['run']}: {kept}")
        print(checkpoint)
    elif path:
        print(found.folder)
    else:
        show(str(found.folder), as_json)


def export(
    file: Annotated[Path, typer.Argument(help="Where to: .parquet, .csv or .json.")],
    sweeps: Sweeps = None,
    where: Where = None,
    columns: Annotated[str | None, typer.Option(help="Which columns, with commas.")] = None,
    epochs: Annotated[
        bool, typer.Option("--epochs", help="A row an epoch (metrics.csv), not a row a run.")
    ] = False,
) -> None:
    """Write runs into a Parquet, CSV or JSON file, all columns by default.

    Examples:

      caviar runs export runs.parquet

      caviar runs export curves.csv latest --epochs
    """
    from caviar.runs import export as exporting

    kind = file.suffix.lower().lstrip(".")
    if kind not in exporting.KINDS:
        raise usage_error(
            "file", file, "no such format", [f".{k}" for k in exporting.KINDS], f".{kind}"
        )
    if not file.absolute().parent.is_dir():
        raise usage_error("file", file, f"there is no folder {file.absolute().parent}")
    _, rows = _rows(sweeps)
    if epochs and columns:
        raise UsageError("--epochs and --columns cannot be had together")
    shown, chosen = _choose(rows, where, None, columns, all_columns=True)
    if epochs:
        table = exporting.epochs_of(shown)
    else:
        table = {column: [row.get(column) for row in shown] for column in chosen}
    exporting.write(file, kind, table)
    count = len(next(iter(table.values()), []))
    say(f"{count} rows of {len(table)} columns in {file}")


def tag(
    run: OneRun,
    tags: Annotated[list[str] | None, typer.Argument(help="Tags to add.")] = None,
    remove: Annotated[list[str] | None, typer.Option(help="A tag to take off.")] = None,
) -> None:
    """Put tags on a run, to find it again: --where "'keep' in tags". Without any, print them.

    Examples:

      caviar runs tag best keep paper

      caviar runs tag wide/7 --remove keep
    """
    from caviar.runs.files import write_atomic
    from caviar.runs.find import find_run
    from caviar.runs.folder import check_name
    from caviar.runs.index import TAGS, read_tags

    options_refused([run, *(tags or [])])
    folder = find_run(run)
    for name in tags or []:
        check_name(name)
    held = set(read_tags(folder))
    for name in remove or []:
        if name not in held:
            raise usage_error("remove", name, "the run has no such tag", sorted(held))
    new = sorted((held | set(tags or [])) - set(remove or []))
    if new != sorted(held):
        write_atomic(folder / TAGS, json.dumps(new) + "\n")
    for name in new:
        print(name)


def rm(
    names: Annotated[
        list[str],
        typer.Argument(metavar="NAME", help="Runs or sweeps.", autocompletion=complete_run),
    ],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask; needed off a terminal.")] = False,
) -> None:
    """Remove runs or whole sweeps, with all their files. Asks first.

    Examples:

      caviar runs rm wide/7

      caviar runs rm 2026-01-02_03-04-05 --yes
    """
    from caviar.runs.find import TRIALS, find
    from caviar.runs.remove import check_removable, remove
    from caviar.sweep.owner import is_running

    options_refused(names)
    folders = list(dict.fromkeys(find(name) for name in names))
    for folder in folders:
        check_removable(folder)
        sweep = folder.parent.parent if folder.parent.name == TRIALS else folder
        if is_running(sweep):
            raise UsageError(
                f"{folder}: its sweep is under way; caviar cancel {sweep.name} ends it"
            )
    if not yes:
        if not sys.stdin.isatty():
            raise UsageError(
                "runs rm: cannot ask, this is no terminal; --yes removes without asking"
            )
        for folder in folders:
            say(str(folder))
        typer.confirm(f"Remove {len(folders)} folders with all their files?", abort=True, err=True)
    for folder in folders:
        remove(folder)
        say(f"removed {folder}")


def _rows(sweeps: list[str] | None) -> tuple[list[Path], Any]:
    from caviar.runs.find import find_sweep
    from caviar.runs.index import all_runs, runs_of

    options_refused(sweeps or [])
    folders = list(dict.fromkeys(find_sweep(name) for name in sweeps or []))
    rows = runs_of(folders) if folders else all_runs()
    for problem in rows.problems[:5]:
        say(f"skipped: {problem}")
    if len(rows.problems) > 5:
        say(f"skipped: {len(rows.problems) - 5} folders more")
    return folders, rows


def _choose(
    rows: Any, where: str | None, sort: str | None, columns: str | None, all_columns: bool
) -> tuple[list[Any], list[str]]:
    """The runs that are shown, in order, and the columns."""
    from caviar.runs.select import columns_named, in_order, matching

    shown = in_order(matching(rows, where), rows, sort)
    if columns is not None:
        return shown, columns_named(rows, columns)
    return shown, rows.columns() if all_columns else rows.varying(shown)


def _show_sweep(folder: Path, form: str) -> None:
    from caviar.runs.compare import summarise
    from caviar.runs.find import read_sweep_file

    _, rows = _rows([str(folder)])
    settings = read_sweep_file(folder)
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
    print_rows(["part", "key", "value"], shown, "terminal", title)
