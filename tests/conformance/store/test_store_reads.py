from __future__ import annotations

from typing import Any

import pytest
from store_samples import UID, actor, commit, message, pairs

from greenroom.persistence.errors import RecordCorrupt, StoreUnavailable
from greenroom.persistence.store.checksums import seal, verify
from greenroom.persistence.store.commit import Commit
from greenroom.persistence.store.rows import ROWS, ActorRow, AttemptRow, DeadLetterRow, KeyRow, MessageRow, Row


async def test_nothing_there(stores: Any) -> None:
    store = await stores.opened()
    for kind, table in ROWS.items():
        assert await store.get(kind, *(0,) * table.key) is None
        assert await store.scan(kind) == []
        assert await store.count(kind) == 0
    assert await store.heads() == []
    assert await store.messages([]) == []
    assert await store.messages([1]) == []
    assert await store.last_id() == 0


async def test_scan_in_key_order(stores: Any) -> None:
    store = await stores.opened()
    addresses = ["/b", "/a", "/é", "/Z", "/a/b", "/a\x00", "/😀", "/ａ", ""]
    await store.commit(Commit(1).put(*(actor(address=address) for address in addresses)))
    assert [row.address for row in await store.scan(ActorRow)] == sorted(addresses)
    assert [row.address for row in await store.scan(ActorRow, descending=True)] == sorted(addresses, reverse=True)


async def test_scan_in_pages(stores: Any) -> None:
    store = await stores.opened()
    keys = [seal(KeyRow(f"/{a}", f"{k:03}", "d", 1, 1.0)) for a in "abc" for k in range(30)]
    await store.commit(Commit(1).put(*reversed(keys)))
    for descending in (False, True):
        found: list[KeyRow] = []
        after = None
        while page := await store.scan(KeyRow, after=after, limit=7, descending=descending):
            assert len(page) <= 7
            found += page
            after = page[-1][:2]
        assert found == (keys[::-1] if descending else keys)


async def test_scan_with_equal(stores: Any) -> None:
    store = await stores.opened()
    rows = [message(n, address=f"/{n % 3}", key="k" if n % 2 else None) for n in range(1, 31)]
    await store.commit(commit(1, *rows))
    assert await store.scan(MessageRow, address="/1") == [row for row in rows if row.address == "/1"]
    assert await store.scan(MessageRow, key=None) == [row for row in rows if row.key is None]
    assert await store.scan(MessageRow, address="/1", key="k", after=(7,), limit=2) == [rows[12], rows[18]]
    assert await store.count(MessageRow, address="/1") == 10
    assert await store.count(MessageRow, key=None, address="/2") == 5


async def test_iterate(stores: Any) -> None:
    store = await stores.opened()
    keys = [seal(KeyRow(f"/{a}", f"{k:03}", "d", 1, 1.0)) for a in "ab" for k in range(30)]
    await store.commit(Commit(1).put(*keys))
    assert [row async for row in store.iterate(KeyRow, chunk=7)] == keys
    assert [row async for row in store.iterate(KeyRow, chunk=7, address="/b")] == keys[30:]


async def test_misuse_is_told(stores: Any) -> None:
    store = await stores.opened()
    for use in (
        store.scan(MessageRow, nonsense=1),
        store.count(MessageRow, **{'id" OR "1': 1}),
        store.get(KeyRow, "/a"),
        store.get(MessageRow),
        store.scan(KeyRow, after=("/a",)),
    ):
        with pytest.raises(TypeError):
            await use


async def test_heads_in_pages(stores: Any) -> None:
    store = await stores.opened()
    rows = [message(n, priority=n % 4, due=float(n) if n % 2 else None) for n in range(10, 600, 7)]
    await store.commit(commit(1, *rows))
    heads = [(row.id, row.address, row.priority, row.due) for row in rows]
    assert await store.heads() == heads
    assert await store.heads(limit=3) == heads[:3]
    assert await store.heads(after=rows[5].id, limit=4) == heads[6:10]
    assert await store.heads(after=rows[-1].id) == []


@pytest.mark.parametrize("count", [1, 3, 300, 1100])
async def test_messages_by_id(stores: Any, count: int) -> None:
    store = await stores.opened()
    rows = [message(n) for n in range(1, count + 1)]
    await store.commit(commit(1, *rows))
    wanted = [row.id for row in rows[::2]]
    found = await store.messages([*reversed(wanted), 10_000, 10_001])
    assert sorted(found) == rows[::2]


async def test_last_id(stores: Any) -> None:
    store = await stores.opened()
    await store.commit(commit(1, message(3), message(5)))
    assert await store.last_id() == 5
    await store.commit(Commit(2).delete(MessageRow, 5).put(seal(DeadLetterRow(5, *pairs()[3][0][1:]))))
    assert await store.last_id() == 5
    await store.commit(Commit(3).put(seal(KeyRow("/a", "k", "d", 8, 1.0))))
    assert await store.last_id() == 8
    await store.commit(Commit(4).put(seal(AttemptRow(9, UID, 1, 1.0, "failed"))))
    assert await store.last_id() == 9


@pytest.mark.parametrize(
    ("row", "column", "value"),
    [
        (message(1), "body", '{"amount":6}'),
        (message(1), "address", "/bank/bob"),
        (message(1), "priority", 1),
        (message(1), "due", 1.0),
        (message(1), "crc", 7),
        (actor(), "state", '{"balance":1000000}'),
        (actor(), "incarnation", 2),
    ],
)
async def test_a_row_edited_by_hand_is_corrupt(stores: Any, row: Any, column: str, value: Any) -> None:
    store = await stores.opened()
    await store.commit(Commit(1).put(row))
    stores.damage(ROWS[type(row)].name, column, value)
    with pytest.raises(RecordCorrupt) as caught:
        await store.get(type(row), row[0])
    assert str(row[0]) in str(caught.value)
    listed = await store.scan(type(row))  # a listing shows it all the same
    assert getattr(listed[0], column) == value
    with pytest.raises(RecordCorrupt):
        verify(listed[0])


async def test_reading_back_verifies(stores: Any) -> None:
    store = await stores.opened()
    rows: list[Row] = [row for row, _, _ in pairs()]
    await store.commit(Commit(1).put(*rows))
    for row in rows:
        assert [verify(found) for found in await store.scan(type(row))] == [row]


async def test_status(stores: Any) -> None:
    store = await stores.opened()
    await store.commit(commit(4, message(1), message(2)))
    status = await store.status()
    assert status["rows_message"] == 2
    assert status["owner_commit_no"] == 4
    assert status["owner_epoch"] == 1
    assert status["schema_version"] >= 1
    assert status["engine"] in {"memory", "sqlite"}


# -- housekeeping ----------------------------------------------------------------------------------------


def letters(*ats: float) -> list[DeadLetterRow]:
    """Dead letters 1, 2, … that were parked at these times."""
    first = pairs()[3][0]
    return [seal(first._replace(id=number, at=at)) for number, at in enumerate(ats, 1)]


async def test_keys_below(stores: Any) -> None:
    store = await stores.opened()
    await store.commit(Commit(1).put(*letters(5.0, 1.0, 3.0, 2.0)))
    await store.commit(Commit(2).put(*(seal(KeyRow("/a", key, "d", 1, at)) for key, at in (("k", 1.0), ("l", 9.0)))))
    assert sorted(await store.keys_below(DeadLetterRow, "at", 3.0, 10)) == [2, 4]
    assert len(await store.keys_below(DeadLetterRow, "at", 10.0, 3)) == 3
    assert await store.keys_below(DeadLetterRow, "at", 1.0, 10) == []
    (key,) = await store.keys_below(KeyRow, "expires", 9.0, 10)
    assert key == ("/a", "k")
    await store.commit(Commit(3).delete(KeyRow, key))
    assert await store.keys_below(KeyRow, "expires", 9.0, 10) == []


async def test_keys_beyond(stores: Any) -> None:
    store = await stores.opened()
    await store.commit(Commit(1).put(*letters(5.0, 1.0, 3.0, 2.0)))
    assert sorted(await store.keys_beyond(DeadLetterRow, "at", 2, 10)) == [2, 4]
    assert len(await store.keys_beyond(DeadLetterRow, "at", 1, 2)) == 2
    for kept in (4, 5):
        assert await store.keys_beyond(DeadLetterRow, "at", kept, 10) == []


async def test_misuse_of_the_walks_is_told(stores: Any) -> None:
    store = await stores.opened()
    for use in (
        store.keys_below(DeadLetterRow, 'at" OR "1', 1.0, 1),
        store.keys_beyond(DeadLetterRow, "nonsense", 1, 1),
    ):
        with pytest.raises(TypeError):
            await use


async def test_walks_need_an_open_store(stores: Any) -> None:
    store = stores.store()
    for use in (store.keys_below(DeadLetterRow, "at", 1.0, 1), store.keys_beyond(DeadLetterRow, "at", 1, 1)):
        with pytest.raises(StoreUnavailable):
            await use


async def test_the_log(stores: Any) -> None:
    store = await stores.opened()
    await store.commit(commit(1, *(message(number, body="x" * 1000) for number in range(1, 50))))
    status = await store.status()
    assert store.log_bytes() == status.get("wal_bytes", 0)
    assert store.log_readers() == []
