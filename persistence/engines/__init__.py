"""The engines: each implements `store.contract.Store` for one kind of database.

- `open`: the engine for a URL
- `sqlite/`: one file, which survives crashes of the process and of the machine
- `memory/`: no file; for tests, and for nodes that may forget

A new engine is a folder here, and a line in `open`.
"""
