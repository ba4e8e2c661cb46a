"""Executor: one message becomes one turn. Most messages take the usual way, which is short and never waits; the other
ways stand below it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final, Protocol

from ...persistence.errors import StoreError
from ...persistence.home import Home
from ..definition.handlers import HandlerSpec
from ..kernel.cell import DOWN, PASSIVE, STOPPED, UP, Cell, no_charge
from ..kernel.errors import AskFailed, HandlerTimeout, Ignore, StartFailed
from ..kernel.failures import comes_of_stop
from ..kernel.kernel import Kernel
from ..kernel.turn import FINISHED, OPEN, Turn, begin
from ..mailbox.backlog import Backlog
from ..mailbox.envelope import Ask, Envelope
from ..messages.message import Message
from ..messages.signals import ExitReason
from .batch import collect
from .exits import Exits
from .fair_share import FairShare
from .hook_turns import CutOff
from .paging import PAGE, page_in, prepare, prepare_ahead, refuse
from .start import start
from .user_code.scopes import leave_scopes
from .user_code.stepping import Watched, call, call_async, resume, watch
from .user_code.user_task import UserTask

__all__ = ("GO_ON", "LET_GO", "LOST", "SET_ASIDE", "Executor")

GO_ON: Final = "go on"
LET_GO: Final = "let go"
SET_ASIDE: Final = "set aside"
SPARED_MAX = 3
"""So many times a message isn't charged because other code has cancelled its handler. Then it is, so that this ends."""
SPARED_KEPT = 1000
"""The number of such messages that are remembered; the oldest are forgotten."""
CANCELLED = ExitReason.killed("other code has cancelled its handler")
LOST: Final = "lost"
"""The incarnation was abandoned, stopped or reset meanwhile. `Cell.runner` says whose hands the cell is in."""


class Pool(Protocol):
    """The dispatcher, as the executor sees it."""

    closed: bool

    async def inside(self, turn: Turn, awaitable: Awaitable[Any]) -> Any:
        """Await inside a handler."""


class Executor:
    """Runs the turns of one node."""

    def __init__(self, kernel: Kernel, pool: Pool, exits: Exits) -> None:
        self._kernel = kernel
        self._pool = pool
        self._exits = exits
        self.share = FairShare(kernel.runtime, kernel.commits)
        self.unfinished: tuple[Turn, Any] | None = None
        """The turn of a plain handler whose sends carry keys, which have to be looked up before its finish."""
        self._spared: dict[str, int] = {}
        """The number of times that other code has cancelled the handler of a message, by its uid."""
        self.turns = 0
        """The number of turns begun since the start. Those of runners that are at it right now aren't counted yet."""

    # -- the usual way -----------------------------------------------------------------------------------

    def next_message(self, cell: Cell, slot: int) -> Coroutine[Any, Any, str] | None:
        """Handle the next message of a cell. A coroutine is returned, to be awaited, if the message can't
        be handled at once."""
        caution = self._kernel.caution
        if cell.status is not UP:
            return self._unusual(cell, slot)
        if not cell.mailbox.count:  # what it was woken for has been taken out: a suspect that is charged
            return None
        entry = cell.mailbox.pop()
        if cell.on_room is not None:
            cell.has_room()
        if isinstance(entry, Message):
            if caution is not None:
                return caution.handle(cell, None, entry, slot)
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
        if caution is not None:
            return caution.handle(cell, entry, message, slot)
        return self.begin(cell, entry, message, slot)

    def begin(
        self, cell: Cell, envelope: Envelope | None, message: Message, slot: int
    ) -> Coroutine[Any, Any, str] | None:
        """Run one turn. Done when this returns None."""
        incarnation = cell.incarnation
        assert incarnation is not None
        spec = cell.handlers.get(type(message)) or cell.handler_for(type(message))
        if spec is None:
            unhandled = cell.definition.unhandled(cell.address, type(message))
            refuse(cell, envelope or self._kernel.wrap(cell.address, message), unhandled, "unhandled")
            return None
        if envelope is None:
            turn = begin(incarnation, None, message, "")
        else:
            turn = begin(incarnation, envelope, message, envelope.uid)
            if cell.durable:
                self._kernel.attempts.note(slot, envelope.uid, cell.address, self._kernel.caution is not None)
        if self._kernel.caution is not None:
            turn.slot = slot
        cell.turn = turn
        if spec.is_batch or spec.external or spec.keeps_runner is not None:
            return self._elaborate(turn, spec)
        kernel = self._kernel
        kernel.stepping = turn
        try:
            if spec.is_async:
                coro, yielded = incarnation.context.run(call_async, turn, spec.function, incarnation.actor, message)
                kernel.stepping = None
                return self._wait_inside(turn, coro, yielded, spec)
            result = incarnation.context.run(call, turn, spec.function, incarnation.actor, message)
        except StopIteration as stop:
            kernel.stepping = None
            if not spec.is_async:
                turn.fail(stop)
                return None
            leave_scopes()
            result = stop.value
        except BaseException as error:
            kernel.stepping = None
            leave_scopes()
            if turn.held is not None:
                return self._interrupted(turn, error)
            turn.fail(error)
            if isinstance(error, KeyboardInterrupt):
                raise
            return None
        kernel.stepping = None
        if turn.waits or turn.held is not None or kernel.caution is not None:
            return self._finish(turn, result, spec)
        turn.finish(result, spec.reply if type(envelope) is Ask else None)
        return None

    # -- handlers that wait --------------------------------------------------------------------------------

    async def _wait_inside(self, turn: Turn, coro: Any, yielded: Any, spec: HandlerSpec) -> str:
        """The handler has suspended: wait inside it, under its time limit."""
        cell = turn.cell
        turn.coroutine = coro
        turn.since = self._kernel.runtime.now()
        if turn.slot >= 0:
            coro = Watched(coro, self._kernel.attempts, turn.slot)
        timeout_s = cell.options.handler_timeout_s
        timer = None
        if timeout_s is not None:
            timer = self._kernel.runtime.call_later(timeout_s, self._time_out, turn, timeout_s)
        try:
            result = await self._pool.inside(turn, resume(turn, coro, yielded, self.share))
        except BaseException as error:
            return await self._interrupted(turn, error)
        finally:
            if timer is not None:
                timer.cancel()
        return await self._finish(turn, result, spec)

    async def finish_later(self) -> str:
        """Finish the turn of a plain handler that couldn't be finished at once."""
        unfinished, self.unfinished = self.unfinished, None
        assert unfinished is not None
        turn, result = unfinished
        return await self._finish(turn, result, turn.cell.handlers[type(turn.message)])

    async def _finish(self, turn: Turn, result: Any, spec: HandlerSpec) -> str:
        """Finish a turn that may have to wait: for keys, for a user transaction, for caution after a crash."""
        kernel, cell = self._kernel, turn.cell
        if turn.interrupt is not None and turn.interrupt() is not None:
            return await self._interrupted(turn, asyncio.CancelledError())  # too late is too late
        if turn.slot >= 0:
            kernel.attempts.mark(turn.slot, False)
        if turn.waits and turn.status is OPEN:
            try:
                await self._pool.inside(turn, turn.make_ready())  # a user transaction may run out meanwhile
            except BaseException as error:
                return await self._interrupted(turn, error)
        if turn.held is not None:
            await turn.held(result, spec)
        else:
            turn.finish(result, spec.reply if type(turn.envelope) is Ask else None)
        if cell.incarnation is not turn.incarnation:
            return LOST
        if kernel.caution is not None and kernel.caution.active and turn.position:
            try:
                await kernel.commits.wait(turn.position)
            except StoreError:
                return LOST  # the tree is being reset
        return GO_ON

    async def _interrupted(self, turn: Turn, error: BaseException) -> str:
        """End the turn of a waiting handler that raised, or that was cancelled (user_code/user_task.py)."""
        cell, interrupt = turn.cell, turn.interrupt
        self._kernel.part(Home).end_garbage(error)
        if turn.slot >= 0:
            self._kernel.attempts.mark(turn.slot, False)
        task = asyncio.current_task()
        if interrupt is None and isinstance(error, asyncio.CancelledError) and self._all_ends():
            turn.discard()
            raise error
        if interrupt is None and isinstance(task, UserTask) and task.foreign and self._spares(turn):
            interrupt = no_charge
            if type(turn.envelope) is Ask:  # nobody asks again for its sender
                turn.envelope.refuse(AskFailed(cell.address, CANCELLED))
        if turn.held is not None:
            await turn.held(error, None)
        # The caller that runs the loop has to know of a Ctrl-C, as where a handler doesn't wait.
        if isinstance(error, KeyboardInterrupt):
            turn.fail(error)
            raise error
        if cell.turn is not turn:
            turn.discard()
            return LOST
        if interrupt is not None:
            charged = interrupt()
            if charged is None:
                turn.discard()
                envelope = turn.envelope
                if envelope is None and turn.message is not None:
                    envelope = self._kernel.wrap(cell.address, turn.message, turn.uid)
                if envelope is not None:
                    cell.give_back(turn.batch or (envelope,))
                cell.state.restore(turn.incarnation.actor)
                return GO_ON
            error = charged
        turn.fail(error)
        return GO_ON

    def _all_ends(self) -> bool:
        """Whether the node ends, or the loop itself. A cancellation is nobody's failure then."""
        return self._pool.closed or self._kernel.cut_short

    def _spares(self, turn: Turn) -> bool:
        """Whether a message is handled again without a charge, because other code has cancelled its handler."""
        spared = self._spared
        count = spared.pop(turn.key, 0) + 1
        if count > SPARED_MAX:
            return False
        while len(spared) >= SPARED_KEPT:
            del spared[next(iter(spared))]
        spared[turn.key] = count
        return True

    def _time_out(self, turn: Turn, timeout_s: float) -> None:
        cell = turn.cell
        if cell.turn is turn and turn.task is not None and turn.interrupt is None:
            error = HandlerTimeout(cell.address, timeout_s)
            self._kernel.background(self._exits.cut_off(turn, error), f"greenroom timeout of {cell.address}")

    # -- batches and external handlers ------------------------------------------------------------------------

    def _elaborate(self, turn: Turn, spec: HandlerSpec) -> Coroutine[Any, Any, str] | None:
        if spec.keeps_runner is not None:
            return self._keep(turn, spec, spec.keeps_runner)
        actor = turn.incarnation.actor
        argument: Any = collect(turn, spec) if spec.is_batch else turn.message

        async def run() -> Any:
            if spec.external:
                await turn.settled()
            result = spec.function(actor, argument)
            return await result if spec.is_async else result

        self._kernel.stepping = turn
        try:
            coro, yielded = turn.incarnation.context.run(call_async, turn, lambda *_: run(), None, None)
        except StopIteration as stop:
            leave_scopes()
            return self._finish(turn, stop.value, spec)
        except BaseException as error:
            leave_scopes()
            return self._interrupted(turn, error)
        finally:
            self._kernel.stepping = None
        return self._wait_inside(turn, coro, yielded, spec)

    async def _keep(self, turn: Turn, spec: HandlerSpec, keep: Callable[[Cell], Awaitable[str]]) -> str:
        """Run a handler after whose turn the runner stays with the cell."""
        cell = turn.cell
        self._kernel.stepping = turn
        try:
            result = turn.incarnation.context.run(call, turn, spec.function, turn.incarnation.actor, turn.message)
        except Exception as error:
            turn.fail(error)
            return GO_ON
        finally:
            self._kernel.stepping = None
        outcome = await self._finish(turn, result, spec)
        if outcome is not GO_ON or turn.status is not FINISHED or cell.status is not UP:
            return outcome
        return await keep(cell)

    # -- what isn't the usual way -------------------------------------------------------------------------------

    async def _unusual(self, cell: Cell, slot: int) -> str:
        """Handle a cell that isn't up."""
        return await self._activate(cell, slot) if cell.status is PASSIVE else LET_GO

    async def _activate(self, cell: Cell, slot: int) -> str:
        """Start an actor, because its address has got its first message. A start that fails is
        charged to that message."""
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
        caution = self._kernel.caution
        if caution is not None and isinstance(head, Envelope) and not caution.may_run(cell, head):
            ask = caution.instead(cell, head)
            if ask is None:
                return SET_ASIDE
            cell.mailbox.push_front(ask)
            head = ask
        if isinstance(head, Envelope):
            self._kernel.attempts.note(slot, head.uid, cell.address, caution is not None)
        refused = False
        try:
            if caution is None:
                await start(cell)
            else:
                await watch(start(cell), self._kernel.attempts, slot)
        except Ignore as ignored:
            cell.status = PASSIVE
            self._exits.start_refused(cell, ExitReason.shutdown(str(ignored)), final=True)
            refused = True
        except StartFailed as error:
            if cell.runner != slot:
                return LOST
            if cell.status is not DOWN or isinstance(error.__cause__, CutOff):  # stopped: no fault of the message
                return LET_GO
            if self._kernel.closing and comes_of_stop(error):
                cell.status = STOPPED  # its message stays on disk, uncharged
                return LET_GO
            cell.status = PASSIVE
            self._exits.start_refused(cell, error.reason, final=False)
            refused = True
        finally:
            if caution is not None and isinstance(head, Envelope):
                self._kernel.attempts.clear(slot)
                caution.ran(head.uid)
                if refused:
                    caution.acquit(head.uid)  # it is charged for the start
        return GO_ON if cell.mailbox.count else LET_GO

    async def _park(self, cell: Cell) -> str:
        """Park the cell, because all that it has may be behind mail that is still to be found."""
        mailbox = cell.mailbox
        if not isinstance(mailbox, Backlog) or not mailbox.blocked:
            return GO_ON
        mailbox.parked = True
        cell.park()
        return LOST

    async def _page_in(self, cell: Cell, row_id: int) -> str:
        """Read the bodies at the head of a backlog."""
        ids = cell.mailbox.leading_rows(PAGE) or [row_id]
        try:
            envelopes = await page_in(self._kernel, ids)
        except StoreError as error:
            self._kernel.store_failed(error)
            return LOST
        if cell.mailbox.leading_rows(len(ids)) != ids:
            return LET_GO  # reset meanwhile
        for envelope in envelopes.values():
            prepare_ahead(cell, envelope)
        cell.swap(cell.mailbox.page_in(ids, envelopes))
        return GO_ON if cell.mailbox.count else LET_GO
