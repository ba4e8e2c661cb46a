"""ActorSystem: the object that users hold of a node; and how a node's parts are put together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from functools import partial

from ..persistence.errors import StoreError, StoreUnavailable
from ..persistence.events import Event
from ..persistence.home import Home
from ..persistence.runtime import Runtime
from ..persistence.store.contract import Store
from ..persistence.store.rows import OwnerRow
from .delivery.ask import Asks
from .delivery.keys import Keys
from .delivery.ref import ActorRef, ref_to
from .delivery.tell import Delivery
from .execution.dispatcher import Dispatcher
from .execution.exits import Exits
from .execution.shutdown import stop
from .extensions.groups import Group, Groups
from .extensions.introspection.answers import SYSTEM_HANDLERS
from .extensions.introspection.suspension import Suspensions
from .extensions.introspection.trace import Trace
from .extensions.introspection.tracer import WAITING_MAX, Tracer
from .extensions.monitors.registry import Monitors
from .extensions.stash import Stashes
from .extensions.tasks.tasks import Tasks
from .extensions.timers.registry import Timers
from .kernel.current import current_turn
from .kernel.errors import SystemStopped
from .kernel.failures import Refusals
from .kernel.kernel import Kernel
from .kernel.router import Router
from .kernel.settings import Settings
from .messages.signals import ExitReason
from .recovery.reset import Reset
from .recovery.scan import Scan
from .remote.inbox import Inbox

__all__ = ("ActorSystem",)

CLOSE_S = 1.0
"""Seconds that the node's own tasks may take to end at the stop."""
EVENTS_WAITING_MAX = 10_000
"""The number of events that a slow subscriber may lie behind before the oldest are dropped."""


class ActorSystem:
    """One node's actors. `start` makes it."""

    def __init__(
        self,
        store: Store,
        runtime: Runtime,
        owner: OwnerRow,
        settings: Settings | None = None,
    ) -> None:
        kernel = self.kernel = Kernel(store, runtime, owner, settings or Settings())
        kernel.add_parts(Home(self._forked))
        router = kernel.router = Router(kernel)
        exits = Exits(kernel, router)
        dispatcher = kernel.scheduler = self._dispatcher = Dispatcher(kernel, exits)
        keys, asks = Keys(kernel), Asks(kernel)
        scan = Scan(kernel, router, dispatcher)
        self._reset = Reset(kernel, dispatcher, scan)
        kernel.add_parts(self, router, Refusals(kernel), exits, dispatcher, scan, self._reset)
        kernel.add_parts(keys, asks, Delivery(kernel, router, keys, asks))
        # The features, in the order in which their hooks are called:
        kernel.add_parts(
            Groups(kernel),
            Monitors(kernel, exits),
            Suspensions(kernel, dispatcher, exits),
            Stashes(kernel),
            Timers(kernel),
            Tracer(kernel),
        )
        kernel.handlers.update(SYSTEM_HANDLERS)
        self.inbox: Inbox | None = None
        """Set by the node, which knows how to administer."""
        self._stopping: asyncio.Task[None] | None = None
        self._subscribers: list[asyncio.Queue[Event | None]] | None = []
        """The queues of those who follow the events; None once the node has ended."""

    # -- the public surface ----------------------------------------------------------------------------

    def ref(self, address: str) -> ActorRef:
        """A reference to the actor at an absolute address. The first message shows whether there is one."""
        kernel = self.kernel
        cell = kernel.cells.get(address) if type(address) is str else None
        if cell is not None:
            return ActorRef(kernel.part(Delivery), address, cell)
        return ref_to(kernel, address)

    def group(self, name: str) -> Group:
        """The actors that have joined a name (`self.join(name)`), to be told something. There may be none.

        Raises:
            TypeError, ValueError: this is no name: 1 to 200 printable characters.
        """
        return self.kernel.part(Groups).group(name)

    def tasks(self, address: str) -> Tasks:
        """The way to start tasks under the `TaskSupervisor` at an absolute address (extensions/tasks/tasks.py)."""
        return Tasks(self.kernel, self.ref(address).address)

    def trace(self, where: str | ActorRef, *, waiting_max: int = WAITING_MAX) -> AbstractAsyncContextManager[Trace]:
        """Follow the turns of an actor, those of its next incarnations included, for the length of the block.

        Nothing has to be at the address yet. Turns that began before aren't seen. Each turn is an event `actor.turn`,
        too (persistence/events.py).

        Args:
            waiting_max: turns that the reader may lie behind; then the oldest are lost, and counted in `dropped`.

        Raises:
            ActorNotFound: that is no address.
            ValueError: `waiting_max` isn't positive.
        """
        self.kernel.part(Home).check("trace()")
        return self.kernel.part(Tracer).trace(where, waiting_max=waiting_max)

    async def idle(self) -> None:
        """Return when nothing is left to do now: no turn, task, start, stop, backoff, unread inbox or uncommitted turn.

        Delayed tells, future timers, stashes, stopped children and messages that wait at a suspended actor don't count.

        Raises:
            GreenroomError: the tree gave up, or the store is lost.
            SystemStopped: the node stops, or has stopped. WrongThread
            RuntimeError: called by a handler or a task, which is work itself.
        """
        kernel = self.kernel
        kernel.part(Home).check("idle()")
        if self._in_turn() or asyncio.current_task() in kernel.background_tasks:
            raise RuntimeError("idle() inside a handler or a task would wait for itself")
        while True:
            if kernel.gave_up is not None:
                raise kernel.gave_up
            if kernel.closing:
                raise SystemStopped
            if self.inbox is not None:
                await self.inbox.drain()
            if kernel.commits.pending and kernel.commits.failure is None:
                try:
                    await kernel.commits.flush()
                except StoreError:
                    pass  # the tree is being reset, and that is not idle
                continue
            if kernel.gave_up is None and not kernel.closing and kernel.is_idle:
                if kernel.caution is not None:
                    kernel.caution.rested()
                return
            if kernel.gave_up is not None or kernel.closing:
                continue
            await kernel.idle.wait()

    async def subscribe(self) -> AsyncIterator[Event]:
        """Every event from now on (persistence/events.py has the table), to the end of the node. A slow reader loses
        the oldest.

        Raises:
            WrongThread
        """
        self.kernel.part(Home).check("subscribe()")
        if self._subscribers is None:
            return
        queue: asyncio.Queue[Event | None] = asyncio.Queue()

        def put(event: Event) -> None:
            if queue.qsize() >= EVENTS_WAITING_MAX:
                queue.get_nowait()
            queue.put_nowait(event)

        self._subscribers.append(queue)
        leave = self.kernel.events.subscribe(put)
        try:
            while (event := await queue.get()) is not None:
                yield event
        finally:
            leave()
            if self._subscribers is not None:
                self._subscribers.remove(queue)

    def _end_subscriptions(self) -> None:
        subscribers, self._subscribers = self._subscribers, None
        for queue in subscribers or ():
            queue.put_nowait(None)

    @property
    def ended(self) -> asyncio.Event:
        """Set when the root has exited by itself, or the store is lost for good."""
        return self.kernel.ended

    async def stop(self) -> None:
        """Shut the tree down in order, commit what is left, and close. Safe to call twice.

        Raises:
            RuntimeError: called by a handler, for whose end it would wait. WrongThread
        """
        self.kernel.part(Home).check("stop()")
        if self._in_turn():
            raise RuntimeError("system.stop() inside a handler would wait for itself; self.stop() ends the actor")
        if self._stopping is None:
            if self.kernel.cut_short:  # nothing is left to shut down: as after kill -9, committed work is there
                self.halt()
                return
            # It runs in a task of its own, because a caller that is cancelled must not leave the node half stopped.
            self._stopping = self.kernel.runtime.spawn(self._stop(), "greenroom stop")
        await asyncio.shield(self._stopping)

    async def _stop(self) -> None:
        kernel = self.kernel
        kernel.closing = True
        kernel.close_doors()
        kernel.idle.wake()
        for cell in list(kernel.cells.values()):
            if cell.admission is not None:
                cell.admission.refuse(partial(SystemStopped, cell.address))
        kernel.part(Asks).close_lines()
        if kernel.root is not None:
            await stop(kernel.root, ExitReason.shutdown("the node is stopping"), None)
        await self._dispatcher.close()
        kernel.delayed.clear()
        for close in kernel.hooks.close:
            close()
        for service in kernel.services:
            service.cancel()
        if kernel.services:
            await asyncio.wait(kernel.services)
        background = [task for task in kernel.background_tasks if task is not asyncio.current_task()]
        for task in background:
            task.cancel()
        await kernel.runtime.wait(background, CLOSE_S)
        for cell in kernel.cells.values():
            cell.refuse_asks()
        await kernel.committer.close()
        kernel.events.emit("node.stopped", kernel.root_address)
        self._end_subscriptions()

    def halt(self) -> None:
        """Let nothing go on over a closed store. It is called after the stop, or in its place if the event
        loop ended under it."""
        self.kernel.closing = self._dispatcher.closed = True
        self.kernel.close_doors()
        self._end_subscriptions()

    def _forked(self) -> None:
        """This is a forked child, and the node lives in the parent: nothing of this copy may go on, or write."""
        self.kernel.closing = self._dispatcher.closed = True
        self.kernel.close_doors()
        self.kernel.commits.refuse(StoreUnavailable("this is a forked child: the node lives in the parent"))
        self.kernel.store.disown()

    def _in_turn(self) -> bool:
        turn = current_turn.get()
        return turn is not None and turn.cell.kernel is self.kernel
