"""Relations: monitors and links as data, and what an exit owes to others by them.

Turns make them (changes.py), exits end them (registry.py). The rules: docs/semantics/relations.md.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from ....persistence.store.checksums import seal
from ....persistence.store.rows import MonitorRow, Row
from ...mailbox.envelope import Envelope, derived_uid
from ...messages.message import ENCODER, Message, tag_of
from ...messages.signals import Down, Exit, Exited, ExitReason

__all__ = (
    "ADMINISTRATION",
    "ENDED",
    "LINK",
    "MONITOR",
    "Owed",
    "Related",
    "Relation",
    "Watch",
    "letter",
    "retire_row",
)

Kind = Literal["monitor", "link"]
MONITOR: Kind = "monitor"
LINK: Kind = "link"
ENDED: dict[str, Kind] = {"monitor ended": MONITOR, "link ended": LINK}
"""Kinds of rows alone: the target was retired while no node ran, and the watcher is still to be told."""

ADMINISTRATION = ExitReason.shutdown("administration")
"""Why an actor exits that administration stops or retires, whether it is in memory at that moment or not."""


class Relation:
    """One monitor, or one link."""

    __slots__ = ("broken", "id", "kind", "position", "stored", "target", "watcher")

    def __init__(self, relation_id: str, kind: Kind, watcher: str, target: str, stored: bool) -> None:
        self.id = relation_id
        self.kind = kind
        self.watcher = watcher
        """The actor that set it; the two ends of a link are equal."""
        self.target = target
        self.stored = stored
        """Whether it has a row: it holds over the end of the node."""
        self.position = 0
        """That of its row in the commit order; 0 for one that was read."""
        self.broken = False
        """A link whose one end has ended in a commit, and hasn't come to rest yet."""

    def row(self) -> MonitorRow:
        return seal(MonitorRow(self.id, self.watcher, self.target, self.kind))


class Watch:
    """A monitor or link of a turn that is still open, with what has become of its target meanwhile."""

    __slots__ = ("exit", "id", "target")

    def __init__(self, relation_id: str, target: str) -> None:
        self.id = relation_id
        self.target = target
        self.exit: Exit | None = None


class Related:
    """All relations of one address."""

    __slots__ = ("links", "open", "watched", "watching")

    def __init__(self) -> None:
        self.watched: dict[str, Relation] = {}
        """Monitors on it, by id."""
        self.watching: dict[str, Relation] = {}
        """Monitors of its own, by id."""
        self.links: dict[str, Relation] = {}
        """By the other end's address."""
        self.open: list[Watch] = []
        """Of turns that aren't finished yet."""

    @property
    def empty(self) -> bool:
        return not (self.watched or self.watching or self.links or self.open)


class Owed:
    """What an exit owes to others: messages, exit signals, and the relations that are gone with it."""

    __slots__ = ("_decided", "after", "exit", "letters", "linked", "relations")

    def __init__(self, end: Exit, after: int, decided: Callable[[Owed, int], object]) -> None:
        """
        Args:
            decided: called when the exit has its place in the commit order.
        """
        self._decided = decided
        self.exit = end
        self.after = after
        """The position that what it tells rests on; that of its effects, once it has some."""
        self.letters: list[Envelope] = []
        """Those with a body get a row."""
        self.linked: list[str] = []
        """Actors that are to exit as well."""
        self.relations: list[Relation] = []

    def decided(self, position: int) -> None:
        """The exit has this place in the commit order, and what it owes with it."""
        self._decided(self, position)

    def entries(self, next_id: Callable[[], int]) -> tuple[list[Envelope], list[tuple[type[Row], Any]], int]:
        """What of it commits: messages to insert, rows to delete, bytes."""
        inserts: list[Envelope] = []
        size = 0
        for envelope in self.letters:
            if envelope.body is not None:
                envelope.id = next_id()
                inserts.append(envelope)
                size += 200 + len(envelope.body)
        deletes: list[tuple[type[Row], Any]] = [
            (MonitorRow, relation.id) for relation in self.relations if relation.stored
        ]
        return inserts, deletes, size


def letter(relation_id: str, to: str, durable: bool, message: Down | Exited) -> Envelope:
    """A message that a relation's end brings: told once, so its uid is derived from the relation's id."""
    told: Message = message
    body = ENCODER.encode(told) if durable else None
    envelope = Envelope(to, derived_uid(relation_id, "end"), told, tag_of(type(told)), body)
    envelope.sender = message.address
    return envelope


def retire_row(row: MonitorRow, address: str) -> MonitorRow | None:
    """What becomes of a row when `address`, one end of its relation, is retired while no node runs.

    The other end is told at the next boot, which knows whether it traps exits. None: nobody is to be told.
    """
    if row.kind in ENDED:
        return None if row.watcher == address else row
    if row.kind == LINK:
        other = row.target if row.watcher == address else row.watcher
        return seal(row._replace(watcher=other, target=address, kind="link ended"))
    return None if row.watcher == address else seal(row._replace(kind="monitor ended"))
