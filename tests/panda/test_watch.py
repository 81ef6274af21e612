"""A watched run fits its terminal: what is wrong with it and what was done to it first, then its curves."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from caviar.panda.watch import watch
from caviar.runs.edits import Edit, write_edits

pytestmark = pytest.mark.fast


def watched(folder: Path, findings: int, edits: int, losses: int) -> Path:
    (folder / "panda").mkdir(parents=True)
    names = [f"loss_{n}" for n in range(losses)]
    status = {
        "state": "ended",
        "epoch": 30,
        "step": 900,
        "max_epochs": 40,
        "settings": {f"optimizer.setting_{n}": 0.123 * n for n in range(9)},
        "losses": names,
        "metric": "val/acc",
        "findings": [
            {"check": f"check {n}", "sentence": "it is so " * 20, "remedy": "do this " * 20}
            for n in range(findings)
        ],
    }
    (folder / "panda/status.json").write_text(json.dumps(status))
    lines = [",".join(["epoch", "step", *names, "val/acc"])]
    lines += [",".join([str(e), str(e), *["1.5"] * losses, str(e / 30)]) for e in range(30)]
    (folder / "metrics.csv").write_text("\n".join(lines) + "\n")
    halved = {"optimizer.lr": {"old": 0.1, "new": 0.05}}
    write_edits(
        folder,
        [Edit(n + 1, "set", "ada@here", "2026-01-02", n, 0, n, halved) for n in range(edits)],
    )
    return folder


def shown(run: Path, width: int, height: int) -> list[str]:
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=width, height=height, color_system=None)
    watch(run, once=True, console=console)
    return out.getvalue().splitlines()


@pytest.mark.parametrize("findings", [0, 1, 9])
@pytest.mark.parametrize("edits", [0, 2, 30])
@pytest.mark.parametrize("losses", [0, 2, 5])
@pytest.mark.parametrize(("width", "height"), [(80, 24), (60, 24), (120, 50)])
def test_it_fits_its_rows_with_checks_and_edits_before_the_curves(
    tmp_path: Path, findings: int, edits: int, losses: int, width: int, height: int
) -> None:
    lines = shown(watched(tmp_path / "cub", findings, edits, losses), width, height)
    assert len(lines) < height
    assert all(len(line) <= width for line in lines)
    places = {
        name: [i for i, line in enumerate(lines) if line.startswith(name)]
        for name in ("check", "edit", "╭─")
    }
    assert places["check"]
    first_curve = min(places["╭─"], default=height)
    assert max(places["check"]) < first_curve
    if edits:
        assert places["check"][0] < places["edit"][0] < first_curve
    if findings < 9 and edits < 30:
        assert any("val/acc" in line for line in lines)  # the score, if no other


def test_where_there_is_room_every_curve_has_its_whole_height(tmp_path: Path) -> None:
    lines = shown(watched(tmp_path / "cub", 1, 2, 2), 100, 60)
    assert sum(line.startswith("╭─") for line in lines) == 3
