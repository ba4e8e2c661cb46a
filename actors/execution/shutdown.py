"""Shutdown: the ladder by which an incarnation is stopped: ask, wait, cancel, abandon (docs/semantics/cell.md)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ..kernel.cell import STARTING, STOPPED, STOPPING, UP, Cell
from ..kernel.incarnation import Incarnation
from ..kernel.turn import Turn
from ..mailbox.envelope import Ask
from ..messages.signals import Exit, ExitReason
from .hook_turns import CANCEL_GRACE_S, ORPHANED, run_on_stop
from .user_code.user_task import interrupt as interrupt_task

__all__ = ("IDLE", "abandon", "cut_off", "stop")

IDLE = ExitReason.shutdown("idle")
"""The reason with which a passivated actor is stopped. It is no exit."""


async def stop(cell: Cell, reason: ExitReason, timeout_s: float | None, *, then: str = STOPPED) -> ExitReason:
    """The shutdown ladder: ask, wait, cancel, abandon. Returns the reason it really ended with.

    OTP: supervisor(3), shutdown().

    Args:
        timeout_s: seconds for the running turn and `on_stop` together; None waits for ever, 0 begins at cancel.
        then: the status it is left in.

    It is an exit unless the node stops, or `reason` is `IDLE`.
    """
    idle = reason == IDLE
    deadline = None if timeout_s is None else cell.kernel.runtime.monotonic() + timeout_s
    if cell.status is STARTING:
        await cell.until_quiet(timeout_s)  # wait for the runner or task that is at it
        if cell.status is STARTING and cell.turn is not None:
            await cut_off(cell.turn, lambda: None)
    elif cell.status is STOPPING:
        await _let_end(cell, timeout_s, at_once=reason is ORPHANED)
    incarnation = cell.incarnation
    if incarnation is None or not (cell.status is UP or (cell.status is STOPPING and not incarnation.stop_began)):
        _over(cell, (reason, "", 0), then, idle)
        return reason
    cell.status = STOPPING
    incarnation.begin_end()
    try:
        return await _climb(cell, incarnation, reason, timeout_s, deadline, then)
    finally:
        incarnation.finish_end()


async def _let_end(cell: Cell, timeout_s: float | None, *, at_once: bool) -> None:
    """Let whatever ends an incarnation do so. If that takes too long, or nothing is at it any more because its
    supervisor was killed over it, the code that still runs is cut off.

    Args:
        at_once: whether a handler gets no time to finish its turn. `on_stop` has its time all the same.
    """
    incarnation = cell.incarnation
    if incarnation is not None and incarnation.ending is not None:
        await cell.kernel.runtime.wait((incarnation.ending,), timeout_s)
    elif not (at_once and cell.turn is not None and cell.turn.envelope is not None):
        await cell.until_quiet(timeout_s)
    if cell.status is STOPPING and cell.incarnation is incarnation and cell.turn is not None:
        await cut_off(cell.turn, lambda: None)


async def _climb(
    cell: Cell, incarnation: Incarnation, reason: ExitReason, timeout_s: float | None, deadline: float | None, then: str
) -> ExitReason:
    """The rungs of the ladder, for an incarnation that is up. Returns the reason it really ended with."""
    runtime = cell.kernel.runtime
    idle = reason == IDLE
    uid, attempt = "", 0
    if cell.turn is not None:
        if timeout_s != 0 and reason is not ORPHANED:
            await cell.until_quiet(timeout_s)
        if cell.turn is not None and not await cut_off(cell.turn, lambda: None):
            reason = ExitReason.killed("its handler swallowed the cancellation")
        elif timeout_s != 0 and deadline is not None and runtime.monotonic() >= deadline:
            reason = ExitReason.killed("it didn't end within its shutdown time")
    if cell.leaving is not None and reason.kind != "killed":
        reason, uid, attempt = cell.leaving
    if cell.incarnation is incarnation:
        left_s = None if deadline is None else max(0.0, deadline - runtime.monotonic())
        reason = await run_on_stop(cell, incarnation, reason, left_s)
        cell.last_exit = incarnation.number
    if cell.incarnation is None or cell.incarnation is incarnation:
        _over(cell, (reason, uid, attempt), then, idle)
    return reason


def _over(cell: Cell, leaving: tuple[ExitReason, str, int], then: str, idle: bool) -> None:
    """End a stop: fence the cell off; and if an incarnation has ended by it, tell others."""
    ended = cell.status is STOPPING or (cell.status is STARTING and cell.incarnation is not None)
    if cell.incarnation is not None:
        cell.last_exit = cell.incarnation.number
    cell.fence(then)
    if ended and not idle and not cell.kernel.closing:
        why, uid, attempt = leaving
        cell.kernel.exited(cell, Exit(cell.address, cell.last_exit, why, uid, attempt))


async def cut_off(turn: Turn, interrupt: Callable[[], BaseException | None]) -> bool:
    """Cancel the running handler; if it swallows that, abandon it. Returns whether it ended.

    A turn whose handler has ended, and which only waits for the store, is let finish: it may be in the commit already.

    Args:
        interrupt: makes the error to charge to the message, or None for no charge.
    """
    cell = turn.cell
    if turn.task is None:
        await cell.until_quiet(None)
        return True
    turn.interrupt = interrupt
    interrupt_task(turn.task)
    await cell.until_quiet(CANCEL_GRACE_S)
    if cell.turn is not turn:
        return True
    if turn.task is None:
        await cell.until_quiet(None)
        return True
    await abandon(turn)
    return False


async def abandon(turn: Turn) -> None:
    """Fence the incarnation off: whatever its handler still does, it can commit nothing."""
    cell = turn.cell
    number = cell.last_exit = turn.incarnation.number
    cell.incarnation = None
    if turn.task is not None:
        cell.kernel.scheduler.leave_behind(turn.task)
    turn.discard()
    cell.queued = cell.kernel.scheduler.has_queued(cell)
    cell.runner = -1
    if turn.held is not None:
        await turn.held(asyncio.CancelledError(), None)
    uncharged = turn.interrupt is not None and turn.interrupt() is None
    if uncharged and turn.envelope is not None and not isinstance(turn.envelope, Ask):
        cell.give_back(turn.batch or (turn.envelope,))
    cell.kernel.events.emit("actor.abandoned", cell.address, incarnation=number, after_s=CANCEL_GRACE_S)
    cell.now_quiet()
