"""Watchdog: a thread that ends the process, naming the handler, because a blocked event loop can't be
timed out from within.

The verdict goes to the slot file first. At the next boot the message that blocked the loop is charged an attempt, and
nothing else is. A handler that holds the GIL as well (a regular expression that explodes, say) can't be seen by a
Python thread; `faulthandler`'s own C thread ends the process then, and the message is found as any that kills it.
"""

from __future__ import annotations

import faulthandler
import os
import sys
import threading
import traceback
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import asyncio

    from ..kernel.kernel import Kernel

__all__ = ("HANG_EXIT", "Watchdog")

HANG_EXIT: Final = 75
"""Exit status of a node that its watchdog ended."""
BEATS = 4
"""The number of heartbeats within `hang_s` seconds."""
LATE = 2.0
"""If a nap takes so many times what it should, the process was stopped (SIGSTOP, `docker pause`) or hardly ran."""
BACKSTOP = 2.0
"""After so many times `hang_s` seconds the C thread acts, because the Python thread couldn't."""


class Watchdog:
    def __init__(self, kernel: Kernel, hang_s: float) -> None:
        self._kernel = kernel
        self.hang_s = hang_s
        self._beat = kernel.runtime.monotonic()
        self._loop_thread = threading.get_ident()
        self._stopped = threading.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._thread = threading.Thread(target=self._watch, name="greenroom watchdog", daemon=True)

    def start(self) -> None:
        """Begin to watch the loop on which this is called."""
        self._on_beat()
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        if self._timer is not None:
            self._timer.cancel()
        faulthandler.cancel_dump_traceback_later()

    def _on_beat(self) -> None:
        self._beat = self._kernel.runtime.monotonic()
        faulthandler.dump_traceback_later(self.hang_s * BACKSTOP, exit=True, file=sys.__stderr__ or 2)
        self._timer = self._kernel.runtime.call_later(self.hang_s / BEATS, self._on_beat)

    def _watch(self) -> None:
        clock, nap_s = self._kernel.runtime.monotonic, self.hang_s / BEATS
        awake = since = clock()
        while not self._stopped.wait(nap_s):
            slept_s, awake = clock() - awake, clock()
            if slept_s > LATE * nap_s:  # the whole process stood still, this thread included: the loop isn't to blame
                since = awake
                continue
            still_s = awake - max(self._beat, since)
            if still_s > self.hang_s and not self._kernel.committer.pace.on_loop:
                self._end(still_s)

    def _end(self, still_s: float) -> None:
        frame = sys._current_frames().get(self._loop_thread)
        stack = "".join(traceback.format_stack(frame)) if frame is not None else "(no stack)"
        turn = self._kernel.stepping
        if turn is None:
            guilty = "no handler was running"
        else:
            message = type(turn.message).__name__ if turn.message is not None else "on_start or on_stop"
            guilty = f"{turn.cell.address} was handling {message}"
            one = turn.batch is None or len(turn.batch) == 1  # it isn't known which message of a batch it was
            if one and turn.envelope is not None and turn.cell.runner >= 0:
                self._kernel.attempts.hang(turn.cell.runner, f"{guilty}\n{stack}")
        report = f"greenroom: the event loop stood still for {still_s:.1f} s: {guilty}. The node ends.\n{stack}"
        os.write(2, report.encode(errors="replace"))
        os._exit(HANG_EXIT)
