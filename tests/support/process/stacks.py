"""Where a program stands: the stack of each thread, and of each asyncio task down to what it waits for.

A program calls `show_on_signal` at its beginning. Its parent calls `stacks_of` when it believes that the program hangs.
"""

from __future__ import annotations

import asyncio
import faulthandler
import gc
import linecache
import os
import signal
import sys
import threading
import time
import traceback
from pathlib import Path
from types import FrameType
from typing import Any

__all__ = ("show_on_signal", "stacks_here", "stacks_of")

TASKS, THREADS = signal.SIGUSR2, signal.SIGUSR1
"""Python answers the first, in its main thread. C answers the second, even if Python no longer gets to run."""
END = "-- end of the stacks"
ANSWER_S_MAX = 10.0


def show_on_signal(path: Path) -> None:
    """From now on this process writes its stacks into the file, when `stacks_of` asks for them."""
    file = path.open("w")
    faulthandler.register(THREADS, file, all_threads=True)

    def answer(number: int, frame: FrameType | None) -> None:
        file.write(f"{stacks_here()}\n{END}\n")
        file.flush()

    signal.signal(TASKS, answer)


def stacks_of(pid: int, path: Path) -> str:
    """The stacks of a process that has called `show_on_signal` with this path."""
    os.kill(pid, TASKS)
    if not _said(path, END):
        path.open("a").write("-- its main thread doesn't get to run Python: the threads alone, innermost call first\n")
        os.kill(pid, THREADS)
        _said(path, "most recent call first")
        time.sleep(0.2)  # C writes without an end that could be looked for
    return path.read_text()


def _said(path: Path, text: str) -> bool:
    until_s = time.monotonic() + ANSWER_S_MAX
    while time.monotonic() < until_s:
        if path.exists() and text in path.read_text():
            return True
        time.sleep(0.01)
    return False


def stacks_here() -> str:
    """The stacks of this process."""
    lines: list[str] = []
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    for ident, frame in sys._current_frames().items():
        lines.append(f"-- thread {names.get(ident, ident)}")
        lines += (line.rstrip("\n") for line in traceback.format_stack(frame))
    for task in (found for found in gc.get_objects() if isinstance(found, asyncio.Task) and not found.done()):
        lines.append(f"-- task {task.get_name()}{', to be cancelled' * bool(task.cancelling())}")
        lines += _awaits(task.get_coro())
    return "\n".join(lines)


def _awaits(waiting: Any) -> list[str]:
    """From the outermost coroutine to what the innermost waits for."""
    lines: list[str] = []
    while waiting is not None:
        for frame_of, next_of in (("cr_frame", "cr_await"), ("gi_frame", "gi_yieldfrom"), ("ag_frame", "ag_await")):
            if (frame := getattr(waiting, frame_of, None)) is not None:
                code, line = frame.f_code, frame.f_lineno
                lines.append(f'  File "{code.co_filename}", line {line}, in {code.co_name}')
                lines.append(f"    {linecache.getline(code.co_filename, line).strip()}")
                waiting = getattr(waiting, next_of)
                break
        else:
            lines.append(f"    waits for {waiting!r}")
            return lines
    return lines
