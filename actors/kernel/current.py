"""Current turn: the turn that code belongs to.

Each incarnation has a context of its own, and its code runs in that context, or in a copy of it (a child task). A plain
handler runs from its first line to its last without a break, so the kernel knows its turn (`Kernel.stepping`), and the
context need not be told of it: it says only whose code this is. An async handler may suspend, and its child tasks are
part of its turn. So its turn is noted in the context.
"""

from __future__ import annotations

from contextvars import ContextVar

from ..messages.message import Message
from .incarnation import Incarnation
from .turn import FINISHED, OPEN, Turn

__all__ = ("current_turn", "turn_here", "turn_of")

current_turn: ContextVar[Turn | Incarnation | None] = ContextVar("greenroom_turn", default=None)
"""The last turn of an async handler or hook in this context; the incarnation, if there was none. None outside of
actors. Ask `turn_here`."""

_NOTHING = Message()


def turn_here() -> Turn | None:
    """The turn that this code belongs to, open or closed; None for code outside of actors."""
    found = current_turn.get()
    return None if found is None else turn_of(found)


def turn_of(found: Turn | Incarnation) -> Turn:
    """The turn of code in whose context `current_turn` is `found`.

    A child task of a plain handler runs after its turn, and gets a closed one.
    """
    turn: Turn | None = found.cell.kernel.stepping
    if type(found) is Incarnation:
        if turn is not None and turn.incarnation is found:
            return turn
        turn = Turn(found, None, _NOTHING, "", found.cell, 0)
        turn.status = FINISHED
        return turn
    assert isinstance(found, Turn)
    if turn is not None and found.status is not OPEN and turn.incarnation is found.incarnation:
        return turn
    return found
