"""Your project: models, data and their training. Start reading at `train.py`.

Kept empty of imports: a sweep's controller imports `project.train` without torch.
"""
