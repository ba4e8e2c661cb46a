"""The tables get a prefix, because users keep tables of their own in the same database: `message` was theirs to take.

Indexes, triggers and views follow a table that is renamed, a user's views among them; so does the entry of
`sqlite_sequence`. Until the transaction commits, a crash leaves all the old names. SQLite: lang_altertable.html
"""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"

TABLES = (
    "message", "actor", "attempt", "dead_letter", "timer", "idempotency_key", "inbox", "reply", "child", "monitor",
    "incident", "owner",
)  # fmt: skip


def upgrade() -> None:
    for table in TABLES:
        op.rename_table(table, f"greenroom_{table}")
