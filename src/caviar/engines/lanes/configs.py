"""A trial's config as plain containers, without paying OmegaConf for what it shares with the others."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from caviar.base.configs import update, value_at
from caviar.base.messages import Job
from caviar.engines.experiment import NotFusibleError
from caviar.engines.hydra_job import HydraJobs, parted
from caviar.runs.config import resolved
from caviar.runs.text import yaml_text

Plain = dict[str, Any]


@dataclass
class _Base:
    """A base config in all its forms.

    Attributes:
        pickled: without its Hydra node, which is ``hydra``.
        live: plain and resolved; ``written``: the same with secrets left as they were written.
        simple: sets of keys that nothing else in the config refers to.
        texts: each part of ``written`` as YAML.
    """

    pickled: bytes
    hydra: DictConfig
    live: Plain
    written: Plain
    simple: set[tuple[str, ...]] = field(default_factory=set)
    texts: dict[str, str] = field(default_factory=dict)


class PlainConfigs:
    """Turns a job into its config: plain for who trains, YAML for who reads.

    Resolving a config and writing it costs 3 ms, a tenth of which is due to what a trial changes. So
    the base is resolved once, and a trial's values are put in their places. Whether that gives what
    OmegaConf would (it does unless something refers to such a value) is tried out once for each set
    of keys.

    Args:
        jobs: has the bases of all jobs.
    """

    def __init__(self, jobs: HydraJobs) -> None:
        self._jobs = jobs
        self._bases: dict[int, _Base] = {}

    def __call__(self, job: Job) -> tuple[Plain, str]:
        """The job's config, plain and resolved, and as the text of ``config.yaml``.

        Its ``hydra:`` values that belong to one run, the run folder above all, are not the trial's.

        Raises:
            NotFusibleError: the app asks for a working folder or an environment of its own, or to be
                called back.
            Exception: what stands in the config cannot be had.
        """
        base = self._base(job.base.id)
        job_node = base.hydra.hydra.job
        if job_node.get("chdir") or job_node.get("env_set"):
            raise NotFusibleError("hydra.job.chdir or hydra.job.env_set")
        if base.hydra.hydra.callbacks:
            raise NotFusibleError("hydra.callbacks")
        keys = tuple(job.values)
        live, written = _patched(base.live, job.values), _patched(base.written, job.values)
        if keys not in base.simple or live is None or written is None:
            config = pickle.loads(base.pickled)
            for name, value in job.values.items():
                update(config, name, value)
            forms = self._forms(config, base.hydra)
            changed = all(value_at(base.live, name) != value for name, value in job.values.items())
            if changed and forms == (live, written):
                base.simple.add(keys)
            live, written = forms
        return live, self._text(base, written)

    def _base(self, number: int) -> _Base:
        if number not in self._bases:
            own, hydra = parted(self._jobs.pickled[number])
            live, written = self._forms(own, hydra)
            self._bases[number] = _Base(pickle.dumps(own), hydra, live, written)
        return self._bases[number]

    def _forms(self, config: DictConfig, hydra: DictConfig) -> tuple[Plain, Plain]:
        HydraConfig.instance().cfg = hydra  # type: ignore[assignment]
        with read_write(hydra.hydra), open_dict(hydra):
            hydra.hydra.runtime.output_dir = "."
            hydra.hydra.job.num, hydra.hydra.job.id = 0, "0"
        live = OmegaConf.to_container(config, resolve=True)
        assert isinstance(live, dict)
        return live, resolved(config)  # type: ignore[return-value]

    def _text(self, base: _Base, written: Plain) -> str:
        parts = []
        for key, value in written.items():
            if value is base.written.get(key):
                if key not in base.texts:
                    base.texts[key] = yaml_text({key: value})
                parts.append(base.texts[key])
            else:
                parts.append(yaml_text({key: value}))
        return "".join(parts)


def _patched(config: Plain, values: Mapping[str, Any]) -> Plain | None:
    """``config`` with ``values`` in their places, parts that stay shared; None where it takes more."""
    new = dict(config)
    for name, value in values.items():
        if name.startswith("+") or not isinstance(value, bool | int | float | str | None):
            return None
        if isinstance(value, str) and ("${" in value or value == "???"):
            return None
        *parents, last = name.split(".")
        node = new
        for parent in parents:
            inner = node.get(parent)
            if not isinstance(inner, dict):
                return None
            node[parent] = node = dict(inner)
        if last not in node:
            return None
        node[last] = value
    return new
