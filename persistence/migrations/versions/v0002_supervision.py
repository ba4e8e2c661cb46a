"""Monitors; incidents with their supervisor. No release wrote incidents before this."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import sqlite

revision = "0002"
down_revision = "0001"

_INT: sa.types.TypeEngine[int] = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_FLOAT: sa.types.TypeEngine[float] = sa.Double().with_variant(sqlite.REAL(), "sqlite")


def _int(name: str) -> sa.Column[int]:
    return sa.Column(name, _INT, nullable=False, autoincrement=False)


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=False)


def upgrade() -> None:
    op.create_table(
        "monitor",
        _text("id"),
        _text("watcher"),
        _text("target"),
        _text("kind"),
        _int("crc"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.drop_table("incident")
    op.create_table(
        "incident",
        _int("id"),
        sa.Column("at", _FLOAT, nullable=False),
        _text("supervisor"),
        _text("address"),
        _int("boot"),
        _int("incarnation"),
        _text("kind"),
        _text("error"),
        _text("text"),
        _text("traceback"),
        _text("action"),
        _int("charged"),
        _int("crc"),
        sa.PrimaryKeyConstraint("id"),
    )
