"""A WAL that is cut or garbled anywhere: what was checkpointed is there, what is lost is reported, nothing is half.

Each commit inserts a message and changes one state, so that a store shows by itself which commit it ends with.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlite_stores import Make
from tallies import Tally
from wal_image import WAL_HEADER, Image, copied, killed

from greenroom.persistence.engines.sqlite.engine import SqliteStore
from greenroom.persistence.errors import CommitsLost
from greenroom.persistence.maintenance.verify import verify_store
from greenroom.persistence.runtime import Runtime
from greenroom.persistence.store.checksums import verify
from greenroom.persistence.store.rows import ActorRow, MessageRow

Damage = tuple[str, bytes]


async def ends_with(image: Image, refused: int | None) -> int:
    """The last commit of a damaged store, which is whole up to there. The missing commits are those
    that were reported."""
    options = "" if refused is None else "?lost_commits=accept"
    store = SqliteStore(f"sqlite:///{image.path}{options}", Runtime())
    owner = await store.open()
    try:
        last = owner.commit_no
        state = await store.get(ActorRow, "/bank/alice")
        assert state is not None
        assert state.state == str(last)
        assert [verify(row).id for row in await store.scan(MessageRow)] == list(range(1, last + 1))
        assert store._reader is not None
        assert verify_store(store._reader, store.path).count == 0
    finally:
        await store.close()
    return last


async def damage(image: Image, scratch: Path, wal: bytes | None) -> int:
    """How many commits this WAL costs. It never costs silence."""
    place = Image(copied(image.folder, scratch), *image[1:])
    if wal is None:
        place.wal.unlink()
    else:
        place.wal.write_bytes(wal)
    refused: int | None = None
    store = SqliteStore(f"sqlite:///{place.path}", Runtime())
    try:
        await store.open()
    except CommitsLost as error:
        refused = int(error.missing.split()[0])
    finally:
        await store.close()
    last = await ends_with(place, refused)
    assert last >= image.checkpointed, "what was checkpointed is lost"
    assert image.commits - last == (refused or 0), "lost, and not reported; or reported, and not lost"
    for file in scratch.iterdir():
        file.unlink()
    return image.commits - last


def flips(raw: bytes, dice: random.Random, count: int) -> Iterator[bytes]:
    """Single bits: of the header, of frames' headers, of pages, and anywhere."""
    for _ in range(count):
        place = dice.choice((dice.randrange(WAL_HEADER), WAL_HEADER + dice.randrange(24), dice.randrange(len(raw))))
        garbled = bytearray(raw)
        garbled[place] ^= 1 << dice.randrange(8)
        yield bytes(garbled)


def cuts(raw: bytes, dice: random.Random, count: int) -> Iterator[bytes]:
    for _ in range(count):
        yield raw[: dice.randrange(len(raw))]


def smears(raw: bytes, dice: random.Random, count: int) -> Iterator[bytes]:
    """A stretch of zeros, of noise, or of what stands elsewhere in the file: lost or misplaced writes."""
    for _ in range(count):
        begin = dice.randrange(len(raw))
        size = min(dice.choice((1, 512, 4096, 10_000)), len(raw) - begin)
        other = dice.randrange(len(raw) - size + 1)
        kind = dice.randrange(3)
        stretch = (bytes(size), dice.randbytes(size), raw[other : other + size])[kind]
        yield raw[:begin] + stretch + raw[begin + size :]


async def rounds(make: Make, tmp_path: Path, tally: Tally, seed: int, count: int) -> None:
    image = await killed(make, tmp_path / "image", checkpointed=4, behind=6)
    raw, dice = image.wal.read_bytes(), random.Random(seed)
    scratch = tmp_path / "scratch"
    costs = [await damage(image, scratch, raw), await damage(image, scratch, None), await damage(image, scratch, b"")]
    assert costs[0] == 0
    assert costs[1] == costs[2] == image.commits - image.checkpointed
    garbled = (*flips(raw, dice, count), *cuts(raw, dice, count), *smears(raw, dice, count))
    costs += [await damage(image, scratch, wal) for wal in garbled]
    assert set(costs) >= {0, 1, image.commits - image.checkpointed}, "it has been damaged at its begin and at its end"
    tally("flips", len(costs))
    tally("messages lost", 0)


@pytest.mark.slow
async def test_damage_anywhere_in_the_wal(make: Make, tmp_path: Path, tally: Tally) -> None:
    await rounds(make, tmp_path, tally, seed=1, count=15)


@pytest.mark.torture
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seed", range(4))
async def test_damage_anywhere_in_many_wals(make: Make, tmp_path: Path, tally: Tally, seed: int) -> None:
    await rounds(make, tmp_path, tally, seed=100 + seed, count=800)


@pytest.mark.torture
@pytest.mark.timeout(1800)
async def test_each_byte_at_which_a_wal_may_end(make: Make, tmp_path: Path, tally: Tally) -> None:
    """Frame by frame: everything up to the last whole commit is there, and the rest is reported."""
    image = await killed(make, tmp_path / "image", checkpointed=2, behind=3)
    raw, ends = image.wal.read_bytes(), image.ends()
    scratch = tmp_path / "scratch"
    for size in range(0, len(raw), 16):
        whole = sum(end <= size for end in ends)
        assert await damage(image, scratch, raw[:size]) == len(ends) - whole
    tally("flips", len(range(0, len(raw), 16)))
    assert os.listdir(scratch) == []
