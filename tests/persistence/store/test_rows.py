from __future__ import annotations

import pickle
from enum import IntEnum, StrEnum
from typing import Any

import pytest
from store_samples import message, pairs

from greenroom.persistence.errors import RecordCorrupt
from greenroom.persistence.store.checksums import checksum, seal, verify
from greenroom.persistence.store.rows import ROWS, MessageRow, columns


@pytest.mark.parametrize("row", [row for some in pairs() for row in some], ids=lambda row: type(row).__name__)
def test_any_column_changed_is_noticed(row: Any) -> None:
    assert verify(row) is row
    for position, column in enumerate(columns(type(row))):
        value = row[position]
        for other in (None, "", "x", 0, 1, 7, 0.5, f"{value}"):
            if other == value and type(other) is type(value):
                continue
            changed = row._replace(**{column.name: other})
            with pytest.raises(RecordCorrupt):
                verify(changed)


def test_the_border_between_columns_counts() -> None:
    assert checksum(message(1, sender="ab", type="c")) != checksum(message(1, sender="a", type="bc"))


def test_the_error_names_the_row() -> None:
    with pytest.raises(RecordCorrupt, match="idempotency_key /a, k: checksum 1 in the row") as caught:
        verify(pairs()[5][0]._replace(crc=1))
    again = pickle.loads(pickle.dumps(caught.value))
    assert (again.where, again.stored, again.computed) == (
        caught.value.where,
        caught.value.stored,
        caught.value.computed,
    )


def test_the_checksum_is_the_same_in_every_release() -> None:
    """Stored rows depend on it: this number may never change."""
    row = MessageRow(1, "/bank/älice", 0, 2.5, "00" * 16, "", None, "Deposit", '{"amount":5,"note":"日本\\n"}')
    assert seal(row).crc == 2288271701


class Colour(StrEnum):
    RED = "red"


class Level(IntEnum):
    HIGH = 2


def test_seal_stores_plain_values() -> None:
    row = message(1)._replace(priority=Level.HIGH, due=7, type=Colour.RED, key=Colour.RED)
    sealed = seal(row)
    assert list(map(type, sealed)) == [int, str, int, float, str, str, str, str, str, int]
    assert sealed == seal(MessageRow(*row)._replace(priority=2, due=7.0, type="red", key="red"))


def test_every_kind_has_its_key_first_and_its_checksum_last() -> None:
    for kind, table in ROWS.items():
        found = columns(kind)
        assert found[-1] == ("crc", int, False)
        assert not any(column.nullable for column in found[: table.key])
