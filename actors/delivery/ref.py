"""ActorRef: the way to speak to an actor. And Receipt: what a tell gives back."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Generator
from typing import TYPE_CHECKING, Any, TypeVar

from ...persistence.errors import StoreDataError, StoreFull, StoreUnavailable
from ..kernel.status import GONE
from ..kernel.turn import current_turn
from ..messages.message import Message, Request

if TYPE_CHECKING:
    from ..kernel.cell import Cell
    from ..system import ActorSystem

__all__ = ("ActorRef", "Receipt")

R = TypeVar("R")


class Receipt:
    """Awaiting it waits until the message is on disk. The tell has taken effect without that.

    Inside a turn it is done at once: the message commits with the turn.

    Raises:
        StoreFull, StoreUnavailable: nothing was kept; `undelivered` is the message.
        StoreDataError: the database refuses this message (it is too big, say); `undelivered` is the message.
        MailboxFull, KeyConflict: of a tell that had to wait in line.
    """

    __slots__ = ("_admitted", "_message", "_position", "_system")

    def __init__(
        self,
        system: ActorSystem | None,
        position: int,
        message: Message | None,
        admitted: asyncio.Future[int] | None = None,
    ) -> None:
        self._system = system
        self._position = position
        self._message = message
        self._admitted = admitted

    def __await__(self) -> Generator[Any, None, None]:
        system = self._system
        if system is None:
            return
        try:
            if self._admitted is not None:
                self._position = yield from asyncio.shield(self._admitted)
                self._admitted = None
            position, committer = self._position, system.committer
            if position > committer.committed and system.writer.pace.quick and current_turn.get() is None:
                yield  # one round of the loop: turns in hand go first, and so does whoever else has something to tell
                if position > committer.committed:
                    system.writer.commit_here()
            if position > committer.committed:
                yield from committer.landing(position)  # raises what was lost
            elif (error := committer.lost(position)) is not None:
                raise error
        except (StoreFull, StoreUnavailable, StoreDataError) as error:
            raise error.handing_back(self._message) from None

    @property
    def committed(self) -> bool:
        """Whether the message is on disk by now (or was told inside a turn, which commits it)."""
        system = self._system
        if system is None:
            return True
        position, admitted = self._position, self._admitted
        if admitted is not None:
            if not admitted.done() or admitted.cancelled() or admitted.exception() is not None:
                return False
            position = admitted.result()
        return position <= system.committer.committed and system.committer.lost(position) is None


DONE = Receipt(None, 0, None)
"""The receipt of a tell that has nothing to wait for."""


class ActorRef:
    """An address, and the system in which it means something. Cheap; equal if the addresses are."""

    __slots__ = ("_cell", "_system", "address")

    def __init__(self, system: ActorSystem, address: str, cell: Cell | None = None) -> None:
        self._system = system
        self.address = address
        self._cell = cell

    def tell(
        self, message: Message, *, key: str | None = None, delay_s: float | None = None, priority: int = 0
    ) -> Receipt:
        """Send a message. It takes effect now; awaiting the receipt waits for the commit.

        Args:
            key: an idempotency key: the same key to the same mailbox within the retention counts once.
            delay_s: seconds before which it isn't handled.
            priority: higher ones are handled first; order holds within a priority.

        Raises:
            NotAMessage, ActorNotFound, MailboxFull, TurnClosed, SystemStopped
            StoreFull, StoreUnavailable: the store is broken at the moment; `undelivered` is the message.
        """
        turn = current_turn.get()
        cell = self._cell
        if cell is None or cell.status is GONE:
            cell = self.cell()
        elif turn is None and key is None and not delay_s and not priority and cell.light:
            # The shortest way (Delivery.tell has all of it): into the mailbox of an actor without rows.
            mailbox = cell.mailbox
            queue = mailbox.queue
            if (
                queue is not None
                and mailbox.count < cell.capacity
                and isinstance(message, Message)
                and type(message).__immutable__
            ):
                queue.append(message)
                mailbox.count += 1
                if not cell.queued:
                    cell.wake()
                return DONE
        if turn is not None and turn.cell.system is self._system:
            turn.check_open()
            self._system.delivery.tell_in_turn(turn, cell, message, key, delay_s, priority)
            return DONE
        return self._system.tell(cell, message, key, delay_s, priority)

    def ask(self, request: Request[R], *, timeout_s: float = 5.0) -> Coroutine[Any, Any, R]:
        """Send a request and wait for its reply.

        Outside callers get the reply when everything that it rests on is committed.

        Raises:
            AskTimeout: no reply within `timeout_s` seconds. A request that has expired isn't run.
            AskFailed: the handler raised; `reason` says what.
            AskCycle: waiting would close a circle; `path` names it.
            AskAfterTell: this turn has told the same actor, and the ask would pass the tell.
            NotAMessage, ActorNotFound, MailboxFull, TurnClosed, UnhandledMessage, SystemStopped, StoreError
        """
        return self._system.asks.ask(self.cell(), request, timeout_s)

    def partition(self, key: str) -> ActorRef:
        """Of a partition supervisor: the child that this key belongs to, by a hash that is the same in every life.

        Elixir: PartitionSupervisor, `{:via, PartitionSupervisor, {name, key}}`.

        Raises:
            ActorNotFound: nothing has the address, or it has no partitions.
        """
        return ActorRef(self._system, self._system.activator.route(self.cell(), key))

    def cell(self) -> Cell:
        cell = self._cell
        if cell is None or cell.status is GONE:
            cell = self._cell = self._system.resolve(self.address)
        return cell

    def __repr__(self) -> str:
        return f"<ActorRef {self.address}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ActorRef) and other.address == self.address and other._system is self._system

    def __hash__(self) -> int:
        return hash(self.address)
