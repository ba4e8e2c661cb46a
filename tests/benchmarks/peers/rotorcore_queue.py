"""rotorcore: durable processes. A checkpoint, the mailbox and the sends of one message commit together, as ours do."""

import asyncio
import logging
from time import perf_counter

from measuring import BODY, database, job, report, sync_every_commit

sync_every_commit()

from rotor import Backends, Client, DurableProcess, Start, Worker, message, on  # noqa: E402

logging.disable(logging.CRITICAL)
PROCESSES = 16
handled = 0
done = asyncio.Event()


@message
class Add:
    number: int
    body: str


class State:
    total: int = 0


class Counter(DurableProcess[State]):
    mailbox_depth = 1_000_000

    @on
    async def start(self, msg: Start) -> None:
        pass

    @on
    async def add(self, msg: Add) -> None:
        global handled
        self.state.total += 1
        handled += 1
        if handled == job().messages:
            done.set()


async def main() -> None:
    backends = Backends(f"sqlite:///{database('rotorcore')}")
    worker = Worker(backends, poll="0.001s")
    worker.register(Counter)
    client = Client(backends)
    await backends.setup()
    processes = [await client.start(Counter, id=f"c{number}") for number in range(PROCESSES)]
    serving = asyncio.create_task(worker.serve(banner=False))
    await asyncio.sleep(0.3)
    began = perf_counter()
    for number in range(job().messages):
        await processes[number % PROCESSES].send(Add(number=number, body=BODY))
    await done.wait()
    rate = job().messages / (perf_counter() - began)
    serving.cancel()
    report(one=rate)


asyncio.run(main())
