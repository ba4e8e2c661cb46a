from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine
from sqlalchemy.pool import StaticPool
from store_samples import commit, message

from greenroom.persistence.engines.sqlite import upgrade
from greenroom.persistence.engines.sqlite.engine import SqliteStore
from greenroom.persistence.engines.sqlite.schema import ddl, metadata
from greenroom.persistence.engines.sqlite.sidecars.mark import Mark
from greenroom.persistence.errors import CommitsLost, RecordCorrupt, SchemaTooNew, StoreCorrupt, StoreUnavailable
from greenroom.persistence.maintenance.restore import restore
from greenroom.persistence.migrations import versions
from greenroom.persistence.migrations.migration import migrate
from greenroom.persistence.migrations.version import APPLICATION_ID, SCHEMA_VERSION, VERSION_TABLE, revision
from greenroom.persistence.runtime import Runtime
from greenroom.persistence.store.checksums import seal, verify
from greenroom.persistence.store.commit import Commit
from greenroom.persistence.store.rows import ROWS, DeadLetterRow, InboxRow, MessageRow, OwnerRow, columns

Connect = Any

NEXT = f"""
from alembic import op
import sqlalchemy as sa
revision = "{SCHEMA_VERSION + 1:04d}"
down_revision = "{SCHEMA_VERSION:04d}"
def upgrade():
    op.create_table("extra", sa.Column("x", sa.Integer))
    op.add_column("greenroom_message", sa.Column("colour", sa.Text))
"""


@pytest.fixture
def connect() -> Iterator[Connect]:
    made: list[sqlite3.Connection] = []

    def connect(path: object = ":memory:") -> sqlite3.Connection:
        made.append(sqlite3.connect(str(path), isolation_level=None))
        return made[-1]

    yield connect
    for connection in made:
        connection.close()


def store(path: Path) -> SqliteStore:
    return SqliteStore(f"sqlite:///{path}", Runtime())


async def make(path: Path) -> None:
    made = store(path)
    await made.open()
    made.commit_now(commit(1, message(1)))
    await made.close()


def tables(connection: sqlite3.Connection) -> list[tuple[str, str]]:
    rows = connection.execute("SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY name")
    return [(name, " ".join(sql.split())) for name, sql in rows]


def test_all_migrations_make_what_a_fresh_database_has(connect: Connect) -> None:
    migrated, fresh = connect(), connect()
    migrate(migrated, "bank.db", 0, SCHEMA_VERSION)
    for statement in ddl():
        fresh.execute(statement)
    assert tables(migrated) == tables(fresh)
    stamp = f"SELECT version_num FROM {VERSION_TABLE}"
    assert migrated.execute(stamp).fetchall() == fresh.execute(stamp).fetchall()
    assert upgrade.inspect(migrated, "bank.db") == SCHEMA_VERSION


def test_alembic_sees_no_difference_either(connect: Connect) -> None:
    raw = connect()
    migrate(raw, "bank.db", 0, SCHEMA_VERSION)
    engine = create_engine("sqlite://", creator=lambda: raw, poolclass=StaticPool)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
        assert compare_metadata(context, metadata) == []


async def test_an_older_schema_is_migrated_with_its_data(
    tmp_path: Path, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "bank.db"
    await make(path)
    (tmp_path / "v_next.py").write_text(NEXT)
    connection = connect(path)
    migrate(connection, str(path), SCHEMA_VERSION, SCHEMA_VERSION + 1, scripts=[tmp_path])
    assert connection.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION + 1,)
    assert connection.execute("SELECT id, colour FROM greenroom_message").fetchall() == [(1, None)]
    assert connection.execute("SELECT count(*) FROM extra").fetchone() == (0,)
    assert not connection.in_transaction


async def test_a_migration_that_fails_changes_nothing(tmp_path: Path, connect: Connect) -> None:
    path = tmp_path / "bank.db"
    await make(path)
    (tmp_path / "v_next.py").write_text(NEXT + '    op.execute("INSERT INTO nowhere VALUES (1)")\n')
    connection = connect(path)
    before = tables(connection)
    with pytest.raises(StoreCorrupt, match="nowhere"):
        migrate(connection, str(path), SCHEMA_VERSION, SCHEMA_VERSION + 1, scripts=[tmp_path])
    assert not connection.in_transaction
    assert tables(connection) == before
    connection.close()
    again = store(path)
    await again.open()
    assert await again.count(MessageRow) == 1
    await again.close()


async def test_open_migrates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The way from `open` to alembic, with the only migration there is so far standing for a later one."""
    path = tmp_path / "bank.db"
    await make(path)
    called: list[tuple[int, int]] = []

    def migrate(connection: object, path: str, found: int, wanted: int) -> None:
        called.append((found, wanted))

    monkeypatch.setattr(upgrade, "SCHEMA_VERSION", SCHEMA_VERSION + 1)
    monkeypatch.setattr("greenroom.persistence.migrations.migration.migrate", migrate)
    made = store(path)
    await made.open()
    await made.close()
    assert called == [(SCHEMA_VERSION, SCHEMA_VERSION + 1)]


async def test_the_first_schema_comes_up_to_date_with_its_data(tmp_path: Path, connect: Connect) -> None:
    path = tmp_path / "bank.db"
    connection = connect(path)
    migrate(connection, str(path), 0, 1)
    row = message(1)
    marks = ",".join("?" * len(row))
    connection.execute(f"INSERT INTO message VALUES ({marks})", row)
    connection.close()
    made = store(path)
    await made.open()
    assert await made.messages([1]) == [row]
    await made.close()
    assert upgrade.inspect(connect(path), str(path)) == SCHEMA_VERSION


@pytest.mark.slow
async def test_checksums_of_the_second_schema(tmp_path: Path, connect: Connect) -> None:
    """They are computed anew; a row that was damaged stays so, and text that is none is no obstacle."""
    path = tmp_path / "bank.db"
    connection = connect(path)
    migrate(connection, str(path), 0, 2)
    rows = [message(number, body=f'{{"note":"ä{number}"}}') for number in range(1, 2502)]
    marks = ",".join("?" * len(rows[0]))
    old = [row._replace(crc=crc32(ascii(row[:-1]).encode("ascii"))) for row in rows]
    connection.executemany(f"INSERT INTO message VALUES ({marks})", old)
    connection.execute("UPDATE message SET body = 'changed' WHERE id = 7")
    connection.execute("UPDATE message SET body = CAST(x'ff22' AS TEXT) WHERE id = 8")
    connection.close()
    made = store(path)
    await made.open()
    found = {row.id: row for row in await made.messages([row.id for row in rows])}
    await made.close()
    assert [found[row.id] for row in rows if row.id not in (7, 8)] == [row for row in rows if row.id not in (7, 8)]
    for damaged in (7, 8):
        with pytest.raises(RecordCorrupt):
            verify(found[damaged])


def test_an_unknown_revision(connect: Connect) -> None:
    with pytest.raises(StoreCorrupt):
        migrate(connect(), "bank.db", 0, 9999)


async def test_a_newer_schema_is_left_alone(tmp_path: Path, connect: Connect) -> None:
    path = tmp_path / "bank.db"
    await make(path)
    connect(path).execute(f"PRAGMA user_version={SCHEMA_VERSION + 1}")
    for opening in (store(path).open, store(path).open_reader):
        with pytest.raises(SchemaTooNew) as caught:
            await opening()
        assert (caught.value.found, caught.value.known) == (SCHEMA_VERSION + 1, SCHEMA_VERSION)


async def test_a_reader_doesnt_migrate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "bank.db"
    await make(path)
    for module in ("reader", "upgrade"):
        monkeypatch.setattr(f"greenroom.persistence.engines.sqlite.{module}.SCHEMA_VERSION", SCHEMA_VERSION + 1)
    with pytest.raises(StoreUnavailable, match="migrate"):
        await store(path).open_reader()


async def test_the_file_is_marked_as_ours(tmp_path: Path, connect: Connect) -> None:
    await make(tmp_path / "bank.db")
    connection = connect(tmp_path / "bank.db")
    assert connection.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)
    assert connection.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION,)


async def test_tables_of_the_users_may_be_there(tmp_path: Path, connect: Connect) -> None:
    path = tmp_path / "bank.db"
    connection = connect(path)
    connection.execute("CREATE TABLE alembic_version (version_num)")
    connection.execute("INSERT INTO alembic_version VALUES ('theirs')")
    await make(path)
    again = store(path)
    await again.open()
    await again.close()
    assert connection.execute("SELECT * FROM alembic_version").fetchall() == [("theirs",)]


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE greenroom_message (id, text)",
        "CREATE VIEW greenroom_owner AS SELECT 1 AS node",
        "PRAGMA application_id=252006674",
        "PRAGMA user_version=3",
    ],
)
async def test_a_foreign_database_is_refused_and_untouched(tmp_path: Path, connect: Connect, statement: str) -> None:
    path = tmp_path / "bank.db"
    connection = connect(path)
    connection.execute("CREATE TABLE theirs (x)")
    connection.execute(statement)
    before = tables(connection)
    for opening in (store(path).open, store(path).open_reader):
        with pytest.raises(StoreCorrupt):
            await opening()
    assert tables(connection) == before


@pytest.mark.parametrize("statement", ["DROP TABLE greenroom_child", "ALTER TABLE greenroom_message ADD COLUMN colour"])
async def test_damaged_tables_are_noticed(tmp_path: Path, connect: Connect, statement: str) -> None:
    path = tmp_path / "bank.db"
    await make(path)
    connect(path).execute(statement)
    with pytest.raises(StoreCorrupt, match=r"child|message"):
        await store(path).open()


async def test_a_dump_that_was_read_back(tmp_path: Path, connect: Connect) -> None:
    await make(tmp_path / "bank.db")
    restored = connect(tmp_path / "restored.db")
    restored.executescript("\n".join(connect(tmp_path / "bank.db").iterdump()))
    assert restored.execute("PRAGMA application_id").fetchone() == (0,)
    again = store(tmp_path / "restored.db")
    assert (await again.open()).epoch == 2
    assert await again.messages([1]) == [message(1)]
    await again.close()
    assert restored.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)


def test_the_version_is_that_of_the_newest_script() -> None:
    scripts = [path.name for path in Path(versions.__path__[0]).glob("v*.py")]
    assert max(scripts)[1:5] == revision(SCHEMA_VERSION)


# -- the prefix of the fourth schema -------------------------------------------------------------------------


def of_schema_3(connection: sqlite3.Connection, path: Path) -> None:
    """A store as the release before left it: a row in each table, and what a user may have beside them."""
    connection.execute("PRAGMA journal_mode=WAL")
    migrate(connection, str(path), 0, 3)
    for kind, table in ROWS.items():
        row = sample(kind)
        connection.execute(f"INSERT INTO {table.noun} VALUES ({','.join('?' * len(row))})", row)
    connection.execute("INSERT INTO owner VALUES ('main', 7, 1, 0, 1.0, 40)")
    for statement in (
        "CREATE TABLE theirs (x)",
        "CREATE VIEW waiting AS SELECT count(*) AS messages FROM message",
        "CREATE INDEX by_type ON actor (type)",
        "CREATE TRIGGER parked AFTER INSERT ON dead_letter BEGIN INSERT INTO theirs VALUES (NEW.cause); END",
    ):
        connection.execute(statement)


def sample(kind: Any) -> Any:
    values = {"int": 1, "float": 2.5, "str": "x"}
    return seal(kind(*(values[column.type.__name__] for column in columns(kind)[:-1])))


async def test_tables_without_the_prefix_are_renamed_in_place(tmp_path: Path, connect: Connect) -> None:
    """With their rows, the ids that the inbox has given, and the views, indexes and triggers of a user."""
    path = tmp_path / "bank.db"
    connection = connect(path)
    of_schema_3(connection, path)
    made = store(path)
    assert (await made.open()).epoch == 8
    for kind in ROWS:
        assert [verify(row) for row in await made.scan(kind)] == [sample(kind)], kind
    assert await made.submit([sample(InboxRow)]) == [2]
    assert connection.execute("SELECT messages FROM waiting").fetchall() == [(1,)]
    made.commit_now(Commit(2).put(seal(sample(DeadLetterRow)._replace(id=2))))
    assert connection.execute("SELECT x FROM theirs").fetchall() == [("x",)]
    (indexed,) = connection.execute("SELECT tbl_name FROM sqlite_schema WHERE name = 'by_type'").fetchone()
    assert indexed == "greenroom_actor"
    await made.close()


async def test_the_names_are_the_users_then(tmp_path: Path, connect: Connect) -> None:
    path = tmp_path / "bank.db"
    of_schema_3(connect(path), path)
    made = store(path)
    await made.open()
    connection = connect(path)
    for table in ROWS.values():
        connection.execute(f"CREATE TABLE {table.noun} (mine)")  # not IF NOT EXISTS: it would pass over one of ours
    connection.execute("CREATE TABLE owner (mine)")
    await made.close()
    again = store(path)
    assert (await again.open()).epoch == 9
    assert await again.count(MessageRow) == 1
    await again.close()


@pytest.mark.parametrize(
    ("statement", "why"),
    [("CREATE VIEW broken AS SELECT * FROM nowhere", "broken"), ("CREATE TABLE greenroom_actor (mine)", "actor")],
)
async def test_a_store_that_cant_be_renamed_stays_as_it_was(
    tmp_path: Path, connect: Connect, statement: str, why: str
) -> None:
    path = tmp_path / "bank.db"
    connection = connect(path)
    of_schema_3(connection, path)
    connection.execute(statement)
    before = tables(connection)
    with pytest.raises(StoreCorrupt, match=why):
        await store(path).open()
    assert tables(connection) == before
    assert connection.execute("PRAGMA user_version").fetchone() == (3,)


async def test_a_dump_of_the_third_schema_is_read_back_and_renamed(tmp_path: Path, connect: Connect) -> None:
    old = connect(tmp_path / "bank.db")
    of_schema_3(old, tmp_path / "bank.db")
    connect(tmp_path / "restored.db").executescript("\n".join(old.iterdump()))
    again = store(tmp_path / "restored.db")
    assert (await again.open()).epoch == 8
    assert await again.count(MessageRow) == 1
    await again.close()


async def test_a_loss_is_noticed_before_the_tables_are_renamed(tmp_path: Path, connect: Connect) -> None:
    path = tmp_path / "bank.db"
    connection = connect(path)
    of_schema_3(connection, path)
    mark = Mark(f"{path}.mark")
    mark.open(OwnerRow("main", 7, 5, 0, 1.0, 40), 3, None)  # four commits and two submissions more than there are
    mark.close()
    before = tables(connection)
    with pytest.raises(CommitsLost, match="4 commits and 2 submissions"):
        await store(path).open()
    assert tables(connection) == before, "the WAL is untouched as well"


async def test_a_backup_of_the_third_schema_keeps_the_numbers_of_the_store_it_replaces(
    tmp_path: Path, connect: Connect
) -> None:
    path, backup = tmp_path / "bank.db", tmp_path / "backup.db"
    of_schema_3(connect(backup), backup)
    made = store(path)
    for _ in range(9):
        await made.open()
        await made.close()
    done = restore(str(backup), os.path.realpath(path), Runtime(), overwrite=True)
    assert done.schema_version == 3
    assert (await made.open()).epoch == 10
    assert await made.submit([sample(InboxRow)]) == [2]
    await made.close()
