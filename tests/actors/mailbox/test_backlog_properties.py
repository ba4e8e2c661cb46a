"""Backlogs against models: the mailbox alone, and whole lives that end while the rest is still being found."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from random import Random
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from grounds import Ground, MemoryGround, pool, tree
from hypothesis import given, settings
from hypothesis import strategies as st

from greenroom import Actor, Message, Request, handler
from greenroom.actors.mailbox.backlog import Backlog
from greenroom.actors.mailbox.delayed_rows import DelayedRows
from greenroom.actors.mailbox.envelope import Envelope
from greenroom.actors.mailbox.mailbox import PriorityRow, priority_of
from greenroom.actors.recovery import scan as pending
from greenroom.persistence.store.rows import MessageRow

PRIORITIES = st.sampled_from([0, 0, 0, 5, -5])
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("found"), st.integers(1, 20), PRIORITIES),
        st.tuples(st.just("told"), st.just(1), PRIORITIES),
        st.tuples(st.just("pop"), st.integers(1, 12), st.just(0)),
        st.tuples(st.just("back"), st.just(1), st.just(0)),
        st.tuples(st.just("page"), st.integers(1, 8), st.just(0)),
        st.tuples(st.just("take"), st.integers(0, 40), st.just(0)),
    ),
    max_size=60,
)


def envelope(row_id: int, priority: int) -> Envelope:
    made = Envelope("/t/x", f"{row_id:032x}", None, "Item", b"{}")
    made.id, made.priority = row_id, priority
    return made


def id_of(entry: Any) -> int:
    return int(entry) if isinstance(entry, int) else entry.id


class Model:
    """Lists, by priority."""

    def __init__(self) -> None:
        self.found: dict[int, list[int]] = {}
        self.told: dict[int, list[int]] = {}
        self.scanning = True

    def lanes(self) -> dict[int, list[int]]:
        """The entries that may go, in order."""
        lanes = {priority: list(ids) for priority, ids in self.found.items()}
        if not self.scanning:
            for priority, ids in self.told.items():
                lanes[priority] = lanes.get(priority, []) + ids
        return {priority: ids for priority, ids in lanes.items() if ids}

    def next(self) -> int | None:
        lanes = self.lanes()
        return lanes[max(lanes)][0] if lanes else None

    def remove(self, row_id: int) -> bool:
        for side in (self.found, self.told):
            for ids in side.values():
                if row_id in ids:
                    ids.remove(row_id)
                    return True
        return False

    @property
    def count(self) -> int:
        return sum(len(ids) for side in (self.found, self.told) for ids in side.values())


@pytest.mark.slow
@settings(max_examples=500, deadline=None)
@given(scanned=STEPS, after=STEPS)
def test_a_mailbox_against_lists(scanned: list[Any], after: list[Any]) -> None:
    scan: Any = SimpleNamespace(scanning=True)
    cell: Any = SimpleNamespace()
    backlog = cell.mailbox = Backlog(scan, lambda: None)
    model = Model()
    ids = iter(range(1, 10_000))
    late = iter(range(10_001, 20_000))
    for step in [*scanned, None, *after]:
        if step is None:
            scan.scanning = model.scanning = False
            cell.mailbox = cell.mailbox.settle()
            continue
        _step(cell, model, step, ids, late)
        mailbox = cell.mailbox
        assert mailbox.count == model.count
        assert sorted(map(id_of, mailbox.entries())) == sorted(
            row_id for side in (model.found, model.told) for lane in side.values() for row_id in lane
        )
        if isinstance(mailbox, Backlog):
            assert mailbox.blocked == (model.next() is None)
            if mailbox.queue and mailbox.lanes is None:  # what the short ways rely on
                assert id_of(mailbox.queue[0]) == model.next()
    while (expected := model.next()) is not None:
        assert id_of(cell.mailbox.pop()) == expected
        model.remove(expected)
    assert cell.mailbox.count == 0
    assert isinstance(backlog, Backlog)


def _step(cell: Any, model: Model, step: Any, ids: Any, late: Any) -> None:
    what, number, priority = step
    mailbox = cell.mailbox
    if what == "found" and model.scanning:
        rows = [next(ids) for _ in range(number)]
        mailbox.add_rows(rows, priority)
        model.found.setdefault(priority, []).extend(rows)
    elif what == "told":
        row_id = next(late)
        mailbox.push(envelope(row_id, priority), priority)
        model.told.setdefault(priority, []).append(row_id)
    elif what == "pop":
        for _ in range(number):
            expected = model.next()
            if expected is None:
                return
            assert id_of(mailbox.pop()) == expected
            model.remove(expected)
    elif what == "back" and (expected := model.next()) is not None:
        entry = mailbox.pop()
        mailbox.push_front(entry)  # as the handling does before it reads the body
    elif what == "page":
        rows = mailbox.leading_rows(number)
        if rows:
            assert rows[0] == model.next()
            priority = next(p for p, lane in model.lanes().items() if rows[0] in lane)
            kept = {row_id: envelope(row_id, priority) for row_id in rows if row_id % 7}
            cell.mailbox = mailbox.page_in(rows, kept)
            for row_id in rows:
                if row_id not in kept:
                    model.remove(row_id)
    elif what == "take":
        taken = mailbox.take(f"{number:032x}", number)
        assert (taken is not None) == model.remove(number)


def test_a_priority_stays_with_a_row_that_is_put_back() -> None:
    scan: Any = SimpleNamespace(scanning=True)
    backlog = Backlog(scan, lambda: None)
    backlog.add_rows([1, 2], 5)
    entry = backlog.pop()
    assert isinstance(entry, PriorityRow)
    assert priority_of(entry) == 5
    backlog.push_front(entry)
    assert backlog.leading_rows(10) == [1, 2]


# -- whole lives ------------------------------------------------------------------------------------------


class Item(Message):
    number: int
    priority: int = 0


class Relay(Message):
    number: int
    priority: int = 0


class Items(Request[list[list[int]]]):
    pass


class Seen(msgspec.Struct):
    items: list[list[int]] = []


class Sink(Actor[Seen]):
    capacity = 100_000
    open: asyncio.Event
    """While it isn't set, backlogs grow."""

    @handler
    async def item(self, message: Item) -> None:
        await Sink.open.wait()
        self.state.items.append([message.number, message.priority])

    @handler
    async def relay(self, message: Relay) -> None:
        """To the next, in a turn that may be cut off."""
        await Sink.open.wait()
        if message.number % 3 == 0:
            await asyncio.sleep(0)
        self.system.ref("/t/last").tell(Item(number=message.number), priority=message.priority)

    @handler
    def items(self, request: Items) -> list[list[int]]:
        return self.state.items


SPEC = tree(pool(Sink), ("last", Sink))
ADDRESSES = ["/t/pool/a", "/t/pool/b", "/t/last"]


@pytest.mark.parametrize("seed", range(12))
async def test_lives_that_end_in_the_middle(seed: int, monkeypatch: pytest.MonkeyPatch, tally: Any) -> None:
    """Told are numbers in rising order, to each actor within a priority; kills come at any moment of the scan."""
    await _lives(Random(seed), monkeypatch, 8, tally)


@pytest.mark.torture
@pytest.mark.timeout(900)
async def test_many_lives_that_end_in_the_middle(monkeypatch: pytest.MonkeyPatch, tally: Any) -> None:
    for seed in range(1_000, 1_300):
        await _lives(Random(seed), monkeypatch, 15, tally)


async def _lives(random: Random, monkeypatch: pytest.MonkeyPatch, lives: int, tally: Callable[[str, int], Any]) -> None:
    monkeypatch.setattr(pending, "FIRST", random.choice((1, 20, 100)))
    monkeypatch.setattr(pending, "HEADS", random.choice((3, 17, 50)))
    ground: Ground = MemoryGround()
    told: dict[str, dict[int, list[int]]] = {address: {} for address in ADDRESSES}
    relayed: dict[int, list[int]] = {}
    number = 0
    for _life in range(lives):
        Sink.open = asyncio.Event()
        Sink.open.set()
        async with ground.node(SPEC) as system:
            # A message that waited through very many lives would be charged for their ends.
            if random.random() < 0.4 and system.kernel.caution is None:
                Sink.open.clear()
            for _ in range(random.randrange(150)):
                number += 1
                address, priority = random.choice(ADDRESSES), random.choice((0, 0, 0, 5, -5))
                if random.random() < 0.2:
                    relay = Relay(number=number, priority=priority)
                    receipt = system.ref("/t/pool/a").tell(relay)
                    relayed.setdefault(priority, []).append(number)
                else:
                    receipt = system.ref(address).tell(Item(number=number, priority=priority), priority=priority)
                    told[address].setdefault(priority, []).append(number)
                for _ in range(random.choice((0, 0, 0, 1, 5))):
                    await asyncio.sleep(0)
            if number:
                await receipt
            for _ in range(random.randrange(60)):
                await asyncio.sleep(0)
            image = ground.image()
            Sink.open.set()
        ground = image
        tally("kills", 1)
    Sink.open.set()
    async with ground.node(SPEC) as system:
        await system.idle()
        lost = doubled = 0
        for address in ADDRESSES:
            items = await system.ref(address).ask(Items())
            for priority in (0, 5, -5):
                mine = [number for number, of in items if of == priority]
                expected = told[address].get(priority, [])
                if address == "/t/last":
                    through = [n for n, of in items if n in _all(relayed)]
                    doubled += len(through) - len(set(through))
                    if priority == 0:
                        lost += len(_all(relayed) - set(through))
                    mine = [n for n in mine if n not in _all(relayed)]
                lost += len(set(expected) - set(mine))
                doubled += len(mine) - len(set(mine))
                assert mine == expected, f"{address}, priority {priority}"
        tally("messages lost", lost)
        tally("messages doubled", doubled)
        assert (lost, doubled) == (0, 0)
    assert not ground.rows(MessageRow)


def _all(relayed: dict[int, list[int]]) -> set[int]:
    return {number for numbers in relayed.values() for number in numbers}


# -- what waits for a moment ------------------------------------------------------------------------------


DUE_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.lists(st.tuples(st.integers(0, 50), st.sampled_from("abc")), max_size=12)),
        st.tuples(st.just("pop"), st.integers(1, 10)),
        st.tuples(st.just("drop"), st.sampled_from("abc")),
        st.tuples(st.just("drop some"), st.sampled_from("abc")),
    ),
    max_size=30,
)


@settings(max_examples=200, deadline=None)
@given(steps=DUE_STEPS)
def test_due_rows_against_a_list(steps: list[Any]) -> None:
    rows, model, number = DelayedRows(), list[tuple[float, int, str]](), 0
    for what, argument in steps:
        if what == "add":
            portion = [(float(due), number + place, address) for place, (due, address) in enumerate(argument, 1)]
            number += len(portion)
            rows.add(portion)
            model += portion
        elif what == "pop":
            for _ in range(min(argument, len(model))):
                due = rows.next_due()
                address, row_id = rows.pop()
                assert due == min(model)[0]
                model.remove((due, row_id, address))
        else:
            ids = None if what == "drop" else {row_id for _, row_id, _ in model if row_id % 2}
            rows.drop(argument, ids)
            model = [row for row in model if row[2] != argument or not (ids is None or row[1] in ids)]
        assert sorted(rows.ids()) == sorted(row_id for _, row_id, _ in model)
        for address in "abc":
            mine = sorted(row_id for _, row_id, to in model if to == address)
            assert sorted(rows.ids_of(address)) == mine
            assert rows.has(address) == bool(mine)
    assert rows.next_due() == (min(model)[0] if model else None)
