"""Every name that caviar uses of Hydra, OmegaConf, Optuna or Lightning, and they do not promise.

Each has one function here, which says what would replace it; those of a Trainer's loops are in
`caviar.base.private_loops`. Where a version has lost such a name, the one line of a `UsageError` says so.
`hydra.core` counts as public: it is what Hydra's own launchers and sweepers, which are packages of their
own, are made of. What torch and Python keep private is not here.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from caviar.base.versions import lost

if TYPE_CHECKING:
    import optuna
    from omegaconf import DictConfig
    from torchmetrics import Metric


def attribute(library: str, thing: Any, name: str) -> Any:
    """An attribute of what a library made."""
    try:
        return getattr(thing, name)
    except AttributeError:
        kind = thing if isinstance(thing, type) else type(thing)
        raise lost(library, f"{kind.__module__}.{kind.__qualname__}.{name}") from None


def looked_up(library: str, module: str, name: str) -> Any:
    """A name in a library's module."""
    try:
        return getattr(import_module(module), name)
    except (ImportError, AttributeError):
        raise lost(library, f"{module}.{name}") from None


def put(library: str, thing: Any, **values: Any) -> None:
    """Set attributes that are there: one that is not would be set, and read by nobody."""
    for name, value in values.items():
        attribute(library, thing, name)
        setattr(thing, name, value)


# Hydra


def hydra_callbacks(config: DictConfig) -> Any:
    """What ``hydra.callbacks`` names, made: has ``callbacks``, ``on_job_start`` and ``on_job_end``.

    Would be replaced by a `hydra.core.utils.run_job` that leaves the log and the folder to its caller.
    """
    return looked_up("hydra-core", "hydra._internal.callbacks", "Callbacks")(config)


@contextmanager
def noting_entries(note: Callable[..., None]) -> Generator[None]:
    """While this lasts, a function that `hydra.main` decorated calls ``note`` in place of running.

    Would be replaced by a way to load an app's module without starting the app.
    """
    module = import_module("hydra.main")  # the function of this name hides it in `hydra`
    original = looked_up("hydra-core", "hydra.main", "_run_hydra")
    module._run_hydra = note  # type: ignore[attr-defined]
    try:
        yield
    finally:
        module._run_hydra = original  # type: ignore[attr-defined]


# OmegaConf


def set_leaves(node: DictConfig, values: Mapping[str, Any]) -> None:
    """Set values that are there, each its own node, a read-only one too.

    Would be replaced by an assignment that does not look through all of the config: it takes three
    times the time, for every trial.
    """
    for key, value in values.items():
        _set(attribute("omegaconf", node, "_get_node")(key), value)


def set_items(node: DictConfig, key: str, items: Sequence[str]) -> None:
    """Set the list under ``key``, as `set_leaves` sets a leaf."""
    held = attribute("omegaconf", node, "_get_node")(key)
    if len(held) == len(items):  # trials mostly have as many overrides as the one before
        for index, item in enumerate(items):
            _set(held._get_node(index), item)
    else:
        _set(held, list(items))


def _set(node: Any, value: Any) -> None:
    attribute("omegaconf", node, "_set_value")(value)


def put_beside(whole: DictConfig, config: DictConfig, key: str, node: DictConfig) -> None:
    """Let ``whole`` show what is in ``config`` and ``node`` under ``key``, without copying either.

    The nodes keep their parents, so that each resolves in its own config. Would be replaced by
    `hydra.core.hydra_config.HydraConfig.set_config`, which copies all, were copies not 3 ms a trial.
    """
    vars(whole)["_content"] = {**attribute("omegaconf", config, "_content"), key: node}


@contextmanager
def resolvers_replaced(by: Callable[..., Any], names: Sequence[str]) -> Generator[None]:
    """While this lasts, these of OmegaConf's resolvers are ``by``, where they are registered.

    Would be replaced by a public way to read a resolver, so that it can be registered again.
    """
    container = looked_up("omegaconf", "omegaconf.basecontainer", "BaseContainer")
    resolvers = attribute("omegaconf", container, "_resolvers")
    held = {name: resolvers[name] for name in names if name in resolvers}
    resolvers.update(dict.fromkeys(held, by))
    try:
        yield
    finally:
        resolvers.update(held)


# Optuna


def tell_without_copy(
    study: optuna.Study, number: int, values: list[float] | None, state: Any
) -> None:
    """`Study.tell`, which also returns a deep copy of the trial, for as much time again."""
    looked_up("optuna", "optuna.study._tell", "_tell_with_warning")(study, number, values, state)


def forget_trials(study: optuna.Study) -> None:
    """Forget the trials as they were when the last one was asked for.

    Would be replaced by `Study.ask`, which does this and looks through all trials for a waiting one.
    """
    put("optuna", attribute("optuna", study, "_thread_local"), cached_all_trials=None)


def write_intermediate_value(storage: Any, trial_id: int, step: int, value: float) -> None:
    """`JournalStorage.set_trial_intermediate_value` without reading it back at once."""
    operation = looked_up("optuna", "optuna.storages.journal._storage", "JournalOperation")
    entry = {"trial_id": trial_id, "step": step, "intermediate_value": value}
    attribute("optuna", storage, "_write_log")(operation.SET_TRIAL_INTERMEDIATE_VALUE, entry)


def models() -> Any:
    """The tables of `optuna.storages.RDBStorage`.

    Would be replaced by an `RDBStorage` that writes several values of several trials at once.
    """
    return import_module("optuna.storages._rdb.models")


def next_study_id(storage: Any, study_id: int) -> None:
    """Have `optuna.storages.InMemoryStorage` give its next study this id.

    Would be replaced by a storage in memory that is given a study as another one has it.
    """
    put("optuna", storage, _max_study_id=study_id - 1)


def next_trial_id(storage: Any, trial_id: int) -> None:
    """Have `optuna.storages.InMemoryStorage` give its next trial this id; see `next_study_id`."""
    put("optuna", storage, _max_trial_id=trial_id - 1)


METHODS = {
    "Study": {
        # A public way to let a sampler know of trials that are not the study's own.
        "_get_trials",
    },
    "CmaEsSampler": {
        # All: a sampler that takes the place where it keeps its optimizer, or keeps it in memory.
        "_get_solution_trials",
        "_init_optimizer",
        "_restore_optimizer",
        "_split_optimizer_str",
    },
}
"""Methods of Optuna's classes that caviar calls, or puts its own in the place of; what would replace it."""


def method_of(kind: type, name: str) -> Any:
    """A method of `METHODS`."""
    assert name in METHODS[kind.__name__]
    return attribute("optuna", kind, name)


def put_methods(kind: type, **methods: Callable[..., Any]) -> None:
    """Put methods in the place of some of `METHODS`, for all of this process."""
    for name, method in methods.items():
        method_of(kind, name)
        setattr(kind, name, method)


def trial_id(trial: Any) -> int:
    """What a storage knows a trial by.

    Would be replaced by `BaseStorage.get_trial_id_from_study_id_trial_number`, were it not a question
    to the database for each trial.
    """
    return attribute("optuna", trial, "_trial_id")


DASHBOARD = "from optuna_dashboard._cli import main; main()"
"""What Python runs as ``optuna-dashboard``; its script may be on no PATH, and ``-m`` does not start it."""


# torchmetrics and Lightning


def put_update_count(metric: Metric, count: int) -> None:
    """Set how often a metric was updated, and let it compute its value anew.

    Would be replaced by a metric's `load_state_dict`, were it to take states that are not persistent.
    """
    put("torchmetrics", metric, _update_count=count, _computed=None)


def optimizers_of(module: Any) -> tuple[list[Any], list[Any]]:
    """What a module's ``configure_optimizers`` gives: optimizers, and schedules with their settings.

    Would be replaced by a function of Lightning's that reads it without a Trainer.
    """
    where = "lightning.pytorch.core.optimizer"
    given = module.configure_optimizers()
    optimizers, schedulers, monitor = looked_up("lightning", where, "_configure_optimizers")(given)
    configs = looked_up("lightning", where, "_configure_schedulers_automatic_opt")(
        schedulers, monitor
    )
    looked_up("lightning", where, "_validate_optimizers_attached")(optimizers, configs)
    looked_up("lightning", where, "_validate_scheduler_api")(configs, module)
    return optimizers, configs


def attach(module: Any, trainer: Any) -> None:
    """Have a LightningModule find ``trainer`` where its Trainer would be; None takes it away.

    Would be replaced by a ``trainer`` that takes other objects than Trainers without a weak reference.
    """
    put("lightning", module, _trainer=trainer)


def log_hyperparameters(module: Any, data: Any, loggers: Sequence[Any]) -> None:
    """Tell loggers the hyperparameters that a module and its data have saved for them.

    Would be replaced by a function of Lightning's that does it without a Trainer.
    """
    if module is not None:
        trainer = SimpleNamespace(lightning_module=module, datamodule=data, loggers=loggers)
        looked_up("lightning", "lightning.pytorch.loggers.utilities", "_log_hyperparams")(trainer)


def in_hook(module: Any, name: str | None) -> None:
    """Tell a LightningModule which of its hooks is under way. Would be replaced by a public one."""
    put("lightning", module, _current_fx_name=name)


def batch_value(metric: Metric) -> Any:
    """What a metric was for the last batch. Would be replaced by one that torchmetrics keeps for all."""
    return attribute("torchmetrics", metric, "_forward_cache")


def averaging_of(callback: Any) -> tuple[bool, dict[str, Any]]:
    """Of a `WeightAveraging`: whether it averages buffers, and its other arguments of `AveragedModel`.

    Would be replaced by public attributes of it.
    """
    buffers = attribute("lightning", callback, "_use_buffers")
    return buffers, attribute("lightning", callback, "_kwargs")


def seen_by_rates(trainer: Any, log_metrics: Callable[..., None], step: int, due: bool) -> Any:
    """What of a Trainer its `LearningRateMonitor` looks at, in a stand-in for one.

    Would be replaced by a monitor that says what it would log.

    Args:
        log_metrics: takes what it logs, and its step.
        step: steps of the optimizer so far; ``due``: the next one is logged.
    """
    return SimpleNamespace(
        loggers=[SimpleNamespace(log_metrics=log_metrics)],
        lr_scheduler_configs=trainer.lr_scheduler_configs,
        optimizers=trainer.optimizers,
        callback_metrics=trainer.callback_metrics,
        strategy=trainer.strategy,
        fit_loop=SimpleNamespace(epoch_loop=SimpleNamespace(_batches_that_stepped=step)),
        _logger_connector=SimpleNamespace(should_update_logs=due),
    )
