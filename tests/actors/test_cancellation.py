"""Callers that are cancelled, and tasks of the runtime that are cancelled by somebody's mistake."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from typing import Any

import msgspec
import pytest
from grounds import Ground, MemoryGround, pool, tree

from understudy import Actor, Backoff, ChildSpec, ExitReason, Message, Request, StartFailed, handler
from understudy.actors.testing import Recorder
from understudy.persistence.record import MessageRow


class Add(Message):
    amount: int


class Total(Request[int]):
    pass


class Slow(Request[int]):
    pass


class Chain(Request[int]):
    pass


class Odd(Message):
    how: str


class Book(msgspec.Struct):
    total: int = 0


class Account(Actor[Book]):
    gate: asyncio.Event
    kept: asyncio.Task[Any]
    backoff = Backoff(initial_s=0.001, factor=1.0)
    max_attempts = 2

    @handler
    def add(self, message: Add) -> None:
        self.state.total += message.amount

    @handler
    def total(self, request: Total) -> int:
        return self.state.total

    @handler
    async def slow(self, request: Slow) -> int:
        await Account.gate.wait()
        self.state.total += 1
        return self.state.total

    @handler
    async def chain(self, request: Chain) -> int:
        return await self.system.ref("/t/account").ask(Slow())

    @handler
    async def odd(self, message: Odd) -> None:
        task = asyncio.current_task()
        assert task is not None
        match message.how:
            case "cancels itself":
                task.cancel()
            case "cancels itself and waits":
                task.cancel()
                await asyncio.sleep(0)
            case "keeps its task":
                Account.kept = task
            case "awaits a cancelled future":
                future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                future.cancel()
                await future
            case "raises cancelled":
                raise asyncio.CancelledError
            case "uncancels":
                task.uncancel()
            case "generator exit":
                raise GeneratorExit
            case "keyboard":
                raise MemoryError


@pytest.fixture(autouse=True)
def fresh() -> None:
    Account.gate = asyncio.Event()
    Account.gate.set()


async def cancelled_after(rounds: int, coroutine: Any) -> bool:
    """Run it, cancel it after so many rounds of the loop; whether it was still running."""
    task = asyncio.ensure_future(coroutine)
    for _ in range(rounds):
        await asyncio.sleep(0)
    alive = not task.done()
    task.cancel()
    await asyncio.wait([task])
    if not task.cancelled():
        task.exception()
    return alive


# -- callers --------------------------------------------------------------------------------------------


async def tell_and_wait(ref: Any, **options: Any) -> None:
    await ref.tell(Add(amount=1), **options)


@pytest.mark.parametrize("options", [{}, {"key": "k"}], ids=["plain", "keyed"])
async def test_a_tell_cancelled_at_every_await(ground: Ground, options: dict[str, Any]) -> None:
    """It took effect when it was called, whatever becomes of who waits for the receipt."""
    async with ground.node(tree(Account)) as system:
        account = system.ref("/t/account")
        count = 0
        for rounds in range(12):
            options = {"key": f"k{rounds}"} if options else {}
            await cancelled_after(rounds, tell_and_wait(account, **options))
            count += rounds > 0
            await system.idle()
            assert await account.ask(Total()) == count, f"cancelled after {rounds} rounds"
        if options:
            await account.tell(Add(amount=1), key="k1")
            await system.idle()
            assert await account.ask(Total()) == count, "the key was used"


async def test_a_tell_cancelled_while_its_commit_is_on_its_way(ground: Ground) -> None:
    async with ground.node(tree(Account)) as system:
        account = system.ref("/t/account")
        await account.tell(Add(amount=1))
        ground.plan.hold()
        told = asyncio.ensure_future(tell_and_wait(account))
        await ground.plan.arrived()
        told.cancel()
        await asyncio.wait([told])
        ground.plan.release()
        await account.tell(Add(amount=1))
        await system.idle()
        assert await account.ask(Total()) == 3


async def test_an_ask_cancelled_at_every_await(ground: Ground) -> None:
    """Handled whole or not at all; the actor goes on."""
    async with ground.node(tree(Account)) as system:
        account = system.ref("/t/account")
        before = 0
        for rounds in range(15):
            Account.gate.clear()
            task = asyncio.ensure_future(account.ask(Slow()))
            for _ in range(rounds):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
            Account.gate.set()
            await system.idle()
            now = await account.ask(Total())
            assert now in (before, before + 1)
            before = now
        assert before > 3, "those that had begun were finished"


async def test_an_ask_between_actors_is_cancelled_with_its_handler(memory: MemoryGround) -> None:
    front = ChildSpec(id="front", actor=Account, handler_timeout_s=0.05, max_attempts=1)
    spec = tree(Account, front)
    async with memory.node(spec) as system:
        Account.gate.clear()
        with pytest.raises(Exception, match="HandlerTimeout"):
            await system.ref("/t/front").ask(Chain())
        Account.gate.set()
        await system.idle()
        assert system.cells["/t/front"].asking in (None, [])
        assert await system.ref("/t/front").ask(Chain()) == 2


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


class SlowStart(Account):
    async def on_start(self) -> None:
        for _ in range(3):
            await asyncio.sleep(0)
        await Account.gate.wait()

    async def on_stop(self, reason: ExitReason) -> None:
        for _ in range(3):
            await asyncio.sleep(0)


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
    while not any(system.closing for system in ground.systems):
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


# -- tasks of the runtime -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "how",
    [
        "cancels itself",
        "cancels itself and waits",
        "awaits a cancelled future",
        "raises cancelled",
        "uncancels",
        "generator exit",
        "keyboard",
    ],
)
async def test_a_handler_that_mistreats_its_task(ground: Ground, how: str) -> None:
    """Whatever becomes of its own message, the node goes on."""
    async with ground.node(tree(Account, ("other", Account), intensity=50)) as system:
        for _ in range(3):
            await system.ref("/t/account").tell(Odd(how=how))
            async with asyncio.timeout(5):
                await system.idle()
        for name in ("account", "other"):
            for _ in range(10):
                async with asyncio.timeout(5):
                    await system.ref(f"/t/{name}").tell(Add(amount=1))
                    await system.idle()
            async with asyncio.timeout(5):
                assert await system.ref(f"/t/{name}").ask(Total()) == 10
        assert system.gave_up is None


async def test_a_task_kept_from_a_handler_and_cancelled_later(ground: Ground) -> None:
    """It is a runner by then, parked or inside somebody else's handler: the node goes on, nothing is lost."""
    async with ground.node(tree(Account, ("other", Account), intensity=50)) as system:
        events = Recorder(system)
        for parked in (True, False):
            await system.ref("/t/account").tell(Odd(how="keeps its task"))
            await system.idle()
            Account.gate.clear()
            ask = None
            if not parked:
                ask = asyncio.ensure_future(system.ref("/t/other").ask(Slow()))
                await asyncio.sleep(0.01)
            Account.kept.cancel()
            await asyncio.sleep(0.01)
            Account.gate.set()
            if ask is not None:
                await asyncio.wait([ask])
                ask.exception()  # it may have been hit: a runner can't tell whose cancellation that was
            for _ in range(5):
                async with asyncio.timeout(5):
                    await system.ref("/t/other").tell(Add(amount=1))
                    await system.idle()
        assert system.gave_up is None
        assert await system.ref("/t/account").ask(Total()) == 0
        assert not events.of("message.parked")
    assert not ground.rows(MessageRow)


async def test_context_variables_stay_with_their_actor(memory: MemoryGround) -> None:
    async with memory.node(tree(("a", Contextual), ("b", Contextual))) as system:
        for _ in range(3):
            assert await system.ref("/t/a").ask(Total()) == _ + 1
        assert await system.ref("/t/b").ask(Total()) == 1


class Contextual(Actor[None]):
    @handler
    async def total(self, request: Total) -> int:
        count.set(count.get() + 1)
        await asyncio.sleep(0)
        return count.get()


count: ContextVar[int] = ContextVar("count", default=0)


async def test_a_subscriber_that_tells(memory: MemoryGround) -> None:
    """Events are published outside of every turn, also those that a handler's turn brings about."""
    async with memory.node(tree(Account, ("other", Account), pool(Account), intensity=50)) as system:

        def on_event(event: Any) -> None:
            if event.name in ("message.parked", "actor.exited", "actor.started"):
                system.ref("/t/other").tell(Add(amount=1))

        leave = system.events.subscribe(on_event)
        await system.ref("/t/account").tell(Odd(how="raises cancelled"))
        await system.ref("/t/pool/x").ask(Chain())
        await system.idle()
        leave()
        assert await system.ref("/t/other").ask(Total()) >= 3


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
