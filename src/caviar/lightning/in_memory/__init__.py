"""Data sets that fit into memory: a subclass of `data.InMemoryData` says in `load` what its parts are."""
