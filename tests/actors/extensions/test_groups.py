"""Groups: told together, or one after the other; membership ends with the incarnation."""

from __future__ import annotations

import asyncio
from typing import Any, Literal

import msgspec
import pytest
from grounds import Ground, pool, tree

from greenroom import (
    Actor,
    ActorSystem,
    Backoff,
    ChildSpec,
    GroupEmpty,
    MailboxFull,
    Message,
    NotAllTold,
    NotAMessage,
    Request,
    StoreUnavailable,
    SupervisorSpec,
    SystemStopped,
    TerminateChild,
    TurnClosed,
    handler,
)
from greenroom.actors.extensions import groups
from greenroom.actors.extensions.groups import Groups
from greenroom.persistence.store.rows import DeadLetterRow, MessageRow
from greenroom.testing import Recorder, VirtualRuntime


class Job(Message):
    number: int


class Move(Message):
    to: str
    how: Literal["join", "leave"] = "join"
    then: str = ""


class Spread(Message):
    """Told on to the group, by an actor."""

    numbers: list[int]
    then: str = ""


class Jobs(Request[list[int]]):
    pass


class Book(msgspec.Struct):
    jobs: list[int] = []


class Worker(Actor[Book]):
    gate: asyncio.Event
    zombie: Worker
    backoff = Backoff(initial_s=0.001, factor=1.0)
    max_attempts = 2

    async def on_start(self) -> None:
        self.join("workers")

    @handler
    async def job(self, message: Job) -> None:
        if message.number == 0:
            await Worker.gate.wait()
        if message.number < 0:
            raise RuntimeError("boom")
        self.state.jobs.append(message.number)

    @handler
    def move(self, message: Move) -> None:
        Worker.zombie = self
        (self.join if message.how == "join" else self.leave)(message.to)
        match message.then:
            case "fail":
                raise RuntimeError("boom")
            case "stop":
                self.stop()
            case "retire":
                self.retire()

    @handler
    def jobs(self, message: Jobs) -> list[int]:
        return self.state.jobs


class Foreman(Actor[None]):
    backoff = Worker.backoff
    max_attempts = 2

    @handler
    def spread(self, message: Spread) -> None:
        workers = self.system.group("workers")
        for number in message.numbers:
            workers.tell_one(Job(number=number))
        workers.tell_all(Job(number=99))
        if message.then == "fail":
            raise RuntimeError("on second thoughts")


@pytest.fixture(autouse=True)
def gate() -> None:
    Worker.gate = asyncio.Event()


def workers(count: int = 3, **options: Any) -> SupervisorSpec:
    return tree(
        *(ChildSpec(id=f"w{number}", actor=Worker, **options) for number in range(count)),
        Foreman,
        intensity=100,
    )


async def jobs(system: ActorSystem, count: int = 3) -> list[list[int]]:
    await system.idle()
    return [await system.ref(f"/t/w{number}").ask(Jobs()) for number in range(count)]


def members(system: ActorSystem, name: str = "workers") -> list[str]:
    return [ref.address for ref in system.group(name).members()]


async def test_the_members_in_the_order_in_which_they_joined(ground: Ground) -> None:
    async with ground.node(workers()) as system:
        assert members(system) == ["/t/w0", "/t/w1", "/t/w2"]
        assert len(system.group("workers")) == 3
        assert system.group("workers").members()[0] == system.ref("/t/w0")
        assert repr(system.group("workers")) == "<Group 'workers', 3 members>"
        system.group("workers").tell_one(Job(number=1))
        assert members(system) == ["/t/w0", "/t/w1", "/t/w2"], "whose turn it is changes nothing there"
        assert members(system, "others") == []


@pytest.mark.parametrize("durable", [True, False])
async def test_one_after_the_other(ground: Ground, durable: bool) -> None:
    async with ground.node(workers(durable=durable)) as system:
        for number in range(1, 8):
            await system.group("workers").tell_one(Job(number=number))
        assert await jobs(system) == [[1, 4, 7], [2, 5], [3, 6]]


@pytest.mark.parametrize("durable", [True, False])
async def test_all_of_them(ground: Ground, durable: bool) -> None:
    async with ground.node(workers(durable=durable)) as system:
        receipts = system.group("workers").tell_all(Job(number=5))
        await receipts
        assert len(receipts) == 3
        assert receipts.committed
        await receipts
        if durable:
            assert len(ground.rows(MessageRow)) <= 3
        assert await jobs(system) == [[5], [5], [5]]


async def test_the_receipt_waits_for_the_disk(ground: Ground) -> None:
    async with ground.node(workers()) as system:
        ground.plan.hold()
        receipts = system.group("workers").tell_all(Job(number=0))
        waiting = asyncio.ensure_future(_awaited(receipts))
        await ground.plan.arrived()
        assert not receipts.committed
        assert not waiting.done()
        ground.plan.release()
        await waiting
        assert receipts.committed
        Worker.gate.set()


async def _awaited(receipts: groups.Receipts) -> None:
    await receipts


async def test_a_store_that_fails_is_every_receipts_failure(ground: Ground) -> None:
    async with ground.node(workers()) as system:
        ground.plan.fail(StoreUnavailable("cable pulled"))
        with pytest.raises(StoreUnavailable) as raised:
            await system.group("workers").tell_all(Job(number=5))
        assert raised.value.undelivered == Job(number=5)
        await system.idle()
        assert members(system) == ["/t/w0", "/t/w1", "/t/w2"], "the tree was reset, and they joined again"
        await system.group("workers").tell_all(Job(number=6))
        assert await jobs(system) == [[6], [6], [6]]


async def test_in_a_turn(ground: Ground) -> None:
    """Part of it: told when it finishes, or not at all."""
    async with ground.node(workers()) as system:
        await system.ref("/t/foreman").tell(Spread(numbers=[1, 2, 3, 4], then="fail"))
        assert await jobs(system) == [[], [], []]
        await system.ref("/t/foreman").tell(Spread(numbers=[1, 2, 3, 4]))
        found = await jobs(system)
        assert sorted(number for each in found for number in each) == [1, 2, 3, 4, 99, 99, 99]
        assert all(each[-1] == 99 for each in found)


async def test_options_of_a_tell(clock: VirtualRuntime, memory: Ground) -> None:
    async with memory.node(workers(), runtime=clock) as system:
        group = system.group("workers")
        await clock.run(_awaited(group.tell_all(Job(number=1), delay_s=10.0)))
        for _ in range(2):
            await clock.run(_awaited(group.tell_all(Job(number=2), key="once")))
        await clock.run(system.idle())
        assert [await clock.run(system.ref(f"/t/w{number}").ask(Jobs())) for number in range(3)] == [[2], [2], [2]]
        await clock.advance(11.0)
        assert [await clock.run(system.ref(f"/t/w{number}").ask(Jobs())) for number in range(3)] == [[2, 1]] * 3


# -- joining and leaving ---------------------------------------------------------------------------------------


async def test_leaving(ground: Ground) -> None:
    async with ground.node(workers()) as system:
        await system.ref("/t/w1").tell(Move(to="workers", how="leave"))
        await system.ref("/t/w1").tell(Move(to="workers", how="leave"))
        await system.idle()
        assert members(system) == ["/t/w0", "/t/w2"]
        await system.ref("/t/w1").tell(Move(to="workers"))
        await system.ref("/t/w0").tell(Move(to="workers"))
        await system.idle()
        assert members(system) == ["/t/w0", "/t/w2", "/t/w1"], "joining twice is joining once"


async def test_several_groups(ground: Ground) -> None:
    async with ground.node(workers()) as system:
        await system.ref("/t/w1").tell(Move(to="night shift"))
        await system.idle()
        assert members(system, "night shift") == ["/t/w1"]
        await system.group("night shift").tell_all(Job(number=3))
        assert await jobs(system) == [[], [3], []]


@pytest.mark.parametrize("then", ["fail", "stop", "retire"])
async def test_the_end_of_the_incarnation(ground: Ground, then: str) -> None:
    """At once in memory, whatever becomes of the turn; a restart joins again in on_start."""
    async with ground.node(workers()) as system:
        await system.ref("/t/w0").tell(Move(to="extra", then=then))
        await system.idle()
        assert members(system, "extra") == []
        if then == "retire":
            assert members(system) == ["/t/w1", "/t/w2"]
        else:
            assert members(system) == ["/t/w1", "/t/w2", "/t/w0"]


async def test_a_child_that_is_terminated(ground: Ground) -> None:
    async with ground.node(workers()) as system:
        await system.ref("/t").ask(TerminateChild(id="w1"))
        assert members(system) == ["/t/w0", "/t/w2"]
        for number in (1, 2, 3):
            system.group("workers").tell_one(Job(number=number))
        await system.idle()
        assert await system.ref("/t/w0").ask(Jobs()) == [1, 3]


async def test_passivation_keeps_the_membership(clock: VirtualRuntime, memory: Ground) -> None:
    spec = tree(pool(ChildSpec(id="template", actor=Worker, idle_timeout_s=1.0)))
    async with memory.node(spec, runtime=clock) as system:
        events = Recorder(system)
        await clock.run(_awaited(system.ref("/t/pool/a").tell(Job(number=1))))
        await clock.advance(10.0)
        assert events.of("actor.passivated")
        assert "/t/pool/a" not in system.kernel.cells
        assert members(system) == ["/t/pool/a"]
        await clock.run(_awaited(system.group("workers").tell_one(Job(number=2))))
        await clock.run(system.idle())
        assert await clock.run(system.ref("/t/pool/a").ask(Jobs())) == [1, 2]
        assert members(system) == ["/t/pool/a"]


class Failing(Worker):
    fails = True

    async def on_start(self) -> None:
        self.join("workers")
        if Failing.fails:
            raise RuntimeError("not today")


async def test_a_start_that_fails(ground: Ground) -> None:
    Failing.fails = True
    spec = tree(Worker, pool(ChildSpec(id="template", actor=Failing)))
    async with ground.node(spec) as system:
        await system.ref("/t/pool/a").tell(Job(number=1))
        await system.idle()
        assert len(ground.rows(DeadLetterRow)) == 1
        assert members(system) == ["/t/worker"]


async def test_a_zombie_joins_nothing(memory: Ground) -> None:
    async with memory.node(workers()) as system:
        await system.ref("/t/w0").tell(Move(to="extra", then="fail"))
        await system.idle()
        zombie = Worker.zombie
        await system.ref("/t/w0").tell(Job(number=-1))
        await system.idle()
        for function in (zombie.join, zombie.leave):
            with pytest.raises(TurnClosed):
                function("workers")
        assert members(system, "extra") == []


async def test_nothing_of_it_outlives_the_node(ground: Ground) -> None:
    async with ground.node(workers()) as system:
        await system.ref("/t/w1").tell(Move(to="extra"))
        await system.idle()
    async with ground.node(workers(2)) as system:
        assert members(system) == ["/t/w0", "/t/w1"]
        assert members(system, "extra") == []


# -- what goes wrong -----------------------------------------------------------------------------------------------


async def test_an_empty_group(memory: Ground) -> None:
    async with memory.node(workers()) as system:
        with pytest.raises(GroupEmpty, match="'nobody' has no members") as raised:
            system.group("nobody").tell_one(Job(number=1))
        assert raised.value.undelivered == Job(number=1)
        await system.group("nobody").tell_all(Job(number=1))


async def test_some_mailboxes_are_full(clock: VirtualRuntime, memory: Ground) -> None:
    async with memory.node(workers(capacity=1, overflow="reject"), runtime=clock) as system:
        await clock.run(_awaited(system.ref("/t/w1").tell(Job(number=0))))
        await clock.settle()
        await clock.run(_awaited(system.ref("/t/w1").tell(Job(number=1))))
        with pytest.raises(NotAllTold) as raised:
            system.group("workers").tell_all(Job(number=2))
        assert raised.value.told == ("/t/w0", "/t/w2")
        (error,) = raised.value.failed.values()
        assert isinstance(error, MailboxFull)
        assert error.undelivered == Job(number=2)
        assert "1 of 3 members of 'workers' couldn't be told: /t/w1" in str(raised.value)
        Worker.gate.set()
        await clock.run(system.idle())
        assert [await clock.run(system.ref(f"/t/w{n}").ask(Jobs())) for n in range(3)] == [[2], [0, 1], [2]]


async def test_nobody_can_be_told(memory: Ground) -> None:
    async with memory.node(workers()) as system:
        group = system.group("workers")
        for tell in (group.tell_all, group.tell_one):
            with pytest.raises(NotAMessage):
                tell("hello")  # type: ignore[arg-type]
    for tell in (group.tell_all, group.tell_one):
        with pytest.raises(SystemStopped):
            tell(Job(number=1))


@pytest.mark.parametrize(
    ("name", "error"),
    [("", ValueError), ("x" * 201, ValueError), ("a\nb", ValueError), (3, TypeError), (None, TypeError)],
)
async def test_names(memory: Ground, name: Any, error: type[Exception]) -> None:
    async with memory.node(workers()) as system:
        with pytest.raises(error, match="is no name for a group"):
            system.group(name)
        with pytest.raises(error):
            system.kernel.part(Groups).join("/t/w0", name)
        system.group("x" * 200)
        system.group("Nachtschicht ☾ 2")


async def test_the_limit(memory: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(groups, "GROUPS_MAX", 2)
    async with memory.node(workers()) as system:
        system.kernel.part(Groups).join("/t/w0", "extra")
        system.kernel.part(Groups).join("/t/w0", "workers")
        with pytest.raises(ValueError, match="/t/w0 is in 2 groups already"):
            system.kernel.part(Groups).join("/t/w0", "more")
        assert members(system, "more") == []
