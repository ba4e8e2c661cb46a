"""The database refuses what somebody wrote: that one is charged for it, and nobody else."""

from __future__ import annotations

import asyncio
from typing import Any

from bookkeeping import (
    FAST,
    Clerk,
    Entries,
    Ledger,
    Memory,
    Order,
    told,
)
from grounds import MemoryGround, tree

from understudy import (
    Actor,
    StoreError,
    handler,
)
from understudy.actors.testing import Recorder
from understudy.persistence.errors import StoreDataError
from understudy.persistence.record import ActorRow, DeadLetterRow


class Poisoned(Actor[Memory]):
    """Its state becomes too big for the store when it is told so."""

    backoff = FAST
    max_attempts = 3

    @handler
    def order(self, message: Order) -> None:
        self.state.numbers.append(message.number)
        if message.number == 666:
            self.system.ref("/t/clerk").tell(Order(number=666))

    @handler
    def entries(self, request: Entries) -> list[int]:
        return self.state.numbers


async def test_a_turn_whose_data_are_refused_is_charged_alone(memory: MemoryGround) -> None:
    """What was behind it in the batch is redelivered; it is parked after its attempts; nobody else is charged."""

    def hook(commit: Any) -> None:
        for row in commit.puts.get(ActorRow, ()):
            if "666" in row.state:
                raise StoreDataError("it holds the number of the beast")

    async with memory.node(tree(Ledger, Clerk, Poisoned, intensity=1000)) as system:
        events = Recorder(system)
        poisoned = system.ref("/t/poisoned")
        await poisoned.tell(Order(number=666), delay_s=0.01)
        memory.plan.hook = hook
        acked: set[int] = set()
        refused: dict[int, StoreError] = {}
        for number in range(1, 40):
            if number % 10 == 0:
                await asyncio.sleep(0.005)
            await told(system.ref("/t/clerk"), number, acked, refused)
        await events.until("message.parked", "/t/poisoned")
        await system.idle()
        assert await poisoned.ask(Entries()) == []
        clerks = await system.ref("/t/clerk").ask(Entries())
        assert acked <= set(clerks)
        assert len(clerks) == len(set(clerks))
        assert set(clerks) == acked, "who was refused was told so, with the message"
    (letter,) = memory.rows(DeadLetterRow)
    assert (letter.address, letter.attempts) == ("/t/poisoned", 3)
    assert "beast" in letter.text
