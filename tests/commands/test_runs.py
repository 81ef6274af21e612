"""``caviar runs …`` on made-up sweeps where the answer is known."""

import csv
import io
import json
import os
import re
import shlex
import subprocess
import sys

import pandas as pd
import pytest
import typer

from caviar import cli
from caviar.reading.compare import rerun_command
from caviar.runs.folder import Result
from caviar.sweep.owner import Owner
from tests.apps import GUARD, QUADRATIC, make_app
from tests.made_up import make_run, make_sweep

APP = (
    (QUADRATIC + GUARD)
    .replace("import hydra\n", "import caviar\n")
    .replace("hydra.main", "caviar.main")
    .replace(', version_base="1.3"', "")
)


def table(done):
    """What was printed, tab-separated, as dicts."""
    assert done.status == 0, done.err
    return list(csv.DictReader(io.StringIO(done.out), delimiter="\t"))


def test_list_shows_what_varies_and_nothing_else(caviar, wide):
    rows = table(caviar("runs", "list", "wide"))
    assert [row["run"] for row in rows] == [f"wide/{n}" for n in range(7, -1, -1)]
    columns = list(rows[0])
    assert columns[:3] == ["run", "state", "value"]
    assert {"optimizer.lr", "model.activation", "error"} <= set(columns)
    assert not {"seed", "metric", "sweep", "folder", "started", "trainer.max_epochs"} & set(columns)
    assert rows[5]["error"].startswith("FloatingPointError")
    assert rows[5]["value"] == ""


def test_all_columns_are_all(caviar, wide):
    few, many = (
        set(table(caviar("runs", "list", "wide", *more))[0]) for more in ((), ("--all-columns",))
    )
    assert few < many
    assert {"seed", "metric", "sweep", "folder", "started", "checkpoint"} <= many


def test_values_come_out_with_every_digit(caviar, wide):
    for row in table(caviar("runs", "list", "wide", "--where", "state == 'COMPLETE'")):
        result = Result.read(wide / f"trials/{int(row['run'][5:]):04}")
        assert float(row["value"]) == result.value
        assert float(row["optimizer.lr"]) == result.params["optimizer.lr"]


@pytest.mark.parametrize("name", ["value", "lr", "optimizer.lr"])
def test_sort_is_up_down_or_best_first_and_what_has_no_value_comes_last(caviar, wide, name):
    def values(sort):
        rows = table(caviar("runs", "list", "wide", "--sort", sort, "--columns", name))
        return [float(cell) for row in rows for cell in row.values() if cell]

    assert values(name) == sorted(values(name))
    assert values(f"-{name}") == sorted(values(name), reverse=True)
    best = table(caviar("runs", "list", "wide", "--sort", "best", "--limit", 1))[0]
    assert float(best["value"]) == max(
        values("value") if name == "value" else [0, float(best["value"])]
    )
    last = table(caviar("runs", "list", "wide", "--sort", "-value"))[-2:]
    assert [row["value"] for row in last] == ["", ""]


def test_limit_cuts_and_zero_does_not(caviar, wide):
    assert len(table(caviar("runs", "list", "--limit", 3))) == 3
    assert len(table(caviar("runs", "list", "--limit", 0))) == 8


def test_where_reaches_hyperparameters_metrics_tags_and_the_config(caviar, wide, single):
    everything = table(caviar("runs", "list", "--all-columns"))
    assert len(everything) == 9
    few = table(caviar("runs", "list", "--where", "lr < 1e-2 and state == 'COMPLETE'"))
    expected = {
        row["run"]
        for row in everything
        if row["optimizer.lr"] and float(row["optimizer.lr"]) < 1e-2 and row["state"] == "COMPLETE"
    }
    assert {row["run"] for row in few} == expected
    assert expected
    # A single run has no hyperparameters of a sweep: its lr is in its config alone.
    asked = ("--where", "trainer.max_epochs == 3 and optimizer.lr == 0.5", "--columns", "run,lr")
    assert table(caviar("runs", "list", *asked)) == [{"run": "single", "optimizer.lr": "0.5"}]
    caviar("runs", "tag", "wide/4", "keep")
    assert [r["run"] for r in table(caviar("runs", "list", "--where", "'keep' in tags"))] == [
        "wide/4"
    ]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["list", "--where", "lrr < 1"], "where=lrr: no such column; did you mean lr?"),
        (["list", "--where", "lr <"], "where=lr <: not readable"),
        (["list", "--where", "__import__('os')"], "cannot stand there"),
        (["list", "--columns", "run,stat"], "columns=stat: no such column; did you mean state?"),
        (["list", "--columns", ","], "names no column"),
        (["list", "--sort", "nothing"], "sort=nothing: no such column"),
        (["list", "--json", "--csv"], "--json and --csv cannot be had together"),
        (["list", "wied"], "sweep=wied: none of the sweeps"),
        (["list", "--josn"], "--josn: no such option"),
        (["show", "wide/99"], "the sweep has 8 trials, the last is 0007"),
        (["best", "wide", "--where", "lr > 9"], "no trial of it is complete where lr > 9"),
        (["tag", "wide/1", "a b"], "a name is made of"),
        (["tag", "wide/1", "--remove", "x"], "the run has no such tag"),
        (["export", "x.xlsx"], "no such format"),
        (["export", "no/such/x.csv"], "there is no folder"),
        (["rm", "wide/1"], "--yes removes without asking"),
    ],
)
def test_bad_input_is_one_line_and_status_2(caviar, wide, arguments, said):
    done = caviar("runs", *arguments)
    assert done.status == 2
    assert said in done.err
    assert done.err.count("\n") == 1
    assert done.out == ""


def test_json_has_a_schema_version_and_every_column(caviar, wide):
    found = json.loads(caviar("runs", "list", "wide", "--json").out)
    assert found["schema"] == 1
    assert len(found["runs"]) == 8
    assert set(found["runs"][0]) == set(found["columns"])
    assert found["runs"][5]["value"] is None
    assert isinstance(found["runs"][0]["model.width"], int)


def test_json_is_strict_where_values_are_nan(caviar, outputs):
    values = iter([float("nan"), float("inf"), 1.0])
    make_sweep(outputs / "sweeps/odd", lambda p: next(values), n_trials=3)

    def refuse(constant):
        raise AssertionError(constant)

    done = caviar("runs", "list", "odd", "--json", "--sort", "best")
    runs = json.loads(done.out, parse_constant=refuse)["runs"]
    assert [run["value"] for run in runs] == ["inf", 1.0, "nan"]
    assert caviar("runs", "best", "odd", "--path").out.endswith("0001\n")


def test_csv_and_markdown_hold_odd_text(caviar, outputs):
    make_run(outputs / "runs/odd", "FAIL", error='Error: a|b, "c"\n<script>\t中文')
    make_run(outputs / "runs/plain")
    rows = list(csv.DictReader(io.StringIO(caviar("runs", "list", "--csv").out)))
    assert next(r for r in rows if r["run"] == "odd")["error"] == 'Error: a|b, "c"\n<script>\t中文'
    lines = caviar("runs", "list", "--md").out.splitlines()
    assert len(lines) == 4
    assert {line.replace("\\|", "").count("|") for line in lines} == {lines[0].count("|")}
    assert 'Error: a\\|b, "c" <script> 中文' in "\n".join(lines)
    assert len(caviar("runs", "list").out.splitlines()) == 3


def test_several_sweeps_are_compared_at_equal_cost(caviar, outputs):
    # Trial i takes 1 + i/10 s; `late` finds its best with its last trial, `soon` with its first.
    values = iter([1.0, 2.0, 3.0, 4.0, 3.0, 2.0])
    make_sweep(outputs / "sweeps/late", lambda p: next(values), n_trials=4)
    make_sweep(outputs / "sweeps/soon", lambda p: next(values), n_trials=2)
    late, soon = table(caviar("runs", "list", "late", "soon", "--summary"))
    assert (late["best"], late["best_run"], late["trials_to_best"]) == ("4.0", "late/3", "4")
    assert (soon["best"], soon["best_run"], soon["trials_to_best"]) == ("3.0", "soon/0", "1")
    assert float(late["worker_s"]) == pytest.approx(1 + 1.1 + 1.2 + 1.3)
    assert (late["best_at_2_trials"], soon["best_at_2_trials"]) == ("2.0", "3.0")
    assert (late["best_at_2_worker_s"], soon["best_at_2_worker_s"]) == ("2.0", "3.0")
    both = table(caviar("runs", "list", "late", "soon"))
    assert len(both) == 6
    found = json.loads(caviar("runs", "list", "late", "soon", "--json").out)
    assert [line["sweep"] for line in found["sweeps"]] == ["late", "soon"]
    assert len(found["runs"]) == 6


def test_best_gives_one_path_and_nothing_else(caviar, wide):
    best = max(
        (Result.read(folder) for folder in (wide / "trials").iterdir()),
        key=lambda result: result.value if result.state == "COMPLETE" else -1,
    )
    done = caviar("runs", "best", "--ckpt")
    assert done.out == f"{wide}/trials/{best.number:04}/checkpoints/best.ckpt\n"
    assert done.err == ""
    assert caviar("runs", "best", "wide", "--path").out == f"{wide}/trials/{best.number:04}\n"
    assert json.loads(caviar("runs", "best", "--json").out)["number"] == best.number


def test_best_without_a_checkpoint_is_an_error_not_another_path(caviar, outputs):
    sweep = make_sweep(outputs / "sweeps/bare", n_trials=2, checkpoints=False)
    done = caviar("runs", "best", "--ckpt")
    assert (done.status, done.out) == (2, "")
    assert "it kept no checkpoint" in done.err
    for folder in (sweep / "trials").iterdir():
        result = Result.read(folder)
        result.checkpoint = "../../sweep.yaml"
        result.write(folder)
    done = caviar("runs", "best", "--ckpt")
    assert (done.status, done.out) == (2, "")


def test_the_best_of_several_objectives_are_their_pareto_front_behind_what_has_one(
    caviar, outputs, wide
):
    make_sweep(
        outputs / "sweeps/two",
        lambda p: [p["optimizer.lr"], -abs(p["optimizer.lr"] - 0.01)],
        direction=["minimize", "maximize"],
        n_trials=12,
    )
    rows = table(caviar("runs", "list", "--sort", "best"))
    assert [r["run"].partition("/")[0] for r in rows][:5] == ["wide"] * 5
    two = [(float(r["value_0"]), -float(r["value_1"])) for r in rows if r["run"][:4] == "two/"]
    front = [not any(o[0] <= t[0] and o[1] <= t[1] and o != t for o in two) for t in two]
    assert front == sorted(front, reverse=True)
    assert 0 < sum(front) < 12


def test_several_objectives_list_but_have_no_best(caviar, outputs):
    make_sweep(
        outputs / "sweeps/two",
        lambda p: [p["optimizer.lr"], 1.0],
        direction=["minimize", "maximize"],
        n_trials=3,
    )
    rows = table(caviar("runs", "list", "two", "--sort", "value_0"))
    assert [float(r["value_0"]) for r in rows] == sorted(float(r["value_0"]) for r in rows)
    for option in ("--ckpt", "--path"):
        done = caviar("runs", "best", option)
        assert (done.status, done.out) == (2, "")
        assert "2 objectives" in done.err
        assert "caviar runs best lists the Pareto front" in done.err


def test_the_best_of_several_objectives_is_listed_as_their_front(caviar, outputs):
    made = {"direction": ["minimize", "maximize"], "n_trials": 12, "states": {2: "FAIL"}}
    make_sweep(outputs / "sweeps/two", lambda p: [p["optimizer.lr"], p["model.width"]], **made)
    listed = table(caviar("runs", "list", "two", "--all-columns", "--where", "state == 'COMPLETE'"))
    scores = {r["run"]: (float(r["value_0"]), -float(r["value_1"])) for r in listed}
    front = {
        run
        for run, mine in scores.items()
        if not any(o[0] <= mine[0] and o[1] <= mine[1] and o != mine for o in scores.values())
    }
    rows = table(caviar("runs", "best", "two"))
    assert {row["run"] for row in rows} == front
    told = json.loads(caviar("runs", "best", "two", "--json").out)
    assert [run["run"] for run in told["front"]] == [row["run"] for row in rows]
    assert len(told["objectives"]) == 2
    width = told["front"][0]["model.width"]
    few = table(caviar("runs", "best", "two", "--where", f"model.width == {width}"))
    assert {float(row["model.width"]) for row in few} == {width}


def test_a_sweep_of_several_objectives_hides_no_score_of_another(caviar, outputs, wide):
    two = {"direction": ["minimize", "maximize"], "n_trials": 3, "states": {1: "FAIL"}}
    make_sweep(outputs / "sweeps/two", lambda p: [p["optimizer.lr"], 1.0], **two)
    rows = table(caviar("runs", "list", "--sort", "value", "--where", "state == 'COMPLETE'"))
    assert [r["run"].partition("/")[0] for r in rows] == ["wide"] * 5 + ["two"] * 2
    assert all(r["value"] for r in rows[:5])
    assert "value" not in table(caviar("runs", "list", "two"))[0]


@pytest.mark.parametrize(
    ("command", "again"),
    [
        (["/a/python", "-m", "project.train", "-m", "x=1,2"], "python -m project.train x=1"),
        (["/a/python", "-P", "-m", "project.train", "-m"], "python -P -m project.train x=1"),
        (["/a/python", "-X", "dev", "app.py", "-m"], "python -X dev app.py x=1"),
        (["/p", "app.py", "-m", "-cn", "b", "x=1,2"], "python app.py --config-name=b x=1"),
        (["/p", "app.py", "-m", "--config-dir=c"], "python app.py --config-dir=c x=1"),
    ],
)
def test_a_trial_is_run_again_as_its_sweep_was_started(command: list[str], again: str):
    assert rerun_command({"command": command}, ["x=1"], ours=True) == again


def test_show_tells_all_of_a_run(caviar, wide):
    held = json.loads(caviar("runs", "show", "wide/4", "--json").out)
    result = Result.read(wide / "trials/0004")
    assert held["schema"] == 1
    assert held["params"] == result.params
    assert held["config"]["trainer"] == {"max_epochs": 3}
    assert held["code"] == {"git_commit": "0" * 40}
    assert held["versions"]["torch"] == "2.13.0+cpu"
    assert os.path.isfile(held["checkpoint"])
    assert held["rerun"].startswith("python -m project.train optimizer.lr=")
    text = caviar("runs", "show", "wide/4").out
    assert f"params\toptimizer.lr\t{result.params['optimizer.lr']!r}\n" in text


def test_show_tells_what_trained_a_trial(caviar, outputs):
    make_run(outputs / "runs/lane", facts={"engine": "fused"})
    assert json.loads(caviar("runs", "show", "lane", "--json").out)["engine"] == "fused"
    assert "result\tengine\tfused\n" in caviar("runs", "show", "lane").out


def test_show_tells_what_a_projects_own_file_says_of_itself(caviar, outputs):
    run = make_run(outputs / "runs/table")
    (run / "preprocessing.json").write_text('{"summary": {"numbers": "a, b"}, "columns": []}')
    (run / "broken.json").write_text("{")
    (run / "list.json").write_text("[1]")
    rows = table(caviar("runs", "show", "table"))
    assert {"part": "preprocessing", "key": "numbers", "value": "a, b"} in rows
    told = json.loads(caviar("runs", "show", "table", "--json").out)
    assert told["summaries"] == {"preprocessing": {"numbers": "a, b"}}


def test_show_of_a_sweep_counts_its_trials(caviar, wide):
    held = json.loads(caviar("runs", "show", "latest", "--json").out)
    assert (held["complete"], held["pruned"], held["fail"], held["running"]) == (5, 1, 1, 1)
    assert held["settings"]["space"]["model.activation"] == "choice(relu, gelu)"


def test_diff_shows_config_code_versions_and_metrics_that_differ(caviar, outputs):
    for name, commit in (("old", "a" * 40), ("new", "b" * 40)):
        make_sweep(
            outputs / "sweeps" / name,
            lambda p: 1.0,
            n_trials=1,
            epochs=3 if name == "old" else 4,
            settings={"git_commit": commit, "versions": {"python": "3.11", "torch": name}},
        )
    for name, loss in (("old", 0.25), ("new", 0.5)):
        folder = outputs / "sweeps" / name / "trials/0000"
        result = Result.read(folder)
        result.facts = {"metrics": {"val/loss": loss, "val/acc": 1.0}}
        result.write(folder)
    found = json.loads(caviar("runs", "diff", "old/0", "new/0", "--json").out)
    assert found["runs"] == ["old/0", "new/0"]
    assert found["differences"] == {
        "result": {"best_epoch": [2, 3]},
        "config": {"trainer.max_epochs": [3, 4]},
        "code": {"git_commit": ["a" * 40, "b" * 40]},
        "versions": {"torch": ["old", "new"]},
        "metrics": {"val/loss": [0.25, 0.5]},
    }
    same = caviar("runs", "diff", "old/0", "old/0")
    assert same.err == "nothing differs\n"
    assert same.out.count("\n") == 1


def test_export_writes_what_pandas_reads(caviar, wide):
    asked = ("wide", "--where", "state == 'COMPLETE'")
    tables = []
    for kind, read in (("parquet", pd.read_parquet), ("csv", pd.read_csv)):
        done = caviar("runs", "export", f"runs.{kind}", *asked)
        assert (done.status, done.out) == (0, "")
        tables.append(read(f"runs.{kind}").set_index("run").sort_index())
    parquet, text = tables
    pd.testing.assert_series_equal(parquet["value"], text["value"])
    assert parquet["model.width"].dtype == "int64"
    assert parquet["optimizer.lr"].max() == parquet["value"].max()
    caviar("runs", "export", "runs.json", *asked)
    with open("runs.json") as file:
        held = json.load(file)
    assert {row["run"] for row in held["rows"]} == set(parquet.index)
    caviar("runs", "export", "curves.parquet", *asked, "--epochs")
    curves = pd.read_parquet("curves.parquet")
    assert list(curves.columns) == ["run", "epoch", "step", "train/loss", "val/acc"]
    assert (curves.groupby("run").size() == 3).all()
    assert set(curves["run"]) == set(parquet.index)


def test_a_column_of_words_and_numbers_is_exported_as_words(caviar, outputs):
    make_sweep(
        outputs / "sweeps/mixed",
        lambda p: 1.0,
        n_trials=9,
        space={"x": "choice(auto, 0.1)", "y": "choice([1, 2], [3])"},
    )
    assert caviar("runs", "export", "x.parquet").status == 0
    held = pd.read_parquet("x.parquet")
    assert set(held["x"]) == {"auto", "0.1"}
    assert set(held["y"]) == {"[1, 2]", "[3]"}


def test_tags_are_put_on_taken_off_and_survive_the_run(caviar, wide):
    assert caviar("runs", "tag", "wide/3", "b", "a").out == "a\nb\n"
    result = Result.read(wide / "trials/0003")
    result.state = "COMPLETE"
    result.write(wide / "trials/0003")
    assert caviar("runs", "tag", "wide/3", "c", "--remove", "a").out == "b\nc\n"
    assert caviar("runs", "tag", "wide/3").out == "b\nc\n"


def test_rm_removes_that_and_nothing_else(caviar, wide, single):
    assert caviar("runs", "rm", "wide/2", "single", "--yes").status == 0
    assert not (wide / "trials/0002").exists()
    assert not single.exists()
    assert len(list((wide / "trials").iterdir())) == 7
    assert caviar("runs", "rm", "wide", "--yes").status == 0
    assert list((wide.parent).iterdir()) == []


def test_rm_never_leaves_the_outputs_folder(caviar, wide, tmp_path):
    elsewhere = make_sweep(tmp_path / "elsewhere", n_trials=1)
    run = make_run(tmp_path / "run")
    (wide.parent / "link").symlink_to(elsewhere)
    (wide / "trials/0099").symlink_to(run)
    for name in (
        elsewhere,
        run,
        "link",
        "link/0",
        "wide/99",
        wide / "../../../elsewhere",
        tmp_path,
    ):
        done = caviar("runs", "rm", name, "--yes")
        assert done.status == 2, name
    assert elsewhere.is_dir()
    assert (run / "result.json").is_file()
    # A link inside a run is removed, what it leads to is not.
    (wide / "trials/0001/data").symlink_to(run)
    assert caviar("runs", "rm", "wide/1", "--yes").status == 0
    assert (run / "result.json").is_file()


def test_rm_of_several_removes_none_where_one_may_not_be(caviar, wide, tmp_path):
    elsewhere = make_run(tmp_path / "run")
    assert caviar("runs", "rm", "wide/1", elsewhere, "--yes").status == 2
    assert (wide / "trials/0001").is_dir()


def test_what_is_no_run_is_skipped_and_named(caviar, wide):
    (wide / "trials/0004/result.json").write_text("{")
    (wide / "trials/0005/result.json").unlink()
    (wide / "trials/notes.txt").write_text("mine")
    file = wide / "trials/0006/result.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "seconds": "1 s"}))
    done = caviar("runs", "list", "wide")
    assert len(table(done)) == 5
    assert len(done.err.splitlines()) == 4
    for name in ("0004", "0005", "notes.txt", "seconds='1 s': must be a number"):
        assert name in done.err
    assert caviar("runs", "list", "wide", "--summary").status == 0


def test_no_runs_are_no_rows(caviar, outputs):
    done = caviar("runs", "list")
    assert (done.out, done.err) == ("run\tstate\tvalue\n", f"no runs in {outputs}\n")
    assert json.loads(caviar("runs", "list", "--json").out)["runs"] == []
    assert caviar("runs", "list", "--summary").status == 0
    assert caviar("runs", "export", "x.parquet").status == 0


def test_a_condition_that_no_run_meets_is_told_not_shown_as_an_empty_disk(caviar, wide):
    done = caviar("runs", "list", "--where", "lr > 9")
    assert (done.status, len(table(done))) == (0, 0)
    assert done.err == "none of 8 runs: --where lr > 9\n"


def test_help_has_examples_for_every_command(caviar):
    runs = typer.main.get_command(cli.make_app()).commands["runs"].commands  # type: ignore[attr-defined]
    others = typer.main.get_command(cli.make_app()).commands  # type: ignore[attr-defined]
    commands = [["runs", name] for name in runs] + [[name] for name in others if name != "runs"]
    assert len(commands) > 20
    for command in commands:
        done = caviar(*command, "--help")
        assert done.status == 0
        # Once as the usage, and once or more as an example.
        assert len(re.findall(rf"caviar {' '.join(command)}\b", done.out)) > 1, command


@pytest.mark.parametrize(
    "words",
    [["runs", "show"], ["nosuch"], ["runs", "list", "--limit", "x"], ["watch", "--nosuch", "cub"]],
)
def test_words_that_are_no_command_are_one_line_too(caviar, words):
    done = caviar(*words)
    assert (done.status, done.out, done.err.count("\n")) == (2, "", 1)
    assert done.err.startswith("error: ")
    assert done.err.endswith(" --help tells more)\n")


def test_single_runs_say_what_they_were_run_with(caviar, outputs, tmp_path):
    app = make_app(tmp_path / "app", APP)
    commits = []
    for x in (1, 2):
        git = ["git", "-c", "user.name=a", "-c", "user.email=a@b"]
        subprocess.run([*git, "init", "-q"], cwd=app.folder, check=True)
        (app.folder / "notes").write_text(str(x))
        subprocess.run([*git, "add", "conf", "app.py", "notes"], cwd=app.folder, check=True)
        subprocess.run([*git, "commit", "-q", "-m", "x"], cwd=app.folder, check=True)
        # As in `configs/train.yaml`: Hydra itself leaves nothing in the run folder.
        bare = ("hydra.output_subdir=null", "hydra/job_logging=stdout")
        assert app.run(f"x={x}", f"hydra.run.dir={outputs}/runs/r{x}", *bare).status == 0
        found = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=app.folder, check=True, capture_output=True, text=True
        )
        commits.append(found.stdout.strip())
    found = json.loads(caviar("runs", "diff", "r1", "r2", "--json").out)["differences"]
    assert found["code"] == {"git_commit": commits}
    assert found["config"] == {"x": [1, 2]}
    assert "versions" not in found
    held = json.loads(caviar("runs", "show", "r1", "--json").out)
    assert held["versions"]["python"] == sys.version.split()[0]
    assert held["rerun"].startswith(f"python {app.folder}/app.py x=1")
    assert "program" not in json.dumps(held["metrics"])


def test_a_run_of_another_config_is_run_again_with_it(caviar, outputs, tmp_path):
    app = make_app(tmp_path / "app", APP)
    (app.folder / "conf/other.yaml").write_text("defaults: [config]\ny: 5\n")
    bare = ("hydra.output_subdir=null", "hydra/job_logging=stdout")
    assert app.run("-cn", "other", f"hydra.run.dir={outputs}/runs/r", *bare).status == 0
    again = json.loads(caviar("runs", "show", "r", "--json").out)["rerun"]
    words = shlex.split(again)[2:]
    assert app.run(*words, f"hydra.run.dir={outputs}/runs/s", *bare).status == 0
    assert json.loads(caviar("runs", "diff", "r", "s", "--json").out)["differences"].keys() <= {
        "result"
    }


def test_a_slip_in_a_column_is_told_before_any_config_is_parsed(caviar, outputs, wide):
    done = caviar("runs", "list", "--where", "sate == 'FAIL'")
    assert (done.status, done.err.count("\n")) == (2, 1)
    assert "did you mean state?" in done.err
    assert not (outputs / ".index-configs.json").exists()
    assert caviar("runs", "list", "--where", "trainer.max_epochs == 3").status == 0
    assert (outputs / ".index-configs.json").exists()


def test_a_pruned_trial_is_never_the_best(caviar, outputs):
    values = iter([0.5, 0.9, 0.7])
    make_sweep(outputs / "sweeps/s", lambda p: next(values), n_trials=3, states={1: "PRUNED"})
    assert json.loads(caviar("runs", "best", "--json").out)["value"] == 0.7
    (first, *_) = table(caviar("runs", "list", "s", "--sort", "best"))
    assert first["value"] == "0.7"
    assert table(caviar("runs", "list", "s", "--summary"))[0]["best"] == "0.7"


def test_a_checkpoint_that_is_gone_is_an_error(caviar, wide):
    for path in wide.glob("trials/*/checkpoints/best.ckpt"):
        path.unlink()
    done = caviar("runs", "best", "--ckpt")
    assert (done.status, done.out) == (2, "")
    assert "its checkpoint checkpoints/best.ckpt is not there" in done.err


def test_rm_leaves_a_link_and_what_it_leads_to_alone(caviar, wide):
    (wide.parent / "alias").symlink_to(wide)
    done = caviar("runs", "rm", "alias", "--yes")
    assert done.status == 2
    assert "it is left alone" in done.err
    assert (wide.parent / "alias").is_symlink()
    assert (wide / "trials/0000").is_dir()


def test_rm_of_a_sweep_under_way_is_refused(caviar, wide):
    owner = Owner(wide)
    try:
        for name in ("wide", "wide/1"):
            done = caviar("runs", "rm", name, "--yes")
            assert done.status == 2
            assert "its sweep is under way; caviar cancel wide ends it" in done.err
    finally:
        owner.release()
    assert (wide / "trials/0001").is_dir()
