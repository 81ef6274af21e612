"""A run that was edited while it trained is never shown as if its config alone had made it."""

import json

import pandas as pd
import pytest

import caviar as package
from caviar.runs.edits import EDITS, Edit, write_edits
from tests.made_up import make_run, make_sweep


def lowered(number=1, **about):
    """Edit of the learning rate at epoch 1, step 10."""
    settings = {
        "kind": "set",
        "who": "ada@laptop",
        "when": "2026-01-02T03:04:05Z",
        "epoch": 1,
        "batch": 0,
        "step": 10,
        "changes": {"optimizer.lr": {"old": 0.1, "new": 0.01}},
        **about,
    }
    return Edit(number, **settings)


@pytest.fixture
def cub(outputs):
    """A run with an edit in force and one that was rolled back, beside a run that was left alone."""
    folder = make_run(outputs / "runs/cub", facts={"edits": 3, "edits_in_force": ["edit 1: …"]})
    dropped = {"model.dropout": {"old": 0.0, "new": 0.5}}
    back = lowered(3, kind="rollback", to=2, changes={})
    write_edits(folder, [lowered(), lowered(2, epoch=2, step=20, changes=dropped), back])
    make_run(outputs / "runs/alone")
    return folder


def test_show_names_the_edits_in_force_and_no_others(caviar, cub):
    text = caviar("runs", "show", "cub").out
    told = "edits in force\t1\toptimizer.lr 0.1 -> 0.01 at epoch 1, step 10 (ada@laptop)\n"
    assert told in text
    assert "model.dropout" not in text
    assert f"rerun\tcommand\tcaviar replay {cub}\n" in text
    held = json.loads(caviar("runs", "show", "cub", "--json").out)
    assert held["edits"] == 1
    (edit,) = held["edits_in_force"]
    assert (edit["who"], edit["step"]) == ("ada@laptop", 10)
    assert edit["changes"] == {"optimizer.lr": {"old": 0.1, "new": 0.01}}
    assert "edits" not in held["metrics"]
    alone = caviar("runs", "show", "alone")
    assert "\nedits in force\t" not in alone.out
    assert "\tedits" not in alone.out


def test_list_marks_an_edited_run_whatever_is_asked_for(caviar, cub):
    marked = caviar("runs", "list").out.splitlines()
    assert "edits" in marked[0].split("\t")
    for arguments in (["--where", "run == 'cub'"], ["--where", "edits > 0"]):
        done = caviar("runs", "list", *arguments)
        heading, row = (line.split("\t") for line in done.out.splitlines())
        assert row[heading.index("edits")] == "1"
        assert done.err == ""
    for arguments in (["--columns", "run,value"], ["--columns", "value", "--json"]):
        done = caviar("runs", "list", *arguments)
        assert done.err == "edited while training: cub; caviar runs show cub tells how\n"
    alone = caviar("runs", "list", "--where", "run == 'alone'")
    assert "edits" not in alone.out
    assert "edited" not in alone.err
    assert len(caviar("runs", "list", "--where", "'lr' in edits_in_force").out.splitlines()) == 2


def test_an_edit_is_seen_before_the_run_records_it_and_after_it_is_undone(caviar, cub):
    assert caviar("runs", "list").status == 0  # remembered, with its edit
    write_edits(cub, [lowered(), lowered(2, kind="rollback", to=1, changes={})])
    assert "edits" not in caviar("runs", "list").out.splitlines()[0].split("\t")
    make_run(cub.parent / "under-way", "RUNNING")
    write_edits(cub.parent / "under-way", [lowered()])
    done = caviar("runs", "list", "--where", "edits == 1")
    assert [line.split("\t")[0] for line in done.out.splitlines()[1:]] == ["under-way"]


def test_diff_counts_what_was_edited_as_a_difference_but_not_who_did_it(caviar, cub):
    found = json.loads(caviar("runs", "diff", "cub", "alone", "--json").out)["differences"]
    assert found["edits"] == {"optimizer.lr at step 10": ["0.1 -> 0.01", None]}
    assert "edits" not in found.get("result", {})
    again = make_run(cub.parent / "again")
    write_edits(again, [lowered(who="bob@desk", when="2026-02-02T03:04:05Z")])
    assert (
        "edits"
        not in json.loads(caviar("runs", "diff", "cub", "again", "--json").out)["differences"]
    )
    write_edits(again, [lowered(step=11), lowered(2, kind="stop", step=15, changes={})])
    found = json.loads(caviar("runs", "diff", "cub", "again", "--json").out)["differences"]
    assert found["edits"] == {
        "optimizer.lr at step 10": ["0.1 -> 0.01", None],
        "optimizer.lr at step 11": [None, "0.1 -> 0.01"],
        "stop at step 15": [None, "stopped"],
    }


def test_exports_carry_the_edits(caviar, cub):
    assert caviar("runs", "export", "runs.csv").err.endswith("runs.csv\n")
    runs = pd.read_csv("runs.csv").set_index("run")
    assert runs.edits["cub"] == 1
    assert runs.edits.isna()["alone"]
    assert runs.edits_in_force["cub"].startswith("edit 1: optimizer.lr 0.1 -> 0.01 at epoch 1")
    assert "edited while training: cub" in caviar("runs", "export", "x.csv", "--columns", "run").err
    caviar("runs", "export", "curves.csv", "--epochs")
    curves = pd.read_csv("curves.csv").set_index(["run", "epoch"])
    assert list(curves.edits["cub"]) == [0, 1, 1]
    assert list(curves.edits["alone"]) == [0, 0, 0]


def test_load_gives_the_edits_as_a_table_and_counts_them(outputs, cub):
    edits = package.load_run(cub).edits
    assert edits[["key", "old", "new", "step", "who"]].to_numpy().tolist() == [
        ["optimizer.lr", 0.1, 0.01, 10, "ada@laptop"]
    ]
    assert package.load_run(cub.parent / "alone").edits.empty
    sweep = make_sweep(outputs / "sweeps/s", n_trials=3)
    both = {**lowered().changes, "model.dropout": {"old": 0.0, "new": 0.5}}
    write_edits(sweep / "trials/0001", [lowered(changes=both), lowered(2, step=12)])
    loaded = package.load(sweep)
    assert loaded.trials.edits.to_dict() == {0: 0, 1: 2, 2: 0}
    assert loaded.edits.trial.tolist() == [1, 1, 1]
    assert loaded.edits.key.tolist() == ["optimizer.lr", "model.dropout", "optimizer.lr"]


def test_a_path_for_a_shell_comes_with_a_word_that_the_best_was_edited(caviar, outputs):
    sweep = make_sweep(outputs / "sweeps/s", n_trials=1)
    assert caviar("runs", "best", "--ckpt").err == ""
    write_edits(sweep / "trials/0000", [lowered()])
    done = caviar("runs", "best", "--ckpt")
    assert done.out.endswith("best.ckpt\n")
    assert "edited while training: s/0" in done.err


def test_a_record_that_cannot_be_read_is_told_and_not_taken_for_none(caviar, cub):
    for text in ("{\n", '{"edit": 1, "colour": "red"}\n', "[1]\n"):
        (cub / EDITS).write_text(text)
        done = caviar("runs", "list")
        assert EDITS in done.err
        assert "cub" not in done.out
        done = caviar("runs", "show", "cub")
        assert (done.status, done.out, done.err.count("\n")) == (2, "", 1)
        assert f"{EDITS}: line 1 is not" in done.err
