"""``caviar runs …``: list, show, compare, export, tag and remove logged runs; a file a command."""
