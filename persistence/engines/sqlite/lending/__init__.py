"""User transactions: an actor's own SQL, run in the transaction that commits its turn. Read in this order:

- `lease`: the right to run statements in one transaction, which can end at any moment
- `guard`: which tables and settings a user's SQL may not write
- `connection`: the connection that SQLAlchemy and aiosqlite get; it can't commit or roll back
- `transaction`: begins, hands out the connection, and rolls back what wasn't committed
"""
