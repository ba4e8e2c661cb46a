"""A node, or a client, whose caller is cancelled at each of its awaits: as it starts, recovers, works and stops."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

import pytest
from cut_bench import Clerk, Hold, Numbers, Put, Worker, stored, the_tree, unlocked
from grounds import Ground, SqliteGround
from patience import patient
from suspensions import WAYS, Watch, cut
from tallies import Tally

from greenroom import ActorSystem, Client, SystemStopped
from greenroom.persistence.store.rows import DeadLetterRow, InboxRow, MessageRow, ReplyRow


@pytest.fixture(autouse=True)
def fresh() -> None:
    Clerk.gate = asyncio.Event()
    Clerk.gate.set()
    Worker.struck = set()


@asynccontextmanager
async def crashed(ground: Ground) -> AsyncIterator[None]:
    """While it is open, an image of the ground shows mail, a suspect, a delay, and what a client has told."""
    Clerk.gate.clear()
    async with ground.node(the_tree()) as system:
        for number in range(1001, 1004):
            await system.ref("/t/clerk").tell(Put(number=number))
        await system.idle()
        for address in ("/t/clerk", "/t/pool/x"):
            await system.ref(address).tell(Hold())
            for number in range(1004, 1007):
                await system.ref(address).tell(Put(number=number))
        await system.ref("/t/clerk").tell(Put(number=1007), delay_s=0.01)
        yield
        Clerk.gate.set()
        await system.idle()


async def live(ground: Ground, number: int) -> None:
    async with ground.node(the_tree(), hang_s=60.0) as system:
        await system.ref("/t/clerk").tell(Put(number=number))
        await system.ref("/t/pool/x").tell(Put(number=number), key=f"k{number}")


async def lives_cut(ground: Ground, way: str, ats: Iterable[int], tally: Tally) -> None:
    """Nothing is lost, doubled or left over, and the next start finds everything in order."""
    watch = Watch()
    images: dict[int, Ground] = {}
    async with crashed(ground):
        images = {at: ground.image() for at in ats}
    await watch.nothing_left()
    struck = {}
    for at, image in images.items():
        struck[at] = await cut(way, at, live(image, at), deep=True)
        unlocked(image)
        await watch.nothing_left()
        async with image.node(the_tree()) as system:
            await asyncio.sleep(0.01)  # the delayed one
            await system.idle()
        unlocked(image)
        assert image.rows(MessageRow) == image.rows(DeadLetterRow) == []
        for address, before in (("/t/clerk", range(1001, 1008)), ("/t/pool/x", range(1004, 1007))):
            found = stored(image, address)
            assert {number: found[number] for number in before} == dict.fromkeys(before, 1), f"cut at {at}"
            assert set(found) - set(before) <= {at}, f"cut at {at}"
            assert found[at] <= 1, f"cut at {at}"
    tally("cancellations", sum(struck.values()))
    assert struck[min(struck)], "it never waits"
    assert not struck[max(struck)], "it waits more often than that"


@pytest.mark.parametrize("way", WAYS)
async def test_a_life(ground: Ground, way: str, tally: Tally) -> None:
    await lives_cut(ground, way, [*range(1 + list(WAYS).index(way), 60, 12), 400], tally)


@pytest.mark.torture
@pytest.mark.timeout(600)
@pytest.mark.parametrize("way", WAYS)
async def test_a_life_at_every_await(ground: Ground, way: str, tally: Tally) -> None:
    await lives_cut(ground, way, [*range(1, 120), 400], tally)


@pytest.mark.parametrize("way", WAYS)
async def test_a_stop(ground: Ground, way: str, tally: Tally) -> None:
    """It is carried through, whatever becomes of who asked for it."""
    watch = Watch()
    for at in itertools.count(1):
        async with ground.node(the_tree()) as system:
            system.ref("/t/clerk").tell(Put(number=at))
            struck = await cut(way, at, system.stop())
        unlocked(ground)
        assert stored(ground, "/t/clerk")[at] == 1
        await watch.nothing_left()
        if not struck:
            break
    tally("cancellations", at - 1)
    assert at > 1


async def test_a_stop_that_the_event_loop_ends(ground: Ground) -> None:
    """As a second Ctrl-C does: it cancels every task. Nothing goes on over a store that is closed."""
    watch, before = Watch(), asyncio.all_tasks()
    left = asyncio.Event()

    async def live() -> None:
        async with ground.node(the_tree(), hang_s=60.0) as system:
            for number in range(100):
                system.ref("/t/clerk").tell(Put(number=number))
            left.set()

    task = asyncio.ensure_future(live())
    await left.wait()
    others = asyncio.all_tasks() - before
    for other in others:
        other.cancel()
    await patient(asyncio.wait(others))
    (system,) = ground.systems
    with pytest.raises(SystemStopped):
        system.ref("/t/clerk").tell(Put(number=1))
    assert task.done()
    await asyncio.sleep(0.05)
    await watch.nothing_left()
    unlocked(ground)
    async with ground.node(the_tree()) as again:
        await again.idle()
    assert max(stored(ground, "/t/clerk").values(), default=1) == 1


# -- a client --------------------------------------------------------------------------------------------------


async def speak(ground: SqliteGround, number: int, *, asks: bool) -> None:
    async with Client(ground.url) as client:
        await client.tell("/t/clerk", Put(number=number))
        await client.tell("/t/pool/x", Put(number=number), key=f"k{number}")
        await asyncio.gather(*(client.tell("/t/other", Put(number=number)) for _ in range(3)))
        if asks:
            assert number in await client.ask("/t/clerk", Numbers())


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("node", ["runs", "is away"])
async def test_a_client(disk: SqliteGround, way: str, node: str, tally: Tally) -> None:
    watch = Watch()
    async with disk.node(the_tree()):
        pass
    told = 0

    async def cut_at_each(system: ActorSystem | None = None) -> None:
        nonlocal told
        for told in itertools.count(1):
            before = Watch()
            struck = await cut(way, told, speak(disk, told, asks=node == "runs"))
            if system is not None:
                await before.nothing_left(threads=False, names=("greenroom letterbox", "greenroom replies"))
                await system.idle()
            else:
                await before.nothing_left()
            unlocked(disk)
            if not struck:
                return

    if node == "runs":
        async with disk.node(the_tree()) as system:
            await cut_at_each(system)
            await system.idle()
    else:
        await cut_at_each()
        async with disk.node(the_tree()) as system:
            await system.idle()
    tally("cancellations", told - 1)
    assert told > 5, "it hardly waits"
    for address in ("/t/clerk", "/t/pool/x"):
        found = stored(disk, address)
        assert set(found.values()) == {1}
        assert found[told] == 1
    assert max(stored(disk, "/t/other").values()) == 3
    assert disk.rows(MessageRow) == disk.rows(InboxRow) == disk.rows(DeadLetterRow) == []
    assert len(disk.rows(ReplyRow)) <= told
    await watch.nothing_left()
