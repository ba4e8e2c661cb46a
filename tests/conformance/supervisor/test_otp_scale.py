"""Many children, and what a supervisor keeps of them. Named after OTP's supervisor_SUITE."""

from __future__ import annotations

import time
from typing import Any

import pytest
from grounds import MemoryGround, SqliteGround
from otp_steps import ask, counts, end, kid, sup, which
from otp_worker import Cues

from greenroom import ActorSystem, StartChild, TerminateChild
from greenroom.persistence.store.rows import ChildRow

FEW, MANY = 100, 1000
ROUNDS = 3
"""Of each count the quickest is taken, because whatever else the machine does makes one slower, and never quicker."""
SLACK = 4
"""OTP's suite bears ten times what is linear, to be safe from a busy machine. Ten times the children that take a
hundred times as long (quadratic) must be seen."""


async def seconds(system: ActorSystem, count: int, restart: Any) -> tuple[float, float]:
    """CPU seconds to start, and to terminate, so many children."""
    begun = time.process_time()
    for number in range(count):
        await ask(system, "/sup", StartChild(spec=kid(str(number), restart=restart)))
    started = time.process_time()
    for number in range(count):
        await ask(system, "/sup", TerminateChild(id=str(number)))
    return started - begun, time.process_time() - started


async def _scales(restart: Any, **flags: Any) -> None:
    times = []
    for count in (FEW, MANY):
        rounds = []
        for _ in range(ROUNDS):
            async with MemoryGround().node(sup(**flags)) as system:
                rounds.append(await seconds(system, count, restart))
                assert (await counts(system, "/sup"))[1] == 0
        times.append([min(one) for one in zip(*rounds, strict=True)])
    for few, many in zip(*times, strict=True):
        assert many / few < SLACK * MANY / FEW, times


async def test_scale_start_stop_many_children() -> None:
    await _scales("permanent")


async def test_simple_one_for_one_scale_many_temporary_children() -> None:
    await _scales("temporary", strategy="dynamic")


@pytest.mark.parametrize("strategy", ["one_for_one", "one_for_all", "rest_for_one", "dynamic"])
async def test_do_not_save_start_parameters_for_temporary_children(
    disk: SqliteGround, cues: Cues, strategy: Any
) -> None:
    """Their arguments don't reach the store; those of the others do, since the next life starts them again."""
    large = "potentially large" * 10
    async with disk.node(sup(strategy=strategy)) as system:
        for restart in ("permanent", "transient", "temporary"):
            await ask(system, "/sup", StartChild(spec=kid(restart, restart=restart, args={"note": large})))
        rows = {row.id: row for row in disk.rows(ChildRow) if row.supervisor == "/sup"}
        assert large in rows["permanent"].spec
        assert large in rows["transient"].spec
        assert "temporary" not in rows
        await end(system, "/sup/temporary")
    async with disk.node(sup(strategy=strategy)) as system:
        assert await which(system, "/sup") == [("transient", "running"), ("permanent", "running")]
