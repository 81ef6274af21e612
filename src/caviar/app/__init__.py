"""What puts a sweep and a run together: the composition of all other rooms."""
