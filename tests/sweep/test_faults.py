"""What goes wrong from outside: each fault is made to happen, for real."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
import yaml

from tests.apps import App, make_app
from tests.waiting import gone, until

# A trial says which process it is in, then waits for the file that lets it through. It reports all
# the while, so it can be pruned or interrupted, and then leaves a checkpoint.
GATED = """
import hydra, os, time
from pathlib import Path
import caviar

@hydra.main(config_path="conf", config_name="config", version_base="1.3")
def main(config):
    folder = caviar.run_dir()
    (folder / "pid").write_text(str(os.getpid()))
    earlier = caviar.resume_from()
    if earlier:
        caviar.record(went_on_from=(earlier / "last.ckpt").read_text())
    step, end = 0, time.monotonic() + 60
    try:
        while not Path("go").exists():
            assert time.monotonic() < end
            time.sleep(0.02)
            if Path("talk").exists():
                caviar.report(config.x, step)
            step += 1
    except caviar.TrialInterrupted:
        (folder / "checkpoints").mkdir(exist_ok=True)
        (folder / "checkpoints" / "last.ckpt").write_text(f"of trial {folder.name}")
        raise
    with open("done.txt", "a") as file:
        file.write(f"{config.x!r}\\n")
    return config.x

if __name__ == "__main__":
    main()
"""


@pytest.fixture
def app(tmp_path: Path) -> App:
    return make_app(tmp_path / "app", GATED)


def pids(app: App) -> list[int]:
    files = (app.folder / "sweep" / "trials").glob("*/pid")
    return [int(text) for file in files if (text := file.read_text())]


def under_way(app: App, process: subprocess.Popen, trials: int = 2) -> None:
    def ready() -> bool:
        assert process.poll() is None, app.out
        return len(pids(app)) >= trials

    until(ready, "trials are under way")


def open_the_gate(app: App) -> None:
    (app.folder / "go").touch()


def check_whole(app: App, n_trials: int, done_twice: int = 0) -> None:
    """Every trial that was planned is complete exactly once, and nothing is left behind."""
    trials = app.study().trials
    complete = [trial for trial in trials if trial.state.name == "COMPLETE"]
    assert len(complete) == n_trials
    assert len({trial.params["x"] for trial in complete}) == n_trials
    assert all(trial.state.is_finished() for trial in trials)
    repeated = {n for trial in trials for n in trial.user_attrs.get("retry_of", [])}
    assert {t.number for t in trials if t.state.name == "FAIL"} == repeated
    done = (app.folder / "done.txt").read_text().split()
    assert len(done) == n_trials + done_twice
    for trial in trials:
        result = json.loads(
            (app.folder / f"sweep/trials/{trial.number:04}/result.json").read_text()
        )
        assert result["state"] == trial.state.name
    left = {file.name for file in (app.folder / "sweep").iterdir()}
    known = {"made.json", "report.html", "study.journal", "sweep.yaml", "trials", "workers.txt"}
    assert left <= known


def stopping(app: App, n_trials: int) -> subprocess.Popen:
    """A sweep of two workers that has heard one Ctrl-C."""
    process = app.start("hydra.sweeper.executor.workers=2", f"hydra.sweeper.n_trials={n_trials}")
    under_way(app, process)
    process.send_signal(signal.SIGINT)
    until(lambda: "stopping after 2 trials" in app.out, "it says what it waits for")
    return process


def test_the_first_ctrl_c_lets_trials_end_and_a_resume_does_the_rest(app: App):
    process = stopping(app, 5)
    open_the_gate(app)
    assert process.wait(60) == 130
    assert f"go on with it:   caviar resume {app.folder / 'sweep'}" in app.out
    assert len(app.study().trials) == 2
    done = app.resume()
    assert done.status == 0, done.out + done.err
    check_whole(app, 5)


def test_ctrl_c_while_the_last_trials_end_stops_nothing(app: App):
    process = stopping(app, 2)
    open_the_gate(app)
    assert process.wait(60) == 0
    assert "caviar resume" not in app.out


def test_the_second_ctrl_c_ends_trials_at_once_and_a_resume_does_them_again(app: App):
    process = app.start("hydra.sweeper.executor.workers=2", "hydra.sweeper.n_trials=4")
    under_way(app, process)
    for words in ("stopping after", "resume"):
        process.send_signal(signal.SIGINT)
        until(lambda words=words: words in app.out, words)
    assert process.wait(60) == 130
    for pid in pids(app):
        until(lambda pid=pid: gone(pid), "the worker ends")
    open_the_gate(app)
    done = app.resume()
    assert done.status == 0, done.out + done.err
    check_whole(app, 4)


def test_a_signal_is_heard_whenever_it_comes(tmp_path: Path):
    while_it_looks = """
import signal
from caviar.sweep.owner import Owner

def requests(self, look=Owner.requests):
    if len(list(Path("sweep/trials").glob("*/pid"))) == 2 and not Path("sent").exists():
        Path("sent").touch()
        os.kill(os.getpid(), signal.SIGTERM)
    return look(self)

Owner.requests = requests
"""
    app = make_app(tmp_path / "app", GATED.replace("\n@hydra", while_it_looks + "\n@hydra"))
    (app.folder / "talk").touch()
    process = app.start("hydra.sweeper.executor.workers=2", "hydra.sweeper.n_trials=3")
    try:
        assert process.wait(30) == 143, app.out
    finally:
        process.kill()
        process.wait()
    assert (app.folder / "sent").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR2])
def test_a_terminated_sweep_leaves_checkpoints_and_goes_on_from_them(app: App, number):
    (app.folder / "talk").touch()
    process = app.start("hydra.sweeper.executor.workers=2", "hydra.sweeper.n_trials=3")
    under_way(app, process)
    process.send_signal(number)
    assert process.wait(30) == 143, app.out
    assert "TrialInterrupted" in app.results()[0]["error"]
    open_the_gate(app)
    done = app.resume()
    assert done.status == 0, done.out + done.err
    check_whole(app, 3)
    went_on = [r["facts"].get("went_on_from") for r in app.results() if r["state"] == "COMPLETE"]
    assert sorted(filter(None, went_on)) == ["of trial 0000", "of trial 0001"]


@pytest.mark.parametrize(
    ("signals", "talks"),
    [
        ((signal.SIGTERM,), True),
        ((signal.SIGTERM, signal.SIGTERM), False),
        ((signal.SIGINT,) * 2, False),
    ],
)
def test_an_inline_trial_ends_by_sigterm_at_its_next_report_and_by_a_second_signal_at_once(
    app: App, signals, talks
):
    if talks:
        (app.folder / "talk").touch()
    process = app.start("hydra/sweeper/executor=inline", "hydra.sweeper.n_trials=3")
    under_way(app, process, 1)
    for number in signals:
        process.send_signal(number)
        until(lambda n=number: n not in pending(process.pid), "it has the signal")
        # And has acted on it: Python takes two that come at once for one.
        slept = sleeps(process.pid)
        until(
            lambda n=slept: process.poll() is not None or sleeps(process.pid) > n + 1, "it went on"
        )
    status = 143 if signal.SIGTERM in signals else 130
    assert process.wait(30) == status, app.out
    (result,) = app.results()
    assert (result["state"], "Interrupted" in result["error"]) == ("FAIL", True)
    assert [trial.state.name for trial in app.study().trials] == ["FAIL"]
    open_the_gate(app)
    done = app.resume()
    assert done.status == 0, done.out + done.err
    check_whole(app, 3)


def of_system(pid: int) -> str:
    """What the system says of a process; nothing of one that has ended."""
    try:
        return Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def sleeps(pid: int) -> int:
    """How often a process has waited for something of its own will."""
    told = of_system(pid).partition("\nvoluntary_ctxt_switches:")[2]
    return int(told.split()[0]) if told else 0


def pending(pid: int) -> set[int]:
    """The signals that were sent to a process and that it has not taken yet."""
    lines = of_system(pid).splitlines()
    mask = sum(int(line.split()[1], 16) for line in lines if line.startswith("ShdPnd"))
    return {number for number in range(1, 65) if mask >> (number - 1) & 1}


def test_a_killed_controller_takes_its_workers_along_and_the_sweep_can_be_resumed(app: App):
    process = app.start("hydra.sweeper.executor.workers=2", "hydra.sweeper.n_trials=4")
    under_way(app, process)
    process.kill()
    process.wait()
    for pid in pids(app):
        until(lambda pid=pid: gone(pid), "the worker ends")
    assert [trial.state.name for trial in app.study().trials] == ["RUNNING"] * 2
    open_the_gate(app)
    done = app.resume("n_trials=6")
    assert done.status == 0, done.out + done.err
    check_whole(app, 6)
    assert app.settings()["n_trials"] == 6
    retried = [r for r in app.results() if "retry_of" in r["facts"]]
    assert sorted(r["facts"]["retry_of"] for r in retried) == [0, 1]
    again = app.resume()
    assert again.status == 0, again.out + again.err
    check_whole(app, 6)  # finished trials are never run twice


def test_a_trial_that_let_go_before_its_killed_controller_knew_is_done_again(app: App):
    (app.folder / "talk").touch()
    process = app.start("hydra.sweeper.executor.workers=1", "hydra.sweeper.n_trials=2")
    under_way(app, process, 1)
    (worker,) = pids(app)
    process.send_signal(signal.SIGSTOP)  # it reads nothing more
    os.kill(worker, signal.SIGTERM)
    until(lambda: app.results()[0]["state"] == "FAIL", "the trial has let go")
    process.kill()
    process.wait()
    open_the_gate(app)
    done = app.resume()
    assert done.status == 0, done.out + done.err
    check_whole(app, 2)


def test_a_resumed_sweep_tries_what_an_undisturbed_one_would_have_tried(app: App):
    open_the_gate(app)
    seed = "hydra.sweeper.sampler.seed=3"
    app.sweep("hydra.sweeper.n_trials=3", seed)
    app.resume("n_trials=8")
    app.sweep("hydra.sweeper.n_trials=8", seed, "hydra.sweep.dir=whole")
    assert [r["params"] for r in app.results()] == [r["params"] for r in app.results("whole")]


def test_a_second_controller_is_refused_and_told_whose_the_sweep_is(app: App):
    process = app.start("hydra.sweeper.executor.workers=1")
    under_way(app, process, 1)
    second = app.resume()
    assert second.status == 2
    assert f"process {process.pid} on {os.uname().nodename} is running this sweep" in second.err
    assert second.err.count("\n") == 1
    open_the_gate(app)
    assert process.wait(60) == 0
    check_whole(app, 4)


@pytest.mark.parametrize(("request_", "done"), [("stop", 2), ("cancel", 0)])
def test_another_process_can_ask_a_sweep_to_stop(app: App, request_, done):
    process = app.start("hydra.sweeper.executor.workers=2")
    under_way(app, process)
    ask = [sys.executable, "-m", "caviar.cli", request_, str(app.folder / "sweep")]
    subprocess.run(ask, check=True)
    if request_ == "stop":
        until(lambda: "stopping after" in app.out, "it has heard")
        open_the_gate(app)
    assert process.wait(60) == 130
    complete = [t for t in app.study().trials if t.state.name == "COMPLETE"]
    assert len(complete) == done


def test_a_lost_worker_is_replaced_and_its_trial_goes_on_from_its_checkpoint(tmp_path: Path):
    code = """
import hydra, os, signal
import caviar

@hydra.main(config_path="conf", config_name="config", version_base="1.3")
def main(config):
    earlier = caviar.resume_from()
    if earlier:
        caviar.record(went_on_from=(earlier / "last.ckpt").read_text(), pid=os.getpid())
        return config.x
    folder = caviar.run_dir() / "checkpoints"
    folder.mkdir()
    (folder / "last.ckpt").write_text(str(os.getpid()))
    os.kill(os.getpid(), signal.SIGKILL)

main()
"""
    app = make_app(tmp_path / "app", code)
    done = app.sweep("hydra.sweeper.n_trials=3", "hydra.sweeper.executor.workers=1")
    assert done.status == 0, done.out
    for result in app.results():
        assert result["state"] == "COMPLETE"
        assert result["facts"]["went_on_from"] != str(result["facts"]["pid"])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR2])
def test_a_worker_that_is_told_to_go_alone_is_replaced_and_its_trial_goes_on(app: App, number):
    (app.folder / "talk").touch()
    words = ("hydra.sweeper.n_trials=3", "hydra.sweeper.retries=0")  # it is no retry
    process = app.start("hydra.sweeper.executor.workers=1", *words)
    under_way(app, process, trials=1)
    (first,) = pids(app)
    os.kill(first, number)
    until(lambda: pids(app) not in ([first], []), "another worker has the trial")
    open_the_gate(app)
    assert process.wait(60) == 0, app.out
    check_whole(app, 3)
    assert app.results()[0]["facts"]["went_on_from"] == "of trial 0000"


@pytest.mark.parametrize(
    ("limit", "words"),
    [("trial_timeout", "it took over 1.5 s"), ("heartbeat_timeout", "silent for 1.5 s")],
)
def test_a_trial_past_its_deadline_or_silent_is_killed_with_all_it_started(
    tmp_path: Path, limit, words
):
    code = """
import hydra, subprocess, time
import caviar

@hydra.main(config_path="conf", config_name="config", version_base="1.3")
def main(config):
    if config.x > 0:
        child = subprocess.Popen(["sleep", "600"])
        (caviar.run_dir() / "pid").write_text(str(child.pid))
        child.wait()
    return config.x

if __name__ == "__main__":
    main()
"""
    app = make_app(tmp_path / "app", code)
    done = app.sweep(f"hydra.sweeper.{limit}=1.5", "hydra.sweeper.sampler.seed=0", timeout=90)
    assert done.status == 3, done.out + done.err
    hung = [result for result in app.results() if result["params"]["x"] > 0]
    assert hung
    assert {r["state"] for r in hung} == {"FAIL"}
    assert all(r["error"] == f"Timeout: {words}" for r in hung)
    assert "again" not in done.out  # its own fault: not tried once more
    for pid in pids(app):
        assert gone(pid)


def test_trials_are_not_silent_because_their_controller_stood_still(app: App):
    (app.folder / "talk").touch()
    process = app.start("hydra.sweeper.executor.workers=2", "hydra.sweeper.heartbeat_timeout=1")
    under_way(app, process)
    process.send_signal(signal.SIGSTOP)
    stopped = time.monotonic()
    until(lambda: time.monotonic() - stopped > 3, "longer than a trial may be silent")
    process.send_signal(signal.SIGCONT)
    open_the_gate(app)
    assert process.wait(60) == 0, app.out
    check_whole(app, 4)


def test_a_torn_journal_line_is_cut_and_told_and_all_others_are_kept(app: App):
    open_the_gate(app)
    app.sweep()
    journal = app.folder / "sweep" / "study.journal"
    whole = journal.read_bytes()
    journal.write_bytes(whole + b'{"op_code": 4, "worker_id": "1234-')
    done = app.resume("n_trials=6")
    assert done.status == 0, done.out + done.err
    assert f"{journal}: cut 34 bytes of a torn last line" in done.out
    assert journal.read_bytes().startswith(whole)
    check_whole(app, 6)


def test_a_journal_that_is_damaged_or_lost_is_told_in_one_line(app: App):
    open_the_gate(app)
    app.sweep()
    journal = app.folder / "sweep" / "study.journal"
    lines = journal.read_text().splitlines(keepends=True)
    journal.write_text("".join([*lines[:2], "garbage\n", *lines[2:]]))
    done = app.resume("n_trials=6")
    assert (done.status, done.err.count("\n")) == (2, 1)
    assert f"{journal}: line 3 is not readable" in done.err
    journal.write_bytes(b"")
    for told in ("empty", "lost"):
        done = app.resume("n_trials=6")
        assert (done.status, done.err.count("\n")) == (2, 1)
        assert f"error: {journal} is {told}, and with it which trials were asked for" in done.err
        journal.unlink(missing_ok=True)
    assert len(app.results()) == 4


def test_a_record_that_lacks_a_part_is_told_in_one_line(app: App):
    open_the_gate(app)
    app.sweep()
    record = app.folder / "sweep" / "sweep.yaml"
    whole = app.settings()
    for key in ("sampler", "command", "n_trials", "folder"):
        record.write_text(yaml.safe_dump({k: v for k, v in whole.items() if k != key}))
        done = app.resume("n_trials=6")
        assert (done.status, done.err) == (2, f"error: {record}: it has no {key}\n")


def test_a_moved_sweep_goes_on_at_once_past_the_lock_of_a_killed_writer(app: App):
    open_the_gate(app)
    app.sweep()
    (app.folder / "sweep").rename(app.folder / "moved")
    (app.folder / "moved" / "study.journal.lock").touch()
    done = app.resume("n_trials=6", name="moved")
    assert done.status == 0, done.out + done.err
    assert len(app.results("moved")) == 6
    assert "lock" not in done.err  # as Optuna has it, which waits 30 s for its owner


def test_a_resume_looks_for_the_best_in_the_direction_that_the_sweep_had(app: App):
    open_the_gate(app)
    app.sweep("hydra.sweeper.n_trials=3")
    config = app.folder / "conf" / "config.yaml"
    config.write_text(config.read_text().replace("n_trials", "direction: maximize\n    n_trials"))
    done = app.resume()
    assert done.status == 0, done.out + done.err
    best = min(app.results(), key=lambda result: result["value"])
    assert f"sweep/{best['number']}" in done.out.partition("inspect it:")[2]


def test_asking_twice_for_no_new_trials_does_not_end_those_under_way(app: App):
    process = app.start("hydra.sweeper.executor.workers=2")
    under_way(app, process)
    ask = [sys.executable, "-m", "caviar.cli", "stop", str(app.folder / "sweep")]
    for _ in range(2):
        asked = subprocess.run(ask, check=True, capture_output=True, text=True)
        assert "asked to start no new trial" in asked.stdout
        until(lambda: not (app.folder / "sweep" / "request").exists(), "it has been read")
    open_the_gate(app)
    assert process.wait(60) == 130
    assert len([t for t in app.study().trials if t.state.name == "COMPLETE"]) == 2


def test_a_resume_under_another_space_is_refused(app: App):
    open_the_gate(app)
    app.sweep()
    config = app.folder / "conf" / "config.yaml"
    config.write_text(config.read_text().replace("interval(-5, 5)", "interval(-5, 6)"))
    before = (app.folder / "sweep" / "study.journal").read_bytes()
    done = app.resume("n_trials=6")
    assert done.status == 2
    assert "space.x=interval(-5.0, 6.0): it was interval(-5.0, 5.0)" in done.err
    assert (app.folder / "sweep" / "study.journal").read_bytes() == before


def test_what_is_no_sweep_cannot_be_resumed(app: App):
    (app.folder / "empty").mkdir()
    for name, words in (("nothing", "none of the sweeps"), ("empty", "not a sweep's folder")):
        done = app.resume(name=name)
        assert (done.status, done.err.count("\n")) == (2, 1)
        assert words in done.err
    open_the_gate(app)
    app.sweep()
    for word, words in (("n_trails=3", "did you mean n_trials"), ("n_trials=x", "whole number")):
        done = app.resume(word)
        assert (done.status, done.err.count("\n")) == (2, 1)
        assert words in done.err


@pytest.fixture
def small_disk(tmp_path: Path):
    """A file system of its own with room for little: a real one, which only root can mount."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("only root can mount a small file system here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_stops_the_sweep_with_a_clear_error_and_loses_nothing(
    tmp_path: Path, small_disk: Path
):
    app = make_app(tmp_path / "app")
    (app.folder / "sweep").symlink_to(small_disk / "sweep")
    where = f"hydra.sweep.dir={small_disk}/sweep"
    done = app.sweep(where, "hydra.sweeper.n_trials=100")
    assert "No space left on device" in done.out
    assert "caviar resume" in done.out
    assert done.status == 75
    complete = [result for result in app.results() if result["state"] == "COMPLETE"]
    assert 0 < len(complete) < 100
    subprocess.run(["mount", "-o", "remount,size=64m", str(small_disk)], check=True)
    done = app.resume()
    assert done.status == 0, done.out + done.err
    trials = app.study().trials
    assert sum(trial.state.name == "COMPLETE" for trial in trials) == 100
    assert len({t.params["x"] for t in trials if t.state.name == "COMPLETE"}) == 100
    kept = {result["number"]: result["value"] for result in app.results()}
    assert all(kept[result["number"]] == result["value"] for result in complete)


def test_a_disk_that_is_full_from_the_start_is_told_in_one_line(tmp_path: Path, small_disk: Path):
    app = make_app(tmp_path / "app")
    with suppress(OSError), (small_disk / "filler").open("wb", buffering=0) as filler:
        while True:
            filler.write(bytes(4096))
    done = app.sweep(f"hydra.sweep.dir={small_disk}/sweep")
    assert (done.status, done.err.count("\n")) == (2, 1), done.err
    assert "No space left on device" in done.err
    assert not (small_disk / "sweep").exists()


def test_a_sweep_whose_folder_is_taken_away_ends_with_one_line(app: App):
    process = app.start("hydra.sweeper.executor.workers=2")
    under_way(app, process)
    (app.folder / "sweep").rename(app.folder / "away")
    open_the_gate(app)
    assert process.wait(60) == 2
    assert "Traceback" not in app.out
    assert app.out.count("error: ") == 1, app.out
    (app.folder / "away").rename(app.folder / "sweep")
    done = app.resume()
    assert done.status == 0, done.out + done.err


def test_a_study_that_is_taken_away_ends_the_sweep_with_one_line(app: App):
    database = app.folder / "study.db"
    process = app.start(
        "hydra.sweeper.executor.workers=2", f"+hydra.sweeper.storage=sqlite:///{database}"
    )
    under_way(app, process)
    with sqlite3.connect(database) as connection:
        connection.execute("DROP TABLE trials")
    open_the_gate(app)
    assert process.wait(60) == 75
    assert "Traceback" not in app.out
    assert "stopped: the sweep cannot write its study: " in app.out
    assert "no such table: trials" in app.out


@pytest.mark.parametrize(("share", "state"), [(0.5, "COMPLETE"), (1, "FAIL")])
def test_out_of_memory_is_tried_again_where_a_neighbour_may_have_taken_it(
    tmp_path: Path, share, state
):
    code = """
import hydra
import caviar

class OutOfMemoryError(RuntimeError):  # as torch.cuda's is called
    pass

@hydra.main(config_path="conf", config_name="config", version_base="1.3")
def main(config):
    tried = caviar.run_dir() / "tried"
    if not tried.exists():
        tried.touch()
        raise OutOfMemoryError("CUDA out of memory")
    return config.x

main()
"""
    app = make_app(tmp_path / "app", code)
    done = app.sweep(
        f"hydra.sweeper.executor.gpus_per_trial={share}",
        "hydra.sweeper.n_trials=3",
        env={"CUDA_VISIBLE_DEVICES": "0"},  # a GPU that nobody opens
    )
    assert {result["state"] for result in app.results()} == {state}, done.out
