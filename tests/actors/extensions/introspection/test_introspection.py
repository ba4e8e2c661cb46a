"""GetState and statistics, which every actor answers without declaring them."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from grounds import Ground, MemoryGround, SqliteGround, pool, tree
from ledger_actors import Add, Eager, Fail, Ledger, Light, Relay, Stateless, Total, Wait, log
from rounds import rounds

from greenroom import (
    Actor,
    AskFailed,
    Client,
    GetState,
    GetStatistics,
    Message,
    Request,
    Resume,
    Statistics,
    SupervisorSpec,
    Suspend,
    handler,
)
from greenroom.persistence.store.rows import ActorRow
from greenroom.testing import Recorder

SPEC = tree(Ledger, Light, Stateless, Eager, pool(Ledger), intensity=20)


@pytest.fixture(autouse=True)
def fresh() -> None:
    log.clear()


async def _tell(ref: Any, message: Message) -> None:
    await ref.tell(message)


# -- GetState ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["ledger", "light", "pool/x"])
async def test_the_state_as_plain_data(ground: Ground, name: str) -> None:
    async with ground.node(SPEC) as system:
        ref = system.ref(f"/t/{name}")
        assert await ref.ask(GetState()) == {"total": 0, "tags": {}}
        await ref.tell(Add(amount=5))
        found = await ref.ask(GetState())
        assert found == {"total": 5, "tags": {}}
        found["total"] = 7  # a copy
        assert await ref.ask(Total()) == 5


class Curious(GetState):
    """A request of a user that is a GetState with a field more."""

    why: str = ""


class Rest(Suspend):
    pass


async def test_a_request_derived_from_one_of_ours_is_answered_as_that_one(ground: Ground) -> None:
    async with ground.node(SPEC) as system:
        for name in ("ledger", "light", "pool/x"):
            assert await system.ref(f"/t/{name}").ask(Curious(why="so")) == {"total": 0, "tags": {}}
        children = (await system.ref("/t").ask(Curious()))["children"]
        assert [child["id"] for child in children] == ["ledger", "light", "stateless", "eager", "pool"]
        await system.ref("/t/ledger").ask(Rest())
        assert system.kernel.cells["/t/ledger"].suspended
        assert await system.ref("/t/ledger").ask(Curious()) == {"total": 0, "tags": {}}
        await system.ref("/t/ledger").ask(Resume())
        assert not system.kernel.cells["/t/ledger"].suspended


async def test_no_state_is_none(memory: MemoryGround) -> None:
    async with memory.node(SPEC) as system:
        assert await system.ref("/t/stateless").ask(GetState()) is None


async def test_a_supervisor_shows_its_children(memory: MemoryGround) -> None:
    spec = tree(Ledger, SupervisorSpec(id="below", children=[]), pool(Ledger))
    async with memory.node(spec) as system:
        await system.ref("/t/pool/x").ask(Total())
        assert await system.ref("/t").ask(GetState()) == {
            "children": [
                {"id": "ledger", "status": "up"},
                {"id": "below", "status": "up"},
                {"id": "pool", "status": "up"},
            ],
            "hidden": 0,
        }
        assert await system.ref("/t/below").ask(GetState()) == {"children": [], "hidden": 0}
        assert (await system.ref("/t/pool").ask(GetState()))["children"] == [{"id": "x", "status": "up"}]


async def test_it_stands_in_line_and_sees_finished_turns_alone(memory: MemoryGround) -> None:
    Ledger.gate = asyncio.Event()
    async with memory.node(SPEC) as system:
        ledger = system.ref("/t/ledger")
        ledger.tell(Wait())
        asked = asyncio.ensure_future(ledger.ask(GetState()))
        await rounds()
        assert log == ["waits"]
        assert not asked.done()
        Ledger.gate.set()
        assert (await asked)["total"] == 1000
        await ledger.tell(Fail(how="retry", times=1))  # its first attempt left -1 behind, and it was rolled back
        assert (await ledger.ask(GetState()))["total"] == 1000


async def test_it_waits_for_the_commit_of_what_it_shows(ground: Ground) -> None:
    async with ground.node(SPEC) as system:
        ledger = system.ref("/t/ledger")
        await ledger.tell(Add(amount=1))
        await system.idle()
        ground.plan.hold()
        told = asyncio.ensure_future(_tell(ledger, Add(amount=5)))
        await ground.plan.arrived()
        asked = asyncio.ensure_future(ledger.ask(GetState()))
        await rounds()
        assert log == ["add 1", "add 5"]
        assert not asked.done()
        (row,) = [row for row in ground.rows(ActorRow) if row.address == "/t/ledger"]
        assert msgspec.json.decode(row.state)["total"] == 1
        ground.plan.release()
        assert (await asked)["total"] == 6
        await told


async def test_what_a_light_actor_rests_on_is_gated_too(ground: Ground) -> None:
    """It has no rows; what it was told by a turn that isn't on disk mustn't be seen."""
    async with ground.node(SPEC) as system:
        ground.plan.hold()
        told = asyncio.ensure_future(_tell(system.ref("/t/ledger"), Relay(to="/t/light", amount=3)))
        await ground.plan.arrived()
        asked = asyncio.ensure_future(system.ref("/t/light").ask(GetState()))
        await rounds()
        assert log == ["add 3"]
        assert not asked.done()
        ground.plan.release()
        assert (await asked)["total"] == 3
        await told


async def test_an_actor_that_takes_everything_doesnt_get_it(memory: MemoryGround) -> None:
    async with memory.node(SPEC) as system:
        eager = system.ref("/t/eager")
        assert await eager.ask(GetState()) is None
        await eager.tell(Add(amount=1))
        await eager.tell(GetState())  # as a message like any other: from its row, by its tag
        await system.idle()
        assert log == ["received Add"]


async def test_from_another_process(disk: SqliteGround) -> None:
    async with disk.node(SPEC) as system, Client(disk.url) as client:
        await client.tell("/t/eager", Add(amount=1))
        await client.tell("/t/pool/x", Add(amount=4))
        assert await client.ask("/t/pool/x", GetState()) == {"total": 4, "tags": {}}
        assert await client.ask("/t/eager", GetState()) is None
        await system.idle()


async def test_a_state_that_cant_be_shown_harms_nobody(memory: MemoryGround) -> None:
    async with memory.node(tree(Odd)) as system:
        events = Recorder(system)
        with pytest.raises(AskFailed, match="can't be shown as JSON"):
            await system.ref("/t/odd").ask(GetState())
        assert await system.ref("/t/odd").ask(Total()) == 1
        assert not events.of("actor.exited")


class Box(msgspec.Struct):
    content: Any = None


class Odd(Actor[Box]):
    durable = False

    def initial_state(self) -> Box:
        return Box(content=object())

    @handler
    def total(self, request: Total) -> int:
        return 1


# -- whose names they are ---------------------------------------------------------------------------------


def test_what_the_runtime_answers_cant_be_handled() -> None:
    with pytest.raises(TypeError, match="the runtime does that for every actor"):

        class Own(Actor[None]):
            @handler
            def get_state(self, request: GetState) -> Any:
                return None


class Imposter(Request[int], tag="greenroom.GetState"):
    pass


def test_nor_a_message_of_the_same_tag() -> None:
    with pytest.raises(TypeError, match=r"its tag 'greenroom\.GetState' is the runtime's"):

        class Own(Actor[None]):
            @handler
            def get(self, request: Imposter) -> int:
                return 1


class Namesake:
    class GetState(Request[int]):
        """A user's own."""


class Own(Actor[None]):
    @handler
    def get_state(self, request: Namesake.GetState) -> int:
        return 7


async def test_a_class_of_the_same_name_is_another(disk: SqliteGround) -> None:
    async with disk.node(tree(Own)) as system, Client(disk.url) as client:
        assert await system.ref("/t/own").ask(Namesake.GetState()) == 7
        assert await system.ref("/t/own").ask(GetState()) is None
        assert await client.ask("/t/own", Namesake.GetState()) == 7
        assert await client.ask("/t/own", GetState()) is None


# -- statistics ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["ledger", "light"])
async def test_statistics(memory: MemoryGround, name: str) -> None:
    async with memory.node(SPEC) as system:
        ref = system.ref(f"/t/{name}")
        assert await ref.ask(GetStatistics()) is None
        await ref.tell(Add(amount=1))
        await ref.ask(Statistics(on=True))
        for amount in (1, 2, 3):
            await ref.tell(Add(amount=amount))
        await ref.ask(Total())
        await ref.tell(Relay(to="/t/pool/x"))
        await ref.tell(Fail(how="retry", times=1))
        await system.idle()
        found = await ref.ask(GetStatistics())
        assert found is not None
        assert (found.turns, found.failed, found.asks, found.tells) == (7, 1, 1, 6)
        assert (found.messages_in, found.messages_out) == (7, 1)
        assert found.started <= found.since <= found.now
        assert 0 < found.longest_ms <= found.busy_ms
        assert found.longest_type in {"Add", "Total", "Relay", "Fail"}
        await ref.ask(Statistics(on=True))
        again = await ref.ask(GetStatistics())
        assert again is not None
        assert (again.turns, again.longest_type) == (0, "")
        await ref.ask(Statistics(on=False))
        assert await ref.ask(GetStatistics()) is None


async def test_statistics_are_the_incarnations(memory: MemoryGround) -> None:
    async with memory.node(SPEC) as system:
        events = Recorder(system)
        ref = system.ref("/t/ledger")
        await ref.ask(Statistics(on=True))
        await ref.tell(Fail(how="exit", times=1))
        await events.until("actor.started", "/t/ledger")
        await system.idle()
        assert await ref.ask(GetStatistics()) is None


async def test_off_costs_nothing(memory: MemoryGround) -> None:
    async with memory.node(SPEC) as system:
        ref = system.ref("/t/light")
        incarnation = system.kernel.cells["/t/light"].incarnation
        assert incarnation is not None
        await ref.ask(Statistics(on=True))
        assert incarnation.watch is not None
        await ref.ask(Statistics(on=False))
        assert incarnation.watch is None
