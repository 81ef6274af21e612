"""Workers that are copies of a fork server, which has imported what the app says its trainings import."""

import signal
import subprocess
from dataclasses import replace
from multiprocessing.connection import Pipe
from pathlib import Path

import pytest

from caviar.executors.forkserver import ForkServer
from caviar.executors.slots import Slot
from tests.apps import ALL_TAKE_PART, GUARD, App, make_app
from tests.waiting import gone, until

PROGRAM = """
import os, time
from pathlib import Path
import caviar
HERE = Path(__file__).parent

def note(what):
    with (HERE / "notes.txt").open("a") as file:
        file.write(what + "\\n")

def first(what):
    try:
        (HERE / what).touch(exist_ok=False)
    except FileExistsError:
        return False
    return True

note("began")

@caviar.main(config_path="conf", config_name="config", preload={preload})
def main(config):
    {task}
    {part}
    return config.x
"""

HEAVY = """
import os
from pathlib import Path
with (Path(__file__).parent / "heavy.txt").open("a") as file:
    file.write(f"{os.getpid()}\\n")
print("loud")
"""


def program(tmp_path: Path, task: str = "pass", heavy: str = "", preload: str = "heavy") -> App:
    """An app that asks for a module to be imported in advance, which each of its trials imports."""
    code = PROGRAM.format(
        preload=preload.split(), task=f"import heavy\n    {task}", part=ALL_TAKE_PART.strip()
    )
    app = make_app(tmp_path / "app", code + GUARD)
    (app.folder / "heavy.py").write_text(HEAVY + heavy)
    return replace(app, new=True)


def sweep(app: App, *words: str) -> list[int]:
    """Sweep with two workers; the pids of the processes that imported the module."""
    done = app.sweep("hydra.sweeper.executor.workers=2", *words, timeout=120)
    assert done.status == 0, done.out + done.err
    assert "loud" not in done.out + done.err
    assert [result["state"] for result in app.results()] == ["COMPLETE"] * 4
    return [int(pid) for pid in (app.folder / "heavy.txt").read_text().split()]


def workers_txt(app: App) -> str:
    return (app.folder / "sweep" / "workers.txt").read_text()


def workers(app: App) -> set[int]:
    return {int(file.stem) for file in app.folder.glob("*.here")}


def test_what_an_app_preloads_is_imported_once_for_all_workers(tmp_path):
    app = program(tmp_path, "caviar.record(parent=os.getppid())")
    (server,) = sweep(app)
    assert {result["facts"]["parent"] for result in app.results()} == {server}
    assert len(workers(app)) == 2
    assert workers_txt(app) == ""
    assert gone(server)


def test_a_worker_of_the_server_is_held_to_its_slot_as_any_other(tmp_path):
    seen = ("os.environ['OMP_NUM_THREADS']", "os.environ['CUDA_VISIBLE_DEVICES']", "os.getcwd()")
    app = program(
        tmp_path,
        f"import torch; caviar.record(seen=[{', '.join(seen)}], threads=torch.get_num_threads(), "
        "group=os.getpgrp() == os.getpid())",
        preload="heavy torch",
    )
    assert len(sweep(app, "hydra.sweeper.executor.threads=2")) == 1
    for result in app.results():
        facts = result["facts"]
        assert (facts["seen"], facts["threads"]) == (["2", "", str(app.folder)], 2)
        assert facts["group"]


def test_copies_of_the_server_draw_numbers_of_their_own(tmp_path):
    draw = (
        "import random, numpy; caviar.record(drawn=[random.random(), float(numpy.random.random())])"
    )
    app = program(tmp_path, draw, preload="heavy numpy")
    sweep(app)
    drawn = [number for result in app.results() for number in result["facts"]["drawn"]]
    assert len(set(drawn)) == 8


@pytest.mark.parametrize(
    ("end", "how"), [("os._exit(3)", "exit status 3"), ("os.kill(os.getpid(), 9)", "SIGKILL")]
)
def test_a_lost_worker_is_followed_by_another_copy(tmp_path, end, how):
    app = program(tmp_path, f"first('died') and {end}")
    assert len(sweep(app)) == 1
    assert how in workers_txt(app)


def test_what_cannot_be_imported_is_left_to_the_workers(tmp_path):
    app = program(tmp_path, preload="nowhere.to_be_found heavy")
    assert len(sweep(app)) == 1
    app = program(tmp_path / "other", "import broken", preload="broken heavy")
    (app.folder / "broken.py").write_text("raise RuntimeError('out of order')")
    done = app.sweep(timeout=120)
    assert done.status != 0
    assert "RuntimeError: out of order" in done.out


def test_a_server_whose_imports_begin_threads_gives_new_interpreters(tmp_path):
    thread = (
        "import threading\nthreading.Thread(target=threading.Event().wait, daemon=True).start()"
    )
    app = program(tmp_path, heavy=thread)
    imported = sweep(app)
    assert len(imported) == 3
    assert set(imported[1:]) == workers(app)


def test_without_its_server_a_sweep_goes_on_with_new_interpreters(tmp_path):
    app = program(tmp_path, "first('died') and (os.kill(os.getppid(), 9), os.kill(os.getpid(), 9))")
    assert len(sweep(app)) == 2
    assert "new interpreters from here on" in workers_txt(app)


def test_no_server_is_begun_where_workers_are_asked_for_otherwise(tmp_path):
    app = program(tmp_path)
    assert set(sweep(app, "hydra.sweeper.executor.fork=false")) == workers(app)
    app = program(tmp_path / "inline", "(HERE / '0.here').touch()")
    done = app.sweep("hydra/sweeper/executor=inline", "hydra.sweeper.n_trials=2", timeout=90)
    assert done.status == 0, done.err
    assert len((app.folder / "heavy.txt").read_text().split()) == 1


@pytest.mark.parametrize("setting", ["executor: inline", "executor: local"])
def test_the_server_ends_where_a_config_asks_for_other_workers(tmp_path, setting):
    """The command line does not say so: it has begun by then."""
    children = "Path(f'/proc/{os.getppid()}/task/{os.getppid()}/children').read_text().split()"
    own = "Path(f'/proc/self/task/{os.getpid()}/children').read_text().split()"
    inline = "inline" in setting
    task = f"(HERE / '0.here').touch(); caviar.record(children=len({own if inline else children}))"
    app = program(tmp_path, task)
    file = app.folder / "conf" / "config.yaml"
    text = file.read_text().replace(
        ": caviar\n", f": caviar\n  - override hydra/sweeper/{setting}\n"
    )
    fork = "" if inline else "    executor: {workers: 1, fork: true}\n"
    file.write_text(text.replace("  sweeper:\n", f"  sweeper:\n{fork}"))
    done = app.sweep("hydra.sweeper.n_trials=2", timeout=90)
    assert done.status == 0, done.out + done.err
    # None of this process when it is the trials' own; of its controller, the worker alone.
    assert {result["facts"]["children"] for result in app.results()} == {0 if inline else 1}


def test_a_single_run_has_no_server(tmp_path):
    app = program(tmp_path, "(HERE / '0.here').touch()")
    done = app.run()
    assert done.status == 0, done.err
    assert len((app.folder / "heavy.txt").read_text().split()) == 1


def test_a_killed_controller_leaves_neither_a_server_nor_workers(tmp_path):
    app = program(tmp_path, "time.sleep(1000)")
    process = app.start("hydra.sweeper.executor.workers=2", "hydra.sweeper.n_trials=2")
    begun = app.folder / "sweep" / "trials"
    until(lambda: len(list(begun.glob("*"))) == 2, "two trials")
    server = int((app.folder / "heavy.txt").read_text())
    children = Path(f"/proc/{server}/task/{server}/children").read_text().split()
    assert len(children) == 2
    process.send_signal(signal.SIGKILL)
    process.wait()
    for pid in (server, *map(int, children)):
        until(lambda pid=pid: gone(pid), f"process {pid} is gone")


def test_signals_for_a_whole_job_leave_the_server_to_its_workers(tmp_path):
    """A batch system sends SIGTERM to each process: how a worker ends is to be known nevertheless."""
    app = program(
        tmp_path, "first('told') and os.kill(os.getppid(), 15); first('died') and os._exit(7)"
    )
    assert len(sweep(app)) == 1
    assert "ended with exit status 7" in workers_txt(app)
    assert (app.folder / "told").exists()


def test_a_worker_that_the_server_did_not_live_to_make_is_lost(tmp_path, monkeypatch):
    (tmp_path / "endless.py").write_text("import time\ntime.sleep(1000)")
    monkeypatch.syspath_prepend(tmp_path)
    server = ForkServer(["endless"])
    slot = Slot("cpu:0", {"OMP_NUM_THREADS": "1"})
    ours, theirs = Pipe()
    with ours, theirs:
        worker = server.start(slot, theirs.fileno(), tmp_path / "log")
        with pytest.raises(subprocess.TimeoutExpired):
            worker.wait(0)
        server.close()
        assert worker.wait(10) == -signal.SIGKILL
        for _ in range(2):  # the pipe, too, is gone by then
            with pytest.raises(ProcessLookupError):
                _ = worker.pid
        with pytest.raises(OSError, match="closed"):
            server.start(slot, theirs.fileno(), tmp_path / "log")
