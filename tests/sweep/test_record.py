"""``sweep.yaml``, and what earlier versions wrote into it."""

from importlib import import_module
from pathlib import Path

import pytest

from caviar.runs.sweep_file import read_sweep_file
from caviar.sweep import record


@pytest.mark.fast
def test_a_sweep_of_0_1_names_a_class_that_is_elsewhere_now(tmp_path: Path) -> None:
    described = {
        "schema": 1,
        "command": ["python"],
        "direction": "minimize",
        "engine": "solo",
        "folder": str(tmp_path),
        "n_trials": 4,
        "overrides": [],
        "sampler": {"_target_": "caviar.sweep.coarse_to_fine.CoarseToFineSampler", "stages": 2},
        "space": {"x": "interval(0, 1)"},
    }
    record.write(tmp_path, described)
    sampler = read_sweep_file(tmp_path, whole=True)["sampler"]
    module, _, name = sampler["_target_"].rpartition(".")
    assert hasattr(import_module(module), name)
    assert sampler["stages"] == 2
