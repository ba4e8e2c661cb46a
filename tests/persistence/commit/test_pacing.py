"""Where commits are made goes by what they cost. Time is a counter here."""

from __future__ import annotations

import pytest

from greenroom.persistence.commit.pacing import ON_LOOP_S_MAX, PROBE_EVERY, Pace
from greenroom.persistence.engines.memory.engine import MemoryStore
from greenroom.persistence.runtime import Runtime
from greenroom.persistence.store.commit import Commit

FAST, SLOW = ON_LOOP_S_MAX / 4, ON_LOOP_S_MAX * 3


class Counted(Runtime):
    elapsed_s = 0.0

    def perf(self) -> float:
        return self.elapsed_s


class Disk(MemoryStore):
    """Commits take so long, and are noted by where they were made."""

    synchronous = True

    def __init__(self, runtime: Counted) -> None:
        super().__init__(runtime)
        self.clock = runtime
        self.takes_s = FAST
        self.made: list[str] = []

    def commit_now(self, commit: Commit) -> None:
        self.clock.elapsed_s += self.takes_s
        self.made.append("loop")

    async def commit(self, commit: Commit) -> None:
        self.clock.elapsed_s += self.takes_s
        self.made.append("thread")


@pytest.fixture
def disk() -> Disk:
    return Disk(Counted())


async def commits(disk: Disk, pace: Pace, count: int) -> list[str]:
    disk.made.clear()
    for _ in range(count):
        await pace.write(Commit())
    return list(disk.made)


async def test_a_slow_disk_gets_a_thread_and_few_probes(disk: Disk) -> None:
    pace = Pace(disk, disk.clock)
    assert set(await commits(disk, pace, 20)) == {"loop"}
    disk.takes_s = SLOW
    assert pace.quick
    made = await commits(disk, pace, 2_000)
    assert made[-1] == "thread"
    assert not pace.quick
    assert 1_000 / PROBE_EVERY - 2 <= made[1_000:].count("loop") <= 1_000 / PROBE_EVERY


async def test_a_hiccup_is_over_soon(disk: Disk) -> None:
    pace = Pace(disk, disk.clock)
    disk.takes_s = SLOW
    while pace.quick:
        await commits(disk, pace, 1)
    disk.takes_s = FAST
    made = await commits(disk, pace, 20)
    assert made[10:] == ["loop"] * 10


async def test_a_disk_that_has_got_faster_is_noticed(disk: Disk) -> None:
    pace = Pace(disk, disk.clock)
    disk.takes_s = SLOW
    await commits(disk, pace, 2_000)
    disk.takes_s = FAST
    await commits(disk, pace, PROBE_EVERY + 10)
    assert pace.quick
