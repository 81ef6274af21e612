"""A finished run, read back from its folder alone."""

import pickle
from dataclasses import dataclass
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from caviar import UsageError
from caviar.runs.folder import CONFIG, Result
from project.classifier import Classifier
from project.data.preprocessing import Preprocessing

_UNREADABLE = (
    *(RuntimeError, KeyError, TypeError, ValueError, AttributeError, EOFError),
    pickle.UnpicklingError,
)
"""What Lightning, torch and caviar raise at a checkpoint that is damaged, or that asks for too much."""


@dataclass(frozen=True)
class SavedRun:
    """What a run left.

    Attributes:
        module: the network at its best epoch, on the CPU, ready to evaluate.
        preprocessing: from a table's columns to its features, and from its outputs to classes.
        config: what it was trained with; what led to a secret is not resolved in it.
    """

    folder: Path
    result: Result
    config: DictConfig
    module: Classifier
    preprocessing: Preprocessing


def open_run(path: str | Path) -> SavedRun:
    """Read the run in the folder ``path``.

    Raises:
        UsageError: it is not a run folder, or it has no checkpoint that can be read.
    """
    folder = Path(path)
    result = Result.read(folder)
    if not (folder / CONFIG).is_file():
        raise UsageError(f"run={folder}: it has no {CONFIG}")
    config = OmegaConf.load(folder / CONFIG)
    assert isinstance(config, DictConfig)
    return SavedRun(folder, result, config, _module(folder, result), Preprocessing.read(folder))


def _module(folder: Path, result: Result) -> Classifier:
    if result.facts.get("folds"):
        many = len(result.facts["folds"])
        why = f"it is {many} models, one a fold; train one without data.folds, or test all by test=true"
        raise UsageError(f"run={folder}: {why}")
    if result.checkpoint is None:
        raise UsageError(f"run={folder}: it kept no checkpoint (state {result.state})")
    path = (folder / result.checkpoint).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise UsageError(f"run={folder}: its checkpoint {result.checkpoint} lies outside it")
    if not path.is_file():
        raise UsageError(f"run={folder}: its checkpoint {result.checkpoint} is gone")
    try:
        module = Classifier.load_from_checkpoint(path, map_location="cpu", weights_only=True)
    except _UNREADABLE as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise UsageError(f"run={folder}: {result.checkpoint} is not readable ({reason})") from None
    return module.eval()
