"""A saved run's last judgement: the test part, which nothing before has seen."""

from project.arguments import NEEDED, command

USAGE = """python -m project.test run=PATH

run   a run's folder (a trial's folder is one); its result.json will tell that it was tested"""


def test(run: str) -> dict[str, float]:
    """Evaluate the best checkpoint of the run in folder ``run`` on the test part, and record it.

    Raises:
        UsageError: the run cannot be read, or its data is not what it was trained on.
    """
    from lightning.pytorch import LightningDataModule

    import caviar
    from caviar.base.plain import echo
    from caviar.base.security import check_only, check_targets
    from caviar.runs.folder import CONFIG
    from caviar.runs.ours import is_signed
    from project.data.base import InMemoryData
    from project.data.datamodule import make_data
    from project.evaluation import evaluate_test_part, in_words
    from project.saved import open_run

    saved = open_run(run)
    if not is_signed(saved.folder, CONFIG):
        # Anybody may have written it: of what it names, nothing but data is made.
        check_targets(saved.config.data)
        check_only(saved.config.data, InMemoryData, LightningDataModule)
    data = make_data(saved.config)
    # The rows of the test part follow from the data: other data could have trained on them.
    if not saved.preprocessing.same_as(data.parts.preprocessing):
        raise caviar.UsageError(f"run={run}: its data has changed since it was trained")
    metrics = evaluate_test_part(saved.module, data, saved.config.trainer)
    saved.result.facts |= {"tested": True, "test": metrics}
    saved.result.write(saved.folder)
    echo(in_words(metrics))
    return metrics


if __name__ == "__main__":
    command(test, USAGE, {"run": NEEDED})
