"""From a job to the trainings that it puts on lanes: its config, its recipes, what an earlier try left."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from caviar.base.messages import Job
from caviar.engines.experiment import Called, Folds, Recipe
from caviar.engines.hydra_job import HydraJobs
from caviar.engines.lanes.configs import PlainConfigs
from caviar.engines.lanes.folds import Folded
from caviar.engines.lanes.groups import Run
from caviar.engines.lanes.run_folder import LANE, RunFolder, read_lane
from caviar.engines.lanes.ways import training_of


@dataclass
class Jobs:
    """Reads jobs.

    Attributes:
        hydra: has their bases.
        recipe: config, plain and resolved -> `Recipe` or `Called`, or `Folds` of several.
        native: the loop in C++ may step them.
        say: is told where a module comes to something else than its recipe.
    """

    hydra: HydraJobs
    recipe: Callable[[Mapping[str, Any]], Recipe | Called | Folds]
    native: bool
    say: Callable[[str], None]

    def __post_init__(self) -> None:
        self._configs = PlainConfigs(self.hydra)

    def read(self, job: Job, folder: RunFolder) -> list[Run]:
        """What a job is to train: a run, or, of several folds, one each.

        Raises:
            NotFusibleError: it cannot be on lanes.
            Exception: whatever its config or its recipe raises.
        """
        config, folder.config = self._configs(job)
        recipe = self.recipe(config)
        recipes = recipe.recipes if isinstance(recipe, Folds) else [recipe]
        trainings = [training_of(each, self.native, self.say) for each in recipes]
        if not isinstance(recipe, Folds):
            return [Run(job, trainings[0], folder)]
        trial = Folded(job, folder, recipes)
        return [
            Run(job, training, trial.places[fold], trial=trial, fold=fold)
            for fold, training in enumerate(trainings)
        ]

    def go_on(self, runs: list[Run]) -> list[Run]:
        """Those of a job's runs that are to have a lane, with what an earlier try of it has left."""
        job, trial, recipe = runs[0].job, runs[0].trial, runs[0].training.recipe
        folder = trial.folder if trial else runs[0].folder
        folder.life.result.seed = recipe.seed
        if trial:
            trial.go_on()
            runs = [run for run in runs if run.fold not in trial.done]
            for run in runs:
                run.saved = read_lane(trial.lane_file(run.fold), folder)
            return runs
        folder.files = recipe.files
        if recipe.loggers is not None:
            folder.log_all = recipe.loggers(self._live(job))
        runs[0].saved = read_lane(Path(job.resume_from, LANE) if job.resume_from else None, folder)
        return runs

    def _live(self, job: Job) -> dict[str, Any]:
        """A job's config as a Trainer would have it: its folder is in it."""
        config = self.hydra.config(job, Path(job.folder))
        live = OmegaConf.to_container(config, resolve=True)
        assert isinstance(live, dict)
        return {str(key): value for key, value in live.items()}
