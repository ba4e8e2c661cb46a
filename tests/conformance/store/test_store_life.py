from __future__ import annotations

import os
from typing import Any

import pytest
from store_samples import commit, message, tell

from greenroom.persistence.errors import Fenced, StoreLocked, StoreMissing, StoreUnavailable
from greenroom.persistence.store.rows import InboxRow, MessageRow


async def test_first_open_gives_epoch_one_and_no_commits(stores: Any) -> None:
    store = stores.store()
    owner = await store.open()
    assert (owner.epoch, owner.commit_no, owner.pid) == (1, 0, os.getpid())
    assert await store.owner() == owner


async def test_each_open_raises_the_epoch_and_keeps_the_commit_number(stores: Any) -> None:
    for epoch in (1, 2, 3):
        store = stores.store()
        owner = await store.open()
        assert (owner.epoch, owner.commit_no) == (epoch, epoch - 1)
        store.commit_now(commit(owner.commit_no + 1))
        await store.close()


async def test_what_was_committed_is_there_after_a_restart(stores: Any) -> None:
    store = await stores.opened()
    store.commit_now(commit(1, message(1)))
    await store.commit(commit(2, message(2)))
    await store.close()
    again = await stores.opened()
    assert await again.messages([1, 2]) == [message(1), message(2)]


async def test_what_was_committed_is_there_after_a_crash(stores: Any) -> None:
    store = await stores.opened()
    store.commit_now(commit(1, message(1)))
    left = stores.after_crash()
    again = await left.opened()
    assert await again.messages([1]) == [message(1)]
    assert (await again.owner()).epoch == 2
    await again.close()


async def test_an_orderly_end_is_told_from_a_crash(stores: Any) -> None:
    store = await stores.opened()
    assert not store.unclean
    left = stores.after_crash()
    await store.close()
    again = await stores.opened()
    assert not again.unclean
    after = await left.opened()
    assert after.unclean
    await after.close()


async def test_a_second_owner_is_locked_out_with_the_holders_pid(stores: Any) -> None:
    store = await stores.opened()
    with pytest.raises(StoreLocked) as caught:
        await stores.store().open()
    assert caught.value.pid == os.getpid()
    store.commit_now(commit(1, message(1)))  # the failed attempt took nothing from the owner
    await store.close()
    await stores.store().open()


async def test_open_twice_is_a_bug_of_the_caller_and_does_no_harm(stores: Any) -> None:
    store = await stores.opened()
    with pytest.raises(RuntimeError):
        await store.open()
    with pytest.raises(RuntimeError):
        await store.open_reader()
    store.commit_now(commit(1))


async def test_close_twice_and_close_unopened(stores: Any) -> None:
    store = await stores.opened()
    await store.close()
    await store.close()
    await stores.store().close()


async def test_a_closed_store_says_so(stores: Any) -> None:
    store = await stores.opened()
    await store.close()
    for use in (
        store.commit(commit(1)),
        store.get(MessageRow, 1),
        store.scan(MessageRow),
        store.heads(),
        store.messages([1]),
        store.count(MessageRow),
        store.last_id(),
        store.owner(),
        store.status(),
        store.submit([tell()]),
        store.reopen(),
    ):
        with pytest.raises(StoreUnavailable):
            await use
    with pytest.raises(StoreUnavailable):
        store.commit_now(commit(1))
    with pytest.raises(StoreUnavailable):
        store.inbox_changed()
    with pytest.raises(StoreUnavailable):
        async with store.transaction():
            pass


async def test_a_closed_store_can_be_opened_again(stores: Any) -> None:
    store = await stores.opened()
    await store.commit(commit(1, message(1)))
    await store.close()
    assert (await store.open()).epoch == 2
    assert await store.count(MessageRow) == 1
    await store.commit(commit(2, message(2)))


async def test_reopen_keeps_epoch_and_lock_and_tells_the_commit_number(stores: Any) -> None:
    store = await stores.opened()
    await store.commit(commit(7, message(1)))
    owner = await store.reopen()
    assert (owner.epoch, owner.commit_no) == (1, 7)
    with pytest.raises(StoreLocked):
        await stores.store().open()
    store.commit_now(commit(8, message(2)))
    assert await store.count(MessageRow) == 2


async def test_reopen_of_a_fenced_store(stores: Any) -> None:
    store = await stores.opened()
    stores.usurp()
    with pytest.raises(Fenced):
        await store.reopen()


async def test_a_reader_of_nothing(stores: Any) -> None:
    with pytest.raises(StoreMissing, match=r"there is no store|can be read nowhere else"):
        await stores.store().open_reader()


async def test_a_store_that_a_client_makes(stores: Any) -> None:
    """It has no owner, takes submissions, and the first owner finds them."""
    for _ in range(2):
        await stores.store().create()
    client = await stores.reading()
    assert await client.owner() is None
    (row_id,) = await client.submit([InboxRow(0, "0" * 32, "tell", "/t/a", "Go", "{}", None, 0, None, None, 0)])
    owner = await stores.opened()
    assert (await owner.owner()).epoch == 1
    assert not owner.unclean
    assert [row.id for row in await owner.scan(InboxRow)] == [row_id]
    await stores.store().create()  # beside an owner: it is left as it is
    assert [row.id for row in await client.scan(InboxRow)] == [row_id]


async def test_a_reader_cant_commit(stores: Any) -> None:
    await stores.opened()
    reader = await stores.reading()
    with pytest.raises(StoreUnavailable):
        reader.commit_now(commit(1))
    with pytest.raises(StoreUnavailable):
        await reader.commit(commit(1))


async def test_attempts_outlive_the_store(stores: Any) -> None:
    store = await stores.opened()
    uid = "ab" * 16
    store.attempts.note(3, uid, "/bank/alice")
    await store.close()
    again = await stores.opened()
    assert [(s.slot, s.verdict, s.uid, s.address) for s in again.attempts.left] == [(3, "started", uid, "/bank/alice")]
    again.attempts.write_suspects([])
    await again.close()
    assert (await stores.opened()).attempts.left == []
