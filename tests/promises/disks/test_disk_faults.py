"""Disks that are full at any point, that fail, that are read-only: a clear error, no half commit, no restart.

On real small disks (tmpfs), and under the shim of powerloss/ for what such a disk can't do: EIO and EROFS at the n-th
write or sync of a process.
"""

from __future__ import annotations

import asyncio
import errno
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from books import SPEC, Order, check, told
from grounds import SqliteGround
from powerloss.shim import HALF, Shim
from processes import environment, program
from small_disks import SmallDisk, small_disk
from store_samples import actor, commit, message, tell
from tallies import Tally

from greenroom import Client, StoreError, StoreFull, StoreUnavailable
from greenroom.persistence.engines.sqlite.engine import SqliteStore
from greenroom.persistence.maintenance.backup import back_up
from greenroom.persistence.maintenance.restore import restore
from greenroom.persistence.maintenance.vacuum import vacuum
from greenroom.persistence.runtime import Runtime
from greenroom.persistence.store.checksums import verify
from greenroom.persistence.store.rows import ActorRow, MessageRow
from greenroom.testing import Recorder

# -- full at any point, seen from the store -----------------------------------------------------------------


async def life(store: SqliteStore, commits: int) -> int:
    """Open, commit and submit; the number of the last commit that was acknowledged. A store that fails is left open."""
    owner = await store.open()
    last = owner.commit_no
    for number in range(last + 1, last + commits + 1):
        try:
            store.commit_now(commit(number, message(number, body=f'"{"x" * 3000}"')).put(actor(state=str(number))))
        except StoreFull as error:
            assert store._writer is not None
            assert not store._writer.in_transaction, "a half commit"
            store.refused = error  # type: ignore[attr-defined]
            return last
        last = number
    await store.submit([tell()])
    return last


async def check_store(store: SqliteStore, last: int) -> None:
    """All that was acknowledged is there, and nothing of what was refused."""
    owner = await store.owner()
    assert owner is not None
    assert owner.commit_no == last
    state = await store.get(ActorRow, "/bank/alice")
    assert (state.state if state else "0") == str(last)
    assert [verify(row).id for row in await store.scan(MessageRow)] == list(range(1, last + 1))


async def fill_store_at(disk: SmallDisk, pages: int) -> str:
    """One store on a disk with so many free pages; where that was too few. With room again it goes on."""
    disk.leave(pages)
    store = SqliteStore(f"sqlite:///{disk.path}/bank.db", Runtime())
    where, last = "nowhere", 0
    try:
        last = await life(store, 10)
        if hasattr(store, "refused"):
            where = "commit"
    except StoreFull as error:
        assert str(disk.path) in str(error)
        owner = await store.owner() if store._reader is not None else None
        where, last = ("boot", 0) if owner is None else ("submit", owner.commit_no)
    disk.make_room()
    if store._writer is None:
        last = await life(store, 3)
    elif where == "commit":
        assert (await store.reopen()).commit_no == last
    await check_store(store, last)
    await store.close()
    again = SqliteStore(f"sqlite:///{disk.path}/bank.db", Runtime())
    await again.open()
    await check_store(again, last)
    await again.close()
    for file in disk.path.iterdir():
        file.unlink()
    return where


async def fill_store(place: Path, tally: Tally, step: int) -> None:
    met: Counter[str] = Counter()
    with small_disk(place) as disk:
        for pages in range(0, 530, step):
            met[await fill_store_at(disk, pages)] += 1
    assert met.keys() >= {"boot", "commit", "nowhere"}, met
    tally("faults", met.total() - met["nowhere"])


async def test_a_disk_with_any_number_of_free_pages(tmp_path: Path, tally: Tally) -> None:
    """Schema, lock, slot file, mark, WAL and its index: each is what there is no room for."""
    await fill_store(tmp_path / "disk", tally, step=11)


@pytest.mark.torture
@pytest.mark.timeout(600)
async def test_a_disk_with_every_number_of_free_pages(tmp_path: Path, tally: Tally) -> None:
    await fill_store(tmp_path / "disk", tally, step=1)


# -- full at any point, seen from the senders ---------------------------------------------------------------


async def fill_node_at(disk: SmallDisk, pages: int) -> str:
    ground = SqliteGround(disk.path / "data")
    acked: set[int] = set()
    refused: dict[int, StoreError] = {}
    async with ground.node(SPEC) as system:
        events = Recorder(system)
        clerk = system.ref("/t/clerk")
        await told(clerk, 1, acked, refused)
        await system.idle()
        disk.leave(pages)
        for number in range(2, 60):
            await told(clerk, number, acked, refused)  # the message comes back in the error
            if refused:
                break
        assert all(isinstance(error, StoreFull) for error in refused.values()), refused
        disk.make_room()
        if events.of("node.broken"):
            await events.until("node.recovered")
        late: dict[int, StoreError] = {}
        for number in range(100, 104):
            await told(clerk, number, acked, late)
        assert not late, "there is room, and the node doesn't go on"
        await check(system, acked, refused)
        assert not events.of("supervisor.gave_up")
    async with ground.node(SPEC) as system:
        await check(system, acked, refused)
    for file in (disk.path / "data").iterdir():
        file.unlink()
    return "full" if refused else "nowhere"


@pytest.mark.parametrize("sizes", [(0, 7, 40), pytest.param(range(90), marks=pytest.mark.torture)], ids=["few", "all"])
@pytest.mark.timeout(600)
async def test_a_node_whose_disk_fills_up(tmp_path: Path, tally: Tally, sizes: tuple[int, ...]) -> None:
    with small_disk(tmp_path / "disk") as disk:
        met = Counter([await fill_node_at(disk, pages) for pages in sizes])
    assert met["full"] >= 2
    tally("faults", met["full"])
    tally("messages lost", 0)
    tally("messages doubled", 0)


# -- operations on a full disk, and what is read-only -------------------------------------------------------


async def test_operations_on_a_full_disk(tmp_path: Path) -> None:
    """Each says that it is full, leaves nothing behind, and works when there is room."""
    runtime = Runtime()
    with small_disk(tmp_path / "disk", "6m") as disk:
        store = SqliteStore(f"sqlite:///{disk.path}/bank.db", runtime)
        last = await life(store, 60)
        outside = tmp_path / "backup.db"
        back_up(store.path, str(outside), runtime)
        await store.close()
        disk.leave(2)
        before = {path.name for path in disk.path.iterdir()}
        for operation in (
            lambda: back_up(store.path, f"{disk.path}/copy.db", runtime),
            lambda: vacuum(store.path),
            lambda: restore(str(outside), store.path, runtime, overwrite=True),
        ):
            with pytest.raises(StoreFull):
                operation()
            assert {path.name for path in disk.path.iterdir()} <= before | {"bank.db-wal", "bank.db-shm"}
        disk.make_room()
        back_up(store.path, f"{disk.path}/copy.db", runtime)
        vacuum(store.path)
        restore(f"{disk.path}/copy.db", store.path, runtime, overwrite=True)
        await store.open()
        await check_store(store, last)
        await store.close()


async def test_a_client_on_a_full_disk(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk") as disk:
        ground = SqliteGround(disk.path / "data")
        async with ground.node(SPEC):
            pass
        for pages in range(9):
            disk.leave(pages)
            try:
                async with Client(ground.url) as client:
                    for number in range(9):
                        with pytest.raises(StoreFull) as caught:
                            for _ in range(20):
                                await client.tell("/t/clerk", Order(number=number))
                        assert caught.value.undelivered == Order(number=number)
                    disk.make_room()
                    await client.tell("/t/clerk", Order(number=100 + pages))
            except StoreFull:  # already when it was opened: the WAL's index
                disk.make_room()
        async with ground.node(SPEC) as system:
            await system.idle()


async def test_a_disk_that_is_mounted_read_only(tmp_path: Path) -> None:
    """A node, a client: a clear error; and it works as soon as the disk can be written, in the same process."""
    with small_disk(tmp_path / "disk") as disk:
        ground = SqliteGround(disk.path / "data")
        async with ground.node(SPEC) as system:
            await told(system.ref("/t/clerk"), 1, set(), {})
            await system.idle()
        disk.remount("ro")
        for _ in range(2):
            with pytest.raises(StoreUnavailable, match=r"(?i)read-only|readonly|unable to open") as caught:
                async with ground.node(SPEC):
                    pytest.fail("it started")
            assert str(ground.folder) in str(caught.value)
            with pytest.raises(StoreUnavailable, match=str(ground.folder)):
                async with Client(ground.url) as client:
                    await client.tell("/t/clerk", Order(number=2))
        disk.remount("rw")
        async with Client(ground.url) as client:
            await client.tell("/t/clerk", Order(number=3))
        async with ground.node(SPEC) as system:
            await check(system, {1, 3}, {})


# -- EIO, EROFS, half a write: at the n-th call of a process ------------------------------------------------


Rounds = list[tuple[str, str, int, int, list[int]]]


async def under_shim(tmp_path: Path, tally: Tally, rounds: Rounds) -> Counter[str]:
    """Where a node met the faults."""
    folder = tmp_path / "disk"
    folder.mkdir()
    shim = Shim(folder, tmp_path, log=False)
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, program("disk_victim.py"), str(folder), str(tmp_path), json.dumps(rounds)],
        env=environment(shim.env),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-5000:]
    met = Counter(json.loads(done.stdout))
    tally("faults", met["boot"] + met["work"])
    tally("messages lost", 0)
    tally("messages doubled", 0)
    return met


async def test_a_disk_that_fails(tmp_path: Path, tally: Tally) -> None:
    """Writes that a failed sync was to keep may be lost for good: none of them is acknowledged."""
    rounds: Rounds = [
        ("boot", "write", errno.EIO, 1, [30]),
        ("boot", "sync", errno.EIO, 1, [2]),
        ("work", "write", errno.EIO, 1, [1, 9]),
        ("work", "sync", errno.EIO, 1, [1, 3]),
        ("work", "write", errno.EROFS, 0, [3]),  # as a file system that was remounted after an error
    ]
    met = await under_shim(tmp_path, tally, rounds)
    assert met["work"] == 5
    assert met["boot"] >= 1, "SQLite does without some of its writes"


@pytest.mark.torture
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("count", [1, 3, 0], ids=["once", "thrice", "from then on"])
@pytest.mark.parametrize("error", [errno.EIO, errno.ENOSPC, errno.EROFS, HALF], ids=["EIO", "ENOSPC", "EROFS", "half"])
@pytest.mark.parametrize(("operation", "last"), [("write", 70), ("sync", 12), ("truncate", 6), ("open", 10)])
@pytest.mark.parametrize("when", ["boot", "work"])
async def test_a_disk_that_fails_at_each_call(
    tmp_path: Path, tally: Tally, when: str, operation: str, last: int, error: int, count: int
) -> None:
    if error == HALF and operation != "write":
        pytest.skip("only a write can be half done")
    met = await under_shim(tmp_path, tally, [(when, operation, error, count, list(range(1, last + 1)))])
    if error != HALF and operation in ("write", "sync"):  # SQLite and Python finish a half write by themselves
        assert met["boot"] + met["work"] >= 2
