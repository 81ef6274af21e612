"""Sequences of tokens, each as long as it is, and a module that reads them padded."""

import torch
from lightning.pytorch import LightningDataModule, LightningModule
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader

PAD, GOOD, BAD = 0, 1, 2
Batch = tuple[Tensor, Tensor]


def collate(samples: list[tuple[Tensor, int]]) -> Batch:
    """Tokens ``(batch, longest)``, shorter ones filled up with PAD, and classes ``(batch,)``."""
    tokens, classes = zip(*samples, strict=True)
    return pad_sequence(list(tokens), batch_first=True, padding_value=PAD), torch.tensor(classes)


class Reviews(LightningDataModule):
    """Made-up reviews: is GOOD said more often than BAD?"""

    def __init__(self, samples: int = 240, longest: int = 12, vocabulary: int = 20) -> None:
        super().__init__()
        self.samples, self.longest, self.vocabulary = samples, longest, vocabulary

    def setup(self, stage: str | None = None) -> None:
        made = torch.Generator().manual_seed(0)
        lengths = torch.randint(3, self.longest + 1, (self.samples,), generator=made)
        reviews = [torch.randint(1, self.vocabulary, (int(n),), generator=made) for n in lengths]
        for review in reviews:
            review[:2] = torch.randint(GOOD, BAD + 1, (2,), generator=made)
        self.reviews = [(one, int((one == GOOD).sum() > (one == BAD).sum())) for one in reviews]

    def loader(self, start: float, end: float, shuffle: bool = False) -> DataLoader:
        part = self.reviews[int(start * self.samples) : int(end * self.samples)]
        return DataLoader(part, 32, shuffle=shuffle, collate_fn=collate)  # type: ignore[arg-type]

    def train_dataloader(self) -> DataLoader:
        return self.loader(0.0, 0.7, shuffle=True)

    def val_dataloader(self) -> DataLoader:
        return self.loader(0.7, 0.85)

    def test_dataloader(self) -> DataLoader:
        return self.loader(0.85, 1.0)

    predict_dataloader = test_dataloader


class Reader(LightningModule):
    """The mean of the tokens' embeddings, what is padding left out, and a linear layer."""

    def __init__(self, vocabulary: int, width: int = 16, lr: float = 0.02) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.embedding = nn.Embedding(vocabulary, width, padding_idx=PAD)
        self.head = nn.Linear(width, 2)

    def forward(self, tokens: Tensor) -> Tensor:
        there = (tokens != PAD).unsqueeze(-1)
        return self.head((self.embedding(tokens) * there).sum(1) / there.sum(1))

    def loss(self, batch: Batch) -> Tensor:
        return nn.functional.cross_entropy(self(batch[0]), batch[1])

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        return self.loss(batch)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        right = self(batch[0]).argmax(-1) == batch[1]
        self.log_dict({"val/loss": self.loss(batch), "val/acc": right.float().mean()})

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        self.log("test/loss", self.loss(batch))

    def predict_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        return {"good": self(batch[0]).softmax(-1)[:, 1]}

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), self.hparams["lr"])
