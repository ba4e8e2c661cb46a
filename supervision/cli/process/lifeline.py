"""Lifeline: the node ends with its parent, and within the time that it has to stop in."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

from loguru import logger

from ..exit_codes import ExitCode, status_of

__all__ = ("Deadline", "Lifeline")


class Lifeline:
    """The node's stdin is a pipe whose other end only its parent holds, so the end of the file means the end
    of the parent.

    A thread waits for it, because the loop may stand still. The program itself gets an empty stdin.
    """

    def __init__(self, on_end: Callable[[], object]) -> None:
        self._on_end = on_end
        self._descriptor = os.dup(0)
        empty = os.open(os.devnull, os.O_RDONLY)
        os.dup2(empty, 0)
        os.close(empty)
        threading.Thread(target=self._watch, name="greenroom lifeline", daemon=True).start()

    def _watch(self) -> None:
        while os.read(self._descriptor, 4096):
            pass
        self._on_end()


class Deadline:
    """Ends the process hard when its orderly end takes too long: the loop stands still, or a thread doesn't return."""

    def __init__(self) -> None:
        self._timer: threading.Timer | None = None

    def set(self, timeout_s: float) -> None:
        """Start to count; only the first call counts. Any thread may call it."""
        if self._timer is None:
            self._timer = threading.Timer(timeout_s, self._end, (timeout_s,))
            self._timer.daemon = True
            self._timer.start()

    def _end(self, timeout_s: float) -> None:
        logger.error(
            "the tree didn't stop within {:g} s (node.stop_timeout_s); unfinished messages are handled again",
            timeout_s,
        )
        os._exit(status_of(ExitCode.FAILED))
