"""The life of a TaskSupervisor: turns that start tasks, its end, and what users write."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from grounds import Ground, MemoryGround, tree
from task_functions import Gate, double, fail, result_of, running, spec, which

from greenroom import (
    Actor,
    Backoff,
    ChildSpec,
    Message,
    Request,
    StoreUnavailable,
    TaskCancelled,
    TaskSupervisor,
    handler,
    load_tree,
    start,
)
from greenroom.actors.kernel.current import current_turn
from greenroom.testing import Recorder, VirtualRuntime

# -- tasks and turns ---------------------------------------------------------------------------------------


class Add(Message):
    number: int


class Sum(Request[int]):
    pass


class Start(Message):
    how: str = ""


class Total(msgspec.Struct):
    number: int = 0


class Counter(Actor[Total]):
    @handler
    def add(self, message: Add) -> None:
        self.state.number += message.number

    @handler
    def sum(self, request: Sum) -> int:
        return self.state.number


class Starter(Actor[Total]):
    backoff = Backoff(initial_s=0.001, jitter=0.0)
    seen: list[Any] = []

    @handler
    async def start(self, message: Start) -> None:
        tasks = self.system.tasks("/t/tasks")
        if message.how == "wait":
            self.state.number += await tasks.run(self.work)
        elif message.how == "fail" and self.turn.attempt == 1:
            with pytest.raises(ValueError, match="inner"):
                await tasks.run(fail, "inner")
        else:
            tasks.start(self.work)

    async def work(self) -> int:
        assert current_turn.get() is None
        receipt = self.system.ref("/t/counter").tell(Add(number=5))
        await receipt
        self.seen.append(receipt.committed)
        return 5

    @handler
    def sum(self, request: Sum) -> int:
        return self.state.number


@pytest.mark.parametrize("how", ["", "wait"])
async def test_a_tell_in_a_task_is_told_from_outside(ground: Ground, how: str) -> None:
    """Not part of the starter's turn, which may be over by then; and durable when awaited."""
    Starter.seen.clear()
    async with ground.node(spec(Counter, Starter)) as system:
        await system.ref("/t/starter").tell(Start(how=how))
        await system.idle()
        assert Starter.seen == [True]
        assert await system.ref("/t/starter").ask(Sum()) == (5 if how else 0)
    async with ground.node(spec(Counter, Starter)) as system:
        assert await system.ref("/t/counter").ask(Sum()) == 5


async def test_a_tasks_failure_is_not_the_starters(ground: Ground) -> None:
    async with ground.node(spec(Starter)) as system:
        events = Recorder(system)
        await system.ref("/t/starter").tell(Start(how="fail"))
        await system.idle()
        assert events.of("task.failed")
        assert not events.of("actor.exited")
        assert not events.of("message.failed")


async def test_idle_waits_for_tasks_and_a_task_cant_wait_for_idle() -> None:
    gate = Gate()
    async with running() as system:
        task = system.tasks("/t/tasks").start(gate.through)
        idle = asyncio.ensure_future(system.idle())
        await gate.arrived.wait()
        for _ in range(20):
            await asyncio.sleep(0)
        assert not idle.done()
        gate.opened.set()
        await idle
        assert task.done
        with pytest.raises(RuntimeError, match="wait for itself"):
            await system.tasks("/t/tasks").run(system.idle)


# -- the end -----------------------------------------------------------------------------------------------


class User(Actor[None]):
    """Stands after the supervisor of the tasks that it uses."""

    durable = False
    log: list[str] = []

    async def on_start(self) -> None:
        self.task = self.system.tasks("/t/tasks").start(self.work)

    async def work(self) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            self.log.append("task ends")

    async def on_stop(self, reason: Any) -> None:
        self.log.append(f"user stops, task {'done' if self.task.done else 'runs'}")
        assert await self.system.tasks("/t/tasks").run(double, 2) == 4


async def test_tasks_end_in_the_order_of_the_tree(ground: Ground) -> None:
    """The actor that uses them has stopped before, and may use them until its end."""
    User.log.clear()
    async with ground.node(spec(User)) as system:
        (task,) = await which(system)
        assert task.name == "User.work"
    assert User.log == ["user stops, task runs", "task ends"]


async def test_the_end_cancels_and_waits(clock: VirtualRuntime) -> None:
    log: list[str] = []

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await clock.sleep(4.0)
            log.append("cleaned up")

    async with running(clock, max_tasks=1) as system:
        tasks = system.tasks("/t/tasks")
        task = tasks.start(work)
        waiting = asyncio.ensure_future(tasks.run(double, 1))
        await clock.settle()
    assert log == ["cleaned up"]
    with pytest.raises(TaskCancelled, match="stopped"):
        await task
    with pytest.raises(TaskCancelled, match="stopped"):
        await waiting
    with pytest.raises(Exception, match="stop"):
        tasks.start(work)


@pytest.mark.parametrize(("shutdown", "after_s"), [(3.0, 3.0), ("brutal_kill", 1.0)])
async def test_who_swallows_it_is_abandoned(clock: VirtualRuntime, shutdown: Any, after_s: float) -> None:
    ended = asyncio.Event()

    async def stubborn() -> None:
        while not ended.is_set():
            try:
                await ended.wait()
            except asyncio.CancelledError:
                pass
        raise ValueError("at last")

    began = 0.0
    async with running(clock, User, shutdown=shutdown) as system:
        events = Recorder(system)
        task = system.tasks("/t/tasks").start(stubborn, restart="transient")
        await clock.settle()
        began = clock.monotonic()
        await clock.run(system.stop())
        assert clock.monotonic() - began == pytest.approx(after_s)
        (abandoned,) = events.of("task.abandoned")
        assert abandoned.measures["task_name"].endswith("stubborn")
        with pytest.raises(TaskCancelled, match="abandoned"):
            await task
        ended.set()
        await clock.settle()
        assert events.of("task.failed"), "even then it isn't lost without a word"
        assert not events.of("task.restarting")


async def test_a_failure_while_it_stops_is_not_restarted(clock: VirtualRuntime) -> None:
    attempts = 0

    async def work() -> None:
        nonlocal attempts
        attempts += 1
        try:
            await asyncio.Event().wait()
        finally:
            raise ValueError("no")

    async with running(clock) as system:
        system.tasks("/t/tasks").start(work, restart="transient")
        await clock.settle()
    assert attempts == 1


async def test_a_task_may_stop_the_system() -> None:
    async with running() as system:
        task = system.tasks("/t/tasks").start(system.stop)
        with pytest.raises(TaskCancelled):
            await task
        await system.stop()


class Die(Message):
    pass


class Mortal(Actor[None]):
    durable = False
    max_attempts = 1

    @handler
    def die(self, message: Die) -> None:
        raise RuntimeError("dead")


async def test_a_restart_of_its_group_ends_its_tasks(clock: VirtualRuntime) -> None:
    gate = Gate()
    group = tree(
        ChildSpec(id="tasks", actor=TaskSupervisor), ChildSpec(id="mortal", actor=Mortal), strategy="one_for_all"
    )
    async with MemoryGround().node(group, runtime=clock) as system:
        tasks = system.tasks("/t/tasks")
        task = tasks.start(gate.through)
        await clock.settle()
        system.ref("/t/mortal").tell(Die())
        with pytest.raises(TaskCancelled):
            await clock.run(result_of(task))
        await clock.run(system.idle())
        assert gate.log == ["cancelled"]
        assert await clock.run(tasks.run(double, 3)) == 6, "the handle is good for the next incarnation"


async def test_a_store_that_fails_ends_the_tasks(ground: Ground) -> None:
    gate = Gate()
    async with ground.node(spec(Counter)) as system:
        events = Recorder(system)
        tasks = system.tasks("/t/tasks")
        task = tasks.start(gate.through)
        await gate.arrived.wait()
        ground.plan.broken = StoreUnavailable("cable pulled")
        with pytest.raises(StoreUnavailable):
            await system.ref("/t/counter").tell(Add(number=1))
        with pytest.raises(TaskCancelled, match="store"):
            await task
        with pytest.raises(StoreUnavailable):
            await tasks.run(double, 1)
        ground.plan.broken = None
        await events.until("node.recovered")
        assert await tasks.run(double, 1) == 2
        assert await which(system) == []


# -- what users write --------------------------------------------------------------------------------------


def test_in_a_config_file(tmp_path: Path) -> None:
    file = tmp_path / "app.toml"
    file.write_text(
        '[supervisor]\nid = "app"\n[[supervisor.children]]\n'
        'id = "tasks"\nactor = "greenroom:TaskSupervisor"\nargs = { max_tasks = 3 }\n'
    )

    async def main() -> None:
        async with start(load_tree(file)) as system:
            assert await system.tasks("/app/tasks").run(double, 1) == 2

    asyncio.run(main())


@pytest.mark.process
def test_the_example_of_the_docs(tmp_path: Path) -> None:
    text = (Path(__file__).parents[3] / "docs" / "tasks.md").read_text()
    code, output = re.search(r"```python\n(.*?)```\n+```text\n(.*?)```", text, re.DOTALL).groups()  # type: ignore[union-attr]
    assert code.count("\n") <= 24
    (tmp_path / "app.py").write_text(code)
    done = subprocess.run([sys.executable, tmp_path / "app.py"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == output
