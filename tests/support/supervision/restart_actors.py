"""Children that die as they are told, and a log of their starts and stops."""

from __future__ import annotations

from typing import Any

import msgspec

from greenroom import Actor, Backoff, ChildSpec, ExitReason, Message, Request, handler

log: list[str] = []
"""The deeds of children: "+a" started, "-a" stopped, with the kind of the reason where it isn't shutdown."""
failing: dict[str, int] = {}
"""How many of its next starts fail, by id."""


class Die(Message):
    how: str = "error"


class Hi(Request[int]):
    pass


class Note(Message):
    text: str


class Memory(msgspec.Struct):
    notes: list[str] = []


class Child(Actor[Memory]):
    backoff = Backoff(initial_s=0.001, factor=1.0, jitter=0.0)
    max_attempts = 1

    @property
    def id(self) -> str:
        return self.address.rpartition("/")[2]

    async def on_start(self) -> None:
        if failing.get(self.id, 0) > 0:
            failing[self.id] -= 1
            log.append(f"!{self.id}")
            raise RuntimeError(f"{self.id} can't start")
        log.append(f"+{self.id}")

    async def on_stop(self, reason: ExitReason) -> None:
        log.append(f"-{self.id}" + ("" if reason.kind == "shutdown" else f":{reason.kind}"))

    @handler
    def die(self, message: Die) -> None:
        match message.how:
            case "normal":
                self.stop()
            case "shutdown":
                self.stop(ExitReason.shutdown("enough"))
            case "killed":
                self.stop(ExitReason.killed("by itself"))
            case "retire":
                self.retire()
            case how:
                raise RuntimeError(how)

    @handler
    def hi(self, request: Hi) -> int:
        return 1

    @handler
    def note(self, message: Note) -> None:
        self.state.notes.append(message.text)


def kids(*ids: str, **options: Any) -> list[ChildSpec]:
    return [ChildSpec(id=one, actor=Child, **options) for one in ids]


async def kill(system: Any, address: str, how: str = "error") -> None:
    await system.ref(address).tell(Die(how=how))
    await system.idle()
