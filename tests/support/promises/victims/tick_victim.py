"""A node whose actors live by their timers, for the test that kills it: `python tick_victim.py MODE DATABASE`."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import msgspec
from loguru import logger

from greenroom import Actor, ActorSystem, Backoff, ChildSpec, Message, Request, SupervisorSpec, handler, start

logger.remove()
logger.add(sys.stderr, level="WARNING")

EVERY_S = 0.01
CHAIN_S = 0.002


def say(*words: object) -> None:
    print(*words, flush=True)


class Begin(Message):
    pass


class End(Message):
    pass


class Tick(Message):
    pass


class Link(Message):
    number: int


class Entry(Message):
    who: str
    key: str


class Logs(Request[Any]):
    pass


class Log(msgspec.Struct):
    begun: bool = False
    ended: bool = False
    ticks: list[str] = []
    """The uids of the ticks of `every_s`."""
    retried: list[str] = []
    """Those that weren't handled at the first attempt: the kill came while they ran alone."""
    links: list[int] = []


class Clock(Actor[Log]):
    """A fixed rate; and a chain of single timers, each of which schedules the next."""

    backoff = Backoff(initial_s=0.001, factor=1.0, jitter=0.0)

    @handler
    def begin(self, message: Begin) -> None:
        if not self.state.begun:
            self.state.begun = True
            self.schedule(Tick(), every_s=EVERY_S)
            self.schedule(Link(number=0), after_s=CHAIN_S)

    @handler
    async def tick(self, message: Tick) -> None:
        self.state.ticks.append(self.turn.key)
        if self.turn.attempt > 1:
            self.state.retried.append(self.turn.key)
        self.system.ref("/v/ledger").tell(Entry(who=self.address, key=self.turn.key))
        if len(self.state.ticks) % 7 == 0:
            await asyncio.sleep(0)
        if len(self.state.ticks) % 10 == 0:
            say("ticked", self.address, len(self.state.ticks))

    @handler
    async def next_link(self, message: Link) -> None:
        self.state.links.append(message.number)
        self.system.ref("/v/ledger").tell(Entry(who=self.address, key=self.turn.key))
        if self.state.ended:
            return
        if message.number % 11 == 5:
            async with self.transaction():
                self.schedule(Link(number=message.number + 1), after_s=CHAIN_S)
        else:
            self.schedule(Link(number=message.number + 1), after_s=CHAIN_S)

    @handler
    def end(self, message: End) -> None:
        self.state.ended = True
        self.cancel("Tick")
        self.cancel("Link")

    @handler
    def logs(self, request: Logs) -> Any:
        return msgspec.to_builtins(self.state)


class Ledger(Actor[dict[str, int]]):
    """How often each of them has told of which tick."""

    def initial_state(self) -> dict[str, int]:
        return {}

    @handler
    def entry(self, messages: list[Entry]) -> None:
        for message in messages:
            name = f"{message.who} {message.key}"
            self.state[name] = self.state.get(name, 0) + 1

    @handler
    def logs(self, request: Logs) -> Any:
        return self.state


ADDRESSES = ["/v/clock", "/v/pool/a", "/v/pool/b"]

TREE = SupervisorSpec(
    id="v",
    children=[
        ChildSpec(id="ledger", actor=Ledger),
        ChildSpec(id="clock", actor=Clock),
        SupervisorSpec(
            id="pool", strategy="dynamic", template=ChildSpec(id="c", actor=Clock, idle_timeout_s=0.004), max_children=1
        ),
    ],
)


async def tick(system: ActorSystem) -> None:
    """For ever."""
    for address in ADDRESSES:
        await system.ref(address).tell(Begin())
    await asyncio.Event().wait()


async def logs(system: ActorSystem) -> None:
    """Stop the clocks, and print what they have written down."""
    for address in ADDRESSES:
        await system.ref(address).tell(End())
    await system.idle()
    found = {address: await system.ref(address).ask(Logs()) for address in (*ADDRESSES, "/v/ledger")}
    say("logs", json.dumps(found))


async def main(mode: str, path: str) -> None:
    async with start(TREE, store=f"sqlite:///{path}") as system:
        await {"tick": tick, "logs": logs}[mode](system)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2]))
