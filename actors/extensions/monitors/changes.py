"""Changes: the monitors and links that one turn sets and takes off. They take effect at the turn's
finish, or not at all."""

from __future__ import annotations

from typing import ClassVar

from ....persistence.store.rows import MonitorRow
from ...delivery.ref import ActorRef
from ...kernel.hooks import Participant
from ...kernel.leaving import Leaving
from ...kernel.turn import Turn
from ...mailbox.envelope import Envelope
from ...messages.errors import UnhandledMessage
from ...messages.signals import Down, Exited
from .errors import TooManyMonitors
from .registry import Monitors
from .relations import LINK, MONITOR, Related, Relation, Watch, letter

__all__ = ("RelationChanges",)

RELATIONS_MAX = 100_000
"""The number of monitors, and of links, that one actor may have."""


class RelationChanges(Participant):
    """The changes of one turn."""

    rank: ClassVar[int] = 1

    def __init__(self, turn: Turn) -> None:
        self._turn = turn
        self._cell = turn.cell
        self._kernel = turn.cell.kernel
        self._monitors = turn.cell.kernel.part(Monitors)
        self._set: dict[str, Watch] = {}
        self._unset: dict[str, None] = {}
        """Monitors of earlier turns that are to be taken off."""
        self._links: dict[str, Watch | None] = {}
        """Links by the other end's address; None: to be unlinked."""
        self._made: list[tuple[Relation, Watch]] = []
        self._undone: list[Relation] = []
        """`prepare` works out both. They are done once the turn's effects have their position in the commit queue."""
        self._queued: list[Relation] = []
        """Relations that are undone before their rows are written."""

    # -- what the handler calls --------------------------------------------------------------------------

    def monitor(self, ref: ActorRef) -> str:
        target = self._checked(ref, "monitor")
        self._check_handler(Down)
        self._check_room(len(self._related().watching) + len(self._set))
        watch = self._watch(target)
        self._set[watch.id] = watch
        return watch.id

    def demonitor(self, monitor_id: str) -> None:
        if not isinstance(monitor_id, str):
            raise TypeError(f"demonitor({monitor_id!r:.100}): it takes the id that self.monitor(ref) returned")
        watch = self._set.pop(monitor_id, None)
        if watch is None:
            self._unset[monitor_id] = None
        else:
            self._monitors.unwatch(watch)

    def link(self, ref: ActorRef) -> None:
        target, address = self._checked(ref, "link"), self._cell.address
        if target.rpartition("/")[0] == address or address.rpartition("/")[0] == target:
            return  # supervisor and child are bound to each other already
        if self._cell.options.trap_exits:
            self._check_handler(Exited)
        if self._links.get(target) is not None:
            return
        self._links.pop(target, None)
        related = self._related()
        if target not in related.links:
            self._check_room(len(related.links) + len(self._links))
            self._links[target] = self._watch(target)

    def unlink(self, ref: ActorRef) -> None:
        target = self._checked(ref, "unlink")
        watch = self._links.get(target)
        if watch is not None:
            self._monitors.unwatch(watch)
        self._links[target] = None

    def _related(self) -> Related:
        return self._monitors.related(self._cell.address)

    def _watch(self, target: str) -> Watch:
        watch = Watch(self._turn.next_uid(), target)
        self._monitors.watch(watch)
        return watch

    def _checked(self, ref: ActorRef, what: str) -> str:
        if not isinstance(ref, ActorRef):
            raise TypeError(f'{what}({ref!r:.100}): it takes a reference, such as system.ref("/bank/ledger")')
        if not ref.belongs_to(self._kernel):
            raise ValueError(f"{what}({ref.address}): that is an actor of another node")
        if ref.address == self._cell.address:
            raise ValueError(f"{what}({ref.address}): an actor can't {what} itself; its `on_start` sees each restart")
        return ref.address

    def _check_handler(self, kind: type[Down] | type[Exited]) -> None:
        if self._cell.handler_for(kind) is None:
            raise UnhandledMessage(self._cell.address, kind.__name__)

    def _check_room(self, count: int) -> None:
        if count >= RELATIONS_MAX:
            raise TooManyMonitors(self._cell.address, RELATIONS_MAX)

    # -- the finish --------------------------------------------------------------------------------------

    def prepare(self, inserts: list[Envelope], ahead: bool) -> int:
        """Add the rows to write and to delete to the turn. Its own actor is told of targets that are gone."""
        turn, cell, size = self._turn, self._cell, 0
        for envelope in self._settle(ahead):
            turn.send(cell, envelope)
            if envelope.body is not None:
                envelope.id = self._kernel.next_id()
                inserts.append(envelope)
                size += 200 + len(envelope.body)
        return size

    def _settle(self, ahead: bool) -> list[Envelope]:
        """Work out the changes. Returns the messages that tell the actor of targets that are gone."""
        turn, cell, monitors = self._turn, self._cell, self._monitors
        related = self._related()
        told: list[Envelope] = []
        for watch in self._set.values():
            end = watch.exit or monitors.absent(watch.target)
            if end is None:
                self._make(Relation(watch.id, MONITOR, cell.address, watch.target, cell.durable), watch)
            else:
                down = Down(address=watch.target, reason=end.plain, monitor=watch.id)
                told.append(letter(watch.id, cell.address, cell.durable, down))
        for monitor_id in self._unset:
            self._undo(related.watching.get(monitor_id), ahead)
        for other, link in self._links.items():
            if link is None:
                self._undo(related.links.get(other), ahead)
                continue
            end = link.exit or monitors.absent(other)
            if end is None:
                stored = cell.durable and self._kernel.router.resolve(other).durable
                self._make(Relation(link.id, LINK, cell.address, other, stored), link)
                continue
            signal = end.signal(self._kernel.boot)
            if cell.options.trap_exits:
                told.append(letter(link.id, cell.address, cell.durable, signal))
            elif signal.reason.kind != "normal" and turn.exit is None:
                turn.part(Leaving).stop(signal.reason)
        return [] if turn.retiring else told

    def _make(self, relation: Relation, watch: Watch) -> None:
        self._made.append((relation, watch))
        if relation.stored:
            self._turn.record(relation.row())

    def _undo(self, relation: Relation | None, ahead: bool) -> None:
        if relation is None:
            return
        self._undone.append(relation)
        if not relation.stored:
            return
        if ahead and relation.position > self._kernel.commits.committed:
            self._queued.append(relation)
        else:
            self._turn.delete(MonitorRow, relation.id)

    def apply(self) -> None:
        self.withdraw()
        monitors, after = self._monitors, self._turn.after
        for relation in self._undone:
            monitors.forget_relation(relation)
        monitors.delete(self._queued)
        for relation, watch in self._made:
            monitors.enter(relation, after)
            if watch.exit is not None:  # while the turn's transaction was being committed
                monitors.end_late(relation, watch.exit, self._cell.after)

    def withdraw(self) -> None:
        """Let go of the targets, because the turn is over and doesn't depend on them any more."""
        monitors = self._monitors
        for watch in (*self._set.values(), *self._links.values()):
            if watch is not None:
                monitors.unwatch(watch)
