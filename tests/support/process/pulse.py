"""Whether a process hangs, judged by what it does and not by a clock: a busy machine makes everything late.

A process hangs if it has slept for long while nothing kept it from going on, or if it has used far too much of the CPU.
Time in which it waits for a CPU or for the disk says nothing about it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

__all__ = ("ASLEEP_S_MAX", "CPU_S_MAX", "Pulse", "effort")

PROC = Path("/proc")
ASLEEP_S_MAX = 20.0 if (PROC / "self" / "schedstat").exists() else 120.0
"""Longer than whatever a program of the tests may sleep: it hangs. Without such a file (it is Linux's) nothing tells
sleep from work, and this is a limit for both."""
CPU_S_MAX = 60.0
"""More than whatever a program of the tests may compute: it goes round in a circle."""
LOOK_S = 0.25
"""Between one look and the next. If twice that passes, the observer was kept waiting; the rest doesn't count."""
AWAKE_SHARE, KEPT_SHARE = 0.05, 0.5
"""Of the time between two looks: a process that used more of a CPU works, and one that waited more for a CPU was kept
from it. One that only looks after its timers now and then is asleep."""


class Pulse:
    """The pulse of a process and of its children. Nothing is looked at but in `look`."""

    def __init__(self, pid: int, *, asleep_s: float = ASLEEP_S_MAX, cpu_s: float = CPU_S_MAX) -> None:
        self._pid = pid
        self._limits = asleep_s, cpu_s
        self._looked_s = time.monotonic()
        self._last = self._first = effort(pid)
        self._asleep_s = 0.0

    def look(self) -> str | None:
        """Why it is judged to hang, if it is. To be called again and again, about every `LOOK_S`, or more often."""
        now_s = time.monotonic()
        passed_s = now_s - self._looked_s
        if passed_s < LOOK_S:
            return None
        last, now = self._last, effort(self._pid)
        works = now.used_s - last.used_s > AWAKE_SHARE * passed_s or now.processes != last.processes
        if works or now.on_disk or now.waited_s - last.waited_s > KEPT_SHARE * passed_s:
            self._asleep_s = 0.0
        else:
            self._asleep_s += min(passed_s, 2 * LOOK_S)
        self._looked_s, self._last = now_s, now
        asleep_s, cpu_s = self._limits
        if self._asleep_s > asleep_s:
            return f"it has slept for {self._asleep_s:.0f} s, and nothing kept it from going on"
        if now.used_s - self._first.used_s > cpu_s:
            return f"it has used {now.used_s - self._first.used_s:.0f} s of CPU"
        return None

    def wait(self, done: Callable[[], bool], pause_s: float = 0.005) -> str | None:
        """Until something has happened (None), or the process is judged to hang (why)."""
        while not done():
            if why := self.look():
                return why
            time.sleep(pause_s)
        return None


class Effort(NamedTuple):
    """The work that a process and its children have done so far."""

    used_s: float
    """Of CPU."""
    waited_s: float
    """For a CPU, while others had it."""
    on_disk: bool
    """One of its threads waits for the disk."""
    processes: frozenset[int]


def effort(pid: int) -> Effort:
    used = waited = 0.0
    on_disk = False
    processes = frozenset((pid, *_children(pid)))
    for process in processes:
        with suppress(OSError):  # it has ended meanwhile
            for thread in (PROC / str(process) / "task").iterdir():
                with suppress(OSError):
                    ran_ns, waited_ns, _ = (thread / "schedstat").read_text().split()
                    used += int(ran_ns) / 1e9
                    waited += int(waited_ns) / 1e9
                    on_disk |= _state(thread) == "D"
    return Effort(used, waited, on_disk, processes)


def _state(thread: Path) -> str:
    return (thread / "stat").read_text().rpartition(")")[2].split()[0]


def _children(pid: int) -> list[int]:
    found = []
    with suppress(OSError):
        for thread in (PROC / str(pid) / "task").iterdir():
            for child in (thread / "children").read_text().split():
                found += [int(child), *_children(int(child))]
    return found
