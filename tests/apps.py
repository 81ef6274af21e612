"""Small Hydra apps, written into a folder and run as a person would run them."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import yaml

from caviar.base import hydra_versions
from tests import copies

QUADRATIC = """
import hydra

@hydra.main(config_path="conf", config_name="config", version_base="1.3")
def main(config):
    return (config.x - 1) ** 2 + config.y
"""

GUARD = """
if __name__ == "__main__":
    main()
"""

CONFIG = """
defaults:
  - override hydra/sweeper: caviar
hydra:
  sweep:
    dir: sweep
  sweeper:
    n_trials: 4
    params:
      x: interval(-5, 5)
x: 0.0
y: 0
"""


ALL_TAKE_PART = """
    # Every worker takes part: a trial waits until each of two has one.
    (HERE / f"{os.getpid()}.here").touch()
    end = time.monotonic() + 60
    while len(list(HERE.glob("*.here"))) < 2 and time.monotonic() < end:
        time.sleep(0.01)
"""
"""Of a task that imports os and time and knows its folder as ``HERE``."""


@dataclass
class Done:
    """A process that has ended."""

    status: int
    out: str
    err: str


@dataclass
class App:
    """A Hydra app in a folder of its own.

    Attributes:
        folder: where ``app.py`` and ``conf/config.yaml`` are.
        new: whether each program is a new interpreter, and no copy: see `tests.copies`.
    """

    folder: Path
    new: bool = False

    def run(
        self,
        *overrides: str,
        env: dict[str, str] | None = None,
        timeout: float = 60,
        cwd: Path | None = None,
    ) -> Done:
        """Run ``python app.py`` to its end, in the app's folder or in ``cwd``."""
        # A module of its own for an interpreter to begin with needs an interpreter that begins.
        start = subprocess.run if self.new or "PYTHONPATH" in (env or {}) else copies.run
        done = start(
            [sys.executable, str(self.folder / "app.py") if cwd else "app.py", *overrides],
            cwd=cwd or self.folder,
            env={**os.environ, **(env or {})},
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    def start(self, *overrides: str, env: dict[str, str] | None = None) -> subprocess.Popen[str]:
        """Begin a sweep and return its process; its output goes to ``out.txt`` in the app's folder."""
        return self._popen(["app.py", "-m", *overrides], env)

    def start_resume(self, *words: str, name: str = "sweep") -> subprocess.Popen[str]:
        """Begin ``caviar resume`` and return its process."""
        return self._popen(["-m", "caviar.cli", "resume", str(self.folder / name), *words], None)

    def _popen(self, words: list[str], env: dict[str, str] | None) -> subprocess.Popen[str]:
        with (self.folder / "out.txt").open("a") as out:
            return copies.Popen(
                [sys.executable, *words],
                cwd=self.folder,
                env={**os.environ, **(env or {})},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                text=True,
            )

    def resume(self, *words: str, name: str = "sweep", timeout: float = 90) -> Done:
        """Run ``caviar resume`` to its end."""
        return self.caviar("resume", str(self.folder / name), *words, timeout=timeout)

    def caviar(self, *words: str, timeout: float = 90) -> Done:
        """Run a ``caviar`` command in the app's folder to its end."""
        done = copies.run(
            [sys.executable, "-m", "caviar.cli", *words],
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    @property
    def out(self) -> str:
        """What started processes have printed so far."""
        return (self.folder / "out.txt").read_text()

    def study(self, name: str = "sweep"):
        """The study, read with Optuna's own journal backend."""
        import optuna
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend

        storage = JournalStorage(JournalFileBackend(str(self.folder / name / "study.journal")))
        return optuna.load_study(study_name=name, storage=storage)

    def sweep(self, *overrides: str, **options) -> Done:
        """Run a sweep (``-m``)."""
        return self.run("-m", *overrides, **options)

    def results(self, name: str = "sweep") -> list[dict]:
        """Every trial's ``result.json``, by number."""
        files = sorted((self.folder / name / "trials").glob("*/result.json"))
        return [json.loads(file.read_text()) for file in files]

    def settings(self, name: str = "sweep") -> dict:
        """What ``sweep.yaml`` holds."""
        return yaml.safe_load((self.folder / name / "sweep.yaml").read_text())


def make_app(folder: Path, code: str = QUADRATIC + GUARD, config: str = CONFIG) -> App:
    """Write an app into a folder; it asks for Hydra 1.3's ways where this Hydra has others too."""
    code = code if hydra_versions.BASE else code.replace(', version_base="1.3"', "")
    (folder / "conf").mkdir(parents=True)
    (folder / "conf" / "config.yaml").write_text(config)
    (folder / "app.py").write_text(code)
    return App(folder)
