"""Networks: a file each, logits out. Nothing is imported here, so that names stay cheap to reach."""
