"""Pools: activation by address, passivation, max_children, mail that waits."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from grounds import Ground, MemoryGround, pool, tree
from patience import patient

from greenroom import (
    Actor,
    Backoff,
    ChildSpec,
    ExitReason,
    Message,
    Request,
    StoreUnavailable,
    SupervisorSpec,
    TreeGaveUp,
    handler,
)
from greenroom.persistence.store.rows import ActorRow, MessageRow
from greenroom.testing import Recorder, VirtualRuntime

log: list[str] = []


class Add(Message):
    amount: int


class Total(Request[int]):
    pass


class Die(Message):
    pass


class Wait(Message):
    pass


class Poke(Message):
    to: str


class Book(msgspec.Struct):
    total: int = 0


class Account(Actor[Book]):
    gate: asyncio.Event
    backoff = Backoff(initial_s=0.001, factor=1.0)

    async def on_start(self) -> None:
        log.append(f"+{self.address[-1]}")

    @handler
    def add(self, message: Add) -> None:
        self.state.total += message.amount

    @handler
    def total(self, request: Total) -> int:
        return self.state.total

    @handler
    def die(self, message: Die) -> None:
        raise RuntimeError

    @handler
    async def wait(self, message: Wait) -> None:
        await Account.gate.wait()

    @handler
    def poke(self, message: Poke) -> None:
        self.system.ref(message.to).tell(Add(amount=1))


class Stopping(Account):
    """Has an `on_stop`, which takes its time."""

    async def on_stop(self, reason: ExitReason) -> None:
        log.append(f"-{self.address[-1]}")
        self.state.total += 100
        await Account.gate.wait()


@pytest.fixture(autouse=True)
def fresh() -> None:
    log.clear()
    Account.gate = asyncio.Event()
    Account.gate.set()


def accounts(actor: Any = Account, **options: Any) -> Any:
    flags = {name: options.pop(name) for name in ("max_children", "intensity", "restart") if name in options}
    template = ChildSpec(id="account", actor=actor, **options)
    return SupervisorSpec(id="pool", strategy="dynamic", template=template, **flags)


async def test_the_first_message_starts_it_and_no_other(ground: Ground) -> None:
    async with ground.node(tree(accounts())) as system:
        assert log == []
        await system.ref("/t/pool/a").tell(Add(amount=1))
        await system.ref("/t/pool/a").tell(Add(amount=1))
        assert await system.ref("/t/pool/b").ask(Total()) == 0
        await system.idle()
        assert sorted(log) == ["+a", "+b"]
        assert await system.ref("/t/pool/a").ask(Total()) == 2


async def test_a_reference_alone_starts_nothing(ground: Ground) -> None:
    async with ground.node(tree(accounts())) as system:
        system.ref("/t/pool/a")
        await system.idle()
    assert log == []
    assert not [row for row in ground.rows(ActorRow) if "pool" in row.address]


async def test_nothing_below_an_account(memory: MemoryGround) -> None:
    from greenroom import ActorNotFound

    async with memory.node(tree(accounts())) as system:
        await system.ref("/t/pool/a").tell(Add(amount=1))
        for address in ("/t/pool/a/b", "/t/pool/z/b"):
            with pytest.raises(ActorNotFound):
                system.ref(address).tell(Add(amount=1))


# -- passivation ----------------------------------------------------------------------------------------


async def test_an_idle_account_leaves_memory_and_comes_back(memory: MemoryGround, clock: VirtualRuntime) -> None:
    async with memory.node(tree(accounts(idle_timeout_s=60.0)), runtime=clock) as system:
        events = Recorder(system)
        a = system.ref("/t/pool/a")
        await a.tell(Add(amount=5))
        await clock.advance(59)
        assert "/t/pool/a" in system.kernel.cells
        await clock.advance(30)
        assert "/t/pool/a" not in system.kernel.cells
        assert events.names("actor.passivated", "actor.exited") == [("actor.passivated", "/t/pool/a")]
        await a.tell(Add(amount=2))
        assert await a.ask(Total()) == 7
        assert log == ["+a", "+a"]


async def test_one_that_is_used_stays(memory: MemoryGround, clock: VirtualRuntime) -> None:
    async with memory.node(tree(accounts(idle_timeout_s=60.0)), runtime=clock) as system:
        a = system.ref("/t/pool/a")
        for _ in range(10):
            await a.tell(Add(amount=1))
            await clock.advance(40)
        assert log == ["+a"]


async def test_one_at_work_stays(memory: MemoryGround, clock: VirtualRuntime) -> None:
    Account.gate.clear()
    spec = tree(accounts(idle_timeout_s=10.0, handler_timeout_s="infinity"))
    async with memory.node(spec, runtime=clock) as system:
        await system.ref("/t/pool/a").tell(Wait())
        await clock.advance(1000)
        assert "/t/pool/a" in system.kernel.cells
        Account.gate.set()
        await clock.advance(30)
        assert "/t/pool/a" not in system.kernel.cells


async def test_one_with_a_delayed_message_comes_back_for_it(memory: MemoryGround, clock: VirtualRuntime) -> None:
    async with memory.node(tree(accounts(idle_timeout_s=10.0)), runtime=clock) as system:
        a = system.ref("/t/pool/a")
        await a.tell(Add(amount=1))
        await a.tell(Add(amount=2), delay_s=1000.0)
        await clock.advance(1100)
        assert await a.ask(Total()) == 3


async def test_one_whose_turn_isnt_on_disk_stays(memory: MemoryGround, clock: VirtualRuntime) -> None:
    async with memory.node(tree(accounts(idle_timeout_s=10.0)), runtime=clock) as system:
        a = system.ref("/t/pool/a")
        await a.tell(Add(amount=1))
        await system.idle()
        memory.plan.hold()
        receipt = asyncio.ensure_future(_told(a, 2))
        await memory.plan.arrived()
        await clock.advance(100)
        assert "/t/pool/a" in system.kernel.cells
        memory.plan.release()
        await receipt
        await clock.advance(100)
        assert "/t/pool/a" not in system.kernel.cells
        assert await a.ask(Total()) == 3


async def _told(ref: Any, amount: int) -> None:
    await ref.tell(Add(amount=amount))


async def test_on_stop_runs_and_a_message_meanwhile_waits_for_the_next_life(
    memory: MemoryGround, clock: VirtualRuntime
) -> None:
    async with memory.node(tree(accounts(Stopping, idle_timeout_s=10.0)), runtime=clock) as system:
        a = system.ref("/t/pool/a")
        await a.tell(Add(amount=1))
        await system.idle()
        Account.gate.clear()
        await clock.advance(14)
        assert log == ["+a", "-a"]
        told = asyncio.ensure_future(_told(a, 1))
        asked = asyncio.ensure_future(a.ask(Total(), timeout_s=1000))
        await clock.settle()
        assert log == ["+a", "-a"]
        Account.gate.set()
        await told
        assert await asked == 102
        assert log == ["+a", "-a", "+a"]


async def test_on_stop_that_fails_doesnt_keep_it(memory: MemoryGround, clock: VirtualRuntime) -> None:
    async with memory.node(tree(accounts(BadStop, idle_timeout_s=10.0)), runtime=clock) as system:
        a = system.ref("/t/pool/a")
        await a.tell(Add(amount=1))
        await clock.advance(30)
        assert "/t/pool/a" not in system.kernel.cells
        assert await a.ask(Total()) == 1


class BadStop(Account):
    async def on_stop(self, reason: ExitReason) -> None:
        raise RuntimeError


async def test_tells_of_an_open_turn_reach_one_that_left_meanwhile(memory: MemoryGround, clock: VirtualRuntime) -> None:
    """The sender resolved the address when it told; it delivers much later."""
    spec = tree(accounts(idle_timeout_s=10.0), ("slow", SlowSender))
    async with memory.node(spec, runtime=clock) as system:
        await system.ref("/t/pool/a").tell(Add(amount=1))
        await system.idle()
        Account.gate.clear()
        await system.ref("/t/slow").tell(Poke(to="/t/pool/a"))
        await clock.advance(50)
        assert "/t/pool/a" not in system.kernel.cells
        Account.gate.set()
        await system.idle()
        assert await system.ref("/t/pool/a").ask(Total()) == 2


class SlowSender(Account):
    @handler
    async def poke(self, message: Poke) -> None:
        self.system.ref(message.to).tell(Add(amount=1))
        await Account.gate.wait()


async def test_tells_of_an_open_turn_to_one_that_retired_for_good(ground: Ground) -> None:
    """A static actor: nobody will ever take that message, and nobody breaks over it."""
    Account.gate.clear()
    async with ground.node(tree(("a", Retiring), ("slow", SlowSender), intensity=10)) as system:
        await system.ref("/t/slow").tell(Poke(to="/t/a"))
        await asyncio.sleep(0.01)
        await system.ref("/t/a").tell(Add(amount=0))
        await asyncio.sleep(0.02)
        assert "/t/a" not in system.kernel.cells
        Account.gate.set()
        await system.idle()
        assert await system.ref("/t/slow").ask(Total()) == 0
        assert system.kernel.gave_up is None


class Retiring(Account):
    @handler
    def add(self, message: Add) -> None:
        if not message.amount:
            self.retire()


# -- max_children ---------------------------------------------------------------------------------------


async def test_the_longest_idle_one_goes_first(memory: MemoryGround, clock: VirtualRuntime) -> None:
    async with memory.node(tree(accounts(max_children=3)), runtime=clock) as system:
        for name in "abc":
            await system.ref(f"/t/pool/{name}").tell(Add(amount=1))
            await system.idle()
            await clock.advance(1)
        await system.ref("/t/pool/a").tell(Add(amount=1))
        await system.idle()
        await clock.advance(1)
        await system.ref("/t/pool/d").tell(Add(amount=1))
        await system.idle()
        assert sorted(name[-1] for name in system.kernel.cells if "pool/" in name) == ["a", "c", "d"]
        for name, total in zip("abcd", [2, 1, 1, 1], strict=True):
            assert await system.ref(f"/t/pool/{name}").ask(Total()) == total


async def test_many_more_accounts_than_places(ground: Ground) -> None:
    async with ground.node(tree(accounts(max_children=5))) as system:
        for _ in range(3):
            for number in range(40):
                await system.ref(f"/t/pool/{number}").tell(Add(amount=1))
        await system.idle()
        assert sum("pool/" in name for name in system.kernel.cells) <= 6
        for number in range(40):
            assert await system.ref(f"/t/pool/{number}").ask(Total()) == 3
    assert len([row for row in ground.rows(ActorRow) if "pool" in row.address]) == 40


async def test_retired_accounts_take_no_place(memory: MemoryGround, clock: VirtualRuntime) -> None:
    async with memory.node(tree(accounts(Retiring, max_children=3)), runtime=clock) as system:
        await system.ref("/t/pool/keep").tell(Add(amount=1))
        for number in range(10):
            await system.ref(f"/t/pool/{number}").tell(Add(amount=0))
            await system.idle()
        assert "/t/pool/keep" in system.kernel.cells
        children = system.kernel.activator.children.of(system.kernel.cells["/t/pool"])
        assert [child.address for child in children] == ["/t/pool/keep"]


async def test_passivated_accounts_leave_nothing_behind(memory: MemoryGround, clock: VirtualRuntime) -> None:
    async with memory.node(tree(accounts(idle_timeout_s=1.0)), runtime=clock) as system:
        cells = len(system.kernel.cells)
        for number in range(50):
            await system.ref(f"/t/pool/{number}").tell(Add(amount=1))
        await clock.advance(10)
        assert len(system.kernel.cells) == cells
        assert not system.kernel.activator.children.of(system.kernel.cells["/t/pool"])


# -- restarts around a pool -----------------------------------------------------------------------------


async def test_mail_waits_while_the_pool_is_restarted(ground: Ground) -> None:
    """By a sibling's exit (one_for_all): turns are cut off uncharged, and all mail is handled afterwards."""
    spec = tree(accounts(shutdown=0.05), ("m", Account), strategy="one_for_all", intensity=10)
    async with ground.node(spec) as system:
        Account.gate.clear()
        for name in "abc":
            await system.ref(f"/t/pool/{name}").tell(Wait())
            await system.ref(f"/t/pool/{name}").tell(Add(amount=1))
        await system.ref("/t/m").tell(Die())
        await asyncio.sleep(0.2)
        Account.gate.set()
        await patient(system.idle())
        for name in "abc":
            assert await system.ref(f"/t/pool/{name}").ask(Total()) == 1


async def test_an_escalation_through_a_pool(memory: MemoryGround, clock: VirtualRuntime) -> None:
    spec = tree(accounts(intensity=1, max_attempts=1), intensity=1)
    async with memory.node(spec, runtime=clock) as system:
        await system.ref("/t/pool/a").tell(Add(amount=1))
        for _ in range(2):
            await system.ref("/t/pool/a").tell(Die())
            await system.ref("/t/pool/b").tell(Add(amount=1))
            await system.idle()
        await system.ref("/t/pool/a").tell(Add(amount=1))
        await system.idle()
        assert await system.ref("/t/pool/a").ask(Total()) == 2
        assert await system.ref("/t/pool/b").ask(Total()) == 2
        for _ in range(2):
            await system.ref("/t/pool/a").tell(Die())
            if _:
                with pytest.raises(TreeGaveUp):
                    await system.idle()
            else:
                await system.idle()


async def test_mail_of_a_pool_after_a_store_failure(ground: Ground) -> None:
    async with ground.node(tree(accounts())) as system:
        Account.gate.clear()
        for name in "ab":
            await system.ref(f"/t/pool/{name}").tell(Wait())
            await system.ref(f"/t/pool/{name}").tell(Add(amount=1))
        ground.plan.fail(StoreUnavailable("cable pulled"))
        with pytest.raises(StoreUnavailable):
            await system.ref("/t/pool/c").tell(Add(amount=1))
        Account.gate.set()
        await system.idle()
        assert not ground.rows(MessageRow)
        for name in "ab":
            assert await system.ref(f"/t/pool/{name}").ask(Total()) == 1


async def test_a_pool_of_pools_is_no_pool(memory: MemoryGround) -> None:
    """Two pools side by side don't mix their addresses."""
    async with memory.node(tree(pool(Account, id="p"), pool(Account, id="q"))) as system:
        await system.ref("/t/p/x").tell(Add(amount=1))
        await system.ref("/t/q/x").tell(Add(amount=2))
        assert await system.ref("/t/p/x").ask(Total()) == 1
        assert await system.ref("/t/q/x").ask(Total()) == 2
