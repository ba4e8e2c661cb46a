"""Workers that end well, late or never."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
from grounds import Ground

from greenroom import Actor, Backoff, ChildSpec, ExitReason, Message, Request, handler
from greenroom.persistence.store.rows import ActorRow

log: list[str] = []


class Run(Message):
    how: str = ""
    note: str = ""


class Notes(Request[list[str]]):
    pass


class Memory(msgspec.Struct):
    notes: list[str] = []


async def swallow_cancellations() -> None:
    """Wait for the gate through one cancellation; a second one, at the end of the loop, gets through."""
    try:
        await Worker.gate.wait()
        return
    except asyncio.CancelledError:
        log.append("swallowed")
    await Worker.gate.wait()


class Worker(Actor[Memory]):
    """`how` says what a turn does before it notes something."""

    gate: asyncio.Event
    backoff = Backoff(initial_s=0.001, factor=1.0)
    max_attempts = 2
    zombie: Worker

    @handler
    async def run(self, message: Run) -> None:
        log.append(f"run {message.how}")
        Worker.zombie = self
        self.state.notes.append("draft")
        match message.how:
            case "wait":
                await Worker.gate.wait()
            case "never":
                await asyncio.Event().wait()
            case "swallow":
                await swallow_cancellations()
                self.system.ref("/t/other").tell(Run(note="from a zombie"))
            case "swallow once":
                try:
                    await Worker.gate.wait()
                except asyncio.CancelledError:
                    log.append("swallowed")
            case "cleanup":
                try:
                    await Worker.gate.wait()
                finally:
                    log.append("cleaned up")
        self.state.notes.remove("draft")
        self.state.notes.append(message.note)

    @handler
    def notes(self, request: Notes) -> list[str]:
        return self.state.notes

    async def on_stop(self, reason: ExitReason) -> None:
        log.append(f"stop {reason.kind}")


def worker(**options: Any) -> ChildSpec:
    return ChildSpec(id="worker", actor=Worker, **options)


async def running(clock: Any) -> None:
    await clock.settle()
    assert log[-1].startswith("run")


def notes(ground: Ground, address: str = "/t/worker") -> list[str]:
    (row,) = [row for row in ground.rows(ActorRow) if row.address == address]
    found: list[str] = msgspec.json.decode(row.state)["notes"]
    return found
