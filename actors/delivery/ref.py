"""ActorRef: the way to speak to an actor."""

from __future__ import annotations

from collections.abc import Coroutine
from threading import get_ident
from typing import Any, TypeVar

from ..kernel.cell import GONE, Cell
from ..kernel.current import current_turn, turn_of
from ..kernel.kernel import Kernel
from ..messages.message import Message, Request
from .guard import NO_PRIORITY, checked_address
from .receipt import DONE, Receipt
from .tell import Delivery
from .threads import FromThread

__all__ = ("ActorRef", "Receipt", "ref_to")

R = TypeVar("R")


def ref_to(kernel: Kernel, address: str) -> ActorRef:
    """A reference to the actor at an absolute address of a node. The first message shows whether there is one.

    Raises:
        ActorNotFound: that is no absolute path.
    """
    address = checked_address(address)
    return ActorRef(kernel.part(Delivery), address, kernel.cells.get(address))


class ActorRef:
    """An address, and the node in which it means something. It is cheap, and equal to another if both are."""

    __slots__ = ("_cell", "_delivery", "address")

    def __init__(self, delivery: Delivery, address: str, cell: Cell | None = None) -> None:
        self._delivery = delivery
        self.address = address
        self._cell = cell

    def tell(
        self, message: Message, *, key: str | None = None, delay_s: float | None = None, priority: int = 0
    ) -> Receipt:
        """Send a message. It takes effect now; awaiting the receipt waits for the commit.

        Args:
            key: an idempotency key. The same key to the same mailbox within the retention counts once.
            delay_s: seconds before which it isn't handled.
            priority: higher ones are handled first; order holds within a priority.

        Raises:
            NotAMessage, UndecodableMessage (a field holds a wrong value), ActorNotFound, MailboxFull
            TurnClosed, SystemStopped
            StoreFull, StoreUnavailable: the store is broken at the moment; `undelivered` is the message.
            WrongThread: not on the node's event loop. In a thread use `from_thread`.
            TypeError, ValueError: a key, a delay or a priority that is none.
        """
        home = self._delivery.home
        if home.loop._thread_id != get_ident():
            raise home.stranger("tell()")
        here = current_turn.get()
        cell = self._cell
        if cell is None or cell.status is GONE:
            cell = self.cell()
        elif here is None and key is None and delay_s is None and priority is NO_PRIORITY and cell.light:
            # The shortest way, into the mailbox of an actor without rows. All of it is in Delivery.tell.
            mailbox = cell.mailbox
            queue = mailbox.queue
            vouch = getattr(type(message), "__shared__", None)
            if queue is not None and vouch is not None and mailbox.count < cell.capacity and vouch(message):
                queue.append(message)
                mailbox.count += 1
                if not cell.queued:
                    cell.wake()
                return DONE
        if here is not None and here.cell.kernel is self._delivery.kernel:
            turn = turn_of(here)
            turn.check_open()
            self._delivery.tell_in_turn(turn, cell, message, key, delay_s, priority)
            return DONE
        return self._delivery.tell(cell, message, key, delay_s, priority)

    def ask(self, request: Request[R], *, timeout_s: float = 5.0) -> Coroutine[Any, Any, R]:
        """Send a request and wait for its reply.

        Outside callers get the reply when everything that it rests on is committed.

        Raises:
            AskTimeout: no reply within `timeout_s` seconds. A request that has expired isn't run.
            AskFailed: the handler raised; `reason` says what.
            AskCycle: waiting would close a circle; `path` names it.
            AskAfterTell: this turn has told the same actor, and the ask would pass the tell.
            NotAMessage, UndecodableMessage (a field holds a wrong value), ActorNotFound, MailboxFull
            TurnClosed, UnhandledMessage, SystemStopped, StoreError
            WrongThread: not on the node's event loop. In a thread use `from_thread`.
            TypeError, ValueError: `timeout_s` is no number of seconds above 0.
        """
        return self._delivery.asks.ask(self, request, timeout_s)

    @property
    def from_thread(self) -> FromThread:
        """The way to tell and ask from a thread: both block the thread until the message, or the reply, is on disk.

        def endpoint() -> int:                      # a sync function of a web framework, which runs in a thread
            ledger.from_thread.tell(Deposit(amount=5))
            return ledger.from_thread.ask(Balance())
        """
        return FromThread(self, self._delivery)

    def partition(self, key: str) -> ActorRef:
        """The child of a partition supervisor that this key belongs to, by a hash that is the same in every life.

        Elixir: PartitionSupervisor, `{:via, PartitionSupervisor, {name, key}}`.

        Raises:
            ActorNotFound: nothing has the address, or it has no partitions. WrongThread
        """
        self._delivery.home.check("partition()")
        return ActorRef(self._delivery, self._delivery.kernel.activator.route(self.cell(), key))

    def cell(self) -> Cell:
        cell = self._cell
        if cell is None or cell.status is GONE:
            cell = self._cell = self._delivery.kernel.router.resolve(self.address)
        return cell

    def belongs_to(self, kernel: Kernel) -> bool:
        """Whether it means an actor of this node."""
        return self._delivery.kernel is kernel

    def __repr__(self) -> str:
        return f"<ActorRef {self.address}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ActorRef) and other.address == self.address and other._delivery is self._delivery

    def __hash__(self) -> int:
        return hash(self.address)
