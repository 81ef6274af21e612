"""``sweep.yaml`` read, whole or as far as it goes, and what earlier versions wrote into it."""

from importlib import import_module
from pathlib import Path

import pytest

from caviar.base.errors import UsageError
from caviar.runs.places import SWEEP_FILE
from caviar.runs.sweep_file import SCHEMA, read_sweep_file
from tests.made_up import make_sweep

pytestmark = pytest.mark.fast


@pytest.mark.parametrize(
    ("part", "old"),
    [
        ("sampler", "caviar.sweep.coarse_to_fine.CoarseToFineSampler"),
        ("executor", "caviar.executors.listen.ListenExecutor"),
    ],
)
def test_an_earlier_sweep_names_a_class_that_is_elsewhere_now(
    tmp_path: Path, part: str, old: str
) -> None:
    folder = make_sweep(tmp_path / "s", settings={part: {"_target_": old, "given": 2}})
    for whole in (True, False):
        named = read_sweep_file(folder, whole)[part]
        module, _, name = named["_target_"].rpartition(".")
        assert hasattr(import_module(module), name)
        assert named["given"] == 2


def test_a_newer_caviars_is_refused_whatever_it_is_read_for(tmp_path: Path) -> None:
    folder = make_sweep(tmp_path / "s", settings={"schema": SCHEMA + 1})
    for whole in (True, False):
        with pytest.raises(UsageError, match=f"schema {SCHEMA + 1}, but this caviar reads"):
            read_sweep_file(folder, whole)


def test_what_is_missing_counts_where_it_is_read_whole_alone(tmp_path: Path) -> None:
    folder = make_sweep(tmp_path / "s", settings={"command": None, "n_trials": None})
    assert read_sweep_file(folder)["direction"] == "maximize"
    with pytest.raises(UsageError, match="it has no command, no n_trials"):
        read_sweep_file(folder, whole=True)
    (folder / SWEEP_FILE).unlink()
    assert read_sweep_file(folder) == {}
    with pytest.raises(UsageError, match=r"not a sweep's folder \(it has no sweep.yaml\)"):
        read_sweep_file(folder, whole=True)
