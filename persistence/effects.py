"""Effects: what one finished turn, or one tell, asks of the next commit; and how a batch folds into a Commit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from .record import ROWS, ActorRow, MessageRow, Row
from .store import Commit

__all__ = ("Effects", "Insertable", "Stateful", "fold")


class Insertable(Protocol):
    """A message on its way to its row. The row is made only if the message outlives the batch."""

    id: int

    def row(self) -> MessageRow: ...


class Stateful(Protocol):
    """Whoever has a state row."""

    @property
    def address(self) -> str: ...

    def actor_row(self, state: bytes) -> ActorRow: ...


class Effects:
    """One entry of the commit order."""

    __slots__ = ("ack", "actor", "deletes", "guilty", "inserts", "position", "rows", "size", "state")

    def __init__(
        self,
        *,
        ack: int = 0,
        inserts: Sequence[Insertable] = (),
        actor: Stateful | None = None,
        state: bytes | None = None,
        rows: Sequence[Row] = (),
        deletes: Sequence[tuple[type[Row], Any]] = (),
        guilty: Any = None,
        size: int = 0,
    ) -> None:
        self.position = 0
        """Place in the commit order; given by the committer."""
        self.ack = ack
        """Id of the message that this turn handled; 0 if it had no row."""
        self.inserts = inserts
        self.actor = actor
        self.state = state
        self.rows = rows
        self.deletes = deletes
        self.guilty = guilty
        """Whom to charge if the database refuses this data; opaque here."""
        self.size = size
        """Bytes, roughly: for the bound on run-ahead."""


def fold(batch: Sequence[Effects], commit: Commit) -> Commit:
    """The batch as one commit: per key the last word, and no row at all for a message told and handled within it."""
    new: dict[int, Insertable] = {}
    acked: list[int] = []
    states: dict[str, Effects] = {}
    puts: dict[type[Row], dict[Any, Row]] = {}
    gone: dict[type[Row], dict[Any, None]] = {}
    for effects in batch:
        for message in effects.inserts:
            commit.last_id = message.id
            new[message.id] = message
        if effects.ack and new.pop(effects.ack, None) is None:
            acked.append(effects.ack)
        if effects.actor is not None:
            states[effects.actor.address] = effects
        for row in effects.rows:
            kind = type(row)
            width = ROWS[kind].key
            key = row[0] if width == 1 else tuple(row[:width])
            puts.setdefault(kind, {})[key] = row
            if kind in gone:
                gone[kind].pop(key, None)
        for kind, key in effects.deletes:
            if kind is MessageRow:
                if new.pop(key, None) is None:
                    acked.append(key)
                continue
            if kind is ActorRow:
                states.pop(key, None)
            gone.setdefault(kind, {})[key] = None
            if kind in puts:
                puts[kind].pop(key, None)
    commit.inserts = [message.row() for message in new.values()]
    if acked:
        commit.deletes[MessageRow] = acked
    for address, effects in states.items():
        assert effects.actor is not None
        assert effects.state is not None
        commit.put(effects.actor.actor_row(effects.state))
        if ActorRow in gone:
            gone[ActorRow].pop(address, None)
    for kind, rows in puts.items():
        if rows:
            commit.puts[kind] = list(rows.values())
    for kind, keys in gone.items():
        if keys:
            commit.deletes[kind] = list(keys)
    return commit
