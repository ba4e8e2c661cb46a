"""A bit flips in the database file: a node over it has a dead letter, refuses to start, or says what it lacks.

Never wrong data, and never silence: nothing acknowledged is lost without a word, and nothing is done twice.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from pathlib import Path

import pytest
from rot import Place, Rotten, grow, places
from tallies import Tally

from greenroom.persistence.store.rows import OWNER_TABLE, ROWS, ActorRow

INDEX = f"index of {ROWS[ActorRow].name}"


async def rot(tmp_path: Path, tally: Tally, seed: int, count: int, only: str = "") -> dict[str, Counter[str]]:
    """Flip so many bits in each table, and in each of their indexes."""
    image = await grow(tmp_path)
    rotten, dice = Rotten(image, tmp_path / "rotten"), random.Random(seed)
    by_table: dict[str, list[Place]] = defaultdict(list)
    for place in places(image.path):
        by_table[place.table].append(place)
    assert by_table.keys() >= {table.name for table in ROWS.values()} | {OWNER_TABLE, INDEX}
    found: dict[str, Counter[str]] = {}
    for table, all_of_it in by_table.items():
        if only in ("", table):
            some = dice.sample(all_of_it, min(count, len(all_of_it)))
            found[table] = Counter([await said(rotten, place) for place in some])
    tally("flips", sum(outcomes.total() for outcomes in found.values()))
    tally("messages lost", 0)
    tally("messages doubled", 0)
    return found


async def said(rotten: Rotten, place: Place) -> str:
    try:
        return await rotten.outcome(place)
    except Exception as error:
        pytest.fail(f"{place}: {type(error).__name__}: {error}")


async def test_a_flipped_bit_in_each_kind_of_row(tmp_path: Path, tally: Tally) -> None:
    found = await rot(tmp_path, tally, seed=3, count=4)
    total = sum(found.values(), Counter())
    assert total["harmless"] < total.total() / 5, total


@pytest.mark.torture
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("table", [*(table.name for table in ROWS.values()), OWNER_TABLE, INDEX])
async def test_many_flipped_bits_of_a_table(tmp_path: Path, tally: Tally, table: str) -> None:
    await rot(tmp_path, tally, seed=4, count=1_500, only=table)
