"""What a module is made of, told before a single run trains it."""

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities.model_summary.model_summary import summarize

from caviar.base.plain import echo
from caviar.runs.active import active_run


class ModelSummary(Callback):
    """Prints Lightning's table of a module's layers and sizes; not `wanted` in a sweep, nor in a fold."""

    @property
    def wanted(self) -> bool:
        """Whether this is a single run, whose output somebody reads."""
        run = active_run()
        return run is not None and run.listener is None and run.outer is None

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.is_global_zero:
            echo(str(summarize(pl_module)))
