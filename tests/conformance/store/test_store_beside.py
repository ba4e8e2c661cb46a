"""Other processes: readers and submitters beside an owner."""

from __future__ import annotations

import asyncio
from typing import Any

from store_samples import actor, commit, message, tell

from greenroom.persistence.store.checksums import seal, verify
from greenroom.persistence.store.commit import Commit
from greenroom.persistence.store.rows import ActorRow, InboxRow, MessageRow, ReplyRow


async def test_a_reader_sees_what_is_committed(stores: Any) -> None:
    owner = await stores.opened()
    reader = await stores.reading()
    assert await reader.count(MessageRow) == 0
    owner.commit_now(commit(1, message(1)).put(actor()))
    assert await reader.get(MessageRow, 1) == message(1)
    assert await reader.get(ActorRow, "/bank/alice") == actor()
    assert (await reader.owner()).commit_no == 1
    assert (await reader.status())["rows_message"] == 1


async def test_a_reader_without_an_owner(stores: Any) -> None:
    owner = await stores.opened()
    owner.commit_now(commit(1, message(1)))
    await owner.close()
    reader = await stores.reading()
    assert await reader.count(MessageRow) == 1
    assert await reader.submit([tell()]) == [1]


async def test_the_owner_can_leave_and_come_back_beside_a_reader(stores: Any) -> None:
    owner = await stores.opened()
    reader = await stores.reading()
    await owner.close()
    again = await stores.opened()
    again.commit_now(commit(1, message(1)))
    assert await reader.count(MessageRow) == 1


async def test_submitted_rows_get_ids_and_checksums(stores: Any) -> None:
    owner = await stores.opened()
    client = await stores.reading()
    assert await client.submit([]) == []
    assert await client.submit([tell(body="1"), tell(body="2", wants_reply=1, expires=5.0)]) == [1, 2]
    rows = await owner.scan(InboxRow)
    assert [(row.id, row.body) for row in rows] == [(1, "1"), (2, "2")]
    for row in rows:
        verify(row)


async def test_ids_of_the_inbox_never_come_again(stores: Any) -> None:
    owner = await stores.opened()
    client = await stores.reading()
    await client.submit([tell(), tell()])
    owner.commit_now(Commit(1).delete(InboxRow, 1, 2))
    assert await client.submit([tell()]) == [3]
    owner.commit_now(Commit(2).delete(InboxRow, 3))
    await client.close()
    await owner.close()
    await stores.opened()
    assert await (await stores.reading()).submit([tell()]) == [4]


async def test_several_submitters_and_a_committing_owner(stores: Any) -> None:
    owner = await stores.opened()
    clients = [await stores.reading() for _ in range(3)]

    async def submit(client: Any, name: int) -> list[int]:
        ids: list[int] = []
        for n in range(15):
            ids += await client.submit([tell(body=f"{name}.{n}"), tell(body=f"{name}.{n}'")])
        return ids

    async def own() -> None:
        for n in range(1, 31):
            await owner.commit(commit(n, message(n)))

    *given, _ = await asyncio.gather(*(submit(client, name) for name, client in enumerate(clients)), own())
    ids = [n for some in given for n in some]
    assert sorted(ids) == list(range(1, 91))
    assert all(some == sorted(some) for some in given)
    assert await owner.count(InboxRow) == 90
    assert await owner.count(MessageRow) == 30


async def test_the_owner_notices_submissions_and_not_its_own_commits(stores: Any) -> None:
    owner = await stores.opened()
    client = await stores.reading()
    assert owner.inbox_changed()
    assert not owner.inbox_changed()
    owner.commit_now(commit(1, message(1)))
    await owner.commit(commit(2, message(2)))
    assert not owner.inbox_changed()
    await client.submit([tell()])
    owner.commit_now(commit(3, message(3)))
    assert owner.inbox_changed()
    assert not owner.inbox_changed()


async def test_a_client_notices_replies(stores: Any) -> None:
    owner = await stores.opened()
    client = await stores.reading()
    assert client.inbox_changed()
    assert not client.inbox_changed()
    owner.commit_now(Commit(1).put(seal(ReplyRow(1, 1, "5", "", 1.0))))
    assert client.inbox_changed()
    assert not client.inbox_changed()


async def test_an_owner_may_submit_to_itself(stores: Any) -> None:
    owner = await stores.opened()
    owner.inbox_changed()
    assert await owner.submit([tell()]) == [1]
    assert owner.inbox_changed() or stores.__class__.__name__ == "MemoryPlace"
    assert await owner.count(InboxRow) == 1
