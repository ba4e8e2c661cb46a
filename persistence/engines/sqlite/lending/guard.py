"""Guard: SQL of users reads greenroom's tables, and writes to its own alone.

A row of ours that is written past greenroom has no checksum that fits, and its commit doesn't count it. SQLite asks an
authorizer for each thing that a statement will do, when the statement is compiled (SQLite: c3ref/set_authorizer.html).
So a statement that runs again costs nothing. Statements of ours are compiled while no lease is held, or after its end.
"""

from __future__ import annotations

import re
import sqlite3

from ....store.rows import PREFIX

__all__ = ("Guard",)

_WRITES = {
    sqlite3.SQLITE_INSERT: "INSERT INTO",
    sqlite3.SQLITE_UPDATE: "UPDATE",
    sqlite3.SQLITE_DELETE: "DELETE FROM",
    sqlite3.SQLITE_CREATE_TABLE: "CREATE TABLE",
    sqlite3.SQLITE_CREATE_VIEW: "CREATE VIEW",
    sqlite3.SQLITE_DROP_TABLE: "DROP TABLE",
    # A temporary table or view hides a stored one of its name, from the statements of greenroom as well.
    sqlite3.SQLITE_CREATE_TEMP_TABLE: "CREATE TEMP TABLE",
    sqlite3.SQLITE_CREATE_TEMP_VIEW: "CREATE TEMP VIEW",
    sqlite3.SQLITE_CREATE_VTABLE: "CREATE VIRTUAL TABLE",
}
"""Actions whose first argument is a table."""
_ROWS = frozenset({sqlite3.SQLITE_INSERT, sqlite3.SQLITE_UPDATE, sqlite3.SQLITE_DELETE})
_CHANGES = {
    sqlite3.SQLITE_ALTER_TABLE: "ALTER TABLE",
    # A trigger would run within the commits of greenroom, and a unique index could refuse them.
    sqlite3.SQLITE_CREATE_TRIGGER: "CREATE TRIGGER ON",
    sqlite3.SQLITE_CREATE_TEMP_TRIGGER: "CREATE TEMP TRIGGER ON",
    sqlite3.SQLITE_CREATE_INDEX: "CREATE INDEX ON",
    sqlite3.SQLITE_DROP_INDEX: "DROP INDEX OF",
    sqlite3.SQLITE_DROP_TRIGGER: "DROP TRIGGER OF",
}
"""Actions whose second argument is a table."""
_PRAGMAS = frozenset(
    {
        *("application_id", "auto_vacuum", "busy_timeout", "encoding", "hard_heap_limit"),
        *("ignore_check_constraints", "journal_mode", "journal_size_limit", "locking_mode"),
        *("max_page_count", "page_size", "query_only"),
        *("reverse_unordered_selects", "schema_version", "synchronous", "user_version"),
        *("wal_autocheckpoint", "wal_checkpoint", "writable_schema"),
    }
)
"""Settings of the writer's connection, or of the file, on which the store relies."""


_COUNTERS = "sqlite_sequence"
"""SQLite's table of the ids that AUTOINCREMENT has given, those of the inbox among them."""
_RENAME = "sqlite_rename_table"
"""The function by which SQLite carries out ALTER TABLE ... RENAME TO. The authorizer isn't told the new name."""
_NAME_OF_OURS = re.compile(rf"(?<!\w){PREFIX}", re.IGNORECASE)


class Guard:
    """Judges one statement of a user at a time, while SQLite compiles it."""

    def __init__(self) -> None:
        self._sql = ""
        self._reshapes = False

    def begin(self, sql: str) -> None:
        """Another statement comes."""
        self._sql = sql
        self._reshapes = False

    def refusal(self, action: int, first: str | None, second: str | None) -> str | None:
        """The words for an action that the statement may not do; None if it may."""
        verb = _WRITES.get(action)
        if verb is not None and _is_ours(first):
            return f"{verb} {first}"
        if first == _COUNTERS and action in _ROWS and not self._reshapes:
            return f"{verb} {first}"
        verb = _CHANGES.get(action)
        if verb is not None and _is_ours(second):
            return f"{verb} {second}"
        if action in (sqlite3.SQLITE_DROP_TABLE, sqlite3.SQLITE_ALTER_TABLE):
            self._reshapes = True  # SQLite itself goes on to change the counter of that table
        if action == sqlite3.SQLITE_FUNCTION and second == _RENAME and _NAME_OF_OURS.search(self._sql):
            return f"ALTER TABLE ... RENAME TO {PREFIX}..."
        if action == sqlite3.SQLITE_PRAGMA and second is not None and (first or "").lower() in _PRAGMAS:
            return f"PRAGMA {first}={second}"
        return None


def _is_ours(table: str | None) -> bool:
    return table is not None and table.lower().startswith(PREFIX)
