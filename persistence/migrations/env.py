"""Alembic's environment: run on the connection that `migrate` gives, in its transaction.

Alembic runs this file by its path, so it can't import its neighbours.
"""

from __future__ import annotations

from alembic import context

context.configure(
    connection=context.config.attributes["connection"],
    version_table=context.config.attributes["version_table"],
)
context.run_migrations()
