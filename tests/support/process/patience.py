"""Waiting in a test for what has to come, without a limit of seconds: a busy machine may take its time.

The wait ends with `Hung` when this process is judged to hang (`pulse`), and with the stack of every thread and task.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from typing import TypeVar

from pulse import ASLEEP_S_MAX, CPU_S_MAX, LOOK_S, Pulse
from stacks import stacks_here

__all__ = ("Hung", "patience", "patient")

T = TypeVar("T")


class Hung(AssertionError):
    """Something hangs. The text has the reason and the stacks."""


@asynccontextmanager
async def patience(*, asleep_s: float = ASLEEP_S_MAX, cpu_s: float = CPU_S_MAX) -> AsyncIterator[None]:
    """For a block that has to end by itself.

    Args:
        asleep_s: how long the process may sleep in one go, in seconds.
        cpu_s: how much CPU it may use, in seconds. A block that looks for something again and again needs a small one.

    Raises:
        Hung: the process hangs.
    """
    loop, pulse, found = asyncio.get_running_loop(), Pulse(os.getpid(), asleep_s=asleep_s, cpu_s=cpu_s), ""
    try:
        async with asyncio.timeout(None) as limit:

            def look() -> None:
                nonlocal found, later
                if why := pulse.look():
                    found = f"{why}\n{stacks_here()}"
                    # A block that can't be cancelled, such as a node's stop, hangs on, so say it now.
                    print(found, file=sys.__stderr__, flush=True)
                    limit.reschedule(loop.time())
                else:
                    later = loop.call_later(LOOK_S, look)

            later = loop.call_later(LOOK_S, look)
            try:
                yield
            finally:
                later.cancel()
    except TimeoutError:
        if found:
            raise Hung(found) from None
        raise


async def patient(what: Awaitable[T]) -> T:
    """The result of what has to end by itself.

    Raises:
        Hung: the process hangs.
    """
    async with patience():
        return await what
