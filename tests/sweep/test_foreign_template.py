"""A repository in the style of lightning-hydra-template is swept by one file more: the README's."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

from tests.setup.trees import ROOT

TRAIN = """
import os
import time
from functools import wraps
from pathlib import Path

import hydra
from omegaconf import DictConfig

os.environ["PROJECT_ROOT"] = str(Path(__file__).resolve().parents[1])  # as rootutils does


def task_wrapper(task):
    @wraps(task)
    def wrap(cfg):
        began = time.time()
        try:
            return task(cfg)
        finally:
            Path(cfg.paths.output_dir, "exec_time.log").write_text(str(time.time() - began))

    return wrap


@task_wrapper
def train(cfg):
    return {"val/acc_best": 1 - abs(cfg.model.optimizer.lr - 0.01) - cfg.model.net.width / 1e4}, {}


@hydra.main(version_base="1.3", config_path="../configs", config_name="train.yaml")
def main(cfg: DictConfig):
    metrics, _ = train(cfg)
    return metrics[cfg.optimized_metric]


if __name__ == "__main__":
    main()
"""

CONFIGS = {
    "train.yaml": """
defaults: [_self_, {model: mnist}, {paths: default}, {hydra: default}, {hparams_search: null}]
task_name: train
optimized_metric: val/acc_best
""",
    "model/mnist.yaml": "optimizer: {_target_: torch.optim.Adam, lr: 0.001}\nnet: {width: 64}\n",
    "paths/default.yaml": """
root_dir: ${oc.env:PROJECT_ROOT}
log_dir: ${paths.root_dir}/logs/
output_dir: ${hydra:runtime.output_dir}
""",
    "hydra/default.yaml": """
run: {dir: "${paths.log_dir}/${task_name}/runs/${now:%Y-%m-%d}_${now:%H-%M-%S}"}
sweep:
  dir: ${paths.log_dir}/${task_name}/multiruns/${now:%Y-%m-%d}_${now:%H-%M-%S}
  subdir: ${hydra.job.num}
""",
}


def snippet() -> str:
    blocks = re.findall(r"```yaml\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    (found,) = [block for block in blocks if "hparams_search/caviar.yaml" in block]
    return found


def run(folder: Path, *words: str) -> str:
    env = {**os.environ, "CAVIAR_OUTPUTS": ""}
    done = subprocess.run(
        [sys.executable, *words], cwd=folder, env=env, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_one_file_of_14_lines_sweeps_it_and_its_sweep_is_found(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src/train.py").write_text(TRAIN)
    text = snippet()
    assert text.count("\n") == 14
    for name, content in {**CONFIGS, "hparams_search/caviar.yaml": text}.items():
        file = tmp_path / "configs" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
    run(tmp_path, "src/train.py", "hparams_search=caviar")
    (sweep,) = (tmp_path / "logs/train/multiruns").iterdir()
    trials = sorted((sweep / "trials").iterdir())
    assert len(trials) == 8
    assert all((trial / "exec_time.log").is_file() for trial in trials)
    assert not (tmp_path / "outputs").exists()
    for name in ("latest", sweep.name):
        found = run(tmp_path, "-m", "caviar.cli", "runs", "list", name, "--json")
        assert {one["sweep"] for one in json.loads(found)["runs"]} == {str(sweep)}
    assert str(sweep) in run(tmp_path, "-m", "caviar.cli", "runs", "show", "best")
    elsewhere = tmp_path / "src"
    assert json.loads(run(elsewhere, "-m", "caviar.cli", "runs", "list", "--json"))["runs"] == []
