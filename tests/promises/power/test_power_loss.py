"""The power fails, at any point: nothing acknowledged is lost, nothing is done twice, and the node starts.

A real node works under the shim of powerloss/shim.c, which logs what it does to its files, and what it acknowledges.
For a point of that log powerloss/images.py draws what a disk may hold after a power cut there: what was synced, and any
part of the rest. A node is started on it, and its books are compared with what had been acknowledged.
"""

from __future__ import annotations

import errno
import random
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any
from zlib import crc32

import msgspec
import pytest
from powerloss.audit import Said
from powerloss.cuts import Cuts, points, sampled
from powerloss.disk import Power
from powerloss.images import PAGE, Disk, write
from powerloss.oplog import Operation
from powerloss.planted import BUGS
from powerloss.shim import HALF
from powerloss.workload import DESK, Order
from tallies import Tally

from greenroom.persistence.engines.sqlite.sidecars.slot_file import SLOT_BYTES
from greenroom.persistence.engines.sqlite.statements import insert
from greenroom.persistence.migrations.migration import migrate
from greenroom.persistence.store.rows import MessageRow


@pytest.fixture
def power(tmp_path: Path) -> Power:
    return Power(tmp_path)


def survive(cuts: Cuts, chosen: list[int], seeds: list[int], tally: Tally) -> None:
    found = cuts.run(chosen, seeds)
    tally("crash points", cuts.points)
    tally("power cuts", cuts.images)
    assert found is None, found
    tally("messages lost", 0)
    tally("messages doubled", 0)


# -- every point ------------------------------------------------------------------------------------------


def test_every_point_of_a_small_life(power: Power, tally: Tally) -> None:
    """From the database's creation to the close of a second life, with a checkpoint at the end of each."""
    operations = power.victim(lives=2, count=1)
    survive(Cuts(operations), points(operations), [0, 2], tally)
    tally("seeds", 2)


@pytest.mark.torture
@pytest.mark.timeout(3000)
def test_every_point_in_many_ways(power: Power, tally: Tally) -> None:
    operations = power.victim(lives=2, count=4)
    survive(Cuts(operations, every=True), points(operations), list(range(5)), tally)
    tally("seeds", 5)


@pytest.mark.torture
@pytest.mark.timeout(3000)
def test_a_long_life(power: Power, tally: Tally) -> None:
    operations = power.victim(lives=3, count=70)
    assert sum(one.kind == "N" for one in operations) > 2_000
    survive(Cuts(operations), sampled(operations, 400, seed=1), list(range(4)), tally)
    tally("seeds", 4)


class Unpromised(Said):
    """Of a store that doesn't sync its commits."""

    def hear(self, note: bytes) -> None:
        super().hear(note)
        self.forget_promises()


@pytest.mark.torture
@pytest.mark.timeout(3000)
def test_synchronous_normal_loses_the_last_commits_and_nothing_else(power: Power, tally: Tally) -> None:
    """All that is there is of one moment: nothing torn, nothing twice, no gap."""
    operations = power.victim(lives=2, count=12, bug="synchronous=NORMAL")
    cuts = Cuts(operations, listen=Unpromised, options="?synchronous=normal")
    survive(cuts, sampled(operations, 250, seed=3), [0, 2, 3, 4], tally)
    tally("seeds", 4)


# -- the slot file ------------------------------------------------------------------------------------------


def damaged(slots: bytes, before: bytes, draw: random.Random) -> list[bytes]:
    """The other contents of a file that nobody ever syncs: as it was once, zeros, garbage, a part, a mixture."""
    pages = range(0, len(slots), PAGE)
    mixed = b"".join(
        (slots if draw.random() < 0.5 else before.ljust(len(slots), b"\0"))[at : at + PAGE] for at in pages
    )
    header = slots[:SLOT_BYTES]
    return [
        before,
        mixed,
        bytes(len(slots)),
        header + bytes(len(slots) - SLOT_BYTES),
        header + draw.randbytes(len(slots) - SLOT_BYTES),
        slots[: draw.randrange(len(slots))],
    ]


def survive_slots(operations: list[Operation], chosen: list[int], tally: Tally) -> None:
    """At each of these points, the database as it would be, beside each of those slot files."""
    draw = random.Random(len(operations))
    disk, seen, others = Disk(), [b""], []
    for point, operation in enumerate(operations):
        if point in chosen and (slots := disk.image(1)["p.db.slots"]):
            others.append((point, damaged(slots, draw.choice(seen), draw)))
            seen.append(slots)
        disk.apply(operation)
    cuts = Cuts(operations, every=True)
    for point, contents in others:
        for content in contents:
            found = cuts.run([point], [0], {"p.db.slots": content})
            assert found is None, found
    tally("crash points", len(others))
    tally("power cuts", cuts.images)


def test_any_slot_file(power: Power, tally: Tally) -> None:
    operations = power.victim(lives=1, count=3)
    said = [point for point, one in enumerate(operations) if b"acked" in one.data and one.kind == "N"]
    survive_slots(operations, said[::6], tally)


@pytest.mark.torture
@pytest.mark.timeout(3000)
def test_any_slot_file_at_many_points(power: Power, tally: Tally) -> None:
    operations = power.victim(lives=2, count=8)
    said = [point for point, one in enumerate(operations) if b"acked" in one.data and one.kind == "N"]
    survive_slots(operations, said, tally)


# -- planted bugs -----------------------------------------------------------------------------------------

QUICK = ["acknowledged before the commit", "checkpoint without sync", "state apart from its turn"]
POINTS_MAX = 60
"""In which each is to be found."""


@pytest.mark.parametrize(
    "bug",
    [pytest.param(bug, marks=() if bug in QUICK else pytest.mark.torture) for bug in BUGS if bug != "none"],
)
def test_a_planted_bug_is_found(power: Power, tally: Tally, bug: str) -> None:
    operations = power.victim(lives=2, count=4, bug=bug)
    cuts = Cuts(operations)
    found = cuts.run(sampled(operations, POINTS_MAX, seed=1), [0, 2])
    assert found is not None, f"not found at {cuts.points} points"
    print(f"{bug}: found after {found.points} points, at {found.point} with seed {found.seed}: {found.why}")
    tally("planted bugs found", 1)


# -- a migration ------------------------------------------------------------------------------------------


def of_schema_1(folder: Path) -> dict[str, bytes]:
    """A database as an older release left it, with mail in it."""
    path = folder / "p.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        migrate(connection, str(path), 0, 1)
        for number in range(3):
            order = Order(teller=0, number=number)
            body = msgspec.json.encode(order).decode()
            row = MessageRow(number + 1, DESK[0], 0, None, f"{number:032x}", "", None, "Order", body)
            old = crc32(ascii(row[:-1]).encode("ascii"))
            connection.execute(insert(MessageRow, 1).replace("greenroom_", ""), row._replace(crc=old))
    return {"p.db": path.read_bytes()}


class Mailed(Said):
    """The numbers that the older release had acknowledged."""

    def __init__(self) -> None:
        super().__init__()
        self.sent |= {(0, number) for number in range(3)}
        self.acked |= self.sent


def migrated(power: Power) -> tuple[list[Operation], Cuts]:
    before = of_schema_1(power.disk)
    operations = power.victim(lives=1, count=0)
    return operations, Cuts(operations, before, listen=Mailed)


def test_every_point_of_a_migration(power: Power, tally: Tally) -> None:
    operations, cuts = migrated(power)
    survive(cuts, points(operations), [0, 2], tally)
    tally("seeds", 2)


# -- again, while the node recovers from the first ----------------------------------------------------------


def cut_again(folder: Path, operations: list[Operation], point: int, seeds: list[int], count: int) -> Cuts:
    """Cut the power at a point, start a node on what is left, and cut it again at points of that."""
    disk, said = Disk(), Said()
    for operation in operations[:point]:
        if operation.kind == "N":
            said.hear(operation.data)
        else:
            disk.apply(operation)
    folder.mkdir()
    power = Power(folder)
    image = disk.image(2, point)
    write(image, power.disk)
    again = power.victim(first=2, lives=1, count=1)
    cuts = Cuts(again, image, listen=said.again)
    found = cuts.run(sampled(again, count, seed=point), seeds)
    assert found is None, (point, found)
    return cuts


def test_a_cut_during_the_recovery(power: Power, tmp_path: Path, tally: Tally) -> None:
    operations = power.victim(lives=1, count=4)
    point = sampled(operations, 40, seed=1)[-8]
    cuts = cut_again(tmp_path / "again", operations, point, [0, 2], 14)
    tally("crash points", cuts.points)
    tally("power cuts", cuts.images)


@pytest.mark.torture
@pytest.mark.timeout(3000)
def test_cuts_during_many_recoveries(power: Power, tmp_path: Path, tally: Tally) -> None:
    operations = power.victim(lives=2, count=6)
    for point in sampled(operations, 16, seed=2):
        cuts = cut_again(tmp_path / f"again{point}", operations, point, [0, 2], 40)
        tally("crash points", cuts.points)
        tally("power cuts", cuts.images)


# -- after a disk that failed -------------------------------------------------------------------------------


def fails_then_cut(folder: Path, fault: tuple[Any, ...], count: int, seeds: list[int]) -> Cuts:
    """A call fails while the node works, and it goes on; then the power fails."""
    operation, nth, error, suffix = fault
    folder.mkdir()
    power = Power(folder)
    power.shim.fail(operation, nth=nth, error=error, suffix=suffix)
    operations = power.victim(lives=1, count=6)
    faults = [point for point, one in enumerate(operations) if one.error or one.kind == "H"]
    assert len(faults) == 1, fault
    cuts = Cuts(operations)
    found = cuts.run([point for point in sampled(operations, count, seed=nth) if point > faults[0]], seeds)
    assert found is None, (fault, found)
    return cuts


def test_a_cut_after_a_sync_that_failed(tmp_path: Path, tally: Tally) -> None:
    """Writes that the sync was for may be lost for good, though the system reads them back from memory."""
    cuts = fails_then_cut(tmp_path / "a", ("sync", 12, errno.EIO, "p.db-wal"), 30, [0, 2])
    tally("crash points", cuts.points)
    tally("power cuts", cuts.images)
    tally("faults", 1)


FAULTS = [
    *(("sync", nth, errno.EIO, "p.db-wal") for nth in range(8, 24, 3)),
    *(("write", nth, errno.EIO, "p.db-wal") for nth in range(72, 180, 24)),
    *(("write", nth, errno.ENOSPC, "p.db-wal") for nth in range(77, 180, 24)),
    *(("write", nth, HALF, "p.db-wal") for nth in range(75, 180, 25)),
    ("sync", 3, errno.EIO, "p.db"),
    ("sync", 4, errno.EIO, "p.db"),
    ("write", 30, errno.EIO, "p.db"),
]


@pytest.mark.torture
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: f"{fault[0]}-{fault[1]}-{fault[2]}-{fault[3]}")
def test_a_cut_after_a_disk_that_failed(tmp_path: Path, tally: Tally, fault: tuple[Any, ...]) -> None:
    cuts = fails_then_cut(tmp_path / "a", fault, 60, [0, 2, 3])
    tally("crash points", cuts.points)
    tally("power cuts", cuts.images)
    tally("faults", 1)
