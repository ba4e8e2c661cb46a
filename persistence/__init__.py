"""The database: rows, transactions and events. Knows nothing of actors.

The rooms, each on the floor above those it imports:

- `errors`, `runtime` (clock, randomness, scheduling), `events` (the table of what a node reports)
- `home` (the event loop, thread and process in which a node lives)
- `store/`: the contract that every engine keeps, and the rows it keeps; `migrations/`: older schemas become today's
- `commit/`: the queue of finished turns, and the committer that makes one transaction of many;
  `engines/`: SQLite, and the same in memory
- `maintenance/`: backup, restore, verify, vacuum

An actor's turn passes `commit/effects`, `commit/queue`, `commit/committer` and `engines/sqlite/engine`, in this order.
"""
