"""Group commit: many finished turns become one transaction. Read in this order:

- `effects`: the entries of the queue, and how a batch of them folds into one commit
- `queue`: entries wait in it for their commit, and callers wait for entries
- `waiters`: the callers that are told when a position is on disk
- `committer`: takes batches out of the queue and writes them; the only writer of a store
- `pacing`: whether a commit is made on the event loop's thread or on the store's
- `bisection`: finds the entry whose data the database refuses
"""
