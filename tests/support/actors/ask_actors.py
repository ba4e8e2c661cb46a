"""Actors that ask, and actors that are asked."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from greenroom import Actor, AskAfterTell, AskCycle, AskFailed, Backoff, Message, Reject, Request, handler


class Raise(Request[int]):
    by: int


class Get(Request[int]):
    pass


class Fail(Request[int]):
    how: str = "error"


class Unknown(Request[int]):
    pass


class Basket(Message):
    items: list[int]


class Look(Request[Basket]):
    pass


class Swap(Request[list[int]]):
    items: list[int]


class Wrong(Request[int]):
    value: Any


class Block(Message):
    pass


class Count(msgspec.Struct):
    value: int = 0


class Counter(Actor[Count]):
    gate: asyncio.Event
    basket = Basket(items=[1, 2])
    asked: list[str] = []
    backoff = Backoff(initial_s=0.001, factor=1.0)

    @handler
    def raise_by(self, request: Raise) -> int:
        self.state.value += request.by
        return self.state.value

    @handler
    def get(self, request: Get) -> int:
        Counter.asked.append("get")
        return self.state.value

    @handler
    async def fail(self, request: Fail) -> int:
        self.state.value = -1
        if request.how == "late":
            await asyncio.sleep(0)
        if request.how == "reject":
            raise Reject("no")
        raise RuntimeError("broken")

    @handler
    def look(self, request: Look) -> Basket:
        return Counter.basket

    @handler
    def swap(self, request: Swap) -> list[int]:
        request.items.append(9)
        return request.items

    @handler
    def wrong(self, request: Wrong):  # type: ignore[no-untyped-def]
        match request.value:
            case "object":
                return object()
            case "nan":
                return float("nan")
            case value:
                return value

    @handler
    async def block(self, message: Block) -> None:
        await Counter.gate.wait()


class AskOf(Request[int]):
    address: str


class Chain(Request[str]):
    """Ask the next of these addresses the same with the rest of them."""

    path: list[str]


class TellThenAsk(Request[str]):
    pass


class AskThenTell(Request[int]):
    pass


class LookAndChange(Request[int]):
    pass


class Wait(Request[int]):
    pass


class AskMany(Request[list[int]]):
    pass


class Caught(Request[str]):
    pass


class Front(Actor[Count]):
    leftover: asyncio.Task[Any]

    @handler
    async def ask_of(self, request: AskOf) -> int:
        return await self.system.ref(request.address).ask(Raise(by=1))

    @handler
    async def chain(self, request: Chain) -> str:
        if not request.path:
            return "end"
        first, *rest = request.path
        try:
            return await self.system.ref(first).ask(Chain(path=rest))
        except AskCycle as error:
            return " ".join(error.path)

    @handler
    async def tell_then_ask(self, request: TellThenAsk) -> str:
        to = self.system.ref("/t/counter")
        to.tell(Raise(by=1))
        try:
            await to.ask(Get())
        except AskAfterTell as error:
            return error.address
        return "?"

    @handler
    async def ask_then_tell(self, request: AskThenTell) -> int:
        to = self.system.ref("/t/counter")
        before = await to.ask(Get())
        to.tell(Raise(by=1))
        return before

    @handler
    async def look(self, request: LookAndChange) -> int:
        basket = await self.system.ref("/t/counter").ask(Look())
        basket.items.append(7)
        return len(basket.items)

    @handler
    async def wait(self, request: Wait) -> int:
        await Counter.gate.wait()
        return 1

    @handler
    async def many(self, request: AskMany) -> list[int]:
        to = self.system.ref("/t/counter")
        return sorted(await asyncio.gather(*(to.ask(Raise(by=1)) for _ in range(5))))

    @handler
    async def caught(self, request: Caught) -> str:
        try:
            await self.system.ref("/t/counter").ask(Fail())
        except AskFailed as error:
            self.state.value = 1
            return error.reason.text
        return "?"

    @handler
    def late(self, message: Block) -> None:
        async def ask() -> int:
            await Counter.gate.wait()
            return await self.system.ref("/t/counter").ask(Get())

        Front.leftover = asyncio.create_task(ask())


FRONTS = [("a", Front), ("b", Front), ("c", Front)]
