"""The advice of an error fits the place that it comes from."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from grounds import MemoryGround, pool, tree

from greenroom import (
    Actor,
    ActorNotFound,
    AskFailed,
    ChildSpec,
    ExitReason,
    Message,
    Request,
    StartFailed,
    SystemStopped,
    TaskSupervisor,
    TerminateChild,
    TreeGaveUp,
    TurnClosed,
    UndecodableMessage,
    UnhandledMessage,
    handler,
)
from greenroom.actors.kernel.turn import Turn
from greenroom.testing import Collector, Probe


class Note(Message):
    number: int = 0


class Share(Message):
    of: float


class Start(Message):
    how: str = ""


class Number(Request[int]):
    pass


class Clerk(Actor[None]):
    """Starts a task that goes on when its turn is over."""

    kept: Any = None
    outcomes: asyncio.Queue[BaseException | None]
    task: asyncio.Task[None]
    starts_in: str = "handler"
    gate: asyncio.Event

    async def on_start(self) -> None:
        if Clerk.starts_in == "on_start":
            Clerk.task = asyncio.create_task(self.go_on(self.tell))

    @handler
    async def start(self, message: Start) -> None:
        Clerk.kept = self
        match message.how:
            case "tell":
                Clerk.task = asyncio.create_task(self.go_on(self.tell))
            case "supervised":
                self.system.tasks("/t/tasks").start(self.go_on, self.tell)
            case "fail":
                raise RuntimeError("no")

    @handler
    def number(self, request: Number) -> int:
        return 7

    async def tell(self) -> None:
        self.system.ref("/t/collector").tell(Note(number=1))

    async def go_on(self, then: Callable[[], Awaitable[None]]) -> None:
        await Clerk.gate.wait()
        try:
            await then()
        except BaseException as error:
            Clerk.outcomes.put_nowait(error)
        else:
            Clerk.outcomes.put_nowait(None)


@pytest.fixture(autouse=True)
def fresh() -> None:
    Clerk.kept, Clerk.starts_in = None, "handler"
    Clerk.gate, Clerk.outcomes = asyncio.Event(), asyncio.Queue()


TREE = tree(("clerk", Clerk), ("collector", Collector), ("tasks", TaskSupervisor))


# -- sending -------------------------------------------------------------------------------------------------


async def test_a_message_with_a_wrong_value_is_mended_by_its_sender(memory: MemoryGround) -> None:
    """Nothing is stored yet, so there is nothing to requeue, and no field of an older release."""
    async with memory.node(TREE) as system:
        with pytest.raises(UndecodableMessage) as caught:
            system.ref("/t/clerk").tell(Start(how=1))  # type: ignore[arg-type]
    text = str(caught.value)
    assert text.startswith("a Start can't be sent to /t/clerk: Expected `str`, got `int` - at `$.how`. Give each")
    assert "requeue" not in text


@pytest.mark.parametrize("number", [math.inf, math.nan, None])
async def test_a_null_in_a_field_of_a_number(memory: MemoryGround, number: Any) -> None:
    async with memory.node(TREE) as system:
        told = r"an? Share can't be sent .*got `null`.*JSON has null for None, and for NaN and the infinities, too$"
        with pytest.raises(UndecodableMessage, match=told):
            system.ref("/t/clerk").tell(Share(of=number))


async def test_an_address_with_an_empty_name(memory: MemoryGround) -> None:
    async with memory.node(TREE) as system:
        with pytest.raises(ActorNotFound, match=r"1 to 200 printable characters. Write one slash between two names$"):
            system.ref("/t//clerk")


@pytest.mark.parametrize("address", ["t/clerk", "/t/clerk/"])
async def test_an_address_that_is_no_path(memory: MemoryGround, address: str) -> None:
    async with memory.node(TREE) as system:
        with pytest.raises(ActorNotFound, match=r"Begin it with a slash, and end it without one$"):
            system.ref(address)


async def test_a_key_that_no_child_can_have(memory: MemoryGround) -> None:
    async with memory.node(tree(pool(Clerk))) as system:
        with pytest.raises(ActorNotFound, match=r"Use a shorter name, without control characters$"):
            system.ref("/t/pool/a\nb").tell(Note())


async def test_a_supervisor_takes_no_message_of_its_user(memory: MemoryGround) -> None:
    async with memory.node(TREE) as system:
        with pytest.raises(UnhandledMessage) as caught:
            await system.ref("/t").ask(Number())
    text = "/t is a supervisor, and takes no Number. Send it to an actor below /t: `greenroom tree` shows what there is"
    assert str(caught.value) == text


# -- turns that are over ----------------------------------------------------------------------------------------


async def test_a_task_that_outlives_its_handler(memory: MemoryGround) -> None:
    async with memory.node(TREE) as system:
        system.ref("/t/clerk").tell(Start(how="tell"))
        await system.idle()
        Clerk.gate.set()
        error = await Clerk.outcomes.get()
    assert isinstance(error, TurnClosed)
    assert "Await the handler's tasks before it returns" in str(error)
    assert "TaskSupervisor" in str(error)
    assert "tell /t/clerk a message" not in str(error)  # that is what has just failed


async def test_a_task_made_in_on_start(memory: MemoryGround) -> None:
    Clerk.starts_in = "on_start"
    async with memory.node(TREE):
        Clerk.gate.set()
        error = await Clerk.outcomes.get()
    assert isinstance(error, TurnClosed)
    assert "the turn of /t/clerk's `on_start` or `on_stop` is over" in str(error)
    assert "TaskSupervisor" in str(error)


async def test_the_advice_of_both_holds(memory: MemoryGround) -> None:
    """A task of a TaskSupervisor may tell when the turn that has started it is over."""
    async with memory.node(TREE) as system:
        system.ref("/t/clerk").tell(Start(how="supervised"))
        while Clerk.kept is None or Clerk.kept._context.cell.turn is not None:
            await asyncio.sleep(0)
        Clerk.gate.set()
        assert await Clerk.outcomes.get() is None
        await system.idle()
        assert Probe(system, "/t/collector").messages == [Note(number=1)]


async def test_a_call_from_outside_any_turn(memory: MemoryGround) -> None:
    async with memory.node(TREE) as system:
        system.ref("/t/clerk").tell(Start())
        await system.idle()
        with pytest.raises(TurnClosed, match=r"runs no turn at this moment.*Tell /t/clerk a message, and do it in its"):
            Clerk.kept.schedule(Note(), after_s=1)


async def test_an_instance_that_was_kept(memory: MemoryGround) -> None:
    async with memory.node(TREE) as system:
        system.ref("/t/clerk").tell(Start())
        await system.idle()
        system.ref("/t/clerk").tell(Start(how="fail"))
        old = Clerk.kept
        while Clerk.kept is old:
            await asyncio.sleep(0)
        with pytest.raises(TurnClosed, match=r"has ended. Ask the one that runs now: `system.ref\('/t/clerk'\)`"):
            old.schedule(Note(), after_s=1)


# -- what is stopped --------------------------------------------------------------------------------------------


async def test_an_actor_that_is_stopped_is_to_be_started(memory: MemoryGround) -> None:
    async with memory.node(TREE) as system:
        await system.ref("/t").ask(TerminateChild(id="clerk"))
        with pytest.raises(ActorNotFound, match=r"it is stopped. Start it first.*`greenroom actors start /t/clerk`"):
            await system.ref("/t/clerk").ask(Number())


async def test_below_a_supervisor_that_is_stopped(memory: MemoryGround) -> None:
    async with memory.node(tree(pool(Clerk))) as system:
        ref = system.ref("/t/pool/one")
        assert await ref.ask(Number()) == 7
        await system.ref("/t").ask(TerminateChild(id="pool"))
        with pytest.raises(ActorNotFound, match=r"is stopped. Start it first.*`greenroom actors start /t/pool`"):
            await ref.ask(Number())


async def test_a_node_that_has_stopped(memory: MemoryGround) -> None:
    async with memory.node(TREE) as system:
        ref = system.ref("/t/clerk")
        await ref.ask(Number())
    for call in (ref.tell, ref.ask):
        with pytest.raises(SystemStopped, match=r"the system is stopping, or has stopped.*Send inside `async with"):
            await call(Number())
    with pytest.raises(SystemStopped, match=r"has stopped. Call it inside `async with start"):
        await system.idle()


async def test_a_node_that_has_ended_by_itself_says_why(memory: MemoryGround) -> None:
    with pytest.raises(TreeGaveUp):
        async with memory.node(tree(Clerk, ("collector", Collector), ("tasks", TaskSupervisor), intensity=0)) as system:
            ref = system.ref("/t/clerk")
            ref.tell(Start(how="fail"))
            await system.ended.wait()
            with pytest.raises(SystemStopped, match=r"ended by itself \(/t gave up: .*Mend that") as caught:
                ref.tell(Note())
            assert "async with" not in str(caught.value)
            with pytest.raises(SystemStopped, match=r"ended by itself \(/t gave up: .*Mend that"):
                await ref.ask(Number())
            with pytest.raises(SystemStopped, match=r"ended by itself \(/t gave up: .*Mend that"):
                system.tasks("/t/tasks").start(asyncio.sleep, 0)
            await system.idle()


# -- reasons without a traceback ----------------------------------------------------------------------------------


def test_nobody_is_sent_to_a_traceback_that_is_not_there() -> None:
    for kind in (AskFailed, StartFailed):
        assert "traceback" not in str(kind("/t/clerk", ExitReason.killed("it was stopped while it started")))
        assert "`reason.traceback`" in str(kind("/t/clerk", ExitReason("error", "E", "no", traceback="Traceback…")))


async def test_a_start_that_takes_too_long_is_no_handler(memory: MemoryGround) -> None:
    class Slow(Actor[None]):
        async def on_start(self) -> None:
            await asyncio.Event().wait()

    spec = tree(ChildSpec(id="slow", actor=Slow, handler_timeout_s=0.01))
    with pytest.raises(StartFailed, match=r"`on_start` of /t/slow ran longer than 0.01 s"):
        async with memory.node(spec):
            pass


async def test_nor_is_a_stop_that_takes_too_long(memory: MemoryGround, monkeypatch: pytest.MonkeyPatch) -> None:
    class Slow(Actor[None]):
        async def on_stop(self, reason: ExitReason) -> None:
            await asyncio.Event().wait()

    discarded: list[str] = []
    discard = Turn.discard
    monkeypatch.setattr(Turn, "discard", lambda turn, error=None: (discarded.append(str(error)), discard(turn, error)))
    async with memory.node(tree(ChildSpec(id="slow", actor=Slow, shutdown=0.01))):
        pass
    (text,) = discarded
    assert text.startswith("`on_stop` of /t/slow ran longer than")
    assert text.endswith("raise the `shutdown` of its child spec")
