"""Start: a new incarnation (docs/semantics/cell.md)."""

from __future__ import annotations

import asyncio

from ...persistence.home import Home
from ..kernel.cell import DOWN, STARTING, STOPPED, UP, Cell
from ..kernel.current import current_turn
from ..kernel.errors import Ignore, StartFailed
from ..kernel.failures import Refusals
from ..kernel.hooks import Instance
from ..kernel.incarnation import Incarnation
from ..kernel.turn import FINISHED, Turn, begin
from ..messages.signals import Exit, ExitReason
from .exits import Exits
from .hook_turns import CutOff, by_itself, drive, end, make_ready, run

__all__ = ("start",)

STOPPED_MEANWHILE = ExitReason.killed("it was stopped while it started")


async def start(cell: Cell) -> None:
    """A new incarnation: build the instance, restore its state, run `on_start` as a turn of its own.

    If the database has refused what its last start wrote, this is the exit of that one instead.

    Raises:
        StartFailed: any of these failed. The cell is down (or, if it was stopped meanwhile, in the status that
            the stop left it in).
        Ignore: `on_start` doesn't want to run; the cell is stopped.
    """
    kernel, definition, state = cell.kernel, cell.definition, cell.state
    unsaid = kernel.part(Refusals).unsaid
    if unsaid and (refused := unsaid.pop(cell.address, None)) is not None:
        kernel.part(Exits).ended(cell, kernel.next_incarnation(), refused)
        return
    cell.status = STARTING
    cell.leaving = None
    if cell.state.outdated is not None:
        cell.state.rewrite(False)
    incarnation = Incarnation(cell, kernel.next_incarnation())
    cell.incarnation = incarnation
    turn = None
    failure: BaseException | None = None
    if definition.overrides_on_start or not state.loaded or (state.writes and not state.known):
        turn = begin(incarnation, None, None, kernel.next_uid())
        try:
            await state.load()
            actor = incarnation.context.run(_build, cell, incarnation, turn)
            cell.turn = turn
            if definition.overrides_on_start:
                if definition.on_start_waits:
                    await drive(turn, actor.on_start, cell.options.handler_timeout_s, "on_start")
                else:
                    run(turn, actor.on_start)
                await make_ready(turn)
        except BaseException as error:
            kernel.part(Home).end_garbage(error)
            failure = error
        failure = await end(turn, failure)
        incarnation.context.run(current_turn.set, incarnation)
    else:  # a restart with nothing to run, to read or to write: the usual one
        try:
            incarnation.context.run(_build, cell, incarnation, None)
        except BaseException as error:
            failure = error
    leaving, cell.leaving = cell.leaving, None
    if cell.incarnation is not incarnation:
        if isinstance(failure, asyncio.CancelledError):
            raise failure
        raise StartFailed(cell.address, STOPPED_MEANWHILE)
    if failure is None and leaving is None and (turn is None or turn.status is FINISHED):
        cell.status = UP
        cell.last_used = kernel.runtime.monotonic()
        if cell.state.outdated is not None:
            cell.state.rewrite(True)
        kernel.events.emit("actor.started", cell.address, incarnation=incarnation.number)
        kernel.activator.started(cell)
        for started in kernel.hooks.started:
            started(cell)
        if incarnation.exit_signal is not None:
            kernel.part(Exits).exit_by_link(cell, incarnation.exit_signal)
        elif cell.mailbox.count:
            cell.wake()
        return
    cell.last_exit = incarnation.number
    cell.fence(STOPPED if isinstance(failure, Ignore) and not cell.on_demand else DOWN)
    reason = STOPPED_MEANWHILE if leaving is None else leaving[0]
    if isinstance(failure, Ignore):
        reason = ExitReason.normal()
    elif failure is not None and not isinstance(failure, CutOff):
        reason = ExitReason.from_exception(failure)
    if leaving is not None or not (cell.on_demand or kernel.closing):
        kernel.exited(cell, Exit(cell.address, incarnation.number, reason))
    else:  # its first message is charged: no exit
        kernel.exited(cell, None)
    # A KeyboardInterrupt is for the caller that runs the loop, and a CancelledError here is the caller's own.
    if isinstance(failure, Ignore | asyncio.CancelledError | KeyboardInterrupt):
        raise failure
    raise StartFailed(cell.address, reason) from failure


def _build(cell: Cell, incarnation: Incarnation, turn: Turn | None) -> Instance:
    """Build the instance. It gets the runtime after `__init__`, because it has no address before."""
    current_turn.set(turn)  # and not that of the supervisor that starts it
    try:
        actor: Instance = cell.definition.cls(**cell.make_args())
        actor._context = incarnation
        incarnation.actor = actor
        cell.state.install(actor)
    except asyncio.CancelledError as error:
        raise by_itself(cell, "__init__", error) from error
    if turn is None:
        current_turn.set(incarnation)
    for built in cell.kernel.hooks.built:
        built(cell)
    return actor
