"""Relations: monitors and links as data, and the messages that are owed to others because of them.

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
"""The kinds of rows whose target was retired while no node ran. The watcher is still to be told."""

ADMINISTRATION = ExitReason.shutdown("administration")
"""The reason of an actor that administration stops or retires, whether it is in memory at that moment or not."""


class Relation:
    """One monitor, or one link."""

    __slots__ = ("broken", "id", "kind", "position", "stored", "target", "watcher")

    def __init__(self, relation_id: str, kind: Kind, watcher: str, target: str, stored: bool) -> None:
        self.id = relation_id
        self.kind = kind
        self.watcher = watcher
        """The actor that set it. The two ends of a link are equal."""
        self.target = target
        self.stored = stored
        """Whether it has a row, and so holds over the end of the node."""
        self.position = 0
        """The position of its row in the commit queue; 0 for a row that was read."""
        self.broken = False
        """Whether one end of the link has ended in a commit, and the link hasn't come to rest yet."""

    def row(self) -> MonitorRow:
        return seal(MonitorRow(self.id, self.watcher, self.target, self.kind))


class Watch:
    """A monitor or link of a turn that is still open, with the exit of its target meanwhile."""

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
        """Monitors on the address, by id."""
        self.watching: dict[str, Relation] = {}
        """Monitors that the address has set, by id."""
        self.links: dict[str, Relation] = {}
        """Links by the other end's address."""
        self.open: list[Watch] = []
        """Monitors and links of turns that aren't finished yet."""

    @property
    def empty(self) -> bool:
        return not (self.watched or self.watching or self.links or self.open)


class Owed:
    """Messages, exit signals and deletions of relations that are owed to others because of an exit."""

    __slots__ = ("_decided", "after", "exit", "letters", "linked", "relations")

    def __init__(self, end: Exit, after: int, decided: Callable[[Owed, int], object]) -> None:
        """
        Args:
            decided: called when the exit has its position in the commit queue.
        """
        self._decided = decided
        self.exit = end
        self.after = after
        """The position that the messages rest on: that of the exit's effects, once it has some."""
        self.letters: list[Envelope] = []
        """Messages to others. Those with a body get a row."""
        self.linked: list[str] = []
        """Addresses of actors that are to exit as well."""
        self.relations: list[Relation] = []

    def decided(self, position: int) -> None:
        """The exit has this position in the commit queue, and the owed messages with it."""
        self._decided(self, position)

    def entries(self, next_id: Callable[[], int]) -> tuple[list[Envelope], list[tuple[type[Row], Any]], int]:
        """The part that commits: messages to insert, rows to delete, and the bytes of both."""
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
    """A message that the end of a relation brings. It is told once, so its uid is derived from the relation's id."""
    told: Message = message
    body = ENCODER.encode(told) if durable else None
    envelope = Envelope(to, derived_uid(relation_id, "end"), told, tag_of(type(told)), body)
    envelope.sender = message.address
    return envelope


def retire_row(row: MonitorRow, address: str) -> MonitorRow | None:
    """The row that is to replace another when `address`, one end of its relation, is retired while no node runs.

    The other end is told at the next boot, which knows whether it traps exits. None if the other end isn't to be told.
    """
    if row.kind in ENDED:
        return None if row.watcher == address else row
    if row.kind == LINK:
        other = row.target if row.watcher == address else row.watcher
        return seal(row._replace(watcher=other, target=address, kind="link ended"))
    return None if row.watcher == address else seal(row._replace(kind="monitor ended"))
