"""Signals: the signals of a parent as events to wait for, so that none is missed between a look and a wait."""

from __future__ import annotations

import select
import signal
import socket
from types import FrameType, TracebackType
from typing import Any

__all__ = ("Signals",)

STOP: tuple[int, ...] = tuple(
    getattr(signal, name) for name in ("SIGTERM", "SIGINT", "SIGHUP", "SIGBREAK") if hasattr(signal, name)
)
CHILD: tuple[int, ...] = (signal.SIGCHLD,) if hasattr(signal, "SIGCHLD") else ()
LOOK_S = 1.0
"""Seconds that a wait lasts at most. Without SIGCHLD (Windows), the death of a child is noticed after that time."""


class Signals:
    """Within its block, signals that ask for a stop are collected, and do nothing else.

    A signal that is ignored stays ignored (`nohup`; a background job of a shell without job control).
    """

    def __init__(self) -> None:
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)
        self._before: dict[int, Any] = {}
        self._wakeup = -1

    def __enter__(self) -> Signals:
        self._wakeup = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        for number in (*STOP, *CHILD):
            if number in CHILD or signal.getsignal(number) is not signal.SIG_IGN:
                self._before[number] = signal.signal(number, _noted)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._wakeup)
        self._reader.close()
        self._writer.close()

    def wait(self, timeout_s: float = LOOK_S) -> int:
        """Wait for something to happen; returns how many signals have asked for a stop meanwhile."""
        select.select((self._reader,), (), (), max(0.0, min(timeout_s, LOOK_S)))
        try:
            return sum(number in STOP for number in self._reader.recv(4096))
        except BlockingIOError:
            return 0


def _noted(number: int, frame: FrameType | None) -> None:
    """Its number has gone into the socket already."""
