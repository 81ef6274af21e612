"""Networks: a file each, logits out. Nothing is imported here, so names stay cheap."""
