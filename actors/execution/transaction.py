"""The write slot: SQL of the user's own in the same commit as the turn."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

from ...persistence.commit.effects import Effects
from ...persistence.errors import StoreDataError, StoreError, TransactionMisused
from ..kernel.errors import TransactionTimeout
from ..mailbox.envelope import Ask

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from ..definition.handlers import HandlerSpec
    from ..kernel.turn import Turn

__all__ = ("WriteSlot",)


class WriteSlot:
    """Held from `transaction()` to the end of the turn, or until the time limit takes it away."""

    def __init__(self, turn: Turn, timeout_s: float) -> None:
        self._turn = turn
        self._timeout_s = timeout_s
        self._stack = AsyncExitStack()
        self._finish: Any = None
        self._timer: asyncio.TimerHandle | None = None
        self._spoiled = False

    async def open(self) -> AsyncConnection:
        turn = self._turn
        system = turn.cell.system
        system.timers.hold_all(turn)
        await turn.settled()
        connection, self._finish = await self._stack.enter_async_context(system.writer.hold())
        try:
            turn.check_open()
        except BaseException:
            await self._stack.aclose()
            raise
        turn.held = self._end
        self._timer = system.runtime.call_later(self._timeout_s, self._revoke)
        return connection

    def spoil(self) -> None:
        """An exception left the block: nothing of its SQL is kept."""
        self._spoiled = True

    def _revoke(self) -> None:
        """The turn holds everybody up: cancel its handler; the exception charges it."""
        turn = self._turn
        if turn.held is None or turn.interrupt is not None:
            return
        error = TransactionTimeout(turn.cell.address, self._timeout_s)
        if turn.task is not None:
            system = turn.cell.system
            system.background(system.exits.cut_off(turn, error), f"greenroom revocation at {turn.cell.address}")

    async def _end(self, outcome: Any, spec: HandlerSpec | None) -> None:
        """The turn is over: commit both, or neither. `outcome` is the handler's result, or what it raised."""
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
            if spec is not None and type(turn.envelope) is Ask and not turn.stashed:
                result = spec.reply(result)
            effects = turn.effects(state, ahead=True) or Effects()
            await self._finish(effects)
        except (StoreDataError, TransactionMisused) as error:  # the handler's doing, not the store's
            turn.fail(error)
        except StoreError as error:
            cell.system.recovery.store_failed(error)
        except Exception as error:
            turn.fail(error)
        else:
            turn.close(result, state)
