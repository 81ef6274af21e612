"""How many trials are asked for at once: a sampler that learns sees results before it proposes."""

import json
import re
import sys
from pathlib import Path

import pytest

from tests import copies

CREATED, ENDED, COMPLETE, FAILED = 4, 6, 1, 3


def journal(folder: Path) -> list[int]:
    """For each trial that was asked for, how many before it had not ended by then."""
    waiting, under_way = [], 0
    for line in (folder / "study.journal").read_text().splitlines():
        entry = json.loads(line)
        if entry["op_code"] == CREATED:
            waiting.append(under_way)
            under_way += 1
        elif entry["op_code"] == ENDED and entry["state"] in (
            COMPLETE,
            FAILED,  # the baseline, whose weight decay of 0 is not in the space
        ):
            under_way -= 1
    return waiting


def sweep(folder: Path, *words: str) -> str:
    line = [sys.executable, "-m", "project.train", "-m", "engine=fused", "data=synthetic", *words]
    more = [
        "trainer.max_epochs=2",
        "hydra.sweeper.executor.workers=1",
        "hydra.sweeper.executor.threads=1",
        "hydra.sweeper.report=false",
    ]
    done = copies.run(
        [*line, *more, f"hydra.sweep.dir={folder}"], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("search", ["tpe", "cmaes", "nsgaii"])
def test_an_eighth_of_the_trials_is_under_way_when_the_sampler_learns(tmp_path: Path, search: str):
    out = sweep(tmp_path / "sweep", f"search={search}", "hydra.sweeper.n_trials=24")
    waiting = journal(tmp_path / "sweep")
    assert len(waiting) == 24
    assert 1 <= max(waiting) < 3, waiting
    assert "at most 3 trials at once, of 24 lanes: the sampler learns from those that ended" in out


def test_the_genetic_search_has_more_than_one_generation(tmp_path: Path):
    sweep(tmp_path / "sweep", "search=nsgaii")
    text = (tmp_path / "sweep/study.journal").read_text()
    assert max(map(int, re.findall(r'"NSGAIISampler:generation": ?(\d+)', text))) >= 2


def test_a_sampler_that_does_not_learn_fills_all_lanes(tmp_path: Path):
    out = sweep(tmp_path / "sweep", "search=random", "hydra.sweeper.n_trials=24")
    assert max(journal(tmp_path / "sweep")) > 3
    assert "at once" not in out


def test_a_stage_of_coarse_to_fine_begins_when_all_trials_before_it_have_ended(tmp_path: Path):
    out = sweep(tmp_path / "sweep", "search=coarse_to_fine", "hydra.sweeper.n_trials=48")
    stages = re.findall(r"stage ([23]) of 3: (.*)", out)
    assert [number for number, _ in stages] == ["2", "3"]
    waiting = journal(tmp_path / "sweep")
    assert [place for place in range(1, 48) if waiting[place] == 0] == [16, 32]
    assert "trials are complete, and" not in out  # with all 16 there are enough to look at


def test_none_of_the_last_trials_waits_in_one_worker_while_another_has_no_more(tmp_path: Path):
    one_kind = "space=none", "optimizer.lr=tag(log, interval(1e-3, 1e-1))"
    sweep(tmp_path / "sweep", *one_kind, "hydra.sweeper.n_trials=16", "hydra.sweeper.fused.lanes=4")
    waiting = journal(tmp_path / "sweep")
    assert max(waiting[:12]) >= 4, waiting  # some are in advance
    assert max(waiting[-3:]) < 4, waiting
