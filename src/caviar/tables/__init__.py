"""Tables: a file of columns as it is written, looked at, split, and turned into features and a target."""
