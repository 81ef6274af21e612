"""Confirm: the best trials over fresh seeds, then one look at the test part."""
