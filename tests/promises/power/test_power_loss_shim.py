"""The shim of the power-loss and disk tests sees all that SQLite and Python write, and fails where it is told to."""

from __future__ import annotations

import errno
import sys
from collections import Counter
from pathlib import Path

import processes
import pytest
from powerloss.oplog import read
from powerloss.shim import HALF, KILL, Operation, Shim

WRITES = """
import os, sqlite3, sys
folder, notes = sys.argv[1:]
told = os.open(notes, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
connection = sqlite3.connect(f"{folder}/a.db", isolation_level=None)
connection.execute("PRAGMA journal_mode=WAL")
connection.execute("CREATE TABLE IF NOT EXISTS t (x)")
for number in range(5):
    try:
        connection.execute("INSERT INTO t VALUES (?)", (number,))
    except sqlite3.Error as error:
        os.write(told, error.sqlite_errorname.encode())
    else:
        os.write(told, str(number).encode())
os.close(told)
"""

CALLS = """
import mmap, os, shutil, sys
folder = sys.argv[1]
os.chdir(folder)
one = os.open("one", os.O_RDWR | os.O_CREAT)
os.write(one, b"abc"); os.write(one, b"def"); os.pwritev(one, [b"X", b"Y"], 1); os.fsync(one); os.ftruncate(one, 8192)
os.posix_fallocate(one, 0, 12288)
map = mmap.mmap(one, 8192)
os.close(one)
map[5000:5003] = b"map"
shutil.copyfile("one", "two")
os.rename("two", "three"); os.link("three", "four"); os.unlink("three")
here = os.open(".", os.O_RDONLY); os.fsync(here); os.close(here)
open("/dev/null", "w").write("unseen")
"""


@pytest.fixture
def shim(tmp_path: Path) -> Shim:
    folder = tmp_path / "disk"
    folder.mkdir()
    return Shim(folder, tmp_path)


def run(shim: Shim, program: str, code: int = 0) -> list[str]:
    """Run it; what it said."""
    command = [sys.executable, "-c", program, str(shim.folder), str(shim.notes)]
    done = processes.run(command, env=shim.env)
    assert done.returncode == code, done.stderr
    return [operation.data.decode() for operation in read(shim.log) if operation.kind == "N"]


def test_it_sees_what_sqlite_does_in_order(shim: Shim) -> None:
    assert run(shim, WRITES) == ["0", "1", "2", "3", "4"]
    operations = read(shim.log)
    first, second = [index for index, operation in enumerate(operations) if operation.kind == "N"][:2]
    wal = {one.file for one in operations if one.kind == "C" and one.name == "a.db-wal"}
    between = [one.kind for one in operations[first + 1 : second] if one.file in wal]
    assert between.count("W") >= 2, "a frame's head and its page"
    assert between[-1] == "S", "the commit is synced before it is acknowledged"
    created = {one.name for one in operations if one.kind == "C"}
    assert created == {"a.db", "a.db-journal", "a.db-wal"}, "-shm is left out"


def test_it_sees_every_other_way_to_write(shim: Shim) -> None:
    run(shim, CALLS)
    operations = read(shim.log)
    assert Counter(one.kind for one in operations) == Counter(B=1, C=2, W=6, S=1, T=2, R=1, L=1, U=1, D=1)
    assert [(one.offset, one.data) for one in operations if one.kind == "W"][:4] == [
        (0, b"abc"),
        (3, b"def"),
        (1, b"X"),
        (2, b"Y"),
    ]
    (mapped,) = [one for one in operations if one.mapped]
    assert (mapped.offset, mapped.data[904:907]) == (4096, b"map")
    assert [(one.name, one.to) for one in operations if one.kind in "RL"] == [("two", "three"), ("three", "four")]
    assert (shim.folder / "four").read_bytes() == (shim.folder / "one").read_bytes()


@pytest.mark.parametrize(
    ("operation", "error", "said"),
    [
        ("write", errno.ENOSPC, "SQLITE_FULL"),
        ("write", errno.EIO, "SQLITE_IOERR_WRITE"),
        ("sync", errno.EIO, "SQLITE_IOERR_FSYNC"),
    ],
)
def test_it_fails_as_told(shim: Shim, operation: Operation, error: int, said: str) -> None:
    run(shim, WRITES)
    log = len(read(shim.log))
    nth = 3 if operation == "write" else 1  # not the head of the log, which comes with the first commit of a life
    shim.fail(operation, nth=nth, error=error, suffix="-wal")
    answers = run(shim, WRITES)[5:]
    assert answers.count(said) == 1, answers
    assert len(answers) >= 4
    assert [one.error for one in read(shim.log)[log:] if one.error] == [error]
    shim.heal()
    assert run(shim, WRITES)[-5:] == ["0", "1", "2", "3", "4"]


def test_a_disk_that_stays_full_and_half_writes(shim: Shim) -> None:
    run(shim, WRITES)
    shim.fail("write", nth=4, count=1, error=HALF, suffix="-wal")
    shim.fail("write", nth=5, count=None, error=errno.ENOSPC, suffix="-wal")
    answers = run(shim, WRITES)[5:]
    assert answers[-4:] == ["SQLITE_FULL"] * 4, answers
    assert min(len(one.data) for one in read(shim.log) if one.kind == "W") < 24


def test_death_before_a_call(shim: Shim) -> None:
    shim.fail("sync", nth=4, error=KILL)
    run(shim, WRITES, code=-9)
    assert sum(one.kind in "SD" for one in read(shim.log)) == 3
