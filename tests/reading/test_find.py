"""What a person may call a run or a sweep."""

import os
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caviar import UsageError
from caviar.reading.find import find, find_run, find_sweep
from caviar.runs.folder import check_run_name, make_folder
from caviar.runs.places import inside, run_folders
from tests.made_up import make_run, make_sweep


@pytest.fixture
def outputs(tmp_path, monkeypatch):
    """Two sweeps and a run; the run is the oldest, though it was written last."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CAVIAR_OUTPUTS", raising=False)
    root = tmp_path / "outputs"
    make_sweep(root / "sweeps" / "wide", n_trials=12)
    make_sweep(root / "sweeps" / "narrow", n_trials=3, direction="minimize")
    make_run(root / "runs" / "single")
    for age, file in enumerate(
        ["sweeps/narrow/sweep.yaml", "sweeps/wide/sweep.yaml", "runs/single/config.yaml"]
    ):
        os.utime(root / file, (1e9 - age, 1e9 - age))
    return root


def value(folder):
    import json

    return json.loads((folder / "result.json").read_text())["value"]


def test_a_sweep_goes_by_path_by_name_and_by_age(outputs):
    narrow, wide = outputs / "sweeps/narrow", outputs / "sweeps/wide"
    for name in ("narrow", "sweeps/narrow", "outputs/sweeps/narrow", narrow, "latest", "-1"):
        assert find_sweep(name) == narrow
    assert find_sweep("-2") == wide
    assert find("-3") == find_run("latest") == find("single") == outputs / "runs/single"


def test_a_trial_goes_by_its_sweep_and_number(outputs):
    trial = outputs / "sweeps/wide/trials/0007"
    for name in (
        "wide/7",
        "wide/0007",
        "-2/7",
        "outputs/sweeps/wide/7",
        f"{outputs}/sweeps/wide/7",
    ):
        assert find_run(name) == find(name) == trial
    assert find_run("2") == outputs / "sweeps/narrow/trials/0002"
    assert find_run("wide/-1") == find_run("wide/latest") == outputs / "sweeps/wide/trials/0011"


def test_best_follows_the_direction_of_the_sweep(outputs):
    wide = [value(outputs / f"sweeps/wide/trials/{i:04}") for i in range(12)]
    narrow = [value(outputs / f"sweeps/narrow/trials/{i:04}") for i in range(3)]
    assert value(find_run("wide/best")) == max(wide)
    assert find_run("best") == find_run("latest/best") == find_run("narrow/best")
    assert value(find_run("best")) == min(narrow)


def test_best_is_complete_and_a_number(tmp_path):
    values = iter([float("inf"), float("nan"), 3.0, 9.0, 4.0])
    sweep = make_sweep(
        tmp_path / "s",
        lambda params: next(values),
        n_trials=5,
        states={0: "PRUNED", 3: "PRUNED"},
    )
    (sweep / "trials/0099").mkdir()
    assert find_run(f"{sweep}/best").name == "0004"


def test_outputs_is_where_the_environment_says(outputs, tmp_path, monkeypatch):
    make_sweep(tmp_path / "elsewhere/sweeps/other", n_trials=1)
    monkeypatch.setenv("CAVIAR_OUTPUTS", str(tmp_path / "elsewhere"))
    assert find_sweep("latest").name == "other"


@pytest.mark.parametrize(
    ("call", "name", "said"),
    [
        (find_sweep, "wde", "did you mean wide?"),
        (find, "sinlge", "did you mean single?"),
        (find_sweep, "-3", "sweep=-3: there are 2 sweeps in"),
        (find_sweep, "wide/7", "that is a run, not a sweep"),
        (find_run, "wide", "name one of its runs, as in wide/best"),
        (find_run, "wide/12", "the sweep has 12 trials, the last is 0011"),
        (find_run, "wide/-13", "the sweep has 12 trials"),
        (find, "", "name='': not a name"),
        (find, "a\0b", "not a name"),
        (find, "outputs/sweeps", "neither a run's nor a sweep's"),
        (find, "../../etc", "none of the runs and sweeps"),
    ],
)
def test_a_name_of_nothing_is_told_in_one_line(outputs, call, name, said):
    with pytest.raises(UsageError) as caught:
        call(name)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@given(
    name=st.text(max_size=9)
    | st.sampled_from(["best", "latest", "-2", "7", "trials", ".a", "x" * 300])
)
def test_a_name_is_refused_or_finds_its_run_and_its_sweep(name):
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv("CAVIAR_OUTPUTS", folder)
        make_sweep(Path(folder) / "sweeps" / "other", n_trials=9)
        try:
            check_run_name(name)
        except UsageError:
            return
        make_run(Path(folder) / "runs" / name)
        assert find_run(name) == Path(folder) / "runs" / name
        assert Path(folder) / "runs" / name in run_folders()
        shutil.rmtree(Path(folder) / "runs" / name)
        made = make_sweep(Path(folder) / "sweeps" / name, n_trials=1)
        assert find_sweep(name) == made


def test_a_name_of_a_run_keeps_its_folder_from_being_made(outputs):
    for place in ("sweeps/best", "runs/7", "sweeps/trials", "runs/-1"):
        with pytest.raises(UsageError, match="name="):
            make_folder(outputs / place)
        assert not (outputs / place).exists()
    assert make_folder(outputs.parent / "elsewhere" / "7").is_dir()  # found by its path alone


def test_several_objectives_have_no_best(tmp_path):
    sweep = make_sweep(
        tmp_path / "s", lambda p: [1.0, 2.0], direction=["minimize", "maximize"], n_trials=2
    )
    with pytest.raises(UsageError, match="2 objectives"):
        find_run(f"{sweep}/best")


def test_nothing_at_all_is_told_too(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="there are 0 sweeps in"):
        find_sweep("latest")
    with pytest.raises(UsageError, match="there are 0 sweeps in"):
        find_run("best")


def test_a_path_from_a_file_stays_inside(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "link").symlink_to(tmp_path)
    assert inside(folder, "a/b.ckpt") == folder / "a/b.ckpt"
    for name in ("../x", "/etc/passwd", "link/x", "a/../../x", None, 3, "a\0b"):
        assert inside(folder, name) is None


def test_a_sweep_that_a_confirm_ran_is_found_by_its_name_alone(outputs):
    for age, name in enumerate(("first", "first-confirm", "first-confirm-2", "mine-confirm")):
        file = make_sweep(outputs / "sweeps" / name, n_trials=1) / "sweep.yaml"
        os.utime(file, (2e9 + age, 2e9 + age))
    assert find("latest").name == "mine-confirm"  # somebody's own: no sweep `mine` was confirmed
    shutil.rmtree(outputs / "sweeps/mine-confirm")
    assert find("latest").name == "first-confirm-2"
    (outputs / "sweeps/first/confirm.json").write_text("[]")
    assert find("latest").name == find("-1").name == "first"
    assert find_sweep("latest").name == "first"
    assert find_run("0").parent.parent.name == "first"
    assert find("first-confirm").name == "first-confirm"
