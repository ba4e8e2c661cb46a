"""The rows, and the checksum that each of them carries.

A row is a `NamedTuple` in the order of its table's columns; `crc` comes last. `seal` computes it over
every other column, so that a flipped bit in an address or a priority is found as well as one in a body
(SQLite itself would hand out 281 of 300 such flips as data).
"""

from __future__ import annotations

from itertools import product
from typing import Any, NamedTuple, TypeVar, get_args, get_type_hints
from zlib import crc32

import msgspec

from ..errors import RecordCorrupt

__all__ = (
    "ROWS",
    "SCHEMA_VERSION",
    "ActorRow",
    "AttemptRow",
    "ChildRow",
    "Column",
    "DeadLetterRow",
    "Head",
    "InboxRow",
    "IncidentRow",
    "KeyRow",
    "MessageRow",
    "MonitorRow",
    "OwnerRow",
    "ReplyRow",
    "Row",
    "TimerRow",
    "checksum",
    "columns",
    "seal",
    "sealed",
    "verify",
)


_encode = msgspec.json.Encoder().encode
_new = tuple.__new__

SCHEMA_VERSION = 3
"""Rises with each migration: each change of the rows below, or of the tables made of them."""


class MessageRow(NamedTuple):
    """One pending message. Append-only: it is inserted once and deleted when handled."""

    id: int
    """Sequence number: the place in the mailbox; rising, never reused."""
    address: str
    priority: int
    due: float | None
    """Epoch seconds before which it isn't handled (`delay_s`)."""
    uid: str
    sender: str
    """The teller's address, or "" from outside."""
    key: str | None
    type: str
    body: str
    crc: int = 0


class Head(NamedTuple):
    """What the scan at boot reads of a message: enough for its place in the mailbox."""

    id: int
    address: str
    priority: int
    due: float | None


class ActorRow(NamedTuple):
    """One durable actor that has ever started, with the state its last committed turn left."""

    address: str
    type: str
    """The actor class's stored name."""
    state: str
    incarnation: int
    updated: float
    crc: int = 0


class AttemptRow(NamedTuple):
    """The failed attempts of a pending message."""

    id: int
    """The message's."""
    uid: str
    count: int  # type: ignore[assignment]  # hides tuple.count, which nobody calls
    due: float
    """Epoch seconds of the next attempt."""
    cause: str
    crc: int = 0


class DeadLetterRow(NamedTuple):
    """A message parked, with its cause."""

    id: int
    address: str
    uid: str
    sender: str
    key: str | None
    type: str
    body: str
    attempts: int
    cause: str
    """rejected, failed, crash, hang, undecodable, corrupt, unhandled, unknown_type, no_actor, expired"""
    error: str
    """The exception's type, or ""."""
    text: str
    traceback: str
    at: float
    crc: int = 0


class TimerRow(NamedTuple):
    address: str
    name: str
    due: float
    rule: str
    """JSON: every_s, cron or at."""
    type: str
    body: str
    crc: int = 0


class KeyRow(NamedTuple):
    """An idempotency key that a mailbox has seen."""

    address: str
    key: str
    digest: str
    """Of type and body: another body under the same key is a `KeyConflict`."""
    message_id: int
    expires: float
    crc: int = 0


class InboxRow(NamedTuple):
    """What another process wants of the node; it has ids of its own."""

    id: int
    uid: str
    """Becomes the message's: a suspect that is taken in a second time is recognised."""
    kind: str
    """tell, ask or admin"""
    address: str
    type: str
    body: str
    key: str | None
    priority: int
    due: float | None
    expires: float | None
    """Epoch seconds after which nobody waits for the reply."""
    wants_reply: int
    crc: int = 0


class ReplyRow(NamedTuple):
    id: int
    """The inbox row's."""
    ok: int
    body: str
    error: str
    at: float
    crc: int = 0


class ChildRow(NamedTuple):
    """A child of a supervisor, so that a node that starts again has the children it had."""

    supervisor: str
    id: str
    position: int
    """Its place among its siblings, in start order."""
    spec: str
    """JSON."""
    status: str
    """planned (the tree names it), started (by `StartChild`), stopped (its spec is kept, it isn't to run)"""
    crc: int = 0


class MonitorRow(NamedTuple):
    """Who is to be told of somebody's exit, once. Of durable watchers."""

    id: str
    """Derived from the turn that set it."""
    watcher: str
    target: str
    kind: str
    """monitor or link"""
    crc: int = 0


class IncidentRow(NamedTuple):
    """An exit, and what its supervisor did about it."""

    id: int
    """Its number, rising."""
    at: float
    supervisor: str
    address: str
    boot: int
    incarnation: int
    kind: str
    error: str
    text: str
    traceback: str
    action: str
    """What the supervisor did, in words."""
    charged: int
    """Whether it counts for the supervisor's restart intensity."""
    crc: int = 0


class OwnerRow(NamedTuple):
    """Who may commit, and how many commits there have been. Written by every commit; has no checksum."""

    node: str
    epoch: int
    commit_no: int
    pid: int
    """0 after an orderly end."""
    started: float
    last_id: int = 0
    """The highest sequence number ever given, those of messages that never got a row included."""


Row = (
    MessageRow
    | ActorRow
    | AttemptRow
    | DeadLetterRow
    | TimerRow
    | KeyRow
    | InboxRow
    | ReplyRow
    | ChildRow
    | MonitorRow
    | IncidentRow
)
R = TypeVar(
    "R",
    MessageRow,
    ActorRow,
    AttemptRow,
    DeadLetterRow,
    TimerRow,
    KeyRow,
    InboxRow,
    ReplyRow,
    ChildRow,
    MonitorRow,
    IncidentRow,
)


class Table(NamedTuple):
    """Where a kind of row lives: the table's name and the number of leading columns that are its key."""

    name: str
    key: int


ROWS: dict[type[Row], Table] = {
    MessageRow: Table("message", 1),
    ActorRow: Table("actor", 1),
    AttemptRow: Table("attempt", 1),
    DeadLetterRow: Table("dead_letter", 1),
    TimerRow: Table("timer", 2),
    KeyRow: Table("idempotency_key", 2),
    InboxRow: Table("inbox", 1),
    ReplyRow: Table("reply", 1),
    ChildRow: Table("child", 2),
    MonitorRow: Table("monitor", 1),
    IncidentRow: Table("incident", 1),
}


class Column(NamedTuple):
    """What a row class says of one of its columns."""

    name: str
    type: type
    """int, float or str."""
    nullable: bool


def columns(kind: type[Any]) -> tuple[Column, ...]:
    """The columns of a row class, from its annotations."""
    found: list[Column] = []
    for name, hint in get_type_hints(kind).items():
        plain = [part for part in get_args(hint) or (hint,) if part is not type(None)]
        found.append(Column(name, plain[0], type(None) in get_args(hint)))
    return tuple(found)


def _shapes(kind: type[Row]) -> frozenset[tuple[type, ...]]:
    choices = [(column.type, type(None)) if column.nullable else (column.type,) for column in columns(kind)[:-1]]
    return frozenset(product(*choices))


_SHAPES: dict[type[Any], frozenset[tuple[type, ...]]] = {kind: _shapes(kind) for kind in ROWS}
"""The types of a row's values when they are just those of its columns."""


def _stored(kind: type[Any], values: tuple[Any, ...]) -> tuple[Any, ...]:
    """The values as the database will give them back: an int in a float column as a float, a bool as an int."""
    found = list(values)
    for position, (value, column) in enumerate(zip(values, columns(kind), strict=False)):
        if column.type is float and isinstance(value, int):
            found[position] = float(value)
        elif column.type is int and isinstance(value, int):
            found[position] = int(value)
        elif column.type is str and isinstance(value, str):
            found[position] = str.__str__(value)
    return tuple(found)


def _crc(values: tuple[Any, ...]) -> int:
    """CRC-32 over the JSON of the values: it keeps types and borders apart (1, 1.0, "1" and null differ), and nothing
    makes a text of them faster."""
    try:
        return crc32(_encode(values))
    except (UnicodeEncodeError, TypeError):
        # What no JSON can say no database takes; but what a damaged one holds has to have some checksum.
        return crc32(ascii(values).encode("ascii"))


def checksum(row: Row) -> int:
    """CRC-32 over every column but the last."""
    values = row[:-1]
    if bytes in map(type, values):  # a flipped bit has made a blob of a text, and "" would be the same in JSON
        return crc32(ascii(values).encode("ascii"))
    return _crc(values)


def sealed(kind: type[R], *values: Any) -> R:
    """A row of these values with its checksum: `seal` for the rows of which there are many.

    The values are of just the types of their columns, or of subclasses that `seal` knows to make plain.
    """
    try:
        return _new(kind, (*values, crc32(_encode(values))))
    except (UnicodeEncodeError, TypeError):
        return seal(kind._make((*values, 0)))


def seal(row: R) -> R:
    """The row with its checksum.

    Values are made what the database will give back first: a checksum over the int that was put in a float column
    would call the row damaged.
    """
    kind: type[R] = type(row)
    values: tuple[Any, ...] = row[:-1]
    if tuple(map(type, values)) not in _SHAPES[kind]:
        values = _stored(kind, values)
    return kind._make((*values, _crc(values)))


def verify(row: R) -> R:
    """The row itself, if its checksum fits.

    Raises:
        RecordCorrupt: it doesn't; the error names table and key.
    """
    computed = checksum(row)
    if computed != row.crc:
        table = ROWS[type(row)]
        raise RecordCorrupt(f"{table.name} {', '.join(map(str, row[: table.key]))}", row.crc, computed)
    return row
