"""Work on a whole SQLite database, for the command line. Read in this order:

- `backup`: a copy, beside a running node or without one
- `restore`: a backup takes the place of a store
- `verify`: every page and every row is checked
- `acceptance`: a node may go on without commits that its store has lost
- `vacuum`: a smaller file, and the current schema, where no node runs
- `progress`: how each of them says how far it is
"""
