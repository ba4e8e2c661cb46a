"""The judge of hangs can tell a process that hangs from one that is slow, and shows where it stands."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import pytest
from patience import Hung, patience
from processes import communicate, environment

SLEEPS = "import asyncio\nasync def wait_for_ever(): await asyncio.Event().wait()\nasyncio.run(wait_for_ever())"
BLOCKS = "import threading\nlock = threading.Lock()\nlock.acquire()\nlock.acquire()"
TURNS = "while True: pass"
WORKS = "import time\nuntil = time.process_time() + 1.5\nwhile time.process_time() < until: pass\nprint('done')"


def begun(program: str) -> subprocess.Popen[str]:
    pipe = subprocess.PIPE
    return subprocess.Popen([sys.executable, "-c", program], env=environment(), stdout=pipe, stderr=pipe, text=True)


@pytest.mark.process
@pytest.mark.parametrize(
    ("program", "why", "stack"),
    [
        (SLEEPS, "it has slept", "in wait_for_ever"),
        (BLOCKS, "it has slept", "thread MainThread"),
        (TURNS, "of CPU", "thread MainThread"),
    ],
)
def test_what_hangs_is_found_and_shows_its_stacks(program: str, why: str, stack: str) -> None:
    with begun(program) as process, pytest.raises(AssertionError) as failure:
        communicate(process, asleep_s=1.0, cpu_s=1.0)
    assert why in str(failure.value)
    assert stack in str(failure.value)


@pytest.mark.process
def test_what_is_kept_from_the_cpu_does_not_hang() -> None:
    """Beside four others that want all of it, it takes far longer than it may sleep."""
    others = [subprocess.Popen([sys.executable, "-c", TURNS]) for _ in range(4)]
    try:
        with begun(WORKS) as process:
            assert communicate(process, asleep_s=1.0, cpu_s=20.0) == ("done\n", "")
    finally:
        for other in others:
            other.kill()
            other.wait()


async def test_a_block_that_hangs() -> None:
    with pytest.raises(Hung, match=r"(?s)it has slept.*test_a_block_that_hangs.*waits for <Future pending"):
        async with patience(asleep_s=0.5):
            await asyncio.get_running_loop().create_future()


async def test_a_block_that_goes_round() -> None:
    with pytest.raises(Hung, match="of CPU"):
        async with patience(cpu_s=0.5):
            while True:
                await asyncio.sleep(0)


async def test_a_time_limit_within_is_not_taken_for_it() -> None:
    with pytest.raises(TimeoutError):
        async with patience(), asyncio.timeout(0.001):
            await asyncio.get_running_loop().create_future()
