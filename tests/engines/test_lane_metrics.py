"""The metrics of a stack are those that torchmetrics computes lane by lane."""

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from caviar.base.security import instantiate
from caviar.engines.stacked.metrics import STACKED, Metrics, Outputs, Targets

HERE = "torchmetrics.classification"
SETTINGS = [
    {"_target_": f"{HERE}.MulticlassAccuracy", "average": "micro"},
    {"_target_": f"{HERE}.MulticlassAccuracy", "average": "macro"},
    {"_target_": f"{HERE}.MulticlassAccuracy"},
    {"_target_": f"{HERE}.MulticlassF1Score", "average": "macro"},
    {"_target_": f"{HERE}.MulticlassF1Score", "average": "micro"},
    {"_target_": f"{HERE}.MulticlassCalibrationError", "n_bins": 15},
    {"_target_": f"{HERE}.MulticlassCalibrationError", "n_bins": 3},
    {"_target_": f"{HERE}.MulticlassAUROC", "average": "macro"},
    {"_target_": f"{HERE}.MulticlassAUROC"},
    # These have no stacked form.
    {"_target_": f"{HERE}.MulticlassAccuracy", "top_k": 2},
    {"_target_": f"{HERE}.MulticlassCohenKappa"},
]


@pytest.mark.filterwarnings("ignore:No positive samples", "ignore:No negative samples")
@pytest.mark.parametrize("settings", SETTINGS, ids=lambda s: "-".join(map(str, s.values())))
@examples(max_examples=30)
@given(data=st.data())
def test_each_lane_has_the_value_that_torchmetrics_gives(
    settings: dict[str, Any], data: st.DataObject
) -> None:
    lanes, samples, classes = (data.draw(st.integers(1, 3)), data.draw(st.integers(1, 30)), 4)
    seed = data.draw(st.integers(0, 999))
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(lanes, samples, classes, generator=generator) * data.draw(
        st.sampled_from([0.1, 1.0, 40.0])
    )
    if data.draw(st.booleans(), "ties"):
        logits = logits.round()
    if data.draw(st.booleans(), "no numbers"):
        share = data.draw(st.sampled_from([0.05, 1.0]))
        logits[torch.rand(logits.shape, generator=generator) < share] = torch.nan
    probabilities = logits.softmax(2)
    targets = torch.randint(0, data.draw(st.integers(1, classes)), (samples,), generator=generator)
    given = probabilities.transpose(1, 2), Targets(targets, classes)
    metrics = Metrics({"it": settings}, classes)
    found = metrics.read(metrics.launch(Outputs(*given)), *given)["it"].float()
    metric = instantiate({**settings, "num_classes": classes, "validate_args": False})
    for lane in range(lanes):
        metric.update(probabilities[lane], targets)
        torch.testing.assert_close(
            found[lane], metric.compute(), rtol=1e-5, atol=1e-6, equal_nan=True
        )
        metric.reset()


def test_the_default_metrics_all_have_a_stacked_form() -> None:
    from omegaconf import OmegaConf

    from project.train import CONFIGS

    targets = {m._target_ for m in OmegaConf.load(CONFIGS / "metrics/classification.yaml").values()}
    assert {target.rpartition(".")[2] for target in targets} == set(STACKED)
