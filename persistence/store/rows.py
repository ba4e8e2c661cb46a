"""The kinds of rows that a store keeps: one `NamedTuple` each, in the order of its table's columns.

The last column, `crc`, is a checksum over all the others (`checksums`).
"""

from __future__ import annotations

from typing import Any, NamedTuple, TypeVar, get_args, get_type_hints

__all__ = (
    "OWNER_TABLE",
    "PREFIX",
    "ROWS",
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
    "R",
    "Row",
    "Table",
    "TimerRow",
    "columns",
)


class MessageRow(NamedTuple):
    """One pending message. Append-only: it is inserted once and deleted when handled."""

    id: int
    """Sequence number: the place in the mailbox; rising, never reused."""
    address: str
    priority: int
    due: float | None
    """Epoch seconds before which the message isn't handled (`delay_s`)."""
    uid: str
    sender: str
    """The teller's address; "" from outside."""
    key: str | None
    type: str
    body: str
    crc: int = 0


class Head(NamedTuple):
    """The part of a message row that the scan at boot reads: enough for its place in the mailbox."""

    id: int
    address: str
    priority: int
    due: float | None


class ActorRow(NamedTuple):
    """A durable actor that has started at least once, with the state that its last committed turn left."""

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
    """The message's id."""
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
    """The exception's type; "" if there was none."""
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
    """A hash of type and body: another body under the same key is a `KeyConflict`."""
    message_id: int
    expires: float
    crc: int = 0


class InboxRow(NamedTuple):
    """A request of another process to the node. Inbox rows have ids of their own."""

    id: int
    uid: str
    """Becomes the message's uid, so that a suspect is recognised if it is taken in a second time."""
    kind: str
    """tell, ask or admin"""
    address: str
    type: str
    body: str
    key: str | None
    priority: int
    due: float | None
    expires: float | None
    """Epoch seconds after which the asker no longer waits for the reply."""
    wants_reply: int
    crc: int = 0


class ReplyRow(NamedTuple):
    id: int
    """The inbox row's id."""
    ok: int
    body: str
    error: str
    at: float
    crc: int = 0


class ChildRow(NamedTuple):
    """A child of a supervisor: a node that starts again has the children that it had."""

    supervisor: str
    id: str
    position: int
    """Its place among its siblings, in start order."""
    spec: str
    """JSON."""
    status: str
    """planned (the tree names it), started (by `StartChild`), stopped (it keeps its spec, and isn't to run)"""
    crc: int = 0


class MonitorRow(NamedTuple):
    """A durable watcher that is to be told of the target's exit, once."""

    id: str
    """Derived from the turn that set the monitor."""
    watcher: str
    target: str
    kind: str
    """monitor or link; "… ended" if the target was retired while no node ran, and the watcher isn't told yet."""
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
    """The supervisor's action, in words."""
    charged: int
    """Whether it counts for the supervisor's restart intensity."""
    crc: int = 0


class OwnerRow(NamedTuple):
    """The owner, which alone may commit, and the number of commits. Each commit writes it; it has no checksum."""

    node: str
    epoch: int
    commit_no: int
    pid: int
    """0 after an orderly end."""
    started: float
    last_id: int = 0
    """The highest sequence number ever given, including those of messages that never got a row."""


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


PREFIX = "greenroom_"
"""The beginning of the name of each table of ours, because users keep tables of their own in the same database."""


class Table(NamedTuple):
    """The table of a kind of row."""

    name: str
    """With the prefix, as the database has it."""
    key: int
    """The number of leading columns that are its key."""

    @property
    def noun(self) -> str:
        """The name of the kind, as texts have it: `dead_letter`."""
        return self.name.removeprefix(PREFIX)


OWNER_TABLE = f"{PREFIX}owner"


ROWS: dict[type[Row], Table] = {
    MessageRow: Table(f"{PREFIX}message", 1),
    ActorRow: Table(f"{PREFIX}actor", 1),
    AttemptRow: Table(f"{PREFIX}attempt", 1),
    DeadLetterRow: Table(f"{PREFIX}dead_letter", 1),
    TimerRow: Table(f"{PREFIX}timer", 2),
    KeyRow: Table(f"{PREFIX}idempotency_key", 2),
    InboxRow: Table(f"{PREFIX}inbox", 1),
    ReplyRow: Table(f"{PREFIX}reply", 1),
    ChildRow: Table(f"{PREFIX}child", 2),
    MonitorRow: Table(f"{PREFIX}monitor", 1),
    IncidentRow: Table(f"{PREFIX}incident", 1),
}


class Column(NamedTuple):
    """A column, as its row class declares it."""

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
