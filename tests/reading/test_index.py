"""The index: fast where it can be, right whatever happens to the folders or to itself."""

import json
import shutil
import subprocess
import sys
import time

import pytest

from caviar.reading import index
from caviar.reading.index import INDEX, add_configs, all_runs, runs_of
from caviar.runs.folder import Result
from tests.made_up import make_run, make_sweep


@pytest.fixture
def root(tmp_path):
    make_sweep(tmp_path / "sweeps/s", n_trials=4, states={3: "RUNNING"})
    make_run(tmp_path / "runs/r")
    all_runs(tmp_path)
    return tmp_path


def told(rows):
    """What the rows say, for comparing."""
    return [(row.folder, row.facts, row.params, row.overrides, row.metrics) for row in rows.rows]


def held_in(file):
    """What the index holds, its sum left out."""
    return json.loads(file.read_text().partition("\n")[2])


def afresh(root):
    """The rows as they are read without any index."""
    (root / INDEX).unlink(missing_ok=True)
    return told(all_runs(root))


def test_what_is_remembered_is_not_read_again(root, monkeypatch):
    read = []
    original = Result.read
    monkeypatch.setattr(Result, "read", lambda folder: read.append(folder.name) or original(folder))
    assert len(all_runs(root).rows) == 5
    assert read == ["0003"]  # the one that is RUNNING


def test_rows_are_the_same_with_and_without_an_index(root):
    assert told(all_runs(root)) == afresh(root)


def test_a_column_that_is_added_to_the_code_is_in_the_next_listing(root, tmp_path, monkeypatch):
    code = tmp_path / "cells.py"
    monkeypatch.setattr(index, "MADE_BY", (str(code),))  # an absolute path stands for itself
    original = index.cells_of

    def with_more(sweep, folder, problems):
        facts, *rest = original(sweep, folder, problems)
        return [{**facts, "letters": len(folder.name)}, *rest]

    for text, cells in (("as it was", original), ("with a column more", with_more)):
        code.write_text(text)
        index._code.cache_clear()
        monkeypatch.setattr(index, "cells_of", cells)
        rows = all_runs(root)
    assert {row.get("letters") for row in rows.rows} == {1, 4}
    index._code.cache_clear()


def test_added_changed_and_removed_runs_are_seen(root):
    make_run(root / "runs/new")
    assert [row.folder.name for row in all_runs(root).rows][:2] == ["r", "new"]
    result = Result.read(root / "sweeps/s/trials/0003")
    result.state, result.value = "COMPLETE", 0.25
    result.write(root / "sweeps/s/trials/0003")
    (row,) = [row for row in all_runs(root).rows if row.facts["number"] == 3]
    assert (row.facts["state"], row.facts["value"]) == ("COMPLETE", 0.25)
    shutil.rmtree(root / "sweeps/s/trials/0001")
    shutil.rmtree(root / "runs/r")
    assert told(all_runs(root)) == afresh(root)
    assert len(held_in(root / INDEX)["runs"]) == 4


def test_a_result_that_changes_within_its_size_is_seen(root):
    folder = root / "runs/r"
    for value in (0.125, 0.25, 0.5):
        result = Result.read(folder)
        result.value = value
        result.write(folder)
        assert all_runs(root).rows[0].facts["value"] == value


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b'{"schema": 99, "runs": {}}',
        b'{"schema": 1}',
        b"\xff",
        b'{"schema":1,"runs":3}',
    ],
)
def test_a_spoilt_index_is_made_anew(root, content):
    expected = told(all_runs(root))
    (root / INDEX).write_bytes(content)
    assert told(all_runs(root)) == expected
    assert len(held_in(root / INDEX)["runs"]) == 4


def test_entries_of_another_shape_are_read_again(root):
    held = held_in(root / INDEX)
    held["runs"] = {key: [entry[0], ["nonsense"]] for key, entry in held["runs"].items()}
    expected = afresh(root)
    index._remember(root / INDEX, held["runs"])
    assert told(all_runs(root)) == expected


def test_a_folder_that_cannot_be_written_to_is_listed_all_the_same(root, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(index.os, "replace", full)
    (root / INDEX).unlink()
    assert len(all_runs(root).rows) == 5
    assert not list(root.glob("*.partial"))


def test_one_sweep_does_not_forget_the_others(root):
    make_sweep(root / "sweeps/t", n_trials=2)
    assert len(runs_of([root / "sweeps/t"], root).rows) == 2
    assert len(held_in(root / INDEX)["runs"]) == 6


def test_many_commands_at_once_all_list_the_truth(root):
    (root / INDEX).unlink()
    code = (
        "import sys; from pathlib import Path; from caviar.reading.index import all_runs\n"
        "for _ in range(50):\n"
        "    Path(sys.argv[1], '.index.json').unlink(missing_ok=True)\n"
        "    assert len(all_runs(Path(sys.argv[1])).rows) == 5"
    )
    running = [subprocess.Popen([sys.executable, "-c", code, str(root)]) for _ in range(4)]
    assert [process.wait(timeout=120) for process in running] == [0, 0, 0, 0]
    assert told(all_runs(root)) == afresh(root)


def test_configs_are_read_once_and_again_where_they_changed(root):
    for epochs in (3, 77):
        path = root / "runs/r/config.yaml"
        path.write_text(path.read_text().replace("max_epochs: 3", f"max_epochs: {epochs}"))
        rows = all_runs(root)
        add_configs(rows, root)
        assert rows.rows[0].get("trainer.max_epochs") == epochs
    (root / "runs/r/config.yaml").write_text("a: [")
    rows = all_runs(root)
    add_configs(rows, root)
    assert len(rows.problems) == 1


def test_a_thousand_runs_take_far_less_than_a_second(tmp_path):
    # 10,000 in 2 s is measured by `scripts/bench inspect`; here, that nothing is quadratic.
    text = json.dumps({"state": "COMPLETE", "value": 1.0, "params": {"x": 1}, "schema": 1})
    for number in range(1000):
        folder = tmp_path / f"sweeps/s/trials/{number:04}"
        folder.mkdir(parents=True)
        (folder / "result.json").write_text(text)
    all_runs(tmp_path)
    began = time.process_time()
    assert len(all_runs(tmp_path).rows) == 1000
    assert time.process_time() - began < 0.5
