"""The two rules of the layout: the machinery knows nothing of a project, and imports point down."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.fast

SRC = Path(__file__).resolve().parents[1] / "src"

FLOORS = [
    "base",
    "space",
    "runs",
    "reading",
    "tables",
    "engines",
    "executors",
    "sweep",
    "zoom",
    "confirm",
    "reports",
    "lightning",
    "panda",
    "app",
    "commands",
    "cli",
]
"""Rooms of `caviar`, lowest first. A room imports from itself and from those below it."""

ENGINES = [
    "base",
    "gpu",
    "philox",
    "dropout",
    "experiment",
    "trainer",
    "progress",
    "seats",
    "shipped",
    "hydra_job",
    "solo",
    "stacked",
    "native",
    "kernel",
    "called",
    "lanes",
    "make",
]
"""The same of `caviar.engines`."""


def imports(file: Path) -> list[str]:
    found = []
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return found


def test_the_machinery_never_imports_a_project():
    projects = {path.parent.name for path in SRC.glob("*/__init__.py")} - {"caviar"}
    for package in ("caviar", "hydra_plugins"):
        for file in (SRC / package).rglob("*.py"):
            tops = {name.partition(".")[0] for name in imports(file)}
            assert not tops & projects, file


@pytest.mark.parametrize(("package", "floors"), [("caviar", FLOORS), ("caviar.engines", ENGINES)])
def test_imports_point_down(package: str, floors: list[str]):
    folder = SRC / package.replace(".", "/")
    rooms = {path.stem for path in folder.glob("[!_]*.py")}
    rooms |= {path.parent.name for path in folder.glob("*/__init__.py")}
    assert rooms == set(floors)
    for file in folder.rglob("*.py"):
        room = file.relative_to(folder).parts[0].removesuffix(".py")
        if room == "__init__":
            continue  # the package's face hands names on
        for name in imports(file):
            if name.startswith(f"{package}."):
                other = name.removeprefix(f"{package}.").split(".")[0]
                if other in floors:
                    assert floors.index(other) <= floors.index(room), f"{file} imports {name}"


def test_a_sweeps_controller_and_the_command_need_no_torch():
    code = (
        "import sys; import project.train, hydra_plugins.caviar_sweeper, caviar.app.sweep, "
        "caviar.sweep.loop, caviar.sweep.study, caviar.reports.table, "
        "caviar.reports.at_end, caviar.reports.progress, caviar.cli; "
        "caviar.cli.make_app(); "
        "print([m for m in ('torch', 'lightning', 'pandas', 'scipy', 'sklearn') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_training_on_lanes_needs_neither_lightning_nor_torchs_compiler():
    code = (
        "import sys; from tests.engines.lanes import TINY, training; "
        "import caviar.engines.lanes.engine; from caviar.engines.lanes.stack import Stack; "
        "from caviar.engines.native.loop import Native; "
        "one = training(*TINY); stack = Stack([one], 2); stack.use(Native); "
        "stack.admit(one); stack.tick(); stack.best_weights(0); assert one.rows; "
        "print([m for m in ('lightning', 'torchmetrics', 'torch._dynamo') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=SRC.parent
    )
    assert done.stdout == "[]\n", done.stdout + done.stderr
