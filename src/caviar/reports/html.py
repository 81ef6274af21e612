"""The report: one file that opens offline, from file://, with plotly inside and no request to anywhere."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from html import escape
from importlib.metadata import distribution
from importlib.resources import files
from pathlib import Path
from typing import Any

from caviar.base.words import WHAT_NEXT, short
from caviar.reading.sweep import Sweep
from caviar.reports.data import sweep_data
from caviar.runs.files import write_atomic

NOT_ASKED = (
    "Not computed at the end of a sweep: `caviar report` looks at the best trial's predictions."
)
_WORDS = {"warn": "Warning", "pass": "Fine", "unknown": "Not checked"}


def write_report(
    sweeps: Sequence[Sweep], path: Path, judged: Sequence[dict[str, Any]] = ()
) -> list[dict[str, Any]]:
    """Write the report on one sweep or several to ``path``; returns what it shows of each.

    Args:
        judged: of each, what `caviar.lightning.judging` says of its best trial, with the trial's
            ``number``, or ``why`` that is not known.
    """
    shown = [sweep_data(sweep) for sweep in sweeps]
    for place, sweep in enumerate(shown):
        sweep["judged"] = judged[place] if judged else {"why": NOT_ASKED}
    write_atomic(path.parent.resolve() / path.name, page(shown))  # the way there is the user's own
    return shown


def page(sweeps: Sequence[dict[str, Any]], mark: str = "") -> str:
    """The page that shows ``sweeps``, each as `sweep_data` gives it.

    Args:
        mark: where the page is to renew itself, that of what it shows now.
    """
    folder = files("caviar.reports") / "page"
    # Not by the package, whose import takes 0.05 s.
    plotly = distribution("plotly").locate_file("plotly/package_data/plotly.min.js")
    parts = {
        "connect": "; connect-src 'self'" if mark else "",
        "followed": f' data-followed="{escape(mark)}"' if mark else "",
        "title": escape(" · ".join(sweep["title"] for sweep in sweeps)),
        **_told(sweeps),
        "data": in_script(sweeps),
        "plotly": Path(str(plotly)).read_text(encoding="utf-8"),
    }

    def part(name: str) -> str:
        return parts[name] if name in parts else (folder / name).read_text(encoding="utf-8")

    # All at once: a run's text may hold the mark of another part.
    return re.sub(r"{{([\w.]+)}}", lambda found: part(found[1]), part("page.html"))


def parts(sweeps: Sequence[dict[str, Any]], followed: bool) -> str:
    """What a page that is open takes to renew itself, as JSON; ``followed``: there will be more."""
    return strict_json({"sweeps": sweeps, "followed": followed, **_told(sweeps)})


def _told(sweeps: Sequence[dict[str, Any]]) -> dict[str, str]:
    return {
        "summary": "".join(map(_summary, sweeps)),
        "verdicts": "".join(_verdicts(sweep["verdicts"]) for sweep in sweeps),
    }


def in_script(value: Any) -> str:
    """``value`` as JSON that cannot end the script element it stands in."""
    text = strict_json(value)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text.encode("utf-8", "replace").decode("utf-8")  # a lone surrogate becomes ?


def strict_json(value: Any) -> str:
    """``value`` as strict JSON: a number that is not finite as the text that it prints as."""
    try:
        return json.dumps(
            value, ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_plain
        )
    except (ValueError, TypeError):
        # Taken apart only as far as there is such a number in it, or a key that is no text.
        if isinstance(value, dict):
            items = [f"{strict_json(str(key))}:{strict_json(item)}" for key, item in value.items()]
            return f"{{{','.join(items)}}}"
        if isinstance(value, list | tuple):
            return f"[{','.join(map(strict_json, value))}]"
        return json.dumps(str(value))


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else str(value)


def _summary(sweep: dict[str, Any]) -> str:
    todo = f"<b>Next:</b> {escape(sweep['next'])}{_command(sweep['command'])}"
    return (
        f'<div class="of"><p class="story">{escape(sweep["sentence"])}</p>'
        + (f"<p>{todo}</p>" if sweep["next"] else "")
        + _best_values(sweep["best"])
        + "</div>"
    )


def _command(command: str | None) -> str:
    return f'<code class="next">{escape(command)}</code>' if command else ""


def _best_values(best: dict[str, Any] | None) -> str:
    if not best or not best["values"]:
        return ""
    heads = ["best" if best["number"] is None else f"trial {best['number']}"]
    heads += ["the default"] if best["default"] else []
    rows = []
    for name, *values in best["values"]:
        shown = ("" if v is None else escape(short(v)) for v in values[: len(heads)])
        cells = "".join(f"<td>{text}</td>" for text in shown)
        rows.append(f'<tr><th scope="row">{escape(name)}</th>{cells}</tr>')
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in heads)
    return (
        '<div class="scroll" tabindex="0" role="region" aria-label="Best hyperparameters">'
        f"<table><thead><tr><td>best hyperparameters</td>{head}</tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _verdicts(verdicts: Sequence[dict[str, Any]]) -> str:
    if not verdicts:
        return '<div class="of"></div>'
    warnings = [verdict for verdict in verdicts if verdict["status"] == "warn"]
    rest = [verdict for verdict in verdicts if verdict["status"] != "warn"]
    fine = sum(verdict["status"] == "pass" for verdict in rest)
    unchecked = len(rest) - fine
    none = "No check found a fault." if fine else "There is too little evidence for any check."
    shown = _list(warnings) if warnings else f"<p>{none}</p>"
    return (
        f'<div class="of">{shown}<details><summary>Checks: {fine} passed, {unchecked} lacked'
        f" evidence</summary>{_list(rest)}</details></div>"
    )


def _list(verdicts: Sequence[dict[str, Any]]) -> str:
    lines = (
        f'<li class="{verdict["status"]}"><b>{_title(verdict)}</b>'
        f"{escape(verdict['sentence'])}{_command(verdict['next'])}</li>"
        for verdict in verdicts
    )
    return f'<ul class="verdicts">{"".join(lines)}</ul>'


def _title(verdict: dict[str, Any]) -> str:
    name = escape(verdict["name"])
    return name.capitalize() if name == WHAT_NEXT else f"{_WORDS[verdict['status']]}: {name}"
