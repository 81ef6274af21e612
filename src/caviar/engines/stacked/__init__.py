"""How torch steps many lanes as one model."""
