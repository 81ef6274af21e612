"""A trial as rows of the tables that Optuna's `RDBStorage` keeps, where only what is new is written."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from optuna.distributions import distribution_to_json
from optuna.trial import FrozenTrial
from sqlalchemy import select, update
from sqlalchemy.orm import Session, make_transient_to_detached

from caviar.base.private import models

TIMES = ("datetime_start", "datetime_complete")


def new_trial(
    session: Session, study_id: int, number: int, bare: FrozenTrial, trial_id: int | None = None
) -> int:
    """Make the row of a trial; what belongs to it are other `rows`.

    Args:
        session: one with a transaction under way.
        study_id, number: the study's id, and the trial's number in it.
        bare: the trial's state and times.
        trial_id: None lets the server choose.

    Returns:
        The trial's id.
    """
    row = models().TrialModel(study_id=study_id, number=number)
    if trial_id is not None:
        row.trial_id = trial_id
    for name in ("state", *TIMES):
        setattr(row, name, getattr(bare, name))
    session.add(row)
    session.flush()
    return row.trial_id


def rows(session: Session, trial_id: int, before: FrozenTrial, now: FrozenTrial) -> Iterator[Any]:
    """The rows that a trial has got; those that have changed are updated.

    Args:
        session: one with a transaction under way.
        trial_id: the trial's id there.
        before: the trial as it was last written.
        now: the trial as it is to be read.
    """
    table = models()
    changed = {
        name: getattr(now, name)
        for name in ("state", *TIMES)
        if getattr(now, name) != getattr(before, name)
    }
    if changed:
        row = table.TrialModel(trial_id=trial_id)
        make_transient_to_detached(row)
        session.add(row)
        for name, value in changed.items():
            setattr(row, name, value)
    for name in [name for name in now.params if name not in before.params]:
        of = now.distributions[name]
        yield table.TrialParamModel(
            trial_id=trial_id,
            param_name=name,
            param_value=of.to_internal_repr(now.params[name]),
            distribution_json=distribution_to_json(of),
        )
    scores: list[float] = now.values or []
    for objective in range(len(before.values or []), len(scores)):
        value, kind = table.TrialValueModel.value_to_stored_repr(scores[objective])
        yield table.TrialValueModel(
            trial_id=trial_id, objective=objective, value=value, value_type=kind
        )
    steps = table.TrialIntermediateValueModel
    for step in _changed(before.intermediate_values, now.intermediate_values):
        value, kind = steps.intermediate_value_to_stored_repr(now.intermediate_values[step])
        values = {"intermediate_value": value, "intermediate_value_type": kind}
        if step in before.intermediate_values:
            where = (steps.trial_id == trial_id, steps.step == step)
            session.execute(update(steps).where(*where).values(**values))
        else:
            yield steps(trial_id=trial_id, step=step, **values)
    attributes = (
        (table.TrialUserAttributeModel, before.user_attrs, now.user_attrs),
        (table.TrialSystemAttributeModel, before.system_attrs, now.system_attrs),
    )
    for kind, had, has in attributes:
        for key in _changed(had, has):
            text = json.dumps(has[key])
            if key in had:
                where = (kind.trial_id == trial_id, kind.key == key)
                session.execute(update(kind).where(*where).values(value_json=text))
            else:
                yield kind(trial_id=trial_id, key=key, value_json=text)


def put_study_attribute(session: Session, kind: str, study_id: int, key: str, value: Any) -> None:
    """Write a study's attribute, of the ``kind`` user or system."""
    table = models()
    of = table.StudyUserAttributeModel if kind == "user" else table.StudySystemAttributeModel
    text = json.dumps(value)
    change = update(of).where(of.study_id == study_id, of.key == key).values(value_json=text)
    if not _changes(session, change):
        session.add(of(study_id=study_id, key=key, value_json=text))


def replace_study_attribute(
    session: Session, study_id: int, key: str, old: str, new: str
) -> tuple[str, bool] | None:
    """Replace a study's attribute where it is ``old``.

    Returns:
        What it is now, as JSON, and whether this call made it that; None where the study has none such.
    """
    kind = models().StudyUserAttributeModel
    where = (kind.study_id == study_id, kind.key == key)
    change = update(kind).where(*where, kind.value_json == old).values(value_json=new)
    if _changes(session, change):
        return new, True
    found = session.execute(select(kind.value_json).where(*where)).scalar()
    return None if found is None else (found, False)


def _changed(before: Mapping[Any, Any], now: Mapping[Any, Any]) -> list[Any]:
    return [key for key in now if key not in before or before[key] is not now[key]]


def _changes(session: Session, change: Any) -> bool:
    """Whether an update met a row."""
    done: Any = session.execute(change, execution_options={"synchronize_session": False})
    return bool(done.rowcount)
