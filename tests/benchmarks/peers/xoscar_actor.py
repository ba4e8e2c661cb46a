"""xoscar: actor and caller in the main pool of one process."""

import asyncio
from time import perf_counter

import xoscar
from measuring import job, report


class Counter(xoscar.Actor):
    def __init__(self) -> None:
        self.total = 0

    async def add(self, amount: int) -> int:
        self.total += amount
        return self.total


async def main() -> None:
    tells, asks = job().tells, job().asks
    pool = await xoscar.create_actor_pool("127.0.0.1", n_process=0)
    async with pool:
        counter = await xoscar.create_actor(Counter, address=pool.external_address, uid="counter")
        began = perf_counter()
        for _ in range(tells):
            await counter.add.tell(1)
        while await counter.add(0) < tells:
            await asyncio.sleep(0)
        tell_s = perf_counter() - began
        began = perf_counter()
        for _ in range(asks):
            await counter.add(1)
        ask_s = perf_counter() - began
    report(tell=tells / tell_s, ask=asks / ask_s)


asyncio.run(main())
