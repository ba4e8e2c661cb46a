"""casty: an actor is an async generator's loop over its inbox; the runtime is in Rust. No cluster."""

import asyncio
import logging
from dataclasses import dataclass
from time import perf_counter

from casty import ActorSystem, Askable, Context, actor
from measuring import async_asks_per_s, job, report

logging.disable(logging.CRITICAL)


@dataclass(frozen=True)
class Add:
    amount: int


@dataclass(frozen=True)
class Total(Askable[int]):
    pass


@actor(initial=0)
async def counter(context: Context[int, Add | Total]) -> None:
    total = 0
    async for message in context.inbox:
        match message:
            case Add(amount):
                total += amount
            case Total():
                message.reply_to.tell(total)


async def main() -> None:
    async with ActorSystem(observer=lambda _: None) as system:
        ref = system.ref(counter, "counter")
        await ref.ask(Total())
        message = Add(1)
        began = perf_counter()
        for _ in range(job().tells):
            ref.tell(message)
        while await ref.ask(Total()) != job().tells:  # an ask may pass tells
            await asyncio.sleep(0.001)
        tell_s = perf_counter() - began
        report(tell=job().tells / tell_s, ask=await async_asks_per_s(lambda: ref.ask(Total())))


asyncio.run(main())
