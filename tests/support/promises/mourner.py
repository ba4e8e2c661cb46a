"""A node of watchers and of targets that keep exiting: `python mourner.py MODE DATABASE [SEED]`. It is killed again and
again (test_down.py); the last life counts."""

from __future__ import annotations

import asyncio
import json
import random
import sys

import msgspec
from loguru import logger

from greenroom import (
    Actor,
    ActorSystem,
    Backoff,
    ChildSpec,
    Down,
    ExitReason,
    Message,
    Request,
    SupervisorSpec,
    handler,
    start,
)
from greenroom.actors.extensions.monitors.registry import Monitors

logger.remove()
logger.add(sys.stderr, level="CRITICAL")

WATCHERS = [*(f"/m/w{number}" for number in range(4)), *(f"/m/watchers/{number}" for number in range(4))]
TARGETS = [*(f"/m/t{number}" for number in range(4)), "/m/light", *(f"/m/pool/{number}" for number in range(4))]
WAYS = ["error", "normal", "slow", "sql", "retire"]


def say(*words: object) -> None:
    print(*words, flush=True)


class Watch(Message):
    target: str


class End(Message):
    how: str


class Books(Request[dict[str, list[str]]]):
    pass


class Book(msgspec.Struct):
    set: list[str] = []
    heard: list[str] = []


class Watcher(Actor[Book]):
    @handler
    def watch(self, message: Watch) -> None:
        self.state.set.append(self.monitor(self.system.ref(message.target)))

    @handler
    def down(self, message: Down) -> None:
        self.state.heard.append(message.monitor)

    @handler
    def books(self, request: Books) -> dict[str, list[str]]:
        return {"set": self.state.set, "heard": self.state.heard}


class Target(Actor[Book]):
    backoff = Backoff(initial_s=0.001, factor=1.0, jitter=0.0)
    max_attempts = 2

    @handler
    async def end(self, message: End) -> None:
        match message.how:
            case "error":
                raise RuntimeError("boom")
            case "slow":
                await asyncio.sleep(0.002)
                self.stop(ExitReason.shutdown("slowly"))
            case "sql":
                async with self.transaction():
                    self.stop()
            case "retire" if self.address.startswith("/m/pool/"):
                self.retire()
            case _:
                self.stop()

    async def on_stop(self, reason: ExitReason) -> None:
        await asyncio.sleep(0)


TREE = SupervisorSpec(
    id="m",
    intensity=1_000_000,
    children=[
        *(ChildSpec(id=f"t{number}", actor=Target) for number in range(4)),
        ChildSpec(id="light", actor=Target, durable=False),
        *(ChildSpec(id=f"w{number}", actor=Watcher) for number in range(4)),
        SupervisorSpec(
            id="pool", strategy="dynamic", intensity=1_000_000, template=ChildSpec(id="target", actor=Target)
        ),
        SupervisorSpec(id="watchers", strategy="dynamic", template=ChildSpec(id="watcher", actor=Watcher)),
    ],
)


async def run(url: str, seed: str) -> None:
    """Endless monitors and exits."""
    draw = random.Random(seed)
    async with start(TREE, store=url) as system:

        async def teller() -> None:
            while True:
                for _ in range(3):
                    await system.ref(draw.choice(WATCHERS)).tell(Watch(target=draw.choice(TARGETS)))
                await system.ref(draw.choice(TARGETS)).tell(End(how=draw.choice(WAYS)))
                say("round")

        await asyncio.gather(*(teller() for _ in range(4)))


async def books(url: str) -> None:
    """Finish everything, let everybody exit once more, and print who heard what."""
    async with start(TREE, store=url) as system:
        await everybody_exits(system)
        found = {address: await system.ref(address).ask(Books()) for address in WATCHERS}
        say("books", json.dumps(found))


async def everybody_exits(system: ActorSystem) -> None:
    await system.idle()
    for address in TARGETS:
        await system.ref(address).tell(End(how="normal"))
    await system.idle()
    assert not system.kernel.part(Monitors).bound, list(system.kernel.part(Monitors).bound)


def main() -> None:
    mode, path, *arguments = sys.argv[1:]
    asyncio.run({"run": run, "books": books}[mode](f"sqlite:///{path}", *arguments))


main()
