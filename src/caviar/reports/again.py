"""The command that started a sweep, changed to follow what the sweep says: it draws other trials."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from caviar.base.configs import value_at
from caviar.runs.screening import to_paste

_SPACE = ("hydra.sweeper.params", "hydra.sweeper.when")


def follow_up(
    settings: Mapping[str, Any],
    overrides: Collection[str],
    ours: bool,
    searched: Collection[str] = (),
) -> str | None:
    """The command of a sweep that follows another one, to be pasted.

    Args:
        settings: what the sweep's ``sweep.yaml`` holds.
        overrides: what is changed.
        ours: see `caviar.runs.ours`.
        searched: the hyperparameters of the sweep, where the overrides choose another space: what the
            command said of them would go before that space.

    Returns:
        None where the command is not known, or has the overrides (it would give the same sweep once
        more), or a word of a folder that is not ours could make it run anything.
    """
    command = [str(part) for part in settings.get("command") or []]
    if not command or set(overrides) <= set(command):
        return None
    overrides = (*overrides, *drawn_anew(settings))
    new = {override.partition("=")[0].lstrip("+"): override for override in overrides}
    gone = {"name", *(h.lstrip("+") for h in searched)}
    kept = []
    for part in command[1:]:
        key = part.partition("=")[0]
        name = key.lstrip("+")
        if name in new:
            # Hydra wants the + of what the config does not have.
            new[name] = key.removesuffix(name) + new[name].lstrip("+")
        elif name not in gone and not (searched and name.startswith(_SPACE)):
            kept.append(part)
    # Hydra wants all overrides in a row: -m may stand after them.
    typed = [i for i, part in enumerate(kept) if "=" in part and not part.startswith("-")]
    at = typed[-1] + 1 if typed else len(kept)
    whole = ["python", *kept[:at], *new.values(), *kept[at:]]
    return to_paste(whole, new.values(), ours, settings.get("folder"))


def drawn_anew(settings: Mapping[str, Any]) -> list[str]:
    """The override by which a sampler does not draw again what a sweep has drawn; a grid has none."""
    seed = value_at(settings, "sampler.seed")
    whole = str(value_at(settings, "sampler._target_")).endswith("GridSampler")
    return [f"hydra.sweeper.sampler.seed={seed + 1}"] if type(seed) is int and not whole else []
