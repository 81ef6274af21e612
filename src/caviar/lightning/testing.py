"""A saved run's last judgement: the test part, which nothing before has seen."""

from __future__ import annotations

USAGE = """caviar test RUN, or python -m project.test run=PATH

run   a run's folder (a trial's folder is one); its result.json will tell that it was tested"""


def test(run: str) -> dict[str, float]:
    """Evaluate the best checkpoint of the run in folder ``run`` on the test part, and record it.

    Raises:
        UsageError: the run cannot be read, or its data is not what it was trained on.
    """
    from caviar.base.objectives import scores_in_words
    from caviar.base.plain import echo
    from caviar.lightning.evaluation import evaluate_test_part
    from caviar.lightning.making import plain
    from caviar.lightning.saved import open_run

    saved = open_run(run, read_data=True)
    metrics = evaluate_test_part(saved.module, saved.data, plain(saved.config.trainer))
    saved.result.facts |= {"tested": True, "test": metrics}
    saved.result.write(saved.folder)
    if not hasattr(saved.data, "changed_since"):
        echo("whether its data are those that it was trained on is not known: they tell no changes")
    echo(scores_in_words([*metrics], [*metrics.values()]))
    return metrics
