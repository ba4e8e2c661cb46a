"""The indexer survives kills, hangs and crashes; and its comparison finds what a worse one would leave."""

from __future__ import annotations

import json
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from killer import Kill, Killer
from outside import Progress, connect, wait_for_state
from results import Comparison, compare, read

from greenroom.persistence.engines.sqlite.sidecars.slot_file import SlotFile
from greenroom.persistence.store.attempts import Started

INDEXER = Path(__file__).resolve().parents[2] / "examples" / "indexer"
pytestmark = pytest.mark.timeout(300)
PACKAGES = ("json", "logging", "email", "unittest", "xml", "asyncio", "concurrent", "html", "http")


KILLS = 5
"""As many as `make demo` promises, here in about 250 files."""


def run_demo(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(INDEXER / "demo.py"), *arguments], capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A few packages, indexed through five kills, a hang and a crash: the folder, and what the demo said."""
    folder = tmp_path_factory.mktemp("indexer") / "run"
    library = Path(sysconfig.get_paths()["stdlib"])
    folders = [*(str(library / package) for package in PACKAGES), str(INDEXER / "bad")]
    done = run_demo(*folders, "--kills", str(KILLS), "--dir", str(folder))
    assert done.returncode == 0, done.stdout + done.stderr
    with closing(sqlite3.connect(folder / "indexer.db")) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return folder, done.stdout


@pytest.fixture(scope="module")
def indexed(finished: tuple[Path, str]) -> tuple[Path, list[dict[str, Any]]]:
    """The database, and the results of the sequential pass."""
    folder, _ = finished
    expected = [json.loads(line) for line in (folder / "sequential.jsonl").read_text().splitlines()]
    return folder / "indexer.db", expected


def test_one_pass_has_every_promised_kill(finished: tuple[Path, str]) -> None:
    folder, said = finished
    assert [path.name for path in folder.glob("*.db")] == ["indexer.db"]  # one pass
    kills = [
        tuple(map(int, numbers))
        for numbers in re.findall(r"kill (\d+) at (\d+)% of the work .* life (\d+), .* (\d+) messages waited", said)
    ]
    assert [number for number, *_ in kills] == [1, 2, 3, 4, 5]
    shares = [share for _, share, _, _ in kills]
    assert all(share >= 100 * number // (KILLS + 1) for number, share, *_ in kills), shares
    assert max(shares) < 100
    assert len({life for _, _, life, _ in kills}) == KILLS  # each hit another life
    assert all(waiting > 0 for *_, waiting in kills)  # and a node at work
    with closing(sqlite3.connect(folder / "indexer.db")) as connection:
        lives = connection.execute("SELECT epoch FROM greenroom_owner").fetchone()[0]
    assert lives > KILLS + 4  # the hang and the crash ended some more
    assert len(re.findall(r"life \d+ is up.* in flight are run again", said)) == KILLS
    assert "kills survived: 5 of at least 5" in said


def test_too_few_kills_are_a_failure(tmp_path: Path) -> None:
    (tmp_path / "nothing").mkdir()  # nothing to do, so there is nothing to kill it in
    done = run_demo(str(tmp_path / "nothing"), "--dir", str(tmp_path / "run"))
    assert done.returncode == 1, done.stdout + done.stderr
    assert "only 0 kills hit the node at work: 5 were promised" in done.stdout


def test_a_few_packages_through_five_kills(indexed: tuple[Path, list[dict[str, Any]]]) -> None:
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
def test_the_standard_library_through_twenty_kills() -> None:
    done = run_demo("--kills", "20")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "kills survived: 20 of at least 20" in done.stdout


# -- the killer can't be outrun, and spares whom it has to ------------------------------------------------------


def test_a_node_that_has_outrun_the_killer_is_allowed_more_and_killed_later(tmp_path: Path) -> None:
    killer = Killer(tmp_path / "indexer.db", files=700, kills=6)
    with closing(sqlite3.connect(":memory:")) as connection:
        before = killer.allowed
        assert killer.due == 100 < before < 200
        assert killer.look(Progress(pid=1, boot=1, indexed=before - 5, given=before - 5), connection) is None
        assert killer.allowed == before  # the scanner hasn't handed out all yet
        assert killer.look(Progress(pid=1, boot=1, indexed=before, given=before), connection) is None
        assert before < killer.allowed < 200
        while killer.allowed <= 700:  # however often
            given = killer.allowed
            assert killer.look(Progress(pid=1, boot=1, indexed=given, given=given), connection) is None
            assert given < killer.allowed <= 701
    assert killer.kills == []


@dataclass
class Victim:
    """A process that a database calls the node, and that has a file to parse."""

    database: Path
    process: subprocess.Popen[bytes]
    killer: Killer

    def look(self) -> Kill | None:
        now = Progress(pid=self.process.pid, boot=99, commits=10, indexed=50, given=99, files_waiting=1, waiting=1)
        with closing(connect(self.database)) as connection:
            return self.killer.look(now, connection)

    def change(self, statement: str, *values: object) -> None:
        with closing(sqlite3.connect(self.database)) as connection, connection:
            connection.execute(statement, values)

    def begins(self, *, suspect: bool = False) -> None:
        """It begins to handle the file."""
        slots = SlotFile(f"{self.database}.slots", f"{self.database}.hang")
        slots.open()
        message = Started(0, "suspect", UID.hex(), "/indexer/parsers/3")
        slots.write_suspects([message] if suspect else [])
        slots.note(0, message.uid, message.address)
        slots.close()

    @property
    def runs(self) -> bool:
        return self.process.poll() is None and wait_for_state(self.process.pid, "R", "S")


UID = bytes(range(16))


@pytest.fixture
def victim(indexed: tuple[Path, list[dict[str, Any]]], tmp_path: Path) -> Iterator[Victim]:
    database = Path(shutil.copy(indexed[0], tmp_path / "indexer.db"))
    process = subprocess.Popen(["sleep", "600"])
    victim = Victim(database, process, Killer(database, files=100, kills=5))
    victim.change("UPDATE greenroom_owner SET pid = ?, epoch = 99", process.pid)
    victim.change(
        "INSERT INTO greenroom_message (id, address, priority, uid, sender, type, body, crc)"
        " VALUES (1, '/indexer/parsers/3', 0, ?, '', 'Parse', '{\"path\":\"/somewhere/file.py\"}', 0)",
        UID.hex(),
    )
    victim.begins()
    try:
        yield victim
    finally:
        process.kill()
        process.wait()


def test_a_node_at_work_is_killed(victim: Victim) -> None:
    kill = victim.look()
    assert kill is not None
    assert victim.process.wait() == -signal.SIGKILL
    assert [str(message) for message in kill.in_flight] == ["Parse of file.py at /indexer/parsers/3"]
    assert "life 99" in str(kill)
    assert victim.look() is None  # that life has been killed


def test_a_node_that_has_just_finished_is_spared(victim: Victim) -> None:
    victim.change("DELETE FROM greenroom_message")
    assert victim.look() is None
    assert victim.runs


def test_a_suspect_is_spared(victim: Victim) -> None:
    victim.begins(suspect=True)
    assert victim.look() is None
    assert victim.runs
    victim.begins()
    assert victim.look() is not None


def test_a_node_that_is_gone_is_no_kill(victim: Victim) -> None:
    victim.process.kill()
    assert victim.look() is None
    assert victim.killer.kills == []


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
            "UPDATE greenroom_actor SET state = json_set(state, '$.classes', (state ->> 'classes') + 1)"
            " WHERE address = '/indexer/index'"
        ),
    )
    assert line(found, "sums in the actor's state") == (0, 1)


def test_a_missing_dead_letter_is_found(indexed: tuple[Path, list[dict[str, Any]]], tmp_path: Path) -> None:
    found = compared(indexed, tmp_path, lambda c: c.execute("DELETE FROM greenroom_dead_letter WHERE cause = 'hang'"))
    assert line(found, "dead letters") == (1, 0)


def test_an_innocent_dead_letter_is_found(indexed: tuple[Path, list[dict[str, Any]]], tmp_path: Path) -> None:
    found = compared(
        indexed,
        tmp_path,
        lambda c: c.execute(
            "UPDATE greenroom_dead_letter SET body = json_set(body, '$.path', 'innocent.py') WHERE cause = 'crash'"
        ),
    )
    assert line(found, "dead letters") == (1, 1)


def test_a_hang_without_a_name_is_found(indexed: tuple[Path, list[dict[str, Any]]], tmp_path: Path) -> None:
    found = compared(
        indexed, tmp_path, lambda c: c.execute("UPDATE greenroom_dead_letter SET traceback = '' WHERE cause = 'hang'")
    )
    assert len(found.wrong) == 1
    assert "names no handler" in found.wrong[0]


def test_a_message_that_is_left_is_found(indexed: tuple[Path, list[dict[str, Any]]], tmp_path: Path) -> None:
    found = compared(
        indexed,
        tmp_path,
        lambda c: c.execute(
            "INSERT INTO greenroom_message (id, address, priority, uid, sender, type, body, crc)"
            " VALUES (1, '/indexer/index', 0, '', '', 'Parsed', '{}', 0)"
        ),
    )
    assert found.wrong == ["1 messages are left in the mailboxes"]
