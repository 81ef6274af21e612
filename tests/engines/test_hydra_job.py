"""A trial meets what it would meet as a job of Hydra's own."""

import re
import sys

import pytest

from tests import copies
from tests.apps import CONFIG, App, make_app

CODE = """
import logging
import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback

class Noting(Callback):
    def on_job_start(self, config, *, task_function, **kwargs):
        print("starts", config.x, config.hydra.job.name, task_function.__name__)

    def on_job_end(self, config, job_return, **kwargs):
        print("ends", job_return.status.name, job_return.cfg.x, list(job_return.overrides))

@hydra.main(config_path="conf", config_name="config", version_base="1.3")
def main(config):
    log = logging.getLogger("mine")
    log.debug("details")
    log.info("as usual")
    hydra = HydraConfig.get()
    print("job", hydra.job.name, hydra.job.override_dirname, config.tag)
    if config.x == 4:
        raise ValueError("four")
    return config.x

if __name__ == "__main__":
    main()
"""
LINES = re.compile(r"(starts|ends|job|mine:) ?|\[20.*\[mine\]")


@pytest.fixture
def app(tmp_path):
    config = CONFIG.replace("x: interval(-5, 5)", "x: choice(3, 4)").replace("x: 0.0", "x: 0")
    config = config.replace("hydra:\n", "hydra:\n  job: {name: 'n${x}'}\n")
    return make_app(tmp_path / "app", CODE, f"{config}tag: ${{hydra:job.override_dirname}}\n")


def by_caviar(app: App, words: list[str]) -> dict[int, list[str]]:
    one = ("hydra.sweeper.executor.workers=1", "hydra.sweeper.executor.threads=1")
    done = app.sweep("hydra/sweeper/sampler=grid", *one, *words)
    assert done.status == 3, done.out + done.err
    assert "Interpolation" not in done.out
    folders = (app.folder / "sweep/trials").iterdir()
    logs = [(folder / "log.txt").read_text() for folder in folders]
    return {3 + ("four" in log): said(log) for log in logs}


def by_hydra(app: App, words: list[str]) -> dict[int, list[str]]:
    found = {}
    for x in (3, 4):
        line = [sys.executable, "app.py", f"x={x}", *words]
        done = copies.run(line, cwd=app.folder, capture_output=True, text=True, timeout=60)
        assert (done.returncode == 0) is (x == 3), done.stderr
        found[x] = said(done.stdout)
    return found


def said(text: str) -> list[str]:
    """What the task and its callbacks said, without the time."""
    return [re.sub(r"^\[20[^]]*\]", "", line) for line in text.splitlines() if LINES.match(line)]


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["hydra.verbose=true"],
        ["hydra.verbose=mine"],
        ["hydra.job_logging.root.level=ERROR"],
        ["hydra.job_logging.formatters.simple.format='%(name)s: %(message)s'"],
        ["hydra/job_logging=stdout"],
        ["+hydra.callbacks.noting._target_=__main__.Noting"],
        ["hydra.job.config.override_dirname.kv_sep=-", "y=2"],
        ["hydra.job.config.override_dirname.exclude_keys=[y]", "y=2"],
        ["y=2", "hydra.job.config.override_dirname.item_sep=_"],
    ],
)
def test_a_trial_says_what_a_run_of_hydras_says(app: App, words: list[str]) -> None:
    ours, theirs = by_caviar(app, words), by_hydra(app, words)
    assert ours.keys() == {3, 4}
    assert ours == theirs
    assert any("job n3" in line for line in ours[3])


def test_a_trials_log_is_in_one_file(app: App) -> None:
    by_caviar(app, [])
    for folder in (app.folder / "sweep/trials").iterdir():
        assert [path.name for path in folder.glob("*log*")] == ["log.txt"]
