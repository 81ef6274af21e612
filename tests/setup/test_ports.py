"""A module and data as a user has them elsewhere: brought into a renamed copy, they are new files alone."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

from tests.setup.trees import PACKAGE, ROOT, copy_tree, python_in, run

PORTS = ROOT / "tests" / "ports"
TRAINED = {
    "pictures": "data=bars model=convolution",
    "prices": "data=houses model=prices metric=val/mae direction=minimize",
    "labels": "data=songs model=labels metric=val/f1",
    "text": "data=reviews model=reader",
    "autoencoder": "data=curve model=autoencoder metric=val/error direction=minimize",
    "gan": "data=cloud model=gan metric=val/distance direction=minimize",
}
"""The file of `tests.ports` -> what is typed to train what is in it."""
TRAIN_ALL = """
import sys
from shells.train import main
for words in sys.argv[1:]:
    sys.argv[1:] = [*words.split(), "trainer.max_epochs=1"]
    main()
"""


def contents(tree: Path) -> dict[str, str]:
    files = [path for path in tree.rglob("*") if path.is_file()]
    kept = [path for path in files if not {"outputs", "__pycache__"} & set(path.parts)]
    return {str(path.relative_to(tree)): sha256(path.read_bytes()).hexdigest() for path in kept}


def test_each_is_a_file_of_code_and_two_configs_and_nothing_else_is_touched(tmp_path: Path) -> None:
    tree = copy_tree(tmp_path / "tree")
    assert run("scripts/rename", "shells", cwd=tree).returncode == 0
    before = contents(tree)
    added = {}
    for name in TRAINED:
        added[f"src/shells/{name}.py"] = (PORTS / f"{name}.py").read_text()
    for path in sorted((PORTS / "configs").rglob("*.yaml")):
        text = path.read_text().replace("tests.ports.", "shells.")
        added[str(Path("configs") / path.relative_to(PORTS / "configs"))] = text
    for name, text in added.items():
        (tree / name).write_text(text)
        assert PACKAGE not in text.replace("# @package", "")
        assert len(text.splitlines()) < 100

    done = python_in(tree, "-c", TRAIN_ALL, *(f"{w} name={n}" for n, w in TRAINED.items()))

    assert done.returncode == 0, done.stderr
    for name in TRAINED:
        assert (tree / f"outputs/runs/{name}/checkpoints/best.ckpt").is_file()
    after = contents(tree)
    assert {name: after[name] for name in before} == before
    assert after.keys() - before.keys() == added.keys()
    # A data set and a model are a config each; the space of a model that names one is a file more.
    assert len(added) == 6 * 3 + 1
