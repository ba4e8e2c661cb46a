"""Hook turns: `on_start` and `on_stop`, each a turn of its own with a time limit in seconds."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from ...persistence.runtime import uncancelled
from ..kernel.cell import Cell
from ..kernel.errors import HandlerTimeout
from ..kernel.failures import Refusals
from ..kernel.incarnation import Incarnation
from ..kernel.turn import FAILED, OPEN, Turn
from ..messages.signals import ExitReason
from .stepping import call_async, resume
from .transaction import WriteSlot

__all__ = ("CANCEL_GRACE_S", "ORPHANED", "drive", "end", "run", "run_on_stop")

CANCEL_GRACE_S = 1.0
"""Seconds that a cancelled handler may take to end before its incarnation is abandoned."""

ORPHANED = ExitReason.killed("its supervisor was killed")
"""The reason of an actor whose supervisor was killed over it. The actor itself wasn't: its `on_stop` runs."""


async def run_on_stop(cell: Cell, incarnation: Incarnation, reason: ExitReason, left_s: float | None) -> ExitReason:
    """Run `on_stop` as a turn. Returns the reason of the exit, changed if the turn failed or was cut off."""
    incarnation.stop_began = True
    if not cell.definition.overrides_on_stop or (reason.kind == "killed" and reason is not ORPHANED):
        return reason
    actor = incarnation.actor
    turn = Turn(incarnation, None, None, cell.kernel.next_uid())
    cell.turn = turn
    try:
        cell.state.restore(actor)
        if cell.state.outdated is not None:
            cell.state.rewrite(False)
        await drive(turn, lambda: actor.on_stop(reason), left_s)
        if turn.waits:
            await turn.make_ready()
    except HandlerTimeout as error:
        await end(turn, error)
        return ExitReason.killed("on_stop didn't end within its shutdown time")
    except asyncio.CancelledError as error:
        cut_off = turn.interrupt is not None
        await end(turn, error)
        if not cut_off:
            raise
        return ExitReason.killed("on_stop was cut off")
    except Exception as error:
        await end(turn, error)
        return _stop_failed(cell, reason, ExitReason.from_exception(error))
    error_at_end = await end(turn, None)
    leaving, cell.leaving = cell.leaving, None
    if error_at_end is not None:
        return _stop_failed(cell, reason, ExitReason.from_exception(error_at_end))
    if turn.status is FAILED and leaving is not None:
        return _stop_failed(cell, reason, leaving[0])
    return reason


def _stop_failed(cell: Cell, reason: ExitReason, failure: ExitReason) -> ExitReason:
    cell.kernel.events.emit(
        "actor.stop_failed",
        cell.address,
        error=failure.error,
        text=failure.text,
        traceback=failure.traceback,
    )
    return failure if reason.kind != "error" else reason


async def end(turn: Turn, failure: BaseException | None) -> BaseException | None:
    """End an `on_start` or `on_stop` turn, which may hold a user transaction. Returns the error for which it
    failed, if it has.

    If the database has refused such a turn of this actor, it waits for its commit, in a transaction of its own.
    """
    if failure is None and turn.held is None and turn.cell.kernel.part(Refusals).wary(turn.cell):
        try:
            await WriteSlot(turn).open()
        except BaseException as error:
            failure = error
    if turn.held is not None:
        try:
            await uncancelled(turn.held(failure, None))
        except asyncio.CancelledError as error:  # it is committed, or rolled back, all the same
            failure = failure or error
        if turn.status is OPEN:  # rolled back; or the store failed, and the tree is being reset
            turn.discard(failure)
    elif failure is None:
        turn.finish()
    else:
        turn.discard(failure)
    if turn.cell.quiet is not None and turn.cell.runner < 0:  # it is in no runner's hands, which would say so
        turn.cell.now_quiet()
    return failure


async def drive(turn: Turn, function: Callable[[], Awaitable[Any]], timeout_s: float | None) -> Any:
    """Run `on_start` or `on_stop` as a turn.

    It runs in a task of its own, so that one that swallows its cancellation can be left behind.

    Raises:
        HandlerTimeout: it was cancelled after `timeout_s`.
    """
    runtime = turn.cell.kernel.runtime
    task = turn.task = runtime.spawn(_driven(turn, function), f"greenroom {turn.cell.address}")
    try:
        if await runtime.wait((task,), timeout_s):
            charged = turn.interrupt() if task.cancelled() and turn.interrupt is not None else None
            if charged is not None:  # the user transaction was taken away
                raise charged
            return task.result()
        task.cancel()
        if await runtime.wait((task,), CANCEL_GRACE_S) and not task.cancelled():
            task.exception()
        raise HandlerTimeout(turn.cell.address, timeout_s or 0.0, "`on_start`")
    except asyncio.CancelledError:
        task.cancel()
        await uncancelled(runtime.wait((task,), CANCEL_GRACE_S))  # anyio cancels again at each await
        raise
    finally:
        turn.task = None


def run(turn: Turn, function: Callable[[], Awaitable[Any]]) -> None:
    """Run an `on_start` in which there is no `await`: it can't suspend, and needs no task of its own."""
    kernel = turn.cell.kernel
    kernel.stepping = turn
    try:
        turn.incarnation.run(call_async, turn, lambda *_: function(), None, None)
    except StopIteration:
        return
    finally:
        kernel.stepping = None
    raise AssertionError(f"{function} was taken for one that can't suspend")


async def _driven(turn: Turn, function: Callable[[], Awaitable[Any]]) -> Any:
    kernel = turn.cell.kernel
    kernel.stepping = turn
    try:
        coro, yielded = turn.incarnation.run(call_async, turn, lambda *_: function(), None, None)
    except StopIteration as stop:
        return stop.value
    finally:
        kernel.stepping = None
    turn.coroutine, turn.since = coro, turn.cell.kernel.runtime.now()
    return await resume(turn, coro, yielded)
