"""Migrations: how the schema of an older release becomes today's. Read in this order:

- `version`: the schema's version, and the marks by which a database says it
- `migration`: runs the scripts, by alembic, in one transaction
- `env`: alembic's way in; nothing of ours imports it
- `versions/`: one script a version

A change of the schema is: the row classes of `store/rows.py`, `SCHEMA_VERSION`, and a script in `versions/` whose
revision is the new version in four digits. A test compares the tables that all scripts make with those of the
engine's `schema`.
"""
