"""What Hydra 1.3 and 1.4 want in different ways, each under one name."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from hydra import utils, version
from hydra.errors import InstantiationException

CHECKS_TARGETS = hasattr(utils, "execution_whitelist")
"""Whether this Hydra has its own check of what a ``_target_`` may name: 1.4 has, and warns without it."""

BASE: dict[str, Any] = {} if CHECKS_TARGETS else {"version_base": "1.3"}
"""For `hydra.main` and its like: 1.3 warns without a ``version_base``, 1.4 with one."""


def patterns(prefixes: Iterable[str]) -> list[str]:
    """Prefixes (``mypackage.``) as Hydra writes them: ``mypackage.*``."""
    return [f"{prefix}*" for prefix in prefixes]


def trusting(whitelist: Any) -> AbstractContextManager[Any]:
    """While this lasts, Hydra calls the targets that ``whitelist`` has, and not what was trusted before.

    On Hydra 1.3, which has no such check, it does nothing.

    Args:
        whitelist: patterns, or what `whitelist_of` gave; None for all but what Hydra knows as harmful.
    """
    if not CHECKS_TARGETS:
        return nullcontext()
    return utils.execution_whitelist(whitelist, reset=True)  # type: ignore[attr-defined]


def instantiate(config: Any, *args: Any, prefixes: Iterable[str], **kwargs: Any) -> Any:
    """`hydra.utils.instantiate`; Hydra 1.4 looks at each target once more, when it calls it.

    Raises:
        InstantiationException: Hydra cannot make it, or will not; or, as the cause of this, what a
            target has raised.
    """
    if not CHECKS_TARGETS:
        return utils.instantiate(config, *args, **kwargs)
    try:
        return utils.instantiate(
            config, *args, _execution_whitelist_=trusting(patterns(prefixes)), **kwargs
        )
    except InstantiationException:
        raise
    except Exception as error:
        # 1.4 leaves it as it is, but for a note that says where it was.
        notes = getattr(error, "__notes__", None)
        if notes is None and "_target_" in config:  # it is the config itself
            made = utils.get_object(config["_target_"])
            notes = [f"target '{made.__module__}.{made.__qualname__}'"]
        cause = error.with_traceback(error.__traceback__ and error.__traceback__.tb_next)
        raise InstantiationException("\n".join(notes or [])) from cause


def app_is_older_than(base: str) -> bool:
    """Whether the app wants Hydra 1.3 to behave as one before ``base`` did; 1.4 knows no such thing."""
    at_least = getattr(version, "base_at_least", None)
    return at_least is not None and not at_least(base)


def whitelist_of(context: Any) -> Any:
    """What an app's own ``hydra.main(execution_whitelist=…)`` trusts; None where that is not said."""
    return getattr(context, "execution_whitelist", None)
