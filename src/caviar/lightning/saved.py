"""A finished run, read back from its folder alone."""

import pickle
from dataclasses import dataclass
from pathlib import Path

from omegaconf import DictConfig

from caviar import UsageError
from caviar.runs.config import read_config
from caviar.runs.folder import Result
from caviar.runs.inside import open_inside
from caviar.runs.places import inside, landed
from project.classifier import Classifier
from project.data.preprocessing import Preprocessing


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
    folder = landed(Path(path).absolute())
    result = Result.read(folder)
    module = _module(folder, result)
    config, preprocessing = read_config(folder), Preprocessing.read(folder)
    network = module.hparams["network"]
    sizes = {"in_features": preprocessing.num_features, "num_classes": len(preprocessing.classes)}
    for name, size in sizes.items():
        if network.get(name, size) != size:
            why = f"its checkpoint's {name}={network[name]} does not fit its preprocessing's {size}"
            raise UsageError(f"run={folder}: {why}")
    return SavedRun(folder, result, config, module, preprocessing)


def _module(folder: Path, result: Result) -> Classifier:
    folds = result.facts.get("folds")
    if folds:
        many = len(folds) if isinstance(folds, list) else "many"
        why = f"it is {many} models, one a fold; train one without data.folds, or test all by test=true"
        raise UsageError(f"run={folder}: {why}")
    if result.checkpoint is None:
        raise UsageError(f"run={folder}: it kept no checkpoint (state {result.state})")
    path = inside(folder, result.checkpoint)
    if path is None:
        raise UsageError(f"run={folder}: its checkpoint {result.checkpoint} lies outside it")
    if not path.is_file():
        raise UsageError(f"run={folder}: its checkpoint {result.checkpoint} is gone")
    try:
        with open_inside(path, "rb") as file:
            module = Classifier.load_from_checkpoint(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:  # torch's advice would be to load whatever it is
        why = "is damaged, or holds more than tensors and plain values"
        raise UsageError(f"run={folder}: {result.checkpoint} {why}") from None
    except Exception as error:  # what is damaged, or asks for too much, raises anything
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise UsageError(f"run={folder}: {result.checkpoint} is not readable ({reason})") from None
    return module.eval()
