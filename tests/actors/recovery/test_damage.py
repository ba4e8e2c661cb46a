"""Rows that aren't what they were: edited by hand, damaged, of classes that have gone."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing, suppress

import msgspec
import pytest
from grounds import Ground, MemoryGround, SqliteGround, pool, tree
from patience import patient

from greenroom import Actor, Backoff, ChildSpec, Client, KeyDamaged, Message, Request, StartFailed, handler
from greenroom.persistence.store.rows import ActorRow, AttemptRow, DeadLetterRow, KeyRow, MessageRow
from greenroom.testing import Recorder, VirtualRuntime


class Note(Message):
    text: str


class Other(Message):
    pass


class Notes(Request[list[str]]):
    pass


class Memory(msgspec.Struct):
    notes: list[str] = []


class Book(Actor[Memory]):
    gate: asyncio.Event

    @handler
    async def note(self, message: Note) -> None:
        if message.text == "gate":
            await Book.gate.wait()
        self.state.notes.append(message.text)

    @handler
    def notes(self, request: Notes) -> list[str]:
        return self.state.notes


class Strict(Actor[Memory]):
    """Of the same stored name as `Book`, with a state that takes less."""

    name = "test_damage:Book"

    @handler
    def note(self, message: Note) -> None:
        self.state.notes.append(message.text)


SPECS = {"static": (tree(Book), "/t/book"), "pool": (tree(pool(Book)), "/t/pool/x")}


@pytest.fixture(autouse=True)
def fresh() -> None:
    Book.gate = asyncio.Event()


async def with_backlog(ground: Ground, where: str, count: int = 4) -> Ground:
    """Data with `count` unhandled notes "0", "1", ... for the book, behind one that was being handled."""
    spec, address = SPECS[where]
    async with ground.node(spec) as system:
        book = system.ref(address)
        await book.tell(Note(text="before"))
        await system.idle()
        await book.tell(Note(text="gate"))
        for number in range(count):
            await book.tell(Note(text=str(number)))
        image = ground.image()
        Book.gate.set()
    return image


BODIES = {
    "not JSON": "{{{",
    "empty": "",
    "another shape": '{"$type":"Note","text":5}',
    "nothing": "null",
    "a list": "[1,2]",
    "a field missing": '{"$type":"Note"}',
    "a lone quote": '"',
    "deep": "[" * 5000,
}


@pytest.mark.parametrize("sealed", [True, False], ids=["sealed", "unsealed"])
@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
@pytest.mark.parametrize("where", SPECS)
async def test_a_body_edited_by_hand(ground: Ground, where: str, body: str, sealed: bool) -> None:
    """That message is parked with its cause, the others are handled."""
    spec, address = SPECS[where]
    image = await with_backlog(ground, where)
    row = image.rows(MessageRow)[2]
    image.edit(MessageRow, row.id, sealed=sealed, body=body)
    async with image.node(spec) as system:
        events = Recorder(system)
        await system.idle()
        assert await system.ref(address).ask(Notes()) == ["before", "gate", "0", "2", "3"]
        assert not events.of("actor.exited")
    (letter,) = image.rows(DeadLetterRow)
    assert letter.cause == ("undecodable" if sealed else "corrupt")
    assert (letter.id, letter.address, letter.type, letter.body) == (row.id, address, "Note", body)
    assert letter.text
    assert not image.rows(MessageRow)


@pytest.mark.parametrize("column", ["type", "sender", "uid", "priority", "body"])
async def test_any_column_changed_past_its_checksum(ground: Ground, column: str) -> None:
    image = await with_backlog(ground, "static")
    row = image.rows(MessageRow)[2]
    image.edit(MessageRow, row.id, **{column: 77 if column == "priority" else "changed"})
    async with image.node(SPECS["static"][0]) as system:
        await system.idle()
        assert sorted(await system.ref("/t/book").ask(Notes())) == ["0", "2", "3", "before", "gate"]
    (letter,) = image.rows(DeadLetterRow)
    assert letter.cause == "corrupt"
    assert not image.rows(MessageRow)


@pytest.mark.parametrize("column", ["type", "body", "uid", "address", "sender"])
async def test_a_blob_where_text_was(disk: SqliteGround, column: str) -> None:
    """SQLite lets anybody do that."""
    image = await with_backlog(disk, "static")
    row = image.rows(MessageRow)[2]
    image.edit(MessageRow, row.id, **{column: b"\xff\xfe"})
    async with image.node(SPECS["static"][0]) as system:
        await system.idle()
        assert "3" in await system.ref("/t/book").ask(Notes())


async def test_bytes_that_are_no_text(disk: SqliteGround) -> None:
    """Text that isn't UTF-8: the driver itself refuses to read the row."""
    image = await with_backlog(disk, "static")
    assert isinstance(image, SqliteGround)
    row = image.rows(MessageRow)[2]
    with closing(sqlite3.connect(image.path)) as connection, connection:
        connection.execute("UPDATE greenroom_message SET body = CAST(x'fffe' AS TEXT) WHERE id = ?", (row.id,))
    async with image.node(SPECS["static"][0]) as system:
        await patient(system.idle())
        assert await system.ref("/t/book").ask(Notes()) == ["before", "gate", "0", "2", "3"]
    (letter,) = image.rows(DeadLetterRow)
    assert letter.cause == "corrupt"


@pytest.mark.parametrize(
    ("type_", "cause"), [("Gone", "unknown_type"), ("", "unknown_type"), ("Other", "unknown_type")]
)
async def test_a_type_that_nobody_knows(ground: Ground, type_: str, cause: str) -> None:
    image = await with_backlog(ground, "static")
    row = image.rows(MessageRow)[2]
    image.edit(MessageRow, row.id, sealed=True, type=type_)
    async with image.node(SPECS["static"][0]) as system:
        await system.idle()
        assert await system.ref("/t/book").ask(Notes()) == ["before", "gate", "0", "2", "3"]
    (letter,) = image.rows(DeadLetterRow)
    assert letter.cause in (cause, "unhandled")
    assert letter.type == type_


async def test_a_message_without_a_handler(ground: Ground) -> None:
    async with ground.node(tree(Book)) as system:
        events = Recorder(system)
        await system.ref("/t/book").tell(Other())
        await system.ref("/t/book").tell(Note(text="a"))
        await system.idle()
        assert await system.ref("/t/book").ask(Notes()) == ["a"]
        assert not events.of("actor.exited")
    (letter,) = ground.rows(DeadLetterRow)
    assert (letter.cause, letter.attempts) == ("unhandled", 0)
    assert "Other" in letter.text


# -- states ---------------------------------------------------------------------------------------------

STATES = {
    "not JSON": "{{{",
    "another shape": '{"notes":{"a":1}}',
    "null": "null",
    "empty": "",
}


@pytest.mark.parametrize("sealed", [True, False], ids=["sealed", "unsealed"])
@pytest.mark.parametrize("state", STATES.values(), ids=STATES.keys())
async def test_a_state_that_no_longer_decodes(ground: Ground, state: str, sealed: bool) -> None:
    """The start fails and says why; nothing is overwritten; put right, it goes on."""
    image = await with_backlog(ground, "static")
    (before,) = image.rows(ActorRow)
    image.edit(ActorRow, "/t/book", sealed=sealed, state=state)
    for _ in range(2):
        with pytest.raises(StartFailed) as caught:
            async with image.node(SPECS["static"][0]):
                pytest.fail("it started")
        assert "/t/book" in str(caught.value)
        assert ("StateError" if sealed else "RecordCorrupt") in str(caught.value)
        (row,) = image.rows(ActorRow)
        assert row.state == state
        assert len(image.rows(MessageRow)) == 5
    image.edit(ActorRow, "/t/book", sealed=True, state=before.state)
    async with image.node(SPECS["static"][0]) as system:
        await system.idle()
        assert await system.ref("/t/book").ask(Notes()) == ["before", "gate", "0", "1", "2", "3"]


async def test_in_a_pool_the_messages_are_parked_and_the_state_stays(ground: Ground) -> None:
    image = await with_backlog(ground, "pool", count=1)
    image.edit(ActorRow, "/t/pool/x", sealed=True, state='{"notes":7}')
    spec = tree(pool(ChildSpec(id="x", actor=Book, max_attempts=2, backoff={"initial_s": 0.001})))
    async with image.node(spec) as system:
        await system.idle()
        await system.ref("/t/pool/y").tell(Note(text="others go on"))
        await system.idle()
        assert await system.ref("/t/pool/y").ask(Notes()) == ["others go on"]
    assert [letter.cause for letter in image.rows(DeadLetterRow)] == ["start_failed"] * 2
    assert [row.state for row in image.rows(ActorRow) if row.address == "/t/pool/x"] == ['{"notes":7}']


class Renamed(Book):
    pass


async def test_a_state_of_another_class(ground: Ground) -> None:
    image = await with_backlog(ground, "static")
    with pytest.raises(StartFailed, match="test_damage:Book") as caught:
        async with image.node(tree(("book", Renamed))):
            pytest.fail("it started")
    assert "Renamed" in str(caught.value)
    assert len(image.rows(MessageRow)) == 5
    async with image.node(SPECS["static"][0]) as system:
        await system.idle()


async def test_a_class_of_the_same_stored_name_takes_over(ground: Ground) -> None:
    image = await with_backlog(ground, "static")
    async with image.node(tree(("book", Strict))) as system:
        await system.idle()
    (row,) = image.rows(ActorRow)
    assert msgspec.json.decode(row.state)["notes"] == ["before", "gate", "0", "1", "2", "3"]


# -- other rows -----------------------------------------------------------------------------------------


async def test_a_damaged_attempt_row(ground: Ground) -> None:
    """Nothing of it is believed, neither how many there were nor when the next is due."""
    class_ = ChildSpec(id="flaky", actor=Flaky, max_attempts=3)
    Flaky.failing = True
    async with ground.node(tree(class_)) as system:
        events = Recorder(system)
        await system.ref("/t/flaky").tell(Note(text="a"))
        await events.until("message.failed")
    (row,) = ground.rows(AttemptRow)
    ground.edit(AttemptRow, row.id, count=77, due=9e9)
    async with ground.node(tree(class_)) as system:
        await patient(system.idle())
    (letter,) = ground.rows(DeadLetterRow)
    assert letter.attempts == 3, "of this life alone"
    assert not ground.rows(MessageRow), "handled or parked, not stuck"
    assert not ground.rows(AttemptRow)


class Flaky(Actor[None]):
    failing = True
    backoff = Backoff(initial_s=0.01)

    @handler
    def note(self, message: Note) -> None:
        if Flaky.failing:
            raise RuntimeError


async def test_a_damaged_key_row(memory: MemoryGround, clock: VirtualRuntime) -> None:
    """Under it nothing is lost and nothing doubled: it is refused, until the key would have been forgotten anyhow."""
    async with memory.node(tree(Book), runtime=clock) as system:
        for key in ("k", "l"):
            await clock.run(system.ref("/t/book").tell(Note(text=key), key=key))
        await clock.run(system.idle())
    for key in ("k", "l"):
        memory.edit(KeyRow, ("/t/book", key), digest="changed", expires=9e9)
    for life in range(2):
        async with memory.node(tree(Book), runtime=clock) as system:
            events = Recorder(system)
            book = system.ref("/t/book")
            for _ in range(2):
                with pytest.raises(KeyDamaged, match="tell it under another key"):
                    await clock.run(book.tell(Note(text="k"), key="k"))
            await clock.run(book.tell(Note(text="m"), key="m"))
            await clock.run(system.idle())
            refused = [
                e for e in events.of("store.row_damaged", "/t/book") if "within the next" in e.measures["effect"]
            ]
            assert len(refused) == (life == 0), "it has a sound row again"
            await clock.advance(80_000 if life else 0)
            if life:
                await clock.advance(10_000)
                await clock.run(book.tell(Note(text="k"), key="k"))
                await clock.run(system.idle())
                assert await clock.run(book.ask(Notes())) == ["k", "l", "m", "k"]
    assert [row.key for row in memory.rows(KeyRow)] == ["k", "l"]


async def test_a_damaged_key_row_under_a_told_inbox_row_and_in_a_turn(disk: SqliteGround) -> None:
    async with disk.node(tree(Book, Teller)) as system:
        await system.ref("/t/book").tell(Note(text="a"), key="k")
        await system.idle()
    disk.edit(KeyRow, ("/t/book", "k"), digest="changed")
    async with Client(disk.url) as client:
        await client.tell("/t/book", Note(text="a"), key="k")
    async with disk.node(tree(Book, Teller)) as system:
        await system.idle()
        await system.ref("/t/teller").tell(Note(text="a"))
        await system.idle()
        assert await system.ref("/t/book").ask(Notes()) == ["a"]
    letters = disk.rows(DeadLetterRow)
    assert [letter.cause for letter in letters] == ["corrupt", "failed"]
    assert all(letter.error.endswith("KeyDamaged") for letter in letters)


@pytest.mark.parametrize("number", ["\x03A", b"A", None, 2.5, (1 << 63) - 1])
async def test_a_key_row_that_names_no_message(disk: SqliteGround, number: object) -> None:
    """New numbers aren't counted from there."""
    async with disk.node(tree(Book)) as system:
        await system.ref("/t/book").tell(Note(text="a"), key="k")
        await system.idle()
    with suppress(sqlite3.IntegrityError):
        disk.edit(KeyRow, ("/t/book", "k"), message_id=number)
    async with disk.node(tree(Book)) as system:
        await system.ref("/t/book").tell(Note(text="b"))
        await system.idle()
        assert await system.ref("/t/book").ask(Notes()) == ["a", "b"]


class Teller(Actor[None]):
    backoff = Backoff(initial_s=0.001)
    max_attempts = 2

    @handler
    def note(self, message: Note) -> None:
        self.system.ref("/t/book").tell(message, key="k")


@pytest.mark.parametrize("change", [{"due": 9e9}, {"address": "/t/nobody"}], ids=["due", "address"])
async def test_a_message_that_would_wait_for_ever(ground: Ground, change: dict[str, object]) -> None:
    """Its moment, or its address, is what was damaged: it is found at the boot, and parked."""
    async with ground.node(tree(Book)) as system:
        await system.ref("/t/book").tell(Note(text="later"), delay_s=1000)
        await system.ref("/t/book").tell(Note(text="much later"), delay_s=2000)
    row = ground.rows(MessageRow)[0]
    ground.edit(MessageRow, row.id, **{"due": None, **change})
    events = Recorder()
    async with ground.node(tree(Book), on_event=events) as system:
        await patient(events.until("message.parked"))
        await system.idle()
    (letter,) = ground.rows(DeadLetterRow)
    assert (letter.id, letter.cause) == (row.id, "corrupt")
    assert [left.id for left in ground.rows(MessageRow)] == [row.id + 1]


async def test_mail_for_an_address_that_is_gone(ground: Ground) -> None:
    """It stays on disk, is reported, and is handled when the tree has the address again."""
    image = await with_backlog(ground, "static")
    async with image.node(tree(("else", Book))) as system:
        await system.idle()
        assert len(image.rows(MessageRow)) == 5
    async with image.node(SPECS["static"][0]) as system:
        await system.idle()
        assert await system.ref("/t/book").ask(Notes()) == ["before", "gate", "0", "1", "2", "3"]


async def test_a_slot_file_full_of_garbage(disk: SqliteGround) -> None:
    image = await with_backlog(disk, "static")
    assert isinstance(image, SqliteGround)
    path = image.folder / "node.db.slots"
    for garbage in (b"", b"x" * 100, bytes(range(256)) * 4000, None):
        if garbage is None:
            path.unlink()
        else:
            path.write_bytes(garbage)
        async with image.node(SPECS["static"][0]) as system:
            await system.idle()
            assert len(await system.ref("/t/book").ask(Notes())) == 6
