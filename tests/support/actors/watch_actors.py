"""Actors that watch others, and actors that end in every way there is."""

from __future__ import annotations

import asyncio
from typing import Any, Literal

import msgspec
from grounds import Ground, tree

from greenroom import (
    Actor,
    ActorSystem,
    Backoff,
    ChildSpec,
    Down,
    Exited,
    ExitReason,
    Message,
    Request,
    SupervisorSpec,
    handler,
)
from greenroom.persistence.store.rows import ActorRow, MonitorRow
from greenroom.testing import Recorder

FAST = Backoff(initial_s=0.001, factor=1.0, jitter=0.0)


T, W, V = "/t/target", "/t/watcher", "/t/other"


class Bind(Message):
    to: list[str] = []
    how: Literal["monitor", "demonitor", "link", "unlink"] = "monitor"
    then: str = ""
    """"fail", "stop", "retire", or the address of somebody to be asked to `Crash` before the turn ends."""


class Take(Message):
    """Take monitors off, by id."""

    ids: list[str]


class Bindings(Request[list[str]]):
    """The ids of all monitors that were set."""


class Seen(Request[list[tuple[str, str]]]):
    """Address and kind of every Down and Exited, with the error if there was one."""


class End(Message):
    how: str = "error"


class Crash(Request[None]):
    pass


class Life(Request[int]):
    """Which incarnation it is."""


class Diary(msgspec.Struct):
    seen: list[tuple[str, str]] = []
    ids: list[str] = []
    heard: list[str] = []
    """The monitors of the Downs."""


class Mortal(Actor[Diary]):
    """Binds itself to others, and ends in every way there is."""

    gate: asyncio.Event
    backoff = FAST
    max_attempts = 2
    handler_timeout_s = 5.0

    @handler
    async def bind(self, message: Bind) -> None:
        for address in message.to:
            ref = self.system.ref(address)
            match message.how:
                case "monitor":
                    self.state.ids.append(self.monitor(ref))
                case "demonitor":
                    self.demonitor(self.monitor(ref))
                case "link":
                    self.link(ref)
                case "unlink":
                    self.unlink(ref)
        match message.then:
            case "fail":
                raise RuntimeError("on second thoughts")
            case "stop":
                self.stop(ExitReason("error", text="enough"))
            case "retire":
                self.retire()
            case "":
                pass
            case address:
                try:
                    await self.system.ref(address).ask(Crash())
                except Exception as error:
                    assert "failed to answer" in str(error)

    @handler
    def take(self, message: Take) -> None:
        for monitor in message.ids:
            self.demonitor(monitor)

    @handler
    def down(self, message: Down) -> None:
        self.state.seen.append((message.address, described(message.reason)))
        self.state.heard.append(message.monitor)

    @handler
    async def end(self, message: End) -> None:
        match message.how:
            case "error":
                raise RuntimeError("boom")
            case "normal":
                self.stop()
            case "shutdown":
                self.stop(ExitReason.shutdown("done"))
            case "custom":
                self.stop(ExitReason("error", text="by hand"))
            case "retire":
                self.retire()
            case "transaction":
                async with self.transaction():
                    self.stop()
            case "hold":
                async with self.transaction():
                    await Mortal.gate.wait()
                    self.stop()
            case "wait":
                await Mortal.gate.wait()
            case "swallow":
                try:
                    await Mortal.gate.wait()
                except asyncio.CancelledError:
                    await Mortal.gate.wait()

    @handler
    def crash(self, message: Crash) -> None:
        raise RuntimeError("boom")

    @handler
    def bindings(self, message: Bindings) -> list[str]:
        return self.state.ids

    @handler
    def all_seen(self, message: Seen) -> list[tuple[str, str]]:
        return self.state.seen

    @handler
    def life(self, message: Life) -> int:
        number: int = self._context.number  # type: ignore[union-attr]
        return number


class Trapper(Mortal):
    trap_exits = True

    @handler
    def exited(self, message: Exited) -> None:
        self.state.seen.append((message.address, described(message.reason)))


class Lingering(Mortal):
    """Its end takes until the gate opens."""

    async def on_stop(self, reason: ExitReason) -> None:
        await Mortal.gate.wait()


class Sleeper(Mortal):
    """Has an `on_stop`, which makes its passivation a stop."""

    async def on_stop(self, reason: ExitReason) -> None:
        pass


def trio(by: bool = True, **target: Any) -> SupervisorSpec:
    """The target, and two watchers, durable or not."""
    watchers = (mortal(name, durable=by) for name in ("watcher", "other"))
    return tree(mortal("target", **target), *watchers, intensity=100)


def three(*kinds: type[Actor[Any]], **options: Any) -> SupervisorSpec:
    """The actors a, b and c: of these kinds, and mortals for the rest."""
    all_kinds = (*kinds, Mortal, Mortal, Mortal)
    return tree(*(mortal(name, kind, **options) for name, kind in zip("abc", all_kinds, strict=False)), intensity=100)


def described(reason: ExitReason) -> str:
    return reason.error or (f"{reason.kind} {reason.text}" if reason.text else reason.kind)


def mortal(id: str, actor: type[Actor[Any]] = Mortal, **options: Any) -> ChildSpec:
    return ChildSpec(id=id, actor=actor, **options)


async def tell(system: ActorSystem, address: str, message: Message) -> None:
    """Tell it, and let everything come of it that does."""
    await system.ref(address).tell(message)
    await system.idle()


async def bind(system: ActorSystem, who: str, *to: str, **how: Any) -> None:
    await tell(system, who, Bind(to=list(to), **how))


async def seen(system: ActorSystem, address: str) -> list[tuple[str, str]]:
    await system.idle()
    return [tuple(entry) for entry in await system.ref(address).ask(Seen())]  # type: ignore[misc]


def diary(ground: Ground, address: str) -> Diary:
    (row,) = [row for row in ground.rows(ActorRow) if row.address == address]
    return msgspec.json.decode(row.state, type=Diary)


def relations(ground: Ground) -> list[tuple[str, str, str]]:
    return sorted((row.watcher, row.target, row.kind) for row in ground.rows(MonitorRow))


def exits(events: Recorder) -> list[tuple[str, str, str]]:
    """The exits that were recorded: address, kind and text."""
    found = events.of("actor.exited")
    return [(event.address, event.measures["kind"], event.measures["text"]) for event in found]
