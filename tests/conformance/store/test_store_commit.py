from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from store_samples import actor, commit, message, pairs

from greenroom.persistence.errors import Fenced, StoreDataError
from greenroom.persistence.store.checksums import seal
from greenroom.persistence.store.commit import Commit
from greenroom.persistence.store.rows import ActorRow, KeyRow, MessageRow, Row

Write = Callable[[Any, Commit], Coroutine[Any, Any, None]]


@pytest.fixture(params=["commit", "commit_now", "commit_transaction"])
def write(request: pytest.FixtureRequest) -> Write:
    """The three ways of writing, which must behave the same."""

    async def write(store: Any, commit: Commit) -> None:
        if request.param == "commit":
            await store.commit(commit)
        elif request.param == "commit_now":
            store.commit_now(commit)
        else:
            async with store.transaction():
                await store.commit_transaction(commit)

    return write


@pytest.mark.parametrize(("row", "same", "other"), pairs(), ids=lambda value: type(value).__name__)
async def test_put_replace_delete(stores: Any, write: Write, row: Any, same: Any, other: Any) -> None:
    from greenroom.persistence.store.rows import ROWS

    kind = type(row)
    width = ROWS[kind].key
    store = await stores.opened()
    await write(store, Commit(1).put(row, other))
    assert await store.get(kind, *row[:width]) == row
    await write(store, Commit(2).put(same))
    assert await store.get(kind, *row[:width]) == same
    assert await store.get(kind, *other[:width]) == other
    assert await store.count(kind) == 2
    key = row[0] if width == 1 else row[:width]
    await write(store, Commit(3).delete(kind, key))
    assert await store.get(kind, *row[:width]) is None
    assert await store.scan(kind) == [other]


async def test_each_commit_counts(stores: Any, write: Write) -> None:
    store = await stores.opened()
    for number in (1, 2, 5):
        await write(store, Commit(number))
        assert (await store.owner()).commit_no == number


async def test_deleting_what_isnt_there(stores: Any, write: Write) -> None:
    store = await stores.opened()
    await write(store, Commit(1).delete(MessageRow, 1, 2, 3, 9).delete(KeyRow, ("/a", "k")).delete(ActorRow, "/a"))
    assert (await store.owner()).commit_no == 1


@pytest.mark.parametrize("count", [1, 2, 3, 63, 64, 65, 511, 512, 513, 1700])
async def test_batches_of_any_size(stores: Any, count: int) -> None:
    store = await stores.opened()
    rows = [message(n) for n in range(1, count + 1)]
    keys = [seal(KeyRow("/a", str(n), "d", n, 1.0)) for n in range(1, count + 1)]
    await store.commit(commit(1, *rows).put(*keys))
    assert await store.heads() == [(row.id, row.address, row.priority, row.due) for row in rows]
    await store.commit(
        Commit(2)
        .delete(MessageRow, *(row.id for row in rows if row.id % 3))
        .delete(KeyRow, *((row.address, row.key) for row in keys[1:]))
    )
    assert [head.id for head in await store.heads()] == [row.id for row in rows if not row.id % 3]
    assert await store.scan(KeyRow) == keys[:1]


async def test_a_stretch_of_ids_takes_only_those(stores: Any) -> None:
    store = await stores.opened()
    await store.commit(commit(1, *(message(n) for n in range(1, 21))))
    await store.commit(Commit(2).delete(MessageRow, 9, 5, 7, 6, 8))
    await store.commit(Commit(3).delete(MessageRow, 11, 13, 13))
    assert [head.id for head in await store.heads()] == [1, 2, 3, 4, 10, 12, 14, 15, 16, 17, 18, 19, 20]


async def test_everything_together(stores: Any, write: Write) -> None:
    store = await stores.opened()
    await write(store, commit(1, message(1), message(2)).put(actor(state="1")))
    change = commit(2, message(3)).put(actor(state="2"), *(other for _, _, other in pairs()[2:]))
    await write(store, change.delete(MessageRow, 1))
    assert [head.id for head in await store.heads()] == [2, 3]
    assert await store.get(ActorRow, "/bank/alice") == actor(state="2")
    for _, _, other in pairs()[2:]:
        assert await store.count(type(other)) == 1


async def test_a_message_may_be_deleted_and_inserted_in_one_commit(stores: Any) -> None:
    store = await stores.opened()
    await store.commit(commit(1, message(1)))
    await store.commit(commit(2, message(1, priority=9)).delete(MessageRow, 1))
    assert await store.get(MessageRow, 1) == message(1, priority=9)


def _refused() -> list[Any]:
    def row(**changes: Any) -> MessageRow:
        return message(5)._replace(**changes)

    return [
        pytest.param(row(id=1), id="duplicate"),
        pytest.param(row(body=None), id="null"),
        pytest.param(row(address=None), id="null-address"),
        pytest.param(row(id=1 << 63), id="too-big-an-integer"),
        pytest.param(row(priority=-(1 << 63) - 1), id="too-small-an-integer"),
        pytest.param(row(body="\ud800"), id="surrogate"),
        pytest.param(row(body=["a"]), id="no-column-type"),
    ]


@pytest.mark.parametrize("bad", _refused())
async def test_refused_data_leave_nothing(stores: Any, write: Write, bad: MessageRow) -> None:
    store = await stores.opened()
    await write(store, commit(1, message(1), message(3)))
    with pytest.raises(StoreDataError):
        await write(store, commit(2, message(2), bad, message(6)).put(actor()).delete(MessageRow, 3, 99))
    assert [head.id for head in await store.heads()] == [1, 3]
    assert await store.count(ActorRow) == 0
    assert (await store.owner()).commit_no == 1
    await write(store, commit(2, message(2)))  # and the store goes on
    assert await store.count(MessageRow) == 3


async def test_a_refused_put_leaves_nothing(stores: Any, write: Write) -> None:
    store = await stores.opened()
    with pytest.raises(StoreDataError):
        await write(store, commit(1, message(1)).put(actor()._replace(updated=None)))
    assert await store.count(MessageRow) == 0
    assert (await store.owner()).commit_no == 0


async def test_a_fenced_owner_can_commit_nothing(stores: Any, write: Write) -> None:
    store = await stores.opened()
    await write(store, commit(1, message(1)))
    stores.usurp()
    for _ in range(2):
        with pytest.raises(Fenced) as caught:
            await write(store, commit(2, message(2)))
        assert caught.value.epoch == 1
    assert await store.count(MessageRow) == 1
    assert (await store.owner()).commit_no == 1


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "\x00",
        "a\x00b",
        "é",
        "e\u0301",
        "日本語",
        "😀",
        "\u202e",
        "'; DROP TABLE message; --",
        '"',
        "\r\n\t",
    ],
)
async def test_text_comes_back_as_it_went_in(stores: Any, text: str) -> None:
    store = await stores.opened()
    row = message(1, address=f"/{text}", body=text, key=text, type=text)
    await store.commit(commit(1, row).put(actor(address=text, state=text)))
    assert await store.get(MessageRow, 1) == row
    assert await store.get(ActorRow, text) == actor(address=text, state=text)
    await store.commit(Commit(2).delete(ActorRow, text))
    assert await store.count(ActorRow) == 0


async def test_a_body_of_many_megabytes(stores: Any) -> None:
    store = await stores.opened()
    row = message(1, body="é" * (8 << 20))
    await store.commit(commit(1, row, message(2)))
    assert await store.get(MessageRow, 1) == row


@pytest.mark.parametrize("number", [0, 1, -1, (1 << 63) - 1, -(1 << 63)])
async def test_integers_to_the_edge(stores: Any, number: int) -> None:
    store = await stores.opened()
    await store.commit(commit(1, message(1, priority=number)))
    assert (await store.get(MessageRow, 1)).priority == number


@pytest.mark.parametrize("due", [0.0, 0.1, 1795302719.9779673, 5e-324, 1.7976931348623157e308, float("inf")])
async def test_floats_to_the_last_bit(stores: Any, due: float) -> None:
    store = await stores.opened()
    await store.commit(commit(1, message(1, due=due)))
    assert (await store.get(MessageRow, 1)).due == due


async def test_sealed_numbers_are_what_a_database_gives_back(stores: Any) -> None:
    store = await stores.opened()
    row: Row = seal(message(1)._replace(due=5, priority=True))  # type: ignore[type-var]
    await store.commit(commit(1, row))  # type: ignore[arg-type]
    found = await store.get(MessageRow, 1)
    assert (type(found.due), type(found.priority)) == (float, int)


async def test_many_commits_in_flight_keep_their_order(stores: Any) -> None:
    import asyncio

    store = await stores.opened()
    await asyncio.gather(*(store.commit(Commit(n).put(actor(state=str(n)))) for n in range(1, 51)))
    assert (await store.get(ActorRow, "/bank/alice")).state == "50"
    assert (await store.owner()).commit_no == 50
