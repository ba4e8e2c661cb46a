"""Entries of the commit queue: the changes that a finished turn, or a tell, wants committed; and how a batch of them
folds into one commit.

Nearly all entries are of two kinds: a message that was told, or a turn that has acknowledged its message, changed its
state and sent others. Those stand in the queue themselves, without an object around them, as `Told` and `Handled`.
Anything else is `Effects`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Protocol

from ..store.commit import Commit
from ..store.rows import ROWS, ActorRow, MessageRow, Row

__all__ = ("Effects", "Entry", "Handled", "Stateful", "Told", "fold", "unhandled")


class Stateful(Protocol):
    """An actor that has a state row."""

    address: str

    def actor_row(self, state: bytes) -> ActorRow: ...


class Told:
    """A message on its way to its row. The row is made only if the message outlives the batch.

    As an entry of the commit queue, it is the insertion of that row.
    """

    __slots__ = ()

    deletes: ClassVar[Sequence[tuple[type[Row], Any]]] = ()

    id: int

    @property
    def inserts(self) -> Sequence[Told]:
        return (self,)

    @property
    def guilty(self) -> Any:
        """The owner of this data, which answers for it if the database refuses it: `guilty.refused(entry, error)`."""
        return self

    def row(self) -> MessageRow:
        raise NotImplementedError


class Handled:
    """A finished turn, as an entry of the commit queue."""

    __slots__ = ()

    ack: int
    """The id of the message that the turn handled; 0 if that has no row."""
    actor: Stateful
    state: bytes | None
    """The actor's state, if the turn has changed it."""
    inserts: Sequence[Told]

    @property
    def guilty(self) -> Any:
        """The one to charge if the database refuses this data; opaque here."""
        return self


class Effects:
    """An entry of the commit queue that may hold anything."""

    __slots__ = ("ack", "actor", "deletes", "guilty", "inserts", "rows", "size", "state")

    def __init__(
        self,
        *,
        ack: int = 0,
        inserts: Sequence[Told] = (),
        actor: Stateful | None = None,
        state: bytes | None = None,
        rows: Sequence[Row] = (),
        deletes: Sequence[tuple[type[Row], Any]] = (),
        guilty: Any = None,
        size: int = 0,
    ) -> None:
        self.ack = ack
        self.inserts = inserts
        self.actor = actor
        self.state = state
        self.rows = rows
        self.deletes = deletes
        self.guilty = guilty
        self.size = size
        """Roughly, in bytes, for the bound on the run-ahead."""


Entry = Told | Handled | Effects


def unhandled(entries: Sequence[Entry]) -> int:
    """How many more messages the entries tell than they acknowledge."""
    count = 0
    for entry in entries:
        count += 1 if isinstance(entry, Told) else len(entry.inserts) - (entry.ack != 0)
    return count


def fold(batch: Sequence[Entry], commit: Commit) -> Commit:
    """Fill `commit` with the batch: the last value for each key, and no row for a message that was told and handled
    within the batch.
    """
    new: dict[int, Told] = {}
    acked: list[int] = []
    states: dict[str, tuple[Stateful, bytes]] = {}
    others: _Others | None = None
    last_id = commit.last_id
    for entry in batch:
        if isinstance(entry, Told):
            last_id = entry.id
            new[last_id] = entry
            continue
        for message in entry.inserts:
            last_id = message.id
            new[last_id] = message
        ack, state = entry.ack, entry.state
        if ack and new.pop(ack, None) is None:
            acked.append(ack)
        if state is not None:
            actor = entry.actor
            assert actor is not None
            states[actor.address] = actor, state
        if isinstance(entry, Effects) and (entry.rows or entry.deletes):
            if others is None:
                others = _Others(new, acked, states)
            others.add(entry)
    commit.last_id = last_id
    if new:
        commit.inserts = [message.row() for message in new.values()]
    if acked:
        commit.deletes[MessageRow] = acked
    if states:
        commit.puts[ActorRow] = [actor.actor_row(state) for actor, state in states.values()]
    if others is not None:
        others.into(commit)
    return commit


class _Others:
    """Rows that are neither messages that were told nor states. Few turns have any."""

    def __init__(self, new: dict[int, Told], acked: list[int], states: dict[str, tuple[Stateful, bytes]]) -> None:
        self._new = new
        self._acked = acked
        self._states = states
        self._puts: dict[type[Row], dict[Any, Row]] = {}
        self._gone: dict[type[Row], dict[Any, None]] = {}

    def add(self, effects: Effects) -> None:
        puts, gone = self._puts, self._gone
        for row in effects.rows:
            kind = type(row)
            width = ROWS[kind].key
            key = row[0] if width == 1 else tuple(row[:width])
            puts.setdefault(kind, {})[key] = row
            if kind in gone:
                gone[kind].pop(key, None)
        for kind, key in effects.deletes:
            if kind is MessageRow:
                if self._new.pop(key, None) is None:
                    self._acked.append(key)
                continue
            if kind is ActorRow:
                self._states.pop(key, None)
            gone.setdefault(kind, {})[key] = None
            if kind in puts:
                puts[kind].pop(key, None)

    def into(self, commit: Commit) -> None:
        if ActorRow in self._gone:
            for address in self._states:
                self._gone[ActorRow].pop(address, None)
        for kind, rows in self._puts.items():
            if rows:
                commit.puts[kind] = list(rows.values())
        for kind, keys in self._gone.items():
            if keys:
                commit.deletes[kind] = list(keys)
