"""`greenroom db`: on the store of a stopped node, and beside a running one."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from processes import communicate
from programs import ENVIRONMENT, Place
from tally import Add, Fail

from greenroom.persistence.migrations.migration import migrate
from greenroom.persistence.migrations.version import SCHEMA_VERSION


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The store of a node that has worked: two actors with a state, a dead letter."""
    place = Place(tmp_path_factory.mktemp("model"))
    place.prepare()
    place.tell(("/t/one", Add(amount=3)), ("/t/tallies/a", Add(amount=4)), ("/t/one", Fail(why="it broke")))
    assert place.run("--until-idle").wait() == 0
    yield place.folder
    place.close()


@pytest.fixture
def worked(place: Place, model: Path) -> Place:
    """A place with that store."""
    for file in model.glob("tally.db*"):
        shutil.copy(file, place.folder)
    return place


def change(place: Place, statement: str) -> None:
    with closing(sqlite3.connect(place.folder / "tally.db", isolation_level=None)) as connection:
        connection.execute(statement)


def stored(path: Path) -> dict[str, str]:
    with closing(sqlite3.connect(path)) as connection:
        return dict(connection.execute("SELECT address, state FROM greenroom_actor").fetchall())


def names(place: Place) -> set[str]:
    return {path.name for path in place.folder.iterdir()}


# -- backup and restore ---------------------------------------------------------------------------------


def test_a_backup_and_back(worked: Place) -> None:
    done = worked.shell("db", "backup", "monday.db")
    assert "monday.db: " in done.stderr
    assert f"schema version {SCHEMA_VERSION}" in done.stderr
    assert done.stdout == ""
    worked.tell(("/t/one", Add(amount=10)))
    assert worked.run("--until-idle").wait() == 0
    done = worked.do("db", "restore", "monday.db", "--force")
    assert "tally.db was restored" in done.stderr
    assert "tally.db.before-restore" in done.stderr
    run = worked.up()
    assert worked.total("/t/one") == 3
    status = worked.data("db", "status")
    assert status["owner_epoch"] == 4  # the fourth start of all, and not the third again
    run.stop()
    assert '"total":13' in stored(worked.folder / "tally.db.before-restore")["/t/one"]


def test_a_backup_is_a_store(worked: Place) -> None:
    data = worked.data("db", "backup", "monday.db")
    assert data["path"] == os.path.realpath(worked.folder / "monday.db")
    assert (data["bytes"], data["schema_version"]) == (os.path.getsize(data["path"]), SCHEMA_VERSION)
    monday = ("--store", "sqlite:///monday.db")
    assert worked.data("db", "verify", *monday)["count"] == 0
    assert [letter["text"] for letter in worked.data("dead", "list", *monday)] == ["it broke"]


def test_nothing_is_overwritten_unasked(worked: Place) -> None:
    worked.do("db", "backup", "monday.db")
    done = worked.do("db", "backup", "monday.db", code=2)
    assert "monday.db exists already; nothing was overwritten. --force overwrites it" in done.stderr
    worked.do("db", "backup", "monday.db", "--force")
    done = worked.do("db", "restore", "monday.db", code=2)
    assert "tally.db exists already; nothing was overwritten. --force replaces it" in done.stderr
    done = worked.do("db", "backup", "tally.db", "--force", code=2)
    assert "belongs to the store itself; nothing was overwritten\n" in done.stderr


def test_a_restore_where_nothing_is(worked: Place, tmp_path: Path) -> None:
    worked.do("db", "backup", "monday.db")
    (tmp_path / "new").mkdir()
    data = worked.data("db", "restore", "monday.db", "--store", "sqlite:///new/bank.db")
    assert data["kept"] is None
    assert stored(tmp_path / "new/bank.db") == stored(worked.folder / "tally.db")


def test_a_damaged_backup(worked: Place) -> None:
    change(worked, "UPDATE greenroom_actor SET state = '{\"total\":4}' WHERE address = '/t/one'")
    worked.do("db", "backup", "monday.db")
    done = worked.do("db", "restore", "monday.db", "--force", code=3)
    assert "1 damaged row, the first in greenroom_actor /t/one. Nothing was restored; --damaged takes it" in done.stderr
    done = worked.do("db", "restore", "monday.db", "--force", "--damaged")
    assert "damaged rows: 1." in done.stderr
    (worked.folder / "none.db").write_text("not a database")
    worked.do("db", "restore", "none.db", "--force", code=3)
    worked.do("db", "restore", "nowhere.db", "--force", code=3)


def test_a_killed_backup_leaves_no_half_file(worked: Place) -> None:
    """SIGTERM, as of a cron job that has taken too long, in the middle of a copy."""
    script = (
        "import sys; from greenroom.persistence.maintenance import backup\n"
        "from greenroom.supervision.cli.app import main\n"
        "backup.STEP_PAGES = 1\n"
        "def pause(self, seconds):\n    print('copying', flush=True)\n    sys.stdin.readline()\n"
        "backup.Runtime.pause = pause\n"
        "sys.exit(main(['db', 'backup', 'monday.db']))\n"
    )
    before = names(worked)
    with subprocess.Popen(
        [sys.executable, "-P", "-c", script],
        cwd=worked.folder,
        env=ENVIRONMENT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as copying:
        assert copying.stdout is not None
        assert copying.stdout.readline() == "copying\n"
        assert any(name.endswith(".partial") for name in names(worked))
        copying.send_signal(signal.SIGTERM)
        communicate(copying)
        assert copying.returncode == 130
    assert names(worked) <= before | {"tally.db-wal", "tally.db-shm"}


# -- verify ---------------------------------------------------------------------------------------------


def test_a_whole_store(worked: Place) -> None:
    done = worked.shell("db", "verify")
    assert "none is damaged" in done.stderr
    assert done.stdout == ""
    data = worked.data("db", "verify")
    assert (data["count"], data["structure"], data["damaged"]) == (0, [], [])
    assert data["rows"] >= 3


def test_damage_is_named_with_what_comes_of_it_and_what_helps(worked: Place) -> None:
    change(worked, "UPDATE greenroom_actor SET state = '{\"total\":9}' WHERE address = '/t/one'")
    change(worked, "UPDATE greenroom_dead_letter SET body = 'x'")
    done = worked.do("db", "verify", code=3)
    assert "/t/one" in done.stdout
    assert "its actor doesn't start" in done.stderr
    assert "greenroom actors reset /t/one" in done.stderr
    assert "greenroom dead discard" in done.stderr
    done = worked.shell("db", "verify", "--json", code=3)
    assert "2 of " in done.stderr
    state, letter = json.loads(done.stdout)["damaged"]
    assert (state["table"], state["key"], state["address"]) == ("greenroom_actor", ["/t/one"], "/t/one")
    assert letter["remedy"] == f"greenroom dead discard {letter['key'][0]}"


def test_what_is_said_to_come_of_it_does(worked: Place) -> None:
    """A damaged state: its actor doesn't start. The remedy cures it."""
    change(worked, "UPDATE greenroom_actor SET state = '{\"total\":9}' WHERE address = '/t/one'")
    assert worked.run("--until-idle").wait() == 1
    worked.do("actors", "reset", "/t/one")
    assert worked.run("--until-idle").wait() == 0
    worked.do("db", "verify")


# -- vacuum, migrate, status ----------------------------------------------------------------------------


def test_a_vacuum_gives_the_room_back(worked: Place) -> None:
    change(worked, "CREATE TABLE junk AS SELECT zeroblob(500000)")
    change(worked, "DROP TABLE junk")
    before = os.path.getsize(worked.folder / "tally.db")
    data = worked.data("db", "vacuum")
    assert data["bytes_before"] == before
    assert data["bytes_after"] == os.path.getsize(worked.folder / "tally.db") < before / 2
    assert worked.data("db", "status")["pages_free"] == 0
    assert " before, " in worked.do("db", "vacuum").stderr
    assert worked.data("db", "verify")["count"] == 0


def test_nothing_to_migrate(worked: Place) -> None:
    assert "there is nothing to do" in worked.do("db", "migrate").stderr
    assert worked.data("db", "migrate") == {
        "schema_version_before": SCHEMA_VERSION,
        "schema_version": SCHEMA_VERSION,
        "backup": None,
    }


@pytest.fixture
def old(place: Place) -> Iterator[Place]:
    """A store with the first schema there was."""
    path = place.folder / "tally.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        migrate(connection, str(path), 0, 1)
    yield place


def test_a_migration_copies_the_store_before(old: Place) -> None:
    assert "greenroom db migrate" in old.do("db", "status", code=3).stderr
    assert "only the structure was checked" in old.do("db", "verify").stderr
    done = old.shell("db", "migrate")
    assert f"was migrated from schema version 1 to {SCHEMA_VERSION}" in done.stderr
    assert "tally.db.schema-1 is as it was before" in done.stderr
    assert old.data("db", "status")["schema_version"] == SCHEMA_VERSION
    with closing(sqlite3.connect(old.folder / "tally.db.schema-1")) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (1,)


def test_a_migration_without_a_copy(old: Place) -> None:
    assert old.data("db", "migrate", "--no-backup")["backup"] is None
    assert "tally.db.schema-1" not in names(old)


@pytest.mark.parametrize("command", ["backup x.db", "verify", "vacuum", "migrate", "status"])
def test_where_no_store_is(place: Place, command: str) -> None:
    place.do("db", *command.split(), code=3)
    assert names(place) == {"greenroom.toml"}
    if command != "status":
        assert "keeps nothing in a file" in place.do("db", *command.split(), "--store", "memory://", code=2).stderr


# -- beside a running node ------------------------------------------------------------------------------


def test_a_running_node_is_copied_and_checked(running: Place) -> None:
    running.tell(("/t/tallies/copied", Add(amount=7)))
    assert running.total("/t/tallies/copied") == 7
    running.shell("db", "backup", "hot.db", "--force")
    assert stored(running.folder / "hot.db")["/t/tallies/copied"] == '{"total":7}'
    assert running.data("db", "verify")["count"] == 0
    assert running.total("/t/tallies/copied") == 7


@pytest.mark.parametrize("command", ["restore hot.db --force", "vacuum", "migrate"])
def test_what_needs_the_store_alone_names_the_node(running: Place, command: str) -> None:
    running.do("db", "backup", "hot.db", "--force")
    done = running.do("db", *command.split(), code=3)
    assert f"in use by process {running.pid()}" in done.stderr
    assert running.data("db", "status")["running"] is True


def test_the_status_has_the_wal(running: Place) -> None:
    status = running.data("db", "status")
    assert status["wal_bytes"] == os.path.getsize(running.folder / "tally.db-wal")
    assert isinstance(status["wal_readers"], list)


# -- lost commits ---------------------------------------------------------------------------------------


def lose_the_last(worked: Place) -> None:
    """As a WAL that lost its end: the database shows two commits less than its mark."""
    change(worked, "UPDATE greenroom_owner SET commit_no = commit_no - 2")


def test_lost_commits_are_refused_until_they_are_accepted(worked: Place) -> None:
    lose_the_last(worked)
    node = worked.run("--until-idle")
    assert node.wait() == 3
    assert "the last 2 commits" in node.log
    status = worked.data("db", "status")
    assert (status["commits_lost"], status["submissions_lost"]) == (2, 0)
    verified = worked.do("db", "verify", "--json", code=3)
    assert json.loads(verified.stdout)["lost"] == {"commits": 2, "submissions": 0}
    assert "accept-loss" in verified.stderr
    assert worked.data("db", "accept-loss") == {"commits": 2, "submissions": 0}
    assert "nothing to do" in worked.do("db", "accept-loss").stderr
    assert worked.run("--until-idle").wait() == 0
    assert worked.data("db", "verify")["lost"] == {"commits": 0, "submissions": 0}


def test_lost_commits_are_accepted_by_the_url(worked: Place) -> None:
    lose_the_last(worked)
    node = worked.run("--until-idle", "--store", f"{worked.url}?lost_commits=accept")
    assert node.wait() == 0
    assert "commits are missing that were acknowledged: 2 commits." in node.log
