"""The engines: each implements `store.contract.Store` for one kind of database.

- `open`: the engine for a URL
- `urls`: what a store's URL may be, and how a path is written into one
- `sqlite/`: one file, which survives crashes of the process and of the machine
- `memory/`: no file; for tests, and for nodes that may forget

A new engine is a folder here, and a line in `open`.
"""
