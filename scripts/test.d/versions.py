"""The fast tests and one sweep under the newest, or the oldest, versions that pyproject.toml lets in.

Run as `scripts/test --newest` or `scripts/test --oldest`, by each Python of 3.11 to 3.13 that is here. Each
has an environment of its own, `.venv-newest/3.11` for one. torch is the one of constraints.txt in both:
of most of its versions an index has only builds of gigabytes.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PYTHONS = ("3.11", "3.12", "3.13")
TOOLS = ("pytest", "pytest-xdist", "hypothesis")
"""What runs the tests is not what they are about: as pinned."""
SWEEP = ["name=versions", "hydra.sweeper.n_trials=8", "trainer.max_epochs=2"]


def pinned() -> dict[str, str]:
    """The versions of scripts/constraints.txt, by name."""
    text = (ROOT / "scripts" / "constraints.txt").read_text()
    return dict(re.findall(r"^([\w.-]+)==(\S+)$", text, re.MULTILINE))


def requirements(which: str) -> list[str]:
    """What pip is asked for: each direct dependency but torch, at its lowest version or its newest.

    The newest may be a pre-release, and beyond the upper bound: that one has to be moved some day.
    """
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = dict(re.findall(r"^([\w-]+)>=([\w.]+)", "\n".join(project["dependencies"]), re.M))
    assert len(asked) == len(project["dependencies"]), "a dependency without a lower bound"
    del asked["torch"]
    if which == "oldest":
        return [f"{name}=={low}" for name, low in asked.items()]
    # A bound that is a pre-release lets pre-releases in, of this package alone.
    return [f"{name}>={low}.dev0" for name, low in asked.items()]


def pythons() -> dict[str, str]:
    """By version, the interpreters that are here."""
    own = ".".join(map(str, sys.version_info[:2]))
    found = {version: shutil.which(f"python{version}") for version in PYTHONS}
    found[own] = sys.executable
    return {version: path for version, path in found.items() if path and _runs(path)}


def _runs(python: str) -> bool:
    """Whether it is one: a version manager leaves a script of this name for each that it could be."""
    return subprocess.run([python, "-c", ""], capture_output=True).returncode == 0


def environment(python: str, version: str, which: str) -> str:
    """Make or update the environment, and return its Python.

    Raises:
        SystemExit: pip cannot install what is asked for.
    """
    venv = ROOT / f".venv-{which}" / version
    own = str(venv / "bin" / "python")
    if not Path(own).exists():
        subprocess.run([python, "-m", "venv", "--clear", str(venv)], check=True)
    torch = f"torch=={pinned()['torch']}"
    pip = [own, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"]
    tools = [f"{name}=={pinned()[name]}" for name in TOOLS]
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as constraint:
        constraint.write(f"{torch}\n")
        constraint.flush()
        # Of what is named alone: pip would think another build of the same torch newer.
        upgrade = ["--upgrade", "--upgrade-strategy", "only-if-needed"] if which == "newest" else []
        bound = [*upgrade, "-c", constraint.name]
        # torch by itself and by its exact version, as scripts/setup does it.
        for what in ([torch], [*bound, *requirements(which), *tools]):
            done = subprocess.run([*pip, *what])
            if done.returncode:
                raise SystemExit(f"error: pip cannot install the {which} versions, as told above")
    (packages,) = venv.glob("lib/python*/site-packages")
    (packages / "caviar.pth").write_text(f"{ROOT / 'src'}\n")
    return own


def outcome(own: str) -> str:
    """Run the tests and the sweep: ``passes``, or what failed."""
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": ""}
    tests = [own, "-m", "pytest", "-q", "-m", "fast", "-n", "2", "-p", "no:cacheprovider"]
    failed = []
    if subprocess.run(tests, cwd=ROOT, env=env).returncode:
        failed.append("tests fail")
    with tempfile.TemporaryDirectory() as folder:
        sweep = [own, "-W", "error", "-m", "project.train", "-m", f"outputs={folder}", *SWEEP]
        done = subprocess.run(sweep, cwd=ROOT, env=env, capture_output=True, text=True)
    if done.returncode or done.stderr:
        print(done.stdout, done.stderr, sep="\n")
        failed.append("the sweep fails")
    return " and ".join(failed) or "passes"


def installed(own: str) -> dict[str, str]:
    """The versions of torch and of what was asked for, in that environment."""
    names = [re.split("[=>]", line)[0] for line in [*requirements("oldest"), "torch=="]]
    code = "import sys; from importlib.metadata import version; print(*map(version, sys.argv[1:]))"
    done = subprocess.run([own, "-c", code, *names], capture_output=True, text=True, check=True)
    return dict(zip(names, done.stdout.split(), strict=True))


def main(which: str) -> int:
    """Do it for each Python, and print a line for each library; 1 where anything failed."""
    lines = []
    for version, python in pythons().items():
        own = environment(python, version, which)
        result = outcome(own)
        lines += [
            f"Python {version}, {name} {here}: {result}" for name, here in installed(own).items()
        ]
    print("\n".join(lines))
    return int(any(not line.endswith(": passes") for line in lines))


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1].removeprefix("--")))
