"""Callers that are cancelled at each of their awaits: no lock, no lost or doubled message, nothing left behind."""

from __future__ import annotations

import asyncio
import itertools

import pytest
from cut_bench import OPERATIONS, Bench, Clerk, Do, Worker, stored, the_tree, unlocked
from grounds import Ground
from suspensions import WAYS, Watch, cut
from tallies import Tally

from greenroom import CountChildren
from greenroom.persistence.store.rows import DeadLetterRow, MessageRow
from greenroom.testing import Recorder


@pytest.fixture(autouse=True)
def fresh() -> None:
    Clerk.gate = asyncio.Event()
    Clerk.gate.set()
    Worker.struck = set()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("what", OPERATIONS)
async def test_a_caller(ground: Ground, what: str, way: str, tally: Tally) -> None:
    """A message that was told is handled once, whenever its teller was cancelled; a request once, or never."""
    watch = Watch()
    address, operation = OPERATIONS[what]
    told = 0
    async with ground.node(the_tree()) as system:
        bench = Bench(ground, system)
        for at in itertools.count(1):
            struck = await cut(way, at, operation(bench, at))
            Clerk.gate.set()
            await asyncio.sleep(0.005 if what == "delayed" else 0)
            await bench.well()
            told = at
            if address:
                count = (await bench.numbers(address))[at]
                least = 0 if struck and ("ask" in what or "in line" in what) else 1
                assert least <= count <= 1, f"cancelled at its suspension {at}: handled {count} times"
            if not struck:
                break
        tally("cancellations", told - 1)
        assert told > 1, "it never waits"
        seen = await bench.numbers(address) if address else {}
        left = (await system.ref("/t/group").ask(CountChildren())).specs
    unlocked(ground)
    async with ground.node(the_tree()) as system:
        await system.idle()
        if address:
            assert await Bench(ground, system).numbers(address) == seen
        assert (await system.ref("/t/group").ask(CountChildren())).specs == left
    assert ground.rows(MessageRow) == ground.rows(DeadLetterRow) == []
    await watch.nothing_left()


@pytest.mark.parametrize("how", ["charged", "uncharged", "scope", "timeout"])
@pytest.mark.parametrize("what", ["ask", "settled", "sql", "task"])
async def test_a_handler(ground: Ground, what: str, how: str, tally: Tally) -> None:
    """It leaves no trace, and no lock; its message comes again, and is handled once. Or it goes on, and commits."""
    watch = Watch()
    async with ground.node(the_tree()) as system:
        bench = Bench(ground, system)
        for at in itertools.count(1):
            assert at < 100
            await system.ref("/t/worker").tell(Do(number=at, what=what, at=at, how=how))
            await bench.well()
            if at not in Worker.struck:
                break
        assert at > 1, "it never waits"
        tally("cancellations", at - 1)
        once = dict.fromkeys(range(1, at + 1), 1)
        assert dict(await bench.numbers("/t/worker")) == once
        assert await bench.numbers("/t/clerk") == {-number: 1 for number in once}
    unlocked(ground)
    assert dict(stored(ground, "/t/worker")) == once
    assert ground.rows(MessageRow) == ground.rows(DeadLetterRow) == []
    await watch.nothing_left()


async def test_a_statement_that_is_cancelled_fails_its_turn_alone(ground: Ground, tally: Tally) -> None:
    """The transaction is lost with it: what was written can't be half of what was meant. The store has not failed."""
    async with ground.node(the_tree()) as system:
        events = Recorder(system)
        bench = Bench(ground, system)
        for at in itertools.count(1):
            await system.ref("/t/worker").tell(Do(number=at, what="sql_within", at=at, how=""))
            await bench.well()
            if at not in Worker.struck:
                break
        assert at > 1
        tally("cancellations", at - 1)
        assert not events.of("node.broken")
        assert dict(await bench.numbers("/t/worker")) == dict.fromkeys(range(1, at + 1), 1)
    unlocked(ground)
