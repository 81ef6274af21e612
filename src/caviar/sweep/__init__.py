"""The sweep: one study, one space, one loop that asks, submits and tells."""
