"""Links: actors that end together. This module decides which actors hear of an exit by an exit signal, and which
exit by it as well.

    class Pump(Actor[Level]):
        trap_exits = True

        async def on_start(self) -> None:
            self.link(valve)  # an ActorRef

        @handler
        def exited(self, message: Exited) -> None: ...

When one end exits, the other one gets an exit signal and the link is gone. With `trap_exits` that is an `Exited`
message; without, a signal other than `normal` ends the other end as well, with the same reason, and so on along the
links. OTP: erlang:link/1, process_flag(trap_exit). A supervisor and its children need no link: it stops them, and is
told of their exits.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from ...execution.exits import Exits
from ...kernel.cell import PASSIVE, STARTING, UP, Cell
from ...kernel.kernel import Kernel
from ...messages.signals import Exit
from .relations import Owed, Relation, letter

__all__ = ("Links",)


class Links:
    """The exit signals of one node. A circle of links ends, because an incarnation exits once, and a link
    carries one signal."""

    def __init__(self, kernel: Kernel, exits: Exits, find: Callable[[str], Cell | None]) -> None:
        """
        Args:
            find: the cell at an address; None if there is none.
        """
        self._kernel = kernel
        self._exits = exits
        self._find = find
        self._signals: deque[tuple[str, Exit]] = deque()
        self._delivering = False

    def reset(self) -> None:
        self._signals.clear()

    def add_signal(self, owed: Owed, other: str, relation: Relation) -> None:
        """Add to `owed` the signal of an exit to the other end of a link."""
        cell = self._find(other)
        if cell is None:
            return
        signal = owed.exit.signal(self._kernel.boot)
        if not cell.options.trap_exits:
            if signal.reason.kind != "normal":
                owed.linked.append(other)
        elif not relation.broken:  # if the link is broken, the commit that broke it has the message
            owed.letters.append(letter(relation.id, other, cell.durable, signal))

    def deliver(self, owed: Owed) -> None:
        """Deliver exit signals to actors that don't trap them, one after another, because a chain of
        links may be long."""
        end = owed.exit._replace(reason=owed.exit.signal(self._kernel.boot).reason)
        self._signals.extend((address, end) for address in owed.linked)
        if self._delivering:
            return
        self._delivering = True
        try:
            while self._signals:
                address, end = self._signals.popleft()
                cell = self._find(address)
                if cell is not None and not self._kernel.closing:
                    self._exit_by_link(cell, end)
        finally:
            self._delivering = False

    def _exit_by_link(self, cell: Cell, end: Exit) -> None:
        incarnation = cell.incarnation
        if cell.status is UP:
            self._exits.exit_by_link(cell, end.reason)
        elif cell.status is STARTING and incarnation is not None:
            incarnation.exit_later(end.reason)  # it comes up first: a start that fails is another matter
        elif cell.status is PASSIVE and cell.on_demand:
            # Nothing of it runs, so there is nothing to end or to restart. The other ends of its relations are told.
            self._kernel.exited(cell, Exit(cell.address, cell.last_exit, end.reason))
