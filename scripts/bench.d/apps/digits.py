"""A plain Lightning script, as one writes it: the digits, 10 epochs of Adam, four hyperparameters."""

import logging
import os
import time
import warnings

import hydra
import lightning.pytorch as pl
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, TensorDataset


class Digits(pl.LightningModule):
    def __init__(self, config):
        super().__init__()
        self.config = config
        self.network = nn.Sequential(
            nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10)
        )

    def training_step(self, batch, index):
        inputs, targets = batch
        logits = self.network(inputs)
        return cross_entropy(logits, targets, label_smoothing=self.config.label_smoothing)

    def validation_step(self, batch, index):
        inputs, targets = batch
        hits = (self.network(inputs).argmax(1) == targets).float().mean()
        self.log("val/acc", hits, batch_size=len(targets))

    def configure_optimizers(self):
        c = self.config
        return torch.optim.Adam(
            self.parameters(), lr=c.lr, betas=(c.momentum, 0.999), weight_decay=c.weight_decay
        )


@hydra.main(config_path="conf", config_name="mlp", version_base="1.3")
def main(config):
    start = time.time()
    warnings.simplefilter("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    pl.seed_everything(0, verbose=False)
    images, labels = load_digits(return_X_y=True)
    data = TensorDataset(torch.tensor(images / 16, dtype=torch.float32), torch.tensor(labels))
    train, val, _ = torch.utils.data.random_split(data, [0.7, 0.15, 0.15])
    trainer = pl.Trainer(
        max_epochs=10,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    loader = DataLoader(train, 64, shuffle=True, drop_last=True)
    trainer.fit(Digits(config), loader, DataLoader(val, 512))
    if "BENCH_LOG" in os.environ:
        with open(os.environ["BENCH_LOG"], "a") as log:
            log.write(f"{start} {time.time()}\n")
    return 1 - trainer.callback_metrics["val/acc"].item()


if __name__ == "__main__":
    main()
