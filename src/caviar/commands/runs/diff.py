"""``caviar runs diff``: what differs between two runs."""

from __future__ import annotations

from typing import Any

from caviar.commands.runs.arguments import Csv, Json, Md, OneRun
from caviar.commands.tables import one_format, print_json, print_rows, say


def diff(
    a: OneRun, b: OneRun, as_json: Json = False, as_csv: Csv = False, as_md: Md = False
) -> None:
    """Show what differs between two runs: result, config, edits, code commit, versions, metrics.

    Examples:

      caviar runs diff wide/best narrow/best

      caviar runs diff -1 -2 --md
    """
    from caviar.reading.compare import differences
    from caviar.reading.find import find_run
    from caviar.reading.index import add_configs, one_run
    from caviar.reading.rows import Rows

    form = one_format(json=as_json, csv=as_csv, md=as_md)
    problems: list[str] = []
    rows = Rows([one_run(find_run(name), problems) for name in (a, b)], problems)
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
    print_rows(["part", "key", first.facts["run"], second.facts["run"]], found, form, narrow="fold")
