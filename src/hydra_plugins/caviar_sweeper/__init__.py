"""The Hydra plugin: a thin shell. What it does is in `caviar.app.sweep`, imported when a sweep starts."""

from dataclasses import dataclass, field
from functools import partial
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from caviar.base.collecting import uncollected
from caviar.sweep.settings import Settings


class CaviarSweeper(Sweeper):
    """Sweeps a Hydra app: ``hydra/sweeper=caviar``. Its settings are `caviar.sweep.settings`."""

    def __init__(self, **settings: Any) -> None:
        self._settings = settings

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Keep what Hydra hands to a sweeper."""
        self.hydra_context = hydra_context
        self.task_function = task_function
        self.config = config

    def sweep(self, arguments: list[str]) -> None:
        """Run the sweep; a status other than 0 ends the process with it."""
        if status := self._sweep(arguments):
            raise SystemExit(status)

    @uncollected()  # until the first trial: with torch loaded, each takes longer than the start
    def _sweep(self, arguments: list[str]) -> int:
        import sys

        from caviar.app.sweep import run_sweep
        from caviar.base.errors import UsageError, check_words
        from caviar.base.signals import ending_in_order
        from caviar.base.streams import make_patient
        from caviar.base.versions import check_python, warn_untested

        make_patient()
        try:
            check_python()
            check_words(sys.argv[1:])
            plain = OmegaConf.to_container(OmegaConf.create(self._settings), resolve=True)
            settings = Settings.read(plain)  # type: ignore[arg-type]
            assert self.hydra_context is not None
            assert self.config is not None
            with ending_in_order():
                return run_sweep(
                    settings, arguments, self.config, self.hydra_context, self.task_function
                )
        except UsageError as error:
            print(f"error: {error}", file=sys.stderr)
            return 2
        except KeyboardInterrupt:
            # While it starts, or when all trials have ended: in between it is a request to the loop.
            print("interrupted", file=sys.stderr)
            return 130
        except Exception:
            warn_untested()  # it may be why
            raise


@dataclass
class CaviarSweeperConfig(Settings):
    """What a config may set under ``hydra.sweeper``."""

    _target_: str = "hydra_plugins.caviar_sweeper.CaviarSweeper"
    _recursive_: bool = False
    defaults: list[Any] = field(
        default_factory=lambda: [
            "_self_",
            {"sampler": "random"},
            {"pruner": "none"},
            {"executor": "local"},
        ]
    )


def _open(*names: str) -> dict[str, None]:
    """Settings that are null until somebody gives them."""
    return dict.fromkeys(names)


_CHOICES: dict[str, dict[str, dict[str, Any]]] = {
    "sampler": {
        "random": {"_target_": "caviar.sweep.samplers.RandomSampler", "seed": None},
        "grid": {"_target_": "caviar.sweep.samplers.GridSampler", "seed": 0, "points": None},
        "sobol": {"_target_": "caviar.sweep.samplers.SobolSampler", "seed": None},
        "coarse_to_fine": {
            "_target_": "caviar.zoom.coarse_to_fine.CoarseToFineSampler",
            "n_trials": "${..n_trials}",
            "stages": 3,
            "seed": None,
        },
        "tpe": {"_target_": "optuna.samplers.TPESampler", "seed": None, "constant_liar": True},
        "gp": {"_target_": "optuna.samplers.GPSampler", "seed": None},
        "cmaes": {"_target_": "optuna.samplers.CmaEsSampler", "seed": None},
        "nsgaii": {"_target_": "optuna.samplers.NSGAIISampler", "seed": None},
    },
    "pruner": {
        "none": {},
        "median": {
            "_target_": "optuna.pruners.MedianPruner",
            "n_startup_trials": 5,
            "n_warmup_steps": 1,
            "interval_steps": 1,
        },
        "asha": {
            "_target_": "optuna.pruners.SuccessiveHalvingPruner",
            "min_resource": 1,
            "reduction_factor": 4,
            "min_early_stopping_rate": 0,
        },
        "hyperband": {
            "_target_": "optuna.pruners.HyperbandPruner",
            "min_resource": 1,
            "max_resource": "auto",
            "reduction_factor": 3,
        },
        "threshold": {
            "_target_": "optuna.pruners.ThresholdPruner",
            "lower": None,
            "upper": None,
            "n_warmup_steps": 0,
            "interval_steps": 1,
        },
        "patient": {
            "_target_": "optuna.pruners.PatientPruner",
            "wrapped_pruner": None,
            "patience": 3,
            "min_delta": 0.0,
        },
    },
    "executor": {
        "inline": {"_target_": "caviar.executors.inline.InlineExecutor"},
        "local": {
            "_target_": "caviar.executors.local.LocalExecutor",
            **_open("workers", "gpus_per_trial", "threads", "devices", "fork", "gpu_memory"),
        },
        "listen": {"_target_": "caviar.executors.remote.RemoteExecutor", **_open("host", "port")},
        "slurm": {
            "_target_": "caviar.executors.slurm.SlurmExecutor",
            "jobs": 1,
            **_open("workers_per_job", "partition", "time", "account", "qos", "constraint", "mem"),
            **_open("cpus", "gpus"),
            "sbatch": [],
            "setup": [],
            **_open("host", "port"),
        },
        "ray": {
            "_target_": "caviar.executors.ray.RayExecutor",
            "address": "auto",
            "workers": None,
            "gpus_per_trial": 0,
            "cpus_per_trial": 1,
            "resources": {},
            **_open("runtime_env", "host", "port"),
        },
    },
}


def _register() -> None:
    store = partial(ConfigStore.instance().store, provider="caviar_sweeper")
    store(group="hydra/sweeper", name="caviar", node=CaviarSweeperConfig)
    for group, choices in _CHOICES.items():
        for name, node in choices.items():
            store(group=f"hydra/sweeper/{group}", name=name, node=node)


_register()
