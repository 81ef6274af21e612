"""Lanes that call the code they train: any LightningModule, by `torch.func` and `vmap`."""
