"""ActorSystem: addresses to cells, messages to mailboxes.

It knows nothing of trees: a supervisor registers its children's cells here, and an `Activator` makes cells for addresses
that nobody has spoken to yet.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any, Protocol

from ..persistence.committer import Committer
from ..persistence.effects import Effects
from ..persistence.errors import StoreError, UnderstudyError
from ..persistence.events import Event, Events
from ..persistence.record import OwnerRow
from ..persistence.runtime import Runtime
from ..persistence.store import Store
from .admission import admit_slowly
from .asks import Asks
from .cell import Cell
from .delays import Delays
from .dispatch import round_trip
from .envelope import Envelope
from .errors import ActorNotFound, NotAMessage, SystemStopped
from .exiting import Exits
from .exits import ExitReason
from .inbox import Inbox
from .keys import Keys
from .mailbox import SYSTEM
from .message import Message, tag_of
from .recovery import Recovery
from .ref import DONE, ActorRef, Receipt
from .runner import Runners
from .status import GONE, STARTING, UP
from .turn import Turn, current_turn
from .types import is_deeply_immutable
from .write_slot import WriteSlot

__all__ = ("Activator", "ActorSystem", "Settings")

EVENTS_WAITING_MAX = 10_000
"""Events that a slow subscriber may lie behind before the oldest are dropped."""


class Activator(Protocol):
    """Makes cells for addresses without one. Supervision implements it."""

    def activate(self, parent: Cell, key: str) -> Cell | None:
        """The cell of a new child of `parent`, or None if it takes none."""


class Settings:
    """What a node can set for its system; the defaults are DESIGN's."""

    def __init__(
        self,
        *,
        key_retention_s: float = 86_400.0,
        transaction_timeout_s: float = 1.0,
        inbox_poll_s: float = 0.01,
    ) -> None:
        self.key_retention_s = key_retention_s
        self.transaction_timeout_s = transaction_timeout_s
        self.inbox_poll_s = inbox_poll_s


class ActorSystem:
    """One node's actors. Made by `start`."""

    def __init__(
        self,
        store: Store,
        runtime: Runtime,
        owner: OwnerRow,
        activator: Activator,
        settings: Settings | None = None,
    ) -> None:
        self.store = store
        self.runtime = runtime
        self.settings = settings or Settings()
        self.boot = owner.epoch
        self.activator = activator
        self.events = Events(runtime.now)
        self.jitter = runtime.random()
        self.cells: dict[str, Cell] = {}
        self.recovery = Recovery(self)
        self.attempts = store.attempts
        self.committer = Committer(
            store,
            runtime,
            commit_no=owner.commit_no,
            refused=self.recovery.refused,
            broken=self.recovery.broken,
        )
        self.runners = Runners(self, self.attempts.slots)
        self.delays = Delays(self)
        self.keys = Keys(self, self.settings.key_retention_s)
        self.asks = Asks(self)
        self.exits = Exits(self)
        self.inbox: Inbox | None = None
        """Set by the node, which knows how to administer."""
        self.closing = False
        self.gave_up: UnderstudyError | None = None
        """Set when the root has exited: the node is over."""
        self.gave_up_error: Callable[[ExitReason], UnderstudyError] = _gave_up
        """Makes the error of a root that exited."""
        self.root: Cell | None = None
        self._last_id = 0
        self._incarnations = 0
        self._uids = 0
        self._uid_prefix = runtime.uid()[:20]
        self._services: list[asyncio.Task[Any]] = []
        self._background: set[asyncio.Task[Any]] = set()
        self._idle: list[asyncio.Future[None]] = []
        self.ended = asyncio.Event()
        """Set when the root has exited by itself, or the store is lost for good."""

    # -- the public surface ----------------------------------------------------------------------------

    def ref(self, address: str) -> ActorRef:
        """A reference to the actor at an absolute address. Whether there is one shows when it is told something."""
        if not isinstance(address, str) or not address.startswith("/") or address.endswith("/"):
            raise ActorNotFound(str(address), 'an address is an absolute path, such as "/bank/ledger"')
        return ActorRef(self, address)

    async def idle(self) -> None:
        """Return when nothing is left to do now: no turn, start, stop, backoff, unread inbox or uncommitted turn.

        Delayed tells, timers and stopped children don't count.

        Raises:
            UnderstudyError: the tree gave up, or the store is lost.
            RuntimeError: called by a handler, which is a turn itself.
        """
        if current_turn.get() is not None:
            raise RuntimeError("idle() inside a handler would wait for itself")
        while True:
            if self.gave_up is not None:
                raise self.gave_up
            if self.inbox is not None:
                await self.inbox.drain()
            if self.committer.pending and self.committer.failure is None:
                try:
                    await self.committer.flush()
                except StoreError:
                    pass  # the tree is being reset, and that is not idle
                continue
            if self._is_idle():
                self.recovery.forget_suspects()
                return
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._idle.append(future)
            await future

    @asynccontextmanager
    async def _subscription(self) -> AsyncIterator[asyncio.Queue[Event]]:
        queue: asyncio.Queue[Event] = asyncio.Queue()

        def put(event: Event) -> None:
            if queue.qsize() >= EVENTS_WAITING_MAX:
                queue.get_nowait()
            queue.put_nowait(event)

        leave = self.events.subscribe(put)
        try:
            yield queue
        finally:
            leave()

    async def subscribe(self) -> AsyncIterator[Event]:
        """Every event from now on (persistence/events.py has the table). A slow reader loses the oldest."""
        async with self._subscription() as queue:
            while True:
                yield await queue.get()

    async def stop(self) -> None:
        """Shut the tree down in order, commit what is left, and close. Safe to call twice."""
        if self.closing:
            return
        self.closing = True
        for cell in list(self.cells.values()):
            if cell.admission is not None:
                cell.admission.refuse(SystemStopped(cell.address))
        root = self.root
        if root is not None:
            await root.stop(ExitReason.shutdown("the node is stopping"), None)
        await self.runners.close()
        self.delays.clear()
        for service in self._services:
            service.cancel()
        if self._services:
            await asyncio.wait(self._services)
        background = [task for task in self._background if task is not asyncio.current_task()]
        for task in background:
            task.cancel()
        if background:
            await asyncio.wait(background, timeout=1.0)
        for cell in self.cells.values():
            cell.refuse_asks()
        await self.committer.close()
        self.events.emit("node.stopped", root.address if root is not None else "/")
        self._wake_idle()

    # -- identity ----------------------------------------------------------------------------------------

    def next_id(self) -> int:
        self._last_id += 1
        return self._last_id

    def seen_id(self, row_id: int) -> None:
        self._last_id = max(self._last_id, row_id)

    def next_uid(self) -> str:
        """128 bits: 80 random ones of this boot, and a counter."""
        self._uids += 1
        return f"{self._uid_prefix}{self._uids:012x}"

    def next_incarnation(self) -> int:
        self._incarnations += 1
        return self._incarnations

    # -- routing -------------------------------------------------------------------------------------------

    def resolve(self, address: str) -> Cell:
        """The cell at an address, made by its supervisor's template if there was none.

        Raises:
            ActorNotFound
        """
        cell = self.cells.get(address)
        if cell is not None:
            return cell
        above, _, key = address.rpartition("/")
        parent = self.cells.get(above)
        if parent is not None and key:
            cell = self.activator.activate(parent, key)
        if cell is None:
            nearest = above
            while nearest and nearest not in self.cells:
                nearest = nearest.rpartition("/")[0]
            known = sorted(found for found in self.cells if found.rpartition("/")[0] == nearest)[:10]
            raise ActorNotFound(address, f"under {nearest or '/'} there is {', '.join(known) or 'nothing'}")
        return cell

    def add(self, cell: Cell) -> None:
        """Make a cell known. Mail that waited for it on disk moves in."""
        self.cells[cell.address] = cell
        self.recovery.move_in(cell)

    def remove(self, cell: Cell) -> None:
        """Forget a cell that is gone, or that left memory."""
        if self.cells.get(cell.address) is cell:
            del self.cells[cell.address]
        cell.status = GONE

    # -- telling -----------------------------------------------------------------------------------------------

    def tell(
        self, cell: Cell, message: Message, key: str | None, delay_s: float | None, priority: int
    ) -> Receipt:
        """A tell from outside any turn."""
        if not isinstance(message, Message):
            raise NotAMessage(message)
        if self.closing or self.gave_up is not None:
            raise SystemStopped(cell.address, message)
        mailbox, room = cell.mailbox, cell.options.capacity
        if (
            not cell.durable
            and key is None
            and not delay_s
            and mailbox.count < room
            and cell.admission is None
        ):
            cls = type(message)
            if not (cls.__immutable__ or is_deeply_immutable(cls)):
                message = round_trip(cell.address, message)[1]
            mailbox.push(message, priority)
            if not cell.queued:
                cell.wake()
            return DONE
        failure = self.committer.failure
        if failure is not None:
            raise self.recovery.refusal(failure, message)
        envelope = self._envelope(cell, message, key, delay_s, priority, self.next_uid())
        if key is not None or cell.admission is not None or (mailbox.count >= room and not delay_s):
            return admit_slowly(self, cell, envelope, message)
        return Receipt(self, self.accept(cell, envelope), message)

    def _envelope(
        self, cell: Cell, message: Message, key: str | None, delay_s: float | None, priority: int, uid: str
    ) -> Envelope:
        # The bytes are the truth: what is handled now is what would be handled after a crash.
        cls = type(message)
        body = None
        if cell.durable or not (cls.__immutable__ or is_deeply_immutable(cls)):
            body, message = round_trip(cell.address, message)
        envelope = Envelope(cell.address, uid, message, tag_of(cls), body)
        if key is not None:
            if not cell.durable:
                raise ValueError(
                    f"{cell.address} is durable=False: an idempotency key needs a durable mailbox"
                )
            envelope.key = key
        if priority:
            envelope.priority = min(max(priority, 1 - SYSTEM), SYSTEM - 1)
        if delay_s:
            envelope.due = self.runtime.now() + delay_s
        return envelope

    def accept(self, cell: Cell, envelope: Envelope, deletes: Sequence[tuple[Any, Any]] = ()) -> int:
        """Insert and deliver a tell from outside; returns its position."""
        if not cell.durable:
            self._arrive(cell, envelope)
            return 0
        envelope.id = self.next_id()
        assert envelope.body is not None
        rows = () if envelope.key is None else (self.keys.row(envelope),)
        position = self.committer.submit(
            Effects(inserts=(envelope,), rows=rows, deletes=deletes, size=200 + len(envelope.body))
        )
        envelope.after = position
        if self.recovery.cautious:
            self.committer.when(
                position, lambda error: self._arrive(cell, envelope) if error is None else None
            )
        else:
            self._arrive(cell, envelope)
        return position

    def tell_in_turn(
        self, turn: Turn, cell: Cell, message: Message, key: str | None, delay_s: float | None, priority: int
    ) -> None:
        if not isinstance(message, Message):
            raise NotAMessage(message)
        envelope = self._envelope(cell, message, key, delay_s, priority, turn.next_uid())
        envelope.sender = turn.cell.address
        turn.send(cell, envelope)

    def deliver(self, sender: Cell, sends: list[tuple[Cell, Envelope]], after: int) -> None:
        """The sends of a finished turn, into the mailboxes of their receivers."""
        if self.recovery.cautious and after > self.committer.committed:
            self.committer.when(
                after, lambda error: self._deliver(sender, sends, after) if error is None else None
            )
        else:
            self._deliver(sender, sends, after)

    def _deliver(self, sender: Cell, sends: list[tuple[Cell, Envelope]], after: int) -> None:
        for cell, envelope in sends:
            envelope.after = after
            if cell.status is GONE:
                cell = self.resolve(cell.address)
            self._arrive(cell, envelope)
            if cell.mailbox.count > cell.options.capacity:
                self._hold_back(sender, cell)

    def _arrive(self, cell: Cell, envelope: Envelope) -> None:
        if envelope.due is not None:
            self.delays.delay(cell.address, envelope, envelope.due)
        else:
            cell.push(envelope, envelope.priority)

    def redeliver(self, address: str, entry: Envelope | int) -> None:
        """A delayed or retried message whose moment has come."""
        try:
            cell = self.resolve(address)
        except ActorNotFound:
            self.recovery.keep(address, entry if isinstance(entry, int) else entry.id)
            return
        cell.push(entry, 0 if isinstance(entry, int) else entry.priority)

    def post(self, cell: Cell, signal: Message, *, urgent: bool = True) -> None:
        """A system signal; no capacity limits it. An urgent one passes every message."""
        cell.push(signal, SYSTEM if urgent else 0)

    def wrap(self, cell: Cell, message: Message) -> Envelope:
        """An envelope for a message that travelled without one."""
        return Envelope(cell.address, self.next_uid(), message, tag_of(type(message)), None)

    # -- back-pressure ---------------------------------------------------------------------------------------

    def _hold_back(self, sender: Cell, receiver: Cell) -> None:
        """Don't schedule a sender until its receiver has room; never in a circle, and never for one that is down."""
        if sender.blocked_by is not None or receiver.status not in (UP, STARTING):
            return
        other: Cell | None = receiver
        while other is not None:
            if other is sender:
                return
            other = other.blocked_by
        sender.blocked_by = receiver

        def release() -> None:
            sender.blocked_by = None
            sender.wake()

        self.when_room(receiver, release)

    def when_room(self, cell: Cell, callback: Callable[[], object]) -> None:
        """Call back when the mailbox is under its capacity, or its actor stops."""
        if cell.on_room is None:
            cell.on_room = []
        cell.on_room.append(callback)

    # -- bookkeeping -------------------------------------------------------------------------------------------

    def background(self, coroutine: Coroutine[Any, Any, Any], name: str) -> None:
        """A task of the system's own; it is cancelled at the stop."""
        task = self.runtime.spawn(coroutine, name)
        self._background.add(task)
        task.add_done_callback(self._background_done)

    def serve(self, coroutine: Coroutine[Any, Any, Any], name: str) -> None:
        """A task that runs as long as the node, and doesn't keep it from being idle."""
        task = self.runtime.spawn(coroutine, name)
        self._services.append(task)
        task.add_done_callback(self._service_done)

    def _service_done(self, task: asyncio.Task[Any]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self.recovery.bug(error)

    def _background_done(self, task: asyncio.Task[Any]) -> None:
        self._background.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.recovery.bug(error)
        self.maybe_idle()

    def check_running(self) -> None:
        if self.closing or self.gave_up is not None:
            raise SystemStopped
        if self.committer.failure is not None:
            raise self.committer.failure

    def write_slot(self, turn: Turn) -> WriteSlot:
        return WriteSlot(turn, self.settings.transaction_timeout_s)

    @property
    def cautious(self) -> bool:
        return self.recovery.cautious

    def _is_idle(self) -> bool:
        return not (
            self.runners.busy
            or self.committer.pending
            or self.committer.failure is not None
            or self.delays.retries
            or self._background
            or self.recovery.resetting
        )

    def maybe_idle(self) -> None:
        """Wake whoever waits for idleness, if it may have come."""
        if self._idle and (self._is_idle() or self.gave_up is not None or self.committer.pending):
            self._wake_idle()

    def _wake_idle(self) -> None:
        waiting, self._idle = self._idle, []
        for future in waiting:
            if not future.done():
                future.set_result(None)


def _gave_up(reason: ExitReason) -> UnderstudyError:
    return UnderstudyError(f"the root exited: {reason}")
