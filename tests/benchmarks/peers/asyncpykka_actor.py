"""async-pykka: pykka's interface on asyncio, a task an actor."""

import asyncio
from time import perf_counter

import async_pykka
from measuring import async_asks_per_s, job, report


class Counter(async_pykka.AsyncioActor):
    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    async def on_receive(self, message: int) -> int:
        self.total += message
        return self.total


async def main() -> None:
    counter = Counter.start()
    await counter.ask(0)
    began = perf_counter()
    for _ in range(job().tells):
        counter.tell(1)
    assert await counter.ask(0) == job().tells
    tell_s = perf_counter() - began
    report(tell=job().tells / tell_s, ask=await async_asks_per_s(lambda: counter.ask(1)))


asyncio.run(main())
