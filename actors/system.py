"""ActorSystem: addresses to cells, messages to mailboxes.

It knows nothing of trees: a supervisor registers its children's cells here, and an `Activator` makes cells for
addresses
that nobody has spoken to yet.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from ..persistence.commit.committer import Committer
from ..persistence.errors import GreenroomError, StoreError
from ..persistence.events import Event, Events
from ..persistence.runtime import Runtime
from ..persistence.store.contract import Store
from ..persistence.store.rows import OwnerRow
from .delivery.ask import Asks
from .delivery.keys import Keys
from .delivery.ref import ActorRef
from .delivery.tell import Delivery
from .execution import lifecycle
from .execution.dispatcher import Runners
from .execution.exits import Exits
from .execution.transaction import WriteSlot
from .extensions.groups import Group, Groups
from .extensions.introspection.tracer import Tracing
from .extensions.monitors.registry import Monitors
from .extensions.tasks.tasks import Tasks
from .extensions.timers.registry import Timers
from .kernel.cell import Cell
from .kernel.errors import ActorNotFound, SystemStopped
from .kernel.hooks import Activator
from .kernel.settings import Settings
from .kernel.status import GONE
from .kernel.turn import Turn, current_turn
from .mailbox.delayed import Delays
from .messages.signals import ExitReason
from .recovery.reset import Recovery
from .recovery.scan import Pending
from .remote.inbox import Inbox

__all__ = ("ActorSystem",)

CLOSE_S = 1.0
"""How long the system's own tasks may take to end at the stop."""
THREE_DIGITS = tuple(f"{number:03x}" for number in range(0x1000))
EVENTS_WAITING_MAX = 10_000
"""Events that a slow subscriber may lie behind before the oldest are dropped."""


class ActorSystem:
    """One node's actors. Made by `start`."""

    def __init__(
        self,
        store: Store,
        runtime: Runtime,
        owner: OwnerRow,
        settings: Settings | None = None,
    ) -> None:
        self.store = store
        self.runtime = runtime
        self.settings = settings or Settings()
        self.boot = owner.epoch
        self.activator: Activator
        """Set by the node, which makes the tree once there is a system."""
        self.events = Events(runtime.now)
        self.jitter = runtime.random()
        self.cells: dict[str, Cell] = {}
        self.recovery = Recovery(self)
        self.pending = Pending(self)
        self.attempts = store.attempts
        self.writer = Committer(
            store,
            runtime,
            commit_no=owner.commit_no,
            refused=self.recovery.refusals.charge,
            broken=self.recovery.broken,
            bug=self.recovery.bug,
            at_work=self._at_work,
        )
        self.committer = self.writer.queue
        self.runners = Runners(self, self.attempts.slots)
        self.delays = Delays(self)
        self.timers = Timers(self)
        self.keys = Keys(self, self.settings.key_retention_s)
        self.asks = Asks(self)
        self.delivery = Delivery(self)
        self.tell = self.delivery.tell
        self.exits = Exits(self)
        self.monitors = Monitors(self)
        self.groups = Groups(self)
        self.tracing = Tracing(self)
        self.trace = self.tracing.trace
        self.inbox: Inbox | None = None
        """Set by the node, which knows how to administer."""
        self.closing = False
        self.struck = False
        """Whether a Ctrl-C was raised in a task of the system's own."""
        self.over = False
        """Whether nothing can be told any more: it is closing, or it gave up."""
        self.cautious = False
        """Whether there is no run-ahead, because suspects exist."""
        self.gave_up: GreenroomError | None = None
        """Set when the root has exited: the node is over."""
        self.gave_up_error: Callable[[ExitReason], GreenroomError] = _gave_up
        """Makes the error of a root that exited."""
        self.root: Cell | None = None
        self._last_id = 0
        self._incarnations = 0
        self._uids = 0
        self._uid_prefix = runtime.uid()[:20]
        self._uid_block = f"{self._uid_prefix}{0:09x}"
        self._stopping: asyncio.Task[None] | None = None
        self._services: list[asyncio.Task[Any]] = []
        self._background: dict[asyncio.Task[Any], None] = {}
        self._idle: list[asyncio.Future[None]] = []
        self.ended = asyncio.Event()
        """Set when the root has exited by itself, or the store is lost for good."""

    # -- the public surface ----------------------------------------------------------------------------

    def ref(self, address: str) -> ActorRef:
        """A reference to the actor at an absolute address. Whether there is one shows when it is told something."""
        if not isinstance(address, str) or not address.startswith("/") or address.endswith("/"):
            raise ActorNotFound(str(address), 'an address is an absolute path, such as "/bank/ledger"')
        return ActorRef(self, address, self.cells.get(address))

    def group(self, name: str) -> Group:
        """The actors that have joined a name (`self.join(name)`), to be told something. There may be none.

        Raises:
            TypeError, ValueError: this is no name: 1 to 200 printable characters.
        """
        return self.groups.group(name)

    def tasks(self, address: str) -> Tasks:
        """The way to start tasks under the `TaskSupervisor` at an absolute address (tasks.py)."""
        return Tasks(self, self.ref(address).address)

    async def idle(self) -> None:
        """Return when nothing is left to do now: no turn, task, start, stop, backoff, unread inbox or uncommitted turn.

        Delayed tells, future timers, stashes, stopped children and what waits at a suspended actor don't count.

        Raises:
            GreenroomError: the tree gave up, or the store is lost.
            RuntimeError: called by a handler or a task, which is work itself.
        """
        if self._in_turn() or asyncio.current_task() in self._background:
            raise RuntimeError("idle() inside a handler or a task would wait for itself")
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
            if self.gave_up is None and self._is_idle():
                self.recovery.forget_suspects()
                return
            if self.gave_up is not None:
                continue
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
        """Shut the tree down in order, commit what is left, and close. Safe to call twice.

        Raises:
            RuntimeError: called by a handler, for whose end it would wait.
        """
        if self._in_turn():
            raise RuntimeError("system.stop() inside a handler would wait for itself; self.stop() ends the actor")
        if self._stopping is None:
            if self.cut_short:  # nobody is left to shut down: as after kill -9, what is committed is there
                self.halt()
                return
            # In a task of its own: a caller that is cancelled must not leave the node half stopped.
            self._stopping = self.runtime.spawn(self._stop(), "greenroom stop")
        await asyncio.shield(self._stopping)

    async def _stop(self) -> None:
        self.closing = True
        self.close_doors()
        for cell in list(self.cells.values()):
            if cell.admission is not None:
                cell.admission.refuse(partial(SystemStopped, cell.address))
        root = self.root
        if root is not None:
            await lifecycle.stop(root, ExitReason.shutdown("the node is stopping"), None)
        await self.runners.close()
        self.delays.clear()
        self.timers.reset()
        self.asks.close()
        for service in self._services:
            service.cancel()
        if self._services:
            await asyncio.wait(self._services)
        background = [task for task in self._background if task is not asyncio.current_task()]
        for task in background:
            task.cancel()
        await self.runtime.wait(background, CLOSE_S)
        for cell in self.cells.values():
            cell.refuse_asks()
        await self.writer.close()
        self.events.emit("node.stopped", root.address if root is not None else "/")
        self._wake_idle()

    @property
    def cut_short(self) -> bool:
        """Whether the event loop ends under the node (asyncio.Runner: at a second Ctrl-C)."""
        return self.struck or self.writer.cancelled

    def halt(self) -> None:
        """After the stop, or in its place if the event loop ended under it: nothing goes on over a closed store."""
        self.closing = self.runners.closed = True
        self.close_doors()

    # -- identity ----------------------------------------------------------------------------------------

    def next_id(self) -> int:
        self._last_id += 1
        return self._last_id

    @property
    def last_id(self) -> int:
        """The highest sequence number that was given."""
        return self._last_id

    def seen_id(self, row_id: int) -> None:
        self._last_id = max(self._last_id, row_id)

    def next_uid(self) -> str:
        """128 bits: 80 random ones of this boot, and a counter."""
        self._uids = number = self._uids + 1
        if not number & 0xFFF:
            self._uid_block = f"{self._uid_prefix}{number >> 12:09x}"
        return self._uid_block + THREE_DIGITS[number & 0xFFF]

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
        if self.over:
            cell.light = False
        self.pending.move_in(cell)

    def remove(self, cell: Cell) -> None:
        """Forget a cell that is gone, or that left memory."""
        if self.cells.get(cell.address) is cell:
            del self.cells[cell.address]
        cell.status = GONE
        self.activator.forget(cell)

    # -- bookkeeping -------------------------------------------------------------------------------------------

    def background(self, coroutine: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
        """A task of the system's own, or of a TaskSupervisor; it is cancelled at the stop."""
        task = self.runtime.spawn(coroutine, name)
        self._background[task] = None
        task.add_done_callback(self._background_done)
        return task

    def disown(self, task: asyncio.Task[Any]) -> None:
        """It swallows its cancellation: nobody waits for it any more."""
        self._background.pop(task, None)
        self.maybe_idle()

    def serve(self, coroutine: Coroutine[Any, Any, Any], name: str) -> None:
        """A task that runs as long as the node, and doesn't keep it from being idle."""
        task = self.runtime.spawn(coroutine, name)
        self._services.append(task)
        task.add_done_callback(self._service_done)

    def _service_done(self, task: asyncio.Task[Any]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self.recovery.bug(error)

    def _background_done(self, task: asyncio.Task[Any]) -> None:
        self._background.pop(task, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.recovery.bug(error)
        self.maybe_idle()

    def _in_turn(self) -> bool:
        turn = current_turn.get()
        return turn is not None and turn.cell.system is self

    def close_doors(self) -> None:
        """Nothing can be told any more."""
        self.over = True
        for cell in self.cells.values():
            cell.light = False

    def check_running(self) -> None:
        if self.over:
            raise SystemStopped
        if self.committer.failure is not None:
            raise self.committer.failure

    def write_slot(self, turn: Turn) -> WriteSlot:
        return WriteSlot(turn, self.settings.transaction_timeout_s)

    def _at_work(self) -> bool:
        return bool(self.runners.ready)

    def _is_idle(self) -> bool:
        return not (
            self.runners.busy
            or self.committer.pending
            or self.committer.failure is not None
            or self.delays.retries
            or self.delays.overdue
            or self.timers.busy
            or self._background
            or self.recovery.resetting
        )

    @property
    def watched(self) -> bool:
        """Whether anybody wants to know of idleness."""
        return bool(self._idle) or self.cautious

    def maybe_idle(self) -> None:
        """Wake whoever waits for idleness, if it may have come."""
        if not self._idle and not self.cautious:
            return
        if self.cautious and self._is_idle() and self.inbox is not None and self.inbox.looked:
            self.recovery.forget_suspects()
        if self._is_idle() or self.gave_up is not None or self.committer.pending:
            self._wake_idle()

    def _wake_idle(self) -> None:
        waiting, self._idle = self._idle, []
        for future in waiting:
            if not future.done():
                future.set_result(None)


def _gave_up(reason: ExitReason) -> GreenroomError:
    return GreenroomError(f"the root exited: {reason}")
