"""Where a program stands: the stack of each thread, and of each asyncio task down to what it waits for.

Programs that tests start in `processes.environment` show theirs on their stderr, when a parent that believes that they
hang calls `ask_for_stacks`.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
from contextlib import suppress
from types import FrameType
from typing import Any

__all__ = ("ask_for_stacks", "show_on_signal", "stacks_here")

TASKS, THREADS = signal.SIGUSR2, signal.SIGUSR1
"""Python answers the first, in its main thread. C answers the second, even if Python no longer gets to run."""


def show_on_signal() -> None:
    """From now on this process, and whatever it forks, shows its stacks when it is asked for them."""

    def answer(number: int, frame: FrameType | None) -> None:
        os.write(2, f"{stacks_here()}\n".encode())

    faulthandler.register(THREADS, file=2, all_threads=True)
    signal.signal(TASKS, answer)


def ask_for_stacks(pid: int) -> None:
    """Returns when it has answered on its stderr, or is known not to."""
    from pulse import Pulse

    for number in (TASKS, THREADS):
        with suppress(ProcessLookupError):
            os.kill(pid, number)
            Pulse(pid, asleep_s=1.0, cpu_s=5.0).wait(lambda: False)


def stacks_here() -> str:
    """The stacks of this process."""
    import asyncio  # these cost each process of the tests its time, if they were imported at its start
    import gc
    import threading
    import traceback

    lines: list[str] = []
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    for ident, frame in sys._current_frames().items():
        lines.append(f"-- thread {names.get(ident, ident)}")
        lines += (line.rstrip("\n") for line in traceback.format_stack(frame))
    for task in (found for found in gc.get_objects() if isinstance(found, asyncio.Task) and not found.done()):
        lines.append(f"-- task {task.get_name()}{', to be cancelled' * bool(task.cancelling())}")
        lines += _awaits(task.get_coro())
        lines.append(f"    waits for {getattr(task, '_fut_waiter', None)!r}")
    return "\n".join(lines)


def _awaits(waiting: Any) -> list[str]:
    """From the outermost coroutine to what the innermost waits for."""
    from linecache import getline

    lines: list[str] = []
    while waiting is not None:
        for frame_of, next_of in (("cr_frame", "cr_await"), ("gi_frame", "gi_yieldfrom"), ("ag_frame", "ag_await")):
            if (frame := getattr(waiting, frame_of, None)) is not None:
                code, line = frame.f_code, frame.f_lineno
                lines.append(f'  File "{code.co_filename}", line {line}, in {code.co_name}')
                lines.append(f"    {getline(code.co_filename, line).strip()}")
                waiting = getattr(waiting, next_of)
                break
        else:
            return lines
    return lines
