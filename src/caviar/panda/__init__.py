"""A watched run whose hyperparameters may be edited while it trains; all of it by files in its folder."""
