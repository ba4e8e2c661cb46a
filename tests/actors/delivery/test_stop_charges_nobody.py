"""An orderly stop charges nobody: within the grace an ask works, and what the stop refuses is no attempt."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from grounds import Ground, MemoryGround, pool, tree
from patience import patience, patient

from greenroom import (
    Actor,
    AskTimeout,
    Backoff,
    ChildSpec,
    Message,
    Reject,
    Request,
    Retry,
    SystemStopped,
    TaskSupervisor,
    handler,
)
from greenroom.persistence.store.rows import AttemptRow, DeadLetterRow
from greenroom.testing import Recorder


class Ping(Request[str]):
    pass


class Job(Message):
    """Wait at the gate, then do something that may be refused."""

    how: str
    to: str = "/t/other"


class Log:
    gate: asyncio.Event
    begun: list[tuple[str, int]]
    ended: list[str]
    caught: list[str]


class Other(Actor[None]):
    @handler
    def ping(self, message: Ping) -> str:
        return "pong"


class Tasks(TaskSupervisor):
    pass


class Worker(Actor[None]):
    max_attempts = 1
    backoff = Backoff(initial_s=0.001)

    @handler
    async def job(self, message: Job) -> None:
        Log.begun.append((message.how, self.turn.attempt))
        if message.how != "ask at once":
            await Log.gate.wait()
        ask = self.system.ref(message.to).ask
        match message.how:
            case "ask" | "ask at once":
                await ask(Ping())
            case "wrapped":
                try:
                    await ask(Ping())
                except SystemStopped as error:
                    raise LookupError("no partner") from error
            case "in its place":
                try:
                    await ask(Ping())
                except SystemStopped:
                    raise LookupError("no partner")  # noqa: B904 - the cause is the context
            case "group":
                async with asyncio.TaskGroup() as group:
                    group.create_task(ask(Ping()))
                    group.create_task(ask(Ping()))
            case "retry":
                try:
                    await ask(Ping())
                except SystemStopped as error:
                    raise Retry(after_s=0) from error
            case "reject":
                try:
                    await ask(Ping())
                except SystemStopped as error:
                    raise Reject("it decides so") from error
            case "task":
                await self.system.tasks("/t/tasks").run(asyncio.sleep, 0)
            case "own mistake":
                raise LookupError("its own")
        Log.ended.append(message.how)

    @handler
    async def relay(self, message: Ping) -> str:
        await Log.gate.wait()
        return await self.system.ref("/t/other").ask(Ping())


REFUSED = ("ask", "wrapped", "in its place", "group", "retry", "task")


@pytest.fixture(autouse=True)
def fresh() -> None:
    Log.gate = asyncio.Event()
    Log.begun, Log.ended, Log.caught = [], [], []


async def begun(count: int = 1) -> None:
    async with patience():
        while len(Log.begun) < count:
            await asyncio.sleep(0)


async def stopped_in_the_middle(ground: Ground, spec: Any, how: str, to: str = "/t/other") -> Recorder:
    """A life that is stopped while the job's handler waits; the handler goes on when the stop has begun."""
    events = Recorder()
    async with ground.node(spec, on_event=events) as system:
        await system.ref("/t/worker").tell(Job(how=how, to=to))
        await begun()
        stopping = asyncio.create_task(system.stop())
        async with patience():  # until those that stop before it have stopped
            while system.kernel.cells["/t/worker"].status != "stopping":
                await asyncio.sleep(0)
        Log.gate.set()
        await patient(stopping)
    return events


@pytest.mark.parametrize("how", ["ask", "group"])
async def test_a_handler_that_may_still_end_may_ask_who_is_up(ground: Ground, how: str) -> None:
    """Children stop in the reverse order of their start, so the other one is still up."""
    events = await stopped_in_the_middle(ground, tree(("other", Other), ("worker", Worker)), how)
    assert Log.ended == [how]
    assert not events.of("message.failed")
    assert not events.of("message.parked")
    async with ground.node(tree(("other", Other), ("worker", Worker))) as system:
        await patient(system.idle())
    assert Log.begun == [(how, 1)]  # it was acknowledged


async def test_and_who_is_started_by_it(ground: Ground) -> None:
    """An actor under a template, whose supervisor is still up."""
    spec = tree(pool(Other, "rooms"), ("worker", Worker))
    await stopped_in_the_middle(ground, spec, "ask", "/t/rooms/one")
    assert Log.ended == ["ask"]


@pytest.mark.parametrize("how", REFUSED)
async def test_what_the_stop_refuses_is_no_attempt(ground: Ground, how: str) -> None:
    """The other one has stopped before. With one attempt a charge would be a dead letter."""
    spec = tree(("worker", Worker), ("other", Other), ("tasks", Tasks))
    events = await stopped_in_the_middle(ground, spec, how)
    assert Log.ended == []
    for name in ("message.failed", "message.parked", "actor.exited"):
        assert not events.of(name)
    assert not ground.rows(AttemptRow)
    assert not ground.rows(DeadLetterRow)
    async with ground.node(spec) as system:
        await patient(system.idle())
    assert Log.begun == [(how, 1), (how, 1)]
    assert Log.ended == [how]


async def test_a_verdict_of_the_handlers_own_holds(ground: Ground) -> None:
    await stopped_in_the_middle(ground, tree(("worker", Worker), ("other", Other)), "reject")
    assert [letter.cause for letter in ground.rows(DeadLetterRow)] == ["rejected"]


async def test_a_mistake_of_its_own_is_charged(ground: Ground) -> None:
    await stopped_in_the_middle(ground, tree(("worker", Worker), ("other", Other)), "own mistake")
    assert [letter.cause for letter in ground.rows(DeadLetterRow)] == ["failed"]


async def test_f21_the_stop_twice(ground: Ground) -> None:
    """Healthy work lives over any number of stops, each of which refuses it something."""
    spec = tree(("worker", Worker), ("other", Other))
    for life in range(3):
        Log.gate.clear()
        Log.begun.clear()
        await stopped_in_the_middle(ground, spec, "ask") if not life else await again(ground, spec)
        assert Log.begun == [("ask", 1)]
    Log.gate.set()
    async with ground.node(spec) as system:
        await patient(system.idle())
    assert Log.ended == ["ask"]


async def again(ground: Ground, spec: Any) -> None:
    async with ground.node(spec) as system:
        await begun()
        stopping = asyncio.create_task(system.stop())
        async with patience():
            while system.kernel.cells["/t/worker"].status != "stopping":
                await asyncio.sleep(0)
        Log.gate.set()
        await patient(stopping)


class Asker(Worker):
    """Asks the worker, which asks the other one."""

    @handler
    async def job(self, message: Job) -> None:
        Log.begun.append((message.how, self.turn.attempt))
        await self.system.ref("/t/worker").ask(Ping())
        Log.ended.append(message.how)


async def test_a_refusal_goes_through_a_chain_of_asks(ground: Ground) -> None:
    """The worker's ask is refused, and so is its asker's, who isn't charged either."""
    spec = tree(("worker", Worker), ("asker", Asker), ("other", Other))
    async with ground.node(spec) as system:
        await system.ref("/t/asker").tell(Job(how="chain"))
        await begun()
        stopping = asyncio.create_task(system.stop())
        async with patience():
            while system.kernel.cells["/t/asker"].status != "stopping":
                await asyncio.sleep(0)
        Log.gate.set()
        await patient(stopping)
    assert Log.ended == []
    assert not ground.rows(AttemptRow)
    assert not ground.rows(DeadLetterRow)


class Starter(Actor[None]):
    max_attempts = 1

    async def on_start(self) -> None:
        Log.begun.append(("start", 0))
        await Log.gate.wait()
        await self.system.ref("/t/other").ask(Ping())

    @handler
    def job(self, message: Job) -> None:
        Log.ended.append("started")


async def test_a_start_that_the_stop_refuses_is_no_attempt_of_its_message(ground: Ground) -> None:
    spec = tree(pool(Starter, "rooms"), ("other", Other))
    async with ground.node(spec) as system:
        await system.ref("/t/rooms/one").tell(Job(how="start"))
        await begun()
        stopping = asyncio.create_task(system.stop())
        async with patience():
            while system.kernel.cells["/t/other"].incarnation is not None:
                await asyncio.sleep(0)
        Log.gate.set()
        await patient(stopping)
    assert not ground.rows(AttemptRow)
    assert not ground.rows(DeadLetterRow)
    async with ground.node(spec) as system:
        await patient(system.idle())
    assert Log.ended == ["started"]


class Farewell(Actor[None]):
    async def on_stop(self, reason: Any) -> None:
        try:
            Log.caught.append(await self.system.ref("/t/other").ask(Ping()))
        except SystemStopped:
            Log.caught.append("refused")


@pytest.mark.parametrize(("order", "found"), [(("other", "farewell"), "pong"), (("farewell", "other"), "refused")])
async def test_on_stop_may_ask_who_is_up(memory: MemoryGround, order: tuple[str, str], found: str) -> None:
    kinds = {"other": Other, "farewell": Farewell}
    async with memory.node(tree(*((name, kinds[name]) for name in order))):
        pass
    assert Log.caught == [found]


async def test_an_ask_that_waits_at_an_actor_which_stops_is_refused_at_once(ground: Ground) -> None:
    """Its asker would wait out its whole grace else, which is an hour here."""
    worker = ChildSpec(id="worker", actor=Worker, shutdown=3600)
    busy = ChildSpec(id="busy", actor=Worker, shutdown="brutal_kill")
    async with ground.node(tree(worker, ("other", Other), busy)) as system:
        await system.ref("/t/busy").tell(Job(how="busy"))
        await begun()
        await system.ref("/t/worker").tell(Job(how="ask at once", to="/t/busy"))
        async with patience():
            while not system.kernel.cells["/t/worker"].asking:
                await asyncio.sleep(0)
        await patient(system.stop())
    assert not ground.rows(AttemptRow)
    assert not ground.rows(DeadLetterRow)


# -- from outside, and after the end -------------------------------------------------------------------------


async def test_after_the_end(ground: Ground) -> None:
    async with ground.node(tree(Other)) as system:
        other = system.ref("/t/other")
    for call in (system.idle, lambda: other.ask(Ping())):
        with pytest.raises(SystemStopped):
            await patient(call())
    with pytest.raises(SystemStopped):
        other.tell(Job(how="ask"))
    await patient(system.stop())  # safe to call again


async def test_asks_and_idle_that_wait_at_the_stop(ground: Ground) -> None:
    """Nobody is left waiting: not for a reply, not for idleness."""
    spec = tree(ChildSpec(id="worker", actor=Worker, shutdown="brutal_kill"), ("other", Other))
    async with ground.node(spec) as system:
        await system.ref("/t/worker").tell(Job(how="ask"))
        await begun()
        waiting = [
            asyncio.create_task(system.ref("/t/worker").ask(Ping(), timeout_s=3600)),
            asyncio.create_task(system.idle()),
        ]
        await asyncio.sleep(0)
        await patient(system.stop())
        for found in waiting:
            with pytest.raises(SystemStopped):
                await patient(found)


async def test_an_ask_at_work_that_is_cut_off(ground: Ground) -> None:
    spec = tree(ChildSpec(id="worker", actor=Worker, shutdown="brutal_kill"), ("other", Other))
    async with ground.node(spec) as system:
        asked = asyncio.create_task(system.ref("/t/worker").ask(Ping(), timeout_s=3600))
        async with patience():
            while system.kernel.cells["/t/worker"].turn is None:
                await asyncio.sleep(0)
        await patient(system.stop())
        with pytest.raises(SystemStopped):
            await patient(asked)


async def test_subscriptions_end_with_the_node(ground: Ground) -> None:
    names: list[str] = []

    async def follow() -> None:
        names.extend([event.name async for event in system.subscribe()])

    async with ground.node(tree(Other)) as system:
        followers = [asyncio.create_task(follow()) for _ in range(2)]
        await asyncio.sleep(0)
        left = system.subscribe()
        follower = asyncio.create_task(anext(left))  # type: ignore[arg-type]
        await asyncio.sleep(0)
        follower.cancel()
        await asyncio.wait((follower,))
        await left.aclose()  # type: ignore[attr-defined]
    await patient(asyncio.gather(*followers))
    assert names.count("node.stopped") == 2
    assert [event async for event in system.subscribe()] == []


async def test_a_stop_in_its_own_life_still_times_asks_out(memory: MemoryGround, clock: Any) -> None:
    """A handler that asks a busy actor during the stop waits no longer than its timeout."""

    class Impatient(Worker):
        @handler
        async def job(self, message: Job) -> None:
            Log.begun.append((message.how, 1))
            await Log.gate.wait()
            try:
                await self.system.ref("/t/worker").ask(Ping(), timeout_s=1)
            except AskTimeout:
                Log.caught.append("timeout")

    spec = tree(("worker", Worker), ("impatient", Impatient))
    async with memory.node(spec, runtime=clock) as system:
        await system.ref("/t/worker").tell(Job(how="busy"))
        await system.ref("/t/impatient").tell(Job(how="ask"))
        await begun(2)
        Log.gate.set()
        Log.gate = asyncio.Event()
    assert Log.caught in ([], ["timeout"])
