"""Worker: a child that starts, runs and ends as the test says. Cues: what it is told, and what it did.

The suite ends children by asks and by `stop`. An ask that fails has no further attempts, so that each exit is charged
once and OTP's counts apply exactly.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from typing import Literal

from greenroom import Actor, Backoff, Down, ExitReason, Ignore, Message, Request, handler

__all__ = ("Cues", "End", "How", "Life", "Poison", "Tie", "Watch", "Watcher", "Work", "Worker")

How = Literal["normal", "shutdown", "shutdown_info", "killed", "error"]
"""OTP's suite: normal, shutdown, {shutdown, some_info}, kill, abnormal."""

WAIT_S = 10.0
"""Of real time: a test that waits longer has failed."""


class End(Request[None]):
    """End this incarnation, by `stop` or by an exception that nobody expects."""

    how: How = "error"


class Life(Request[int]):
    """Which incarnation this is, counted from 1 in each test. It stands for OTP's pid."""


class Tie(Request[None]):
    """Link yourself to another one."""

    to: str


class Watch(Request[None]):
    """Monitor these. OTP's suite links itself to the children, and looks at their exit signals."""

    addresses: tuple[str, ...]


class Poison(Message):
    """A tell whose every attempt ends the worker: what the suite avoids elsewhere."""


class Work(Message):
    """A turn that lasts until it is cancelled; or, if `stubborn`, that doesn't end then either."""

    stubborn: bool = False


class Cues:
    """Of all workers of a test, by id: the last segment of their address."""

    def __init__(self) -> None:
        self.log: list[str] = []
        """`+a` started, `!a` failed to start, `?a` ignored its start, `-a` was shut down, `-a error` ended otherwise,
        `~a` had its running turn cancelled."""
        self.lives: Counter[str] = Counter()
        self.downs: dict[str, str] = {}
        """How those that are watched ended, by id: the kind of the reason."""
        self.stop_s: dict[str, float] = {}
        """Seconds that its `on_stop` takes."""
        self.odd: set[str] = set()
        """The workers with an `on_stop` that raises."""
        self.gate = asyncio.Event()
        """Stubborn workers wait for it."""
        self._failing: Counter[str] = Counter()
        self._ignoring: Counter[str] = Counter()
        self._held: dict[str, _Hold] = {}
        self._working: dict[str, asyncio.Event] = defaultdict(asyncio.Event)

    def take(self) -> list[str]:
        """The log since it was last taken."""
        log, self.log = self.log, []
        return log

    # -- what the next starts do -------------------------------------------------------------------------

    def fail(self, *ids: str, times: int = 1_000_000) -> None:
        """Let their next starts raise; by default all of them, until `recover`."""
        for one in ids:
            self._failing[one] = times

    def recover(self, *ids: str) -> None:
        for one in ids:
            del self._failing[one]

    def ignore(self, *ids: str, times: int = 1) -> None:
        """Let their next starts raise `Ignore`."""
        for one in ids:
            self._ignoring[one] = times

    def hold(self, one: str, *, stop: bool = False) -> None:
        """Let each start, or each `on_stop`, wait until `let_go`."""
        self._held[one] = _Hold(stop)

    async def holding(self, one: str) -> None:
        """Wait until it has come to wait; once for each time."""
        async with asyncio.timeout(WAIT_S):
            await self._held[one].arrivals.acquire()

    def let_go(self, one: str, *, free: bool = False) -> None:
        """Let the one that waits go on; `free`: later ones don't wait."""
        hold = self._held.pop(one) if free else self._held[one]
        hold.permits.release()

    async def working(self, one: str) -> None:
        """Wait until it is in the middle of `Work`."""
        async with asyncio.timeout(WAIT_S):
            await self._working[one].wait()

    # -- for the workers ---------------------------------------------------------------------------------

    async def starting(self, one: str) -> int:
        await self.pass_through(one, stop=False)
        if self._failing[one] > 0:
            self._failing[one] -= 1
            self.log.append(f"!{one}")
            raise RuntimeError(f"{one} can't start")
        if self._ignoring[one] > 0:
            self._ignoring[one] -= 1
            self.log.append(f"?{one}")
            raise Ignore(f"{one} doesn't want to")
        self.log.append(f"+{one}")
        self.lives[one] += 1
        return self.lives[one]

    async def pass_through(self, one: str, *, stop: bool) -> None:
        hold = self._held.get(one)
        if hold is not None and hold.stop is stop:
            hold.arrivals.release()
            await hold.permits.acquire()

    async def work(self, one: str, *, stubborn: bool) -> None:
        self._working[one].set()
        try:
            await asyncio.Event().wait()
        finally:
            self.log.append(f"~{one}")
            if stubborn:
                await self.gate.wait()


class _Hold:
    def __init__(self, stop: bool) -> None:
        self.stop = stop
        self.arrivals = asyncio.Semaphore(0)
        self.permits = asyncio.Semaphore(0)


class Worker(Actor[None]):
    cues: Cues
    """Of the test that runs."""
    backoff = Backoff(initial_s=0.0, jitter=0.0)
    handler_timeout_s = None
    max_attempts = 1
    life = 0

    def __init__(self, *, note: str = "") -> None:
        self.note = note

    @property
    def id(self) -> str:
        return self.address.rpartition("/")[2]

    async def on_start(self) -> None:
        self.life = await self.cues.starting(self.id)

    async def on_stop(self, reason: ExitReason) -> None:
        await self.cues.pass_through(self.id, stop=True)
        if self.id in self.cues.stop_s:
            await self.system.kernel.runtime.sleep(self.cues.stop_s[self.id])
        self.cues.log.append(f"-{self.id}" if reason.kind == "shutdown" else f"-{self.id} {reason.kind}")
        if self.id in self.cues.odd:
            raise RuntimeError(f"{self.id} ends oddly")

    @handler
    def end(self, request: End) -> None:
        match request.how:
            case "normal":
                self.stop()
            case "shutdown":
                self.stop(ExitReason.shutdown())
            case "shutdown_info":
                self.stop(ExitReason.shutdown("some info"))
            case "killed":
                self.stop(ExitReason.killed())
            case "error":
                raise RuntimeError(f"{self.id} died")

    @handler
    def poison(self, message: Poison) -> None:
        raise RuntimeError(f"{self.id} was poisoned")

    @handler
    def tie(self, request: Tie) -> None:
        self.link(self.system.ref(request.to))

    @handler
    def which_life(self, request: Life) -> int:
        return self.life

    @handler
    async def work(self, message: Work) -> None:
        await self.cues.work(self.id, stubborn=message.stubborn)


class Watcher(Actor[None]):
    durable = False

    @handler
    def watch(self, request: Watch) -> None:
        for address in request.addresses:
            self.monitor(self.system.ref(address))

    @handler
    def down(self, message: Down) -> None:
        Worker.cues.downs[message.address.rpartition("/")[2]] = message.reason.kind
