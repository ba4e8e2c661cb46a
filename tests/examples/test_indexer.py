"""The indexer survives kills, hangs and crashes; and its comparison finds what a worse one would leave."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from results import Comparison, compare, read

INDEXER = Path(__file__).resolve().parents[2] / "examples" / "indexer"
pytestmark = pytest.mark.timeout(300)
PACKAGES = ("json", "logging", "email", "unittest", "xml", "asyncio", "concurrent", "html", "http")


def run_demo(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(INDEXER / "demo.py"), *arguments],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"GREENROOM_NODE__HANG_S": "1.0", **environment},
    )


@pytest.fixture(scope="module")
def indexed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, Any]]]:
    """A few packages, indexed through two kills, a hang and a crash; and what the sequential pass found."""
    folder = tmp_path_factory.mktemp("indexer")
    library = Path(sysconfig.get_paths()["stdlib"])
    folders = [*(str(library / package) for package in PACKAGES), str(INDEXER / "bad")]
    done = run_demo(*folders, "--kills", "2", "--dir", str(folder / "run"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "kills survived" in done.stdout
    database = max((folder / "run").glob("indexer*.db"))
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    expected = [json.loads(line) for line in (folder / "run" / "sequential.jsonl").read_text().splitlines()]
    return database, expected


def test_a_few_packages_through_two_kills(indexed: tuple[Path, list[dict[str, Any]]]) -> None:
    database, expected = indexed
    got = read(database)
    comparison = compare(expected, got)
    assert comparison.right, comparison.wrong
    assert comparison.causes["hang", "Hang"] == 1
    assert comparison.causes["crash", "Crash"] == 1
    assert comparison.causes["rejected", "UnicodeDecodeError"] == 1
    assert comparison.causes["rejected", "SyntaxError"] == 2
    (hung,) = (letter for letter in got.dead if letter.cause == "hang")
    assert hung.path.endswith("blocks.py")
    assert hung.attempts == 3
    assert "/indexer/parsers/" in hung.named
    assert hung.named.endswith("was handling Parse")


@pytest.mark.torture
@pytest.mark.timeout(600)
def test_the_standard_library_through_as_many_kills_as_come() -> None:
    done = run_demo("--kills", "20", GREENROOM_NODE__HANG_S="1.5")
    assert done.returncode == 0, done.stdout + done.stderr


# -- a checker that can't fail is worth nothing ---------------------------------------------------------------


def compared(
    indexed: tuple[Path, list[dict[str, Any]]], folder: Path, fault: Callable[[sqlite3.Connection], object]
) -> Comparison:
    database, expected = indexed
    copy = Path(shutil.copy(database, folder / "indexer.db"))
    with closing(sqlite3.connect(copy)) as connection, connection:
        fault(connection)
    return compare(expected, read(copy))


def line(comparison: Comparison, what: str) -> tuple[int, int]:
    (found,) = (line for line in comparison.lines if line.what == what)
    return found.lost, found.twice


FIRST = "rowid = (SELECT min(rowid) FROM indexed_file WHERE functions > 0 AND imports != '{}')"


def test_a_lost_file_is_found(indexed: tuple[Path, list[dict[str, Any]]], tmp_path: Path) -> None:
    found = compared(indexed, tmp_path, lambda c: c.execute(f"DELETE FROM indexed_file WHERE {FIRST}"))
    assert not found.right
    assert line(found, "files") == (1, 0)
    assert line(found, "functions")[0] > 0
    assert line(found, "imports by module")[0] > 0


def test_a_file_that_was_counted_twice_is_found(indexed: tuple[Path, list[dict[str, Any]]], tmp_path: Path) -> None:
    found = compared(
        indexed, tmp_path, lambda c: c.execute(f"INSERT INTO indexed_file SELECT * FROM indexed_file WHERE {FIRST}")
    )
    assert not found.right
    assert line(found, "files") == (0, 1)
    assert line(found, "imports")[1] > 0


def test_one_lost_and_another_twice_do_not_make_up_for_each_other(
    indexed: tuple[Path, list[dict[str, Any]]], tmp_path: Path
) -> None:
    def fault(connection: sqlite3.Connection) -> None:
        connection.execute(
            "INSERT INTO indexed_file SELECT * FROM indexed_file WHERE rowid = (SELECT max(rowid) FROM indexed_file)"
        )
        connection.execute(f"DELETE FROM indexed_file WHERE {FIRST}")

    found = compared(indexed, tmp_path, fault)
    assert line(found, "files") == (1, 1)


def test_a_state_that_is_off_by_one_is_found(indexed: tuple[Path, list[dict[str, Any]]], tmp_path: Path) -> None:
    found = compared(
        indexed,
        tmp_path,
        lambda c: c.execute(
            "UPDATE actor SET state = json_set(state, '$.classes', (state ->> 'classes') + 1)"
            " WHERE address = '/indexer/index'"
        ),
    )
    assert line(found, "sums in the actor's state") == (0, 1)


def test_a_missing_dead_letter_is_found(indexed: tuple[Path, list[dict[str, Any]]], tmp_path: Path) -> None:
    found = compared(indexed, tmp_path, lambda c: c.execute("DELETE FROM dead_letter WHERE cause = 'hang'"))
    assert line(found, "dead letters") == (1, 0)


def test_an_innocent_dead_letter_is_found(indexed: tuple[Path, list[dict[str, Any]]], tmp_path: Path) -> None:
    found = compared(
        indexed,
        tmp_path,
        lambda c: c.execute(
            "UPDATE dead_letter SET body = json_set(body, '$.path', 'innocent.py') WHERE cause = 'crash'"
        ),
    )
    assert line(found, "dead letters") == (1, 1)


def test_a_hang_without_a_name_is_found(indexed: tuple[Path, list[dict[str, Any]]], tmp_path: Path) -> None:
    found = compared(
        indexed, tmp_path, lambda c: c.execute("UPDATE dead_letter SET traceback = '' WHERE cause = 'hang'")
    )
    assert len(found.wrong) == 1
    assert "names no handler" in found.wrong[0]


def test_a_message_that_is_left_is_found(indexed: tuple[Path, list[dict[str, Any]]], tmp_path: Path) -> None:
    found = compared(
        indexed,
        tmp_path,
        lambda c: c.execute(
            "INSERT INTO message (id, address, priority, uid, sender, type, body, crc)"
            " VALUES (1, '/indexer/index', 0, '', '', 'Parsed', '{}', 0)"
        ),
    )
    assert found.wrong == ["1 messages are left in the mailboxes"]
