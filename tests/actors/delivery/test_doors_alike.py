"""Many doors, one guard: `ref`, `from_thread`, `Client`, a group, a turn, in memory or with rows: the same values are
refused with the same errors, and nothing of them is left behind."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Literal

import msgspec
import pytest
from grounds import SqliteGround, tree
from patience import patient

from greenroom import (
    Actor,
    ActorNotFound,
    ActorSystem,
    Client,
    KeyUnsupported,
    Message,
    NotAMessage,
    Request,
    UndecodableMessage,
    handler,
)
from greenroom.persistence.store.rows import DeadLetterRow, InboxRow, KeyRow, MessageRow


class Add(Message):
    number: int = 0
    text: str = ""
    ratio: float = 0.0
    kind: Literal["a", "b"] = "a"
    small: Annotated[int, msgspec.Meta(lt=10)] = 0
    parts: tuple[int, ...] = ()


class Flat(Message):
    """Checked by msgpack when it is told in memory."""

    number: int = 0
    text: str | None = None


class Sum(Request[int]):
    number: int = 0


class Through(Request[str]):
    """Make a call inside a turn."""

    call: str


class Account(Actor[None]):
    handled: list[Any]
    within: Callable[[Actor[Any]], Any]

    @handler
    def add(self, message: Add) -> None:
        Account.handled.append(message)

    @handler
    def flat(self, message: Flat) -> None:
        Account.handled.append(message)

    @handler
    def sum(self, message: Sum) -> int:
        Account.handled.append(message)
        return message.number

    @handler
    async def through(self, message: Through) -> str:
        try:
            found = Account.within(self)
            if asyncio.iscoroutine(found):
                await found
        except Exception as error:
            return f"{type(error).__name__}: {error}"
        return "taken"


class Light(Account):
    durable = False


TREE = tree(("account", Account), ("light", Light), ("caller", Account))

Tell = Callable[[ActorSystem, Client, str, Any, dict[str, Any]], Awaitable[str]]


@pytest.fixture(autouse=True)
def fresh() -> None:
    Account.handled = []


async def outcome(call: Callable[[], Any]) -> str:
    try:
        found = call()
        if asyncio.isfuture(found) or hasattr(found, "__await__"):
            await found
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "taken"


async def by_ref(system: ActorSystem, client: Client, address: str, message: Any, options: dict[str, Any]) -> str:
    return await outcome(lambda: system.ref(address).tell(message, **options))


async def by_thread(system: ActorSystem, client: Client, address: str, message: Any, options: dict[str, Any]) -> str:
    return await outcome(lambda: asyncio.to_thread(system.ref(address).from_thread.tell, message, **options))


async def by_client(system: ActorSystem, client: Client, address: str, message: Any, options: dict[str, Any]) -> str:
    return await outcome(lambda: client.tell(address, message, **options))


async def by_turn(system: ActorSystem, client: Client, address: str, message: Any, options: dict[str, Any]) -> str:
    Account.within = lambda actor: actor.system.ref(address).tell(message, **options)  # type: ignore[assignment,misc]
    return await system.ref("/t/caller").ask(Through(call="tell"))


TELLS: dict[str, Tell] = {"ref": by_ref, "thread": by_thread, "client": by_client, "turn": by_turn}


async def ask_by_ref(system: ActorSystem, client: Client, address: str, message: Any, options: dict[str, Any]) -> str:
    return await outcome(lambda: system.ref(address).ask(message, **options))


async def ask_by_thread(
    system: ActorSystem, client: Client, address: str, message: Any, options: dict[str, Any]
) -> str:
    return await outcome(lambda: asyncio.to_thread(system.ref(address).from_thread.ask, message, **options))


async def ask_by_client(
    system: ActorSystem, client: Client, address: str, message: Any, options: dict[str, Any]
) -> str:
    return await outcome(lambda: client.ask(address, message, **options))


async def ask_by_turn(system: ActorSystem, client: Client, address: str, message: Any, options: dict[str, Any]) -> str:
    Account.within = lambda actor: actor.system.ref(address).ask(message, **options)  # type: ignore[assignment,misc]
    return await system.ref("/t/caller").ask(Through(call="ask"))


ASKS: dict[str, Tell] = {
    "ref": ask_by_ref,
    "thread": ask_by_thread,
    "client": ask_by_client,
    "turn": ask_by_turn,
}

BAD_OPTIONS: list[tuple[dict[str, Any], str]] = [
    ({"delay_s": -1}, "ValueError: delay_s=-1: it is at least 0"),
    ({"delay_s": -0.001}, "ValueError: delay_s=-0.001"),
    ({"delay_s": math.nan}, "ValueError: delay_s=nan"),
    ({"delay_s": math.inf}, "ValueError: delay_s=inf: it is at least 0 and at most 3,162,240,000 seconds"),
    ({"delay_s": 1e10}, "ValueError: delay_s=10000000000.0"),
    ({"delay_s": 10**400}, "ValueError: delay_s=an integer of 1329 bits"),
    ({"delay_s": "5"}, "TypeError: delay_s='5': it is a number of seconds"),
    ({"delay_s": ""}, "TypeError: delay_s=''"),
    ({"delay_s": True}, "TypeError: delay_s=True"),
    ({"delay_s": False}, "TypeError: delay_s=False"),
    ({"priority": 1.5}, "TypeError: priority=1.5: a priority is an int"),
    ({"priority": 0.0}, "TypeError: priority=0.0"),
    ({"priority": True}, "TypeError: priority=True"),
    ({"priority": False}, "TypeError: priority=False"),
    ({"priority": "1"}, "TypeError: priority='1'"),
    ({"priority": None}, "TypeError: priority=None"),
    ({"priority": 1 << 30}, "ValueError: priority=1073741824: a priority lies within ±1073741823"),
    ({"priority": -(1 << 70)}, "ValueError: priority=-"),
    ({"key": ""}, "ValueError: key='': an idempotency key is printable, and 1 to 500 characters"),
    ({"key": "a\nb"}, "ValueError: key='a\\nb'"),
    ({"key": "\udc80"}, "ValueError: key='\\udc80'"),
    ({"key": "k" * 501}, "ValueError: key='kkk"),
    ({"key": 5}, "TypeError: key=5: an idempotency key is a str"),
    ({"key": b"k"}, "TypeError: key=b'k'"),
]
BAD_TIMEOUTS: list[tuple[Any, str]] = [
    (None, "TypeError: timeout_s=None: it is a number of seconds"),
    ("5", "TypeError: timeout_s='5'"),
    (True, "TypeError: timeout_s=True"),
    (math.inf, "ValueError: timeout_s=inf: it is above 0 and at most 3,162,240,000 seconds"),
    (math.nan, "ValueError: timeout_s=nan"),
    (-1, "ValueError: timeout_s=-1"),
    (0, "ValueError: timeout_s=0"),
    (0.0, "ValueError: timeout_s=0.0"),
    (10**400, "ValueError: timeout_s=an integer of 1329 bits"),
]
BAD_MESSAGES: list[tuple[Any, str]] = [
    ("hello", "NotAMessage"),
    (Add, "NotAMessage"),
    (None, "NotAMessage"),
    (Add(number="five"), "UndecodableMessage"),  # type: ignore[arg-type]
    (Add(text=5), "UndecodableMessage"),  # type: ignore[arg-type]
    (Add(text="\udc80"), "UndecodableMessage"),
    (Add(ratio=math.nan), "UndecodableMessage"),
    (Add(kind="c"), "UndecodableMessage"),  # type: ignore[arg-type]
    (Add(small=10), "UndecodableMessage"),
    (Add(parts=("x",)), "UndecodableMessage"),  # type: ignore[arg-type]
    (Add(parts=[1]), "UndecodableMessage"),  # type: ignore[arg-type]
    (Flat(number="five"), "UndecodableMessage"),  # type: ignore[arg-type]
    (Flat(number=True), "UndecodableMessage"),
    (Flat(text="\udc80"), "UndecodableMessage"),
    (Flat(text=object()), "UndecodableMessage"),  # type: ignore[arg-type]
]
BAD_REQUESTS: list[tuple[Any, str]] = [
    ("hello", "NotAMessage"),
    (Flat(), "NotAMessage"),
    (Sum(number="five"), "UndecodableMessage"),  # type: ignore[arg-type]
]
BAD_ADDRESSES = ("t/account", "/t/account/", "", "/", "//account", "/t//a", "/t/\na", f"/t/{'x' * 201}", 5, None)


async def everywhere(disk: SqliteGround, doors: dict[str, Tell], cases: list[Any]) -> None:
    """Each case at each door, at an actor with rows and at one without."""
    async with disk.node(TREE) as system, Client(disk.url) as client:
        await system.ref("/t/light").tell(Flat())  # so that the short way in memory is known
        await system.ref("/t/light").tell(Add())
        await patient(system.idle())
        Account.handled.clear()
        for message, options, wanted in cases:
            for name, door in doors.items():
                for address in ("/t/account", "/t/light"):
                    if "key" in options and address == "/t/light":
                        continue  # below
                    found = await patient(door(system, client, address, message, options))
                    assert found.startswith(wanted), (name, address, message, options)
        await patient(system.idle())
        assert Account.handled == []
        for kind in (MessageRow, InboxRow, KeyRow, DeadLetterRow):
            assert disk.rows(kind) == []


async def test_options(disk: SqliteGround) -> None:
    await everywhere(disk, TELLS, [(Add(), options, wanted) for options, wanted in BAD_OPTIONS])


async def test_time_limits(disk: SqliteGround) -> None:
    await everywhere(disk, ASKS, [(Sum(), {"timeout_s": limit}, wanted) for limit, wanted in BAD_TIMEOUTS])


async def test_values_of_fields(disk: SqliteGround) -> None:
    await everywhere(disk, TELLS, [(message, {}, wanted) for message, wanted in BAD_MESSAGES])


async def test_values_of_fields_of_delayed_tells(disk: SqliteGround) -> None:
    await everywhere(
        disk, TELLS, [(message, {"delay_s": 1, "priority": 1}, wanted) for message, wanted in BAD_MESSAGES]
    )


async def test_f15_values_of_requests(disk: SqliteGround) -> None:
    await everywhere(disk, ASKS, [(message, {}, wanted) for message, wanted in BAD_REQUESTS])


async def test_addresses(disk: SqliteGround) -> None:
    async with disk.node(TREE) as system, Client(disk.url) as client:
        for address in BAD_ADDRESSES:
            for doors, message in ((TELLS, Flat()), (ASKS, Sum())):
                for name, door in doors.items():
                    found = await patient(door(system, client, address, message, {}))  # type: ignore[arg-type]
                    assert found.startswith("ActorNotFound: no actor at "), (name, address, found)
        assert disk.rows(InboxRow) == []


async def test_good_values_are_taken_everywhere(disk: SqliteGround) -> None:
    options: list[dict[str, Any]] = [
        {},
        {"delay_s": 0},
        {"delay_s": 0.0},
        {"priority": (1 << 30) - 1},
        {"priority": 1 - (1 << 30)},
        {"key": None},
    ]
    async with disk.node(TREE) as system, Client(disk.url) as client:
        for given in options:
            for name, door in TELLS.items():
                for address in ("/t/account", "/t/light"):
                    assert await patient(door(system, client, address, Flat(text=name), given)) == "taken"
        for limit in (1, 2.5, 3e9):
            for door in ASKS.values():
                assert await patient(door(system, client, "/t/light", Sum(), {"timeout_s": limit})) == "taken"
        await patient(system.idle())
        assert len([m for m in Account.handled if isinstance(m, Flat)]) == len(options) * len(TELLS) * 2
        assert disk.rows(DeadLetterRow) == []


async def test_a_key_for_a_mailbox_without_rows(disk: SqliteGround) -> None:
    """A client can't know that there are no rows. So its message becomes a dead letter; it isn't handled twice."""
    async with disk.node(TREE) as system, Client(disk.url) as client:
        light = system.ref("/t/light")
        with pytest.raises(KeyUnsupported, match="needs a durable mailbox"):
            light.tell(Flat(), key="k")
        with pytest.raises(ValueError, match="durable=False"):
            light.tell(Flat(), key="k", delay_s=1)
        await client.tell("/t/light", Flat(), key="k")
        await patient(system.idle())
        assert Account.handled == []
        (letter,) = disk.rows(DeadLetterRow)
        assert (letter.cause, letter.key) == ("rejected", "k")
        assert "KeyUnsupported" in letter.error


async def test_rows_that_no_door_of_ours_has_written(disk: SqliteGround) -> None:
    """A due time that never comes: the message is a dead letter, and isn't acknowledged into nothing."""
    async with disk.node(TREE) as system, Client(disk.url) as client:
        letters = await client._open()
        for due in (math.inf, 1e300):
            await letters.put(client._row("tell", "/t/account", Flat())._replace(due=due))
        await patient(system.idle())
        assert Account.handled == []
        assert [letter.cause for letter in disk.rows(DeadLetterRow)] == ["undecodable"] * 2


async def test_the_errors_are_ours(disk: SqliteGround) -> None:
    async with disk.node(TREE) as system:
        light = system.ref("/t/light")
        for call, error in (
            (lambda: light.tell(Flat(number="x")), UndecodableMessage),  # type: ignore[arg-type]
            (lambda: light.tell("x"), NotAMessage),  # type: ignore[arg-type]
            (lambda: system.ref("/t//x"), ActorNotFound),
        ):
            with pytest.raises(error):
                call()
