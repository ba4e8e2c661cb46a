"""A real full disk, and a database that may not grow."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from books import (
    SPEC,
    Entries,
    Order,
    check,
    told,
)
from grounds import SqliteGround
from patience import patience

from greenroom import Message, StoreError, StoreFull
from greenroom.persistence.store.rows import DeadLetterRow
from greenroom.testing import Recorder


async def test_the_page_limit_of_the_database(disk: SqliteGround) -> None:
    async with disk.node(SPEC) as system:
        clerk = system.ref("/t/clerk")
        await clerk.tell(Order(number=1))
        await system.idle()
        writer = system.kernel.store._writer
        pages = writer.execute("PRAGMA page_count").fetchone()[0]
        writer.execute(f"PRAGMA max_page_count={pages + 4}")
        acked: set[int] = {1}
        refused: dict[int, StoreError] = {}
        big = system.ref("/t/ledger")
        with pytest.raises(StoreFull) as caught:
            await big.tell(Big(text="x" * 200_000), delay_s=1000)
        assert caught.value.undelivered == Big(text="x" * 200_000)
        await system.idle()  # the reopened connection has no limit any more
        for number in range(2, 10):
            await told(clerk, number, acked, refused)
        assert not refused
        await check(system, acked, refused)


class Big(Message):
    text: str


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "small"
    place.mkdir()
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small disk")
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=3m", "none", str(place)], capture_output=True, check=False
    )
    if done.returncode:
        pytest.skip(f"no tmpfs here: {done.stderr.decode().strip()}")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


async def test_a_full_disk(small_disk: Path) -> None:
    """Tells raise StoreFull with their message; with space again the node goes on, without a restart."""
    ground = SqliteGround(small_disk / "data")
    acked: set[int] = set()
    refused: dict[int, StoreError] = {}
    async with ground.node(SPEC) as system:
        events = Recorder(system)
        clerk = system.ref("/t/clerk")
        for number in range(1, 7):
            await told(clerk, number, acked, refused)
        filler = small_disk / "filler"
        _fill(filler)
        while not refused:
            await told(clerk, max(acked) + 1, acked, refused, delay_s=0.0)
            assert max(acked) < 100_000, "the disk never filled"
        assert all(isinstance(error, StoreFull) for error in refused.values()), refused
        await events.until("node.broken")
        refused.clear()
        for number in range(200_000, 200_010):
            await told(clerk, number, acked, refused)
        assert len(refused) == 10
        filler.unlink()
        async with patience():
            await events.until("node.recovered")
        refused.clear()
        for number in range(300_001, 300_006):
            await told(clerk, number, acked, refused)
        assert not refused
        await system.idle()
        assert not events.of("supervisor.gave_up")
        found = await clerk.ask(Entries())
        assert len(found) == len(set(found))
        assert acked <= set(found)
        assert sorted(await system.ref("/t/ledger").ask(Entries())) == sorted(found)
    assert not ground.rows(DeadLetterRow)


def _fill(path: Path) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT)
    try:
        while os.write(descriptor, b"\0" * 4096):
            pass
    except OSError:
        pass
    finally:
        os.close(descriptor)


async def test_a_boot_on_a_full_disk(small_disk: Path) -> None:
    ground = SqliteGround(small_disk / "data")
    async with ground.node(SPEC) as system:
        await system.ref("/t/clerk").tell(Order(number=1))
        await system.idle()
    _fill(small_disk / "filler")
    with pytest.raises(StoreFull):
        async with ground.node(SPEC):
            pass
    (small_disk / "filler").unlink()
    async with ground.node(SPEC) as system:
        await check(system, {1}, {})
