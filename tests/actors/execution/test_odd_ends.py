"""User code that ends in something other than an `Exception`: a failure as any other (docs/reliability.md, "Kinds")."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from typing import Any, ClassVar

import pytest
from grounds import Ground, MemoryGround, pool, tree
from patience import patience

from greenroom import (
    Actor,
    AskFailed,
    Backoff,
    ChildSpec,
    ExitReason,
    Message,
    Request,
    StartChild,
    StartFailed,
    SupervisorSpec,
    TaskSupervisor,
    TerminateChild,
    handler,
)
from greenroom.actors.extensions.tasks.errors import TaskCancelled
from greenroom.actors.kernel.errors import ExitInTask
from greenroom.persistence.store.rows import DeadLetterRow
from greenroom.testing import Recorder


class Odd(BaseException):
    """A user's own, which no `except Exception` catches."""


class Go(Message):
    pass


class Quit(Message):
    pass


class Ping(Request[str]):
    pass


async def waits_for_a_cancelled_task() -> None:
    task = asyncio.create_task(asyncio.sleep(3600))
    task.cancel()
    await task


async def cancels_itself() -> None:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    await asyncio.sleep(0)


async def cancels_itself_later() -> None:
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().call_soon(task.cancel)
    await asyncio.sleep(3600)


async def exits_in_a_child() -> None:
    async def part() -> None:
        await asyncio.sleep(0)
        sys.exit(1)

    async with asyncio.TaskGroup() as group:
        group.create_task(part())


async def exits_in_a_thread() -> None:
    await asyncio.to_thread(sys.exit, 1)


async def leaves_a_generator_in_a_child() -> None:
    await asyncio.create_task(raising(GeneratorExit, waits=True)())


async def leaves_a_generator_in_a_thread() -> None:
    def leave() -> None:
        raise GeneratorExit

    await asyncio.to_thread(leave)


def raising(error: type[BaseException], *, waits: bool) -> Callable[[], Any]:
    async def end() -> None:
        if waits:
            await asyncio.sleep(0)
        raise error("odd")

    return end


ENDS: dict[str, tuple[Callable[[], Any], str]] = {
    "a cancelled task": (waits_for_a_cancelled_task, "Cancelled"),
    "its own cancellation": (cancels_itself, "Cancelled"),
    "its own late cancellation": (cancels_itself_later, "Cancelled"),
    "exit in a child": (exits_in_a_child, "ExceptionGroup"),
    "exit in a thread": (exits_in_a_thread, "SystemExit"),
    "GeneratorExit of a child": (leaves_a_generator_in_a_child, "ExitInTask"),
    "GeneratorExit of a thread": (leaves_a_generator_in_a_thread, "ExitInTask"),
}
for kind in (asyncio.CancelledError, SystemExit, GeneratorExit, Odd):
    name = kind.__name__.removesuffix("Error")
    ENDS[f"{name} at once"] = raising(kind, waits=False), name
    ENDS[f"{name} after a wait"] = raising(kind, waits=True), name


@pytest.fixture(params=ENDS)
def end(request: pytest.FixtureRequest) -> tuple[Callable[[], Any], str]:
    return ENDS[request.param]


End = tuple[Callable[[], Any], str]


class Oddly(Actor[None]):
    """Ends oddly wherever it is told to, the first so many times."""

    name = "oddly"
    max_attempts = 2
    backoff = Backoff(initial_s=0.001, jitter=0.0)
    ends: ClassVar[dict[str, list[Callable[[], Any]]]] = {}

    @classmethod
    async def at(cls, place: str) -> None:
        left = cls.ends.get(place)
        if left:
            await left.pop()()

    async def on_start(self) -> None:
        await self.at("on_start")

    async def on_stop(self, reason: ExitReason) -> None:
        await self.at("on_stop")

    @handler
    async def go(self, message: Go) -> None:
        await self.at("handler")

    @handler
    def quit(self, message: Quit) -> None:
        self.stop()

    @handler
    async def ping(self, request: Ping) -> str:
        await self.at("request")
        return "pong"


@pytest.fixture(autouse=True)
def fresh() -> None:
    Oddly.ends = {}


def plan(place: str, end: End, times: int = 1) -> None:
    Oddly.ends[place] = [end[0]] * times


async def test_a_handler(ground: Ground, end: End) -> None:
    plan("handler", end, 2)
    recorder = Recorder()
    async with ground.node(tree(Oddly), on_event=recorder) as system, patience():
        await system.ref("/t/oddly").tell(Go())
        await system.idle()
        assert await system.ref("/t/oddly").ask(Ping()) == "pong"
    (letter,) = ground.rows(DeadLetterRow)
    assert (letter.cause, letter.attempts) == ("failed", 2)
    assert end[1] in letter.error
    assert len(recorder.of("actor.exited")) == 2


async def test_a_request(end: End) -> None:
    plan("request", end)
    async with MemoryGround().node(tree(Oddly)) as system, patience():
        with pytest.raises(AskFailed) as failed:
            await system.ref("/t/oddly").ask(Ping())
        assert end[1] in failed.value.reason.error
        assert await system.ref("/t/oddly").ask(Ping()) == "pong"


async def test_on_stop(end: End) -> None:
    """The actor exits for it, and its supervisor starts it again."""
    plan("on_stop", end)
    recorder = Recorder()
    async with MemoryGround().node(tree(Oddly), on_event=recorder) as system, patience():
        await system.ref("/t/oddly").tell(Quit())
        await system.idle()
        assert await system.ref("/t/oddly").ask(Ping()) == "pong"
    (failed,) = recorder.of("actor.stop_failed")
    assert end[1] in failed.measures["error"]


async def test_on_stop_in_terminate_child_and_at_the_nodes_stop(end: End) -> None:
    """The siblings are stopped all the same."""
    recorder = Recorder()
    async with MemoryGround().node(tree(("a", Oddly), ("b", Oddly), ("c", Oddly)), on_event=recorder) as system:
        async with patience():
            plan("on_stop", end)
            await system.ref("/t").ask(TerminateChild(id="b"))
            assert len(recorder.of("actor.stop_failed")) == 1
            plan("on_stop", end)
            await system.stop()
        assert not Oddly.ends["on_stop"]
    assert len(recorder.of("actor.stop_failed")) == 2
    assert [event.address for event in recorder.of("node.stopped")] == ["/t"]


async def test_on_start_at_the_boot(end: End) -> None:
    """`start` says so, and what had started is stopped again."""
    plan("on_start", end)
    Oddly.ends["on_start"].append(raising_nothing)  # the first of the two starts
    with pytest.raises(StartFailed) as failed:
        async with patience(), MemoryGround().node(tree(("a", Oddly), ("b", Oddly))):
            pytest.fail("it has started")
    assert failed.value.address == "/t"
    assert end[1] in failed.value.reason.text


async def raising_nothing() -> None:
    """The first child starts."""


async def test_on_start_at_a_restart(end: End) -> None:
    recorder = Recorder()
    async with MemoryGround().node(tree(Oddly), on_event=recorder) as system, patience():
        plan("on_start", end)
        await system.ref("/t/oddly").tell(Quit())
        await system.idle()
        assert await system.ref("/t/oddly").ask(Ping()) == "pong"
    assert [end[1] in event.measures["error"] for event in recorder.of("actor.start_failed")] == [True]


async def test_on_start_of_a_new_child(end: End) -> None:
    async with MemoryGround().node(tree(Oddly)) as system, patience():
        plan("on_start", end)
        with pytest.raises(StartFailed) as failed:
            await system.ref("/t").ask(StartChild(spec=ChildSpec(id="new", actor=Oddly)))
        assert end[1] in failed.value.reason.error
        await system.ref("/t").ask(StartChild(spec=ChildSpec(id="new", actor=Oddly)))
        assert await system.ref("/t/new").ask(Ping()) == "pong"


async def test_on_start_under_a_template(ground: Ground, end: End) -> None:
    """The first message is charged."""
    plan("on_start", end, 2)
    async with ground.node(tree(pool(Oddly))) as system, patience():
        await system.ref("/t/pool/k").tell(Go())
        await system.idle()
        assert await system.ref("/t/pool/k").ask(Ping()) == "pong"
    (letter,) = ground.rows(DeadLetterRow)
    assert (letter.cause, letter.attempts) == ("start_failed", 2)
    assert end[1] in letter.error


async def test_a_supervised_task(end: End) -> None:
    """It fails, is run again if it is transient, and harms nobody."""
    tasks = ChildSpec(id="tasks", actor=TaskSupervisor)
    recorder = Recorder()
    async with MemoryGround().node(tree(tasks, Oddly), on_event=recorder) as system, patience():
        plan("task", end)
        with pytest.raises((Odd, ExceptionGroup, ExitInTask, TaskCancelled)) as failed:
            await system.tasks("/t/tasks").run(Oddly.at, "task")
        assert end[1] in repr(failed.value)
        plan("task", end)
        assert await system.tasks("/t/tasks").start(Oddly.at, "task", restart="transient") is None
        await system.idle()
        assert await system.ref("/t/oddly").ask(Ping()) == "pong"
    assert [end[1] in str(event.measures) for event in recorder.of("task.restarting")] == [True]


class Built(Actor[None]):
    name = "odd-built"
    ends: ClassVar[list[BaseException]] = []

    def __init__(self) -> None:
        if self.ends:
            raise self.ends.pop()

    async def on_start(self) -> None:  # it can't wait, so it runs in its supervisor's task
        if self.ends:
            raise self.ends.pop()

    @handler
    def ping(self, request: Ping) -> str:
        return "pong"


@pytest.mark.parametrize("error", [asyncio.CancelledError, SystemExit, GeneratorExit, StopIteration, Odd])
@pytest.mark.parametrize("place", ["__init__", "on_start"])
async def test_a_start_that_cannot_wait(error: type[BaseException], place: str) -> None:
    started = SupervisorSpec(id="t", children=[ChildSpec(id="a", actor=Built)])
    async with MemoryGround().node(started) as system, patience():
        ends = [error(), error()] if place == "__init__" else [error()]
        Built.ends = ends
        if place == "on_start":
            Built.ends = Second(ends)
        with pytest.raises(StartFailed):
            await system.ref("/t").ask(StartChild(spec=ChildSpec(id="b", actor=Built)))
        Built.ends = []
        assert await system.ref("/t").ask(StartChild(spec=ChildSpec(id="b", actor=Built))) == "/t/b"


class Second(list[BaseException]):
    """Empty at the first look."""

    looked = False

    def __bool__(self) -> bool:
        looked, self.looked = self.looked, True
        return looked and len(self) > 0
