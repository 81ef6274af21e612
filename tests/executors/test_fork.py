"""Workers that are copies of the controller: what they share with it, and what they must not."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.apps import ALL_TAKE_PART, GUARD, App, make_app

PROGRAM = """
import atexit, os, random, sys, time
from pathlib import Path
import hydra
import caviar
from caviar.base import hydra_versions
HERE = Path(__file__).parent

def note(what):
    with (HERE / "notes.txt").open("a") as file:
        file.write(what + "\\n")

note("imported")
{top}

@hydra.main(config_path="conf", config_name="config", version_base="1.3")
def main(config):
    {task}
    {part}
    return 1.0
"""


def program(tmp_path: Path, top: str = "", task: str = "") -> App:
    app = make_app(
        tmp_path / "app", PROGRAM.format(top=top, task=task, part=ALL_TAKE_PART.strip()) + GUARD
    )
    return replace(app, new=True)


def sweep(app: App, *settings: str) -> list[str]:
    """Sweep with two workers; returns what the program noted."""
    executor = [f"hydra.sweeper.executor.{one}" for one in ("workers=2", *settings)]
    done = app.sweep(*executor, timeout=120)
    assert done.status == 0, done.out + done.err
    assert [result["state"] for result in app.results()] == ["COMPLETE"] * 4
    return (app.folder / "notes.txt").read_text().split()


def workers_txt(app: App) -> str:
    return (app.folder / "sweep" / "workers.txt").read_text()


@pytest.mark.parametrize(("fork", "times"), [("null", 1), ("true", 1), ("false", 3)])
def test_a_copy_has_what_its_controller_imported(tmp_path, fork, times):
    app = program(tmp_path)
    assert sweep(app, f"fork={fork}").count("imported") == times
    assert workers_txt(app) == ""


def test_copies_draw_numbers_of_their_own(tmp_path):
    draw = "caviar.record(drawn=[random.random(), float(numpy.random.random())])"
    app = program(tmp_path, "import numpy", draw)
    assert sweep(app).count("imported") == 1
    drawn = [number for result in app.results() for number in result["facts"]["drawn"]]
    assert len(set(drawn)) == 8


def test_what_a_program_left_for_its_exit_is_done_once_by_the_program(tmp_path):
    app = program(tmp_path, "atexit.register(lambda: note(f'exit-of-{os.getpid()}'))")
    notes = sweep(app)
    pids = {file.stem for file in app.folder.glob("*.here")}
    (exit_of,) = [note.rpartition("-")[2] for note in notes if note.startswith("exit-of-")]
    assert exit_of not in pids


def test_a_copy_of_a_program_that_has_torch_keeps_to_its_share_of_the_cores(tmp_path):
    pools = "[pool['num_threads'] for pool in threadpoolctl.threadpool_info()]"
    seen = "seen=[os.environ['OMP_NUM_THREADS'], os.environ['CUDA_VISIBLE_DEVICES']]"
    task = f"caviar.record(threads=[torch.get_num_threads(), *{pools}], {seen})"
    app = program(tmp_path, "import threadpoolctl, torch", task)
    assert sweep(app, "threads=1").count("imported") == 1
    for result in app.results():
        assert set(result["facts"]["threads"]) == {1}
        assert result["facts"]["seen"] == ["1", ""]


def test_a_controller_has_its_own_threads_back_after_its_sweep(tmp_path):
    top = (
        "import threadpoolctl, numpy\n"
        "def threads(): return [pool['num_threads'] for pool in threadpoolctl.threadpool_info()]\n"
        "before = threads()\n"
        "atexit.register(lambda: note('same' if threads() == before else 'other'))"
    )
    app = program(tmp_path, top, "caviar.record(threads=threads())")
    assert "same" in sweep(app, "threads=1")
    assert [result["facts"]["threads"] for result in app.results()] == [[1]] * 4


def test_no_copy_of_a_program_that_has_torch_where_a_worker_has_two_threads(tmp_path):
    app = program(tmp_path, "import torch", "caviar.record(threads=torch.get_num_threads())")
    assert sweep(app, "threads=2").count("imported") == 3
    assert {result["facts"]["threads"] for result in app.results()} == {2}
    assert "cpu:1: a new interpreter, not a copy of the controller" in workers_txt(app)
    assert "one thread of it only" in workers_txt(app)


def test_no_copy_of_a_program_with_threads(tmp_path):
    top = (
        "import threading\n"
        "threading.Thread(target=threading.Event().wait, name='logger', daemon=True).start()"
    )
    app = program(tmp_path, top)
    assert sweep(app).count("imported") == 3
    assert "this program has threads, which a copy would lack: logger" in workers_txt(app)


def test_no_copy_of_a_program_that_has_computed_on_several_threads(tmp_path):
    top = "import torch\ntorch.set_num_threads(2)\ntorch.ones(10**7).sum()"
    app = program(tmp_path, top)
    assert sweep(app, "threads=1").count("imported") == 3
    assert "of a library" in workers_txt(app)


def test_a_copy_of_a_program_that_has_imported_all_that_a_training_needs(tmp_path):
    app = program(tmp_path, "import lightning.pytorch, pandas, sklearn.datasets, pyarrow")
    assert sweep(app, "threads=1").count("imported") == 1
    assert workers_txt(app) == ""


def test_a_task_in_a_copy_may_initialize_hydra_for_itself(tmp_path):
    task = (
        "with hydra.initialize_config_dir(str(HERE / 'conf'), **hydra_versions.BASE):"
        " caviar.record(y=hydra.compose('config', ['y=7']).y)"
    )
    app = program(tmp_path, task=task)
    sweep(app)
    assert [result["facts"]["y"] for result in app.results()] == [7] * 4


def test_what_a_program_printed_before_its_sweep_is_printed_once(tmp_path):
    app = program(tmp_path, "print('hello', end=' ')")
    done = app.sweep("hydra.sweeper.executor.workers=2", timeout=120)
    assert done.out.count("hello") == 1
    assert "hello" not in workers_txt(app)


def test_a_lost_copy_is_followed_by_a_new_interpreter(tmp_path):
    die = (
        "try:\n        (HERE / 'died').touch(exist_ok=False)\n"  # one of the two is first
        "    except FileExistsError:\n        pass\n"
        "    else:\n        os.kill(os.getpid(), 9)"
    )
    app = program(tmp_path, task=die)
    assert sweep(app).count("imported") == 2


def test_what_fork_cannot_be_is_told_at_once(tmp_path):
    app = program(tmp_path)
    done = app.sweep("hydra.sweeper.executor.fork=sometimes")
    assert (done.status, done.err.count("\n")) == (2, 1)
    assert done.err.startswith("error: executor.fork=sometimes: must be null, true or false")
