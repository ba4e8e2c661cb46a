"""The power fails during a restore: there is the old store or the restored one, and nothing of the other in it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from powerloss.audit import Books, recover
from powerloss.disk import Power
from powerloss.images import PAGE, Disk, write
from powerloss.oplog import read
from tallies import Tally

NAMES_CHANGE = 8
"""The last steps of a restore, in which the order of names counts."""
IRRELEVANT = (".partial", ".lock")

RESTORE = """
import os, sys
from greenroom.persistence.maintenance.restore import restore
from greenroom.persistence.runtime import Runtime
folder, notes = sys.argv[1:]
restore(f"{folder}/copy0.db", f"{folder}/p.db", Runtime(), overwrite=True)
os.write(os.open(notes, os.O_WRONLY | os.O_CREAT), b"restored")
"""


def contents(books: Books) -> tuple[Any, ...]:
    return (sorted((address, sorted(found)) for address, found in books.entries.items()), books.purses)


def larger(database: bytes, folder: Path) -> bytes:
    """With a table of the user's in it, which the old store's journal would cut off."""
    path = folder / "larger.db"
    path.write_bytes(database)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("CREATE TABLE much (x)")
        connection.execute("INSERT INTO much VALUES (zeroblob(100000))")
    return path.read_bytes()


def is_larger(image: dict[str, bytes], folder: Path) -> bool:
    write(image, folder)
    with closing(sqlite3.connect(folder / "p.db")) as connection:
        found: int = connection.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'much'").fetchone()[0]
        return found == 1 and connection.execute("SELECT length(x) FROM much").fetchone() == (100000,)


def survive_restore(folder: Path, seeds: int, tally: Tally) -> None:
    """At every point there is the old store or the restored one, and the restored one once that has been said.

    Args:
        seeds: for the steps in which names change.
    """
    operations = Power(folder).victim(lives=2, count=2)
    point = max(point for point, one in enumerate(operations) if b"acked" in one.data and one.kind == "N")
    disk = Disk()
    for operation in operations[:point]:
        disk.apply(operation)
    old = disk.image(1)
    assert len(old["p.db-wal"]) > PAGE, "the old store's last commits are in its WAL"
    old["copy0.db"] = larger(old["copy0.db"], folder)
    before = recover(old, folder / "old")
    after = recover({"p.db": old["copy0.db"]}, folder / "new")
    assert contents(before) != contents(after)
    (folder / "again").mkdir()
    restoring = Power(folder / "again")
    write(old, restoring.disk)
    restoring.run("-c", RESTORE, str(restoring.disk), str(restoring.shim.notes))
    log = read(restoring.shim.log)
    disk, said, images, known = Disk(old), False, 0, set[tuple[tuple[str, bytes], ...]]()
    for point, following in enumerate((*log, None)):
        for seed in range(seeds if point >= len(log) - NAMES_CHANGE else 3):
            image = {name: one for name, one in disk.image(seed, point).items() if not name.endswith(IRRELEVANT)}
            images += 1
            if (key := (*image.items(), ("said", bytes([said])))) in known:
                continue
            known.add(key)
            books = recover(image, folder / f"{point}-{seed}")
            assert (books.structure, books.damages) == ("ok", []), (point, seed)
            assert books.boot >= before.boot, (point, seed, "an epoch comes twice")
            wanted = (contents(after),) if said else (contents(before), contents(after))
            assert contents(books) in wanted, (point, seed, "neither the old store nor the restored one")
            whole = contents(books) == contents(before) or is_larger(image, folder / f"{point}-{seed}")
            assert whole, (point, seed, "the old store's journal was taken for the restored one's")
        if following is not None:
            said = said or following.kind == "N"
            disk.apply(following)
    tally("crash points", len(log))
    tally("power cuts", images)


def test_every_point_of_a_restore(tmp_path: Path, tally: Tally) -> None:
    survive_restore(tmp_path, 8, tally)


@pytest.mark.torture
@pytest.mark.timeout(3000)
def test_a_restore_in_many_ways(tmp_path: Path, tally: Tally) -> None:
    survive_restore(tmp_path, 100, tally)
