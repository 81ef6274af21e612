"""Claims about the loss, the predictions, the metrics and the checkpoint."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from sklearn.metrics import f1_score, roc_auc_score
from torch.nn import functional

from project.classifier import Classifier
from project.supervised import Mean

NETWORK = {"_target_": "project.models.mlp.MLP", "in_features": 4, "num_classes": 3, "width": 8}
OPTIMIZER = {"_target_": "torch.optim.SGD", "lr": 0.1}


def classifier(**settings: Any) -> Classifier:
    torch.manual_seed(0)
    return Classifier(network=NETWORK, optimizer=OPTIMIZER, **settings)


def test_probabilities_sum_to_1_and_survive_logits_of_1e4() -> None:
    module = classifier()
    logits = torch.tensor([[1e4, -1e4, 0.0], [-1e4, -1e4, -1e4], [1e4, 1e4, -1e4]])
    module.network = torch.nn.Identity()
    out = module.predict_step(logits)
    assert out["probabilities"].isfinite().all()
    torch.testing.assert_close(out["probabilities"].sum(1), torch.ones(3))
    assert out["classes"][0] == 0
    losses = module.loss_per_sample(logits, torch.tensor([1, 0, 0]))
    torch.testing.assert_close(losses, torch.tensor([2e4, math.log(3), math.log(2)]))


@pytest.mark.parametrize("one_hot", [False, True])
def test_the_gradient_of_the_loss_at_the_logits_is_prediction_minus_target_over_m(
    one_hot: bool,
) -> None:
    torch.manual_seed(0)
    logits = torch.randn(5, 3, dtype=torch.float64, requires_grad=True)
    classes = torch.tensor([0, 2, 1, 1, 0])
    y = functional.one_hot(classes, 3).double()
    classifier().loss_per_sample(logits, y if one_hot else classes).mean().backward()
    torch.testing.assert_close(logits.grad, (logits.softmax(1) - y).detach() / 5)


def test_label_smoothing_is_a_soft_target() -> None:
    logits = torch.randn(5, 3)
    classes = torch.tensor([0, 2, 1, 1, 0])
    soft = 0.9 * functional.one_hot(classes, 3) + 0.1 / 3
    smoothed = classifier(label_smoothing=0.1).loss_per_sample(logits, classes)
    torch.testing.assert_close(smoothed, classifier().loss_per_sample(logits, soft))


def test_a_class_weight_multiplies_the_loss_of_its_class() -> None:
    logits = torch.randn(3, 3)
    classes = torch.tensor([0, 1, 2])
    weighted = classifier(class_weights=[1.0, 2.0, 0.5]).loss_per_sample(logits, classes)
    plain = classifier().loss_per_sample(logits, classes)
    torch.testing.assert_close(weighted, plain * torch.tensor([1.0, 2.0, 0.5]))


def test_predictions_are_softmax_and_the_likeliest_class() -> None:
    module = classifier().eval()
    x = torch.randn(6, 4)
    out = module.predict_step((x, torch.zeros(6)))
    torch.testing.assert_close(out["probabilities"], module(x).softmax(1))
    assert torch.equal(out["classes"], module(x).argmax(1))


def test_a_checkpoint_rebuilds_the_network_alone_and_safely(
    train: Callable[..., Any], short: tuple[str, ...]
) -> None:
    run = train(*short, "scheduler=cosine", "model.dropout=0.1")
    for name in ("best.ckpt", "last.ckpt"):
        path = run.folder / "checkpoints" / name
        torch.load(path, weights_only=True)
        module = Classifier.load_from_checkpoint(path, weights_only=True).eval()
        assert module(torch.zeros(1, 2)).shape == (1, 3)
    assert "optimizer_states" in torch.load(path, weights_only=True)


def test_the_best_checkpoint_scores_what_the_run_says(
    train: Callable[..., Any], short: tuple[str, ...]
) -> None:
    from project.train import build

    run = train(*short, "trainer.max_epochs=5", "data.noise=0.8")
    module = Classifier.load_from_checkpoint(run.best, weights_only=True).eval()
    x, y = build(run.config).data.parts.val  # type: ignore[attr-defined]
    accuracy = (module.predict_step(x)["classes"] == y).float().mean().item()
    assert accuracy == pytest.approx(run.score)


def test_metrics_are_what_scikit_learn_computes(
    train: Callable[..., Any], short: tuple[str, ...]
) -> None:
    from project.train import build

    run = train(*short, "data.noise=0.8", "metric=val/loss", "direction=minimize")
    module = Classifier.load_from_checkpoint(run.best, weights_only=True).eval()
    x, y = build(run.config).data.parts.val  # type: ignore[attr-defined]
    with torch.no_grad():
        out = module.predict_step(x)
    p, classes = out["probabilities"], out["classes"]
    best = run.facts["metrics"]
    assert best["val/f1"] == pytest.approx(f1_score(y, classes, average="macro"), abs=1e-6)
    assert best["val/auroc"] == pytest.approx(roc_auc_score(y, p, multi_class="ovr"), abs=1e-6)
    recalls = [(classes[y == c] == c).float().mean() for c in range(3)]
    assert best["val/acc_macro"] == pytest.approx(float(sum(recalls)) / 3, abs=1e-6)
    assert best["val/loss"] == pytest.approx(-p[range(len(y)), y].log().mean().item(), abs=1e-6)


def test_soft_targets_train_and_are_scored_by_their_likeliest_class() -> None:
    metrics = {"acc": {"_target_": "torchmetrics.classification.MulticlassAccuracy"}}
    module = classifier(metrics=metrics).eval()
    x = torch.randn(6, 4)
    soft = functional.one_hot(module(x).argmax(1), 3) * 0.8 + 0.2 / 3
    module.validation_step((x, soft), 0)
    assert module.metrics.compute()["acc"] == 1.0


def test_a_running_mean_starts_afresh_when_taken() -> None:
    mean = Mean()
    mean.add(torch.tensor(6.0), 2)
    mean.add(torch.tensor(3.0), 1)
    assert mean.take() == 3.0
    assert mean.take().isnan()
