"""lapinbeam: its core is in Rust; sends within a node go through asyncio queues, and are awaited."""

import asyncio
import logging
from time import perf_counter

from lapinbeam import Node, Supervisor, actor, current_message
from measuring import async_asks_per_s, job, report

logging.disable(logging.CRITICAL)


@actor(name="counter")
class Counter:
    def __init__(self) -> None:
        self.total = 0

    async def receive(self, message: int) -> None:
        if message:
            self.total += message
        else:
            await current_message().reply(self.total)


async def main() -> None:
    async with Node("bench@127.0.0.1:0") as node:
        counter = Supervisor(node=node).spawn(Counter)
        await counter.ask(0)
        began = perf_counter()
        for _ in range(job().tells):
            await counter.send(1)
        while await counter.ask(0) != job().tells:
            await asyncio.sleep(0.001)
        tell_s = perf_counter() - began
        report(tell=job().tells / tell_s, ask=await async_asks_per_s(lambda: counter.ask(0)))


asyncio.run(main())
