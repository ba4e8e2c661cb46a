"""Handling: one message becomes one turn. The way most of them take is short and never waits; the rest is below it."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, Final

from ...persistence.errors import StoreError
from ..definition.handlers import HandlerSpec
from ..extensions.introspection.requests import Suspend
from ..kernel.cell import Cell
from ..kernel.errors import HandlerTimeout, Ignore, StartFailed
from ..kernel.status import DOWN, PASSIVE, UP
from ..kernel.turn import OPEN, Turn
from ..mailbox.envelope import Ask, Envelope
from ..messages.errors import UnhandledMessage
from ..messages.message import Message, tag_of
from ..messages.signals import ExitReason
from . import lifecycle
from .batch import collect
from .fair_share import FairShare
from .paging import PAGE, page_in, prepare, prepare_ahead, refuse
from .stepping import call, call_async, resume

if TYPE_CHECKING:
    from ..system import ActorSystem
    from .dispatcher import Runners

__all__ = ("GO_ON", "LET_GO", "LOST", "SET_ASIDE", "Handling")

GO_ON: Final = "go on"
LET_GO: Final = "let go"
SET_ASIDE: Final = "set aside"
LOST: Final = "lost"
"""The incarnation was abandoned or reset meanwhile: the cell isn't this runner's any more."""


class Handling:
    def __init__(self, system: ActorSystem, runners: Runners) -> None:
        self._system = system
        self._runners = runners
        self.share = FairShare(system.runtime, system.committer)
        self.stepping: Turn | None = None
        """The turn whose code is on the CPU at this moment; the watchdog reads it."""
        self.unfinished: tuple[Turn, Any] | None = None
        """A plain turn whose sends carry keys: they have to be looked up before its finish."""
        self.turns = 0
        """Turns begun since the start, those of runners that are at it right now not yet counted."""

    # -- the usual way -----------------------------------------------------------------------------------

    def next_message(self, cell: Cell, slot: int) -> Coroutine[Any, Any, str] | None:
        """Handle the next message of a cell; what can't be done at once is returned, to be awaited."""
        if cell.status is not UP or (self._runners.solo and not cell.definition.cls._supervises):
            return self._unusual(cell, slot)
        entry = cell.mailbox.pop()
        if cell.on_room is not None:
            cell.has_room()
        if isinstance(entry, Message):
            return self.begin(cell, None, entry, slot)
        if isinstance(entry, int):
            if not entry:
                return self._park(cell)
            cell.mailbox.push_front(entry)
            return self._page_in(cell, entry)
        if type(entry) is Ask and entry.future.done():
            return None
        message = entry.message
        if message is None:
            message = prepare(cell, entry)
            if message is None:
                return None
        if self._system.cautious and entry.uid in self._system.recovery.suspects:
            if type(entry) is not Ask:
                return self._alone(cell, entry)
            self._system.recovery.acquit(entry.uid)  # who asks waits for it, and is on record: that one runs alone
        return self.begin(cell, entry, message, slot)

    def begin(
        self, cell: Cell, envelope: Envelope | None, message: Message, slot: int, *, solo: bool = False
    ) -> Coroutine[Any, Any, str] | None:
        """Run one turn. Done when this returns None."""
        incarnation = cell.incarnation
        assert incarnation is not None
        definition = cell.definition
        spec = cell.handlers.get(type(message)) or definition.handler_for(type(message))
        if spec is None:
            unhandled = UnhandledMessage(cell.address, tag_of(type(message)))
            refuse(cell, envelope or self._system.delivery.wrap(cell, message), unhandled, "unhandled")
            return None
        if envelope is None:
            turn = Turn(incarnation, None, message, "")
        else:
            turn = Turn(incarnation, envelope, message, envelope.uid)
            if cell.durable or solo:
                self._system.attempts.note(slot, envelope.uid, cell.address, solo)
        cell.turn = turn
        if spec.is_batch or spec.external:
            return self._elaborate(turn, spec)
        self.stepping = turn
        try:
            if spec.is_async:
                coro, yielded = incarnation.run(call_async, turn, spec.function, incarnation.actor, message)
                self.stepping = None
                return self._wait_inside(turn, coro, yielded, spec)
            result = incarnation.run(call, turn, spec.function, incarnation.actor, message)
        except StopIteration as stop:
            self.stepping = None
            if not spec.is_async:
                turn.fail(stop)
                return None
            result = stop.value
        except BaseException as error:
            self.stepping = None
            if turn.held is not None:
                return self._interrupted(turn, error)
            turn.fail(error)
            if isinstance(error, KeyboardInterrupt):
                raise
            return None
        self.stepping = None
        if (turn.eventful and turn.keyed) or self._system.cautious:
            return self._finish(turn, result, spec)
        turn.finish(result, spec.reply if type(envelope) is Ask else None)
        return None

    # -- handlers that wait --------------------------------------------------------------------------------

    async def _wait_inside(self, turn: Turn, coro: Any, yielded: Any, spec: HandlerSpec) -> str:
        """The handler has suspended: wait inside it, under its time limit."""
        cell = turn.cell
        turn.coroutine = coro
        turn.since = self._system.runtime.now()
        timeout_s = cell.options.handler_timeout_s
        timer = None
        if timeout_s is not None:
            timer = self._system.runtime.call_later(timeout_s, self._time_out, turn, timeout_s)
        try:
            result = await self._runners.inside(turn, resume(turn, self.step, coro, yielded, self.share))
        except BaseException as error:
            return await self._interrupted(turn, error)
        finally:
            if timer is not None:
                timer.cancel()
        return await self._finish(turn, result, spec)

    async def finish_later(self) -> str:
        """The finish of the plain turn that couldn't be finished at once."""
        unfinished, self.unfinished = self.unfinished, None
        assert unfinished is not None
        turn, result = unfinished
        return await self._finish(turn, result, turn.cell.handlers[type(turn.message)])

    async def _finish(self, turn: Turn, result: Any, spec: HandlerSpec) -> str:
        """The finish of a turn that may have to wait: for keys, for a held transaction, for caution after a crash."""
        system, cell = self._system, turn.cell
        if turn.interrupt is not None and turn.interrupt() is not None:
            return await self._interrupted(turn, asyncio.CancelledError())  # too late is too late
        if turn.keyed and turn.status is OPEN:
            try:
                await system.keys.check_turn(turn)
            except BaseException as error:
                return await self._interrupted(turn, error)
        if turn.held is not None:
            await turn.held(result, spec)
        else:
            turn.finish(result, spec.reply if type(turn.envelope) is Ask else None)
        if cell.incarnation is not turn.incarnation:
            return LOST
        if system.cautious and turn.position:
            try:
                await system.committer.wait(turn.position)
            except StoreError:
                return LOST  # the tree is being reset
        return GO_ON

    async def _interrupted(self, turn: Turn, error: BaseException) -> str:
        """A handler that waited raised, or was cancelled by the runtime."""
        cell, interrupt = turn.cell, turn.interrupt
        if interrupt is not None:
            task = asyncio.current_task()
            while task is not None and task.cancelling():
                task.uncancel()
        elif isinstance(error, asyncio.CancelledError) and (
            self._runners.closed
            or self._system.cut_short  # the loop itself ends: nobody's failure
            or self._runners.is_cancelled_start(asyncio.current_task())
        ):
            turn.discard()
            raise error
        if turn.held is not None:
            await turn.held(error, None)
        if isinstance(error, KeyboardInterrupt):  # as where a handler doesn't wait: whoever runs the loop is to know
            turn.fail(error)
            raise error
        if cell.turn is not turn:
            turn.discard()
            return LOST
        if interrupt is not None:
            charged = interrupt()
            if charged is None:
                turn.discard()
                if turn.envelope is not None:
                    cell.give_back(turn.batch or (turn.envelope,))
                return GO_ON
            error = charged
        turn.fail(error)
        return GO_ON

    def _time_out(self, turn: Turn, timeout_s: float) -> None:
        cell = turn.cell
        if cell.turn is turn and turn.task is not None and turn.interrupt is None:
            error = HandlerTimeout(cell.address, timeout_s)
            self._system.background(self._system.exits.cut_off(turn, error), f"greenroom timeout of {cell.address}")

    def step(self, turn: Turn | None) -> None:
        """Note whose code is on the CPU from now on."""
        self.stepping = turn

    # -- batches and external handlers ------------------------------------------------------------------------

    def _elaborate(self, turn: Turn, spec: HandlerSpec) -> Coroutine[Any, Any, str] | None:
        if spec.message_type is Suspend:
            return self._runners.suspensions.suspend(turn, lambda: self._finish(turn, None, spec))
        actor = turn.incarnation.actor
        argument: Any = collect(turn, spec) if spec.is_batch else turn.message

        async def run() -> Any:
            if spec.external:
                await turn.settled()
            result = spec.function(actor, argument)
            return await result if spec.is_async else result

        self.stepping = turn
        try:
            coro, yielded = turn.incarnation.run(call_async, turn, lambda *_: run(), None, None)
        except StopIteration as stop:
            return self._finish(turn, stop.value, spec)
        except BaseException as error:
            return self._interrupted(turn, error)
        finally:
            self.stepping = None
        return self._wait_inside(turn, coro, yielded, spec)

    # -- what isn't the usual way -------------------------------------------------------------------------------

    async def _unusual(self, cell: Cell, slot: int) -> str:
        """For a cell that isn't up, and during a solo run."""
        if self._runners.solo and not cell.definition.cls._supervises:
            suspect = self._runners.waiting
            if suspect is not None and suspect[0] is cell and not self._runners.occupied:
                self._runners.waiting = None
                if cell.mailbox.take(suspect[1].uid, suspect[1].id) is not None:
                    return await self._alone(cell, suspect[1])
                self._runners.end_solo()
                return GO_ON if cell.mailbox.count else LET_GO
            ask = cell.mailbox.pop_ask()
            if ask is None:
                return SET_ASIDE
            if cell.status is PASSIVE and cell.may_start():
                cell.mailbox.push_front(ask)
                return await self._activate(cell, slot)
            if cell.status is not UP or ask.message is None or ask.future.done():
                return GO_ON
            self._system.recovery.acquit(ask.uid)
            waiting = self.begin(cell, ask, ask.message, slot)
            return GO_ON if waiting is None else await waiting
        if cell.status is PASSIVE:
            return await self._activate(cell, slot)
        return LET_GO

    async def _activate(self, cell: Cell, slot: int) -> str:
        """The first message of an address starts its actor. A start that fails is charged to that message."""
        if not cell.may_start():
            return LET_GO
        if cell.mailbox.blocked:
            return await self._park(cell)
        head = next(cell.mailbox.entries(), None)
        if isinstance(head, int):
            if await self._page_in(cell, head) is LOST:
                return LOST
            head = next(cell.mailbox.entries(), None)
        if head is None:
            return LET_GO
        if isinstance(head, Envelope):
            self._system.attempts.note(slot, head.uid, cell.address)
        try:
            await lifecycle.start(cell)
        except Ignore as ignored:
            cell.status = PASSIVE
            self._system.exits.start_refused(cell, ExitReason.shutdown(str(ignored)), final=True)
        except StartFailed as error:
            if cell.runner != slot:
                return LOST
            if cell.status is not DOWN:  # stopped meanwhile: no fault of the message
                return LET_GO
            cell.status = PASSIVE
            self._system.exits.start_refused(cell, error.reason, final=False)
        return GO_ON if cell.mailbox.count else LET_GO

    async def _park(self, cell: Cell) -> str:
        """All that it has may be behind mail that is still to be found."""
        return LOST if self._system.pending.park(cell) else GO_ON

    async def _page_in(self, cell: Cell, row_id: int) -> str:
        """Read the bodies at the head of a backlog."""
        ids = cell.mailbox.leading_rows(PAGE) or [row_id]
        try:
            envelopes = await page_in(self._system, ids)
        except StoreError as error:
            self._system.recovery.store_failed(error)
            return LOST
        if cell.mailbox.leading_rows(len(ids)) != ids:
            return LET_GO  # reset meanwhile
        for envelope in envelopes.values():
            prepare_ahead(cell, envelope)
        cell.mailbox.page_in(ids, envelopes)
        return GO_ON if cell.mailbox.count else LET_GO

    async def _alone(self, cell: Cell, envelope: Envelope) -> str:
        """A suspect has come back: everything else waits while it runs."""
        runners = self._runners
        runners.solo = True
        if runners.occupied:  # by handlers that may wait for this very actor: it serves requests until they have ended
            cell.mailbox.push_front(envelope)
            runners.waiting = cell, envelope
            return SET_ASIDE
        try:
            await self._system.recovery.run_alone(cell, envelope)
        finally:
            runners.end_solo()
        return GO_ON if cell.mailbox.count and cell.status is UP else LET_GO
