"""How a trial trains: ``solo``, one call of the task function."""
