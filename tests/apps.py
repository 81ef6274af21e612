"""Small Hydra apps, written into a folder and run as a person would run them."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import yaml

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
    """

    folder: Path

    def run(self, *overrides: str, env: dict[str, str] | None = None, timeout: float = 60) -> Done:
        """Run ``python app.py`` in the app's folder to its end."""
        done = subprocess.run(
            [sys.executable, "app.py", *overrides],
            cwd=self.folder,
            env={**os.environ, **(env or {})},
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        return Done(done.returncode, done.stdout, done.stderr)

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
    """Write an app into a folder."""
    (folder / "conf").mkdir(parents=True)
    (folder / "conf" / "config.yaml").write_text(config)
    (folder / "app.py").write_text(code)
    return App(folder)
