"""What a sweep says: lines while it runs, a table when it ends."""
