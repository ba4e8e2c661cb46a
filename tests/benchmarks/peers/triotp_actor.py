"""triotp: a gen_server on trio."""

import sys
from time import perf_counter

import trio
import trio.testing
from measuring import job, report
from triotp import application, gen_server, mailbox

module = sys.modules[__name__]


async def init(_: object) -> int:
    return 0


async def handle_cast(amount: int, total: int) -> tuple[object, int]:
    return gen_server.NoReply(), total + amount


async def handle_call(amount: int, _: object, total: int) -> tuple[object, int]:
    return gen_server.Reply(payload=total + amount), total + amount


async def main() -> None:
    tells, asks = job().tells, job().asks
    mailbox._init()
    async with trio.open_nursery() as nursery:
        application._init(nursery)
        nursery.start_soon(gen_server.start, module, None, "counter")
        await trio.testing.wait_all_tasks_blocked()
        began = perf_counter()
        for _ in range(tells):
            await gen_server.cast("counter", 1)
        assert await gen_server.call("counter", 0) == tells
        tell_s = perf_counter() - began
        began = perf_counter()
        for _ in range(asks):
            await gen_server.call("counter", 1)
        ask_s = perf_counter() - began
        report(tell=tells / tell_s, ask=asks / ask_s)


trio.run(main)
