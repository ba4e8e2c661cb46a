"""Callers that are cancelled, and tasks of the runtime that are cancelled by somebody's mistake."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from typing import Any

import pytest
from gated_account import Account, Add, Chain, Odd, Slow, Total, cancelled_after, open_gate
from grounds import Ground, MemoryGround, pool, tree
from patience import patience, patient

from greenroom import Actor, ChildSpec, handler
from greenroom.persistence.store.rows import ActorRow, DeadLetterRow, MessageRow
from greenroom.testing import Recorder


@pytest.fixture(autouse=True)
def fresh() -> None:
    open_gate()


# -- callers -----------------------------------------------------------------------------------------------


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
        assert system.kernel.cells["/t/front"].asking in (None, [])
        assert await system.ref("/t/front").ask(Chain()) == 2


# -- tasks of the runtime ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "how",
    [
        "cancels itself",
        "cancels itself and waits",
        "awaits a cancelled future",
        "raises cancelled",
        "uncancels",
        "generator exit",
        "memory",
    ],
)
async def test_a_handler_that_mistreats_its_task(ground: Ground, how: str) -> None:
    """Whatever becomes of its own message, the node goes on."""
    async with ground.node(tree(Account, ("other", Account), intensity=50)) as system:
        for _ in range(3):
            await system.ref("/t/account").tell(Odd(how=how))
            async with patience():
                await system.idle()
        for name in ("account", "other"):
            for _ in range(10):
                async with patience():
                    await system.ref(f"/t/{name}").tell(Add(amount=1))
                    await system.idle()
            async with patience():
                assert await system.ref(f"/t/{name}").ask(Total()) == 10
        assert system.kernel.gave_up is None


@pytest.mark.parametrize("how", ["keyboard", "keyboard, later"])
def test_ctrl_c_inside_a_handler(ground: Ground, how: str) -> None:
    """It ends the program, whether the handler had waited before or not; and nothing is lost."""

    async def main() -> None:
        async with ground.node(tree(Account)) as system:
            await system.ref("/t/account").tell(Add(amount=1))
            await system.ref("/t/account").tell(Odd(how=how))
            await asyncio.Event().wait()

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(patient(main()))
    waiting = [row.type for row in ground.rows(MessageRow)]
    handled = [row.state for row in ground.rows(ActorRow) if row.address == "/t/account"]
    assert ("Add" in waiting) != (handled == ['{"total":1}'])
    assert ground.rows(DeadLetterRow) == []


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
                async with patience():
                    await system.ref("/t/other").tell(Add(amount=1))
                    await system.idle()
        assert system.kernel.gave_up is None
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

        leave = system.kernel.events.subscribe(on_event)
        await system.ref("/t/account").tell(Odd(how="raises cancelled"))
        await system.ref("/t/pool/x").ask(Chain())
        await system.idle()
        leave()
        assert await system.ref("/t/other").ask(Total()) >= 3
