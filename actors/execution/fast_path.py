"""Fast path: a row of messages that plain methods handle, one after another, in as few steps as there can be.

Nothing differs from `Executor.begin` but the time it takes. Both functions stop at the first entry that is anything
else, and return how many messages they have handled. They are for cells that are up, outside times of caution.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..kernel.cell import UP, Cell
from ..kernel.turn import FINISHED, OPEN, Turn, begin
from ..mailbox.envelope import Ask, Envelope

if TYPE_CHECKING:
    from .executor import Executor

__all__ = ("run_durable", "run_light")


def run_light(executor: Executor, cell: Cell, limit: int) -> int:
    """Handle messages that were told in memory to an actor without rows. Requests may stand among them."""
    mailbox, handlers, incarnation, kernel = cell.mailbox, cell.handlers, cell.incarnation, cell.kernel
    assert incarnation is not None
    run, actor, watch = incarnation.context.run, incarnation.actor, incarnation.watch
    committed = kernel.commits.committed
    handled = 0
    while handled < limit:
        queue = mailbox.queue
        if not queue or mailbox.lanes is not None:
            break
        ask = None
        message: Any = queue[0]
        spec = handlers.get(type(message))
        if spec is None:
            if type(message) is not Ask or message.message is None or message.future.done():
                break
            ask, message = message, message.message
            spec = handlers.get(type(message))
        if spec is None or not spec.is_plain:
            break
        queue.popleft()
        mailbox.count -= 1
        if cell.on_room is not None:
            cell.has_room()
        if ask is None:
            turn = Turn(incarnation, None, message, "", cell, cell.after)
        else:
            turn = begin(incarnation, ask, message, ask.uid)
        if watch is not None:
            watch(turn)
        cell.turn = kernel.stepping = turn
        handled += 1
        try:
            result = run(spec.function, actor, message)
        except BaseException as error:
            kernel.stepping = None
            turn.fail(error)
            if isinstance(error, KeyboardInterrupt):
                raise
            return handled
        if turn.eventful or ask is not None or turn.status is not OPEN or cell.incarnation is not incarnation:
            if (
                ask is not None
                and not turn.eventful
                and turn.status is OPEN
                and cell.incarnation is incarnation
                and turn.after <= committed
                and spec.passes(result)
            ):
                turn.status = FINISHED
                if not ask.future.done():
                    ask.future.set_result((result, turn.after))
                continue
            kernel.stepping = None
            if turn.waits:
                executor.unfinished = turn, result
            else:
                turn.finish(result, None if ask is None else spec.reply)
            return handled
        turn.status = FINISHED
    cell.turn = kernel.stepping = None
    return handled


def run_durable(executor: Executor, cell: Cell, slot: int, limit: int) -> int:
    """Handle messages that were told to an actor with rows: first attempts, while there are no suspects."""
    mailbox, handlers, incarnation, kernel = cell.mailbox, cell.handlers, cell.incarnation, cell.kernel
    assert incarnation is not None
    actor, run, watch = incarnation.actor, incarnation.context.run, incarnation.watch
    note = kernel.attempts.note
    handled = 0
    while handled < limit:
        queue = mailbox.queue
        if not queue or mailbox.lanes is not None:
            break
        envelope = queue[0]
        if type(envelope) is not Envelope or envelope.message is None or envelope.attempts:
            break
        message = envelope.message
        spec = handlers.get(type(message))
        if spec is None or not spec.is_plain:
            break
        queue.popleft()
        mailbox.count -= 1
        if cell.on_room is not None:
            cell.has_room()
        after = cell.after
        if envelope.after > after:
            after = envelope.after
        turn = Turn(incarnation, envelope, message, envelope.uid, cell, after)
        if watch is not None:
            watch(turn)
        note(slot, envelope.uid, cell.address)
        cell.turn = kernel.stepping = turn
        handled += 1
        try:
            result = run(spec.function, actor, message)
        except BaseException as error:
            kernel.stepping = None
            turn.fail(error)
            if isinstance(error, KeyboardInterrupt):
                raise
            return handled
        kernel.stepping = None
        if turn.waits:
            executor.unfinished = turn, result
            break
        turn.finish(result)
        if (
            turn.participants is not None
            or turn.status is not FINISHED
            or cell.status is not UP
            or cell.held_by is not None
        ):
            break
    if not mailbox.count:
        mailbox.empty()
    return handled
