"""Clerks that enter what they are told in two books, tellers that keep account, and the audit."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
from grounds import pool, tree

from greenroom import (
    Actor,
    AskFailed,
    Backoff,
    Message,
    Request,
    StoreError,
    StoreFull,
    StoreUnavailable,
    handler,
)
from greenroom.persistence.errors import StoreDataError

FAST = Backoff(initial_s=0.001, factor=1.0, jitter=0.0)


class Order(Message):
    number: int


class Entry(Message):
    number: int


class Entries(Request[list[int]]):
    pass


class Take(Request[int]):
    number: int


class Memory(msgspec.Struct):
    numbers: list[int] = []


class Clerk(Actor[Memory]):
    """Enters what it is told, here and in the ledger."""

    backoff = FAST

    @handler
    async def order(self, message: Order) -> None:
        self.state.numbers.append(message.number)
        ledger = self.system.ref("/t/ledger")
        ledger.tell(Entry(number=message.number))
        if message.number % 5 == 0:
            await asyncio.sleep(0)
        if message.number % 7 == 0 and self.turn.attempt == 1:
            raise RuntimeError("sevens fail once")

    @handler
    def take(self, request: Take) -> int:
        self.state.numbers.append(request.number)
        self.system.ref("/t/ledger").tell(Entry(number=request.number))
        return request.number

    @handler
    def entries(self, request: Entries) -> list[int]:
        return self.state.numbers


class Ledger(Actor[Memory]):
    backoff = FAST

    @handler
    def entry(self, message: Entry) -> None:
        self.state.numbers.append(message.number)

    @handler
    def entries(self, request: Entries) -> list[int]:
        return self.state.numbers


SPEC = tree(Ledger, ("clerk", Clerk), pool(Clerk), intensity=1000)


async def told(ref: Any, number: int, acked: set[int], refused: dict[int, StoreError], **options: Any) -> None:
    try:
        await ref.tell(Order(number=number), **options)
    except (StoreFull, StoreUnavailable, StoreDataError) as error:
        assert error.undelivered == Order(number=number), error
        refused[number] = error
    else:
        acked.add(number)


async def workload(system: Any, acked: set[int], refused: dict[int, StoreError], count: int = 24) -> None:
    """Tellers side by side, to a static actor and to a pool, and asks between them."""
    clerk = system.ref("/t/clerk")

    async def ask(number: int) -> None:
        try:
            assert await clerk.ask(Take(number=number)) == number
        except (StoreError, AskFailed) as error:
            refused[number] = error  # type: ignore[assignment]
        else:
            acked.add(number)

    async def teller(first: int) -> None:
        for number in range(first, count, 4):
            to = clerk if number % 3 else system.ref(f"/t/pool/{number % 2}")
            await told(to, number, acked, refused)
            if number % 6 == 0:
                await ask(1000 + number)

    await asyncio.gather(*(teller(first) for first in range(4)))


async def entered(system: Any) -> tuple[list[int], list[int]]:
    clerks: list[int] = []
    for address in ("/t/clerk", "/t/pool/0", "/t/pool/1"):
        clerks += await system.ref(address).ask(Entries())
    return sorted(clerks), sorted(await system.ref("/t/ledger").ask(Entries()))


async def check(system: Any, acked: set[int], refused: dict[int, Any]) -> None:
    """Acknowledged ones are there, once, in both books; of the others those alone whose outcome is unknown may be."""
    await system.idle()
    clerks, ledger = await entered(system)
    assert clerks == ledger
    assert len(set(clerks)) == len(clerks), "counted twice"
    assert acked <= set(clerks), "acknowledged and lost"
    surprising = {
        number
        for number in set(clerks) - acked
        if not isinstance(refused.get(number), AskFailed) and getattr(refused.get(number), "outcome", "") != "unknown"
    }
    assert not surprising, "refused and yet done"


ERRORS: dict[str, Any] = {
    "full": lambda: StoreFull("no space"),
    "lost": lambda: StoreUnavailable("cable pulled"),
    "data": lambda: StoreDataError("refused"),
    "unknown": lambda: StoreUnavailable("no answer", outcome="unknown"),
    "bug": lambda: RuntimeError("a bug in the store"),
}
