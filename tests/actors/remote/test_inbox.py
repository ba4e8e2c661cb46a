"""The inbox: what other processes put there is taken in once, and nothing in it can bring the node down."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
from grounds import Ground, tree
from patience import patience

from greenroom import Actor, ChildSpec, Client, Message, Request, StoreFull, handler
from greenroom.persistence.store.rows import ActorRow, DeadLetterRow, InboxRow, ReplyRow


class Add(Message):
    amount: int


class Total(Request[int]):
    pass


class Wait(Message):
    pass


class Sum(msgspec.Struct):
    total: int = 0


class Counter(Actor[Sum]):
    name = "inbox-counter"
    gate: asyncio.Event
    added = 0

    @handler
    def add(self, message: Add) -> None:
        Counter.added += self.address == "/t/big"
        self.state.total += message.amount

    @handler
    def total(self, request: Total) -> int:
        return self.state.total

    @handler
    async def wait(self, message: Wait) -> None:
        await Counter.gate.wait()


class Fleeting(Counter):
    name = "inbox-fleeting"
    durable = False


@pytest.fixture(autouse=True)
def gate() -> asyncio.Event:
    Counter.gate = asyncio.Event()
    Counter.added = 0
    return Counter.gate


TREE = tree(
    ChildSpec(id="small", actor=Counter, capacity=2),
    ChildSpec(id="big", actor=Counter),
    ChildSpec(id="fleeting", actor=Fleeting),
)


def row(kind: str = "tell", address: str = "/t/big", type: str = "Add", body: str = '{"amount":1}', **more: Any) -> Any:
    uid = more.pop("uid", "0b" * 16)
    return InboxRow(0, uid, kind, address, type, body, None, 0, None, None, 1)._replace(**more)


@asynccontextmanager
async def submitter(ground: Ground) -> AsyncIterator[Any]:
    store = ground.store()
    await store.open_reader()
    try:
        yield store
    finally:
        await store.close()


async def reply(store: Any, row_id: int) -> ReplyRow:
    while (found := await store.get(ReplyRow, row_id)) is None:
        await asyncio.sleep(0.001)
    return found


async def test_a_full_mailbox_holds_its_rows_and_no_others(ground: Ground, gate: asyncio.Event) -> None:
    async with ground.node(TREE) as system, submitter(ground) as store:
        small = system.ref("/t/small")
        await small.tell(Wait())
        await store.submit([row(address="/t/small") for _ in range(6)])
        for _ in range(3):  # each of these has the inbox read again, past the rows that are held
            await store.submit([row(address="/t/big")])
            while not await system.ref("/t/big").ask(Total()):
                await asyncio.sleep(0.001)
        assert len(ground.rows(InboxRow)) >= 3
        gate.set()  # nobody writes any more: the rows move in as room comes
        while await small.ask(Total()) < 6:
            await asyncio.sleep(0.001)
        await system.idle()
        assert await small.ask(Total()) == 6
        assert await system.ref("/t/big").ask(Total()) == 3
        assert ground.rows(InboxRow) == []


async def test_rows_behind_one_that_is_held_are_taken_once(ground: Ground, gate: asyncio.Event) -> None:
    async with ground.node(TREE) as system, submitter(ground) as store:
        await system.ref("/t/small").tell(Wait())
        await store.submit([row(address="/t/small") for _ in range(4)])
        while len(ground.rows(InboxRow)) != 2:
            await asyncio.sleep(0.001)
        ground.plan.hold()  # what is taken in now isn't on disk yet when the inbox is read again
        for n in range(1, 4):
            await store.submit([row(address="/t/big")])
            while Counter.added < n:
                await asyncio.sleep(0.001)
        gate.set()
        ground.plan.release()
        await system.idle()
        assert await system.ref("/t/big").ask(Total()) == 3
        assert await system.ref("/t/small").ask(Total()) == 4


async def test_a_tell_to_an_actor_without_rows_is_taken_once(ground: Ground) -> None:
    async with ground.node(TREE), submitter(ground) as store:
        await store.submit([row(address="/t/fleeting", wants_reply=0)])
        async with Client(ground.store()) as client:
            assert await client.ask("/t/fleeting", Total()) == 1
    assert ground.rows(InboxRow) == []


@pytest.mark.parametrize(
    "bad",
    [
        row("admin", "/", "dead.requeue", "null"),
        row("admin", "/", "dead.discard", '{"ids": 5}'),
        row("admin", "/", "actors.live", "[1]"),
        row("admin", "/", "actors.live", "no json"),
        row("admin", "/", "actors.eat", "null"),
        row("admin", "/t", "actors.reset", "null"),
        row("ask", type="Add"),  # no request
        row("ask", "/t/nobody", "Total", "{}"),
        row("mystery"),
        row("tell", "no address"),
        row("tell", body="no json"),
        row("tell", uid="not hex"),
        row("tell", priority=1 << 60),
    ],
    ids=lambda found: f"{found.kind} {found.type} {found.body} {found.address}"[:40],
)
async def test_nothing_in_it_ends_the_node(ground: Ground, bad: InboxRow) -> None:
    async with ground.node(TREE) as system, submitter(ground) as store:
        (row_id,) = await store.submit([bad])
        answer = await reply(store, row_id)
        assert answer.ok or answer.error
        await system.idle()
        assert system.kernel.gave_up is None
        assert await system.ref("/t/big").ask(Total()) <= 1
    assert ground.rows(InboxRow) == []


async def test_a_damaged_row_becomes_a_dead_letter(ground: Ground) -> None:
    async with ground.node(TREE):
        pass
    async with submitter(ground) as store:
        (row_id,) = await store.submit([row(uid="0c" * 16)])
    ground.edit(InboxRow, row_id, body='{"amount":1000}')
    async with ground.node(TREE) as system:
        await system.idle()
        assert await system.ref("/t/big").ask(Total()) == 0
    (letter,) = ground.rows(DeadLetterRow)
    assert (letter.cause, letter.body) == ("corrupt", '{"amount":1000}')


async def test_another_message_under_a_known_key_is_parked(ground: Ground) -> None:
    async with ground.node(TREE) as system:
        async with Client(ground.store()) as client:
            for amount in (1, 1, 2):
                await client.tell("/t/big", Add(amount=amount), key="k")
        await system.idle()
        assert await system.ref("/t/big").ask(Total()) == 1
    (letter,) = ground.rows(DeadLetterRow)
    assert (letter.cause, letter.key) == ("rejected", "k")


async def test_a_store_that_fails_meanwhile_loses_nothing(ground: Ground) -> None:
    async with ground.node(TREE) as system, submitter(ground) as store:
        ground.plan.broken = StoreFull("no space left")
        await store.submit([row(uid=f"{n:032x}") for n in range(1, 6)])
        (request,) = await store.submit([row("ask", type="Total", body="{}", uid="0d" * 16)])
        while system.kernel.commits.failure is None:
            await asyncio.sleep(0.001)
        ground.plan.broken = None
        answer = await reply(store, request)
        assert (answer.ok, answer.body) == (1, "5")
        await system.idle()
        assert await system.ref("/t/big").ask(Total()) == 5
    assert ground.rows(InboxRow) == ground.rows(DeadLetterRow) == []


async def test_expired_requests_arent_run(ground: Ground) -> None:
    async with ground.node(TREE):
        pass
    async with submitter(ground) as store:
        await store.submit([row("ask", type="Total", body="{}", expires=1.0)])
    async with ground.node(TREE) as system:
        await system.idle()
    assert ground.rows(InboxRow) == ground.rows(ReplyRow) == []


class Diary(Actor[list[int]]):
    name = "inbox-diary"

    def initial_state(self) -> list[int]:
        return []

    @handler
    def add(self, message: Add) -> None:
        self.state.append(message.amount)


async def test_a_key_is_no_reason_to_be_passed(ground: Ground) -> None:
    """Whether a row has a key or not: what one client tells is handled in the order told."""
    diary = tree(ChildSpec(id="diary", actor=Diary))
    async with ground.node(diary):
        pass
    async with Client(ground.store()) as client:
        for amount in range(20):
            await client.tell("/t/diary", Add(amount=amount), key=f"k{amount}" if amount % 3 == 0 else None)
    async with ground.node(diary) as system:
        await system.idle()
    (state,) = [found.state for found in ground.rows(ActorRow) if found.address == "/t/diary"]
    assert json.loads(state) == list(range(20))


async def test_idle_cancelled_in_the_middle_of_a_look(ground: Ground, gate: asyncio.Event) -> None:
    """A held row isn't forgotten: it moves in when there is room, although nobody writes any more."""
    async with ground.node(TREE) as system, submitter(ground) as store:
        small = system.ref("/t/small")
        await small.tell(Wait())
        await store.submit([row(address="/t/small") for _ in range(6)])
        while len(ground.rows(InboxRow)) != 4:
            await asyncio.sleep(0.001)
        assert system.inbox is not None
        scan, scanning = system.kernel.store.scan, asyncio.Event()

        async def slow(kind: Any, **more: Any) -> Any:
            scanning.set()
            await asyncio.sleep(0.1)
            return await scan(kind, **more)

        system.kernel.store.scan = slow  # type: ignore[method-assign]
        waiting = asyncio.ensure_future(system.inbox.drain())
        await scanning.wait()
        system.kernel.store.scan = scan  # type: ignore[method-assign]
        waiting.cancel()
        await asyncio.wait([waiting])
        gate.set()
        async with patience():
            while await small.ask(Total()) < 6:
                await asyncio.sleep(0.001)
