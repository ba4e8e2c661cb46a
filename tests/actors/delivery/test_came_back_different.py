"""Every door holds messages, replies and states to one rule: they come back as they were, or the sender is told."""

from __future__ import annotations

import datetime as dt
from typing import Any, ClassVar
from zoneinfo import ZoneInfo

import msgspec
import pytest
from grounds import Ground, MemoryGround, tree

from greenroom import Actor, AskFailed, Client, ExitReason, Message, Request, UndecodableMessage, handler
from greenroom.actors.kernel.failures import park
from greenroom.actors.messages.errors import ReplyError
from greenroom.persistence.store.rows import ActorRow, DeadLetterRow

BERLIN = ZoneInfo("Europe/Berlin")


class Event(msgspec.Struct, frozen=True):
    at: int = 0


class Click(Event, frozen=True):
    x: int = 0


class Log(Message):
    event: Event
    score: float | None = None
    when: dt.datetime | None = None


class Note(Message):
    data: Any


class Relay(Message):
    way: str


class Seen(Request[list[Any]]):
    pass


class Whens(Request[list[dt.datetime | None]]):
    pass


class Last(Request[Event]):
    which: str


class Report(msgspec.Struct, frozen=True):
    event: Event


class GetReport(Request[Report]):
    wrong: bool = False


class Book(msgspec.Struct):
    last: dt.datetime | None = None
    event: Event | None = None
    score: float | None = None
    data: Any = None


class Set(Message):
    how: str


BAD: dict[str, Message] = {
    "subclass": Log(event=Click(at=1, x=7)),
    "infinity": Log(event=Event(), score=float("inf")),
    "tuple": Note(data=(1, 2)),
    "key": Note(data={1: 2}),
}


class Logger(Actor[Book]):
    max_attempts = 1

    def __init__(self) -> None:
        self.seen: list[Any] = []

    @handler
    def log(self, message: Log) -> None:
        self.seen.append(message)

    @handler
    def note(self, message: Note) -> None:
        self.seen.append(message)

    @handler
    def count(self, request: Seen) -> list[Any]:
        return [str(message) for message in self.seen]

    @handler
    def whens(self, request: Whens) -> list[dt.datetime | None]:
        return [message.when for message in self.seen]

    @handler
    def last(self, request: Last) -> Event:
        return Event(at=1) if request.which == "right" else Click(at=1, x=7)

    @handler
    def report(self, request: GetReport) -> Report:
        return Report(event=Click(at=1, x=7) if request.wrong else Event(at=3))

    @handler
    def relay(self, message: Relay) -> None:
        bad = BAD[message.way.partition("/")[2]]
        match message.way.partition("/")[0]:
            case "tell":
                self.ref.tell(bad)
            case "key":
                self.ref.tell(bad, key="k")
            case "timer":
                self.schedule(bad, after_s=0)

    @handler
    def set(self, message: Set) -> None:
        state = self.state
        match message.how:
            case "repeated":
                state.last = dt.datetime(2030, 10, 27, 2, 30, tzinfo=BERLIN)
            case "repeated, second":
                state.last = dt.datetime(2030, 10, 27, 2, 30, tzinfo=BERLIN, fold=1)
            case "left out":
                state.last = dt.datetime(2030, 3, 31, 2, 30, tzinfo=BERLIN)
            case "subclass":
                state.event = Click(at=1)
            case "infinity":
                state.score = float("inf")
            case "list":
                state.data = [1, 2]
            case "tuple":
                state.data = (1, 2)


class InMemory(Logger):
    durable = False


# -- messages ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", BAD)
@pytest.mark.parametrize("options", [{}, {"key": "k"}, {"delay_s": 0.01}, {"priority": 1}], ids=str)
async def test_a_tell_that_would_change_is_refused_at_the_teller(
    ground: Ground, what: str, options: dict[str, Any]
) -> None:
    async with ground.node(tree(Logger)) as system:
        ref = system.ref("/t/logger")
        with pytest.raises(UndecodableMessage, match="would come back as") as caught:
            ref.tell(BAD[what], **options)
        assert caught.value.remedy
        await system.idle()
        assert await ref.ask(Seen()) == []
    assert not ground.rows(DeadLetterRow)


@pytest.mark.parametrize("what", BAD)
@pytest.mark.parametrize("way", ["tell", "key", "timer"])
async def test_in_a_turn_the_turn_fails(ground: Ground, way: str, what: str) -> None:
    async with ground.node(tree(Logger)) as system:
        await system.ref("/t/logger").tell(Relay(way=f"{way}/{what}"))
        await system.idle()
        assert await system.ref("/t/logger").ask(Seen()) == []
    (letter,) = ground.rows(DeadLetterRow)
    assert letter.error.endswith("UndecodableMessage")
    assert "would come back as" in letter.text


@pytest.mark.parametrize("what", BAD)
async def test_a_client_is_told_at_once(ground: Ground, what: str) -> None:
    async with ground.node(tree(Logger)) as system, Client(ground.store()) as client:
        with pytest.raises(UndecodableMessage, match="would come back as"):
            await client.tell("/t/logger", BAD[what])
        await system.idle()
    assert not ground.rows(DeadLetterRow)


@pytest.mark.parametrize("what", BAD)
async def test_one_told_in_memory_is_held_to_the_same(memory: MemoryGround, what: str) -> None:
    async with memory.node(tree(InMemory)) as system:
        ref = system.ref("/t/inmemory")
        for _ in range(3):  # the first of its class, and the usual ways
            with pytest.raises(UndecodableMessage, match="would come back as"):
                ref.tell(BAD[what])
        ref.tell(Note(data=[1, 2]))
        await system.idle()
        assert await ref.ask(Seen()) == ["Note(data=[1, 2])"]


class Doubtful(Message):
    text: str = ""
    score: float | None = None


@pytest.mark.parametrize(
    "message",
    [Doubtful(text="\ud800"), Doubtful(score=float("inf")), Doubtful(text=b"x"), Doubtful(text=object())],  # type: ignore[arg-type]
    ids=["surrogate", "infinity", "bytes", "object"],
)
async def test_a_dead_letter_of_what_json_cannot_carry_has_its_repr(memory: MemoryGround, message: Doubtful) -> None:
    async with memory.node(tree(InMemory)) as system:
        kernel = system.kernel
        for one in (message, Doubtful(text="plain")):
            park(kernel, kernel.wrap("/t/inmemory", one), ExitReason.from_exception(ValueError()), "failed")
        await system.idle()
    first, second = memory.rows(DeadLetterRow)
    assert msgspec.json.decode(first.body) == repr(message).encode("utf-8", "backslashreplace").decode()
    assert msgspec.json.decode(second.body, type=Doubtful) == Doubtful(text="plain")


class Pressed(Message, tag="event"):
    at: int = 0


class PressedTwice(Pressed, tag="event"):
    x: int = 0


class PressedLong(Pressed):
    x: int = 0


class Presses(Actor[None]):
    seen: ClassVar[list[str]] = []

    @handler
    def pressed(self, message: Pressed) -> None:
        Presses.seen.append(type(message).__name__)


async def test_a_subclass_under_the_tag_of_its_base_would_come_back_as_that_and_is_unhandled(ground: Ground) -> None:
    Presses.seen.clear()
    async with ground.node(tree(Presses)) as system:
        for message in (PressedTwice(x=7), PressedLong(x=7), Pressed()):
            await system.ref("/t/presses").tell(message)
        await system.idle()
    (letter,) = ground.rows(DeadLetterRow)
    assert letter.cause == "unhandled"
    assert "give it a tag of its own" in letter.text
    assert Presses.seen == ["PressedLong", "Pressed"]


@pytest.mark.parametrize("fold", [0, 1])
@pytest.mark.parametrize("day", [dt.datetime(2030, 10, 27, 2, 30), dt.datetime(2030, 3, 31, 2, 30)], ids=str)
async def test_an_instant_of_the_repeated_hour_arrives(ground: Ground, fold: int, day: dt.datetime) -> None:
    when = day.replace(tzinfo=BERLIN, fold=fold)
    async with ground.node(tree(Logger)) as system:
        ref = system.ref("/t/logger")
        await ref.tell(Log(event=Event(), when=when))
        await system.idle()
        (arrived,) = await ref.ask(Whens())
        assert arrived is not None
        assert arrived.astimezone(dt.UTC) == when.astimezone(dt.UTC)


# -- replies ---------------------------------------------------------------------------------------------------------


async def test_a_reply_that_would_be_cut_down_fails_its_turn(ground: Ground) -> None:
    async with ground.node(tree(Logger)) as system:
        ref = system.ref("/t/logger")
        assert await ref.ask(Last(which="right")) == Event(at=1)
        with pytest.raises(AskFailed, match="reply is Click\\(at=1, x=7\\) and would come back as Event\\(at=1\\)"):
            await ref.ask(Last(which="wrong"))


async def test_a_reply_to_another_process_is_held_to_the_same(ground: Ground) -> None:
    async with ground.node(tree(Logger)), Client(ground.store()) as client:
        assert await client.ask("/t/logger", GetReport(), timeout_s=60) == Report(event=Event(at=3))
        with pytest.raises(ReplyError, match=r"reply.event is Click\(at=1, x=7\)"):
            await client.ask("/t/logger", GetReport(wrong=True), timeout_s=60)


# -- states ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["repeated", "repeated, second", "left out"])
async def test_a_state_in_the_repeated_hour_is_kept_by_its_instant(ground: Ground, how: str) -> None:
    async with ground.node(tree(Logger)) as system:
        await system.ref("/t/logger").tell(Set(how=how))
        await system.idle()
    assert not ground.rows(DeadLetterRow)
    (row,) = [row for row in ground.rows(ActorRow) if row.address == "/t/logger"]
    stored = msgspec.json.decode(row.state, type=Book).last
    day = dt.datetime(2030, 3 if how == "left out" else 10, 31 if how == "left out" else 27, 2, 30, tzinfo=BERLIN)
    instant = day.replace(fold=int(how.endswith("second"))).astimezone(dt.UTC)
    assert stored is not None
    assert stored.astimezone(dt.UTC) == instant


@pytest.mark.parametrize(("how", "place"), [("subclass", "state.event"), ("infinity", "state.score")])
async def test_a_state_that_would_change_fails_its_turn_and_names_the_field(
    ground: Ground, how: str, place: str
) -> None:
    async with ground.node(tree(Logger)) as system:
        await system.ref("/t/logger").tell(Set(how=how))
        await system.idle()
    (letter,) = ground.rows(DeadLetterRow)
    assert f"{place} is" in letter.text
    assert letter.error.endswith("StateError")


async def test_a_state_whose_bytes_stay_the_same_is_compared_where_its_type_is_open(ground: Ground) -> None:
    async with ground.node(tree(Logger)) as system:
        ref = system.ref("/t/logger")
        await ref.tell(Set(how="list"))
        await ref.tell(Set(how="tuple"))  # the same bytes
        await system.idle()
    (letter,) = ground.rows(DeadLetterRow)
    assert "state.data is (1, 2) and would come back as [1, 2]" in letter.text
