"""A node's rows in one SQLite file. Read in this order:

- `engine`: `SqliteStore`, for the process that owns the store: it takes the file and writes
- `reader`: `SqliteReader`, for any process: it reads, and submits to the inbox
- `statements`: the SQL, and the function that writes a commit
- `ownership`: the owner row, and the numbers given out, under a schema of any version
- `driver`: how a file is opened, and which of our errors stands for which of SQLite's
- `worker`: a thread that makes blocking calls in order
- `schema` and `upgrade`: the tables, and how a file gets the current ones
- `status`: the figures of `greenroom db status`
- `sidecars/`: the files that lie beside the database; `lending/`: user transactions
"""
