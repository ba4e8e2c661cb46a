"""Registry: the monitors and links of one node. Each exit is told once (exit signals are in links.py).

    class Broker(Actor[Book]):
        @handler
        def hire(self, message: Hire) -> None:
            self.monitor(worker)  # an ActorRef

        @handler
        def down(self, message: Down) -> None:
            self.state.lost.append(message.address)

A monitor takes effect at the finish of its turn, and commits with it if the watcher is durable. An exit that is decided
in a commit writes its `Down`s, and deletes their monitors, in that same commit. The `Down`s are delivered when the
incarnation is over. OTP: erlang:monitor/2.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ....persistence.commit.effects import Effects
from ....persistence.errors import RecordCorrupt, StoreError
from ....persistence.store.checksums import verify
from ....persistence.store.rows import AttemptRow, MessageRow, MonitorRow, Row
from ...execution.exits import Exits
from ...kernel.cell import PASSIVE, STARTING, STOPPING, UP, Cell
from ...kernel.errors import ActorNotFound
from ...kernel.hooks import Extension
from ...kernel.kernel import Kernel
from ...mailbox.envelope import Envelope
from ...messages.signals import Down, Exit, ExitReason
from .links import Links
from .relations import ADMINISTRATION, ENDED, LINK, MONITOR, Owed, Related, Relation, Watch, letter

__all__ = ("Monitors",)

NOTHING = Related()
"""Stands for the relations of an address that has none."""


class Monitors(Extension):
    """Every monitor and link of the node, in memory. Those that hold over the node's end have rows."""

    def __init__(self, kernel: Kernel, exits: Exits) -> None:
        self._kernel = kernel
        self.bound: dict[str, Related] = {}
        """The relations by address. An address that isn't among them has none."""
        self.owed: dict[str, Owed] = {}
        """Messages by the address of an exit. They are committed, and are delivered when the incarnation is over."""
        self.concerned = (self.bound, self.owed)
        self.links = Links(kernel, exits, self.cell)
        self._ended: list[Relation] = []
        """Relations whose target was retired while no node ran."""

    # -- turns -----------------------------------------------------------------------------------------

    def watch(self, watch: Watch) -> None:
        """Note that an open turn wants to know if this target exits before the turn's finish."""
        self._of(watch.target).open.append(watch)

    def unwatch(self, watch: Watch) -> None:
        related = self.bound.get(watch.target)
        if related is not None and watch in related.open:
            related.open.remove(watch)
            self._tidy(watch.target, related)

    def enter(self, relation: Relation, position: int) -> None:
        """Enter a relation that a turn with this position in the commit queue has made."""
        relation.position = position
        self._enter(relation)

    def forget_relation(self, relation: Relation) -> None:
        """Forget a relation, because a turn has undone it."""
        self._forget(relation)

    def delete(self, relations: Sequence[Relation]) -> None:
        """Delete the rows of relations that were undone before their rows were written."""
        if relations:
            self._write(Effects(deletes=[(MonitorRow, relation.id) for relation in relations]))

    def end_late(self, relation: Relation, end: Exit, after: int) -> None:
        """End a relation whose target has exited between a turn's finish and its commit."""
        self._submit(self._late(relation, end, after))

    def _late(self, relation: Relation, end: Exit, after: int) -> Owed:
        """The message that is owed to a relation's watcher, because it had no part in the exit itself."""
        owed = Owed(end, after, self.decided)
        owed.relations.append(relation)
        if relation.kind == LINK:
            self.links.add_signal(owed, relation.watcher, relation)
        else:
            down = Down(address=end.address, reason=end.plain, monitor=relation.id)
            owed.letters.append(letter(relation.id, relation.watcher, relation.stored, down))
        return owed

    def owed_to(self, address: str) -> list[Envelope]:
        """The messages on their way to an address, committed and not delivered yet."""
        return [told for owed in self.owed.values() for told in owed.letters if told.address == address]

    # -- exits -----------------------------------------------------------------------------------------

    def _work_out(
        self, end: Exit, after: int = 0, *, retired: bool = False, ahead: bool = False, over: bool = False
    ) -> Owed | None:
        """Work out the messages that are owed to others by an exit; None if there are none. Changes nothing.

        Args:
            after: the position that it rests on.
            retired: the actor is gone for good, and its own monitors with it.
            ahead: the exit commits before the queue.
            over: the incarnation is over. Relations without a row are told then, because before that
                they may still change.
        """
        related = self.bound.get(end.address)
        if related is None:
            return None
        owed = Owed(end, after, self.decided)
        written = self._kernel.commits.committed if ahead else self._kernel.commits.position

        def concerned(relation: Relation) -> bool:
            return over or (relation.stored and relation.position <= written)

        if related.watched:
            plain = end.plain
            for relation in related.watched.values():
                if concerned(relation):
                    owed.relations.append(relation)
                    down = Down(address=end.address, reason=plain, monitor=relation.id)
                    owed.letters.append(letter(relation.id, relation.watcher, relation.stored, down))
        for other, relation in related.links.items():
            if concerned(relation):
                owed.relations.append(relation)
                self.links.add_signal(owed, other, relation)
        if retired:
            owed.relations += filter(concerned, related.watching.values())
        return owed if owed.relations else None

    def decided(self, owed: Owed, position: int) -> None:
        """The exit has its position in the commit queue, and the owed messages with it."""
        owed.after = position
        owed.linked.clear()  # an exit by a link happens when the incarnation is over
        for relation in owed.relations:
            if relation.kind == LINK:
                relation.broken = True  # the other end may exit before this one is over: then neither signals the other
                relation.stored = False
            else:
                self._forget(relation)
        first = self.owed.setdefault(owed.exit.address, owed)
        if first is not owed:
            first.letters += owed.letters
            first.after = position

    def exiting(self, end: Exit, after: int, *, ahead: bool = False) -> Owed | None:
        return self._work_out(end, after, retired=end.retired, ahead=ahead)

    def ended(self, cell: Cell, end: Exit | None) -> None:
        """Deliver everything that is owed by an exit, because the incarnation is over. That includes messages that no
        commit of its own has told."""
        if end is not None and (self.owed or cell.address in self.bound):
            self._end(end, cell.after, durable=cell.durable, retired=end.retired)

    def _end(self, end: Exit, after: int, *, durable: bool, retired: bool) -> None:
        address = end.address
        owed = self.owed.pop(address, None)
        if owed is not None:
            self._deliver(owed)
        related = self.bound.get(address)
        if related is None:
            return
        for watch in related.open:
            watch.exit = end
        related.open.clear()
        rest = self._work_out(end, after, retired=retired or not durable, over=True)
        if rest is not None:
            self._submit(rest)
        self._tidy(address, related)

    def _submit(self, owed: Owed) -> None:
        """Submit the effects of an exit that has no other commit."""
        inserts, deletes, size = owed.entries(self._kernel.next_id)
        if inserts or deletes:
            position = self._write(Effects(inserts=inserts, deletes=deletes, size=size))
            if not position:
                return
            owed.after = position
        for relation in owed.relations:
            self._forget(relation)
        self._deliver(owed)

    def _write(self, effects: Effects) -> int:
        """Submit effects. Returns their position; 0 if the store is broken, because the tree is about
        to be reset from it."""
        try:
            return self._kernel.commits.submit(effects)
        except StoreError:
            return 0

    def _deliver(self, owed: Owed) -> None:
        caution, after = self._kernel.caution, owed.after
        if caution is not None and after > self._kernel.commits.committed:
            caution.after(after, lambda: self._arrive(owed))
        else:
            self._arrive(owed)

    def _arrive(self, owed: Owed) -> None:
        """Put the owed messages into the mailboxes. No capacity limits that, and no sender is held back for it."""
        for envelope in owed.letters:
            envelope.after = owed.after
            cell = self.cell(envelope.address)
            if cell is not None:
                cell.push(envelope)
            else:
                self._kernel.index.keep(envelope.address, envelope.id)
        if owed.linked:
            self.links.deliver(owed)

    def retired(self, address: str) -> None:
        """Note that administration has retired an actor that doesn't run any more. It deletes the actor's rows."""
        self._end(Exit(address, 0, ADMINISTRATION), 0, durable=True, retired=True)

    def rows_of(self, address: str) -> list[tuple[type[Row], Any]]:
        """The rows of messages on their way to an address. Relations have two ends, so their rows are
        deleted by `exiting`."""
        ids = [told.id for told in self.owed_to(address) if told.id]
        return [(kind, row_id) for row_id in ids for kind in (MessageRow, AttemptRow)]

    def forget(self, address: str) -> None:
        self._forget_owed(address)

    def _forget_owed(self, address: str) -> None:
        untold = [relation for relation in self._ended if relation.watcher == address]
        if untold and self._write(Effects(deletes=[(MonitorRow, relation.id) for relation in untold])):
            self._ended = [relation for relation in self._ended if relation.watcher != address]
        for owed in self.owed.values():
            owed.letters = [told for told in owed.letters if told.address != address]

    # -- addresses --------------------------------------------------------------------------------------------

    def related(self, address: str) -> Related:
        """All relations of an address, to be read."""
        return self.bound.get(address, NOTHING)

    def cell(self, address: str) -> Cell | None:
        try:
            return self._kernel.router.resolve(address)
        except ActorNotFound:
            return None

    def absent(self, address: str, taking: dict[str, bool] | None = None) -> Exit | None:
        """The exit that stands for an address at which nothing runs; None for a live one. OTP: noproc.

        Args:
            taking: supervisors whose templates are known to make any address a live one, or none; to look at many
                without making cells for them all.
        """
        cell = self._kernel.cells.get(address)
        if cell is None:
            above = address.rpartition("/")[0]
            if taking is None or above not in taking:
                cell = self.cell(address)
                if taking is not None:
                    taking[above] = cell is not None
            elif taking[above]:
                return None
        if cell is None:
            return Exit(address, 0, ExitReason.no_process(f"there is no {address}"))
        if cell.status in (UP, STARTING, STOPPING) or (cell.status is PASSIVE and cell.on_demand):
            return None
        return Exit(address, cell.last_exit, ExitReason.no_process(f"{address} doesn't run: it is {cell.status}"))

    # -- bookkeeping -----------------------------------------------------------------------------------

    def _of(self, address: str) -> Related:
        related = self.bound.get(address)
        if related is None:
            related = self.bound[address] = Related()
        return related

    def _tidy(self, address: str, related: Related) -> None:
        if related.empty and self.bound.get(address) is related:
            del self.bound[address]

    def _enter(self, relation: Relation) -> None:
        watcher, target = self._of(relation.watcher), self._of(relation.target)
        if relation.kind == LINK:
            watcher.links[relation.target] = target.links[relation.watcher] = relation
        else:
            watcher.watching[relation.id] = target.watched[relation.id] = relation

    def _forget(self, relation: Relation) -> None:
        for address, other in ((relation.watcher, relation.target), (relation.target, relation.watcher)):
            related = self.bound.get(address)
            if related is None:
                continue
            if relation.kind == LINK:
                if related.links.get(other) is relation:
                    del related.links[other]
            else:
                related.watching.pop(relation.id, None)
                related.watched.pop(relation.id, None)
            self._tidy(address, related)

    # -- boot, and a store that is back --------------------------------------------------------------------

    def reset(self) -> None:
        """Forget every relation, because the tree is being reset from the database: every incarnation is
        gone, without an exit."""
        self.bound.clear()
        self.owed.clear()
        self._ended.clear()
        self.links.reset()

    async def load(self) -> None:
        """Read the relations that hold over the end of the node. Damaged rows are left alone, and reported."""
        self.reset()
        async for row in self._kernel.store.iterate(MonitorRow):
            try:
                verify(row)
            except RecordCorrupt as error:
                self._kernel.report_damage(error, "the node starts without this monitor or link", row.watcher)
                continue
            if row.kind in ENDED:
                self._ended.append(Relation(row.id, ENDED[row.kind], row.watcher, row.target, True))
                continue
            self._enter(Relation(row.id, LINK if row.kind == LINK else MONITOR, row.watcher, row.target, True))

    async def look_round(self) -> None:
        """Tell the other ends, because the tree has started: of addresses at which nothing runs any more, and of
        targets that were retired while no node ran."""
        ended, self._ended = self._ended, []
        for relation in ended:
            owed = self._late(relation, Exit(relation.target, 0, ADMINISTRATION), 0)
            owed.linked.clear()  # nothing of the other end ran that could have exited with it
            self._submit(owed)
        taking: dict[str, bool] = {}
        for address, related in list(self.bound.items()):
            if (related.watched or related.links) and (end := self.absent(address, taking)) is not None:
                late = self._work_out(end, over=True)
                if late is not None:
                    self._submit(late)
