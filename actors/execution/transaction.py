"""User transaction: SQL of the user's own, in the same commit as the turn."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

from ...persistence.commit.effects import Effects
from ...persistence.errors import StoreDataError, StoreError, TransactionMisused
from ...persistence.runtime import uncancelled
from ..definition.handlers import HandlerSpec
from ..kernel.errors import TransactionTimeout
from ..kernel.turn import OPEN, Turn
from ..mailbox.envelope import Ask

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection


__all__ = ("WriteSlot", "user_transaction")

CutOff = Callable[[Turn, TransactionTimeout], Coroutine[Any, Any, None]]


class WriteSlot:
    """The right to write, held from `transaction()` to the end of the turn, or until the time limit takes it away."""

    def __init__(self, turn: Turn, cut_off: CutOff | None = None) -> None:
        """
        Args:
            cut_off: ends the handler of a turn whose time is up; None for a turn in which no handler runs any more.
        """
        self._turn = turn
        self._cut_off = cut_off
        self._timeout_s = turn.cell.kernel.settings.transaction_timeout_s
        self._stack = AsyncExitStack()
        self._finish: Any = None
        self._timer: asyncio.TimerHandle | None = None
        self._spoiled = False

    async def open(self) -> AsyncConnection:
        turn = self._turn
        kernel = turn.cell.kernel
        for holding in kernel.hooks.holding:
            holding(turn.cell)
        await turn.settled()
        connection, self._finish = await self._stack.enter_async_context(kernel.committer.hold())
        try:
            turn.check_open()
        except BaseException:
            await self._stack.aclose()
            raise
        turn.held = self._end
        self._timer = kernel.runtime.call_later(self._timeout_s, self._revoke)
        return connection

    def spoil(self) -> None:
        """Keep nothing of its SQL, because an exception left the block."""
        self._spoiled = True

    def _revoke(self) -> None:
        """Cancel the handler, because the turn holds up every other commit. The exception charges its message."""
        turn = self._turn
        if turn.held is None or turn.interrupt is not None:
            return
        error = TransactionTimeout(turn.cell.address, self._timeout_s)
        if turn.task is not None and self._cut_off is not None:
            turn.cell.kernel.background(self._cut_off(turn, error), f"greenroom revocation at {turn.cell.address}")

    async def _end(self, outcome: Any, spec: HandlerSpec | None) -> None:
        """Commit both turn and SQL, or neither, because the turn is over. A caller that is cancelled meanwhile
        is told so afterwards. `outcome` is the handler's result, or its exception."""
        await uncancelled(self._close(outcome, spec))

    async def _close(self, outcome: Any, spec: HandlerSpec | None) -> None:
        turn = self._turn
        turn.held = None
        if self._timer is not None:
            self._timer.cancel()
        try:
            if isinstance(outcome, BaseException):
                return
            if self._spoiled or not turn.is_current:
                await self._stack.aclose()
                turn.finish(outcome, spec.reply if spec is not None and type(turn.envelope) is Ask else None)
                return
            await self._commit(outcome, spec)
        finally:
            await self._stack.aclose()

    async def _commit(self, result: Any, spec: HandlerSpec | None) -> None:
        turn, cell = self._turn, self._turn.cell
        try:
            state = cell.state.changed(turn.incarnation.actor) if cell.state.writes and not turn.retiring else None
            if spec is not None and type(turn.envelope) is Ask and not turn.put_aside:
                result = spec.reply(result)
            effects = turn.effects(state, ahead=True) or Effects()
        except BaseException as error:  # user code encodes and compares
            turn.fail(error)
            if isinstance(error, KeyboardInterrupt):
                raise
            return
        try:
            await self._finish(effects)
        except (StoreDataError, TransactionMisused) as error:  # the handler's doing, not the store's
            turn.fail(error)
        except StoreError as error:
            cell.kernel.store_failed(error)
            if turn.status is OPEN:  # a node that stops isn't reset, and its stop would wait for the turn
                turn.discard()
        except Exception as error:
            turn.fail(error)
        else:
            turn.close(result, state)


@asynccontextmanager
async def user_transaction(turn: Turn, cut_off: CutOff) -> AsyncIterator[AsyncConnection]:
    """SQL of the user's own, committed together with the turn (`Actor.transaction`).

    Args:
        cut_off: ends the handler if its transaction lasts too long.
    """
    if turn.held is not None:
        raise RuntimeError("a turn has one transaction; use the connection that you have")
    slot = WriteSlot(turn, cut_off)
    connection = await slot.open()
    try:
        yield connection
    except BaseException:  # a cancellation, too: a handler that catches it, by a time limit of its own, goes on
        slot.spoil()
        raise
