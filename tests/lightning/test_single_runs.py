"""What a single run may have beside its training: a table of its module, of its time, tags, a compiler."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from caviar import UsageError
from caviar.engines.stacked.compiling import why_not_compiled
from caviar.lightning.compiling import compile_networks
from tests import copies
from tests.lightning.modules import TwoPlayers

pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")  # of torch's own


def test_a_compiled_training_gives_the_same_scores(
    train: Callable[..., Any], short: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    settings = (*short, "data.noise=0.8", "model.depth=1", "model.batch_norm=none")
    if why := why_not_compiled("cpu"):  # as where a folder on the way has a space in its name
        with pytest.raises(UsageError, match=f"compile=True: {re.escape(why)}"):
            train(*settings, "compile=true")
        return
    plain = train(*settings)
    compiled = train(*settings, "compile=true", "+trainer.profiler=simple", "test=true")
    for ours, theirs in zip(compiled.rows, plain.rows, strict=True):
        assert {k: float(v) for k, v in ours.items()} == pytest.approx(
            {k: float(v) for k, v in theirs.items()}, rel=1e-3
        )
    assert compiled.facts["tested"]
    # Not in torch's own folder below /tmp, whose name anybody can foresee.
    assert not Path(os.environ["TORCHINDUCTOR_CACHE_DIR"]).name.startswith("torchinductor_")
    profile = (compiled.folder / "profile.txt").read_text()
    assert "run_training_epoch" in profile
    assert profile in capsys.readouterr().out
    assert not (plain.folder / "profile.txt").exists()


def test_what_compile_cannot_do_anything_for_is_told() -> None:
    module = TwoPlayers()
    compile_networks(module, "cuda")
    assert module.a._compiled_call_impl is not None
    del module.a, module.b
    with pytest.raises(UsageError, match="compile=True: TwoPlayers holds no network"):
        compile_networks(module, "cuda")


def command(folder: Path, *words: str) -> str:
    line = [sys.executable, "-m", "project.train", *words, "data=synthetic"]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = copies.run(line, cwd=folder, env=env, capture_output=True, text=True, timeout=240)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def listed(folder: Path, *words: str) -> list[dict[str, Any]]:
    line = [sys.executable, "-m", "caviar.cli", "runs", *words]
    done = copies.run(line, cwd=folder, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["runs"] if "--json" in words else []


def test_a_single_run_tells_its_module_and_a_sweep_does_not_and_tags_find_both(
    tmp_path: Path,
) -> None:
    assert "Trainable params" in command(
        tmp_path, "trainer.max_epochs=1", "name=one", "tags=[paper,first]"
    )
    few = (
        "-m",
        "trainer.max_epochs=1",
        "hydra.sweeper.n_trials=2",
        "hydra.sweeper.report=false",
    )
    for engine in ("solo", "fused"):
        said = command(tmp_path, *few, f"name={engine}", "tags=[paper]", f"engine={engine}")
        assert "Trainable params" not in said
    logs = [log.read_text() for log in tmp_path.rglob("trials/*/log.txt")]
    assert "Trainable params" not in "".join(logs)
    where = ("list", "--where", "'paper' in tags", "--json")
    assert len(listed(tmp_path, *where)) == 5
    listed(tmp_path, "tag", "one", "--remove", "paper")
    assert len(listed(tmp_path, *where)) == 4
    assert json.loads((tmp_path / "outputs/runs/one/tags.json").read_text()) == ["first"]
