"""The letterbox of a client: a row that can't be stored harms no other, and nobody waits for ever."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterable
from typing import Any

import pytest
from grounds import MemoryGround, SqliteGround, tree
from patience import patient

from greenroom import Actor, Client, Message, Request, StoreDataError, StoreUnavailable, handler, start
from greenroom.actors.remote.channel import Letterbox
from greenroom.persistence.engines.sqlite.engine import SqliteStore
from greenroom.persistence.errors import StoreMissing
from greenroom.persistence.runtime import Runtime
from greenroom.persistence.store.rows import InboxRow


class Add(Message):
    number: int


class Sum(Request[int]):
    pass


class Account(Actor[None]):
    handled: list[int]

    @handler
    def add(self, message: Add) -> None:
        Account.handled.append(message.number)

    @handler
    def sum(self, message: Sum) -> int:
        return sum(Account.handled)


@pytest.fixture(autouse=True)
def fresh() -> None:
    Account.handled = []


def row(**changes: Any) -> InboxRow:
    return InboxRow(0, "0" * 32, "tell", "/t/a", "Go", "{}", None, 0, None, None, 0)._replace(**changes)


async def test_a_row_that_cant_be_stored_harms_no_other(disk: SqliteGround) -> None:
    async with disk.node(tree(Account)):
        store = SqliteStore(disk.url, Runtime())
        await store.open_reader()
        letters = Letterbox(store, Runtime())
        rows = [row(type="A"), row(priority=1 << 70), row(type="B"), row(key="\udc80"), row(type="C")]
        found = await patient(asyncio.gather(*map(letters.put, rows), return_exceptions=True))
        assert [type(one) for one in found] == [int, StoreDataError, int, StoreDataError, int]
        assert await patient(letters.put(row(type="D"))) > 0
        await patient(letters.close())
        await store.close()


class Stuck(SqliteStore):
    """Its submissions hang until the loop ends."""

    async def submit(self, rows: Iterable[Any]) -> list[int]:
        await asyncio.Event().wait()
        return []


async def test_a_submission_that_is_cancelled_settles_all_that_wait(disk: SqliteGround) -> None:
    async with disk.node(tree(Account)):
        letters = Letterbox(Stuck(disk.url, Runtime()), Runtime())
        waiting = [asyncio.ensure_future(letters.put(row())) for _ in range(3)]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert letters._submitter is not None
        letters._submitter.cancel()  # as asyncio.run does at the end
        await patient(asyncio.wait(waiting))
        assert all(future.cancelled() for future in waiting)


class Unreadable(SqliteStore):
    def inbox_changed(self) -> bool:
        raise ZeroDivisionError


async def test_an_error_while_looking_for_replies_reaches_whoever_waits(disk: SqliteGround) -> None:
    async with disk.node(tree(Account)):
        letters = Letterbox(Unreadable(disk.url, Runtime()), Runtime())
        with pytest.raises(ZeroDivisionError):
            await patient(letters.reply(1, 3600))


# -- a client before its node --------------------------------------------------------------------------------


async def test_clients_make_the_store_that_the_first_node_takes(tmp_path: Any) -> None:
    ground = SqliteGround(tmp_path / "data")
    async with Client(ground.url) as client, Client(ground.url) as other:
        assert not ground.path.exists()  # to open makes nothing
        await patient(
            asyncio.gather(*(one.tell("/t/account", Add(number=n)) for n in range(5) for one in (client, other)))
        )
        async with ground.node(tree(Account)) as system:
            await patient(system.idle())
            assert sorted(Account.handled) == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
            assert await patient(client.ask("/t/account", Sum())) == 20


async def test_a_node_and_clients_that_make_the_store_at_once(tmp_path: Any) -> None:
    """Whoever comes first makes it; nobody fails."""
    errors: list[BaseException] = []
    for number in range(6):
        folder = tmp_path / str(number)
        folder.mkdir()
        url = f"sqlite:///{folder}/node.db"
        ready = threading.Barrier(4)

        def creates(url: str = url, ready: threading.Barrier = ready) -> None:
            async def create() -> None:
                store = SqliteStore(url, Runtime())
                ready.wait()
                await store.create()
                await store.close()

            try:
                asyncio.run(create())
            except BaseException as error:
                errors.append(error)

        threads = [threading.Thread(target=creates) for _ in range(3)]
        for thread in threads:
            thread.start()
        await asyncio.to_thread(ready.wait)
        async with start(tree(Account), store=url) as system:
            await patient(system.idle())
        for thread in threads:
            thread.join()
        assert errors == []


async def test_a_store_that_was_lost_is_not_made_anew_in_silence(disk: SqliteGround) -> None:
    async with disk.node(tree(Account)) as system:
        await system.ref("/t/account").tell(Add(number=1))
    disk.path.unlink()
    async with Client(disk.url) as client:
        with pytest.raises(StoreUnavailable, match="is gone, and the mark beside it says that there was a store"):
            await client.tell("/t/account", Add(number=2))
    assert not disk.path.exists()


async def test_a_memory_store_that_nobody_has_made(memory: MemoryGround) -> None:
    store = memory.store()
    with pytest.raises(StoreMissing):
        await store.open_reader()
    async with Client(store) as client:
        await patient(client.tell("/t/account", Add(number=3)))
    async with memory.node(tree(Account)) as system:
        await patient(system.idle())
        assert Account.handled == [3]
