"""Is validation much worse than training? Then the model learns the training set by heart."""

import numpy as np
import pandas as pd

from caviar.reports.verdicts.base import Evidence, Verdict, short

NAME = "training and validation apart"
TIMES = 2.0
LEAST = 0.01


def gap(evidence: Evidence) -> Verdict:
    """Warn where the top trials' validation error, or loss, is over twice the training one."""
    for metric in dict.fromkeys([evidence.metric, "val/loss", "val_loss"]):
        twin = evidence.twin(metric)
        if metric is None or twin is None:
            continue
        pairs = [_pair(evidence, n, metric, twin) for n in evidence.top.index]
        pairs = [pair for pair in pairs if pair is not None]
        if len(pairs) < 3:
            continue
        train, val = np.median(np.array(pairs), axis=0)
        told = (
            f"at the best epoch {metric} is {short(val)} and {twin} {short(train)} "
            f"(median of {len(pairs)})"
        )
        bad, good = (
            (1 - val, 1 - train)
            if evidence.sign < 0 and metric == evidence.metric
            else (val, train)
        )
        if bad <= TIMES * max(good, 0) + LEAST:
            return Verdict(NAME, "pass", f"{told}.")
        key = next(
            (k for k in ("model.dropout", "optimizer.weight_decay") if evidence.has(k)), None
        )
        new = {"model.dropout": "interval(0.2, 0.7)"}.get(key or "", "tag(log, interval(1e-4, 1))")
        command = evidence.rerun(f"{key}={new}") if key else None
        return Verdict(NAME, "warn", f"{told}: regularise more, or get more data.", command)
    return Verdict(
        NAME,
        "unknown",
        "fewer than 3 top trials logged a metric for both training and validation.",
    )


def _pair(evidence: Evidence, number: int, metric: str, twin: str) -> tuple[float, float] | None:
    train, val = evidence.curve(number, twin), evidence.curve(number, metric)
    if len(train) == 0 or len(train) != len(val):
        return None
    best = evidence.trials["best_epoch"].get(number)
    index = len(val) - 1 if pd.isna(best) or best >= len(val) else int(best)
    return train[index], val[index]
