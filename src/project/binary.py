"""Yes or no: the probability of one of two classes, or of each of several labels by itself."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from torch import Tensor
from torch.nn import functional

from caviar import usage_error
from caviar.lightning.making import plain, sized
from project.supervised import Batch, Supervised, finite


class Binary(Supervised):
    """Trains a network that gives a logit for each question that is answered by yes or no.

    Of two classes there is one question: is it the second? Of labels (a table's ``target=[a,b]``) there
    is one a label, and a sample may have any number of them.

    Args:
        network, optimizer, scheduler, metric, direction: see `Classifier`; the network gives
            ``(batch, questions)``.
        metrics: name -> ``_target_`` and arguments of a torchmetrics metric, which gets probabilities
            and 0 or 1: ``(batch,)`` of two classes, ``(batch, labels)`` of labels.
        pos_weight: a factor on the loss of each question's yes; None: all 1.
        threshold: the probability from which on the answer is yes.
        labels: whether the questions are labels, also where there is one.
    """

    def __init__(
        self,
        network: Mapping[str, Any],
        optimizer: Mapping[str, Any],
        scheduler: Mapping[str, Any] | None = None,
        metrics: Mapping[str, Any] | None = None,
        pos_weight: Sequence[float] | None = None,
        threshold: float = 0.5,
        labels: bool = False,
        metric: str = "val/loss",
        direction: str = "minimize",
    ) -> None:
        if not 0 < threshold < 1:
            raise usage_error("task.threshold", threshold, "must be above 0 and below 1")
        sizes = {"threshold": threshold, "num_labels": network["num_classes"]}
        super().__init__(network, scheduler, sized(metrics, **sizes))
        self.save_hyperparameters(logger=False)
        weights = None if pos_weight is None else torch.tensor(pos_weight, dtype=torch.float32)
        self.register_buffer("pos_weight", weights, persistent=False)
        self.threshold, self.labels = threshold, labels

    @classmethod
    def of(cls, config: DictConfig, data: Any) -> "Binary":
        """The module that a run's config describes, for the two classes or the labels that ``data`` have.

        Raises:
            UsageError: ``data`` have neither, or ``model.loss`` asks for what only a softmax has.
        """
        if getattr(data, "target_scale", None) is not None:
            target = OmegaConf.select(config, "data.target")
            raise usage_error("data.target", target, "it is a number: add task=regression")
        loss = {key: value for key, value in plain(config.task).items() if key != "_target_"}
        labels = bool(loss.get("labels"))
        if data.labels and not labels:
            why = "these data have labels, any number of them a row: task=multilabel"
            raise usage_error("task.labels", labels, why)
        if not data.labels and (labels or data.num_classes != 2):
            of = "labels" if labels else "two classes"
            why = f"is of {of}; these data have {data.num_classes} classes, one a row"
            other = "task=binary" if data.num_classes == 2 else "task=classification"
            raise usage_error("task.labels", labels, f"{why}: {other}")
        for name, value in (plain(config.model.get("loss")) or {}).items():
            if value:
                raise usage_error(f"model.loss.{name}", value, "is of task=classification")
        questions = data.num_classes if data.labels else 1
        loss["pos_weight"] = _weights(loss.get("pos_weight"), data, questions)
        return cls.made(config, data, questions, **loss)

    def loss_per_sample(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Binary cross-entropy in nats, computed from logits: of labels the mean; shape ``(batch,)``."""
        losses = functional.binary_cross_entropy_with_logits(
            outputs,
            targets.reshape(outputs.shape).to(outputs.dtype),
            pos_weight=self.pos_weight,  # type: ignore[arg-type]
            reduction="none",
        )
        return losses.mean(dim=-1)

    def update_metrics(self, outputs: Tensor, targets: Tensor) -> None:
        probabilities = outputs.sigmoid() if self.labels else outputs.squeeze(-1).sigmoid()
        self.metrics.update(probabilities, targets.long())

    def predict_step(self, batch: Batch | Tensor, batch_idx: int = 0) -> dict[str, Tensor]:
        """Probabilities of yes and the answers, each ``(batch, questions)``."""
        x = batch if isinstance(batch, Tensor) else batch[0]
        probabilities = self(x).sigmoid()
        return {"probabilities": probabilities, "answers": probabilities >= self.threshold}

    @staticmethod
    def columns(outputs: Sequence[Mapping[str, Tensor]], data: Any) -> dict[str, Any]:
        """Of two classes the class and the second one's probability; of labels 0 or 1 and each one's."""
        given = torch.cat([one["probabilities"] for one in outputs])
        probabilities = finite(given, "its probabilities are no numbers")
        answers = torch.cat([one["answers"] for one in outputs]).long().numpy()
        names, asked = data.classes, data.classes if data.labels else data.classes[1:]
        answered = (
            {name: answers[:, i] for i, name in enumerate(names)}
            if data.labels
            else {"class": [names[index] for index in answers[:, 0]]}
        )
        chances = {f"probability_{name}": probabilities[:, i] for i, name in enumerate(asked)}
        return {**answered, **chances}


def _weights(asked: Any, data: Any, questions: int) -> list[float] | None:
    """A factor a question, as ``task.pos_weight`` asks: ``balanced`` is rows without over rows with."""
    if asked is None or not hasattr(data, "parts"):  # for predictions there is no loss
        return None
    if asked == "balanced":
        answers = data.parts.train[1].reshape(-1, questions)
        yes = answers.sum(dim=0).clamp(min=1)
        return ((len(answers) - yes).clamp(min=1) / yes).tolist()
    given = asked if isinstance(asked, list) else [asked] * questions
    factors = [float(one) for one in given if type(one) in (int, float) and one > 0]
    if not len(given) == len(factors) == questions:
        why = f"must be null, balanced, a number above 0, or a list of {questions} of these"
        raise usage_error("task.pos_weight", asked, why)
    return factors
