"""A node whose handlers wait, for the tests that kill it: `python waiting_victim.py DATABASE COUNT HOW [WAIT_S]`.

Message 37 is the killer. It takes the process down by its own code (`runs`), or by a thread while it waits (`waits`);
with `nobody` there is none. A handler waits until the file DATABASE.open exists, and then for WAIT_S seconds. The first
life tells everybody, and says `told` when all handlers wait.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from pathlib import Path

from loguru import logger

from greenroom import Actor, ActorSystem, Backoff, ChildSpec, Message, Request, SupervisorSpec, handler, start

logger.remove()

KILLER = 37
LOOK_S = 0.02
PATH, COUNT, HOW = sys.argv[1], int(sys.argv[2]), sys.argv[3]
WAIT_S = float(sys.argv[4]) if len(sys.argv) > 4 else 0.0
inside: set[int] = set()


def say(*words: object) -> None:
    print(*words, flush=True)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class Wait(Message):
    number: int


class Ping(Request[int]):
    pass


class Waiter(Actor[list[int]]):
    backoff = Backoff(initial_s=0.001, factor=1.0, jitter=0.0)
    max_attempts = 3
    handler_timeout_s = None

    def initial_state(self) -> list[int]:
        return []

    @handler
    async def wait(self, message: Wait) -> None:
        inside.add(message.number)
        if message.number == KILLER and HOW != "nobody" and Path(f"{PATH}.fuse").exists():
            await asyncio.sleep(LOOK_S)
            if HOW == "runs":
                die()
            await asyncio.to_thread(lambda: (time.sleep(LOOK_S), die()))
        while not Path(f"{PATH}.open").exists():
            await asyncio.sleep(LOOK_S)
        await asyncio.sleep(WAIT_S)
        self.state.append(self.turn.attempt)

    @handler
    def ping(self, request: Ping) -> int:
        return len(inside)


async def tell_all(system: ActorSystem) -> None:
    for number in range(COUNT):
        await system.ref(f"/v/pool/{number}").tell(Wait(number=number))
    while len(inside) < COUNT:
        await asyncio.sleep(LOOK_S)
    say("told")


async def main() -> None:
    pool = SupervisorSpec(id="pool", strategy="dynamic", template=ChildSpec(id="x", actor=Waiter))
    tree = SupervisorSpec(id="v", children=[pool, ChildSpec(id="free", actor=Waiter)])
    first, began = not Path(PATH).exists(), time.monotonic()
    async with start(tree, store=f"sqlite:///{PATH}") as system:
        say("started", time.monotonic() - began)
        await system.ref("/v/free").ask(Ping())
        say("answered", time.monotonic() - began)
        if first:
            await tell_all(system)
        elif not Path(f"{PATH}.open").exists():
            while len(inside) < COUNT:
                await asyncio.sleep(LOOK_S)
            say("waiting")
        await system.idle()
    say("over")


asyncio.run(main())
