"""Lifecycle: the start and the stop of incarnations (docs/semantics/cell.md)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from ...persistence.runtime import uncancelled
from ..actor import Actor
from ..kernel.errors import HandlerTimeout, Ignore, StartFailed
from ..kernel.incarnation import Incarnation
from ..kernel.status import DOWN, STARTING, STOPPED, STOPPING, UP
from ..kernel.turn import FAILED, OPEN, Turn
from ..mailbox.envelope import Ask
from ..messages.signals import ExitReason
from .stepping import call_async, resume

if TYPE_CHECKING:
    from ..kernel.cell import Cell

__all__ = ("abandon", "cut_off", "run_on_stop", "start", "stop")

CANCEL_GRACE_S = 1.0
"""How long a cancelled handler may take to end before its incarnation is abandoned."""

IDLE = ExitReason.shutdown("idle")
"""Why a passivated actor is stopped: no exit."""
STOPPED_MEANWHILE = ExitReason.killed("it was stopped while it started")


async def start(cell: Cell) -> None:
    """A new incarnation: build the instance, restore its state, run `on_start` as a turn of its own.

    If the database has refused what its last start wrote, this is the exit of that one instead.

    Raises:
        StartFailed: any of these failed; the cell is down (or in the state in which whoever stopped it meanwhile
            left it).
        Ignore: `on_start` doesn't want to run; the cell is stopped.
    """
    system, definition, state = cell.system, cell.definition, cell.state
    if system.recovery.refusals.unsaid and system.recovery.refusals.say(cell):
        return
    cell.status = STARTING
    cell.leaving = None
    if cell.state.outdated is not None:
        cell.state.rewrite(False)
    incarnation = Incarnation(cell, system.next_incarnation())
    cell.incarnation = incarnation
    turn = None
    failure: BaseException | None = None
    if definition.overrides_on_start or not state.loaded or (state.writes and not state.known):
        turn = Turn(incarnation, None, None, system.next_uid())
        try:
            await state.load()
            actor = incarnation.run(_build, cell, incarnation)
            cell.turn = turn
            if definition.overrides_on_start:
                if definition.on_start_waits:
                    await _drive(turn, actor.on_start, cell.options.handler_timeout_s)
                else:
                    _run(turn, actor.on_start)
                if turn.keyed:
                    await system.keys.check_turn(turn)
        except BaseException as error:
            failure = error
        failure = await _end(turn, failure)
    else:  # a restart with nothing to run, to read or to write: the usual one
        try:
            incarnation.run(_build, cell, incarnation)
        except BaseException as error:
            failure = error
    leaving, cell.leaving = cell.leaving, None
    if cell.incarnation is not incarnation:
        if isinstance(failure, asyncio.CancelledError):
            raise failure
        raise StartFailed(cell.address, STOPPED_MEANWHILE)
    if failure is None and leaving is None and (turn is None or turn.status == "finished"):
        cell.status = UP
        cell.last_used = system.runtime.monotonic()
        if cell.state.outdated is not None:
            cell.state.rewrite(True)
        system.events.emit("actor.started", cell.address, incarnation=incarnation.number)
        system.activator.started(cell)
        if cell.address in system.timers.asleep:
            system.timers.started(cell)
        if incarnation.struck is not None:
            system.exits.fell(cell, incarnation.struck)
        elif cell.mailbox.count:
            cell.wake()
        return
    cell.last_exit = incarnation.number
    cell.fence(STOPPED if isinstance(failure, Ignore) and not cell.on_demand else DOWN)
    reason = STOPPED_MEANWHILE if leaving is None else leaving[0]
    if isinstance(failure, Ignore):
        reason = ExitReason.normal()
    elif failure is not None:
        reason = ExitReason.from_exception(failure)
    if leaving is not None or not (cell.on_demand or system.closing):
        system.exits.announce(cell, incarnation.number, reason)
    else:  # its first message is charged: no exit
        system.groups.drop(cell.address)
    if isinstance(failure, Ignore | asyncio.CancelledError | KeyboardInterrupt):  # the last is for who runs the loop
        raise failure
    raise StartFailed(cell.address, reason) from failure


def _build(cell: Cell, incarnation: Incarnation) -> Actor[Any]:
    """The instance. The runtime is lent to it after `__init__`: it has no address before."""
    actor: Actor[Any] = cell.definition.cls(**cell.make_args())
    actor._context = incarnation
    incarnation.actor = actor
    cell.state.install(actor)
    cell.system.tracing.started(incarnation)
    return actor


async def stop(cell: Cell, reason: ExitReason, timeout_s: float | None, *, then: str = STOPPED) -> ExitReason:
    """The shutdown ladder: ask, wait, cancel, abandon. Returns the reason it really ended with.

    OTP: supervisor(3), shutdown().

    Args:
        timeout_s: for the running turn and `on_stop` together; None waits for ever, 0 begins at cancel.
        then: the state it is left in.

    It is an exit unless the node stops, or `reason` is `IDLE`.
    """
    runtime = cell.system.runtime
    idle = reason == IDLE
    deadline = None if timeout_s is None else runtime.monotonic() + timeout_s
    if cell.status is STARTING or cell.status is STOPPING:
        await cell.until_quiet(timeout_s)  # whoever is at it
        if cell.status is STARTING and cell.turn is not None:
            await cut_off(cell.turn, lambda: None)
    if cell.status is not UP:
        _over(cell, (reason, "", 0), then, idle)
        return reason
    cell.status = STOPPING
    incarnation = cell.incarnation
    uid, attempt = "", 0
    if cell.turn is not None:
        if timeout_s != 0:
            await cell.until_quiet(timeout_s)
        if cell.turn is not None and not await cut_off(cell.turn, lambda: None):
            reason = ExitReason.killed("its handler swallowed the cancellation")
        elif timeout_s != 0 and deadline is not None and runtime.monotonic() >= deadline:
            reason = ExitReason.killed("it didn't end within its shutdown time")
    if cell.leaving is not None and reason.kind != "killed":
        reason, uid, attempt = cell.leaving
    if incarnation is not None and cell.incarnation is incarnation:
        left_s = None if deadline is None else max(0.0, deadline - runtime.monotonic())
        reason = await run_on_stop(cell, incarnation, reason, left_s)
        cell.last_exit = incarnation.number
    _over(cell, (reason, uid, attempt), then, idle)
    return reason


def _over(cell: Cell, leaving: tuple[ExitReason, str, int], then: str, idle: bool) -> None:
    """The end of a stop: fence the cell off; and if an incarnation has ended by it, tell who is concerned."""
    ended = cell.status is STOPPING or (cell.status is STARTING and cell.incarnation is not None)
    if cell.incarnation is not None:
        cell.last_exit = cell.incarnation.number
    cell.fence(then)
    if ended and not idle and not cell.system.closing:
        cell.system.exits.announce(cell, cell.last_exit, *leaving)


async def run_on_stop(cell: Cell, incarnation: Incarnation, reason: ExitReason, left_s: float | None) -> ExitReason:
    """The `on_stop` turn; returns the reason, changed if it failed or was cut off."""
    if not cell.definition.overrides_on_stop or reason.kind == "killed":
        return reason
    actor = incarnation.actor
    turn = Turn(incarnation, None, None, cell.system.next_uid())
    cell.turn = turn
    try:
        cell.state.restore(actor)
        if cell.state.outdated is not None:
            cell.state.rewrite(False)
        await _drive(turn, lambda: actor.on_stop(reason), left_s)
        if turn.keyed:
            await cell.system.keys.check_turn(turn)
    except HandlerTimeout as error:
        await _end(turn, error)
        return ExitReason.killed("on_stop didn't end within its shutdown time")
    except Exception as error:
        await _end(turn, error)
        return _stop_failed(cell, reason, ExitReason.from_exception(error))
    error_at_end = await _end(turn, None)
    leaving, cell.leaving = cell.leaving, None
    if error_at_end is not None:
        return _stop_failed(cell, reason, ExitReason.from_exception(error_at_end))
    if turn.status is FAILED and leaving is not None:
        return _stop_failed(cell, reason, leaving[0])
    return reason


def _stop_failed(cell: Cell, reason: ExitReason, failure: ExitReason) -> ExitReason:
    cell.system.events.emit(
        "actor.stop_failed",
        cell.address,
        error=failure.error,
        text=failure.text,
        traceback=failure.traceback,
    )
    return failure if reason.kind != "error" else reason


async def _end(turn: Turn, failure: BaseException | None) -> BaseException | None:
    """The end of an `on_start` or `on_stop` turn, which may hold a transaction. Returns why it failed, if it has.

    If the database has refused such a turn of this actor, it waits for its commit, in a transaction of its own.
    """
    if failure is None and turn.held is None and turn.cell.system.recovery.refusals.wary(turn.cell):
        try:
            await turn.cell.system.write_slot(turn).open()
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


async def cut_off(turn: Turn, interrupt: Callable[[], BaseException | None]) -> bool:
    """Cancel the running handler; if it swallows that, abandon it. Returns whether it ended.

    A turn whose handler has ended, and which only waits for the store, is let finish: it may be in the commit already.

    Args:
        interrupt: makes the error to charge to the message; None for no charge.
    """
    cell = turn.cell
    if turn.task is None:
        await cell.until_quiet(None)
        return True
    turn.interrupt = interrupt
    turn.task.cancel()
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
        cell.system.runners.leave_behind(turn.task)
    turn.discard()
    cell.queued = cell.system.runners.has_queued(cell)  # in a solo run it needn't be in a runner's hands
    cell.runner = -1
    if turn.held is not None:
        await turn.held(asyncio.CancelledError(), None)
    uncharged = turn.interrupt is not None and turn.interrupt() is None
    if uncharged and turn.envelope is not None and not isinstance(turn.envelope, Ask):
        cell.give_back(turn.batch or (turn.envelope,))
    cell.system.events.emit("actor.abandoned", cell.address, incarnation=number, after_s=CANCEL_GRACE_S)
    cell.now_quiet()


async def _drive(turn: Turn, function: Callable[[], Awaitable[Any]], timeout_s: float | None) -> Any:
    """Run `on_start` or `on_stop` as a turn.

    In a task of its own, so that one that swallows its cancellation can be left behind.

    Raises:
        HandlerTimeout: it was cancelled after `timeout_s`.
    """
    runtime = turn.cell.system.runtime
    task = turn.task = runtime.spawn(_driven(turn, function), f"greenroom {turn.cell.address}")
    try:
        if await runtime.wait((task,), timeout_s):
            charged = turn.interrupt() if task.cancelled() and turn.interrupt is not None else None
            if charged is not None:  # the write slot was taken away
                raise charged
            return task.result()
        task.cancel()
        if await runtime.wait((task,), CANCEL_GRACE_S) and not task.cancelled():
            task.exception()
        raise HandlerTimeout(turn.cell.address, timeout_s or 0.0)
    except asyncio.CancelledError:
        task.cancel()
        await uncancelled(runtime.wait((task,), CANCEL_GRACE_S))  # anyio cancels again at each await
        raise
    finally:
        turn.task = None


def _run(turn: Turn, function: Callable[[], Awaitable[Any]]) -> None:
    """Run an `on_start` in which there is no `await`: it can't suspend, and needs no task of its own."""
    handling = turn.cell.system.runners.handling
    handling.step(turn)
    try:
        turn.incarnation.run(call_async, turn, lambda *_: function(), None, None)
    except StopIteration:
        return
    finally:
        handling.step(None)
    raise AssertionError(f"{function} was taken for one that can't suspend")


async def _driven(turn: Turn, function: Callable[[], Awaitable[Any]]) -> Any:
    handling = turn.cell.system.runners.handling
    handling.step(turn)
    try:
        coro, yielded = turn.incarnation.run(call_async, turn, lambda *_: function(), None, None)
    except StopIteration as stop:
        return stop.value
    finally:
        handling.step(None)
    turn.coroutine, turn.since = coro, turn.cell.system.runtime.now()
    return await resume(turn, handling.step, coro, yielded)
