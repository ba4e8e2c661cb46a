"""rotorcore: durable processes. A checkpoint, the mailbox and the sends of one message commit together, as ours do."""

import asyncio
import logging
import sqlite3
from time import perf_counter

_connect = sqlite3.connect


def synced(*arguments: object, **options: object) -> sqlite3.Connection:
    """Whatever the library leaves out, each commit is synced."""
    connection = _connect(*arguments, **options)  # type: ignore[call-overload]
    connection.execute("pragma synchronous=full")
    return connection  # type: ignore[no-any-return]


sqlite3.connect = sqlite3.dbapi2.connect = synced  # type: ignore[assignment]

from measuring import BODY, database, job, report  # noqa: E402
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
