"""What fresh seeds have said is read back into the sweep's own report and lists."""

import json

import pytest

import caviar
from caviar.confirm.plan import make_plan
from caviar.confirm.results import confirmed
from caviar.reports.data import worth_of
from caviar.reports.worth_in_words import in_words
from tests.made_up import make_sweep

ESTIMATE = {"mean": 0.8, "low": 0.7, "high": 0.9, "n": 10}


@pytest.fixture
def sweep(tmp_path):
    return make_sweep(tmp_path / "sweep", n_trials=12)


def write(folder, *results):
    entries = [{"result": result and {"estimates": result}} for result in results]
    (folder / "confirm.json").write_text(json.dumps(entries))


def test_of_two_confirms_the_later_counts_and_one_that_is_under_way_says_nothing(sweep):
    assert confirmed(sweep) == {}
    write(sweep, {"3": ESTIMATE, "default": ESTIMATE}, {"3": {**ESTIMATE, "mean": 0.75}}, None)
    found = confirmed(sweep)
    assert {name: one.mean for name, one in found.items()} == {"3": 0.75, "default": 0.8}


@pytest.mark.parametrize(
    "text", ["", "{}", "[1]", '[{"result": {"estimates": {"3": {"mean": "x"}}}}]']
)
def test_what_is_damaged_says_nothing(sweep, text):
    (sweep / "confirm.json").write_text(text)
    assert confirmed(sweep) == {}


def test_the_report_tells_what_was_confirmed(sweep):
    write(sweep, {"3": ESTIMATE, "default": ESTIMATE})
    found = worth_of(caviar.load(sweep))
    assert {one["trial"] for one in found if one["confirmed"]} == {3, "default"}
    assert any(one["expected"] for one in found)
    lines = in_words(found)
    assert "on a fresh seed" in lines[0]
    assert "confirmed: trial 3 0.8 [0.7, 0.9] over 10 fresh seeds (95 % interval)" in lines
    assert any(line.startswith("confirmed: the default config 0.8") for line in lines)


def test_the_baseline_is_the_default_config_and_no_second_candidate(sweep):
    loaded = caviar.load(sweep)
    best = loaded.ranked[0]
    best.result.facts["baseline"] = True
    best.result.write(best.folder)
    plan = make_plan(caviar.load(sweep), 1, 2)
    assert [*plan.candidates] == ["default", str(loaded.ranked[1].result.number)]
