"""A backup in a store's place: what becomes of the old store, and of what lay beside it."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlite_stores import Make, Spawn, mounted
from store_samples import actor, commit, message, tell

from greenroom.persistence.engines.sqlite.sidecars import files
from greenroom.persistence.engines.sqlite.sidecars.slot_file import SlotFile
from greenroom.persistence.errors import (
    FileInTheWay,
    RowsDamaged,
    SchemaTooNew,
    StoreCorrupt,
    StoreError,
    StoreFull,
    StoreInUse,
    StoreLocked,
    StoreUnavailable,
)
from greenroom.persistence.maintenance import restore as module
from greenroom.persistence.maintenance.backup import back_up
from greenroom.persistence.maintenance.restore import EPOCHS_GAP, IDS_GAP, Restored, restore
from greenroom.persistence.migrations.migration import migrate
from greenroom.persistence.runtime import Runtime
from greenroom.persistence.store.commit import Commit
from greenroom.persistence.store.rows import ActorRow, InboxRow, MessageRow, ReplyRow

READER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1])
connection.execute("SELECT count(*) FROM greenroom_message").fetchone()
print("open", flush=True)
sys.stdin.readline()
"""


class Place:
    """A store that went on after its backup."""

    def __init__(self, folder: Path, make: Make) -> None:
        self.path = folder / "bank.db"
        self.backup = folder / "monday.db"
        self.make = make

    async def prepare(self) -> Place:
        store = self.make(self.path)
        await store.open()
        store.commit_now(commit(1, message(1), message(2)).put(actor(state='{"balance":1}')))
        await store.submit([tell()])
        back_up(store.path, str(self.backup), Runtime())
        later = commit(2, message(3)).delete(MessageRow, 1, 2).put(actor(state='{"balance":2}'))
        later.last_id = 77
        store.commit_now(later)
        await store.submit([tell()] * 4)
        await store.close()
        again = self.make(self.path)
        await again.open()
        await again.close()
        return self

    def restore(self, **options: Any) -> Restored:
        return restore(str(self.backup), os.path.realpath(self.path), Runtime(), **{"overwrite": True, **options})

    def names(self) -> set[str]:
        return {path.name for path in self.path.parent.iterdir()}

    def state(self, suffix: str = "") -> str:
        with closing(sqlite3.connect(f"{self.path}{suffix}")) as connection:
            (state,) = connection.execute("SELECT state FROM greenroom_actor").fetchone()
        return str(state)

    def sql(self, path: Path, statement: str) -> None:
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute(statement)


@pytest.fixture
async def place(tmp_path: Path, make: Make) -> Place:
    return await Place(tmp_path, make).prepare()


async def test_the_store_is_what_it_was(place: Place) -> None:
    done = place.restore()
    assert (done.rows, done.damaged) == (4, 0)
    assert done.kept == f"{os.path.realpath(place.path)}.before-restore"
    store = place.make(place.path)
    await store.open()
    assert [row.id for row in await store.scan(MessageRow)] == [1, 2]
    state = await store.get(ActorRow, "/bank/alice")
    assert state is not None
    assert state.state == '{"balance":1}'
    assert await store.count(InboxRow) == 1
    assert place.backup.exists()


async def test_the_old_store_stays_beside_it(place: Place) -> None:
    place.restore()
    assert place.state(".before-restore") == '{"balance":2}'
    assert place.restore().kept == f"{os.path.realpath(place.path)}.before-restore-2"
    assert place.state(".before-restore") == '{"balance":2}'
    assert place.state(".before-restore-2") == place.state() == '{"balance":1}'
    assert place.path.stat().st_mode & 0o777 == 0o600


async def test_the_wal_of_the_old_store_goes_with_it(place: Place, make: Make, tmp_path: Path) -> None:
    """SQLite would read a WAL that lies there as the new database's."""
    crashed = Place(tmp_path / "crashed", make)
    crashed.path.parent.mkdir()
    shutil.copy(place.backup, crashed.backup)
    store = place.make(place.path)
    await store.open()
    store.commit_now(Commit(3).put(actor(state='{"balance":3}')))
    for name in ("bank.db", "bank.db-wal"):
        shutil.copy(place.path.parent / name, crashed.path.parent / name)
    assert (crashed.path.parent / "bank.db-wal").stat().st_size > 0
    crashed.restore()
    assert crashed.state() == '{"balance":1}'
    assert crashed.state(".before-restore") == '{"balance":3}'


async def test_a_damaged_store_is_replaced_and_kept_as_it_is(place: Place) -> None:
    wal = Path(f"{place.path}-wal")
    place.path.write_bytes(b"\xff" * 8192)
    wal.write_bytes(b"a log of something")
    place.restore()
    assert place.state() == '{"balance":1}'
    assert Path(f"{place.path}.before-restore").read_bytes() == b"\xff" * 8192
    assert Path(f"{place.path}.before-restore-wal").read_bytes() == b"a log of something"


async def test_suspects_of_the_other_history_are_not_believed(place: Place) -> None:
    """The uid of a message that is in the backup, too; there it has killed nobody."""
    slots = SlotFile(f"{place.path}.slots", f"{place.path}.hang")
    slots.open()
    slots.note(0, f"{1:032x}", "/bank/alice", True)
    slots.hang(0, "a stack")
    slots.close()
    place.restore()
    assert not Path(f"{place.path}.slots").exists()
    assert not Path(f"{place.path}.hang").exists()
    assert Path(f"{place.path}.before-restore.hang").read_text() == "a stack"
    store = place.make(place.path)
    await store.open()
    assert store.attempts.left == []


async def test_no_number_is_given_twice(place: Place) -> None:
    """Boots 1 and 2 have been, message 77 and inbox row 5; the backup knows of boot 1, message 2 and row 1."""
    place.restore()
    store = place.make(place.path)
    owner = await store.open()
    assert owner.epoch == 3
    assert owner.last_id == 77
    assert await store.submit([tell()]) == [6]
    assert not store.unclean


@pytest.mark.parametrize("how", ["gone", "damaged"])
async def test_a_gap_where_the_old_store_cant_be_asked(place: Place, how: str) -> None:
    if how == "gone":
        place.path.unlink()
    else:
        place.path.write_bytes(b"\xff" * 8192)
    done = place.restore(overwrite=how == "damaged")
    assert (done.kept is None) == (how == "gone")
    store = place.make(place.path)
    owner = await store.open()
    assert owner.epoch == 1 + EPOCHS_GAP + 1
    assert owner.last_id == IDS_GAP  # nothing was given up to the backup
    assert await store.submit([tell()]) == [IDS_GAP + 2]


async def test_replies_to_the_other_history_arent_mistaken(place: Place) -> None:
    """A client that asked as inbox row 3 of the old history finds no reply to somebody else's row 3."""
    place.restore()
    store = place.make(place.path)
    await store.open()
    (row_id,) = await store.submit([tell()])
    assert row_id > 5
    assert await store.get(ReplyRow, 3) is None


async def test_a_new_place(place: Place, tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    done = restore(str(place.backup), f"{os.path.realpath(tmp_path)}/new/bank.db", Runtime())
    assert done.kept is None
    assert {path.name for path in (tmp_path / "new").iterdir()} == {"bank.db", "bank.db.lock"}


async def test_an_older_schema(place: Place, tmp_path: Path) -> None:
    place.backup.unlink()
    with closing(sqlite3.connect(place.backup, isolation_level=None)) as connection:
        migrate(connection, str(place.backup), 0, 1)
        connection.execute("INSERT INTO owner VALUES ('main', 9, 1, 4711, 1.0, 5)")
    done = place.restore()
    assert (done.schema_version, done.rows) == (1, 0)
    assert (await place.make(place.path).open()).epoch == 10


async def test_a_copy_made_by_hand_with_its_wal(place: Place, tmp_path: Path) -> None:
    store = place.make(place.path)
    await store.open()
    store.commit_now(Commit(3).put(actor(state='{"balance":3}')))
    place.backup.unlink()
    for suffix in ("", "-wal"):
        shutil.copy(f"{place.path}{suffix}", f"{place.backup}{suffix}")
    await store.close()
    place.restore()
    assert place.state() == '{"balance":3}'


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root can give files away")
async def test_it_belongs_to_whom_the_old_one_did(place: Place) -> None:
    os.chown(place.path, 1234, 1235)
    place.restore()
    found = place.path.stat()
    assert (found.st_uid, found.st_gid, found.st_mode & 0o777) == (1234, 1235, 0o600)


# -- what is refused: everything is as it was -------------------------------------------------------------


@pytest.fixture
async def untouched(place: Place) -> Any:
    """Checks, at the end of the test, that nothing there has changed."""
    before = place.path.read_bytes()
    yield place
    assert place.path.read_bytes() == before
    assert not [name for name in place.names() if "before-restore" in name or "partial" in name]
    assert (place.path.parent / "bank.db.slots").exists()


async def test_while_a_node_runs(place: Place, spawn: Spawn) -> None:
    node = spawn("hold", place.path)
    assert node.stdout is not None
    node.stdout.readline()
    with pytest.raises(StoreLocked) as caught:
        place.restore()
    assert caught.value.pid == node.pid
    assert place.state() == '{"balance":2}'


@pytest.mark.process
async def test_while_another_process_has_it_open(untouched: Place) -> None:
    """It would go on with the old file: what it writes there is lost."""
    command = [sys.executable, "-c", READER, str(untouched.path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as reader:
        assert reader.stdout is not None
        reader.stdout.readline()
        with pytest.raises(StoreInUse) as caught:
            untouched.restore()
        if sys.platform == "linux":
            assert caught.value.pids == (reader.pid,)
            assert str(reader.pid) in str(caught.value)
        reader.communicate("\n")


async def test_the_same_where_the_system_lists_no_locks(
    untouched: Place, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ALONE_WAIT_S", 0.01)
    reading = make(untouched.path)
    await reading.open_reader()
    with pytest.raises(StoreInUse, match="another process"):
        untouched.restore()
    await reading.close()


async def test_unless_it_is_wanted(untouched: Place) -> None:
    with pytest.raises(FileInTheWay):
        untouched.restore(overwrite=False)


async def test_not_even_a_wal_alone_is_lost(place: Place) -> None:
    place.path.rename(f"{place.path}-wal")
    with pytest.raises(FileInTheWay):
        place.restore(overwrite=False)
    place.restore()
    assert Path(f"{place.path}.before-restore-wal").exists()


async def test_the_store_isnt_its_own_backup(untouched: Place) -> None:
    untouched.backup.unlink()
    untouched.backup.symlink_to(untouched.path)
    with pytest.raises(FileInTheWay, match="itself"):
        untouched.restore()
    untouched.backup.unlink()
    with pytest.raises(StoreUnavailable, match="no backup"):
        untouched.restore()


async def test_a_backup_with_a_damaged_structure(untouched: Place) -> None:
    with open(untouched.backup, "r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 4096)
    for damaged in (False, True):
        with pytest.raises(StoreCorrupt):
            untouched.restore(damaged=damaged)


async def test_a_backup_with_damaged_rows(untouched: Place) -> None:
    untouched.sql(untouched.backup, "UPDATE greenroom_message SET priority = 9 WHERE id = 2")
    with pytest.raises(RowsDamaged, match="1 damaged row, the first in greenroom_message 2"):
        untouched.restore()


async def test_unless_damaged_rows_are_better_than_none(place: Place) -> None:
    place.sql(place.backup, "UPDATE greenroom_message SET priority = 9 WHERE id = 2")
    assert place.restore(damaged=True).damaged == 1
    assert place.state() == '{"balance":1}'


@pytest.mark.parametrize(
    ("statements", "error"),
    [
        (["PRAGMA user_version=99"], SchemaTooNew),
        (["PRAGMA application_id=7"], StoreCorrupt),
        (["PRAGMA application_id=0", "PRAGMA user_version=0", "DROP TABLE greenroom_schema"],
         StoreCorrupt),
    ],
)  # fmt: skip
async def test_a_backup_that_is_none(untouched: Place, statements: list[str], error: type[StoreError]) -> None:
    for statement in statements:
        untouched.sql(untouched.backup, statement)
    with pytest.raises(error):
        untouched.restore()


@pytest.mark.parametrize("content", [b"", b"no database", b"no database" * 1000])
async def test_a_file_that_is_no_database(untouched: Place, content: bytes) -> None:
    untouched.backup.write_bytes(content)
    with pytest.raises(StoreCorrupt):
        untouched.restore()


@pytest.mark.process
async def test_a_full_disk(place: Place, tmp_path: Path) -> None:
    with mounted(tmp_path / "small", "64k") as small:
        with pytest.raises(StoreFull):
            restore(str(place.backup), f"{os.path.realpath(small)}/bank.db", Runtime())
        assert {path.name for path in small.iterdir()} <= {"bank.db.lock"}


async def test_at_no_moment_could_a_node_begin_anew(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command may be killed between any two steps: there is always a whole store at its path."""
    steps: list[str] = []
    seen: list[str] = []

    def watched(name: str) -> Any:
        real = getattr(os, name)

        def step(*names: Any, **options: Any) -> Any:
            result = real(*names, **options)
            steps.append(name)
            seen.append(place.state())
            return result

        return step

    for name in ("rename", "link", "replace"):
        monkeypatch.setattr(files.os, name, watched(name))
    place.restore()
    assert steps == ["rename", "rename", "link", "replace"]  # mark and slot file, the old store, the new one
    assert seen == ['{"balance":2}'] * 3 + ['{"balance":1}']
