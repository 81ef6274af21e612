"""A real training, in a process of its own, steered from outside."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import redirect_stderr, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from caviar import cli
from caviar.base.errors import UsageError
from caviar.panda.files import alive, read_status
from caviar.panda.inbox import ask
from caviar.panda.replay import compare, replay
from caviar.runs.edits import in_force, read_edits
from caviar.runs.folder import Result
from tests import copies
from tests.waiting import until

ENV = {**os.environ, "OMP_NUM_THREADS": "1"}
SMALL = ("data=synthetic", "data.samples=200", "data.noise=0.9", "model.width=8")
DROPOUT = "model.dropout=0.2"


@dataclass
class Done:
    status: int
    out: str
    err: str


@dataclass
class Training:
    """A training under way, and the commands that steer it."""

    folder: Path
    process: subprocess.Popen[str]

    def caviar(self, command: str, *words: str) -> Done:
        line = [sys.executable, "-W", "error", "-m", "caviar.cli", command, str(self.folder)]
        done = copies.run(
            [*line, *words], capture_output=True, text=True, env=ENV, check=False, timeout=120
        )
        return Done(done.returncode, done.stdout, done.stderr)

    def must(self, command: str, *words: str) -> str:
        done = self.caviar(command, *words)
        assert (done.status, done.err) == (0, "")
        return done.out

    def asking(self, command: str, *words: str) -> subprocess.Popen[str]:
        """A command that is still at it."""
        line = [sys.executable, "-m", "caviar.cli", command, str(self.folder), *words]
        pipe = subprocess.PIPE
        return copies.Popen(
            line, env=ENV, text=True, stdout=pipe, stderr=pipe, start_new_session=True
        )

    def refused(self, command: str, *words: str) -> str:
        """What a command, here in this process, says of what it will not do: one line."""
        err = io.StringIO()
        with (
            pytest.raises(SystemExit, match="2"),
            redirect_stderr(err),
            mock.patch.object(sys, "argv", ["caviar", command, str(self.folder), *words]),
        ):
            cli.main()
        assert err.getvalue().count("\n") == 1
        return err.getvalue()

    @property
    def status(self) -> dict[str, Any]:
        return read_status(self.folder)

    @property
    def rows(self) -> list[dict[str, str]]:
        try:
            text = (self.folder / "metrics.csv").read_text()
        except FileNotFoundError:
            return []
        return list(csv.DictReader(text[: text.rfind("\n") + 1].splitlines()))

    @property
    def epochs(self) -> int:
        return len(self.rows)

    def files(self) -> dict[str, bytes]:
        return {str(p): p.read_bytes() for p in sorted(self.folder.rglob("*")) if p.is_file()}


def begin(root: Path, *overrides: str) -> Training:
    words = ["-m", "project.train", "panda=true", "name=cub", *SMALL, *overrides]
    process = copies.Popen(
        [sys.executable, *words],
        cwd=root,
        env=ENV,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    return Training(root / "outputs" / "runs" / "cub", process)


def end(*processes: subprocess.Popen[str] | None) -> None:
    """End processes with all that they have started: what goes on would hold their pipes open."""
    for process in processes:
        if process is not None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate(timeout=60)


def under_way(training: Training) -> Training:
    """Wait until it trains."""
    process = training.process
    until(lambda: training.epochs >= 2 or process.poll() is not None, "two epochs")
    assert process.poll() is None, process.stdout and process.stdout.read()
    return training


@pytest.fixture
def training(tmp_path: Path) -> Iterator[Training]:
    """A training without an end, and with dropout."""
    begun = under_way(begin(tmp_path, DROPOUT, "trainer.max_epochs=100000"))
    yield begun
    end(begun.process)


BAD = {
    ("set", "lr=1"): "did you mean optimizer.lr?",
    ("set", "optimizer.lr=fast"): "optimizer.lr=fast: must be a number",
    ("set", "optimizer.lr=-1"): "optimizer.lr=-1: must be above 0",
    ("set", "optimizer.lr=.nan"): "optimizer.lr=nan: must be above 0",
    ("set", "optimizer.lr"): "write it as KEY=VALUE",
    ("set", "optimizer.momentum=0.5"): "this optimizer has no such setting",
    ("set", "model.dropout=0.1"): "the network has no dropout layer",
    ("set", "optimizer.lr=1e-3", "optimizer.beta1=1"): "must be at least 0 and below 1",
    ("set", "trainer.gradient_clip_val=0"): "trainer.gradient_clip_val=0: must be above 0",
    ("set", "trainer.max_epochs=1"): "is under way already",
    ("set", "trainer.max_epochs=2.5"): "must be a whole number",
    ("set", "optimizer.lr=1e-3", "--at", "0"): "must be an epoch to come",
    ("set", "optimizer.lr=1e-3", "--at", "5000"): "must be an epoch to come",
    ("rollback",): "there is no edit to undo",
    ("rollback", "--to", "3"): "no such edit",
}


def test_a_run_is_edited_paused_rolled_back_stopped_and_replayed_bit_for_bit(
    training: Training,
) -> None:
    assert "optimizer.lr 0.003 -> 0.03" in training.must("set", "optimizer.lr=3e-2")
    assert "paused at epoch" in training.must("pause")
    training.must("set", "model.dropout=0.4", "model.loss.label_smoothing=0.1")
    assert "back to before edit 2" in training.must("rollback")
    paused = training.status
    assert (paused["state"], paused["settings"]["model.dropout"]) == ("paused", 0.2)
    assert paused["settings"]["optimizer.lr"] == 0.03
    here = paused["epoch"]
    assert f"epoch {here + 3}" in training.must("set", "optimizer.beta1=0.8", "--at", str(here + 3))
    assert "training at epoch" in training.must("resume")
    until(lambda: len(read_edits(training.folder)) == 4, "the edit that waits for its epoch")
    shown = training.must("watch", "--once")
    assert "^4" in shown
    assert "edit 2: model.dropout 0.2 -> 0.4" in shown
    assert "back to before edit 4" in training.must("rollback", "--to", "4")
    both = [training.asking("set", f"{key}=0.7") for key in ("optimizer.beta1", "model.dropout")]
    assert [one.communicate(timeout=60)[1] for one in both] == ["", ""]
    assert "stopped at epoch" in training.must("stop")
    assert training.process.wait(60) == 0

    edits = read_edits(training.folder)
    kinds = ["set", "set", "rollback", "set", "rollback", "set", "set", "stop"]
    assert [edit.kind for edit in edits] == kinds
    assert [edit.edit for edit in in_force(edits)] == [1, 6, 7, 8]
    assert edits[3].at == (here + 3, 0)
    assert edits[0].changes == {"optimizer.lr": {"old": 0.003, "new": 0.03}}
    at_once = edits[5].changes | edits[6].changes
    assert at_once == {
        "optimizer.beta1": {"old": 0.9, "new": 0.7},
        "model.dropout": {"old": 0.2, "new": 0.7},
    }
    assert all("@" in edit.who and edit.when for edit in edits)
    facts = Result.read(training.folder).facts
    assert facts["edits"] == 8
    assert len(facts["edits_in_force"]) == 4

    before = training.files()
    for words in (("set", "optimizer.lr=1e-3"), ("rollback",), ("pause",), ("stop",), ("resume",)):
        assert "it is not training any more (it ended)" in training.refused(*words)
    assert training.files() == before

    replayed = training.must("replay")
    assert "4 edits made again" in replayed
    assert "identical, bit for bit" in replayed
    again = training.folder.with_name("cub-replay")
    assert (again / "metrics.csv").read_bytes() == before[str(training.folder / "metrics.csv")]
    assert Result.read(again).value == Result.read(training.folder).value
    assert Result.read(again).facts["replay_of"] == str(training.folder)
    assert training.files() == before


def test_what_cannot_be_done_is_one_line_and_changes_nothing(tmp_path: Path) -> None:
    training = under_way(begin(tmp_path, "scheduler=cosine", "trainer.max_epochs=5000"))
    try:
        training.must("pause")
        before = training.files()
        for words, told in BAD.items():
            assert told in training.refused(*words)
        assert training.files() == before
        # Fewer epochs end it, and its schedule is not stretched.
        wanted = training.status["epoch"] + 5
        told = training.must("set", f"trainer.max_epochs={wanted}")
        assert "the schedule (LambdaLR) keeps the length it began with" in told
        training.must("resume")
        assert training.process.wait(60) == 0
        assert training.epochs == wanted
    finally:
        end(training.process)
    assert compare(training.folder, training.folder) == (wanted, None)


@pytest.mark.parametrize("checkpoints", [True, False], ids=["last.ckpt", "no checkpoint yet"])
def test_a_killed_run_goes_on_is_rolled_back_and_replayed_bit_for_bit(
    tmp_path: Path, checkpoints: bool
) -> None:
    every = f"callbacks.checkpoint.every_seconds={0 if checkpoints else 1000}"
    training = under_way(begin(tmp_path, DROPOUT, "trainer.max_epochs=100000", every))
    going_on = None
    try:
        training.must("set", "optimizer.lr=3e-2")
        training.must("set", "model.dropout=0.5")
        came = training.epochs
        until(lambda: training.epochs > came + 3, "epochs after the edit")
        training.process.send_signal(signal.SIGKILL)
        training.process.wait()
        assert not alive(training.folder)
        before = training.files()
        assert "it was killed" in training.refused("set", "optimizer.lr=1")
        assert training.files() == before
        json.loads((training.folder / "result.json").read_text())
        if not checkpoints:
            assert training.must("watch").endswith("cub: was killed\n")
            assert "2 edits made again" in training.must("replay")

        went = training.rows
        going_on = training.asking("resume")
        until(lambda: going_on.poll() is not None or training.epochs > len(went) + 3, "new epochs")
        assert going_on.poll() is None, going_on.communicate()
        assert training.rows[: len(went)] == went
        assert "back to before edit 2" in training.must("rollback")
        training.must("set", "optimizer.weight_decay=0.1")
        came = training.epochs
        until(lambda: training.epochs > came + 3, "epochs after the rollback")
        training.must("stop")
        assert going_on.wait(60) == 0
    finally:
        end(training.process, going_on)
    edits = read_edits(training.folder)
    assert [edit.kind for edit in edits] == ["set", "set", "rollback", "set", "stop"]
    result = Result.read(training.folder)
    assert (result.state, result.facts["resumed"]) == ("COMPLETE", True)
    assert "3 edits made again" in (told := training.must("replay"))
    assert "identical, bit for bit" in told


def test_an_edit_of_a_run_begun_again_keeps_its_place_among_those_made_again(
    tmp_path: Path,
) -> None:
    training = under_way(begin(tmp_path, DROPOUT, "trainer.max_epochs=100000"))
    going_on = None
    try:
        training.must("set", "optimizer.lr=3e-2")
        training.process.kill()
        training.process.wait()
        ask(training.folder, "set", changes={"model.dropout": 0.5})  # met at the very start
        going_on = training.asking("resume")
        until(lambda: len(read_edits(training.folder)) == 2, "the edit at the start")
        first, second = read_edits(training.folder)
        assert second.at == (0, 0) < first.at
        until(lambda: training.status["epoch"] > first.epoch + 20, "the edit made again")
        assert "back to before edit 2" in training.must("rollback", "--to", "2")
        training.must("pause")
        assert training.status["settings"]["model.dropout"] == 0.2
        training.must("resume")
        until(lambda: training.status["epoch"] > first.epoch + 20, "the edit made once more")
        assert training.status["settings"]["optimizer.lr"] == 0.03
        training.must("stop")
        assert going_on.wait(60) == 0
    finally:
        end(training.process, going_on)
    told = Result.read(training.folder).facts["edits_in_force"]
    assert [words.partition(":")[0] for words in told] == ["edit 1", "edit 4"]
    assert "identical, bit for bit" in training.must("replay")


def test_a_request_that_the_run_never_came_to_is_taken_back(training: Training) -> None:
    os.kill(training.process.pid, signal.SIGSTOP)
    asking = training.asking("set", "optimizer.lr=1")
    asked = training.folder / "panda" / "asked"
    until(lambda: list(asked.glob("*.json")), "the request")
    training.process.kill()
    training.process.wait()
    _, err = asking.communicate(timeout=60)
    assert asking.returncode == 2
    assert "it ended before it came to this" in err
    assert list(asked.iterdir()) == []


def test_a_run_that_is_not_watched_is_told_so(tmp_path: Path) -> None:
    folder = tmp_path / "plain"
    folder.mkdir()
    Result(state="COMPLETE").write(folder)
    training = Training(folder, None)  # type: ignore[arg-type]
    for words in (("set", "optimizer.lr=1"), ("watch",), ("rollback",), ("pause",), ("replay",)):
        assert "not a watched run (train it with panda=true)" in training.refused(*words)


def test_a_replay_does_what_the_run_did_and_nothing_that_its_folder_slips_in(
    tmp_path: Path,
) -> None:
    training = begin(tmp_path, "trainer.max_epochs=3")
    training.process.communicate(timeout=60)
    assert training.process.returncode == 0
    run = training.folder
    config = (run / "config.yaml").read_text()
    bare = config.replace("allow: []\n", "")
    for text, told in {
        "hydra: {callbacks: {a: {_target_: os.system}}}": "it has a hydra node",
        "defaults: [_self_]": "it has a defaults node",
        "allow: [": "not readable as YAML",
        "allow: [pandas.]": "",
    }.items():
        (run / "config.yaml").write_text(f"{bare}{text}\n")
        with pytest.raises(UsageError, match=r"changed since caviar wrote it.*--trust"):
            replay(run)
        if told:
            with pytest.raises(UsageError, match=told):
                replay(run, trust=True)
    (run / "config.yaml").write_text(config)

    witness = tmp_path / "witness"
    (run / "project").mkdir()
    (run / "project" / "__init__.py").write_text(f"open({str(witness)!r}, 'w')\n")
    status = run / "panda" / "status.json"
    status.write_text(json.dumps({**training.status, "cwd": str(run)}))
    assert "identical, bit for bit" in training.must("replay")
    assert not witness.exists()
