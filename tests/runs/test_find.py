"""What a person calls a run or a sweep."""

import os
from pathlib import Path

import pytest

from caviar.errors import UsageError
from caviar.runs.find import best_trial, find, find_run, find_sweep, inside, newest_first
from tests.made_up import make_run, make_sweep


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Outputs with, in this order of age, the sweep ``first``, the run ``alone``, the sweep ``second``."""
    root = tmp_path / "outputs"
    monkeypatch.setenv("CAVIAR_OUTPUTS", str(root))
    monkeypatch.chdir(tmp_path)
    ages = [
        make_sweep(root / "sweeps" / "first", 4),
        make_run(root / "runs" / "alone"),
        make_sweep(root / "sweeps" / "second", 12),
    ]
    for age, folder in enumerate(ages):
        for file in folder.glob("*.yaml"):
            os.utime(file, (1e9 + age, 1e9 + age))
    return root


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("first", "sweeps/first"),
        ("alone", "runs/alone"),
        ("latest", "sweeps/second"),
        ("-1", "sweeps/second"),
        ("-2", "runs/alone"),
        ("-3", "sweeps/first"),
        ("first/2", "sweeps/first/trials/0002"),
        ("first/0002", "sweeps/first/trials/0002"),
        ("second/-1", "sweeps/second/trials/0011"),
        ("second/latest", "sweeps/second/trials/0011"),
        ("-2/0", "sweeps/first/trials/0000"),
        ("latest/3", "sweeps/second/trials/0003"),
        ("outputs/sweeps/first", "sweeps/first"),
        ("outputs/sweeps/first/", "sweeps/first"),
        ("outputs/sweeps/first/1", "sweeps/first/trials/0001"),
        ("outputs/sweeps/first/trials/0001", "sweeps/first/trials/0001"),
        ("first/trials/0001", None),
    ],
)
def test_a_name_leads_to_its_folder(root: Path, name: str, folder: str | None):
    if folder is None:
        with pytest.raises(UsageError):
            find(name)
    else:
        assert find(name) == root / folder


def test_best_is_the_best_trial_of_the_newest_sweep(root: Path):
    assert find("best") == find("latest/best") == find("second/best")
    assert find("best").parent == root / "sweeps" / "second" / "trials"
    assert find("first/best").parent == root / "sweeps" / "first" / "trials"


@pytest.mark.parametrize(("direction", "number"), [("minimize", 3), ("maximize", 1)])
def test_the_best_trial_depends_on_the_direction(tmp_path: Path, direction: str, number: int):
    scores = iter([2.0, 5.0, 5.0, 1.0])
    folder = make_sweep(
        tmp_path / "a", 4, value=lambda p: next(scores), direction=direction,
        state=lambda n: "COMPLETE",
    )  # fmt: skip
    assert best_trial(folder).name == f"{number:04}"


def test_only_complete_trials_can_be_best(tmp_path: Path):
    folder = make_sweep(tmp_path / "a", 3, state=lambda n: "PRUNED")
    with pytest.raises(UsageError, match="no trial is complete"):
        best_trial(folder)


def test_several_objectives_have_no_one_best(tmp_path: Path):
    folder = make_sweep(
        tmp_path / "a", 3, value=lambda p: [1.0, 2.0], direction=["minimize", "maximize"]
    )
    with pytest.raises(UsageError, match="2 objectives"):
        best_trial(folder)


def test_where_a_sweep_is_wanted_runs_do_not_count(root: Path):
    assert find_sweep("-2") == root / "sweeps" / "first"
    with pytest.raises(UsageError, match="no sweep is called so"):
        find_sweep("alone")
    with pytest.raises(UsageError, match="a run, and not a sweep"):
        find_sweep("first/1")


def test_where_a_run_is_wanted_a_sweep_is_no_answer(root: Path):
    assert find_run("alone") == root / "runs" / "alone"
    with pytest.raises(UsageError, match="is a sweep; name a trial of it, as in latest/best"):
        find_run("latest")


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("secnd", "did you mean second?"),
        ("secnd/best", "did you mean second?"),
        ("second/99", "no such trial; it has 12, up to 11"),
        ("-4", "no such run or sweep; .* holds 3"),
        ("-0", "no such"),
        ("alone/1", "a run is|no sweep is called so"),
        ("../../outputs/sweeps", "no run or sweep is called so"),
        ("", "is called so"),
        ("a\0b", "is called so"),
        ("--jsn", "no such option"),
        ("outputs", "not the folder of a run or sweep"),
        ("x" * 5000, "is called so"),
    ],
)
def test_a_name_that_leads_nowhere_is_told_in_one_line(root: Path, name: str, says: str):
    with pytest.raises(UsageError, match=says) as told:
        find(name)
    assert "\n" not in str(told.value)


def test_without_outputs_there_is_nothing_to_find(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("CAVIAR_OUTPUTS", raising=False)
    monkeypatch.chdir(tmp_path)
    assert newest_first() == []
    with pytest.raises(UsageError, match=r"outputs holds 0"):
        find("latest")


def test_a_path_from_a_run_stays_inside(tmp_path: Path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "out").symlink_to(tmp_path)
    assert inside(Path("a/b"), tmp_path / "in") == tmp_path / "in" / "a" / "b"
    for path in ("../x", "/etc/passwd", "out/x", "a\0"):
        assert inside(Path(path), tmp_path / "in") is None
