"""A clock that the test moves: hours cost nothing, what others write is seen, and the node's end needs nobody."""

from __future__ import annotations

import pytest
from grounds import MemoryGround, tree

from greenroom import Actor, Client, ExitReason, Message, Request, handler
from greenroom.testing import FaultyMemoryStore, VirtualRuntime


class Put(Message):
    number: int


class Numbers(Request[list[int]]):
    pass


class Keeper(Actor[list[int]]):
    ended_s = 0.0

    def initial_state(self) -> list[int]:
        return []

    @handler
    def put(self, message: Put) -> None:
        self.state.append(message.number)

    @handler
    def numbers(self, request: Numbers) -> list[int]:
        return self.state


class Slow(Keeper):
    async def on_stop(self, reason: ExitReason) -> None:
        await self.system.kernel.runtime.sleep(3.0)
        Slow.ended_s = self.system.kernel.runtime.monotonic()


async def test_a_day_is_not_spent_on_looking_at_the_inbox(
    memory: MemoryGround, clock: VirtualRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = 0
    look = FaultyMemoryStore.inbox_changed

    def counted(store: FaultyMemoryStore) -> bool:
        nonlocal looks
        looks += 1
        return look(store)

    monkeypatch.setattr(FaultyMemoryStore, "inbox_changed", counted)
    async with memory.node(tree(Keeper), runtime=clock) as system:
        system.ref("/t/keeper").tell(Put(number=1), delay_s=80_000)
        await clock.advance(86_400)
        assert await system.ref("/t/keeper").ask(Numbers()) == [1]
    assert 1 < looks < 10_000


@pytest.mark.parametrize("how", ["advance", "run"])
async def test_what_a_client_writes_is_taken_in(memory: MemoryGround, clock: VirtualRuntime, how: str) -> None:
    async with memory.node(tree(Keeper), runtime=clock) as system:
        async with Client(memory.store(clock), runtime=clock) as client:
            await client.tell("/t/keeper", Put(number=7))
            if how == "advance":
                await clock.advance(0.001)
                assert await system.ref("/t/keeper").ask(Numbers()) == [7]
            else:
                assert await clock.run(client.ask("/t/keeper", Numbers())) == [7]


async def test_the_end_of_the_block_moves_the_clock(memory: MemoryGround, clock: VirtualRuntime) -> None:
    async with memory.node(tree(Slow), runtime=clock):
        await clock.advance(10.0)
    assert Slow.ended_s == 13.0
