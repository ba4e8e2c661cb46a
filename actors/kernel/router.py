"""Router: from addresses to cells, and from senders into mailboxes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from ..mailbox.envelope import Ask, Envelope
from ..mailbox.mailbox import SYSTEM
from ..messages.message import Message
from ..messages.signals import ExitReason
from .cell import GONE, STARTING, UP, Cell
from .errors import ActorNotFound
from .failures import park
from .kernel import Kernel

__all__ = ("Router",)


class Router:
    """The way to the mailboxes of one node."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel

    # -- addresses -----------------------------------------------------------------------------------------

    def resolve(self, address: str) -> Cell:
        """The cell at an address. Its supervisor's template makes it if there was none.

        Raises:
            ActorNotFound
        """
        kernel = self._kernel
        cell = kernel.cells.get(address)
        if cell is not None:
            return cell
        above, _, key = address.rpartition("/")
        parent = kernel.cells.get(above)
        if parent is not None and key:
            cell = kernel.activator.activate(parent, key)
        if cell is None:
            nearest = above
            while nearest and nearest not in kernel.cells:
                nearest = nearest.rpartition("/")[0]
            known = sorted(found for found in kernel.cells if found.rpartition("/")[0] == nearest)[:10]
            raise ActorNotFound(address, f"under {nearest or '/'} there is {', '.join(known) or 'nothing'}")
        return cell

    def add(self, cell: Cell) -> None:
        """Make a cell known. Mail that waited for it on disk moves in."""
        kernel = self._kernel
        kernel.cells[cell.address] = cell
        if kernel.over:
            cell.light = False
        self.move_in(cell)

    def move_in(self, cell: Cell) -> None:
        """Move mail that waits on disk for this cell into its mailbox."""
        index = self._kernel.index
        cell.swap(index.mailbox_of(cell.address, cell.mailbox, durable=cell.durable, on_mail=cell.unpark))

    def remove(self, cell: Cell) -> None:
        """Forget a cell that is gone, or that left memory."""
        kernel = self._kernel
        if kernel.cells.get(cell.address) is cell:
            del kernel.cells[cell.address]
        cell.to(GONE)
        cell.has_room()  # those who wait for room there go elsewhere
        kernel.activator.forget(cell)

    # -- arrival ---------------------------------------------------------------------------------------------

    def deliver(self, sender: Cell, sends: list[tuple[Cell, Envelope]], after: int) -> None:
        """Put the sends of a finished turn into the mailboxes of their receivers."""
        caution = self._kernel.caution
        if caution is not None and after > self._kernel.commits.committed:
            # No lambda, because the variables that it closes over would cost every turn.
            caution.after(after, partial(self._deliver, sender, sends, after))
        else:
            self._deliver(sender, sends, after)

    def _deliver(self, sender: Cell, sends: list[tuple[Cell, Envelope]], after: int) -> None:
        for receiver, envelope in sends:
            cell: Cell | None = receiver
            envelope.after = after
            if receiver.status is GONE:
                cell = self.successor(envelope)
                if cell is None:
                    continue
            assert cell is not None
            if envelope.due is None:
                cell.mailbox.push(envelope, envelope.priority)
                if not cell.queued:
                    cell.wake()
            else:
                self._kernel.delayed.delay(cell.address, envelope, envelope.due)
            if cell.mailbox.count > cell.capacity:
                self._hold_back(sender, cell)

    def arrive(self, cell: Cell, envelope: Envelope) -> None:
        """Put a message from outside into its mailbox, or let it wait for its moment."""
        if envelope.due is not None:
            self._kernel.delayed.delay(cell.address, envelope, envelope.due)
        else:
            cell.push(envelope, envelope.priority)

    def arrive_late(self, cell: Cell, envelope: Envelope) -> None:
        """Do the same for a message that may have waited: for its commit, or in line. Its receiver may have
        left memory meanwhile, or retired."""
        receiver = self.successor(envelope) if cell.status is GONE else cell
        if receiver is not None:
            self.arrive(receiver, envelope)

    def redeliver(self, address: str, entry: Envelope | int) -> None:
        """Deliver a delayed or retried message whose moment has come."""
        try:
            cell = self.resolve(address)
        except ActorNotFound:
            self._kernel.index.keep(address, entry if isinstance(entry, int) else entry.id)
            return
        cell.push(entry, getattr(entry, "priority", 0))

    def successor(self, envelope: Envelope) -> Cell | None:
        """The cell that has the address now, because the receiver retired after the message was
        told. Without one it is parked."""
        try:
            return self.resolve(envelope.address)
        except ActorNotFound as error:
            park(self._kernel, envelope, ExitReason.from_exception(error), "no_actor")
            return None

    def hand_on(self, cell: Cell) -> None:
        """Pass on messages that came to an actor after the turn that retired it, before it was gone."""
        for entry in list(cell.mailbox.entries()):
            if isinstance(entry, Envelope) and type(entry) is not Ask:
                heir = self.successor(entry)
                if heir is not None:
                    heir.push(entry, entry.priority)

    def post(self, cell: Cell, signal: Message, *, urgent: bool = True) -> None:
        """Put a system signal into a mailbox; no capacity limits it. An urgent one passes every message."""
        cell.push(signal, SYSTEM if urgent else 0)
        if self._kernel.caution is not None:
            self._kernel.caution.serve(cell)

    # -- back-pressure -----------------------------------------------------------------------------------------

    def _hold_back(self, sender: Cell, receiver: Cell) -> None:
        """Don't schedule a sender until its receiver has room; never in a circle, and
        never for a receiver that is down."""
        if sender.held_by is not None or receiver.status not in (UP, STARTING):
            return
        other: object = receiver
        while isinstance(other, Cell):
            if other is sender:
                return
            other = other.held_by
        sender.held_by = receiver

        def release() -> None:
            if sender.held_by is receiver:
                sender.held_by = None
                sender.wake()

        self.when_room(receiver, release)

    def when_room(self, cell: Cell, callback: Callable[[], object]) -> None:
        """Call back when the mailbox is under its capacity, or its actor stops."""
        if cell.on_room is None:
            cell.on_room = []
        cell.on_room.append(callback)
