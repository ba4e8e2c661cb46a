"""Actors that write SQL in their turns."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from typing import Any

import msgspec
import pytest
from grounds import SqliteGround, tree
from sqlalchemy import text

from greenroom import Actor, Backoff, Message, Request, Retry, handler

log: list[str] = []


class Put(Message):
    value: str
    how: str = ""
    fail: int = 1
    """So many attempts go that way."""


class PutAsk(Request[int]):
    value: str


class Note(Message):
    text: str


class Notes(Request[list[str]]):
    pass


class Memory(msgspec.Struct):
    notes: list[str] = []


class Plain(Actor[Memory]):
    @handler
    def note(self, message: Note) -> None:
        self.state.notes.append(message.text)

    @handler
    def notes(self, request: Notes) -> list[str]:
        return self.state.notes


class Writer(Actor[Memory]):
    backoff = Backoff(initial_s=0.001, factor=1.0)
    max_attempts = 3
    gate: asyncio.Event

    async def on_start(self) -> None:
        async with self.transaction() as connection:
            await connection.execute(text("CREATE TABLE IF NOT EXISTS item (value TEXT NOT NULL UNIQUE)"))

    @handler
    async def put(self, message: Put) -> None:
        how = message.how if self.turn.attempt <= message.fail else ""
        insert = text("INSERT INTO item VALUES (:value)")
        self.state.notes.append(message.value)
        self.system.ref("/t/plain").tell(Note(text=message.value), key=message.value if how == "key" else None)
        async with self.transaction() as connection:
            await connection.execute(insert, {"value": message.value})
            log.append(f"in {message.value}")
            match how:
                case "raise":
                    raise RuntimeError(how)
                case "retry":
                    raise Retry(after_s=0)
                case "ask":
                    await self.system.ref("/t/plain").ask(Notes())
                case "settled":
                    await self.turn.settled()
                case "second":
                    async with self.transaction():
                        pytest.fail("a second transaction")
                case "wait":
                    await Writer.gate.wait()
                case "swallow":
                    for _ in range(3):
                        try:
                            await Writer.gate.wait()
                            break
                        except asyncio.CancelledError:
                            log.append("swallowed")
                case "swallow once":
                    try:
                        await Writer.gate.wait()
                    except asyncio.CancelledError:
                        log.append("swallowed")
                case "stop":
                    self.stop()
                case "retire":
                    self.retire()
        match how:
            case "raise after":
                raise RuntimeError(how)
            case "state":
                self.state.notes = object()  # type: ignore[assignment]
            case "tell after":
                self.system.ref("/t/plain").tell(Note(text=f"{message.value} after"))
                self.state.notes.append("after")
            case "ask after":
                await self.system.ref("/t/plain").ask(Notes())
            case "caught":
                pass

    @handler
    async def ask(self, request: PutAsk) -> int:
        async with self.transaction() as connection:
            await connection.execute(text("INSERT INTO item VALUES (:value)"), {"value": request.value})
            found = await connection.execute(text("SELECT count(*) FROM item"))
            return int(found.scalar_one())

    @handler
    def notes(self, request: Notes) -> list[str]:
        return self.state.notes


SPEC = tree(Plain, Writer)


def items(disk: SqliteGround) -> list[str]:
    with closing(sqlite3.connect(disk.path)) as connection:
        connection.execute("PRAGMA wal_autocheckpoint=0")
        return [value for (value,) in connection.execute("SELECT value FROM item ORDER BY rowid")]


async def state_of(system: Any, name: str) -> list[str]:
    found: list[str] = await system.ref(f"/t/{name}").ask(Notes())
    return found
