"""A training is one process, whatever the machine's scheduler says."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lightning.pytorch.utilities import rank_zero_only


def test_a_training_beside_slurm_is_as_anywhere(
    train: Callable[..., Any],
    short: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    warnings.filterwarnings("error", ".*srun")  # for the tests of others it is ignored
    anywhere = train(*short, "test=true")
    srun = tmp_path / "bin" / "srun"
    srun.parent.mkdir()
    srun.write_text("#!/bin/sh\n")
    srun.chmod(0o755)
    monkeypatch.setenv("PATH", str(srun.parent), prepend=":")
    assert train(*short, "test=true").metrics == anywhere.metrics  # and without a warning
    for name, value in {
        **{"SLURM_JOB_ID": "12", "SLURM_NTASKS": "2", "SLURM_PROCID": "1", "SLURM_LOCALID": "1"},
        **{"SLURM_NODEID": "0", "SLURM_NNODES": "2", "SLURM_JOB_NAME": "sweep"},
        **{"SLURM_NTASKS_PER_NODE": "2", "LOCAL_RANK": "1", "WORLD_SIZE": "2", "RANK": "1"},
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(rank_zero_only, "rank", 1)  # as Lightning reads it where it is imported
    second = train(*short, "test=true")
    assert second.metrics == anywhere.metrics
    assert second.facts["test"] == anywhere.facts["test"]
