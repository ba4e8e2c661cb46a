"""Tasks: started one by one."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator
from typing import Any

import pytest
from grounds import MemoryGround, pool, tree
from task_functions import Gate, double, fail, running, spec, which

from greenroom import (
    ActorNotFound,
    AskFailed,
    StartFailed,
    TaskCancelled,
    TasksFull,
    TaskSupervisor,
    TaskTimeout,
    WhichTasks,
    start,
)
from greenroom.testing import Collector, Recorder, VirtualRuntime

# -- run ---------------------------------------------------------------------------------------------------


async def test_run_gives_theresult_of() -> None:
    async with running() as system:
        tasks = system.tasks("/t/tasks")
        assert await tasks.run(double, 21) == 42
        assert await tasks.run(double, number=4) == 8
        assert await tasks.run(functools.partial(double, 3)) == 6
        assert await tasks.run(lambda: double(5)) == 10
        assert await tasks.run(asyncio.to_thread, len, "four") == 4
        assert await which(system) == []


async def test_a_failure_is_the_callers_and_nobodys_exit() -> None:
    async with running() as system:
        events = Recorder(system)
        with pytest.raises(ValueError, match="no"):
            await system.tasks("/t/tasks").run(fail)
        assert await system.tasks("/t/tasks").run(double, 1) == 2
        (failed,) = events.of("task.failed", "/t/tasks")
        assert failed.measures["text"] == "no"
        assert failed.measures["awaited"]
        assert not events.of("actor.exited")


async def test_run_waits_for_room_in_order() -> None:
    gate = Gate()
    async with running(max_tasks=2) as system:
        tasks = system.tasks("/t/tasks")
        runs = [asyncio.ensure_future(tasks.run(gate.through, number)) for number in range(7)]
        while gate.inside < 2:
            await asyncio.sleep(0)
        for _ in range(10):
            await asyncio.sleep(0)
        assert gate.inside == 2
        assert [info.id for info in await which(system)] == [1, 2]
        gate.opened.set()
        assert await asyncio.gather(*runs) == list(range(7))


async def test_the_line_is_bounded_and_a_timeout_counts_the_wait(clock: VirtualRuntime) -> None:
    gate = Gate()
    async with running(clock, max_tasks=1, max_waiting=2) as system:
        tasks = system.tasks("/t/tasks")
        first = tasks.start(gate.through)
        waiting = [asyncio.ensure_future(tasks.run(double, 1, timeout_s=3.0)) for _ in range(2)]
        await clock.settle()
        with pytest.raises(TasksFull, match="2 wait"):
            await tasks.run(double, 1)
        await clock.advance(2.9)
        assert not waiting[0].done()
        await clock.advance(0.2)
        for run in waiting:
            with pytest.raises(TaskTimeout):
                await run
        third = asyncio.ensure_future(tasks.run(double, 1))  # there is room in the line again
        await clock.settle()
        gate.opened.set()
        assert await clock.run(third) == 2
        await first


@pytest.mark.parametrize("rounds", range(8))
async def test_cancelling_the_caller_cancels_the_task_at_any_point(rounds: int) -> None:
    """Before it began, in the middle, when it has just ended: no place is lost, and nothing is left running."""
    gate = Gate()
    async with running(max_tasks=1) as system:
        tasks = system.tasks("/t/tasks")

        async def steps() -> None:
            for _ in range(3):
                await asyncio.sleep(0)
            gate.log.append("done")

        run = asyncio.ensure_future(tasks.run(steps))
        behind = asyncio.ensure_future(tasks.run(double, 2))
        for _ in range(rounds):
            await asyncio.sleep(0)
        cancelled = run.cancel()
        if cancelled:
            with pytest.raises(asyncio.CancelledError):
                await run
        assert await behind == 4
        await system.idle()
        assert await which(system) == []


async def test_a_caller_that_waits_for_room_leaves_the_line() -> None:
    gate = Gate()
    async with running(max_tasks=1, max_waiting=1) as system:
        tasks = system.tasks("/t/tasks")
        tasks.start(gate.through)
        for _ in range(3):
            run = asyncio.ensure_future(tasks.run(double, 1))
            await asyncio.sleep(0)
            run.cancel()
            with pytest.raises(asyncio.CancelledError):
                await run
        gate.opened.set()
        await system.idle()


async def test_a_timeout_frees_the_caller_and_not_the_place(clock: VirtualRuntime) -> None:
    """The task swallows its cancellation: it counts until it ends."""
    ended = asyncio.Event()

    async def stubborn() -> None:
        while not ended.is_set():
            try:
                await ended.wait()
            except asyncio.CancelledError:
                pass

    async with running(clock, max_tasks=1) as system:
        tasks = system.tasks("/t/tasks")
        with pytest.raises(TaskTimeout, match="stubborn"):
            await clock.run(tasks.run(stubborn, timeout_s=2.0))
        assert clock.monotonic() == pytest.approx(2.0)
        with pytest.raises(TasksFull):
            tasks.start(double, 1)
        ended.set()
        await clock.run(system.idle())
        assert await clock.run(tasks.run(double, 1)) == 2


# -- start -------------------------------------------------------------------------------------------------


async def test_start_gives_a_handle() -> None:
    gate = Gate()
    async with running() as system:
        task = system.tasks("/t/tasks").start(gate.through, 7)
        assert not task.done
        assert task.name == "Gate.through"
        await gate.arrived.wait()
        (info,) = await which(system)
        assert (info.id, info.name, info.restarts) == (task.id, "Gate.through", 0)
        assert info.since == pytest.approx(system.kernel.runtime.now(), abs=60)
        gate.opened.set()
        assert await task == 7
        assert await task == 7, "as often as you like"
        assert task.done
        assert not task.cancel()


async def test_start_raises_at_the_limit() -> None:
    gate = Gate()
    async with running(max_tasks=2) as system:
        tasks = system.tasks("/t/tasks")
        tasks.start(gate.through)
        tasks.start(gate.through)
        with pytest.raises(TasksFull, match="runs 2 tasks") as caught:
            tasks.start(gate.through)
        assert caught.value.max_tasks == 2
        gate.opened.set()
        await system.idle()
        assert len(gate.log) == 2
        tasks.start(gate.through)


async def test_who_awaits_may_be_cancelled_without_the_task() -> None:
    gate = Gate()
    async with running() as system:
        task = system.tasks("/t/tasks").start(gate.through, 1)

        async def wait() -> Any:
            return await task

        one, two = asyncio.ensure_future(wait()), asyncio.ensure_future(wait())
        await gate.arrived.wait()
        one.cancel()
        await asyncio.sleep(0)
        gate.opened.set()
        assert await two == 1
        assert gate.log == ["through"]


async def test_cancel() -> None:
    gate = Gate()
    async with running() as system:
        task = system.tasks("/t/tasks").start(gate.through, restart="transient")
        await gate.arrived.wait()
        assert task.cancel()
        with pytest.raises(TaskCancelled, match="was cancelled"):
            await task
        assert gate.log == ["cancelled"]
        never = system.tasks("/t/tasks").start(gate.through)
        never.cancel()  # before its first step
        with pytest.raises(TaskCancelled):
            await never
        assert gate.log == ["cancelled"]


async def test_a_swallowed_cancellation_gives_what_the_task_returned() -> None:
    gate = Gate()

    async def polite() -> str:
        try:
            await gate.through()
        except asyncio.CancelledError:
            return "all the same"
        return ""

    async def angry() -> None:
        try:
            await gate.through()
        finally:
            raise ValueError("angry")

    async with running() as system:
        events = Recorder(system)
        one = system.tasks("/t/tasks").start(polite)
        two = system.tasks("/t/tasks").start(angry, restart="transient")
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        one.cancel()
        two.cancel()
        assert await one == "all the same"
        with pytest.raises(ValueError, match="angry"):
            await two
        assert not events.of("task.restarting"), "what was cancelled isn't run again"


async def test_a_cancellation_from_within_is_a_failure() -> None:
    async def inner() -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        future.cancel()
        await future

    async with running() as system:
        with pytest.raises(TaskCancelled, match="waited for"):
            await system.tasks("/t/tasks").run(inner)


async def test_a_failure_that_nobody_awaits_is_reported(caplog: Any) -> None:
    async with running() as system:
        events = Recorder(system)
        system.tasks("/t/tasks").start(fail, "unseen")
        await system.idle()
        (failed,) = events.of("task.failed")
        assert failed.measures["task_name"] == "fail"
        assert "unseen" in failed.measures["traceback"]
        assert not failed.measures["awaited"]


def test_a_failure_that_nobody_awaits_is_in_the_log(capfd: pytest.CaptureFixture[str]) -> None:
    from loguru import logger

    lines: list[str] = []
    sink = logger.add(lambda line: lines.append(str(line)), format="{level} {message}", level="INFO")

    async def main() -> None:
        async with start(spec(), store="memory://") as system:
            system.tasks("/t/tasks").start(fail, "unseen")
            with pytest.raises(ValueError, match="seen"):
                await system.tasks("/t/tasks").run(fail, "seen")
            await system.idle()

    try:
        asyncio.run(main())
    finally:
        logger.remove(sink)
    errors = [line for line in lines if line.startswith("ERROR")]
    assert len(errors) == 1
    assert "the task fail of /t/tasks failed" in errors[0]
    assert "unseen" in errors[0]


# -- mistakes ----------------------------------------------------------------------------------------------


async def test_who_isnt_there() -> None:
    async with running(None, ("counter", Collector)) as system:
        with pytest.raises(ActorNotFound, match="/t/tasks"):
            await system.tasks("/t/nobody").run(double, 1)
        with pytest.raises(ActorNotFound, match="no TaskSupervisor"):
            await system.tasks("/t/counter").run(double, 1)
        with pytest.raises(ActorNotFound, match="absolute"):
            system.tasks("t/tasks")
    with pytest.raises(Exception, match="stop"):
        await system.tasks("/t/tasks").run(double, 1)


async def test_not_under_a_template() -> None:
    async with MemoryGround().node(tree(pool(TaskSupervisor))) as system:
        with pytest.raises(AskFailed, match="under a template"):
            await system.ref("/t/pool/x").ask(WhichTasks())


async def test_calls_that_cant_be() -> None:
    async def generator() -> AsyncIterator[int]:
        yield 1

    async with running() as system:
        tasks: Any = system.tasks("/t/tasks")
        mistakes: list[tuple[Any, str]] = [
            ((double,), "missing a required argument"),
            ((double, 1, 2), "too many"),
            ((double(1),), "apart: double"),
            ((7,), "can't be called"),
            ((generator,), "generator"),
        ]
        for args, text in mistakes:
            with pytest.raises(TypeError, match=text):
                tasks.start(*args)
        with pytest.raises(TypeError, match="can't be awaited"):
            await tasks.run(len, "four")
        for options in ({"restart": "permanent"}, {"max_restarts": -1}, {"period_s": 0}, {"timeout_s": float("nan")}):
            with pytest.raises(ValueError, match=next(iter(options))):
                tasks.start(double, 1, **options)
        for options in ({"max_restarts": "3"}, {"backoff": 1.0}, {"timeout_s": "1"}):
            with pytest.raises(TypeError, match=next(iter(options))):
                tasks.start(double, 1, **options)
        with pytest.raises(ValueError, match="limit"):
            await anext(tasks.map(double, [1], limit=0))
        assert await which(system) == []


async def test_limits_that_cant_be() -> None:
    for options in ({"max_tasks": 0}, {"max_waiting": -1}):
        with pytest.raises(StartFailed, match=next(iter(options))):
            async with running(**options):
                pass
