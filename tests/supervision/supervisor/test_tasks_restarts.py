"""Transient tasks: run again when they failed, under an intensity."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from typing import Any

import pytest
from task_functions import result_of, running, which

from greenroom import Backoff, TaskCancelled
from greenroom.testing import Recorder, VirtualRuntime


class Flaky:
    def __init__(self, clock: VirtualRuntime, failures: int, lasts_s: float = 0.0) -> None:
        self.clock = clock
        self.failures = failures
        self.lasts_s = lasts_s
        self.at: list[float] = []

    async def __call__(self) -> str:
        self.at.append(self.clock.monotonic())
        if self.lasts_s:
            await self.clock.sleep(self.lasts_s)
        if len(self.at) <= self.failures:
            raise ConnectionError(f"failure {len(self.at)}")
        return "there"


async def test_a_transient_task_is_run_again(clock: VirtualRuntime) -> None:
    async with running(clock) as system:
        events = Recorder(system)
        flaky = Flaky(clock, 3)
        task = system.tasks("/t/tasks").start(flaky, restart="transient")
        assert await clock.run(result_of(task)) == "there"
        assert task.restarts == 3
        assert task.name == "Flaky"
        assert [event.measures["restarts"] for event in events.of("task.restarting")] == [1, 2, 3]
        assert not events.of("task.failed")


async def test_one_restart_too_many(clock: VirtualRuntime) -> None:
    async with running(clock) as system:
        events = Recorder(system)
        flaky = Flaky(clock, 100)
        task = system.tasks("/t/tasks").start(flaky, restart="transient", max_restarts=2, period_s=5.0)
        with pytest.raises(ConnectionError, match="failure 3"):
            await clock.run(result_of(task))
        assert len(flaky.at) == 3
        (failed,) = events.of("task.failed")
        assert failed.measures["restarts"] == 2
        assert await clock.run(which(system)) == []


@pytest.mark.parametrize(("lasts_s", "attempts"), [(2.6, 20), (2.4, 3), (2.5, 3)])
async def test_the_intensity_has_a_window(clock: VirtualRuntime, lasts_s: float, attempts: int) -> None:
    """Two restarts in five seconds: failures 2.5 s apart are three in a period, its boundary included (OTP)."""
    async with running(clock) as system:
        flaky = Flaky(clock, 19, lasts_s)
        task = system.tasks("/t/tasks").start(flaky, restart="transient", max_restarts=2, period_s=5.0)
        if attempts == 20:
            assert await clock.run(result_of(task)) == "there"
        else:
            with pytest.raises(ConnectionError):
                await clock.run(result_of(task))
        assert len(flaky.at) == attempts


async def test_the_backoff_grows_and_starts_anew(clock: VirtualRuntime) -> None:
    backoff = Backoff(initial_s=1.0, factor=2.0, jitter=0.0)
    async with running(clock) as system:
        flaky = Flaky(clock, 4)
        options: dict[str, Any] = {"restart": "transient", "max_restarts": 9, "period_s": 30.0, "backoff": backoff}
        await clock.run(result_of(system.tasks("/t/tasks").start(flaky, **options)))
        assert flaky.at == pytest.approx([0, 1, 3, 7, 15])
        patient = Flaky(clock, 3, lasts_s=31.0)
        began = clock.monotonic()
        await clock.run(result_of(system.tasks("/t/tasks").start(patient, **options)))
        assert [at - began for at in patient.at] == pytest.approx([0, 32, 64, 96])


async def test_a_backoff_can_be_cancelled_and_is_work(clock: VirtualRuntime) -> None:
    async with running(clock) as system:
        flaky = Flaky(clock, 1)
        options: dict[str, Any] = {"restart": "transient", "backoff": Backoff(initial_s=10.0, jitter=0.0)}
        task = system.tasks("/t/tasks").start(flaky, **options)
        idle = asyncio.ensure_future(system.idle())
        await clock.advance(5.0)
        assert not idle.done()
        assert [info.restarts for info in await clock.run(which(system))] == [1]
        task.cancel()
        with pytest.raises(TaskCancelled):
            await clock.run(result_of(task))
        await clock.run(idle)
        assert len(flaky.at) == 1


async def test_each_attempt_has_a_context_of_its_own(clock: VirtualRuntime) -> None:
    variable: ContextVar[int] = ContextVar("variable", default=0)
    seen: list[int] = []

    async def count() -> None:
        seen.append(variable.get())
        variable.set(variable.get() + 1)
        if len(seen) < 3:
            raise ValueError("again")

    async with running(clock) as system:
        variable.set(10)
        await clock.run(result_of(system.tasks("/t/tasks").start(count, restart="transient")))
        assert seen == [10, 10, 10]
        assert variable.get() == 10


@pytest.mark.parametrize("rounds", range(6))
async def test_cancelled_at_any_point_it_isnt_run_again(rounds: int) -> None:
    """Also when an attempt has failed, and nobody has looked at that yet."""
    attempts = 0

    async def work() -> None:
        nonlocal attempts
        attempts += 1
        raise ConnectionError

    async with running() as system:
        task = system.tasks("/t/tasks").start(work, restart="transient", max_restarts=1000)
        for _ in range(rounds):
            await asyncio.sleep(0)
        task.cancel()
        so_far = attempts
        await system.idle()
        assert attempts == so_far
        with pytest.raises((TaskCancelled, ConnectionError)):
            await task
