"""ClockWatch: notices that the wall clock was set, or that the machine has slept.

Within one life of a node, an interval or a delay of so many seconds is measured by a clock that nobody sets. So when
the wall clock jumps, the due times of such timers move with it. Due times that name a moment (`at`, a cron expression)
stay what they are. Over the end of a life only the wall clock is left. docs/semantics/timers.md
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from ...kernel.kernel import Kernel
from .timer import Timer

__all__ = ("ClockWatch", "move", "pull_near")

LOOK_S: Final = 1.0
"""Seconds between two looks at the clocks."""
JUMP_S_MIN: Final = 1.0
"""A smaller step isn't told from the time that a look takes, or from a clock that is corrected little by little."""
LOOK_S_MAX: Final = 0.1
"""A look that took longer, because the process was frozen in the middle of it, says nothing."""
CORRECTED_S: Final = 3 * 3600.0
"""A step back by so many seconds corrects a wrong clock; a shorter one may be a change of the hour. Debian: cron(8)"""


class ClockWatch:
    """Compares the wall clock with the time that has passed."""

    def __init__(self, kernel: Kernel, jumped: Callable[[float], object], again: Callable[[], object]) -> None:
        """
        Args:
            jumped: called with the seconds by which the wall clock was set, below 0 for back.
            again: called if the waits of the event loop are wrong, because the clock jumped or the machine slept.
        """
        self._kernel = kernel
        self._jumped = jumped
        self._again = again
        runtime = kernel.runtime
        self._ahead_s = runtime.now() - runtime.elapsed()
        self._asleep_s = runtime.elapsed() - runtime.monotonic()
        self._begun = False

    def begin(self) -> None:
        """Look from now on, as long as the node runs; safe to call twice."""
        if not self._begun:
            self._begun = True
            self._kernel.serve(self._run(), "greenroom clock")

    async def _run(self) -> None:
        """Look until cancelled."""
        while True:
            await self._kernel.runtime.poll(LOOK_S)
            self.look()

    def look(self) -> None:
        runtime = self._kernel.runtime
        began = runtime.elapsed()
        ahead_s = runtime.now() - began
        asleep_s = runtime.elapsed() - runtime.monotonic()
        if runtime.elapsed() - began > LOOK_S_MAX:
            return
        by_s, self._ahead_s = ahead_s - self._ahead_s, ahead_s
        slept_s, self._asleep_s = asleep_s - self._asleep_s, asleep_s
        if abs(by_s) >= JUMP_S_MIN:
            self._kernel.events.emit("clock.jumped", self._kernel.root_address, by_s=round(by_s, 3))
            self._jumped(by_s)
        elif slept_s < JUMP_S_MIN:
            return
        self._again()


def move(timer: Timer, by_s: float, now: float) -> None:
    """Move a timer's due time, because the wall clock was set by so many seconds and is `now`."""
    schedule = timer.schedule
    if schedule.every_s is not None:
        timer.schedule = msgspec.structs.replace(schedule, first=schedule.first + by_s)
        timer.due += by_s
    elif schedule.after_s is not None:
        timer.due += by_s
    elif by_s < 0 and schedule.cron is not None and (by_s <= -CORRECTED_S or _comes_often(schedule.cron)):
        due = schedule.next(now)
        timer.due = timer.due if due is None else min(timer.due, due)


def pull_near(timer: Timer, now: float) -> None:
    """Pull an interval near that a row has further ahead than its own length, because the clock was set back since."""
    every_s = timer.schedule.every_s
    if every_s is not None and timer.due - now > every_s + JUMP_S_MIN:
        move(timer, now + every_s - timer.due, now)


def _comes_often(expression: str) -> bool:
    """Whether the expression names no hour, or no minute. Others don't come twice if the clock is set back a little."""
    return any(field.startswith("*") for field in expression.split()[:2])
