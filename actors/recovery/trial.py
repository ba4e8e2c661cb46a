"""Trial: which suspects run at the moment, and which wait until others are over (docs/semantics/recovery.md).

A suspect with the limit n runs while at most n suspects run, itself included. The least suspicious go first, because
they are to be done before the process dies once more.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable

from ...persistence.store.attempts import Started
from ..execution.dispatcher import Dispatcher
from ..kernel.cell import PASSIVE, UP, Cell
from ..kernel.kernel import Kernel

__all__ = ("Trial",)

LOOK_S = 1.0
"""Seconds between looks at the suspects that wait. By the first look a suspect that hasn't come is waited for no
longer."""
HELD_S = 60.0
"""Seconds that a suspect waits for others at most. So a handler that never ends keeps nobody for ever."""


class Trial:
    """The suspects of one node that run, and the cells at whose heads suspects wait."""

    def __init__(self, kernel: Kernel, dispatcher: Dispatcher, suspects: dict[str, Started]) -> None:
        self._kernel = kernel
        self._dispatcher = dispatcher
        self._suspects = suspects
        """All suspects by uid; the caution changes it."""
        self._limited = {uid for uid, suspect in suspects.items() if suspect.limit}
        """The suspects that may have only so many others beside them. Without any, none waits."""
        self.running: dict[str, Started] = {}
        self.held: dict[Cell, str] = {}
        """The cells that were set aside, each with its suspect's uid."""
        self._since: dict[str, float] = {}
        """The moments since when suspects wait, in monotonic seconds."""
        self._called: dict[str, Started] = {}
        """Suspects that are expected at the heads of their mailboxes in a moment. Those of a higher rank wait for
        them."""
        self._open = False
        """Whether the boot has got so far that suspects may run."""
        self._timer: asyncio.TimerHandle | None = None

    @property
    def alone(self) -> int:
        """The number of suspects that run alone: with no other suspect beside them."""
        return sum(self._suspects[uid].limit == 1 for uid in self._limited)

    def begin(self, found: Iterable[tuple[Started, Cell]] = ()) -> None:
        """Let suspects run from now on.

        Args:
            found: suspects, with the cells in whose mailboxes they are.
        """
        self._open = True
        if self._limited:
            for suspect, cell in found:
                self._called[suspect.uid] = suspect
                cell.wake()
            self._look_later()
        self.go_on()

    def admit(self, suspect: Started) -> bool:
        """Whether a suspect may run now. It runs from now on, if so."""
        if suspect.uid not in self.running:
            if not self._has_room(suspect):
                return False
            self.running[suspect.uid] = suspect
            self._called.pop(suspect.uid, None)
        return True

    def _has_room(self, suspect: Started) -> bool:
        if not (self._open and self._limited):
            return self._open
        limits = [one.limit or math.inf for one in (suspect, *self.running.values())]
        if len(limits) > min(limits):
            return False
        return all(one.rank >= suspect.rank for one in self._called.values()) and all(
            self._suspects[uid].rank >= suspect.rank for uid in self.held.values() if uid in self._suspects
        )

    def over(self, uid: str) -> None:
        """A message doesn't run any more; it may be a suspect still."""
        if self.running.pop(uid, None) is not None:
            self.go_on()

    def forget(self, uid: str) -> None:
        """A message is no suspect any more."""
        self._limited.discard(uid)
        self._called.pop(uid, None)
        self._since.pop(uid, None)

    def hold(self, cell: Cell, suspect: Started) -> None:
        """The cell is about to be set aside, because its suspect has to wait."""
        self.held[cell] = suspect.uid
        self._since.setdefault(suspect.uid, self._kernel.runtime.monotonic())
        self._look_later()

    def serve(self, cell: Cell) -> None:
        """Let the cell go on if it was set aside: something may pass its suspect, or the suspect may run."""
        if self.held.pop(cell, None) is not None:
            self._dispatcher.serve(cell)

    def go_on(self) -> None:
        """Let those go on that may."""
        if not (self._open and self.held):
            return
        count = len(self.running)
        room = min((one.limit or math.inf for one in self.running.values()), default=math.inf)
        ranked = sorted(
            ((self._suspects.get(uid), cell) for cell, uid in self.held.items()),
            key=lambda one: (-math.inf, 0) if one[0] is None else one[0].rank,
        )
        for suspect, cell in ranked:
            if suspect is not None:
                room = min(room, suspect.limit or math.inf)
                if count >= room:
                    break
                count += 1
            self.serve(cell)

    def reset(self) -> None:
        """Nothing is set aside any more, because the tree is being reset."""
        self.held.clear()
        self._called.clear()

    def close(self) -> None:
        """Let everything go on, because there are no suspects any more."""
        self._open = True
        self._called.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for cell in list(self.held):
            self.serve(cell)

    def _look_later(self) -> None:
        if self._timer is None:
            self._timer = self._kernel.runtime.call_later(LOOK_S, self._look)

    def _look(self) -> None:
        self._timer = None
        if self._kernel.closing:  # also a node whose start failed
            return
        if not self._open:
            self._look_later()
            return
        self._called.clear()
        long_ago = self._kernel.runtime.monotonic() - HELD_S
        for cell, uid in list(self.held.items()):
            if uid in self._suspects and self._since.get(uid, math.inf) <= long_ago:
                self.running[uid] = self._suspects[uid]
                self.serve(cell)
            elif cell.status not in (UP, PASSIVE):
                self.serve(cell)
        self.go_on()
        if self.held:
            self._look_later()
