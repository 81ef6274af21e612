"""Where workers live. Each executor passes the suite in ``tests/contracts``."""
