"""Hook turns: `on_start` and `on_stop`, each a turn of its own with a time limit in seconds."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from ...persistence.home import Home
from ...persistence.runtime import uncancelled
from ..kernel.cell import Cell
from ..kernel.errors import HandlerTimeout, SelfCancelled
from ..kernel.failures import Refusals
from ..kernel.incarnation import Incarnation
from ..kernel.turn import FAILED, OPEN, Turn, begin
from ..messages.signals import ExitReason
from .transaction import WriteSlot
from .user_code.scopes import leave_scopes
from .user_code.stepping import call_async, resume
from .user_code.user_task import interrupt, spawn

__all__ = (
    "CANCEL_GRACE_S",
    "ORPHANED",
    "CutOff",
    "by_itself",
    "drive",
    "end",
    "make_ready",
    "run",
    "run_on_stop",
)

CANCEL_GRACE_S = 1.0
"""Seconds that a cancelled handler may take to end before its incarnation is abandoned."""

ORPHANED = ExitReason.killed("its supervisor was killed")
"""The reason of an actor whose supervisor was killed over it. The actor itself wasn't: its `on_stop` runs."""


class CutOff(Exception):
    """The runtime has cut off an `on_start` or `on_stop`, because its actor was stopped or reset meanwhile."""


class Outcome(NamedTuple):
    """How an `on_start` or `on_stop` has ended."""

    value: Any
    error: BaseException | None


async def run_on_stop(cell: Cell, incarnation: Incarnation, reason: ExitReason, left_s: float | None) -> ExitReason:
    """Run `on_stop` as a turn. Returns the reason of the exit, changed if the turn failed or was cut off."""
    incarnation.stop_began = True
    if not cell.definition.overrides_on_stop or (reason.kind == "killed" and reason is not ORPHANED):
        return reason
    actor = incarnation.actor
    turn = begin(incarnation, None, None, cell.kernel.next_uid())
    cell.turn = turn
    try:
        cell.state.restore(actor)
        if cell.state.outdated is not None:
            cell.state.rewrite(False)
        await drive(turn, lambda: actor.on_stop(reason), left_s, "on_stop")
        await make_ready(turn)
    except HandlerTimeout as error:
        await end(turn, error)
        return ExitReason.killed("on_stop didn't end within its shutdown time")
    except CutOff as error:
        await end(turn, error)
        return ExitReason.killed("on_stop was cut off")
    except (asyncio.CancelledError, KeyboardInterrupt) as error:  # the caller is to end
        await end(turn, error)
        raise
    except BaseException as error:
        cell.kernel.part(Home).end_garbage(error)
        await end(turn, error)
        return _stop_failed(cell, reason, ExitReason.from_exception(error))
    error_at_end = await end(turn, None)
    if isinstance(error_at_end, asyncio.CancelledError | KeyboardInterrupt):
        raise error_at_end
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
    failed, if it has; or the cancellation, or the Ctrl-C, that came meanwhile.

    If the database has refused such a turn of this actor, it waits for its commit, in a transaction of its own.
    """
    if failure is None and turn.held is None and turn.cell.kernel.part(Refusals).wary(turn.cell):
        try:
            await WriteSlot(turn).open()
        except BaseException as error:
            failure = error
    if turn.held is not None:
        try:
            await turn.held(failure, None)
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


async def drive(turn: Turn, function: Callable[[], Awaitable[Any]], timeout_s: float | None, hook: str) -> Any:
    """Run `on_start` or `on_stop` as a turn.

    It runs in a task of its own, so that one that swallows its cancellation can be left behind.

    Raises:
        HandlerTimeout: it was cancelled after `timeout_s`.
        CutOff: the runtime has cut it off, and charges nobody.
        CancelledError: the caller is cancelled.
        BaseException: what it has raised; `SelfCancelled` for a cancellation that nobody had asked for.
    """
    kernel = turn.cell.kernel
    runtime = kernel.runtime
    task = turn.task = spawn(kernel, _driven(turn, function), f"greenroom {turn.cell.address}")
    task.turn = turn
    try:
        if await runtime.wait((task,), timeout_s):
            return _value(turn, task, hook)
        interrupt(task)
        if await runtime.wait((task,), CANCEL_GRACE_S) and not task.cancelled():
            task.exception()
        raise HandlerTimeout(turn.cell.address, timeout_s or 0.0, f"`{hook}`")
    except asyncio.CancelledError:
        interrupt(task)
        await uncancelled(runtime.wait((task,), CANCEL_GRACE_S))  # anyio cancels again at each await
        raise
    finally:
        turn.task = None


def _value(turn: Turn, task: asyncio.Task[Outcome], hook: str) -> Any:
    """The value of a hook that has ended, or its error. Here it is told whether a cancellation was asked for."""
    value: Any = None
    error: BaseException | None
    try:
        value, error = task.result()
    except asyncio.CancelledError as cancelled:
        if turn.interrupt is None and turn.cell.kernel.cut_short:  # the loop ends
            raise
        error = cancelled
    if error is None:
        return value
    if turn.interrupt is not None:
        raise turn.interrupt() or CutOff
    raise by_itself(turn.cell, hook, error)


def by_itself(cell: Cell, hook: str, error: BaseException) -> BaseException:
    """The failure that an error of user code is, if the runtime hasn't asked for it."""
    if not isinstance(error, asyncio.CancelledError):
        return error
    failure = SelfCancelled(cell.address, hook)
    failure.__cause__ = error
    return failure


async def make_ready(turn: Turn) -> None:
    """Make participants of a hook's turn ready. Its user transaction may run out meanwhile.

    Raises:
        TransactionTimeout, CutOff, KeyConflict, StoreError
    """
    if not turn.waits:
        return
    task = turn.task = asyncio.current_task()
    try:
        await turn.make_ready()
    except asyncio.CancelledError:
        if turn.interrupt is None:
            raise
        while task is not None and task.cancelling():
            task.uncancel()
        raise (turn.interrupt() or CutOff) from None
    finally:
        turn.task = None


def run(turn: Turn, function: Callable[[], Awaitable[Any]]) -> None:
    """Run an `on_start` in which there is no `await`: it can't suspend, and needs no task of its own."""
    kernel = turn.cell.kernel
    kernel.stepping = turn
    try:
        turn.incarnation.context.run(call_async, turn, lambda *_: function(), None, None)
    except StopIteration:
        return
    except asyncio.CancelledError as error:
        raise by_itself(turn.cell, "on_start", error) from error
    finally:
        kernel.stepping = None
        leave_scopes()
    raise AssertionError(f"{function} was taken for one that can't suspend")


async def _driven(turn: Turn, function: Callable[[], Awaitable[Any]]) -> Outcome:
    """Nothing but a cancellation and a Ctrl-C gets out of the task, because asyncio would end the loop
    for a `SystemExit`."""
    task = asyncio.current_task()
    try:
        return Outcome(await _stepped(turn, function), None)
    except (asyncio.CancelledError, KeyboardInterrupt):
        raise
    except BaseException as error:
        return Outcome(None, error)
    finally:
        leave_scopes(task)


async def _stepped(turn: Turn, function: Callable[[], Awaitable[Any]]) -> Any:
    kernel = turn.cell.kernel
    kernel.stepping = turn
    try:
        coro, yielded = turn.incarnation.context.run(call_async, turn, lambda *_: function(), None, None)
    except StopIteration as stop:
        return stop.value
    finally:
        kernel.stepping = None
    turn.coroutine, turn.since = coro, turn.cell.kernel.runtime.now()
    return await resume(turn, coro, yielded)
