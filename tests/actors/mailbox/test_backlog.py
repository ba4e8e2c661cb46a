"""A backlog that is still being found while the node handles the first of it: order, and what may pass."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from typing import Any

import msgspec
import pytest
from grounds import Ground, MemoryGround, SqliteGround, pool, tree
from rounds import rounds
from suspicion import recovered

from greenroom import Actor, ActorSystem, Backoff, Message, Request, StoreUnavailable, handler
from greenroom.actors.mailbox import delayed as delays
from greenroom.actors.mailbox.backlog import Backlog
from greenroom.actors.recovery import scan as pending
from greenroom.persistence.engines.memory.engine import MemoryStore
from greenroom.persistence.engines.sqlite.reader import SqliteReader
from greenroom.persistence.store.checksums import seal
from greenroom.persistence.store.rows import ROWS, ActorRow, AttemptRow, MessageRow

FIRST = 200
"""Heads that are read before the tree starts, in these tests."""
HEADS = 100
MANY = 2_000


class Item(Message):
    number: int


class Gone(Message):
    pass


class Items(Request[list[int]]):
    pass


class Seen(msgspec.Struct):
    items: list[int] = []


class Sink(Actor[Seen]):
    capacity = 100_000
    backoff = Backoff(initial_s=0.001, factor=1.0, jitter=0.0)
    idle_timeout_s = 3600.0

    @handler
    def item(self, message: Item) -> None:
        self.state.items.append(message.number)

    @handler
    def items(self, request: Items) -> list[int]:
        return self.state.items

    @handler
    def gone(self, message: Gone) -> None:
        self.retire()


class Scan:
    """Lets the heads beyond the first be read portion by portion."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.portions = asyncio.Semaphore(0)
        patch.setattr(pending, "FIRST", FIRST)
        patch.setattr(pending, "HEADS", HEADS)
        for store in (SqliteReader, MemoryStore):
            patch.setattr(store, "heads", self._gated(store.heads))

    def _gated(self, heads: Any) -> Any:
        async def gated(store: Any, after: int = 0, limit: int = 10_000) -> Any:
            if after >= FIRST:
                await self.portions.acquire()
            return await heads(store, after, limit)

        return gated

    def let(self, portions: int) -> None:
        for _ in range(portions):
            self.portions.release()

    def end(self) -> None:
        self.let(10_000)


@pytest.fixture
async def scan(monkeypatch: pytest.MonkeyPatch) -> Scan:
    return Scan(monkeypatch)


def message(number: int, address: str, *, priority: int = 0, due: float | None = None, body: str = "") -> MessageRow:
    text = body or f'{{"$type":"Item","number":{number}}}'
    return seal(MessageRow(number, address, priority, due, f"{number:032x}", "", None, "Item", text))


async def fill(ground: Ground, spec: Any, rows: Iterable[Any]) -> None:
    """Rows as a node of before has left them."""
    async with ground.node(spec):
        pass
    if isinstance(ground, MemoryGround):
        for row in rows:
            ground.data.tables[type(row)][row[0]] = row
        return
    assert isinstance(ground, SqliteGround)
    with closing(sqlite3.connect(ground.path)) as connection, connection:
        for row in rows:
            connection.execute(f"INSERT INTO {ROWS[type(row)].name} VALUES ({','.join('?' * len(row))})", row)


async def turns(system: ActorSystem) -> None:
    """Let everything run that can."""
    await rounds(300)


async def seen(system: ActorSystem, address: str = "/t/sink") -> list[int]:
    return await system.ref(address).ask(Items())


async def test_handling_begins_before_everything_is_found_and_order_holds(ground: Ground, scan: Scan) -> None:
    await fill(ground, tree(Sink), (message(number, "/t/sink") for number in range(1, MANY + 1)))
    async with ground.node(tree(Sink)) as system:
        sink = system.ref("/t/sink")
        while len(await seen(system)) < FIRST:
            await asyncio.sleep(0)
        for number in range(MANY + 1, MANY + 51):
            await sink.tell(Item(number=number))  # it is on disk, and waits for what is older
        await turns(system)
        assert isinstance(sink.cell().mailbox, Backlog)
        scan.let(3)
        while sink.cell().mailbox.count > 50:
            await asyncio.sleep(0)
        scan.end()
        await system.idle()
        assert await seen(system) == list(range(1, MANY + 51))
        assert not isinstance(sink.cell().mailbox, Backlog)
    assert not ground.rows(MessageRow)


@pytest.mark.slow
async def test_twenty_thousand(disk: SqliteGround, monkeypatch: pytest.MonkeyPatch) -> None:
    """As it is, but for the number after which the tree starts."""
    monkeypatch.setattr(pending, "FIRST", 1)
    addresses = [f"/t/s{number}" for number in range(10)]
    spec = tree(*((address[3:], Sink) for address in addresses))
    await fill(disk, spec, (message(number, addresses[number % 10]) for number in range(1, 20_001)))
    async with disk.node(spec) as system:
        for number in range(20_001, 20_011):
            system.ref(addresses[number % 10]).tell(Item(number=number))
        await system.idle()
        for first, address in enumerate(addresses):
            assert await seen(system, address) == list(range(first or 10, 20_011, 10))


async def test_a_request_passes_what_is_to_be_found_but_no_tell_of_this_life(ground: Ground, scan: Scan) -> None:
    await fill(ground, tree(Sink), (message(number, "/t/sink") for number in range(1, MANY + 1)))
    async with ground.node(tree(Sink)) as system:
        sink = system.ref("/t/sink")
        while len(await seen(system)) < FIRST:
            await asyncio.sleep(0)
        await sink.tell(Item(number=MANY + 1))
        asked = asyncio.ensure_future(sink.ask(Items()))
        await turns(system)
        assert not asked.done()
        scan.end()
        assert await asked == list(range(1, MANY + 2))


async def test_an_actor_without_mail_from_before_waits_as_well(ground: Ground, scan: Scan) -> None:
    """For nobody knows that it has none."""
    spec = tree(("a", Sink), ("b", Sink))
    await fill(ground, spec, (message(number, "/t/a") for number in range(1, MANY)))
    async with ground.node(spec) as system:
        await system.ref("/t/b").tell(Item(number=MANY + 1))
        await turns(system)
        assert system.ref("/t/b").cell().mailbox.count == 1
        scan.end()
        await system.idle()
        assert await seen(system, "/t/b") == [MANY + 1]


async def test_priorities(ground: Ground, scan: Scan) -> None:
    """Among what has been found they hold; and among all of it, once all is found."""
    rows = [message(number, "/t/sink", priority=(0, 5, -5)[number % 3]) for number in range(1, MANY + 1)]
    await fill(ground, tree(Sink), rows)
    async with ground.node(tree(Sink)) as system:
        sink = system.ref("/t/sink")
        while len(await seen(system)) < FIRST:
            await asyncio.sleep(0)
        for number in range(MANY + 1, MANY + 31):
            await sink.tell(Item(number=number), priority=(0, 5, -5)[number % 3])
        scan.end()
        await system.idle()
        items = await seen(system)
    first = sorted(range(1, FIRST + 1), key=lambda number: -(0, 5, -5)[number % 3])
    assert items[:FIRST] == first
    for rest in range(3):
        assert [item for item in items if item % 3 == rest] == [n for n in range(1, MANY + 31) if n % 3 == rest]
    assert len(items) == MANY + 30


async def test_a_pool_is_brought_back_as_its_mail_is_found(ground: Ground, scan: Scan) -> None:
    spec = tree(pool(Sink))
    await fill(ground, spec, (message(number, f"/t/pool/{number % 700}") for number in range(1, MANY + 1)))
    async with ground.node(spec) as system:
        await system.ref("/t/pool/650").tell(Item(number=MANY + 650))
        await system.ref("/t/pool/new").tell(Item(number=1))
        await turns(system)
        assert "/t/pool/450" not in system.kernel.cells
        scan.end()
        await system.idle()
        assert await seen(system, "/t/pool/650") == [650, 1350, MANY + 650]
        assert await seen(system, "/t/pool/450") == [450, 1150, 1850]
        assert await seen(system, "/t/pool/new") == [1]
    assert not ground.rows(MessageRow)


async def test_more_addresses_than_are_woken_at_once(memory: MemoryGround, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pending, "AWAKE_MAX", 10)
    spec = tree(pool(Sink))
    await fill(memory, spec, (message(number, f"/t/pool/{number}") for number in range(1, 500)))
    async with memory.node(spec) as system:
        await system.idle()
        assert [await seen(system, f"/t/pool/{number}") for number in range(1, 500)] == [[n] for n in range(1, 500)]


async def test_a_retire_deletes_what_is_still_to_be_found(ground: Ground, scan: Scan) -> None:
    spec = tree(pool(Sink))
    gone = message(1, "/t/pool/x", body='{"$type":"Gone"}')._replace(type="Gone")
    rows = [seal(gone), *(message(number, f"/t/pool/{'xy'[number % 2]}") for number in range(2, MANY + 1))]
    await fill(ground, spec, rows)
    async with ground.node(spec) as system:
        await turns(system)
        assert len(ground.rows(MessageRow)) > MANY // 2
        scan.end()
        await system.idle()
        assert await seen(system, "/t/pool/y") == list(range(3, MANY + 1, 2))
        assert await seen(system, "/t/pool/x") == []
    assert not ground.rows(MessageRow)
    assert [row.address for row in ground.rows(ActorRow)] == ["/t/pool/x", "/t/pool/y"]


async def test_attempts_and_delays_are_found_with_their_messages(memory: MemoryGround, scan: Scan, clock: Any) -> None:
    now = clock.now()
    rows: list[Any] = [message(number, "/t/sink") for number in range(1, MANY + 1)]
    rows[1499] = message(1500, "/t/sink", due=now + 100)
    rows[1599] = message(1600, "/t/sink", due=now - 100)
    rows.append(seal(AttemptRow(1700, f"{1700:032x}", 2, now + 50, "failed")))
    rows.append(seal(AttemptRow(1800, f"{1800:032x}", 2, now - 50, "failed")))
    await fill(memory, tree(Sink), rows)
    async with memory.node(tree(Sink), runtime=clock) as system:
        await clock.settle()
        scan.end()
        await clock.settle()
        late = [n for n in range(1, MANY + 1) if n not in (1500, 1700)]
        assert await seen(system) == late
        await clock.advance(60)
        assert await seen(system) == [*late, 1700]
        await clock.advance(60)
        assert await seen(system) == [*late, 1700, 1500]
    assert not memory.rows(AttemptRow)


async def test_more_come_due_at_once_than_are_delivered_in_a_row(
    memory: MemoryGround, clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delays, "ROUND_MAX", 10)
    due = clock.now() + 100
    await fill(memory, tree(Sink), (message(number, "/t/sink", due=due + number % 3) for number in range(1, 301)))
    async with memory.node(tree(Sink), runtime=clock) as system:
        await clock.advance(99)
        assert await seen(system) == []
        await clock.advance(10)
        await system.idle()
        assert await seen(system) == [*range(3, 301, 3), *range(1, 301, 3), *range(2, 301, 3)]
    assert not memory.rows(MessageRow)


async def test_an_address_that_nobody_has_is_said_once_with_all_of_its_mail(memory: MemoryGround, scan: Scan) -> None:
    rows = (message(number, "/t/nobody" if number % 2 else "/t/sink") for number in range(1, MANY + 1))
    await fill(memory, tree(Sink), rows)
    said: list[Any] = []
    async with memory.node(tree(Sink), on_event=said.append) as system:
        scan.end()
        await system.idle()
    orphaned = [event for event in said if event.name == "message.orphaned"]
    assert [(event.address, event.measures["pending"]) for event in orphaned] == [("/t/nobody", MANY // 2)]


class Held(Sink):
    gate: asyncio.Event

    @handler
    async def item(self, message: Item) -> None:
        await Held.gate.wait()
        self.state.items.append(message.number)


async def test_suspects_are_found_before_anything_starts(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    Held.gate = asyncio.Event()
    spec = tree(("a", Held), ("b", Held))
    await fill(ground, spec, (message(number, "/t/a" if number <= MANY else "/t/b") for number in range(1, MANY + 101)))
    async with ground.node(spec) as system:
        await turns(system)
        while not all(system.kernel.cells[address].turn for address in ("/t/a", "/t/b")):
            await asyncio.sleep(0)
        image = ground.image()
        Held.gate.set()
    scan = Scan(monkeypatch)
    scan.let((MANY + 1 - FIRST) // HEADS + 1)
    async with image.node(spec) as system:
        assert sorted(row.id for row in system.kernel.part(pending.Scan).suspects) == [1, MANY + 1]
        await recovered(system)  # they run while the scan goes on
        scan.end()
        await system.idle()
        assert await seen(system, "/t/a") == list(range(1, MANY + 1))
        assert await seen(system, "/t/b") == list(range(MANY + 1, MANY + 101))


async def test_the_node_can_stop_in_the_middle(ground: Ground, scan: Scan) -> None:
    await fill(ground, tree(Sink), (message(number, "/t/sink") for number in range(1, MANY + 1)))
    async with ground.node(tree(Sink)) as system:
        await system.ref("/t/sink").tell(Item(number=MANY + 1))
        await turns(system)
    scan.end()
    async with ground.node(tree(Sink)) as system:
        await system.idle()
        assert await seen(system) == list(range(1, MANY + 2))


async def test_a_store_that_fails_in_the_middle_is_read_anew(ground: Ground, scan: Scan) -> None:
    await fill(ground, tree(Sink), (message(number, "/t/sink") for number in range(1, MANY + 1)))
    async with ground.node(tree(Sink)) as system:
        sink = system.ref("/t/sink")
        await sink.tell(Item(number=MANY + 1))
        await turns(system)
        ground.plan.fail(StoreUnavailable("the disk is gone"))
        with pytest.raises(StoreUnavailable):
            await sink.tell(Item(number=MANY + 2))
        scan.end()
        await system.idle()
        assert await seen(system) == list(range(1, MANY + 2))


async def test_damaged_heads_are_parked(disk: SqliteGround, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows that can't be read in one go are read one by one."""
    monkeypatch.setattr(pending, "FIRST", 1)
    monkeypatch.setattr(pending, "HEADS", 300)
    await fill(disk, tree(Sink), (message(number, "/t/sink") for number in range(1, 1_001)))
    disk.edit(MessageRow, 400, address=b"\xff\x00")
    disk.edit(MessageRow, 700, priority="high")
    disk.edit(MessageRow, 900, due="soon")
    async with disk.node(tree(Sink)) as system:
        await system.idle()
        assert await seen(system) == [n for n in range(1, 1_001) if n not in (400, 700, 900)]
    assert not disk.rows(MessageRow)
