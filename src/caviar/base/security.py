"""What a config may bring to life: ``_target_`` is checked against an allowlist before use."""

import logging
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from traceback import walk_tb
from typing import Any, cast

from hydra.errors import InstantiationException
from hydra.utils import get_object
from omegaconf import DictConfig, ListConfig, OmegaConf

from caviar.base import hydra_versions
from caviar.base.errors import UsageError, name_and_text, nearest, usage_error

CLASSES_ONLY = (
    "caviar.executors.",
    "caviar.lightning.callbacks.",
    "caviar.lightning.loggers.",
    "caviar.lightning.schedulers.",
    "caviar.panda.callback.",
    "caviar.zoom.coarse_to_fine.",
    "caviar.sweep.samplers.",
    "torch.nn.",
    "torch.optim.",
    "lightning.pytorch.callbacks.",
    "lightning.pytorch.loggers.",
    "torchmetrics.",
    "optuna.pruners.",
    "optuna.samplers.",
    "aim.sdk.adapters.pytorch_lightning.",
)
"""Prefixes under which only classes may be a target: a function of Lightning's reads a pickle
(``load_from_checkpoint``), and configs name classes. Of caviar, Lightning and Optuna these parts alone:
others make files where they are told to (a journal, a storage, a profiler), or start programs."""

_OF_CLASSES = ("caviar.", "torch.nn.", "torch.optim.", "lightning.", "torchmetrics.", "optuna.")
"""Homes of which only classes are ever a target, whatever a config allows."""

_PRETRAINED = tuple(
    f"torchmetrics.{part}." for part in ("audio", "image", "multimodal", "text", "video")
)
"""Metrics that may fetch and load a network of any name: only where a config allows them by name."""

ALLOWED = ["project.", *CLASSES_ONLY]

_LIBRARIES = tuple({f"{prefix.partition('.')[0]}." for prefix in CLASSES_ONLY})

_PREFIX = re.compile(r"[A-Za-z_]\w*(\.\w+)*\.")


def allow(prefixes: Iterable[Any] | str | None) -> None:
    """Add prefixes to ALLOWED, for this process: what an app's config lists under ``allow``.

    Never called with what a run folder or a checkpoint says.

    Raises:
        UsageError: a prefix that is no package's name with a dot at its end, or names Python itself.
    """
    for prefix in [prefixes] if isinstance(prefixes, str) else prefixes or ():
        top = str(prefix).partition(".")[0]
        if not isinstance(prefix, str) or not _PREFIX.fullmatch(prefix):
            why = "must be a package's name and a dot, as in mypackage."
            raise usage_error("allow", prefix, why)
        if top in sys.stdlib_module_names:
            raise usage_error("allow", prefix, "is Python's own: it can do anything")
        if prefix not in ALLOWED:
            ALLOWED.append(prefix)


def trusting_allowed() -> AbstractContextManager[Any]:
    """While this lasts, what calls `hydra.utils.instantiate` itself is held to ALLOWED by Hydra 1.4."""
    return hydra_versions.trusting(hydra_versions.patterns(ALLOWED))


def instantiate(config: Any, *args: Any, _only_: type | None = None, **kwargs: Any) -> Any:
    """`hydra.utils.instantiate`, for targets in ALLOWED alone.

    Args:
        _only_: what every target is to be a class of, where ``config`` may be from a checkpoint; one
            among another's arguments may also be a class beside it.

    Raises:
        UsageError: a ``_target_`` anywhere in ``config`` or ``kwargs`` is not allowed, or does not take
            its arguments; or plain data hold an interpolation, which would be looked up only later.
        Exception: whatever a target of the project raises.
    """
    check_targets(config)
    check_targets(kwargs)
    if _only_ is not None:
        check_only(config, _only_)
    try:
        return hydra_versions.instantiate(config, *args, prefixes=ALLOWED, **kwargs)
    except InstantiationException as error:
        problem, cause = str(error), error.__cause__
    if cause is None:
        raise UsageError(" ".join(problem.split()))
    if isinstance(cause, UsageError) or not _refuses_arguments(cause):
        raise cause
    key = re.search(r"full_key: (\S+)", problem) or re.search(r"target '(.+?)'", problem)
    told = name_and_text(cause)
    raise UsageError(f"{key[1]}: {told}" if key else told) from cause


def _refuses_arguments(error: BaseException) -> bool:
    """Whether a target was called with what it does not take, or is a library's and says so itself.

    What is raised in the project's own code may be a mistake in that code: its traceback is needed.
    """
    modules = [str(f.f_globals.get("__name__")) for f, _ in walk_tb(error.__traceback__)]
    called = [name for name in modules if name.partition(".")[0] != "hydra"]
    return not called or f"{called[0]}.".startswith(_LIBRARIES)


def check_targets(config: Any) -> None:
    """Raise UsageError unless every ``_target_`` in ``config``, at any depth, is allowed."""
    for target in _targets(config):
        check_target(target)


def check_target(target: Any, import_it: bool = True) -> None:
    """Raise UsageError unless ``target`` names something that lives under an allowed prefix.

    The name alone is not enough: ``project.data.table.os.system`` begins well and ends in ``os``.
    So the object is looked up, and the module that defines it must be allowed too; with ``import_it``
    false that is left for later.
    """
    if not isinstance(target, str) or not _allowed(target):
        raise _refused(target)
    if not import_it:
        return
    try:
        found = _found(target)
    except Exception as error:
        raise usage_error("_target_", target, _why_not_found(target, error)) from error
    home = f"{getattr(found, '__module__', None)}."
    if not _allowed(home):
        raise _refused(target)
    by_name = tuple(set(ALLOWED) - {"torchmetrics."})
    if home.startswith(_PRETRAINED) and not home.startswith(by_name):
        why = f"may load a network of any name; allow=[{'.'.join(home.split('.')[:2])}.] allows it"
        raise usage_error("_target_", target, why)
    if home.startswith(_OF_CLASSES) and not isinstance(found, type):
        package = target.partition(".")[0]
        raise usage_error("_target_", target, f"not allowed: of {package}, only classes are")


def find_target(node: Mapping[str, Any] | DictConfig | None, key: str) -> Any:
    """The class or function that ``_target_`` of the setting ``key`` names.

    Raises:
        UsageError: it names none, or one that is not allowed or not there.
    """
    target = (node or {}).get("_target_")
    if not isinstance(target, str):
        raise usage_error(f"{key}._target_", target, "has to name a class")
    check_target(target)
    return _found(target)


def check_only(node: Any, *kinds: type, beside: tuple[str, ...] = ()) -> None:
    """Raise UsageError unless each target in ``node`` is a class of some kinds.

    One among another's arguments may also be a class of the same package: ``beside``.
    """
    if isinstance(node, DictConfig | ListConfig):
        node = OmegaConf.to_container(node, resolve=True)
    if isinstance(node, Mapping) and "_target_" in node:
        target = cast("Mapping[Any, Any]", node)["_target_"]
        found = _found(target)
        home = f"{getattr(found, '__module__', None)}."
        if not isinstance(found, type) or not (issubclass(found, kinds) or home.startswith(beside)):
            wanted = " or ".join(kind.__name__ for kind in kinds)
            raise usage_error("_target_", target, f"is no {wanted}")
        beside = (*beside, f"{home.rstrip('.').rpartition('.')[0]}.") if beside == () else beside
    for value in cast("Iterable[Any]", node.values() if isinstance(node, Mapping) else node):
        if isinstance(value, Mapping | list | tuple | DictConfig | ListConfig):
            check_only(value, *kinds, beside=beside)


def _found(target: str) -> Any:
    log = logging.getLogger("hydra.utils")
    was, log.disabled = log.disabled, True  # it logs what is told here in one line
    try:
        return get_object(target)
    finally:
        log.disabled = was


def _why_not_found(target: str, error: Exception) -> str:
    module, _, name = target.rpartition(".")
    try:
        near = nearest(name, dir(_found(module)))
    except Exception:
        near = None
    return f"not found; did you mean {module}.{near}?" if near else f"cannot be imported ({error})"


def _targets(node: Any, resolved: bool = False) -> Iterator[Any]:
    if isinstance(node, DictConfig | ListConfig):
        node, resolved = OmegaConf.to_container(node, resolve=True), True
    if isinstance(node, Mapping):
        if "_target_" in node:
            yield node["_target_"]
        for value in cast("Mapping[Any, Any]", node).values():
            yield from _targets(value, resolved)
    elif isinstance(node, list | tuple):
        for value in cast("Iterable[Any]", node):
            yield from _targets(value, resolved)
    elif isinstance(node, str) and "${" in node and not resolved:
        # ``${oc.create:{_target_: …}}`` in plain data becomes a target when Hydra reads it.
        raise UsageError(f"{node}: plain data may not hold an interpolation")


def _allowed(name: str) -> bool:
    return name.startswith(tuple(ALLOWED))


def _refused(target: object) -> UsageError:
    allowed = ", ".join(sorted(ALLOWED))
    return usage_error("_target_", target, f"not allowed (allowed prefixes: {allowed})")
