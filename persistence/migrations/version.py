"""The schema's version, and the marks by which a database says which one it has. Needs no alembic, so it loads fast."""

from __future__ import annotations

from typing import Final

__all__ = ("APPLICATION_ID", "SCHEMA_VERSION", "VERSION_TABLE", "revision")

SCHEMA_VERSION: Final = 4
"""Rises with each migration: each change of the row classes, or of the tables made of them."""

APPLICATION_ID: Final = 0x4752454E
"""`PRAGMA application_id` of a file that is ours ("GREN"). SQLite: pragma.html#pragma_application_id"""

VERSION_TABLE: Final = "greenroom_schema"
"""Where alembic keeps its revision; a name of our own, because users may run alembic on the same file."""


def revision(version: int) -> str:
    """Alembic's name of a schema version."""
    return f"{version:04d}"
