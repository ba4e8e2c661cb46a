"""Links: actors that end together. What is here is the exit signal: who hears of it, who exits as well.

    class Pump(Actor[Level]):
        trap_exits = True

        async def on_start(self) -> None:
            self.link(self.system.ref("/plant/valve"))

        @handler
        def exited(self, message: Exited) -> None: ...

When one end exits, the other one gets an exit signal and the link is gone. With `trap_exits` that is an `Exited`
message; without, a signal other than `normal` ends the other end as well, with the same reason, and so on along the
links. OTP: erlang:link/1, process_flag(trap_exit). A supervisor and its children need no link: it stops them, and is
told of their exits.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from ...kernel.status import PASSIVE, STARTING, UP
from ...messages.signals import Exit
from .relations import Ending, Relation, letter

if TYPE_CHECKING:
    from ...kernel.cell import Cell
    from ...system import ActorSystem
    from .registry import Monitors

__all__ = ("Links",)


class Links:
    """The exit signals of one node. An incarnation exits once, and a link carries one signal: so a circle ends."""

    def __init__(self, system: ActorSystem, monitors: Monitors) -> None:
        self._system = system
        self._monitors = monitors
        self._struck: deque[tuple[str, Exit]] = deque()
        self._striking = False

    def reset(self) -> None:
        self._struck.clear()

    def add_signal(self, ending: Ending, other: str, relation: Relation) -> None:
        """What an exit means for the other end of a link."""
        cell = self._monitors.cell(other)
        if cell is None:
            return
        signal = ending.exit.signal(self._system.boot)
        if not cell.options.trap_exits:
            if signal.reason.kind != "normal":
                ending.strikes.append(other)
        elif not relation.broken:  # else it is in the commit that broke it
            ending.letters.append(letter(relation.id, other, cell.durable, signal))

    def strike_all(self, ending: Ending) -> None:
        """Deliver exit signals to actors that don't trap them. One after another: a chain may be long."""
        end = ending.exit._replace(reason=ending.exit.signal(self._system.boot).reason)
        self._struck.extend((address, end) for address in ending.strikes)
        if self._striking:
            return
        self._striking = True
        try:
            while self._struck:
                address, end = self._struck.popleft()
                cell = self._monitors.cell(address)
                if cell is not None and not self._system.closing:
                    self._strike(cell, end)
        finally:
            self._striking = False

    def _strike(self, cell: Cell, end: Exit) -> None:
        incarnation = cell.incarnation
        if cell.status is UP:
            self._system.exits.fell(cell, end.reason)
        elif cell.status is STARTING and incarnation is not None:
            incarnation.struck = end.reason  # it comes up first: a start that fails is another matter
        elif cell.status is PASSIVE and cell.on_demand:
            # Nothing of it runs: there is no incarnation to end and nobody to restart it. Who is bound to it is told.
            self._system.exits.announce(cell, cell.last_exit, end.reason)
