"""What Hydra does for a job, done for a trial: its config, its log, its folder, its callbacks."""

from __future__ import annotations

import logging
import os
import pickle
import sys
from collections.abc import Callable
from contextlib import chdir
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn, JobStatus, configure_log, env_override, setup_globals
from hydra.types import TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from caviar.base import private
from caviar.base.configs import update
from caviar.base.messages import Base, Job
from caviar.base.security import allow


@dataclass
class _Base:
    """A base config, as trials start from it.

    Attributes:
        pickled: without its Hydra node.
        whole: the config of the trial under way, and that node, which is updated in place for each.
        dirname: from overrides to ``override_dirname``.
        callbacks: of ``hydra.callbacks``, made when the first trial needs them.
        has_log: whether the log is as this base wants it.
    """

    pickled: bytes
    whole: DictConfig
    dirname: Callable[[list[str]], str]
    callbacks: Any = None
    has_log: bool = False

    def __post_init__(self) -> None:
        self.hydra: DictConfig = self.whole.hydra


class HydraJobs:
    """Gives each trial of this process what Hydra would give the job.

    A launcher's job costs too much time for a trial: what depends on the base config is made once, and
    what a trial changes is set for each.

    Attributes:
        pickled: the bases as they came, by id.
    """

    def __init__(self) -> None:
        setup_globals()  # Hydra's resolvers, which a worker process does not have yet
        self.pickled: dict[int, bytes] = {}
        self._bases: dict[int, _Base] = {}

    def learn(self, base: Base) -> None:
        """Note a base, which comes with the first job that has it."""
        if base.pickled is not None:
            self.pickled[base.id] = base.pickled

    def config(self, job: Job, folder: Path) -> DictConfig:
        """The trial's config; `HydraConfig` is its own from here on."""
        base = self._base(job.base)
        config = pickle.loads(base.pickled)
        for name, value in job.values.items():
            update(config, name, value)
        # Hydra's node lies beside the app's, so that one may refer to the other.
        private.put_beside(base.whole, config, "hydra", base.hydra)
        HydraConfig.instance().cfg = base.whole  # type: ignore[assignment]
        # The sweep's own folder: the wanted name may have been taken, and `now` is another time here.
        sweep, subdir = folder.parent.parent, Path(*folder.parts[-2:])
        named = base.dirname(job.overrides)
        own = {"num": job.number, "id": str(job.number), "override_dirname": named}
        with read_write(base.hydra):  # as Hydra has it: nobody else may
            private.set_leaves(base.hydra.runtime, {"output_dir": str(folder)})
            private.set_leaves(base.hydra.sweep, {"dir": str(sweep), "subdir": str(subdir)})
            private.set_leaves(base.hydra.job, own)
            private.set_items(base.hydra.overrides, "task", job.overrides)
        return config

    def call(self, job: Job, folder: Path, task: TaskFunction, config: DictConfig) -> Any:
        """Call the task as the app's ``hydra:`` settings have it; `config` comes before."""
        base = self._bases[job.base.id]
        settings = base.hydra.job
        # Wherever the task itself goes, the next trial starts where this one did.
        with chdir(folder if settings.chdir else "."), env_override(settings.env_set):
            if not base.has_log:
                _configure_log(base.hydra)
                base.has_log = True
            if base.callbacks is None:
                base.callbacks = private.hydra_callbacks(base.whole)
            if not base.callbacks.callbacks:
                return task(config)
            return _with_callbacks(base.callbacks, base.whole, task, config)

    def _base(self, sent: Base) -> _Base:
        self.learn(sent)
        if sent.id not in self._bases:
            own, hydra = parted(self.pickled[sent.id])
            dirname = _dirname_by(hydra.hydra.job.config.override_dirname)
            self._bases[sent.id] = _Base(pickle.dumps(own), hydra, dirname)
        return self._bases[sent.id]


def parted(pickled: bytes) -> tuple[DictConfig, DictConfig]:
    """A base config as the app's own and, by itself, its ``hydra``; what it allows is allowed now."""
    own = pickle.loads(pickled)
    hydra = DictConfig({"hydra": own.hydra})
    OmegaConf.set_readonly(hydra.hydra, True)
    with read_write(own), open_dict(own):
        del own["hydra"]
    allow(own.get("allow"))
    return own, hydra


def _with_callbacks(callbacks: Any, whole: Any, task: TaskFunction, config: DictConfig) -> Any:
    callbacks.on_job_start(config=whole, task_function=task)
    job_return = JobReturn()
    job_return.cfg, job_return.hydra_cfg = config, OmegaConf.masked_copy(whole, "hydra")
    typed: Any = OmegaConf.to_container(whole.hydra.overrides.task)
    job_return.overrides, job_return.working_dir = typed, os.getcwd()
    job_return.task_name = whole.hydra.job.name
    try:
        job_return.return_value = task(config)
        job_return.status = JobStatus.COMPLETED
    except BaseException as error:
        job_return.return_value, job_return.status = error, JobStatus.FAILED
        raise
    finally:
        callbacks.on_job_end(config=whole, job_return=job_return)
    return job_return.return_value


def _configure_log(hydra: DictConfig) -> None:
    """Log as ``hydra.job_logging`` and ``hydra.verbose`` say, but to no file of its own.

    What a trial logs stands in its ``log.txt``, with all else that it writes.
    """
    if hydra.job_logging is None:
        return
    log: Any = OmegaConf.to_container(hydra.job_logging, resolve=True)
    handlers = log.get("handlers") or {}
    files = {name for name, handler in handlers.items() if "filename" in handler}
    log["handlers"] = {name: handlers[name] for name in handlers if name not in files}
    for logger in (log.get("root"), *(log.get("loggers") or {}).values()):
        if logger and logger.get("handlers"):
            logger["handlers"] = [name for name in logger["handlers"] if name not in files]
    configure_log(DictConfig(log), hydra.verbose)
    for name in ("", *(log.get("loggers") or {})):
        for handler in logging.getLogger(name).handlers:
            stream = getattr(handler, "stream", None)
            if isinstance(handler, logging.StreamHandler) and stream in (sys.stdout, sys.stderr):
                handler.setStream(_Current("stdout" if stream is sys.stdout else "stderr"))


class _Current:
    """Writes to what is ``sys.stdout`` by then: each trial has one of its own."""

    def __init__(self, name: str) -> None:
        self._name = name

    def write(self, text: str) -> None:
        getattr(sys, self._name).write(text)

    def flush(self) -> None:
        getattr(sys, self._name).flush()


def _dirname_by(settings: DictConfig) -> Callable[[list[str]], str]:
    """How overrides become one word, as `hydra._internal.config_loader_impl` has it."""
    left_out = {str(key) for key in settings.exclude_keys}
    between, equals = str(settings.item_sep), str(settings.kv_sep)

    def dirname(overrides: list[str]) -> str:
        named = sorted(o for o in overrides if o.lstrip("+~").partition("=")[0] not in left_out)
        return between.join(named).replace("=", equals)

    return dirname
