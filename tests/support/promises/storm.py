"""A node in a restart storm, for the test that kills it: `python storm.py DATABASE [FIRST]`.

With FIRST it starts children at run time, with numbers from there on, and deletes some of them. Most of them are
watched by somebody who tells them to exit, again and again. It says what it asks of a supervisor, and what was
acknowledged.
Without FIRST it lets the storm end, and says what there is.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
from typing import Any

import msgspec
from loguru import logger

from greenroom import (
    Actor,
    ActorNotFound,
    ActorSystem,
    Backoff,
    ChildSpec,
    DeleteChild,
    Down,
    ExitReason,
    Message,
    Request,
    Settings,
    StartChild,
    SupervisorSpec,
    TerminateChild,
    WhichChildren,
    handler,
    start,
)

logger.remove()
logger.add(sys.stderr, level="ERROR")

FAST = Backoff(initial_s=0.001, factor=1.0, jitter=0.0)
ABSENT_MAX = 100
"""So often one may be found not running; then it is taken to have been deleted."""
WATCHERS = 4
SUPERVISORS = ("/s/all", "/s/rest", "/s/crew", "/s/one")
GROUP_MAX = 8
"""Children of a supervisor that restarts all of them for each exit."""


def say(*words: object) -> None:
    print(*words, flush=True)


class Quit(Message):
    number: int


class Watch(Message):
    target: str


class Again(Message):
    target: str


class Finish(Message):
    pass


class Tell(Request[dict[str, Any]]):
    pass


class Tally(msgspec.Struct):
    count: int = 0
    total: int = 0
    squares: int = 0


class Mayfly(Actor[Tally]):
    """Exits for each Quit, in one way or the other; counts them in the turn that ends it."""

    max_attempts = 1000
    backoff = FAST

    @handler
    def quit(self, message: Quit) -> None:
        if message.number % 3 == 1 and self.turn.attempt == 1:
            raise RuntimeError("the first time")
        self.state.count += 1
        self.state.total += message.number
        self.state.squares += message.number**2
        self.stop(ExitReason.killed("by itself") if message.number % 3 == 2 else ExitReason.normal())

    @handler
    def tell(self, request: Tell) -> dict[str, Any]:
        return dict(msgspec.structs.asdict(self.state))


class Chain(msgspec.Struct):
    asked: int = 0
    """Monitors that were set, each with a Quit to its target."""
    heard: int = 0
    monitor: str = ""
    """The one whose Down hasn't come; "" for none."""
    absent: int = 0
    """How often in a row it didn't run."""


class Chains(msgspec.Struct):
    of: dict[str, Chain] = {}
    strange: list[str] = []
    """Downs of monitors that were not waited for: a second one, or one out of nowhere."""
    over: bool = False


class Watcher(Actor[Chains]):
    max_attempts = 1000
    backoff = FAST

    @handler
    def watch(self, message: Watch) -> None:
        if message.target not in self.state.of:
            self.state.of[message.target] = Chain()
            self._next(message.target)

    def _next(self, target: str) -> None:
        chain = self.state.of[target]
        if self.state.over or chain.monitor:
            return
        ref = self.system.ref(target)
        chain.asked += 1
        chain.monitor = self.monitor(ref)
        try:
            ref.tell(Quit(number=chain.asked))
        except ActorNotFound:
            chain.absent = ABSENT_MAX

    @handler
    async def down(self, message: Down) -> None:
        await asyncio.sleep(0.002)  # so that many of them wait, on disk
        if self.turn.attempt == 1 and message.monitor.endswith("0"):
            raise RuntimeError("watchers fall, too")
        chain = self.state.of[message.address]
        if message.monitor != chain.monitor:
            self.state.strange.append(f"{message.address} {message.monitor}")
            return
        chain.heard += 1
        chain.monitor = ""
        if message.reason.error != "NoProcess":
            chain.absent = 0
            self._next(message.address)
        elif chain.absent < ABSENT_MAX:  # between two lives, perhaps
            chain.absent += 1
            self.system.ref(self.address).tell(Again(target=message.address), delay_s=0.02)

    @handler
    def again(self, message: Again) -> None:
        self._next(message.target)

    @handler
    def finish(self, message: Finish) -> None:
        self.state.over = True

    @handler
    def tell(self, request: Tell) -> dict[str, Any]:
        chains = {target: msgspec.structs.asdict(chain) for target, chain in self.state.of.items()}
        return {"chains": chains, "strange": self.state.strange}


def supervisor(id: str, *children: Any, **flags: Any) -> SupervisorSpec:
    return SupervisorSpec(id=id, children=list(children), intensity=1_000_000, **flags)


def mayflies(*ids: str) -> list[ChildSpec]:
    return [ChildSpec(id=one, actor=Mayfly) for one in ids]


TREE = supervisor(
    "s",
    supervisor("watch", *(ChildSpec(id=str(number), actor=Watcher) for number in range(WATCHERS))),
    supervisor("all", *mayflies("a", "b"), strategy="one_for_all"),
    supervisor("rest", *mayflies("a", "b"), strategy="rest_for_one"),
    supervisor("crew", strategy="dynamic"),
    supervisor("one"),
)


async def storm(url: str, first: int) -> None:
    async with start(TREE, store=url, settings=Settings(incidents_kept=500)) as system:
        say("up")
        for target in ("/s/all/a", "/s/all/b", "/s/rest/a", "/s/rest/b"):
            await watch(system, target)
        for number in itertools.count(first):
            await start_one(system, number)


async def watch(system: ActorSystem, target: str) -> None:
    watcher = sum(target.encode()) % WATCHERS
    await system.ref(f"/s/watch/{watcher}").tell(Watch(target=target))
    say("watched", target)


async def start_one(system: ActorSystem, number: int) -> None:
    where = SUPERVISORS[number % len(SUPERVISORS)]
    if where in ("/s/all", "/s/rest") and len(await children(system, where)) >= GROUP_MAX:
        where = "/s/crew"
    address = f"{where}/{number}"
    spec: ChildSpec | SupervisorSpec = ChildSpec(id=str(number), actor=Mayfly)
    if where == "/s/one":
        spec = supervisor(str(number), *mayflies("x", "y"), strategy="rest_for_one")
    say("asked", address)
    await system.ref(where).ask(StartChild(spec=spec), timeout_s=60.0)
    say("acked", address)
    if number % 5 < 3:
        await watch(system, f"{address}/x" if where == "/s/one" else address)
    if number % 6 == 5 or number % 11 == 1:
        say("ending", address)
        await system.ref(where).ask(TerminateChild(id=str(number)), timeout_s=60.0)
        if where != "/s/crew":
            await system.ref(where).ask(DeleteChild(id=str(number)), timeout_s=60.0)
        say("ended", address)


async def children(system: ActorSystem, address: str) -> dict[str, str]:
    """In start order."""
    found = await system.ref(address).ask(WhichChildren(), timeout_s=60.0)
    assert len({child.id for child in found}) == len(found), f"doubled: {found}"
    return {child.address: child.status for child in reversed(found)}


async def watchers(system: ActorSystem) -> list[dict[str, Any]]:
    return [await system.ref(f"/s/watch/{number}").ask(Tell(), timeout_s=60.0) for number in range(WATCHERS)]


def has_raged(found: list[dict[str, Any]]) -> bool:
    """Whether there were more than five exits for each chain; also if there are no chains."""
    heard = [chain["heard"] for watcher in found for chain in watcher["chains"].values()]
    return not heard or sum(heard) > 5 * len(heard)


async def calm(url: str) -> None:
    """Let the storm end, and say what there is."""
    async with start(TREE, store=url) as system:
        while not has_raged(await watchers(system)):  # however early the kills came, and however slow the machine is
            await asyncio.sleep(0.01)
        for number in range(WATCHERS):
            await system.ref(f"/s/watch/{number}").tell(Finish())
        await system.idle()
        found: dict[str, str] = {}
        for address in SUPERVISORS:
            found |= await children(system, address)
        for address, status in list(found.items()):
            if address.startswith("/s/one/") and status == "running":
                found |= await children(system, address)
        tallies = {
            address: await system.ref(address).ask(Tell(), timeout_s=60.0)
            for address, status in found.items()
            if status == "running" and not (address.startswith("/s/one/") and address.count("/") == 3)
        }
        say("found", json.dumps({"children": found, "watchers": await watchers(system), "tallies": tallies}))


if __name__ == "__main__":
    url, *numbers = f"sqlite:///{sys.argv[1]}", *map(int, sys.argv[2:])
    asyncio.run(storm(url, *numbers) if numbers else calm(url))
