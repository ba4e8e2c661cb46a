"""The first tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import sqlite

revision = "0001"
down_revision = None

_INT: sa.types.TypeEngine[int] = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_FLOAT: sa.types.TypeEngine[float] = sa.Double().with_variant(sqlite.REAL(), "sqlite")


def _int(name: str) -> sa.Column[int]:
    return sa.Column(name, _INT, nullable=False, autoincrement=False)


def _float(name: str, *, nullable: bool = False) -> sa.Column[float]:
    return sa.Column(name, _FLOAT, nullable=nullable)


def _text(name: str, *, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=nullable)


def upgrade() -> None:
    op.create_table(
        "message",
        _int("id"),
        _text("address"),
        _int("priority"),
        _float("due", nullable=True),
        _text("uid"),
        _text("sender"),
        _text("key", nullable=True),
        _text("type"),
        _text("body"),
        _int("crc"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "actor",
        _text("address"),
        _text("type"),
        _text("state"),
        _int("incarnation"),
        _float("updated"),
        _int("crc"),
        sa.PrimaryKeyConstraint("address"),
    )
    op.create_table(
        "attempt",
        _int("id"),
        _text("uid"),
        _int("count"),
        _float("due"),
        _text("cause"),
        _int("crc"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "dead_letter",
        _int("id"),
        _text("address"),
        _text("uid"),
        _text("sender"),
        _text("key", nullable=True),
        _text("type"),
        _text("body"),
        _int("attempts"),
        _text("cause"),
        _text("error"),
        _text("text"),
        _text("traceback"),
        _float("at"),
        _int("crc"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "timer",
        _text("address"),
        _text("name"),
        _float("due"),
        _text("rule"),
        _text("type"),
        _text("body"),
        _int("crc"),
        sa.PrimaryKeyConstraint("address", "name"),
    )
    op.create_table(
        "idempotency_key",
        _text("address"),
        _text("key"),
        _text("digest"),
        _int("message_id"),
        _float("expires"),
        _int("crc"),
        sa.PrimaryKeyConstraint("address", "key"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "inbox",
        sa.Column("id", _INT, nullable=False, autoincrement=True),
        _text("uid"),
        _text("kind"),
        _text("address"),
        _text("type"),
        _text("body"),
        _text("key", nullable=True),
        _int("priority"),
        _float("due", nullable=True),
        _float("expires", nullable=True),
        _int("wants_reply"),
        _int("crc"),
        sa.PrimaryKeyConstraint("id"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "reply",
        _int("id"),
        _int("ok"),
        _text("body"),
        _text("error"),
        _float("at"),
        _int("crc"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "child",
        _text("supervisor"),
        _text("id"),
        _int("position"),
        _text("spec"),
        _text("status"),
        _int("crc"),
        sa.PrimaryKeyConstraint("supervisor", "id"),
    )
    op.create_table(
        "incident",
        _int("id"),
        _float("at"),
        _text("address"),
        _int("boot"),
        _int("incarnation"),
        _text("kind"),
        _text("error"),
        _text("text"),
        _text("traceback"),
        _text("action"),
        _int("crc"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "owner",
        _text("node"),
        _int("epoch"),
        _int("commit_no"),
        _int("pid"),
        _float("started"),
        _int("last_id"),
        sa.PrimaryKeyConstraint("node"),
        sqlite_with_rowid=False,
    )
