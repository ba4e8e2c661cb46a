"""A store with rows of every kind, single bits of which are flipped in its file, and the node on it."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from grounds import SqliteGround, as_spec, pool, tree
from patience import patience

from greenroom import (
    Actor,
    AskFailed,
    Backoff,
    Client,
    Down,
    GreenroomError,
    Message,
    Request,
    StartFailed,
    StoreError,
    TreeGaveUp,
    handler,
)
from greenroom.actors.recovery.damage import check_waiting
from greenroom.persistence.engines.sqlite.driver import connect
from greenroom.persistence.maintenance.verify import verify_store
from greenroom.persistence.store.checksums import seal
from greenroom.persistence.store.rows import OWNER_TABLE, ROWS, DeadLetterRow, KeyRow, MessageRow, ReplyRow
from greenroom.testing import Recorder

PAGE = 4096
DAMAGE_EVENTS = ("message.parked", "store.row_damaged", "message.orphaned", "actor.start_failed", "store.commits_lost")


class Note(Message):
    text: str


class Notes(Request[list[str]]):
    pass


class Memory(msgspec.Struct):
    notes: list[str] = []


class Book(Actor[Memory]):
    backoff = Backoff(initial_s=0.2, factor=1.0, jitter=0.0)
    max_attempts = 3
    gate = asyncio.Event()
    failing = False

    @handler
    async def note(self, message: Note) -> None:
        if message.text == "timer":
            self.schedule(Note(text="tick"), every_s=86_400.0, name="tock")
            self.monitor(self.system.ref("/t/pool/x"))
        if message.text == "gate":
            await Book.gate.wait()
        if message.text == "parked" or (Book.failing and message.text.startswith("fails")):
            raise RuntimeError(message.text)
        self.state.notes.append(message.text)

    @handler
    def down(self, message: Down) -> None:
        """Whom it monitors may not be startable any more."""

    @handler
    def notes(self, request: Notes) -> list[str]:
        return self.state.notes


SPEC = tree(("alice", Book), ("bob", Book), pool(as_spec(("x", Book))), intensity=1000)
BASE = {"/t/alice": ["timer", "one", "keyed"], "/t/bob": ["two"], "/t/pool/x": ["three"]}
"""The entries that each has in its state."""
PENDING = {"/t/alice": ["gate", "four", "inbox"], "/t/bob": ["fails", "five"], "/t/pool/x": ["six"]}
"""The messages that are told to each, and not handled."""
LATER = "later"
"""Told to bob, for a day from now."""


class Place(NamedTuple):
    """One bit of the file."""

    table: str
    """A table, or "index of" one."""
    byte: int
    bit: int


async def grow(folder: Path) -> SqliteGround:
    """A store as kill -9 leaves it, with a row of every kind, all of it in the database file itself."""
    ground = SqliteGround(folder / "live")
    Book.gate, Book.failing = asyncio.Event(), True
    async with ground.node(SPEC) as system:
        alice, bob, pooled = (system.ref(address) for address in BASE)
        for ref, notes in ((alice, BASE["/t/alice"]), (bob, BASE["/t/bob"]), (pooled, BASE["/t/pool/x"])):
            for text in notes:
                await ref.tell(Note(text=text), key="key" if text == "keyed" else None)
        await bob.tell(Note(text="parked"))
        await system.idle()
        await bob.tell(Note(text=LATER), delay_s=86_400)
        events = Recorder(system)
        await alice.tell(Note(text="gate"))
        await alice.tell(Note(text="four"))
        await pooled.tell(Note(text="six"), delay_s=0.2)
        await bob.tell(Note(text="fails"))
        await bob.tell(Note(text="five"), delay_s=0.2)
        await events.until("message.failed", "/t/bob")
        await system.kernel.commits.flush()
        image = ground.image()
        Book.failing = False
        Book.gate.set()
    assert isinstance(image, SqliteGround)
    async with Client(image.url) as client:
        await client.tell("/t/alice", Note(text="inbox"))
    with closing(sqlite3.connect(image.path, isolation_level=None)) as connection:
        reply = seal(ReplyRow(77, 1, "null", "", 4e9))
        connection.execute(f"INSERT INTO greenroom_reply VALUES ({', '.join('?' * len(reply))})", reply)
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.execute("PRAGMA journal_mode=DELETE")
        for table in ROWS.values():
            count = connection.execute(f'SELECT count(*) FROM "{table.name}"').fetchone()[0]
            assert count, f"no {table.name}"
    return image


def places(path: Path) -> Iterator[Place]:
    """Every bit of every cell of our tables and of their indexes. SQLite: fileformat.html, 1.6"""
    raw = path.read_bytes()
    ours = {table.name for table in ROWS.values()} | {OWNER_TABLE}
    with closing(sqlite3.connect(path)) as connection:
        found = connection.execute("SELECT type, tbl_name, rootpage FROM sqlite_schema WHERE rootpage > 0").fetchall()
    for kind, table, root in found:
        if table not in ours:
            continue
        page = (root - 1) * PAGE
        assert raw[page] in (10, 13), f"{table} has more than one page"
        count = int.from_bytes(raw[page + 3 : page + 5], "big")
        begins = sorted(
            page + int.from_bytes(raw[page + 8 + 2 * number : page + 10 + 2 * number], "big") for number in range(count)
        )
        name = table if kind == "table" else f"index of {table}"
        for begin, end in zip(begins, [*begins[1:], page + PAGE], strict=True):
            for byte in range(begin, end):
                for bit in range(8):
                    yield Place(name, byte, bit)


class Rotten:
    """Copies of one store, each with one bit flipped."""

    def __init__(self, image: SqliteGround, folder: Path) -> None:
        self.whole = image.path.read_bytes()
        self.slots = (image.folder / "node.db.slots").read_bytes()
        self.folder = folder

    async def outcome(self, place: Place) -> str:
        """The outcome of a node on it; an AssertionError if that is wrong data, or silence."""
        shutil.rmtree(self.folder, ignore_errors=True)
        ground = SqliteGround(self.folder)
        raw = bytearray(self.whole)
        raw[place.byte] ^= 1 << place.bit
        ground.path.write_bytes(raw)
        Book.gate.set()
        reported: list[str] = []
        try:
            async with patience():
                answers = await self._run(ground, reported)
        except (StoreError, StartFailed, TreeGaveUp) as error:
            assert str(error)
            return f"refused: {type(error).__name__}"
        damaged = self._damaged(ground)
        self._audit(ground, answers, bool(reported or damaged), place.table == ROWS[KeyRow].name and bool(reported))
        if reported:
            return "reported"
        return "found by verify" if damaged else "harmless"

    async def _run(self, ground: SqliteGround, reported: list[str]) -> dict[str, list[str] | None]:
        answers: dict[str, list[str] | None] = {}

        def look(event: Any) -> None:
            if event.name in DAMAGE_EVENTS:
                reported.append(event.name)

        async with ground.node(SPEC, on_event=look) as system:
            await system.idle()
            await check_waiting(system.kernel)  # as the housekeeping does
            try:
                await system.ref("/t/alice").tell(Note(text="keyed"), key="key")
            except GreenroomError as error:
                reported.append(type(error).__name__)
            await system.idle()
            for address in BASE:
                try:
                    answers[address] = await system.ref(address).ask(Notes())
                except (AskFailed, GreenroomError):
                    answers[address] = None
            await system.idle()
        return answers

    def _damaged(self, ground: SqliteGround) -> int:
        try:
            with closing(connect(str(ground.path), reads_only=True)) as connection:
                return verify_store(connection, str(ground.path)).count
        except StoreError:
            return 1

    def _audit(self, ground: SqliteGround, answers: dict[str, list[str] | None], said: bool, key_lost: bool) -> None:
        kept = [*_rows(ground, DeadLetterRow, said), *_rows(ground, MessageRow, said)]
        for address, answer in answers.items():
            if answer is None:
                assert said, f"{address} doesn't answer, and nothing says why"
                continue
            base, expected = BASE[address], BASE[address] + PENDING[address]
            if (
                key_lost and answer[-1] == "keyed"
            ):  # a key that is another one now: what it said is unknown, and reported
                answer = answer[:-1]
            assert answer[: len(base)] == base, f"{address} has lost its state: {answer}"
            assert len(set(answer)) == len(answer), f"{address} has done something twice: {answer}"
            assert set(answer) <= {*expected, "tick"}, f"{address} has done what nobody told it: {answer}"
            for text in PENDING[address]:
                gone = text not in answer and not any(text in str(row.body) for row in kept)
                assert not gone or said, f"{text!r} is lost: {answer}, {kept}"
            assert said or sorted(answer) == sorted(expected), f"{address}: {answer}"


def _rows(ground: SqliteGround, kind: Any, said: bool) -> list[Any]:
    try:
        return ground.rows(kind)
    except sqlite3.Error:
        assert said
        return []
