"""A store without a file. Read in this order:

- `engine`: `MemoryStore`, the contract over dictionaries
- `data`: `MemoryData`, which outlives the store, so that a node can start again on it; the attempt log is in it
- `values`: the checks that a database would make of a row's values

User transactions run on a SQLite database in memory, by way of `../sqlite/lending`.
"""
