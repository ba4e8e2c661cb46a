"""The mark beside a database, and what it tells of commits that are missing."""

from __future__ import annotations

import os
import random
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from sqlite_stores import Make
from store_samples import actor, commit, message, tell
from wal_image import Image, copied, killed

from greenroom.persistence.engines.sqlite.engine import SqliteStore
from greenroom.persistence.engines.sqlite.sidecars.loss import IDS_GAP, judge, look
from greenroom.persistence.engines.sqlite.sidecars.mark import LIVES_MAX, Noted, read_mark
from greenroom.persistence.errors import CommitsLost, StoreCorrupt
from greenroom.persistence.maintenance.acceptance import accept_loss
from greenroom.persistence.maintenance.backup import back_up
from greenroom.persistence.maintenance.restore import restore
from greenroom.persistence.runtime import Runtime
from greenroom.persistence.store.commit import Commit
from greenroom.persistence.store.rows import InboxRow, MessageRow, OwnerRow


def noted(path: Path | str) -> Noted:
    found = read_mark(f"{path}.mark")
    assert found is not None
    return found


def owner_of(path: Path) -> OwnerRow:
    with closing(sqlite3.connect(path)) as connection:
        return OwnerRow._make(connection.execute("SELECT * FROM greenroom_owner").fetchone())


def cut_last_commit(image: Image) -> None:
    os.truncate(image.wal, image.ends()[-2])


async def opened(make: Make, path: Path, options: str = "") -> tuple[SqliteStore, OwnerRow]:
    store = make(Path(f"{path}{options}"))
    return store, await store.open()


async def test_each_way_to_commit_is_noted(make: Make) -> None:
    store, _ = await opened(make, make().path)  # type: ignore[arg-type]
    store.commit_now(commit(1, message(1)))
    assert noted(store.path).commit_no == 1
    await store.commit(Commit(2))
    assert noted(store.path).commit_no == 2
    async with store.transaction():
        await store.commit_transaction(Commit(3))
    assert noted(store.path).commit_no == 3
    await store.submit([tell(), tell()])
    assert noted(store.path).inbox == 2
    await store.reopen()
    assert noted(store.path) == Noted(3, 2, noted(store.path).lives)


async def test_lives_are_noted_and_the_oldest_forgotten(make: Make) -> None:
    store = make()
    for _ in range(LIVES_MAX + 3):
        owner = await store.open()
        await store.close()
    lives = noted(store.path).lives
    assert [life.epoch for life in lives] == list(range(owner.epoch - LIVES_MAX + 1, owner.epoch + 1))
    assert lives[-1].started == owner.started


async def test_a_kill_alone_loses_nothing(make: Make, tmp_path: Path) -> None:
    image = await killed(make, tmp_path / "image", submissions=2)
    assert noted(image.path).commit_no == image.commits
    store, owner = await opened(make, image.path)
    assert (owner.commit_no, owner.epoch, store.loss) == (image.commits, 2, "")
    assert await store.count(InboxRow) == 2


async def test_a_lost_tail_is_refused_and_nothing_is_touched(make: Make, tmp_path: Path) -> None:
    image = await killed(make, tmp_path / "image")
    cut_last_commit(image)
    before = image.path.read_bytes(), image.wal.read_bytes(), image.mark.read_bytes()
    for _ in range(2):
        with pytest.raises(CommitsLost, match=r"the last 1 commit .* accept-loss") as caught:
            await opened(make, image.path)
        assert isinstance(caught.value, StoreCorrupt)
        assert (image.path.read_bytes(), image.wal.read_bytes(), image.mark.read_bytes()) == before
    assert caught.value.kept == f"{os.path.realpath(image.path)}.lost-wal-{image.commits}"
    assert Path(caught.value.kept).read_bytes() == before[1]
    assert Path(caught.value.kept).stat().st_mode & 0o777 == 0o600


async def test_a_loss_that_is_accepted(make: Make, tmp_path: Path) -> None:
    """By the command, or by the URL: no number of what is lost comes again, and the next start finds nothing."""
    image = await killed(make, tmp_path / "image", submissions=3)
    cut_last_commit(image)
    again = Image(copied(image.folder, tmp_path / "again"), *image[1:])
    loss = accept_loss(str(image.path))
    assert loss is not None
    assert (loss.commits, loss.submissions) == (0, 1)
    assert str(loss) == "1 submission of other processes"
    os.truncate(again.wal, again.ends()[-5])
    store, owner = await opened(make, again.path, "?lost_commits=accept")
    assert store.loss == "2 commits and 3 submissions of other processes"
    assert await store.count(MessageRow) == owner.commit_no == image.commits - 2
    await store.close()
    for path in (image.path, again.path):
        store, owner = await opened(make, path)
        assert store.loss == ""
        assert owner.last_id >= IDS_GAP
        assert owner.epoch in (2, 3)
        assert await store.submit([tell()]) == [4]
        await store.close()
    assert accept_loss(str(image.path)) is None


async def test_a_boot_that_is_lost_isnt_numbered_again(make: Make, tmp_path: Path) -> None:
    """The WAL of the second life is cut at its begin: its epoch was given out."""
    store = make()
    await store.open()
    store.commit_now(commit(1, message(1)))
    await store.close()
    reader = make()
    store = make()
    await store.open()
    await reader.open_reader()
    store.commit_now(commit(2, message(2)))
    folder = copied(Path(store.path).parent, tmp_path / "image")
    os.truncate(folder / "bank.db-wal", 0)
    _, owner = await opened(make, folder / "bank.db", "?lost_commits=accept")
    assert (owner.epoch, owner.commit_no) == (3, 1)


@pytest.mark.parametrize("what", ["deleted WAL", "older copy", "empty WAL", "garbled header"])
async def test_what_else_loses_commits(make: Make, tmp_path: Path, what: str) -> None:
    image = await killed(make, tmp_path / "image")
    if what == "deleted WAL":
        image.wal.unlink()
    elif what == "empty WAL":
        os.truncate(image.wal, 0)
    elif what == "garbled header":
        image.wal.write_bytes(b"\xff" * 32 + image.wal.read_bytes()[32:])
    else:
        old = image.path.read_bytes()
        store, _ = await opened(make, image.path)
        await store.close()
        image.path.write_bytes(old)
    with pytest.raises(CommitsLost, match=f"the last {image.commits - image.checkpointed} commits "):
        await opened(make, image.path)


async def test_what_loses_nothing(make: Make, tmp_path: Path) -> None:
    """No mark: a database that was copied, or is new at its place. A mark of another database: of one that is gone."""
    image = await killed(make, tmp_path / "image")
    moved = copied(image.folder, tmp_path / "moved")
    (moved / "bank.db.mark").unlink()
    os.truncate(moved / "bank.db-wal", 100)
    store, owner = await opened(make, moved / "bank.db")
    assert owner.commit_no == image.checkpointed
    await store.close()
    for suffix in ("", "-wal"):
        (image.folder / f"bank.db{suffix}").unlink()
    store, owner = await opened(make, image.path)
    assert (owner.epoch, owner.commit_no) == (1, 0)
    assert store.loss == f"the whole database, and with it {image.commits} commits", "a word, and no refusal"
    store.commit_now(Commit(1))
    assert noted(image.path).commit_no == 1


async def test_backups_and_restores(make: Make, tmp_path: Path) -> None:
    """A backup has no mark; the mark of a store that is replaced goes with it."""
    store, _ = await opened(make, Path(make().path))
    store.commit_now(commit(1, message(1)))
    backup = tmp_path / "backup.db"
    back_up(store.path, str(backup), Runtime())
    for number in range(2, 9):
        store.commit_now(commit(number, message(number)))
    await store.close()
    assert not Path(f"{backup}.mark").exists()
    done = restore(str(backup), store.path, Runtime(), overwrite=True)
    assert noted(str(done.kept)).commit_no == 8
    store, owner = await opened(make, Path(store.path))
    assert (owner.epoch, owner.commit_no) == (2, 1)
    await store.close()
    kept, owner = await opened(make, Path(str(done.kept)))
    assert owner.commit_no == 8
    await kept.close()
    back_up(store.path, str(done.kept), Runtime(), overwrite=True)
    _, owner = await opened(make, Path(str(done.kept)))
    assert owner.commit_no == 1


async def test_synchronous_normal_may_lose_the_last_ones(make: Make, tmp_path: Path) -> None:
    """SQLite: pragma.html#pragma_synchronous. A caller that asks for it is told, and the node starts."""
    image = await killed(make, tmp_path / "image")
    cut_last_commit(image)
    store, owner = await opened(make, image.path, "?synchronous=normal")
    assert (store.loss, owner.commit_no) == ("1 commit", image.commits - 1)


async def test_a_reopened_store_must_have_what_had_returned(make: Make, tmp_path: Path) -> None:
    """As after an fsync that failed: what was acknowledged before it has to be there."""
    image = await killed(make, tmp_path / "image")
    store, _ = await opened(make, image.path)
    store.commit_now(Commit(9).put(actor(state="9")))
    with closing(sqlite3.connect(image.path)) as connection, connection:
        connection.execute("UPDATE greenroom_owner SET commit_no = 7")
    with pytest.raises(CommitsLost, match="the last 2 commits "):
        await store.reopen()
    await store.close()
    with pytest.raises(CommitsLost, match="the last 2 commits "):
        await store.open()


@pytest.mark.parametrize("column", ["epoch", "commit_no", "pid", "last_id", "node"])
async def test_a_damaged_owner_row_is_refused(make: Make, column: str) -> None:
    """It has no checksum; a node of another name would begin with new numbers."""
    store = make()
    await store.open()
    await store.close()
    with closing(sqlite3.connect(store.path)) as connection, connection:
        connection.execute(f"UPDATE greenroom_owner SET {column} = ?", ("maio" if column == "node" else -1,))
    with pytest.raises(StoreCorrupt, match=f"owner row is damaged: {column} is"):
        await store.open()


# -- a mark that can't be believed ------------------------------------------------------------------------


@pytest.mark.slow
async def test_a_torn_or_old_mark_says_nothing_false(make: Make, tmp_path: Path) -> None:
    """Every single bit flipped, any part of an older one, noise: never more than the database shows."""
    image = await killed(make, tmp_path / "image", submissions=2)
    store, _ = await opened(make, image.path)
    for number in range(image.commits + 1, image.commits + 4):
        store.commit_now(Commit(number))
    older, newer = (image.folder / "live/bank.db.mark").read_bytes(), image.mark.read_bytes()
    await store.close()
    now, inbox = owner_of(image.path), 2
    place = tmp_path / "torn.mark"
    dice = random.Random(7)

    def complains(raw: bytes) -> bool:
        place.write_bytes(raw)
        return judge(read_mark(str(place)), now, inbox) is not None

    assert not complains(newer)
    for bit in range(8 * len(newer)):
        torn = bytearray(newer)
        torn[bit // 8] ^= 1 << bit % 8
        assert not complains(bytes(torn)), f"bit {bit}"
    for cut in range(len(newer)):
        assert not complains(newer[:cut])
        assert not complains(newer[:cut] + bytes(len(newer) - cut))
        assert not complains(newer[:cut] + older[cut:])
        assert not complains(older[:cut] + newer[cut:])
    for _ in range(300):
        begin = dice.randrange(len(newer))
        assert not complains(newer[:begin] + dice.randbytes(len(newer) - begin))
    store, _ = await opened(make, image.path)  # whatever lies there is written anew
    assert noted(image.path).commit_no == now.commit_no


async def test_a_mark_that_isnt_there_while_others_submit(make: Make, tmp_path: Path) -> None:
    image = await killed(make, tmp_path / "image", submissions=1)
    image.mark.unlink()
    client = make(image.path)
    await client.open_reader()
    assert await client.submit([tell()]) == [2]
    assert not image.mark.exists()
    image.mark.write_bytes(b"nonsense")
    assert await client.submit([tell()]) == [3]
    assert image.mark.read_bytes() == b"nonsense"


async def test_reading_a_store_that_lost_its_tail_keeps_the_wal(make: Make, tmp_path: Path) -> None:
    """The last reader to close would delete what SQLite can't make sense of."""
    image = await killed(make, tmp_path / "image")
    raw = bytearray(image.wal.read_bytes())
    raw[image.ends()[1] + 100] ^= 1
    image.wal.write_bytes(raw)
    client = make(image.path)
    await client.open_reader()
    status = await client.status()
    assert (status["commits_lost"], status["submissions_lost"]) == (image.commits - image.checkpointed - 2, 0)
    await client.close()
    kept = Path(f"{image.path}.lost-wal-{image.commits}")
    assert kept.read_bytes() == bytes(raw)
    loss = look(str(image.path))
    assert loss is not None
    assert loss.commits == image.commits - image.checkpointed - 2
