"""From a job to the trainings that it puts on lanes: its config, its recipes, what an earlier try left."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import OmegaConf

from caviar.base.messages import Job
from caviar.engines.experiment import Called, Folds, Recipe
from caviar.engines.hydra_job import HydraJobs
from caviar.engines.lanes.configs import PlainConfigs
from caviar.engines.lanes.folds import Folded
from caviar.engines.lanes.groups import Run
from caviar.engines.lanes.run_folder import LANE, RunFolder, read_lane
from caviar.engines.lanes.ways import training_of

if TYPE_CHECKING:
    from caviar.engines.lanes.ways import AnyTraining

RecipeOf = Callable[[Mapping[str, Any]], Recipe | Called | Folds]


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
    recipe: RecipeOf
    native: bool
    say: Callable[[str], None]

    def __post_init__(self) -> None:
        self._configs = PlainConfigs(self.hydra)

    def read(self, job: Job, folder: RunFolder) -> Read:
        """What a job is to train.

        Raises:
            NotFusibleError: it cannot be on lanes.
            Exception: whatever its config or its recipe raises.
        """
        config, folder.config = self._configs(job)
        recipe = self.recipe(config)
        recipes = recipe.recipes if isinstance(recipe, Folds) else [recipe]
        trainings = [training_of(each, self.native, self.say) for each in recipes]
        folded = Folded(job, folder, recipes) if isinstance(recipe, Folds) else None
        return Read(job, folder, recipes, trainings, folded, lambda: self._live(job))

    def _live(self, job: Job) -> dict[str, Any]:
        """A job's config as a Trainer would have it: its folder is in it."""
        config = self.hydra.config(job, Path(job.folder))
        live = OmegaConf.to_container(config, resolve=True)
        assert isinstance(live, dict)
        return {str(key): value for key, value in live.items()}


@dataclass
class Read:
    """A job, read: a training, or of a trial of several ``folds`` one each."""

    job: Job
    folder: RunFolder
    recipes: Sequence[Recipe | Called]
    trainings: Sequence[AnyTraining]
    folds: Folded | None
    live: Callable[[], dict[str, Any]]

    def runs(self) -> list[Run]:
        """The runs that are to have a lane: of several folds, those that no earlier try has done."""
        job, folder, recipe = self.job, self.folder, self.recipes[0]
        folder.life.result.seed = recipe.seed
        if self.folds is not None:
            return self._of_folds(self.folds)
        folder.files = recipe.files
        if recipe.loggers is not None:
            folder.log_all = recipe.loggers(self.live())
        saved = read_lane(Path(job.resume_from, LANE) if job.resume_from else None, folder)
        return [Run(job, self.trainings[0], folder, saved=saved)]

    def _of_folds(self, trial: Folded) -> list[Run]:
        trial.go_on()
        return [
            Run(
                trial.job,
                training,
                trial.places[fold],
                saved=read_lane(trial.lane_file(fold), trial.folder),
                trial=trial,
                fold=fold,
            )
            for fold, training in enumerate(self.trainings)
            if fold not in trial.done
        ]
