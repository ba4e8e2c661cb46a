"""A node that is cancelled as it starts, runs and stops."""

from __future__ import annotations

import asyncio

import pytest
from gated_account import Account, Add, Slow, SlowStart, Total, cancelled_after, open_gate
from grounds import Ground, pool, tree

from greenroom import StartFailed


@pytest.fixture(autouse=True)
def fresh() -> None:
    open_gate()


async def test_a_start_cancelled_at_every_await(ground: Ground) -> None:
    """Nothing is left over: no task, no lock; the next start finds everything in order."""
    for rounds in [*range(12), 20, 40, 80]:
        Account.gate.set()
        tasks = asyncio.all_tasks()

        async def run() -> None:
            async with ground.node(tree(("slow", SlowStart), Account, pool(Account))) as system:
                await system.ref("/t/account").tell(Add(amount=0))
                await asyncio.Event().wait()

        await cancelled_after(rounds, run())
        assert asyncio.all_tasks() - tasks == set(), f"after {rounds} rounds"
        async with ground.node(tree(("slow", SlowStart), Account)) as system:
            assert await system.ref("/t/account").ask(Total()) == 0


async def test_a_start_cancelled_while_on_start_waits(ground: Ground) -> None:
    Account.gate.clear()
    tasks = asyncio.all_tasks()

    async def run() -> None:
        async with ground.node(tree(Account, ("slow", SlowStart))):
            pytest.fail("it started")

    assert await cancelled_after(200, run())
    assert asyncio.all_tasks() - tasks == set()
    Account.gate.set()
    async with ground.node(tree(Account, ("slow", SlowStart))) as system:
        assert await system.ref("/t/account").ask(Total()) == 0


async def test_a_start_under_a_time_limit(ground: Ground) -> None:
    Account.gate.clear()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            async with ground.node(tree(Account, ("slow", SlowStart))):
                pytest.fail("it started")
    Account.gate.set()
    async with ground.node(tree(Account)):
        pass


async def test_start_fails_and_is_cancelled_at_once(ground: Ground) -> None:
    async def run() -> None:
        async with ground.node(tree(Account, ("slow", SlowStart), ("bad", BadStart))):
            pytest.fail("it started")

    tasks = asyncio.all_tasks()
    for rounds in range(0, 30, 3):
        task = asyncio.ensure_future(run())
        for _ in range(rounds):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled() or isinstance(task.exception(), StartFailed)
        assert asyncio.all_tasks() - tasks == set()


class BadStart(Account):
    async def on_start(self) -> None:
        raise RuntimeError


async def test_the_block_is_cancelled(ground: Ground) -> None:
    """The stop is carried through: children end in order, everything is committed."""

    told = asyncio.Event()

    async def run() -> None:
        async with ground.node(tree(Account, ("slow", SlowStart))) as system:
            for _ in range(20):
                system.ref("/t/account").tell(Add(amount=1))
            told.set()
            await asyncio.Event().wait()

    task = asyncio.ensure_future(run())
    await told.wait()
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    async with ground.node(tree(Account)) as system:
        await system.idle()
        assert await system.ref("/t/account").ask(Total()) == 20


async def test_the_block_is_cancelled_while_it_ends(ground: Ground) -> None:
    """A second cancellation, of the stop itself: it is carried through all the same, the store closes after it."""
    for rounds in range(15):
        ground.systems.clear()
        tasks = asyncio.all_tasks()

        async def run() -> None:
            async with ground.node(tree(Account, ("slow", SlowStart))) as system:
                system.ref("/t/account").tell(Add(amount=1))

        task = asyncio.ensure_future(run())
        closing = asyncio.ensure_future(_closing(ground))
        await asyncio.wait([task, closing], return_when=asyncio.FIRST_COMPLETED)
        for _ in range(rounds):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task, closing])
        if not task.cancelled():
            task.exception()
        assert asyncio.all_tasks() - tasks == set(), f"after {rounds} rounds"
        async with ground.node(tree(Account)) as system:
            await system.idle()
            assert await system.ref("/t/account").ask(Total()) == rounds + 1


async def _closing(ground: Ground) -> None:
    """Until the node's system begins to stop."""
    while not any(system.kernel.closing for system in ground.systems):
        await asyncio.sleep(0)
    ground.systems.clear()


async def test_a_stop_cancelled_at_every_await(ground: Ground) -> None:
    for rounds in range(15):
        async with ground.node(tree(Account, ("slow", SlowStart))) as system:
            await system.ref("/t/account").tell(Add(amount=1))
            await cancelled_after(rounds, system.stop())
        async with ground.node(tree(Account)) as system:
            await system.idle()
            assert await system.ref("/t/account").ask(Total()) == rounds + 1


async def test_idle_is_cancelled(ground: Ground) -> None:
    async with ground.node(tree(Account)) as system:
        Account.gate.clear()
        ask = asyncio.ensure_future(system.ref("/t/account").ask(Slow()))
        for rounds in range(10):
            assert await cancelled_after(rounds, system.idle())
        Account.gate.set()
        await ask
        await system.idle()
