"""The space a sweep searches: hyperparameters, each on its scale, some under a condition."""
